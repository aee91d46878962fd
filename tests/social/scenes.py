"""Scenes made by hand, for the tests of this folder."""

from functools import cache

import numpy as np

from fabg.geometry import pose
from fabg.perception.types import Gesture, Side
from fabg.social.avatar import SIZE_FACTOR
from fabg.social.avatar.body_asset import load_body
from fabg.social.avatar.figure import Figure
from fabg.social.avatar.hand_model import HandModel
from fabg.social.avatar.people import Person
from fabg.social.avatar.poses import hand_shape, shapes_of
from fabg.social.stage import HandState, PersonState, SceneState

ROBOTS_EYES = (0.093, 0.0, 0.086)


@cache
def index_tip(seed, side, shape):
    """Where this person's index finger ends, in the hand frame, m: fingers differ by centimetres."""
    body = load_body()
    model = HandModel(body, Figure(Person.random(seed), body).vertices, side)
    return SIZE_FACTOR * model.skinned(hand_shape(shape), model.forearm)[1][8]


def hand(
    seed, at, *, side=Side.RIGHT, fingers_to=(0, 0, 1), palm_to=(-1, 0, 0), shape="open", gesture=Gesture.NONE
):
    """A hand held out to the robot."""
    x, out = np.array(fingers_to, float), -np.array(palm_to, float)
    y = np.cross(out, x)
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    frame = pose(np.stack([x, y, np.cross(x, y)], axis=1), at)
    tip = frame[:3, :3] @ index_tip(seed, side, shape) + frame[:3, 3]
    return HandState(side, frame, shape, gesture, True, tip, x if shape == "point" else None)


def person(
    seed=1003, at=(0.9, 0.0, 0.1), *, head=(0.0, 0.0, 0.0), look=ROBOTS_EYES, hands=(), name="p0", **shapes
):
    """Somebody who looks at the robot."""
    return PersonState(name, seed, np.array(at), head, shapes_of(**shapes), np.array(look), tuple(hands))


def scene(*people, time_s=0.0):
    """These people."""
    return SceneState(time_s, people)
