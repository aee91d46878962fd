"""The whole evaluation on a handful of pictures: every part runs, counts right, and finds what is plain to see."""

import itertools
import json

import pytest

from fabg.errors import UsageError
from fabg.evaluation import perception
from fabg.evaluation.perception import Extent, evaluate_perception, parts

TINY = Extent(people=2, pictures=3, hand_pictures=1, crossing_s=2.0)


def test_people_that_were_fitted_on_are_refused():
    with pytest.raises(UsageError, match="seed is 999: expected 1000"):
        evaluate_perception(seed=999)


def test_an_unknown_part_is_named_with_what_there_is():
    with pytest.raises(UsageError, match="'gaz'.*found, pose, gaze"):
        evaluate_perception(only=["gaz"])


@pytest.mark.slow
def test_a_tiny_evaluation_writes_numbers_and_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(perception, "QUICK", TINY)
    result = evaluate_perception(
        quick=True, only=["found", "pose", "gaze"], json_file=tmp_path / "r.json", report=tmp_path / "report",
        progress=False,
    )  # fmt: skip
    assert json.loads((tmp_path / "r.json").read_text()) == result
    assert (tmp_path / "report" / "report.html").stat().st_size > 50_000
    rows = {row["quantity"]: row for s in result["sections"].values() for row in s["rows"]}
    assert rows["face found"]["count"] == 2 * 3
    assert rows["head yaw"]["count"] == 2 * 3
    # Far from the targets, but farther still from chance: the ray is right within some degrees.
    assert rows["head yaw"]["mean"] < 6.0
    assert rows["head position, of the distance"]["mean"] < 12.0
    assert rows["gaze ray, frontal, to 1.2 m"]["mean"] < 10.0
    printed = capsys.readouterr().out
    assert "head yaw" in printed and str(tmp_path / "report" / "report.html") in printed.replace("\n", "")


@pytest.mark.slow
def test_expressions_hands_and_ids_are_measured():
    told = []
    run = parts(Extent(people=1, pictures=3, hand_pictures=1, crossing_s=2.0), 1000)
    expression = run["expression"](lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1], "progress ends at its total"
    assert all(a <= b for a, b in itertools.pairwise(told))
    by_name = {row.quantity: row for row in expression.rows}
    assert by_name["smile, swept"].value > 0.8
    assert by_name["jaw open, swept"].value > 0.8
    told.clear()
    hands = run["gesture"](lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert {row.quantity for row in hands.rows} >= {"gesture, macro F1", "hand position, with depth"}
    # Eight gestures that a picture shows, two hands that say none, a wave, and a hand that moves otherwise.
    assert hands.rows[0].count == 8 + 2 + 2
    crossing = run["identity"](lambda done, total: None)
    assert crossing.rows[0].quantity == "id switches"
