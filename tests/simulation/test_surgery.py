"""Neurons removed and split: predictions stay, on any graph. Penalties on outputs enter lam."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from brian2 import ms
from hypothesis import given, settings
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.simulation.surgery import grown, hidden, pruned
from tests.helpers.examples import some
from tests.helpers.problems import dags, random_problem, rings

BACKENDS = ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]


def outputs(net: ns.Network, X: Any) -> np.ndarray:
    return ns.reference.forward(net, X)[net.output]


def cut(net: ns.Network, population: str, unit: int, side: str) -> None:
    """Set every synapse into a unit ("in") or out of it ("out") to 0."""
    for name, q in net.projections.items():
        w = net.weights[name]
        if side == "in" and q.post == population:
            if isinstance(w, np.ndarray):
                w[unit] = 0
            else:
                w.data[w.indptr[unit] : w.indptr[unit + 1]] = 0
        if side == "out" and q.pre == population:
            if isinstance(w, np.ndarray):
                w[:, unit] = 0
            else:
                w.data[w.indices == unit] = 0


@settings(max_examples=some(25), deadline=None)
@given(problem=st.one_of(dags(), rings()), seed=st.integers(0, 1000))
def test_what_is_constant_or_unread_goes_and_predictions_stay(problem: Any, seed: int) -> None:
    """Skips, sparse projections, inner losses, cycles; dead=0 removes what has no effect at all."""
    net, X, _ = problem
    rng = np.random.default_rng(seed)
    for n in hidden(net):
        for unit in np.flatnonzero(rng.random(net.populations[n].size) < 0.5):
            cut(net, n, int(unit), str(rng.choice(["in", "out"])))
    before = ns.reference.forward(net, X)
    found = pruned(net, X=X, dead=0)
    after = ns.reference.forward(found.network, X)
    for n in found.network.neurons:
        assert_allclose(after[n], before[n][:, found.origin[n]], rtol=0, atol=1e-11, err_msg=n)
    assert found.change < 1e-11
    assert all(found.network.populations[n].size == net.populations[n].size for n in net.inputs)
    for n in hidden(net):
        silent = [
            i for i in range(net.populations[n].size) if unread(net, n, i) or undriven(net, n, i)
        ]
        assert not set(silent) & set(found.origin.get(n, []))
    assert pruned(found.network, X=X, dead=0).network.n_parameters <= found.network.n_parameters


def unread(net: ns.Network, population: str, unit: int) -> bool:
    return not any(abs(net.weights[q.name][:, [unit]]).sum() for q in net.outgoing(population))


def undriven(net: ns.Network, population: str, unit: int) -> bool:
    return not any(abs(net.weights[q.name][[unit]]).sum() for q in net.incoming(population))


def test_a_dead_neuron_has_a_small_product_of_norms_and_leaves_its_mean() -> None:
    net, X, _ = random_problem([5, 6, 3], seed=1, patterns=20)
    net.weights["input->hidden1"][2] *= 1e-2
    net.weights["hidden1->output"][:, 2] *= 1e-2
    a, b = (
        np.linalg.norm(v)
        for v in (net.weights["input->hidden1"][2], net.weights["hidden1->output"][:, 2])
    )
    assert ns.prune(net, X=X, dead=0.99 * a * b).populations["hidden1"].size == 6
    found = pruned(net, X=X, dead=1.01 * a * b)
    assert list(found.origin["hidden1"]) == [0, 1, 3, 4, 5]
    x = ns.reference.forward(net, X)["hidden1"][:, 2]
    change = np.abs(np.outer(x - x.mean(), net.weights["hidden1->output"][:, 2])).max()
    assert found.change == pytest.approx(change, rel=1e-9)
    assert 0 < found.change < 1e-4


def test_a_neuron_that_sends_only_within_its_population_counts() -> None:
    """Of a cycle's own weights only those of a neuron onto itself do not count."""
    # 0 sends to 1 and to itself, 2 only to itself
    within = np.array([[0.5, 0, 0], [0.3, 0, 0], [0, 0, 0.4]])
    net = ns.Network(
        [
            ns.Population("input", 2, clamped=True),
            ns.Population("ring", 3),
            ns.Population("output", 1, "linear"),
        ],
        [
            ns.Projection("input", "ring", np.array([[1.0, 0.5], [0, 0], [0.3, -0.2]])),
            ns.Projection("ring", "ring", within),
            ns.Projection("ring", "output", np.array([[0, 1.0, 0]])),
        ],
        [ns.Loss("output")],
    )
    X = np.random.default_rng(0).normal(size=(5, 2))
    found = pruned(net, X=X)
    assert list(found.origin["ring"]) == [0, 1]
    assert found.change < 1e-12


def test_straw_neurons_go_where_predictions_stay_and_else_are_refused() -> None:
    net, X, _ = random_problem([5, 6, 3], seed=2, patterns=10)
    support = {"hidden1": np.ones((10, 6), dtype=bool), "output": np.zeros((10, 3), dtype=bool)}
    support["hidden1"][:, 4] = False
    support["hidden1"][3:, 1] = False  # support for three patterns
    with pytest.raises(
        ns.ModelError,
        match=r"without 1 neurons the outputs change by up to 0\.\d+; allowed: 0\.01\d*",
    ):
        ns.prune(net, support, X)
    found = pruned(net, support, X, within=10)
    assert list(found.origin["hidden1"]) == [0, 1, 2, 3, 5]
    assert found.change == np.abs(outputs(found.network, X) - outputs(net, X)).max() > 0.01
    net.weights["hidden1->output"][:, 4] *= 1e-6
    assert (
        ns.prune(net, {"hidden1": support["hidden1"].any(axis=0)}, X, dead=0)
        .populations["hidden1"]
        .size
        == 5
    )


def test_a_population_of_which_nothing_is_left_goes() -> None:
    net, X, _ = random_problem([4, 3, 2, 3], seed=0)
    net.weights["hidden1->hidden2"][:] = 0
    small = ns.prune(net, X=X)
    assert list(small.populations) == ["input", "output"]
    assert not small.projections
    assert_allclose(outputs(small, X), outputs(net, X), atol=1e-14)


def test_dead_synapses_go_and_what_is_left_is_sparse_where_that_is_worth_it() -> None:
    net, X, _ = random_problem([8, 10, 3], seed=0)
    w = net.weights["input->hidden1"]
    cut_off = np.quantile(np.abs(w), 0.8)
    few = ns.prune(net, X=X, dead=0, synapses=cut_off, within=10).weights["input->hidden1"]
    assert few.nnz == 16
    assert_allclose(few.toarray(), np.where(np.abs(w) > cut_off, w, 0))
    many = ns.prune(net, X=X, dead=0, synapses=np.quantile(np.abs(w), 0.5), within=10).weights[
        "input->hidden1"
    ]
    assert isinstance(many, np.ndarray)
    assert np.count_nonzero(many) == 40


@settings(max_examples=some(25), deadline=None)
@given(problem=st.one_of(dags(), rings()), seed=st.integers(0, 1000))
def test_a_split_neuron_sends_what_it_sent_and_its_multiplier_is_shared(
    problem: Any, seed: int
) -> None:
    net, X, Y = problem
    rng = np.random.default_rng(seed)
    units = {n: rng.integers(net.populations[n].size, size=3).tolist() for n in hidden(net)}
    found = grown(net, units, spread=0)
    before, after = (ns.reference.backprop(each, X, Y) for each in (net, found.network))
    for n in net.neurons:
        assert_allclose(after.x[n], before.x[n][:, found.origin[n]], rtol=0, atol=1e-11)
        assert_allclose(
            after.lam[n], before.lam[n][:, found.origin[n]] * found.share[n], rtol=0, atol=1e-10
        )
    carried = found.carry(ns.State({n: before.x[n] for n in net.neurons}, before.lam))
    for n in net.neurons:
        assert_allclose(carried.lam[n], after.lam[n], rtol=0, atol=1e-10)
    noisy = ns.grow(net, units, seed=seed)
    for name, w in noisy.weights.items():
        q, k = net.projections[name], net.populations[net.projections[name].post].size
        noise = np.asarray(abs(w - found.network.weights[name]).sum(axis=1))
        assert (noise[:k] == 0).all()
        assert (noise[k:] > 0).sum() == np.count_nonzero(
            abs(found.network.weights[name][k:]).sum(axis=1)
        ), q


def test_frozen_neurons_are_as_they_were_and_the_others_have_learnt() -> None:
    net, X, Y = random_problem([4, 6, 5, 2], seed=3, patterns=6)
    net.weights["input->hidden1"][[1, 4]] = 0
    old, before = net.copy(), net.copy()
    rng = np.random.default_rng(0)
    x = {n: rng.normal(size=(6, old.populations[n].size)) for n in old.neurons}
    lam = {n: rng.normal(size=(6, old.populations[n].size)) for n in old.neurons}
    state = ns.State(x, lam)
    active = pruned(old, X=X, dead=0, synapses=None)
    sim = ns.Simulation(active.network, ns.Flow.adjoint(tau_w=50 * ms))
    run = sim.train(
        X, Y, ns.Simultaneous(duration=100 * ms, reports=1), start=active.carry(state)
    ).run
    whole = active.write_back(old, run.state, state)
    assert_allclose(outputs(old, X), sim.predict(X), atol=1e-13)
    assert np.abs(outputs(old, X) - outputs(before, X)).max() > 1e-3
    for name, end in (("input->hidden1", np.s_[[1, 4]]), ("hidden1->hidden2", np.s_[:, [1, 4]])):
        assert np.array_equal(old.weights[name][end], before.weights[name][end])
    assert np.array_equal(whole.x["hidden1"][:, [1, 4]], state.x["hidden1"][:, [1, 4]])
    assert np.array_equal(whole.lam["hidden1"][:, [0, 2, 3, 5]], run.lam["hidden1"])


WRONG = [
    (
        lambda net: ns.prune(net, {"hiden1": np.ones(6, bool)}),
        r"of support = 'hiden1'.*did you mean 'hidden1'",
    ),
    (
        lambda net: ns.prune(net, {"hidden1": np.ones(6)}),
        r"'hidden1'\] is float64 of shape \(6,\); allowed: bool",
    ),
    (
        lambda net: ns.prune(net, {"hidden1": np.ones((2, 5), bool)}),
        r"shape \(2, 5\); allowed: bool \(patterns, 6\)",
    ),
    (
        lambda net: ns.prune(net, np.ones((2, 6), bool)),
        r"support = array\(.*; allowed: \{text: a value\} or None",
    ),
    (lambda net: ns.grow(net, [3]), r"units = \[.*\]; allowed: \{text: a sequence"),
    (lambda net: ns.prune(net, dead=-1), r"dead = -1; allowed: a finite number >= 0"),
    (
        lambda net: ns.grow(net, {"output": [0]}),
        r"to split = 'output'; allowed: hidden1: inputs and outputs keep",
    ),
    (
        lambda net: ns.grow(net, {"hidden": [0]}),
        r"units to split = 'hidden'; allowed: hidden1; did you mean 'hidden1'",
    ),
    (lambda net: ns.grow(net, {"hidden1": [6]}), r"unit of hidden1 to split = 6; allowed: 0 to 5"),
    (
        lambda net: ns.grow(net, {"hidden1": [1]}, spread=-1),
        r"spread = -1; allowed: a finite number >= 0",
    ),
]


@pytest.mark.parametrize(("slip", "words"), WRONG)
def test_slips_are_named(slip: Any, words: str) -> None:
    with pytest.raises(ns.ModelError, match=words):
        slip(ns.Network.mlp([4, 6, 2]))


# L1 on outputs: a loss without a target


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_penalty_on_outputs_is_in_the_multipliers(backend: str) -> None:
    """LP's alpha |x|, a loss on hidden populations: lam at rest is the adjoint of V + alpha |x|."""
    alpha = 0.3
    net, X, Y = random_problem([5, 6, 4, 3], seed=4, patterns=6)
    penalised = ns.Network(
        list(net.populations.values()),
        [ns.Projection(q.pre, q.post, net.weights[n]) for n, q in net.projections.items()],
        [
            *net.losses.values(),
            *(ns.Loss(n, "abs(x)", weight=alpha) for n in ("hidden1", "hidden2")),
        ],
    )
    penalised.biases = {n: b.copy() for n, b in net.biases.items()}
    assert penalised.output == "output"
    sim = ns.Simulation(penalised, ns.Flow.augmented(2), backend=backend)
    run = sim.relax(X, Y["output"], duration=3, start="forward")
    x = ns.reference.forward(net, X)
    slope = 1 - x["hidden2"] ** 2, 1 - x["hidden1"] ** 2
    lam = {"output": Y["output"] - x["output"]}  # by hand: V = (x - y)²/2, tanh
    lam["hidden2"] = lam["output"] @ net.weights["hidden2->output"] - alpha * np.sign(x["hidden2"])
    lam["hidden1"] = (slope[0] * lam["hidden2"]) @ net.weights[
        "hidden1->hidden2"
    ] - alpha * np.sign(x["hidden1"])
    exact = ns.reference.backprop(penalised, X, Y["output"])
    for n, expected in lam.items():
        assert_allclose(run.lam[n], expected, rtol=0, atol=1e-12)
        assert_allclose(exact.lam[n], expected, rtol=0, atol=1e-13)
    assert np.abs(lam["hidden1"] - ns.reference.backprop(net, X, Y).lam["hidden1"]).max() > 0.1


def test_a_network_can_lose_its_last_neuron_and_each_unit_but_one() -> None:
    net = ns.Network.mlp([4, 3, 2], loss="mse", seed=0)
    X = np.random.default_rng(0).normal(size=(5, 4))
    none = ns.prune(net, {"hidden1": np.zeros(3, dtype=bool)})
    assert list(none.populations) == ["input", "output"]
    assert repr(ns.prune(none)) == repr(none)
    assert_allclose(outputs(none, X), np.tile(outputs(net, np.zeros((1, 4))), (5, 1)))
    one = ns.prune(net, {"hidden1": np.arange(3) == 2})
    assert one.populations["hidden1"].size == 1
    with pytest.raises(ns.ModelError, match="split = 'hidden1'; allowed: none"):
        ns.grow(none, {"hidden1": [0]})


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"hidden1": 3}, "units = .*; allowed: {text: a sequence, each a whole number}"),
        ({"hidden1": [True]}, "units = .*; allowed: {text: a sequence, each a whole number}"),
        ({"hidden1": [3]}, "unit of hidden1 to split = 3; allowed: 0 to 2"),
        ({"hidden1": [-1]}, "unit of hidden1 to split = -1; allowed: 0 to 2"),
        ({"input": [0]}, "split = 'input'; allowed: hidden1"),
        ({"hidden2": [0]}, "split = 'hidden2'; allowed: hidden1"),
        ([0], r"units = \[0\]; allowed: {text"),
    ],
)
def test_units_that_cannot_be_split_are_refused(units: Any, message: str) -> None:
    with pytest.raises(ns.ModelError, match=message):
        ns.grow(ns.Network.mlp([4, 3, 2]), units)


def test_nothing_to_grow_is_the_same_network() -> None:
    net = ns.Network.mlp([4, 3, 2])
    for units in ({}, {"hidden1": []}, {"hidden1": iter(())}):
        assert_allclose(
            ns.grow(net, units).weights["input->hidden1"], net.weights["input->hidden1"]
        )
