"""scikit-learn's interface: a classifier and a regressor that learn by the saddle flows.

Above `simulation`; every parameter is a plain value or an immutable object, so that pipelines,
`clone` and `GridSearchCV` work as with any other estimator. Start at `SaddleClassifier`.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from neurosim import reference
from neurosim.data.patterns import pair
from neurosim.errors import DataError, ModelError, out_of_range
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.schedules import Presentations, Simultaneous, one_report
from neurosim.simulation.simulation import Simulation

Array = np.ndarray
DEFAULT_SCHEDULE = Simultaneous(duration=3.0, reports=10)  # 300 times tau_x, 3000 steps
TAU_W = 20e-3  # s, twice the default tau_x
OF_PRESETS = ("rho", "theta", "rate", "ratio", "tau_x", "tau_lam", "tau_w")


class _Saddle(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share: parameters, and how a network is made and learns."""

    network_: Network
    mean_: Any
    scale_: Any

    def __init__(
        self,
        hidden: Any = (32,),
        *,
        activation: str = "tanh",
        loss: str | None = None,
        gain: float = 1.0,
        constraint: str = "lin",
        epsilon: float = 0.0,
        free_output: bool = False,
        plastic_bias: bool = True,
        l1: float = 0.0,
        l2: float = 0.0,
        activity_l1: float = 0.0,
        feedback: str = "symmetric",
        feedback_decay: float | None = None,
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
        method: str = "euler",
        backend: str = "auto",
        precision: str = "float64",
        threads: int = 1,
        standardise: bool = True,
        validation: float = 0.0,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.loss = loss
        self.gain = gain
        self.constraint = constraint
        self.epsilon = epsilon
        self.free_output = free_output
        self.plastic_bias = plastic_bias
        self.l1 = l1
        self.l2 = l2
        self.activity_l1 = activity_l1
        self.feedback = feedback
        self.feedback_decay = feedback_decay
        self.flow = flow
        self.rho = rho
        self.theta = theta
        self.rate = rate
        self.ratio = ratio
        self.tau_x = tau_x
        self.tau_lam = tau_lam
        self.tau_w = tau_w
        self.schedule = schedule
        self.dt = dt
        self.method = method
        self.backend = backend
        self.precision = precision
        self.threads = threads
        self.standardise = standardise
        self.validation = validation
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, validation: tuple[Any, Any] | None = None) -> Self:
        """Draw new weights and learn X and y by the whole schedule.

        Parameters
        ----------
        X : (patterns, features)
        y : (patterns,), or (patterns, outputs) for a regressor
        validation : (X, y), optional
            What the log measures on, in place of a share of the patterns.
        """
        X, targets = self._read(X, y, first=True)
        self._begin(X, targets)
        self._learn(X, targets, self._schedule(), start="zero", validation=validation)
        return self

    def _partial(self, X: Any, y: Any, **kept: Any) -> Self:
        """Go on with the weights as they are, for as long as lies between two rows of the log."""
        first = not hasattr(self, "network_")
        X, targets = self._read(X, y, first=first, **kept)
        if first:
            self._begin(X, targets)
        self._learn(X, targets, one_report(self._schedule()), start="forward")
        return self

    def prepared(
        self, X: Any, y: Any, validation: tuple[Any, Any] | None = None
    ) -> tuple[Network, Any]:
        """What `fit` would learn from: the network as drawn, and X, held-out X, targets, held-out
        targets.
        """
        X, targets = self._read(X, y, first=True)
        self._begin(X, targets)
        return self.network_, self._parted(X, targets, validation)

    def _begin(self, X: Array, targets: Array) -> None:
        """What the first patterns settle: how inputs are scaled, and the network."""
        random = check_random_state(self.random_state)
        self._seed = int(random.randint(2**31 - 1))
        self.mean_, self.scale_ = _mean_and_spread(X) if self.standardise else (0.0, 1.0)
        self.network_ = Network.mlp(
            [X.shape[1], *_sizes(self.hidden), self._outputs(targets)],
            activation=self.activation,
            loss=self.loss or self._own_loss,
            gain=self.gain,
            seed=self._seed,
            constraint=self.constraint,
            epsilon=self.epsilon,
            free_output=self.free_output,
            plastic_bias=self.plastic_bias,
            l1=self.l1,
            l2=self.l2,
            activity_l1=self.activity_l1,
            feedback=self.feedback,
            feedback_decay=self.feedback_decay,
        )

    def _learn(
        self,
        X: Array,
        targets: Array,
        schedule: Any,
        start: str,
        validation: tuple[Any, Any] | None = None,
    ) -> None:
        simulation = Simulation(
            self.network_,
            self._flow(),
            dt=self.dt,
            method=self.method,
            backend=self.backend,
            seed=self._seed,
            precision=self.precision,
            threads=self.threads,
        )
        X, held, targets, held_targets = self._parted(X, targets, validation)
        if isinstance(schedule, Presentations) and schedule.batch > len(X):
            raise DataError(
                f"n_samples = {len(X)}; allowed: at least schedule.batch = {schedule.batch}"
            )
        self.log_ = simulation.train(
            X,
            targets,
            schedule,
            validation=None if held is None else (held, held_targets),
            start=start,
            progress=bool(self.verbose),
        )

    def _parted(self, X: Array, targets: Array, validation: tuple[Any, Any] | None) -> Any:
        """X, held-out X, targets, held-out targets, inputs scaled; None for what is not held out."""
        X = (X - self.mean_) / self.scale_
        if validation is not None:
            held, held_targets = self._read(*pair("validation", validation), first=False)
            return X, (held - self.mean_) / self.scale_, targets, held_targets
        return self._hold_out(X, targets) if self.validation else (X, None, targets, None)

    def _hold_out(self, X: Array, targets: Array) -> Any:
        """Patterns for the log's validation rows: a share, stratified where there are classes."""
        if (
            isinstance(self.validation, bool)
            or not isinstance(self.validation, Real)
            or not 0 < self.validation < 1
        ):
            raise out_of_range("validation", self.validation, "a share in [0, 1)", "0.25")
        classes = targets if targets.ndim == 1 else None
        return train_test_split(
            X, targets, test_size=self.validation, random_state=self._seed, stratify=classes
        )

    def _schedule(self) -> Any:
        return DEFAULT_SCHEDULE if self.schedule is None else self.schedule

    def _flow(self) -> Flow:
        """The flow; a preset's own arguments are those of the estimator."""
        given = {
            name: getattr(self, name) for name in OF_PRESETS if getattr(self, name) is not None
        }
        if isinstance(self.flow, Flow):
            if given:
                raise ModelError(
                    f"{min(given)} = {given[min(given)]!r} beside a Flow, which has its "
                    "own; allowed: None"
                )
            return self.flow
        if not isinstance(self.flow, str):
            raise ModelError(
                f"flow = {self.flow!r}; allowed: a Flow, or a preset's name, e.g. 'augmented'"
            )
        if self.flow != "local_propagation":  # which has rates in its place
            given.setdefault("tau_w", TAU_W)
        return Flow.from_preset(self.flow, **given)

    def _forward(self, X: Any) -> Array:
        """Outputs of a forward pass, (patterns, outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=float)
        return np.asarray(
            reference.forward(self.network_, (X - self.mean_) / self.scale_)[self.network_.output]
        )

    # what the two kinds answer for themselves

    _own_loss: str

    def _read(self, X: Any, y: Any, *, first: bool, **kept: Any) -> tuple[Array, Array]:
        raise NotImplementedError

    def _outputs(self, targets: Array) -> int:
        raise NotImplementedError


PARAMETERS = """
    Parameters
    ----------
    hidden : sequence of int
        Units of each hidden layer; () for none.
    activation : str
        Of the hidden units: tanh, sigmoid, relu, softplus, linear or a formula in `a`.
    loss : str, optional
        {losses}
    gain : float
        Spread of the initial weights, times 1/sqrt(inputs of a unit).
    constraint, epsilon, free_output
        G and its tolerance, and whether the output is a constraint at all, as in `Network.mlp`.
    plastic_bias : bool
        Whether biases learn; without, they stay at 0.
    l1, l2, activity_l1 : float
        Prices of the weights and of the hidden units' outputs, as in `Network.mlp`.
    feedback, feedback_decay
        What carries messages back, as in `Network.mlp`.
    flow : Flow or str
        A `Flow`, or a preset's name: then `rho`, `theta`, `rate`, `ratio`, `tau_x`, `tau_lam` and `tau_w` are its
        arguments, and None means the preset's own default (of `tau_w` 20 ms). Deep nets need a larger `rho`.
    schedule : Simultaneous, Presentations or LocalPropagation, optional
        Default: all three flows at once on all patterns, for 3 s. Where patterns are many, Presentations are faster.
    dt, method, backend, precision, threads
        As in `Simulation`.
    standardise : bool
        Bring inputs{targets} to mean 0 and spread 1 by the training patterns (of the first call of `partial_fit`).
    validation : float
        Share of the patterns, in [0, 1), that is not learnt: the log measures on it, and `LocalPropagation` keeps the
        weights that did best on it.
    random_state : int, RandomState or None
        Of weights, of what is held out, and of the order of presentations.
    verbose : bool
        A bar with the time left, on standard error.

    Attributes
    ----------
    network_ : Network
        With the learnt weights.
    log_ : Log
        Of the last call of `fit` or `partial_fit`; ``log_.run`` has x and lam of every pattern.
    mean_, scale_ : (features,)
    n_features_in_ : int
"""


class SaddleClassifier(ClassifierMixin, _Saddle):  # type: ignore[misc]
    """Classes learnt by neurons, multiplier units and synapses that flow into a saddle point."""

    __doc__ += PARAMETERS.format(
        losses='On the outputs, one a class: "cross_entropy" if not given, or as '
        "`Network.mlp` allows.",
        targets="",
    )
    __doc__ += """    classes_ : (classes,)

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> SaddleClassifier(random_state=0).fit(X, y).score(X, y) > 0.95
    True
    """

    _own_loss = "cross_entropy"

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Go on learning from where the weights are, for as long as lies between two rows of the
        log.

        An epoch of `Presentations`; `Simultaneous` has `reports` rows.

        Parameters
        ----------
        X : (patterns, features)
        y : (patterns,)
        classes : (classes,), optional
            All that will ever be met; needed in the first call unless y holds them.
        """
        return self._partial(X, y, classes=classes)

    def decision_function(self, X: Any) -> Array:
        """Outputs of the forward pass, (patterns, classes); of two classes the difference,
        (patterns,).
        """
        outputs = self._forward(X)
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs

    def predict(self, X: Any) -> Array:
        """The class of the largest output, (patterns,)."""
        decision = self.decision_function(X)
        index = decision.argmax(axis=1) if decision.ndim == 2 else (decision > 0).astype(int)
        return np.asarray(self.classes_[index])

    def _has_probabilities(self) -> bool:
        return (self.loss or self._own_loss) == "cross_entropy"

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """Softmax of the outputs, (patterns, classes); only of loss="cross_entropy"."""
        outputs = self._forward(X)
        odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def _read(self, X: Any, y: Any, *, first: bool, **kept: Any) -> tuple[Array, Array]:
        X, y = validate_data(self, X, y, reset=first, dtype=float)
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        classes = kept.get("classes")
        if first:
            self.classes_ = np.unique(y if classes is None else classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise DataError(
                f"classes = {classes!r}; allowed: those of the first call, {self.classes_}"
            )
        if len(self.classes_) < 2:
            raise DataError(f"y has 1 class, {self.classes_[0]!r}; allowed: at least 2 classes")
        if strange := set(np.unique(y).tolist()) - set(self.classes_.tolist()):
            raise DataError(
                f"y holds {min(strange, key=str)!r}; allowed: the classes {self.classes_}"
            )
        return X, np.searchsorted(self.classes_, y)

    def _outputs(self, targets: Array) -> int:
        return len(self.classes_)


class SaddleRegressor(RegressorMixin, _Saddle):  # type: ignore[misc]
    """Targets learnt by neurons, multiplier units and synapses that flow into a saddle point."""

    __doc__ += PARAMETERS.format(
        losses='"mse" if not given, "eps_insensitive", or a formula in `x` and `y`.',
        targets=" and targets",
    )

    _own_loss = "mse"
    _y_mean: Any
    _y_scale: Any

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Go on learning from where the weights are, for as long as lies between two rows of the
        log.

        An epoch of `Presentations`; `Simultaneous` has `reports` rows.

        Parameters
        ----------
        X : (patterns, features)
        y : (patterns,) or (patterns, outputs)
        """
        return self._partial(X, y)

    def predict(self, X: Any) -> Array:
        """Outputs of the forward pass in the targets' own scale, (patterns,) or (patterns,
        outputs).
        """
        outputs: Array = self._forward(X) * self._y_scale + self._y_mean
        return outputs[:, 0] if self._flat else outputs

    def _read(self, X: Any, y: Any, *, first: bool, **kept: Any) -> tuple[Array, Array]:
        X, y = validate_data(
            self, X, y, reset=first, dtype=float, multi_output=True, y_numeric=True
        )
        flat, y = np.ndim(y) == 1, np.asarray(y, dtype=float).reshape(len(X), -1)
        if first:
            self._flat, self._n_outputs = flat, y.shape[1]
            self._y_mean, self._y_scale = _mean_and_spread(y) if self.standardise else (0.0, 1.0)
        if y.shape[1] != self._n_outputs:
            raise DataError(
                f"y has {y.shape[1]} outputs; allowed: {self._n_outputs}, as in the first call"
            )
        return X, (y - self._y_mean) / self._y_scale

    def _outputs(self, targets: Array) -> int:
        return int(targets.shape[1])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _mean_and_spread(values: Array) -> tuple[Array, Array]:
    """By column; a spread of 0 counts as 1."""
    mean, spread = values.mean(axis=0), values.std(axis=0)
    tiny = 10 * np.finfo(float).eps * np.abs(values).max(axis=0, initial=0.0)
    return mean, np.where(spread > tiny, spread, 1.0)


def _sizes(hidden: Any) -> list[int]:
    """Units of each hidden layer; one number is one layer."""
    sizes = [hidden] if isinstance(hidden, int | np.integer) else hidden
    if isinstance(sizes, str) or not np.iterable(sizes):
        raise out_of_range("hidden", hidden, "units of each hidden layer", "(32,)")
    return list(sizes)
