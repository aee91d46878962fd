"""What a learnt policy is told of one moment: a row of numbers, and which of them are known.

The arrays of `fabg.policy.observation.encode`, with directions beside the positions (a gaze is an angle, and
a network should not have to learn the arctangent). Columns, with 3 people and 2 hands:

    people (3 x 69) | people_mask (3) | hands (2 x 29) | hands_mask (2) | joints (25) | joints_mask (1)

`MASK_OF` tells for each column which mask column says whether it is known; a mask says so of itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from fabg.policy.observation import HAND_FIELDS, HAND_SIZE, MAX_HANDS, MAX_PEOPLE, N_JOINTS, PERSON_SIZE

Array = NDArray[np.float32]

_BEARING = 3  # yaw, pitch, inverse distance
_PERSON = PERSON_SIZE + _BEARING
_HAND = HAND_SIZE + 2 * _BEARING
_NEAREST_M = 0.05

PEOPLE = slice(0, MAX_PEOPLE * _PERSON)
PEOPLE_MASK = slice(PEOPLE.stop, PEOPLE.stop + MAX_PEOPLE)
HANDS = slice(PEOPLE_MASK.stop, PEOPLE_MASK.stop + MAX_HANDS * _HAND)
HANDS_MASK = slice(HANDS.stop, HANDS.stop + MAX_HANDS)
JOINTS = slice(HANDS_MASK.stop, HANDS_MASK.stop + N_JOINTS)
JOINTS_MASK = slice(JOINTS.stop, JOINTS.stop + 1)
SIZE = JOINTS_MASK.stop
"""Numbers in a row."""

MASK_OF: NDArray[np.int64] = np.concatenate(
    [
        np.repeat(np.arange(PEOPLE_MASK.start, PEOPLE_MASK.stop), _PERSON),
        np.arange(PEOPLE_MASK.start, PEOPLE_MASK.stop),
        np.repeat(np.arange(HANDS_MASK.start, HANDS_MASK.stop), _HAND),
        np.arange(HANDS_MASK.start, HANDS_MASK.stop),
        np.full(N_JOINTS, JOINTS_MASK.start),
        [JOINTS_MASK.start],
    ]
)
"""The mask column of each column, shape (SIZE,)."""


def rows(arrays: Mapping[str, NDArray[np.floating]]) -> Array:
    """Return the rows of any number of moments.

    Parameters
    ----------
    arrays
        people (..., 3, 66), people_mask (..., 3), hands (..., 2, 23), hands_mask (..., 2), and, when they are
        known, joints (..., 25) and joints_mask (..., 1); as `encode` gives them.

    Returns
    -------
    (..., SIZE); what is not there is 0.
    """
    people, people_mask = np.asarray(arrays["people"]), np.asarray(arrays["people_mask"])
    hands, hands_mask = np.asarray(arrays["hands"]), np.asarray(arrays["hands_mask"])
    shape = people_mask.shape[:-1]
    out = np.zeros((*shape, SIZE), np.float32)
    palm, tip = HAND_FIELDS["position_m"], HAND_FIELDS["tip_m"]
    seen = np.concatenate([people, _bearing(people[..., :3])], axis=-1) * people_mask[..., None]
    out[..., PEOPLE] = seen.reshape(*shape, -1)
    out[..., PEOPLE_MASK] = people_mask
    held = np.concatenate([hands, _bearing(hands[..., palm]), _bearing(hands[..., tip])], axis=-1)
    out[..., HANDS] = (held * hands_mask[..., None]).reshape(*shape, -1)
    out[..., HANDS_MASK] = hands_mask
    if "joints" in arrays:
        out[..., JOINTS] = np.asarray(arrays["joints"]) * np.asarray(arrays["joints_mask"])
        out[..., JOINTS_MASK] = arrays["joints_mask"]
    return out


def people_orders() -> NDArray[np.int64]:
    """Return the columns of a row for each order of the people, (6, SIZE): who stands first means nothing."""
    blocks = np.arange(PEOPLE.stop).reshape(MAX_PEOPLE, _PERSON)
    masks = np.arange(PEOPLE_MASK.start, PEOPLE_MASK.stop)
    rest = np.arange(PEOPLE_MASK.stop, SIZE)
    orders = [np.array(order) for order in permutations(range(MAX_PEOPLE))]
    return np.stack([np.concatenate([blocks[order].ravel(), masks[order], rest]) for order in orders])


def spread_of(known: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each column, (SIZE,), over the rows (n, SIZE) in which it is known.

    People share theirs, and so do hands: who stands in which place means nothing. Masks have 0 and 1.
    """
    mean, spread = np.zeros(SIZE), np.ones(SIZE)
    for columns, masks in ((PEOPLE, PEOPLE_MASK), (HANDS, HANDS_MASK), (JOINTS, JOINTS_MASK)):
        count = masks.stop - masks.start
        values = known[:, columns].astype(np.float64).reshape(len(known), count, -1)
        there = values[known[:, masks] > 0.0]
        if len(there):
            mean[columns], spread[columns] = (
                np.tile(there.mean(axis=0), count),
                np.tile(there.std(axis=0), count),
            )
    return mean, spread


def _bearing(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return yaw (left), pitch (down) and inverse distance of points (..., 3); 0 for the origin itself."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    distance = np.sqrt(x * x + y * y + z * z)
    near = 1.0 / np.maximum(distance, _NEAREST_M)
    bearing = np.stack([np.arctan2(y, x), np.arctan2(-z, np.hypot(x, y)), near], axis=-1)
    return np.asarray(bearing * (distance > 0.0)[..., None])
