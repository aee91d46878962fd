"""Expression vector to joint angles and back, by a function chain a joint from ``config/retarget.yaml``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg import expression
from fabg.errors import CommandRefused, ConfigError
from fabg.robot.bounded import least_squares
from fabg.robot.model import Joint, RobotModel
from fabg.robot.table import config_file, read_yaml

Array = NDArray[np.float64]
Row = dict[str, float]

SOURCES = ("sum", "angle")
STEPS = ("gain", "interp", "saturate", "scale")


@dataclass(frozen=True)
class Step:
    """One function of a chain, with its argument (None for `scale`)."""

    kind: str
    argument: Any = None


@dataclass(frozen=True)
class Chain:
    """What one joint follows (`row`: entry to weight) and the functions applied to it in turn."""

    row: Row
    steps: tuple[Step, ...]


# Reading the file ----------------------------------------------------------------------------------


def _numbers(values: Any, count: int, where: str) -> list[float]:
    if not isinstance(values, (list, tuple)) or len(values) != count:
        raise ConfigError(f"{where} is {values!r}: expected {count} numbers")
    return [_number(v, where) for v in values]


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{where} is {value!r}: expected a finite number")
    return float(value)


def _entry(name: Any, where: str) -> str:
    if name not in expression.INDEX:
        raise ConfigError(f"{where}: unknown entry {name!r}; allowed: {', '.join(expression.NAMES)}")
    return str(name)


def _source(kind: str, argument: Any, where: str) -> Row:
    if kind == "angle":
        name = _entry(argument, where)
        if name not in expression.ANGLES:
            raise ConfigError(f"{where}: {name} is a shape; allowed: {', '.join(expression.ANGLES)}")
        return {name: 1.0}
    if not isinstance(argument, Mapping) or not argument:
        raise ConfigError(f"{where} is {argument!r}: expected a mapping of entries to weights")
    return {_entry(name, where): _number(weight, f"{where}: {name}") for name, weight in argument.items()}


def _step(kind: str, argument: Any, where: str) -> Step:
    if kind == "gain":
        gain = _number(argument, where)
        if gain == 0.0:
            raise ConfigError(f"{where} is 0: expected another number, the joint would never move")
        return Step(kind, gain)
    if kind == "saturate":
        low, high = _numbers(argument, 2, where)
        if not low < high:
            raise ConfigError(f"{where} is [{low}, {high}]: expected low < high")
        return Step(kind, (low, high))
    if kind == "interp":
        if not isinstance(argument, list) or len(argument) < 2:
            raise ConfigError(f"{where} is {argument!r}: expected two points [x, y] or more")
        points = np.array([_numbers(p, 2, where) for p in argument])
        if not (np.diff(points, axis=0) > 0).all():
            raise ConfigError(f"{where} is {argument!r}: expected x and y to rise from point to point")
        return Step(kind, points)
    if argument is not None:
        raise ConfigError(f"{where} is {argument!r}: expected no argument")
    return Step(kind)


def _chain(lines: Any, where: str) -> Chain:
    if not isinstance(lines, list) or not lines:
        raise ConfigError(f"{where} is {lines!r}: expected a list of steps")
    row: Row | None = None
    steps: list[Step] = []
    for position, line in enumerate(lines):
        pairs = list(line.items()) if isinstance(line, Mapping) else [(line, None)]
        if len(pairs) != 1:
            raise ConfigError(f"{where}: step {line!r} has {len(pairs)} keys: expected one")
        kind, argument = pairs[0]
        allowed = SOURCES if position == 0 else STEPS
        if kind not in allowed:
            place = "the first" if position == 0 else "a later"
            raise ConfigError(f"{where}: {kind!r} cannot be {place} step; allowed: {', '.join(allowed)}")
        if position == 0:
            row = _source(kind, argument, f"{where}: {kind}")
        else:
            steps.append(_step(kind, argument, f"{where}: {kind}"))
    assert row is not None
    return Chain(row, tuple(steps))


def load_chains(robot: RobotModel, path: Path | str | None = None) -> tuple[Chain, ...]:
    """Read the chains of all joints, in the order of the joint table.

    Parameters
    ----------
    robot
        The joints that must each have a chain.
    path
        YAML file; the package's ``config/retarget.yaml`` by default.

    Raises
    ------
    ConfigError
        When the file is missing or not YAML, a joint is unknown or missing, an expression entry or
        a step is unknown, or a number is not finite; the message names it and what is allowed.
    """
    path = config_file(path, "retarget.yaml")
    document = read_yaml(path, "retargeting")
    if not isinstance(document, dict) or not isinstance(document.get("joints"), dict):
        raise ConfigError(f"retargeting {path}: expected a mapping with `joints`")
    joints = document["joints"]
    names = robot.names
    unknown = [str(name) for name in joints if name not in names]
    if unknown:
        raise ConfigError(f"{path.name}: unknown joints {', '.join(unknown)}; allowed: {', '.join(names)}")
    missing = [name for name in names if name not in joints]
    if missing:
        raise ConfigError(f"{path.name}: no line for {', '.join(missing)}: every joint needs one")
    return tuple(_chain(joints[name], f"{path.name}: {name}") for name in names)


# Applying it ---------------------------------------------------------------------------------------


class Retargeter:
    """Expression vector (61,) to joint angles (25,) and approximately back.

    Parameters
    ----------
    robot
        Joint table.
    chains
        One chain a joint in the table's order; those of ``config/retarget.yaml`` by default.
    """

    def __init__(self, robot: RobotModel, chains: tuple[Chain, ...] | None = None) -> None:
        self.robot = robot
        self._chains = load_chains(robot) if chains is None else chains
        self._mix = np.zeros((len(robot.joints), expression.SIZE))
        for i, chain in enumerate(self._chains):
            for name, weight in chain.row.items():
                self._mix[i, expression.INDEX[name]] = weight
        depth = max(len(c.steps) for c in self._chains)
        self._stages = [stage for k in range(depth) for stage in self._compile(k)]
        # A joint without `scale` gives an angle relative to neutral.
        scaled = np.array([any(s.kind == "scale" for s in c.steps) for c in self._chains])
        self._offset = np.where(scaled, 0.0, robot.neutral)
        used = np.abs(self._mix).sum(axis=0) > 0
        self._shape_columns = np.flatnonzero(used[: expression.N_SHAPES])
        self._angle_columns = np.flatnonzero(used[expression.N_SHAPES :]) + expression.N_SHAPES

    def targets(self, vector: ArrayLike) -> Array:
        """Return what the expression asks of each joint, rad, shape (25,); may exceed the limits.

        Raises
        ------
        CommandRefused
            When the vector has not 61 finite numbers.
        """
        values = self._mix @ expression.checked(vector)
        for stage in self._stages:
            stage(values)
        return values + self._offset

    def to_joints(self, vector: ArrayLike) -> Array:
        """Return joint angles within the limits, rad, shape (25,).

        Raises
        ------
        CommandRefused
            When the vector has not 61 finite numbers.
        """
        return np.clip(self.targets(vector), self.robot.lower, self.robot.upper)

    def to_expression(self, joints: ArrayLike) -> expression.Vector:
        """Return an expression whose joint angles come closest to `joints` (least squares).

        Exact for every pose that an expression can reach. Not reachable are those in which a shape
        that ARKit has only once would have to differ between left and right by more than the other
        shapes make up for, and saturated values return at the bound.

        Parameters
        ----------
        joints
            Angles in rad, shape (25,); clipped to the limits.

        Raises
        ------
        CommandRefused
            When there are not 25 finite numbers.
        """
        q = np.asarray(joints, dtype=np.float64)
        if q.shape != (len(self.robot.joints),) or not np.isfinite(q).all():
            raise CommandRefused(f"joint angles {q} are not {len(self.robot.joints)} finite numbers")
        q = np.clip(q, self.robot.lower, self.robot.upper) - self._offset
        mixed = np.array(
            [_inverse(c, j, v) for c, j, v in zip(self._chains, self.robot.joints, q, strict=True)]
        )
        vector = expression.neutral()
        if self._angle_columns.size:
            solution = np.linalg.lstsq(self._mix[:, self._angle_columns], mixed, rcond=None)[0]
            vector[self._angle_columns] = solution
        rest = mixed - self._mix @ vector
        vector[self._shape_columns] = least_squares(self._mix[:, self._shape_columns], rest)
        return expression.checked(vector)

    def _compile(self, position: int) -> list[Callable[[Array], None]]:
        """Return in-place functions that apply step `position` of all chains, one for each kind."""
        found = [(i, c.steps[position]) for i, c in enumerate(self._chains) if len(c.steps) > position]
        stages: list[Callable[[Array], None]] = []
        for kind in STEPS:
            chosen = [(i, s.argument) for i, s in found if s.kind == kind]
            if chosen:
                stages.append(self._stage(kind, np.array([i for i, _ in chosen]), [a for _, a in chosen]))
        return stages

    def _stage(self, kind: str, at: NDArray[np.intp], arguments: list[Any]) -> Callable[[Array], None]:
        # Steps act on all joints at once, which is quicker than picking some: the others get a step
        # that changes nothing.
        n = len(self.robot.joints)
        if kind == "gain":
            gains = np.ones(n)
            gains[at] = arguments

            def gain(v: Array) -> None:
                v *= gains

            return gain
        if kind == "saturate":
            low, high = np.full(n, -np.inf), np.full(n, np.inf)
            low[at], high[at] = np.array(arguments).T

            def saturate(v: Array) -> None:
                np.maximum(v, low, out=v)
                np.minimum(v, high, out=v)

            return saturate
        if kind == "scale":
            neutral, above, below = np.zeros(n), np.ones(n), np.ones(n)
            neutral[at] = self.robot.neutral[at]
            above[at] = (self.robot.upper - self.robot.neutral)[at]
            below[at] = (self.robot.neutral - self.robot.lower)[at]

            def scale(v: Array) -> None:
                v *= np.where(v >= 0.0, above, below)
                v += neutral

            return scale

        def interp(v: Array) -> None:
            for i, points in zip(at, arguments, strict=True):
                v[i] = np.interp(v[i], points[:, 0], points[:, 1])

        return interp


def _inverse(chain: Chain, joint: Joint, value: float) -> float:
    """Undo the steps of a chain, last one first."""
    for step in reversed(chain.steps):
        if step.kind == "scale":
            offset = value - joint.neutral
            span = joint.upper - joint.neutral if offset >= 0 else joint.neutral - joint.lower
            value = offset / span if span > 0 else 0.0
        elif step.kind == "gain":
            value /= step.argument
        elif step.kind == "interp":
            value = float(np.interp(value, step.argument[:, 1], step.argument[:, 0]))
    return value
