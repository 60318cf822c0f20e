"""Tasks in which what is shown depends on what was done: a contextual bandit, carts that balance
poles.

Worlds for `Simulation.interact`: asked with a network's outputs, whose softmax is the policy, they
say what is shown next. Start at `Bandit`, `CartPole`; `advantages` makes targets for the loss
``"policy"``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import softmax

from neurosim.errors import DataError, out_of_range, whole

Array = np.ndarray
Answer = tuple[Array, Array]  # X and Y of the next frame

SCALES = np.array(
    [2.4, 2.0, 0.2095, 2.0]
)  # what a cart's state is divided by: the first and the third are its limits


def advantages(actions: Any, values: Any, size: int) -> Array:
    """Targets of the loss ``"policy"``: the advantage at the action that was taken, 0 elsewhere.

    Parameters
    ----------
    actions : (patterns,) of int, 0 to size - 1
    values : (patterns,)
        Advantages, of any sign.
    size : int
        Number of actions.

    Returns
    -------
    (patterns, size)

    Raises
    ------
    DataError
        Actions that are not there; values that are not one an action.
    """
    chosen, worth = np.asarray(actions), np.asarray(values, dtype=float)
    wrong = (chosen < 0) | (chosen >= size) | (chosen != np.round(chosen))
    if chosen.ndim != 1 or wrong.any():
        found = f"hold {chosen[wrong][0]:g}" if wrong.any() else f"have shape {chosen.shape}"
        raise DataError(f"actions {found}; allowed: (patterns,) whole numbers 0 to {size - 1}")
    if worth.shape != chosen.shape:
        raise DataError(f"values have shape {worth.shape}; allowed: {chosen.shape}, one an action")
    Y = np.zeros((len(chosen), size))
    Y[np.arange(len(chosen)), chosen.astype(int)] = worth
    return Y


def sampled(outputs: Array, rng: np.random.Generator) -> Array:
    """Actions drawn from softmax(outputs), (patterns,) of int."""
    chances = softmax(outputs, axis=1).cumsum(axis=1)
    return np.asarray((rng.random((len(outputs), 1)) > chances[:, :-1]).sum(axis=1))


@dataclass
class Bandit:
    """A contextual bandit: for each context one arm pays more often than the others.

    A trial is two frames: a context with no target (y = 0), on which the network acts, then the
    same context with the advantage at the arm that was drawn, its reward less a running mean of
    rewards.

    Attributes
    ----------
    contexts : (contexts, features)
    best : (contexts,) of int
        The arm that pays.
    arms : int
    pays : (float, float)
        Chance of a reward of 1 from the best arm, and from any other.
    pace : float
        Of the running mean.
    chosen : list of bool
        Whether the best arm was drawn, trial by trial.

    Examples
    --------
    >>> net = Network.mlp([8, 16, 4], loss="policy")  # doctest: +SKIP
    >>> bandit = Bandit.drawn(seed=0)  # doctest: +SKIP
    >>> sim.interact(bandit, frames=8000, per_frame=60 * ms, plastic_from=0.5)  # doctest: +SKIP
    >>> bandit.rate(1000)  # doctest: +SKIP
    0.97
    """

    contexts: Array
    best: Array
    arms: int
    rng: np.random.Generator = field(repr=False)
    pays: tuple[float, float] = (0.9, 0.1)
    pace: float = 0.02
    chosen: list[bool] = field(default_factory=list, repr=False)
    _mean: float = 0.0
    _now: int | None = None

    @classmethod
    def random_weights(
        cls, *, contexts: int = 16, features: int = 8, arms: int = 4, seed: int = 0
    ) -> Bandit:
        """Contexts of random signs, all different, and for each a random best arm."""
        whole("arms", arms, 2)
        whole("features", features, 1)
        if not 1 <= contexts <= 2 ** min(features, 20):
            raise out_of_range("contexts", contexts, f"1 to 2**{min(features, 20)}, all different")
        rng = np.random.default_rng([seed, 0])
        numbers = rng.choice(2 ** min(features, 20), size=contexts, replace=False)
        signs = np.where((numbers[:, None] >> np.arange(features)) & 1, 1.0, -1.0)
        return cls(signs, rng.integers(arms, size=contexts), arms, np.random.default_rng([seed, 1]))

    def __call__(self, outputs: Array) -> Answer:
        """The next frame: a context to act on, or what came of it."""
        if self._now is None:
            self._now = int(self.rng.integers(len(self.contexts)))
            return self.contexts[[self._now]], np.zeros((1, self.arms))
        context, self._now = self._now, None
        arm = sampled(outputs, self.rng)
        self.chosen.append(bool(arm[0] == self.best[context]))
        advantage = float(self.rng.random() < self.pays[0 if self.chosen[-1] else 1]) - self._mean
        self._mean += self.pace * advantage
        return self.contexts[[context]], advantages(arm, [advantage], self.arms)

    def rate(self, trials: int) -> float:
        """Share of the last so many trials in which the best arm was drawn."""
        return float(np.mean(self.chosen[-trials:]))


@dataclass
class CartPole:
    """Carts that balance a pole each by pushes to the left or to the right, each until it falls.

    As in Gymnasium's CartPole, 10 N at 50 Hz: a pole falls beyond 12 degrees, a cart beyond 2.4 m.
    The frame's input is the state (m, m/s, rad, rad/s) over `SCALES`; there is no target. A cart
    that has fallen stays as it is.

    Attributes
    ----------
    state : (carts, 4)
    most : int
        Pushes after which an episode ends, upright.
    shown, pushed, up : lists of array
        By frame: inputs (carts, 4), actions (carts,), and which carts were up, (carts,) of bool.

    References
    ----------
    Barto, Sutton & Anderson, IEEE Trans. SMC 13, 834 (1983); constants as in Gymnasium's CartPole.
    """

    state: Array
    rng: np.random.Generator = field(repr=False)
    most: int = 200
    shown: list[Array] = field(default_factory=list, repr=False)
    pushed: list[Array] = field(default_factory=list, repr=False)
    up: list[Array] = field(default_factory=list, repr=False)

    @classmethod
    def random_weights(cls, carts: int, *, most: int = 200, seed: Any = 0) -> CartPole:
        """Carts near the middle, poles nearly upright: every number of the state uniform within
        0.05.
        """
        whole("carts", carts, 1)
        whole("most", most, 1)
        rng = np.random.default_rng(seed)
        return cls(rng.uniform(-0.05, 0.05, (carts, 4)), rng, most)

    def __call__(self, outputs: Array) -> Answer | None:
        """Push where the outputs say, and show where that led; None once all have fallen, or time
        is over.
        """
        standing = np.ones(len(self.state), dtype=bool)
        if self.shown:
            self.pushed.append(sampled(outputs, self.rng))
            moved = pushed(self.state, self.pushed[-1])
            self.state = np.where(self.up[-1][:, None], moved, self.state)
            standing = (
                self.up[-1]
                & (np.abs(self.state[:, 0]) <= SCALES[0])
                & (np.abs(self.state[:, 2]) <= SCALES[2])
            )
        if len(self.pushed) == self.most or not standing.any():
            return None
        self.shown.append(self.state / SCALES)
        self.up.append(standing)
        return self.shown[-1], np.zeros((len(self.state), 2))

    @property
    def lengths(self) -> Array:
        """Pushes of each episode, (carts,)."""
        return np.asarray(np.sum(self.up, axis=0))


def pushed(state: Array, actions: Array) -> Array:
    """The state after a push of 20 ms, to the right where the action is 1; (carts, 4) in m, m/s,
    rad, rad/s.
    """
    x, v, angle, turn = state.T
    push = np.where(actions == 1, 10.0, -10.0)  # N; the cart has 1 kg, the pole 0.1 kg and 1 m
    drive = (push + 0.05 * turn**2 * np.sin(angle)) / 1.1
    swing = (9.8 * np.sin(angle) - np.cos(angle) * drive) / (
        0.5 * (4 / 3 - 0.1 * np.cos(angle) ** 2 / 1.1)
    )
    gain = drive - 0.05 * swing * np.cos(angle) / 1.1
    return np.column_stack(
        [x + 0.02 * v, v + 0.02 * gain, angle + 0.02 * turn, turn + 0.02 * swing]
    )
