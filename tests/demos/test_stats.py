"""Statistics against numpy on all frames at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fabg.demos import stats
from fabg.demos.stats import Episode, Moments, Tally, count_levels, picture_stats, quantiles

PERCENT = {"q01": 1, "q10": 10, "q50": 50, "q90": 90, "q99": 99}


def _tally(episodes):
    tally = Tally()
    for values in episodes:
        tally = tally.plus(Episode(len(values), {"x": Moments.of(values)}, {}), {"x": values})
    return tally.stats()["x"]


@settings(deadline=None)
@given(
    st.lists(
        hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(2)), elements=st.floats(-1e6, 1e6)),
        min_size=1,
        max_size=5,
    )
)
def test_episodes_pool_to_the_whole(episodes):
    found, all_frames = _tally(episodes), np.concatenate(episodes)
    scale = max(np.abs(all_frames).max(), 1e-300)
    assert found["count"] == [len(all_frames)]
    np.testing.assert_array_equal(found["min"], all_frames.min(0))
    np.testing.assert_array_equal(found["max"], all_frames.max(0))
    np.testing.assert_allclose(found["mean"], all_frames.mean(0), atol=1e-12 * scale)
    np.testing.assert_allclose(found["std"], all_frames.std(0), atol=1e-7 * scale)
    for name, percent in PERCENT.items():
        np.testing.assert_allclose(
            found[name], np.percentile(all_frames, percent, axis=0), atol=1e-12 * scale
        )


def test_a_small_spread_on_a_large_mean_is_kept():
    rng = np.random.default_rng(0)
    episodes = [1.7e9 + rng.normal(0, 0.01, (50, 1)) for _ in range(20)]
    expected = np.concatenate(episodes).std()
    assert _tally(episodes)["std"][0] == pytest.approx(expected, rel=1e-3)


def test_sampled_quantiles_stay_near_the_true_ones(monkeypatch):
    """Beyond the limit, quantiles come from evenly spread frames: the rank is off by little."""
    monkeypatch.setattr(stats, "SAMPLE_FRAMES", 1024)
    rng = np.random.default_rng(1)
    t = np.arange(20_000)
    x = np.stack((np.sin(t / 97) + 0.1 * rng.normal(size=t.size), rng.exponential(size=t.size)), axis=1)
    cuts = np.sort(rng.choice(np.arange(1, len(t)), 30, replace=False))
    found = _tally(np.split(x, cuts))
    for name, percent in PERCENT.items():
        rank = (x <= found[name]).mean(axis=0)
        # Standard error of a rank from 625 draws (20,000 thinned by 32), four times.
        error = 4 * np.sqrt(percent / 100 * (1 - percent / 100) / 625)
        np.testing.assert_allclose(rank, percent / 100, atol=error, err_msg=name)


@pytest.mark.parametrize("frames", [1, 2, 64, 65, 127, 128, 129, 300])
def test_the_sample_depends_on_the_number_of_frames_alone(monkeypatch, frames):
    monkeypatch.setattr(stats, "SAMPLE_FRAMES", 64)
    monkeypatch.setattr(stats, "_SAMPLE_LEAST", 1)
    x = np.arange(frames, dtype=np.float64)[:, None]
    at_once = _tally([x])
    assert (
        at_once["q50"] == _tally(np.array_split(x, min(frames, 7)))["q50"] == _tally(list(x[:, None]))["q50"]
    )
    step = 1 if frames <= 64 else 2 if frames <= 128 else 4 if frames <= 256 else 8
    assert at_once["q50"] == [np.median(x[::step])]


def test_wide_features_are_thinned_earlier_and_worked_on_in_blocks(monkeypatch):
    monkeypatch.setattr(stats, "_SAMPLE_NUMBERS", 8000)
    monkeypatch.setattr(stats, "_SAMPLE_LEAST", 16)
    monkeypatch.setattr(stats, "_BLOCK_NUMBERS", 999)
    assert [stats.sample_frames(n) for n in (1, 100, 1000)] == [8000, 80, 16]
    x = np.random.default_rng(4).normal(size=(130, 100))
    found = _tally([x[:70], x[70:]])
    for name, value in {"min": x.min(0), "max": x.max(0), "mean": x.mean(0), "std": x.std(0)}.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12)
    for name, percent in PERCENT.items():
        np.testing.assert_allclose(
            found[name], np.percentile(x[::2], percent, axis=0), rtol=1e-9, err_msg=name
        )


def test_quantiles_of_an_episode_are_numpys():
    x = np.random.default_rng(2).normal(size=(333, 4)).astype(np.float32)
    for name, value in quantiles(x).items():
        np.testing.assert_allclose(
            value, np.percentile(x.astype(np.float64), PERCENT[name], axis=0), rtol=1e-12
        )


@settings(deadline=None, max_examples=40)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_pictures_by_their_levels(pictures):
    """0..1 a channel, over all pixels of all pictures, in the shape that LeRobot asks for."""
    found = picture_stats(sum(count_levels(picture) for picture in pictures), len(pictures))
    pixels = pictures.reshape(-1, 3) / 255.0
    expected = {
        "min": pixels.min(0), "max": pixels.max(0), "mean": pixels.mean(0), "std": pixels.std(0),
        **{name: np.percentile(pixels, percent, axis=0) for name, percent in PERCENT.items()},
    }  # fmt: skip
    assert found.pop("count") == [len(pictures)]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.shape(found[name]) == (3, 1, 1)
        np.testing.assert_allclose(np.ravel(found[name]), value, atol=1e-7, err_msg=name)


def test_large_pictures_are_thinned():
    picture = np.random.default_rng(3).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    picture[:, 320:] //= 2
    levels = count_levels(picture)
    assert levels.sum() < picture.size / 10
    found = picture_stats(levels, 1)
    np.testing.assert_allclose(np.ravel(found["mean"]), picture.mean((0, 1)) / 255, atol=0.01)
