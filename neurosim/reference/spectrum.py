"""The modes of a linearised flow, and the steps that integrators may take on them.

Above `linearised`, below `guard` and `analysis`. Start at `modes`; `largest_step` says how far a
step may reach.

References
----------
Arnoldi iteration: Lehoucq, Sorensen & Yang, ARPACK users' guide, 1998. Stability regions: Hairer & Wanner, Solving
Ordinary Differential Equations II, chapter IV.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from neurosim.reference.jacobian import Derivative, Linearised, built

Array = np.ndarray

SEARCHES = 6  # for the mode that limits the step, each with the step that the last one found
SAME = 1e-4  # two modes closer than this, relative to the fastest, are one
ROUNDING = 1e-7  # real parts and couplings below this, relative to the fastest mode, are not seen

# what ARPACK is asked for: modes of largest modulus; of an inverse, so nearest 0; of largest real
# part
LIMITING = MappingProxyType({"which": "LM", "k": 6, "ncv": 40, "tol": 1e-3, "maxiter": 20})
PRECISE = MappingProxyType({"which": "LM", "k": 2, "ncv": 30, "tol": 1e-5, "maxiter": 20})
NEAREST = MappingProxyType({"which": "LM", "k": 20, "ncv": 80, "tol": 1e-5, "maxiter": 20})
RIGHTMOST = MappingProxyType({"which": "LR", "k": 6, "ncv": 80, "tol": 1e-6, "maxiter": 200})
FARTHEST = MappingProxyType({"which": "LM", "k": 6, "ncv": 60, "tol": 1e-6, "maxiter": 100})

# R(z) of one step, z = h s, by powers of z; a mode holds where |R| <= 1
AMPLIFICATION = MappingProxyType(
    {"euler": (1.0, 1.0), "heun": (1.0, 1.0, 1 / 2), "rk4": (1.0, 1.0, 1 / 2, 1 / 6, 1 / 24)}
)


@dataclass(frozen=True)
class Modes:
    """Modes of one Jacobian.

    Attributes
    ----------
    eigenvalues : (modes,), complex, 1/s
    share : (modes, places)
        Where each lives: its squared weight by `Linearised.places`; a row sums to 1.
    complete : bool
        Whether these are all modes, and not those of largest modulus, of smallest damping, and that
        limit a step.
    """

    eigenvalues: Array
    share: Array
    complete: bool = True

    @property
    def fastest(self) -> float:
        """Largest modulus, 1/s: the scale against which rounding is judged."""
        return float(np.abs(self.eigenvalues).max())


def modes(linear: Linearised, dense: float, *, rightmost: bool = False) -> Modes:
    """The modes of a Jacobian, or those of them that matter where it is large.

    Parts of the state that drive each other one way only have spectra of their own, and are taken
    apart first: that keeps the strongly non-normal `Flow.adjoint` exact (on an acyclic graph -1/tau
    and nothing else), and means that a mode lives in the part which it comes from, not in what that
    drives.

    Parameters
    ----------
    linear : Linearised
    dense : float
        Coupled states up to which a matrix is built and diagonalised.
    rightmost : bool
        Where that is not done, search the modes of smallest damping too, not only those that limit
        a step of Euler: on an acyclic graph those nearest 0, by inverse iteration, whose solves are
        sweeps forward and back.
    """
    if linear.size <= dense:
        return _whole(linear, np.arange(linear.size))
    parts = [
        _whole(linear, states) if states.size <= dense else _searched(linear, states, rightmost)
        for states in _coupled(linear)
    ]
    eigenvalues, share = (
        np.concatenate([p.eigenvalues for p in parts]),
        np.vstack([p.share for p in parts]),
    )
    return Modes(eigenvalues, share, all(p.complete for p in parts))


def largest_step(method: str, eigenvalues: Array, fastest: float) -> Array:
    """Largest h for which every step from 0 to h holds, |R(h s)| <= 1, for each mode; (modes,), s.

    Infinite where a mode stands still; 0 where it grows, or where no step holds for a mode that
    oscillates undamped.

    Parameters
    ----------
    method : {"euler", "heun", "rk4"}
    eigenvalues : (modes,), complex, 1/s
    fastest : float
        Modulus in 1/s against which rounding is judged.
    """
    modulus = np.abs(eigenvalues)
    moves = (modulus > ROUNDING * fastest) & (modulus > 0)
    direction = np.exp(1j * np.angle(eigenvalues))
    direction = np.where(
        np.abs(direction.real) <= ROUNDING, 1j * np.sign(direction.imag), direction
    )
    found = np.full(modulus.shape, np.inf)
    found[moves] = _first_crossing(AMPLIFICATION[method], direction[moves]) / modulus[moves]
    return found


def radius(step: Derivative, size: int, dense: int) -> float:
    """Spectral radius of a linear map that is given by its products, unit 1; above `dense` states
    by Arnoldi iteration.

    Parameters
    ----------
    step : callable
        Rows (m, size) -> their images (m, size).
    """
    if size <= dense:
        return float(
            np.abs(np.concatenate([values for values, *_ in _parts(built(step, size))])).max()
        )
    growths, _ = _eigenpairs(
        lambda v: step(v[None])[0], np.random.default_rng(0).normal(size=size), FARTHEST
    )
    return float(np.abs(growths).max())


def _first_crossing(powers: tuple[float, ...], direction: Array) -> Array:
    """Smallest r > 0 beyond which |R(r direction)| exceeds 1, (modes,); `direction` has modulus 1."""
    order = len(powers) - 1
    excess = np.zeros((direction.size, 2 * order))  # |R|² - 1 by powers of r from the first on
    for j, one in enumerate(powers):
        for k, other in enumerate(powers):
            if j + k:
                excess[:, j + k - 1] += one * other * (direction**j * np.conj(direction**k)).real
    excess[np.abs(excess) < 1e-14] = 0.0
    first = np.array([row[np.flatnonzero(row)[0]] for row in excess])
    found = np.zeros(direction.size)
    damped = first < 0
    # roots in 1/r of the reversed polynomial: its leading coefficient, of r to the highest power,
    # is never 0
    companion = np.zeros((int(damped.sum()), 2 * order - 1, 2 * order - 1))
    companion[:, 1:, :-1] = np.eye(2 * order - 2)
    companion[:, :, -1] = -excess[damped, :-1] / excess[damped, -1:]
    roots = np.linalg.eigvals(companion)
    real = (np.abs(roots.imag) < 1e-6 * np.abs(roots)) & (roots.real > 1e-9)
    found[damped] = np.where(real, roots.real, np.inf).min(axis=1)
    return found


def _whole(linear: Linearised, states: Array) -> Modes:
    """All modes among some of the states."""
    values, vectors, parts = zip(*_parts(linear.jacobian(states)), strict=True)
    share = [_share(linear, states[part], v) for part, v in zip(parts, vectors, strict=True)]
    return Modes(np.concatenate(values).astype(complex), np.vstack(share))


def _parts(matrix: Array) -> Iterator[tuple[Array, Array, Array]]:
    """Eigenvalues, vectors and rows of each part of a matrix whose entries reach each other both
    ways.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(csr_array(matrix != 0), connection="strong")
    for k in range(count):
        rows = np.flatnonzero(label == k)
        yield (*np.linalg.eig(matrix[np.ix_(rows, rows)]), rows)


def _share(linear: Linearised, states: Array, vectors: Array) -> Array:
    """Squared weight of each vector, a column, by place; (modes, places)."""
    weight = np.zeros((vectors.shape[1], len(linear.places)))
    np.add.at(weight.T, linear.place[states], np.abs(vectors) ** 2)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _coupled(linear: Linearised) -> list[Array]:
    """States that drive each other both ways, as index arrays, by the response to a random nudge of
    each block.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    rng = np.random.default_rng(0)
    nudges = np.zeros((len(linear.blocks), linear.size))
    for row, block in zip(nudges, linear.blocks, strict=True):
        row[block] = rng.normal(size=block.size)
    response = np.abs(linear.at_synapses(nudges))
    drives = np.array(
        [[part.max(initial=0.0) for part in np.split(row, linear.cuts)] for row in response]
    )
    count, label = connected_components(
        csr_array(drives > ROUNDING * drives.max()), connection="strong"
    )
    return [
        np.concatenate([b for b, i in zip(linear.blocks, label, strict=True) if i == k])
        for k in range(count)
    ]


def _searched(linear: Linearised, states: Array, rightmost: bool) -> Modes:
    """The modes that limit a step of Euler, and if wanted the rightmost, where the Jacobian is too
    large to build.

    The limiting mode of a step h is the eigenvalue of I + h J of largest modulus. Starting from the
    largest of J itself (h = inf), h is lowered to what the modes found so far allow, until nothing
    new is found.
    """
    derivative = linear.within(states)
    start = np.random.default_rng(0).normal(size=states.size)
    first = derivative(start[None])[0]
    slope = float(start @ first / (start @ start))
    if np.abs(first - slope * start).max() <= ROUNDING * abs(slope) * np.abs(start).max():
        return Modes(
            np.array([slope + 0j]),
            _share(linear, states, np.ones((states.size, 1))),
            complete=False,
        )

    effort = PRECISE if rightmost else LIMITING
    found = [_eigenpairs(lambda v: derivative(v[None])[0], start, effort)]
    step = np.inf
    for _ in range(SEARCHES):
        eigenvalues = np.concatenate([values for values, _ in found])
        lowest = float(largest_step("euler", eigenvalues, np.abs(eigenvalues).max()).min())
        if lowest == 0 or lowest > 0.99 * step:
            break
        step = lowest
        growths, vectors = _eigenpairs(partial(_stepped, derivative, step), start, effort)
        found.append(((growths - 1) / step, vectors))
    if rightmost and linear.invertible and states.size == linear.size:
        slow, vectors = _eigenpairs(lambda v: linear.solve(v[None])[0], start, NEAREST)
        found.append((1 / slow, vectors))
    elif rightmost:
        found.append(_eigenpairs(lambda v: derivative(v[None])[0], start, RIGHTMOST))
    eigenvalues, vectors = (
        np.concatenate([values for values, _ in found]),
        np.hstack([v for _, v in found]),
    )
    once = _distinct(eigenvalues)
    return Modes(eigenvalues[once], _share(linear, states, vectors[:, once]), complete=False)


def _distinct(eigenvalues: Array) -> Array:
    """Index of the last of each that several searches found."""
    near = np.abs(eigenvalues[:, None] - eigenvalues) <= SAME * np.abs(eigenvalues).max()
    return np.flatnonzero(~np.triu(near, 1).any(axis=1))


def _stepped(derivative: Derivative, h: float, v: Array) -> Array:
    """(I + h J) v, (size,)."""
    return np.asarray(v + h * derivative(v[None])[0])


def _eigenpairs(
    apply: Callable[[Array], Array], start: Array, effort: Mapping[str, Any] = LIMITING
) -> tuple[Array, Array]:
    """A few extreme eigenvalues and their vectors, (k,) and (size, k), of a map that is given by
    its products.
    """
    from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigs

    operator = LinearOperator(
        (start.size, start.size), matvec=lambda v: apply(np.ravel(v)), dtype=float
    )
    try:
        growths, vectors = eigs(operator, v0=start, **effort)
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
