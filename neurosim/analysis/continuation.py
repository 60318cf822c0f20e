"""The saddle point followed over one parameter, with the points where it rings or folds back.

Above `saddle_curve` and `bifurcations`. Nothing is simulated here; `cycles` simulates past a Hopf
point. Start at `continuation`.

References
----------
Pseudo-arclength: Keller 1977.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import cos, pi, sin
from typing import Any

import numpy as np

from neurosim.analysis.bifurcations import FOLD, HOPF, Bifurcation, Point, between
from neurosim.analysis.saddle_curve import Family, SaddleCurve
from neurosim.analysis.stability import refuse_other_constraints
from neurosim.arguments import checked
from neurosim.data.patterns import patterns as read_patterns
from neurosim.data.patterns import targets
from neurosim.data.states import checked_state
from neurosim.errors import ConvergenceError, DataError, out_of_range, unknown, whole
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.model.values import ByValue
from neurosim.reference import forward
from neurosim.reference.functions import n_patterns, rows_of

__all__ = ["Bifurcation", "Branch", "continuation"]

Array = np.ndarray

MOST_POINTS = 100_000
GAINS = ("kappa", "gamma", "rho", "tau_x", "tau_lam")
SHORTEST = 1e-6  # of the first step along the branch: below it the branch is given up
BEYOND = 6  # times the points of a straight way: the most steps along a branch that winds
TURN = 0.5  # cosine of the largest angle between two tangents, 60 degrees


@dataclass(frozen=True, repr=False, eq=False)
class Branch(ByValue):
    """The saddle point of one pattern along one parameter.

    Attributes
    ----------
    over : str
        Name of the parameter.
    parameter : (points,)
    x, lam : dict of str to array, (points, units), unit 1
    eigenvalues : list of (modes,) arrays, complex, 1/s
        At each point, slowest first, as `Stability.eigenvalues`.
    bifurcations : tuple of Bifurcation
        In the order in which the branch meets them.
    family : callable
        Value of the parameter -> (network, flow).
    X, Y : dict of str to array
        The pattern.
    """

    over: str
    parameter: Array
    x: dict[str, Array]
    lam: dict[str, Array]
    eigenvalues: list[Array]
    bifurcations: tuple[Bifurcation, ...]
    family: Family
    X: dict[str, Array]
    Y: dict[str, Array]

    @property
    def slowest_rate(self) -> Array:
        """Smallest damping at each point, (points,), 1/s."""
        return np.array([-values[0].real for values in self.eigenvalues])

    @property
    def hopf(self) -> tuple[Bifurcation, ...]:
        """The Hopf points."""
        return tuple(b for b in self.bifurcations if b.kind == HOPF)

    @property
    def folds(self) -> tuple[Bifurcation, ...]:
        """The folds."""
        return tuple(b for b in self.bifurcations if b.kind == FOLD)

    @checked
    def at(self, parameter: float) -> State:
        """Return x and lam at a value of the parameter, interpolated and then corrected.

        Where the branch passes the value several times, the first passage counts.

        Raises
        ------
        DataError
            The branch does not pass there.
        """
        one = self.parameter[:-1]
        other = self.parameter[1:]
        low = np.minimum(one, other)
        high = np.maximum(one, other)
        passes = np.flatnonzero((low <= parameter) & (parameter <= high))
        if not passes.size:
            raise DataError(
                f"{self.over} = {parameter:g}; allowed: {low.min():g} to {high.max():g}, the part "
                "that was followed; try continuation with another stop"
            )
        i = int(passes[0])
        share = 0.0
        width = other[i] - one[i]
        if width:
            share = (parameter - one[i]) / width
        parts = [(1 - share) * v[i] + share * v[i + 1] for v in self.x.values()]
        x = np.hstack(parts)
        curve = SaddleCurve(self.family, parameter, parameter + 1.0, self.X, self.Y)
        guess = np.append(x, 0.0)
        z = curve.corrected(guess, curve.along_parameter)
        return curve.state(z)

    def __repr__(self) -> str:
        found = [f"{b.kind} at {b.parameter:.6g}" for b in self.bifurcations]
        names = ", ".join(found) or "no bifurcation"
        start, stop = self.parameter[0], self.parameter[-1]
        ends = f"{start:g} to {stop:g}, {len(self.parameter)} points"
        return f"Branch({self.over} from {ends}: {names})"


@checked
def continuation(
    net: Network,
    flow: Flow,
    X: Any,
    Y: Any = None,
    *,
    over: str | Family,
    start: float,
    stop: float,
    points: int = 40,
    pattern: int = 0,
    at: Any = None,
) -> Branch:
    """Follow the saddle point of one pattern over a parameter, with its modes.

    Hopf points and folds on the way are located.

    Parameters
    ----------
    net, flow : Network, Flow
        Values of all other parameters.
    X, Y : array or mapping
        As in `stability`; patterns do not affect each other, so one of them is followed.
    over : str or callable
        "flow.theta" (kappa = cos theta, gamma = sin theta), "flow.rho" and other gains and times of
        the flow (tau_lam is kept while rho changes), "network.gain" (a factor on all weights),
        "weights.pre->post" (on one projection), "loss.population" (the weight of a loss); or a
        function from the parameter to (network, flow).
    start, stop : float
        Beginning of the branch, and the other end of the window in which it is followed.
    points : int
        Number of points of a straight way from `start` to `stop`; a branch that turns has more.
    pattern : int
        Row of X and Y.
    at : anything with `.x`, optional
        Outputs of all patterns near which the branch begins. By default those of the forward pass,
        which a cycle with several fixed points does not have.

    Returns
    -------
    Branch

    Raises
    ------
    ModelError
        An unknown parameter, `start` equal to `stop`, `points` below 2; a constraint other than
        lin.
    DataError
        X or Y do not fit the network; a pattern that does not exist.
    ConvergenceError
        No saddle point is found at `start`.

    Notes
    -----
    Parameters of the flow do not move the saddle, only its modes. At a fold the multipliers of the
    saddle are infinite, and its modes are not continued smoothly through it.

    Examples
    --------
    >>> net = Network.mlp([2, 3, 1], loss="mse")
    >>> X, Y = [[1.0, 2.0]], [[0.5]]
    >>> branch = continuation(net, Flow.damped(), X, Y, over="flow.rho", start=0, stop=1, points=3)
    >>> branch.bifurcations
    ()
    """
    whole("points", points, 2, MOST_POINTS)
    if not (np.isfinite(start) and np.isfinite(stop) and start != stop):
        raise out_of_range("start, stop", (start, stop), "two finite numbers that differ")
    refuse_other_constraints(net)
    clamped = read_patterns(net, X)
    count = n_patterns(clamped)
    _check_pattern(pattern, count)
    encoded = targets(net, Y, count)
    inputs = rows_of(clamped, [pattern])
    family, name = _family(net, flow, over)
    curve = SaddleCurve(family, float(start), float(stop), inputs, rows_of(encoded, [pattern]))
    if at is None:
        outputs = forward(curve.network(0.0), inputs)
    else:
        outputs = rows_of(checked_state(net, "at", at, count).x, [pattern])
    guess = np.append(np.hstack([outputs[n][0] for n in net.neurons]), 0.0)
    first = curve.corrected(guess, curve.along_parameter)
    way = _followed(curve, first, 1.0 / (points - 1), BEYOND * points)
    return _branch(curve, name, list(way))


def _check_pattern(pattern: Any, count: int) -> None:
    """Refuse a pattern that does not exist.

    Raises
    ------
    DataError
        Not a whole number, or not among `count` patterns.
    """
    is_index = isinstance(pattern, int | np.integer) and not isinstance(pattern, bool)
    if not is_index or not 0 <= pattern < count:
        raise DataError(f"pattern = {pattern!r}; allowed: 0 to {count - 1}")


def _branch(curve: SaddleCurve, name: str, way: list[tuple[Array, Array]]) -> Branch:
    """Find multipliers, modes and bifurcations at the points of a branch and between them."""
    states = [curve.state(z) for z, _ in way]
    points = [Point(z, tangent, curve.spectrum(z)) for z, tangent in way]
    bifurcations: list[Bifurcation] = []
    for first, second in pairwise(points):
        bifurcations += between(curve, first, second)
    x, lam = {}, {}
    for n in curve.neurons:
        x[n] = np.vstack([state.x[n] for state in states])
        lam[n] = np.vstack([state.lam[n] for state in states])
    return Branch(
        name,
        np.array([curve.parameter(point.z) for point in points]),
        x,
        lam,
        [point.eigenvalues for point in points],
        tuple(bifurcations),
        curve.family,
        curve.X,
        curve.Y,
    )


def _followed(
    curve: SaddleCurve, first: Array, step: float, most: int
) -> Iterator[tuple[Array, Array]]:
    """Yield points and tangents from the first one on, until the branch leaves the window."""
    z, tangent = first, curve.tangent(first, curve.along_parameter)
    yield z, tangent
    length = step
    for _ in range(most):
        past = z[-1] + length * tangent[-1]
        leaves = past < 0.0 or past > 1.0
        try:
            if leaves:
                # the last point lies on the edge of the window
                edge = 1.0 if past > 1.0 else 0.0
                reach = (edge - z[-1]) / tangent[-1]
                new = curve.corrected(z + reach * tangent, curve.along_parameter)
            else:
                new = curve.corrected(z + length * tangent, tangent)
            turned = curve.tangent(new, tangent)
            jumped = curve.metric @ (turned * tangent) < TURN
        except ConvergenceError:
            jumped = True
        if jumped:
            length /= 2
            if length < SHORTEST * step:
                return
            continue
        z, tangent = new, turned
        yield z, tangent
        if leaves:
            return
        length = min(step, 1.5 * length)


# --- families of networks and flows


def _checked_family(over: Family, parameter: float) -> tuple[Network, Flow]:
    """Return what a user-supplied function makes of a parameter, if it is a network and a flow.

    Raises
    ------
    ModelError
        It is not.
    """
    made = over(parameter)
    if not isinstance(made, tuple) or tuple(map(type, made)) != (Network, Flow):
        raise out_of_range(f"over({parameter:g})", made, "(Network, Flow)")
    return made


def _family(net: Network, flow: Flow, over: str | Family) -> tuple[Family, str]:
    """Return the networks and flows over a parameter, and its name.

    Raises
    ------
    ModelError
        An unknown parameter.
    """
    if callable(over):
        return partial(_checked_family, over), "parameter"
    kind, _, key = str(over).partition(".")
    if over == "flow.theta":
        return partial(_rotated, net, flow), over
    if kind == "flow" and key in GAINS:
        return partial(_with_gain, net, flow, key), over
    if over == "network.gain":
        return partial(_scaled, net, flow, tuple(net.projections)), over
    if kind == "weights" and key in net.projections:
        return partial(_scaled, net, flow, (key,)), over
    if kind == "loss" and key in net.losses:
        return partial(_reweighted, net, flow, key), over
    allowed = ["flow.theta", *(f"flow.{name}" for name in GAINS), "network.gain"]
    allowed += [f"weights.{name}" for name in net.projections]
    allowed += [f"loss.{name}" for name in net.losses]
    raise unknown("over", over, (*allowed, "a function of the parameter"))


def _rotated(net: Network, flow: Flow, theta: float) -> tuple[Network, Flow]:
    """Set kappa = cos theta and gamma = sin theta."""
    kappa = max(cos(theta), 0.0) if theta < pi / 2 else 0.0
    return net, replace(flow, kappa=kappa, gamma=sin(theta))


def _with_gain(net: Network, flow: Flow, name: str, value: float) -> tuple[Network, Flow]:
    """Set one gain or time constant of the flow."""
    return net, replace(flow, **{name: value})


def _scaled(
    net: Network, flow: Flow, projections: tuple[str, ...], factor: float
) -> tuple[Network, Flow]:
    """Multiply the weights of some projections."""
    scaled = net.copy()
    for name in projections:
        scaled.weights[name] = factor * scaled.weights[name]
    return scaled, flow


def _reweighted(net: Network, flow: Flow, population: str, weight: float) -> tuple[Network, Flow]:
    """Set the weight of a loss."""
    changed = net.copy()
    changed.losses[population] = replace(net.losses[population], weight=float(weight))
    return changed, flow
