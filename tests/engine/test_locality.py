"""Locality, shown on what the engine steps: finite differences through one step, on random graphs.

Losses are separable here (a softmax couples the units of its own population, by definition of V).
"""

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neurosim as ns
from neurosim.data.patterns import patterns
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


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
