"""hri_msgs and tf2_msgs are what was released: same names, fields, types, constants and type hashes.

`released.json` holds the facts of hri_msgs 2.0.0 and of tf2_msgs, and the type hashes that nodes of ROS 2
distributions announce for tf2_msgs. Nothing in it was computed from the files in ``interfaces/``.
"""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rclpy.serialization import deserialize_message, serialize_message

RELEASED = json.loads((Path(__file__).parent / "released.json").read_text())
PYTHON_TYPES = {"float32": "float", "float64": "double", "bool": "boolean"}
MESSAGES = [(package, name) for package, facts in RELEASED.items() for name in facts["messages"]]


def message_class(package: str, name: str) -> Any:
    return getattr(importlib.import_module(f"{package}.msg"), name)


def python_type(package: str, declared: str) -> str:
    """Translate a type as it is written in a definition into the words of the Python bindings."""
    base, array, size = re.fullmatch(r"([\w/]+)(\[(\d*)\])?", declared).groups()
    base = PYTHON_TYPES.get(base, base)
    if base[0].isupper():
        base = f"{package}/{base}"
    if array is None:
        return base
    return f"{base}[{size}]" if size else f"sequence<{base}>"


def constants(message: Any) -> dict[str, Any]:
    metaclass = type(message)
    return getattr(metaclass, f"_{metaclass.__name__}__constants", {})


@pytest.mark.parametrize(("package", "name"), MESSAGES)
def test_fields_are_the_released_ones_in_their_order(package, name):
    expected = [
        (field, python_type(package, declared))
        for declared, field in RELEASED[package]["messages"][name]["fields"]
    ]
    assert list(message_class(package, name).get_fields_and_field_types().items()) == expected


@pytest.mark.parametrize(("package", "name"), MESSAGES)
def test_constants_are_the_released_ones(package, name):
    message = message_class(package, name)
    expected = RELEASED[package]["messages"][name]["constants"]
    assert {key: getattr(message, key) for key in expected} == expected
    assert set(constants(message)) == set(expected)


@pytest.mark.parametrize(("package", "name"), MESSAGES)
def test_a_message_survives_the_wire(package, name):
    kind = message_class(package, name)
    assert deserialize_message(serialize_message(kind()), kind) == kind()


@pytest.mark.parametrize("package", sorted(RELEASED))
def test_no_message_is_missing_or_added(package):
    module = importlib.import_module(f"{package}.msg")
    names = {name for name in vars(module) if hasattr(getattr(module, name), "get_fields_and_field_types")}
    assert names == set(RELEASED[package]["messages"])


@pytest.mark.parametrize("interface", sorted(RELEASED["tf2_msgs"]["hashes"]))
def test_type_hash_is_the_one_that_distributions_announce(interface):
    import tf2_msgs

    prefix = next(p for p in Path(tf2_msgs.__file__).parents if (p / "share" / "tf2_msgs").is_dir())
    described = json.loads((prefix / "share" / "tf2_msgs" / f"{interface}.json").read_text())
    hashes = {entry["type_name"]: entry["hash_string"] for entry in described["type_hashes"]}
    assert hashes[f"tf2_msgs/{interface}"] == RELEASED["tf2_msgs"]["hashes"][interface]


def test_action_and_service_of_tf2_have_the_released_fields():
    from tf2_msgs.action import LookupTransform
    from tf2_msgs.srv import FrameGraph

    assert LookupTransform.Goal.get_fields_and_field_types() == {
        "target_frame": "string",
        "source_frame": "string",
        "source_time": "builtin_interfaces/Time",
        "timeout": "builtin_interfaces/Duration",
        "target_time": "builtin_interfaces/Time",
        "fixed_frame": "string",
        "advanced": "boolean",
    }
    assert LookupTransform.Result.get_fields_and_field_types() == {
        "transform": "geometry_msgs/TransformStamped",
        "error": "tf2_msgs/TF2Error",
    }
    assert FrameGraph.Response.get_fields_and_field_types() == {"frame_yaml": "string"}
