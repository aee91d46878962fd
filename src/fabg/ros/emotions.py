"""Emotions as messages, and the pictures of faces that they are read from."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from fabg_msgs.msg import Emotion as EmotionMessage
from fabg_msgs.msg import EmotionArray
from hri_msgs.msg import Expression
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from fabg.errors import InputError
from fabg.perception.types import Emotion, Face
from fabg.ros.humans import topic_of
from fabg.ros.image import ImageConverter
from fabg.ros.node import NEWEST_ONLY
from fabg.ros.time import seconds


def expression_message(emotion: Emotion, header: Header) -> Expression:
    """Return one face's expression; its text is empty when the evidence is too weak."""
    return Expression(
        header=header,
        expression=emotion.label,
        valence=emotion.valence,
        arousal=emotion.arousal,
        confidence=emotion.confidence,
    )


def emotions_message(emotions: Iterable[Emotion], header: Header) -> EmotionArray:
    """Return what all faces of one image express."""
    message = EmotionArray(header=header)
    message.emotions = [
        EmotionMessage(
            face_id=emotion.face_id,
            label=emotion.label,
            confidence=emotion.confidence,
            probabilities=emotion.probabilities.astype(np.float32),
            valence=emotion.valence,
            arousal=emotion.arousal,
            smile=emotion.smile,
            surprise=emotion.surprise,
        )
        for emotion in emotions
    ]
    return message


class FaceLinks:
    """What is needed for each face: a subscription of its picture, a publisher of its expression.

    Both are made when a face appears and removed when it is gone. Only the newest picture of a face is
    kept, in memory, and it is dropped with the face.

    Parameters
    ----------
    node
        Node that owns them.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._converter = ImageConverter()
        self._links: dict[str, tuple[Any, Any]] = {}
        self._pictures: dict[str, Image] = {}

    def keep(self, ids: Iterable[str], pictures: bool = True) -> None:
        """Make the links of ids that are new, remove those of all others; subscribe only with `pictures`."""
        wanted = set(ids)
        for face_id in [known for known in self._links if known not in wanted]:
            publisher, subscription = self._links.pop(face_id)
            self._node.destroy_publisher(publisher)
            if subscription is not None:
                self._node.destroy_subscription(subscription)
            self._pictures.pop(face_id, None)
        for face_id in sorted(wanted - set(self._links)):
            publisher = self._node.create_publisher(Expression, topic_of(face_id, "expression"), 10)
            subscription = None
            if pictures:
                store = partial(self._pictures.__setitem__, face_id)
                topic = topic_of(face_id, "aligned")
                subscription = self._node.create_subscription(Image, topic, store, NEWEST_ONLY)
            self._links[face_id] = publisher, subscription

    def publish(self, emotion: Emotion, header: Header) -> None:
        """Publish a face's expression."""
        publisher, _ = self._links[emotion.face_id]
        publisher.publish(expression_message(emotion, header))

    def picture(self, face: Face, stamp_s: float, max_age_s: float) -> NDArray[np.uint8] | None:
        """Return the newest picture of a face, RGB; None when none came or it is too old.

        A picture is handed out once: reading it again would tell nothing new.

        Raises
        ------
        InputError
            When the picture's encoding or layout cannot be used.
        """
        message = self._pictures.pop(face.id, None)
        if message is None or abs(seconds(message.header.stamp) - stamp_s) > max_age_s:
            return None
        try:
            return self._converter.to_rgb(message)
        except InputError as error:
            raise InputError(f"picture of face {face.id!r}: {error}") from error
