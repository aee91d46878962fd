"""From a checkpoint to a model that needs no torch: an ONNX file, its card, and a page about it."""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fabg import __version__
from fabg.errors import EnvironmentProblem, FabgError
from fabg.files import write_bytes, write_json, write_text
from fabg.learn.checkpoint import Checkpoint, load_weights, read_checkpoint
from fabg.learn.model import ActionChunkingTransformer
from fabg.policy.card import ModelCard, card_path
from fabg.policy.layout import Layout
from fabg.policy.task_texts import name_of

LARGEST_DIFFERENCE = 1e-4
"""Exported and trained model must agree to this, in units of the actions (shares of 1, rad)."""
_OPSET = 18
_CHECKS = 8


class ExportFailed(FabgError):
    """The exported model does not say what the trained one says."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    model: Path
    card: ModelCard
    difference: float


def export(checkpoint: Path, out: Path, *, name: str | None = None) -> Exported:
    """Write ``out`` (ONNX), its card (JSON) and a page about it (Markdown).

    Parameters
    ----------
    checkpoint
        File of a training.
    out
        Where to; the suffix becomes ``.onnx``.
    name
        Of the model; that of the configuration by default.

    Raises
    ------
    ModelFileError
        When the checkpoint cannot be used.
    ExportFailed
        When the exported model differs from the trained one by more than `LARGEST_DIFFERENCE`, or says NaN.
    """
    state = read_checkpoint(checkpoint)
    model = ActionChunkingTransformer(state.config.model, state.layout)
    load_weights(model, state.weights, str(checkpoint))
    model.eval()
    data = _onnx(model, state.layout)
    difference = _largest_difference(model, data, state.layout)
    if not difference <= LARGEST_DIFFERENCE:
        raise ExportFailed(
            f"the exported model differs from the trained one by {difference:.2g}: expected at most "
            f"{LARGEST_DIFFERENCE:g}"
        )
    out = out.with_suffix(".onnx")
    card = ModelCard(
        name=name or state.config.name, layout=state.layout, sha256=hashlib.sha256(data).hexdigest(),
        training=_training(state), measured=_measured(state, difference),
    )  # fmt: skip
    write_bytes(out, data)
    write_json(card.to_json(), card_path(out))
    write_text(out.with_suffix(".md"), page(card, len(data)))
    return Exported(out, card, difference)


def page(card: ModelCard, size: int) -> str:
    """Return the card as a page for people, in Markdown."""
    layout, training, measured = card.layout, card.training, card.measured
    shapes = "\n".join(f"| `{name}` | {shape} |" for name, shape in layout.shapes().items())
    figures = "\n".join(f"| {name} | {_figure(value)} |" for name, value in measured.items())
    tasks = "\n".join(f"- `{name_of(text)}`: {text}" for text in layout.tasks)
    episodes = ", ".join(f"{name} {count}" for name, count in training["episodes"].items())
    notes = "".join(f"\n- {note}" for note in training["notes"])
    return f"""# Model card: {card.name}

An action chunking transformer that answers people with a 25-joint head. Licence of the weights: {card.licence}.
{size / 1e6:.1f} MB, SHA-256 `{card.sha256}`.

## What it does

{tasks}

Out of what was seen until the newest image it tells {layout.chunk_steps} expressions of {layout.action_size} numbers,
{layout.dt_s * 1e3:g} ms apart ({1 / layout.dt_s:g} a second), the first for the time of that image.

| input | shape |
|---|---|
{shapes}

`history` is {layout.history_steps} moments, {layout.history_step_s * 1e3:g} ms apart, the newest first; each is a row
of `fabg.policy.features`, its age in s, and 1 when there was one. Output: `actions`
(1, {layout.chunk_steps}, {layout.action_size}), 52 ARKit shapes (0..1) and 9 angles (rad).

## What it was trained on

Data sets {", ".join(training["data"])}: {training["minutes"]} minutes, {training["samples"]} samples;
episodes: {episodes} ({training["episodes_held_out"]} held out).
{training["steps"]} steps of {training["batch"]}, seed {training["seed"]}; {training["parameters"]:,} parameters.{notes}

## Measured on the held-out episodes

| what | value |
|---|---|
{figures}

`val_loss` is the L1 error in spreads of the actions; `gaze_deg@T` the mean error of the gaze's yaw T ms after the
image; `shape@T` that of the shapes that move. `export_difference` is the largest difference of the exported model from
the trained one. How it does in the closed loop is the benchmark's to say: `fabg bench latency --policy MODEL.onnx`.

## Limits

It knows what its demonstrators did and nothing else. Who they were, and who the people in front of them were, decides
how it treats others: look at it before you let it meet anybody.
"""


def _onnx(model: ActionChunkingTransformer, layout: Layout) -> bytes:
    names = list(layout.shapes())
    example = tuple(torch.zeros(shape) for shape in layout.shapes().values())
    try:
        import onnxscript  # noqa: F401 - the exporter's own need, named here with the remedy
    except ImportError as error:
        raise EnvironmentProblem("onnxscript is missing: python3 tools/setup_env.py --with train") from error
    for noisy in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _ByName(model, names), example, dynamo=True, opset_version=_OPSET, input_names=names,
            output_names=["actions"], verbose=False,
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    proto.producer_name, proto.producer_version = "fabg", __version__
    return bytes(proto.SerializeToString())


class _ByName(nn.Module):
    """Takes the inputs one by one, as an ONNX file does."""

    def __init__(self, model: ActionChunkingTransformer, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *values: Tensor) -> Tensor:
        """Return the actions."""
        return self.model(dict(zip(self.names, values, strict=True)))  # type: ignore[no-any-return]


def _largest_difference(model: ActionChunkingTransformer, data: bytes, layout: Layout) -> float:
    """Ask both models about random inputs, and return by how much their answers differ at most."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(_CHECKS):
        feed = _example(layout, rng)
        (exported,) = session.run(["actions"], feed)
        with torch.inference_mode():
            trained = model({name: torch.from_numpy(value) for name, value in feed.items()}).numpy()
        # Not max(): it would pass over NaN.
        worst = float(np.maximum(worst, np.abs(exported - trained).max()))
    return worst


def _example(layout: Layout, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    feed = {name: rng.normal(size=shape).astype(np.float32) for name, shape in layout.shapes().items()}
    for name in ("left", "right"):
        if name in feed:
            feed[name] = rng.integers(0, 256, feed[name].shape).astype(np.float32)
    if "depth" in feed:
        feed["depth"] = np.abs(feed["depth"])
    feed["task"][:] = np.eye(len(layout.tasks), dtype=np.float32)[rng.integers(len(layout.tasks))]
    feed["prefix_mask"] = (np.arange(layout.chunk_steps) < rng.integers(layout.chunk_steps))[None].astype(
        np.float32
    )
    return feed


def _training(state: Checkpoint) -> dict[str, Any]:
    config = state.config
    weights = sum(v.numel() for name, v in state.weights.items() if not name.startswith("recogniser."))
    return dict(state.facts) | {
        "steps": state.step, "batch": config.batch, "seed": config.seed, "parameters": weights, "fabg": __version__,
        "configuration": config.to_json() | {"data": list(state.facts["data"])},
    }  # fmt: skip


def _measured(state: Checkpoint, difference: float) -> dict[str, float]:
    last: Mapping[str, float] = state.log[-1] if state.log else {}
    kept = {name: value for name, value in last.items() if name == "val_loss" or "@" in name}
    return {**kept, "export_difference": difference}


def _figure(value: float) -> str:
    return f"{value:.3g}"
