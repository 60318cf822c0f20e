"""The problem that neurosim and every yardstick simulate, and neurosim's own runs of it.

Start at `Problem`, `train` and `relax`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import neurosim as ns

Array = np.ndarray
State = dict[str, Array]
TAU = 10e-3  # s, of x and lam
SMALL, LARGE = (64, 32, 10), (784, 128, 10)
# Without and with the exact shortcuts for clamped inputs.
WAYS = {"no shortcuts": {"shortcuts": False}, "neurosim": {}}


@dataclass(frozen=True, eq=False)
class Problem:
    """An n0-n1-n2 net (tanh, linear output, mse) with data; x and lam start at 0.

    Parameters
    ----------
    sizes : (int, int, int)
    X, Y : (patterns, n0), (patterns, n2)
        Clamped inputs and targets.
    h, rate : float
        dt / tau of x and lam, dt / tau_w.
    adjoint : bool
        `Flow.adjoint()` instead of `Flow.augmented(1)`.
    """

    sizes: tuple[int, int, int]
    X: Array
    Y: Array
    h: float = 0.02
    rate: float = 1e-5
    adjoint: bool = False

    @classmethod
    def random(cls, sizes: tuple[int, int, int], patterns: int, **kwds: Any) -> Problem:
        """Return a problem with inputs uniform in (-0.5, 0.5) and targets uniform in (0, 1)."""
        rng = np.random.default_rng(0)
        return cls(
            sizes, rng.random((patterns, sizes[0])) - 0.5, rng.random((patterns, sizes[-1])), **kwds
        )

    @classmethod
    def digits(cls, patterns: int, **kwds: Any) -> Problem:
        """Return a problem with scikit-learn's digits / 16 - 0.3, 64-32-10, one-hot targets."""
        X, Y = load_digits(return_X_y=True)
        return cls(SMALL, X[:patterns] / 16 - 0.3, np.eye(10)[Y[:patterns]], **kwds)

    @property
    def patterns(self) -> int:
        """Number of patterns."""
        return len(self.X)

    @property
    def name(self) -> str:
        """Sizes and number of patterns, as text."""
        return f"{'-'.join(map(str, self.sizes))}, K = {self.patterns}"

    @property
    def rho(self) -> float:
        """Weight of the augmentation."""
        return 0.0 if self.adjoint else 1.0

    @property
    def dt(self) -> float:
        """Step of the simulation, s."""
        return self.h * TAU

    def network(self) -> ns.Network:
        """Return a new network with the same weights: training changes them in place."""
        return ns.Network.mlp(self.sizes, loss="mse", seed=0)

    def flow(self) -> ns.Flow:
        """Return the flow of the problem."""
        times = {"tau_x": TAU, "tau_lam": TAU, "tau_w": self.dt / self.rate}
        return ns.Flow.adjoint(**times) if self.adjoint else ns.Flow.augmented(1.0, **times)

    def start(self) -> State:
        """Return the initial state: x and lam at zero, and the weights."""
        net = self.network()
        moving = {}
        for layer in (1, 2):
            for variable in ("x", "lam"):
                moving[f"{variable}{layer}"] = np.zeros((self.patterns, self.sizes[layer]))
        return moving | weights(net)


def weights(net: ns.Network) -> State:
    """Return W1 (n1, n0), b1, W2 (n2, n1), b2."""
    (W1, W2), (b1, b2) = net.weights.values(), net.biases.values()
    return {"W1": W1, "b1": b1, "W2": W2, "b2": b2}


def state(run: ns.Run, net: ns.Network) -> State:
    """Return x, lam and weights at the end of a run of neurosim."""
    x, lam = list(run.x.values()), list(run.lam.values())
    return {"x1": x[-2], "lam1": lam[-2], "x2": x[-1], "lam2": lam[-1]} | weights(net)


def simulation(problem: Problem, backend: str, **options: Any) -> ns.Simulation:
    """Return neurosim's simulation of the problem, on one thread."""
    return ns.Simulation(
        problem.network(), problem.flow(), dt=problem.dt, backend=backend, **options
    )


def train(
    problem: Problem, steps: int, backend: str = "standalone", **options: Any
) -> tuple[float, State]:
    """Run all three flows for `steps`; return seconds per step, and the final state."""
    sim = simulation(problem, backend, **options)
    log = sim.train(problem.X, problem.Y, ns.Simultaneous(duration=steps * problem.dt, reports=1))
    return sim.loop_time / steps, state(log.run, sim.net)


def relax(
    problem: Problem, steps: int, backend: str = "standalone", **options: Any
) -> tuple[float, State]:
    """Run with fixed weights for `steps`; return seconds per step, and the final state."""
    sim = simulation(problem, backend, **options)
    run = sim.relax(problem.X, problem.Y, duration=steps * problem.dt)
    return sim.loop_time / steps, state(run, sim.net)
