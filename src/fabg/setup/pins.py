"""The pinned versions in ``requirements/``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fabg.errors import ConfigError

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.+!]+)$")

ALWAYS = ("ros", "runtime", "models", "build")
"""Requirement files of every environment, by stem."""


@dataclass(frozen=True)
class Pin:
    """One package at one version.

    Attributes
    ----------
    name
        As the index knows it, normalised: lower case with dashes.
    version
        The only version that is accepted.
    group
        Stem of the requirement file that it stands in.
    """

    name: str
    version: str
    group: str


def normalise(name: str) -> str:
    """Return a package name the way indexes compare it: lower case, with single dashes."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(path: Path) -> tuple[Pin, ...]:
    """Read a requirement file in which every line pins one package.

    Raises
    ------
    ConfigError
        When a line is anything else than ``name==version``, a comment or empty.
    """
    pins = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        match = _PIN.match(text)
        if match is None:
            raise ConfigError(f"{path}:{number}: {text!r} is not a pin: write name==version")
        pins.append(Pin(normalise(match[1]), match[2], path.stem))
    return tuple(pins)
