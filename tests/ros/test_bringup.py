"""The description of the graph: what is started, with which parameters."""

import re
from pathlib import Path

import pytest

from fabg.errors import ConfigError, EnvironmentProblem
from fabg.paths import checkout_dir
from fabg.ros import bringup
from fabg.ros.bringup import GRAPH, middleware_environment, require_packages, selected
from tests.conftest import environment


def test_selection_keeps_the_order_of_the_graph():
    assert [s.name for s in selected(["face", "camera"])] == ["camera", "face"]
    assert [s.name for s in selected(without=["policy", "actuation", "robot_sim", "monitor"])] == [
        "camera",
        "face",
    ]


def test_optional_nodes_start_when_they_are_named():
    usual = [s.name for s in selected()]
    assert usual == ["camera", "face", "policy", "actuation", "robot_sim", "monitor"]
    more = [s.name for s in selected(also=["gesture", "gaze"])]
    assert more == ["camera", "face", "gaze", "gesture", "policy", "actuation", "robot_sim", "monitor"]
    assert [s.name for s in selected(["gaze", "face"])] == ["face", "gaze"]
    assert "gaze" not in [s.name for s in selected(also=["gaze"], without=["gaze"])]
    with pytest.raises(ConfigError, match="'gazes'"):
        selected(also=["gazes"])


def test_unknown_nodes_are_refused_with_what_is_known():
    with pytest.raises(ConfigError, match="'faces'.*camera, depth, face"):
        selected(["faces"])


def test_every_node_has_its_executable_and_parameters():
    declared = re.search(r"NODES = \((.*?)\)", (checkout_dir() / "setup.py").read_text(), re.DOTALL).group(1)
    assert re.findall(r'"(\w+)"', declared) == [s.name for s in GRAPH]
    for spec in GRAPH:
        assert spec.parameters.is_file()


def test_missing_packages_are_named_with_the_remedy(monkeypatch):
    require_packages()  # nothing is missing here
    monkeypatch.setattr(bringup, "_IMPORTS", ("yaml", "no_such_package"))
    with pytest.raises(EnvironmentProblem, match=r"no_such_package(?s:.*)pip install -r .*runtime.txt"):
        require_packages()


def test_what_the_user_set_for_the_middleware_stays():
    with environment(ROS_AUTOMATIC_DISCOVERY_RANGE="SUBNET"):
        assert middleware_environment()["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
    assert Path(middleware_environment()["FASTDDS_DEFAULT_PROFILES_FILE"]).is_file()
