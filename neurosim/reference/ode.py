"""The three coupled flows as one SciPy right-hand side, and the scalar L that they descend and
ascend.

Plain NumPy, written from section 1 of the design and from nothing that is simulated: it reads
neither the equation text of `lagrangian` nor `engine`. Start at `right_hand_side`; `lagrangian` is
a third derivation.

References
----------
Betti, Gori & Marra 2018, arXiv 1808.06934; rho: Platt & Barr, NIPS 1987.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurosim.data.patterns import patterns, targets
from neurosim.errors import ConvergenceError, DataError, ModelError, unknown
from neurosim.model.flow import Flow, seconds
from neurosim.model.network import Network
from neurosim.model.weights import Weights, synapses, transposed, with_values
from neurosim.reference.backpropagation import forward
from neurosim.reference.constraints import constraint, price, violation
from neurosim.reference.functions import (
    activity_price,
    dsigma,
    hebbian,
    loss_value,
    n_patterns,
    net_input,
    own_slope,
    penalty,
    received,
    sigma,
)

Array = np.ndarray
SHARP = (
    1e-3  # rho of a tube's slack where the flow has none: how sharply its multipliers stop at zero
)
METHODS = ("DOP853", "RK45", "RK23", "Radau", "BDF", "LSODA")


@dataclass(frozen=True)
class Rates:
    """Time derivatives, in 1/s.

    Attributes
    ----------
    x, lam : dict of str to array, (patterns, units)
        Of every population that is not clamped.
    w : dict of str to array or csr_array, (n_post, n_pre)
        By projection; sparse where the weights are.
    b : dict of str to array, (n,)
    feedback : dict of str to array or csr_array, (n_pre, n_post)
        Of the feedback weights that learn (kolen_pollack), by projection.
    """

    x: dict[str, Array]
    lam: dict[str, Array]
    w: dict[str, Weights]
    b: dict[str, Array]
    feedback: dict[str, Weights] = field(default_factory=dict)


@dataclass(frozen=True)
class Trajectory:
    """Where SciPy arrived, and on which way if asked.

    Attributes
    ----------
    x, lam : dict of str to array, (patterns, units), unit 1
        Final outputs and multipliers of every population that is not clamped.
    weights, biases : dict of str to array
        Final ones, as `Network` keeps them.
    time : float
        Integrated time, s.
    evaluations : int
        Of the right-hand side.
    t : array, (times,), s, or None
        0, `every`, 2 `every`, ... up to the end.
    x_trace, lam_trace : dict of str to array, (times, patterns, units), unit 1
        At `t`; empty unless `every` was given.
    feedback : dict of str to array, (n_pre, n_post), unit 1
        Final ones, of projections whose feedback is not symmetric.
    """

    x: dict[str, Array]
    lam: dict[str, Array]
    weights: dict[str, Weights]
    biases: dict[str, Array]
    time: float
    evaluations: int
    t: Array | None = None
    x_trace: dict[str, Array] = field(default_factory=dict, repr=False)
    lam_trace: dict[str, Array] = field(default_factory=dict, repr=False)
    feedback: dict[str, Weights] = field(default_factory=dict, repr=False)


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
    """All time derivatives of the flow at a state, section 1 of the design.

    ::

        g          = x - sigma(W x + b)        mu = (lam + rho G) G'        delta = sigma'(a) mu
        dL/dx      = dV/dx + mu - Wᵀ delta
        tau_x   dx/dt   = -kappa dL/dx - gamma G' G
        tau_lam dlam/dt = +kappa G     - gamma G' dL/dx
        tau_w   dw/dt   = mean over patterns of delta xᵀ - l2 w          (postsynaptic tau_w; 0 if not plastic)
        tau_w   db/dt   = mean over patterns of delta                    (0 if not plastic_bias)

    Where a projection's feedback is not symmetric B stands for Wᵀ, size sign(Wᵀ) if it is sign;
    that of Kolen and Pollack moves by tau_w dB/dt = mean over patterns of x deltaᵀ - (l2 + c) B,
    and c adds to the weights' l2.

    Parameters
    ----------
    net : Network
    flow : Flow
    x, lam : mapping of str to array, (patterns, units), unit 1
        Of every population that is not clamped; clamped ones are taken from X.
    X, Y : array or mapping
        Inputs and targets, as users give them or encoded.
    weights, biases : mapping, optional
        In place of the network's own.
    plastic : bool
        Whether weights and biases flow; their rates are left out where they rest.
    step : float
        Of explicit Euler, s. Where rho < kappa step/tau_lam a tube's multiplier then moves by the
        rate that takes such a step to zero, not beyond; with 0 and rho = 0 it is on the way to zero
        at full speed until it is there.
    regime : state with .x and .lam of (1, units) or (patterns, units), optional
        Where it is judged on which side of each kink of G the state is; by default at the state
        itself.

    Returns
    -------
    Rates
        In 1/s. l1 and the group prices are not in it: their subgradients jump, so they are proximal
        steps of the simulation.

    Raises
    ------
    DataError
        X or Y do not fit the network.
    """
    net = _with(net, weights, biases)
    clamped = patterns(net, X)
    encoded = targets(net, Y, n_patterns(clamped))
    return _rates(net, flow, x, lam, clamped, encoded, plastic, step, regime)


def lagrangian(
    net: Network, flow: Flow, x: Mapping[str, Array], lam: Mapping[str, Array], X: Any, Y: Any
) -> float:
    """L = Σ_k [V + Σ_i lam_i G(g_i) + (rho/2) G(g_i)² + alpha_i |x_i| + R(w)], straight from its
    definition.

    A tube's share is the least of lam (g - s) + (rho/2) (g - s)² over slacks |s| <= epsilon. Of L,
    -dL/dx and dL/dlam are the forces on x and lam. Weights see the mean over the patterns, so tau_w
    dw/dt is -dL/dw divided by their number; R(w), a price a pattern, is therefore counted once for
    each.

    Parameters
    ----------
    net, flow, x, lam, X, Y
        As in `right_hand_side`.

    Raises
    ------
    DataError
        X or Y do not fit the network.
    """
    clamped = patterns(net, X)
    count = n_patterns(clamped)
    outputs = _outputs(net, clamped, x)
    total = count * penalty(net)
    for name, y in targets(net, Y, count).items():
        total += loss_value(net.losses[name], outputs[name], y).sum()
    for name in net.neurons:
        a = net.biases[name] + sum(
            outputs[q.pre] @ net.weights[q.name].T for q in net.incoming(name)
        )
        g = outputs[name] - sigma(net.populations[name].activation, a)
        total += (
            activity_price(net, name, outputs[name]).sum()
            + price(net.populations[name], flow.rho, g, lam[name]).sum()
        )
    return float(total)


def solve_ivp(
    net: Network,
    flow: Flow,
    X: Any,
    Y: Any,
    duration: Any,
    plastic: bool = False,
    start: Any = "zero",
    rtol: float = 1e-10,
    atol: float = 1e-12,
    every: Any = None,
    method: str = "DOP853",
) -> Trajectory:
    """The flow of outputs and multipliers, and of the weights if `plastic`, in SciPy.

    With rho = 0 a tube's multipliers are projected at zero up to `SHARP`. Constraints with a kink
    at g = 0 or at a wall (abs, abs_eps, lin_eps) slide along it in the end, where steps shrink
    without end: follow them for short times.

    Parameters
    ----------
    net : Network
        Is not changed.
    flow : Flow
    X, Y : array or mapping
        Inputs and targets of the whole batch, clamped all the time.
    duration : time
        Brian2 quantity, float seconds or text.
    plastic : bool
        Weights and biases flow too.
    start : {"zero", "forward"} or anything with `.x` and `.lam`
        x = lam = 0; x from the forward pass and lam = 0; or a run, trajectory or state to go on
        from.
    rtol, atol : float
        Tolerances of `scipy.integrate.solve_ivp`.
    every : time, optional
        Record x and lam at 0, `every`, 2 `every`, ...
    method : str
        One of SciPy's; implicit ones (Radau, BDF, LSODA) where time constants lie far apart.

    Returns
    -------
    Trajectory

    Raises
    ------
    ModelError
        A time, `start` or `method` that is not allowed; l1, row_l1 or column_l1 > 0 while plastic.
    DataError
        X, Y or the state to start from do not fit the network.
    ConvergenceError
        The trajectory leaves the finite numbers, or SciPy gives up.
    """
    from scipy import integrate

    end = seconds(duration, "duration")
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    priced = [
        (price, name)
        for name, q in net.projections.items()
        for price, value in q.prices.items()
        if value
    ]
    if plastic and (kinked := [(price, name) for price, name in priced if price != "l2"]):
        price = kinked[0][0]
        raise ModelError(
            f"{price} > 0 on {', '.join(name for p, name in kinked if p == price)} "
            "while plastic: it has no derivative "
            f"at 0, so there is no smooth right-hand side; allowed: {price} = 0; try "
            "l2, or Simulation.train, which "
            f"takes {price} as a proximal step"
        )
    clamped = patterns(net, X)
    encoded = targets(net, Y, n_patterns(clamped))
    layout = _Layout(net.copy(), n_patterns(clamped), plastic)
    sharp = SHARP / max(flow.kappa, SHARP) * min(flow.time("tau_lam", n) for n in net.neurons)
    times = np.array([end]) if every is None else _times(seconds(every, "every"), end)

    def rates(_: float, state: Array) -> Array:
        now, x, lam = layout.unpack(state)
        return layout.pack(_rates(now, flow, x, lam, clamped, encoded, plastic, sharp))

    with np.errstate(over="ignore", invalid="ignore"):
        begin = layout.pack(_start(net, clamped, start))
        solution = integrate.solve_ivp(
            rates,
            (0.0, end),
            begin,
            method=method,
            t_eval=np.union1d(times, end),
            rtol=rtol,
            atol=atol,
        )
    if not solution.success or not np.isfinite(solution.y).all():
        reached = solution.t[-1] if len(solution.t) else 0.0
        raise ConvergenceError(
            f"SciPy's {method} gave up between {reached:g} s and {end:g} s: "
            f"{solution.message} The flow "
            f"probably diverges; try a shorter duration, a larger rho, Flow.adjoint()"
            + (" or a larger tau_w" if plastic else "")
        )
    final, x, lam = layout.unpack(solution.y[:, -1].copy())
    x, lam = _followed(final, clamped, encoded, x, lam)
    trajectory = Trajectory(
        x, lam, final.weights, final.biases, end, int(solution.nfev), feedback=final.feedback
    )
    if every is None:
        return trajectory
    moments = [layout.unpack(state) for state in solution.y.T[: len(times)]]
    states = [_followed(now, clamped, encoded, x, lam) for now, x, lam in moments]
    traces = [
        {n: np.stack([state[part][n] for state in states]) for n in net.neurons} for part in (0, 1)
    ]
    return replace(trajectory, t=times, x_trace=traces[0], lam_trace=traces[1])


def _rates(
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
    """`right_hand_side` on encoded data; `w` and `b` are empty unless plastic."""
    outputs = _outputs(net, clamped, x)
    rows = 0 if regime is None else len(next(iter(regime.x.values())))
    judged = {**{n: v[:rows] for n, v in clamped.items()}, **(regime.x if rows else {})}
    G, slope_G, mu, delta = {}, {}, {}, {}
    for n in net.neurons:
        population, a = net.populations[n], net_input(net, n, outputs)
        base = None if regime is None else (violation(net, n, judged), regime.lam[n])
        rho = max(flow.rho, flow.kappa * step / flow.time("tau_lam", n))
        G[n], slope_G[n] = constraint(
            population, outputs[n] - sigma(population.activation, a), lam[n], rho, base
        )
        mu[n] = (lam[n] + flow.rho * G[n]) * slope_G[n]
        if population.free:
            mu[n] = -own_slope(net, n, outputs[n], Y)
        delta[n] = dsigma(population.activation, a) * mu[n]
    dx, dlam = {}, {}
    for n in net.neurons:
        slope = (
            own_slope(net, n, outputs[n], Y) + mu[n] - received(net, n, delta)
        )  # dL/dx; 0 where there is no x
        dx[n] = (-flow.kappa * slope - flow.gamma * slope_G[n] * G[n]) / flow.time("tau_x", n)
        dlam[n] = (flow.kappa * G[n] - flow.gamma * slope_G[n] * slope) / flow.time("tau_lam", n)
    if not plastic:
        return Rates(dx, dlam, {}, {})
    dw, dB = {}, {}
    for name, q in net.projections.items():
        w = net.weights[name]
        descent = hebbian(w, delta[q.post], outputs[q.pre])
        dw[name] = with_values(
            w, (descent - q.decay * synapses(w)) / flow.time("tau_w", q.post) * q.plastic
        )
        if q.feedback == "kolen_pollack":
            tau, B = flow.time("tau_w", q.post), net.feedback[name]
            product = synapses(
                transposed(with_values(w, descent))
            )  # x deltaᵀ: the same, seen from the other side
            dB[name] = with_values(B, (product - q.decay * synapses(B)) / tau * q.plastic)
    db = {
        n: delta[n].mean(axis=0) / flow.time("tau_w", n) * net.populations[n].plastic_bias
        for n in net.neurons
    }
    return Rates(dx, dlam, dw, db, dB)


def _outputs(
    net: Network, clamped: Mapping[str, Array], x: Mapping[str, Array]
) -> dict[str, Array]:
    """Outputs of all populations; those without constraint follow their net input."""
    outputs = {**clamped, **{n: x[n] for n in net.neurons}}
    for n in (n for n in net.neurons if net.populations[n].free):
        outputs[n] = sigma(net.populations[n].activation, net_input(net, n, outputs))
    return outputs


def _followed(
    net: Network, clamped: Mapping[str, Array], Y: Mapping[str, Array], x: Any, lam: Any
) -> tuple[Any, Any]:
    """x and lam, with those of populations without constraint."""
    free = [n for n in net.neurons if net.populations[n].free]
    outputs = _outputs(net, clamped, x)
    return {**x, **{n: outputs[n] for n in free}}, {
        **lam,
        **{n: -own_slope(net, n, outputs[n], Y) for n in free},
    }


def _with(
    net: Network,
    weights: Mapping[str, Weights] | None,
    biases: Mapping[str, Array] | None,
    feedback: Mapping[str, Weights] | None = None,
) -> Network:
    """The same graph that reads other weights and biases; nothing is copied."""
    twin = copy.copy(net)
    twin.weights = net.weights if weights is None else dict(weights)
    twin.biases = net.biases if biases is None else dict(biases)
    twin.feedback = {**net.feedback, **(feedback or {})}
    return twin


def _start(net: Network, clamped: Mapping[str, Array], start: Any) -> Rates:
    """The initial state, in the form that `_Layout.pack` reads: x, lam, weights, biases, feedback."""
    count = n_patterns(clamped)
    zero = {n: np.zeros((count, net.populations[n].size)) for n in net.neurons}
    if isinstance(start, str) and start == "zero":
        return Rates(zero, zero, net.weights, net.biases, net.feedback)
    if isinstance(start, str) and start == "forward":
        return Rates(forward(net, clamped), zero, net.weights, net.biases, net.feedback)
    if not (hasattr(start, "x") and hasattr(start, "lam")):
        raise unknown("start", start, ("zero", "forward", "a run or state with .x and .lam"))
    for part in ("x", "lam"):
        for n, like_ in zero.items():
            shape = np.shape(getattr(start, part).get(n))
            if shape != like_.shape:
                raise DataError(
                    f"start.{part}[{n!r}] has shape {shape}; allowed: (patterns, units) "
                    f"= {like_.shape}"
                )
    return Rates(start.x, start.lam, net.weights, net.biases, net.feedback)


def _times(every: float, end: float) -> Array:
    """0, every, 2 every, ... not beyond the end; the end itself exactly, if rounding alone keeps it
    out.
    """
    times: Array = np.minimum(every * np.arange(int(end / every * (1 + 1e-12)) + 1), end)
    return times


class _Layout:
    """Which part of one long state vector is what: x and lam, then weights, biases and feedback if
    plastic.
    """

    def __init__(self, net: Network, count: int, plastic: bool) -> None:
        self.net, self.plastic = net, plastic
        self.states = {n: (count, net.populations[n].size) for n in net.neurons}
        self.learnt = [name for name, q in net.projections.items() if q.feedback == "kolen_pollack"]
        shapes = [*self.states.values(), *self.states.values()]
        if plastic:
            shapes += [synapses(w).shape for w in net.weights.values()]
            shapes += [b.shape for b in net.biases.values()]
            shapes += [synapses(net.feedback[name]).shape for name in self.learnt]
        self.shapes = shapes
        self.cuts = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]

    def pack(self, parts: Rates) -> Array:
        """States, or their derivatives, as one vector."""
        arrays = [parts.x[n] for n in self.states] + [parts.lam[n] for n in self.states]
        if self.plastic:
            arrays += [synapses(parts.w[name]) for name in self.net.weights]
            arrays += [parts.b[n] for n in self.net.biases]
            arrays += [synapses(parts.feedback[name]) for name in self.learnt]
        return np.concatenate([np.ravel(a) for a in arrays])

    def unpack(self, vector: Array) -> tuple[Network, dict[str, Array], dict[str, Array]]:
        """The network with its weights of that moment, x and lam: views of the vector."""
        pieces = zip(np.split(vector, self.cuts), self.shapes, strict=True)
        arrays = iter([piece.reshape(shape) for piece, shape in pieces])
        x = {n: next(arrays) for n in self.states}
        lam = {n: next(arrays) for n in self.states}
        if not self.plastic:
            return self.net, x, lam
        weights = {name: with_values(w, next(arrays)) for name, w in self.net.weights.items()}
        biases = {n: next(arrays) for n in self.net.biases}
        feedback = {
            name: with_values(self.net.feedback[name], next(arrays)) for name in self.learnt
        }
        now = _with(self.net, weights, biases, feedback)
        now.follow_signs()
        return now, x, lam
