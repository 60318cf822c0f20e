"""Random networks with data, and random flows: layers, acyclic graphs and contractive cycles.

hypothesis draws the graph, while weights and data come from a drawn seed, so that failures shrink
towards small graphs. Start at `random_problem` and `dags`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Any

import numpy as np
from hypothesis import strategies as st

from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Loss, Population, Projection
from neurosim.model.weights import synapses

Array = np.ndarray
Problem = tuple[Network, Array, dict[str, Array]]

FORMULA = "a/(1 + abs(a)) + 0.1*tanh(a)**2"  # a user-supplied activation, slopes from 0 to 1
ACTIVATIONS = ("tanh", "sigmoid", "relu", "softplus", "linear", FORMULA)
LOSSES = (
    "mse",
    "cross_entropy",
    "squared_hinge",
    "eps_insensitive",
    "policy",
    "sqrt(1 + (x - y)**2) - 1",
)
SEEDS = st.integers(0, 2**32 - 1)


def random_problem(
    widths: Sequence[int],
    seed: int,
    *,
    patterns: int = 5,
    loss: str = "mse",
    activation: str = "tanh",
    gain: float = 1.0,
) -> Problem:
    """Return (net, X, Y): layers with random weights and biases, Gaussian X and random Y."""
    net = Network.mlp(widths, activation, loss=loss, gain=gain, seed=seed)
    rng = np.random.default_rng(seed)
    for bias in net.biases.values():
        bias[:] = rng.normal(scale=0.3, size=bias.size)
    X = rng.normal(scale=0.5, size=(patterns, widths[0]))
    return net, X, random_targets(net, rng, patterns)


def random_targets(net: Network, rng: np.random.Generator, patterns: int) -> dict[str, Array]:
    """Return encoded random targets by population with a loss, (patterns, units)."""
    targets = {}
    for name, loss in net.losses.items():
        size = net.populations[name].size
        if loss.kind == "cross_entropy":
            targets[name] = np.eye(size)[rng.integers(size, size=patterns)]
        elif loss.kind == "squared_hinge":
            targets[name] = rng.choice([-1.0, 1.0], size=(patterns, size))
        else:
            targets[name] = rng.normal(scale=0.5, size=(patterns, size))
    return targets


def fitted(flow: Flow, net: Network) -> Flow:
    """Return the flow, its time constants limited to populations that the network has."""
    times = {}
    for name in ("tau_x", "tau_lam", "tau_w"):
        given = getattr(flow, name)
        if isinstance(given, dict):
            given = {n: tau for n, tau in given.items() if n in net.neurons}
        times[name] = given
    return Flow(kappa=flow.kappa, gamma=flow.gamma, rho=flow.rho, **times)


def random_state(
    net: Network, seed: int, patterns: int
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return random x and lam by population, (patterns, units)."""
    rng = np.random.default_rng([seed, 1])
    x, lam = {}, {}
    for state in (x, lam):
        for n in net.neurons:
            state[n] = rng.normal(size=(patterns, net.populations[n].size))
    return x, lam


def dense(weights: Any) -> Array:
    """Return weights as an array (n_post, n_pre), with zeros where there is no synapse."""
    return weights if isinstance(weights, np.ndarray) else weights.toarray()


def kink_distance(net: Network, outputs: dict[str, Array], Y: dict[str, Array]) -> float:
    """Return the smallest distance of any variable from a kink; inf without kinks.

    The variables are net inputs, outputs and penalised weights. A kink is where a slope jumps, or a
    curvature (FORMULA, squared_hinge): there the error of a central difference is of the order of
    the step, not of its square.
    """
    distances = [np.inf]
    for n in net.neurons:
        if net.populations[n].activation in ("relu", FORMULA):
            a = net.biases[n] + sum(outputs[q.pre] @ net.weights[q.name].T for q in net.incoming(n))
            distances.append(np.abs(a).min())
    for n, loss in net.losses.items():
        if loss.kind == "squared_hinge":
            distances.append(np.abs(np.abs(outputs[n]) - 1).min())
        if loss.kind == "eps_insensitive":
            distances.append(np.abs(np.abs(outputs[n] - Y[n]) - loss.epsilon).min())
    for name, q in net.projections.items():
        if q.l1 > 0 and net.weights[name].size:
            distances.append(np.abs(synapses(net.weights[name])).min(initial=np.inf))
        for side, penalty in enumerate((q.row_l1, q.column_l1)):
            if penalty:
                norms = np.sqrt(np.asarray((net.weights[name] ** 2).sum(axis=1 - side)))
                distances.append(norms[norms > 0].min(initial=np.inf))
    return float(min(distances))


@st.composite
def dags(draw: st.DrawFn, *, l1: bool = False, activations: Sequence[str] = ACTIVATIONS) -> Problem:
    """Draw (net, X, Y): an acyclic graph with skips, inner losses and sparse projections.

    With `l1`, projections may have the penalties l1, row_l1 and column_l1; `activations` are those
    drawn from.
    """
    return _problem(draw, cyclic=False, l1=l1, activations=activations)


@st.composite
def rings(
    draw: st.DrawFn, *, l1: bool = False, activations: Sequence[str] = ACTIVATIONS
) -> Problem:
    """Draw (net, X, Y) as `dags`, with at least one cycle or self-connection.

    The spectral norm of the weights between units is below 0.8.
    """
    return _problem(draw, cyclic=True, l1=l1, activations=activations)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Draw a preset or any gains, with separate time constants for some populations."""
    gain = st.floats(0.1, 2)
    flow = draw(
        st.one_of(
            st.sampled_from([Flow.arrow_hurwicz(), Flow.damped(), Flow.adjoint()]),
            st.builds(Flow.augmented, gain),
            st.builds(Flow.rotated, st.floats(0, pi / 2), gain),
            st.builds(Flow, kappa=gain, gamma=gain, rho=gain),
        )
    )
    times = st.dictionaries(
        st.sampled_from([f"n{i}" for i in range(4)]), st.floats(2e-3, 50e-3), max_size=2
    )
    own = {name: draw(times) or getattr(flow, name) for name in ("tau_x", "tau_lam", "tau_w")}
    return Flow(kappa=flow.kappa, gamma=flow.gamma, rho=flow.rho, **own)


def _problem(draw: st.DrawFn, *, cyclic: bool, l1: bool, activations: Sequence[str]) -> Problem:
    sizes = st.integers(1, 4)
    inputs, neurons = [], []
    for i in range(draw(st.integers(1, 2))):
        inputs.append(Population(f"in{i}", draw(sizes), clamped=True))
    for i in range(draw(st.integers(1, 4))):
        size, activation = draw(sizes), draw(st.sampled_from(activations))
        plastic_bias = draw(st.booleans())
        neurons.append(Population(f"n{i}", size, activation, plastic_bias=plastic_bias))
    rng = np.random.default_rng(draw(SEEDS))
    pairs: list[tuple[Population, Population]] = []
    for i, post in enumerate(neurons):
        parents = [*inputs, *neurons[:i]]
        chosen = draw(st.sets(st.integers(0, len(parents) - 1), min_size=1, max_size=3))
        pairs += [(parents[j], post) for j in sorted(chosen)]
    if cyclic:
        ends = st.tuples(st.integers(0, len(neurons) - 1), st.integers(0, len(neurons) - 1))
        back = draw(st.sets(ends.map(sorted).map(tuple), min_size=1, max_size=3))
        pairs += [(neurons[late], neurons[early]) for early, late in sorted(back)]
        # a projection forward closes a cycle with each projection back
        for early, late in sorted(back):
            forward = neurons[early], neurons[late]
            if early < late and forward not in pairs:
                pairs.append(forward)
    projections = [_projection(draw, pre, post, rng, l1) for pre, post in pairs]
    inner = draw(st.sets(st.integers(0, len(neurons) - 1), max_size=2)) | {len(neurons) - 1}
    losses = [_loss(draw, neurons[i]) for i in sorted(inner)]
    net = Network([*inputs, *neurons], projections, losses)
    for bias in net.biases.values():
        bias[:] = rng.normal(scale=0.5, size=bias.size)
    if cyclic:
        _contract(net, float(rng.uniform(0.3, 0.8)))
    patterns = draw(st.integers(1, 4))
    X = rng.normal(size=(patterns, sum(p.size for p in inputs)))
    return net, X, random_targets(net, rng, patterns)


def _projection(
    draw: st.DrawFn, pre: Population, post: Population, rng: np.random.Generator, l1: bool
) -> Projection:
    shape = (post.size, pre.size)
    mask = rng.random(shape) < 0.6 if draw(st.booleans()) else None
    weights = rng.normal(scale=1 / np.sqrt(pre.size), size=shape)
    penalties = {"l2": draw(st.sampled_from([0.0, 0.1]))}
    if l1:
        for name in ("l1", "row_l1", "column_l1"):
            penalties[name] = draw(st.sampled_from([0.0, 0.05]))
    return Projection(pre.name, post.name, weights, mask, **penalties)


def _loss(draw: st.DrawFn, population: Population) -> Loss:
    kind = draw(st.sampled_from(LOSSES))
    weight = draw(st.sampled_from([1.0, 0.5]))
    epsilon = 0.1 if kind == "eps_insensitive" else 0.0
    return Loss(population.name, kind, weight, epsilon)


def _contract(net: Network, norm: float) -> None:
    """Scale the weights between units so that their joint matrix has at most this spectral norm."""
    blocks: list[list[Array]] = []
    between_units = []
    for post in net.neurons:
        row = []
        for pre in net.neurons:
            shape = net.populations[post].size, net.populations[pre].size
            w = net.weights.get(f"{pre}->{post}")
            if w is not None:
                between_units.append(w)
            row.append(np.zeros(shape) if w is None else dense(w))
        blocks.append(row)
    scale = min(1.0, norm / max(np.linalg.norm(np.block(blocks), 2), 1e-12))
    for w in between_units:
        synapses(w)[...] *= scale


def random_graph(seed: int, *, cyclic: bool, patterns: int = 3) -> Problem:
    """Return (net, X, Y): two to four populations with skips, from a seed alone.

    With `cyclic`, at least one projection goes back, or from a population to itself, and the graph
    contracts.
    """
    rng = np.random.default_rng([seed, cyclic])
    pops = [Population("input", 3, clamped=True)]
    for i in range(rng.integers(2, 5)):
        kind = str(rng.choice(["tanh", "sigmoid", "softplus", "linear"]))
        pops.append(Population(f"n{i}", int(rng.integers(1, 6)), kind))
    pairs = []
    for i in range(1, len(pops)):
        pairs.append((i - 1, i))
        pairs += [(j, i) for j in range(i - 1) if rng.random() < 0.3]
    if cyclic:
        early, late = sorted(rng.integers(1, len(pops), size=2))
        # the way back, and from `early` to `late` the chain
        pairs.append((int(late), int(early)))
    gain = rng.uniform(0.5, 1.6)
    projections = []
    for i, j in pairs:
        pre, post = pops[i], pops[j]
        scale = gain / np.sqrt(pre.size)
        weights = rng.normal(scale=scale, size=(post.size, pre.size))
        projections.append(Projection(pre.name, post.name, weights))
    loss = Loss(pops[-1].name, str(rng.choice(["mse", "cross_entropy"])))
    net = Network(pops, projections, [loss])
    for bias in net.biases.values():
        bias[:] = rng.normal(scale=0.3, size=bias.size)
    if cyclic:
        _contract(net, float(rng.uniform(0.3, 0.8)))
    X = rng.normal(size=(patterns, 3))
    return net, X, random_targets(net, rng, patterns)


def random_flow(seed: int, net: Network) -> Flow:
    """Return a flow from a seed alone: any gains, half of the time with own time constants."""
    rng = np.random.default_rng([seed, 2])
    times: dict[str, Any] = {"tau_x": 10e-3, "tau_lam": 10e-3}
    for name in times:
        if rng.random() < 0.5:
            times[name] = {n: float(rng.uniform(2e-3, 40e-3)) for n in net.neurons}
    kind = rng.integers(4)
    if kind == 0:
        return Flow(rho=float(rng.uniform(0.5, 20)), **times)
    if kind == 1:
        return Flow(kappa=1, gamma=float(rng.uniform(0.05, 0.5)), **times)
    if kind == 2:
        theta = rng.uniform(0.2, pi / 2)
        return Flow(kappa=float(np.cos(theta)), gamma=float(np.sin(theta)), **times)
    kappa, gamma, rho = rng.uniform(0.1, 2, size=3)
    return Flow(kappa=float(kappa), gamma=float(gamma), rho=float(rho), **times)
