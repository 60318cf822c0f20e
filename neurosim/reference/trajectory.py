"""The flows as trajectories in time, by SciPy's integrators.

Above `ode`, whose right-hand side is integrated. Start at `solve_ivp`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurosim.arguments import checked
from neurosim.data.patterns import patterns, targets
from neurosim.data.states import checked_state
from neurosim.errors import ConvergenceError, ModelError, choice, number, unknown
from neurosim.model.display import short_repr
from neurosim.model.feedback import KOLEN_POLLACK
from neurosim.model.flow import Flow, seconds
from neurosim.model.network import Network
from neurosim.model.values import ByValue
from neurosim.model.weights import Weights, synapses, with_values
from neurosim.reference import ode
from neurosim.reference.backpropagation import forward
from neurosim.reference.functions import n_patterns
from neurosim.reference.losses import output_slope

Array = np.ndarray
# least rho of a tube's slack: the smaller it is, the more sharply multipliers stop at zero
SHARP = 1e-3
METHODS = ("DOP853", "RK45", "RK23", "Radau", "BDF", "LSODA")


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory(ByValue):
    """Final state of an integration, and the way there if it was recorded.

    Attributes
    ----------
    x, lam : dict of str to array, (patterns, units), unit 1
        Final outputs and multipliers, by population that is not clamped.
    weights, biases : dict of str to array
        Final ones, as `Network` keeps them.
    time : float
        Integrated time, s.
    evaluations : int
        Number of evaluations of the right-hand side.
    t : array, (times,), s, or None
        0, `every`, 2 `every`, ... up to the end.
    x_trace, lam_trace : dict of str to array, (times, patterns, units), unit 1
        At `t`; empty unless `every` was given.
    feedback : dict of str to array, (n_pre, n_post), unit 1
        Final feedback weights, by projection whose feedback is not symmetric.
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

    __repr__ = short_repr


@checked
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
    """Integrate the flow of outputs and multipliers, and of the weights if `plastic`, in SciPy.

    Where rho is smaller than `SHARP`, the slack of a tube is that of rho = `SHARP` (less where
    tau_lam is not the smallest), so that multipliers stop at zero smoothly. Constraints with a kink
    at g = 0 or at a wall (abs, abs_eps, lin_eps) slide along it in the end, where the steps shrink
    without limit: integrate them for short times.

    Parameters
    ----------
    net : Network
        Is not changed.
    flow : Flow
    X, Y : array or mapping
        Inputs and targets of the whole batch, clamped throughout.
    duration : time
        Brian2 quantity, float seconds or text.
    plastic : bool
        Whether weights and biases move too.
    start : {"zero", "forward"} or anything with `.x` and `.lam`
        x = lam = 0; x from the forward pass and lam = 0; or the end of a run or trajectory, or a
        state.
    rtol, atol : float
        Tolerances of `scipy.integrate.solve_ivp`.
    every : time, optional
        Record x and lam at 0, `every`, 2 `every`, ...
    method : str
        A method of SciPy; an implicit one (Radau, BDF, LSODA) where time constants lie far apart.

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

    Examples
    --------
    >>> net = Network.mlp([2, 1], loss="mse")
    >>> end = solve_ivp(net, Flow.adjoint(), [[1.0, 2.0]], [[0.0]], duration="1 s")
    >>> bool(np.allclose(end.x["output"], forward(net, [[1.0, 2.0]])["output"]))
    True
    """
    from scipy import integrate

    end = seconds(duration, "duration")
    choice("method", method, METHODS)
    number("rtol", rtol, above=0, below=1, try_="1e-10")
    number("atol", atol, above=0, try_="1e-12")
    if plastic:
        _check_smooth(net)
    clamped = patterns(net, X)
    encoded = targets(net, Y, n_patterns(clamped))
    layout = _Layout(net.copy(), n_patterns(clamped), plastic)
    sharp = sharpness(net, flow)
    times = np.array([end])
    if every is not None:
        times = _times(seconds(every, "every"), end)

    def rates(_: float, state: Array) -> Array:
        now, x, lam = layout.unpack(state)
        return layout.pack(ode.rates_at(now, flow, x, lam, clamped, encoded, plastic, sharp))

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
        raise _gave_up(method, solution, end, plastic)
    now, x, lam = layout.unpack(solution.y[:, -1].copy())
    x, lam = _with_followers(now, clamped, encoded, x, lam)
    evaluations = int(solution.nfev)
    learnt = dict(now.weights), dict(now.biases)
    trajectory = Trajectory(x, lam, *learnt, end, evaluations, feedback=dict(now.feedback))
    if every is None:
        return trajectory
    x_samples, lam_samples = [], []
    for state in solution.y.T[: len(times)]:
        now, x, lam = layout.unpack(state)
        x, lam = _with_followers(now, clamped, encoded, x, lam)
        x_samples.append(x)
        lam_samples.append(lam)
    traces = _stacked(x_samples), _stacked(lam_samples)
    return replace(trajectory, t=times, x_trace=traces[0], lam_trace=traces[1])


def sharpness(net: Network, flow: Flow) -> float:
    """Return the step, s, with which `rates_at` gives the slack of a tube at least rho = SHARP."""
    return SHARP / max(flow.kappa, SHARP) * min(flow.time("tau_lam", n) for n in net.neurons)


def _stacked(samples: list[dict[str, Array]]) -> dict[str, Array]:
    """Stack recorded moments, by population; (times, patterns, units)."""
    traces = {}
    for n in samples[0]:
        traces[n] = np.stack([sample[n] for sample in samples])
    return traces


def _check_smooth(net: Network) -> None:
    """Refuse penalties on weights that have a kink at 0.

    Raises
    ------
    ModelError
        l1, row_l1 or column_l1 > 0.
    """
    for projection in net.projections.values():
        for kind, value in projection.penalties.items():
            if not value or kind == "l2":
                continue
            penalised = [name for name, q in net.projections.items() if q.penalties[kind]]
            raise ModelError(
                f"{kind} > 0 on {', '.join(penalised)} while plastic: it has no derivative at 0, "
                f"so the right-hand side is not smooth; allowed: {kind} = 0; try l2, or "
                f"Simulation.train, which takes {kind} as a proximal step"
            )


def _gave_up(method: str, solution: Any, end: float, plastic: bool) -> ConvergenceError:
    """Return the error for an integration that did not reach its end."""
    reached = solution.t[-1] if len(solution.t) else 0.0
    other_tau = " or a larger tau_w" if plastic else ""
    return ConvergenceError(
        f"SciPy's {method} gave up between {reached:g} s and {end:g} s: {solution.message} "
        "The flow probably diverges; try a shorter duration, a larger rho, Flow.adjoint()"
        f"{other_tau}"
    )


def _with_followers(
    net: Network,
    clamped: Mapping[str, Array],
    Y: Mapping[str, Array],
    x: dict[str, Array],
    lam: dict[str, Array],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return x and lam; populations without a constraint follow the others."""
    x, lam, outputs = dict(x), dict(lam), ode.all_outputs(net, clamped, x)
    for n in net.neurons:
        if net.populations[n].free:
            x[n] = outputs[n]
            lam[n] = -output_slope(net, n, outputs[n], Y)
    return x, lam


def _start(net: Network, clamped: Mapping[str, Array], start: Any) -> ode.Rates:
    """Return the initial state in the form that `_Layout.pack` reads.

    Raises
    ------
    ModelError
        Neither a known name nor a state.
    DataError
        A state of other shapes.
    """
    count = n_patterns(clamped)
    zero = {n: np.zeros((count, net.populations[n].size)) for n in net.neurons}
    parameters = dict(net.weights), dict(net.biases), dict(net.feedback)
    if isinstance(start, str) and start == "zero":
        return ode.Rates(zero, zero, *parameters)
    if isinstance(start, str) and start == "forward":
        return ode.Rates(forward(net, clamped), zero, *parameters)
    if isinstance(start, str):
        raise unknown("start", start, ("zero", "forward", "a run or state with .x and .lam"))
    state = checked_state(net, "start", start, count, "'zero', 'forward', ")
    return ode.Rates(dict(state.x), dict(state.lam), *parameters)


def _times(every: float, end: float) -> Array:
    """Return 0, every, 2 every, ... up to the end, in s.

    The end itself is included exactly where only rounding would keep a multiple out.
    """
    count = int(end / every * (1 + 1e-12)) + 1
    times: Array = np.minimum(every * np.arange(count), end)
    return times


class _Layout:
    """Order of the parts in one long state vector: x, lam; if plastic weights, biases, feedback."""

    def __init__(self, net: Network, count: int, plastic: bool) -> None:
        self.net, self.plastic = net, plastic
        self.states = {n: (count, net.populations[n].size) for n in net.neurons}
        self.learnt = [n for n, q in net.projections.items() if q.feedback == KOLEN_POLLACK]
        shapes = [*self.states.values(), *self.states.values()]
        if plastic:
            shapes += [synapses(w).shape for w in net.weights.values()]
            shapes += [b.shape for b in net.biases.values()]
            shapes += [synapses(net.feedback[name]).shape for name in self.learnt]
        self.shapes = shapes
        self.cuts = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]

    def pack(self, parts: ode.Rates) -> Array:
        """Return states, or their derivatives, as one vector."""
        arrays = [parts.x[n] for n in self.states] + [parts.lam[n] for n in self.states]
        if self.plastic:
            arrays += [synapses(parts.w[name]) for name in self.net.weights]
            arrays += [parts.b[n] for n in self.net.biases]
            arrays += [synapses(parts.feedback[name]) for name in self.learnt]
        return np.concatenate([np.ravel(a) for a in arrays])

    def unpack(self, vector: Array) -> tuple[Network, dict[str, Array], dict[str, Array]]:
        """Return the network with the weights of a vector, its x and its lam; arrays are views."""
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
        now = ode.with_parameters(self.net, weights, biases, feedback)
        now.follow_signs()
        return now, x, lam
