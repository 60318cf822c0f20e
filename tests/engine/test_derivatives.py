"""Away from rest, every right-hand side of the engine is a derivative of the scalar L.

At rest g = 0, which hides a wrong rho or a wrong sign of it; here the state is random.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.data.patterns import patterns
from neurosim.engine import build
from neurosim.model.equations import lagrangian
from tests.helpers.examples import some
from tests.helpers.problems import (
    SEEDS,
    Problem,
    dags,
    fitted,
    flows,
    kink_distance,
    random_problem,
    random_state,
    rings,
)
from tests.helpers.stepping import Stepped, dense, step

H = 1e-6  # of the central differences
# one step cannot diverge
pytestmark = pytest.mark.filterwarnings("ignore::neurosim.errors.StabilityWarning")


def gradient(function, array: np.ndarray) -> np.ndarray:
    """Return central differences of a scalar in every entry of an array, changed in place."""
    found = np.zeros_like(array)
    for i in np.ndindex(array.shape):
        kept = array[i]
        array[i] = kept + H
        above = function()
        array[i] = kept - H
        found[i] = (above - function()) / (2 * H)
        array[i] = kept
    return found


def differentiated(net: ns.Network, flow: ns.Flow, X, Y, state: ns.State) -> Stepped:
    """Return the rates of the flow from finite differences of L alone."""
    net = net.copy()

    def L() -> float:
        return ns.reference.lagrangian(net, flow, state.x, state.lam, X, Y)

    rates = Stepped({}, {}, {}, {}, {})
    K = len(next(iter(state.x.values())))
    for n in net.neurons:
        dx, dlam = gradient(L, state.x[n]), gradient(L, state.lam[n])
        rates.x[n] = (-flow.kappa * dx - flow.gamma * dlam) / flow.time("tau_x", n)
        rates.lam[n] = (flow.kappa * dlam - flow.gamma * dx) / flow.time("tau_lam", n)
        descent = -gradient(L, net.biases[n]) / K / flow.time("tau_w", n)
        rates.b[n] = descent * net.populations[n].plastic_bias
    for name, q in net.projections.items():
        w = net.weights[name]
        is_dense = isinstance(w, np.ndarray)
        change = -gradient(L, w if is_dense else w.data) / K / flow.time("tau_w", q.post)
        if not is_dense:
            change = dense(type(w)((change, w.indices, w.indptr), w.shape))
        rates.w[name] = change
    return rates


def compare(found: Stepped, truth: Stepped) -> None:
    for kind in ("x", "lam", "w", "b"):
        for name, rate in getattr(truth, kind).items():
            scale = max(1.0, np.abs(rate).max(initial=0.0))
            assert_allclose(
                getattr(found, kind)[name],
                rate,
                rtol=0,
                atol=1e-6 * scale,
                err_msg=f"{kind} of {name}",
            )


@settings(max_examples=some(18), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problem=st.one_of(dags(), rings()), flow=flows(), seed=SEEDS)
def test_every_rate_is_a_derivative_of_l(problem: Problem, flow: ns.Flow, seed: int) -> None:
    net, X, Y = problem
    flow = fitted(flow, net)
    x, lam = random_state(net, seed, len(X))
    assume(kink_distance(net, {**patterns(net, X), **x}, Y) > 1e-3)
    state = ns.State(x, lam)
    compare(step(net, flow, X, Y, state), differentiated(net, flow, X, Y, state))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("-kappa*dL_dx - gamma*g", "kappa*dL_dx - gamma*g"),
        ("kappa*g - gamma*dL_dx", "kappa*g + gamma*dL_dx"),
        ("mu - feedback", "mu + feedback"),
        ("lam + rho*g", "lam + 1.01*rho*g"),
        ("delta = dsigma*mu", "delta = dsigma*lam"),
    ],
)
def test_a_planted_error_is_seen(right: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof above fails on a wrong sign or a wrong rho."""
    net, X, Y = random_problem([3, 4, 2], seed=1)
    flow, state = ns.Flow(kappa=0.7, gamma=0.4, rho=1.3), ns.State(*random_state(net, 2, len(X)))
    truth = differentiated(net, flow, X, Y, state)
    compare(step(net, flow, X, Y, state), truth)
    written = lagrangian.population
    assert right in written(net, "hidden1")

    def planted(*args: object, **options: object) -> str:
        return written(*args, **options).replace(right, wrong)

    monkeypatch.setattr(lagrangian, "population", planted)
    build._idle.clear()  # idle engines have the right text
    with pytest.raises(AssertionError, match=r"of hidden1|of output|hidden1->output"):
        compare(step(net, flow, X, Y, state), truth)
    build._idle.clear()  # and this one the wrong text


@pytest.mark.compiler
@pytest.mark.parametrize("backend", ["cython", "standalone"])
def test_compiled_backends_take_the_same_step(backend: str) -> None:
    net, X, Y = random_problem([3, 4, 2], seed=5, loss="cross_entropy")
    net.losses = {"hidden1": ns.Loss("hidden1", "policy", 0.5), **net.losses}
    Y["hidden1"] = np.random.default_rng(5).normal(size=(len(X), 4))
    flow, state = ns.Flow(kappa=0.7, gamma=0.4, rho=1.3), ns.State(*random_state(net, 2, len(X)))
    compare(step(net, flow, X, Y, state, backend), differentiated(net, flow, X, Y, state))
