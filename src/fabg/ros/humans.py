"""Faces as ROS4HRI messages (REP-155).

Every message carries the header of the image. Points and boxes are normalised to 0..1 of the image;
what lies outside is moved to the border, and such a landmark has confidence 0.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar

import numpy as np
from fabg_msgs.msg import Blendshapes, FaceArray
from fabg_msgs.msg import Face as FaceMessage
from geometry_msgs.msg import TransformStamped
from hri_msgs.msg import (
    FacialActionUnits,
    FacialLandmarks,
    IdsList,
    NormalizedPointOfInterest2D,
    NormalizedRegionOfInterest2D,
)
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from fabg.errors import InputError
from fabg.perception.affect import Affect, AffectReader
from fabg.perception.facs import face_action_units
from fabg.perception.landmark import N_LANDMARKS
from fabg.perception.roi import aligned, cropped
from fabg.perception.types import DepthSource, Face, Faces, Frame, Roi
from fabg.ros.convert import pose_from_message, pose_to_message, transform_to_message
from fabg.ros.image import ImageConverter
from fabg.ros.time import seconds

LANDMARKS: tuple[int, ...] = (
    # 0..16 outline: right ear, right profile 1 to 7, menton, left profile 7 to 1, left ear
    234, 93, 132, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 361, 323, 454,
    # 17..21 right brow from outside to inside, 22..26 left brow from inside to outside
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    # 27..30 sellion to tip of the nose, 31..35 nostrils from right to left
    6, 195, 5, 1, 98, 97, 2, 326, 327,
    # 36..41 right eye: outside, top 1, top 2, inside, bottom 2, bottom 1
    33, 160, 158, 133, 153, 144,
    # 42..47 left eye: inside, top 2, top 1, outside, bottom 1, bottom 2
    362, 385, 387, 263, 373, 380,
    # 48..59 outer lip: right corner, top 1 to 5, left corner, bottom 5 to 1
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91,
    # 60..67 inner lip: right corner, top 1 to 3, left corner, bottom 3 to 1
    78, 82, 13, 312, 308, 317, 14, 87,
    # 68, 69 right and left pupil
    468, 473,
)  # fmt: skip
"""MediaPipe's landmark for each of the 70 slots of hri_msgs/FacialLandmarks (right: the person's own)."""


def frame_of(face_id: str) -> str:
    """Return the name of a face's TF frame."""
    return f"face_{face_id}"


def topic_of(face_id: str, what: str) -> str:
    """Return the name of one of a face's topics."""
    return f"/humans/faces/{face_id}/{what}"


def tracked_message(ids: Iterable[str], header: Header) -> IdsList:
    """Return the list of faces in sight."""
    return IdsList(header=header, ids=list(ids))


def roi_message(face: Face, size: tuple[int, int], header: Header) -> NormalizedRegionOfInterest2D:
    """Return a face's box in an image of `size` (width, height)."""
    width, height = size
    roi = face.roi
    return NormalizedRegionOfInterest2D(
        header=header,
        xmin=_unit(roi.x / width),
        ymin=_unit(roi.y / height),
        xmax=_unit((roi.x + roi.width) / width),
        ymax=_unit((roi.y + roi.height) / height),
        c=_unit(face.confidence),
    )


def landmarks_message(face: Face, size: tuple[int, int], header: Header) -> FacialLandmarks:
    """Return a face's 70 landmarks in an image of `size` (width, height)."""
    width, height = size
    # Pixel centres lie at whole numbers: the image reaches from -0.5 to width - 0.5.
    points = (face.landmarks[list(LANDMARKS), :2] + 0.5) / (width, height)
    inside = np.all((points >= 0.0) & (points <= 1.0), axis=1).tolist()
    points = np.clip(points, 0.0, 1.0)
    confidence = _unit(face.confidence)
    message = FacialLandmarks(header=header, width=width, height=height)
    message.landmarks = [
        NormalizedPointOfInterest2D(x=float(x), y=float(y), c=confidence if seen else 0.0)
        for (x, y), seen in zip(points, inside, strict=True)
    ]
    return message


def facs_message(face: Face, header: Header, affect: Affect | None = None) -> FacialActionUnits:
    """Return a face's action units; `affect` is the face as a reader that follows the person read it."""
    intensity, confidence = face_action_units(face, affect)
    return FacialActionUnits(header=header, intensity=_float32(intensity), confidence=_float32(confidence))


def blendshapes_message(face: Face, header: Header) -> Blendshapes:
    """Return a face's 52 blendshapes."""
    return Blendshapes(
        header=header,
        face_id=face.id,
        values=_float32(face.blendshapes),
        confidence=_unit(face.confidence),
    )


def faces_message(faces: Faces, header: Header) -> FaceArray:
    """Return all faces of one image."""
    width, height = faces.image_size
    message = FaceArray(header=header, image_width=width, image_height=height)
    message.faces = [
        FaceMessage(
            id=face.id,
            x=face.roi.x,
            y=face.roi.y,
            width=face.roi.width,
            height=face.roi.height,
            confidence=_unit(face.confidence),
            pose=pose_to_message(face.pose),
            blendshapes=_float32(face.blendshapes),
            landmarks_px=_float_array(face.landmarks),
            depth_source=int(face.depth_source),
        )
        for face in faces.faces
    ]
    return message


def faces_from_message(message: FaceArray) -> Faces:
    """Return the faces of a message; those without landmarks have NaN for them.

    Raises
    ------
    InputError
        When a face holds a value that is not finite, or a number of landmarks that is neither 0 nor 478.
    """
    faces = tuple(_face_from_message(face) for face in message.faces)
    return Faces(seconds(message.header.stamp), (message.image_width, message.image_height), faces)


def _face_from_message(message: FaceMessage) -> Face:
    shapes = np.asarray(message.blendshapes, dtype=np.float64)
    landmarks = np.asarray(message.landmarks_px, dtype=np.float64)
    matrix = pose_from_message(message.pose)
    if not all(np.isfinite(values).all() for values in (shapes, landmarks, matrix)):
        raise InputError(f"face {message.id!r} holds NaN or infinity")
    if landmarks.size not in (0, 3 * N_LANDMARKS):
        raise InputError(
            f"face {message.id!r} has {landmarks.size} numbers for landmarks: expected 0 or {3 * N_LANDMARKS}"
        )
    if landmarks.size == 0:
        landmarks = np.full(3 * N_LANDMARKS, np.nan)
    return Face(
        message.id,
        Roi(message.x, message.y, message.width, message.height),
        message.confidence,
        landmarks.reshape(-1, 3),
        shapes,
        matrix,
        _depth_source(message),
    )


def _depth_source(message: FaceMessage) -> DepthSource:
    try:
        return DepthSource(message.depth_source)
    except ValueError:
        raise InputError(
            f"face {message.id!r} has depth source {message.depth_source}: expected 0 to {max(DepthSource)}"
        ) from None


def face_transform(face: Face, header: Header) -> TransformStamped:
    """Return the transform from the camera's optical frame to the face's frame."""
    return transform_to_message(header.frame_id, frame_of(face.id), face.pose, header.stamp)


class FaceTopics:
    """The topics of single faces: made when a face appears, removed when its id is gone.

    Parameters
    ----------
    node
        Node that owns the publishers.
    converter
        Makes the image messages.
    """

    KINDS: ClassVar[dict[str, type]] = {
        "roi": NormalizedRegionOfInterest2D,
        "cropped": Image,
        "aligned": Image,
        "landmarks": FacialLandmarks,
        "facs": FacialActionUnits,
        "blendshapes": Blendshapes,
    }

    def __init__(self, node: Node, converter: ImageConverter) -> None:
        self._node = node
        self._converter = converter
        self._publishers: dict[str, dict[str, Any]] = {}
        self._affects = AffectReader()

    def keep(self, ids: Iterable[str]) -> None:
        """Make the topics of ids that are new, remove those of all others."""
        wanted = set(ids)
        for face_id in [known for known in self._publishers if known not in wanted]:
            for publisher in self._publishers.pop(face_id).values():
                self._node.destroy_publisher(publisher)
        for face_id in sorted(wanted - set(self._publishers)):
            self._publishers[face_id] = {
                what: self._node.create_publisher(kind, topic_of(face_id, what), 10)
                for what, kind in self.KINDS.items()
            }

    def publish(self, faces: Faces, frame: Frame, header: Header) -> None:
        """Publish what somebody listens to; a message that nobody takes is not even made."""
        # Read whether somebody listens or not: resting faces are learnt meanwhile.
        for face, affect in zip(faces.faces, self._affects.update(faces), strict=True):
            for what, publisher in self._publishers[face.id].items():
                if publisher.get_subscription_count():
                    publisher.publish(self._makers(face, affect, frame, header)[what]())

    def _makers(
        self, face: Face, affect: Affect, frame: Frame, header: Header
    ) -> dict[str, Callable[[], Any]]:
        height, width = frame.image.shape[:2]

        def image(cut: Callable[[], NDArray[np.uint8]]) -> Image:
            return self._converter.to_message(cut(), header.stamp, header.frame_id)

        return {
            "roi": partial(roi_message, face, (width, height), header),
            "cropped": partial(image, partial(cropped, frame.image, face.roi)),
            "aligned": partial(image, partial(aligned, frame.image, face.landmarks)),
            "landmarks": partial(landmarks_message, face, (width, height), header),
            "facs": partial(facs_message, face, header, affect),
            "blendshapes": partial(blendshapes_message, face, header),
        }


def _unit(value: float) -> float:
    return min(max(float(value), 0.0), 1.0)


def _float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)


def _float_array(values: NDArray[np.float64]) -> array[float]:
    """Return numbers for an unbounded float32[] field: this type is taken over without a look at each."""
    return array("f", values.astype(np.float32).tobytes())
