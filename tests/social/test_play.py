"""A played episode is kept as a film and its scores, or not at all."""

import json

import numpy as np
import pytest

from fabg.errors import ConfigError
from fabg.robot.model import load_robot
from fabg.social.delays import Latency
from fabg.social.episode import EpisodeSpec
from fabg.social.film_strip import TRACKS
from fabg.social.film_tracks import PITCH, VERGENCE
from fabg.social.play import Signals, play
from fabg.social.score import METRICS
from fabg.social.tasks import TASKS


def quick(out, **change):
    return play(
        out, **{"task": "tracking", "policy": "expert", "events": 1, "max_s": 1.5, "progress": False} | change
    )


@pytest.mark.slow
def test_a_film_and_its_scores_are_written(tmp_path):
    import av

    film = quick(tmp_path / "run", latency="60")
    assert film == tmp_path / "run" / "play.mp4"
    with av.open(str(film)) as video:
        pictures = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert pictures[0].shape == (720, 1280, 3) and 30 <= len(pictures) <= 38
    result = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert set(result["scores"]) == set(METRICS) and result["seconds"] <= 1.5
    # Both pictures are of somebody: neither half is empty, and the strip below is drawn.
    last = pictures[-1].astype(float)
    assert last[60:500, :620].std() > 20 and last[60:500, 660:].std() > 20 and last[560:].std() > 5


@pytest.mark.parametrize(
    "change, says", [({"task": "tennis"}, "tennis"), ({"latency": "-3"}, "-3"), ({"seed": -1}, "-1")]
)
def test_what_cannot_be_played_leaves_nothing_behind(tmp_path, change, says):
    with pytest.raises(ConfigError, match=says):
        quick(tmp_path / "run", **change)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="not empty"):
        quick(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("task", TASKS)
def test_signals_have_every_line_that_is_drawn(task):
    world = EpisodeSpec(task=task, seed=3, policy="expert", latency=Latency.parse(None), events=4).world()
    world.reset(3)
    signals = Signals(load_robot())
    values = []
    while not world.done and world.tick < 400:
        world.step(world.expert_vector)
        values.append(signals.of(world))
    keys = {line.key for track in (*TRACKS, PITCH, VERGENCE) for line in track.lines}
    assert keys <= set(values[0])
    # The robot does as the expert does here, so what is drawn of both is the same.
    for stem in ("gaze", "pitch", "vergence", "expression"):
        np.testing.assert_allclose(
            [v[f"{stem}_robot"] for v in values], [v[f"{stem}_expert"] for v in values], atol=1e-9
        )
    if task == "affective":
        # A full smile is 1; people smile at 40 to 100 %.
        assert 0.35 <= max(v["expression_asked"] for v in values) <= 1.0
        assert max(v["expression_robot"] for v in values) == pytest.approx(
            max(v["expression_asked"] for v in values), abs=0.1
        )
