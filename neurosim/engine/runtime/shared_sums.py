"""Sums over sites and patterns of projections whose sites share weights.

Patterns are taken in blocks, so that what lies between mixing and product takes little memory.
Below `shared_products` and `plasticity`. Start at `SharedSums`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from neurosim.engine.mixing import Mixing
from neurosim.model.shared import Between

Array = np.ndarray


class Pass:
    """One direction of a shared projection for a number of patterns.

    Parameters
    ----------
    mixing : Mixing
    patterns : int
    dtype : NumPy type
    """

    def __init__(self, mixing: Mixing, patterns: int, dtype: Any) -> None:
        from scipy.sparse import csr_array, eye_array, kron

        self.mixing = mixing
        self.patterns = patterns
        self.mixes_first = mixing.mixes_first
        self.block = mixing.block(patterns)
        self.read, self.written = mixing.read, mixing.written
        # of all patterns of a block, and of those of the last one
        self._mix: dict[int, Any] = {}
        self._spread: dict[int, Any] = {}
        for size in {self.block, patterns % self.block} - {0}:
            each = eye_array(size)
            self._mix[size] = csr_array(kron(each, mixing.matrix, format="csr"), dtype=dtype)
            if not self.mixes_first:
                self._spread[size] = csr_array(kron(each, mixing.spread, format="csr"), dtype=dtype)

    def blocks(self) -> Iterator[slice]:
        """Yield the patterns in blocks."""
        for first in range(0, self.patterns, self.block):
            yield slice(first, min(first + self.block, self.patterns))

    def mixed(self, values: Array) -> Array:
        """Return what every site reads, by term: (patterns x sites, terms x features)."""
        features = self.read[1]
        read = self._mix[len(values)] @ values.reshape(-1, features)
        found: Array = read.reshape(-1, self.mixing.terms * features)
        return found

    def add(self, values: Array, weights: Array, total: Array) -> None:
        """Add the product of every site to `total`.

        Parameters
        ----------
        values : array, (patterns, units)
        weights : array, (terms, features written, features read)
        total : array, (patterns, units)
        """
        width = self.written[1]
        if self.mixes_first:
            matrix = weights.swapaxes(1, 2).reshape(-1, width)
            for rows in self.blocks():
                part = total[rows].reshape(-1, width)
                part += self.mixed(values[rows]) @ matrix
            return
        matrix = weights.reshape(-1, self.read[1]).T
        for rows in self.blocks():
            products = values[rows].reshape(-1, self.read[1]) @ matrix
            spread = self._spread[rows.stop - rows.start]
            part = total[rows].reshape(-1, width)
            part += spread @ products.reshape(-1, width)


class SharedSums:
    """Both directions of a shared projection, and the sums by which its weights move.

    Parameters
    ----------
    between : Between
    patterns : int
    dtype : NumPy type
    """

    def __init__(self, between: Between, patterns: int, dtype: Any) -> None:
        self.between = between
        self.ahead = Pass(Mixing(between), patterns, dtype)
        self.back = Pass(Mixing(between, backward=True), patterns, dtype)

    def add(self, total: Array, post: Array, pre: Array, factor: float) -> None:
        """Add `factor` times post pre, summed over sites and patterns, to flat values.

        Parameters
        ----------
        total : array, (terms x post features x pre features,)
        post, pre : array, (patterns, units)
        factor : float
        """
        terms, rows, columns = self.between.shape
        if self.ahead.mixes_first:
            by_post = np.zeros((rows, terms * columns), total.dtype)
            for block in self.ahead.blocks():
                by_post += post[block].reshape(-1, rows).T @ self.ahead.mixed(pre[block])
            change = by_post.reshape(rows, terms, columns).swapaxes(0, 1)
            total += factor * change.ravel()
            return
        by_term = np.zeros((terms * rows, columns), total.dtype)
        for block in self.back.blocks():
            by_term += self.back.mixed(post[block]).T @ pre[block].reshape(-1, columns)
        total += factor * by_term.ravel()

    def write(self, total: Array, post: Array | None, pre: Array | None) -> None:
        """Write the sum of post pre into flat values; None stands for 1."""
        total[:] = 0
        if post is not None and pre is not None:
            self.add(total, post, pre, 1.0)
            return
        by_term = total.reshape(self.between.shape)
        for number, matrix in enumerate(self.between.matrices):
            if post is not None:
                by_site = post.sum(axis=0).reshape(-1, self.between.post_features)
                read = np.asarray(matrix.sum(axis=1)).ravel()
                by_term[number] = (read @ by_site)[:, None]
            if pre is not None:
                by_site = pre.sum(axis=0).reshape(-1, self.between.pre_features)
                read = np.asarray(matrix.sum(axis=0)).ravel()
                by_term[number] = read @ by_site
