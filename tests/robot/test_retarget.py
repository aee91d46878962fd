"""Expression to joints and back, against the table of what each joint is for."""

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg import expression
from fabg.errors import CommandRefused, ConfigError
from fabg.paths import share_dir
from fabg.robot.bounded import least_squares
from fabg.robot.model import load_robot
from fabg.robot.retarget import Retargeter, load_chains

ROBOT = load_robot()
RETARGETER = Retargeter(ROBOT)
SPAN = ROBOT.upper - ROBOT.lower
SHIPPED = share_dir() / "config" / "retarget.yaml"

# What drives each joint to its upper and to its lower limit: the meaning of the robot's positive directions.
COVERAGE = {
    "neck_yaw": ({"headYaw": 1.05}, {"headYaw": -1.05}),
    "neck_pitch": ({"headPitch": 0.6}, {"headPitch": -0.6}),
    "neck_roll": ({"headRoll": 0.45}, {"headRoll": -0.45}),
    "pucker": ({"mouthFunnel": 1.0}, {"mouthPressLeft": 0.5, "mouthPressRight": 0.5}),
    "jaw": ({"jawOpen": 1.0}, {}),
}
for side in ("Left", "Right"):
    COVERAGE |= {
        f"eye_{side.lower()}_yaw": ({f"eyeYaw{side}": 0.6}, {f"eyeYaw{side}": -0.6}),
        f"eye_{side.lower()}_pitch": ({f"eyePitch{side}": 0.45}, {f"eyePitch{side}": -0.45}),
        f"lid_{side.lower()}": ({f"eyeBlink{side}": 1.0}, {f"eyeWide{side}": 1.0}),
        f"brow_inner_{side.lower()}": ({"browInnerUp": 1.0}, {f"browDown{side}": 1.0}),
        f"brow_outer_{side.lower()}": ({f"browOuterUp{side}": 1.0}, {f"browDown{side}": 1.0}),
        f"cheek_{side.lower()}": ({f"cheekSquint{side}": 1.0}, {"cheekPuff": 1.0}),
        f"lip_upper_{side.lower()}": ({f"mouthUpperUp{side}": 1.0}, {"mouthRollUpper": 1.0}),
        f"lip_lower_{side.lower()}": ({f"mouthLowerDown{side}": 1.0}, {"mouthRollLower": 1.0}),
        f"corner_vertical_{side.lower()}": ({f"mouthSmile{side}": 1.0}, {f"mouthFrown{side}": 1.0}),
        f"corner_horizontal_{side.lower()}": ({f"mouthStretch{side}": 1.0}, {"mouthPucker": 1.0}),
    }

angles = st.floats(-1.5, 1.5)
vectors = st.tuples(
    st.lists(st.floats(0.0, 1.0), min_size=52, max_size=52), st.lists(angles, min_size=9, max_size=9)
).map(lambda parts: np.array(parts[0] + parts[1]))


def test_the_table_names_every_joint():
    assert set(COVERAGE) == set(ROBOT.names)


@pytest.mark.parametrize("joint", ROBOT.names)
def test_each_joint_reaches_its_whole_range(joint):
    i = ROBOT.index[joint]
    for named, limit in zip(COVERAGE[joint], (ROBOT.upper[i], ROBOT.lower[i]), strict=True):
        reached = RETARGETER.to_joints(expression.from_mapping(named))[i]
        assert abs(reached - limit) <= 0.05 * SPAN[i]


def test_the_resting_face_is_the_neutral_pose():
    assert np.array_equal(RETARGETER.to_joints(expression.neutral()), ROBOT.neutral)


@settings(deadline=None)
@given(vectors)
def test_commands_lie_within_the_limits_and_what_a_pose_shows_is_kept(vector):
    joints = RETARGETER.to_joints(vector)
    assert (joints >= ROBOT.lower).all() and (joints <= ROBOT.upper).all()
    again = RETARGETER.to_joints(RETARGETER.to_expression(joints))
    assert (np.abs(again - joints) <= 1e-6 * SPAN).all()


def test_round_trip_of_random_poses():
    """Joints with shapes of their own return exactly; those that share a one-sided shape come close."""
    rng = np.random.default_rng(1)
    shared = [i for i, n in enumerate(ROBOT.names) if n.startswith(("brow", "lip"))]
    own = [i for i in range(len(ROBOT.names)) if i not in shared]
    errors = []
    for _ in range(300):
        joints = rng.uniform(ROBOT.lower, ROBOT.upper)
        again = RETARGETER.to_joints(RETARGETER.to_expression(joints))
        errors.append(np.abs(again - joints) / SPAN)
    errors = np.array(errors)
    assert errors[:, own].max() < 1e-6
    assert errors[:, shared].mean() < 0.06


def test_brows_and_lips_return_exactly_where_left_and_right_agree():
    rng = np.random.default_rng(2)
    for _ in range(100):
        joints = ROBOT.neutral.copy()
        for name in ("brow", "lip_upper", "lip_lower"):
            rows = [i for i, n in enumerate(ROBOT.names) if n.startswith(name)]
            # One sign for all of a group: nothing has to be up on one side and down on the other.
            joints[rows] = rng.choice([-1.0, 1.0]) * np.repeat(rng.uniform(0.0, 0.5), len(rows))
        again = RETARGETER.to_joints(RETARGETER.to_expression(joints))
        assert np.abs(again - joints).max() < 1e-6


@pytest.mark.parametrize("shape", [s for s in expression.SHAPES if s.endswith("Left") and s[:3] != "jaw"])
def test_left_and_right_are_mirror_images(shape):
    vector = expression.from_mapping({shape: 0.7})
    left, right = RETARGETER.to_joints(vector), RETARGETER.to_joints(expression.mirrored(vector))
    for i, name in enumerate(ROBOT.names):
        partner = name.replace("_left", "_X").replace("_right", "_left").replace("_X", "_right")
        assert left[i] == pytest.approx(right[ROBOT.index[partner]])


def test_the_eyes_converge_on_their_own_angles_and_ignore_the_shapes():
    vector = expression.from_mapping({"eyeYawLeft": -0.1, "eyeYawRight": 0.1, "eyeLookInLeft": 1.0})
    joints = RETARGETER.to_joints(vector)
    assert joints[ROBOT.index["eye_left_yaw"]] == pytest.approx(-0.1)
    assert joints[ROBOT.index["eye_right_yaw"]] == pytest.approx(0.1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("entry", ["jawOpen", "headYaw", "tongueOut"])
def test_no_nan_gets_through(bad, entry):
    vector = expression.neutral()
    vector[expression.INDEX[entry]] = bad
    with pytest.raises(CommandRefused, match=entry):
        RETARGETER.to_joints(vector)
    with pytest.raises(CommandRefused):
        RETARGETER.to_expression(np.full(25, bad))


def test_wrong_lengths_are_refused():
    with pytest.raises(CommandRefused, match="61"):
        RETARGETER.to_joints(np.zeros(60))
    with pytest.raises(CommandRefused, match="25"):
        RETARGETER.to_expression(np.zeros(24))


def _with(tmp_path, joint, lines):
    document = yaml.safe_load(SHIPPED.read_text())
    if lines is None:
        del document["joints"][joint]
    else:
        document["joints"][joint] = lines
    path = tmp_path / "retarget.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    "joint, lines, said",
    [
        ("tail", [{"angle": "headYaw"}], "tail.*allowed.*neck_yaw"),
        ("jaw", None, "no line for jaw"),
        ("jaw", [{"sum": {"jawOpened": 1.0}}, "scale"], "jawOpened.*allowed.*jawOpen"),
        ("jaw", [{"sum": {"jawOpen": float("nan")}}, "scale"], "jawOpen is nan"),
        ("jaw", [{"sum": {"jawOpen": "much"}}, "scale"], "'much'"),
        ("jaw", [{"sum": {}}], "mapping"),
        ("jaw", [{"angle": "jawOpen"}], "jawOpen is a shape"),
        ("jaw", ["scale"], "first step.*sum, angle"),
        ("jaw", [{"sum": {"jawOpen": 1.0}}, {"wobble": 2}], "wobble.*gain, interp, saturate, scale"),
        ("jaw", [{"sum": {"jawOpen": 1.0}}, {"saturate": [1, 0]}], "low < high"),
        ("jaw", [{"sum": {"jawOpen": 1.0}}, {"saturate": [0, float("inf")]}], "finite"),
        ("jaw", [{"sum": {"jawOpen": 1.0}}, {"interp": [[0, 0], [1, -1]]}], "rise"),
        ("jaw", [{"sum": {"jawOpen": 1.0}}, {"interp": [[0, 0]]}], "two points"),
        ("jaw", [{"sum": {"jawOpen": 1.0}}, {"gain": 0}], "never move"),
        ("jaw", [{"sum": {"jawOpen": 1.0}}, {"scale": 3}], "no argument"),
        ("jaw", [], "list of steps"),
        ("jaw", [{"sum": {"jawOpen": 1.0}, "scale": None}], "2 keys"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, joint, lines, said):
    with pytest.raises(ConfigError, match=said) as caught:
        load_chains(ROBOT, _with(tmp_path, joint, lines))
    assert joint in str(caught.value)


@pytest.mark.parametrize(
    "text, said", [("joints: [", "not YAML"), ("other: 1", "`joints`"), ("", "`joints`")]
)
def test_a_wrong_file_is_named(tmp_path, text, said):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_chains(ROBOT, path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_chains(ROBOT, tmp_path / "none.yaml")


def test_every_step_does_what_its_name_says_and_is_undone(tmp_path):
    lines = [
        {"sum": {"jawOpen": 2.0}},
        {"gain": 0.5},
        {"interp": [[0.0, 0.0], [0.5, 0.2], [1.0, 1.0]]},
        {"saturate": [0.0, 0.9]},
        "scale",
    ]
    custom = Retargeter(ROBOT, load_chains(ROBOT, _with(tmp_path, "jaw", lines)))
    jaw = ROBOT.index["jaw"]
    for opened, share in ((0.0, 0.0), (0.25, 0.1), (0.5, 0.2), (0.75, 0.6), (1.0, 0.9)):
        joints = custom.to_joints(expression.from_mapping({"jawOpen": opened}))
        assert joints[jaw] == pytest.approx(share * ROBOT.upper[jaw])
        assert custom.to_joints(custom.to_expression(joints))[jaw] == pytest.approx(joints[jaw])


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_bounded_least_squares_is_optimal(seed):
    """Against the conditions of Karush, Kuhn and Tucker, which are sufficient here."""
    rng = np.random.default_rng(seed)
    matrix, target = rng.normal(size=(6, 9)), 3 * rng.normal(size=6)
    x = least_squares(matrix, target)
    slope = matrix.T @ (target - matrix @ x)
    assert (x >= 0).all() and (x <= 1).all()
    assert (slope[x <= 0] <= 1e-7).all() and (slope[x >= 1] >= -1e-7).all()
    assert np.abs(slope[(x > 0) & (x < 1)]).max(initial=0.0) < 1e-7
