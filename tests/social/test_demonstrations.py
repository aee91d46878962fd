"""Demonstrations read back are what the expert did and what was seen."""

import numpy as np
import pytest

from fabg.demos.reader import Dataset
from fabg.errors import ConfigError
from fabg.policy.observation import SHAPES
from fabg.policy.task_texts import TASK_TEXTS
from fabg.social.demonstrations import write_demonstrations
from fabg.social.env import SocialHeadEnv


def write(out, **change):
    return write_demonstrations(
        out, **{"tasks": ("affective", "tracking"), "episodes": 1, "seed": 50, "events": 2} | change
    )


def test_every_frame_is_what_was_seen_and_done(tmp_path):
    told = []
    written = write(tmp_path / "set", tell=lambda done, total: told.append((done, total)))
    data = Dataset(tmp_path / "set")
    assert len(data) == written.episodes == 2 and data.fps == 50
    assert written.answered == 4 and written.missed == 0 and told == [(1, 2), (2, 2)]
    assert [data.episode_tasks(k) for k in range(2)] == [[TASK_TEXTS["affective"]], [TASK_TEXTS["tracking"]]]

    # Played again beside it, tick by tick.
    episode = data.episode(1)
    env = SocialHeadEnv("tracking", latency=None, pace="natural", events=2, expert=True)
    observation, info = env.reset(seed=51)
    for k in range(len(episode["action"])):
        np.testing.assert_array_equal(episode["action"][k], info["expert"].astype(np.float32))
        for name in ("people", "people_mask", "hands", "hands_mask"):
            np.testing.assert_array_equal(episode[f"observation.{name}"][k], observation[name].ravel())
        np.testing.assert_array_equal(episode["observation.state"][k], observation["joints"])
        stamp = float(np.ravel(episode["observation.stamp_s"][k])[0])
        assert 0 <= env.world.time_s - stamp < env.world.config.image_s + 1e-9
        observation, *_, info = env.step(info["expert"])
    assert episode["observation.people"].shape[1] == np.prod(SHAPES["people"])
    assert env.world.done


def test_more_is_added_to_a_set(tmp_path):
    write(tmp_path / "set")
    write(tmp_path / "set", seed=60, tasks=("gesture",))
    assert len(Dataset(tmp_path / "set")) == 3


@pytest.mark.slow
def test_pictures_and_depth_are_kept(tmp_path):
    write(tmp_path / "set", tasks=("tracking",), obs="rgbd", events=1)
    data = Dataset(tmp_path / "set")
    pictures = data.pictures(0, "observation.images.left")
    depth = np.asarray(data.episode(0)["observation.depth"][-1]).reshape(120, 160)
    assert pictures.shape[1:] == (120, 160, 3) and pictures.shape[0] == data.length(0)
    # Where somebody is in the depth there is something else in the picture than the wall.
    somebody = depth > 0
    assert 0.05 < somebody.mean() < 0.9
    last = pictures[-1].astype(float).mean(axis=2)
    assert abs(last[somebody].std() - last[~somebody].std()) > 1.0


def test_stopping_leaves_whole_episodes(tmp_path):
    done = []
    write(tmp_path / "set", episodes=5, tell=lambda k, total: done.append(k), stop=lambda: len(done) >= 2)
    assert len(Dataset(tmp_path / "set")) == 2


@pytest.mark.parametrize(
    "change, says",
    [
        ({"tasks": ("tennis",)}, "tennis"),
        ({"tasks": ("gesture", "gesture")}, "named twice"),
        ({"tasks": ()}, "at least one"),
        ({"episodes": 0}, "0 episodes"),
        ({"obs": "smell"}, "smell"),
    ],
)
def test_wrong_wishes_are_refused(tmp_path, change, says):
    with pytest.raises(ConfigError, match=says):
        write(tmp_path / "set", **change)
    assert not (tmp_path / "set").exists()
