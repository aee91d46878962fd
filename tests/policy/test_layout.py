"""A layout says what goes in and out; another one is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy import features, history
from fabg.policy.layout import INPUTS, VERSION, Layout

TASKS = ("Look.", "Smile.")
PICTURES = {"left": (1, 3, 40, 60), "right": (1, 3, 40, 60)}


@pytest.mark.parametrize(
    "change, between",
    [
        ({}, {"history": (1, 20, 298)}),
        ({"inputs": "rgbd"}, PICTURES | {"depth": (1, 1, 40, 60)}),
        ({"inputs": "rgbd", "depth": False}, PICTURES),
        ({"inputs": "both"}, {"history": (1, 20, 298)} | PICTURES | {"depth": (1, 1, 40, 60)}),
    ],
)
def test_shapes_in_order(change, between):
    layout = Layout(tasks=TASKS, picture_height=40, picture_width=60, **change)
    expected = {"task": (1, 2), **between, "prefix": (1, 30, 61), "prefix_mask": (1, 30)}
    assert list(layout.shapes().items()) == list(expected.items())
    assert layout.sees_features == ("history" in between) and layout.sees_pictures == ("left" in between)


def test_the_last_expression_is_a_chunk_less_one_step_away():
    assert Layout(chunk_steps=30, dt_s=0.02).horizon_s == pytest.approx(0.58)


@pytest.mark.parametrize("inputs", INPUTS)
def test_there_and_back(inputs):
    made = Layout(tasks=TASKS, inputs=inputs, history_steps=7, history_step_s=0.05, depth=False)
    assert Layout.from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize(
    "change, says",
    [
        ({"version": VERSION + 1}, "version of the model is 2: this release has 1; export the model anew"),
        ({"moment_size": 7}, f"moment_size of the model is 7: this release has {history.SIZE}"),
        ({"action_size": 60}, f"action_size of the model is 60: this release has {expression.SIZE}"),
        ({"inputs": "smell"}, "'smell': expected one of features, rgbd, both"),
        ({"history_steps": 1}, "history_steps is 1: expected 2 to 500"),
        ({"dt_s": float("nan")}, "dt_s is nan"),
        ({"history_steps": 20.0}, "history_steps is 20.0: expected int"),
        ({"chunk_steps": True}, "chunk_steps is True: expected int"),
        ({"depth": 1}, "depth is 1: expected bool"),
        ({"tasks": "Look."}, "expected a list of sentences"),
        ({"tasks": []}, "expected a list of sentences"),
        ({"tasks": [3]}, "expected a list of sentences"),
        ({"smell": 1}, "'smell' is unknown or missing: expected"),
    ],
)
def test_another_layout_is_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        Layout.from_json(Layout(tasks=TASKS).to_json() | change)


def test_missing_names_are_told():
    table = Layout(tasks=TASKS).to_json()
    del table["dt_s"]
    with pytest.raises(ConfigError, match="'dt_s' is unknown or missing"):
        Layout.from_json(table)


scalars = st.none() | st.booleans() | st.integers(-10, 1000) | st.floats() | st.text(max_size=3)


@given(st.sampled_from(sorted(Layout().to_json())), scalars | st.lists(scalars, max_size=2))
def test_any_value_is_taken_or_refused(name, value):
    try:
        made = Layout.from_json(Layout(tasks=TASKS).to_json() | {name: value})
    except ConfigError:
        return
    made.shapes()
    assert made.to_json()[name] == value


def test_a_moment_is_what_its_parts_are():
    assert history.SIZE == features.SIZE + 2 == 3 * (66 + 3) + 3 + 2 * (23 + 6) + 2 + 25 + 1 + 2
