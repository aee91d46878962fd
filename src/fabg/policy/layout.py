"""What goes into a learnt policy and what comes out: both sides of a model file must agree on this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fabg import expression
from fabg.errors import ConfigError, check_ranges
from fabg.policy import history

INPUTS = ("features", "rgbd", "both")
VERSION = 1
"""Changes whenever columns change their meaning: files of another version are refused."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Sizes and meanings of a model's inputs and outputs.

    Attributes
    ----------
    inputs
        "features": what perception publishes, `history_steps` moments (`fabg.policy.history`); "rgbd": two images and
        the depth of the left one, now; "both".
    tasks
        Sentences of the tasks; the model takes one of them.
    history_steps, history_step_s
        Moments a model is shown, and the time between them, s.
    chunk_steps, dt_s
        Expressions in a chunk, and the time between them, s; the first is meant for the time of the newest image.
    picture_height, picture_width
        Of the images a model is shown, px.
    depth
        Whether it is shown depth.
    moment_size, action_size, version
        Numbers of a moment and of an expression, and the version of their meaning.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    inputs: str = "features"
    tasks: tuple[str, ...] = ()
    history_steps: int = 20
    history_step_s: float = 0.04
    chunk_steps: int = 30
    dt_s: float = 0.02
    picture_height: int = 96
    picture_width: int = 128
    depth: bool = True
    moment_size: int = history.SIZE
    action_size: int = expression.SIZE
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.inputs not in INPUTS:
            raise ConfigError(f"inputs is {self.inputs!r}: expected one of {', '.join(INPUTS)}")
        check_ranges(
            self,
            {
                "history_steps": (2, 500), "history_step_s": (0.005, 1.0), "chunk_steps": (1, 500),
                "dt_s": (0.002, 1.0), "picture_height": (32, 2000), "picture_width": (32, 2000),
            },
        )  # fmt: skip
        ours = {"moment_size": history.SIZE, "action_size": expression.SIZE, "version": VERSION}
        for name, value in ours.items():
            if getattr(self, name) != value:
                raise ConfigError(
                    f"{name} of the model is {getattr(self, name)}: this release has {value}; export the model anew"
                )

    @property
    def sees_features(self) -> bool:
        """Whether it takes what perception publishes."""
        return self.inputs != "rgbd"

    @property
    def sees_pictures(self) -> bool:
        """Whether it takes images."""
        return self.inputs != "features"

    @property
    def horizon_s(self) -> float:
        """Time from the newest image to the last expression of a chunk, s."""
        return (self.chunk_steps - 1) * self.dt_s

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each input for one query, in order."""
        shapes: dict[str, tuple[int, ...]] = {"task": (1, len(self.tasks))}
        if self.sees_features:
            shapes["history"] = (1, self.history_steps, self.moment_size)
        if self.sees_pictures:
            size = (self.picture_height, self.picture_width)
            shapes |= {"left": (1, 3, *size), "right": (1, 3, *size)}
            if self.depth:
                shapes["depth"] = (1, 1, *size)
        shapes["prefix"] = (1, self.chunk_steps, self.action_size)
        shapes["prefix_mask"] = (1, self.chunk_steps)
        return shapes

    def to_json(self) -> dict[str, Any]:
        """Return it as plain numbers."""
        return asdict(self) | {"tasks": list(self.tasks)}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Layout:
        """Return the layout that `to_json` wrote.

        Raises
        ------
        ConfigError
            For an unknown or missing name, or a value out of range.
        """
        known = {field.name for field in fields(cls)}
        odd = sorted(set(table) ^ known)
        if odd:
            raise ConfigError(
                f"layout: {odd[0]!r} is unknown or missing: expected {', '.join(sorted(known))}"
            )
        tasks = table["tasks"]
        if not isinstance(tasks, list) or not tasks or not all(isinstance(task, str) for task in tasks):
            raise ConfigError(f"layout: tasks is {tasks!r}: expected a list of sentences")
        values = {**table, "tasks": tuple(tasks)}
        for field in fields(cls):
            value, kind = values[field.name], type(field.default)
            if type(value) is not kind and (type(value), kind) != (int, float):
                raise ConfigError(f"layout: {field.name} is {value!r}: expected {kind.__name__}")
        return cls(**values)
