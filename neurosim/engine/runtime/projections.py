"""Projections in a step: products with the weights, and the change of the weights.

Above `arrays`, below `messages` and the steppers. Start at `Product`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from enum import Enum
from typing import Any, Self

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.engine.runtime.arrays import Action, accumulate, live, rows_of, single, units, weights
from neurosim.engine.runtime.plasticity import RuleSteps
from neurosim.model.feedback import KOLEN_POLLACK, SIGN
from neurosim.model.transport import BACKWARD, FORWARD

Array = np.ndarray
CHUNK = 2**20  # products of single synapses kept in memory at once


class Kept(Enum):
    """State of a kept product W x."""

    FRESH = "W x of the current input and weights"
    STALE = "the input or the weights have moved since W x was computed"
    DEFERRED = "W x is up to date; the weights still lack their change"


FRESH, STALE, DEFERRED = Kept.FRESH, Kept.STALE, Kept.DEFERRED


class Product(ABC):
    """One projection, for one segment: a += W x, feedback += B delta, and the change of W.

    Parameters
    ----------
    groups : Groups
    name : str
        Name of the projection.
    dt : float
        Step, s.
    defers : bool
        Whether the weights are brought up to date only when they are read (`Engine.defers`).
    moves : bool
        Whether the weights change at every step.

    Attributes
    ----------
    w, values : array
        W, (n_post, n_pre), and a flat view of its entries.
    back, returning : array
        Bᵀ, (n_post, n_pre), and a flat view of its entries; W itself if B = Wᵀ.
    x, delta : array, (patterns, units)
        The messages that the synapses receive, forward and back.
    factors : (delta, x), each (patterns, units)
        The two factors of plasticity.
    drive : array, (patterns, units)
        W x if it is kept, else the net input itself.
    kept : bool
        Whether W x is kept from step to step.
    state : Kept
    by_events : bool
        Whether the messages are events.
    feedback_stale : bool
        Whether B delta may have changed since the feedback was last summed.
    """

    def __init__(
        self, groups: Groups, name: str, *, dt: float, defers: bool = False, moves: bool = False
    ) -> None:
        plan = groups.plan
        q = plan.net.projections[name]
        self.patterns = plan.patterns
        self.w: Any
        self.back: Any
        self.w, self.values = weights(groups, name)
        self.back, self.returning = weights(groups, name, plan.back(name))
        received_x = plan.received(name, FORWARD)
        received_delta = plan.received(name, BACKWARD)
        plastic_x = plan.plasticity_reads(name, FORWARD)
        plastic_delta = plan.plasticity_reads(name, BACKWARD)
        self.x = rows_of(groups, q.pre, received_x)
        self.delta = rows_of(groups, q.post, received_delta)
        self.factors = (
            rows_of(groups, q.post, plastic_delta),
            rows_of(groups, q.pre, plastic_x),
        )
        self.a = rows_of(groups, q.post, "a")
        clamped = plan.net.populations[q.pre].clamped
        self.feedback: Array | None = None
        if not clamped:
            self.feedback = rows_of(groups, q.pre, "feedback")
        self.by_events = plan.event_source(name, FORWARD) is not None
        self.feedback_stale = True
        product_lasts = clamped and plan.shortcuts and (defers or not moves)
        self.kept = self.by_events or product_lasts
        self.state = STALE
        self.drive = np.zeros_like(self.a) if self.kept else self.a
        group = groups.synapses[name]
        self.tau_w = single(group, "tau_w")
        self.l2 = single(group, "l2")
        self.rate = dt / self.tau_w
        self.decay = 1 - dt / self.tau_w * self.l2
        self.threshold = self.rate * single(group, "l1")
        self.row_threshold = self.rate * single(group, "row_l1")
        self.column_threshold = self.rate * single(group, "column_l1")
        self.signs = live(group, "sign") if plan.dale else None
        self.feedback_kind = q.feedback
        self.sign_size = 0.0
        if self.feedback_kind == SIGN:
            self.sign_size = single(group, "back_size")
        self.deferred = DeferredChange(self) if defers else None
        self.rule: RuleSteps | None = None  # in place of the built-in one

    def of_first(self, patterns: int) -> Self:
        """Return the same projection for the first patterns alone, with fixed weights."""
        first = copy(self)
        first.x, first.delta = self.x[:patterns], self.delta[:patterns]
        first.a, first.drive = self.a[:patterns], self.drive[:patterns]
        if self.feedback is not None:
            first.feedback = self.feedback[:patterns]
        return first

    # --- products with the weights

    def refresh(self) -> None:
        """Recompute the kept product W x if it is stale."""
        if self.state is not STALE:
            return
        self._write_drive()
        if self.deferred is not None:
            self.deferred.renew()
        self.state = FRESH

    @abstractmethod
    def _write_drive(self) -> None:
        """Write W x into `drive`."""

    @abstractmethod
    def forward(self) -> None:
        """Add W x to the net input."""

    @abstractmethod
    def backward(self) -> None:
        """Add B delta to the feedback."""

    # --- change of the weights

    def learn(self) -> None:
        """Move the weights by one Euler step, then apply penalties and Dale's law (`shrink`).

        w += dt/tau_w (mean over the batch of delta x - l2 w), or a step of a user-written rule
        """
        if self.rule is not None:
            self._learn_by_rule(self.rule)
            self._weights_moved()
            return
        if self.deferred is not None:
            self.deferred.learn()
            self.state = DEFERRED
            return
        if self.decay != 1:
            self.values *= self.decay
        self._add_change()
        if self.feedback_kind == KOLEN_POLLACK:
            if self.decay != 1:
                self.returning *= self.decay
            self._add_change_back()
        self._weights_moved()

    def _learn_by_rule(self, rule: RuleSteps) -> None:
        """Take one step of a user-written rule; feedback weights that learn move as W does.

        Both decay by the same factor, so that B approaches Wᵀ whatever the rule.
        """
        if self.feedback_kind != KOLEN_POLLACK:
            rule.open()
            return
        before = self.values.copy()
        rule.open()
        self.returning *= self.decay
        self.returning += self.values - self.decay * before

    def _weights_moved(self) -> None:
        """Apply penalties, Dale's law and the signs of feedback weights; forget kept products."""
        self.shrink()
        self.follow_signs()
        self.state = STALE
        self.feedback_stale = True

    def follow_signs(self) -> None:
        """Set B = size sign(W^T) if the feedback weights are of kind `sign`."""
        if self.feedback_kind == SIGN:
            np.multiply(np.sign(self.values), self.sign_size, out=self.returning)

    def shrink(self) -> None:
        """Apply the proximal steps of penalties, then Dale's law, after a step of the weights.

        Proximal steps reach exact zeros. The step of `l1` acts weight by weight; the steps of
        `row_l1` and `column_l1` follow, unit by unit.
        """
        if self.threshold:
            left = np.abs(self.values) - self.threshold
            shrunk = np.copysign(left, self.values)
            self.values[:] = np.where(left > 0, shrunk, 0.0)
        if self.row_threshold:
            self._shrink_rows(self.row_threshold)
        if self.column_threshold:
            self._shrink_columns(self.column_threshold)
        if self.signs is not None:
            self._keep_signs(self.signs)

    def materialize(self) -> None:
        """Add the deferred change, if any, to the weights."""
        if self.deferred is not None and self.state is DEFERRED:
            self.deferred.add_to(self.values)
            self.deferred.reset()
            self.state = FRESH

    def copy_weights(self, copy: Array) -> None:
        """Write the weights with their deferred change into `copy`, which is flat."""
        copy[:] = self.values
        if self.deferred is not None and self.state is DEFERRED:
            self.deferred.add_to(copy)

    @abstractmethod
    def mean_change(self) -> Array:
        """Return delta x of every synapse, averaged over the batch, flat."""

    @abstractmethod
    def sum_change(self, force: Array) -> None:
        """Write delta x of every synapse, summed over the batch, into `force`."""

    @abstractmethod
    def _add_change(self) -> None:
        """Add dt/tau_w times the mean of delta x to the weights."""

    @abstractmethod
    def _add_change_back(self) -> None:
        """Add dt/tau_w times the mean of delta x to the feedback weights."""

    @abstractmethod
    def _shrink_rows(self, threshold: float) -> None:
        """Take the proximal step of `row_l1`: each group is the weights onto one unit."""

    @abstractmethod
    def _shrink_columns(self, threshold: float) -> None:
        """Take the proximal step of `column_l1`: each group is the weights out of one unit."""

    @abstractmethod
    def _keep_signs(self, signs: Array) -> None:
        """Set weights to 0 whose sign is not that of their presynaptic unit."""


class DenseProduct(Product):
    """A projection whose weights are a matrix, or one matrix per set of weights."""

    def __init__(self, groups: Groups, name: str, **segment: Any) -> None:
        super().__init__(groups, name, **segment)
        self.transposed = self.w.swapaxes(-1, -2)
        self.one_set = self.w.ndim == 2  # several sets of weights never learn
        delta, x = self.factors
        h = self.rate / self.patterns
        self._accumulate_drive = accumulate(self.a, 1.0, self.x, self.w.T)
        self._accumulate_change = accumulate(self.w, h, delta.T, x)
        self._accumulate_change_back = accumulate(self.back, h, delta.T, x)

    def of_first(self, patterns: int) -> Self:
        """Return the same projection for the first patterns alone, with fixed weights."""
        first = super().of_first(patterns)
        first._accumulate_drive = accumulate(first.a, 1.0, first.x, self.w.T)
        return first

    def _write_drive(self) -> None:
        np.matmul(self.x, self.transposed, self.drive)

    def forward(self) -> None:
        """Add W x to the net input."""
        if self.one_set:
            self._accumulate_drive()
        else:
            self.a += self.x @ self.transposed

    def backward(self) -> None:
        """Add B delta to the feedback."""
        assert self.feedback is not None
        self.feedback += self.delta @ self.back

    def mean_change(self) -> Array:
        """Return delta x of every synapse, averaged over the batch, flat."""
        delta, x = self.factors
        change: Array = (delta.T @ x).ravel() / self.patterns
        return change

    def sum_change(self, force: Array) -> None:
        """Write delta x of every synapse, summed over the batch, into `force`."""
        delta, x = self.factors
        matrix = force.reshape(self.w.shape)
        np.matmul(delta.T, x, out=matrix)
        self.state = STALE
        self.feedback_stale = True

    def _add_change(self) -> None:
        self._accumulate_change()

    def _add_change_back(self) -> None:
        self._accumulate_change_back()

    def _shrink_rows(self, threshold: float) -> None:
        squares = np.square(self.w)
        norms = np.sqrt(squares.sum(axis=1, keepdims=True))
        self.w *= share_left(norms, threshold)

    def _shrink_columns(self, threshold: float) -> None:
        squares = np.square(self.w)
        norms = np.sqrt(squares.sum(axis=0, keepdims=True))
        self.w *= share_left(norms, threshold)

    def _keep_signs(self, signs: Array) -> None:
        self.w[self.w * signs < 0] = 0


class SparseProduct(Product):
    """A projection whose weights are a sparse matrix in compressed rows."""

    def __init__(self, groups: Groups, name: str, **segment: Any) -> None:
        super().__init__(groups, name, **segment)
        post_units = np.arange(self.w.shape[0])
        # postsynaptic and presynaptic unit of every synapse
        self.post = np.repeat(post_units, np.diff(self.w.indptr))
        self.pre = self.w.indices

    def _write_drive(self) -> None:
        self.drive[:] = (self.w @ self.x.T).T

    def forward(self) -> None:
        """Add W x to the net input."""
        self.a += (self.w @ self.x.T).T

    def backward(self) -> None:
        """Add B delta to the feedback."""
        assert self.feedback is not None
        self.feedback += (self.back.T @ self.delta.T).T

    def mean_change(self) -> Array:
        """Return delta x of every synapse, averaged over the batch, flat."""
        deltas, outputs = self.factors
        change = np.zeros(len(self.values), self.values.dtype)
        rows = max(1, CHUNK // max(len(self.values), 1))
        for first in range(0, self.patterns, rows):
            chunk = slice(first, first + rows)
            delta = deltas[chunk, self.post]
            x = outputs[chunk, self.pre]
            change += np.einsum("kp,kp->p", delta, x)
        return change / self.patterns

    def sum_change(self, force: Array) -> None:
        """Write delta x of every synapse, summed over the batch, into `force`."""
        count = len(self.values)
        force[:count] = self.patterns * self.mean_change()
        self.state = STALE
        self.feedback_stale = True

    def _add_change(self) -> None:
        self.values += self.rate * self.mean_change()

    def _add_change_back(self) -> None:
        self.returning += self.rate * self.mean_change()

    def _shrink_rows(self, threshold: float) -> None:
        self._shrink_groups(self.post, self.w.shape[0], threshold)

    def _shrink_columns(self, threshold: float) -> None:
        self._shrink_groups(self.pre, self.w.shape[1], threshold)

    def _shrink_groups(self, unit_of: Array, size: int, threshold: float) -> None:
        squares = np.square(self.values)
        norms = np.sqrt(np.bincount(unit_of, squares, minlength=size))
        self.values *= share_left(norms, threshold)[unit_of]

    def _keep_signs(self, signs: Array) -> None:
        wrong = self.values * signs[self.pre] < 0
        self.values[wrong] = 0


class DeferredChange:
    """Change of dense weights from a constant input, added only when the weights are read.

    While x is constant, W += h delta^T x changes W x by h (x x^T) delta. So the Gram matrix x x^T
    keeps W x up to date, and the sum of the messages delta suffices to update W later.

    Parameters
    ----------
    product : Product
        A projection from a clamped input.
    """

    def __init__(self, product: Product) -> None:
        self.x = product.x
        self.delta = product.factors[0]
        self.drive = product.drive
        self.values = product.values
        self.decay = product.decay
        size = product.patterns
        h = product.rate / product.patterns
        self.gram = np.empty((size, size), self.values.dtype)
        self.sum = np.zeros_like(self.delta)
        self.scale = 1.0
        self._move_drive = accumulate(self.drive, h, self.gram, self.delta)
        self.share = h
        self.shape = product.w.shape

    def renew(self) -> None:
        """Recompute the Gram matrix x x^T of the clamped input, (patterns, patterns)."""
        np.matmul(self.x, self.x.T, out=self.gram)

    def learn(self) -> None:
        """Change W x as one Euler step of the weights would, and sum the messages."""
        if self.decay != 1:
            self.sum *= self.decay
            self.drive *= self.decay
            self.scale *= self.decay
        np.add(self.sum, self.delta, self.sum)
        self._move_drive()

    def add_to(self, weights: Array) -> None:
        """Add the change since the last `reset` to weights, or to a copy of them."""
        if self.scale != 1:
            weights *= self.scale
        accumulate(weights.reshape(self.shape), self.share, self.sum.T, self.x)()

    def reset(self) -> None:
        """Begin a new change, once the weights have the last one."""
        self.sum[:] = 0
        self.scale = 1.0


class Bias:
    """Biases of one population, for one segment: weights from a unit whose output is 1."""

    def __init__(self, groups: Groups, population: str, dt: float) -> None:
        plan = groups.plan
        group = groups.biases[population]
        self.values = live(group, "w")
        self.tau_w = single(group, "tau_w")
        delta = units(groups, population, plan.bias_plasticity_reads(population))
        # (patterns, units), or (patterns x sites, features) where sites share the biases
        self.delta = delta.reshape(-1, len(self.values) // plan.weight_sets)
        self.patterns = plan.patterns
        ones = np.ones(len(self.delta), dtype=plan.precision)
        h = dt / self.tau_w / plan.patterns
        # one Euler step: b += dt/tau_w (mean over the batch of delta)
        row = self.values[None]
        self.learn: Action = accumulate(row, h, ones[None], self.delta)

    def rate(self) -> Array:
        """Return db/dt, 1/s."""
        change: Array = self.delta.sum(axis=0) / (self.patterns * self.tau_w)
        return change

    def sum_change(self, force: Array) -> None:
        """Write delta of every unit, summed over the batch, into `force`."""
        self.delta.sum(axis=0, out=force)


def share_left(norms: Array, threshold: float) -> Array:
    """Return the factor of each group's proximal step, max(1 - threshold/norm, 0)."""
    ratio = np.ones_like(norms)
    np.divide(threshold, norms, out=ratio, where=norms > threshold)
    left: Array = 1 - ratio
    return left
