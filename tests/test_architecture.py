"""Rules of the house that imports must obey: they are read from the source, nothing is run."""

import ast
from pathlib import Path

import pytest

import fabg

ROOT = Path(fabg.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

ROS = {
    "rclpy", "sensor_msgs", "std_msgs", "std_srvs", "geometry_msgs", "diagnostic_msgs", "lifecycle_msgs",
    "trajectory_msgs", "builtin_interfaces", "rcl_interfaces", "tf2_msgs", "hri_msgs", "fabg_msgs",
    "cv_bridge", "launch", "launch_ros",
}  # fmt: skip
LAYERS = {
    # A package may import from itself, from the plain modules beside it, and from those listed.
    "robot": {"perception"},
    "perception": {"setup"},  # the clip: where it lies, and its checksum
    "policy": {"robot", "perception"},
    "demos": set(),  # data sets on disk
    "learn": {"robot", "policy", "demos"},  # training; the only part with torch
    "social": {"robot", "perception", "policy", "demos"},
    "evaluation": {"robot", "perception", "policy", "social"},  # accuracy against rendered ground truth
    "perceive": {"perception"},  # perception without ROS: video, table, plots
    "ros": {"robot", "perception", "policy"},
    "demo": {"robot", "perception", "policy", "ros"},
    "nodes": {"robot", "perception", "policy", "ros"},
}


def _package(path):
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else ""


def _imports(path, *, top_level_only=False):
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_ros_and_nodes_know_ros(path):
    if _package(path) in ("ros", "nodes"):
        return
    assert not {name.split(".")[0] for name in _imports(path)} & ROS


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    package = _package(path)
    if not package:
        return
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "fabg" and len(parts) > 1 and (ROOT / parts[1]).is_dir() and parts[1] != package:
            assert parts[1] in LAYERS[package], f"{package} must not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_heavy_at_import(path):
    if _package(path) == "learn":
        return  # imported by the commands that train, inside functions
    heavy = {
        "mediapipe", "mujoco", "torch", "onnxruntime", "matplotlib", "av", "moderngl", "pyarrow", "ai_edge_litert",
    }  # fmt: skip
    assert not {name.split(".")[0] for name in _imports(path, top_level_only=True)} & heavy


def test_files_stay_readable():
    for path in MODULES:
        lines = len(path.read_text().splitlines())
        limit = 200 if _package(path) == "nodes" else 400
        assert lines <= limit, f"{path.relative_to(ROOT)} has {lines} lines: split it (limit {limit})"


def test_only_learning_needs_torch():
    others = [p for p in MODULES if _package(p) != "learn"]
    assert not [p for p in others if "torch" in {n.split(".")[0] for n in _imports(p)}]
    assert not [
        p for p in others if any(f"{n}.".startswith("fabg.learn.") for n in _imports(p, top_level_only=True))
    ]
