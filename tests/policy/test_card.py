"""A model and its card fit each other, or are refused."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.errors import ModelFileError
from fabg.policy.card import FORMAT, ModelCard, card_path, read_model
from fabg.policy.layout import Layout

LAYOUT = Layout(tasks=("Look.",)).to_json()
DATA = b"any bytes are a model here"


def write(folder, **change):
    card = ModelCard(
        name="nice", layout=Layout(tasks=("Look.",)), sha256=hashlib.sha256(DATA).hexdigest(),
        training={"steps": 3}, measured={"val_loss": 0.25},
    )  # fmt: skip
    (folder / "nice.onnx").write_bytes(DATA)
    (folder / "nice.json").write_text(json.dumps(card.to_json() | change))
    return folder / "nice.onnx", card


def test_there_and_back(tmp_path):
    path, card = write(tmp_path)
    assert card_path(path) == tmp_path / "nice.json"
    assert read_model(path) == (DATA, card)
    table = json.loads((tmp_path / "nice.json").read_text())
    assert table["control_rate_hz"] == 50.0 and table["format"] == FORMAT and table["licence"] == "Apache-2.0"


def test_an_altered_byte_is_refused(tmp_path):
    path, _ = write(tmp_path)
    for k in range(len(DATA)):
        path.write_bytes(DATA[:k] + bytes([DATA[k] ^ 1]) + DATA[k + 1 :])
        with pytest.raises(ModelFileError, match=r"checksum .* was altered .*fabg export"):
            read_model(path)
    path.write_bytes(DATA[:-1])
    with pytest.raises(ModelFileError, match="altered"):
        read_model(path)


@pytest.mark.parametrize("name", ["nice.onnx", "nice.json"])
def test_one_of_the_two_is_missing(tmp_path, name):
    path, _ = write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelFileError, match=rf"{name}.*cannot be read .*fabg export"):
        read_model(path)
    (tmp_path / name).mkdir()
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_model(path)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"format": "fabg-policy-0"}, "fabg-policy-0.*fabg-policy-1"),
        ({"sha256": None}, "sha256 is None: expected str"),
        ({"sha256": "0" * 64}, "its card says 000000000000"),
        ({"training": []}, r"training is \[\]: expected dict"),
        ({"name": 3}, "name is 3: expected str"),
        ({"layout": LAYOUT | {"version": 2}}, "version of the model is 2: this release has 1"),
        ({"layout": LAYOUT | {"moment_size": 3}}, "moment_size of the model is 3"),
        ({"layout": Layout().to_json()}, "list of sentences"),
        ({"layout": {}}, "unknown or missing"),
    ],
)  # fmt: skip
def test_a_card_of_something_else(tmp_path, change, says):
    path, _ = write(tmp_path, **change)
    with pytest.raises(ModelFileError, match=says):
        read_model(path)


values = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats()
    | st.text(max_size=3)
    | st.just([])
    | st.just({})
)


@given(data=st.data())
def test_any_card_is_taken_or_refused(tmp_path_factory, data):
    path, card = write(tmp_path_factory.mktemp("card"))
    text = card_path(path).read_text()
    if data.draw(st.booleans()):
        table = json.loads(text)
        place = data.draw(st.sampled_from([table, table["layout"]]))
        name = data.draw(st.sampled_from(sorted(place)))
        if data.draw(st.booleans()):
            place[name] = data.draw(values)
        else:
            del place[name]
        card_path(path).write_text(json.dumps(table))
    else:
        card_path(path).write_text(text[: data.draw(st.integers(0, len(text) - 2))])
    try:
        _, found = read_model(path)
    except ModelFileError as error:
        assert "fabg export" in str(error) or "export" in str(error)
    else:
        assert found.sha256 == card.sha256 and found.layout.shapes()
