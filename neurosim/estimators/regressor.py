"""Predict numbers by the saddle flow."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin

from neurosim.data.sample_weights import sample_weights
from neurosim.errors import DataError
from neurosim.estimators.base import PARAMETERS, Given, Saddle, mean_and_spread
from neurosim.model.arrays import validated

Array = np.ndarray


class SaddleRegressor(RegressorMixin, Saddle):  # type: ignore[misc]
    """Regressor trained by the saddle flow of neurons, multiplier units and synapses."""

    __doc__ += PARAMETERS.format(
        losses='"mse" by default, "eps_insensitive", or a formula in `x` and `y`.',
        targets=" and targets",
        own="",
    )
    __doc__ += """
    Examples
    --------
    >>> import neurosim as ns
    >>> X = np.linspace(-2, 2, 50)[:, None]
    >>> short = ns.Simultaneous(duration=1.0)
    >>> model = ns.SaddleRegressor(schedule=short, random_state=0).fit(X, np.sin(X[:, 0]))
    >>> model.predict([[0.5]]).round(1)
    array([0.5])
    """

    _default_loss = "mse"
    _y_mean: Any
    _y_scale: Any

    def partial_fit(self, X: Any, y: Any, *, sample_weight: Any = None) -> Self:
        """Continue training from the present weights for one row of the log.

        With `Presentations` that is one epoch; with `Simultaneous` it is duration / reports.

        Parameters
        ----------
        X : (patterns, features)
        y : (patterns,) or (patterns, outputs)
        sample_weight : (patterns,), optional
            As in `fit`.

        Raises
        ------
        DataError
            Another number of outputs than in the first call.
        """
        return self._continue(X, y, sample_weight)

    def predict(self, X: Any) -> Array:
        """Return outputs on the scale of the targets, (patterns,) or (patterns, outputs)."""
        outputs: Array = self._forward(X) * self._y_scale + self._y_mean
        if self._flat:
            return outputs[:, 0]
        return outputs

    def _read(self, X: Any, y: Any, sample_weight: Any, *, first: bool, **kept: Any) -> Given:
        """Return X, targets on the scale of the network's outputs, and the weights."""
        X, y = validated(
            self, self._as_rows(X, first=first), y, reset=first, multi_output=True, y_numeric=True
        )
        flat = np.ndim(y) == 1
        y = np.asarray(y, dtype=float).reshape(len(X), -1)
        weights = sample_weights(sample_weight, len(X))
        if first:
            self._flat, self._n_outputs = flat, y.shape[1]
            self._y_mean, self._y_scale = 0.0, 1.0
            if self.standardise:
                self._y_mean, self._y_scale = mean_and_spread(y, weights)
        if y.shape[1] != self._n_outputs:
            raise DataError(
                f"y has {y.shape[1]} outputs; allowed: {self._n_outputs}, as in the first call"
            )
        return Given(X, (y - self._y_mean) / self._y_scale, weights)

    def _outputs(self, targets: Array) -> int:
        """Return the number of targets."""
        return int(targets.shape[1])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
