"""Messages to dataclasses and back."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from fabg_msgs.msg import ExpressionChunk, FaceArray
from geometry_msgs.msg import Pose, TransformStamped

from fabg import expression
from fabg.errors import CommandRefused, InputError
from fabg.geometry import Matrix, pose, quaternion_from_rotation, rotation_from_quaternion
from fabg.policy.base import Chunk, PersonObservation
from fabg.ros.time import seconds, stamp


def chunk_to_message(chunk: Chunk, origin: Time) -> ExpressionChunk:
    """Return the message of a chunk; `origin` is the stamp of the observation behind it."""
    message = ExpressionChunk(step_s=chunk.dt_s, length=len(chunk.values), source=chunk.source)
    message.header.stamp = origin
    message.start = stamp(chunk.t0_s)
    message.values = chunk.values.astype(np.float32).ravel().tolist()
    return message


def chunk_from_message(message: ExpressionChunk) -> Chunk:
    """Return the chunk of a message.

    Raises
    ------
    CommandRefused
        When the message is empty, its length does not fit its values, or a value is not finite.
    """
    values = np.asarray(message.values, dtype=np.float64)
    if message.length < 1 or values.size != message.length * expression.SIZE:
        raise CommandRefused(
            f"chunk says length {message.length} but holds {values.size} values: "
            f"expected length >= 1 and length x {expression.SIZE} values"
        )
    rows = np.array([expression.checked(row) for row in values.reshape(message.length, expression.SIZE)])
    return Chunk(rows, seconds(message.start), message.step_s, message.source)


def people_from_message(message: FaceArray, base_from_camera: Matrix) -> tuple[PersonObservation, ...]:
    """Return the people of a face message in the robot's base frame; NaN is refused.

    Raises
    ------
    InputError
        When a face has a value that is not finite.
    """
    people = []
    for face in message.faces:
        camera_from_head = pose_from_message(face.pose)
        shapes = np.asarray(face.blendshapes, dtype=np.float64)
        if not (np.isfinite(shapes).all() and np.isfinite(camera_from_head).all()):
            raise InputError(f"face {face.id!r} holds NaN or infinity")
        head = base_from_camera @ camera_from_head
        people.append(PersonObservation(face.id, shapes, head[:3, 3], head[:3, :3], face.confidence))
    return tuple(people)


def pose_to_message(matrix: Matrix) -> Pose:
    """Return the message of a 4 x 4 pose."""
    message = Pose()
    p, q = message.position, message.orientation
    p.x, p.y, p.z = (float(v) for v in matrix[:3, 3])
    q.x, q.y, q.z, q.w = quaternion_from_rotation(matrix[:3, :3])
    return message


def pose_from_message(message: Pose) -> Matrix:
    """Return the 4 x 4 pose of a message.

    Raises
    ------
    InputError
        When the quaternion is (close to) zero.
    """
    q = (message.orientation.x, message.orientation.y, message.orientation.z, message.orientation.w)
    if not np.linalg.norm(q) > 1e-6:
        raise InputError(f"orientation {q} is not a rotation: expected a unit quaternion")
    return pose(rotation_from_quaternion(q), (message.position.x, message.position.y, message.position.z))


def transform_to_message(parent: str, child: str, matrix: Matrix, at: Time) -> TransformStamped:
    """Return the transform message of the pose (4, 4) of `child` in `parent`."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = at
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = (float(v) for v in matrix[:3, 3])
    q.x, q.y, q.z, q.w = quaternion_from_rotation(matrix[:3, :3])
    return message


def transform_from_message(message: TransformStamped) -> tuple[str, str, Matrix, float]:
    """Return (parent, child, pose (4, 4), stamp in s) of a transform message."""
    t, q = message.transform.translation, message.transform.rotation
    rotation = rotation_from_quaternion((q.x, q.y, q.z, q.w))
    matrix = pose(rotation, (t.x, t.y, t.z))
    return message.header.frame_id, message.child_frame_id, matrix, seconds(message.header.stamp)
