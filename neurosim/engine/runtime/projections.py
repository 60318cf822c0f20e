"""What projections do in a step on Brian2's live arrays, and what brings their messages. Start at
`Product`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.runtime.points import live
from neurosim.model.equations.events import EventSource
from neurosim.model.populations import PRICES
from neurosim.model.transport import BACKWARD, FORWARD, Spikes

if TYPE_CHECKING:
    from neurosim.engine.runtime.step import Machine

Array = np.ndarray
CHUNK = 2**20  # products of single synapses held at once
Action = Callable[[], Any]


class Product:
    """One projection on live arrays: drive a += W x, feedback += W^T delta, and the change of W."""

    def __init__(self, machine: Machine, name: str) -> None:
        plan, q = machine.plan, machine.plan.net.projections[name]
        group = machine.groups.synapses[name]
        self.name, self.K = name, plan.patterns
        self.w, self.values = machine.weights(name)
        self.back, self.returning = machine.weights(name, plan.back(name))
        self.carried = q.feedback
        self.dense = isinstance(self.w, np.ndarray)
        self.transposed = self.w.swapaxes(-1, -2) if self.dense else self.w.T
        self.x = machine.rows_of(q.pre, plan.received(name, FORWARD))
        self.delta = machine.rows_of(q.post, plan.received(name, BACKWARD))
        self.factors = (
            machine.rows_of(q.post, plan.plasticity_reads(name, BACKWARD)),
            machine.rows_of(q.pre, plan.plasticity_reads(name, FORWARD)),
        )
        self.listens = plan.event_source(name, FORWARD) is not None
        self.replied = True  # whether what it sends back may have changed
        self.a = machine.rows_of(q.post, "a")
        self.clamped = plan.net.populations[q.pre].clamped
        self.feedback = None if self.clamped else machine.rows_of(q.pre, "feedback")
        self.prices = {v: live(group, v) for v in ("tau_w", *PRICES)}
        self.signs = live(group, "sign") if plan.dale else None
        self.back_size = live(group, "back_size") if plan.back(name) == "back" else None
        self.may_keep = self.listens or (self.clamped and plan.shortcuts)
        self.kept, self.stale, self.defers, self.waiting = False, True, False, False
        self.drive = np.zeros_like(self.a) if self.may_keep else self.a
        if not self.dense:
            self.rows = np.repeat(np.arange(self.w.shape[0]), np.diff(self.w.indptr))

    def prepare(self, dt: float, defers: bool, moves: bool) -> None:
        """Read what is fixed for the run; `moves`: at every step the weights are others."""
        self.kept = self.may_keep and (self.listens or defers or not moves)
        self.replied = True
        prices = {v: float(p[0]) for v, p in self.prices.items()}
        self.tau_w, self.l2 = prices["tau_w"], prices["l2"]
        self.rate, self.keep = dt / self.tau_w, 1 - dt / self.tau_w * self.l2
        self.size, *self.group_sizes = (
            self.rate * prices[p] for p in ("l1", "row_l1", "column_l1")
        )
        self.stale, self.defers, self.waiting = True, defers, False
        if self.dense and self.w.ndim == 2:
            delta, x = self.factors
            self.learn_dense = accumulate(self.w, self.rate / self.K, delta.T, x)
            self.learn_back = accumulate(self.back, self.rate / self.K, delta.T, x)
            self.add_forward = accumulate(self.a, 1.0, self.x, self.w.T)
        if defers:
            self.gram, self.sum, self.scale = (
                np.empty((self.K, self.K), self.w.dtype),
                np.zeros_like(self.factors[0]),
                1.0,
            )
            self.learn_drive = accumulate(
                self.drive, self.rate / self.K, self.gram, self.factors[0]
            )
            self.catch_up = accumulate(self.w, self.rate / self.K, self.sum.T, self.x)

    def into_drive(self) -> None:
        """W x of an input that stands still."""
        if self.dense:
            np.matmul(self.x, self.transposed, self.drive)
        else:
            self.drive[:] = (self.w @ self.x.T).T
        if self.defers:
            np.matmul(self.x, self.x.T, out=self.gram)
        self.stale = False

    def forward(self) -> None:
        """a += W x."""
        if self.dense and self.w.ndim == 2:
            self.add_forward()
        elif self.dense:
            self.a += self.x @ self.transposed
        else:
            self.a += (self.w @ self.x.T).T

    def backward(self) -> None:
        """feedback += W^T delta, or B delta."""
        assert self.feedback is not None
        self.feedback += self.delta @ self.back if self.dense else (self.back.T @ self.delta.T).T

    def learn(self) -> None:
        """One Euler step: w += dt/tau_w (mean over the batch of delta x - l2 w), then the proximal
        steps.
        """
        if self.defers:
            if self.keep != 1:
                self.sum *= self.keep
                self.drive *= self.keep
                self.scale *= self.keep
            np.add(self.sum, self.factors[0], self.sum)
            self.learn_drive()
            self.waiting = True
            return
        if self.keep != 1:
            self.values *= self.keep
        if self.dense:
            self.learn_dense()
        else:
            self.values += self.rate * self.mean_change()
        self.shrink()
        self.follow()
        self.stale = self.replied = True

    def follow(self) -> None:
        """The step of the feedback weights that goes with that of the weights."""
        if self.carried == "sign":
            self.follow_signs()
        elif self.carried == "kolen_pollack":
            if self.keep != 1:
                self.returning *= self.keep
            if self.dense:
                self.learn_back()
            else:
                self.returning += self.rate * self.mean_change()

    def follow_signs(self) -> None:
        """B = size sign(W^T)."""
        if self.carried == "sign":
            assert self.back_size is not None
            np.multiply(np.sign(self.values), self.back_size[0], out=self.returning)

    def sum_change(self, force: Array) -> None:
        """Delta x of every synapse, summed over the batch, into `force`."""
        if self.dense:
            np.matmul(self.factors[0].T, self.factors[1], out=force.reshape(self.w.shape))
        else:
            force[: len(self.values)] = self.K * self.mean_change()
        self.stale = self.replied = True

    def mean_change(self) -> Array:
        """delta x of every synapse, mean over the batch."""
        deltas, outputs = self.factors
        if self.dense:
            whole: Array = (deltas.T @ outputs).ravel() / self.K
            return whole
        change = np.zeros(len(self.values), self.values.dtype)
        rows = max(1, CHUNK // max(len(self.values), 1))
        for k in range(0, self.K, rows):
            delta, x = deltas[k : k + rows], outputs[k : k + rows]
            change += np.einsum("kp,kp->p", delta[:, self.rows], x[:, self.w.indices])
        return change / self.K

    def shrink(self) -> None:
        """What follows a step: the proximal steps of l1, then of the group prices, exact zeros,
        weight by weight and neuron by neuron; then Dale's law.
        """
        self._shrink()
        if self.signs is not None:
            w, signs = (
                (self.w, self.signs) if self.dense else (self.values, self.signs[self.w.indices])
            )
            w[w * signs < 0] = 0

    def _shrink(self) -> None:
        if self.size:
            left = np.abs(self.values) - self.size
            self.values[:] = np.where(left > 0, np.copysign(left, self.values), 0.0)
        for side, size in enumerate(
            self.group_sizes
        ):  # postsynaptic neurons' rows, presynaptic ones' columns
            if not size:
                continue
            if self.dense:
                norms = np.sqrt(np.square(self.w).sum(axis=1 - side, keepdims=True))
                self.w *= left_of(norms, size)
            else:
                ends = (self.rows, self.w.indices)[side]
                norms = np.sqrt(
                    np.bincount(ends, np.square(self.values), minlength=self.w.shape[side])
                )
                self.values *= left_of(norms, size)[ends]

    def materialize(self) -> None:
        """Bring weights whose change was only accumulated up to date."""
        if self.waiting:
            if self.scale != 1:
                self.values *= self.scale
            self.catch_up()
            self.sum[:], self.scale, self.waiting = 0, 1.0, False


class Speaker:
    """What one population says in one direction, as events; Brian2's thresholder has found who
    speaks.
    """

    def __init__(self, machine: Machine, event_source: EventSource) -> None:
        group = machine.groups.populations[event_source.population]
        self.who = live(
            group, f"_{event_source.event}space"
        )  # units, then their number in the last place
        self.now, self.sent, self.events, self.plastic_events = (
            live(group, v)
            for v in (
                event_source.variable,
                *(f"{v}_{event_source.name}" for v in ("sent", "events", "plastic_events")),
            )
        )
        self.quantum = (
            live(group, f"theta_{event_source.name}")
            if isinstance(event_source.rule, Spikes)
            else None
        )
        self.waits = (
            [live(group, f"{v}_{event_source.name}") for v in ("ready", "silence")]
            if event_source.silent
            else []
        )
        self.line = None
        if event_source.rule.delay:
            self.line = live(group, f"line_{event_source.name}").reshape(-1, len(self.sent))
            self.line_at, self.received = (
                live(group, f"line_at_{event_source.name}"),
                live(group, event_source.received),
            )
        self.products = [machine.products[name] for name in event_source.projections]
        self.backward = event_source.variable == BACKWARD

    def speak(self, t: float, learning: bool) -> None:
        """Whoever has something to say is heard, now or after the delay."""
        units = self.who[: self.who[-1]]
        if len(units):
            self._say(units, t, learning)
        if not (len(units) if self.line is None else self._arrives()):
            return
        for product in self.products:
            if self.backward:
                product.replied = True
            else:
                product.stale = True

    def _say(self, units: Array, t: float, learning: bool) -> None:
        if self.quantum is None:
            self.sent[units] = self.now[units]
        else:
            self.sent[units] += np.copysign(self.quantum[0], self.now[units] - self.sent[units])
        self.events[units] += 1
        if learning:
            self.plastic_events[units] += 1
        if self.waits:
            ready, silence = self.waits
            ready[units] = t + silence[0]

    def _arrives(self) -> bool:
        """What was said a delay ago is heard; whether it is news."""
        assert self.line is not None
        slot = self.line[self.line_at[0]]
        news = bool(np.any(slot != self.received))
        self.received[:] = slot
        slot[:] = self.sent
        self.line_at[0] = (self.line_at[0] + 1) % len(self.line)
        return news


class Line:
    """Dense messages of one population in one direction, on their way for some steps."""

    def __init__(self, machine: Machine, population: str, variable: str) -> None:
        group = machine.groups.populations[population]
        self.sent, self.received = (live(group, f"{v}_{variable}") for v in ("sent", "received"))
        self.line = live(group, f"line_{variable}").reshape(-1, len(self.sent))
        self.at = live(group, f"line_at_{variable}")

    def move(self) -> None:
        """What was said so many steps ago is heard, and what is said now is on its way."""
        slot = self.line[self.at[0]]
        self.received[:] = slot
        slot[:] = self.sent
        self.at[0] = (self.at[0] + 1) % len(self.line)


def left_of(norms: Array, size: float) -> Array:
    """The share of each group that its proximal step leaves: max(1 - size/norm, 0)."""
    left: Array = 1 - np.divide(size, norms, out=np.ones_like(norms), where=norms > size)
    return left


def accumulate(c: Array, alpha: float, a: Array, b: Array) -> Action:
    """A function that does c += alpha a b in one BLAS call, on C-ordered arrays or their
    transposes.
    """
    from scipy.linalg.blas import dgemm, sgemm

    gemm = sgemm if c.dtype == np.float32 else dgemm
    # BLAS reads columns: c^T += alpha b^T a^T
    (left, trans_left), (right, trans_right) = (
        (m.T, 0) if m.flags.c_contiguous else (m, 1) for m in (b, a)
    )
    return partial(gemm, alpha, left, right, 1.0, c.T, trans_left, trans_right, 1)
