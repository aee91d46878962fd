"""What the network may see, what it may not, and what it is paid for."""

import numpy as np
import pytest
import torch

from fabg import expression
from fabg.learn.data import read_demonstrations
from fabg.learn.model import Scales
from fabg.policy import features, history
from tests.learn.tiny import batch, config, layout, network


def out(model, given, style=None):
    with torch.inference_mode():
        return model(given, style)


def changed(given, **change):
    return given | {name: value.clone() for name, value in change.items()}


def garbage(given, where):
    """The history with nonsense in some of its columns; `where` is (B, H, moment)."""
    return changed(
        given, history=torch.where(where, 100.0 * torch.randn_like(given["history"]), given["history"])
    )


def masked(given, moments=slice(None)):
    """Where a moment's mask says that nothing is known."""
    shown = given["history"][..., features.MASK_OF] == 0.0
    shown[..., np.unique(features.MASK_OF)] = False  # the masks themselves say so
    unknown = torch.zeros_like(given["history"], dtype=torch.bool)
    unknown[:, moments, : features.SIZE] = shown[:, moments]
    return unknown


@pytest.mark.parametrize("proprioception", [0.0, 0.5])
def test_what_is_masked_has_no_influence(proprioception):
    model, given = network(proprioception=proprioception), batch()
    where = masked(given)
    assert 0.2 < where.float().mean() < 0.8
    assert torch.equal(out(model, garbage(given, where)), out(model, given))
    # What is not masked has.
    for columns in (features.PEOPLE, features.HANDS):
        known = torch.zeros_like(where)
        known[..., columns] = ~where[..., columns]
        assert (out(model, garbage(given, known)) - out(model, given)).abs().max() > 1e-3


def test_nothing_was_there_means_that_its_age_is_nothing():
    model, given = network(), batch()
    none = given["history"].clone()
    none[:, 2:] = 0.0  # as `look_back` leaves moments without an observation
    given = changed(given, history=none)
    older = none.clone()
    older[:, 2:, history.AGE] = 0.4
    assert torch.equal(out(model, changed(given, history=older)), out(model, given))
    older[:, 1, history.AGE] = 0.4
    assert not torch.equal(out(model, changed(given, history=older)), out(model, given))


def test_the_robots_own_joints_are_not_seen_unless_wanted():
    given = batch()
    joints = slice(features.JOINTS.start, features.JOINTS_MASK.stop)
    where = torch.zeros_like(given["history"], dtype=torch.bool)
    where[..., joints] = True
    assert torch.equal(out(network(), garbage(given, where)), out(network(), given))
    sees = network(proprioception=1.0)
    given["history"][..., features.JOINTS_MASK] = 1.0
    where[..., features.JOINTS_MASK] = False
    assert not torch.equal(out(sees, garbage(given, where)), out(sees, given))


def test_joints_are_dropped_from_the_share_that_is_asked_for():
    """Shown joints change the loss, hidden ones do not: the share of those that do is that of the configuration."""
    rng = np.random.default_rng(0)
    given = batch(count=200)
    given["history"][..., features.JOINTS_MASK] = 1.0
    model, seen = network(proprioception=0.3), []
    model._decode = lambda b, style: seen.append(b["history"]) or torch.zeros_like(given["actions"])
    model.losses(given, torch.Generator().manual_seed(int(rng.integers(100))))
    joints = seen[0][..., features.JOINTS.start : features.JOINTS_MASK.stop]
    kept = (
        (joints == given["history"][..., features.JOINTS.start : features.JOINTS_MASK.stop]).all(-1).all(-1)
    )
    assert (joints[~kept] == 0.0).all() and kept.float().mean() == pytest.approx(0.3, abs=0.1)  # 3 sigma
    rest = seen[0][..., : features.JOINTS.start]
    assert torch.equal(rest, given["history"][..., : features.JOINTS.start])


def test_other_orders_of_people_are_the_orders_of_their_scales_and_weights():
    """Changing places in the input, and in everything that belongs to a place, changes nothing."""
    model, given = network(), batch()
    before = out(model, given)
    for order in features.people_orders():
        whole = np.concatenate([order, [history.AGE, history.PRESENT]])
        other = network()
        for name in ("mean", "spread"):
            getattr(other, name).copy_(getattr(model, name)[whole])
        patch = other.config.patch
        with torch.no_grad():
            weight = model.moments.weight.reshape(16, patch, history.SIZE)
            other.moments.weight.copy_(weight[..., whole].reshape(16, -1))
            other.reflex.moment.weight.copy_(model.reflex.moment.weight[:, whole])
        moved = changed(given, history=given["history"][..., whole])
        torch.testing.assert_close(out(other, moved), before, atol=1e-5, rtol=1e-5)


def test_numbers_go_in_and_out_in_their_own_units():
    """Other units of inputs and actions, with their scales, make no difference: normalisation is in the model."""
    still = [3, 17, expression.N_SHAPES]
    model, given = network(still=still), batch()
    other = network(still=still)
    shift, factor = torch.linspace(-1.0, 1.0, features.JOINTS.start), 3.0
    values = slice(0, features.JOINTS.start)
    masks = np.unique(features.MASK_OF)
    factors, shifts = torch.ones(history.SIZE), torch.zeros(history.SIZE)
    factors[values], shifts[values] = factor, shift
    factors[masks], shifts[masks] = 1.0, 0.0
    other.mean.copy_(model.mean * factors + shifts)
    other.spread.copy_(model.spread * factors)
    moved = changed(given, history=given["history"] * factors + shifts)
    torch.testing.assert_close(out(other, moved), out(model, given), atol=2e-5, rtol=1e-4)

    other = network(still=still)
    other.action_mean.copy_(2.0 * model.action_mean + 0.5)
    other.action_spread.copy_(2.0 * model.action_spread)
    moved = changed(given, prefix=2.0 * given["prefix"] + 0.5)
    torch.testing.assert_close(out(other, moved), 2.0 * out(model, given) + 0.5, atol=2e-5, rtol=1e-4)


def test_entries_that_never_move_stay_at_their_mean():
    still = [3, 17, expression.N_SHAPES]
    model = network(still=still)
    said = out(model, batch())
    assert torch.equal(said[..., still], model.action_mean[still].expand_as(said[..., still]))
    moving = [k for k in range(expression.SIZE) if k not in still]
    assert (said[..., moving].std(dim=(0, 1)) > 1e-4).all()


def test_scales_are_those_of_what_is_trained_on(demos):
    d = read_demonstrations(config(demos))
    scales = Scales.of(d)
    used = np.unique(d.look[~d.held_out])
    rows = d.rows[used[used >= 0]]
    known = rows[:, features.PEOPLE_MASK.start] > 0
    for column in (0, 1, 5, 20):  # of the first person
        values = rows[known, column].astype(float)
        assert scales.mean[column] == pytest.approx(values.mean(), abs=1e-5)
        assert scales.spread[column] == pytest.approx(max(values.std(), 0.01), abs=1e-5)
    spans = sorted({(int(a), int(b)) for a, b in zip(d.first[~d.held_out], d.last[~d.held_out], strict=True)})
    index = np.unique(np.concatenate([np.arange(a, b + 1) for a, b in spans]))
    actions = d.actions[index].astype(float)
    np.testing.assert_allclose(scales.action_mean, actions.mean(0), atol=1e-6)
    moves = actions.std(0) > 2e-3
    np.testing.assert_array_equal(scales.moves, moves)
    assert 5 < moves.sum() < expression.SIZE
    assert not np.isin(
        index, np.flatnonzero(np.bincount(d.first[d.held_out], minlength=len(d.actions)))
    ).any()


def test_what_is_given_and_what_is_beyond_the_end_costs_nothing():
    model, given = network(), batch()
    generator = torch.Generator()
    before = model.losses(given, generator)[0]
    off = (given["valid"] == 0.0) | (given["prefix_mask"] == 1.0)
    assert off.any() and not off.all()
    actions = torch.where(off[..., None], given["actions"] + 7.0, given["actions"])
    assert torch.equal(model.losses(changed(given, actions=actions), generator)[0], before)
    # What counts is a mean over steps and moving entries, in spreads: one spread off everywhere costs one.
    said = out(model, given)
    wrong = torch.where(off[..., None], given["actions"], said + model.action_spread)
    assert float(model.losses(changed(given, actions=wrong), generator)[0].detach()) == pytest.approx(
        1.0, abs=1e-4
    )


def test_the_loss_by_its_formula():
    still = [3, 17]
    model, given = network(still=still), batch()
    said, total, count = out(model, given), 0.0, 0
    moving = [k for k in range(expression.SIZE) if k not in still]
    for k in range(len(said)):
        for step in range(said.shape[1]):
            if given["valid"][k, step] and not given["prefix_mask"][k, step]:
                error = (said[k, step] - given["actions"][k, step]).abs() / model.action_spread
                total, count = total + float(error[moving].mean()), count + 1
    loss, divergence = model.losses(given, torch.Generator())
    assert float(loss.detach()) == pytest.approx(total / count, rel=1e-4) and float(divergence) == 0.0


def test_the_style_is_that_of_a_gaussian_vae():
    model, given = network(latent=4), batch()
    mean = torch.linspace(-1.0, 1.0, 20).reshape(5, 4)
    log_variance = torch.linspace(-0.5, 0.7, 20).reshape(5, 4)
    model.recogniser.forward = lambda actions: (mean, log_variance)
    _, divergence = model.losses(given, torch.Generator().manual_seed(0))
    ours = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    theirs = torch.distributions.Normal(torch.zeros(5, 4), torch.ones(5, 4))
    expected = torch.distributions.kl_divergence(ours, theirs).sum(-1).mean()
    torch.testing.assert_close(divergence, expected)
    # Without a style, that of 0 is used.
    assert torch.equal(out(model, given), out(model, given, torch.zeros(5, 4)))
    assert not torch.equal(out(model, given), out(model, given, torch.ones(5, 4)))


@pytest.mark.parametrize("latent, inputs", [(0, "features"), (4, "features"), (4, "both"), (0, "rgbd")])
def test_gradients_reach_every_parameter(latent, inputs):
    lay = layout(inputs=inputs, picture_height=32, picture_width=64)
    model = network(latent=latent, lay=lay, proprioception=0.5).train()
    given = batch(lay=lay)
    for name in ("left", "right"):
        if name in given:
            given[name] = torch.randint(0, 256, given[name].shape, dtype=torch.uint8)
    error, divergence = model.losses(given, torch.Generator().manual_seed(0))
    (error + divergence).backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0.0}
    # Without a style nothing multiplies its weights. All else learns.
    assert silent == ({"style.weight"} if not latent else set())


def test_what_is_given_is_gone_on_from():
    model, given = network(), batch()
    given["prefix_mask"][:] = 0.0
    free = out(model, given)
    # Numbers that are not given do not matter; those that are, do.
    nonsense = changed(given, prefix=torch.randn_like(given["prefix"]))
    assert torch.equal(out(model, nonsense), free)
    given["prefix_mask"][:, :2] = 1.0
    first, other = out(model, given), out(model, changed(given, prefix=given["prefix"] + 0.1))
    assert (first - free).abs().max() > 1e-3 and (first - other)[:, 2:].abs().max() > 1e-3


def test_each_task_has_its_own_answer():
    model, given = network(), batch()
    for k in range(4):
        task = torch.zeros_like(given["task"])
        task[:, k] = 1.0
        others = [out(model, changed(given, task=task.roll(s, 1))) for s in range(4)]
        assert all((others[0] - other).abs().max() > 1e-3 for other in others[1:])


def test_a_query_for_several_steps_gives_them_in_order():
    """The chunk is the same whether a query gives one step or several, when the weights are the same ones."""
    one, several = network(query_steps=1, reflex=0), network(query_steps=2, reflex=0)
    with torch.no_grad():
        for model in (one, several):
            model.head.weight.zero_()
        one.head.bias.copy_(torch.arange(61.0))
        several.head.bias.copy_(torch.arange(122.0))
    said = (out(several, batch()) - several.action_mean) / several.action_spread
    steps = torch.arange(6)
    expected = torch.where((steps % 2 == 0)[:, None], torch.arange(61.0), 61.0 + torch.arange(61.0))
    torch.testing.assert_close(said, expected.expand_as(said), atol=1e-3, rtol=1e-4)
    assert torch.equal(out(one, batch()).std(dim=(0, 1)) < 1e-5, torch.ones(61, dtype=torch.bool))


def test_the_perceptron_adds_to_what_the_transformer_says():
    whole, alone, given = network(), network(reflex=0), batch()
    alone.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("reflex.")})
    reflex = whole.reflex
    moments = whole._normalised(given["history"])
    hidden = (moments @ reflex.moment.weight.T + reflex.moment.bias).flatten(1)
    hidden = torch.cat([hidden, given["task"]], dim=-1)
    for layer in (reflex.layers[0], reflex.layers[2]):
        hidden = torch.nn.functional.gelu(hidden @ layer.weight.T + layer.bias)
    added = (hidden @ reflex.layers[4].weight.T + reflex.layers[4].bias).reshape(len(hidden), -1, 61)
    difference = (out(whole, given) - out(alone, given)) / whole.action_spread
    torch.testing.assert_close(difference, added * whole.moves, atol=1e-4, rtol=1e-4)


def test_drop_out_is_for_training_only():
    model, given = network(dropout=0.5), batch()
    assert torch.equal(out(model, given), out(model, given))
    model.train()
    assert not torch.equal(out(model, given), out(model, given))
