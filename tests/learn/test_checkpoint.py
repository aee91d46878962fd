"""A checkpoint is the whole state, or refused; a write that fails leaves the last one."""

import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from fabg import files
from fabg.errors import ConfigError, ModelFileError
from fabg.learn.checkpoint import (
    FORMAT,
    NAME,
    Checkpoint,
    load_weights,
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)
from tests.learn.tiny import batch, config, network, write_run


def learn(model, optimizer, steps):
    for step in range(steps):
        optimizer.zero_grad()
        model.losses(batch(step), torch.Generator().manual_seed(step))[0].backward()
        optimizer.step()


def made(tmp_path, step=5):
    model = network(1)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    learn(model, optimizer, 3)
    log, facts = [{"step": 0, "val_loss": 0.7}, {"step": 5, "loss": 0.25}], {"samples": 3, "notes": ["ä"]}
    state = Checkpoint(
        step, config("demos"), model.layout, model.state_dict(), optimizer_tensors(optimizer), log, facts
    )
    write_checkpoint(tmp_path / "deep" / NAME, state)
    return tmp_path / "deep" / NAME, state, model, optimizer


def test_what_is_read_is_what_was_written(tmp_path):
    path, state, *_ = made(tmp_path)
    found = read_checkpoint(path)
    for name in ("step", "config", "layout", "log", "facts"):
        assert getattr(found, name) == getattr(state, name), name
    for name in ("weights", "optimizer"):
        ours, theirs = getattr(found, name), getattr(state, name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_optimizer_goes_on_as_if_nothing_had_happened(tmp_path):
    path, _, model, optimizer = made(tmp_path)
    found, other = read_checkpoint(path), network(2)
    load_weights(other, found.weights, "x")
    again = torch.optim.AdamW(other.parameters(), 1e-3)
    restore_optimizer(again, found.optimizer)
    learn(model, optimizer, 3)
    learn(other, again, 3)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    # It matters: without its state the weights would be others.
    load_weights(other, found.weights, "x")
    learn(other, torch.optim.AdamW(other.parameters(), 1e-3), 3)
    assert not all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_a_full_disk_leaves_the_last_one(tmp_path, monkeypatch):
    path, state, *_ = made(tmp_path)
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    for name in ("fdopen", "replace"):
        with monkeypatch.context() as patch:
            if name == "fdopen":
                patch.setattr(files.os, "fdopen", lambda handle, mode: os.close(handle) or full())
            else:
                patch.setattr(files.Path, "replace", full)
            with pytest.raises(ConfigError, match="No space left on device"):
                write_checkpoint(path, state)
        assert path.read_bytes() == before and read_checkpoint(path).step == 5
        assert [p.name for p in path.parent.iterdir()] == [NAME]


def test_a_file_that_is_missing_or_no_checkpoint(tmp_path):
    with pytest.raises(ModelFileError, match="no checkpoint .*train first"):
        read_checkpoint(tmp_path / NAME)
    with pytest.raises(ModelFileError):
        read_checkpoint(tmp_path)
    (tmp_path / NAME).write_bytes(b"")
    with pytest.raises(ModelFileError, match="begin anew"):
        read_checkpoint(tmp_path / NAME)
    save_file({"a": torch.zeros(2)}, tmp_path / NAME)
    with pytest.raises(ModelFileError, match="cannot be used"):
        read_checkpoint(tmp_path / NAME)


def about_of(path):
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["fabg"])


@pytest.mark.parametrize(
    "change, says",
    [
        ({"format": "fabg-checkpoint-0"}, f"fabg-checkpoint-0.*{FORMAT}"),
        ({"config": {"data": ["x"], "widht": 3}}, "'widht'"),
        ({"config": 3}, "cannot be used"),
        ({"layout": {}}, "layout"),
        ({"step": "many"}, "cannot be used"),
        ({"log": None}, "cannot be used"),
        ({"facts": 3}, "cannot be used"),
    ],
)
def test_what_is_written_about_it_must_fit(tmp_path, change, says):
    path = write_run(tmp_path, network())
    tensors, about = load_file(path), about_of(path)
    save_file(tensors, path, {"fabg": json.dumps(about | change)})
    with pytest.raises(ModelFileError, match=says):
        read_checkpoint(path)


def test_tensors_of_other_parts_are_refused(tmp_path):
    path = write_run(tmp_path, network())
    tensors, about = load_file(path), about_of(path)
    save_file(tensors | {"other.x": torch.zeros(1)}, path, {"fabg": json.dumps(about)})
    with pytest.raises(ModelFileError, match="other"):
        read_checkpoint(path)


def test_a_checkpoint_of_another_layout_version_is_refused(tmp_path):
    path = write_run(tmp_path, network())
    tensors, about = load_file(path), about_of(path)
    about["layout"]["version"] = 99
    save_file(tensors, path, {"fabg": json.dumps(about)})
    with pytest.raises(ModelFileError, match="version of the model is 99"):
        read_checkpoint(path)


def test_weights_of_another_model_are_refused(tmp_path):
    found = read_checkpoint(write_run(tmp_path, network()))
    with pytest.raises(ModelFileError, match=r"weights of runs/a do not fit the model .*begin anew"):
        load_weights(network(width=32), found.weights, "runs/a")
    with pytest.raises(ModelFileError):
        load_weights(network(latent=3), found.weights, "runs/a")


@settings(max_examples=60)
@given(data=st.data())
def test_damage_is_refused_or_harmless(tmp_path_factory, data):
    """Cut anywhere, or with other bytes in the header: an error that says so, and never another kind."""
    path = tmp_path_factory.mktemp("damage") / NAME
    write_run(path.parent, network())
    whole = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(whole[:8], "little")
    if data.draw(st.booleans()):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    else:
        at = data.draw(st.integers(0, header - 1))
        whole[at] = data.draw(st.integers(0, 255))
        path.write_bytes(whole)
    try:
        found = read_checkpoint(path)
        load_weights(network(), found.weights, "x")
    except ModelFileError as error:
        assert NAME in str(error) or "weights of x" in str(error)
    else:
        assert np.isscalar(found.step)
