"""A configuration is what its file says, or refused with the name of what is wrong."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fabg.errors import ConfigError
from fabg.learn.config import ModelConfig, SampleConfig, TrainConfig, from_table, load_config
from tests.learn.tiny import config, table

SHIPPED = sorted((Path(__file__).parents[2] / "config/train").glob("*.yaml"))


def write(path, values):
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize(
    "values, says",
    [
        ({"stepz": 3}, ["'stepz'", "expected some of", "steps"]),
        ({"model": {"widht": 3}}, ["'widht'", "in model", "width"]),
        ({"samples": {"history": 3}}, ["'history'", "in samples", "history_steps"]),
        ({"model": 3}, ["model is 3", "names and values"]),
        ({"model": None}, ["model is None", "names and values"]),
        ({"steps": "many"}, ["steps is 'many'", "int"]),
        ({"steps": True}, ["steps is True", "int"]),
        ({"steps": 2.5}, ["steps is 2.5", "int"]),
        ({"episodes": 0}, ["episodes is 0", "1 to"]),
        ({"episodes": "all"}, ["episodes is 'all'", "int"]),
        ({"steps": 0}, ["steps is 0", "1 to"]),
        ({"learning_rate": float("nan")}, ["learning_rate is nan"]),
        ({"learning_rate": "fast"}, ["learning_rate is 'fast'", "float"]),
        ({"data": []}, ["data names no data set"]),
        ({"data": None}, ["data is None"]),
        ({"data": {"a": 1}}, ["data is {'a': 1}"]),
        ({"tasks": []}, ["tasks names none"]),
        ({"episodes": 0}, ["episodes is 0", "1 to"]),
        ({"episodes": True}, ["episodes is True", "int"]),
        ({"name": "../x"}, ["name is '../x'"]),
        ({"inputs": "smell"}, ["smell", "features, rgbd, both"]),
        ({"device": "tpu"}, ["tpu", "auto, cpu or cuda"]),
        ({"model": {"width": 10, "heads": 4}}, ["width is 10", "multiple of heads, 4"]),
        ({"model": {"backbone": "eyes"}}, ["eyes", "compact or dinov2"]),
        ({"samples": {"history_steps": 5}}, ["history_steps is 5", "multiple of patch, 2"]),
        ({"samples": {"chunk_steps": 31}}, ["chunk_steps is 31", "multiple of query_steps, 3"]),
        ({"samples": {"chunk_steps": 12, "prefix_steps": 12}}, ["prefix_steps is 12", "1 to 11"]),
        ({"samples": {"held_out": 0.6}}, ["held_out is 0.6", "0.5"]),
        ({"samples": {"shuffle_people": 1}}, ["samples.shuffle_people is 1", "bool"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_is_known(values, says):
    with pytest.raises(ConfigError) as found:
        from_table({"data": ["demos"]} | values)
    for text in says:
        assert text in str(found.value)


@pytest.mark.parametrize(
    "kind, name, low, high",
    [(TrainConfig, "warm_up", 0.001, 0.9), (ModelConfig, "dropout", 0.0, 0.9), (SampleConfig, "dt_s", 0.002, 1.0)],
)  # fmt: skip
def test_ranges_include_their_ends(kind, name, low, high):
    more = {"data": ("demos",)} if kind is TrainConfig else {}
    for value in (low, high):
        assert getattr(kind(**more, **{name: value}), name) == value
    for value in (low - 1e-4, high + 1e-4):
        with pytest.raises(ConfigError, match=name):
            kind(**more, **{name: value})


def test_a_file_and_back(tmp_path):
    made = config("a", "b", tasks=["tracking"], learning_rate=3e-4, model={"latent": 3})
    values = yaml.safe_load(
        yaml.safe_dump({k: list(v) if isinstance(v, tuple) else v for k, v in made.to_json().items()})
    )
    assert load_config(write(tmp_path / "c.yaml", values)) == made
    assert from_table(made.to_json()) == made
    assert made.learning_rate == 3e-4 and made.model.latent == 3 and made.tasks == ("tracking",)


def assert_says(part, default, said):
    """Each value is that of the file, or the default where the file has none."""
    for field in fields(part):
        value, expected = getattr(part, field.name), getattr(default, field.name)
        if is_dataclass(value):
            assert_says(value, expected, said.get(field.name, {}))
        else:
            told = said.get(field.name, expected)
            assert value == (tuple(told) if isinstance(told, list) else told), field.name


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_files_load_with_just_what_they_say(path):
    assert_says(load_config(path), TrainConfig(data=("demos",)), yaml.safe_load(path.read_text()))


def test_overrides_go_over_the_file(tmp_path):
    path = write(tmp_path / "c.yaml", table("demos"))
    made = load_config(path, {"steps": 7, "model.width": 32, "samples.held_out": 0.5, "data": ["x"]})
    assert (made.steps, made.model.width, made.samples.held_out, made.data) == (7, 32, 0.5, ("x",))
    assert made.model.heads == 2 and made.batch == 16
    with pytest.raises(ConfigError, match="'widht' in model"):
        load_config(path, {"model.widht": 3})
    with pytest.raises(ConfigError, match="steps is no group"):
        load_config(path, {"steps.many": 3})


def test_numbers_as_people_write_them(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("data: demos\nlearning_rate: 1e-3\nwarm_up: 5e-2\n")
    made = load_config(path)
    assert (made.learning_rate, made.warm_up, made.data) == (0.001, 0.05, ("demos",))


def test_folders_lie_beside_the_file_or_where_you_are(tmp_path, monkeypatch):
    (tmp_path / "near/demos").mkdir(parents=True)
    path = write(tmp_path / "near/c.yaml", {"data": ["demos", "elsewhere"]})
    monkeypatch.chdir(tmp_path)
    assert load_config(path).data == (str(tmp_path / "near/demos"), "elsewhere")
    # What is typed is meant from where it is typed.
    assert load_config(path, {"data": ["demos"]}).data == ("demos",)


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [", "\x00"])
def test_files_that_hold_no_configuration(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError):
        load_config(tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read"):
        load_config(tmp_path / "none.yaml")


plain = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=5)
names = st.sampled_from([f.name for f in fields(TrainConfig)]) | st.text(max_size=5)
inner = st.sampled_from([f.name for kind in (ModelConfig, SampleConfig) for f in fields(kind)])


@given(
    st.dictionaries(
        names, plain | st.lists(plain, max_size=3) | st.dictionaries(inner, plain, max_size=3), max_size=4
    )
)
def test_any_table_is_a_configuration_or_refused(values):
    try:
        made = from_table({"data": ["demos"]} | values)
    except ConfigError:
        return
    assert from_table(made.to_json()) == made
