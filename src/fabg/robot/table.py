"""Reading the YAML tables that describe a robot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from fabg.errors import ConfigError
from fabg.paths import share_dir


def config_file(path: Path | str | None, default: str) -> Path:
    """Return `path`, or the package's ``config/<default>`` when it is None."""
    return Path(path) if path is not None else share_dir() / "config" / default


def read_yaml(path: Path, what: str) -> Any:
    """Return the document in a YAML file; `what` names it in errors.

    Raises
    ------
    ConfigError
        When the file cannot be read or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{what} {path} is not YAML: {error}") from error
