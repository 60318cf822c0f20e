"""The flow linearised at a state: how fast its modes move, and which Euler step holds.

Above `reference`, whose right-hand side it differentiates, below `simulation` and `analysis`. With frozen
weights patterns do not see each other, so a Jacobian of (x, lam) belongs to one pattern, and a batch of
perturbed copies of it costs one call. Start at `stable_step`; `remedy` says what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from neurosim.data import patterns as read_patterns
from neurosim.data import targets as read_targets
from neurosim.flow import Flow
from neurosim.network import Network
from neurosim.reference.ode import right_hand_side

Array = np.ndarray
Derivative = Callable[[Array], Array]  # directions (m, size) -> J @ direction (m, size), 1/s
Mode = tuple[complex, Array, Array]  # eigenvalue (1/s), indices of the states it moves, its share in each
At = tuple[dict[str, Array], dict[str, Array], dict[str, Array], dict[str, Array]]  # x, lam, X, Y

DENSE = 300  # coupled states (x and lam) up to which the whole Jacobian is built
MATRIX_FREE_PATTERNS = 2  # at most, where it is not
NUDGE = float(np.cbrt(np.finfo(float).eps))  # of a state, relative to max(1, |state|); best for central differences
ROUNDING = 1e-7  # real parts and couplings below this, relative to the fastest mode, are not seen
UNCOUPLED = 1e-9  # entries of a Jacobian below this, relative to its largest, are rounding
MARGIN = 0.8  # of the stable step is recommended
FAR = 100  # times too large a step: other gains are recommended, not a smaller step
RHOS = (2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True)
class StableStep:
    """The largest step of explicit Euler that holds at a state.

    Attributes
    ----------
    step : float
        In s; the smallest over the patterns looked at. `inf` if no mode moves; 0 if one grows, or neither
        grows nor decays while it oscillates, so that no step holds.
    growing : bool
        Some mode has a positive real part: the flow itself leaves this state, whatever the step.
    eigenvalue : complex
        Of the mode that limits the step, 1/s.
    population : str
        Where that mode has most of its weight.
    at : tuple
        x, lam, X and Y of the patterns looked at, for `remedy`.
    """

    step: float
    growing: bool
    eigenvalue: complex
    population: str
    at: At = field(repr=False, compare=False)


def stable_step(
    net: Network,
    flow: Flow,
    x: Mapping[str, Array],
    lam: Mapping[str, Array],
    X: Any,
    Y: Any,
    patterns: int = 4,
) -> StableStep:
    """Largest stable step of explicit Euler, by linearising the flow of (x, lam) at a state, weights frozen.

    A mode with eigenvalue s holds for steps below 2 |Re s| / |s|². The Jacobian is a central difference of
    `reference.right_hand_side`. Parts of the state that drive each other one way only have spectra of their
    own, and are taken apart first: that keeps the strongly non-normal `Flow.adjoint` exact (on an acyclic graph
    -1/tau and nothing else). Coupled parts of up to `DENSE` states are diagonalised, larger ones searched by
    Arnoldi iteration, where a narrowly limiting mode can be missed.

    Parameters
    ----------
    net : Network
    flow : Flow
    x, lam : mapping of str to array, (patterns, units), unit 1
    X, Y : array or mapping
        Inputs and targets of the same patterns.
    patterns : int
        At most so many patterns, spread over the batch, are looked at (two where the Jacobian is not built).

    Returns
    -------
    StableStep

    Raises
    ------
    DataError
        X or Y do not fit the network.
    """
    clamped = read_patterns(net, X)
    count = len(x[net.neurons[0]])
    large = 2 * sum(net.populations[n].size for n in net.neurons) > DENSE
    wanted = min(patterns, MATRIX_FREE_PATTERNS) if large else patterns
    rows = np.unique(np.linspace(0, count - 1, max(1, min(wanted, count))).round().astype(int))
    encoded = read_targets(net, Y, count)
    everything = ({n: x[n] for n in net.neurons}, {n: lam[n] for n in net.neurons}, clamped, encoded)
    at = _rows(everything, rows)
    modes = [_limiting_mode(_Linearised(net, flow, _rows(everything, [row]))) for row in rows]
    worst = min(modes, key=lambda mode: (mode.step, -mode.eigenvalue.real))
    return replace(worst, growing=any(mode.growing for mode in modes), at=at)


def remedy(net: Network, flow: Flow, dt: float, stable: StableStep) -> str:
    """A sentence that names what would hold where `dt` does not; every suggestion is tried at the same state.

    Parameters
    ----------
    net, flow
        As given to `stable_step`.
    dt : float
        Step in use, s.
    stable : StableStep
        What `stable_step` found.
    """
    if dt < stable.step:
        return f"dt = {_ms(dt)} holds: the stable step is {_ms(stable.step)}"
    where = f"in {stable.population!r} (eigenvalue {stable.eigenvalue:.3g} per second)"
    if stable.step > dt / FAR:
        return (
            f"dt = {_ms(dt)} is beyond the stable step {_ms(stable.step)} of the mode that limits it, {where}; "
            f"try dt = {_ms(MARGIN * stable.step)}"
        )
    if stable.step > 0:
        found = f"a mode {where} is hardly damped: the stable step is {_ms(stable.step)}"
    else:
        found = f"a mode {where} {'grows' if stable.growing else 'is not damped'}, so no explicit Euler step holds"
    for name, candidate in _candidates(net, flow):
        if (step := _step_of(net, candidate, stable.at)) > max(stable.step, dt / FAR):
            return f"{found}; try {name} and dt = {_ms(min(dt, MARGIN * step))}"
    if stable.step > 0:
        return f"{found}; try dt = {_ms(MARGIN * stable.step)}"
    return f"{found}; neither rho up to {RHOS[-1]:g} nor Flow.adjoint() holds at this state: try smaller weights"


def _candidates(net: Network, flow: Flow) -> list[tuple[str, Flow]]:
    """Flows that may hold where this one does not, in the order in which they are tried."""
    tau_x = {n: flow.time("tau_x", n) for n in net.neurons}
    larger = [
        (f"rho = {rho:g} with tau_lam = tau_x/{rho:g}",
         replace(flow, rho=rho, tau_lam={n: tau / rho for n, tau in tau_x.items()}))
        for rho in RHOS if rho > flow.rho and flow.kappa > 0
    ]  # fmt: skip
    return [
        *larger,
        ("the preset Flow.adjoint() with these time constants", replace(flow, kappa=0.0, gamma=1.0, rho=0.0)),
    ]


def _step_of(net: Network, flow: Flow, at: At) -> float:
    x, lam, X, Y = at
    return stable_step(net, flow, x, lam, X, Y, patterns=len(x[net.neurons[0]])).step


def _rows(at: At, rows: Any) -> At:
    x, lam, X, Y = ({n: np.asarray(a)[rows] for n, a in part.items()} for part in at)
    return x, lam, X, Y


def _ms(time: float) -> str:
    return f"{1e3 * time:.3g} ms"


class _Linearised:
    """The Jacobian of one pattern's (x, lam) as directional derivatives; a state is (x..., lam...), (2 units,)."""

    def __init__(self, net: Network, flow: Flow, at: At) -> None:
        self.net, self.flow, self.at = net, flow, at
        x, lam, self.X, self.Y = at
        self.regime = SimpleNamespace(x=x, lam=lam)  # a kink of G is no curvature
        self.state = np.concatenate([part[n][0] for part in (x, lam) for n in net.neurons])
        sizes = [net.populations[n].size for n in net.neurons]
        self.cuts = np.cumsum(sizes + sizes)[:-1]
        self.blocks = np.split(np.arange(self.state.size), self.cuts)  # x of each population, then lam of each
        self.population = np.repeat(list(net.neurons) * 2, sizes + sizes)

    def rates(self, states: Array) -> Array:
        """Time derivatives of many states at once, (m, 2 units), 1/s."""
        parts = np.split(states, self.cuts, axis=1)
        half = len(self.net.neurons)
        x, lam = (dict(zip(self.net.neurons, p, strict=True)) for p in (parts[:half], parts[half:]))
        X, Y = ({n: np.repeat(a, len(states), axis=0) for n, a in data.items()} for data in (self.X, self.Y))
        rates = right_hand_side(self.net, self.flow, x, lam, X, Y, plastic=False, regime=self.regime)
        return np.hstack([part[n] for part in (rates.x, rates.lam) for n in self.net.neurons])

    def along(self, directions: Array) -> Array:
        """J applied to each row, (m, 2 units)."""
        reach = NUDGE * max(1.0, float(np.abs(self.state).max()))
        largest = np.maximum(np.abs(directions).max(axis=1, keepdims=True), np.finfo(float).tiny)
        nudges = directions * (reach / largest)
        plus, minus = np.split(self.rates(np.vstack([self.state + nudges, self.state - nudges])), 2)
        return np.asarray((plus - minus) * (largest / (2 * reach)))

    def within(self, states: Array) -> Derivative:
        """The same, for some of the states only: the others are held."""

        def derivative(directions: Array) -> Array:
            full = np.zeros((len(directions), self.state.size))
            full[:, states] = directions
            return self.along(full)[:, states]

        return derivative

    def coupled(self) -> list[Array]:
        """States that drive each other both ways, as index arrays, by the response to a random nudge of each block."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        rng = np.random.default_rng(0)
        nudges = np.zeros((len(self.blocks), self.state.size))
        for row, block in zip(nudges, self.blocks, strict=True):
            row[block] = rng.normal(size=block.size)
        response = np.abs(self.along(nudges))
        drives = np.array([[part.max() for part in np.split(row, self.cuts)] for row in response])
        count, label = connected_components(csr_array(drives > ROUNDING * drives.max()), connection="strong")
        return [np.concatenate([b for b, i in zip(self.blocks, label, strict=True) if i == k]) for k in range(count)]


def _limiting_mode(linear: _Linearised) -> StableStep:
    """The mode of one pattern that holds for the smallest step."""
    parts: list[Mode] = []
    for states in linear.coupled():
        if states.size <= DENSE:
            parts += _dense_modes(linear.within(states)(np.eye(states.size)).T, states)
        else:
            parts += _searched_modes(linear.within(states), states)
    fastest = max(abs(eigenvalue) for eigenvalue, *_ in parts)
    eigenvalue, states, share = min(parts, key=lambda mode: (_step(mode[0], fastest), -mode[0].real))
    weight = {n: share[linear.population[states] == n].sum() for n in linear.net.neurons}
    step, growing = _step(eigenvalue, fastest), bool(eigenvalue.real > ROUNDING * fastest)
    return StableStep(step, growing, complex(eigenvalue), max(weight, key=weight.__getitem__), linear.at)


def _step(eigenvalue: complex, fastest: float) -> float:
    """Largest h with |1 + h s| <= 1; `fastest` is the scale against which rounding is judged."""
    if abs(eigenvalue) <= ROUNDING * fastest or eigenvalue == 0:
        return np.inf  # stands still
    if eigenvalue.real >= -ROUNDING * abs(eigenvalue):
        return 0.0
    return float(-2 * eigenvalue.real / abs(eigenvalue) ** 2)


def _dense_modes(jacobian: Array, states: Array) -> list[Mode]:
    """All modes of a Jacobian that fits in memory; LAPACK's balancing finds a triangular order where there is one."""
    # rounding of the differences would hide that order, and split the multiple eigenvalues of a chain
    exact_zeros = np.where(np.abs(jacobian) > UNCOUPLED * np.abs(jacobian).max(), jacobian, 0.0)
    eigenvalues, vectors = np.linalg.eig(exact_zeros)
    share = np.abs(vectors) ** 2
    return [(complex(s), states, share[:, i]) for i, s in enumerate(eigenvalues)]


def _searched_modes(derivative: Derivative, states: Array) -> list[Mode]:
    """The modes that limit the step, where the Jacobian is too large to build.

    The limiting mode of a step h is the eigenvalue of I + h J of largest modulus. Starting from the largest of J
    itself (h = inf), h is lowered to what the modes found so far allow, until nothing new is found.
    """
    start = np.random.default_rng(0).normal(size=states.size)
    first = derivative(start[None])[0]
    slope = float(start @ first / (start @ start))
    if np.abs(first - slope * start).max() <= ROUNDING * abs(slope) * np.abs(start).max():
        return [(complex(slope), states, np.ones(states.size))]  # J = slope I: Arnoldi would stop at once

    modes: list[Mode] = []
    step = np.inf
    for _ in range(6):
        h, shift = (1.0, 0.0) if step == np.inf else (step, 1.0)
        growths, vectors = _largest(partial(_stepped, derivative, h, shift), start)
        share = np.abs(vectors) ** 2
        modes += [(complex((m - shift) / h), states, share[:, i]) for i, m in enumerate(growths)]
        fastest = max(abs(s) for s, *_ in modes)
        lowest = min(_step(s, fastest) for s, *_ in modes)
        if lowest == 0 or lowest > 0.99 * step:
            break
        step = lowest
    return modes


def _stepped(derivative: Derivative, h: float, shift: float, v: Array) -> Array:
    """(shift I + h J) v, (size,)."""
    return np.asarray(shift * v + h * derivative(v[None])[0])


def _largest(apply: Callable[[Array], Array], start: Array) -> tuple[Array, Array]:
    """A few eigenvalues of largest modulus and their vectors, (k,) and (size, k), to about a percent."""
    from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigs

    operator = LinearOperator((start.size, start.size), matvec=lambda v: apply(np.ravel(v)), dtype=float)
    try:
        growths, vectors = eigs(operator, k=6, ncv=40, which="LM", v0=start, tol=1e-3, maxiter=20)
        return growths, vectors
    except ArpackNoConvergence as unfinished:
        if len(unfinished.eigenvalues):
            return unfinished.eigenvalues, unfinished.eigenvectors
    except ArpackError:
        pass  # the Krylov space closed early
    v = start / np.linalg.norm(start)
    for _ in range(100):
        image = apply(v)
        v = image / max(float(np.linalg.norm(image)), np.finfo(float).tiny)
    plane, _ = np.linalg.qr(np.stack([v, apply(v)], axis=1))  # holds a complex pair too
    values, vectors = np.linalg.eig(plane.T @ np.stack([apply(p) for p in plane.T], axis=1))
    return values, plane @ vectors
