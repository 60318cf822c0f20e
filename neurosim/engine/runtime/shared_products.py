"""Projections whose sites share weights: products over all sites and patterns at once.

Above `projections` and `shared_sums`, below `messages`. Start at `SharedProduct`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.engine.runtime.projections import (
    STALE,
    DenseProduct,
    Product,
    SparseProduct,
    share_left,
)
from neurosim.engine.runtime.shared_sums import SharedSums

Array = np.ndarray


class SharedProduct(Product):
    """A projection whose weights are (terms, post features, pre features)."""

    def __init__(self, groups: Groups, name: str, **segment: Any) -> None:
        super().__init__(groups, name, **segment)
        between = groups.plan.net.between(name)
        assert between is not None
        self.sums = SharedSums(between, self.patterns, self.values.dtype)

    def _write_drive(self) -> None:
        self.drive[:] = 0
        self.sums.ahead.add(self.x, self.w, self.drive)

    def forward(self) -> None:
        """Add W x to the net input."""
        self.sums.ahead.add(self.x, self.w, self.a)

    def backward(self) -> None:
        """Add B delta to the feedback."""
        assert self.feedback is not None
        self.sums.back.add(self.delta, self.back.swapaxes(1, 2), self.feedback)

    def mean_change(self) -> Array:
        """Return delta x of every synapse, summed over sites, averaged over the batch, flat."""
        change = np.zeros_like(self.values)
        self._accumulate(change, 1 / self.patterns)
        return change

    def sum_change(self, force: Array) -> None:
        """Write delta x of every synapse, summed over sites and the batch, into `force`."""
        force[:] = 0
        self._accumulate(force, 1.0)
        self.state = STALE
        self.feedback_stale = True

    def _accumulate(self, total: Array, factor: float) -> None:
        """Add `factor` times delta x, summed over sites and patterns, to flat values."""
        delta, x = self.factors
        self.sums.add(total, delta, x, factor)

    def _add_change(self) -> None:
        self._accumulate(self.values, self.rate / self.patterns)

    def _add_change_back(self) -> None:
        self._accumulate(self.returning, self.rate / self.patterns)

    def _shrink_rows(self, threshold: float) -> None:
        self._shrink_groups((0, 2), threshold)

    def _shrink_columns(self, threshold: float) -> None:
        self._shrink_groups((0, 1), threshold)

    def _shrink_groups(self, axes: tuple[int, int], threshold: float) -> None:
        """Take the proximal step of groups: all weights of a feature."""
        norms = np.sqrt(np.square(self.w).sum(axis=axes, keepdims=True))
        self.w *= share_left(norms, threshold)

    def _keep_signs(self, signs: Array) -> None:
        wrong = self.w * signs < 0
        self.w[wrong] = 0


def make_product(groups: Groups, name: str, *, dt: float, defers: bool, moves: bool) -> Product:
    """Return the product of a projection by the kind of its weights; arguments as in `Product`."""
    net = groups.plan.net
    kind: type[Product] = SparseProduct
    if net.between(name) is not None:
        kind = SharedProduct
    elif isinstance(net.weights[name], np.ndarray):
        kind = DenseProduct
    return kind(groups, name, dt=dt, defers=defers, moves=moves)
