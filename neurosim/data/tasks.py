"""Tasks whose frames depend on earlier actions: a contextual bandit, and carts that balance poles.

They are worlds for `Simulation.interact`: called with a network's outputs, whose softmax is the
policy, they return the next frame. `advantages` makes targets for the loss ``"policy"``. Start at
`Bandit` and `CartPole`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import softmax

from neurosim.errors import DataError, out_of_range, whole
from neurosim.model.arrays import real_array
from neurosim.model.display import short_repr

Array = np.ndarray
Frame = tuple[Array, Array]  # X and Y of one frame

# divisors of a cart's state; the first and the third are also the limits of place and angle
SCALES = np.array([2.4, 2.0, 0.2095, 2.0])
TIME_STEP = 0.02  # s per push of a cart
MAX_BITS = 20  # largest number of random signs in a context; all others are -1


def advantages(actions: Any, values: Any, size: int) -> Array:
    """Return targets of the loss ``"policy"``: the advantage at the action taken, 0 elsewhere.

    Parameters
    ----------
    actions : (patterns,) of int, 0 to size - 1
        Actions that were taken.
    values : (patterns,)
        Their advantages, of any sign.
    size : int
        Number of actions.

    Returns
    -------
    (patterns, size), unit 1

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
    chosen = real_array("actions", actions)
    advantage = real_array("values", values)
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


@dataclass(repr=False)
class Bandit:
    """Contextual bandit: for each context one arm pays more often than the others.

    A trial is two frames. The first presents a context without a target (y = 0), and an arm is
    drawn from the network's policy. The second presents the same context with a target: at that arm
    the advantage, which is the reward minus a running mean of rewards, and 0 elsewhere.

    Attributes
    ----------
    contexts : (contexts, features)
    best : (contexts,) of int
        Arm that pays most often, for each context.
    arms : int
        Number of arms.
    rng : numpy.random.Generator
        Source of contexts, actions and rewards.
    pays : (float, float)
        Probability of a reward of 1 (else 0), from the best arm and from any other.
    pace : float
        Rate of the running mean, per trial.
    chosen : list of bool
        Whether the best arm was drawn, for each trial so far.

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

    __repr__ = short_repr

    @classmethod
    def drawn(
        cls,
        *,
        contexts: int = 16,
        features: int = 8,
        arms: int = 4,
        seed: int = 0,
    ) -> Bandit:
        """Draw different contexts of random signs, and a random best arm for each.

        Raises
        ------
        ModelError
            A number out of range, or more contexts than there are different ones.
        """
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

    def __call__(self, outputs: Array) -> Frame:
        """Return the next frame: a new context, or the same one with the action's advantage."""
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
        """Return the share of the last `trials` trials in which the best arm was drawn."""
        return float(np.mean(self.chosen[-trials:]))


@dataclass(repr=False)
class CartPole:
    """Carts that balance one pole each, by pushes to the left or to the right.

    As in Gymnasium's CartPole, a push of 10 N is chosen 50 times per second. An episode fails once
    the pole is more than 12 degrees from upright, or the cart more than 2.4 m from the middle; the
    state then no longer changes. The input of a frame is the state (m, m/s, rad, rad/s) divided by
    `SCALES`; the target is 0.

    Attributes
    ----------
    state : (carts, 4)
        Place, speed, angle and angular velocity of each cart.
    rng : numpy.random.Generator
        Source of the actions.
    most : int
        Number of pushes after which an episode ends with the pole still up.
    shown, pushed, up : lists of array
        For each frame: inputs (carts, 4), actions (carts,), and which poles were up, (carts,) of
        bool.

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

    __repr__ = short_repr

    @classmethod
    def drawn(cls, carts: int, *, most: int = 200, seed: Any = 0) -> CartPole:
        """Draw carts near the middle with poles nearly upright: each state variable within ±0.05.

        Raises
        ------
        ModelError
            A number out of range.
        """
        whole("carts", carts, 1)
        whole("most", most, 1)
        rng = np.random.default_rng(seed)
        return cls(rng.uniform(-0.05, 0.05, (carts, 4)), rng, most)

    def __call__(self, outputs: Array) -> Frame | None:
        """Draw actions, push the carts, return the next frame; None at the end of all episodes.

        The first call returns the first frame without a push.
        """
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
        """Number of pushes in each episode, (carts,)."""
        return np.asarray(np.sum(self.up, axis=0))


def _within_limits(state: Array) -> Array:
    """Return whether place and angle of each cart are within the limits, (carts,) of bool."""
    place, _, angle, _ = np.abs(state).T
    farthest, _, steepest, _ = SCALES
    return np.asarray((place <= farthest) & (angle <= steepest))


def pushed(state: Array, actions: Array) -> Array:
    """Return the state after a push of 20 ms, to the right if the action is 1, else to the left.

    This is one explicit Euler step without friction. The cart has a mass of 1 kg, the pole a mass
    of 0.1 kg and a length of 1 m.

    Parameters
    ----------
    state : (carts, 4), in m, m/s, rad, rad/s
    actions : (carts,) of 0 or 1

    Returns
    -------
    (carts, 4), in the same units
    """
    _, speed, angle, angular_velocity = state.T
    push = np.where(actions == 1, 10.0, -10.0)  # N
    sine, cosine = np.sin(angle), np.cos(angle)
    drive = (push + 0.05 * angular_velocity**2 * sine) / 1.1  # m/s²
    lever = 0.5 * (4 / 3 - 0.1 * cosine**2 / 1.1)  # m
    angular_acceleration = (9.8 * sine - cosine * drive) / lever  # rad/s²
    acceleration = drive - 0.05 * angular_acceleration * cosine / 1.1  # m/s²
    rates = np.column_stack([speed, acceleration, angular_velocity, angular_acceleration])
    return np.asarray(state + TIME_STEP * rates)
