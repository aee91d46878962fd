"""The training loop: demonstrations in, a folder with checkpoints and logs out.

Everything drawn depends on the seed and the step alone, so a training that was interrupted goes on as if nothing had
happened, and several processes learn what one would (drop-out and styles aside, which each draws for its own share).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fabg import expression
from fabg.demos.reader import Dataset
from fabg.errors import ConfigError, FabgError, InputError
from fabg.learn.batches import Batch, Batches, counted
from fabg.learn.checkpoint import (
    NAME,
    Checkpoint,
    load_weights,
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)
from fabg.learn.config import TrainConfig
from fabg.learn.data import Demonstrations, read_demonstrations
from fabg.learn.model import ActionChunkingTransformer, Scales
from fabg.learn.processes import Team
from fabg.policy.task_texts import name_of

_ANGLES_DEG = (0, 5, 10, 15, 20, 25)
"""Steps of a chunk at which the gaze's error is told."""


@dataclass(frozen=True)
class Progress:
    """How far a training is, for people: told every few steps.

    `row` holds the figures of this step, and those of the validation when there was one; `trouble` is what should be
    known and does not end the training.
    """

    step: int
    steps: int
    samples_a_second: float
    row: dict[str, float]
    trouble: str = ""


Tell = Callable[[Progress], None]


class TrainingDiverged(FabgError):
    """The loss is not finite any more; the last checkpoint is from before."""


class Training:
    """A training in a folder.

    Parameters
    ----------
    config
        What to train.
    out
        Folder of the checkpoint.
    team
        This process among others.
    resume
        Go on from the checkpoint in `out`.
    read_tell
        Called while the data are read, as in `read_demonstrations`.

    Raises
    ------
    ConfigError
        When the folder holds a training and `resume` is not set, or it is another training.
    InputError, ModelFileError
        When data or the checkpoint cannot be used.
    """

    def __init__(
        self, config: TrainConfig, out: Path, team: Team, *, resume: bool = False,
        read_tell: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:  # fmt: skip
        self.config, self.out, self.team = config, out, team
        self.path = out / NAME
        self._rate = 0.0
        before = self._before(resume)
        torch.set_num_threads(config.threads or torch.get_num_threads())
        self.demonstrations = read_demonstrations(config, tell=read_tell)
        if before is not None:
            self._same_data(before)
        self.batches = Batches(
            self.demonstrations, config.samples, config.seed, _pictures(config, self.demonstrations)
        )
        torch.manual_seed(config.seed)
        scales = Scales.of(self.demonstrations)
        if not scales.moves.any():
            raise InputError(
                f"the actions of {', '.join(config.data)} never change: there is nothing to learn"
            )
        self.model = ActionChunkingTransformer(config.model, self.demonstrations.layout, scales).to(
            team.device
        )
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.step = 0
        self.log: list[dict[str, float]] = []
        if before is not None:
            load_weights(self.model, before.weights, str(self.path))
            restore_optimizer(self.optimizer, before.optimizer)
            self.step, self.log = before.step, before.log
        self._shared = team.shared(_Losses(self.model))

    def run(self, tell: Tell = lambda progress: None, stop: Callable[[], bool] = lambda: False) -> bool:
        """Train to the end; return False when `stop` ended it before, with a checkpoint written.

        Raises
        ------
        TrainingDiverged
            When the loss is not finite.
        ConfigError
            When the last checkpoint cannot be written.
        """
        c, began, done = self.config, time.monotonic(), 0
        if not self.log:
            self._note({"step": self.step} | self.validate(), tell)
        while self.step < c.steps and not self.team.any(stop()):
            figures = self._learn()
            done += 1
            last = self.step == c.steps
            self._rate = done * c.batch / (time.monotonic() - began)
            if self.step % c.validate_every == 0 or last:
                self._note({"step": self.step} | figures | self.validate(), tell)
            else:
                self._tell(tell, figures)
            if self.step % c.checkpoint_every == 0 and not last:
                try:
                    self.save()
                except ConfigError as error:
                    self._tell(tell, figures, f"the checkpoint of step {self.step} was not written: {error}")
        self.save()
        return self.step >= c.steps

    def save(self) -> None:
        """Write the checkpoint.

        Raises
        ------
        ConfigError
            When it cannot be written; the one before is still there.
        """
        if not self.team.leads:
            return
        state = Checkpoint(
            self.step, self.config, self.demonstrations.layout, self.model.state_dict(),
            optimizer_tensors(self.optimizer), self.log, self.facts(),
        )  # fmt: skip
        write_checkpoint(self.path, state)

    def facts(self) -> dict[str, Any]:
        """Return what the model card tells of the data."""
        d = self.demonstrations
        episodes = {int(e): int(t) for e, t in zip(d.episode, d.task, strict=True)}
        return {
            "data": [Path(folder).name for folder in self.config.data],
            "episodes": {
                name_of(text): sum(t == k for t in episodes.values()) for k, text in enumerate(d.layout.tasks)
            },
            "episodes_held_out": len({*d.episode[d.held_out].tolist()}),
            "samples": len(d),
            "minutes": round(len(d.actions) * d.layout.dt_s / 60.0, 1),
            "notes": list(d.notes),
        }

    def _before(self, resume: bool) -> Checkpoint | None:
        if not resume:
            if self.path.exists():
                raise ConfigError(
                    f"{str(self.out)!r} holds a training: add --resume to go on, or name another folder with --out"
                )
            return None
        before = read_checkpoint(self.path)
        ours, theirs = self.config.to_json(), before.config.to_json()
        free = ("steps", "threads", "device", "checkpoint_every", "validate_every", "memory_gb", "data")
        other = [name for name in ours if name not in free and ours[name] != theirs[name]]
        if other:
            name = other[0]
            raise ConfigError(
                f"{name} of the training in {str(self.out)!r} is {theirs[name]}, not {ours[name]}: go on with the same "
                "configuration, or begin anew in another folder"
            )
        return before

    def _same_data(self, before: Checkpoint) -> None:
        """See that a checkpoint was trained on these data: others would be held out otherwise."""
        if before.layout != self.demonstrations.layout:
            raise ConfigError(
                f"the checkpoint in {str(self.out)!r} has another layout, for the tasks "
                f"{', '.join(name_of(text) for text in before.layout.tasks)}: begin anew in another folder"
            )
        now = self.facts()
        for name in ("episodes", "samples"):
            if before.facts.get(name) != now[name]:
                raise ConfigError(
                    f"the data have {name} {now[name]}, and the training in {str(self.out)!r} had "
                    f"{before.facts.get(name)}: go on with the same data, or begin anew in another folder"
                )

    def _learn(self) -> dict[str, float]:
        """Do one step; return its loss, and the divergence of the styles, over all processes."""
        c = self.config
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = c.learning_rate * one_cycle((self.step + 0.5) / c.steps, c.warm_up)
        batch = self._on_device(self.batches.train(self.step, c.batch, self.team.rank, self.team.size))
        generator = torch.Generator().manual_seed(
            c.seed * 1_000_003 + self.step * self.team.size + self.team.rank
        )
        # Drop-out draws from the global generator: seeded by the step, a resumed training draws the same.
        torch.manual_seed(c.seed * 1_000_003 + self.step * self.team.size + self.team.rank)
        error, divergence = self._shared(batch, generator)
        # Each share was divided by what counts in it: this makes the mean over processes the loss of the whole batch.
        count = counted(batch).sum()
        error = error * (count / self.team.mean(count).clamp(min=1e-6))
        loss = error + c.kl_weight * divergence
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), c.clip)
        figures = self.team.mean(torch.stack([error.detach(), divergence.detach()]))
        if not (torch.isfinite(figures).all() and torch.isfinite(norm)):
            before = (
                f"; the last checkpoint, {str(self.path)!r}, is from before" if self.path.exists() else ""
            )
            raise TrainingDiverged(
                f"the loss is {float(figures[0])} and its gradient {float(norm)} at step {self.step}: lower "
                f"learning_rate, now {c.learning_rate}, and begin anew in another folder{before}"
            )
        self.optimizer.step()
        self.step += 1
        return {"loss": float(figures[0]), "kl": float(figures[1])}

    def _note(self, row: dict[str, float], tell: Tell) -> None:
        self.log.append(row)
        self._tell(tell, row)

    def _tell(self, tell: Tell, row: dict[str, float], trouble: str = "") -> None:
        tell(Progress(self.step, self.config.steps, self._rate, row, trouble))

    def validate(self) -> dict[str, float]:
        """Return errors on the held-out episodes, without a style; empty when there are none.

        ``val_loss`` as in training; ``gaze_deg@<ms>``: mean error of the eyes' yaw in space (head and left eye), so
        long after the image; ``shape@<ms>``: mean error of those shapes that move.
        """
        if not len(self.batches.validation_indices):
            return {}
        self.model.eval()
        layout = self.demonstrations.layout
        moves = self.model.moves.bool()
        steps = [k for k in _ANGLES_DEG if k < layout.chunk_steps]
        losses: list[tuple[float, int]] = []
        gaze, shape = np.zeros(len(steps)), np.zeros(len(steps))
        with torch.inference_mode():
            for held_out in self.batches.validation():
                batch = self._on_device(held_out)
                out = self.model(batch)
                scaled = ((out - batch["actions"]) / self.model.action_spread).abs()[..., moves].mean(-1)
                error = (out - batch["actions"])[:, steps]
                count = len(error)
                losses.append((float((scaled * batch["valid"]).sum() / batch["valid"].sum()), count))
                yaw = error[..., expression.INDEX["headYaw"]] + error[..., expression.INDEX["eyeYawLeft"]]
                gaze += torch.rad2deg(yaw.abs()).sum(0).cpu().numpy()
                shapes = moves[: expression.N_SHAPES]
                if shapes.any():
                    shape += (
                        error[..., : expression.N_SHAPES][..., shapes].abs().mean(-1).sum(0).cpu().numpy()
                    )
        total = sum(count for _, count in losses)
        found = {"val_loss": sum(value * count for value, count in losses) / total}
        for k, step in enumerate(steps):
            name = f"{step * layout.dt_s * 1e3:.0f}"
            found[f"gaze_deg@{name}"] = float(gaze[k] / total)
            found[f"shape@{name}"] = float(shape[k] / total)
        return found

    def _on_device(self, batch: Batch) -> Batch:
        return {name: value.to(self.team.device, non_blocking=True) for name, value in batch.items()}


class _Losses(nn.Module):
    """The losses as a forward pass, which is what gradients are shared over."""

    def __init__(self, model: ActionChunkingTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return error and divergence."""
        return self.model.losses(batch, generator)


def one_cycle(share: float, warm_up: float) -> float:
    """Return the share of the learning rate at a share of the steps: up along a cosine, down along another."""
    if share < warm_up:
        return 0.04 + 0.96 * 0.5 * (1.0 - math.cos(math.pi * share / warm_up))
    return 0.5 * (1.0 + math.cos(math.pi * min((share - warm_up) / (1.0 - warm_up), 1.0)))


def _pictures(config: TrainConfig, demonstrations: Demonstrations) -> Any:
    if not demonstrations.layout.sees_pictures:
        return None
    from fabg.learn.pictures import Pictures

    layout = demonstrations.layout
    return Pictures(
        [Dataset(Path(folder)) for folder in config.data], demonstrations.frames,
        size=(layout.picture_height, layout.picture_width), depth=layout.depth, memory_gb=config.memory_gb,
    )  # fmt: skip
