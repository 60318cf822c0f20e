"""The three coupled flows as one right-hand side, and the scalar L that they descend and ascend.

Plain NumPy, written from the paper, without the engine and without its equation text.
Start at `right_hand_side`; `lagrangian` is a third derivation. `trajectory` integrates in SciPy.

References
----------
Betti, Gori & Marra 2018, arXiv 1808.06934; rho: Platt & Barr, NIPS 1987.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosim.arguments import checked
from neurosim.data.patterns import patterns, targets
from neurosim.errors import out_of_range
from neurosim.model.display import short_repr
from neurosim.model.feedback import KOLEN_POLLACK
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.values import ByValue
from neurosim.model.weights import Weights, at_synapses, synapses, transposed, with_values
from neurosim.reference import plasticity
from neurosim.reference.constraints import constraint, multiplier_terms
from neurosim.reference.functions import (
    dsigma,
    hebbian,
    n_patterns,
    net_input,
    of_biases,
    penalty,
    received,
    sigma,
    violation,
    violation_at,
)
from neurosim.reference.linear_algebra import check_arrays
from neurosim.reference.losses import activity_penalty, loss_value, output_slope

Array = np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Rates(ByValue):
    """Time derivatives, in 1/s.

    Attributes
    ----------
    x, lam : dict of str to array, (patterns, units)
        By population that is not clamped.
    w : dict of str to array or csr_array, (n_post, n_pre)
        By projection; sparse where the weights are.
    b : dict of str to array, (n,)
        By population that is not clamped.
    feedback : dict of str to array or csr_array, (n_pre, n_post)
        Feedback weights that learn (kolen_pollack), by projection.
    """

    x: dict[str, Array]
    lam: dict[str, Array]
    w: dict[str, Weights]
    b: dict[str, Array]
    feedback: dict[str, Weights] = field(default_factory=dict)

    __repr__ = short_repr


@checked
def right_hand_side(
    net: Network,
    flow: Flow,
    x: Mapping[str, Array],
    lam: Mapping[str, Array],
    X: Any,
    Y: Any,
    weights: Mapping[str, Weights] | None = None,
    biases: Mapping[str, Array] | None = None,
    plastic: bool = True,
    step: float = 0.0,
    regime: Any = None,
) -> Rates:
    """Return all time derivatives of the flow at a state.

    ::

        g          = x - sigma(W x + b)        mu = (lam + rho G) G'        delta = sigma'(a) mu
        dL/dx      = dV/dx + mu - Wᵀ delta
        tau_x   dx/dt   = -kappa dL/dx - gamma G' G
        tau_lam dlam/dt = +kappa G     - gamma G' dL/dx
        tau_w   dw/dt   = mean over patterns of delta xᵀ - l2 w          (0 if not plastic)
        tau_w   db/dt   = mean over patterns of delta                    (0 if not plastic_bias)

    A user-written rule stands in place of dw/dt where it is one of w alone. tau_w is that of the
    postsynaptic population. A population without a constraint has G = 0, mu = -dV/dx and x =
    sigma(a). A penalty on outputs counts as a part of V.

    Where the feedback of a projection is not symmetric, B stands for Wᵀ; for sign feedback B = size
    sign(Wᵀ). Feedback weights of Kolen and Pollack move by tau_w dB/dt = mean over patterns of
    x deltaᵀ - (l2 + c) B, and c adds to the l2 of the weights.

    Parameters
    ----------
    net : Network
    flow : Flow
    x, lam : mapping of str to array, (patterns, units), unit 1
        By population that is not clamped; clamped ones are taken from X.
    X, Y : array or mapping
        Inputs and targets, as in `backprop`, or encoded.
    weights, biases : mapping, optional
        In place of those of the network.
    plastic : bool
        Whether weights and biases move; their rates are left out otherwise.
    step : float
        Step of explicit Euler, s. Where rho < kappa step/tau_lam, the rate of a tube's multiplier
        takes such a step to zero, not beyond. With 0 and rho = 0 the multiplier moves towards zero
        at full speed until it reaches it.
    regime : state with .x and .lam of (1, units) or (patterns, units), optional
        State that decides on which side of each kink of G, and of the penalty on outputs, the flow
        is; by default x and lam.

    Returns
    -------
    Rates
        In 1/s. l1 and the group penalties are left out: their subgradients jump, so the simulation
        applies them as proximal steps.

    Raises
    ------
    DataError
        X or Y do not fit the network.

    Examples
    --------
    >>> net, state = Network.mlp([2, 1], loss="mse"), {"output": np.zeros((1, 1))}
    >>> rates = right_hand_side(net, Flow.augmented(), state, state, [[1.0, 2.0]], [[0.0]])
    >>> rates.w["input->output"].shape
    (1, 2)
    """
    for name, given, own in (("weights", weights, net.weights), ("biases", biases, net.biases)):
        if given is not None:
            check_arrays(name, given, {key: value.shape for key, value in own.items()})
    net = with_parameters(net, weights, biases)
    clamped = patterns(net, X)
    _check_state(net, n_patterns(clamped), x, lam)
    encoded = targets(net, Y, n_patterns(clamped))
    if regime is not None and not (hasattr(regime, "x") and hasattr(regime, "lam")):
        raise out_of_range("regime", regime, "a state with .x and .lam")
    return rates_at(net, flow, x, lam, clamped, encoded, plastic, step, regime)


def rates_at(
    net: Network,
    flow: Flow,
    x: Mapping[str, Array],
    lam: Mapping[str, Array],
    clamped: Mapping[str, Array],
    Y: Mapping[str, Array],
    plastic: bool,
    step: float = 0.0,
    regime: Any = None,
) -> Rates:
    """Return `right_hand_side` on encoded data; `w` and `b` are empty unless plastic."""
    sides = {} if regime is None else regime.x
    outputs, G, slope_G, mu, delta = messages_at(net, flow, x, lam, clamped, Y, step, regime)
    rates = Rates({}, {}, {}, {})
    for n in net.neurons:
        # dL/dx; 0 in populations without constraint, where x is not a variable
        pull = output_slope(net, n, outputs[n], Y, sides.get(n))
        dL = pull + mu[n] - received(net, n, delta)
        dx = -flow.kappa * dL - flow.gamma * slope_G[n] * G[n]
        dlam = flow.kappa * G[n] - flow.gamma * slope_G[n] * dL
        rates.x[n] = dx / flow.time("tau_x", n)
        rates.lam[n] = dlam / flow.time("tau_lam", n)
    if plastic:
        _move_weights(rates, net, flow, outputs, delta)
    return rates


def messages_at(
    net: Network,
    flow: Flow,
    x: Mapping[str, Array],
    lam: Mapping[str, Array],
    clamped: Mapping[str, Array],
    Y: Mapping[str, Array],
    step: float = 0.0,
    regime: Any = None,
) -> tuple[dict[str, Array], ...]:
    """Return outputs, G, G', mu and delta of every population, as in `right_hand_side`."""
    outputs = all_outputs(net, clamped, x)
    sides = {} if regime is None else regime.x
    G, slope_G, mu, delta = {}, {}, {}, {}
    for n in net.neurons:
        population, a = net.populations[n], net_input(net, n, outputs)
        g = violation_at(population.activation, outputs[n], a)
        rho = max(flow.rho, flow.kappa * step / flow.time("tau_lam", n))
        G[n], slope_G[n] = constraint(population, g, lam[n], rho, _judged(net, n, clamped, regime))
        if population.free:
            mu[n] = -output_slope(net, n, outputs[n], Y, sides.get(n))
        else:
            mu[n] = (lam[n] + flow.rho * G[n]) * slope_G[n]
        delta[n] = dsigma(population.activation, a) * mu[n]
    return outputs, G, slope_G, mu, delta


def _judged(
    net: Network, population: str, clamped: Mapping[str, Array], regime: Any
) -> tuple[Array, Array] | None:
    """Return g and lam of the state that decides on the side of each kink; None without one."""
    if regime is None:
        return None
    rows = n_patterns(regime.x)
    inputs = {n: v[:rows] for n, v in clamped.items()}
    return violation(net, population, {**inputs, **regime.x}), regime.lam[population]


def _move_weights(
    rates: Rates, net: Network, flow: Flow, x: Mapping[str, Array], delta: Mapping[str, Array]
) -> None:
    """Add the rates of weights, biases and learning feedback weights."""
    for name, q in net.projections.items():
        w, tau = net.weights[name], flow.time("tau_w", q.post)
        if q.plastic and q.own_rule is not None:
            descent = tau * at_synapses(w, plasticity.rate(net, name, x, delta, tau))
        else:
            descent = hebbian(net, name, delta[q.post], x[q.pre])
        rates.w[name] = with_values(w, (descent - q.decay * synapses(w)) / tau * q.plastic)
        if q.feedback == KOLEN_POLLACK:
            B = net.feedback[name]
            # x deltaᵀ is the transpose of the product delta xᵀ
            product = synapses(transposed(with_values(w, descent)))
            rate = (product - q.decay * synapses(B)) / tau * q.plastic
            rates.feedback[name] = with_values(B, rate)
    for n in net.neurons:
        p, tau = net.populations[n], flow.time("tau_w", n)
        if p.plastic_bias and p.own_bias_rule is not None:
            rates.b[n] = plasticity.rate(net, n, x, delta, tau)
            continue
        descent = of_biases(net, n, delta[n]) / tau
        rates.b[n] = descent * p.plastic_bias


@checked
def lagrangian(
    net: Network, flow: Flow, x: Mapping[str, Array], lam: Mapping[str, Array], X: Any, Y: Any
) -> float:
    """Return L from its definition, summed over the patterns k.

    ::

        L = Σ_k [ V + Σ_i ( lam_i G(g_i) + (rho/2) G(g_i)² + alpha_i |x_i| ) + R(w) ]

    The term of a tube is the minimum of lam (g - s) + (rho/2) (g - s)² over slacks |s| <= epsilon.
    The forces on x and lam are -dL/dx and dL/dlam. Weights follow the mean over the patterns: tau_w
    dw/dt is -dL/dw divided by the number of patterns, so R(w) is counted once for each pattern.

    Parameters
    ----------
    net, flow, x, lam, X, Y
        As in `right_hand_side`.

    Returns
    -------
    float, unit 1

    Raises
    ------
    DataError
        X or Y do not fit the network.
    """
    clamped = patterns(net, X)
    count = n_patterns(clamped)
    _check_state(net, count, x, lam)
    outputs = all_outputs(net, clamped, x)
    total = count * penalty(net)
    for name, y in targets(net, Y, count).items():
        features = net.populations[name].features
        total += loss_value(net.losses[name], outputs[name], y, features).sum()
    for name in net.neurons:
        population = net.populations[name]
        sites = population.size // len(net.biases[name])
        a = np.tile(net.biases[name], sites) + sum(
            outputs[q.pre] @ net.matrix(q.name).T for q in net.incoming(name)
        )
        g = violation_at(population.activation, outputs[name], a)
        activity = activity_penalty(net, name, outputs[name]).sum()
        total += activity + multiplier_terms(population, flow.rho, g, lam[name]).sum()
    return float(total)


def all_outputs(
    net: Network, clamped: Mapping[str, Array], x: Mapping[str, Array]
) -> dict[str, Array]:
    """Return the outputs of all populations; without a constraint they are sigma(a)."""
    outputs = {**clamped, **{n: x[n] for n in net.neurons}}
    for n in net.neurons:
        if net.populations[n].free:
            outputs[n] = sigma(net.populations[n].activation, net_input(net, n, outputs))
    return outputs


def _check_state(
    net: Network, count: int, x: Mapping[str, Array], lam: Mapping[str, Array]
) -> None:
    """Refuse outputs or multipliers that do not fit the network and its patterns."""
    shapes = {n: (count, net.populations[n].size) for n in net.neurons}
    check_arrays("x", x, shapes)
    check_arrays("lam", lam, shapes)


def with_parameters(
    net: Network,
    weights: Mapping[str, Weights] | None,
    biases: Mapping[str, Array] | None,
    feedback: Mapping[str, Weights] | None = None,
) -> Network:
    """Return the same graph with other weights, biases and feedback weights; arrays are shared."""
    given = {"weights": weights, "biases": biases, "feedback": {**net.feedback, **(feedback or {})}}
    return net.sharing(**{name: found for name, found in given.items() if found is not None})
