"""What counts as an answer, against the geometry of the eyes and the retargeting."""

import math

import numpy as np
import pytest

from fabg import expression
from fabg.perception.types import Gesture, Side
from fabg.policy.attention import answer_shapes
from fabg.robot.gaze import look_at
from fabg.robot.model import load_robot
from fabg.robot.retarget import Retargeter
from fabg.social.answers import (
    HOLD_S,
    SHARE,
    VERGENCE_RAD,
    Judge,
    Look,
    answered,
    candidates,
    share_shown,
    wanted_face,
)
from fabg.social.avatar.poses import shapes_of
from fabg.social.robot_body import EyeGeometry
from fabg.social.stage import TICK_S, RobotState
from tests.social.scenes import hand, person, scene

ROBOT = load_robot()
RETARGETER = Retargeter(ROBOT)
EYES = EyeGeometry(ROBOT)
SMILE = answer_shapes(
    shapes_of(mouthSmileLeft=0.8, mouthSmileRight=0.8, cheekSquintLeft=0.5, cheekSquintRight=0.5)
)
NOWHERE = np.array([0.9, 0.0, 0.1])


def state(vector):
    joints = RETARGETER.to_joints(vector)
    return RobotState(joints, joints, joints, *EYES.gaze_of(joints))


def looking_at(point):
    return state(look_at(point, ROBOT, head_share=0.4).into(expression.neutral()))


def showing(shapes):
    vector = expression.neutral()
    vector[: expression.N_SHAPES] = shapes
    return state(vector)


@pytest.mark.parametrize("off_deg", [0.0, 2.9, 3.1])
@pytest.mark.parametrize("way", [(0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_a_look_may_be_off_by_three_degrees(off_deg, way):
    eyes = np.array([0.0928, 0.0, 0.0863])
    ahead = np.array([1.0, 0.0, 0.0])
    turned = math.cos(math.radians(off_deg)) * ahead + math.sin(math.radians(off_deg)) * np.array(way)
    # Seen from far away both eyes turn by the same angle.
    assert answered(Look(), eyes + 50.0 * ahead, looking_at(eyes + 50.0 * turned), EYES) == (off_deg < 3.0)


def test_a_near_finger_needs_both_eyes_to_meet_on_it():
    near, behind = np.array([0.33, 0.03, 0.08]), np.array([0.7, 0.083, 0.07])
    wanted = Look(vergence_rad=VERGENCE_RAD)
    assert answered(wanted, near, looking_at(near), EYES)
    assert not answered(wanted, near, looking_at(behind), EYES), "the direction alone is not enough"
    assert answered(Look(), near, looking_at(behind), EYES)


def test_the_share_of_a_face_is_zero_at_rest_and_one_when_mirrored():
    wanted = wanted_face(SMILE, RETARGETER)
    assert share_shown(wanted, showing(np.zeros(52))) == pytest.approx(0.0)
    assert share_shown(wanted, showing(SMILE)) == pytest.approx(1.0)
    assert share_shown(wanted, showing(0.5 * SMILE)) == pytest.approx(0.5)
    moved = {ROBOT.names[i] for i in wanted.rows}
    assert moved == {"corner_vertical_left", "corner_vertical_right", "cheek_left", "cheek_right"}


def test_other_joints_do_not_help_and_do_not_harm():
    wanted = wanted_face(SMILE, RETARGETER)
    assert share_shown(wanted, showing(shapes_of(jawOpen=1.0, browInnerUp=1.0))) == pytest.approx(0.0)
    assert share_shown(wanted, showing(SMILE + shapes_of(jawOpen=1.0))) == pytest.approx(1.0)


def test_shapes_that_move_nothing_cannot_be_wanted():
    with pytest.raises(ValueError, match="none of the robot's joints"):
        wanted_face(shapes_of(tongueOut=1.0), RETARGETER)


def judged(judge, states):
    """Return in which tick the judge decides, and what."""
    for k, robot in enumerate(states):
        found = judge.see(k * TICK_S, NOWHERE, robot)
        if found is not None:
            return k, found
    return None


def test_an_answer_must_last_and_counts_from_its_beginning():
    right, wrong = looking_at(NOWHERE), looking_at(NOWHERE + np.array([0, 0.3, 0]))
    hold = round(HOLD_S / TICK_S)
    states = [wrong] * 3 + [right] * hold + [wrong] + [right] * 20
    assert judged(Judge(Look(), EYES), states) == (
        3 + hold + 1 + hold,
        pytest.approx((3 + hold + 1) * TICK_S),
    )


def test_a_smile_that_was_there_before_is_no_answer_until_it_was_left():
    wanted = wanted_face(SMILE, RETARGETER)
    full, weak, rest = showing(SMILE), showing(0.6 * SMILE), showing(0.2 * SMILE)
    assert judged(Judge(wanted, EYES), [full] * 50) is None
    assert judged(Judge(wanted, EYES), [full] * 5 + [weak] * 5 + [full] * 20) is None
    assert judged(Judge(wanted, EYES), [full] * 5 + [rest] * 5 + [full] * 20)[1] == pytest.approx(10 * TICK_S)


@pytest.mark.parametrize("share", [SHARE - 0.02, SHARE + 0.02])
def test_seventy_per_cent_of_the_way_are_enough(share):
    wanted = wanted_face(SMILE, RETARGETER)
    states = [showing(np.zeros(52))] + [showing(share * SMILE)] * 20
    assert (judged(Judge(wanted, EYES), states) is not None) == (share >= SHARE)


def test_candidates_are_all_faces_and_palms_but_the_target():
    palm = (0.55, -0.1, 0.1)
    first = person(hands=[hand(1003, palm, shape="point", gesture=Gesture.POINTING)])
    second = person(
        seed=1004, at=(1.1, -0.4, 0.1), name="p1", hands=[hand(1004, (0.8, -0.2, 0.0), side=Side.LEFT)]
    )
    stage = scene(first, second)
    everything = [first.position_m, np.array(palm), second.position_m, np.array((0.8, -0.2, 0.0))]
    np.testing.assert_allclose(candidates(stage), everything)
    np.testing.assert_allclose(candidates(stage, second.position_m), [*everything[:2], everything[3]])
    np.testing.assert_allclose(candidates(stage, first.hands[0].tip_m), [everything[0], *everything[2:]])
    np.testing.assert_allclose(candidates(stage, second.hands[0].pose[:3, 3]), everything[:3])
