"""Classify by the saddle flow, with weights of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from neurosim.data.sample_weights import sample_weights
from neurosim.errors import DataError, ModelError, number, out_of_range, shown
from neurosim.estimators.base import PARAMETERS, Given, Saddle
from neurosim.model.arrays import validated
from neurosim.model.feedback import SYMMETRIC
from neurosim.model.methods import EULER
from neurosim.model.network import Network
from neurosim.model.weights import NORMAL

Array = np.ndarray
BALANCED = "balanced"
# the parameter of the classifier alone
CLASS_WEIGHT = """    class_weight : "balanced" or dict, optional
        Factor of the weights of a class's patterns; 1 for classes that a dict leaves out.
        "balanced" is the number of patterns over (classes times patterns of the class), each
        pattern counted by its `sample_weight`.
"""


class SaddleClassifier(ClassifierMixin, Saddle):  # type: ignore[misc]
    """Classifier trained by the saddle flow of neurons, multiplier units and synapses."""

    __doc__ += PARAMETERS.format(
        losses='"cross_entropy" by default, or as in `Network.mlp`; there is one output per class.',
        targets="",
        own=CLASS_WEIGHT,
    )
    __doc__ += """    classes_ : (classes,)

    Examples
    --------
    >>> import neurosim as ns
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> short = ns.Simultaneous(duration=0.5)
    >>> ns.SaddleClassifier(schedule=short, random_state=0).fit(X, y).score(X, y) > 0.8
    True
    """

    _default_loss = "cross_entropy"

    def __init__(
        self,
        hidden: Any = (32,),
        *,
        activation: str = "tanh",
        loss: str | None = None,
        gain: float = 1.0,
        init: str = NORMAL,
        constraint: str = "lin",
        epsilon: float = 0.0,
        free_output: bool = False,
        plastic_bias: bool = True,
        bias_init: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        activity_l1: float = 0.0,
        feedback: str = SYMMETRIC,
        feedback_decay: float | None = None,
        plasticity: Any = None,
        bias_plasticity: Any = None,
        flow: Any = "augmented",
        rho: float | None = None,
        theta: float | None = None,
        rate: float | None = None,
        ratio: float | None = None,
        tau_x: Any = None,
        tau_lam: Any = None,
        tau_w: Any = None,
        schedule: Any = None,
        dt: Any = 1e-3,
        method: str = EULER,
        backend: str = "auto",
        precision: str = "float64",
        threads: int = 1,
        standardise: bool = True,
        validation: float = 0.0,
        class_weight: Any = None,
        random_state: Any = None,
        verbose: bool = False,
        network: Any = None,
    ) -> None:
        parameters = locals()
        for name in ("self", "class_weight", "__class__"):
            del parameters[name]
        super().__init__(**parameters)
        self.class_weight = class_weight

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, *, sample_weight: Any = None
    ) -> Self:
        """Continue training from the present weights for one row of the log.

        With `Presentations` that is one epoch; with `Simultaneous` it is duration / reports.

        Parameters
        ----------
        X : (patterns, features)
        y : (patterns,)
        classes : (classes,), optional
            All classes of this call and of later ones; needed in the first call unless y holds
            them all.
        sample_weight : (patterns,), optional
            As in `fit`.

        Raises
        ------
        DataError
            A label that is not among the classes, or classes other than those of the first call.
        ModelError
            class_weight="balanced", since a part of the data does not tell how often a class is.
        """
        if isinstance(self.class_weight, str):
            raise ModelError(
                f"class_weight = {self.class_weight!r} with partial_fit, which sees a part of the "
                "data; allowed: None or a dict; try sklearn.utils.class_weight.compute_class_weight"
            )
        return self._continue(X, y, sample_weight, classes=classes)

    def decision_function(self, X: Any) -> Array:
        """Return the outputs of the forward pass, (patterns, classes).

        With two classes return the second output minus the first, (patterns,).
        """
        outputs = self._forward(X)
        if len(self.classes_) == 2:
            return np.asarray(outputs[:, 1] - outputs[:, 0])
        return outputs

    def predict(self, X: Any) -> Array:
        """Return the class of the largest output, (patterns,)."""
        decision = self.decision_function(X)
        if decision.ndim == 2:
            return np.asarray(self.classes_[decision.argmax(axis=1)])
        second = decision > 0  # of two classes
        return np.asarray(self.classes_[second.astype(int)])

    def _has_probabilities(self) -> bool:
        """Whether the outputs are logits, so that their softmax is a probability."""
        net = getattr(self, "network_", self.network)
        if self.network is not None and isinstance(net, Network):
            return bool(net.losses) and net.losses[net.output].kind == "cross_entropy"
        return (self.loss or self._default_loss) == "cross_entropy"

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """Return the softmax of the outputs, (patterns, classes).

        Available only with the loss "cross_entropy".
        """
        outputs = self._forward(X)
        odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def _read(self, X: Any, y: Any, sample_weight: Any, *, first: bool, **kept: Any) -> Given:
        """Return X, each label as its index in `classes_`, and the weights of the patterns."""
        X, y = validated(self, self._as_rows(X, first=first), y, text=True, reset=first)
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        classes = kept.get("classes")
        if first:
            self.classes_ = np.unique(y if classes is None else classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise DataError(
                f"classes = {shown(classes)}; allowed: those of the first call, {self.classes_}"
            )
        if len(self.classes_) < 2:
            raise DataError(f"y has 1 class, {self.classes_[0]!r}; allowed: at least 2 classes")
        unexpected = set(np.unique(y).tolist()) - set(self.classes_.tolist())
        if unexpected:
            label = min(unexpected, key=str)
            raise DataError(f"y holds {shown(label)}; allowed: the classes {self.classes_}")
        targets = np.searchsorted(self.classes_, y)
        weights = sample_weights(sample_weight, len(X))
        return Given(X, targets, self._weighted(targets, weights))

    def _weighted(self, targets: Array, weights: Array | None) -> Array | None:
        """Return the weights of the patterns times those of their classes; None without either."""
        if self.class_weight is None:
            return weights
        if isinstance(self.class_weight, str) and self.class_weight == BALANCED:
            found = balanced(targets, len(self.classes_), weights)
        else:
            found = self._given_class_weights()
        own = found[targets]
        product = own if weights is None else weights * own
        return sample_weights(product, len(targets), "sample_weight times class_weight")

    def _given_class_weights(self) -> Array:
        """Return the weights of the dict `class_weight` in the order of `classes_`, (classes,)."""
        given = self.class_weight
        if not isinstance(given, Mapping):
            allowed = f"None, {BALANCED!r} or a dict, class: weight"
            raise out_of_range("class_weight", given, allowed, repr(BALANCED))
        classes = self.classes_.tolist()
        weights = np.ones(len(classes))
        for label, weight in given.items():
            if label not in classes:
                raise DataError(f"class_weight has {label!r}; allowed: the classes {self.classes_}")
            weights[classes.index(label)] = number(f"class_weight[{label!r}]", weight, least=0)
        return weights

    def _outputs(self, targets: Array) -> int:
        """Return the number of classes."""
        return len(self.classes_)


def balanced(targets: Array, classes: int, weights: Array | None) -> Array:
    """Return the weights of classes that give all of them the same sum over their patterns.

    Parameters
    ----------
    targets : (patterns,) of int
    classes : int
        Number of classes.
    weights : (patterns,) or None
        Weights of the patterns.

    Returns
    -------
    (classes,), unit 1
        0 for a class whose patterns have weights of 0.

    Examples
    --------
    >>> balanced(np.array([0, 0, 0, 1]), 2, None)
    array([0.66666667, 2.        ])
    """
    counts = np.bincount(targets, weights, minlength=classes)
    found = np.zeros(classes)
    np.divide(counts.sum(), classes * counts, out=found, where=counts > 0)
    return found
