"""Gaze, looks and engaged persons as messages: fabg_msgs/GazeArray, TF ``gaze_<id>``, ROS4HRI (REP-155)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from fabg_msgs.msg import FaceGaze, GazeArray
from geometry_msgs.msg import TransformStamped
from hri_msgs.msg import EngagementLevel
from hri_msgs.msg import Gaze as GazeMessage
from rclpy.node import Node
from std_msgs.msg import Bool, Header, String

from fabg.geometry import Matrix, pose
from fabg.perception.types import Engagement, Face, Gaze, Look
from fabg.ros.convert import transform_to_message
from fabg.ros.node import LATCHED, RELIABLE


def gazes_message(gazes: Iterable[Gaze], looks: Iterable[Look], header: Header) -> GazeArray:
    """Return where everybody looks in one image."""
    targets = {look.sender: look.receiver for look in looks}
    message = GazeArray(header=header)
    message.gazes = [_gaze(gaze, targets.get(gaze.face_id)) for gaze in gazes]
    return message


def _gaze(gaze: Gaze, target: str | None) -> FaceGaze:
    message = FaceGaze(
        face_id=gaze.face_id,
        eye_yaw=gaze.eye_yaw_rad,
        eye_pitch=gaze.eye_pitch_rad,
        closed_left=gaze.closed_left,
        closed_right=gaze.closed_right,
        confidence=gaze.confidence,
        has_target=target is not None,
        target=target or "",
    )
    message.origin.x, message.origin.y, message.origin.z = (float(v) for v in gaze.origin)
    message.direction.x, message.direction.y, message.direction.z = (float(v) for v in gaze.direction)
    return message


def look_message(look: Look, header: Header) -> GazeMessage:
    """Return one look; an empty id is the robot."""
    return GazeMessage(header=header, sender=look.sender, receiver=look.receiver)


def gaze_frame_of(face_id: str) -> str:
    """Return the name of the TF frame of a face's gaze."""
    return f"gaze_{face_id}"


def gaze_pose(gaze: Gaze, face: Face) -> Matrix:
    """Return the frame of a gaze in the camera's optical frame, 4 x 4, m.

    Optical convention: z along the gaze, y down and x right as the person sees it.
    """
    forward = gaze.direction
    down = -face.pose[:3, 2]
    right = np.cross(down, forward)
    length = float(np.linalg.norm(right))
    if length < 1e-6:  # looks along the own neck: any right will do, the head's own is at hand
        right, length = -face.pose[:3, 1], 1.0
        right = right - (right @ forward) * forward
        length = float(np.linalg.norm(right))
    right = right / length
    return pose(np.column_stack([right, np.cross(forward, right), forward]), gaze.origin)


def gaze_transform(gaze: Gaze, face: Face, header: Header) -> TransformStamped:
    """Return the transform from the camera's optical frame to the frame of a gaze."""
    return transform_to_message(
        header.frame_id, gaze_frame_of(gaze.face_id), gaze_pose(gaze, face), header.stamp
    )


def person_of(face_id: str) -> str:
    """Return the id of the person whom nobody knows but by this face."""
    return f"anonymous_person_{face_id}"


class PersonTopics:
    """The topics of persons: made when a face appears, removed when it is gone.

    Each face is a person of its own, and anonymous: who somebody is over time is for a person manager
    to say, and where one runs these topics are its own.

    Parameters
    ----------
    node
        Node that owns the publishers.
    """

    KINDS: ClassVar[dict[str, tuple[type, Any]]] = {
        "face_id": (String, LATCHED),
        "anonymous": (Bool, LATCHED),
        "engagement_status": (EngagementLevel, RELIABLE),
    }

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publishers: dict[str, dict[str, Any]] = {}

    def keep(self, face_ids: Iterable[str]) -> None:
        """Make the topics of faces that are new, and say who they are; remove those of all others."""
        wanted = set(face_ids)
        for face_id in [known for known in self._publishers if known not in wanted]:
            for publisher in self._publishers.pop(face_id).values():
                self._node.destroy_publisher(publisher)
        for face_id in sorted(wanted - set(self._publishers)):
            made: dict[str, Any] = {
                what: self._node.create_publisher(
                    kind, f"/humans/persons/{person_of(face_id)}/{what}", quality
                )
                for what, (kind, quality) in self.KINDS.items()
            }
            self._publishers[face_id] = made
            made["face_id"].publish(String(data=face_id))
            made["anonymous"].publish(Bool(data=True))

    def publish(self, levels: Mapping[str, Engagement], header: Header) -> None:
        """Publish how engaged everybody is, by face id."""
        for face_id, level in levels.items():
            message = EngagementLevel(header=header, level=int(level))
            self._publishers[face_id]["engagement_status"].publish(message)
