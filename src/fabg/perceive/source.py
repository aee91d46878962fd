"""What perceive reads: a video, a folder or a camera, with what is known of the lens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fabg.errors import ConfigError, InputError
from fabg.perception.pictures import Size
from fabg.perception.pose import Camera
from fabg.perception.sources import PICTURES, ImageSource, SourceLost, default_clip, is_live, open_source
from fabg.perception.stereo import Rectifier, StereoMatcher, split_side_by_side
from fabg.perception.stereo_calibration import FORMAT, StereoCalibration
from fabg.perception.types import Frame


@dataclass(frozen=True)
class Described:
    """What is known of an input before it is read.

    Attributes
    ----------
    spec
        As for `fabg.perception.sources.open_source`.
    name
        For people.
    live
        Whether it is a camera, which has no end of its own.
    fps
        Images a second that it promises.
    size
        (width, height) of the images that are worked on: of the left one when there are two side by side.
    images
        How many images there are, None when nobody knows.
    camera
        Of the images.
    stereo
        Calibration of two cameras side by side, if there are two.
    """

    spec: str
    name: str
    live: bool
    fps: float
    size: Size
    images: int | None
    camera: Camera
    stereo: StereoCalibration | None


def describe(spec: str, *, fov_deg: float, calibration: Path | None, fps: float) -> Described:
    """Open the input once: what is wrong with it is told before anything starts.

    Raises
    ------
    InputError
        When the input cannot be used, or is not two images side by side though the calibration says so.
    ConfigError
        When the calibration cannot be used with it.
    """
    with closing(open_source(spec, realtime=False, fps=fps)) as source:
        name, rate, size = source.name, source.fps, source.size
    stereo = None
    if calibration is None:
        camera = Camera.from_fov(*size, fov_deg)
    else:
        values = _yaml(calibration)
        if values.get("format") == FORMAT:
            if size[0] % 2:
                raise InputError(
                    f"{name} is {size[0]} px wide: expected two images of one width side by side, as the stereo "
                    f"calibration {str(calibration)!r} says"
                )
            size = (size[0] // 2, size[1])
            stereo = StereoCalibration.load(calibration).scaled_to(size)
            camera = stereo.camera
        else:
            camera = _camera(values, size, calibration)
    return Described(spec, name, is_live(spec), rate, size, _count(spec), camera, stereo)


def frames(described: Described, warnings: list[str]) -> Iterator[Frame]:
    """Yield all images, as fast as they are taken; the first has the stamp 0.

    What went wrong on the way is added to `warnings`; a camera that has gone ends the images.
    """
    rectifier = matcher = None
    if described.stereo is not None:
        rectifier, matcher = Rectifier(described.stereo, described.size), StereoMatcher(described.stereo)
    first_s: float | None = None
    # Cameras stamp with the real clock, everything else with the time in the recording.
    clock: dict[str, Any] = {} if described.live else {"clock": lambda: 0.0}
    with closing(open_source(described.spec, realtime=False, fps=described.fps, **clock)) as source:
        while (frame := _read(source, warnings)) is not None:
            first_s = frame.stamp_s if first_s is None else first_s
            image, depth = frame.image, None
            if rectifier is not None and matcher is not None:
                left, right = rectifier.rectify(*split_side_by_side(image))
                image, depth = left, matcher.depth(left, right)
            yield Frame(image, frame.stamp_s - first_s, depth)
        if source.truncated:
            warnings.append(f"{described.name} is damaged or cut off: not all of its images could be read")
        if source.dropped:
            warnings.append(f"{source.dropped} images could not be read and were passed over")


def _read(source: ImageSource, warnings: list[str]) -> Frame | None:
    try:
        return source.read()
    except SourceLost as error:
        warnings.append(f"the run was ended: {error}")
        return None


def _count(spec: str) -> int | None:
    if is_live(spec):
        return None
    path = default_clip()[0] if spec == "clip" else Path(spec).expanduser()
    if path.is_dir():
        return sum(1 for entry in path.iterdir() if entry.suffix.lower() in PICTURES and entry.is_file())
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.frames:
            return int(stream.frames)
        if stream.duration and stream.time_base and stream.average_rate:
            return round(float(stream.duration * stream.time_base * stream.average_rate))
    return None


def _yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.expanduser().read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the calibration {str(path)!r} cannot be read ({error}): expected YAML") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"the calibration {str(path)!r} holds no mapping: expected camera_calibration's YAML"
        )
    return values


def _camera(values: dict[str, Any], size: Size, path: Path) -> Camera:
    """Return the pinhole of a ROS calibration, scaled to images of `size`; the distortion is not used."""
    try:
        made_for = int(values["image_width"]), int(values["image_height"])
        k = [float(v) for v in values["camera_matrix"]["data"]]
        camera = Camera(k[0], k[4], k[2], k[5])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ConfigError(
            f"the calibration {str(path)!r} cannot be used ({error}): expected image_width, image_height and "
            "camera_matrix as camera_calibration writes them; make one with `fabg camera calibrate`"
        ) from error
    factor = size[0] / max(made_for[0], 1)
    if abs(size[1] - made_for[1] * factor) > 1.0:
        raise ConfigError(
            f"the calibration {str(path)!r} is for {made_for[0]} x {made_for[1]} px, the images have "
            f"{size[0]} x {size[1]}: expected the same aspect ratio"
        )
    return camera.scaled(factor)
