"""The joint table: one YAML from which URDF, twin, retargeting and limits derive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.errors import CommandRefused, ConfigError
from fabg.robot.table import config_file, read_yaml

GROUPS = ("neck", "eyes", "face")
HEAD_LINK = "neck_roll_link"
BASE_LINK = "base_link"
N_JOINTS = 25


@dataclass(frozen=True, kw_only=True)
class Joint:
    """One servo.

    Angles in rad, rates per second; `origin` in m in the parent link's frame at neutral, `axis` a
    unit vector in the same frame (x forward, y left, z up).
    """

    name: str
    group: str
    servo: int
    lower: float
    upper: float
    neutral: float
    max_velocity: float
    max_acceleration: float
    max_jerk: float
    parent: str
    origin: tuple[float, float, float]
    axis: tuple[float, float, float]

    def __post_init__(self) -> None:
        numbers = [v for v in vars(self).values() if isinstance(v, (int, float))]
        if not all(math.isfinite(v) for v in [*numbers, *self.origin, *self.axis]):
            raise ConfigError(f"joint {self.name}: every number must be finite")
        if not self.lower < self.upper:
            raise ConfigError(f"joint {self.name}: limits [{self.lower}, {self.upper}] must rise")
        if not self.lower <= self.neutral <= self.upper:
            raise ConfigError(
                f"joint {self.name}: neutral {self.neutral} lies outside the limits [{self.lower}, {self.upper}]"
            )
        for what in ("max_velocity", "max_acceleration", "max_jerk"):
            if getattr(self, what) <= 0:
                raise ConfigError(
                    f"joint {self.name}: {what} is {getattr(self, what)}: expected a positive number"
                )
        if self.group not in GROUPS:
            raise ConfigError(f"joint {self.name}: group {self.group!r} is not one of {', '.join(GROUPS)}")
        if abs(math.hypot(*self.axis) - 1.0) > 1e-6:
            raise ConfigError(f"joint {self.name}: axis {self.axis} is not a unit vector")

    @property
    def link(self) -> str:
        """Name of the link that this joint moves."""
        return f"{self.name}_link"


@dataclass(frozen=True)
class RobotModel:
    """All joints in command order."""

    name: str
    joints: tuple[Joint, ...]

    def __post_init__(self) -> None:
        if len(self.joints) != N_JOINTS:
            raise ConfigError(f"robot {self.name} has {len(self.joints)} joints: expected {N_JOINTS}")
        servos = [j.servo for j in self.joints]
        for servo in set(servos):
            if servos.count(servo) > 1:
                shared = ", ".join(j.name for j in self.joints if j.servo == servo)
                raise ConfigError(f"servo channel {servo} is given to several joints: {shared}")
        links = {BASE_LINK}
        for joint in self.joints:
            if joint.parent not in links:
                raise ConfigError(
                    f"joint {joint.name}: parent {joint.parent!r} is not a link defined before it"
                )
            links.add(joint.link)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Joint names in command order."""
        return tuple(j.name for j in self.joints)

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each joint name in the command order."""
        return {name: i for i, name in enumerate(self.names)}

    def __getitem__(self, name: str) -> Joint:
        """Return the joint called `name`; KeyError names what exists."""
        try:
            return self.joints[self.index[name]]
        except KeyError:
            raise KeyError(f"no joint {name!r}: expected one of {', '.join(self.names)}") from None

    def checked(self, values: ArrayLike, what: str) -> NDArray[np.float64]:
        """Return one number for each joint as fresh float64; `what` is how a message calls them.

        Raises
        ------
        CommandRefused
            When their number is wrong, or one is NaN or infinite.
        """
        checked = np.array(values, dtype=np.float64)
        if checked.shape != (len(self.joints),):
            raise CommandRefused(f"{what} has shape {checked.shape}: expected {(len(self.joints),)}")
        if not math.isfinite(sum(checked.tolist())):  # the quick look
            bad = np.flatnonzero(~np.isfinite(checked))
            if bad.size:
                name, value = self.names[bad[0]], checked[bad[0]]
                raise CommandRefused(f"{what}: {name} is {value}: expected a number")
        return checked

    def _column(self, attribute: str) -> NDArray[np.float64]:
        column = np.array([getattr(j, attribute) for j in self.joints], dtype=np.float64)
        column.setflags(write=False)
        return column

    @cached_property
    def lower(self) -> NDArray[np.float64]:
        """Lower limits, rad, shape (25,)."""
        return self._column("lower")

    @cached_property
    def upper(self) -> NDArray[np.float64]:
        """Upper limits, rad, shape (25,)."""
        return self._column("upper")

    @cached_property
    def neutral(self) -> NDArray[np.float64]:
        """Neutral positions, rad, shape (25,)."""
        return self._column("neutral")

    @cached_property
    def max_velocity(self) -> NDArray[np.float64]:
        """Velocity limits, rad/s, shape (25,)."""
        return self._column("max_velocity")

    @cached_property
    def max_acceleration(self) -> NDArray[np.float64]:
        """Acceleration limits, rad/s^2, shape (25,)."""
        return self._column("max_acceleration")

    @cached_property
    def max_jerk(self) -> NDArray[np.float64]:
        """Jerk limits, rad/s^3, shape (25,)."""
        return self._column("max_jerk")


_KEYS = {
    "group",
    "servo",
    "limits",
    "neutral",
    "velocity",
    "acceleration",
    "jerk",
    "parent",
    "origin",
    "axis",
}


def _joint(name: str, row: Any, where: str) -> Joint:
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: joint {name} is {row!r}: expected a mapping")
    unknown, missing = set(row) - _KEYS, _KEYS - set(row)
    if unknown or missing:
        raise ConfigError(
            f"{where}: joint {name}: unknown keys {sorted(unknown)}, missing keys {sorted(missing)}; "
            f"expected {sorted(_KEYS)}"
        )
    try:
        lower, upper = (float(x) for x in row["limits"])
        origin = tuple(float(x) for x in row["origin"])
        axis = tuple(float(x) for x in row["axis"])
        if len(origin) != 3 or len(axis) != 3:
            raise ValueError("origin and axis take three numbers")
        return Joint(
            name=name, group=row["group"], servo=int(row["servo"]), lower=lower, upper=upper,
            neutral=float(row["neutral"]), max_velocity=float(row["velocity"]),
            max_acceleration=float(row["acceleration"]), max_jerk=float(row["jerk"]),
            parent=row["parent"], origin=origin, axis=axis,
        )  # fmt: skip
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: joint {name}: {error}") from error


def load_robot(path: Path | str | None = None) -> RobotModel:
    """Read a joint table.

    Parameters
    ----------
    path
        YAML file; the package's ``config/robot.yaml`` by default.

    Raises
    ------
    ConfigError
        When the file is missing, is not YAML, or a joint is not acceptable; the message names the
        file, the joint and the value.
    """
    path = config_file(path, "robot.yaml")
    document = read_yaml(path, "robot description")
    if not isinstance(document, dict) or not isinstance(document.get("joints"), dict):
        raise ConfigError(f"robot description {path}: expected a mapping with `name` and `joints`")
    joints = tuple(_joint(name, row, path.name) for name, row in document["joints"].items())
    return RobotModel(name=str(document.get("name", path.stem)), joints=joints)
