"""Rivals that follow the forces of one augmented energy.

They are predictive coding, PC-ALM, the growing penalty and the flows:

    E(x, lam) = V(x) + Σ_i [ lam_i g_i + (rho/2) g_i² ]
    g = x - sigma(W x + b)          mu = lam + rho g

per pattern. Predictive coding descends E in x with lam = 0; a growing penalty increases rho
meanwhile; PC-ALM lets lam ascend in turns; a `Flow` moves both at once. Each starts from the
forward pass with lam = 0.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from neurosim.arguments import checked
from neurosim.errors import DivergenceError, out_of_range, unknown, whole
from neurosim.model.flow import Flow, gain, seconds
from neurosim.model.methods import EULER, SEMI_IMPLICIT
from neurosim.model.network import Network
from neurosim.reference.rivals.frame import Array, Arrays, Frame, Inferred, Watch
from neurosim.reference.rivals.stacks import Stacks

NUDGE = 1e-4  # of x, in the differences by which the largest curvature is found
POWER = 20  # iterations by which it is found
METHODS = (EULER, SEMI_IMPLICIT)  # of `relax`


@checked
def predictive_coding(
    net: Network,
    X: Any,
    Y: Any,
    *,
    steps: int = 100,
    rate: float | None = None,
    rho: float = 1.0,
    functions: Collection[str] | None = None,
    precision: str = "float64",
    watch: Watch | None = None,
) -> Inferred:
    """Descend the energy of the prediction errors, rho/2 Σ g² + V, in the outputs.

    At rest -dE/dw of the energy at its minimum over x is the mean of delta xᵀ, delta = sigma'(a)
    rho g. That is backpropagation only where errors are small against 1/rho.

    Parameters
    ----------
    net, X, Y, functions
        As in `Frame`.
    steps : int
        Number of steps, of all units at once.
    rate : float, optional
        Step in x per force. By default 1 over the largest curvature of the energy at the start (at
        least rho), which is measured. Where slopes rise on the way that can be too large.
    rho : float
        Precision of the prediction errors.
    precision : "float64" or "float32"
        Of outputs, multipliers and weights while they are inferred.
    watch : callable, optional
        Called with the number of each step and the credit of every population; ends the inference
        by returning True.

    Returns
    -------
    Inferred
        `lam` is rho g, the precision-weighted prediction error.

    Raises
    ------
    ModelError
        An argument out of range; a cyclic network.
    DataError
        X or Y do not fit the network.
    DivergenceError
        The rate is too large.

    References
    ----------
    Whittington & Bogacz, Neural Computation 29, 1229 (2017).
    Millidge, Tschantz & Buckley 2020, arXiv 2006.04182.
    """
    stacks = Stacks(Frame(net, X, Y, functions), precision)
    return _alternating(stacks, "predictive_coding", steps, rate, (rho, rho), 0.0, watch)


@checked
def pc_alm(
    net: Network,
    X: Any,
    Y: Any,
    *,
    steps: int = 100,
    rate: float | None = None,
    rho: float = 1.0,
    alpha: float | None = None,
    functions: Collection[str] | None = None,
    precision: str = "float64",
    watch: Watch | None = None,
) -> Inferred:
    """Augmented Lagrangian predictive coding: alternate a step of x down E and one of lam up E.

    Parameters
    ----------
    net, X, Y, steps, rate, functions, precision, watch
        As in `predictive_coding`.
    rho : float
        Weight of the augmentation.
    alpha : float, optional
        Step in lam per violation; rho by default.

    Returns
    -------
    Inferred
        `lam` is mu = lam + rho g after the last step of x, which no step of lam follows: the
        paper's credit.

    Raises
    ------
    ModelError, DataError, DivergenceError
        As `predictive_coding`.

    Notes
    -----
    Without functions it is `Flow.augmented` with ``method="semi_implicit"``, tau_x = dt/rate and
    tau_lam = dt/alpha.

    References
    ----------
    Seely & Gould 2026, arXiv 2605.31022.
    """
    stacks = Stacks(Frame(net, X, Y, functions), precision)
    ascent = rho
    if alpha is not None:
        ascent = gain("alpha", alpha)
    return _alternating(stacks, "pc_alm", steps, rate, (rho, rho), ascent, watch)


@checked
def growing_penalty(
    net: Network,
    X: Any,
    Y: Any,
    *,
    steps: int = 400,
    rate: float | None = None,
    rho: float = 1.0,
    rho_end: float = 100.0,
    functions: Collection[str] | None = None,
    precision: str = "float64",
    watch: Watch | None = None,
) -> Inferred:
    """Descend the energy without multipliers, while its precision rho grows geometrically.

    At rest its credit rho g differs from backpropagation's by a term of order 1/rho_end. Growth
    adds a lag of order log(rho_end/rho)/(rate steps), relative to the credit: the step shrinks as
    1/rho, so g decays by a share `rate` per step whatever rho is. A larger rho_end alone therefore
    does not help; it needs more steps.

    Parameters
    ----------
    net, X, Y, steps, rate, functions, precision, watch
        As in `predictive_coding`; `rate` is that of the first step.
    rho, rho_end : float
        Precision of the first and of the last step.

    Returns
    -------
    Inferred
        `lam` is rho g with the last rho.

    Raises
    ------
    ModelError, DataError, DivergenceError
        As `predictive_coding`.

    References
    ----------
    Courant 1943; Carreira-Perpiñán & Wang, AISTATS 2014 (auxiliary coordinates).
    """
    if not 0 < rho <= rho_end:
        raise out_of_range("rho_end", rho_end, f"at least rho = {rho}", "100")
    stacks = Stacks(Frame(net, X, Y, functions), precision)
    return _alternating(stacks, "growing_penalty", steps, rate, (rho, rho_end), 0.0, watch)


@checked
def relax(
    net: Network,
    X: Any,
    Y: Any,
    *,
    flow: Flow,
    steps: int = 100,
    dt: Any = 1e-3,
    method: str = EULER,
    functions: Collection[str] | None = (),
    precision: str = "float64",
    watch: Watch | None = None,
) -> Inferred:
    """Relax by a `Flow`, as ``Simulation.relax(start="forward")`` does, but without an engine.

    Parameters
    ----------
    net, X, Y, steps, precision, watch
        As in `predictive_coding`.
    flow : Flow
    dt : time
        Length of a step: Brian2 quantity, float seconds or text.
    method : "euler" or "semi_implicit"
    functions : names of populations
        By default there are none: every population is a variable, as in a simulation.

    Returns
    -------
    Inferred
        `lam` are the multipliers; the gradient is made of delta = sigma'(a) (lam + rho g).

    Raises
    ------
    ModelError, DataError, DivergenceError
        As `predictive_coding`.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    step, stacks = seconds(dt, "dt"), Stacks(Frame(net, X, Y, functions), precision)
    up = {s: _pace(flow, "tau_lam", stacks, s, step) for s in stacks.variables}
    down = {s: _pace(flow, "tau_x", stacks, s, step) for s in stacks.variables}
    x = stacks.stacked(stacks.frame.forward())
    lam = {s: np.zeros_like(x[s]) for s in stacks.variables}
    g, slope = stacks.ascend(x)
    for number in range(1, whole("steps", steps, 1) + 1):
        force, _, _ = stacks.descend(x, _effective(lam, flow.rho, g), slope)
        for s in stacks.variables:
            _add(x[s], down[s], -flow.kappa, force[s])
            _add(x[s], down[s], -flow.gamma, g[s])
        before = g
        g, slope = stacks.ascend(x)
        read = before if method == EULER else g
        for s in stacks.variables:
            _add(lam[s], up[s], flow.kappa, read[s])
            _add(lam[s], up[s], -flow.gamma, force[s])
        if watch is not None and watch(number, _credit(stacks, x, lam, slope)):
            break
    _check_finite("relax", stacks, x, number)
    _, _, delta = stacks.descend(x, _effective(lam, flow.rho, g), slope)
    credit = _credit(stacks, x, lam, slope)
    return _inferred("relax", stacks, x, credit, delta, number, states=2)


@checked
def curvature(frame: Frame, rho: float, seed: int = 0) -> float:
    """Return the largest eigenvalue of the energy's Hessian in x at the forward pass, unit 1.

    The largest over the patterns, by power iteration.

    Parameters
    ----------
    frame : Frame
    rho : float
        Precision of the energy.
    seed : int
        Seed of the vector that the iteration starts from.
    """
    return _curvature(Stacks(frame), rho, seed)


def _curvature(stacks: Stacks, rho: float, seed: int = 0) -> float:
    """Return `curvature` of a network in stacks."""
    if not stacks.variables:
        return rho
    rng = np.random.default_rng(seed)
    start = stacks.stacked(stacks.frame.forward())
    v = {s: rng.normal(size=start[s].shape) for s in stacks.variables}
    found = 0.0
    for _ in range(POWER):
        norm = np.maximum(_norms(v), np.finfo(float).tiny)
        v = {s: a / norm[:, None] for s, a in v.items()}
        above = dict(start)
        below = dict(start)
        for s, a in v.items():
            above[s] = start[s] + NUDGE * a
            below[s] = start[s] - NUDGE * a
        plus = _forces(stacks, above, rho)
        minus = _forces(stacks, below, rho)
        v = {s: (plus[s] - minus[s]) / (2 * NUDGE) for s in v}
        found = float(_norms(v).max())
    return found


def _norms(v: Arrays) -> Array:
    """Return the Euclidean norm of each pattern over all stacks, (patterns,)."""
    squares = [np.square(a).sum(axis=(0, 2)) for a in v.values()]
    return np.asarray(np.sqrt(sum(squares)))


def _forces(stacks: Stacks, x: Arrays, rho: float) -> Arrays:
    """dE/dx of the variables with lam = 0, by stack."""
    g, slope = stacks.ascend(x)
    mu = {s: rho * g[s] for s in g}
    force, _, _ = stacks.descend(x, mu, slope)
    return force


def _alternating(
    stacks: Stacks,
    name: str,
    steps: int,
    rate: float | None,
    rhos: tuple[float, float],
    alpha: float,
    watch: Watch | None,
) -> Inferred:
    """Step x down the energy, each step but the last followed by lam += alpha g.

    `rhos` are those of the first and of the last step; between them rho grows geometrically.
    """
    steps, first, last = whole("steps", steps, 1), gain("rho", rhos[0]), rhos[1]
    if not first > 0:
        raise out_of_range("rho", first, "a number > 0")
    if rate is None:
        rate = 1 / max(first, _curvature(stacks, first))
    rate = gain("rate", rate)
    x = stacks.stacked(stacks.frame.forward())
    lam = {s: np.zeros_like(x[s]) for s in stacks.variables}
    g, slope = stacks.ascend(x)
    for number in range(1, steps + 1):
        rho = first * (last / first) ** ((number - 1) / max(steps - 1, 1))
        force, _, _ = stacks.descend(x, _effective(lam, rho, g), slope)
        for s in stacks.variables:
            force[s] *= rate * first / rho
            x[s] -= force[s]
        g, slope = stacks.ascend(x)
        if watch is not None:
            credit = _credit(stacks, x, _effective(lam, rho, g), slope)
            if watch(number, credit):
                break
        if alpha and number < steps:
            for s in stacks.variables:
                _add(lam[s], 1.0, alpha, g[s])
    _check_finite(name, stacks, x, number)
    _, credit, delta = stacks.descend(x, _effective(lam, rho, g), slope)
    states = 2 if alpha else 1
    return _inferred(name, stacks, x, stacks.apart(credit), delta, number, states)


def _inferred(
    name: str, stacks: Stacks, x: Arrays, credit: Arrays, delta: Arrays, number: int, states: int
) -> Inferred:
    """Return the result of an inference in one phase; x and delta are by stack, credit is not."""
    outputs = {**stacks.frame.clamped, **stacks.apart(x)}
    return stacks.frame.inferred(
        name, outputs, credit, stacks.apart(delta), steps=number, phases=1, states=states
    )


def _credit(stacks: Stacks, x: Arrays, mu: Arrays, slope: Arrays) -> Arrays:
    """Return `mu` of the variables and the messages at the functions, by population; copies."""
    found = mu
    if stacks.functions:
        found = stacks.descend(x, mu, slope)[1]
    return {n: v.copy() for n, v in stacks.apart(found).items()}


def _pace(flow: Flow, name: str, stacks: Stacks, stack: str, step: float) -> Any:
    """Return dt/tau of a stack: one number if its populations agree, else (populations, 1, 1)."""
    paces = np.array([step / flow.time(name, n) for n in stacks.members[stack]])
    if (paces == paces[0]).all():
        return float(paces[0])
    return paces[:, None, None].astype(stacks.precision)


def _effective(lam: Arrays, rho: float, g: Arrays) -> Arrays:
    """mu = lam + rho g; where rho is 0, lam itself, which must not be changed."""
    if rho == 0:
        return lam
    if rho == 1:
        return {s: lam[s] + g[s] for s in lam}
    return {s: lam[s] + rho * g[s] for s in lam}


def _add(z: Array, pace: Any, gain: float, values: Array) -> None:
    """Add pace gain values to z, in place; a gain of 0 costs nothing."""
    factor = pace * gain
    if isinstance(factor, float) and factor == 1:
        np.add(z, values, out=z)
    elif isinstance(factor, float) and factor == -1:
        np.subtract(z, values, out=z)
    elif gain:
        z += factor * values


def _check_finite(name: str, stacks: Stacks, x: Arrays, number: int) -> None:
    """Refuse outputs that are not finite.

    Raises
    ------
    DivergenceError
        NaN or infinity in some population.
    """
    hint = "a smaller dt" if name == "relax" else "a smaller rate, or rate=None"
    for population, values in stacks.apart(x).items():
        if not np.isfinite(values).all():
            raise DivergenceError(
                f"{name} left the finite numbers in {population} within {number} steps; try {hint}",
                time=float(number),
                population=population,
            )
