"""Checkpoints: all that is needed to go on with a training as if nothing had happened, in one safetensors file.

Written whole or not at all: a kill or a full disk leaves the last one as it was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fabg.errors import ConfigError, ModelFileError
from fabg.files import write_bytes
from fabg.learn.config import TrainConfig, from_table
from fabg.policy.layout import Layout

NAME = "checkpoint.safetensors"
FORMAT = "fabg-checkpoint-1"
_REMEDY = "begin anew without --resume, in a new folder"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """State of a training.

    Attributes
    ----------
    step
        Steps done.
    config, layout
        Of the training.
    weights, optimizer
        Tensors of the model, and of the optimizer by parameter number and name.
    log
        Figures of the training so far, a row each.
    facts
        What the model card tells of the data.
    """

    step: int
    config: TrainConfig
    layout: Layout
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    log: list[dict[str, float]]
    facts: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the old one stays until the new one is whole.

    Raises
    ------
    ConfigError
        When the place cannot be written, or is full.
    """
    tensors = {f"model.{name}": value.contiguous() for name, value in checkpoint.weights.items()}
    tensors |= {f"optimizer.{name}": value.contiguous() for name, value in checkpoint.optimizer.items()}
    about = {
        "format": FORMAT, "step": checkpoint.step, "config": checkpoint.config.to_json(),
        "layout": checkpoint.layout.to_json(), "log": checkpoint.log, "facts": checkpoint.facts,
    }  # fmt: skip
    write_bytes(path, save(tensors, {"fabg": json.dumps(about)}))


def read_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint.

    Raises
    ------
    ModelFileError
        When it is missing, damaged, or of another kind.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["fabg"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if about["format"] != FORMAT:
            raise ConfigError(f"format is {about['format']!r}: expected {FORMAT!r}")
        config, layout = from_table(about["config"]), Layout.from_json(about["layout"])
        step, log, facts = int(about["step"]), list(about["log"]), dict(about["facts"])
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
    except FileNotFoundError as error:
        raise ModelFileError(
            f"there is no checkpoint {str(path)!r}: train first, or name another run"
        ) from error
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"the checkpoint {str(path)!r} cannot be used ({error}): {_REMEDY}") from error
    return Checkpoint(step, config, layout, parts["model"], parts["optimizer"], log, facts)


def load_weights(model: torch.nn.Module, weights: dict[str, Tensor], where: str) -> None:
    """Put weights into a model.

    Raises
    ------
    ModelFileError
        When they are those of another model.
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise ModelFileError(f"the weights of {where} do not fit the model ({first}): {_REMEDY}") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of AdamW as tensors named ``<parameter>.<what>``."""
    state = optimizer.state_dict()["state"]
    return {f"{k}.{name}": torch.as_tensor(v) for k, entry in state.items() for name, v in entry.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimizer the state that `optimizer_tensors` returned."""
    table = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, what = name.partition(".")
        state.setdefault(int(number), {})[what] = value
    table["state"] = state
    optimizer.load_state_dict(table)
