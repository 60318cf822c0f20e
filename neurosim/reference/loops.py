"""Cycles of populations: their fixed point, and the implicit adjoint.

Above `functions`, below `backpropagation`. Start at `Loop`.

References
----------
Almeida 1987; Pineda, Phys. Rev. Lett. 59, 2229 (1987): recurrent backpropagation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neurosim.errors import ConvergenceError
from neurosim.model.network import Network
from neurosim.reference.functions import (
    BackwardWeights,
    dense,
    dsigma,
    n_patterns,
    net_input,
    sigma,
)

Array = np.ndarray

MAX_ITERATIONS = 10_000  # of x <- sigma(W x + b); enough for a rate of 0.998
TOLERANCE = 1e-10  # of a change in x, relative to 1 + |x|
SAME = 1e-5  # two fixed points closer than this, relative to 1 + |x|, are one
NEWTON = 2  # steps after the iteration; each squares an error of 1e-7 at most
LARGEST_STACK = 2**23  # numbers in the stack of matrices that is solved at once: 64 MB
CLOSE = 1e-14  # of a change, where a matrix is too large for Newton's method
MOST_DENSE = 3000  # units up to which matrices are dense


class Loop:
    """Populations that reach each other, as one system x = sigma(W x + drive).

    x and drive are (patterns, units of all populations), W is (units, units).
    """

    def __init__(self, net: Network, names: list[str]) -> None:
        self.net = net
        self.names = names
        sizes = [net.populations[n].size for n in names]
        ends = np.cumsum(sizes)
        self.cuts = ends[:-1]
        self.W = self._joined(net.weights.__getitem__)

    def fixed_point(self, x: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs of the loop, given those of the populations that drive it.

        Raises
        ------
        ConvergenceError
            The loop does not contract.
        """
        net = self.net
        count = n_patterns(x)
        # with the loop's own outputs at 0, net inputs are the drive
        outputs = dict(x)
        for n in self.names:
            size = net.populations[n].size
            outputs[n] = np.zeros((count, size))
        drive = np.hstack([net_input(net, n, outputs) for n in self.names])
        rest = self._iterate(np.zeros_like(drive), drive)
        scale = 1 + np.abs(rest).max()
        self._check_unique(rest, drive, scale)
        if not isinstance(self.W, np.ndarray):
            return self._split(self._iterate(rest, drive, CLOSE))
        for _ in range(NEWTON):
            a = rest @ self.W.T + drive
            slopes = self._apply(dsigma, a)
            residual = self._apply(sigma, a) - rest
            rest = rest + self._solve(self.W, slopes, residual)
        a = rest @ self.W.T + drive
        residual = self._apply(sigma, a) - rest
        left = np.abs(residual).max()
        if not left <= 1e-12 * scale:
            raise self._refusal(
                f"Newton's method leaves the point where the iteration settled by {left:.2g}"
            )
        return self._split(rest)

    def _check_unique(self, rest: Array, drive: Array, scale: float) -> None:
        """Refuse a loop that settles elsewhere from far away: all high, all low, mixed signs.

        Raises
        ------
        ConvergenceError
            Another fixed point.
        """
        rng = np.random.default_rng(0)
        signs = rng.choice([-1.0, 1.0], size=drive.shape[1])
        for far in (1.0, -1.0, signs):
            start = 2 * scale * far + 0 * drive
            other = self._iterate(start, drive)
            distance = np.abs(other - rest).max()
            if distance > SAME * scale:
                raise self._refusal(f"it has more than one fixed point, {distance:.2g} apart")

    def adjoint(
        self, slopes: Mapping[str, Array], pull: Mapping[str, Array], back: BackwardWeights
    ) -> dict[str, Array]:
        """Solve (I - Wᵀ D) lam = pull for lam, one system per pattern; `back` stands for W.

        Raises
        ------
        ConvergenceError
            The matrix is singular.
        """
        D = np.hstack([slopes[n] for n in self.names])
        right = np.hstack([pull[n] for n in self.names])
        W = self._joined(back)
        if not isinstance(W, np.ndarray):
            return self._split(self._iterated_adjoint(W, D, right))
        lam = self._solve(W, D, right, transposed=True)
        return self._split(lam)

    def _joined(self, matrix: BackwardWeights) -> Any:
        """Return the matrices between all populations as one, (units, units); sparse if large."""
        if sum(self.net.populations[n].size for n in self.names) > MOST_DENSE:
            return self._joined_sparse(matrix)
        rows = []
        for post in self.names:
            rows.append([self._block(matrix, pre, post) for pre in self.names])
        return np.block(rows)

    def _joined_sparse(self, matrix: BackwardWeights) -> Any:
        """Return the same as a csr_array."""
        from scipy.sparse import block_array, csr_array

        rows = []
        for post in self.names:
            row = []
            for pre in self.names:
                name = f"{pre}->{post}"
                if name in self.net.weights:
                    row.append(csr_array(self.net.matrix(name, matrix(name))))
                else:
                    shape = self.net.populations[post].size, self.net.populations[pre].size
                    row.append(csr_array(shape))
            rows.append(row)
        return csr_array(block_array(rows))

    def _block(self, matrix: BackwardWeights, pre: str, post: str) -> Array:
        """Return the matrix from one population to another, (n_post, n_pre); 0 without synapses."""
        name = f"{pre}->{post}"
        if name not in self.net.weights:
            n_post = self.net.populations[post].size
            n_pre = self.net.populations[pre].size
            return np.zeros((n_post, n_pre))
        return dense(self.net.matrix(name, matrix(name)))

    def _iterate(self, x: Array, drive: Array, tolerance: float = TOLERANCE) -> Array:
        """Iterate x <- sigma(W x + drive) until it settles.

        Raises
        ------
        ConvergenceError
            It grows without bound, or still changes after `MAX_ITERATIONS`.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(MAX_ITERATIONS):
                previous = x
                a = x @ self.W.T + drive
                x = self._apply(sigma, a)
                change = np.abs(x - previous).max()
                if not np.isfinite(change):
                    raise self._refusal(
                        f"x <- sigma(W x + b) grows without bound, in {step + 1} iterations"
                    )
                scale = 1 + np.abs(x).max()
                if change <= tolerance * scale:
                    return x
        raise self._refusal(
            f"x <- sigma(W x + b) still changes by {change:.2g} after {MAX_ITERATIONS} iterations"
        )

    def _solve(self, W: Array, slopes: Array, right: Array, transposed: bool = False) -> Array:
        """Return (I - D W)⁻¹ right, or with the transpose, one system per pattern.

        Raises
        ------
        ConvergenceError
            The matrix is singular.
        """
        size = len(W)
        result = np.empty_like(right)
        step = max(1, LARGEST_STACK // size**2)
        for first in range(0, len(right), step):
            part = slice(first, first + step)
            matrices = np.eye(size) - slopes[part, :, None] * W
            if transposed:
                matrices = matrices.transpose(0, 2, 1)
            try:
                solution = np.linalg.solve(matrices, right[part, :, None])
            except np.linalg.LinAlgError as error:
                raise self._refusal(f"I - D W is singular at its fixed point ({error})") from error
            result[part] = solution[..., 0]
        return result

    def _iterated_adjoint(self, W: Any, slopes: Array, right: Array) -> Array:
        """Return lam of lam = right + Wᵀ D lam by iteration, which contracts as that of x does.

        Raises
        ------
        ConvergenceError
            It still changes after `MAX_ITERATIONS`.
        """
        lam: Array = right
        for _ in range(MAX_ITERATIONS):
            previous = lam
            lam = np.asarray(right + (slopes * lam) @ W)
            change = np.abs(lam - previous).max()
            if change <= CLOSE * (1 + np.abs(lam).max()):
                return lam
        raise self._refusal(f"its adjoint still changes by {change:.2g}")

    def _apply(self, function: Callable[[str, Array], Array], a: Array) -> Array:
        """Apply sigma or a derivative of it to the net inputs of all populations."""
        parts = np.split(a, self.cuts, axis=1)
        values = []
        for n, part in zip(self.names, parts, strict=True):
            activation = self.net.populations[n].activation
            values.append(function(activation, part))
        return np.hstack(values)

    def _split(self, values: Array) -> dict[str, Array]:
        """Return (patterns, units of all populations) by population."""
        parts = np.split(values, self.cuts, axis=1)
        found = {}
        for n, part in zip(self.names, parts, strict=True):
            found[n] = np.ascontiguousarray(part)
        return found

    def _refusal(self, why: str) -> ConvergenceError:
        """Return the error for a loop that does not contract, with advice on its weights."""
        norm, radius = self._norm_and_radius()
        sampled = np.linspace(-20, 20, 2001)
        steepest = 0.0
        for n in self.names:
            slopes = dsigma(self.net.populations[n].activation, sampled)
            steepest = max(steepest, np.abs(slopes).max())
        gain = steepest * norm
        hint = "another bias"
        if gain > 1:
            hint = f"its weights times less than {1 / gain:.3g}"
        return ConvergenceError(
            f"the cycle through {', '.join(self.names)} does not contract: {why}. "
            f"Its weights have spectral norm {norm:.3g} and radius {radius:.3g}, its activations "
            f"slopes up to {steepest:.3g}; allowed: cycles where x <- sigma(W x + b) settles at "
            f"one point from any start; try {hint}"
        )

    def _norm_and_radius(self) -> tuple[float, float]:
        """Return the spectral norm and the spectral radius of W."""
        if isinstance(self.W, np.ndarray):
            eigenvalues = np.linalg.eigvals(self.W)
            return float(np.linalg.norm(self.W, 2)), float(np.abs(eigenvalues).max())
        from scipy.sparse.linalg import eigs, svds

        start = np.ones(self.W.shape[0])
        norm = svds(self.W, k=1, return_singular_vectors=False, v0=start)
        eigenvalue = eigs(self.W, k=1, return_eigenvectors=False, v0=start)
        return float(norm[0]), float(np.abs(eigenvalue[0]))
