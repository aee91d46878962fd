"""The host of a learnt policy: the same windows and answers as in training, and refusals instead of surprises."""

import hashlib
import json
import math
import shutil
import tracemalloc

import numpy as np
import pytest

from fabg import expression
from fabg.errors import CommandRefused, ConfigError, ModelFileError
from fabg.perception.types import Gesture, Side
from fabg.policy.base import (
    Chunk,
    HandObservation,
    Observation,
    PersonObservation,
    PrefixPolicy,
    StereoImages,
    Watching,
)
from fabg.policy.features import rows
from fabg.policy.history import LONGEST_AGE_S
from fabg.policy.learnt import RESTART_S, LearntPolicy
from fabg.policy.observation import encode

torch = pytest.importorskip("torch")  # the model to compare with
from fabg.learn.export import export  # noqa: E402
from tests.learn.tiny import TEXTS, layout, network, write_run  # noqa: E402

EPOCH_S = 1_700_000_000.0


@pytest.fixture(scope="module")
def model():
    return network(proprioception=1.0)


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learnt")
    return export(write_run(folder, model), folder / "model.onnx").model


def observation(seed, stamp_s):
    """Up to two people and a hand, anywhere."""
    rng = np.random.default_rng(seed)
    people = tuple(
        PersonObservation(
            f"p{k}", rng.random(52), rng.normal(size=3), np.linalg.qr(rng.normal(size=(3, 3)))[0],
            gaze=None if rng.random() < 0.3 else rng.normal(size=3),
        )
        for k in range(rng.integers(0, 3))
    )  # fmt: skip
    hands = ()
    if rng.random() < 0.5:
        hands = (
            HandObservation("h", "p0", Side.RIGHT, rng.normal(size=3), rng.normal(size=3), Gesture.POINTING, 0.5, True),
        )  # fmt: skip
    joints = rng.normal(size=25) if rng.random() < 0.8 else None
    return Observation(stamp_s, people, hands, joints)


def stream(count=60, seed=0):
    """Observations at irregular times, with gaps."""
    rng = np.random.default_rng(seed)
    stamps = EPOCH_S + np.cumsum(
        rng.choice([0.02, 0.033, 0.05, 0.3, 0.9], count, p=[0.3, 0.3, 0.3, 0.05, 0.05])
    )
    return [observation(1000 * seed + k, float(stamp)) for k, stamp in enumerate(stamps)]


def by_hand(model, seen, task=0, committed=None):
    """The answer of the torch model to a window that is built here, one moment after the other."""
    now = seen[-1].stamp_s
    window = np.zeros((1, 4, 298), np.float32)
    for k in range(4):
        moment = now - k * 0.04
        before = [o for o in seen if o.stamp_s <= moment + 1e-6]
        if before and moment - before[-1].stamp_s <= LONGEST_AGE_S:
            window[0, k, :296] = rows(encode(before[-1], 0.0))
            window[0, k, 296:] = max(moment - before[-1].stamp_s, 0.0), 1.0
    prefix, mask = np.zeros((1, 6, 61), np.float32), np.zeros((1, 6), np.float32)
    for k in range(5):
        if committed is not None and now + k * 0.02 <= committed.end_s + 1e-5:
            prefix[0, k], mask[0, k] = committed.at(now + k * 0.02), 1.0
    feed = {
        "task": np.eye(4, dtype=np.float32)[[task]],
        "history": window,
        "prefix": prefix,
        "prefix_mask": mask,
    }
    with torch.no_grad():
        values = (
            model({name: torch.from_numpy(value) for name, value in feed.items()})[0].numpy().astype(float)
        )
    values[:, :52] = values[:, :52].clip(0.0, 1.0)
    return values


def test_it_says_what_the_trained_model_says(model, path):
    for task in range(4):
        policy, seen = LearntPolicy(path, TEXTS[task]), []
        for k, one in enumerate(stream(seed=task)):
            seen.append(one)
            if k % 3 == 1:
                policy.watch(one)  # seen, and not asked about
                continue
            chunk = policy.predict(one)
            np.testing.assert_allclose(chunk.values, by_hand(model, seen, task), atol=1e-4)
            assert (chunk.t0_s, chunk.dt_s, chunk.source) == (one.stamp_s, 0.02, "learnt")
    assert isinstance(policy, PrefixPolicy) and isinstance(policy, Watching)
    assert policy.name == "learnt"


def test_it_goes_on_from_what_is_committed(model, path):
    policy, seen = LearntPolicy(path, "affective"), []
    rng = np.random.default_rng(0)
    counts = set()
    for k, one in enumerate(stream(40)):
        seen.append(one)
        # Begins before the stamp, at other steps than the model's, and may end before it or far beyond.
        length, begin = int(rng.integers(1, 15)), one.stamp_s - float(rng.uniform(0.0, 0.1))
        committed = Chunk(rng.uniform(0.0, 0.5, (length, 61)), begin, 0.015)
        reach = (committed.end_s - one.stamp_s) / 0.02
        if abs(reach - round(reach)) < 0.01:
            policy.watch(one)
            continue  # on the edge of a step
        counts.add(min(max(math.floor(reach) + 1, 0), 5))
        chunk = policy.predict_after(one, committed if k % 4 else None)
        np.testing.assert_allclose(
            chunk.values, by_hand(model, seen, 0, committed if k % 4 else None), atol=1e-4
        )
    assert counts >= {0, 1, 2, 3, 4, 5}


def test_without_a_task_it_takes_mixed_or_the_first(path, tmp_path, model):
    one = observation(4, 1.0)
    first = LearntPolicy(path).predict(one).values
    np.testing.assert_array_equal(first, LearntPolicy(path, "affective").predict(one).values)
    assert np.abs(first - LearntPolicy(path, "gesture").predict(one).values).max() > 1e-3
    with pytest.raises(
        ConfigError, match="task 'tennis': expected one of affective, tracking, foveate, gesture"
    ):
        LearntPolicy(path, "tennis")
    with pytest.raises(ConfigError, match="not trained for the task 'mixed'"):
        LearntPolicy(path, "mixed")


def test_what_is_not_newer_changes_nothing(path):
    policy = LearntPolicy(path)
    seen = stream(10)
    for one in seen[:5]:
        chunk = policy.predict(one)
    assert policy.predict(seen[4]) is chunk
    assert policy.predict(observation(99, seen[4].stamp_s)) is chunk
    assert policy.predict(observation(98, seen[4].stamp_s - 0.5)) is chunk
    policy.watch(observation(97, seen[4].stamp_s - 0.5))
    # Nor did they leave a trace.
    other = LearntPolicy(path)
    for one in seen[:5]:
        other.predict(one)
    np.testing.assert_array_equal(policy.predict(seen[5]).values, other.predict(seen[5]).values)


@pytest.mark.parametrize("jump_s", [RESTART_S + 0.1, -(RESTART_S + 0.1)])
def test_a_jump_of_the_clock_begins_anew(path, jump_s):
    policy = LearntPolicy(path)
    for one in stream(5):
        policy.predict(one)
    later = observation(7, one.stamp_s + jump_s)
    np.testing.assert_array_equal(policy.predict(later).values, LearntPolicy(path).predict(later).values)
    assert policy.predict(later).t0_s == later.stamp_s


def test_reset_forgets(path):
    policy = LearntPolicy(path)
    first, second = observation(1, 1.0), observation(2, 1.04)
    policy.predict(first)
    remembering = policy.predict(second).values
    policy.reset()
    fresh = policy.predict(second).values
    np.testing.assert_array_equal(fresh, LearntPolicy(path).predict(second).values)
    assert np.abs(fresh - remembering).max() > 1e-3


@pytest.mark.parametrize("stamp_s", [math.nan, math.inf, -math.inf])
def test_a_stamp_that_is_no_time(path, stamp_s):
    policy = LearntPolicy(path)
    chunk = policy.predict(observation(1, 1.0))
    with pytest.raises(CommandRefused, match=f"stamp is {stamp_s}"):
        policy.predict(observation(2, stamp_s))
    assert policy.predict(observation(1, 1.0)) is chunk


def test_an_answer_that_is_no_number_is_refused_and_forgotten(path):
    policy = LearntPolicy(path)
    policy.predict(observation(5, 1.0))
    shapes = np.full(52, 0.5)
    shapes[3] = math.nan
    bad = PersonObservation("a", shapes, np.array([1.0, 0.0, 0.0]), np.eye(3))
    with pytest.raises(CommandRefused, match="NaN"):
        policy.predict(Observation(1.04, (bad,)))
    good = observation(6, 1.08)
    np.testing.assert_array_equal(policy.predict(good).values, LearntPolicy(path).predict(good).values)


def test_shapes_stay_within_their_range(path):
    policy = LearntPolicy(path)
    values = np.concatenate([policy.predict(one).values for one in stream(60, 3)])
    assert values[:, :52].min() >= 0.0 and values[:, :52].max() <= 1.0
    assert (values[:, :52] == 0.0).any() and values[:, 52:].min() < 0.0


def copied(path, folder):
    for suffix in (".onnx", ".json"):
        shutil.copy(path.with_suffix(suffix), folder / f"copy{suffix}")
    return folder / "copy.onnx"


def test_an_altered_or_cut_file_is_refused(path, tmp_path):
    whole = path.read_bytes()
    for at in (0, len(whole) // 2, len(whole) - 1):
        copy = copied(path, tmp_path)
        copy.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(ModelFileError, match="altered"):
            LearntPolicy(copy)
    copy.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match="altered"):
        LearntPolicy(copy)
    copy.with_suffix(".json").unlink()
    with pytest.raises(ModelFileError, match=r"copy.json.*cannot be read"):
        LearntPolicy(copy)
    with pytest.raises(ModelFileError, match="cannot be read"):
        LearntPolicy(tmp_path / "none.onnx")


def recarded(path, data, **change):
    """Give a file a card with its own checksum and another layout."""
    path.write_bytes(data)
    table = json.loads(path.with_suffix(".json").read_text())
    table["sha256"] = hashlib.sha256(data).hexdigest()
    table["layout"] |= change
    path.with_suffix(".json").write_text(json.dumps(table))
    return path


@pytest.mark.parametrize(
    "change, says",
    [
        ({"version": 2}, "version of the model is 2: this release has 1"),
        ({"moment_size": 300}, "moment_size of the model is 300"),
        ({"history_steps": 8}, "takes and gives .*its card says"),
        ({"chunk_steps": 12}, "takes and gives .*its card says"),
        ({"tasks": ["Look."]}, "takes and gives .*its card says"),
        ({"inputs": "both"}, "takes and gives .*its card says"),
    ],
)
def test_a_card_of_another_layout_is_refused(path, tmp_path, change, says):
    copy = copied(path, tmp_path)
    with pytest.raises(ModelFileError, match=says):
        LearntPolicy(recarded(copy, copy.read_bytes(), **change))


def test_what_is_no_model_is_refused_even_with_its_own_card(path, tmp_path):
    copy = copied(path, tmp_path)
    for data in (b"", b"no model at all", copy.read_bytes()[:2000]):
        with pytest.raises(ModelFileError, match="cannot be loaded|takes and gives"):
            LearntPolicy(recarded(copy, data))


def test_a_model_that_looks_needs_images(tmp_path):
    """Images of one grey give what the torch model says of them; without any it refuses, and recovers."""
    lay = layout(inputs="rgbd", picture_height=32, picture_width=64)
    seeing = network(lay=lay)
    policy = LearntPolicy(export(write_run(tmp_path, seeing), tmp_path / "m.onnx").model)
    with pytest.raises(CommandRefused, match="observation has none: let it see rgbd"):
        policy.predict(Observation(1.0))
    grey = np.full((64, 128, 3), 90, np.uint8)
    images = StereoImages(grey, grey + 20, np.full((64, 128), 0.7, np.float32))
    chunk = policy.predict(Observation(1.04, images=images))
    feed = {name: torch.zeros(shape) for name, shape in lay.shapes().items()}
    feed["task"][0, 0] = 1.0
    feed["left"][:], feed["right"][:], feed["depth"][:] = 90.0, 110.0, 0.7
    with torch.no_grad():
        said = seeing(feed)[0].numpy()
    said[:, : expression.N_SHAPES] = said[:, : expression.N_SHAPES].clip(0.0, 1.0)
    np.testing.assert_allclose(chunk.values, said, atol=1e-3)


def test_nothing_grows_over_many_ticks(path):
    """5,000 images are 200 s at 25 a second; what is kept does not depend on how long it runs."""
    policy, some = LearntPolicy(path), stream(20)

    def run(ticks, begin):
        for k in range(ticks):
            one = some[k % 20]
            stamp = begin + k * 0.04
            policy.predict_after(
                Observation(stamp, one.people, one.hands, one.joint_positions),
                policy.predict(one) if k == 0 else None,
            )
        return begin + ticks * 0.04

    end = run(300, EPOCH_S + 100.0)
    tracemalloc.start()
    try:
        end = run(200, end)
        before = tracemalloc.take_snapshot()
        run(5000, end)
        after = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    grown = sum(
        stat.size_diff for stat in after.compare_to(before, "filename") if "tracemalloc" not in str(stat)
    )
    assert grown < 50_000  # an array of 298 numbers a tick would be 6 MB
