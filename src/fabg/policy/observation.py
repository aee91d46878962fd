"""An observation as arrays of fixed size: what is missing is masked, never mistaken for zero.

    arrays = encode(observation, now_s=observation.stamp_s + 0.04)
    arrays["people"][0], arrays["people_mask"][0], arrays["age_s"]

All values are float32, in the robot's base frame, m and rad. Rows without anybody are 0 and their mask is 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.perception.types import Gesture, Side
from fabg.policy.base import HandObservation, Observation, PersonObservation

Array = NDArray[np.float32]

MAX_PEOPLE = 3
MAX_HANDS = 2
N_JOINTS = 25

PERSON_FIELDS: Mapping[str, slice] = {
    "position_m": slice(0, 3),
    "forward": slice(3, 6),
    "left": slice(6, 9),
    "gaze": slice(9, 12),
    "gaze_known": slice(12, 13),
    "confidence": slice(13, 14),
    "shapes": slice(14, 14 + expression.N_SHAPES),
}
"""Columns of a person's row: `forward` and `left` are axes of the head; an unknown gaze is 0 with `gaze_known` 0."""
PERSON_SIZE = 14 + expression.N_SHAPES

_N_GESTURES = len(Gesture)
HAND_FIELDS: Mapping[str, slice] = {
    "position_m": slice(0, 3),
    "tip_m": slice(3, 6),
    "direction": slice(6, 9),
    "points": slice(9, 10),
    "confidence": slice(10, 11),
    "extended": slice(11, 12),
    "right": slice(12, 13),
    "gesture": slice(13, 13 + _N_GESTURES),
}
"""Columns of a hand's row: `right` is 1 for a right hand, -1 for a left one, 0 when unknown; `gesture` is one-hot."""
HAND_SIZE = 13 + _N_GESTURES

SHAPES: Mapping[str, tuple[int, ...]] = {
    "people": (MAX_PEOPLE, PERSON_SIZE),
    "people_mask": (MAX_PEOPLE,),
    "hands": (MAX_HANDS, HAND_SIZE),
    "hands_mask": (MAX_HANDS,),
    "joints": (N_JOINTS,),
    "joints_mask": (1,),
    "seen": (1,),
    "age_s": (1,),
}
"""Shape of each array of `encode`."""

_RIGHT = {Side.RIGHT: 1.0, Side.LEFT: -1.0}


def encode(observation: Observation | None, now_s: float = 0.0) -> dict[str, Array]:
    """Return the arrays of `SHAPES`.

    Parameters
    ----------
    observation
        What is known; None when nothing has been seen yet: everything is 0, `seen` too.
    now_s
        Present time on the clock of the stamps, s; `age_s` is the age of the image at that time.

    Notes
    -----
    The first `MAX_PEOPLE` people are kept in their order; of the hands the extended ones come first.
    """
    arrays = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    if observation is None:
        return arrays
    arrays["seen"][0] = 1.0
    arrays["age_s"][0] = now_s - observation.stamp_s
    for row, person in zip(arrays["people"], observation.people, strict=False):
        _put_person(row, person)
    arrays["people_mask"][: len(observation.people)] = 1.0
    hands = observation.hands
    if len(hands) > 1:
        hands = tuple(sorted(hands, key=lambda hand: not hand.extended))
    for row, hand in zip(arrays["hands"], hands, strict=False):
        _put_hand(row, hand)
    arrays["hands_mask"][: len(hands)] = 1.0
    if observation.joint_positions is not None:
        arrays["joints"][:] = observation.joint_positions
        arrays["joints_mask"][0] = 1.0
    return arrays


def _put_person(row: Array, person: PersonObservation) -> None:
    row[0:3] = person.position_m
    row[3:6] = person.rotation[:, 0]
    row[6:9] = person.rotation[:, 1]
    if person.gaze is not None:
        row[9:12] = person.gaze
        row[12] = 1.0
    row[13] = person.confidence
    row[14:] = person.blendshapes


def _put_hand(row: Array, hand: HandObservation) -> None:
    row[0:3] = hand.position_m
    row[3:6] = hand.tip_m
    if hand.direction is not None:
        row[6:9] = hand.direction
        row[9] = 1.0
    row[10] = hand.confidence
    row[11] = hand.extended
    row[12] = _RIGHT.get(hand.side, 0.0)
    row[13 + hand.gesture] = 1.0
