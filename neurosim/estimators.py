"""Train classifiers and regressors by the saddle flows, with scikit-learn's interface.

Above `simulation`. Every parameter is a plain value or an immutable object, so that pipelines,
`clone` and `GridSearchCV` work as with any other estimator. Start at `SaddleClassifier`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from inspect import signature
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from neurosim import reference
from neurosim.data.patterns import pair
from neurosim.errors import DataError, ModelError, number, out_of_range, shown
from neurosim.model.arrays import validated
from neurosim.model.feedback import SYMMETRIC
from neurosim.model.flow import Flow
from neurosim.model.methods import EULER
from neurosim.model.network import Network
from neurosim.model.schedules import Presentations, Simultaneous, one_report
from neurosim.model.weights import NORMAL
from neurosim.simulation.simulation import Simulation

Array = np.ndarray
Split = tuple[Array, Array | None, Array, Array | None]  # X, held-out X, targets, held-out targets

DEFAULT_SCHEDULE = Simultaneous(duration=3.0, reports=10)  # 300 times tau_x, 3000 steps
TAU_W = 20e-3  # s, twice the default tau_x
PRESET_ARGUMENTS = ("rho", "theta", "rate", "ratio", "tau_x", "tau_lam", "tau_w")


class _Saddle(BaseEstimator, ABC):  # type: ignore[misc]
    """Base class of the classifier and the regressor: their parameters and their training."""

    network_: Network
    mean_: Any
    scale_: Any
    _default_loss: str  # used where `loss` is None

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
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden, self.activation, self.loss = hidden, activation, loss
        self.gain, self.init = gain, init
        self.constraint, self.epsilon, self.free_output = constraint, epsilon, free_output
        self.plastic_bias, self.bias_init = plastic_bias, bias_init
        self.l1, self.l2, self.activity_l1 = l1, l2, activity_l1
        self.feedback, self.feedback_decay = feedback, feedback_decay
        self.flow, self.rho, self.theta, self.rate, self.ratio = flow, rho, theta, rate, ratio
        self.tau_x, self.tau_lam, self.tau_w = tau_x, tau_lam, tau_w
        self.schedule, self.dt, self.method, self.backend = schedule, dt, method, backend
        self.precision, self.threads = precision, threads
        self.standardise, self.validation = standardise, validation
        self.random_state, self.verbose = random_state, verbose

    def fit(self, X: Any, y: Any, validation: tuple[Any, Any] | None = None) -> Self:
        """Draw new weights and train them on X and y for the whole schedule.

        Parameters
        ----------
        X : (patterns, features)
        y : (patterns,), or (patterns, outputs) for a regressor
        validation : (X, y), optional
            Patterns for the validation columns of the log, in place of a share of X and y.

        Raises
        ------
        DataError
            Labels of fewer than two classes, or fewer patterns than a batch holds.
        ModelError
            A parameter out of range, or an argument of a preset beside a `Flow`.
        """
        X, targets = self._read(X, y, first=True)
        self._begin(X, targets)
        self._learn(X, targets, self._schedule(), start="zero", validation=validation)
        return self

    def prepared(
        self, X: Any, y: Any, validation: tuple[Any, Any] | None = None
    ) -> tuple[Network, Split]:
        """Return the initial network and the scaled, split data that `fit` would use.

        The arguments are those of `fit`.

        Returns
        -------
        network : Network
            Untrained, with its initial weights.
        split : tuple of array or None
            X, held-out X, targets and held-out targets; None for those of an empty share.
        """
        X, targets = self._read(X, y, first=True)
        self._begin(X, targets)
        return self.network_, self._split(X, targets, validation)

    def _continue(self, X: Any, y: Any, **kept: Any) -> Self:
        """Continue training from the present weights for one row of the log."""
        first = not hasattr(self, "network_")
        X, targets = self._read(X, y, first=first, **kept)
        if first:
            self._begin(X, targets)
        self._learn(X, targets, one_report(self._schedule()), start="forward")
        return self

    def _begin(self, X: Array, targets: Array) -> None:
        """Measure mean and spread of the inputs, and draw the network's initial weights."""
        random = check_random_state(self.random_state)
        self._seed = int(random.randint(2**31 - 1))
        self.mean_, self.scale_ = 0.0, 1.0
        if self.standardise:
            self.mean_, self.scale_ = _mean_and_spread(X)
        sizes = [X.shape[1], *_hidden_sizes(self.hidden), self._outputs(targets)]
        own = self.get_params(deep=False)
        options = {name: own[name] for name in signature(Network.mlp).parameters if name in own}
        options["loss"] = self.loss or self._default_loss
        self.network_ = Network.mlp(sizes, seed=self._seed, **options)

    def _learn(
        self,
        X: Array,
        targets: Array,
        schedule: Any,
        start: str,
        validation: tuple[Any, Any] | None = None,
    ) -> None:
        """Train the network in place, and keep the log."""
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
        X, held_out, targets, held_out_targets = self._split(X, targets, validation)
        if isinstance(schedule, Presentations) and schedule.batch > len(X):
            raise DataError(
                f"n_samples = {len(X)}; allowed: at least schedule.batch = {schedule.batch}"
            )
        self.log_ = simulation.train(
            X,
            targets,
            schedule,
            validation=None if held_out is None else (held_out, held_out_targets),
            start=start,
            progress=bool(self.verbose),
        )

    def _split(self, X: Array, targets: Array, validation: tuple[Any, Any] | None) -> Split:
        """Scale the inputs, and separate the patterns that are held out, if any."""
        scaled = self._scaled(X)
        if validation is not None:
            held_out, held_out_targets = self._read(*pair("validation", validation), first=False)
            return scaled, self._scaled(held_out), targets, held_out_targets
        if self.validation:
            return self._hold_out(scaled, targets)
        return scaled, None, targets, None

    def _hold_out(self, X: Array, targets: Array) -> Split:
        """Hold out a share of the patterns, stratified where there are classes."""
        share = number("validation", self.validation, least=0, below=1, try_="0.25")
        classes = targets if targets.ndim == 1 else None
        X, held_out, targets, held_out_targets = train_test_split(
            X, targets, test_size=share, random_state=self._seed, stratify=classes
        )
        return X, held_out, targets, held_out_targets

    def _scaled(self, X: Array) -> Array:
        """Return inputs shifted and scaled as in training."""
        return np.asarray((X - self.mean_) / self.scale_)

    def _schedule(self) -> Any:
        """Return the schedule, or the default one."""
        return DEFAULT_SCHEDULE if self.schedule is None else self.schedule

    def _flow(self) -> Flow:
        """Return the flow; the estimator's parameters are passed to a preset."""
        given: dict[str, Any] = {}
        for name in PRESET_ARGUMENTS:
            if getattr(self, name) is not None:
                given[name] = getattr(self, name)
        if isinstance(self.flow, Flow):
            if given:
                name = min(given)
                raise ModelError(
                    f"{name} = {shown(given[name])} beside a Flow, which has its own; allowed: None"
                )
            return self.flow
        if not isinstance(self.flow, str):
            raise ModelError(
                f"flow = {shown(self.flow)}; allowed: a Flow, or a preset's name, e.g. 'augmented'"
            )
        if self.flow != "local_propagation":  # its tau_w follows from the rate
            given.setdefault("tau_w", TAU_W)
        return Flow.from_preset(self.flow, **given)

    def _forward(self, X: Any) -> Array:
        """Return the outputs of a forward pass, (patterns, outputs)."""
        check_is_fitted(self)
        X = validated(self, X, reset=False)
        outputs = reference.forward(self.network_, self._scaled(X))
        return np.asarray(outputs[self.network_.output])

    @abstractmethod
    def _read(self, X: Any, y: Any, *, first: bool, **kept: Any) -> tuple[Array, Array]:
        """Return checked X and targets; with `first`, fix the classes and scales of later calls."""

    @abstractmethod
    def _outputs(self, targets: Array) -> int:
        """Return the number of output units."""


# Docstring of both classes; losses and targets are filled in below.
PARAMETERS = """

    Parameters
    ----------
    hidden : int or sequence of int
        Units per hidden layer; one number is one layer, () is none.
    activation : str
        Activation of the hidden units: tanh, sigmoid, relu, softplus, linear or a formula in `a`.
    loss : str, optional
        {losses}
    gain : float
        Spread of the initial weights, in units of 1/sqrt(n_pre).
    init : "normal" or "orthogonal"
        Distribution of the initial weights, as in `Network.mlp`.
    constraint, epsilon, free_output
        Constraint function G, its tolerance, and whether the output is unconstrained, as in
        `Network.mlp`.
    plastic_bias : bool
        Whether biases learn; if not, they stay at `bias_init`.
    bias_init : float
        Biases at the start.
    l1, l2, activity_l1 : float
        Penalties on the weights and on the hidden units' outputs, as in `Network.mlp`.
    feedback, feedback_decay
        Kind and decay of the feedback weights, as in `Network.mlp`.
    flow : Flow or str
        A `Flow`, or the name of a preset. Deep nets need a larger `rho`.
    rho, theta, rate, ratio, tau_x, tau_lam, tau_w : optional
        Arguments of the preset, see `Flow`; the preset's defaults where None, except that `tau_w`
        is 20 ms (under local_propagation it follows from `rate`). All must be None beside a `Flow`.
    schedule : Simultaneous, Presentations or LocalPropagation, optional
        By default ``Simultaneous(duration=3.0, reports=10)``: all three flows at once on all
        patterns, for 3 s. Presentations are faster where there are many patterns.
    dt, method, backend, precision, threads
        As in `Simulation`.
    standardise : bool
        Whether to shift and scale inputs{targets} to mean 0 and spread 1 by feature, measured on
        all patterns given to `fit` or to the first call of `partial_fit`.
    validation : float
        Share of the patterns, in [0, 1), that is held out. The log has accuracy or loss on it, and
        `LocalPropagation` keeps the weights that did best on it.
    random_state : int, RandomState or None
        Seed of the weights, of the patterns held out, and of the order of presentations.
    verbose : bool
        Whether to show a progress bar with the time left, on standard error.

    Attributes
    ----------
    network_ : Network
        Trained network.
    log_ : Log
        Log of the last call of `fit` or `partial_fit`; ``log_.run`` has x and lam of every pattern.
    mean_, scale_ : (features,)
        Mean and spread of the inputs; the numbers 0 and 1 without `standardise`.
    n_features_in_ : int
"""


class SaddleClassifier(ClassifierMixin, _Saddle):  # type: ignore[misc]
    """Classifier trained by the saddle flow of neurons, multiplier units and synapses."""

    __doc__ += PARAMETERS.format(
        losses='"cross_entropy" by default, or as in `Network.mlp`; there is one output per class.',
        targets="",
    )
    __doc__ += """    classes_ : (classes,)

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> short = Simultaneous(duration=0.5)
    >>> SaddleClassifier(schedule=short, random_state=0).fit(X, y).score(X, y) > 0.8
    True
    """

    _default_loss = "cross_entropy"

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Continue training from the present weights for one row of the log.

        With `Presentations` that is one epoch; with `Simultaneous` it is duration / reports.

        Parameters
        ----------
        X : (patterns, features)
        y : (patterns,)
        classes : (classes,), optional
            All classes of this call and of later ones; needed in the first call unless y holds
            them all.

        Raises
        ------
        DataError
            A label that is not among the classes, or classes other than those of the first call.
        """
        return self._continue(X, y, classes=classes)

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
        return (self.loss or self._default_loss) == "cross_entropy"

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """Return the softmax of the outputs, (patterns, classes).

        Available only with loss="cross_entropy".
        """
        outputs = self._forward(X)
        odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def _read(self, X: Any, y: Any, *, first: bool, **kept: Any) -> tuple[Array, Array]:
        """Return X, and each label as its index in `classes_`."""
        X, y = validated(self, X, y, text=True, reset=first)
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
        return X, np.searchsorted(self.classes_, y)

    def _outputs(self, targets: Array) -> int:
        """Return the number of classes."""
        return len(self.classes_)


class SaddleRegressor(RegressorMixin, _Saddle):  # type: ignore[misc]
    """Regressor trained by the saddle flow of neurons, multiplier units and synapses."""

    __doc__ += PARAMETERS.format(
        losses='"mse" by default, "eps_insensitive", or a formula in `x` and `y`.',
        targets=" and targets",
    )
    __doc__ += """
    Examples
    --------
    >>> X = np.linspace(-2, 2, 50)[:, None]
    >>> short = Simultaneous(duration=1.0)
    >>> model = SaddleRegressor(schedule=short, random_state=0).fit(X, np.sin(X[:, 0]))
    >>> model.predict([[0.5]]).round(1)
    array([0.5])
    """

    _default_loss = "mse"
    _y_mean: Any
    _y_scale: Any

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Continue training from the present weights for one row of the log.

        With `Presentations` that is one epoch; with `Simultaneous` it is duration / reports.

        Parameters
        ----------
        X : (patterns, features)
        y : (patterns,) or (patterns, outputs)

        Raises
        ------
        DataError
            Another number of outputs than in the first call.
        """
        return self._continue(X, y)

    def predict(self, X: Any) -> Array:
        """Return outputs on the scale of the targets, (patterns,) or (patterns, outputs)."""
        outputs: Array = self._forward(X) * self._y_scale + self._y_mean
        if self._flat:
            return outputs[:, 0]
        return outputs

    def _read(self, X: Any, y: Any, *, first: bool, **kept: Any) -> tuple[Array, Array]:
        """Return X, and targets on the scale of the network's outputs."""
        X, y = validated(self, X, y, reset=first, multi_output=True, y_numeric=True)
        flat = np.ndim(y) == 1
        y = np.asarray(y, dtype=float).reshape(len(X), -1)
        if first:
            self._flat, self._n_outputs = flat, y.shape[1]
            self._y_mean, self._y_scale = 0.0, 1.0
            if self.standardise:
                self._y_mean, self._y_scale = _mean_and_spread(y)
        if y.shape[1] != self._n_outputs:
            raise DataError(
                f"y has {y.shape[1]} outputs; allowed: {self._n_outputs}, as in the first call"
            )
        return X, (y - self._y_mean) / self._y_scale

    def _outputs(self, targets: Array) -> int:
        """Return the number of targets."""
        return int(targets.shape[1])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _mean_and_spread(values: Array) -> tuple[Array, Array]:
    """Return mean and spread by column; a spread that is 0 to within rounding becomes 1."""
    mean, spread = values.mean(axis=0), values.std(axis=0)
    largest = np.abs(values).max(axis=0, initial=0.0)
    tiny = 10 * np.finfo(float).eps * largest
    return mean, np.where(spread > tiny, spread, 1.0)


def _hidden_sizes(hidden: Any) -> list[int]:
    """Return the number of units per hidden layer; a single number is one layer."""
    if isinstance(hidden, int | np.integer):
        return [int(hidden)]
    if isinstance(hidden, str) or not np.iterable(hidden):
        raise out_of_range("hidden", hidden, "units of each hidden layer", "(32,)")
    return list(hidden)
