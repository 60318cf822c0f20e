"""Hopf points and folds between two points of a saddle curve.

Above `saddle_curve`, below `continuation`. Start at `between`.

References
----------
Hopf points and their first Lyapunov coefficient: Kuznetsov, Elements of Applied Bifurcation Theory,
3rd edition, sections 5.4 and 10.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import brentq

from neurosim.analysis.saddle_curve import SaddleCurve
from neurosim.arguments import checked
from neurosim.model.state import State
from neurosim.model.values import ByValue
from neurosim.reference.jacobian import Linearised
from neurosim.reference.linear_algebra import eigenpairs, solve

Array = np.ndarray

LOCATED = 1e-12  # of a step along the branch, to which a point is found
SAME = 1e-9  # of a step along the branch: two points closer than this are one
NEAR = 1e-3  # of a step along the branch, over which a growth is differentiated
# real part at a Hopf point, relative to the fastest mode; more is a pole, as lam has at a fold
CROSSES = 1e-5
HOPF, FOLD = "hopf", "fold"


@dataclass(frozen=True, eq=False)
class Bifurcation(ByValue):
    """A point where the saddle point changes its nature.

    Attributes
    ----------
    kind : {"hopf", "fold"}
        A pair of modes begins to grow or to decay; or the branch turns back.
    parameter : float
        Value of the parameter there.
    frequency : float
        Frequency of the pair, Hz; 0 at a fold.
    slope : float
        Change of the pair's growth by the parameter, 1/s; 0 at a fold.
    lyapunov : float
        Re c of dr/dt = growth r + Re c r³, 1/s, for r in x = x0 + 2 Re(r q exp(i w t)) with a mode
        q of length 1. Negative: supercritical, a small stable cycle is born. Positive: subcritical,
        an unstable cycle shrinks on the stable side, and states that leave the saddle go far away.
        NaN at a fold.
    mode : (states,), complex
        The mode q over x and then lam of all populations.
    state : State
        x and lam there, one pattern. At a fold lam diverges: its size there shows only how exactly
        the fold was located.
    growing : int
        Number of other modes that grow there. Unless it is 0, the saddle is unstable on both sides
        of a Hopf point, and so is the small cycle, whatever its criticality.
    """

    kind: str
    parameter: float
    frequency: float
    slope: float
    lyapunov: float
    mode: Array = field(repr=False)
    state: State = field(repr=False)
    growing: int = 0

    @property
    def criticality(self) -> str:
        """Kind of a Hopf point, "supercritical" or "subcritical"; "none" for a fold."""
        if self.kind != HOPF:
            return "none"
        return "supercritical" if self.lyapunov < 0 else "subcritical"

    @property
    def largest_output(self) -> float:
        """Largest modulus of the mode q over the outputs, unit 1."""
        units = self.mode.size // 2
        outputs = self.mode[:units]
        return float(np.abs(outputs).max())

    @checked
    def amplitude(self, parameter: float) -> float:
        """Largest excursion of an output on the small cycle, to leading order, unit 1.

        NaN where there is no small cycle. If no other mode grows, the cycle is stable on the
        growing side of a supercritical point; it is unstable on the decaying side of a subcritical
        one.
        """
        if not self.lyapunov:
            return np.nan
        growth = self.slope * (parameter - self.parameter)
        squared = -growth / self.lyapunov
        if not squared > 0:
            return np.nan
        r = np.sqrt(squared)
        return float(2 * r * self.largest_output)


@dataclass(frozen=True)
class Point:
    """A point of a branch.

    Attributes
    ----------
    z, tangent : (units + 1,)
        As in `SaddleCurve`.
    eigenvalues : (modes,), complex, 1/s
        Slowest first.
    """

    z: Array
    tangent: Array
    eigenvalues: Array


def between(curve: SaddleCurve, first: Point, second: Point) -> list[Bifurcation]:
    """Return the bifurcations between two points of a branch, in the order along it."""
    found: list[tuple[float, Bifurcation]] = []  # share of the way, and the bifurcation

    def at(share: float) -> Array:
        step = second.z - first.z
        guess = first.z + share * step
        tangent = step / curve.length(step)
        return curve.corrected(guess, tangent)

    def turn(share: float) -> float:
        tangent = curve.tangent(at(share), first.tangent)
        return float(tangent[-1])

    if first.tangent[-1] * second.tangent[-1] < 0:
        share = brentq(turn, 0.0, 1.0, xtol=LOCATED)
        fold = _fold(curve, at(share))
        found.append((share, fold))
    growths_before = first.eigenvalues.real
    growths_after = second.eigenvalues.real
    growing_before = int((growths_before > 0).sum())
    growing_after = int((growths_after > 0).sum())
    fewer, more = sorted((growing_before, growing_after))
    for k in range(fewer, more):
        if growths_before[k] * growths_after[k] >= 0:
            continue
        share, values = _crossing(curve, at, k)
        # the other mode of a pair was found before
        known = any(abs(share - other) < SAME for other, _ in found)
        fastest = np.abs(values).max()
        crosses = abs(values[k].real) <= CROSSES * fastest
        omega = abs(values[k].imag)
        if omega and crosses and not known:
            slope = _growth_slope(curve, at, share, omega)
            hopf = _hopf(curve, at(share), omega, slope)
            found.append((share, hopf))
    found.sort(key=lambda pair: pair[0])
    return [bifurcation for _, bifurcation in found]


def _crossing(curve: SaddleCurve, at: Callable[[float], Array], k: int) -> tuple[float, Array]:
    """Find where the real part of mode k changes its sign: share of the way, eigenvalues there."""

    def growth(share: float) -> float:
        values = curve.spectrum(at(share))
        return float(values[k].real)

    share = brentq(growth, 0.0, 1.0, xtol=LOCATED)
    values = curve.spectrum(at(share))
    return share, values


def _growth_slope(
    curve: SaddleCurve, at: Callable[[float], Array], share: float, omega: float
) -> float:
    """Change of the growth of the mode at i omega by the parameter, 1/s."""
    after = at(min(share + NEAR, 1.0))
    before = at(max(share - NEAR, 0.0))
    growths = []
    for z in (after, before):
        # by frequency: other modes may change places with this one nearby
        values = curve.spectrum(z)
        distance = np.abs(values - 1j * omega)
        mode = np.argmin(distance)
        growths.append(values[mode].real)
    rise = growths[0] - growths[1]
    width = curve.parameter(after) - curve.parameter(before)
    return float(rise / width)


def _fold(curve: SaddleCurve, z: Array) -> Bifurcation:
    """Return the fold at a point."""
    return Bifurcation(
        FOLD,
        parameter=curve.parameter(z),
        frequency=0.0,
        slope=0.0,
        lyapunov=np.nan,
        mode=np.zeros(2 * curve.size, complex),
        state=curve.state(z),
    )


def _hopf(curve: SaddleCurve, z: Array, omega: float, slope: float) -> Bifurcation:
    """Return the Hopf point at a point, for a pair of modes of i omega, 1/s."""
    J = curve.linearised(z).jacobian()
    q = _eigenvector(J, omega)
    p = _eigenvector(J.T, omega).conj()  # pᴴ J = i omega pᴴ
    p = p / np.vdot(q, p)
    lyapunov = _lyapunov(curve, z, J, omega, q, p)
    frequency = float(omega / (2 * np.pi))
    values = np.linalg.eigvals(J)
    distance = np.minimum(np.abs(values - 1j * omega), np.abs(values + 1j * omega))
    others = values[np.argsort(distance)[2:]]
    growing = int((others.real > 0).sum())
    return Bifurcation(
        HOPF,
        parameter=curve.parameter(z),
        frequency=frequency,
        slope=float(slope),
        lyapunov=lyapunov,
        mode=q,
        state=curve.state(z),
        growing=growing,
    )


def _eigenvector(matrix: Array, omega: float) -> Array:
    """Return the eigenvector whose eigenvalue is nearest to i omega, of length 1."""
    values, vectors = eigenpairs(matrix, "the Jacobian")
    distance = np.abs(values - 1j * omega)
    nearest = np.argmin(distance)
    return np.asarray(vectors[:, nearest])


def _lyapunov(curve: SaddleCurve, z: Array, J: Array, omega: float, q: Array, p: Array) -> float:
    """Re c of the normal form, 1/s, with B and C the second and third derivatives of the flow.

    ::

        c = <p, C(q,q,q̄) - 2 B(q, J⁻¹ B(q,q̄)) + B(q̄, (2iω - J)⁻¹ B(q,q))> / 2
    """
    linear = curve.linearised(z)
    scale = float(np.abs(linear.state).max())
    h = 1e-4 * max(1.0, scale)

    def first(u: Array) -> Array:
        """Derivative of J along a real direction."""
        ahead = _jacobian_at(curve, linear, h * u)
        behind = _jacobian_at(curve, linear, -h * u)
        return np.asarray((ahead - behind) / (2 * h))

    def second(u: Array) -> Array:
        """Second derivative of J along a real direction."""
        ahead = _jacobian_at(curve, linear, h * u)
        behind = _jacobian_at(curve, linear, -h * u)
        bend = ahead - 2 * J + behind
        return np.asarray(bend / h**2)

    re = q.real
    im = q.imag
    conjugate = q.conj()
    Bq = first(re) + 1j * first(im)
    mixed = second(re + im) - second(re - im)
    Cqq = second(re) - second(im) + 0.5j * mixed
    # responses to the squared mode: a shift, and an oscillation of twice the frequency
    shift = solve(J, Bq @ conjugate, "the Jacobian")
    identity = np.eye(len(J))
    twice = solve(2j * omega * identity - J, Bq @ q, "2iω - J")
    cubic = Cqq @ conjugate
    by_shift = 2 * Bq @ shift
    by_twice = Bq.conj() @ twice
    c = np.vdot(p, cubic - by_shift + by_twice)
    return float(c.real / 2)


def _jacobian_at(curve: SaddleCurve, linear: Linearised, direction: Array) -> Array:
    """Return the Jacobian at the state of `linear` moved along a direction; 1/s."""
    moved = np.split(linear.state + direction, linear.cuts)
    parts = []
    for v, shape in zip(moved, linear.shapes, strict=True):
        parts.append(v.reshape(shape))
    half = len(curve.neurons)
    x = dict(zip(curve.neurons, parts[:half], strict=True))
    lam = dict(zip(curve.neurons, parts[half:], strict=True))
    nudged = Linearised(linear.net, linear.flow, x, lam, curve.X, curve.Y)
    return nudged.jacobian()
