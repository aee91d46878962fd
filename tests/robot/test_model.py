"""The joint table refuses what cannot be a robot, and says why."""

import copy

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fabg.errors import ConfigError
from fabg.paths import share_dir
from fabg.robot.links import load_links
from fabg.robot.model import Joint, load_robot

TABLE = yaml.safe_load((share_dir() / "config" / "robot.yaml").read_text())


@pytest.fixture
def write(tmp_path):
    def write_table(change):
        table = copy.deepcopy(TABLE)
        change(table)
        path = tmp_path / "robot.yaml"
        path.write_text(yaml.safe_dump(table, sort_keys=False))
        return path

    return write_table


def test_the_table_has_the_25_joints_in_servo_order():
    robot = load_robot()
    assert len(robot.names) == len(set(robot.names)) == 25
    assert [j.servo for j in robot.joints] == list(range(25))
    assert [sum(j.group == g for j in robot.joints) for g in ("neck", "eyes", "face")] == [3, 4, 18]
    assert robot.names == tuple(TABLE["joints"])


def test_columns_repeat_the_file():
    robot = load_robot()
    rows = list(TABLE["joints"].values())
    np.testing.assert_array_equal(robot.lower, [row["limits"][0] for row in rows])
    np.testing.assert_array_equal(robot.upper, [row["limits"][1] for row in rows])
    np.testing.assert_array_equal(robot.neutral, [row["neutral"] for row in rows])
    np.testing.assert_array_equal(robot.max_velocity, [row["velocity"] for row in rows])
    np.testing.assert_array_equal(robot.max_acceleration, [row["acceleration"] for row in rows])
    np.testing.assert_array_equal(robot.max_jerk, [row["jerk"] for row in rows])


def test_left_and_right_mirror_each_other():
    robot = load_robot()
    for joint in robot.joints:
        if "_left" in joint.name:
            other = robot[joint.name.replace("_left", "_right")]
            assert (joint.lower, joint.upper) == (other.lower, other.upper)
            assert joint.max_velocity == other.max_velocity
            assert (joint.origin[0], -joint.origin[1], joint.origin[2]) == other.origin


def _set(joint, key, value):
    return lambda table: table["joints"][joint].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("jaw", "torque", 3), r"jaw: unknown keys \['torque'\]"),
        (lambda t: t["joints"]["jaw"].pop("servo"), r"jaw: .*missing keys \['servo'\]"),
        (_set("jaw", "limits", [0.5, 0.1]), r"jaw: limits \[0.5, 0.1\] must rise"),
        (_set("jaw", "limits", [0.0, -0.1]), r"jaw: limits"),
        (_set("jaw", "neutral", -0.2), r"jaw: neutral -0.2 lies outside"),
        (_set("neck_yaw", "limits", [float("nan"), 1.0]), r"neck_yaw: every number must be finite"),
        (_set("neck_yaw", "velocity", float("inf")), r"neck_yaw: every number must be finite"),
        (_set("neck_yaw", "velocity", 0), r"max_velocity is 0"),
        (_set("neck_yaw", "velocity", "fast"), r"neck_yaw: could not convert"),
        (_set("neck_yaw", "limits", [1.0]), r"neck_yaw: "),
        (_set("neck_yaw", "origin", [0, 0]), r"neck_yaw: origin and axis take three numbers"),
        (_set("neck_yaw", "axis", [0, 0, 2]), r"neck_yaw: axis \(0.0, 0.0, 2.0\) is not a unit vector"),
        (_set("neck_yaw", "group", "arm"), r"group 'arm' is not one of"),
        (_set("jaw", "servo", 0), r"servo channel 0 is given to several joints: neck_yaw, jaw"),
        (_set("neck_yaw", "parent", "jaw_link"), r"neck_yaw: parent 'jaw_link'"),
        (lambda t: t["joints"].pop("jaw"), r"24 joints: expected 25"),
        (lambda t: t["joints"].__setitem__("jaw", 3), r"jaw is 3: expected a mapping"),
        (lambda t: t.pop("joints"), r"expected a mapping with `name` and `joints`"),
    ],
)
def test_bad_tables_are_refused_by_name(write, change, message):
    with pytest.raises(ConfigError, match=message):
        load_robot(write(change))


def test_a_missing_or_broken_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_robot(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("joints: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_robot(tmp_path / "bad.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("links"), r"links are None"),
        (lambda t: t["links"].pop("head"), r"expected \['eyes', 'face', 'head', 'neck'\]"),
        (lambda t: t["links"]["head"].__setitem__("mass", -1.0), r"mass_kg is -1.0: expected a positive"),
        (lambda t: t["links"]["head"].__setitem__("mass", float("nan")), r"mass_kg is nan"),
        (lambda t: t["links"]["head"].__setitem__("colour", 1), r"link head is .* expected the keys"),
    ],
)
def test_bad_links_are_refused_by_name(write, change, message):
    with pytest.raises(ConfigError, match=message):
        load_links(write(change))


def test_an_unknown_joint_is_named_with_the_known_ones():
    with pytest.raises(KeyError, match=r"no joint 'nose': expected one of neck_yaw"):
        load_robot()["nose"]


numbers = st.one_of(st.floats(), st.integers(-3, 3))


@given(lower=numbers, upper=numbers, neutral=numbers)
def test_any_joint_that_is_accepted_has_neutral_within_finite_limits(lower, upper, neutral):
    try:
        joint = Joint(
            name="j", group="face", servo=0, lower=lower, upper=upper, neutral=neutral, max_velocity=1.0,
            max_acceleration=1.0, max_jerk=1.0, parent="base_link", origin=(0, 0, 0), axis=(0, 0, 1),
        )  # fmt: skip
    except ConfigError:
        return
    assert np.isfinite([joint.lower, joint.upper]).all()
    assert joint.lower <= joint.neutral <= joint.upper
