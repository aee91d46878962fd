"""Images for training are those of the frames that samples ask for."""

import numpy as np
import pytest

from fabg.demos.layout import Feature
from fabg.demos.reader import Dataset
from fabg.demos.writer import DatasetWriter
from fabg.errors import ConfigError, InputError
from fabg.learn.pictures import DEPTH, LEFT, RIGHT, Pictures

HEIGHT, WIDTH = 32, 48
FEATURES = {
    "action": Feature("float32", (2,)),
    LEFT: Feature.video(HEIGHT, WIDTH),
    RIGHT: Feature.video(HEIGHT, WIDTH),
    DEPTH: Feature("float32", (HEIGHT * WIDTH,)),
}


def level(episode, frame):
    """A grey that differs between neighbours by more than the video's losses."""
    return (37 * frame + 90 * episode) % 200 + 20


def metres(episode, frame):
    return 0.3 + 0.05 * frame + 0.5 * episode


def write(root, features=FEATURES, episodes=3, frames=9):
    with DatasetWriter(root, 50, features, "head") as writer:
        for episode in range(episodes):
            for k in range(frames):
                depth = np.full((HEIGHT, WIDTH), metres(episode, k), np.float32)
                depth[:, : WIDTH // 2] = 0.0
                frame = {
                    "action": np.zeros(2),
                    LEFT: np.full((HEIGHT, WIDTH, 3), level(episode, k), np.uint8),
                    RIGHT: np.full((HEIGHT, WIDTH, 3), 255 - level(episode, k), np.uint8),
                    DEPTH: depth.ravel(),
                }
                writer.add_frame(
                    task="look", **{key: frame[key][: np.prod(features[key].shape)] for key in features}
                )
            writer.end_episode()
    return Dataset(root)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    return [write(root / "a"), write(root / "b", episodes=1)]


FRAMES = np.array([[0, 0, 0], [0, 0, 2], [0, 0, 8], [0, 2, 1], [0, 2, 3], [1, 0, 5]])


def test_each_sample_has_the_images_of_its_frame(sets):
    told = []
    pictures = Pictures(sets, FRAMES, size=(16, 32), tell=lambda done, total: told.append((done, total)))
    assert len(pictures) == 6 and told == [(3, 6), (5, 6), (6, 6)]
    order = np.array([5, 0, 3, 3])
    batch = pictures.batch(order)
    assert {name: (value.shape, value.dtype.name) for name, value in batch.items()} == {
        "left": ((4, 3, 16, 32), "uint8"), "right": ((4, 3, 16, 32), "uint8"), "depth": ((4, 1, 16, 32), "float32")
    }  # fmt: skip
    for row, (_, episode, frame) in enumerate(FRAMES[order]):
        assert batch["left"][row].mean() == pytest.approx(level(episode, frame), abs=3)
        assert batch["right"][row].mean() == pytest.approx(255 - level(episode, frame), abs=3)
        np.testing.assert_allclose(batch["depth"][row, 0, :, 16:], metres(episode, frame), rtol=1e-3)
        assert (batch["depth"][row, 0, :, :16] == 0).all()


def test_the_size_is_told_and_is_what_is_held(sets):
    pictures = Pictures(sets, FRAMES, size=(16, 32))
    held = sum(pictures.batch(np.arange(6))[name].nbytes for name in ("left", "right", "depth"))
    # Depth is held in half the bytes that it is given in.
    assert pictures.nbytes == held - 6 * 16 * 32 * 2
    assert "6 images of two cameras, 0.0 GB" in str(pictures)


def test_more_than_the_memory_is_refused_before_reading(sets):
    with pytest.raises(ConfigError, match="6 samples take 0.0 GB: expected up to memory_gb, 1e-06"):
        Pictures(sets, FRAMES, memory_gb=1e-6, tell=lambda done, total: pytest.fail("something was read"))


@pytest.mark.parametrize("missing", [LEFT, RIGHT, DEPTH])
def test_missing_cameras_are_named_with_what_there_is(tmp_path, missing):
    data = write(tmp_path / "set", {k: f for k, f in FEATURES.items() if k != missing}, 1, 3)
    with pytest.raises(InputError, match=f"'{missing}', only action, .*record it with --obs rgbd"):
        Pictures([data], FRAMES[:2])


def test_without_depth_none_is_needed_nor_given(tmp_path):
    data = write(tmp_path / "set", {k: f for k, f in FEATURES.items() if k != DEPTH}, 1, 3)
    assert set(Pictures([data], FRAMES[:2], depth=False).batch(np.array([1]))) == {"left", "right"}


def test_depth_of_another_size_is_refused(tmp_path):
    data = write(tmp_path / "set", FEATURES | {DEPTH: Feature("float32", (100,))}, 1, 3)
    with pytest.raises(InputError, match=r"\(100,\): expected \(1536,\), 32 rows of 48"):
        Pictures([data], FRAMES[:2])


def test_an_episode_that_is_not_there_is_refused(sets):
    with pytest.raises(InputError, match="episode 7"):
        Pictures(sets, np.array([[0, 7, 0]]))
