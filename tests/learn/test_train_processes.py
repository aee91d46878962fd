"""Trainings in processes of their own: killed, interrupted, with a full disk, and two at once."""

import json
import math
import os
import resource
import signal
import subprocess
import sys

import pytest
import yaml

from fabg.learn.checkpoint import NAME, read_checkpoint
from fabg.learn.config import load_config
from fabg.learn.train import Training
from tests.conftest import wait_until
from tests.learn.tiny import ALONE, config, table

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "COLUMNS": "200"}
PATIENCE_S = 240.0


def start(folder, *arguments, module=("fabg.cli",), **options):
    return subprocess.Popen(
        [sys.executable, "-m", *module, "train", "tiny.yaml", "--out", "run", *arguments],
        cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def settings(folder, *data, **change):
    (folder / "tiny.yaml").write_text(yaml.safe_dump(table(*data, **change)))
    return load_config(folder / "tiny.yaml")


def log_of(folder):
    return json.loads((folder / "run/log.json").read_text())


def undisturbed(made, folder):
    training = Training(made, folder / "undisturbed", ALONE)
    training.run()
    return training.log


def assert_close(log, expected, tolerance):
    assert [row["step"] for row in log] == [row["step"] for row in expected]
    for row, wanted in zip(log, expected, strict=True):
        assert row.keys() == wanted.keys()
        for name, value in row.items():
            assert math.isclose(value, wanted[name], abs_tol=tolerance), (row["step"], name)


@pytest.mark.slow
def test_a_killed_training_gives_the_same_curve(demos, tmp_path):
    made = settings(tmp_path, demos, steps=300, checkpoint_every=5, model={"latent": 2, "dropout": 0.1})
    process = start(tmp_path)
    wait_until((tmp_path / "run" / NAME).exists, "the first checkpoint", PATIENCE_S)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    reached = read_checkpoint(tmp_path / "run" / NAME).step
    assert 0 < reached < 300 and reached % 5 == 0
    again = start(tmp_path, "--resume")
    _, said = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, said
    assert f"step {reached} of 300: gone on with" in said
    assert_close(log_of(tmp_path), undisturbed(made, tmp_path), 1e-6)


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_and_130(demos, tmp_path):
    settings(tmp_path, demos, steps=1_000_000, checkpoint_every=900_000, validate_every=10)
    process = start(tmp_path)
    for line in process.stderr:  # until it has learnt something
        if "step 10:" in line:
            break
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and not out.strip()
    assert "interrupted; the same command with --resume goes on in run" in said and "Traceback" not in said
    state = read_checkpoint(tmp_path / "run" / NAME)
    assert 10 <= state.step < 1_000_000 and log_of(tmp_path) == state.log


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint_and_is_said(demos, tmp_path):
    made = settings(tmp_path, demos)
    first = Training(made, tmp_path / "run", ALONE)
    first.run(stop=lambda: first.step >= 10)
    before = (tmp_path / "run" / NAME).read_bytes()
    room = len(before) // 2  # for all but a checkpoint

    process = start(
        tmp_path, "--resume", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    )
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2 and "Traceback" not in said
    said = " ".join(said.split())
    for step in (20, 30):
        assert f"warning: the checkpoint of step {step} was not written" in said
    assert "error: 'run/checkpoint.safetensors' cannot be written" in said
    assert (tmp_path / "run" / NAME).read_bytes() == before and read_checkpoint(
        tmp_path / "run" / NAME
    ).step == 10
    # With room again, nothing is lost but time.
    done = Training(made, tmp_path / "run", ALONE, resume=True)
    assert done.run()
    assert_close(done.log, undisturbed(made, tmp_path), 0.0)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(demos, tmp_path):
    made = settings(tmp_path, demos, batch=15)
    process = start(
        tmp_path, module=("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "fabg.cli")
    )
    out, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert_close(log_of(tmp_path), undisturbed(made, tmp_path), 1e-4)
    # One of them talks.
    assert (
        said.count("held out);") == 1 and said.count("step 40:") == 1 and said.count("next: fabg export") == 1
    )
    assert out.split() == ["run"]
    assert read_checkpoint(tmp_path / "run" / NAME).config == config(demos, batch=15)


@pytest.mark.slow
def test_two_processes_stop_together(demos, tmp_path):
    settings(tmp_path, demos, steps=1_000_000, validate_every=10)
    process = start(
        tmp_path, module=("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "fabg.cli")
    )
    for line in process.stderr:
        if "step 10:" in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0 and "--resume goes on in run" in said
    assert read_checkpoint(tmp_path / "run" / NAME).step >= 10
