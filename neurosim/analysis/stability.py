"""What a flow does near a state, seen before anything is simulated: rates, frequencies, steps, the
critical rho.

Above `spectrum` and `reference`; runs nothing. Start at `stability`; `critical_rho` asks how much
augmentation a saddle needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from neurosim.data.patterns import patterns as read_patterns
from neurosim.data.patterns import targets
from neurosim.errors import DataError, ModelError, out_of_range, unknown
from neurosim.model.flow import Flow
from neurosim.model.methods import FIXED_STEP
from neurosim.model.network import Network
from neurosim.reference import backprop
from neurosim.reference.jacobian import Linearised
from neurosim.reference.spectrum import AMPLIFICATION, ROUNDING, Modes, largest_step, modes, radius

Array = np.ndarray

TAU_LAM_RULES = ("scaled", "fixed")
WORK = 2e11  # operations that diagonalising everything may take; 25 n³ for n states
DENSE = 300  # states up to which a matrix is built where there is more than that to do
FACTOR, PRECISION = (
    1.25,
    1e-4,
)  # of the search for a step: how it grows, and how well its end is found
LONGEST = 1e4  # times the period of the fastest mode: steps beyond are not looked at
RHO_GRID = (*(2.0 ** np.arange(10, -5, -1)), 0.0)  # looked at from the top down


@dataclass(frozen=True, repr=False)
class Stability:
    """The modes of a flow linearised at a state, slowest first.

    Attributes
    ----------
    eigenvalues : (modes,), complex, 1/s
        By falling real part; all patterns together.
    pattern : (modes,) of int
        Whose mode it is, as an index into X; -1 where weights move, which couple all patterns.
    participation : dict of str to array, (modes,), unit 1
        Share of each mode's squared size that lives in a population (x and lam together); where
        weights move, in projections and ``"bias.population"`` too. Over the places they sum to 1.
    max_step : mapping of str to float, s
        Largest step from which a perturbation does not grow, by method of `Simulation`: "euler",
        "semi_implicit", "exponential_euler", "heun", "rk4"; worked out when asked for. 0 where no
        step holds. The second and the third are not known where weights move, or where derivatives
        are not formulas (constraints other than lin).
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
        """With which each mode rings, (modes,), Hz."""
        return np.asarray(np.abs(self.eigenvalues.imag) / (2 * np.pi))

    @property
    def slowest_rate(self) -> float:
        """Smallest damping of all, 1/s: perturbations end up decaying at it; negative where they
        grow.
        """
        return float(self.damping[0])

    @property
    def growing(self) -> bool:
        """Whether some mode grows beyond rounding: the flow itself leaves this state, whatever the
        step.
        """
        return bool(self.eigenvalues[0].real > ROUNDING * np.abs(self.eigenvalues).max())

    def __repr__(self) -> str:
        where = max(self.participation, key=lambda place: float(self.participation[place][0]))
        slowest = f"{'grows' if self.growing else 'decays'} at {abs(self.slowest_rate):.3g}/s"
        ringing = f", rings at {self.frequency[0]:.3g} Hz" if self.frequency[0] else ""
        steps = f"largest Euler step {1e3 * self.max_step['euler']:.3g} ms"
        some = "" if self.complete else "extreme "
        return f"Stability({len(self.pattern)} {some}modes; the slowest {slowest}{ringing}, mostly in {where}; {steps})"


def stability(
    net: Network,
    flow: Flow,
    X: Any,
    Y: Any = None,
    *,
    at: Any = None,
    plastic: bool = False,
    patterns: int | None = None,
) -> Stability:
    """Linearise the coupled flow and take it apart into modes, without simulating it.

    Where messages go back through feedback weights B the saddle point is that of the adjoint
    through B, and B stands for Wᵀ in the Jacobian: that is then no gradient flow of L, and no rho
    need make it stable.

    Parameters
    ----------
    net : Network
    flow : Flow
    X, Y : array or mapping
        Inputs and targets, as in `Simulation.relax`.
    at : a run, or anything with `.x` and `.lam`, optional
        The state; by default the saddle point, from backpropagation (on a cycle from the implicit
        adjoint).
    plastic : bool
        Of (x, lam, w): weights and biases move too, and couple all patterns. With frozen weights,
        the default, each pattern has modes of its own.
    patterns : int, optional
        Look at so many patterns only, spread over the batch.

    Returns
    -------
    Stability

    Raises
    ------
    DataError
        X, Y or the state do not fit the network.
    ModelError
        `patterns` below 1, or given while plastic; no state where a constraint is not lin.
    ConvergenceError
        A cyclic graph that does not contract has no saddle to be found; give `at`.

    Notes
    -----
    Small networks are diagonalised whole. Of large ones ARPACK searches the extreme modes without building a matrix,
    and the patterns that come out worst are then diagonalised if that is affordable. A mode that grows amid many
    undamped ones (`Flow.arrow_hurwicz`, large nets) can be missed by the search.

    Examples
    --------
    >>> net = Network.mlp([4, 3, 2], loss="mse")
    >>> stability(net, Flow.adjoint(), np.zeros((1, 4)), np.zeros((1, 2))).slowest_rate
    100.0
    """
    clamped, encoded, x, lam = _state(net, X, Y, at)
    count = len(x[net.neurons[0]])
    if plastic:
        if patterns is not None:
            raise ModelError(
                f"patterns = {patterns!r} while plastic: weights couple all patterns; "
                "try patterns=None"
            )
        linear = Linearised(net, flow, x, lam, clamped, encoded, plastic=True)
        found = modes(
            linear, linear.size if _work(linear.size, 1) <= WORK else DENSE, rightmost=True
        )
        return _assembled([linear], [found], [-1])
    if patterns is not None and (
        isinstance(patterns, bool) or not isinstance(patterns, int) or patterns < 1
    ):
        raise out_of_range("patterns", patterns, "a whole number >= 1, or None for all")
    rows = np.unique(np.linspace(0, count - 1, min(patterns or count, count)).round().astype(int))
    linears = [_one(net, flow, x, lam, clamped, encoded, row) for row in rows]
    size = linears[0].size
    whole = _work(size, len(rows)) <= WORK
    spectra = [modes(linear, size if whole else DENSE, rightmost=True) for linear in linears]
    if not whole and _work(size, 2) <= WORK:
        for k in {_worst(spectra, lambda m: -m.eigenvalues.real.max()), _worst(spectra, _euler)}:
            spectra[k] = modes(linears[k], size)
    return _assembled(linears, spectra, list(rows))


def critical_rho(
    net: Network,
    flow: Flow,
    X: Any,
    Y: Any = None,
    *,
    tau_lam: str = "scaled",
    patterns: int | None = None,
) -> float:
    """Smallest rho from which on the saddle point is stable; unit 1.

    The saddle itself does not depend on rho, and above a finite rho it is stable on every acyclic
    graph: the constraints' Jacobian C is square and invertible there, so H + rho CᵀC is positive
    definite in the end. With feedback weights other than Wᵀ there need be no such rho.

    Parameters
    ----------
    net, flow, X, Y, patterns
        As in `stability`; of the flow all but rho is kept.
    tau_lam : {"scaled", "fixed"}
        tau_x / max(1, rho), as in `Flow.augmented`; or the flow's own at every rho.

    Returns
    -------
    float
        To a relative 1e-6; 0 where no augmentation is needed, `inf` where the largest of `RHO_GRID`
        is not enough.

    Raises
    ------
    ModelError, DataError, ConvergenceError
        As `stability`; an unknown rule.
    """
    if tau_lam not in TAU_LAM_RULES:
        raise unknown("tau_lam", tau_lam, TAU_LAM_RULES)
    clamped, encoded, x, lam = _state(net, X, Y, None)

    def growth(rho: float) -> float:
        changed = with_rho(net, flow, rho, tau_lam)
        spec = stability(net, changed, clamped, encoded, at=_At(x, lam), patterns=patterns)
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
    from scipy.optimize import brentq

    return float(brentq(growth, rho, stable, rtol=1e-6))


def with_rho(net: Network, flow: Flow, rho: float, tau_lam: str = "scaled") -> Flow:
    """The flow with another rho, and the multipliers' time constants by the rule of `critical_rho`."""
    if tau_lam == "fixed":
        return replace(flow, rho=rho)
    return replace(
        flow, rho=rho, tau_lam={n: flow.time("tau_x", n) / max(1.0, rho) for n in net.neurons}
    )


@dataclass(frozen=True)
class _At:
    x: Mapping[str, Array]
    lam: Mapping[str, Array]


class _Steps(Mapping[str, float]):
    """The largest step by method, each worked out when it is asked for first."""

    def __init__(self, linears: list[Linearised], eigenvalues: Array, growing: bool) -> None:
        self.linears, self.eigenvalues, self.growing = linears, eigenvalues, growing
        all_known = linears[0].exact and not linears[0].plastic
        self.names = tuple(m for m in FIXED_STEP if m in AMPLIFICATION or all_known)
        self.known: dict[str, float] = {}

    def __getitem__(self, method: str) -> float:
        if method not in self.names:
            raise unknown("method", method, self.names)
        if method not in self.known:
            self.known[method] = self._found(method)
        return self.known[method]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def _found(self, method: str) -> float:
        if self.growing:
            return 0.0
        fastest = float(np.abs(self.eigenvalues).max())
        if method in AMPLIFICATION:
            return float(largest_step(method, self.eigenvalues, fastest).min())
        best = np.inf
        for linear in self.linears:
            best = _searched_step(partial(_MAPS[method], linear), linear.size, 1 / fastest, best)
        return best


def _searched_step(
    step: Callable[[float, Array], Array], size: int, unit: float, best: float
) -> float:
    """First h from which the spectral radius of a step exceeds 1, or `best` where it does not up to
    there.
    """

    def holds(h: float) -> bool:
        return radius(partial(step, h), size, DENSE) <= 1 + ROUNDING

    if np.isfinite(best) and holds(best):
        return best
    low, high = 0.0, 1e-2 * unit
    while holds(high):
        low, high = high, FACTOR * high
        if high > min(best, LONGEST * unit):
            return best
    while high - low > PRECISION * high and high > 1e-6 * unit:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _semi_implicit(linear: Linearised, h: float, z: Array) -> Array:
    """One step after which the multipliers have read the new x; rows of (m, size)."""
    moved = h * linear.apply(z)
    return np.asarray(z + moved + h * linear.renewed(moved))


def _exponential_euler(linear: Linearised, h: float, z: Array) -> Array:
    """One step that is exact in the linear leak of each state; rows of (m, size)."""
    return np.asarray(z + h * _exprel(h * _leaks(linear)) * linear.apply(z))


_MAPS = {"semi_implicit": _semi_implicit, "exponential_euler": _exponential_euler}


def _exprel(y: Array) -> Array:
    """(1 - exp(-y)) / y."""
    from scipy.special import exprel

    return np.asarray(exprel(-y))


def _leaks(linear: Linearised) -> Array:
    """Of every state, 1/s: (kappa (rho + weight of mse) + gamma)/tau_x, and gamma/tau_lam; (size,)."""
    net, flow = linear.net, linear.flow
    pull = {n: v.weight if v.kind == "mse" else 0.0 for n, v in net.losses.items()}
    leaks = [
        (flow.kappa * (flow.rho + pull.get(n, 0.0)) + flow.gamma) / flow.time("tau_x", n)
        for n in net.neurons
    ]
    leaks += [flow.gamma / flow.time("tau_lam", n) for n in net.neurons]
    return np.repeat(leaks, [block.size for block in linear.blocks])


def _state(net: Network, X: Any, Y: Any, at: Any) -> tuple[dict[str, Array], ...]:
    """Inputs and targets as they are read, and x and lam of the state."""
    clamped = read_patterns(net, X)
    count = len(next(iter(clamped.values())))
    encoded = targets(net, Y, count)
    if at is None:
        refuse_other_constraints(net)
        at = backprop(net, clamped, encoded, through="feedback")
    elif not (hasattr(at, "x") and hasattr(at, "lam")):
        raise ModelError(
            f"at is a {type(at).__name__}; allowed: None for the saddle point, or a run "
            "with .x and .lam"
        )
    parts = []
    for part in ("x", "lam"):
        given = {
            n: np.asarray(getattr(at, part)[n], dtype=float)
            for n in net.neurons
            if n in getattr(at, part)
        }
        for n in net.neurons:
            allowed = (count, net.populations[n].size)
            if n not in given or given[n].shape != allowed:
                got = given[n].shape if n in given else None
                raise DataError(
                    f"at.{part}[{n!r}] has shape {got}; allowed: (patterns, units) = {allowed}"
                )
        parts.append(given)
    return clamped, encoded, parts[0], parts[1]


def refuse_other_constraints(net: Network) -> None:
    """Only where G = lin are the forward pass and backpropagation's errors the saddle point."""
    for n in net.neurons:
        if (constraint := net.populations[n].constraint) != "lin":
            raise ModelError(
                f"constraint of {n} = {constraint!r}: its flow does not rest at "
                "backpropagation's saddle point; "
                "allowed here: lin; try stability(..., at=run), with a run that has come to rest"
            )


def _one(net: Network, flow: Flow, x: Any, lam: Any, X: Any, Y: Any, row: int) -> Linearised:
    return Linearised(
        net, flow, *({n: v[[row]] for n, v in part.items()} for part in (x, lam, X, Y))
    )


def _work(size: int, count: int) -> float:
    return 25.0 * size**3 * count


def _euler(found: Modes) -> float:
    return float(largest_step("euler", found.eigenvalues, found.fastest).min())


def _worst(spectra: list[Modes], measure: Callable[[Modes], float]) -> int:
    return int(np.argmin([measure(found) for found in spectra]))


def _assembled(linears: list[Linearised], spectra: list[Modes], rows: list[int]) -> Stability:
    eigenvalues = np.concatenate([m.eigenvalues for m in spectra])
    share = np.vstack([m.share for m in spectra])
    order = np.lexsort((-eigenvalues.imag, -eigenvalues.real))
    pattern = np.repeat(rows, [len(m.eigenvalues) for m in spectra])[order]
    places = {place: share[order, i] for i, place in enumerate(linears[0].places)}
    fastest = float(np.abs(eigenvalues).max())
    growing = bool(eigenvalues.real.max() > ROUNDING * fastest)
    steps = _Steps(linears, eigenvalues[order], growing)
    return Stability(eigenvalues[order], pattern, places, steps, all(m.complete for m in spectra))
