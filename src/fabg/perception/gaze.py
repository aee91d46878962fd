"""Where eyes look, from the iris in the eye and the pose of the head.

The landmarks of the eyes are turned into the head frame, where the place of each iris between the
corners and lids of its eye tells how the eyeball is turned. A read-out fitted on rendered people
(`fabg.perception.facefit`) gives one direction for both eyes relative to the head, and how far each
eye is closed; the head's pose makes it a ray in the camera's optical frame.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.errors import ConfigError, InputError, check_ranges
from fabg.perception.clock import ImageClock
from fabg.perception.facefit import GazeFit, gaze_fit
from fabg.perception.one_euro import OneEuro, OneEuroConfig
from fabg.perception.pose import Camera
from fabg.perception.types import Face, Faces, Gaze

_KEEP_S = 2.0
"""Who was not seen for this long is a stranger."""


@dataclass(frozen=True, kw_only=True)
class GazeConfig:
    """How gaze is told and smoothed.

    Attributes
    ----------
    cutoff_hz
        Cut-off of the smoothing while the gaze rests, Hz; 0 does not smooth.
    speed_gain
        By how many Hz the cut-off rises with each rad/s of the gaze.
    closed
        Mean closure of both eyes from which on they say nothing, 0..1.
    hold_s
        So long the last direction stands in for that of closed eyes, s; after it the head's.
    min_eye_px
        Eyes narrower than this between their corners have confidence 0, px.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    cutoff_hz: float = 1.5
    speed_gain: float = 2.0
    closed: float = 0.6
    hold_s: float = 0.5
    min_eye_px: float = 5.0

    def __post_init__(self) -> None:
        ranges = {
            "cutoff_hz": (0.0, 1000.0),
            "speed_gain": (0.0, 1000.0),
            "closed": (0.05, 1.0),
            "hold_s": (0.0, 10.0),
            "min_eye_px": (0.0, 1000.0),
        }
        check_ranges(self, ranges)

    @property
    def smoothing(self) -> OneEuroConfig:
        """The smoother's part."""
        return OneEuroConfig(cutoff_hz=self.cutoff_hz, speed_gain=self.speed_gain)


@dataclass(frozen=True, kw_only=True)
class GazeCalibration:
    """What one person's eyes read against where they look: ``true = gain * read + offset`` for each axis.

    Attributes
    ----------
    yaw_gain, pitch_gain
        0.3 to 3.
    yaw_offset_rad, pitch_offset_rad
        -0.6 to 0.6 rad.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    yaw_gain: float = 1.0
    yaw_offset_rad: float = 0.0
    pitch_gain: float = 1.0
    pitch_offset_rad: float = 0.0

    def __post_init__(self) -> None:
        for f in fields(self):
            low, high = (0.3, 3.0) if f.name.endswith("gain") else (-0.6, 0.6)
            value = getattr(self, f.name)
            if not isinstance(value, (int, float)) or not low <= value <= high:
                raise ConfigError(f"calibration: {f.name} is {value!r}: expected {low} to {high}")

    def apply(self, yaw: float, pitch: float) -> tuple[float, float]:
        """Return the angles that are meant by those that were read, rad."""
        return (
            self.yaw_gain * yaw + self.yaw_offset_rad,
            self.pitch_gain * pitch + self.pitch_offset_rad,
        )

    def save(self, path: str | Path) -> None:
        """Write the calibration as JSON."""
        Path(path).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> GazeCalibration:
        """Read what `save` wrote.

        Raises
        ------
        ConfigError
            When the file cannot be read or holds something else.
        """
        expected = ", ".join(f.name for f in fields(cls))
        try:
            values = json.loads(Path(path).read_text())
            return cls(**values)
        except OSError as error:
            raise ConfigError(f"calibration {path} cannot be read: {error.strerror or error}") from error
        except (ValueError, TypeError) as error:
            if isinstance(error, ConfigError):
                raise ConfigError(f"{path}: {error}") from error
            raise ConfigError(f"calibration {path} is not a JSON object with {expected}: {error}") from error


@dataclass(frozen=True)
class CalibrationSample:
    """Angles of the eyes relative to the head, rad: what was read, and what it was for."""

    read_yaw_rad: float
    read_pitch_rad: float
    true_yaw_rad: float
    true_pitch_rad: float

    @classmethod
    def looking_at(cls, face: Face, gaze: Gaze, target_m: ArrayLike) -> CalibrationSample:
        """Return the sample of a person who looks at a known point in the camera's optical frame, m.

        `gaze` must come from an estimator without calibration, best from one that does not smooth.

        Raises
        ------
        InputError
            When the point is not finite or lies on the eyes.
        """
        target = np.array(target_m, dtype=np.float64)
        line = target - gaze.origin
        length = float(np.linalg.norm(line))
        if line.shape != (3,) or not math.isfinite(length) or length < 1e-3:
            raise InputError(
                f"target is {np.asarray(target_m).tolist()} m: expected three finite coordinates off the eyes"
            )
        yaw, pitch = angles_of(face.pose[:3, :3].T @ line / length)
        return cls(gaze.eye_yaw_rad, gaze.eye_pitch_rad, yaw, pitch)


def calibrate(samples: Iterable[CalibrationSample]) -> GazeCalibration:
    """Return the calibration that fits best.

    Three to nine targets that span some 10 degrees are enough. The less they span, the more the gain
    stays at 1 and only the offset is learnt: with one target it is the offset alone.

    Raises
    ------
    InputError
        Without samples, with one that is not finite, or when the best fit is out of all reason.
    """
    rows = np.array(
        [[s.read_yaw_rad, s.read_pitch_rad, s.true_yaw_rad, s.true_pitch_rad] for s in samples], dtype=float
    )
    if not rows.size or not np.isfinite(rows).all():
        raise InputError(f"{len(rows)} calibration samples: expected one or more with finite angles")
    values: dict[str, float] = {}
    for i, axis in enumerate(("yaw", "pitch")):
        read, true = rows[:, i], rows[:, 2 + i]
        # Gain 1 counts as if it had been seen with a spread of 2 degrees.
        prior = len(rows) * math.radians(2.0) ** 2
        moved = read - read.mean()
        gain = float((moved @ (true - true.mean()) + prior) / (moved @ moved + prior))
        values[f"{axis}_gain"] = gain
        values[f"{axis}_offset_rad"] = float(true.mean() - gain * read.mean())
    try:
        return GazeCalibration(**values)
    except ConfigError as error:
        raise InputError(f"the samples do not fit a person who looked at the targets ({error})") from error


@dataclass
class _Memory:
    """What is known of one person's gaze from the images before."""

    smooth: OneEuro
    seen_s: float
    open_s: float | None = None


class GazeEstimator:
    """Tell where everybody looks. Not thread-safe.

    While eyes are closed their confidence is 0 and the direction is the last one they had, for
    ``hold_s``; after it, or when they were never seen open, it is that of the head.

    Parameters
    ----------
    config
        How gaze is told and smoothed.
    calibration
        Of the person, applied to everybody; `calibrations` holds those of single faces.

    Raises
    ------
    ModelFileError
        When the fitted read-out is missing or not readable.
    """

    def __init__(
        self, config: GazeConfig | None = None, *, calibration: GazeCalibration | None = None
    ) -> None:
        self._config = config or GazeConfig()
        self.calibration = calibration
        """For everybody who is not named in `calibrations`; None for none."""
        self.calibrations: dict[str, GazeCalibration] = {}
        """By face id."""
        self._fit: GazeFit = gaze_fit()
        self._clock = ImageClock()
        self._people: dict[str, _Memory] = {}

    @property
    def config(self) -> GazeConfig:
        """The configuration in force."""
        return self._config

    def configure(self, config: GazeConfig) -> None:
        """Take another configuration from the next image on; what is remembered stays."""
        self._config = config
        for memory in self._people.values():
            memory.smooth.config = config.smoothing

    def update(self, faces: Faces, camera: Camera | None = None) -> tuple[Gaze, ...]:
        """Return the gaze of everybody in one image, in the order of the faces.

        Parameters
        ----------
        faces
            The people. Faces without landmarks (NaN) have no gaze and are left out.
        camera
            Not needed: the pose of a face tells how the camera sees it.

        Raises
        ------
        InputError
            When the stamp is not finite.
        """
        del camera
        step_s = self._clock.advance(faces.stamp_s)
        gazes = tuple(self._gaze(f, step_s) for f in faces.faces if np.isfinite(f.landmarks).all())
        now_s = self._clock.now_s
        self._people = {n: m for n, m in self._people.items() if now_s - m.seen_s <= _KEEP_S}
        return gazes

    def _gaze(self, face: Face, step_s: float) -> Gaze:
        now_s = self._clock.now_s
        memory = self._people.get(face.id)
        if memory is None:
            memory = self._people[face.id] = _Memory(OneEuro(self._config.smoothing), now_s)
        since_s, memory.seen_s = now_s - memory.seen_s or step_s, now_s
        reading = self._fit.read(face)
        rotation = face.pose[:3, :3]
        confidence = self._confidence(face, reading.closed_left, reading.closed_right, reading.trust)
        if confidence > 0.0:
            calibration = self.calibrations.get(face.id, self.calibration)
            yaw, pitch = reading.yaw, reading.pitch
            if calibration is not None:
                yaw, pitch = calibration.apply(yaw, pitch)
            direction = unit(memory.smooth.step(rotation @ direction_of(yaw, pitch), since_s))
            memory.open_s = now_s
        elif memory.open_s is not None and now_s - memory.open_s <= self._config.hold_s:
            assert memory.smooth.value is not None
            direction = unit(memory.smooth.value)
        else:
            direction = rotation[:, 0].copy()
            memory.smooth.value = memory.open_s = None  # opened eyes begin anew
        yaw, pitch = angles_of(rotation.T @ direction)
        origin = face.pose[:3, 3] + rotation @ reading.origin
        return Gaze(
            face.id, origin, direction, yaw, pitch, reading.closed_left, reading.closed_right, confidence
        )

    def _confidence(self, face: Face, closed_left: float, closed_right: float, trust: float) -> float:
        """Return how far the direction can be believed, 0..1."""
        open_ = 1.0 - (closed_left + closed_right) / 2 / self._config.closed
        if open_ <= 0.0 or eye_width_px(face) < self._config.min_eye_px:
            return 0.0
        # Half closed eyes still show the iris; beyond that trust falls.
        return float(np.clip(min(1.0, 2.0 * open_) * trust * face.confidence, 0.0, 1.0))


def eye_width_px(face: Face) -> float:
    """Return the distance between the corners of the eye that is seen better, px."""
    points = face.landmarks[[33, 133, 362, 263], :2]
    return float(max(np.linalg.norm(points[0] - points[1]), np.linalg.norm(points[2] - points[3])))


def direction_of(yaw: float, pitch: float) -> NDArray[np.float64]:
    """Return the unit vector of a gaze in the head frame, shape (3,); rad, yaw to the left, pitch down."""
    return np.array([math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), -math.sin(pitch)])


def angles_of(direction: NDArray[np.float64]) -> tuple[float, float]:
    """Return (yaw, pitch) in rad of a direction (3,) in the head frame."""
    x, y, z = (float(v) for v in direction)
    return math.atan2(y, x), math.atan2(-z, math.hypot(x, y))


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a vector (3,) of length 1."""
    return np.asarray(vector / np.linalg.norm(vector))
