"""The doctor finds what is broken, names the remedy, and never breaks itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fabg import doctor
from fabg.errors import ModelFileError
from fabg.perception import models
from fabg.setup import clips, interfaces


def only(checks) -> doctor.Check:
    (check,) = checks
    return check


def test_this_environment_is_healthy():
    checks = doctor.examine()
    assert [check for check in checks if check.status == "problem"] == []
    names = {check.name for check in checks}
    assert {
        "Python",
        "ROS 2",
        "graphics",
        "clip",
        "head asset",
        "disk",
        "cores",
        *interfaces.PACKAGES,
    } <= names
    assert {f"model {name}" for name in models.MODELS} <= names


def test_json_says_not_ok_when_there_is_a_problem():
    good = doctor.Check("a", "ok", "fine")
    bad = doctor.Check("b", "problem", "gone", "bring it back")
    assert doctor.to_json([good])["ok"] is True
    found = json.loads(json.dumps(doctor.to_json([good, bad])))
    assert found["ok"] is False
    assert found["checks"][1] == {
        "name": "b",
        "status": "problem",
        "detail": "gone",
        "remedy": "bring it back",
    }


def test_the_table_shows_findings_and_remedies_as_they_are():
    from rich.console import Console

    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(doctor.render([doctor.Check("b", "problem", "no [bold] file", "make setup")]))
    text = console.export_text()
    assert "no [bold] file" in text
    assert "remedy: make setup" in text


def test_what_raises_becomes_a_finding():
    def broken():
        yield doctor.Check("first", "ok", "")
        raise RuntimeError("odd")

    check = only(doctor.guarded("thing", broken))
    assert (check.name, check.status) == ("thing", "problem")
    assert "RuntimeError: odd" in check.detail
    assert check.remedy


def test_a_missing_model_is_a_problem_with_a_remedy(monkeypatch):
    def lost(name, path=None):
        raise ModelFileError(f"{name} was not found")

    monkeypatch.setattr(models, "find_model", lost)
    checks = list(doctor.check_models())
    assert {check.status for check in checks} == {"problem"}
    assert len(checks) == len(models.MODELS)
    for check, spec in zip(checks, models.MODELS.values(), strict=True):
        assert "make setup" in check.remedy
        assert spec.package in check.remedy


def test_an_altered_model_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setenv("FABG_CACHE_DIR", str(tmp_path))
    name, spec = next(iter(models.MODELS.items()))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / spec.filename).write_bytes(b"altered")
    check = next(check for check in doctor.check_models() if check.name == f"model {name}")
    assert check.status == "problem"
    assert spec.sha256 in check.detail


def test_packages_that_are_absent_or_of_another_version_are_told_apart(tmp_path):
    for group in ("ros", "models", "build"):
        (tmp_path / f"{group}.txt").write_text("")
    (tmp_path / "ros.txt").write_text("there-is-no-such-package==1.0\n")
    (tmp_path / "runtime.txt").write_text("numpy==0.0.1\n")
    found = {check.name: check for check in doctor.check_packages(tmp_path)}
    assert found["packages: ros"].status == "problem"
    assert "there-is-no-such-package 1.0" in found["packages: ros"].detail
    assert found["packages: runtime"].status == "warning"
    assert "tested: 0.0.1" in found["packages: runtime"].detail
    assert found["packages: build"].status == "ok"


def test_a_missing_middleware_profile_is_a_problem(tmp_path):
    nowhere = str(tmp_path / "none.xml")
    check = only(doctor.check_middleware_profile({"FASTDDS_DEFAULT_PROFILES_FILE": nowhere}))
    assert check.status == "problem"
    assert nowhere in check.detail
    assert only(doctor.check_middleware_profile({})).status == "ok"


def test_a_missing_clip_is_a_problem_with_a_remedy(monkeypatch):
    monkeypatch.setattr(clips, "find_clip", lambda: None)
    check = only(doctor.check_clip())
    assert check.status == "problem"
    assert "make setup" in check.remedy


def test_no_graphics_is_a_problem_and_not_a_crash(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "no-such-backend")
    check = only(doctor.check_graphics())
    assert check.status == "problem"
    assert "apt-get install" in check.remedy


def test_a_program_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor, "_PROBE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(doctor, "_GL_PROBE", "import threading; threading.Event().wait()")
    check = only(doctor.check_graphics())
    assert check.status == "problem"
    assert "no answer" in check.detail


def test_cameras_are_listed(tmp_path):
    assert only(doctor.check_cameras(tmp_path)).status == "warning"
    (tmp_path / "video0").touch()
    check = only(doctor.check_cameras(tmp_path))
    assert (check.status, check.detail) == ("ok", "video0")


@pytest.mark.parametrize(
    ("installed", "stale"),
    [
        ("uint8 A=1\nfloat32 x\nfloat32 y\n", False),
        ("# words\nfloat32   x  # right\nfloat32 y\nuint8 A = 1\n", False),
        ("uint8 A=2\nfloat32 x\nfloat32 y\n", True),
        ("uint8 A=1\nfloat32 y\nfloat32 x\n", True),
        ("uint8 A=1\nfloat32 x\n", True),
        (None, True),
    ],
)
def test_definitions_are_compared_by_meaning(tmp_path: Path, installed, stale):
    source, share = tmp_path / "source", tmp_path / "share"
    for folder in (source / "msg", share / "msg"):
        folder.mkdir(parents=True)
    (source / "msg" / "P.msg").write_text("uint8 A = 1\nfloat32 x\nfloat32 y\n")
    if installed is not None:
        (share / "msg" / "P.msg").write_text(installed)
    assert doctor.stale_definitions(source, share) == (["msg/P.msg"] if stale else [])
