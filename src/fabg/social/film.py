"""A film of an episode: the partner as the robot's camera sees them, the robot, and their signals below.

with Film(Path("gesture.mp4"), title="gesture", facts={"policy": "mirror", "delay": "60 ms"}) as film:
    for scene, robot, stimulus in episode:
        film.add(scene, robot.joints, {"gaze_robot": robot.yaw, ...}, stimulus)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.errors import CommandRefused, EnvironmentProblem, InputError
from fabg.geometry import rotation_from_ypr
from fabg.robot.gaze import NECK, direction, eye_origins
from fabg.robot.model import RobotModel, load_robot
from fabg.robot.twin import Twin
from fabg.social import film_strip
from fabg.social.avatar.scene import Background
from fabg.social.film_strip import TRACKS, Strip, Track
from fabg.social.robot_body import EyeGeometry
from fabg.social.sight import SceneCamera, Setting, check_finite
from fabg.social.stage import CAMERA_M, SceneState, Stimulus
from fabg.strokes import FAINT, GROUND, INK, PERSON, ROBOT, Colour, Picture, dot, shade, width_of, write
from fabg.video import VideoWriter, frame_rate, join

PANEL = (640, 480)
"""Size of each of the two pictures, px."""
HEADER_H = 44
SIZE = (2 * PANEL[0], HEADER_H + PANEL[1] + film_strip.HEIGHT)
"""(width, height) of the film, px: 1280 x 720."""

STUDIO = Setting(background=Background(colour=(0.64, 0.68, 0.74), second=(0.44, 0.48, 0.54)))
"""Before this ground the partner looks as if they sat in the same room as the robot."""

_MARGIN = 20


class Painter:
    """Draws moments of an episode.

    Parameters
    ----------
    title
        What is played; written first.
    facts
        What else is to be said of it, e.g. ``{"policy": "mirror", "delay": "60 ms"}``.
    robot
        Joint table; the package's own by default.
    setting
        Light, background and lens of the partner's picture.
    tracks, window_s
        As for `fabg.social.film_strip.Strip`.
    """

    def __init__(
        self,
        title: str,
        facts: Mapping[str, str] | None = None,
        *,
        robot: RobotModel | None = None,
        setting: Setting = STUDIO,
        tracks: Sequence[Track] = TRACKS,
        window_s: float = 8.0,
    ) -> None:
        self._robot = robot or load_robot()
        self._strip = Strip(SIZE[0], tracks, window_s)
        self._eyes = EyeGeometry(self._robot)
        self._header = _header(title, facts or {})
        self._camera = SceneCamera(PANEL, setting=setting)
        self._twin = Twin(self._robot, size=PANEL, quality="picture")

    def note(self, time_s: float, signals: Mapping[str, float], stimulus: Stimulus | None = None) -> None:
        """Take in the signals of one tick, whether or not it is drawn."""
        if stimulus is None:
            self._strip.add(time_s, signals)
        else:
            name = stimulus.kind.replace("_", " ") if stimulus.counted else ""
            self._strip.add(time_s, signals, (stimulus.event, stimulus.counted), name)

    def checked(self, joints: ArrayLike) -> NDArray[np.float64]:
        """Return joint angles as (25,) numbers.

        Raises
        ------
        CommandRefused
            When they have another shape or are not finite.
        """
        angles = np.array(joints, dtype=np.float64)
        if angles.shape != (len(self._robot.names),) or not np.isfinite(angles).all():
            raise CommandRefused(
                f"joints are {angles.tolist()}: expected {len(self._robot.names)} finite angles in rad"
            )
        return angles

    def picture(
        self, scene: SceneState, joints: ArrayLike, time_s: float, stimulus: Stimulus | None = None
    ) -> Picture:
        """Return the picture of the tick noted last, RGB, in `SIZE`.

        Parameters
        ----------
        scene
            The people.
        joints
            The robot's joints, rad, (25,).
        time_s
            What the clock shows.
        stimulus
            Where the robot should look; None draws no marks.

        Raises
        ------
        CommandRefused
            When the joints have another shape or are not finite.
        InputError
            When something in the scene is not finite.
        """
        angles = self.checked(joints)
        self._twin.set_positions(angles)
        canvas = np.empty((SIZE[1], SIZE[0], 3), dtype=np.uint8)
        canvas[:HEADER_H] = self._header
        minutes, seconds = divmod(max(time_s, 0.0), 60)
        clock = f"{int(minutes)}:{seconds:04.1f}"
        # As wide as zeros are, so that it stands still.
        steady = f"{'0' * len(str(int(minutes)))}:00.0"
        write(canvas, (SIZE[0] - _MARGIN - width_of(steady, 22), 8), clock, INK, 22)
        below = HEADER_H + PANEL[1]
        left, right = canvas[HEADER_H:below, : PANEL[0]], canvas[HEADER_H:below, PANEL[0] :]
        left[:] = self._camera.picture(scene).image
        right[:] = self._twin.render("face")
        if stimulus is not None:
            self._marks(left, angles, stimulus.target_m)
        _tag(left, "partner", PERSON)
        _tag(right, "robot", ROBOT)
        canvas[HEADER_H:below, PANEL[0] - 1 : PANEL[0] + 1] = GROUND
        self._strip.draw(canvas[below:])
        canvas[below : below + 2] = GROUND
        return canvas

    def close(self) -> None:
        """Free the graphics."""
        self._camera.close()
        self._twin.close()

    def _marks(self, panel: Picture, joints: NDArray[np.float64], target_m: NDArray[np.float64]) -> None:
        """Ring the point to look at, and put a dot where the robot's gaze passes it."""
        neck = [joints[self._robot.index[name]] for name in NECK]
        eyes = rotation_from_ypr(*neck) @ np.mean(eye_origins(self._robot), axis=0)
        gaze = direction(*self._eyes.gaze_of(joints)[:2])
        met = eyes + float(np.linalg.norm(target_m - eyes)) * gaze
        at = self._on_panel(target_m)
        if at is not None:
            dot(panel, at, 27.0, GROUND, thickness=4)
            dot(panel, at, 27.0, PERSON, thickness=2)
        at = self._on_panel(met)
        if at is not None:
            dot(panel, at, 12.0, GROUND)
            dot(panel, at, 9.0, ROBOT)
        _mark_legend(panel)

    def _on_panel(self, point_m: NDArray[np.float64]) -> tuple[float, float] | None:
        """Return where a point of the base frame lies in the partner's picture, None outside it."""
        x, y, z = point_m - CAMERA_M
        if x < 0.02:
            return None
        c = self._camera.camera
        u, v = c.cx - c.fx * y / x, c.cy - c.fy * z / x
        return (float(u), float(v)) if 0 <= u < PANEL[0] and 0 <= v < PANEL[1] else None


class Film:
    """Writes the film of one episode as H.264 in MP4, 1280 x 720.

    Parameters
    ----------
    out
        Where the film will be; it appears under this name when it is closed, and not at all without a picture.
    title, facts, robot, setting, tracks, window_s
        As for `Painter`.
    fps
        Pictures a second, 1..50. Ticks may come more often: all are kept in the signals, those that
        are due are drawn.

    Raises
    ------
    InputError
        When `out` does not end in ``.mp4``.
    EnvironmentProblem
        When the file cannot be written.
    """

    def __init__(
        self,
        out: Path,
        *,
        title: str,
        facts: Mapping[str, str] | None = None,
        fps: float = 25.0,
        robot: RobotModel | None = None,
        setting: Setting = STUDIO,
        tracks: Sequence[Track] = TRACKS,
        window_s: float = 8.0,
    ) -> None:
        out = Path(out)
        if out.suffix.lower() != ".mp4":
            raise InputError(f"the film is to be {str(out)!r}: expected a name that ends in .mp4")
        self._out, self._rate = out, frame_rate(fps, most=50.0)
        self._pieces = out.with_name(f".{out.name}")
        self._painter = Painter(title, facts, robot=robot, setting=setting, tracks=tracks, window_s=window_s)
        self._start_s: float | None = None
        self._last_s = -math.inf
        self._pictures = 0
        self._closed = False
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._writer = VideoWriter(self._pieces, SIZE, self._rate)
        except OSError as error:
            self._painter.close()
            raise _unwritable(out, error) from error

    def add(
        self,
        scene: SceneState,
        joints: ArrayLike,
        signals: Mapping[str, float],
        stimulus: Stimulus | None = None,
    ) -> None:
        """Add one tick.

        Parameters
        ----------
        scene
            The people; `time_s` must grow from tick to tick.
        joints
            The robot's joints, rad, (25,).
        signals
            Values of this tick by the keys of the tracks' lines (see `fabg.social.film_strip.TRACKS`): angles in
            rad, amounts 0..1. What is missing or NaN leaves a gap.
        stimulus
            The present event, for the marks; None draws none.

        Raises
        ------
        InputError
            When the film is closed, time does not grow, or something in the scene is not finite.
        CommandRefused
            When the joints have another shape or are not finite.
        EnvironmentProblem
            When the film cannot be written.
        """
        if self._closed:
            raise InputError("the film is closed: expected an open one")
        if not (math.isfinite(scene.time_s) and scene.time_s > self._last_s):
            raise InputError(
                f"the scene is of {scene.time_s} s after {self._last_s} s: expected time to grow"
            )
        angles = self._painter.checked(joints)
        for person in scene.people:
            check_finite(person)
        self._last_s = scene.time_s
        if self._start_s is None:
            self._start_s = scene.time_s
        time_s = scene.time_s - self._start_s
        self._painter.note(time_s, signals, stimulus)
        due_s = float(self._pictures / self._rate)
        if time_s < due_s - 1e-6:
            return
        picture = self._painter.picture(scene, angles, time_s, stimulus)
        # A tick that comes late stands for all pictures since; the next is due after it.
        self._pictures = max(self._pictures, math.floor(time_s * self._rate + 1e-6)) + 1
        try:
            self._writer.add(picture, time_s)
        except OSError as error:
            raise _unwritable(self._out, error) from error

    def close(self) -> None:
        """Finish the film; harmless when done twice.

        Raises
        ------
        EnvironmentProblem
            When the film cannot be written.
        """
        if self._closed:
            return
        self._closed = True
        self._painter.close()
        try:
            self._writer.close()
            if self._pictures:
                join([self._pieces], self._out, self._rate)
        except OSError as error:
            raise _unwritable(self._out, error) from error
        finally:
            self._pieces.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _unwritable(path: Path, error: OSError) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"the film {str(path)!r} cannot be written ({error}): is the disk full, or the folder read-only?"
    )


# Parts of the picture ----------------------------------------------------------------------------


def _header(title: str, facts: Mapping[str, str]) -> Picture:
    """Return the line on top without the clock, (HEADER_H, width, 3)."""
    panel = np.empty((HEADER_H, SIZE[0], 3), dtype=np.uint8)
    panel[:] = GROUND
    x, end = float(_MARGIN), SIZE[0] - 130
    said = shortened(title, 22, 360)
    write(panel, (x, 8), said, INK, 22)
    x += width_of(said, 22) + 30
    for name, value in facts.items():
        room = end - x - width_of(name, 14) - 8
        if room < 40:
            break
        write(panel, (x, 15), name, FAINT, 14)
        x += width_of(name, 14) + 8
        said = shortened(value, 14, int(min(room, 300)))
        write(panel, (x, 15), said, INK, 14)
        x += width_of(said, 14) + 26
    return panel


def shortened(said: str, size: int, room: int) -> str:
    """Return a line of text that fits into `room` px, its middle left out where it has to be."""
    if width_of(said, size) <= room:
        return said
    for kept in range(len(said) - 1, 0, -1):
        head = said[: (kept + 1) // 2].rstrip()
        tail = said[len(said) - kept // 2 :].lstrip() if kept > 1 else ""
        if width_of(f"{head}...{tail}", size) <= room:
            return f"{head}...{tail}"
    return ""


def _tag(panel: Picture, name: str, colour: Colour) -> None:
    """Write what a picture shows into its upper left corner."""
    shade(panel, (14, 14, width_of(name, 15) + 22, 27))
    write(panel, (25, 17), name, colour, 15)


def _mark_legend(panel: Picture) -> None:
    """Say what ring and dot mean, in the lower left corner."""
    first, second, size, high = "to look at", "where the robot looks", 12, 24
    x, y, panel_left = 28.0, panel.shape[0] - 14 - high // 2, 14
    after = x + 15 + width_of(first, size) + 24
    shade(
        panel, (panel_left, y - high // 2, round(after) + 11 + width_of(second, size) + 10 - panel_left, high)
    )
    dot(panel, (x, y), 12.0, PERSON, thickness=2)
    write(panel, (x + 15, y - 8), first, INK, size)
    dot(panel, (after, y), 9.0, ROBOT)
    write(panel, (after + 11, y - 8), second, INK, size)
