"""Results on disk: whole lines only, each counted once, never mixed."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.errors import ConfigError, FabgError, InputError
from fabg.social.bench.journal import Journal, Outcome, checked_scores

SETTINGS = {"events": 20, "pace": "prompt", "latency": [40, 30]}
CODE = {"fabg": "0.1.0", "source": "abc"}
LINES = [
    Outcome("a", 1.0, {"lag_ms": 12.5, "dtw": None}),
    Outcome("b", 0.5, error="ValueError: µ"),
    Outcome("c", 0.25, {"lag_ms": -3.0}),
]


def _filled(path):
    path.unlink(missing_ok=True)
    with Journal(path, SETTINGS, CODE) as journal:
        for outcome in LINES:
            journal.add(outcome)
    return path.read_bytes()


def test_what_is_added_is_there_again(tmp_path):
    _filled(tmp_path / "new" / "journal")
    with Journal(tmp_path / "new" / "journal", SETTINGS, CODE) as journal:
        assert [journal.outcome(key) for key in "abc"] == LINES
        assert [journal.done(key) for key in "abcd"] == [True, False, True, False]
        assert journal.outcome("d") is None
        with pytest.raises(InputError, match="a is in the journal already"):
            journal.add(Outcome("a", 1.0, {"lag_ms": 0.0}))
        journal.add(Outcome("b", 1.0, {"lag_ms": 1.0}))
        assert journal.done("b")
    with Journal(tmp_path / "new" / "journal", SETTINGS, CODE) as journal:
        assert journal.outcome("b").scores == {"lag_ms": 1.0}


def test_a_line_is_on_disk_when_add_returns(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_size), real(handle)))
    with Journal(tmp_path / "journal", SETTINGS, CODE) as journal:
        journal.add(LINES[0])
        assert synced[-1] == (tmp_path / "journal").stat().st_size
        assert json.loads((tmp_path / "journal").read_text().splitlines()[1])["scores"]["lag_ms"] == 12.5


@given(data=st.data())
def test_cut_off_anywhere_only_the_cut_line_is_lost(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "journal"
    content = _filled(path)
    at = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:at])
    whole = max(content[:at].count(b"\n") - 1, 0)  # without the header
    with Journal(path, SETTINGS, CODE) as journal:
        assert [journal.outcome(o.key) for o in LINES] == LINES[:whole] + [None] * (3 - whole)
        for outcome in LINES[whole:]:
            journal.add(outcome)
    assert path.read_bytes() == content


@given(junk=st.binary(max_size=60))
def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("junk") / "notes.txt"
    text = b"my notes " + junk
    path.write_bytes(text)
    with pytest.raises(ConfigError, match="is not a journal of results"):
        Journal(path, SETTINGS)
    assert path.read_bytes() == text


@given(junk=st.binary(min_size=1, max_size=30).filter(lambda b: b"\n" not in b and b"\r" not in b))
def test_a_damaged_line_in_the_middle_is_named(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("mid") / "journal"
    lines = _filled(path).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], junk + b"\n", *lines[2:]]))
    with pytest.raises(FabgError, match="line 3 of the journal .* is damaged: remove that line"):
        Journal(path, SETTINGS, CODE)


def test_a_key_that_stands_there_twice_counts_once(tmp_path):
    path = tmp_path / "journal"
    _filled(path)
    with path.open("a") as file:
        file.write(Outcome("a", 9.0, {"lag_ms": 99.0}).line() + Outcome("c", 9.0, error="late").line())
    with Journal(path, SETTINGS, CODE) as journal:
        assert [journal.outcome(key) for key in "abc"] == LINES


def test_other_settings_or_other_code_are_named(tmp_path):
    path = tmp_path / "journal"
    _filled(path)
    with pytest.raises(
        ConfigError, match=r"events is 5, in the journal 20; pace is not given, in the journal"
    ) as told:
        Journal(path, {"events": 5, "latency": (40, 30)}, CODE)  # a tuple is a list in JSON: no difference
    assert "latency" not in str(told.value) and "name another journal" in str(told.value)
    with pytest.raises(ConfigError, match='source is "abd", in the journal "abc"; results of different code'):
        Journal(path, SETTINGS, CODE | {"source": "abd"})
    with pytest.raises(ConfigError, match="settings cannot be written as JSON"):
        Journal(path, {"events": {1, 2}})
    path.write_bytes(path.read_bytes().replace(b'"fabg_journal": 1', b'"fabg_journal": 2', 1))
    with pytest.raises(ConfigError, match="has format 2: expected 1"):
        Journal(path, SETTINGS, CODE)


def test_two_at_once_are_refused_and_the_lock_ends_with_the_first(tmp_path):
    path = tmp_path / "journal"
    with Journal(path, SETTINGS, CODE), pytest.raises(ConfigError, match="is in use by another run: wait"):
        Journal(path, SETTINGS, CODE)
    Journal(path, SETTINGS, CODE).close()


def test_a_full_disk_costs_the_line_but_not_the_journal(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    real = os.write
    with Journal(path, SETTINGS, CODE) as journal:
        before = path.read_bytes()

        def full(handle, data, /):
            if len(data) > 9:
                return real(handle, data[:9])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(ConfigError, match="No space left on device.: make room"):
            journal.add(LINES[0])
        monkeypatch.undo()
        assert path.read_bytes() == before and not journal.done("a")
        journal.add(LINES[0])
    with Journal(path, SETTINGS, CODE) as journal:
        assert journal.done("a")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="journal' cannot be written"):
        Journal(tmp_path / "file" / "journal", SETTINGS)


@pytest.mark.parametrize(
    "bad", [float("nan"), float("inf"), np.float32("nan"), "12", "x", [1.0], 10**400, object()]
)
def test_scores_are_finite_numbers_or_none(bad):
    with pytest.raises(InputError, match="score lag_ms is .*: expected a finite number or None"):
        checked_scores({"lag_ms": bad})


def test_scores_become_plain_floats():
    plain = checked_scores({"a": np.float32(1.5), "b": 2, "c": None, "d": True})
    assert plain == {"a": 1.5, "b": 2.0, "c": None, "d": 1.0}
    assert [type(v) for v in plain.values()] == [float, float, type(None), float]
    with pytest.raises(InputError, match="scores are a list"):
        checked_scores([1.0])
    with pytest.raises(InputError, match="the name of a score is 3"):
        checked_scores({3: 1.0})
    with pytest.raises(InputError, match="expected one"):
        Outcome("a", 1.0)
