"""Training: it learns, repeats itself bit for bit, goes on where it was, and says what is wrong."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fabg import expression
from fabg.errors import ConfigError, InputError, ModelFileError
from fabg.learn import session
from fabg.learn import train as module
from fabg.learn.checkpoint import NAME, read_checkpoint
from fabg.learn.train import Training, TrainingDiverged, one_cycle
from tests.learn.tiny import ALONE, config, write_set


def train(settings, out, *, resume=False, stop_at=math.inf):
    """Train in this process; return the training and what it told."""
    told = []
    training = Training(settings, out, ALONE, resume=resume)
    training.run(told.append, lambda: training.step >= stop_at)
    return training, told


def assert_same(one, other):
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
    assert one.log == other.log and one.step == other.step


def person(episode):
    """Somebody who stands somewhere, and what a demonstrator does about it."""
    x, y = np.random.default_rng(episode).uniform((0.5, -0.5), (1.5, 0.5))
    people, action = np.zeros(198), np.zeros(expression.SIZE)
    people[:2] = x, y
    action[0], action[expression.INDEX["headYaw"]] = 0.5 + 0.4 * y, math.atan2(y, x)
    return people, action


@pytest.fixture(scope="module")
def easy(tmp_path_factory):
    """A data set in which what is done follows from where the person is."""

    def frame(episode, k):
        people, action = person(episode)
        return {
            "observation.people": people, "observation.people_mask": [1, 0, 0], "observation.hands": np.zeros(46),
            "observation.hands_mask": [0, 0], "observation.state": np.zeros(25), "action": action,
        }  # fmt: skip

    return write_set(tmp_path_factory.mktemp("easy") / "set", [5] * 24, frame=frame)


def test_it_learns_what_can_be_learnt(easy, tmp_path):
    settings = config(
        easy, steps=160, batch=32, learning_rate=3e-3, validate_every=80, samples={"prefix": 0.2, "held_out": 0.25}
    )  # fmt: skip
    training, _ = train(settings, tmp_path)
    d = training.demonstrations
    held_out = {int(e) for e in d.episode[d.held_out]}
    assert len(held_out) == 6
    wanted = np.array([person(e)[1] for e in range(24)])
    # The best guess that does not look: the median of what was trained on.
    guess = np.median([wanted[e] for e in range(24) if e not in held_out], axis=0)
    constant = np.abs(np.array([wanted[e] for e in held_out]) - guess).mean(axis=0)
    last = training.log[-1]
    assert last["loss"] < 0.2 and last["val_loss"] < 0.25
    assert last["gaze_deg@0"] < 0.2 * np.rad2deg(constant[expression.INDEX["headYaw"]])
    assert last["shape@100"] < 0.2 * constant[0]
    assert [row["step"] for row in training.log] == [0, 80, 160]


def test_the_figures_of_the_validation_by_their_formulas(demos, tmp_path):
    training, _ = train(config(demos, steps=3), tmp_path)
    d, figures = training.demonstrations, training.log[-1]
    samples = np.flatnonzero(d.held_out)
    with torch.inference_mode():
        batch = training.batches._plain(samples)
        said = training.model.eval()(batch).numpy()
    moves = training.model.moves.numpy() > 0
    total = count = 0.0
    gaze, shape = [], []
    for k, sample in enumerate(samples):
        for step in range(6):
            at = d.first[sample] + step
            error = said[k, step] - d.actions[min(at, d.last[sample])]
            if at <= d.last[sample]:
                total += np.abs(error / training.model.action_spread.numpy())[moves].mean()
                count += 1
            if step == 5:
                yaw = error[expression.INDEX["headYaw"]] + error[expression.INDEX["eyeYawLeft"]]
                gaze.append(np.rad2deg(abs(yaw)))
                shape.append(np.abs(error[: expression.N_SHAPES][moves[: expression.N_SHAPES]]).mean())
    assert figures["val_loss"] == pytest.approx(total / count, rel=1e-4)
    assert figures["gaze_deg@100"] == pytest.approx(np.mean(gaze), rel=1e-4)
    assert figures["shape@100"] == pytest.approx(np.mean(shape), rel=1e-4)


VARIED = {"model": {"latent": 2, "dropout": 0.1, "proprioception": 0.3}}


def test_the_same_seed_gives_the_same_bits(demos, tmp_path):
    one, _ = train(config(demos, **VARIED), tmp_path / "a")
    torch.rand(7)  # what else is drawn in the process does not matter
    two, _ = train(config(demos, **VARIED), tmp_path / "b")
    assert_same(one, two)
    other, _ = train(config(demos, seed=1, **VARIED), tmp_path / "c")
    assert other.log[-1]["loss"] != one.log[-1]["loss"]


@pytest.mark.parametrize("stop_at", [10, 13, 30])
def test_an_interrupted_training_ends_where_an_undisturbed_one_does(demos, tmp_path, stop_at):
    whole, _ = train(config(demos, **VARIED), tmp_path / "whole")
    first, _ = train(config(demos, **VARIED), tmp_path / "run", stop_at=stop_at)
    assert first.step == stop_at == read_checkpoint(tmp_path / "run" / NAME).step
    # Also from elsewhere, with another number of checkpoints on the way.
    again, told = train(config(demos, checkpoint_every=7, **VARIED), tmp_path / "run", resume=True)
    assert told[0].step == stop_at + 1
    assert_same(whole, again)
    assert read_checkpoint(tmp_path / "run" / NAME).step == 40


def test_what_was_finished_stays_finished(demos, tmp_path):
    done, _ = train(config(demos), tmp_path)
    before = (tmp_path / NAME).read_bytes()
    again, told = train(config(demos), tmp_path, resume=True)
    assert not told and again.run() and (tmp_path / NAME).read_bytes() == before
    assert_same(done, again)


def test_a_folder_that_holds_a_training_is_not_overwritten(demos, tmp_path):
    train(config(demos, steps=1), tmp_path)
    with pytest.raises(ConfigError, match=r"holds a training: add --resume.*--out"):
        Training(config(demos), tmp_path, ALONE)
    with pytest.raises(ModelFileError, match="no checkpoint"):
        Training(config(demos), tmp_path / "other", ALONE, resume=True)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"learning_rate": 0.5}, "learning_rate of the training in .* is 0.001, not 0.5"),
        ({"model": {"width": 32}}, "model of the training"),
        ({"samples": {"prefix": 0.9}}, "samples of the training"),
        ({"seed": 3}, "seed of the training in .* is 0, not 3"),
        ({"tasks": ["gesture"]}, "tasks of the training"),
    ],
)
def test_another_configuration_is_not_gone_on_with(demos, tmp_path, change, says):
    train(config(demos), tmp_path, stop_at=0)
    with pytest.raises(ConfigError, match=says):
        Training(config(demos, **change), tmp_path, ALONE, resume=True)
    # How long and how often may change, and where the data lie.
    Training(config(demos, steps=50, threads=1, validate_every=3), tmp_path, ALONE, resume=True)


def test_other_data_are_not_gone_on_with(demos, easy, tmp_path):
    train(config(demos), tmp_path, stop_at=0)
    moved = shutil.copytree(demos, tmp_path / "elsewhere")
    Training(config(moved), tmp_path, ALONE, resume=True)
    with pytest.raises(ConfigError, match="another layout, for the tasks affective, foveate"):
        Training(config(easy), tmp_path, ALONE, resume=True)
    with pytest.raises(ConfigError, match="data have episodes .*go on with the same data"):
        Training(config(demos, moved), tmp_path, ALONE, resume=True)


def test_a_loss_that_is_no_number_names_the_step(demos, tmp_path, monkeypatch):
    training = Training(config(demos), tmp_path, ALONE)
    losses = training.model.losses

    def spoilt(batch, generator):
        error, divergence = losses(batch, generator)
        return (error * math.nan if training.step == 17 else error), divergence

    monkeypatch.setattr(training.model, "losses", spoilt)
    with pytest.raises(
        TrainingDiverged, match=r"loss is nan .*step 17: lower learning_rate, now 0.001.*is from before"
    ):
        training.run()
    kept = read_checkpoint(tmp_path / NAME)
    assert kept.step == 10 and all(torch.isfinite(value).all() for value in kept.weights.values())


def test_a_gradient_that_is_no_number_spoils_nothing(demos, tmp_path, monkeypatch):
    training = Training(config(demos), tmp_path, ALONE)
    losses = training.model.losses

    def spoilt(batch, generator):
        error, divergence = losses(batch, generator)
        if training.step == 3:
            error = error + torch.sqrt(training.model.head.weight.sum() * 0.0)  # 0, with an infinite slope
        return error, divergence

    monkeypatch.setattr(training.model, "losses", spoilt)
    with pytest.raises(TrainingDiverged, match="gradient nan at step 3") as found:
        training.run()
    assert "is from before" not in str(found.value)  # there is none yet
    assert all(torch.isfinite(value).all() for value in training.model.parameters())


def test_actions_that_never_change(tmp_path):
    root = write_set(tmp_path / "set", [5, 5], action=lambda t: np.full(expression.SIZE, 0.25))
    with pytest.raises(InputError, match="never change: there is nothing to learn"):
        Training(config(root), tmp_path, ALONE)


def test_checkpoints_that_are_not_written_are_told_and_tried_again(demos, tmp_path, monkeypatch, capsys):
    writes, write = [], module.write_checkpoint

    def full_at_times(path, state):
        writes.append(state.step)
        if state.step in (20, 30):
            raise ConfigError(f"{str(path)!r} cannot be written (No space left on device)")
        write(path, state)

    monkeypatch.setattr(module, "write_checkpoint", full_at_times)
    training, told = train(config(demos), tmp_path / "a")
    troubles = [(progress.step, progress.trouble) for progress in told if progress.trouble]
    assert [step for step, _ in troubles] == [20, 30] and writes == [10, 20, 30, 40]
    assert "step 20 was not written" in troubles[0][1] and "No space left" in troubles[0][1]
    assert read_checkpoint(training.path).step == 40

    assert session.train(config(demos), tmp_path / "b", resume=False)
    said = " ".join(capsys.readouterr().err.split())
    assert "warning: the checkpoint of step 20 was not written" in said

    def full(path, state):
        raise ConfigError("No space left on device")

    monkeypatch.setattr(module, "write_checkpoint", full)
    with pytest.raises(ConfigError, match="No space left"):  # the last one must be written
        train(config(demos, steps=5), tmp_path / "c")


def test_the_folder_of_a_training(demos, tmp_path, capsys):
    assert session.train(config(demos, name="nice"), tmp_path, resume=False)
    log = json.loads((tmp_path / "log.json").read_text(), parse_constant=pytest.fail)  # NaN is no JSON
    state = read_checkpoint(tmp_path / NAME)
    assert log == state.log and [row["step"] for row in log] == [0, 10, 20, 30, 40]
    assert state.facts["episodes"] == {"affective": 2, "foveate": 2, "gesture": 2, "tracking": 2}
    assert state.facts["episodes_held_out"] == 2 and state.facts["data"] == [demos.name]

    curves = EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    for name in ("loss", "val_loss"):
        points = {event.step: event.value for event in curves.Scalars(name)}
        for row in log[1:]:
            assert points[row["step"]] == pytest.approx(row[name], rel=1e-6)
    assert all(event.value > 0 for event in curves.Scalars("samples_a_second")[1:])

    said = " ".join(capsys.readouterr().err.split())
    assert (
        "affective 2" in said
        and "2 episodes held out" in said
        and "step 40: loss" in said
        and "nan" not in said
    )
    from fabg.learn.config import load_config

    assert load_config(tmp_path / "config.yaml") == config(demos, name="nice")


def test_going_on_is_said(demos, tmp_path, capsys):
    train(config(demos), tmp_path, stop_at=20)
    session.train(config(demos), tmp_path, resume=True)
    assert "step 20 of 40: gone on with" in capsys.readouterr().err
    session.train(config(demos), tmp_path, resume=True)
    assert "step 40 of 40: done already" in capsys.readouterr().err


def test_curves_that_cannot_be_written_do_not_end_a_training(demos, tmp_path, monkeypatch, capsys):
    from torch.utils.tensorboard import SummaryWriter

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SummaryWriter, "add_scalar", full)
    assert session.train(config(demos), tmp_path, resume=False)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("warning: TensorBoard has no curves from step 0 on: No space left on device") == 1


def test_without_validation(demos, tmp_path, capsys):
    assert session.train(config(demos, samples={"held_out": 0.0}), tmp_path, resume=False)
    state = read_checkpoint(tmp_path / NAME)
    assert (
        all(set(row) <= {"step", "loss", "kl"} for row in state.log) and state.facts["episodes_held_out"] == 0
    )


def test_the_learning_rate_rises_and_falls():
    rates = [one_cycle(k / 1000, 0.1) for k in range(1001)]
    assert (
        rates[0] == pytest.approx(0.04)
        and rates[100] == pytest.approx(1.0)
        and rates[1000] == pytest.approx(0.0)
    )
    assert (np.diff(rates[:101]) > 0).all() and (np.diff(rates[100:]) < 0).all()
    assert rates[550] == pytest.approx(0.5)
