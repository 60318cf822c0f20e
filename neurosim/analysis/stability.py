"""Linear stability of a flow at a state, without a simulation.

Rates, frequencies, largest stable steps and the critical rho. Above `reference.spectrum`. Start at
`stability`; `critical_rho` finds how much augmentation a saddle needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurosim.analysis.largest_steps import LargestSteps
from neurosim.arguments import checked
from neurosim.data.patterns import patterns as read_patterns
from neurosim.data.patterns import targets
from neurosim.data.states import checked_state
from neurosim.errors import ModelError, out_of_range, unknown, whole
from neurosim.model.flow import Flow
from neurosim.model.methods import EULER
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.model.values import ByValue
from neurosim.reference import backprop
from neurosim.reference.functions import n_patterns, rows_of
from neurosim.reference.jacobian import Linearised
from neurosim.reference.spectrum import ROUNDING, Modes, largest_step, modes
from neurosim.simulation.live import Live

Array = np.ndarray

TAU_LAM_RULES = ("scaled", "fixed")
WORK = 2e11  # operations that diagonalising all patterns may take; 25 n³ for n states
DENSE = 300  # coupled states up to which a matrix is built where that takes more than `WORK`
RHO_GRID = (*(2.0 ** np.arange(10, -5, -1)), 0.0)  # tried from the top down


@dataclass(frozen=True, repr=False, eq=False)
class Stability(ByValue):
    """The modes of a flow linearised at a state, slowest first.

    Attributes
    ----------
    eigenvalues : (modes,), complex, 1/s
        Of all patterns, by falling real part.
    pattern : (modes,) of int
        Pattern of each mode, as an index into X; -1 where weights move, which couple all patterns.
    participation : dict of str to array, (modes,), unit 1
        Share of each mode's squared size in a population (x and lam together); where weights move,
        in projections and ``"bias.population"`` too. Over the places the shares sum to 1.
    max_step : mapping of str to float, s
        Largest step from which a perturbation does not grow, by method of `Simulation`: "euler",
        "semi_implicit", "exponential_euler", "heun", "rk4"; computed on first access. 0 where no
        step is stable. "semi_implicit" and "exponential_euler" are missing where weights move, or
        where derivatives are not formulas (constraints other than lin).
    complete : bool
        Whether these are all modes. Of a large network they are those of largest modulus, those of
        smallest damping that a search found, and those that limit a step of Euler.
    """

    eigenvalues: Array
    pattern: Array
    participation: dict[str, Array]
    max_step: Mapping[str, float]
    complete: bool

    @property
    def damping(self) -> Array:
        """Rate at which each mode decays, (modes,), 1/s; negative where it grows."""
        return -np.asarray(self.eigenvalues.real)

    @property
    def frequency(self) -> Array:
        """Frequency at which each mode rings, (modes,), Hz."""
        return np.asarray(np.abs(self.eigenvalues.imag) / (2 * np.pi))

    @property
    def slowest_rate(self) -> float:
        """Smallest damping, 1/s: the rate at which perturbations decay in the end.

        Negative where they grow.
        """
        return float(self.damping[0])

    @property
    def growing(self) -> bool:
        """Whether some mode grows beyond rounding: the flow leaves this state with any step."""
        return bool(self.eigenvalues[0].real > ROUNDING * np.abs(self.eigenvalues).max())

    def __repr__(self) -> str:
        where = max(self.participation, key=lambda place: float(self.participation[place][0]))
        verb = "grows" if self.growing else "decays"
        slowest = f"the slowest {verb} at {abs(self.slowest_rate):.3g}/s"
        if self.frequency[0]:
            slowest += f", rings at {self.frequency[0]:.3g} Hz"
        kind = "modes" if self.complete else "extreme modes"
        step = 1e3 * self.max_step[EULER]
        return (
            f"Stability({len(self.pattern)} {kind}; {slowest}, mostly in {where}; "
            f"largest Euler step {step:.3g} ms)"
        )


@checked
def stability(
    net: Network | Live,
    flow: Flow | None = None,
    X: Any = None,
    Y: Any = None,
    *,
    at: Any = None,
    plastic: bool = False,
    patterns: int | None = None,
) -> Stability:
    """Linearise the coupled flow at a state and find its modes, without simulating it.

    Where messages go back through feedback weights B, the saddle point is that of the adjoint
    through B, and B stands for Wᵀ in the Jacobian. The flow is then not a gradient flow of L, and
    there may be no rho that makes it stable.

    Parameters
    ----------
    net : Network or Live
        A live simulation stands for its present network, flow, inputs and targets, which are then
        not given.
    flow : Flow
    X, Y : array or mapping
        Inputs and targets, as in `Simulation.relax`.
    at : a run, or anything with `.x` and `.lam`, optional
        The state, such as the live simulation itself; by default the saddle point, from
        backpropagation (on a cycle from the implicit adjoint).
    plastic : bool
        Whether weights and biases move too, which couple all patterns. With frozen weights, the
        default, each pattern has modes of its own.
    patterns : int, optional
        Number of patterns that are analysed, spread over the batch; all by default.

    Returns
    -------
    Stability

    Raises
    ------
    DataError
        X, Y or the state do not fit the network.
    ModelError
        `patterns` below 1, or given while plastic; no `at` where a constraint is not lin.
    ConvergenceError
        A cyclic graph that does not contract: its saddle point cannot be found; give `at`.

    Notes
    -----
    Small networks are diagonalised whole. In large ones ARPACK searches the extreme modes without
    building a matrix, and the patterns with the worst of them are then diagonalised if that is
    affordable. A mode that grows among many undamped ones (`Flow.arrow_hurwicz`, large nets) can be
    missed by the search.

    Examples
    --------
    >>> net = Network.mlp([4, 3, 2], loss="mse")
    >>> stability(net, Flow.adjoint(), np.zeros((1, 4)), np.zeros((1, 2))).slowest_rate
    100.0
    """
    net, flow, X, Y = _model(net, flow, X, Y)
    clamped, encoded, state = _state(net, X, Y, at)
    if plastic:
        if patterns is not None:
            raise ModelError(
                f"patterns = {patterns!r} while plastic: weights couple all patterns; "
                "try patterns=None"
            )
        linear = Linearised(net, flow, state.x, state.lam, clamped, encoded, plastic=True)
        dense = linear.size if _work(linear.size, 1) <= WORK else DENSE
        return _assembled([linear], [modes(linear, dense, rightmost=True)], [-1])
    count = n_patterns(state.x)
    shown = count
    if patterns is not None:
        shown = min(whole("patterns", patterns, 1), count)
    rows = np.unique(np.linspace(0, count - 1, shown).round().astype(int))
    linears = [_of_pattern(net, flow, state, clamped, encoded, row) for row in rows]
    size = linears[0].size
    affordable = _work(size, len(rows)) <= WORK
    dense = size if affordable else DENSE
    spectra = [modes(linear, dense, rightmost=True) for linear in linears]
    if not affordable and _work(size, 2) <= WORK:
        for k in {_worst(spectra, _smallest_damping), _worst(spectra, _euler_step)}:
            spectra[k] = modes(linears[k], size)
    return _assembled(linears, spectra, list(rows))


@checked
def critical_rho(
    net: Network,
    flow: Flow,
    X: Any,
    Y: Any = None,
    *,
    tau_lam: str = "scaled",
    patterns: int | None = None,
) -> float:
    """Find the smallest rho above which the saddle point is stable, unit 1.

    The saddle itself does not depend on rho. On every acyclic graph it is stable above a finite
    rho: the constraints' Jacobian C is square and invertible there, so H + rho CᵀC (H is the
    Hessian of L in x at rho = 0) is positive definite for a large rho. With feedback weights other
    than Wᵀ there need not be such a rho.

    Parameters
    ----------
    net, flow, X, Y, patterns
        As in `stability`; the rho of the flow is not used.
    tau_lam : {"scaled", "fixed"}
        tau_x / max(1, rho), as in `Flow.augmented`; or that of the flow, whatever rho is.

    Returns
    -------
    float
        With a relative error of 1e-6; 0 where no augmentation is needed, `inf` where the largest
        rho of `RHO_GRID` is not enough.

    Raises
    ------
    ModelError
        As `stability`; an unknown rule.
    DataError, ConvergenceError
        As `stability`.
    """
    from scipy.optimize import brentq

    if tau_lam not in TAU_LAM_RULES:
        raise unknown("tau_lam", tau_lam, TAU_LAM_RULES)
    clamped, encoded, saddle = _state(net, X, Y, None)

    def growth(rho: float) -> float:
        changed = with_rho(net, flow, rho, tau_lam)
        spec = stability(net, changed, clamped, encoded, at=saddle, patterns=patterns)
        return -spec.slowest_rate / float(np.abs(spec.eigenvalues).max()) - ROUNDING

    stable = float("inf")
    for rho in RHO_GRID:
        if growth(rho) > 0:
            break
        stable = rho
    else:
        return 0.0
    if stable == float("inf"):
        return stable
    return float(brentq(growth, rho, stable, rtol=1e-6))


def with_rho(net: Network, flow: Flow, rho: float, tau_lam: str = "scaled") -> Flow:
    """Return the flow with another rho, and with tau_lam by the rule of `critical_rho`."""
    if tau_lam == "fixed":
        return replace(flow, rho=rho)
    times = {n: flow.time("tau_x", n) / max(1.0, rho) for n in net.neurons}
    return replace(flow, rho=rho, tau_lam=times)


def refuse_other_constraints(net: Network) -> None:
    """Refuse constraints whose flow does not rest at backpropagation's saddle point.

    Raises
    ------
    ModelError
        A constraint other than lin.
    """
    for n in net.neurons:
        constraint = net.populations[n].constraint
        if constraint != "lin":
            raise ModelError(
                f"constraint of {n} = {constraint!r}: its flow does not rest at backpropagation's "
                "saddle point; allowed here: lin; try stability(..., at=run), with a run that has "
                "come to rest"
            )


def _state(
    net: Network, X: Any, Y: Any, at: Any
) -> tuple[dict[str, Array], dict[str, Array], State]:
    """Return encoded inputs and targets, and the state, by default the saddle point."""
    clamped = read_patterns(net, X)
    count = n_patterns(clamped)
    encoded = targets(net, Y, count)
    if at is None:
        refuse_other_constraints(net)
        at = backprop(net, clamped, encoded, through="feedback")
    return clamped, encoded, checked_state(net, "at", at, count, "None for the saddle point, ")


def _model(
    net: Network | Live, flow: Flow | None, X: Any, Y: Any
) -> tuple[Network, Flow, Any, Any]:
    """Return a model as four parts, from these or from a live simulation."""
    if isinstance(net, Live):
        for name, value in (("flow", flow), ("X", X), ("Y", Y)):
            if value is not None:
                raise out_of_range(name, value, "None beside a live simulation, which has its own")
        return net.network, net.flow, net.X, net.Y
    if flow is None:
        raise out_of_range("flow", flow, "a Flow", "Flow.augmented()")
    return net, flow, X, Y


def _of_pattern(
    net: Network,
    flow: Flow,
    state: State,
    X: Mapping[str, Array],
    Y: Mapping[str, Array],
    row: int,
) -> Linearised:
    """Linearise the flow of one pattern."""
    x, lam = rows_of(state.x, [row]), rows_of(state.lam, [row])
    return Linearised(net, flow, x, lam, rows_of(X, [row]), rows_of(Y, [row]))


def _work(size: int, count: int) -> float:
    """Operations that diagonalising `count` matrices takes."""
    return 25.0 * size**3 * count


def _smallest_damping(found: Modes) -> float:
    """Damping of the slowest mode, 1/s."""
    return float(-found.eigenvalues.real.max())


def _euler_step(found: Modes) -> float:
    """Largest stable step of Euler, s."""
    return float(largest_step(EULER, found.eigenvalues, found.fastest).min())


def _worst(spectra: list[Modes], measure: Callable[[Modes], float]) -> int:
    """Index of the spectrum with the smallest measure."""
    return int(np.argmin([measure(found) for found in spectra]))


def _assembled(linears: list[Linearised], spectra: list[Modes], rows: list[int]) -> Stability:
    """Join the modes of all patterns, slowest first."""
    eigenvalues = np.concatenate([found.eigenvalues for found in spectra])
    share = np.vstack([found.share for found in spectra])
    order = np.lexsort((-eigenvalues.imag, -eigenvalues.real))
    pattern = np.repeat(rows, [len(found.eigenvalues) for found in spectra])
    places = linears[0].places
    participation = {place: share[order, i] for i, place in enumerate(places)}
    steps = LargestSteps(linears, spectra)
    complete = all(found.complete for found in spectra)
    return Stability(eigenvalues[order], pattern[order], participation, steps, complete)
