"""Samples show what was seen at their time, and hold what the demonstrator did from then on."""

import math

import numpy as np
import pytest

from fabg import expression
from fabg.demos.reader import Dataset
from fabg.errors import InputError
from fabg.learn.batches import Batches
from fabg.learn.data import read_demonstrations
from fabg.policy import features
from fabg.policy.history import LONGEST_AGE_S
from tests.learn.tiny import ALONE, TASKS, TEXTS, config, damage, write_set

STEP_S, DT_S = 0.04, 0.02


def newest(stamps, moment):
    """The frame that holds the newest observation of a moment, by looking at them all; None when there is none."""
    found = None
    for k, stamp in enumerate(stamps):
        if stamp <= moment + 1e-6 and (found is None or stamp > stamps[found]):
            found = k
    return None if found is None or moment - stamps[found] > LONGEST_AGE_S else found


def episode_of(d, k):
    number, episode, frame = d.frames[k]
    return int(number), int(episode), int(frame)


def assert_shown(d, sets):
    """Every sample of every episode, against a slow look through the data set itself."""
    k = 0
    for number, data in enumerate(sets):
        for episode in range(len(data)):
            columns = data.episode(episode)
            stamps = columns.get("observation.stamp_s", columns["timestamp"]).astype(float)
            frames = [f for f in range(len(stamps)) if f == 0 or stamps[f] > stamps[f - 1]]
            for frame in frames:
                assert episode_of(d, k) == (number, episode, frame)
                for moment in range(d.layout.history_steps):
                    at = stamps[frame] - moment * STEP_S
                    expected = newest(stamps, at)
                    row = d.look[k, moment]
                    assert (row < 0) == (expected is None), (episode, frame, moment)
                    if expected is None:
                        assert d.age[k, moment] == 0.0
                        continue
                    assert d.age[k, moment] == pytest.approx(max(at - stamps[expected], 0.0), abs=1e-6)
                    mask = columns["observation.people_mask"][expected]
                    people = columns["observation.people"][expected].reshape(3, 66) * mask[:, None]
                    shown = d.rows[row, features.PEOPLE].reshape(3, 69)[:, :66]
                    np.testing.assert_array_equal(shown, people)
                    joints = columns["observation.state"][expected]
                    np.testing.assert_array_equal(d.rows[row, features.JOINTS], joints)
                k += 1
    assert k == len(d)


def test_what_a_sample_is_shown_is_the_newest_of_each_moment(demos):
    d = read_demonstrations(config(demos))
    assert_shown(d, [Dataset(demos)])
    assert d.layout.tasks == tuple(sorted(TEXTS)) and not d.notes


def test_so_it_is_when_images_come_late_and_irregularly(tmp_path):
    stamps = np.sort(np.random.default_rng(3).uniform(0.0, 1.4, 90)) // 0.05 * 0.05  # many of them twice
    stamps[40:] += 0.7  # nothing is seen for long
    data = write_set(tmp_path / "set", [90, 60], stamp=lambda k: min(stamps[k], k / 50.0))
    d = read_demonstrations(config(data, samples={"history_steps": 20}))
    assert_shown(d, [Dataset(data)])
    assert (d.look[:, 0] >= 0).all() and (d.look < 0).any()


def test_actions_are_those_of_the_images_own_time(demos):
    d = read_demonstrations(config(demos))
    data = Dataset(demos)
    batches = Batches(d, config(demos).samples, 0)
    for k in range(0, len(d), 7):
        _, episode, frame = episode_of(d, k)
        columns = data.episode(episode)
        stamp, action = float(columns["observation.stamp_s"][frame]), columns["action"]
        sample = batches._plain(np.array([k]))
        for step in range(d.layout.chunk_steps):
            index = round(stamp / DT_S) + step
            assert sample["valid"][0, step] == float(index < len(action))
            np.testing.assert_array_equal(sample["actions"][0, step], action[min(index, len(action) - 1)])
        assert d.layout.tasks[d.task[k]] == data.episode_tasks(episode)[0]


def moving(t):
    """Known at any time: a straight line, and a wave of at most 5 rad/s2."""
    values = np.zeros(expression.SIZE)
    values[0], values[expression.N_SHAPES] = 0.05 + 0.4 * t, 0.2 * math.sin(5.0 * t)
    return values


@pytest.mark.parametrize("fps, stamp", [(30, None), (25, None), (30, lambda k: max(k / 30 - 0.013, 0.0))])
def test_other_rates_are_laid_on_the_grid_by_time_and_said_so(tmp_path, fps, stamp):
    data = write_set(tmp_path / "set", [45, 40], fps=fps, action=moving, stamp=stamp)
    d = read_demonstrations(config(data))
    assert len(d.notes) == 1 and f"{fps} frames a second" in d.notes[0] and "20 ms" in d.notes[0]
    batches = Batches(d, config(data).samples, 0)
    bound = 5.0 / 8.0 * (1.0 / fps**2 + DT_S**2)  # of laying straight lines between points, twice
    sample = batches._plain(np.arange(len(d)))
    for k in range(len(d)):
        _, _, frame = episode_of(d, k)
        at = frame / fps if stamp is None else stamp(frame)
        for step in range(6):
            if sample["valid"][k, step]:
                expected, found = moving(at + step * DT_S), sample["actions"][k, step].numpy()
                assert found[0] == pytest.approx(expected[0], abs=1e-5)
                assert abs(found[expression.N_SHAPES] - expected[expression.N_SHAPES]) < bound
    # Nearly all of it can be learnt from: only the last chunks reach beyond the end.
    assert sample["valid"].mean() > 0.85


@pytest.mark.parametrize(
    "key, row, says",
    [
        ("action", 13, "episode 1, frame 3: action holds NaN"),
        ("observation.people", 9, "episode 0, frame 9: observation.people holds NaN"),
        ("observation.hands_mask", 11, "episode 1, frame 1: observation.hands_mask holds NaN"),
        ("observation.state", 0, "episode 0, frame 0: observation.state holds NaN"),
        ("observation.stamp_s", 15, "episode 1: a time stamp is not finite"),
    ],
)
def test_nan_is_refused_where_it_stands(tmp_path, key, row, says):
    # Images at every other frame: the frame is that of the episode, not that of the image.
    data = write_set(tmp_path / "set", [10, 10], stamp=lambda k: k // 2 * 0.04)
    damage(data, key, row, math.nan)
    with pytest.raises(InputError, match=says):
        read_demonstrations(config(data))


@pytest.mark.parametrize(
    "key, row, value, says",
    [
        ("observation.stamp_s", 14, 0.01, "episode 1, frame 4: time stamps run backwards"),
        ("timestamp", 6, 0.02, "episode 0, frame 6: time stamps run backwards"),
        ("observation.stamp_s", 19, 1.7e9, "episode 1, frame 9: observation.stamp_s is 1.7e\\+09"),
    ],
)
def test_stamps_of_another_order_or_clock_are_refused(tmp_path, key, row, value, says):
    data = write_set(tmp_path / "set", [10, 10], stamp=lambda k: k * 0.02)
    damage(data, key, row, value)
    with pytest.raises(InputError, match=says):
        read_demonstrations(config(data))


@pytest.mark.parametrize(
    "change, says",
    [
        ({"without": ("observation.people",)}, "no 'observation.people'.*--obs features"),
        ({"without": ("observation.state",)}, "no 'observation.state'"),
        ({"joints": 7}, r"observation.state .* shape \(7,\): expected \(25,\) .*25 joints"),
        ({"sizes": {"people": 132}}, r"observation.people .* shape \(132,\): expected \(198,\)"),
    ],
)
def test_features_that_are_missing_or_of_another_size(tmp_path, change, says):
    data = write_set(tmp_path / "set", [5], **change)
    with pytest.raises(InputError, match=says):
        read_demonstrations(config(data))


def test_missing_cameras(demos, tmp_path):
    from fabg.learn.train import Training

    with pytest.raises(InputError, match=r"no images 'observation.images.left'.*inputs: features"):
        Training(config(demos, inputs="rgbd"), tmp_path, ALONE)


def test_one_frame_episodes_are_left_out_and_said(tmp_path):
    data = write_set(tmp_path / "set", [1, 12, 1, 1, 9])
    d = read_demonstrations(config(data, samples={"held_out": 0.5}))
    assert {episode_of(d, k)[1] for k in range(len(d))} == {1, 4} and len(d) == 21
    assert "3 episodes of less than two frames are left out" in d.notes
    # Also when halving would have left no other: there is always something to train on.
    assert 0 < d.held_out.sum() < len(d)
    with pytest.raises(InputError, match="less than two frames"):
        read_demonstrations(config(write_set(tmp_path / "short", [1, 1])))


def test_nothing_to_learn_from(tmp_path, demos):
    with pytest.raises(InputError, match="no episodes: record some first"):
        read_demonstrations(config(write_set(tmp_path / "empty", [])))
    with pytest.raises(InputError, match="no data set.*fabg sim demos"):
        read_demonstrations(config(tmp_path / "none"))
    with pytest.raises(InputError, match="no task 'tennis'.*Look at"):
        read_demonstrations(config(demos, tasks=["tennis"]))


def test_some_tasks_and_several_sets(demos, tmp_path):
    d = read_demonstrations(config(demos, tasks=["tracking", "gesture"]))
    assert set(d.layout.tasks) == {TEXTS[1], TEXTS[3]} and len(set(d.episode.tolist())) == 4
    other = write_set(tmp_path / "other", [8, 8], task=TEXTS[0])
    both, told = config(other, demos), []
    d = read_demonstrations(both, tell=lambda done, total: told.append((done, total)))
    assert told == [(k, 10) for k in range(1, 11)]
    assert_shown(d, [Dataset(other), Dataset(demos)])
    assert (d.task[d.frames[:, 0] == 0] == d.layout.tasks.index(TEXTS[0])).all()


def test_only_the_first_episodes(demos):
    """As they were recorded: the four tasks take turns."""
    d = read_demonstrations(config(demos, episodes=2))
    assert {episode_of(d, k)[1] for k in range(len(d))} == {0, 1} and set(d.layout.tasks) == set(TEXTS[:2])
    d = read_demonstrations(config(demos, episodes=2, tasks=["gesture"]))
    assert {episode_of(d, k)[1] for k in range(len(d))} == {3, 7}
    with pytest.raises(InputError, match="have 8 episodes of these tasks: expected at least 9"):
        read_demonstrations(config(demos, episodes=9))


def test_validation_has_whole_episodes_of_every_task(tmp_path, demos):
    for seed in range(5):
        d = read_demonstrations(config(demos, seed=seed, samples={"held_out": 0.5}))
        kept = {(int(t), int(e)) for t, e in zip(d.task[d.held_out], d.episode[d.held_out], strict=True)}
        trained = {int(e) for e in d.episode[~d.held_out]}
        assert sorted(t for t, _ in kept) == list(range(len(TASKS)))  # one of two of each
        assert not trained & {e for _, e in kept}
        # Nothing of a held-out episode is shown, nor done, in training.
        shown = d.look[~d.held_out]
        assert not np.isin(shown[shown >= 0], d.look[d.held_out][:, 0]).any()
        spans = {(int(a), int(b)) for a, b in zip(d.start[d.held_out], d.last[d.held_out], strict=True)}
        for first, last in spans:
            assert not ((d.first[~d.held_out] <= last) & (d.last[~d.held_out] >= first)).any()
    assert not read_demonstrations(config(demos, samples={"held_out": 0.0})).held_out.any()
    drawn = {tuple(read_demonstrations(config(demos, seed=seed)).held_out) for seed in range(5)}
    assert len(drawn) > 1


def test_the_first_episodes_alone(demos):
    def frames(made):
        d = read_demonstrations(made)
        return [tuple(map(int, row)) for row in d.frames]

    whole = frames(config(demos))
    some = frames(config(demos, episodes=5))
    assert some == [row for row in whole if row[1] < 5]
    # Of those tasks that are learnt, in the order in which they were recorded.
    kept = frames(config(demos, tasks=[TASKS[1]], episodes=1))
    assert {row[1] for row in kept} == {first_of(demos, TEXTS[1])}
    with pytest.raises(InputError, match=r"have \d+ episodes.*at least 1000"):
        read_demonstrations(config(demos, episodes=1000))


def first_of(root, text):
    data = Dataset(root)
    return next(e for e in range(len(data)) if data.episode_tasks(e)[0] == text)
