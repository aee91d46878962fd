"""`fabg train` and `fabg export` as a user types them, in processes of their own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from fabg.cli import app
from fabg.errors import UsageError
from fabg.policy.base import Observation
from fabg.policy.learnt import LearntPolicy
from fabg.social.demonstrations import write_demonstrations

pytest.importorskip("torch")
FEATURES = Path(__file__).parents[1] / "config/train/features.yaml"
SMALL = (
    "steps=20", "batch=16", "threads=1", "validate_every=10", "checkpoint_every=10", "model.width=16", "model.heads=2",
    "model.feedforward=16", "model.layers=1", "model.query_steps=2", "samples.history_steps=4",
    "samples.chunk_steps=6", "samples.prefix_steps=4", "samples.held_out=0.5", "learning_rate=3e-3",
)  # fmt: skip


def fabg(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fabg.cli", *arguments],
        cwd=cwd, env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def plain(text: str) -> str:
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


@pytest.mark.parametrize(
    "command, says",
    [
        ("train", ["--resume", "--data", "--set", "--out", "Learn a behaviour", "torchrun", "fabg export"]),
        ("export", ["--out", "--name", "runs without torch", "checksum"]),
    ],
)
def test_help_says_how(command, says):
    done = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    for text in says:
        assert text in plain(done.output)


def test_without_data_the_remedy_is_told(tmp_path):
    done = fabg("train", str(FEATURES), "--out", "run", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr and not done.stdout
    assert "error: there is no data set 'demos': record one with `fabg sim demos`" in plain(done.stderr)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("--data", "nowhere"), "no data set 'nowhere'"),
        (("--set", "steps"), "--set 'steps': expected name=value"),
        (("--set", "model={"), "--set 'model={': the value is no YAML"),
        (("--set", "model.widht=3"), "unknown name 'widht' in model"),
        (("--set", "steps=0"), "steps is 0: expected 1 to"),
        (("--resume",), "no checkpoint"),
    ],
)
def test_wrong_wishes_are_refused(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["train", str(FEATURES), "--out", "run", *arguments])
    assert isinstance(done.exception, UsageError) and says in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_nothing_to_export(tmp_path):
    done = CliRunner().invoke(app, ["export", str(tmp_path / "nowhere")])
    assert isinstance(done.exception, UsageError) and "there is no checkpoint" in str(done.exception)


@pytest.mark.slow
def test_from_demonstrations_to_a_policy(tmp_path):
    write_demonstrations(tmp_path / "demos", tasks=("affective", "tracking"), episodes=2, seed=1, events=1)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"name": "mine", "data": ["demos"]}))
    settings = [part for setting in SMALL for part in ("--set", setting)]

    done = fabg("train", "mine.yaml", *settings, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["run"]
    said = plain(done.stderr)
    assert (
        "2 episodes held out" in said
        and "step 20: loss" in said
        and "next: fabg export run --out mine.onnx" in said
    )
    made = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert made["learning_rate"] == 0.003 and made["model"]["width"] == 16 and made["data"] == ["demos"]

    done = fabg("export", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    path = tmp_path / done.stdout.strip()
    assert path == tmp_path / "run/mine.onnx" and "differs from the trained model by at most" in plain(
        done.stderr
    )
    policy = LearntPolicy(path, "tracking")
    chunk = policy.predict(Observation(3.0))
    assert chunk.values.shape == (6, 61) and np.isfinite(chunk.values).all()
    log = json.loads((tmp_path / "run/log.json").read_text())
    assert policy.card.measured["val_loss"] == log[-1]["val_loss"]
    assert policy.card.training["episodes"] == {"affective": 2, "tracking": 2}

    # A file may be named as well as its folder, and the model as one likes; the same weights are the same model.
    done = fabg("export", "run/checkpoint.safetensors", "--out", "deep/other", "--name", "nice", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    other = LearntPolicy(tmp_path / "deep/other.onnx")
    assert other.card.name == "nice" and other.card.sha256 == policy.card.sha256

    # Again: refused without --resume, and with it nothing is left to do.
    done = fabg("train", "mine.yaml", *settings, "--out", "run", cwd=tmp_path)
    assert done.returncode == 2 and "holds a training: add --resume" in plain(done.stderr)
    done = fabg("train", "mine.yaml", *settings, "--out", "run", "--resume", cwd=tmp_path)
    assert done.returncode == 0 and "step 20 of 20: done already" in plain(done.stderr)
