"""Support neurons at rest, in a state that moves, over training and in pictures."""

import matplotlib as mpl
import numpy as np
import pytest
from brian2 import ms
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.analysis import check
from tests.helpers.constrained import constrained
from tests.helpers.problems import random_problem

mpl.use("Agg")


@pytest.fixture(scope="module")
def rest() -> ns.Run:
    """Ten patterns, most of them beyond the hinge's margin, at rest in a tube."""
    net, X, Y = random_problem([6, 8, 3], seed=5, loss="squared_hinge", patterns=10, gain=2.0)
    sim = ns.Simulation(
        constrained(net, "tube", 0.1), ns.Flow.augmented(2), dt=0.5 * ms, backend="numpy"
    )
    outputs = ns.reference.forward(net, X)["output"]
    Y["output"][:7] = np.where(outputs[:7] >= 0, 1.0, -1.0)  # seven patterns that need little
    return sim.relax(2 * X, Y, duration=30, settle=1e-8)


def test_support_is_at_the_wall_and_straw_sends_nothing(rest: ns.Run) -> None:
    found = ns.support_neurons(rest)
    assert found.settled
    assert set(found) == {"hidden1", "output"}
    assert 0.1 < found.shares()["hidden1"] < 1
    rates = ns.reference.right_hand_side(rest.network, rest.flow, rest.x, rest.lam, rest.X, rest.Y)
    for n in found:
        assert found[n].dtype == bool
        assert_allclose(found.margin[n][found[n]], 0, atol=1e-5)  # complementarity
        assert found.margin[n].min() > -1e-6
        assert np.abs(rest.lam[n][~found[n]]).max() <= 1e-4
        assert_allclose(found.shares("unit")[n].mean(), found.shares()[n])
        assert_allclose(found.shares("pattern")[n].mean(), found.shares()[n])
        assert_allclose(found.ever_support[n], found.shares("unit")[n] > 0)
    beyond = np.array([found["hidden1"][k].any() or found["output"][k].any() for k in range(10)])
    assert np.array_equal(found.support_patterns, beyond)
    assert 0 < beyond.sum() < 10
    # a pattern that nothing is support for teaches nothing
    few = [{n: v[~beyond] for n, v in part.items()} for part in (rest.x, rest.lam, rest.X, rest.Y)]
    alone = ns.reference.right_hand_side(rest.network, rest.flow, *few)
    assert (
        max(np.abs(w).max() for w in alone.w.values())
        < 1e-4
        < max(np.abs(w).max() for w in rates.w.values())
    )


def test_the_hard_case_is_where_the_adjoint_is(rest: ns.Run) -> None:
    """Without a tolerance support means that backpropagation's error is not 0."""
    net, X, Y = random_problem([4, 5, 2], seed=1, loss="squared_hinge", patterns=12)
    run = ns.Simulation(net, ns.Flow.augmented(), backend="numpy").relax(
        X, Y, duration=20, settle=1e-8
    )
    exact = ns.reference.backprop(net, X, Y)
    for n, own in ns.support_neurons(run).items():
        assert np.array_equal(own, np.abs(exact.lam[n]) > 1e-4)


def test_a_state_that_moves_is_warned_of() -> None:
    net, X, Y = random_problem([4, 5, 2], seed=1)
    sim = ns.Simulation(constrained(net, "tube", 0.1), ns.Flow.augmented(), backend="numpy")
    run = sim.relax(X, Y, duration=20 * ms)
    with pytest.warns(
        ns.UnsettledWarning,
        match=r"still moves by .* Shares of support are artefacts.*try neurosim.at_rest",
    ):
        found = ns.support_neurons(run)
    assert not found.settled
    assert "NOT at rest" in repr(found)
    again = ns.support_neurons(ns.at_rest(sim, run))
    assert again.settled
    with pytest.raises(ns.ModelError, match="tol = 0; allowed: a finite number > 0"):
        ns.support_neurons(run, tol=0)
    with pytest.raises(ns.ModelError, match=r"by = 'units'; .* did you mean 'unit'"):
        again.shares("units")


def test_over_training_the_share_is_taken_at_rest_with_weights_frozen() -> None:
    net, X, Y = random_problem([4, 5, 2], seed=2, loss="squared_hinge", patterns=8)
    net = constrained(net, "tube", 0.05)
    sim = ns.Simulation(net, ns.Flow.augmented(tau_w=10 * ms), backend="numpy")
    seen = ns.SupportOverTraining(sim, every=2, patterns=6)
    log = sim.train(X, Y, ns.Simultaneous(duration=1, reports=4), visit=seen)
    found = seen.to_xarray()
    assert found.sizes["time"] == 2
    assert found.settled.all()
    assert_allclose(found.time.values, log.history.time.values[1::2])
    last = ns.support_neurons(ns.at_rest(sim, log, settle=1e-5))
    assert_allclose(found.share.sel(population="hidden1").values[-1], last["hidden1"][:6].mean())
    with pytest.raises(ns.ModelError, match="nothing was measured in 0 rows"):
        ns.SupportOverTraining(sim).to_xarray()


def test_a_dataset_holds_everything(rest: ns.Run) -> None:
    found = ns.support_neurons(rest)
    data = found.to_xarray()
    hidden = data.isel(unit=(data.population == "hidden1").values)
    assert np.array_equal(hidden.support.values, found["hidden1"])
    assert_allclose(hidden.lam.values, rest.lam["hidden1"])
    assert data.attrs["settled"] == 1


def test_conditions_are_refused_where_there_are_none() -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)
    run = ns.Simulation(constrained(net, "squared"), ns.Flow.augmented(), backend="numpy").relax(
        X, Y, duration=10 * ms
    )
    with pytest.raises(
        ns.ModelError, match="constraint 'squared' of hidden1 has no multipliers at rest"
    ):
        ns.kkt(run)


@pytest.mark.parametrize(
    ("kind", "row"), [("tube", "complementarity at rest"), ("abs_eps", "no multipliers at rest")]
)
def test_check_compares_what_a_constraint_has_at_rest(kind: str, row: str) -> None:
    net, X, Y = random_problem([4, 5, 2], seed=1)
    report = check.check(constrained(net, kind, 0.1), ns.Flow.augmented(), X, Y, backend="numpy")
    assert report.passed
    assert any(row in f"{r.name} {r.value}" for r in report.rows)


def test_pictures_of_support_show_shares_and_walls(rest: ns.Run) -> None:
    figure = ns.plot.support_summary(rest)
    left, middle, right = figure.axes
    found = ns.support_neurons(rest)
    assert f"{found.shares()['hidden1']:.0%} support" in left.get_title()
    assert left.get_images()[0].get_array().shape == found["hidden1"].shape
    assert middle.get_xlabel() == "multiplier λ (1)"
    assert right.get_xlabel() == "violation g (1)"
    drawn = sum(len(line.get_xdata()) for line in right.get_lines()[1:])
    assert drawn == found["hidden1"].size
    with pytest.raises(ns.ModelError, match=r"population = 'hiden1'.*did you mean 'hidden1'"):
        ns.plot.support_map(found, "hiden1")


def test_a_free_output_has_conditions_of_its_layers_below_only() -> None:
    _, X, Y = random_problem([4, 5, 2], seed=1)
    net = ns.Network.mlp([4, 5, 2], loss="mse", constraint="tube", epsilon=0.1, free_output=True)
    run = ns.Simulation(net, ns.Flow.augmented(), backend="numpy").relax(
        X, Y, duration=20, settle=1e-8
    )
    assert ns.kkt(run).residual < 1e-6
    assert ns.support_neurons(run).settled
    assert check.check(net, ns.Flow.augmented(), X, Y, backend="numpy").passed
