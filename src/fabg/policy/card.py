"""The card of a learnt policy: what is in the file, what it was trained on, and how well it does.

A model is two files, ``NAME.onnx`` and ``NAME.json``. The card holds the checksum of the model, so that an altered or
mixed-up pair is refused before it moves anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fabg.errors import ConfigError, ModelFileError
from fabg.policy.layout import Layout

FORMAT = "fabg-policy-1"
_KINDS = {"name": str, "sha256": str, "licence": str, "layout": dict, "training": dict, "measured": dict}
_REMEDY = "make it again with `fabg export`"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What is known of a model.

    Attributes
    ----------
    name
        What it is called.
    layout
        Its inputs and outputs.
    sha256
        Checksum of the ONNX file.
    training
        Data sets, steps, configuration.
    measured
        Errors on episodes that were not trained on, and the agreement of the exported model with the trained one.
    licence
        Of the weights.
    """

    name: str
    layout: Layout
    sha256: str
    training: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    licence: str = "Apache-2.0"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "format": FORMAT, "name": self.name, "sha256": self.sha256, "licence": self.licence,
            "control_rate_hz": round(1.0 / self.layout.dt_s, 3), "layout": self.layout.to_json(),
            "training": dict(self.training), "measured": dict(self.measured),
        }  # fmt: skip


def card_path(model: Path) -> Path:
    """Return where the card of a model lies."""
    return model.with_suffix(".json")


def read_model(model: Path) -> tuple[bytes, ModelCard]:
    """Return a model's bytes and its card, which fit each other.

    Raises
    ------
    ModelFileError
        When one of the files is missing or damaged, the model is not the one of the card, or it is of another layout.
    """
    path = card_path(model)
    try:
        data, text = model.read_bytes(), path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(
            f"the model {str(model)!r} or its card {path.name!r} cannot be read ({error}): {_REMEDY}"
        ) from error
    try:
        table = json.loads(text)
        if table["format"] != FORMAT:
            raise ConfigError(f"format is {table['format']!r}: expected {FORMAT!r}")
        for name, kind in _KINDS.items():
            if not isinstance(table[name], kind):
                raise ConfigError(f"{name} is {table[name]!r}: expected {kind.__name__}")
        card = ModelCard(
            name=table["name"], layout=Layout.from_json(table["layout"]), sha256=table["sha256"],
            training=table["training"], measured=table["measured"], licence=table["licence"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise ModelFileError(f"the card {str(path)!r} does not fit ({error}): {_REMEDY}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise ModelFileError(
            f"the model {str(model)!r} has the checksum {found[:12]}...: its card says {card.sha256[:12]}...; it was "
            f"altered or belongs to another card: {_REMEDY}"
        )
    return data, card
