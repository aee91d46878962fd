"""The action chunking transformer: what was seen in, expressions for the next moments out.

As in Zhao et al. 2023, "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware" (RSS, arXiv 2304.13705,
sec. IV): an encoder over the observation, a decoder whose queries are the steps of the chunk, L1 loss, and a style
variable of a conditional VAE that is 0 when running. A perceptron over all moments adds to what the transformer says.
Other than there, the observation is the last moments of what perception publishes (people, hands), or two images with
depth as in Zhang et al. 2025 (arXiv 2503.01363, sec. III), or both; and the first expressions of a chunk can be given,
which the rest then goes on from (training-time real-time chunking, arXiv 2512.05964, for a network without noise).

Normalisation is part of the model: numbers go in and out in their own units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fabg import expression
from fabg.learn.batches import Batch, counted
from fabg.learn.config import ModelConfig
from fabg.learn.data import Demonstrations
from fabg.policy import features, history
from fabg.policy.layout import Layout

_LEAST_SHAPE, _LEAST_RAD = 0.02, 0.02
"""Actions are not magnified beyond this: what hardly moves is not worth more."""
_LEAST_INPUT = 0.01
_STILL = 2e-3
"""An entry of the expression whose spread is below this is held at its mean."""
_FARTHEST = 8.0


@dataclass(frozen=True, eq=False)
class Scales:
    """Mean and spread of inputs, (history.SIZE,), and of actions, (61,); `moves` tells which entries are learnt."""

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    action_mean: NDArray[np.float32]
    action_spread: NDArray[np.float32]
    moves: NDArray[np.bool_]

    @classmethod
    def of(cls, d: Demonstrations) -> Scales:
        """Measure them on the demonstrations that are trained on; what is masked does not count."""
        chosen = np.unique(d.look[~d.held_out])
        mean, spread = features.spread_of(d.rows[chosen[chosen >= 0]])
        edges = np.zeros(len(d.actions) + 1, np.int64)  # samples that begin and end before each action
        np.add.at(edges, d.first[~d.held_out], 1)
        np.add.at(edges, d.last[~d.held_out] + 1, -1)
        actions = d.actions[np.cumsum(edges[:-1]) > 0].astype(np.float64)
        action_spread = actions.std(axis=0)
        least = np.full(expression.SIZE, _LEAST_SHAPE)
        least[expression.N_SHAPES :] = _LEAST_RAD
        return cls(
            np.append(mean, [0.0, 0.0]).astype(np.float32),
            np.append(np.maximum(spread, _LEAST_INPUT), [0.04, 1.0]).astype(np.float32),
            actions.mean(axis=0).astype(np.float32),
            np.maximum(action_spread, least).astype(np.float32),
            action_spread > _STILL,
        )


class ActionChunkingTransformer(nn.Module):
    """See the head of this file.

    Parameters
    ----------
    config
        Sizes.
    layout
        Inputs and outputs.
    scales
        Normalisation; None: to be loaded with the weights.
    """

    mean: Tensor
    spread: Tensor
    action_mean: Tensor
    action_spread: Tensor
    moves: Tensor
    shown: Tensor
    mask_of: Tensor

    def __init__(self, config: ModelConfig, layout: Layout, scales: Scales | None = None) -> None:
        super().__init__()
        self.config, self.layout = config, layout
        width, steps, size = config.width, layout.chunk_steps, layout.action_size
        self._keep_scales(scales)
        tokens = 2  # task, style
        if layout.sees_features:
            tokens += layout.history_steps // config.patch
            self.moments = nn.Linear(layout.moment_size * config.patch, width)
            if config.reflex:
                self.reflex = _Reflex(config, layout)
        if layout.sees_pictures:
            from fabg.learn.vision import Eyes, VisionConfig

            self.eyes = Eyes(
                VisionConfig(
                    backbone=config.backbone, depth=layout.depth,
                    size=(layout.picture_height, layout.picture_width),
                ),
                width,
            )  # fmt: skip
        self.task = nn.Linear(len(layout.tasks), width)
        self.style = nn.Linear(max(config.latent, 1), width)
        self.places = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.encoder = nn.TransformerEncoder(_layer(config), config.layers, enable_nested_tensor=False)
        together = config.query_steps
        self.queries = nn.Parameter(0.02 * torch.randn(1, steps // together, width))
        self.given = nn.Linear((size + 1) * together, width, bias=False)
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(
                width, config.heads, config.feedforward, config.dropout, "gelu", batch_first=True, norm_first=True
            ),
            config.decoder_layers,
        )  # fmt: skip
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, size * together)
        if config.latent:
            self.recogniser = _Recogniser(config, layout)

    def forward(self, batch: Batch, style: Tensor | None = None) -> Tensor:
        """Return actions (B, K, 61) in their own units; without a style, that of z = 0."""
        return self._out(self._decode(batch, style))

    def losses(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the L1 error in units of the actions' spreads, and the divergence of the style, nats."""
        wanted = (batch["actions"] - self.action_mean) / self.action_spread
        count = counted(batch)
        style, divergence = None, torch.zeros((), device=wanted.device)
        if self.config.latent:
            mean, log_variance = self.recogniser(wanted * self.moves)
            noise = torch.randn(mean.shape, generator=generator).to(mean.device)
            style = mean + noise * torch.exp(0.5 * log_variance)
            divergence = -0.5 * (1.0 + log_variance - mean**2 - log_variance.exp()).sum(-1).mean()
        if self.config.proprioception and "history" in batch:
            shown = (
                torch.rand(len(wanted), generator=generator).to(wanted.device) < self.config.proprioception
            )
            batch = batch | {"history": self._without_joints(batch["history"], ~shown)}
        error = (self._decode(batch, style) - wanted).abs() * self.moves
        per_step = error.sum(-1) / self.moves.sum()
        return (per_step * count).sum() / count.sum().clamp(min=1.0), divergence

    def _decode(self, batch: Batch, style: Tensor | None) -> Tensor:
        count = len(batch["task"])
        if style is None:
            style = torch.zeros(count, max(self.config.latent, 1), device=batch["task"].device)
        tokens = [self.task(batch["task"])[:, None], self.style(style)[:, None]]
        direct: Tensor | float = 0.0
        if self.layout.sees_features:
            moments = self._normalised(batch["history"])
            if self.config.reflex:
                direct = self.reflex(moments, batch["task"])
            tokens.append(self.moments(moments.reshape(count, -1, self.moments.in_features)))
        memory = torch.cat(tokens, dim=1) + self.places
        if self.layout.sees_pictures:
            memory = torch.cat([memory, self.eyes(batch["left"], batch["right"], batch.get("depth"))], dim=1)
        memory = self.encoder(memory)
        mask = batch["prefix_mask"][..., None]
        given = (batch["prefix"] - self.action_mean) / self.action_spread * self.moves * mask
        given = torch.cat([given, mask], dim=-1).reshape(count, -1, self.given.in_features)
        out = self.head(self.norm(self.decoder(self.queries + self.given(given), memory)))
        return out.reshape(count, self.layout.chunk_steps, -1) + direct  # type: ignore[no-any-return]

    def _normalised(self, moments: Tensor) -> Tensor:
        known = moments[..., self.mask_of] * self.shown
        return ((moments - self.mean) / self.spread * known).clamp(-_FARTHEST, _FARTHEST)

    def _without_joints(self, moments: Tensor, which: Tensor) -> Tensor:
        keep = torch.ones_like(moments[:, :1])
        keep[which, :, features.JOINTS.start : features.JOINTS_MASK.stop] = 0.0
        return moments * keep

    def _out(self, normalised: Tensor) -> Tensor:
        return normalised * self.action_spread * self.moves + self.action_mean

    def _keep_scales(self, scales: Scales | None) -> None:
        size = expression.SIZE
        values = scales or Scales(
            np.zeros(history.SIZE, np.float32), np.ones(history.SIZE, np.float32), np.zeros(size, np.float32),
            np.ones(size, np.float32), np.ones(size, bool),
        )  # fmt: skip
        for name in ("mean", "spread", "action_mean", "action_spread"):
            self.register_buffer(name, torch.from_numpy(np.asarray(getattr(values, name), np.float32)))
        self.register_buffer("moves", torch.from_numpy(values.moves.astype(np.float32)))
        shown = np.ones(history.SIZE, np.float32)
        if not self.config.proprioception:
            shown[features.JOINTS.start : features.JOINTS_MASK.stop] = 0.0
        self.register_buffer("shown", torch.from_numpy(shown), persistent=False)
        mask_of = np.append(features.MASK_OF, [history.PRESENT, history.PRESENT])
        self.register_buffer("mask_of", torch.from_numpy(mask_of), persistent=False)


class _Reflex(nn.Module):
    """A perceptron from all moments to the whole chunk."""

    def __init__(self, config: ModelConfig, layout: Layout) -> None:
        super().__init__()
        width, steps = config.reflex, layout.history_steps
        self.moment = nn.Linear(layout.moment_size, width // 4)
        self.layers = nn.Sequential(
            nn.Linear(steps * (width // 4) + len(layout.tasks), width), nn.GELU(), nn.Linear(width, width), nn.GELU(),
            nn.Linear(width, layout.chunk_steps * layout.action_size),
        )  # fmt: skip

    def forward(self, moments: Tensor, task: Tensor) -> Tensor:
        """Return normalised actions (B, K, 61) of normalised moments (B, H, moment)."""
        seen = torch.cat([self.moment(moments).flatten(1), task], dim=-1)
        return self.layers(seen).reshape(len(seen), -1, expression.SIZE)  # type: ignore[no-any-return]


class _Recogniser(nn.Module):
    """The encoder of the CVAE: tells the style of a demonstration from its actions."""

    def __init__(self, config: ModelConfig, layout: Layout) -> None:
        super().__init__()
        self.actions = nn.Linear(layout.action_size, config.width)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, config.width))
        self.places = nn.Parameter(0.02 * torch.randn(1, layout.chunk_steps + 1, config.width))
        self.encoder = nn.TransformerEncoder(_layer(config), 1, enable_nested_tensor=False)
        self.out = nn.Linear(config.width, 2 * config.latent)

    def forward(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the style of normalised actions (B, K, 61)."""
        tokens = torch.cat([self.token.expand(len(actions), -1, -1), self.actions(actions)], dim=1)
        mean, log_variance = self.out(self.encoder(tokens + self.places)[:, 0]).chunk(2, dim=-1)
        return mean, log_variance


def _layer(config: ModelConfig) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(
        config.width, config.heads, config.feedforward, config.dropout, "gelu", batch_first=True, norm_first=True
    )  # fmt: skip
