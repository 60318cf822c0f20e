"""Hebbian first layers: features learnt from what comes in alone, for a readout that learns by the
saddle rule.

Plain NumPy beside the flows, with scikit-learn's interface; no error reaches these weights. Start
at `HebbianLayer`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from neurosim.errors import out_of_range, unknown

Array = np.ndarray
RULES = ("oja", "bcm", "random")
STARTS = ("patterns", "random")


class HebbianLayer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A layer whose units compete for the patterns and learn by a local rule, without a target.

    Patterns are taken less their mean and divided by their norm. What is handed on is how far the
    most active units are above the next one, and 0 for the others.

    Parameters
    ----------
    units : int
    rule : "oja", "bcm" or "random"
        How the unit that wins a pattern moves. oja: by Oja's rule. bcm: towards the pattern where
        it is above its sliding threshold, away from it where below; its weights keep their norm.
        random: not at all, for comparison.
    active : int
        Units whose outputs are not 0; all where there are no more units.
    start : "patterns" or "random"
        Weights are patterns drawn from the first ones that are seen, or random directions. Units of
        the rule "random" always start at random directions.
    epochs : int
        Passes of `fit`, over which the rate falls to 0.
    batch : int
        Patterns shown at once; 1 is online.
    rate : float
    conscience : float
        By how much a unit's handicap grows with each pattern that it wins beyond its share.
    pace : float
        With which the threshold follows the mean of the output's square where the unit wins, 0 to 1
        (bcm).
    random_state : int, RandomState or None

    Attributes
    ----------
    weights_ : (units, features)
        Rows near unit norm.
    mean_ : (features,)
    handicap_ : (units,)
    threshold_ : (units,)

    References
    ----------
    Oja, J. Math. Biol. 15, 267 (1982); conscience: DeSieno, ICNN 1988; Bienenstock, Cooper & Munro, J. Neurosci. 2, 32
    (1982).

    Examples
    --------
    >>> features = HebbianLayer(200).fit(X).transform(X)  # doctest: +SKIP
    """

    def __init__(
        self,
        units: int = 1000,
        rule: str = "oja",
        *,
        active: int = 50,
        start: str = "patterns",
        epochs: int = 15,
        batch: int = 32,
        rate: float = 0.2,
        conscience: float = 0.003,
        pace: float = 0.3,
        random_state: Any = 0,
    ) -> None:
        self.units, self.rule, self.active, self.start = units, rule, active, start
        self.epochs, self.batch = epochs, batch
        self.rate, self.conscience, self.pace, self.random_state = (
            rate,
            conscience,
            pace,
            random_state,
        )

    def fit(self, X: Any, y: Any = None) -> HebbianLayer:
        """Learn from (patterns, features), in an order drawn anew each epoch; `y` is not read."""
        X = validate_data(self, X, dtype=float)
        rng = self._start(X)
        epochs = 0 if self.rule == "random" else self.epochs
        for epoch in range(epochs):
            self._pass(self._seen(X)[rng.permutation(len(X))], self.rate * (1 - epoch / epochs))
        return self

    def partial_fit(self, X: Any, y: Any = None) -> HebbianLayer:
        """Learn from these patterns in their order, once, at the full rate; the first call fixes
        the mean.
        """
        X = validate_data(self, X, dtype=float, reset=not hasattr(self, "weights_"))
        if not hasattr(self, "weights_"):
            self._start(X)
        if self.rule != "random":
            self._pass(self._seen(X), self.rate)
        return self

    def transform(self, X: Any) -> Array:
        """Outputs, (patterns, units)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=float, reset=False)
        return most_active(self._seen(X) @ self.weights_.T, self.active)

    @property
    def _n_features_out(self) -> int:
        return int(self.units)

    def _start(self, X: Array) -> np.random.RandomState:
        """Parameters checked, everything drawn."""
        for name, allowed in (("rule", RULES), ("start", STARTS)):
            if getattr(self, name) not in allowed:
                raise unknown(name, getattr(self, name), allowed)
        for name in ("units", "active", "epochs", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise out_of_range(name, value, "a whole number >= 1")
        for name in ("rate", "conscience", "pace"):
            if not 0 <= getattr(self, name) < np.inf:
                raise out_of_range(name, getattr(self, name), "a finite number >= 0")
        rng: np.random.RandomState = check_random_state(self.random_state)
        self.mean_ = X.mean(axis=0)
        if self.start == "patterns" and self.rule != "random":
            seen = self._seen(X)
            self.weights_ = seen[rng.choice(len(seen), self.units, replace=self.units > len(seen))]
        else:
            self.weights_ = _unit(rng.normal(size=(self.units, X.shape[1])))
        self.handicap_ = np.zeros(self.units)
        self.threshold_ = np.zeros(self.units)
        return rng

    def _seen(self, X: Array) -> Array:
        return _unit(X - self.mean_)

    def _pass(self, x: Array, rate: float) -> None:
        """Show patterns in batches; winners learn, and whoever wins more than its share is held
        back.
        """
        for first in range(0, len(x), self.batch):
            shown = x[first : first + self.batch]
            found = shown @ self.weights_.T
            winners = (found - self.handicap_).argmax(axis=1)
            self._learn(shown, winners, found[np.arange(len(shown)), winners], rate)
            wins = np.bincount(winners, minlength=self.units)
            self.handicap_ += self.conscience * (wins - len(shown) / self.units)

    def _learn(self, x: Array, winners: Array, y: Array, rate: float) -> None:
        """Each pattern's winner moves by the rule; changes of one unit add up."""
        moved, own = np.unique(winners, return_inverse=True)
        changes = (
            oja(self.weights_[winners], x, y)
            if self.rule == "oja"
            else bcm(x, y, self.threshold_[winners])
        )
        sums = csr_array((np.ones(len(x)), (own, np.arange(len(x)))))
        self.weights_[moved] += rate * (sums @ changes)
        if self.rule == "bcm":
            self.weights_[moved] = _unit(self.weights_[moved])
            mean = (sums @ y**2) / sums.sum(axis=1)
            self.threshold_[moved] += self.pace * (mean - self.threshold_[moved])


def oja(weights: Array, x: Array, y: Array) -> Array:
    """Oja's change y (x - y w), of each pattern for its winner.

    Parameters
    ----------
    weights, x : (patterns, features), unit 1
        Of the winner; the pattern.
    y : (patterns,), unit 1
        The winner's output w x.
    """
    return np.asarray(y[:, None] * (x - y[:, None] * weights))


def bcm(x: Array, y: Array, threshold: Array) -> Array:
    """The change y (y - threshold) x of Bienenstock, Cooper and Munro, of each pattern for its
    winner; as in `oja`.
    """
    return np.asarray((y * (y - threshold))[:, None] * x)


def most_active(y: Array, active: int) -> Array:
    """How far each of the `active` largest outputs is above the next; the others are 0. (patterns,
    units).
    """
    if active >= y.shape[1]:
        return np.asarray(np.maximum(y, 0.0))
    bar: Array = np.partition(y, y.shape[1] - active - 1, axis=1)[:, [y.shape[1] - active - 1]]
    return np.asarray(np.maximum(y - bar, 0.0))


def _unit(rows: Array) -> Array:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
