"""Hands as messages, and the gestures of bodies in the words of ROS4HRI (REP-155).

Every message carries the header of the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fabg_msgs.msg import Hand as HandMessage
from fabg_msgs.msg import HandArray
from geometry_msgs.msg import Point, Point32, TransformStamped, Vector3
from hri_msgs.msg import Gesture as BodyGesture
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Header

from fabg.perception.hand_geometry import hand_frame
from fabg.perception.types import Faces, Gesture, Hand, Hands, Side
from fabg.ros.convert import transform_to_message

SHOULDERS_BELOW_M = 0.20
"""The shoulder line below the sellion of a grown-up who stands upright."""


def frame_of(hand_id: str) -> str:
    """Return the name of a hand's TF frame."""
    return f"hand_{hand_id}"


def body_of(face_id: str) -> str:
    """Return the id of the body that a face belongs to."""
    return f"b{face_id}"


def topic_of(body_id: str) -> str:
    """Return the name of the topic with a body's gestures."""
    return f"/humans/bodies/{body_id}/gesture"


def hands_message(hands: Hands, header: Header) -> HandArray:
    """Return all hands of one image."""
    return HandArray(header=header, hands=[hand_message(hand, header) for hand in hands.hands])


def hand_message(hand: Hand, header: Header) -> HandMessage:
    """Return one hand."""
    message = HandMessage(
        header=header,
        id=hand.id,
        person_id=hand.person_id,
        side=int(hand.side),
        gesture=int(hand.gesture),
        gesture_confidence=hand.gesture_confidence,
        extended=hand.extended,
        confidence=hand.confidence,
        depth_source=int(hand.depth_source),
    )
    message.landmarks_px = [Point32(x=x, y=y) for x, y in hand.landmarks_px.tolist()]
    message.landmarks_m = [Point32(x=x, y=y, z=z) for x, y, z in hand.landmarks_m.tolist()]
    message.position = Point(**_xyz(hand.position))
    if hand.direction is not None:
        message.direction = Vector3(**_xyz(hand.direction))
    return message


def hand_transform(hand: Hand, header: Header) -> TransformStamped:
    """Return the transform from the camera's optical frame to the hand's frame."""
    matrix = hand_frame(hand.landmarks_m, hand.side)
    return transform_to_message(header.frame_id, frame_of(hand.id), matrix, header.stamp)


def body_gestures(hands: Hands, faces: Faces | None) -> dict[str, int | None]:
    """Return what the body of each owner of a hand does, as a constant of hri_msgs/Gesture.

    Waving goes before raised hands; a hand is raised when its palm is above the shoulder line of its
    owner. None says that the vocabulary has no word for it.
    """
    heads = {face.id: float(face.pose[1, 3]) for face in faces.faces} if faces else {}
    by_owner: dict[str, list[Hand]] = {}
    for hand in hands.hands:
        if hand.person_id:
            by_owner.setdefault(hand.person_id, []).append(hand)
    return {body_of(owner): _word(theirs, heads.get(owner)) for owner, theirs in by_owner.items()}


def _word(hands: list[Hand], head_y_m: float | None) -> int | None:
    if any(hand.gesture == Gesture.WAVE for hand in hands):
        return int(BodyGesture.WAVING)
    if head_y_m is None:
        return None
    # Down is the image's: the robot's camera is taken to stand upright.
    raised = {hand.side for hand in hands if hand.position[1] < head_y_m + SHOULDERS_BELOW_M}
    words = {
        frozenset({Side.LEFT}): BodyGesture.LEFT_HAND_RAISED,
        frozenset({Side.RIGHT}): BodyGesture.RIGHT_HAND_RAISED,
        frozenset({Side.LEFT, Side.RIGHT}): BodyGesture.BOTH_HANDS_RAISED,
    }
    word = words.get(frozenset(raised))
    return None if word is None else int(word)


class BodyTopics:
    """The gesture topics of bodies: made when a body appears, removed when it is gone.

    Parameters
    ----------
    node
        Node that owns the publishers.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publishers: dict[str, Any] = {}

    def keep(self, body_ids: Iterable[str]) -> None:
        """Make the topics of bodies that are new, remove those of all others."""
        wanted = set(body_ids)
        for body_id in [known for known in self._publishers if known not in wanted]:
            self._node.destroy_publisher(self._publishers.pop(body_id))
        for body_id in sorted(wanted - set(self._publishers)):
            self._publishers[body_id] = self._node.create_publisher(BodyGesture, topic_of(body_id), 10)

    def publish(self, words: Mapping[str, int | None], header: Header) -> None:
        """Publish what bodies do, where there is a word for it."""
        for body_id, word in words.items():
            if word is not None and body_id in self._publishers:
                self._publishers[body_id].publish(BodyGesture(header=header, gesture=word))


def _xyz(vector: NDArray[Any]) -> dict[str, float]:
    return dict(zip("xyz", vector.tolist(), strict=True))
