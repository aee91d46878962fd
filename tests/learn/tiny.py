"""Small data sets, models and trainings for the tests of learning: each takes about a second."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from fabg import expression
from fabg.demos.layout import Feature
from fabg.demos.writer import DatasetWriter
from fabg.learn.checkpoint import NAME, Checkpoint, write_checkpoint
from fabg.learn.config import TrainConfig, from_table
from fabg.learn.model import ActionChunkingTransformer, Scales
from fabg.learn.processes import Team
from fabg.policy import history
from fabg.policy.layout import Layout
from fabg.policy.task_texts import TASK_TEXTS

ALONE = Team(0, 1, torch.device("cpu"))
MODEL = {
    "width": 16, "heads": 2, "feedforward": 16, "layers": 1, "latent": 0, "dropout": 0.0, "query_steps": 2,
    "reflex": 32,
}  # fmt: skip
SAMPLES = {"history_steps": 4, "chunk_steps": 6, "prefix_steps": 4, "held_out": 0.25}
TASKS = ("affective", "tracking", "foveate", "gesture")
TEXTS = tuple(TASK_TEXTS[task] for task in TASKS)
NUMBERS = {"people": 198, "people_mask": 3, "hands": 46, "hands_mask": 2}


def table(*data, model=None, samples=None, **change):
    """A configuration as plain values."""
    return {
        "name": "tiny", "data": [str(folder) for folder in data], "steps": 40, "batch": 16, "threads": 1,
        "device": "cpu", "checkpoint_every": 10, "validate_every": 10,
        "model": MODEL | (model or {}), "samples": SAMPLES | (samples or {}),
    } | change  # fmt: skip


def config(*data, **change) -> TrainConfig:
    return from_table(table(*data, **change))


def layout(**change) -> Layout:
    return Layout(**{"tasks": TEXTS, "history_steps": 4, "chunk_steps": 6} | change)


def scales(seed=0, still=()) -> Scales:
    rng = np.random.default_rng(seed)
    moves = np.ones(expression.SIZE, bool)
    moves[list(still)] = False
    return Scales(
        rng.normal(size=history.SIZE).astype(np.float32),
        rng.uniform(0.5, 2.0, history.SIZE).astype(np.float32),
        rng.uniform(0.2, 0.4, expression.SIZE).astype(np.float32),
        rng.uniform(0.05, 0.2, expression.SIZE).astype(np.float32),
        moves,
    )


def network(seed=0, *, still=(), lay=None, **model) -> ActionChunkingTransformer:
    """A model with random weights; large ones, so that every input has a say."""
    lay = lay or layout()
    torch.manual_seed(seed)
    made = ActionChunkingTransformer(config("-", model=model).model, lay, scales(seed, still))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made.eval()


def batch(seed=0, count=5, lay=None):
    """What a model takes, by name; the masks of people and hands are 0 or 1 and vary."""
    lay = lay or layout()
    rng = np.random.default_rng(seed)
    found = {
        name: rng.normal(size=(count, *shape[1:])).astype(np.float32) for name, shape in lay.shapes().items()
    }
    found["task"] = np.eye(len(lay.tasks), dtype=np.float32)[rng.integers(len(lay.tasks), size=count)]
    if "history" in found:
        from fabg.policy import features

        moments = found["history"]
        for mask in (features.PEOPLE_MASK, features.HANDS_MASK, features.JOINTS_MASK):
            moments[..., mask] = rng.integers(0, 2, moments[..., mask].shape)
        moments[..., history.AGE] = rng.uniform(0.0, 0.1, moments.shape[:-1])
        moments[..., history.PRESENT] = 1.0
    found["prefix_mask"] = (np.arange(lay.chunk_steps) < rng.integers(0, lay.chunk_steps, (count, 1))).astype(
        np.float32
    )
    found["prefix"] = rng.uniform(0.0, 0.5, found["prefix"].shape).astype(np.float32)
    found["actions"] = rng.uniform(0.0, 0.5, found["prefix"].shape).astype(np.float32)
    found["valid"] = np.ones((count, lay.chunk_steps), np.float32)
    found["valid"][0, lay.chunk_steps - 2 :] = 0.0
    return {name: torch.from_numpy(value) for name, value in found.items()}


def write_run(folder: Path, model: ActionChunkingTransformer) -> Path:
    """Write a checkpoint of a model, as a training would leave it."""
    facts = {
        "data": ["made up"], "episodes": {"affective": 2}, "episodes_held_out": 1, "samples": 7, "minutes": 0.5,
        "notes": ["a note"],
    }  # fmt: skip
    log = [{"step": 3, "loss": 0.5, "val_loss": 0.25, "gaze_deg@0": 1.5}]
    made = config("-", model=asdict(model.config))
    write_checkpoint(folder / NAME, Checkpoint(3, made, model.layout, model.state_dict(), {}, log, facts))
    return folder / NAME


def write_set(
    root, episodes, *, fps=50, action=None, stamp=None, joints=25, sizes=None, without=(), task="look", frame=None
):  # fmt: skip
    """Write a data set whose episodes have so many frames.

    ``action(t)`` gives the 61 numbers at a time; ``stamp(k)`` the capture time of frame k; ``frame(episode, k)`` values
    in place of random ones.
    """
    sizes = NUMBERS | (sizes or {})
    features = {
        "observation.state": Feature("float32", (joints,)),
        "action": Feature("float32", (expression.SIZE,)),
        **{f"observation.{name}": Feature("float32", (size,)) for name, size in sizes.items()},
    }
    if stamp is not None:
        features["observation.stamp_s"] = Feature("float64", (1,))
    features = {name: feature for name, feature in features.items() if name not in without}
    action = action or (lambda t: np.full(expression.SIZE, 0.3 * np.sin(7.0 * t)))
    with DatasetWriter(root, fps, features, "head") as writer:
        for episode, frames in enumerate(episodes):
            rng = np.random.default_rng(episode)
            for k in range(frames):
                values = {name: rng.normal(size=feature.shape) for name, feature in features.items()}
                values["action"] = action(k / fps)
                if stamp is not None:
                    values["observation.stamp_s"] = [stamp(k)]
                for name in ("people_mask", "hands_mask"):
                    if f"observation.{name}" in features:
                        values[f"observation.{name}"] = rng.integers(0, 2, sizes[name])
                values |= frame(episode, k) if frame else {}
                writer.add_frame(task=task, **{name: values[name] for name in features})
            writer.end_episode()
    return Path(root)


def damage(root, key, row, value):
    """Put a value into a data set that its writer would have refused."""
    (path,) = (root / "data").glob("*/*.parquet")
    found = pq.read_table(path)
    column = found.column(key)
    rows = column.to_pylist()
    rows[row] = [value, *rows[row][1:]] if isinstance(rows[row], list) else value
    place = found.schema.get_field_index(key)
    pq.write_table(found.set_column(place, found.field(place), pa.array(rows, column.type)), path)
