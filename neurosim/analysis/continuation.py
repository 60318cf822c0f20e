"""The saddle point followed over one parameter, and where on the way it begins to ring or folds
back.

Above `stability`; runs nothing (what happens past a Hopf point is for `cycles` to simulate). Start
at `continuation`.

At the saddle g = 0 alone fixes the outputs, whatever the flow, and the multipliers follow by one
linear solve. So the branch is one of x and the parameter: a branch of (x, lam) could not be
followed through a fold, where the matrix I - W D of the adjoint is singular and lam leaves for
infinity.

References
----------
Pseudo-arclength: Keller 1977. Hopf points and their first Lyapunov coefficient: Kuznetsov, Elements of Applied
Bifurcation Theory, 3rd edition, sections 5.4 and 10.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import cos, pi, sin
from typing import Any

import numpy as np

from neurosim.analysis.stability import refuse_other_constraints, stability
from neurosim.data.patterns import patterns as read_patterns
from neurosim.data.patterns import targets
from neurosim.errors import ConvergenceError, DataError, out_of_range, unknown
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.reference import forward
from neurosim.reference.functions import dsigma, loss_slope, net_input, sigma
from neurosim.reference.jacobian import Linearised

Array = np.ndarray
Family = Callable[[float], tuple[Network, Flow]]

GAINS = ("kappa", "gamma", "rho", "tau_x", "tau_lam")
KEYS = (
    "flow.theta",
    *(f"flow.{name}" for name in GAINS),
    "network.gain",
    "weights.PRE->POST",
    "loss.POPULATION",
)
NEWTON, TOLERANCE = 12, 1e-12  # iterations, and the largest |g| that is left
SHORTEST = 1e-6  # of the first step along the branch: then it is given up
BEYOND = 6  # times the points of a straight way: a branch that winds on is left
LOCATED = 1e-12  # of a step along the branch, to which a point is found
NUDGE = 1e-6  # of q, over which g is differentiated
NEAR = 1e-3  # of a step along the branch, over which a growth is differentiated
# real part at a Hopf point, relative to the fastest mode; more is a pole, as lam has at a fold
CROSSES = 1e-5


@dataclass(frozen=True)
class Bifurcation:
    """Where the saddle point changes its nature.

    Attributes
    ----------
    kind : {"hopf", "fold"}
        A pair of modes begins to grow or to decay; or the branch turns back.
    parameter : float
        Value of the parameter there.
    frequency : float
        With which the pair rings, Hz; 0 at a fold.
    slope : float
        Change of the pair's growth by the parameter, 1/s; 0 at a fold.
    lyapunov : float
        Re c of dr/dt = growth r + Re c r³, 1/s, for r in x = x0 + 2 Re(r q exp(i w t)) with a mode
        q of length 1. Negative: supercritical, a small stable cycle is born. Positive: subcritical,
        an unstable one shrinks on the stable side, and what leaves the saddle goes far. NaN at a
        fold.
    mode : (states,), complex
        The mode q over x and then lam of all populations.
    state : State
        x and lam there, one pattern; lam is as large as the distance left to a fold makes it.
    """

    kind: str
    parameter: float
    frequency: float
    slope: float
    lyapunov: float
    mode: Array = field(repr=False)
    state: State = field(repr=False)

    @property
    def criticality(self) -> str:
        """Of a Hopf point: "supercritical" or "subcritical"; of a fold: "none"."""
        if self.kind != "hopf":
            return "none"
        return "supercritical" if self.lyapunov < 0 else "subcritical"

    def amplitude(self, parameter: float) -> float:
        """Largest excursion of an output on the small cycle, unit 1, to leading order; NaN where
        there is none.

        It is stable on the growing side of a supercritical point, unstable on the decaying side of
        a subcritical one.
        """
        growth = self.slope * (parameter - self.parameter)
        squared = -growth / self.lyapunov if self.lyapunov else np.nan
        return (
            float(2 * np.sqrt(squared) * np.abs(self.mode[: self.mode.size // 2]).max())
            if squared > 0
            else np.nan
        )


@dataclass(frozen=True, repr=False)
class Branch:
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
        return tuple(b for b in self.bifurcations if b.kind == "hopf")

    @property
    def folds(self) -> tuple[Bifurcation, ...]:
        """The folds."""
        return tuple(b for b in self.bifurcations if b.kind == "fold")

    def at(self, parameter: float) -> State:
        """x and lam of the first piece of the branch that passes this value, interpolated and then
        corrected.

        Raises
        ------
        DataError
            The branch does not pass there.
        """
        low, high = (
            np.minimum(self.parameter[:-1], self.parameter[1:]),
            np.maximum(self.parameter[:-1], self.parameter[1:]),
        )
        passes = np.flatnonzero((low <= parameter) & (parameter <= high))
        if not passes.size:
            raise DataError(
                f"{self.over} = {parameter:g}; allowed: {low.min():g} to "
                f"{high.max():g}, as was followed"
            )
        i = int(passes[0])
        width = self.parameter[i + 1] - self.parameter[i]
        share = (parameter - self.parameter[i]) / width if width else 0.0
        guess = np.hstack([(1 - share) * v[i] + share * v[i + 1] for v in self.x.values()])
        curve = _Curve(self.family, parameter, parameter + 1.0, self.X, self.Y)
        return curve.state(curve.corrected(np.append(guess, 0.0), np.append(0 * guess, 1.0)))

    def __repr__(self) -> str:
        names = (
            ", ".join(f"{b.kind} at {b.parameter:.6g}" for b in self.bifurcations)
            or "no bifurcation"
        )
        ends = f"{self.parameter[0]:g} to {self.parameter[-1]:g}"
        return f"Branch({self.over} from {ends}, {len(self.parameter)} points: {names})"


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
    """Follow the saddle point of one pattern over a parameter, with its modes, and locate Hopf
    points and folds.

    Parameters
    ----------
    net, flow : Network, Flow
        Every other parameter is theirs.
    X, Y : array or mapping
        As in `stability`; patterns do not see each other, so one of them is followed.
    over : str or callable
        "flow.theta" (kappa = cos theta, gamma = sin theta), "flow.rho" and other gains and times of
        the flow (tau_lam is kept while rho moves), "network.gain" (a factor on all weights),
        "weights.pre->post" (on one projection), "loss.population" (the weight of a loss); or a
        function from the parameter to (network, flow).
    start, stop : float
        Where the branch begins, and the other end of the window in which it is followed.
    points : int
        Of a straight way from `start` to `stop`; a branch that turns has more.
    pattern : int
        Row of X and Y.
    at : anything with `.x`, optional
        Outputs near which the branch begins, all patterns; by default the forward pass, which a
        cycle with several fixed points does not have.

    Returns
    -------
    Branch

    Raises
    ------
    ModelError
        An unknown parameter, an empty window, `points` below 2; a constraint other than lin.
    DataError
        X or Y do not fit the network, no such pattern.
    ConvergenceError
        No saddle point is found at `start`.

    Notes
    -----
    Parameters of the flow do not move the saddle, only its modes. At a fold the multipliers of the saddle are
    infinite: its modes are not continued smoothly through it.
    """
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise out_of_range("points", points, "a whole number >= 2")
    if not (np.isfinite(start) and np.isfinite(stop) and start != stop):
        raise out_of_range("start, stop", (start, stop), "two finite numbers that differ")
    refuse_other_constraints(net)
    clamped = read_patterns(net, X)
    count = len(next(iter(clamped.values())))
    if (
        isinstance(pattern, bool)
        or not isinstance(pattern, int | np.integer)
        or not 0 <= pattern < count
    ):
        raise DataError(f"pattern = {pattern!r}; allowed: 0 to {count - 1}")
    shown, wanted = (
        {n: v[[pattern]] for n, v in part.items()} for part in (clamped, targets(net, Y, count))
    )
    family, name = (over, "parameter") if callable(over) else (_family(net, flow, over), over)
    curve = _Curve(family, float(start), float(stop), shown, wanted)
    given = (
        forward(curve.network(0.0), shown)
        if at is None
        else {n: np.atleast_2d(at.x[n])[[pattern]] for n in net.neurons}
    )
    first = curve.corrected(
        np.append(np.hstack([given[n][0] for n in net.neurons]), 0.0), curve.along_parameter
    )
    way = list(_followed(curve, first, 1.0 / (points - 1), BEYOND * points))
    states = [curve.state(z) for z, _ in way]
    spectra = [curve.spectrum(z) for z, _ in way]
    found = [
        b for i in range(len(way) - 1) for b in _between(curve, way[i : i + 2], spectra[i : i + 2])
    ]
    return Branch(
        name,
        np.array([curve.parameter(z) for z, _ in way]),
        {n: np.vstack([state.x[n] for state in states]) for n in net.neurons},
        {n: np.vstack([state.lam[n] for state in states]) for n in net.neurons},
        spectra,
        tuple(found),
        family,
        shown,
        wanted,
    )


def _family(net: Network, flow: Flow, over: str) -> Family:
    """The networks and flows over a named parameter."""
    room, _, key = str(over).partition(".")
    if over == "flow.theta":
        return lambda v: (
            net,
            replace(flow, kappa=max(cos(v), 0.0) if v < pi / 2 else 0.0, gamma=sin(v)),
        )
    if room == "flow" and key in GAINS:
        return lambda v: (net, replace(flow, **{key: v}))
    if over == "network.gain" or (room == "weights" and key in net.projections):
        names = net.projections if over == "network.gain" else (key,)
        return lambda v: (_scaled(net, names, v), flow)
    if room == "loss" and key in net.losses:
        return lambda v: (_reweighted(net, key, v), flow)
    own = [f"weights.{name}" for name in net.projections] + [f"loss.{name}" for name in net.losses]
    raise unknown("over", over, (*KEYS[:-2], *own, "a function of the parameter"))


def _scaled(net: Network, names: Any, factor: float) -> Network:
    scaled = net.copy()
    for name in names:
        scaled.weights[name] = factor * scaled.weights[name]
    return scaled


def _reweighted(net: Network, population: str, weight: float) -> Network:
    changed = net.copy()
    changed.losses[population] = replace(net.losses[population], weight=float(weight))
    return changed


class _Curve:
    """Points z = (x of all populations, q) with g(x) = 0; q runs from 0 at `start` to 1 at `stop`."""

    def __init__(
        self, family: Family, start: float, stop: float, X: dict[str, Array], Y: dict[str, Array]
    ) -> None:
        self.family, self.start, self.stop, self.X, self.Y = family, start, stop, X, Y
        net = self.network(0.0)
        self.neurons = net.neurons
        self.cuts = np.cumsum([net.populations[n].size for n in self.neurons])[:-1]
        self.size = sum(net.populations[n].size for n in self.neurons)
        self.along_parameter = np.append(np.zeros(self.size), 1.0)
        self.metric = np.append(
            np.full(self.size, 1.0 / self.size), 1.0
        )  # of lengths along the branch

    def parameter(self, z: Array) -> float:
        """Value of the parameter at a point."""
        return float(self.start + z[-1] * (self.stop - self.start))

    def network(self, q: float) -> Network:
        """The network there."""
        return self.family(self.start + q * (self.stop - self.start))[0]

    def flow(self, z: Array) -> Flow:
        """The flow there."""
        return self.family(self.parameter(z))[1]

    def outputs(self, x: Array) -> dict[str, Array]:
        """Of every population, one pattern."""
        return {
            **self.X,
            **dict(zip(self.neurons, np.split(x[None], self.cuts, axis=1), strict=True)),
        }

    def violation(self, z: Array) -> Array:
        """G of all units, (units,)."""
        net, x = self.network(z[-1]), self.outputs(z[:-1])
        g = [
            x[n] - sigma(net.populations[n].activation, net_input(net, n, x)) for n in self.neurons
        ]
        return np.asarray(np.hstack(g)[0])

    def constraints(self, z: Array, matrix: Callable[[str], Any] | None = None) -> Array:
        """C = I - D W, the derivative of g by x, (units, units); `matrix` gives what stands for a
        projection's W.
        """
        net, x = self.network(z[-1]), self.outputs(z[:-1])
        matrix = matrix or net.weights.__getitem__
        rows = []
        for post in self.neurons:
            slope = dsigma(net.populations[post].activation, net_input(net, post, x))[0]
            W = [_dense(net, matrix, pre, post) for pre in self.neurons]
            rows.append(-slope[:, None] * np.hstack(W))
        return np.asarray(np.eye(self.size) + np.vstack(rows))

    def derivative(self, z: Array) -> Array:
        """Of g by x and q, (units, units + 1)."""
        low, high = (
            max(z[-1] - NUDGE, min(z[-1], 0.0)),
            min(z[-1] + NUDGE, max(z[-1], 1.0)),
        )  # not beyond the window
        rise = self.violation(np.append(z[:-1], high)) - self.violation(np.append(z[:-1], low))
        return np.column_stack([self.constraints(z), rise / (high - low)])

    def corrected(self, guess: Array, tangent: Array) -> Array:
        """The point of the branch in the plane through the guess across the tangent, by Newton's
        method.
        """
        z = guess.copy()
        for _ in range(NEWTON):
            left = np.append(self.violation(z), (self.metric * tangent) @ (z - guess))
            if not np.isfinite(left).all():
                break
            if np.abs(left).max() <= TOLERANCE * (1 + np.abs(z).max()):
                return z
            try:
                z = z - np.linalg.solve(
                    np.vstack([self.derivative(z), self.metric * tangent]), left
                )
            except np.linalg.LinAlgError:
                break
        raise ConvergenceError(
            f"no saddle point near the parameter {self.parameter(guess):g}: Newton's "
            "method on g = 0 does not settle; "
            "try another start, or `at` with outputs nearer to one"
        )

    def tangent(self, z: Array, ahead: Array) -> Array:
        """Direction of the branch, of length 1, on the side of `ahead`."""
        matrix = np.vstack([self.derivative(z), self.metric * ahead])
        direction = np.linalg.solve(matrix, np.append(np.zeros(self.size), 1.0))
        return np.asarray(direction / np.sqrt(self.metric @ direction**2))

    def state(self, z: Array) -> State:
        """x and lam = -(I - W D)⁻¹ dV/dx there, W those that messages go back through."""
        net, outputs = self.network(z[-1]), self.outputs(z[:-1])
        pull = [
            -loss_slope(net.losses[n], outputs[n], self.Y[n])
            if n in net.losses
            else np.zeros_like(outputs[n])
            for n in self.neurons
        ]
        lam = np.linalg.solve(self.constraints(z, net.returning).T, np.hstack(pull)[0])
        parts = np.split(lam[None], self.cuts, axis=1)
        return State(
            {n: outputs[n] for n in self.neurons}, dict(zip(self.neurons, parts, strict=True))
        )

    def spectrum(self, z: Array) -> Array:
        """Eigenvalues there, slowest first, 1/s."""
        net, flow = self.family(self.parameter(z))
        return stability(net, flow, self.X, self.Y, at=self.state(z)).eigenvalues

    def linearised(self, z: Array) -> Linearised:
        """The flow at the saddle there."""
        state, (net, flow) = self.state(z), self.family(self.parameter(z))
        return Linearised(net, flow, state.x, state.lam, self.X, self.Y)


def _dense(net: Network, matrix: Callable[[str], Any], pre: str, post: str) -> Array:
    if (name := f"{pre}->{post}") not in net.weights:
        return np.zeros((net.populations[post].size, net.populations[pre].size))
    w = matrix(name)
    return np.asarray(w if isinstance(w, np.ndarray) else w.toarray())


def _followed(curve: _Curve, first: Array, step: float, most: int) -> Iterator[tuple[Array, Array]]:
    """Points and tangents from the first one on, until the branch leaves the window."""
    z, tangent = first, curve.tangent(first, curve.along_parameter)
    yield z, tangent
    length = step
    for _ in range(most):
        past = z[-1] + length * tangent[-1]
        end = 1.0 if past > 1.0 else 0.0 if past < 0.0 else None
        try:
            if end is None:
                new = curve.corrected(z + length * tangent, tangent)
            else:  # the last one lies on the edge of the window
                reach = (end - z[-1]) / tangent[-1]
                new = curve.corrected(z + reach * tangent, curve.along_parameter)
            turned = curve.tangent(new, tangent)
            if curve.metric @ (turned * tangent) < 0.5:  # more than 60 degrees: it may have jumped
                raise ConvergenceError("turns too fast")
        except (ConvergenceError, np.linalg.LinAlgError):
            length /= 2
            if length < SHORTEST * step:
                return
            continue
        z, tangent = new, turned
        yield z, tangent
        if end is not None:
            return
        length = min(step, 1.5 * length)


def _between(
    curve: _Curve, ends: list[tuple[Array, Array]], spectra: list[Array]
) -> Iterator[Bifurcation]:
    """What happens between two points of the branch."""
    from scipy.optimize import brentq

    (a, ahead), (b, _) = ends

    def point(share: float) -> Array:
        return curve.corrected(a + share * (b - a), (b - a) / np.sqrt(curve.metric @ (b - a) ** 2))

    found = []
    if ahead[-1] * ends[1][1][-1] < 0:
        share = brentq(lambda s: curve.tangent(point(s), ahead)[-1], 0.0, 1.0, xtol=LOCATED)
        found.append((share, _fold(curve, point(share))))
    growing = [int((values.real > 0).sum()) for values in spectra]
    for k in range(min(growing), max(growing)):
        if spectra[0][k].real * spectra[1][k].real < 0:
            share = brentq(lambda s, k=k: curve.spectrum(point(s))[k].real, 0.0, 1.0, xtol=LOCATED)
            values = curve.spectrum(z := point(share))
            known = any(
                abs(share - other) < NEAR * LOCATED**0.5 for other, _ in found
            )  # by the other of its pair
            if (
                values[k].imag
                and abs(values[k].real) <= CROSSES * np.abs(values).max()
                and not known
            ):
                near = [point(min(share + NEAR, 1.0)), point(max(share - NEAR, 0.0))]
                omega = abs(values[k].imag)  # other modes may change places with this one nearby
                after, before = (
                    v[np.argmin(np.abs(v - 1j * omega))].real for v in map(curve.spectrum, near)
                )
                slope = (after - before) / (curve.parameter(near[0]) - curve.parameter(near[1]))
                found.append((share, _hopf(curve, z, omega, slope)))
    yield from (bifurcation for _, bifurcation in sorted(found, key=lambda pair: pair[0]))


def _fold(curve: _Curve, z: Array) -> Bifurcation:
    return Bifurcation(
        "fold",
        curve.parameter(z),
        0.0,
        0.0,
        np.nan,
        np.zeros(2 * curve.size, complex),
        curve.state(z),
    )


def _hopf(curve: _Curve, z: Array, omega: float, slope: float) -> Bifurcation:
    J = curve.linearised(z).jacobian()
    values, vectors = np.linalg.eig(J)
    q = vectors[:, np.argmin(np.abs(values - 1j * omega))]
    lefts, left_vectors = np.linalg.eig(J.T)
    p = left_vectors[:, np.argmin(np.abs(lefts - 1j * omega))].conj()  # pᴴ J = i omega pᴴ
    p = p / np.vdot(q, p)
    return Bifurcation(
        "hopf",
        curve.parameter(z),
        float(omega / (2 * np.pi)),
        float(slope),
        _lyapunov(curve, z, J, omega, q, p),
        q,
        curve.state(z),
    )


def _lyapunov(curve: _Curve, z: Array, J: Array, omega: float, q: Array, p: Array) -> float:
    """Re c of the normal form: Re of half <p, C(q,q,q̄) - 2 B(q, J⁻¹ B(q,q̄)) + B(q̄, (2iω - J)⁻¹
    B(q,q))>, 1/s.
    """
    linear = curve.linearised(z)
    h = 1e-4 * max(1.0, float(np.abs(linear.state).max()))

    def jacobian(direction: Array) -> Array:
        shifted = np.split(linear.state + direction, linear.cuts)
        parts = [v.reshape(shape) for v, shape in zip(shifted, linear.shapes, strict=True)]
        half = len(curve.neurons)
        x, lam = (
            dict(zip(curve.neurons, own, strict=True)) for own in (parts[:half], parts[half:])
        )
        return Linearised(linear.net, linear.flow, x, lam, curve.X, curve.Y).jacobian()

    def first(u: Array) -> Array:  # derivative of J along u, real
        return np.asarray((jacobian(h * u) - jacobian(-h * u)) / (2 * h))

    def second(u: Array) -> Array:
        return np.asarray((jacobian(h * u) - 2 * J + jacobian(-h * u)) / h**2)

    re, im = q.real, q.imag
    Bq = first(re) + 1j * first(im)
    Cqq = second(re) - second(im) + 0.5j * (second(re + im) - second(re - im))
    still, twice = (
        np.linalg.solve(J, Bq @ q.conj()),
        np.linalg.solve(2j * omega * np.eye(len(J)) - J, Bq @ q),
    )
    return float(np.vdot(p, Cqq @ q.conj() - 2 * Bq @ still + Bq.conj() @ twice).real / 2)
