"""Configuration: the dataclass, the YAML file and the running node say the same."""

import importlib
from dataclasses import dataclass, field

import pytest
import yaml

from fabg.errors import ConfigError
from fabg.ros import params
from fabg.ros.bringup import GRAPH


@dataclass(frozen=True, kw_only=True)
class Inner:
    gain: float = params.param(0.5, "a gain", low=0.0, high=1.0, live=True)


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str = params.param("a", "a name", choices=("a", "b"))
    count: int = params.param(3, "a count", low=1, high=9)
    views: list[str] = params.param(["face"], "views")
    inner: Inner = field(default_factory=Inner)


def test_nested_fields_have_dotted_names():
    assert [e.name for e in params.entries(Outer)] == ["name", "count", "views", "inner.gain"]


def test_build_takes_flat_names_and_keeps_defaults():
    built = params.build(Outer, {"inner.gain": 1, "count": 4})
    assert built == Outer(count=4, inner=Inner(gain=1.0))


@pytest.mark.parametrize(
    "values, said",
    [
        ({"nosuch": 1}, "nosuch.*expected some of.*inner.gain"),
        ({"count": 0}, "count is 0: expected 1 to 9"),
        ({"count": 2.5}, "count is 2.5"),
        ({"count": True}, "count is True"),
        ({"name": "c"}, "'c'.*a, b"),
        ({"inner.gain": float("nan")}, "finite"),
        ({"views": "face"}, "views is 'face'"),
    ],
)
def test_a_bad_value_is_refused_and_named(values, said):
    with pytest.raises(ConfigError, match=said):
        params.build(Outer, values)


def test_only_live_parameters_change_while_active():
    assert params.changed(Outer, Outer(), {"inner.gain": 0.7}, active=True).inner.gain == 0.7
    assert params.changed(Outer, Outer(), {"count": 5}, active=False).count == 5
    with pytest.raises(ConfigError, match="count cannot change"):
        params.changed(Outer, Outer(), {"count": 5}, active=True)


@dataclass(frozen=True)
class Core:
    """A configuration of the core.

    Attributes
    ----------
    size
        How large.
    """

    size: float = 1.0


@dataclass(frozen=True)
class Around:
    moving: Core = params.param(Core(), "changes at once", live=True)
    fixed: Core = field(default_factory=Core)


def test_a_nested_configuration_is_live_when_its_field_is():
    assert {e.name: (e.hints.live, e.hints.doc) for e in params.entries(Around)} == {
        "moving.size": (True, "How large."),
        "fixed.size": (False, "How large."),
    }
    assert params.changed(Around, Around(), {"moving.size": 2}, active=True).moving.size == 2.0
    with pytest.raises(ConfigError, match="fixed.size cannot change"):
        params.changed(Around, Around(), {"fixed.size": 2.0}, active=True)


def _config_type(name):
    module = importlib.import_module(f"fabg.nodes.{name}")
    (node,) = [
        v for v in vars(module).values()
        if isinstance(v, type) and v.__module__ == module.__name__ and v.__name__.endswith("Node")
    ]  # fmt: skip
    (config,) = [base.__args__[0] for base in node.__orig_bases__ if getattr(base, "__args__", ())]
    return config


@pytest.mark.parametrize("spec", GRAPH, ids=lambda spec: spec.name)
def test_yaml_lists_every_parameter_with_its_default(spec):
    config = _config_type(spec.name)
    document = yaml.safe_load(spec.parameters.read_text())["/**"]["ros__parameters"]
    flat = {}

    def walk(node, prefix):
        for key, value in node.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            else:
                flat[prefix + key] = value

    walk(document, "")
    assert flat.pop("autostart") is True
    assert flat == {e.name: e.default for e in params.entries(config)}
    assert all(e.hints.doc for e in params.entries(config)), "every parameter is documented"
