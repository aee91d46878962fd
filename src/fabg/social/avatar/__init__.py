"""Pictures of people with exact ground truth.

    camera = Camera.from_fov(640, 480, 60)
    with Studio(camera) as studio:
        face = FacePose(facing((0.1, 0.0, 0.9), yaw_rad=0.2), shapes_of(jawOpen=0.4), gaze=np.zeros(3))
        picture = studio.render([Actor(Person.random(3), face)], seed=7)
    picture.image, picture.depth, picture.faces[0].gaze

Everything is in the camera's optical frame (x right, y down, z forward), m; "left" is the person's
own. The same arguments give the same picture, bit by bit, on one machine.
"""

from fabg.perception.types import Side
from fabg.social.avatar.people import FIRST_REPORT_SEED, Person
from fabg.social.avatar.poses import (
    FRONTAL,
    HAND_SHAPES,
    Actor,
    EyeAngles,
    FacePose,
    Fingers,
    HandPose,
    facing,
    hand_at,
    hand_shape,
    shapes_of,
)
from fabg.social.avatar.scene import Background, Lens, Light
from fabg.social.avatar.studio import SIZE_FACTOR, FaceTruth, HandTruth, Picture, Studio

__all__ = [
    "FIRST_REPORT_SEED", "FRONTAL", "HAND_SHAPES", "SIZE_FACTOR", "Actor", "Background", "EyeAngles", "FacePose",
    "FaceTruth", "Fingers", "HandPose", "HandTruth", "Lens", "Light", "Person", "Picture", "Side", "Studio", "facing",
    "hand_at", "hand_shape", "shapes_of",
]  # fmt: skip
