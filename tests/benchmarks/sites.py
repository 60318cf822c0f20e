"""A step of a convolutional net, compiled, against a hand-written im2col loop on BLAS (NumPy).

28 x 28 x 1 -> 28 x 28 x 16 -> 14 x 14 x 32 -> 10; x and lam flow, the weights are fixed or move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

import neurosim as ns
from tests.benchmarks.timing import Row, Setting, State, beside

Array = np.ndarray
PATTERNS = 32
TAU, TAU_W, DT = 10e-3, 1.0, 1e-3  # s
KERNEL = 3


def measure(setting: Setting) -> Iterator[Row]:
    """Time steps with fixed weights, and with weights that move."""
    net, X, Y = _problem()
    for plastic in (False, True):
        ours = {"neurosim": partial(_ours, net, X, Y, plastic)}
        yardsticks = {"im2col loop": (partial(_loop, net, X, Y, plastic), "<= 1.2")}
        name = "x, lam and w" if plastic else "x and lam"
        yield from beside(f"conv net, 32 patterns, {name}", ours, yardsticks, setting)


def _problem() -> tuple[ns.Network, Array, Array]:
    rng = np.random.default_rng(0)
    net = ns.Network.convolutional([28, 28, 1], [16, 32], KERNEL, [1, 2], loss="mse", seed=0)
    return net, rng.random((PATTERNS, 28, 28, 1)), rng.random((PATTERNS, 10))


def _ours(
    net: ns.Network, X: Array, Y: Array, plastic: bool, steps: int
) -> tuple[float, dict[str, Array]]:
    """Return seconds per step, and the final state."""
    own = net.copy()
    flow = ns.Flow.adjoint(tau_x=TAU, tau_w=TAU_W)
    sim = ns.Simulation(own, flow, dt=DT, backend="standalone")
    share = 0.0 if plastic else 1.0
    once = ns.Presentations(
        batch=len(X), present=steps * DT, plastic_from=share, epochs=1, shuffle=False
    )
    run = sim.train(X, Y, once).run
    state = {f"x {n}": run.x[n] for n in own.neurons} | {
        f"lam {n}": run.lam[n] for n in own.neurons
    }
    state |= {name: np.asarray(w) for name, w in own.weights.items()}
    return sim.loop_time / steps, state


class _Layer:
    """A convolution by im2col: every site reads the features of its window as one row."""

    def __init__(self, w: Array, stride: int, shape: tuple[int, int, int]) -> None:
        height, width, features = shape
        self.stride, self.shape = stride, shape
        self.rows = -(-height // stride), -(-width // stride)
        self.terms = len(w)
        # (terms, post, pre) -> (post, terms x pre)
        self.w = np.ascontiguousarray(w.transpose(1, 0, 2).reshape(w.shape[1], -1))
        self.padded = np.zeros((PATTERNS, height + 2, width + 2, features))
        self.back = np.zeros_like(self.padded)
        sites = PATTERNS * self.rows[0] * self.rows[1]
        self.columns = np.empty((sites, self.terms * features))
        self.returned = np.empty_like(self.columns)
        self.a = np.empty((sites, len(self.w)))

    def _windows(self, padded: Array) -> Iterator[Array]:
        """Yield the part of the padded image that each term reads."""
        last = [1 + self.stride * (n - 1) for n in self.rows]
        for top in range(KERNEL):
            for left in range(KERNEL):
                down = slice(top, top + last[0], self.stride)
                across = slice(left, left + last[1], self.stride)
                yield padded[:, down, across]

    def read(self, x: Array) -> None:
        """Write the windows of all sites into rows."""
        self.padded[:, 1:-1, 1:-1] = x.reshape(PATTERNS, *self.shape)
        view = self.columns.reshape(PATTERNS, *self.rows, self.terms, -1)
        for term, window in enumerate(self._windows(self.padded)):
            view[..., term, :] = window

    def forward(self) -> Array:
        """Return the net inputs without biases, (patterns x sites, features)."""
        return np.matmul(self.columns, self.w.T, out=self.a)

    def backward(self, delta: Array) -> Array:
        """Return delta sent back, (patterns, units)."""
        np.matmul(delta, self.w, out=self.returned)
        view = self.returned.reshape(PATTERNS, *self.rows, self.terms, -1)
        self.back[:] = 0
        for term, window in enumerate(self._windows(self.back)):
            window += view[..., term, :]
        return self.back[:, 1:-1, 1:-1].reshape(PATTERNS, -1)

    def learn(self, delta: Array, rate: float) -> None:
        """Move the weights by rate times the sum of delta x over patterns and sites."""
        self.w += rate * (delta.T @ self.columns)


def _loop(
    net: ns.Network, X: Array, Y: Array, plastic: bool, steps: int
) -> tuple[float, dict[str, Array]]:
    """Return seconds per step of the hand-written loop, and its final state."""
    step, state = _hand_written(net, X, Y, plastic)
    begin = perf_counter()
    for _ in range(steps):
        step()
    return (perf_counter() - begin) / steps, state()


def _hand_written(
    net: ns.Network, X: Array, Y: Array, plastic: bool
) -> tuple[Callable[[], None], Callable[[], State]]:
    """Return an Euler step of `Flow.adjoint` with BLAS products and arrays in place."""
    names = list(net.weights)
    first = _Layer(net.weights[names[0]], 1, (28, 28, 1))
    second = _Layer(net.weights[names[1]], 2, (28, 28, 16))
    readout = net.weights[names[2]].copy()
    biases = [net.biases[n].copy() for n in net.neurons]
    h, rate = DT / TAU, DT / TAU_W / PATTERNS
    x = [np.zeros((PATTERNS, net.populations[n].size)) for n in net.neurons]
    lam = [np.zeros_like(values) for values in x]
    first.read(X)
    kept: list[Any] = [first.forward().copy()]

    def step() -> None:
        if plastic:
            kept[0] = first.forward()
        s1 = np.tanh(kept[0] + biases[0])
        second.read(x[0])
        s2 = np.tanh(second.forward() + biases[1])
        a3 = x[1] @ readout.T + biases[2]
        d2 = (1 - s2 * s2) * lam[1].reshape(s2.shape)
        d1 = (1 - s1 * s1) * lam[0].reshape(s1.shape)
        back2, back1 = lam[2] @ readout, second.backward(d2)
        if plastic:
            first.learn(d1, rate)
            second.learn(d2, rate)
            readout[...] += rate * (lam[2].T @ x[1])
            for bias, d in zip(biases, (d1, d2, lam[2]), strict=True):
                bias += rate * d.sum(0)
        moves = ((s1, back1), (s2, back2))
        pull = lam[2] + x[2] - Y
        for number, (s, back) in enumerate(moves):
            x[number] -= h * (x[number] - s.reshape(PATTERNS, -1))
            lam[number] -= h * (lam[number] - back)
        x[2] -= h * (x[2] - a3)
        lam[2] -= h * pull

    def state() -> State:
        found = {f"x {n}": own for n, own in zip(net.neurons, x, strict=True)}
        found |= {f"lam {n}": own for n, own in zip(net.neurons, lam, strict=True)}
        for name, layer in zip(names, (first, second), strict=False):
            shape = layer.w.shape[0], layer.terms, -1
            found[name] = layer.w.reshape(shape).transpose(1, 0, 2)
        return found | {names[2]: readout}

    return step, state
