"""The printed equations of synapses and biases are those that the reference integrates.

The engine steps weights by kernels of its own, so that nothing else reads this text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.model import rules
from neurosim.model.equations import lagrangian
from neurosim.model.feedback import KINDS
from tests.helpers.problems import random_problem, random_state

Array = np.ndarray


def right_side(text: str, variable: str) -> str:
    """Return the right-hand side of one equation of a text in Brian2's notation."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"d{variable}/dt = ")]
    return line.partition(" = ")[2].partition(" : 1")[0]


def evaluated(expression: str, **values: Any) -> Array:
    """Evaluate an equation; `mean` is over the patterns, the first axis."""
    names = values | {"mean": lambda v: v.mean(axis=0), "plastic": 1.0}
    return np.asarray(eval(expression, {"__builtins__": {}}, names))


@pytest.mark.parametrize("kind", ["symmetric", "kolen_pollack"])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_the_printed_learning_rule_is_that_of_the_reference(kind: str, l2: float) -> None:
    net = ns.Network.mlp([3, 4, 2], loss="mse", l2=l2, feedback=kind, seed=3)
    _, X, Y = random_problem([3, 4, 2], seed=3)
    flow = ns.Flow(kappa=0.7, gamma=0.4, rho=1.3, tau_w=0.05)
    x, lam = random_state(net, 3, len(X))
    rates = ns.reference.right_hand_side(net, flow, x, lam, X, Y)
    outputs = {"input": X, **x}
    for name, q in net.projections.items():
        a = sum(outputs[p.pre] @ net.weights[p.name].T for p in net.incoming(q.post))
        a = a + net.biases[q.post]
        sigma = ns.reference.functions.sigma(net.populations[q.post].activation, a)
        slope = ns.reference.functions.dsigma(net.populations[q.post].activation, a)
        delta = slope * (lam[q.post] + flow.rho * (x[q.post] - sigma))
        values = {
            "delta_post": delta[:, :, None],
            "x_pre": outputs[q.pre][:, None, :],
            "tau_w": 0.05,
        }
        text = lagrangian.projection(q)
        found = evaluated(right_side(text, "w"), w=net.weights[name], **values)
        assert_allclose(found, rates.w[name], rtol=0, atol=1e-12)
        if q.feedback == "kolen_pollack":
            back = net.feedback[name].T
            found = evaluated(right_side(text, "back"), back=back, **values)
            expected = rates.w[name] + q.decay * (net.weights[name] - back) / 0.05
            assert_allclose(found, expected, rtol=0, atol=1e-12)
        bias = lagrangian.bias(net.populations[q.post])
        found = evaluated(right_side(bias, "b"), delta=delta, tau_w=0.05)
        assert_allclose(found, rates.b[q.post], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_printed_feedback_weights_are_those_of_the_network(kind: str) -> None:
    """They learn, follow from the weights, stand still, or are the weights."""
    net = ns.Network.mlp([3, 4, 2], loss="mse", feedback=kind, seed=3)
    name = "hidden1->output"
    lines = lagrangian.projection(net.projections[name]).splitlines()
    found = [line for line in lines if line.startswith(("back", "dback"))]
    if kind == "symmetric":
        assert found == []
        return
    (line,) = found
    assert line.startswith("dback/dt = ") == (kind == "kolen_pollack")
    if kind == "sign":
        B = net.feedback[name].T
        expression = line.partition(" = ")[2].partition(" : 1")[0]
        back = evaluated(expression, sign=np.sign, w=net.weights[name], back_size=abs(B))
        assert_allclose(back, B, rtol=0, atol=1e-15)
    elif kind in ("random", "mirror"):
        assert line == f"back : 1 (constant)  # {kind}"


@pytest.mark.parametrize(
    ("rule", "separates"),
    [("x_post*x_pre/tau_w", True), ("x_post*max(x_pre - w, 0.1)/tau_w", False)],
)
def test_a_rule_that_does_not_separate_says_so(rule: str, separates: bool) -> None:
    plasticity = ns.Plasticity(f"dw/dt = {rule} : 1")
    net = ns.Network.mlp([3, 4, 2], loss="mse", plasticity=plasticity)
    text = lagrangian.projection(net.projections["input->hidden1"])
    assert f"dw/dt = {rule} : 1" in text
    assert ("does not separate" in text) is not separates


def test_the_proximal_step_of_a_rule_stands_after_all_of_it() -> None:
    plasticity = ns.Plasticity("dw/dt = x_post*x_pre/tau_w : 1")
    net = ns.Network.mlp([3, 4, 2], loss="mse", l1=0.01, plasticity=plasticity)
    lines = lagrangian.projection(net.projections["input->hidden1"]).splitlines()
    then = "# then w = sign(w)*max(abs(w) - 0.01*dt/tau_w, 0)"
    assert [line.endswith(then) for line in lines] == [False, False, True]


def test_the_printed_rule_of_biases_has_no_decay() -> None:
    """Decay is of weights; the text says it where there is some."""
    net = ns.Network.mlp([3, 4, 2], l2=0.3, plasticity=rules.oja(), bias_plasticity=rules.oja())
    assert "and dw/dt -=" not in lagrangian.bias(net.populations["hidden1"])
    sim = ns.Simulation(net, ns.Flow.damped())
    assert sim.equations.count("and dw/dt -= 0.3*w/tau_w") == 2


def one_layer(loss: ns.Loss, **own: Any) -> ns.Network:
    """Return two clamped units and four with a loss."""
    populations = [ns.Population("input", 2, clamped=True), ns.Population("output", 4, **own)]
    return ns.Network(populations, [ns.Projection("input", "output")], [loss], seed=1)


@pytest.mark.parametrize("weight", [0, 0.5, 1, 2])
def test_a_loss_counts_with_its_weight(weight: float) -> None:
    """In the slope x - y of half the square, as text."""
    net = one_layer(ns.Loss("output", "mse", weight))
    lines = lagrangian.population(net, "output").splitlines()
    (slope,) = [line for line in lines if line.startswith("dV_dx = ")]
    expression = slope.partition(" = ")[2].partition(" : 1")[0]
    assert evaluated(expression, x=0.7, y=-1.1) == pytest.approx(weight * 1.8, rel=1e-15)


@pytest.mark.parametrize("constraint", ["lin", "lin_eps", "abs_eps"])
@pytest.mark.parametrize("kind", ["mse", "eps_insensitive"])
def test_leaks_are_slopes_of_the_reference_rates(constraint: str, kind: str) -> None:
    """Of the output units; far from its target the slope of a loss with a tolerance is constant."""
    own = {} if constraint == "lin" else {"epsilon": 0.3}
    net = one_layer(ns.Loss("output", kind, 1.7), constraint=constraint, **own)
    flow = ns.Flow(kappa=0.7, gamma=0.4, rho=1.3, tau_x=0.02, tau_lam=0.05)
    X, g = np.array([[0.3, -0.8]]), np.array([[0.6, -0.6, 0.1, -0.1]])
    x = {"output": ns.reference.forward(net, X)["output"] + g}
    lam = {"output": np.array([[0.2, -0.5, 0.9, -0.4]])}
    Y = 9 * np.sign(x["output"])
    dG = 1.0 if constraint == "lin" else np.sign(g) * (abs(g) >= 0.3)
    gains = {name: getattr(flow, name) for name in ("kappa", "gamma", "rho", "tau_x", "tau_lam")}
    for name, state in (("x", x), ("lam", lam)):
        rates = []
        for nudge in (1e-3, -1e-3):
            moved = {"x": x, "lam": lam, name: {"output": state["output"] + nudge}}
            found = ns.reference.right_hand_side(net, flow, moved["x"], moved["lam"], X, Y)
            rates.append(getattr(found, name)["output"])
        leak = evaluated(lagrangian.leak(net, "output")[name], dG=dG, **gains)
        assert_allclose((rates[1] - rates[0]) / 2e-3 - leak, 0, rtol=0, atol=1e-9)


def test_a_rule_of_biases_separates_where_x_pre_is_one() -> None:
    """The greater of x_post and x_pre is a function of one end where x_pre is 1."""
    rule = ns.Plasticity("dw/dt = max(x_post, x_pre)/tau_w : 1")
    net = ns.Network.mlp([3, 2], loss="mse", plasticity=rule, bias_plasticity=rule)
    assert "does not separate" in lagrangian.projection(net.projections["input->output"])
    assert "does not separate" not in lagrangian.bias(net.populations["output"])
