"""Measure how perception errs, for `fabg.social.senses`: rendered scenes, read by the real pipeline.

    python -m fabg.social.fit_senses --json src/fabg/social/data/senses.json

Plays every task with the expert, shows each image to perception (with a depth camera), and compares what it says
with what is true. The seeds are those below `FIRST_REPORT_SEED`; no benchmark runs on them.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from fabg import expression
from fabg.files import write_json
from fabg.geometry import ypr_from_rotation
from fabg.perception.types import Gesture
from fabg.policy.base import HandObservation, Observation, PersonObservation
from fabg.robot.gaze import yaw_pitch
from fabg.social.avatar.people import FIRST_REPORT_SEED
from fabg.social.senses import IMAGE_S, senses_from
from fabg.social.stage import CAMERA_M, FACING_ROBOT, HandState, PersonState, SceneState
from fabg.social.tasks import TASKS
from fabg.social.views import Perceived
from fabg.social.world import World, WorldConfig

Array = NDArray[np.float64]
SETTLED_S = 0.5
"""A gesture that is not told after this long is misread, not late."""
_APART_RAD = math.radians(8.0)
"""What is further from the truth than this is something else."""


def main() -> None:
    """Measure, and write the JSON file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--episodes", type=int, default=4, help="of each task")
    parser.add_argument("--events", type=int, default=8, help="of an episode")
    parser.add_argument(
        "--seed", type=int, default=100, help=f"of the first episode, below {FIRST_REPORT_SEED}"
    )
    arguments = parser.parse_args()
    plays = [
        (task, arguments.seed + k * len(TASKS) + i)
        for k in range(arguments.episodes)
        for i, task in enumerate(TASKS)
    ]
    if not 0 <= arguments.seed <= FIRST_REPORT_SEED - len(plays):
        parser.error(f"--seed {arguments.seed}: expected seeds below {FIRST_REPORT_SEED}")
    ledger = Ledger()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for task, seed in bar.track(plays, description="episodes"):
            play(task, seed, arguments.events, ledger)
    result = {
        "made_by": f"python -m fabg.social.fit_senses --episodes {arguments.episodes} --events {arguments.events} "
        f"--seed {arguments.seed}",
        "images": ledger.images,
        "errors": ledger.errors(),
    }
    senses_from(json.loads(json.dumps(result["errors"])))
    write_json(result, arguments.json)
    print(arguments.json)


def play(task: str, seed: int, events: int, ledger: Ledger) -> None:
    """Play one episode, with perception looking on."""
    world = World(
        WorldConfig(task=task, pace="natural", events=events, expert=True),
        sensor=_Watched(ledger, f"{task}{seed}"),
    )
    try:
        world.reset(seed)
        while not (world.done or world.out_of_time):
            assert world.expert_vector is not None
            world.step(world.expert_vector)
    finally:
        world.close()


class _Watched(Perceived):
    """Perception whose every image is compared with the truth."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        super().__init__()
        self._ledger, self._name = ledger, name

    def observe(self, scene: SceneState) -> Observation:
        seen = super().observe(scene)
        self._ledger.add(self._name, scene, seen)
        return seen


class Ledger:
    """Errors by person or hand, in the order of the images."""

    def __init__(self) -> None:
        self.images = 0
        self._faces: dict[str, list[Array]] = defaultdict(list)
        self._shapes: dict[str, list[tuple[Array, Array]]] = defaultdict(list)
        self._hands: dict[str, list[Array]] = defaultdict(list)
        self._pointing: dict[str, list[Array]] = defaultdict(list)
        self._directions: dict[str, list[Array]] = defaultdict(list)
        self._lost: dict[str, dict[str, list[bool]]] = {"face": defaultdict(list), "hand": defaultdict(list)}
        self._wrong: dict[str, list[bool]] = defaultdict(list)
        self._late = Lateness()

    def add(self, episode: str, scene: SceneState, seen: Observation) -> None:
        """Compare one image."""
        self.images += 1
        for person in scene.people:
            name = f"{episode}-{person.id}"
            found = _nearest(person.position_m, seen.people)
            self._lost["face"][name].append(found is None)
            if isinstance(found, PersonObservation):
                self._faces[name].append(_face_error(person, found))
                self._shapes[name].append((person.shapes, found.blendshapes))
            for hand in person.hands:
                self._add_hand(f"{name}-{hand.side.name}", hand, seen)

    def _add_hand(self, name: str, hand: HandState, seen: Observation) -> None:
        found = _nearest(hand.pose[:3, 3], seen.hands)
        settled_s = self._late.see(name, hand, found, seen.stamp_s)
        if hand.extended and self._late.known(name):
            self._lost["hand"][name].append(found is None)
        if not isinstance(found, HandObservation):
            return
        errors = (*_place_error(hand.pose[:3, 3], found.position_m), *_place_error(hand.tip_m, found.tip_m))
        series = self._pointing if hand.gesture is Gesture.POINTING else self._hands
        series[name].append(np.array(errors))
        if hand.direction is not None and found.direction is not None:
            self._directions[name].append(np.subtract(yaw_pitch(found.direction), yaw_pitch(hand.direction)))
        if hand.extended and hand.gesture is not Gesture.NONE and settled_s > SETTLED_S:
            self._wrong[name].append(found.gesture != hand.gesture)

    def errors(self) -> dict[str, Any]:
        """Return the sizes of all errors, as `fabg.social.senses.SensesConfig` names them."""
        face, ray = _spreads(self._faces), _spreads(self._directions)
        hand, pointing = (_spreads(series, about=(0, 3)) for series in (self._hands, self._pointing))
        palm, tip = (_mean([hand[k], hand[k + 1], pointing[k], pointing[k + 1]]) for k in (1, 4))
        gain, offset, bias, jitter = _shape_errors(self._shapes)
        return {
            "distance": face[0],
            "bearing_rad": _mean(face[1:3]),
            "head_rad": face[3:6],
            "gaze_rad": _mean(face[6:8]),
            "shape_gain": gain,
            "shape_offset": offset,
            "shape_bias": bias,
            "shape_jitter": jitter,
            "hand_distance": [_middle(self._hands, 0), *hand[0]],
            "tip_distance": [_middle(self._hands, 3), *hand[3]],
            "pointing_distance": [_middle(self._pointing, 0), *pointing[0]],
            "pointing_tip_distance": [_middle(self._pointing, 3), *pointing[3]],
            "hand_bearing_rad": palm,
            "tip_bearing_rad": tip,
            "direction_rad": _mean(ray[0:2]),
            "correlation_s": _correlation_s(self._faces),
            "face_lost": _share(self._lost["face"]),
            "hand_lost": _share(self._lost["hand"]),
            "gesture_wrong": _share(self._wrong),
            **self._late.errors(),
        }


class _Track:
    """A hand in view: since when it is there, is held out, and says what it says; and whether that was told."""

    def __init__(self, now: float) -> None:
        self.last_s = self.begun_s = now
        self.found_s: float | None = None
        self.gesture, self.gesture_s, self.gesture_told = Gesture.NONE, now, True
        self.extended_s: float | None = None
        self.extended_told = False


class Lateness:
    """How long perception takes to find a hand, to see that it is held out, and what it says."""

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}
        self._after: dict[str, list[float]] = {"hand_found_s": [], "extended_s": [], "gesture_s": []}

    def see(self, name: str, hand: HandState, found: Any, now: float) -> float:
        """Take one image of a hand; return for how long it has said what it says, s."""
        track = self._tracks.get(name)
        if track is None or now - track.last_s > 1.5 * IMAGE_S:
            track = self._tracks[name] = _Track(now)
        track.last_s = now
        if hand.gesture != track.gesture:
            track.gesture, track.gesture_s, track.gesture_told = (
                hand.gesture,
                now,
                hand.gesture is Gesture.NONE,
            )
        if not hand.extended:
            track.extended_s, track.extended_told = None, False
        elif track.extended_s is None:
            track.extended_s = now
        if isinstance(found, HandObservation):
            self._note(track, found, now)
        return now - track.gesture_s

    def known(self, name: str) -> bool:
        """Whether a hand in view has been found at least once."""
        return self._tracks[name].found_s is not None

    def _note(self, track: _Track, found: HandObservation, now: float) -> None:
        if track.found_s is None:
            track.found_s = now
            self._after["hand_found_s"].append(now - track.begun_s)
        if track.extended_s is not None and not track.extended_told and found.extended:
            track.extended_told = True
            self._after["extended_s"].append(now - max(track.extended_s, track.found_s))
        if not track.gesture_told and found.gesture == track.gesture:
            track.gesture_told = True
            self._after["gesture_s"].append(now - max(track.gesture_s, track.found_s))

    def errors(self) -> dict[str, list[float]]:
        """Return (mean, spread) of each, robustly: the median, and the scaled median deviation from it."""
        result = {}
        for name, values in self._after.items():
            middle = float(np.median(values))
            result[name] = [
                _rounded(middle),
                _rounded(1.4826 * float(np.median(np.abs(np.array(values) - middle)))),
            ]
        return result


def _nearest(point: Array, seen: Any) -> Any:
    """Return what was seen nearest to a point by angle, None when it is too far aside."""
    at = yaw_pitch(point - CAMERA_M)

    def apart(one: PersonObservation | HandObservation) -> float:
        return math.dist(at, yaw_pitch(one.position_m - CAMERA_M))

    found = min(seen, key=apart, default=None)
    return found if found is not None and apart(found) < _APART_RAD else None


def _place_error(true: Array, said: Array) -> tuple[float, float, float]:
    """Return the error in distance, as a share, and in yaw and pitch, rad, as the camera has them."""
    a, b = true - CAMERA_M, said - CAMERA_M
    yaw, pitch = np.subtract(yaw_pitch(b), yaw_pitch(a))
    return float(np.linalg.norm(b) / np.linalg.norm(a) - 1.0), float(yaw), float(pitch)


def _face_error(person: PersonState, found: PersonObservation) -> Array:
    head = np.subtract(ypr_from_rotation(FACING_ROBOT.T @ found.rotation), person.head)
    gaze = np.full(2, np.nan)
    if found.gaze is not None:
        gaze = np.subtract(yaw_pitch(FACING_ROBOT @ found.gaze),
                           yaw_pitch(FACING_ROBOT @ (person.look_at_m - person.position_m)))  # fmt: skip
    return np.array([*_place_error(person.position_m, found.position_m), *head, *gaze])


def _spreads(series: dict[str, list[Array]], about: Sequence[int] = ()) -> list[list[float]]:
    """Return for each column [spread of the series' means, spread about the mean of each series], robustly.

    The means are taken about 0; about their own middle in the columns `about`, whose middle is told apart.
    """
    long = _long(series)
    means: Array = np.array([np.nanmedian(rows, axis=0) for rows in long])
    within: Array = np.concatenate([rows - np.nanmedian(rows, axis=0) for rows in long])
    between = means.copy()
    between[:, list(about)] -= np.nanmedian(means[:, list(about)], axis=0)
    # Median of absolute values: a misread image in a hundred is no spread.
    return [
        [_rounded(1.4826 * float(np.nanmedian(np.abs(spread[:, k])))) for spread in (between, within)]
        for k in range(means.shape[1])
    ]


def _long(series: dict[str, list[Array]]) -> list[Array]:
    return [np.array(rows) for rows in series.values() if len(rows) >= 10]


def _middle(series: dict[str, list[Array]], column: int) -> float:
    """Return what a column is for most, as the median of the series' medians."""
    return _rounded(float(np.median([np.nanmedian(rows[:, column]) for rows in _long(series)])))


def _shape_errors(series: dict[str, list[tuple[Array, Array]]]) -> tuple[list[float], ...]:
    people = [
        (np.array([t for t, _ in rows]), np.array([s for _, s in rows])) for rows in series.values() if rows
    ]
    true, said = (np.concatenate([pair[i] for pair in people]) for i in (0, 1))
    spread = true.std(axis=0)
    mean_true, mean_said = true.mean(axis=0), said.mean(axis=0)
    covariance = ((true - mean_true) * (said - mean_said)).mean(axis=0)
    # A shape that nobody showed tells nothing about its gain.
    gain = np.where(spread > 0.02, np.clip(covariance / np.maximum(spread, 1e-3) ** 2, 0.0, 1.5), 1.0)
    offset = mean_said - gain * mean_true
    residual: list[Array] = [s - gain * t - offset for t, s in people]
    bias: Array = np.array([r.mean(axis=0) for r in residual]).std(axis=0)
    jitter = np.concatenate([r - r.mean(axis=0) for r in residual]).std(axis=0)
    assert gain.shape == (expression.N_SHAPES,)
    return tuple([_rounded(v) for v in values] for values in (gain, offset, bias, jitter))


def _correlation_s(series: dict[str, list[Array]]) -> float:
    """Return the time over which jitter fades, s: from the correlation of the distance error between two images."""
    pairs = []
    for rows in series.values():
        column: Array = np.array(rows)[:, 0]
        if len(column) >= 10:
            column = column - np.median(column)
            pairs.append(np.stack([column[:-1], column[1:]]))
    earlier, later = np.concatenate(pairs, axis=1)
    r = float(np.corrcoef(earlier, later)[0, 1])
    return _rounded(IMAGE_S / -math.log(min(max(r, 0.05), 0.98)))


def _share(series: dict[str, list[bool]]) -> list[float]:
    """Return the share of images in which something is so, and how long that lasts, s."""
    values = [v for rows in series.values() for v in rows]
    starts = sum(
        1 for rows in series.values() for k, v in enumerate(rows) if v and (k == 0 or not rows[k - 1])
    )
    count = sum(values)
    return [_rounded(count / max(len(values), 1)), _rounded(max(count, 1) / max(starts, 1) * IMAGE_S)]


def _mean(pairs: list[list[float]]) -> list[float]:
    return [_rounded(float(v)) for v in np.mean(pairs, axis=0)]


def _rounded(value: float) -> float:
    return round(float(value), 5)


if __name__ == "__main__":
    main()
