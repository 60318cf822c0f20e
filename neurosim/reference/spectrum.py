"""The modes of a linearised flow, and the steps that integrators may take on them.

Above `jacobian`; used by `simulation` and `analysis`. Start at `modes`; `largest_step` gives the
largest stable step of a method.

References
----------
Arnoldi iteration: Lehoucq, Sorensen & Yang, ARPACK users' guide, 1998.
Stability regions: Hairer & Wanner, Solving Ordinary Differential Equations II, chapter IV.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from neurosim.errors import ConvergenceError
from neurosim.model.display import short_repr
from neurosim.model.methods import EULER, HEUN, RK4
from neurosim.reference.jacobian import Derivative, Linearised
from neurosim.reference.linear_algebra import check_finite, eigenpairs

Array = np.ndarray
Eigenpairs = tuple[Array, Array]  # eigenvalues (k,), eigenvectors (size, k)

SEARCHES = 6  # for the mode that limits the step, each with the step that the last one found
SAME = 1e-4  # two modes closer than this, relative to the fastest, are one
ROUNDING = 1e-7  # real parts and couplings below this, relative to the fastest mode, are rounding
POWER = 100  # steps of power iteration where the Arnoldi iteration finds nothing

# ARPACK's options: modes of largest modulus (LM); of an inverse, so nearest 0 (LM); of largest real
# part (LR)
LIMITING = MappingProxyType(
    {
        "which": "LM",
        "k": 6,
        "ncv": 40,
        "tol": 1e-3,
        "maxiter": 20,
    }
)
PRECISE = MappingProxyType(
    {
        "which": "LM",
        "k": 2,
        "ncv": 30,
        "tol": 1e-5,
        "maxiter": 20,
    }
)
NEAREST = MappingProxyType(
    {
        "which": "LM",
        "k": 20,
        "ncv": 80,
        "tol": 1e-5,
        "maxiter": 20,
    }
)
RIGHTMOST = MappingProxyType(
    {
        "which": "LR",
        "k": 6,
        "ncv": 80,
        "tol": 1e-6,
        "maxiter": 200,
    }
)
FARTHEST = MappingProxyType(
    {
        "which": "LM",
        "k": 6,
        "ncv": 60,
        "tol": 1e-6,
        "maxiter": 100,
    }
)

# R(z) of one step, z = h s, by powers of z; a step is stable for a mode where |R| <= 1
AMPLIFICATION = MappingProxyType(
    {
        EULER: (1.0, 1.0),
        HEUN: (1.0, 1.0, 1 / 2),
        RK4: (1.0, 1.0, 1 / 2, 1 / 6, 1 / 24),
    }
)


@dataclass(frozen=True, repr=False)
class Modes:
    """Modes of one Jacobian.

    Attributes
    ----------
    eigenvalues : (modes,), complex, 1/s
    share : (modes, places)
        Squared weight of each mode by `Linearised.places`; a row sums to 1.
    complete : bool
        Whether these are all modes. Otherwise they are those of largest modulus, of smallest
        damping, and those that limit a step.
    """

    eigenvalues: Array
    share: Array
    complete: bool = True

    __repr__ = short_repr

    @property
    def fastest(self) -> float:
        """Largest modulus, 1/s: the scale against which rounding is judged."""
        return float(np.abs(self.eigenvalues).max())


def modes(linear: Linearised, dense: float, *, rightmost: bool = False) -> Modes:
    """Find the modes of a Jacobian, or those that matter where it is large.

    Parts of the state that drive each other in one direction only have spectra of their own, and
    are separated first. That keeps the strongly non-normal `Flow.adjoint` exact: on an acyclic
    graph its only eigenvalue is -1/tau. A mode then belongs to the part that it comes from, not to
    the parts that this drives.

    Parameters
    ----------
    linear : Linearised
    dense : float
        Number of coupled states up to which a matrix is built and diagonalised.
    rightmost : bool
        Where no matrix is built, search the modes of smallest damping too, not only those that
        limit a step of Euler. On an acyclic graph those are searched nearest 0, by inverse
        iteration, whose solves are sweeps forward and back.

    Returns
    -------
    Modes
    """
    if linear.size <= dense:
        return _diagonalised(linear, np.arange(linear.size))
    pieces = []
    for states in _coupled(linear):
        if states.size <= dense:
            pieces.append(_diagonalised(linear, states))
        else:
            pieces.append(_searched(linear, states, rightmost))
    eigenvalues = np.concatenate([piece.eigenvalues for piece in pieces])
    share = np.vstack([piece.share for piece in pieces])
    complete = all(piece.complete for piece in pieces)
    return Modes(eigenvalues, share, complete)


def largest_step(method: str, eigenvalues: Array, fastest: float) -> Array:
    """Return the largest h such that every step from 0 to h is stable, |R(h s)| <= 1, by mode.

    Parameters
    ----------
    method : {"euler", "heun", "rk4"}
    eigenvalues : (modes,), complex, 1/s
    fastest : float
        Modulus in 1/s against which rounding is judged.

    Returns
    -------
    array, (modes,), s
        Infinite where a mode stands still. 0 where it grows, or where no step is stable for a mode
        that oscillates undamped.

    Examples
    --------
    >>> largest_step("euler", np.array([-100.0 + 0j]), 100.0)
    array([0.02])
    """
    modulus = np.abs(eigenvalues)
    moves = (modulus > ROUNDING * fastest) & (modulus > 0)
    angle = np.angle(eigenvalues)
    direction = np.exp(1j * angle)
    undamped = np.abs(direction.real) <= ROUNDING
    on_axis = 1j * np.sign(direction.imag)
    direction = np.where(undamped, on_axis, direction)
    powers = AMPLIFICATION[method]
    found = np.full(modulus.shape, np.inf)
    found[moves] = _first_crossing(powers, direction[moves]) / modulus[moves]
    return found


def searched_radius(step: Derivative, size: int) -> float:
    """Return the spectral radius of a large linear map that is given by its products, unit 1.

    Parameters
    ----------
    step : callable
        Rows (m, size) -> their images (m, size).
    size : int
    """
    rng = np.random.default_rng(0)
    start = rng.normal(size=size)
    product = partial(_single, step)
    growths, _ = _eigenpairs(product, start, FARTHEST)
    return float(np.abs(growths).max())


def parts(couplings: Array) -> list[Array]:
    """Return the rows of each strongly connected part of a matrix, whose spectra are its own."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    drives = csr_array(couplings != 0)
    count, label = connected_components(drives, connection="strong")
    return [np.flatnonzero(label == k) for k in range(count)]


def _first_crossing(powers: tuple[float, ...], direction: Array) -> Array:
    """Return the smallest r > 0 beyond which |R(r direction)| exceeds 1.

    Parameters
    ----------
    powers : tuple of float
        R(z) by powers of z.
    direction : (modes,), complex, of modulus 1

    Returns
    -------
    array, (modes,), unit 1
        0 where no r is stable.
    """
    order = len(powers) - 1
    excess = np.zeros((direction.size, 2 * order))  # |R|² - 1 by powers of r from the first on
    for j, one in enumerate(powers):
        for k, other in enumerate(powers):
            if j + k == 0:
                continue
            conjugate = np.conj(direction**k)
            phase = (direction**j * conjugate).real
            column = j + k - 1
            excess[:, column] += one * other * phase
    rounding = np.abs(excess) < 1e-14
    excess[rounding] = 0.0
    # the first coefficient that is not 0 has the sign of |R|² - 1 for small r
    first = np.zeros(direction.size)
    for i, row in enumerate(excess):
        power = np.flatnonzero(row)[0]
        first[i] = row[power]
    found = np.zeros(direction.size)
    damped = first < 0
    found[damped] = _smallest_root(excess[damped])
    return found


def _smallest_root(coefficients: Array) -> Array:
    """Return the smallest positive root of each polynomial, infinite where there is none.

    Parameters
    ----------
    coefficients : (polynomials, degree + 1)
        By rising power; the last is never 0.

    Returns
    -------
    array, (polynomials,)
    """
    count = len(coefficients)
    degree = coefficients.shape[1] - 1
    lower = coefficients[:, :-1]
    leading = coefficients[:, -1:]
    companion = np.zeros((count, degree, degree))
    companion[:, 1:, :-1] = np.eye(degree - 1)
    companion[:, :, -1] = -lower / leading
    roots = np.linalg.eigvals(companion)
    modulus = np.abs(roots)
    real = np.abs(roots.imag) < 1e-6 * modulus
    positive = roots.real > 1e-9
    candidates = np.where(real & positive, roots.real, np.inf)
    return np.asarray(candidates.min(axis=1))


def _diagonalised(linear: Linearised, states: Array) -> Modes:
    """Find all modes among some of the states, from the matrix."""
    by_part = []
    shares = []
    matrix = linear.jacobian(states)
    if not np.isfinite(matrix).all():
        raise ConvergenceError(
            "the linearised flow has values that are not finite, so that it has no modes; "
            "try smaller gains, weights, loss weights or inputs"
        )
    for rows in parts(matrix):
        own = states[rows]
        values, vectors = eigenpairs(matrix[np.ix_(rows, rows)], "the Jacobian")
        by_part.append(values)
        shares.append(_share(linear, own, vectors))
    eigenvalues = np.concatenate(by_part).astype(complex)
    return Modes(eigenvalues, np.vstack(shares))


def _share(linear: Linearised, states: Array, vectors: Array) -> Array:
    """Return the squared weight of each vector, a column, by place; (modes, places)."""
    count = vectors.shape[1]
    squares = np.abs(vectors) ** 2
    weight = np.zeros((count, len(linear.places)))
    np.add.at(weight.T, linear.place[states], squares)
    whole = weight.sum(axis=1, keepdims=True)
    return np.asarray(weight / whole)


def _coupled(linear: Linearised) -> list[Array]:
    """Return the groups of states that drive each other both ways, as index arrays.

    The response to a random nudge of each block shows which blocks it drives.
    """
    rng = np.random.default_rng(0)
    blocks = len(linear.blocks)
    nudges = np.zeros((blocks, linear.size))
    for row, block in zip(nudges, linear.blocks, strict=True):
        row[block] = rng.normal(size=block.size)
    responses = np.abs(linear.apply(nudges))
    check_finite(responses, "the Jacobian")
    drives = np.zeros((blocks, blocks))
    for i, response in enumerate(responses):
        pieces = np.split(response, linear.cuts)
        drives[i] = [piece.max(initial=0.0) for piece in pieces]
    rounding = ROUNDING * drives.max()
    groups = []
    for own in parts(drives > rounding):
        states = [linear.blocks[i] for i in own]
        groups.append(np.concatenate(states))
    return groups


def _searched(linear: Linearised, states: Array, rightmost: bool) -> Modes:
    """Search the modes that limit a step of Euler, and on request the rightmost ones.

    For Jacobians too large to build.
    """
    derivative = linear.within(states)
    product = partial(_single, derivative)
    rng = np.random.default_rng(0)
    start = rng.normal(size=states.size)
    image = product(start)
    squared = start @ start
    slope = float(start @ image / squared)
    deviation = np.abs(image - slope * start).max()
    if deviation <= ROUNDING * abs(slope) * np.abs(start).max():
        # J is a multiple of the identity
        eigenvalues = np.array([slope + 0j])
        vectors = np.ones((states.size, 1))
        share = _share(linear, states, vectors)
        return Modes(eigenvalues, share, complete=False)

    effort = PRECISE if rightmost else LIMITING
    found = _limiting(derivative, start, effort)
    whole = states.size == linear.size
    if rightmost and whole and linear.invertible:
        inverse = partial(_single, linear.solve)
        inverses, vectors = _eigenpairs(inverse, start, NEAREST)
        found.append((1 / inverses, vectors))
    elif rightmost:
        found.append(_eigenpairs(product, start, RIGHTMOST))
    eigenvalues = np.concatenate([values for values, _ in found])
    vectors = np.hstack([v for _, v in found])
    once = _distinct(eigenvalues)
    share = _share(linear, states, vectors[:, once])
    return Modes(eigenvalues[once], share, complete=False)


def _limiting(derivative: Derivative, start: Array, effort: Mapping[str, Any]) -> list[Eigenpairs]:
    """Search the modes that limit a step of Euler.

    The limiting mode of a step h is the eigenvalue of I + h J of largest modulus. Starting from the
    largest of J itself (h = inf), h is lowered to the largest step that the modes found so far
    allow, until a search finds nothing new.
    """
    product = partial(_single, derivative)
    found = [_eigenpairs(product, start, effort)]
    step = np.inf
    for _ in range(SEARCHES):
        eigenvalues = np.concatenate([values for values, _ in found])
        fastest = np.abs(eigenvalues).max()
        steps = largest_step(EULER, eigenvalues, fastest)
        lowest = float(steps.min())
        if lowest == 0 or lowest > 0.99 * step:
            break
        step = lowest
        euler_step = partial(_stepped, derivative, step)
        growths, vectors = _eigenpairs(euler_step, start, effort)
        eigenvalues = (growths - 1) / step
        found.append((eigenvalues, vectors))
    return found


def _distinct(eigenvalues: Array) -> Array:
    """Return the index of each distinct mode, the last where several searches found it."""
    distance = np.abs(eigenvalues[:, None] - eigenvalues)
    fastest = np.abs(eigenvalues).max()
    same = distance <= SAME * fastest
    found_later = np.triu(same, 1).any(axis=1)
    return np.flatnonzero(~found_later)


def _single(derivative: Derivative, v: Array) -> Array:
    """Return J v, (size,)."""
    images = derivative(v[None])
    return np.asarray(images[0])


def _stepped(derivative: Derivative, h: float, v: Array) -> Array:
    """Return (I + h J) v, (size,)."""
    return np.asarray(v + h * _single(derivative, v))


def _eigenpairs(
    apply: Callable[[Array], Array], start: Array, effort: Mapping[str, Any]
) -> Eigenpairs:
    """Find a few extreme eigenvalues and vectors of a map that is given by its products.

    Returns
    -------
    values, vectors : (k,), 1/s, and (size, k)
    """
    from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigs

    operator = LinearOperator(
        shape=(start.size, start.size),
        matvec=lambda v: apply(np.ravel(v)),
        dtype=float,
    )
    try:
        growths, vectors = eigs(operator, v0=start, **effort)
        return growths, vectors
    except ArpackNoConvergence as unfinished:
        if len(unfinished.eigenvalues):
            return unfinished.eigenvalues, unfinished.eigenvectors
    except ArpackError:
        pass  # the Krylov space closed early
    return _dominant(apply, start)


def _dominant(apply: Callable[[Array], Array], start: Array) -> Eigenpairs:
    """Find the dominant eigenvalue, or the dominant complex pair, by power iteration."""
    tiny = np.finfo(float).tiny
    v = start / np.linalg.norm(start)
    for _ in range(POWER):
        image = apply(v)
        length = float(np.linalg.norm(image))
        v = image / max(length, tiny)
    spanning = np.stack([v, apply(v)], axis=1)  # two vectors, for a complex pair
    plane, _ = np.linalg.qr(spanning)
    images = np.stack([apply(p) for p in plane.T], axis=1)
    small = plane.T @ images  # the map within the plane
    values, vectors = eigenpairs(small, "the Jacobian")
    return values, plane @ vectors
