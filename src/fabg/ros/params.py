"""ROS parameters from a configuration dataclass.

    @dataclass(frozen=True, kw_only=True)
    class CameraConfig:
        fps: float = param(25.0, "frames a second of an image folder", low=0.1, high=240.0)

Each field becomes a parameter with its documentation, type and range; a nested dataclass (one of the
core, which knows no ROS and is documented by its docstring) becomes ``outer.inner``; all of its
values may change while the node is active when the outer field is declared `live`.
Values are checked twice: by ROS (range) and by the dataclass itself.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from fabg.errors import ConfigError

C = TypeVar("C")


@dataclass(frozen=True)
class _Hints:
    doc: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    live: bool


def param(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """Declare a configuration field.

    Parameters
    ----------
    default
        Value when nothing is set; lists are copied for each instance.
    doc
        One line: what it does, with its unit.
    low, high
        Allowed range of a number.
    choices
        Allowed values of a text.
    live
        True when the value may change while the node is active.
    """
    metadata = {"param": _Hints(doc, low, high, choices, live)}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Entry:
    """One parameter of a flattened configuration."""

    name: str
    kind: Any
    default: Any
    hints: _Hints


def entries(config_type: type, prefix: str = "") -> list[Entry]:
    """Return the parameters of a configuration dataclass, nested ones as ``outer.inner``."""
    kinds, docs = typing.get_type_hints(config_type), _attribute_docs(config_type)
    found: list[Entry] = []
    for f in dataclasses.fields(config_type):
        kind = kinds[f.name]
        outer = f.metadata.get("param")
        if dataclasses.is_dataclass(kind):
            inner = entries(typing.cast(type, kind), f"{prefix}{f.name}.")
            if outer is not None and outer.live:
                inner = [dataclasses.replace(e, hints=dataclasses.replace(e.hints, live=True)) for e in inner]
            found += inner
            continue
        default: Any = f.default
        if default is dataclasses.MISSING and f.default_factory is not dataclasses.MISSING:
            factory: Any = f.default_factory
            default = factory()
        hints = outer or _Hints(docs.get(f.name, ""), None, None, (), False)
        found.append(Entry(prefix + f.name, kind, default, hints))
    return found


def _attribute_docs(config_type: type) -> dict[str, str]:
    """Return the texts under "Attributes" of a numpy docstring, by name."""
    lines = (inspect.getdoc(config_type) or "").splitlines()
    if "Attributes" not in lines:
        return {}
    docs: dict[str, str] = {}
    names: list[str] = []
    for line in lines[lines.index("Attributes") + 2 :]:
        if line.startswith("---") or not line.strip():
            break
        if not line.startswith(" "):
            names = [name.strip() for name in line.split(",")]
        else:
            docs |= {name: f"{docs.get(name, '')} {line.strip()}".strip() for name in names}
    return docs


def _check(entry: Entry, value: Any) -> Any:
    hints = entry.hints
    if isinstance(value, (list, tuple)) or type(value).__name__ == "array":
        value = list(value)
    if entry.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wanted = typing.get_origin(entry.kind) or entry.kind
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise ConfigError(f"{entry.name} is {value!r}: expected {getattr(wanted, '__name__', wanted)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{entry.name} is {value}: expected a finite number")
    if (hints.low is not None and value < hints.low) or (hints.high is not None and value > hints.high):
        raise ConfigError(f"{entry.name} is {value}: expected {hints.low} to {hints.high}")
    if hints.choices and value not in hints.choices:
        raise ConfigError(f"{entry.name} is {value!r}: expected one of {', '.join(hints.choices)}")
    return value


def build(config_type: type[C], values: Mapping[str, Any]) -> C:
    """Build a configuration from flat names; what is not named keeps its default.

    Raises
    ------
    ConfigError
        For an unknown name, a wrong type or a value out of range.
    """
    known = {e.name: e for e in entries(config_type)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(
            f"unknown parameters {', '.join(unknown)}: expected some of {', '.join(sorted(known))}"
        )
    checked = {name: _check(known[name], value) for name, value in values.items()}
    return _assemble(config_type, checked, "")


def _assemble(config_type: type[C], values: Mapping[str, Any], prefix: str) -> C:
    arguments = {}
    kinds = typing.get_type_hints(config_type)
    for f in dataclasses.fields(config_type):  # type: ignore[arg-type]
        if dataclasses.is_dataclass(kinds[f.name]):
            arguments[f.name] = _assemble(kinds[f.name], values, f"{prefix}{f.name}.")
        elif prefix + f.name in values:
            arguments[f.name] = values[prefix + f.name]
    return config_type(**arguments)


def _descriptor(entry: Entry) -> ParameterDescriptor:
    hints = entry.hints
    descriptor = ParameterDescriptor(description=hints.doc)
    if hints.choices:
        descriptor.additional_constraints = "one of " + ", ".join(hints.choices)
    if hints.low is not None or hints.high is not None:
        if entry.kind is int:
            low = -(2**31) if hints.low is None else int(hints.low)
            high = 2**31 - 1 if hints.high is None else int(hints.high)
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        else:
            low_f = -math.inf if hints.low is None else float(hints.low)
            high_f = math.inf if hints.high is None else float(hints.high)
            descriptor.floating_point_range = [FloatingPointRange(from_value=low_f, to_value=high_f)]
    return descriptor


def declare(node: Node, config_type: type[C]) -> C:
    """Declare all parameters of `config_type` on `node` and return the values in force."""
    values = {}
    for entry in entries(config_type):
        # An empty list has no type in ROS; its element type is told by the annotation.
        default = entry.default
        if isinstance(default, list) and not default:
            element = (typing.get_args(entry.kind) or (str,))[0]
            kind = {
                str: Parameter.Type.STRING_ARRAY,
                float: Parameter.Type.DOUBLE_ARRAY,
                int: Parameter.Type.INTEGER_ARRAY,
                bool: Parameter.Type.BOOL_ARRAY,
            }[element]
            parameter: Parameter = node.declare_parameter(entry.name, kind, _descriptor(entry))
            values[entry.name] = list(parameter.value) if parameter.value is not None else []
        else:
            values[entry.name] = node.declare_parameter(entry.name, default, _descriptor(entry)).value
    return build(config_type, values)


def changed(config_type: type[C], current: C, updates: Mapping[str, Any], *, active: bool) -> C:
    """Return `current` with `updates` (flat names).

    Raises
    ------
    ConfigError
        When a value is not acceptable, or may not change while the node is active.
    """
    known = {e.name: e for e in entries(config_type)}
    for name in updates:
        if active and name in known and not known[name].hints.live:
            raise ConfigError(f"{name} cannot change while the node is active: deactivate and clean up first")
    return build(config_type, {**flattened(current), **updates})


def flattened(config: Any, prefix: str = "") -> dict[str, Any]:
    """Return the values of a configuration by flat name."""
    flat: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            flat |= flattened(value, f"{prefix}{f.name}.")
        else:
            flat[prefix + f.name] = value
    return flat
