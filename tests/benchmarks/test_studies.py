"""Studies count and measure what they say, on curves and events whose answers are known beforehand."""

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fabg.learn.config import load_config
from fabg.social.delays import parse_delay
from fabg.social.record import EventResult

STUDIES = Path(__file__).parents[2] / "benchmarks" / "studies"
NAMES = ("demonstrations", "ablations", "jaw", "sweep", "table")


@pytest.fixture
def study(monkeypatch):
    """Import a study as Python does when it is run: its folder comes first."""
    monkeypatch.syspath_prepend(str(STUDIES))
    before = set(sys.modules)
    yield importlib.import_module
    for name in {"common", *NAMES} & (set(sys.modules) - before):
        del sys.modules[name]


@pytest.mark.parametrize("name", NAMES)
def test_each_study_says_how_it_is_run(study, name):
    made = study(name)
    assert f"python benchmarks/studies/{name}.py" in made.__doc__
    assert callable(made.main)


# Summaries ---------------------------------------------------------------------------------------------


def test_a_seed_counts_once_however_many_tasks_have_the_metric(study):
    rows = [
        {"delay": "0", "seed": 1, "task": "a", "lag": 10.0},
        {"delay": "0", "seed": 1, "task": "b", "lag": 30.0},
        {"delay": "0", "seed": 2, "task": "a", "lag": 40.0},
        {"delay": "0", "seed": 2, "task": "b", "lag": None},
        {"delay": "140", "seed": 1, "task": "a"},
    ]
    none, late = study("common").summary(rows, ("delay",), ("lag",))
    # 20 and 40: mean 30, and Student's t for one degree of freedom, 12.706, times 14.142 / sqrt(2).
    assert none["lag"]["mean"] == 30.0
    assert none["lag"]["high"] - 30.0 == pytest.approx(127.06, abs=0.01)
    assert late == {"delay": "140"}


def test_a_recipe_is_trained_once_and_anew_when_it_or_the_data_change(study, monkeypatch, tmp_path):
    pytest.importorskip("torch")
    from fabg.learn import export, session

    common = study("common")
    monkeypatch.setattr(common, "STUDIES", tmp_path / "studies")
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").write_text("first")
    trainings = []

    def train(config, folder, *, resume):
        trainings.append((config.name, config.model.latent, resume))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "checkpoint.safetensors").write_text("")
        return len(trainings) != 4  # the fourth is interrupted

    monkeypatch.setattr(session, "train", train)
    monkeypatch.setattr(export, "export", lambda checkpoint, model: model.write_text(""))
    monkeypatch.setattr(common, "read_model", lambda model: (b"", type("Card", (), {"measured": {}})))

    def made(change=None):
        return common.trained("one", data, 5, change).model

    assert made() == made() == tmp_path / "studies" / "one" / "one.onnx"
    made({"model.latent": 8})
    (data / "a").write_text("second")
    made({"model.latent": 8})
    with pytest.raises(SystemExit):
        made({"model.latent": 4})
    made({"model.latent": 4})
    assert trainings == [
        ("one", 0, False),
        ("one", 8, False),
        ("one", 8, False),
        ("one", 4, False),
        ("one", 4, True),
    ]


# Each study --------------------------------------------------------------------------------------------


def test_every_ablation_changes_the_recipe(study):
    ablations, common = study("ablations"), study("common")
    known = {
        name: load_config(common.RECIPE, change | {"name": "x"}) for name, change in ablations.CHANGES.items()
    }
    base = known.pop(ablations.BASE)
    assert base == load_config(common.RECIPE, {"name": "x"})
    assert all(config != base for config in known.values())
    assert len({json.dumps(config.to_json()) for config in known.values()}) == len(known)


@pytest.mark.parametrize("step_ms", [50, 100, 200])
def test_delays_have_the_means_that_are_told(study, step_ms):
    kinds = study("sweep").delays(step_ms)
    assert list(kinds) == ["constant", "jittered", "bursty"]
    for group in kinds.values():
        for text, mean_ms in group.items():
            assert parse_delay(text).mean_ms == pytest.approx(mean_ms)
    assert list(kinds["constant"].values()) == list(range(0, 401, step_ms))
    assert (
        list(kinds["bursty"].values())
        == list(kinds["jittered"].values())
        == list(range(2 * step_ms, 401, 2 * step_ms))
    )


def test_a_crossing_lies_between_samples(study):
    crossing = study("jaw").crossing
    ramp = np.arange(5.0)
    assert crossing(ramp, 2.5) == 2.5
    assert crossing(ramp, 0.0) == 0.0
    assert crossing(ramp, 4.5) is None


@pytest.mark.parametrize("late_s", [0.0, 0.1, 0.33])
def test_a_mouth_that_is_late_is_measured_so(study, late_s):
    jaw = study("jaw")
    time = np.arange(0.0, 12.0, 0.02)

    def opened(t):  # one second up, one held, one down, from 1 s, 5 s, 9 s on
        phase = np.where(t < 1.0, 0.0, (t - 1.0) % 4.0)
        return 0.5 * np.clip(np.minimum(phase, 3.0 - phase), 0.0, 1.0)

    openings = [jaw.Opening(at, at + 2.0) for at in (1.0, 5.0, 9.0)]
    scores = jaw.jaw_scores(opened(time), opened(time - late_s), openings)
    assert scores["response_ms"] == pytest.approx(1e3 * late_s, abs=1e-6)
    assert scores["opening_ms"] == pytest.approx(1e3 * late_s, abs=1e-6)
    assert scores["opened"] == 1.0
    if late_s == 0.0:
        assert scores["dtw"] == 0.0
    weak = jaw.jaw_scores(opened(time), 0.8 * opened(time - late_s), openings)
    assert weak["opened"] == 0.0 and weak["opening_ms"] is None
    assert weak["dtw"] > scores["dtw"]


def test_the_person_keeps_to_the_plan_whoever_moves_the_robot(study):
    jaw, grid = study("jaw"), study("fabg.social.bench.grid")
    lazy, _, first = jaw.curves(grid.Cell("affective", "newest", "0", 3), "still", 2)
    keen, robot, second = jaw.curves(grid.Cell("affective", "oracle", "0", 3), "still", 2)
    assert first == second and len(first) == 2
    np.testing.assert_array_equal(lazy, keen)
    for opening in first:
        before, held = round(opening.begin_s / 0.02) - 5, round(opening.end_s / 0.02)
        assert lazy[before] == 0.0
        assert 0.25 < lazy[held] < 0.56  # half to all of 0.55
        # By then the demonstrator's robot has followed: reaction, movement and servos take less than a second.
        assert robot[held] == pytest.approx(lazy[held], abs=0.03)


def test_seconds_of_a_kind_count_time_outs_in_full(study):
    table = study("table")
    events = [
        EventResult(0, "smile", 1.0, 1.5, 6.0, 1.3),
        EventResult(1, "surprise", 2.0, None, 7.0, 2.3),
        EventResult(2, "smile", 8.0, 8.25, 13.0, 8.3),
        EventResult(3, "near", 20.0, 21.0, 25.0, 20.5),
        EventResult(4, "far", 30.0, None, 35.0, 30.5),
        EventResult(5, "fist", 40.0, 40.5, 45.0, 40.5),
        EventResult(6, "left", 50.0, 50.25, 55.0, 50.5),
    ]
    found = table.seconds(events)
    assert found == {
        "smile_s": 0.75, "smile": 1.0, "surprise_s": 5.0, "surprise": 0.0, "foveate_s": 6.0, "foveate": 0.5,
        "gesture_s": 0.75, "gesture": 1.0,
    }  # fmt: skip
    rows = [{"seed": 1, "sees": "RGB", "method": "chunk", **found}]
    metrics = [name for column in table.COLUMNS for name in (column, f"{column}_s")]
    head, _, told = table.markdown(study("common").summary(rows, ("sees", "method"), metrics)).splitlines()
    assert head == "| | smile | surprise | face | hand | foveate | gesture |"
    assert told == "| RGB, `chunk` | 0.8 | fail | - | - | 6.0 | 0.8 |"


# Run as people do --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_study_from_the_command_line(tmp_path):
    result, figure = tmp_path / "jaw.json", tmp_path / "jaw.png"
    subprocess.run(
        [sys.executable, STUDIES / "jaw.py", "--quick", "--policy", "imitator", "--json", result, "--plot", figure],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    told = json.loads(result.read_text())
    assert told["command"] == "python benchmarks/studies/jaw.py --quick --policy imitator"
    methods = {row["method"]: row for row in told["methods"]}
    assert {"oracle", "replay", "adaptive"} <= set(methods)
    # What is put in comes out: the demonstrator is late by the delay, to a tick.
    late = methods["replay"]["response_ms"]["mean"] - methods["oracle"]["response_ms"]["mean"]
    assert math.isclose(late, told["delay_ms"], abs_tol=25.0)
    assert figure.read_bytes().startswith(b"\x89PNG")
