"""The largest stable step of each integration method, for a linearised flow.

Above `reference.spectrum`, below `stability`. Runge-Kutta methods are judged by the modes alone;
semi-implicit and exponential steps by the modes of their effective rates. Start at `LargestSteps`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from neurosim.errors import unknown
from neurosim.model.methods import EULER, FIXED_STEP, SEMI_IMPLICIT
from neurosim.reference.jacobian import Linearised, matrix_of
from neurosim.reference.spectrum import (
    AMPLIFICATION,
    ROUNDING,
    Modes,
    largest_step,
    parts,
    searched_radius,
)

Array = np.ndarray
Stable = Callable[[float], bool]  # whether a step of h, in s, is stable

DENSE = 300  # states up to which the matrix of a step is built
SHORTEST = 1e-2  # times the period of the fastest mode: first step tried where none of Euler is
# Times Euler's step: first step tried. On 157 random graphs the other methods were stable up to
# 0.49 of it or more.
FIRST = 0.25
LONGEST = 1e4  # times the period of the fastest mode: steps beyond are not tried
# From one step that is tried to the next. Steps between two unstable ones can be stable; on the
# same graphs the unstable ones below them spanned factors of 1.58 or more.
FACTOR = 1.25
NONE = 1e-5  # times the period of the fastest mode: where only shorter steps seem stable, none is
PRECISION = 1e-4  # to which the largest step is found, relative to it


class LargestSteps(Mapping[str, float]):
    """Largest stable step by method, in s; each is computed on first access.

    A step of h is stable if every shorter one is. Of several patterns, each of which has a step of
    its own, it is the smallest.

    Parameters
    ----------
    linears : sequence of Linearised
        One per pattern, or one of all patterns.
    spectra : sequence of Modes
        Of each of them.
    """

    def __init__(self, linears: Sequence[Linearised], spectra: Sequence[Modes]) -> None:
        self.linears, self.spectra = linears, spectra
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
        smallest = np.inf
        for linear, found in zip(self.linears, self.spectra, strict=True):
            growing = found.eigenvalues.real.max() > ROUNDING * found.fastest
            if growing:
                return 0.0
            if method in AMPLIFICATION:
                step = float(largest_step(method, found.eigenvalues, found.fastest).min())
            else:
                step = _searched(method, linear, found, smallest)
            smallest = min(smallest, step)
        return smallest


def _searched(method: str, linear: Linearised, found: Modes, enough: float) -> float:
    """Find the first h at which a step of a pattern is unstable.

    Parameters
    ----------
    method : {"semi_implicit", "exponential_euler"}
    linear : Linearised
    found : Modes
        Of it.
    enough : float
        The search ends where every step up to this one is stable, s.

    Returns
    -------
    float
        s; `inf` where the search ended. It does not depend on `enough` otherwise.
    """
    if not found.fastest:
        return np.inf
    period = 1 / found.fastest
    euler = float(largest_step(EULER, found.eigenvalues, found.fastest).min())
    first = FIRST * euler if 0 < euler < np.inf else SHORTEST * period
    judge = _judge_of_matrix if linear.size <= DENSE else _judge_of_products
    stable = judge(method, linear)
    low, high = 0.0, first
    while stable(high):
        low, high = high, FACTOR * high
        if low >= min(enough, LONGEST * period):
            return np.inf
    while high - low > PRECISION * high and high > NONE * period:
        middle = (low + high) / 2
        if stable(middle):
            low = middle
        else:
            high = middle
    return low if high > NONE * period else 0.0


def _judge_of_matrix(method: str, linear: Linearised) -> Stable:
    """Judge steps by the eigenvalues s of their effective rates A(h), with z + h A(h) z the step.

    It is stable where |1 + h s| <= 1 for all of them, or Re s + h |s|²/2 <= 0. In this form
    rounding does not hide slow growth at short steps.
    """
    J = linear.jacobian()
    leaks = linear.leaks
    couplings = J != 0
    renewed = np.zeros_like(J)
    if method == SEMI_IMPLICIT:
        renewed = matrix_of(linear.renewed, linear.size) @ J
        couplings |= renewed != 0
    alone = []
    coupled = []
    for rows in parts(couplings):
        if rows.size == 1:
            alone.append(rows)
        else:
            coupled.append(np.ix_(rows, rows))
    single = np.concatenate(alone) if alone else np.empty(0, dtype=int)

    def stable(h: float) -> bool:
        rates = J + h * renewed if method == SEMI_IMPLICIT else _share(h, leaks)[:, None] * J
        modes = [np.linalg.eigvals(rates[block]) for block in coupled]
        s = np.concatenate([rates[single, single], *modes])
        modulus = np.abs(s)
        growth = s.real + h * modulus**2 / 2
        return bool(growth.max() <= ROUNDING * modulus.max())

    return stable


def _judge_of_products(method: str, linear: Linearised) -> Stable:
    """Judge steps by their spectral radius, which is searched without building a matrix."""
    step = _semi_implicit if method == SEMI_IMPLICIT else _exponential_euler

    def stable(h: float) -> bool:
        return searched_radius(partial(step, linear, h), linear.size) <= 1 + ROUNDING

    return stable


def _semi_implicit(linear: Linearised, h: float, z: Array) -> Array:
    """Step states, (m, size), by h; the multipliers use the new x."""
    moved = h * linear.apply(z)
    return np.asarray(z + moved + h * linear.renewed(moved))


def _exponential_euler(linear: Linearised, h: float, z: Array) -> Array:
    """Step states, (m, size), by h, exactly in the linear leak of each."""
    return np.asarray(z + h * _share(h, linear.leaks) * linear.apply(z))


def _share(h: float, leaks: Array) -> Array:
    """Return (1 - exp(-h leak)) / (h leak), the share of an Euler step that is taken, by state."""
    from scipy.special import exprel

    return np.asarray(exprel(-h * leaks))
