"""Local Propagation as published, against a loop of its own that shares no code with the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import neurosim as ns
from tests.helpers.examples import some

Array = np.ndarray


def G_of(kind: str, epsilon: float) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """The constraint functions of the paper, and their slopes."""
    outside = lambda a: (np.abs(a) >= epsilon).astype(float)  # noqa: E731
    return {
        "lin": (lambda a: a, np.ones_like),
        "lin_eps": (lambda a: np.maximum(a, epsilon) - np.maximum(-a, epsilon), outside),
        "abs": (np.abs, np.sign),
        "abs_eps": (
            lambda a: np.maximum(np.abs(a) - epsilon, 0),
            lambda a: outside(a) * np.sign(a),
        ),
    }[kind]


class Adam:
    """Kingma & Ba 2015, as in their algorithm 1."""

    def __init__(self, z: Array) -> None:
        self.z, self.m, self.v, self.t = z, np.zeros_like(z), np.zeros_like(z), 0

    def descend(self, gradient: Array, rate: float) -> None:
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        self.z -= (
            rate * (self.m / (1 - 0.9**self.t)) / (np.sqrt(self.v / (1 - 0.999**self.t)) + 1e-8)
        )


def published(
    net: ns.Network,
    X: Array,
    Y: Array,
    *,
    epochs: int,
    rho: float,
    rate: float,
    ratio: float,
    alpha: float,
    c: float,
    mean: bool,
) -> dict[str, Array]:
    """L = sum [V + lam G + rho G²] + c |W|² + alpha |x|_1 over layers of sigmoid units,
    cross-entropy; or V's mean.

    Descent in W and x, ascent in lam, one simultaneous step of everything.
    """
    layers = len(net.weights)
    W = [Adam(w.copy()) for w in net.weights.values()]
    b = [Adam(v.copy()) for v in net.biases.values()]
    hidden = [net.populations[f"hidden{i}"] for i in range(1, layers)]
    x = [Adam(np.zeros((len(X), p.size))) for p in hidden]
    lam = [Adam(np.zeros((len(X), p.size))) for p in hidden]
    for _ in range(epochs):
        sent = [X, *(s.z for s in x)]
        a = [v @ w.z.T + c.z for v, w, c in zip(sent, W, b, strict=True)]
        top = np.exp(a[-1] - a[-1].max(axis=1, keepdims=True))
        back = [
            (top / top.sum(axis=1, keepdims=True) - np.eye(net.populations["output"].size)[Y])
            / (len(X) if mean else 1)
        ]
        dx, dlam = [], []
        for i, p in reversed(list(enumerate(hidden))):
            G, slope = G_of(p.constraint, p.epsilon)
            out = 1 / (1 + np.exp(-a[i]))
            g = x[i].z - out
            pull = (lam[i].z + 2 * rho * G(g)) * slope(g)
            dx.insert(0, pull + alpha * np.sign(x[i].z) + back[0] @ W[i + 1].z)
            dlam.insert(0, G(g))
            back.insert(0, -pull * out * (1 - out))
        steps = [(w, d.T @ v + 2 * c * w.z, rate) for w, d, v in zip(W, back, sent, strict=True)]
        steps += [(v, d.sum(axis=0), rate) for v, d in zip(b, back, strict=True)]
        steps += [(s, d, ratio * rate) for s, d in zip(x, dx, strict=True)]
        steps += [(s, -d, ratio * rate) for s, d in zip(lam, dlam, strict=True)]
        for variable, gradient, size in steps:
            variable.descend(gradient, size)
    found = {f"x of {p.name}": s.z for p, s in zip(hidden, x, strict=True)}
    found |= {f"lam of {p.name}": s.z for p, s in zip(hidden, lam, strict=True)}
    found |= {f"w of {n}": w.z for n, w in zip(net.weights, W, strict=True)}
    return found | {f"b of {n}": v.z for n, v in zip(net.biases, b, strict=True)}


def by_engine(
    net: ns.Network,
    X: Array,
    Y: Array,
    epochs: int,
    backend: str = "numpy",
    mean: bool = False,
    **flow: float,
) -> dict[str, Any]:
    sim = ns.Simulation(net, ns.Flow.local_propagation(**flow), backend=backend)
    log = sim.train(X, Y, ns.LocalPropagation(epochs=epochs, reports=3, mean=mean))
    hidden = [n for n in net.neurons if n != "output"]
    found = {f"x of {n}": log.run.x[n] for n in hidden} | {
        f"lam of {n}": log.run.lam[n] for n in hidden
    }
    return (
        found
        | {f"w of {n}": w for n, w in net.weights.items()}
        | {f"b of {n}": b for n, b in net.biases.items()}
    )


def problem(
    kind: str, widths: list[int], seed: int, alpha: float = 0.0, c: float = 0.0
) -> tuple[Any, ...]:
    epsilon = 0.05 if kind.endswith("_eps") else 0.0
    net = ns.Network.mlp(
        widths,
        "sigmoid",
        constraint=kind,
        epsilon=epsilon,
        free_output=True,
        l2=2 * c,
        activity_l1=alpha,
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    return net, rng.normal(size=(7, widths[0])), rng.integers(widths[-1], size=7)


@settings(max_examples=some(12), deadline=None)
@given(
    kind=st.sampled_from(["lin", "lin_eps", "abs", "abs_eps"]),
    hidden=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    rho=st.sampled_from([0.01, 10.0]),
    ratio=st.sampled_from([0.1, 10.0]),
    prices=st.sampled_from([(0.0, 0.0), (1e-3, 1e-3), (1e-1, 0.0)]),
    mean=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_engine_does_what_was_published(
    kind: str,
    hidden: list[int],
    rho: float,
    ratio: float,
    prices: tuple[float, float],
    mean: bool,
    seed: int,
) -> None:
    alpha, c = prices
    net, X, Y = problem(kind, [4, *hidden, 3], seed, alpha, c)
    truth = published(
        net, X, Y, epochs=40, rho=rho, rate=1e-2, ratio=ratio, alpha=alpha, c=c, mean=mean
    )
    found = by_engine(net, X, Y, 40, mean=mean, rho=rho, rate=1e-2, ratio=ratio)
    for name, values in truth.items():
        assert_allclose(found[name], values, rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.compiler
@pytest.mark.slow
def test_a_compiled_program_takes_the_same_steps() -> None:
    net, X, Y = problem("abs_eps", [4, 5, 4, 3], 1, alpha=1e-3, c=1e-3)
    twin = net.copy()
    flow = {"rho": 10.0, "rate": 1e-2, "ratio": 10.0}
    truth, found = by_engine(net, X, Y, 60, **flow), by_engine(twin, X, Y, 60, "standalone", **flow)
    for name, values in truth.items():
        assert_allclose(found[name], values, rtol=0, atol=1e-10, err_msg=name)


def test_the_weights_that_did_best_stay() -> None:
    """Accuracy first, then loss, of the rows of the log; `best=False` leaves the last ones."""
    net, X, Y = problem("lin", [4, 6, 3], 5)
    start, last = net.copy(), net.copy()
    held = (X[:3] + 0.3, Y[::-1][:3])
    flow = ns.Flow.local_propagation(rate=3e-2)
    schedule = ns.LocalPropagation(epochs=120, reports=12)
    log = ns.Simulation(net, flow, backend="numpy").train(X, Y, schedule, validation=held)
    rows = [
        (a, -b)
        for a, b in zip(
            log.history.validation_accuracy.values, log.history.validation_loss.values, strict=True
        )
    ]
    assert log.run.settings["best_time"] == pytest.approx(0.01 * (1 + rows.index(max(rows))))
    assert rows.index(max(rows)) < 11
    assert -ns.reference.loss(net, ns.reference.forward(net, held[0]), held[1]) == pytest.approx(
        max(rows)[1]
    )
    whole = ns.LocalPropagation(epochs=120, reports=12, best=False)
    ns.Simulation(last, flow, backend="numpy").train(X, Y, whole, validation=held)
    assert -ns.reference.loss(last, ns.reference.forward(last, held[0]), held[1]) == pytest.approx(
        rows[-1][1]
    )
    assert np.any(start.weights["input->hidden1"] != net.weights["input->hidden1"])


@pytest.mark.parametrize("mean", [False, True])
def test_lam_comes_to_the_adjoint(mean: bool) -> None:
    """With the weights all but still. Adam does not settle: x and lam hover within some tens of
    steps of rest.
    """
    net, X, Y = problem("lin", [4, 5, 3], 6)
    rate = 1e-3
    flow = ns.Flow.local_propagation(rho=0.5, rate=1e-9, ratio=rate / 1e-9)
    schedule = ns.LocalPropagation(epochs=2000, reports=1, mean=mean)
    log = ns.Simulation(net, flow, backend="numpy").train(X, Y, schedule, start="forward")
    exact, count = ns.reference.backprop(net, X, Y), len(X) if mean else 1
    assert_allclose(log.run.x["hidden1"], exact.x["hidden1"], rtol=0, atol=60 * rate)
    assert_allclose(log.run.lam["hidden1"], exact.lam["hidden1"] / count, rtol=0, atol=60 * rate)
    assert np.abs(exact.lam["hidden1"] / len(X)).max() > 0.02


def test_what_has_no_meaning_for_steps_of_adam() -> None:
    net, X, Y = problem("lin", [4, 5, 3], 0)
    flow, schedule = ns.Flow.local_propagation(), ns.LocalPropagation(epochs=5)
    with pytest.raises(ns.ModelError, match="method = 'rk4'; allowed with LocalPropagation"):
        ns.Simulation(net, flow, method="rk4").train(X, Y, schedule)
    with pytest.raises(ns.ModelError, match=r"events = .* with LocalPropagation"):
        ns.Simulation(net, flow, transport={"input->hidden1": ns.Events(0.1)}).train(X, Y, schedule)
    with pytest.raises(ns.ModelError, match="epochs = 0; allowed: a whole number >= 1"):
        ns.LocalPropagation(epochs=0)
    with pytest.raises(ns.ModelError, match="rate = 0; allowed: a finite number > 0"):
        ns.Flow.local_propagation(rate=0)


def test_the_published_rates_are_time_constants() -> None:
    flow = ns.Flow.from_preset("local_propagation", rho=10.0, rate=1e-2, ratio=0.1)
    assert (flow.kappa, flow.gamma, flow.rho) == (1.0, 0.0, 20.0)  # the paper's rho has no 1/2
    assert (flow.tau_w, flow.tau_x, flow.tau_lam) == pytest.approx((0.1, 1.0, 1.0))


@pytest.mark.compiler
@pytest.mark.parametrize("compiled", ["cython"])
def test_cython_takes_the_same_steps(compiled: str) -> None:
    """Its code objects read Adam's corrections, which are numbers of the whole run."""
    found = []
    for backend in ("numpy", compiled):
        net, X, Y = problem("lin", [3, 2], 0)
        sim = ns.Simulation(net, ns.Flow.local_propagation(), backend=backend)
        found.append(sim.train(X, Y, ns.LocalPropagation(epochs=12, reports=1)).run)
    one, other = found
    for own, others in ((one.x, other.x), (one.lam, other.lam)):
        assert_allclose(others["output"], own["output"], rtol=0, atol=1e-13)
    w, same = (run.network.weights["input->output"] for run in found)
    assert_allclose(same, w, rtol=0, atol=1e-13)
