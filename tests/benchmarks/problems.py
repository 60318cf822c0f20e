"""What is simulated by ours and by every yardstick alike, and ours. Start at `Problem`, `train` and
`relax`.
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
WAYS = {
    "no shortcuts": {"shortcuts": False},
    "neurosim": {},
}  # without and with the exact ones for what is clamped


@dataclass(frozen=True, eq=False)
class Problem:
    """An n0-n1-n2 net (tanh, linear output, mse) with data, from rest.

    Parameters
    ----------
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
        """Inputs uniform between -0.5 and 0.5, targets between 0 and 1."""
        rng = np.random.default_rng(0)
        return cls(
            sizes, rng.random((patterns, sizes[0])) - 0.5, rng.random((patterns, sizes[-1])), **kwds
        )

    @classmethod
    def digits(cls, patterns: int, **kwds: Any) -> Problem:
        """scikit-learn's digits / 16 - 0.3 on 64-32-10, one-hot targets."""
        X, Y = load_digits(return_X_y=True)
        return cls(SMALL, X[:patterns] / 16 - 0.3, np.eye(10)[Y[:patterns]], **kwds)

    @property
    def patterns(self) -> int:
        """How many are simulated."""
        return len(self.X)

    @property
    def name(self) -> str:
        """Sizes and batch."""
        return f"{'-'.join(map(str, self.sizes))}, K = {self.patterns}"

    @property
    def rho(self) -> float:
        """Weight of the augmentation."""
        return 0.0 if self.adjoint else 1.0

    @property
    def dt(self) -> float:
        """Step in s."""
        return self.h * TAU

    def network(self) -> ns.Network:
        """The same weights each time: training changes them in place."""
        return ns.Network.mlp(self.sizes, loss="mse", seed=0)

    def flow(self) -> ns.Flow:
        """Which flow it is."""
        times = {"tau_x": TAU, "tau_lam": TAU, "tau_w": self.dt / self.rate}
        return ns.Flow.adjoint(**times) if self.adjoint else ns.Flow.augmented(1.0, **times)

    def start(self) -> State:
        """Everything that moves, at rest."""
        net = self.network()
        moving = {
            f"{v}{i}": np.zeros((self.patterns, self.sizes[i]))
            for i in (1, 2)
            for v in ("x", "lam")
        }
        return moving | weights(net)


def weights(net: ns.Network) -> State:
    """W1 (n1, n0), b1, W2 (n2, n1), b2."""
    (W1, W2), (b1, b2) = net.weights.values(), net.biases.values()
    return {"W1": W1, "b1": b1, "W2": W2, "b2": b2}


def state(run: ns.Run, net: ns.Network) -> State:
    """Everything that moves, as a run of ours left it."""
    x, lam = list(run.x.values()), list(run.lam.values())
    return {"x1": x[-2], "lam1": lam[-2], "x2": x[-1], "lam2": lam[-1]} | weights(net)


def simulation(problem: Problem, backend: str, **options: Any) -> ns.Simulation:
    """Ours, on one thread."""
    return ns.Simulation(
        problem.network(), problem.flow(), dt=problem.dt, backend=backend, **options
    )


def train(
    problem: Problem, steps: int, backend: str = "standalone", **options: Any
) -> tuple[float, State]:
    """All three flows for `steps`: seconds a step, and where they led."""
    sim = simulation(problem, backend, **options)
    log = sim.train(problem.X, problem.Y, ns.Simultaneous(duration=steps * problem.dt, reports=1))
    return sim.loop_time / steps, state(log.run, sim.net)


def relax(
    problem: Problem, steps: int, backend: str = "standalone", **options: Any
) -> tuple[float, State]:
    """Weights fixed, for `steps`: seconds a step, and where it led."""
    sim = simulation(problem, backend, **options)
    run = sim.relax(problem.X, problem.Y, duration=steps * problem.dt)
    return sim.loop_time / steps, state(run, sim.net)
