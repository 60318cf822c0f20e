"""Learn features by Hebbian rules: first layers without an error signal, for a separate readout.

Plain NumPy, independent of the flows, with scikit-learn's interface. Start at `HebbianLayer`;
`HebbianConvolution` applies one to every patch of an image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_random_state

from neurosim.errors import DataError, number, unknown, whole
from neurosim.model.arrays import validated

Array = np.ndarray
OJA, BCM, RANDOM = "oja", "bcm", "random"
RULES = (OJA, BCM, RANDOM)
STARTS = ("patterns", "random")
SMALLEST_NORM = 1e-12  # divisor of rows whose norm is smaller
FLAT = 0.01  # variance of a patch below which it counts as nearly flat
SMALLEST_VARIANCE = 0.1  # added to variances of patches along each direction before whitening
AT_ONCE = 2**22  # numbers of patches that are held at once: 32 MB


class HebbianLayer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Layer whose units compete for the patterns and learn by a local rule, without targets.

    Each pattern is centred by the mean and divided by its norm. Each of the `active` units with
    the largest products w x outputs by how much its product exceeds the largest of the other
    units; the others output 0.

    Parameters
    ----------
    units : int
        Number of units, >= 1.
    rule : "oja", "bcm" or "random"
        How the weights of the unit that wins a pattern change. oja: by Oja's rule. bcm: towards
        the pattern if the output exceeds the unit's sliding threshold, away from it if it is
        positive but below; the weights are normalised after every batch. random: not at all, for
        comparison.
    active : int
        Largest number of units per pattern whose outputs are not 0, >= 1; if there are no more
        units than that, the outputs are max(w x, 0).
    start : "patterns" or "random"
        Initial weights: patterns drawn from the data of `fit` or of the first `partial_fit`, or
        random directions. With the rule "random" they are always random directions.
    epochs : int
        Passes of `fit`, >= 1; the rate falls linearly over them, towards 0.
    batch : int
        Patterns shown at once, >= 1; 1 is online learning.
    rate : float
        Learning rate, >= 0.
    conscience : float
        Increase of a unit's handicap per pattern that it wins beyond its share of a batch, >= 0.
        The handicap is subtracted from w x before the winner is chosen.
    pace : float
        Rate, per batch, at which the threshold follows the mean square output over the patterns
        that the unit wins, 0 to 1 (bcm). Beyond 1 it would overshoot that mean.
    random_state : int, RandomState or None
        Seed of the weights and of the order of the patterns.

    Attributes
    ----------
    weights_ : (units, features)
        Rows of norm 1, under oja near 1.
    mean_ : (features,)
        Mean of the data of `fit` or of the first `partial_fit`.
    handicap_ : (units,)
    threshold_ : (units,)
        Sliding thresholds; 0 except under bcm.

    Raises
    ------
    ModelError
        A parameter out of range, when `fit` or `partial_fit` is called.

    References
    ----------
    Oja, J. Math. Biol. 15, 267 (1982); conscience: DeSieno, ICNN 1988; Bienenstock, Cooper &
    Munro, J. Neurosci. 2, 32 (1982).

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> HebbianLayer(units=20, active=5, epochs=2).fit(X).transform(X).shape
    (50, 20)
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
        self.units = units
        self.rule = rule
        self.active = active
        self.start = start
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.conscience = conscience
        self.pace = pace
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> HebbianLayer:
        """Draw new weights and train them for `epochs` passes, each in a new random order.

        Parameters
        ----------
        X : (patterns, features)
        y : ignored
        """
        X = validated(self, X)
        rng = self._start(X)
        if self.rule != RANDOM:
            for epoch in range(self.epochs):
                order = rng.permutation(len(X))
                rate = self.rate * (1 - epoch / self.epochs)
                self._pass(self._directions(X)[order], rate)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> HebbianLayer:
        """Train once on these patterns, in the given order and at the full rate.

        The first call also draws the weights and fixes the mean.

        Parameters
        ----------
        X : (patterns, features)
        y : ignored
        """
        first = not hasattr(self, "weights_")
        X = validated(self, X, reset=first)
        if first:
            self._start(X)
        if self.rule != RANDOM:
            self._pass(self._directions(X), self.rate)
        return self

    def transform(self, X: Any) -> Array:
        """Return the outputs, (patterns, units)."""
        check_is_fitted(self)
        X = validated(self, X, reset=False)
        return most_active(self._directions(X) @ self.weights_.T, self.active)

    @property
    def _n_features_out(self) -> int:
        """Number of outputs, for scikit-learn."""
        return int(self.units)

    def _start(self, X: Array) -> np.random.RandomState:
        """Check the parameters, measure the mean, draw the weights; return the generator."""
        self._check()
        rng: np.random.RandomState = check_random_state(self.random_state)
        self.mean_ = X.mean(axis=0)
        if self.start == "patterns" and self.rule != RANDOM:
            directions = self._directions(X)
            repeated = self.units > len(directions)
            chosen = rng.choice(len(directions), self.units, replace=repeated)
            self.weights_ = directions[chosen]
        else:
            self.weights_ = _normalised(rng.normal(size=(self.units, X.shape[1])))
        self.handicap_ = np.zeros(self.units)
        self.threshold_ = np.zeros(self.units)
        return rng

    def _check(self) -> None:
        """Check the parameters."""
        for name, allowed in (("rule", RULES), ("start", STARTS)):
            if getattr(self, name) not in allowed:
                raise unknown(name, getattr(self, name), allowed)
        for name in ("units", "active", "epochs", "batch"):
            whole(name, getattr(self, name), 1)
        for name in ("rate", "conscience"):
            number(name, getattr(self, name), least=0)
        number("pace", self.pace, least=0, most=1, try_="0.3")

    def _directions(self, X: Array) -> Array:
        """Return patterns minus the mean, divided by their norm."""
        return _normalised(X - self.mean_)

    def _pass(self, x: Array, rate: float) -> None:
        """Train on patterns in batches: move the winners, and update the handicaps.

        Parameters
        ----------
        x : (patterns, features)
            Rows of norm 1.
        rate : float
            Learning rate.
        """
        for first in range(0, len(x), self.batch):
            shown = x[first : first + self.batch]
            outputs = shown @ self.weights_.T
            winners = (outputs - self.handicap_).argmax(axis=1)
            rows = np.arange(len(shown))
            self._learn(shown, winners, outputs[rows, winners], rate)
            wins = np.bincount(winners, minlength=self.units)
            share = len(shown) / self.units
            self.handicap_ += self.conscience * (wins - share)

    def _learn(self, x: Array, winners: Array, y: Array, rate: float) -> None:
        """Move each pattern's winner by the rule; several changes of one unit add up.

        Parameters
        ----------
        x : (patterns, features)
        winners : (patterns,) of int
        y : (patterns,)
            Product w x of each winner.
        rate : float
            Learning rate.
        """
        if self.rule == OJA:
            changes = oja(self.weights_[winners], x, y)
        else:
            changes = bcm(x, y, self.threshold_[winners])
        moved, own = np.unique(winners, return_inverse=True)
        patterns = np.arange(len(x))
        won = csr_array((np.ones(len(x)), (own, patterns)))  # (moved units, patterns)
        self.weights_[moved] += rate * (won @ changes)
        if self.rule == BCM:
            self.weights_[moved] = _normalised(self.weights_[moved])
            mean = (won @ y**2) / won.sum(axis=1)
            self.threshold_[moved] += self.pace * (mean - self.threshold_[moved])


class HebbianConvolution:
    """A `HebbianLayer` that reads every patch of an image with the same weights, then a mean.

    Parameters
    ----------
    layer : HebbianLayer
        Learns from patches that are drawn from all places of all images.
    kernel : int
        Height and width of a patch, >= 1.
    pool : int
        Height and width of the block of places over which outputs are averaged, >= 1; places
        beyond the last whole block are left out.
    patches : int
        Number of patches to learn from, >= 1.
    whiten : bool
        Whether patches are decorrelated, by the covariance of those to learn from, before the
        layer reads them.

    References
    ----------
    Convolutional layers by winner-take-all and BCM: Nimmo & Mondragon, arXiv 2501.17266.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(20, 8, 8, 1))
    >>> conv = HebbianConvolution(HebbianLayer(6, active=2), kernel=3, pool=2, patches=100)
    >>> conv.fit(X).transform(X).shape
    (20, 3, 3, 6)
    """

    def __init__(
        self,
        layer: HebbianLayer,
        kernel: int,
        pool: int,
        patches: int = 20_000,
        whiten: bool = False,
    ) -> None:
        self.layer = layer
        self.whiten = whiten
        self.kernel = whole("kernel", kernel, 1)
        self.pool = whole("pool", pool, 1)
        self.patches = whole("patches", patches, 1)

    def fit(self, X: Array) -> HebbianConvolution:
        """Train the layer on patches.

        Parameters
        ----------
        X : (patterns, height, width, channels)

        Raises
        ------
        DataError
            Images that have no patch, or too few places for a block.
        """
        windows = self._windows(X)
        rng = check_random_state(self.layer.random_state)
        count, height, width = windows.shape[:3]
        chosen = rng.randint(0, (count, height, width), size=(self.patches, 3))
        image, row, column = chosen.T
        drawn = self._evened(windows[image, row, column])
        drawn = drawn[drawn.any(axis=1)]
        features = drawn.shape[1]
        self._mean = drawn.mean(axis=0)
        self._matrix = np.eye(features)
        if self.whiten:
            variances, directions = np.linalg.eigh(np.cov(drawn.T))
            self._matrix = directions / np.sqrt(variances + SMALLEST_VARIANCE) @ directions.T
        self.layer.fit((drawn - self._mean) @ self._matrix)
        return self

    def transform(self, X: Array) -> Array:
        """Return the outputs, (patterns, blocks, blocks, units)."""
        windows = self._windows(X)
        height, width = windows.shape[1:3]
        features = int(np.prod(windows.shape[3:]))
        rows, columns = height // self.pool, width // self.pool
        used = windows[:, : rows * self.pool, : columns * self.pool]
        images = max(1, AT_ONCE // (height * width * features))
        parts = []
        for first in range(0, len(X), images):
            shown = used[first : first + images]
            seen = (self._evened(shown.reshape(-1, features)) - self._mean) @ self._matrix
            outputs = self.layer.transform(seen)
            blocks = outputs.reshape(len(shown), rows, self.pool, columns, self.pool, -1)
            parts.append(blocks.mean(axis=(2, 4)))
        return np.concatenate(parts)

    @staticmethod
    def _evened(patches: Array) -> Array:
        """Return patches as rows of mean 0 and spread 1; flat ones stay near 0."""
        rows = patches.reshape(len(patches), -1)
        centred = rows - rows.mean(axis=1, keepdims=True)
        variance = (centred**2).mean(axis=1, keepdims=True)
        return np.asarray(centred / np.sqrt(variance + FLAT))

    def _windows(self, X: Array) -> Array:
        """Return a view of all patches, (patterns, rows, columns, channels, kernel, kernel)."""
        least = self.kernel + self.pool - 1
        if X.ndim != 4 or min(X.shape[1:3]) < least:
            raise DataError(
                f"X has shape {X.shape}; allowed: (patterns, height, width, channels), at least "
                f"{least} high and wide for patches of {self.kernel} and blocks of {self.pool}; "
                "try a smaller kernel or pool"
            )
        shape = self.kernel, self.kernel
        # NumPy's stubs know one axis alone
        windows = np.lib.stride_tricks.sliding_window_view(X, shape, axis=(1, 2))  # type: ignore[call-overload]
        return np.asarray(windows)


def oja(weights: Array, x: Array, y: Array) -> Array:
    """Return Oja's change of the weights, y (x - y w), of each pattern's winner.

    Parameters
    ----------
    weights : (patterns, features), unit 1
        Weights w of the winner.
    x : (patterns, features), unit 1
    y : (patterns,), unit 1
        Product w x of the winner.

    Returns
    -------
    (patterns, features), unit 1

    Examples
    --------
    >>> oja(np.array([[1.0, 0.0]]), np.array([[0.6, 0.8]]), np.array([0.6]))
    array([[0.  , 0.48]])
    """
    column = y[:, None]
    return np.asarray(column * (x - column * weights))


def bcm(x: Array, y: Array, threshold: Array) -> Array:
    """Return Bienenstock, Cooper and Munro's change y (y - threshold) x of each pattern's winner.

    Parameters
    ----------
    x : (patterns, features), unit 1
    y, threshold : (patterns,), unit 1
        Product w x and threshold of the winner.

    Returns
    -------
    (patterns, features), unit 1
    """
    factor = y * (y - threshold)
    return np.asarray(factor[:, None] * x)


def most_active(y: Array, active: int) -> Array:
    """Return by how much the largest values of a row exceed the largest of the rest; else 0.

    Parameters
    ----------
    y : (patterns, units), unit 1
    active : int
        How many values per row are kept, >= 1; if a row has no more than that, return max(y, 0).

    Returns
    -------
    (patterns, units), unit 1

    Examples
    --------
    >>> most_active(np.array([[3.0, 1.0, 2.0]]), active=2)
    array([[2., 0., 1.]])
    """
    units = y.shape[1]
    if active >= units:
        return np.asarray(np.maximum(y, 0.0))
    rank = units - active - 1  # of the largest value that is not kept, in ascending order
    level = np.partition(y, rank, axis=1)[:, [rank]]
    return np.asarray(np.maximum(y - level, 0.0))


def _normalised(rows: Array) -> Array:
    """Return rows divided by their norm; a row of zeros stays 0."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, SMALLEST_NORM))
