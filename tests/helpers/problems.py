"""Random networks with data, for every proof: layers, acyclic graphs, contractive cycles, and
flows.

Strategies draw the graph; numbers come from a seed, so that hypothesis shrinks towards small
graphs.
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

Array = np.ndarray
Problem = tuple[Network, Array, dict[str, Array]]

FORMULA = "a/(1 + abs(a)) + 0.1*tanh(a)**2"  # a user's activation, slopes between 0 and 1
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
    """Layers with random weights and biases, Gaussian inputs and random targets."""
    net = Network.mlp(widths, activation, loss=loss, gain=gain, seed=seed)
    rng = np.random.default_rng(seed)
    for bias in net.biases.values():
        bias[:] = rng.normal(scale=0.3, size=bias.size)
    return (
        net,
        rng.normal(scale=0.5, size=(patterns, widths[0])),
        random_targets(net, rng, patterns),
    )


def random_targets(net: Network, rng: np.random.Generator, patterns: int) -> dict[str, Array]:
    """Targets of every loss, encoded as it reads them."""
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
    """The flow without time constants of populations that the network does not have."""
    times = {t: getattr(flow, t) for t in ("tau_x", "tau_lam", "tau_w")}
    own = {
        t: {n: s for n, s in v.items() if n in net.neurons} if isinstance(v, dict) else v
        for t, v in times.items()
    }
    return Flow(kappa=flow.kappa, gamma=flow.gamma, rho=flow.rho, **own)


def random_state(
    net: Network, seed: int, patterns: int
) -> tuple[dict[str, Array], dict[str, Array]]:
    """x and lam away from rest, by population."""
    rng = np.random.default_rng([seed, 1])
    draw = [
        {n: rng.normal(size=(patterns, net.populations[n].size)) for n in net.neurons}
        for _ in range(2)
    ]
    return draw[0], draw[1]


def kink_distance(net: Network, outputs: dict[str, Array], Y: dict[str, Array]) -> float:
    """How far net inputs, outputs and weights are from where a slope or a curvature jumps, weights
    by prices too.

    Where a curvature jumps (FORMULA, squared_hinge) a central difference is wrong by the step, not
    by its square.
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
            w = net.weights[name]
            distances.append(np.abs(w if isinstance(w, np.ndarray) else w.data).min(initial=np.inf))
        for side, price in enumerate((q.row_l1, q.column_l1)):
            if price:
                norms = np.sqrt(np.asarray((net.weights[name] ** 2).sum(axis=1 - side)))
                distances.append(norms[norms > 0].min(initial=np.inf))
    return float(min(distances))


@st.composite
def dags(draw: st.DrawFn, *, l1: bool = False, activations: Sequence[str] = ACTIVATIONS) -> Problem:
    """(net, X, Y): an acyclic graph with skips, inner losses and sparse projections.

    `l1` lets projections have that price and those of groups too; `activations` narrows the choice.
    """
    return _problem(draw, cyclic=False, l1=l1, activations=activations)


@st.composite
def rings(
    draw: st.DrawFn, *, l1: bool = False, activations: Sequence[str] = ACTIVATIONS
) -> Problem:
    """(net, X, Y): the same with at least one cycle or self-connection, spectral norm between units
    below 0.8.
    """
    return _problem(draw, cyclic=True, l1=l1, activations=activations)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Every preset, and gains of any kind, with time constants of some populations of their own."""
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
    own = {name: draw(times) for name in ("tau_x", "tau_lam", "tau_w")}
    return Flow(
        kappa=flow.kappa,
        gamma=flow.gamma,
        rho=flow.rho,
        **{k: v or getattr(flow, k) for k, v in own.items()},
    )


def _problem(draw: st.DrawFn, *, cyclic: bool, l1: bool, activations: Sequence[str]) -> Problem:
    sizes = st.integers(1, 4)
    inputs = [
        Population(f"in{i}", draw(sizes), clamped=True) for i in range(draw(st.integers(1, 2)))
    ]
    neurons = [
        Population(
            f"n{i}",
            draw(sizes),
            draw(st.sampled_from(activations)),
            plastic_bias=draw(st.booleans()),
        )
        for i in range(draw(st.integers(1, 4)))
    ]
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
        # a way forward makes every way back a cycle
        pairs += [
            (neurons[e], neurons[la])
            for e, la in sorted(back)
            if e < la and (neurons[e], neurons[la]) not in pairs
        ]
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
    return Projection(
        pre.name,
        post.name,
        rng.normal(scale=1 / np.sqrt(pre.size), size=shape),
        mask,
        l2=draw(st.sampled_from([0.0, 0.1])),
        **{p: draw(st.sampled_from([0.0, 0.05])) for p in ("l1", "row_l1", "column_l1") if l1},
    )


def _loss(draw: st.DrawFn, population: Population) -> Loss:
    kind = draw(st.sampled_from(LOSSES))
    return Loss(
        population.name,
        kind,
        draw(st.sampled_from([1.0, 0.5])),
        0.1 if kind == "eps_insensitive" else 0.0,
    )


def _contract(net: Network, norm: float) -> None:
    """Scale the weights between units so that the matrix of them all has at most that spectral
    norm.
    """
    own = [[net.weights.get(f"{pre}->{post}") for pre in net.neurons] for post in net.neurons]
    sizes = [net.populations[n].size for n in net.neurons]
    dense: list[list[Any]] = [
        [
            np.zeros((sizes[i], sizes[j]))
            if w is None
            else w
            if isinstance(w, np.ndarray)
            else w.toarray()
            for j, w in enumerate(row)
        ]
        for i, row in enumerate(own)
    ]
    scale = min(1.0, norm / max(np.linalg.norm(np.block(dense), 2), 1e-12))
    for row in own:
        for w in row:
            if w is not None:
                (w if isinstance(w, np.ndarray) else w.data)[...] *= scale
