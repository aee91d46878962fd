"""What is exported says what was trained, and comes with a card that tells the truth."""

import hashlib
import json
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fabg.errors import ConfigError, EnvironmentProblem, ModelFileError
from fabg.learn import export as module
from fabg.learn.export import ExportFailed, export
from fabg.policy.card import read_model
from tests.learn.tiny import TEXTS, batch, layout, network, write_run


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model with a style, that sees joints, and where it was exported to."""
    folder = tmp_path_factory.mktemp("export")
    model = network(latent=2, proprioception=0.5, still=(3, 7))
    return model, export(write_run(folder, model), folder / "out.x", name="nice")


def agrees(model, path, lay, seeds, pixels=None):
    """The largest difference between the file and the model, over random inputs one by one."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst, said = 0.0, []
    for seed in range(seeds):
        feed = {name: value for name, value in batch(seed, 1, lay).items() if name in lay.shapes()}
        if pixels:
            feed |= pixels(seed)
        with torch.no_grad():  # not the fused kernels of inference mode
            trained = model(feed).numpy()
        (found,) = session.run(["actions"], {name: value.numpy() for name, value in feed.items()})
        said.append(found)
        worst = max(worst, float(np.abs(found - trained).max()))
        assert np.isfinite(found).all() and found.shape == (1, 6, 61)
    assert np.std(said, axis=0).max() > 1e-2  # inputs matter
    return worst


def test_exported_and_trained_agree(exported):
    model, done = exported
    assert agrees(model, done.model, model.layout, 200) < 1e-4
    assert 0.0 < done.difference < 1e-4


@pytest.mark.slow
def test_so_they_do_for_images(tmp_path):
    lay = layout(inputs="both", picture_height=32, picture_width=64)
    model = network(lay=lay)

    def pixels(seed):
        rng = np.random.default_rng(seed)
        left, right = (
            torch.from_numpy(rng.integers(0, 256, (1, 3, 32, 64)).astype(np.float32)) for _ in "lr"
        )
        return {
            "left": left,
            "right": right,
            "depth": torch.from_numpy(rng.uniform(0, 2, (1, 1, 32, 64))).float(),
        }

    done = export(write_run(tmp_path, model), tmp_path / "out.onnx")
    assert agrees(model, done.model, lay, 20, pixels) < 1e-4
    assert done.card.name == "tiny"  # that of the training, when none is told


def test_the_card_tells_what_it_is(exported):
    model, done = exported
    assert done.model.name == "out.onnx"
    data, card = read_model(done.model)
    assert card.sha256 == hashlib.sha256(done.model.read_bytes()).hexdigest() and card == done.card
    assert card.name == "nice" and card.layout == model.layout and len(data) > 1000
    # The recogniser stays behind: it is not needed to run.
    kept = [value for name, value in model.state_dict().items() if not name.startswith("recogniser.")]
    assert card.training["parameters"] == sum(value.numel() for value in kept)
    assert card.training["steps"] == 3 and card.training["episodes"] == {"affective": 2}
    assert card.measured == {"val_loss": 0.25, "gaze_deg@0": 1.5, "export_difference": done.difference}
    # No place on the machine it was made on.
    text = json.dumps(card.to_json())
    assert card.training["configuration"]["data"] == ["made up"] and str(done.model.parent) not in text

    page = done.model.with_suffix(".md").read_text()
    for said in (
        "# Model card: nice",
        card.sha256,
        "52 ARKit shapes",
        TEXTS[0],
        "made up",
        "a note",
        "| val_loss | 0.25 |",
    ):
        assert said in page
    assert "| `history` | (1, 4, 298) |" in page and "50 a second" in page


def spoil(path, **change):
    """Write a checkpoint anew with other tensors."""
    with safe_open(path, "pt") as file:
        about = file.metadata()
    save_file(load_file(path) | change, path, about)
    return path


def test_a_model_that_says_nan_is_not_exported(tmp_path):
    path = spoil(write_run(tmp_path, network()), **{"model.head.bias": torch.full((122,), torch.nan)})
    with pytest.raises(ExportFailed, match="differs from the trained one by nan"):
        export(path, tmp_path / "a.onnx")
    assert not list(tmp_path.glob("a.*"))


def test_a_model_that_says_something_else_is_not_exported(tmp_path, monkeypatch):
    path, write = write_run(tmp_path, network(0)), module._onnx
    other = network(1)
    monkeypatch.setattr(module, "_onnx", lambda model, lay: write(other, lay))
    with pytest.raises(ExportFailed, match="expected at most 0.0001"):
        export(path, tmp_path / "a.onnx")
    assert not list(tmp_path.glob("a.*"))


def test_what_cannot_be_exported(tmp_path, monkeypatch):
    with pytest.raises(ModelFileError, match="train first"):
        export(tmp_path / "none.safetensors", tmp_path / "a.onnx")
    path = write_run(tmp_path, network())
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        export(path, tmp_path / "file" / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(EnvironmentProblem, match=r"onnxscript is missing: .*--with train"):
        export(path, tmp_path / "a.onnx")
    monkeypatch.undo()
    wrong = spoil(path, **{"model.task.bias": torch.zeros(3)})
    with pytest.raises(ModelFileError, match="do not fit the model"):
        export(wrong, tmp_path / "a.onnx")
