"""What a training is made of. A YAML file holds any of these values; the rest keep their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from fabg.errors import ConfigError, check_ranges
from fabg.policy.layout import INPUTS


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Size and kind of the network, see `fabg.learn.model`.

    Attributes
    ----------
    width, heads, feedforward
        Of the transformer's layers.
    layers, decoder_layers
        Of the encoder and the decoder.
    patch, query_steps
        Moments that make one token, and steps of the chunk that one query of the decoder gives.
    reflex
        Width of a perceptron over all moments, beside the transformer: much of an answer is a delayed and filtered copy
        of what was seen, which attention learns slowly. 0: none.
    latent
        Numbers of the style variable of the CVAE; 0: none.
    dropout
        Share.
    proprioception
        Share of the training samples that show the robot's own joints. 0: they are never shown, not when running
        either: a policy that sees itself learns to go on with what it does instead of looking at people.
    backbone
        Of images: "compact" (trained from scratch) or "dinov2" (frozen, when its weights are at hand).
    """

    width: int = 128
    heads: int = 4
    feedforward: int = 256
    layers: int = 3
    decoder_layers: int = 1
    patch: int = 2
    query_steps: int = 3
    reflex: int = 384
    latent: int = 16
    dropout: float = 0.1
    proprioception: float = 0.0
    backbone: str = "compact"

    def __post_init__(self) -> None:
        check_ranges(
            self,
            {
                "width": (8, 4096), "heads": (1, 64), "feedforward": (8, 16384), "layers": (1, 48),
                "decoder_layers": (1, 48), "patch": (1, 100), "query_steps": (1, 100), "reflex": (0, 8192),
                "latent": (0, 1024), "dropout": (0.0, 0.9), "proprioception": (0.0, 1.0),
            },
        )  # fmt: skip
        if self.width % self.heads:
            raise ConfigError(f"width is {self.width}: expected a multiple of heads, {self.heads}")
        if self.backbone not in ("compact", "dinov2"):
            raise ConfigError(f"backbone is {self.backbone!r}: expected compact or dinov2")


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How samples are made of demonstrations.

    Attributes
    ----------
    history_steps, history_step_s, chunk_steps, dt_s, depth
        As in `fabg.policy.layout.Layout`.
    held_out
        Share of the episodes that are kept for validation.
    drop_moments
        Chance that a moment of the past is missed: cameras and trackers drop images.
    shuffle_people
        Whether people change places in the input: the first one means nothing.
    mirror
        Chance that images, and what is done about them, are mirrored; with inputs "rgbd".
    prefix
        Share of the samples in which the first expressions are given (prefix-conditioned chunking).
    prefix_steps
        How many at most.
    prefix_shift_steps
        By how many steps they may be late or early: a running robot is not where the demonstrator was.
    """

    history_steps: int = 20
    history_step_s: float = 0.04
    chunk_steps: int = 30
    dt_s: float = 0.02
    depth: bool = True
    held_out: float = 0.1
    drop_moments: float = 0.05
    shuffle_people: bool = True
    mirror: float = 0.5
    prefix: float = 0.3
    prefix_steps: int = 20
    prefix_shift_steps: int = 3

    def __post_init__(self) -> None:
        check_ranges(
            self,
            {
                "history_steps": (2, 500), "history_step_s": (0.005, 1.0), "chunk_steps": (2, 500),
                "dt_s": (0.002, 1.0), "held_out": (0.0, 0.5), "drop_moments": (0.0, 0.9), "mirror": (0.0, 1.0),
                "prefix": (0.0, 1.0),
                "prefix_steps": (1, self.chunk_steps - 1), "prefix_shift_steps": (0, 50),
            },
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole training.

    Attributes
    ----------
    name
        Of the model.
    data
        Folders of LeRobot v3.0 data sets; relative ones lie beside the configuration file, or where you are.
    tasks
        Sentences or short names of the tasks to learn; None: all of the data.
    episodes
        Only the first so many of those, as they were recorded; None: all.
    inputs
        "features", "rgbd" or "both".
    steps, batch, learning_rate, weight_decay, warm_up, clip
        AdamW with one cycle: the rate rises over the share `warm_up` of the steps and falls to nothing.
    kl_weight
        Of the CVAE's divergence, as in ACT.
    checkpoint_every, validate_every
        Steps.
    seed
        Of everything random.
    threads
        Of each process; 0: as many as there are cores.
    device
        "auto", "cpu" or "cuda".
    memory_gb
        Images that would take more are refused.
    """

    name: str = "policy"
    data: tuple[str, ...] = ()
    tasks: tuple[str, ...] | None = None
    episodes: int | None = None
    inputs: str = "features"
    steps: int = 2000
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    warm_up: float = 0.05
    clip: float = 1.0
    kl_weight: float = 10.0
    checkpoint_every: int = 250
    validate_every: int = 250
    seed: int = 0
    threads: int = 0
    device: str = "auto"
    memory_gb: float = 8.0
    model: ModelConfig = field(default_factory=ModelConfig)
    samples: SampleConfig = field(default_factory=SampleConfig)

    def __post_init__(self) -> None:
        if self.inputs not in INPUTS:
            raise ConfigError(f"inputs is {self.inputs!r}: expected one of {', '.join(INPUTS)}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(f"device is {self.device!r}: expected auto, cpu or cuda")
        if not self.name or "/" in self.name or self.name.startswith("."):
            raise ConfigError(f"name is {self.name!r}: expected a name for a file")
        if self.tasks is not None and not self.tasks:
            raise ConfigError("tasks names none: leave it out to learn all of the data")
        if not self.data:
            raise ConfigError("data names no data set: expected at least one folder, e.g. data: [demos]")
        if self.episodes is not None:
            check_ranges(self, {"episodes": (1, 10_000_000)})
        check_ranges(
            self,
            {
                "steps": (1, 10_000_000), "batch": (1, 65536), "learning_rate": (1e-8, 1.0),
                "weight_decay": (0.0, 1.0), "warm_up": (0.001, 0.9), "clip": (1e-3, 1e6), "kl_weight": (0.0, 1e4),
                "checkpoint_every": (1, 10_000_000), "validate_every": (1, 10_000_000), "seed": (0, 2**31 - 1),
                "threads": (0, 1024), "memory_gb": (0.01, 1e5),
            },
        )  # fmt: skip
        for name, part in (("history_steps", "patch"), ("chunk_steps", "query_steps")):
            steps, size = getattr(self.samples, name), getattr(self.model, part)
            if steps % size:
                raise ConfigError(f"{name} is {steps}: expected a multiple of {part}, {size}")

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def from_table(table: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration in a mapping, as YAML or JSON give it.

    Raises
    ------
    ConfigError
        For an unknown name (the message says where it stood and what is known) or a value out of range.
    """
    config: TrainConfig = _build(TrainConfig, table, "")
    return config


def load_config(path: Path, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """Return the configuration in a YAML file.

    Parameters
    ----------
    path
        The file.
    overrides
        Values by dotted name, such as ``{"model.width": 64}``, over those of the file.

    Raises
    ------
    ConfigError
        When the file cannot be read, and as in `from_table`.
    """
    try:
        table = yaml.safe_load(path.read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the configuration {str(path)!r} cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise ConfigError(
            f"the configuration {str(path)!r} is a {type(table).__name__}: expected names and values"
        )
    # Folders that the file names may lie beside it; those of the overrides lie where you are.
    data = table.get("data")
    if isinstance(data, str | list):
        folders = [data] if isinstance(data, str) else data
        table["data"] = [
            str(p) if (p := path.parent / str(folder)).is_dir() else folder for folder in folders
        ]
    for name, value in (overrides or {}).items():
        place = table
        *groups, last = name.split(".")
        for group in groups:
            place = place.setdefault(group, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{name}: {group} is no group of values")
        place[last] = value
    return from_table(table)


def _build(kind: type, table: Any, where: str) -> Any:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where or 'configuration'} is {table!r}: expected names and values")
    hints, known = get_type_hints(kind), {f.name: f for f in fields(kind)}
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            place = f" in {where}" if where else ""
            raise ConfigError(f"unknown name {name!r}{place}: expected some of {', '.join(known)}")
        hint = hints[name]
        if is_dataclass(hint) and isinstance(hint, type):
            values[name] = _build(hint, value, name)
        else:
            values[name] = _plain(f"{where}.{name}" if where else name, value, hint)
    return kind(**values)


def _plain(name: str, value: Any, hint: Any) -> Any:
    if hint in (tuple[str, ...], tuple[str, ...] | None):
        if value is None and hint != tuple[str, ...]:
            return None
        values = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(v, str) for v in values):
            raise ConfigError(f"{name} is {value!r}: expected names")
        return tuple(values)
    if hint == int | None:
        if value is None:
            return None
        hint = int
    kinds: dict[Any, tuple[type, ...]] = {int: (int,), float: (int, float), bool: (bool,), str: (str,)}
    wanted = kinds[hint]
    if hint is float and isinstance(value, str):
        # YAML 1.1 takes 1e-3 for a text: it wants 1.0e-3.
        with suppress(ValueError):
            value = float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{name} is {value!r}: expected {hint.__name__}")
    return hint(value)
