"""Locality, shown on what the engine steps: finite differences through one step, on random graphs.

Losses are separable on the random graphs. The other losses and the penalties that are not local are
measured one by one: which rate reads which variable.
"""

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neurosim as ns
from neurosim.analysis.locality import locality
from neurosim.data.patterns import patterns
from neurosim.errors import ModelError
from neurosim.model.expressions import LOSSES
from tests.helpers.examples import some
from tests.helpers.problems import SEEDS, Problem, dags, random_state, rings
from tests.helpers.stepping import dense, step

H = 1e-4
ZERO = 1e-7  # of a rate in 1/s per unit of state; rates here are of order 100
SMOOTH = ("tanh", "sigmoid", "softplus", "linear")
FLOW = ns.Flow(kappa=0.8, gamma=0.5, rho=0.7)
pytestmark = pytest.mark.filterwarnings("ignore::neurosim.errors.StabilityWarning")

Unit = tuple[str, int]


def separable(net: ns.Network) -> ns.Network:
    """Return the same graph with mse wherever there is a loss."""
    twin = net.copy()
    twin.losses = {n: ns.Loss(n, "mse") for n in net.losses}
    return twin


def unit_graph(net: ns.Network) -> nx.DiGraph:
    """Return a graph with one node per unit and one edge per synapse whose weight is not zero."""
    graph = nx.DiGraph()
    for n, population in net.populations.items():
        graph.add_nodes_from((n, i) for i in range(population.size))
    for name, q in net.projections.items():
        for i, j in np.argwhere(dense(net.weights[name]) != 0):
            graph.add_edge((q.pre, int(j)), (q.post, int(i)))
    return graph


def perturbed(net: ns.Network, seed: int) -> tuple[ns.State, list[tuple[str, Unit]]]:
    """Return the unmoved pattern, then each state variable moved up in one and down in the next."""
    x, lam = random_state(net, seed, 1)
    moved = []
    for variable in ("x", "lam"):
        for n in net.neurons:
            moved += [(variable, (n, i)) for i in range(net.populations[n].size)]
    rows = 1 + 2 * len(moved)
    state = ns.State(
        {n: np.repeat(v, rows, axis=0) for n, v in x.items()},
        {n: np.repeat(v, rows, axis=0) for n, v in lam.items()},
    )
    for m, (variable, (n, i)) in enumerate(moved):
        getattr(state, variable)[n][1 + 2 * m, i] += H
        getattr(state, variable)[n][2 + 2 * m, i] -= H
    return state, moved


def slopes(values: np.ndarray) -> np.ndarray:
    """Return the derivative of each unit's value in each state variable, (moved, units)."""
    return (values[1::2] - values[2::2]) / (2 * H)


@settings(max_examples=some(25), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problem=st.one_of(dags(activations=SMOOTH), rings(activations=SMOOTH)), seed=SEEDS)
def test_a_unit_moves_by_its_own_state_its_parents_and_its_childrens_messages(
    problem: Problem, seed: int
) -> None:
    net, X, _ = problem
    net = separable(net)
    state, moved = perturbed(net, seed)
    rows = len(next(iter(state.x.values())))
    X1 = np.repeat(X[:1], rows, axis=0)
    Y1 = {n: np.zeros((rows, net.populations[n].size)) for n in net.losses}
    found = step(net, FLOW, X1, Y1, state)
    graph = unit_graph(net)
    for n in net.neurons:
        received = sum(
            (found.delta[q.post] @ dense(net.weights[q.name]) for q in net.outgoing(n)),
            np.zeros_like(state.x[n]),
        )
        for variable, rates, sign in (
            ("x", found.x[n], FLOW.kappa),
            ("lam", found.lam[n], FLOW.gamma),
        ):
            tau = FLOW.time(f"tau_{variable}", n)
            # what is left without the messages that were received
            alone = slopes(rates - sign * received / tau)
            whole, sent = slopes(rates), slopes(found.delta[n])
            for i in range(net.populations[n].size):
                unit = (n, i)
                parents, children = set(graph.predecessors(unit)), set(graph.successors(unit))
                others = {p for c in children for p in graph.predecessors(c)}
                for m, (what, where) in enumerate(moved):
                    if not (where == unit or (what == "x" and where in parents)):
                        assert abs(alone[m, i]) < ZERO, (
                            f"{variable} of {unit} reads {what} of {where}"
                        )
                        assert abs(sent[m, i]) < ZERO, (
                            f"the message of {unit} reads {what} of {where}"
                        )
                    near = where == unit or (where in parents and what == "x") or where in children
                    if not (near or (what == "x" and where in others)):
                        assert abs(whole[m, i]) < ZERO, (
                            f"{variable} of {unit} moves with {what} of {where}"
                        )
    strongest = max(np.abs(slopes(found.x[n])).max() for n in net.neurons)
    assert strongest > 1  # the Jacobian is not all zero: the mask above excludes something


@settings(max_examples=some(25), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problem=st.one_of(dags(activations=SMOOTH), rings(activations=SMOOTH)), seed=SEEDS)
def test_a_synapse_moves_by_its_two_ends(problem: Problem, seed: int) -> None:
    """Its change is the mean over patterns of delta_post x_pre, as sent in this step."""
    net, X, Y = problem
    state = ns.State(*random_state(net, seed, len(X)))
    found = step(net, FLOW, X, Y, state)
    sent = {**patterns(net, X), **state.x}
    for name, q in net.projections.items():
        exists = dense(net.weights[name]) != 0 if hasattr(net.weights[name], "nnz") else True
        local = found.delta[q.post].T @ sent[q.pre] / len(X) - q.l2 * dense(net.weights[name])
        np.testing.assert_allclose(
            found.w[name], local * exists / FLOW.time("tau_w", q.post), rtol=0, atol=1e-10
        )


# What a loss makes the rates of its population read besides a unit's own output.
SOFTMAX = {"cross_entropy", "policy"}
ALL_LOSSES = (*LOSSES, "log(cosh(x - y))")


def foreign_reads(net: ns.Network) -> set[tuple[str, str]]:
    """Return (population, population) of each rate and of each x or lam that it reads beyond.

    "Beyond" is neither its own state, nor a parent's output, nor a message of a child, which is
    subtracted.
    """
    state, moved = perturbed(net, 0)
    rows = len(next(iter(state.x.values())))
    X = np.tile(np.linspace(-1, 1, 4), (rows, 1))
    Y = {n: np.tile(np.eye(1, net.populations[n].size), (rows, 1)) for n in net.losses}
    found = step(net, FLOW, X, Y, state)
    graph = unit_graph(net)
    reads = set()
    for n in net.neurons:
        received = np.zeros_like(state.x[n])
        for q in net.outgoing(n):
            received = received + found.delta[q.post] @ dense(net.weights[q.name])
        x = found.x[n] - FLOW.kappa * received / FLOW.time("tau_x", n)
        lam = found.lam[n] - FLOW.gamma * received / FLOW.time("tau_lam", n)
        for values in (x, lam, found.delta[n]):
            derivatives = np.abs(slopes(values))
            for m, (what, where) in enumerate(moved):
                for i in np.flatnonzero(derivatives[m] > ZERO):
                    unit = (n, int(i))
                    parent = what == "x" and where in graph.predecessors(unit)
                    if where != unit and not parent:
                        reads.add((n, f"{what} of {where[0]}"))
    return reads


@pytest.mark.parametrize("loss", ALL_LOSSES)
def test_only_a_softmax_reads_other_outputs(loss: str) -> None:
    """The Jacobian of one step, by loss: which rates read which variables."""
    net = ns.Network.mlp([4, 4, 3], loss=loss, seed=1)
    allowed = {("output", "x of output")} if loss in SOFTMAX else set()
    assert foreign_reads(net) == allowed


PENALTIES = {
    "l1": set(),
    "l2": set(),
    "row_l1": {"row"},
    "column_l1": {"column"},
}


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_group_penalty_reads_the_weights_of_its_group(penalty: str) -> None:
    """The rate of a synapse without its message product, over every other weight.

    Weights are slow: a proximal step also reads what the other weights move by within it.
    """
    slow = ns.Flow(kappa=0.8, gamma=0.5, rho=0.7, tau_w=10.0)
    populations = [ns.Population("a", 3, clamped=True), ns.Population("b", 3)]
    projection = ns.Projection("a", "b", **{penalty: 0.1})
    net = ns.Network(populations, [projection], [ns.Loss("b", "mse")], seed=2)
    X, Y = np.ones((1, 3)), np.zeros((1, 3))
    state = ns.State(*random_state(net, 0, 1))

    def rest_of_rate(post: int, pre: int, by: float) -> np.ndarray:
        twin = net.copy()
        w = np.array(twin.weights["a->b"])
        w[post, pre] += by
        twin.weights["a->b"] = w
        found = step(twin, slow, X, Y, state)
        product = found.delta["b"].T @ X / slow.time("tau_w", "b")
        return found.w["a->b"] - product

    reads = set()
    for post, pre in np.ndindex(3, 3):
        moved = np.abs(rest_of_rate(post, pre, H) - rest_of_rate(post, pre, -H)) / (2 * H)
        for i, j in np.argwhere(moved > 1e-2 * moved.max() + ZERO):
            if (i, j) != (post, pre):
                same_row, same_column = i == post, j == pre
                reads.add("row" if same_row else "column" if same_column else "neither")
    assert reads == PENALTIES[penalty]


def test_a_synapse_reads_its_own_pattern_alone_only_one_at_a_time() -> None:
    """With several patterns its rate is their mean: each pattern moves it by a share."""
    net = ns.Network.mlp([4, 3, 2], loss="mse", seed=1)
    X, Y = np.random.default_rng(0).normal(size=(2, 4)), np.zeros((2, 2))
    state = ns.State(*random_state(net, 0, 2))
    both = step(net, FLOW, X, Y, state)
    for name in net.projections:
        alone = []
        for k in range(2):
            one = ns.State(
                {n: v[k : k + 1] for n, v in state.x.items()},
                {n: v[k : k + 1] for n, v in state.lam.items()},
            )
            alone.append(step(net, FLOW, X[k : k + 1], Y[k : k + 1], one).w[name])
        np.testing.assert_allclose(both.w[name], np.mean(alone, axis=0), rtol=0, atol=1e-9)
        assert np.abs(both.w[name] - alone[0]).max() > 1e-3


@pytest.mark.parametrize("rule", ["oja", "eligibility", "three_factor", "soft_bounds"])
def test_a_written_rule_reads_its_two_ends(rule: str) -> None:
    net = ns.Network.mlp([3, 4, 2], loss="mse", seed=1, plasticity=rule)
    units, synapses = locality(net, ns.Flow.augmented(), np.ones((1, 3)))
    assert units == 0
    assert synapses == 0


def test_a_rule_that_reads_more_than_messages_is_refused_by_name() -> None:
    rule = ns.Plasticity("dw/dt = lam_post*x_pre/tau_w : 1")
    net = ns.Network.mlp([3, 2], loss="mse", plasticity=rule)
    with pytest.raises(ModelError, match=r"input->output, whose rule reads lam_post"):
        locality(net, ns.Flow.augmented(), np.ones((1, 3)))
