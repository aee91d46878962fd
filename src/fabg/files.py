"""Files that appear under their name only when they are whole."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fabg.errors import ConfigError


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file and the folders above it; a reader sees the old content or the new, never a part.

    Raises
    ------
    ConfigError
        When the place cannot be written.
    """
    path = path.expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{str(path)!r} cannot be written ({error.strerror}): name another place, or make room"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(result: Mapping[str, Any], path: Path) -> None:
    """Write a result as JSON, as `write_bytes` does."""
    write_text(path, json.dumps(result, indent=1) + "\n")
