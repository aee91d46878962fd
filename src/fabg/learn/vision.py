"""Two images and depth become tokens on one grid.

As in the paper: a backbone gives semantic tokens of both views, a small CNN reads the Gaussian-filtered depth, and a
linear layer fuses what stands in the same place of the grid. The cameras do not move, so a place in the grid is a
direction in the robot's base frame; the disparity of the views and the depth say how far it is.

Two backbones: ``compact``, a CNN trained from scratch that is fast on one core, and ``dinov2``, which needs the
package transformers and its weights on this machine (Oquab et al., 2023, arXiv 2304.07193).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from fabg.errors import ConfigError, check_ranges

BACKBONES = ("compact", "dinov2")
STRIDE = 16
"""Pixels between two places of the grid, down and across."""
NEAREST_M = 0.12
"""Nothing is nearer than this, m: inverse depth times this is 0..1."""

_GROUPS = 8
_PATCH = 14  # DINOv2's
_MEAN = (123.675, 116.28, 103.53)  # of ImageNet's images, as DINOv2 was trained
_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """How images are read.

    Attributes
    ----------
    backbone
        "compact" or "dinov2".
    depth
        Whether there is depth.
    size
        Height and width of the images, px; multiples of 16.
    channels
        Of the compact backbone's tokens.
    depth_channels
        Of the depth's tokens.
    weights
        DINOv2's: a folder, or a name that has been downloaded before.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    backbone: str = "compact"
    depth: bool = True
    size: tuple[int, int] = (96, 128)
    channels: int = 128
    depth_channels: int = 64
    weights: str = "facebook/dinov2-small"

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ConfigError(f"backbone is {self.backbone!r}: expected one of {', '.join(BACKBONES)}")
        if len(self.size) != 2 or any(n < STRIDE or n % STRIDE for n in self.size):
            raise ConfigError(f"size is {self.size}: expected a height and a width, multiples of {STRIDE} px")
        check_ranges(self, {"channels": (16, 1024), "depth_channels": (16, 1024)})
        for name in ("channels", "depth_channels"):
            if getattr(self, name) % 16:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected a multiple of 16")


class Backbone(Protocol):
    """Reads one view: RGB (B, 3, h, w), levels 0..255 as float, to (B, channels, rows, columns)."""

    def __call__(self, image: Tensor) -> Tensor:
        """Return what stands at each place of the grid."""


class Eyes(nn.Module):
    """Tokens of two images and depth.

    Parameters
    ----------
    config
        How images are read.
    width
        Numbers of a token.
    backbone
        Takes the place of the one that `config` names: any module that is a `Backbone`.

    Raises
    ------
    ConfigError
        When the backbone's package or weights are missing.
    """

    def __init__(self, config: VisionConfig, width: int, backbone: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone or _backbone(config)
        with torch.no_grad():
            _, channels, *grid = self.backbone(torch.zeros(1, 3, *config.size)).shape
        self.grid: tuple[int, int] = (grid[0], grid[1])
        """Rows and columns of the grid."""
        self.depth = _pyramid(2, config.depth_channels) if config.depth else None
        self.fuse = nn.Linear(2 * channels + config.depth_channels * config.depth, width)
        self.position = nn.Parameter(0.02 * torch.randn(1, grid[0] * grid[1], width))

    @property
    def tokens(self) -> int:
        """How many tokens there are."""
        return self.grid[0] * self.grid[1]

    def forward(self, left: Tensor, right: Tensor, depth: Tensor | None = None) -> Tensor:
        """Return the tokens, row by row.

        Parameters
        ----------
        left, right
            RGB, (B, 3, h, w), levels 0..255 as uint8 or float.
        depth
            Of the left camera, (B, 1, h, w), m, 0 where unknown; None when the configuration has none.

        Returns
        -------
        (B, tokens, width).
        """
        both = self.backbone(torch.cat([left, right]).float())
        seen = list(both.chunk(2))
        if self.depth is not None:
            if depth is None:
                raise ConfigError(
                    "depth is missing: these eyes were made for it; pass it, or set depth to false"
                )
            far = self.depth(nearness(depth))
            if far.shape[-2:] != both.shape[-2:]:
                far = functional.interpolate(far, self.grid, mode="bilinear")
            seen.append(far)
        tokens: Tensor = self.fuse(torch.cat(seen, dim=1).flatten(2).transpose(1, 2))
        return tokens + self.position


def nearness(depth: Tensor) -> Tensor:
    """Return inverse depth, 1 at `NEAREST_M` and 0 far away or where unknown, and a mask of what is known.

    Parameters
    ----------
    depth
        (B, 1, h, w), m, 0 where unknown.

    Returns
    -------
    (B, 2, h, w).
    """
    depth = depth.float()
    known = (depth > 0).float()
    return torch.cat([known * NEAREST_M / depth.clamp(min=NEAREST_M), known], dim=1)


class Compact(nn.Module):
    """A CNN of four halvings: (B, 3, h, w) to (B, channels, h/16, w/16).

    Parameters
    ----------
    channels
        Of the result, a multiple of 16.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = _pyramid(3, channels)

    def forward(self, image: Tensor) -> Tensor:
        """Return what stands at each place of the grid."""
        seen: Tensor = self.layers(image / 64.0 - 2.0)
        return seen


class Dinov2(nn.Module):
    """DINOv2's patch tokens of an image that is resized to whole patches. It is not trained further.

    Parameters
    ----------
    model
        A `transformers.Dinov2Model`.
    size
        Height and width of the images, px.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.rows, self.columns = (max(round(n / _PATCH), 1) for n in size)
        self.register_buffer("mean", torch.tensor(_MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).reshape(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Dinov2:
        """Stay as it is: what is not trained has no drop-out either."""
        del mode
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the patch tokens, (B, channels, rows, columns)."""
        size = (self.rows * _PATCH, self.columns * _PATCH)
        image = functional.interpolate((image - self.mean) / self.std, size, mode="bilinear")
        patches = self.model(pixel_values=image).last_hidden_state[:, 1:]
        seen: Tensor = patches.transpose(1, 2).unflatten(2, (self.rows, self.columns))
        return seen


class Augment:
    """Changes light, contrast, tint and noise of training images; nothing moves.

    Both views of a pair change alike, as under one lamp; noise is each pixel's own.

    Parameters
    ----------
    brightness
        Levels are shifted by up to this share of the range.
    contrast
        The distance from the mean level is changed by up to this share.
    tint
        Each colour is changed by up to this share.
    noise
        Standard deviation, levels, at most.
    """

    def __init__(
        self, *, brightness: float = 0.15, contrast: float = 0.3, tint: float = 0.1, noise: float = 6.0
    ) -> None:
        self.brightness, self.contrast, self.tint, self.noise = brightness, contrast, tint, noise

    def __call__(self, left: Tensor, right: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return both views as other light and another camera would show them.

        Parameters
        ----------
        left, right
            (B, 3, h, w), levels 0..255.
        generator
            Everything random comes from it.

        Returns
        -------
        float32, the same shapes, levels 0..255.
        """

        def within(limit: float, channels: int = 1) -> Tensor:
            return limit * (2.0 * torch.rand(len(left), channels, 1, 1, generator=generator) - 1.0)

        gain = (1.0 + within(self.contrast)) * (1.0 + within(self.tint, 3))
        shift = 255.0 * within(self.brightness)
        noise = self.noise * torch.rand(len(left), 1, 1, 1, generator=generator)
        middle = torch.stack([left, right]).float().mean(dim=(0, 2, 3, 4))[:, None, None, None]

        def changed(image: Tensor) -> Tensor:
            light = (image.float() - middle) * gain + middle + shift
            return (light + noise * torch.randn(image.shape, generator=generator)).clamp_(0.0, 255.0)

        return changed(left), changed(right)


def _pyramid(inputs: int, channels: int) -> nn.Sequential:
    widths = (channels // 8, channels // 4, channels // 2, channels)
    layers: list[nn.Module] = []
    for number, width in enumerate(widths):
        kernel = 5 if number == 0 else 3
        layers += [
            nn.Conv2d(inputs, width, kernel, stride=2, padding=kernel // 2),
            nn.GroupNorm(min(_GROUPS, width // 2), width),
            nn.ReLU(),
        ]
        inputs = width
    return nn.Sequential(*layers)


def _backbone(config: VisionConfig) -> nn.Module:
    if config.backbone == "compact":
        return Compact(config.channels)
    remedy = (
        "pip install transformers, and download the weights once with "
        f"`huggingface-cli download {config.weights}`; or choose backbone: compact"
    )
    try:
        from transformers import Dinov2Model
    except ImportError as error:
        raise ConfigError(f"backbone 'dinov2' needs the package transformers ({error}): {remedy}") from None
    try:
        model = Dinov2Model.from_pretrained(config.weights, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"weights {config.weights!r} of DINOv2 are not on this machine ({error}): {remedy}"
        ) from error
    return Dinov2(model, config.size)
