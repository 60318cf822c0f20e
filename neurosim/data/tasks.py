"""Tasks whose frames depend on earlier actions: a contextual bandit, and carts that balance poles.

They are worlds for `Simulation.interact`: called with a network's outputs, whose softmax is the
policy, they return the next frame. Start at `Bandit` and `CartPole`; `advantages` makes targets
for the loss ``"policy"``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import softmax

from neurosim.errors import DataError, out_of_range, whole

Array = np.ndarray
Answer = tuple[Array, Array]  # X and Y of the next frame

# What a cart's state is divided by; the first and the third number are its limits.
SCALES = np.array([2.4, 2.0, 0.2095, 2.0])
TIME_STEP = 0.02  # s, of the carts
MAX_BITS = 20  # of the random signs that are drawn as one whole number


def advantages(actions: Any, values: Any, size: int) -> Array:
    """Return targets of the loss ``"policy"``: the advantage at the action taken, 0 elsewhere.

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
        Actions out of range, or another number of values.

    Examples
    --------
    >>> advantages([1, 0], [0.5, -2.0], size=3)
    array([[ 0. ,  0.5,  0. ],
           [-2. ,  0. ,  0. ]])
    """
    chosen = np.asarray(actions)
    advantage = np.asarray(values, dtype=float)
    fractional = chosen != np.round(chosen)
    outside = (chosen < 0) | (chosen >= size)
    wrong = chosen[fractional | outside]
    if chosen.ndim != 1 or wrong.size:
        found = f"have shape {chosen.shape}"
        if wrong.size:
            found = f"hold {wrong[0]:g}"
        raise DataError(f"actions {found}; allowed: (patterns,) whole numbers 0 to {size - 1}")
    if advantage.shape != chosen.shape:
        raise DataError(
            f"values have shape {advantage.shape}; allowed: {chosen.shape}, one per action"
        )
    Y = np.zeros((len(chosen), size))
    rows = np.arange(len(chosen))
    Y[rows, chosen.astype(int)] = advantage
    return Y


def sampled(outputs: Array, rng: np.random.Generator) -> Array:
    """Return actions drawn from softmax(outputs), (patterns,) of int."""
    cumulative = softmax(outputs, axis=1).cumsum(axis=1)
    drawn = rng.random((len(outputs), 1))
    beyond = drawn > cumulative[:, :-1]
    return np.asarray(beyond.sum(axis=1))


@dataclass
class Bandit:
    """A contextual bandit: for each context one arm pays more often than the others.

    A trial is two frames. The first shows a context without a target (y = 0), on which the network
    acts. The second shows the same context with a target: at the arm that was drawn, the advantage,
    which is the reward less a running mean of rewards.

    Attributes
    ----------
    contexts : (contexts, features)
    best : (contexts,) of int
        The arm that pays most.
    arms : int
    pays : (float, float)
        Chance of a reward of 1 from the best arm, and from any other.
    pace : float
        Rate of the running mean, per trial.
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
    def drawn(
        cls,
        *,
        contexts: int = 16,
        features: int = 8,
        arms: int = 4,
        seed: int = 0,
    ) -> Bandit:
        """Draw contexts of random signs, all different, and for each a random best arm."""
        whole("arms", arms, 2)
        whole("features", features, 1)
        most = 2 ** min(features, MAX_BITS)
        if whole("contexts", contexts, 1) > most:
            raise out_of_range("contexts", contexts, f"1 to {most}, all of them different")
        rng = np.random.default_rng([seed, 0])
        numbers = rng.choice(most, size=contexts, replace=False)
        bits = (numbers[:, None] >> np.arange(features)) & 1
        signs = np.where(bits, 1.0, -1.0)
        best = rng.integers(arms, size=contexts)
        return cls(signs, best, arms, np.random.default_rng([seed, 1]))

    def __call__(self, outputs: Array) -> Answer:
        """Return the next frame: a context to act on, or the advantage of the action."""
        if self._now is None:
            self._now = int(self.rng.integers(len(self.contexts)))
            nothing = np.zeros((1, self.arms))
            return self.contexts[[self._now]], nothing
        context, self._now = self._now, None
        arm = sampled(outputs, self.rng)
        is_best = bool(arm[0] == self.best[context])
        self.chosen.append(is_best)
        chance = self.pays[0] if is_best else self.pays[1]
        reward = float(self.rng.random() < chance)
        advantage = reward - self._mean
        self._mean += self.pace * advantage
        return self.contexts[[context]], advantages(arm, [advantage], self.arms)

    def rate(self, trials: int) -> float:
        """Return the share of the last trials in which the best arm was drawn."""
        return float(np.mean(self.chosen[-trials:]))


@dataclass
class CartPole:
    """Carts that balance one pole each by pushes to the left or to the right, until it falls.

    As in Gymnasium's CartPole, 10 N at 50 Hz: a pole falls beyond 12 degrees, a cart beyond 2.4 m.
    The input of a frame is the state (m, m/s, rad, rad/s) over `SCALES`; the target is 0. A cart
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
    def drawn(cls, carts: int, *, most: int = 200, seed: Any = 0) -> CartPole:
        """Draw carts near the middle with poles nearly upright, each number within ±0.05."""
        whole("carts", carts, 1)
        whole("most", most, 1)
        rng = np.random.default_rng(seed)
        return cls(rng.uniform(-0.05, 0.05, (carts, 4)), rng, most)

    def __call__(self, outputs: Array) -> Answer | None:
        """Push by the outputs and return the next frame; None once all fell or time is up."""
        up = np.ones(len(self.state), dtype=bool)
        if self.shown:
            actions = sampled(outputs, self.rng)
            self.pushed.append(actions)
            was_up = self.up[-1]
            moved = pushed(self.state, actions)
            self.state = np.where(was_up[:, None], moved, self.state)
            up = was_up & _within_limits(self.state)
        if len(self.pushed) == self.most or not up.any():
            return None
        inputs = self.state / SCALES
        self.shown.append(inputs)
        self.up.append(up)
        return inputs, np.zeros((len(self.state), 2))

    @property
    def lengths(self) -> Array:
        """Pushes of each episode, (carts,)."""
        return np.asarray(np.sum(self.up, axis=0))


def _within_limits(state: Array) -> Array:
    """Return whether a cart is on its track and its pole upright, (carts,) of bool."""
    place, _, angle, _ = np.abs(state).T
    farthest, _, steepest, _ = SCALES
    return np.asarray((place <= farthest) & (angle <= steepest))


def pushed(state: Array, actions: Array) -> Array:
    """Return the state after a push of 20 ms, to the right where the action is 1.

    One explicit Euler step of the cart and the pole, without friction.

    Parameters
    ----------
    state : (carts, 4), in m, m/s, rad, rad/s
    actions : (carts,) of 0 or 1
    """
    _, v, angle, turn = state.T
    push = np.where(actions == 1, 10.0, -10.0)  # N; the cart has 1 kg, the pole 0.1 kg and 1 m
    sine, cosine = np.sin(angle), np.cos(angle)
    drive = (push + 0.05 * turn**2 * sine) / 1.1
    inertia = 0.5 * (4 / 3 - 0.1 * cosine**2 / 1.1)
    swing = (9.8 * sine - cosine * drive) / inertia  # rad/s²
    gain = drive - 0.05 * swing * cosine / 1.1  # m/s²
    rates = np.column_stack([v, gain, turn, swing])
    return np.asarray(state + TIME_STEP * rates)
