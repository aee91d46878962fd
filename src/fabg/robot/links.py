"""Masses, sizes and efforts of the links: the `links` section of the joint table's YAML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabg.errors import ConfigError
from fabg.robot.model import GROUPS, HEAD_LINK, Joint
from fabg.robot.table import config_file, read_yaml

_KEYS = ("mass", "radius", "effort")
_NAMES = (*GROUPS, "head")


@dataclass(frozen=True, kw_only=True)
class Link:
    """A link as a solid sphere, and the strength of the servo that moves it."""

    mass_kg: float
    radius_m: float
    effort_nm: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"link: {name} is {value}: expected a positive number")

    @property
    def inertia_kg_m2(self) -> float:
        """Moment of inertia about any axis through the centre."""
        return 0.4 * self.mass_kg * self.radius_m**2


@dataclass(frozen=True)
class LinkTable:
    """One entry a joint group, and one for the head itself."""

    entries: Mapping[str, Link]

    def of(self, joint: Joint) -> Link:
        """Return the properties of the link that a joint moves."""
        return self.entries["head" if joint.link == HEAD_LINK else joint.group]


def load_links(path: Path | str | None = None) -> LinkTable:
    """Read the `links` section; the package's ``config/robot.yaml`` by default.

    Raises
    ------
    ConfigError
        When the file cannot be read or an entry is missing or not a positive number.
    """
    path = config_file(path, "robot.yaml")
    document: Any = read_yaml(path, "robot description")
    section = document.get("links") if isinstance(document, dict) else None
    if not isinstance(section, dict) or set(section) != set(_NAMES):
        found = sorted(section) if isinstance(section, dict) else section
        raise ConfigError(f"{path.name}: links are {found}: expected {sorted(_NAMES)}")
    entries = {}
    for name, row in section.items():
        if not isinstance(row, dict) or set(row) != set(_KEYS):
            raise ConfigError(f"{path.name}: link {name} is {row!r}: expected the keys {', '.join(_KEYS)}")
        try:
            mass, radius, effort = (float(row[key]) for key in _KEYS)
            entries[name] = Link(mass_kg=mass, radius_m=radius, effort_nm=effort)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path.name}: link {name}: {error}") from error
    return LinkTable(entries)
