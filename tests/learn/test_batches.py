"""Batches are drawn by seed and step alone, and vary samples without telling lies."""

from itertools import permutations

import numpy as np
import pytest
import torch

from fabg.learn.batches import Batches, counted
from fabg.learn.data import read_demonstrations
from fabg.policy import features, history
from tests.learn.tiny import config

H = 8


@pytest.fixture(scope="module")
def d(demos):
    return read_demonstrations(config(demos, samples={"history_steps": H}))


def batches(d, seed=0, **samples):
    plain = {"drop_moments": 0.0, "shuffle_people": False, "prefix": 0.0, "history_steps": H}
    return Batches(d, config("-", samples=plain | samples).samples, seed)


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_the_parts_of_several_processes_are_the_batch_of_one(d, parts):
    made = batches(d, drop_moments=0.3, shuffle_people=True, prefix=0.5)
    whole = made.train(4, 16)
    shares = [made.train(4, 16, part, parts) for part in range(parts)]
    for name, value in whole.items():
        assert torch.equal(torch.cat([share[name] for share in shares]), value), name


def test_drawn_by_seed_and_step_alone(d):
    varied = {"drop_moments": 0.3, "shuffle_people": True, "prefix": 0.5}
    first = batches(d, **varied)
    for step in range(3):
        first.train(step, 16)
    again = batches(d, **varied).train(3, 16)
    for name, value in first.train(3, 16).items():
        assert torch.equal(value, again[name])
    assert not torch.equal(again["history"], batches(d, 1, **varied).train(3, 16)["history"])
    assert not torch.equal(again["history"], first.train(4, 16)["history"])


def test_training_and_validation_never_share_a_sample(d):
    made = batches(d)
    held_out = torch.cat([batch["history"] for batch in made.validation(10)])
    assert len(held_out) == d.held_out.sum() > 0
    drawn = torch.cat([made.train(step, 64)["history"] for step in range(30)])
    rows = {tuple(row.ravel().tolist()) for row in held_out}
    assert not any(tuple(row.ravel().tolist()) in rows for row in drawn)
    # Nearly all of the rest is drawn: 1,920 draws of a few hundred.
    plain = made._plain(made.train_indices)["history"]
    seen = {tuple(row.ravel().tolist()) for row in drawn}
    assert np.mean([tuple(row.ravel().tolist()) in seen for row in plain]) > 0.95


def test_a_missed_moment_shows_the_observation_before(d):
    indices = np.arange(len(d))
    made = batches(d, drop_moments=0.4)
    rng = np.random.default_rng(5)
    batch = made._plain(indices)
    plain = batch["history"].clone()
    made._vary(batch, rng, indices)
    varied, missed = batch["history"], np.random.default_rng(5).random((len(d), H)) < 0.4
    for k in indices:
        for moment in range(H):
            source = moment
            while 0 < source < H - 1 and missed[k, source]:
                source += 1
            expected = plain[k, source].clone()
            age = expected[history.AGE] + (source - moment) * d.layout.history_step_s
            if not expected[history.PRESENT] or age > history.LONGEST_AGE_S:
                expected[:] = 0.0
            else:
                expected[history.AGE] = age
            torch.testing.assert_close(varied[k, moment], expected, atol=1e-6, rtol=0.0)
    assert not torch.equal(varied, plain) and torch.equal(varied[:, 0], plain[:, 0])


def test_people_change_places_with_all_that_is_theirs(d):
    made = batches(d, shuffle_people=True)
    # The simulated data have one person: others are put beside them.
    rng = np.random.default_rng(0)
    made._rows[:, features.PEOPLE] = torch.from_numpy(
        rng.normal(size=made._rows[:, features.PEOPLE].shape)
    ).float()
    made._rows[:, features.PEOPLE_MASK] = torch.from_numpy(rng.random((len(made._rows), 3))).float()
    indices = np.arange(min(len(d), 200))
    batch = made._plain(indices)
    plain = batch["history"].clone()
    made._vary(batch, rng, indices)
    orders = []
    for before, after in zip(plain.numpy(), batch["history"].numpy(), strict=True):

        def people(moments):
            blocks = moments[:, features.PEOPLE].reshape(H, 3, -1)
            return np.concatenate([blocks, moments[:, features.PEOPLE_MASK, None]], axis=-1)

        fits = [
            o for o in permutations(range(3)) if np.array_equal(people(before)[:, list(o)], people(after))
        ]
        assert len(fits) == 1  # the same order at all moments, for numbers and masks
        orders.append(fits[0])
        np.testing.assert_array_equal(before[:, features.HANDS.start :], after[:, features.HANDS.start :])
    counts = [orders.count(order) for order in permutations(range(3))]
    assert min(counts) > len(orders) / 6 / 2


def test_the_prefix_is_what_was_done_a_little_earlier_or_later(d):
    made = batches(d, prefix=0.7, prefix_steps=4, prefix_shift_steps=2)
    lengths, shifts = [], set()
    for step in range(20):
        rng = np.random.default_rng(step)
        indices = rng.choice(made.train_indices, 32)
        batch = made._plain(indices)
        made._vary(batch, rng, indices)
        for k, index in enumerate(indices):
            mask = batch["prefix_mask"][k].numpy()
            given = int(mask.sum())
            np.testing.assert_array_equal(mask, np.arange(6) < given)
            lengths.append(given)
            prefix = batch["prefix"][k].numpy()
            assert not prefix[given:].any()
            fits = []
            for shift in range(-2, 3):
                at = max(d.first[index] + shift, d.start[index]) + np.arange(given)
                if np.array_equal(prefix[:given], d.actions[np.minimum(at, d.last[index])]):
                    fits.append(shift)
            assert fits
            if given and len(fits) == 1:
                shifts.add(fits[0])
    assert set(lengths) == {0, 1, 2, 3, 4} and shifts == {-2, -1, 0, 1, 2}
    assert np.mean(np.array(lengths) > 0) == pytest.approx(0.7, abs=0.06)  # 640 draws: 3.3 sigma


def test_nothing_is_given_in_validation_and_what_is_given_does_not_count(d):
    made = batches(d, prefix=1.0, drop_moments=0.5, shuffle_people=True)
    for batch in made.validation():
        assert not batch["prefix_mask"].any() and torch.equal(counted(batch), batch["valid"])
    batch = made.train(0, 64)
    expected = batch["valid"].clone()
    for k, mask in enumerate(batch["prefix_mask"]):
        expected[k, : int(mask.sum())] = 0.0
    assert torch.equal(counted(batch), expected) and expected.sum() < batch["valid"].sum()
