"""The largest stable step of each integration method, for a linearised flow.

Above `reference.spectrum`, below `stability`. Runge-Kutta methods are judged by the modes alone;
semi-implicit and exponential steps by the spectral radius of their linear map. Start at
`LargestSteps`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from neurosim.errors import unknown
from neurosim.model.methods import FIXED_STEP, SEMI_IMPLICIT
from neurosim.reference.jacobian import Linearised
from neurosim.reference.spectrum import AMPLIFICATION, ROUNDING, largest_step, radius

Array = np.ndarray
Step = Callable[[float, Array], Array]  # h in s and states (m, size) -> states

DENSE = 300  # states up to which the matrix of a step is built
SHORTEST = 1e-2  # times the period of the fastest mode: where the search for a step begins
LONGEST = 1e4  # times the period of the fastest mode: steps beyond are not tried
FACTOR = 1.25  # from one step that is tried to the next
PRECISION = 1e-4  # to which the largest step is found, relative to it


class LargestSteps(Mapping[str, float]):
    """Largest stable step by method, in s; each is computed on first access.

    Parameters
    ----------
    linears : list of Linearised
        One per pattern, or one of all patterns.
    eigenvalues : (modes,), complex, 1/s
        Modes of all of them.
    growing : bool
        Whether some mode grows: no step is stable then.
    """

    def __init__(self, linears: list[Linearised], eigenvalues: Array, growing: bool) -> None:
        self.linears, self.eigenvalues, self.growing = linears, eigenvalues, growing
        has_maps = linears[0].exact and not linears[0].plastic
        self.methods = tuple(m for m in FIXED_STEP if m in AMPLIFICATION or has_maps)
        self.found: dict[str, float] = {}

    def __getitem__(self, method: str) -> float:
        if method not in self.methods:
            raise unknown("method", method, self.methods)
        if method not in self.found:
            self.found[method] = self._find(method)
        return self.found[method]

    def __iter__(self) -> Iterator[str]:
        return iter(self.methods)

    def __len__(self) -> int:
        return len(self.methods)

    def _find(self, method: str) -> float:
        if self.growing:
            return 0.0
        fastest = float(np.abs(self.eigenvalues).max())
        if method in AMPLIFICATION:
            return float(largest_step(method, self.eigenvalues, fastest).min())
        step = _semi_implicit if method == SEMI_IMPLICIT else _exponential_euler
        best = np.inf
        for linear in self.linears:
            best = _searched(partial(step, linear), linear.size, 1 / fastest, best)
        return best


def _searched(step: Step, size: int, period: float, best: float) -> float:
    """Find the first h at which the spectral radius of a step exceeds 1, if it is below `best`.

    Parameters
    ----------
    step : callable
        As `Step`.
    size : int
    period : float
        1 over the modulus of the fastest mode, s.
    best : float
        Bound of the search, s; returned where every step up to it is stable.
    """

    def stable(h: float) -> bool:
        return radius(partial(step, h), size, DENSE) <= 1 + ROUNDING

    if np.isfinite(best) and stable(best):
        return best
    low, high = 0.0, SHORTEST * period
    while stable(high):
        low, high = high, FACTOR * high
        if high > min(best, LONGEST * period):
            return best
    while high - low > PRECISION * high and high > 1e-6 * period:
        middle = (low + high) / 2
        if stable(middle):
            low = middle
        else:
            high = middle
    return low


def _semi_implicit(linear: Linearised, h: float, z: Array) -> Array:
    """Step states, (m, size), by h; the multipliers use the new x."""
    moved = h * linear.apply(z)
    return np.asarray(z + moved + h * linear.renewed(moved))


def _exponential_euler(linear: Linearised, h: float, z: Array) -> Array:
    """Step states, (m, size), by h, exactly in the linear leak of each."""
    from scipy.special import exprel

    share = np.asarray(exprel(-(h * linear.leaks)))  # (1 - exp(-y)) / y
    return np.asarray(z + h * share * linear.apply(z))
