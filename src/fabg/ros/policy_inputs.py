"""Faces, gazes and hands of one image, joined into what a policy observes.

They come from nodes of their own and so at different times. Faces lead: they are held back for a moment
while gaze or hands of the same image are on their way, and then go with those nearest in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from builtin_interfaces.msg import Time
from fabg_msgs.msg import FaceArray, GazeArray, HandArray
from fabg_msgs.msg import Hand as HandMessage
from numpy.typing import NDArray
from sensor_msgs.msg import JointState

from fabg.errors import InputError
from fabg.geometry import Matrix
from fabg.perception.types import Gesture, Side
from fabg.policy.base import HandObservation, Observation, PersonObservation
from fabg.robot.model import RobotModel
from fabg.ros.convert import people_from_message
from fabg.ros.joints import positions_from_message
from fabg.ros.time import seconds

Array = NDArray[np.float64]
T = TypeVar("T")

_MEMORY = 4
_TIP = 8
"""The index finger's tip among MediaPipe's 21 joints."""
_JOINTS_AGE_S = 0.5


@dataclass(frozen=True)
class Joined:
    """An observation on its way to the policy.

    Attributes
    ----------
    observation
        Everything in the robot's base frame.
    stamp
        Capture time of the image that the faces are of.
    received_s
        When the faces came, s on the ROS clock.
    gaze_behind_s, hands_behind_s
        How much older than the faces gaze and hands are, s; None when there are none.
    """

    observation: Observation
    stamp: Time
    received_s: float
    gaze_behind_s: float | None
    hands_behind_s: float | None

    @property
    def told(self) -> dict[str, str]:
        """The same two for people to read."""
        both = {"gaze": self.gaze_behind_s, "hands": self.hands_behind_s}
        return {name: "none" if s is None else f"{s * 1e3:.0f} ms older" for name, s in both.items()}


class PolicyInputs:
    """Joins what perception says of one image.

    Parameters
    ----------
    base_from
        Returns the pose (4, 4) of a frame in the base frame at a time, s; raises InputError.
    robot
        Joint table.
    wait_s
        Faces wait for a stream of the same image for so long, s: for one that was in time the last time.
    slack_s
        Gaze and hands belong to faces when their stamps differ by at most this, s.
    """

    def __init__(
        self, base_from: Callable[[str, float], Matrix], robot: RobotModel, *, wait_s: float, slack_s: float
    ) -> None:
        self._base_from, self._robot = base_from, robot
        self._wait_s = wait_s
        self._gaze: _Stream[dict[str, Array]] = _Stream(slack_s)
        self._hands: _Stream[tuple[HandObservation, ...]] = _Stream(slack_s)
        self._joints: tuple[float, Array] | None = None
        self._waiting: tuple[Time, float, tuple[PersonObservation, ...]] | None = None
        self._last: tuple[float, float] | None = None

    def saw_faces(self, message: FaceArray, now_s: float) -> bool:
        """Take in faces; return whether they took the place of others that still waited.

        Raises
        ------
        InputError
            When a face holds NaN, or it is not known where the camera stands. The same for gaze and hands.
        """
        stamp = message.header.stamp
        people = people_from_message(message, self._base_from(message.header.frame_id, seconds(stamp)))
        replaced = self._waiting is not None
        self._waiting = stamp, now_s, people
        self._last = seconds(stamp), now_s
        return replaced

    def saw_gaze(self, message: GazeArray, now_s: float) -> None:
        """Take in where everybody looks."""
        rotation = self._base(message)[:3, :3]
        gazes = {}
        for gaze in message.gazes:
            direction = np.array([gaze.direction.x, gaze.direction.y, gaze.direction.z])
            _check_finite(f"gaze of face {gaze.face_id!r}", direction)
            gazes[gaze.face_id] = rotation @ direction
        self._gaze.add(seconds(message.header.stamp), gazes, self._in_time(message, now_s))

    def saw_hands(self, message: HandArray, now_s: float) -> None:
        """Take in hands; those of which only the place in the image is known are left out."""
        hands = hands_from_messages(message.hands, self._base(message))
        self._hands.add(seconds(message.header.stamp), hands, self._in_time(message, now_s))

    def saw_joints(self, message: JointState, now_s: float) -> None:
        """Take in joint states."""
        self._joints = now_s, positions_from_message(message, self._robot)

    @property
    def complete(self) -> bool:
        """Whether faces wait, and nothing that is worth waiting for is missing."""
        if self._waiting is None:
            return False
        stamp_s = seconds(self._waiting[0])
        return not any(stream.awaited(stamp_s) for stream in (self._gaze, self._hands))

    def take(self, now_s: float) -> Joined | None:
        """Return the faces that wait with what belongs to them, None when none wait."""
        if self._waiting is None:
            return None
        (stamp, received_s, people), self._waiting = self._waiting, None
        stamp_s = seconds(stamp)
        gazes_s, gazes = self._gaze.nearest(stamp_s) or (None, {})
        hands_s, hands = self._hands.nearest(stamp_s) or (None, ())
        people = tuple(replace(person, gaze=gazes.get(person.id)) for person in people)
        joints = self._joints[1] if self._joints and now_s - self._joints[0] <= _JOINTS_AGE_S else None
        return Joined(
            Observation(stamp_s, people, hands, joints),
            stamp,
            received_s,
            None if gazes_s is None else stamp_s - gazes_s,
            None if hands_s is None else stamp_s - hands_s,
        )

    def _base(self, message: GazeArray | HandArray) -> Matrix:
        return self._base_from(message.header.frame_id, seconds(message.header.stamp))

    def _in_time(self, message: GazeArray | HandArray, now_s: float) -> bool:
        """Tell whether waiting for a message was, or would have been, worth it."""
        if self._last is None:
            return False
        faces_s, received_s = self._last
        behind_s = faces_s - seconds(message.header.stamp)
        return behind_s < 0 or (behind_s == 0 and now_s - received_s <= self._wait_s)


class _Stream(Generic[T]):
    """The last messages of one kind."""

    def __init__(self, slack_s: float) -> None:
        self._slack_s = slack_s
        self._kept: deque[tuple[float, T]] = deque(maxlen=_MEMORY)
        self._in_time = False

    def add(self, stamp_s: float, content: T, in_time: bool) -> None:
        self._kept.append((stamp_s, content))
        self._in_time = in_time

    def awaited(self, stamp_s: float) -> bool:
        return self._in_time and all(kept_s != stamp_s for kept_s, _ in self._kept)

    def nearest(self, stamp_s: float) -> tuple[float, T] | None:
        """Return the content nearest to a stamp, with its own stamp; late once, it is not waited for again."""
        if self.awaited(stamp_s):
            self._in_time = False
        near = [kept for kept in self._kept if abs(kept[0] - stamp_s) <= self._slack_s]
        return min(near, key=lambda kept: abs(kept[0] - stamp_s)) if near else None


def hands_from_messages(
    messages: Iterable[HandMessage], base_from_camera: Matrix
) -> tuple[HandObservation, ...]:
    """Return the hands of a message whose joints are known in metres, in the robot's base frame.

    Raises
    ------
    InputError
        When a hand holds NaN, a number of joints that is neither 0 nor 21, or an unknown side or gesture.
    """
    return tuple(
        _hand(message, base_from_camera)
        for message in messages
        if message.landmarks_m and message.depth_source != HandMessage.DEPTH_UNKNOWN
    )


def _hand(message: HandMessage, base_from_camera: Matrix) -> HandObservation:
    what = f"hand {message.id!r}"
    if len(message.landmarks_m) != 21:
        raise InputError(f"{what} has {len(message.landmarks_m)} joints in metres: expected 0 or 21")
    rotation, position = base_from_camera[:3, :3], base_from_camera[:3, 3]
    tip = message.landmarks_m[_TIP]
    palm_m, tip_m, direction = (np.array([p.x, p.y, p.z]) for p in (message.position, tip, message.direction))
    _check_finite(what, palm_m, tip_m, direction, message.gesture_confidence)
    try:
        side, gesture = Side(message.side), Gesture(message.gesture)
    except ValueError as error:
        raise InputError(f"{what}: {error}; expected the constants of fabg_msgs/Hand") from None
    return HandObservation(
        id=message.id,
        person_id=message.person_id,
        side=side,
        position_m=rotation @ palm_m + position,
        tip_m=rotation @ tip_m + position,
        gesture=gesture,
        confidence=message.gesture_confidence,
        extended=message.extended,
        direction=rotation @ direction if direction.any() else None,
    )


def _check_finite(what: str, *values: Array | float) -> None:
    if not all(np.isfinite(value).all() for value in values):
        raise InputError(f"{what} holds NaN or infinity: expected numbers")
