"""A face tracker reads the robot's face."""

import numpy as np
import pytest

from fabg.errors import UsageError
from fabg.robot.face_eval import FIRST_REPORT_SEED, at_share, evaluate_robot_face, write_sheet
from fabg.robot.model import load_robot


def test_shares_are_of_the_travel_on_each_side():
    robot = load_robot()
    q = at_share(robot, {"lid_left": 1.0, "lid_right": -1.0, "jaw": 0.5, "neck_yaw": -0.5})
    assert q[robot.index["lid_left"]] == robot["lid_left"].upper
    assert q[robot.index["lid_right"]] == robot["lid_right"].lower
    assert q[robot.index["jaw"]] == 0.5 * robot["jaw"].upper
    assert q[robot.index["neck_yaw"]] == 0.5 * robot["neck_yaw"].lower
    assert q[robot.index["pucker"]] == robot["pucker"].neutral


def test_too_few_samples_and_tuning_seeds_are_refused():
    with pytest.raises(UsageError, match="samples is 3"):
        evaluate_robot_face(samples=3)
    with pytest.raises(UsageError, match="seed is 17"):
        evaluate_robot_face(seed=17)


def test_contact_sheet_is_written(tmp_path):
    import cv2

    image = cv2.imread(str(write_sheet(tmp_path / "sheet.png")))
    assert image.shape[0] >= 960
    assert image.std() > 20


@pytest.mark.slow
def test_a_tracker_finds_and_reads_the_face():
    report = evaluate_robot_face(samples=40, seed=FIRST_REPORT_SEED + 500, progress=False)
    assert min(report["found"].values()) >= 0.99
    assert len(report["joints"]) == 25
    rows = report["expressions"]
    for name in ("jaw", "smile", "blink", "gaze_yaw", "gaze_pitch"):
        assert rows[name]["r_single"] >= 0.93, name
    # Forty pictures leave a wide margin about the r that three hundred show.
    for name in ("jaw", "smile", "blink", "gaze_yaw", "brows"):
        assert rows[name]["r_mixed"] >= 0.65, name
    assert np.isfinite([row["r_mixed_linear"] for row in report["joints"].values()]).all()
