"""The projections' products in runtime mode: NumPy on the groups' live arrays.

Each object is a `BrianObject` that Brian2's own loop runs in its slot; the arrays are Brian2's.
Start at `Forward` and `Backward`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from brian2.core.base import BrianObject
from brian2.core.network import Network as BrianNetwork

from neurosim.engine.groups import Groups, Synapses
from neurosim.engine.plan import GUARD_EVERY

Array = np.ndarray
CHUNK = 2**20  # products of single synapses held at once


def live(group: Any, variable: str) -> Array:
    """Brian2's own array, not a copy."""
    array: Array = group.variables[variable].get_value()
    return array


class Arrays:
    """Live arrays of all groups in the shapes that products need."""

    def __init__(self, groups: Groups) -> None:
        self.groups, self.net, self.K = groups, groups.plan.net, groups.plan.patterns

    def units(self, population: str, variable: str) -> Array:
        """(patterns, units)."""
        return live(self.groups.populations[population], variable).reshape(self.K, -1)

    def weights(self, projection: str) -> Any:
        """(n_post, n_pre), dense or compressed rows, on the live values."""
        group, shape = self.groups.synapses[projection], self.net.weights[projection].shape
        if isinstance(self.net.weights[projection], np.ndarray):
            return live(group, "w").reshape(shape)
        from scipy.sparse import csr_array

        structure = self.net.weights[projection]
        matrix = csr_array(structure)
        matrix.data = live(group, "w")[: structure.nnz]
        return matrix

    def counter(self, name: str) -> Array:
        """One number, as an array of one."""
        return live(self.groups.counters, name)


class Step(BrianObject):  # type: ignore[misc]
    """Something done once a step in one slot of Brian2's schedule."""

    add_to_magic_network = False

    def __init__(self, arrays: Arrays, *, when: str, order: int, name: str) -> None:
        super().__init__(clock=arrays.groups.clock, when=when, order=order, name=name)
        self.arrays = arrays


class Forward(Step):
    """Every net input, a = b + sum of W x; and the softmax's normaliser where a loss needs it."""

    def __init__(self, arrays: Arrays, **slot: Any) -> None:
        super().__init__(arrays, **slot)
        net, groups = arrays.net, arrays.groups
        self.into = [
            (
                arrays.units(n, "a"),
                live(groups.biases[n], "w"),
                [(arrays.units(q.pre, "x"), arrays.weights(q.name)) for q in net.incoming(n)],
            )
            for n in net.neurons
        ]
        self.partitions = [(arrays.units(n, "x"), arrays.units(n, "log_partition")) for n in groups.plan.partitions]

    def run(self) -> None:
        """All projections at once."""
        for a, b, sources in self.into:
            if len(sources) == 1 and isinstance(sources[0][1], np.ndarray):
                x, w = sources[0]
                np.matmul(x, w.T, out=a)
                a += b
                continue
            a[:] = b
            for x, w in sources:
                a += x @ w.T if isinstance(w, np.ndarray) else (w @ x.T).T
        for x, z in self.partitions:
            top = x.max(axis=1, keepdims=True)
            z[:] = top + np.log(np.exp(x - top).sum(axis=1, keepdims=True))


class Backward(Step):
    """Every feedback, sum of W^T delta, from the weights of this step."""

    def __init__(self, arrays: Arrays, **slot: Any) -> None:
        super().__init__(arrays, **slot)
        net = arrays.net
        self.back = [
            (
                arrays.units(n, "feedback"),
                [(arrays.units(q.post, "delta"), arrays.weights(q.name)) for q in net.outgoing(n)],
            )
            for n in net.neurons
        ]

    def run(self) -> None:
        """All projections at once."""
        for f, children in self.back:
            if len(children) == 1 and isinstance(children[0][1], np.ndarray):
                np.matmul(children[0][0], children[0][1], out=f)
                continue
            f[:] = 0
            for delta, w in children:
                f += delta @ w if isinstance(w, np.ndarray) else (w.T @ delta.T).T


class Plasticity(Step):
    """Where plastic, every weight and bias moves by the messages of this step."""

    def __init__(self, arrays: Arrays, **slot: Any) -> None:
        super().__init__(arrays, **slot)
        net, groups = arrays.net, arrays.groups
        self.plastic = arrays.counter("plastic")
        self.learn = [
            Learn(arrays.weights(n), groups.synapses[n], arrays.units(q.post, "delta"), arrays.units(q.pre, "x"))
            for n, q in net.projections.items()
        ]
        self.biases = [(live(groups.biases[n], "w"), groups.biases[n], arrays.units(n, "delta")) for n in net.neurons]
        self.dt = float(groups.clock.dt_)

    def run(self) -> None:
        """All projections and biases at once."""
        if self.plastic[0]:
            for learn in self.learn:
                learn(self.dt)
            for b, group, delta in self.biases:
                b += (self.dt / live(group, "tau_w")[0] / len(delta)) * delta.sum(axis=0)


class Learn:
    """w += dt/tau_w (mean over the batch of delta x - l2 w), then l1's proximal step."""

    def __init__(self, w: Any, group: Synapses, delta: Array, x: Array) -> None:
        self.w, self.delta, self.x = w, delta, x
        self.tau_w, self.l1, self.l2 = (live(group, v) for v in ("tau_w", "l1", "l2"))
        self.dense = isinstance(w, np.ndarray)
        self.change = np.empty(w.shape) if self.dense else None
        self.rows = None if self.dense else np.repeat(np.arange(w.shape[0]), np.diff(w.indptr))

    def __call__(self, dt: float) -> None:
        rate = dt / self.tau_w[0]
        values = self.w if self.dense else self.w.data
        if self.dense:
            change = np.matmul(self.delta.T, self.x, out=self.change)
        else:
            change = np.zeros(len(values))
            rows = max(1, CHUNK // max(len(values), 1))
            for k in range(0, len(self.x), rows):
                change += np.einsum(
                    "kp,kp->p", self.delta[k : k + rows][:, self.rows], self.x[k : k + rows][:, self.w.indices]
                )
        if self.l2[0]:
            values *= 1 - rate * self.l2[0]
        change *= rate / len(self.x)
        values += change
        if self.l1[0]:
            size = np.abs(values) - rate * self.l1[0]
            values[:] = np.where(size > 0, np.copysign(size, values), 0.0)


class Present(Step):
    """The next rows of the data set when a presentation begins, and the gate of plasticity."""

    def __init__(self, arrays: Arrays, **slot: Any) -> None:
        super().__init__(arrays, **slot)
        self.step, self.ticks, self.plastic = (arrays.counter(n) for n in ("step", "ticks", "plastic"))
        self.first, self.length, self.gate = (arrays.counter(n) for n in ("first_step", "present_steps", "gate_steps"))
        self.sources: list[tuple[Array, Array]] = []  # (live array, data set)
        self.queue = np.empty(0, dtype=np.int64)

    def run(self) -> None:
        """Counts steps of the presentation."""
        now, length, K = int(self.step[0]), int(self.length[0]), self.arrays.K
        phase = now % length
        self.plastic[0] = phase >= self.gate[0]
        if phase == 0 or self.ticks[0] == 0:
            first = (now - int(self.first[0])) // length * K
            rows = self.queue[first : first + K]
            for array, data in self.sources:
                np.take(data, rows, axis=0, out=array)


class Record(Step):
    """Every `every` steps: chosen values into an array, one row a sample."""

    def __init__(self, arrays: Arrays, **slot: Any) -> None:
        super().__init__(arrays, **slot)
        plan, groups = arrays.groups.plan, arrays.groups
        self.step, self.every = arrays.counter("step"), arrays.counter("record_steps")
        self.sources = [
            (live(groups.by_name[r.group], plan.array_name(r)), np.array(r.indices, dtype=np.intp))
            for r in plan.recorded
        ]
        self.rows: list[list[Array]] = [[] for _ in plan.recorded]

    def run(self) -> None:
        """One row for every recorded variable."""
        if self.step[0] % self.every[0] == 0:
            for (values, chosen), rows in zip(self.sources, self.rows, strict=True):
                rows.append(values[chosen])


class Finish(Step):
    """End of a step: count it, and stop where the state has left its bound."""

    network: BrianNetwork

    def __init__(self, arrays: Arrays, **slot: Any) -> None:
        super().__init__(arrays, **slot)
        self.step, self.ticks, self.n_steps = (arrays.counter(n) for n in ("step", "ticks", "n_steps"))
        self.bound, self.diverged = arrays.counter("bound"), arrays.counter("diverged")
        self.states = [(arrays.units(n, "x"), arrays.units(n, "lam")) for n in arrays.net.neurons]

    def run(self) -> None:
        """Looks at the state every few steps and after the last one."""
        self.step[0] += 1
        self.ticks[0] += 1
        if self.ticks[0] % GUARD_EVERY and self.ticks[0] < self.n_steps[0]:
            return
        bound = self.bound[0]
        for number, state in enumerate(self.states, start=1):
            if not all(max(v.max(), -v.min()) < bound for v in state):
                self.diverged[0] = number
                self.network.stop()
                return
