"""Counts of CLEAR-MOT on scenes small enough to count by hand, and people who cross."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fabg.errors import ConfigError
from fabg.evaluation.crossing import SIZE, RenderedScene, evaluate_crossing, walks
from fabg.evaluation.mot import MotScore, Truth
from fabg.perception.types import Roi


def at(x: float) -> Roi:
    return Roi(x, 0.0, 10.0, 10.0)


def truth(x: float, person: str = "ann", visible: float = 1.0) -> Truth:
    return Truth(person, at(x), visible)


def counts(score: MotScore) -> tuple[int, int, int, int, int]:
    return score.matched, score.missed, score.false, score.switches, score.fragmentations


def test_a_perfect_tracker_makes_no_mistakes():
    score = MotScore()
    for x in range(5):
        score.add([truth(x), truth(x + 50, "bob")], {"a": at(x), "b": at(x + 50)})
    assert counts(score) == (10, 0, 0, 0, 0) and score.overlap_sum == pytest.approx(10.0)


def test_another_id_is_a_switch_and_a_gap_a_fragmentation():
    score = MotScore()
    score.add([truth(0)], {"a": at(0)})
    score.add([truth(0)], {})
    score.add([truth(0)], {"a": at(0)})
    assert counts(score) == (2, 1, 0, 0, 1)
    score.add([truth(0)], {"b": at(0)})
    assert counts(score) == (3, 1, 0, 1, 1)


def test_two_people_who_trade_ids_are_two_switches():
    score = MotScore()
    score.add([truth(0), truth(50, "bob")], {"a": at(0), "b": at(50)})
    score.add([truth(0), truth(50, "bob")], {"b": at(0), "a": at(50)})
    assert counts(score) == (4, 0, 0, 2, 0)


def test_a_box_where_nobody_is_is_false_and_one_too_far_a_miss_as_well():
    score = MotScore()
    score.add([truth(0)], {"a": at(0), "b": at(300)})
    score.add([truth(0)], {"a": at(8)})
    assert counts(score) == (1, 1, 2, 0, 0)


def test_a_hidden_face_need_not_be_found_and_may_be():
    score = MotScore()
    score.add([truth(0, visible=0.5)], {})
    score.add([truth(0, visible=0.5)], {"a": at(0)})
    assert counts(score) == (1, 0, 0, 0, 0) and score.wanted == 1


def test_nobody_is_found_behind_somebody_else():
    score = MotScore()
    score.add([truth(0), truth(50, "bob")], {"a": at(0), "b": at(50)})
    score.add([truth(48, visible=0.1), truth(46, "bob")], {"b": at(48)})
    assert counts(score) == (3, 0, 0, 0, 0)


def test_a_correspondence_holds_while_boxes_overlap():
    """The id of the image before stays although the other one's box would fit better now."""
    score = MotScore()
    score.add([truth(0), truth(4, "bob")], {"a": at(0), "b": at(4)})
    score.add([truth(2), truth(2, "bob")], {"a": at(3), "b": at(1)})
    assert score.switches == 0


def test_nobody_walks_through_anybody():
    for seed in range(20):
        paths = walks(4, seed)
        for t in np.linspace(0, 60, 200):
            depths = sorted(walk.at(t)[2] for walk in paths)
            assert min(np.diff(depths)) > 0.1 and depths[0] > 0.5


def test_speed_is_that_of_the_walk():
    for walk in walks(3, 5):
        still = walk.__class__(**{**vars(walk), "sway_m": 0.0})
        numeric = (still.at(3.0005)[0] - still.at(2.9995)[0]) / 0.001
        assert still.at(3.0)[3] == pytest.approx(numeric, abs=1e-4)


@pytest.mark.parametrize("wrong", [{"seconds": 0.0}, {"fps": math.nan}, {"people": 0}, {"seed": -1}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        evaluate_crossing(**wrong)


def test_truth_is_where_people_are_drawn():
    with RenderedScene(2, 7) as scene:
        image, truths = scene.at(0.0)
        again, _ = scene.at(0.0)
    assert image.shape == (SIZE[1], SIZE[0], 3) and np.array_equal(image, again)
    assert [t.person for t in truths] == ["person 7", "person 8"]
    assert all(0.0 <= t.visible <= 1.0 and t.roi.width > 30 for t in truths)


@pytest.mark.slow
def test_two_people_cross_without_losing_their_ids():
    told: list[float] = []
    result = evaluate_crossing(seconds=8.0, fps=12.0, seed=11, people=2, progress=told.append)
    assert result.id_switches == 0 and result.ids == 2 and result.crossings >= 1
    assert result.missed <= 0.1 * result.faces
    assert told[-1] == 1.0 and told == sorted(told)
