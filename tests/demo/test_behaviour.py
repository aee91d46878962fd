"""What ``--policy`` and ``--task`` may be."""

from __future__ import annotations

import hashlib
import json

import pytest

from fabg.demo import behaviour as module
from fabg.demo.behaviour import Behaviour, behaviour
from fabg.errors import ConfigError, ModelFileError
from fabg.policy.card import ModelCard
from fabg.policy.layout import Layout
from fabg.policy.task_texts import TASK_TEXTS


@pytest.fixture
def model(tmp_path):
    """A file with the card of a model that was trained for one task."""
    path, data = tmp_path / "one.onnx", b"weights"
    layout = Layout(tasks=(TASK_TEXTS["tracking"],))
    card = ModelCard(name="one", layout=layout, sha256=hashlib.sha256(data).hexdigest())
    path.write_bytes(data)
    path.with_suffix(".json").write_text(json.dumps(card.to_json()))
    return path


def test_a_model_of_ones_own(model):
    assert behaviour(str(model), "tracking").parameters == {
        "policy": "learnt",
        "model": str(model),
        "task": "tracking",
    }


def test_the_nodes_own_defaults_are_empty(model, monkeypatch):
    monkeypatch.setattr(module, "shipped_model", lambda: model)
    assert behaviour().parameters == {"policy": "learnt", "model": "", "task": ""}
    assert behaviour("mirror").parameters == {"policy": "mirror", "model": "", "task": ""}


def test_a_task_that_was_not_learnt_is_refused(model, monkeypatch):
    with pytest.raises(ConfigError, match="foveate.*tracking"):
        behaviour(str(model), "foveate")
    monkeypatch.setattr(module, "shipped_model", lambda: model)
    with pytest.raises(ConfigError, match="foveate.*tracking"):
        behaviour("learnt", "foveate")
    with pytest.raises(ConfigError, match="knows no tasks"):
        behaviour("mirror", "tracking")


def test_an_altered_or_missing_model_is_refused_when_it_is_named(model):
    model.write_bytes(b"Weights")
    with pytest.raises(ModelFileError, match="altered"):
        behaviour(str(model))
    with pytest.raises(ModelFileError, match="cannot be read"):
        behaviour(str(model.with_name("none.onnx")))
    with pytest.raises(ConfigError, match="'Learnt'"):
        behaviour("Learnt")


def test_without_the_shipped_model_the_graph_falls_back(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "shipped_model", lambda: tmp_path / "none.onnx")
    assert behaviour() == Behaviour("learnt")
