"""Small random networks whose sites share weights: convolutions, lags, graphs, and mixtures."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim.model import sites
from neurosim.model.network import Network
from neurosim.model.populations import Loss, Population, Projection

KINDS = ("conv", "series", "lag", "graph", "mixed")


def network(kind: str, seed: int, *, shared: bool = True, **options: Any) -> Network:
    """Return a random network of one kind; `options` are those of its projections with `over`."""
    rng = np.random.default_rng(seed)
    make = {"conv": _conv, "series": _series, "lag": _lag, "graph": _graph, "mixed": _mixed}[kind]
    options = options | ({} if shared else {"shared": False})
    populations, projections, losses = make(rng, options)
    net = Network(populations, projections, losses, seed=seed)
    for name in net.biases:
        net.biases[name] = 0.3 * rng.normal(size=net.biases[name].shape)
    return net


def data(net: Network, seed: int, patterns: int = 3) -> tuple[Any, Any]:
    """Return random inputs, with axes of sites, and targets: labels, one of them missing."""
    rng = np.random.default_rng(seed)
    X = {}
    for name in net.inputs:
        p = net.populations[name]
        X[name] = rng.normal(size=(patterns, *(p.shape or (p.size,))))
    Y = {}
    for name, loss in net.losses.items():
        p = net.populations[name]
        if loss.kind == "mse":
            Y[name] = rng.normal(size=(patterns, p.size))
            continue
        Y[name] = rng.integers(0, p.features, size=(patterns, *p.sites))
        if p.sites:
            Y[name].flat[0] = -1
    return X, Y


def _conv(rng: np.random.Generator, options: dict[str, Any]) -> Any:
    """Two convolutions with a pool between, a skip, and a loss on the second one's features."""
    kernel = int(rng.integers(1, 4))
    stride = int(rng.integers(1, 3))
    first = sites.Conv((kernel, 2), padding=(kernel // 2, 1))
    shape = first.post_sites((3, 2))
    second = sites.Conv(3, stride=stride)
    pool = sites.Pool((shape[0], 1)) if rng.random() < 0.5 else sites.Pointwise()
    pooled = pool.post_sites(shape)
    after = second.post_sites(pooled)
    populations = [
        Population("input", (3, 2, 2), "linear", clamped=True),
        Population("one", (*shape, 2)),
        Population("pool", (*pooled, 2), "linear", plastic_bias=False),
        Population("two", (*after, 3), "sigmoid"),
        Population("output", 3, "linear"),
    ]
    through = options if pool.weighted else {}
    projections = [
        Projection("input", "one", over=first, **_of_input(options)),
        Projection("one", "pool", over=pool, **through),
        Projection("pool", "two", over=second, **options),
        Projection("two", "output"),
        Projection("one", "output", gain=0.5),
    ]
    return populations, projections, [Loss("output", "cross_entropy"), Loss("two", "mse", 0.3)]


def _series(rng: np.random.Generator, options: dict[str, Any]) -> Any:
    """Return a convolution along one axis, read at one site."""
    populations = [
        Population("input", (7, 1), "linear", clamped=True),
        Population("one", (4, 3), "softplus"),
        Population("output", 2, "linear"),
    ]
    site = int(rng.integers(-4, 4))
    projections = [
        Projection("input", "one", over=sites.Conv(3, stride=2), **_of_input(options)),
        Projection("one", "output", over=sites.Site(site), **options),
    ]
    return populations, projections, [Loss("output", "mse")]


def _lag(rng: np.random.Generator, options: dict[str, Any]) -> Any:
    """Return two recurrent layers that read each other, one by a longer lag."""
    populations = [
        Population("input", (5, 2), "linear", clamped=True),
        Population("fast", (5, 3)),
        Population("slow", (5, 2)),
        Population("output", (5, 3), "linear"),
    ]
    projections = [
        Projection("input", "fast", over="pointwise", **_of_input(options)),
        Projection("fast", "fast", over=sites.Lag(), gain=0.8, **options),
        Projection("fast", "slow", over="pointwise", **options),
        Projection("slow", "slow", over=sites.Lag(int(rng.integers(1, 4))), gain=0.8, **options),
        Projection("slow", "fast", over=sites.Lag(2), gain=0.5, **options),
        Projection("slow", "output", over="pointwise", **options),
    ]
    return populations, projections, [Loss("output", "cross_entropy")]


def _graph(rng: np.random.Generator, options: dict[str, Any]) -> Any:
    """Return states on the nodes of a random graph with cycles, which contract."""
    edges = rng.random((5, 5)) < 0.4
    weights = 0.4 * edges * rng.normal(size=(5, 5))
    populations = [
        Population("input", (5, 2), "linear", clamped=True),
        Population("state", (5, 3)),
        Population("output", (5, 2), "linear"),
    ]
    projections = [
        Projection("input", "state", over=sites.Terms([np.eye(5), weights]), **_of_input(options)),
        Projection("state", "state", over=sites.Graph(weights), gain=0.6, **options),
        Projection("state", "output", over="pointwise", **options),
    ]
    return populations, projections, [Loss("output", "cross_entropy")]


def _mixed(rng: np.random.Generator, options: dict[str, Any]) -> Any:
    """Return frames over time: a convolution in each, a lag between them, a dense readout."""
    populations = [
        Population("input", (3, 4, 1), "linear", clamped=True),
        Population("frame", (3, 4, 2)),
        Population("output", 2, "linear"),
    ]
    projections = [
        Projection("input", "frame", over=sites.Conv((1, 3)), **_of_input(options)),
        Projection("frame", "frame", over=sites.Lag(), gain=0.7, **options),
        Projection("frame", "output"),
    ]
    return populations, projections, [Loss("output", "cross_entropy")]


def _of_input(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a projection from data, to which nothing is sent back."""
    return {key: value for key, value in options.items() if not key.startswith("feedback")}
