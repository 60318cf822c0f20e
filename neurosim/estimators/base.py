"""Parameters and training that the classifier and the regressor share. Start at `Saddle.fit`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from neurosim import reference
from neurosim.data.patterns import pair
from neurosim.data.sample_weights import weighted_mean, weighted_spread
from neurosim.errors import DataError, ModelError, number, out_of_range, shown
from neurosim.estimators.networks import built, check_fits, flat, pattern_shape, refuse_beside
from neurosim.model.arrays import validated
from neurosim.model.feedback import SYMMETRIC
from neurosim.model.flow import Flow
from neurosim.model.methods import EULER
from neurosim.model.network import Network
from neurosim.model.schedules import Presentations, Simultaneous, one_report
from neurosim.model.weights import NORMAL
from neurosim.simulation.simulation import Simulation

Array = np.ndarray
# X, held-out X, targets, held-out targets
Split = tuple[Array, Array | None, Array, Array | None]

DEFAULT_SCHEDULE = Simultaneous(duration=3.0, reports=10)  # 300 times tau_x, 3000 steps
TAU_W = 20e-3  # s, twice the default tau_x
PRESET_ARGUMENTS = ("rho", "theta", "rate", "ratio", "tau_x", "tau_lam", "tau_w")


@dataclass(frozen=True)
class Given:
    """Patterns (patterns, features), their targets, and their weights, if any."""

    X: Any
    targets: Any
    weights: Array | None

    def rows(self, rows: Array) -> Given:
        """Return the patterns of these numbers."""
        weights = None if self.weights is None else self.weights[rows]
        return Given(self.X[rows], self.targets[rows], weights)


class Saddle(BaseEstimator, ABC):  # type: ignore[misc]
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
        random_state: Any = None,
        verbose: bool = False,
        network: Any = None,
    ) -> None:
        self.hidden, self.activation, self.loss = hidden, activation, loss
        self.gain, self.init = gain, init
        self.constraint, self.epsilon, self.free_output = constraint, epsilon, free_output
        self.plastic_bias, self.bias_init = plastic_bias, bias_init
        self.l1, self.l2, self.activity_l1 = l1, l2, activity_l1
        self.feedback, self.feedback_decay = feedback, feedback_decay
        self.plasticity, self.bias_plasticity = plasticity, bias_plasticity
        self.flow, self.rho, self.theta, self.rate, self.ratio = flow, rho, theta, rate, ratio
        self.tau_x, self.tau_lam, self.tau_w = tau_x, tau_lam, tau_w
        self.schedule, self.dt, self.method, self.backend = schedule, dt, method, backend
        self.precision, self.threads = precision, threads
        self.standardise, self.validation = standardise, validation
        self.random_state, self.verbose = random_state, verbose
        self.network = network

    def fit(
        self,
        X: Any,
        y: Any,
        validation: tuple[Any, Any] | None = None,
        *,
        sample_weight: Any = None,
    ) -> Self:
        """Draw new weights and train them on X and y for the whole schedule.

        Parameters
        ----------
        X : (patterns, features)
            With `network` also (patterns, rows, columns) or (patterns, *shape of its input).
        y : (patterns,), or (patterns, outputs) for a regressor
        validation : (X, y), optional
            Patterns for the validation columns of the log, in place of a share of X and y.
        sample_weight : (patterns,), optional
            Weight of every pattern, >= 0: in plasticity, as in `Simulation.train`, and in the mean
            and spread of `standardise`. Patterns that are held out are measured without weights.

        Raises
        ------
        DataError
            Labels of fewer than two classes, fewer patterns than a batch holds, or weights that are
            not finite, below 0, or all 0.
        ModelError
            A parameter out of range, or an argument of a preset beside a `Flow`.
        """
        given = self._read(X, y, sample_weight, first=True)
        self._begin(given)
        self._learn(given, self._schedule(), start="zero", validation=validation)
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
        given = self._read(X, y, None, first=True)
        self._begin(given)
        learnt, held_out = self._split(given, validation)
        return self.network_, (learnt.X, held_out.X, learnt.targets, held_out.targets)

    def _continue(self, X: Any, y: Any, sample_weight: Any, **kept: Any) -> Self:
        """Continue training from the present weights for one row of the log."""
        first = not hasattr(self, "network_")
        given = self._read(X, y, sample_weight, first=first, **kept)
        if first:
            self._begin(given)
        self._learn(given, one_report(self._schedule()), start="forward")
        return self

    def _begin(self, given: Given) -> None:
        """Measure mean and spread of the inputs, and draw the network's initial weights."""
        random = check_random_state(self.random_state)
        self._seed = int(random.randint(2**31 - 1))
        self.mean_, self.scale_ = 0.0, 1.0
        if self.network is not None:
            self._begin_given(given)
            return
        if self.standardise:
            self.mean_, self.scale_ = mean_and_spread(given.X, given.weights)
        sizes = [given.X.shape[1], *_hidden_sizes(self.hidden), self._outputs(given.targets)]
        own = self.get_params(deep=False)
        options = {name: own[name] for name in signature(Network.mlp).parameters if name in own}
        options["loss"] = self._default_loss if self.loss is None else self.loss
        self.network_ = Network.mlp(sizes, seed=self._seed, **options)

    def _begin_given(self, given: Given) -> None:
        """Build the network that was given; measure mean and spread by feature over its sites."""
        own = self.get_params(deep=False)
        parameters = signature(type(self)).parameters
        names = ["hidden", *(name for name in signature(Network.mlp).parameters if name in own)]
        refuse_beside(self.network, own, {name: parameters[name].default for name in names})
        outputs = self._outputs(given.targets)
        net = built(self.network, pattern_shape(self._shape), outputs, self._seed)
        check_fits(net, self._shape)
        self.network_ = net
        if not self.standardise:
            return
        features = net.populations[net.inputs[0]].features
        sites = given.X.shape[1] // features
        rows = given.X.reshape(-1, features)
        weights = None if given.weights is None else np.repeat(given.weights, sites)
        mean, spread = mean_and_spread(rows, weights)
        self.mean_, self.scale_ = np.tile(mean, sites), np.tile(spread, sites)

    def _as_rows(self, X: Any, *, first: bool) -> Any:
        """Return inputs as rows; with `first`, keep the shape of a pattern, else check it."""
        if self.network is None:
            return X
        shape = tuple(np.shape(X)[1:])
        if first:
            self._shape = shape
        else:
            check_fits(self.network_, shape)
        return flat(X)

    def _learn(
        self, given: Given, schedule: Any, start: str, validation: tuple[Any, Any] | None = None
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
        learnt, held_out = self._split(given, validation)
        count = len(learnt.X)
        if isinstance(schedule, Presentations) and schedule.batch > count:
            raise DataError(
                f"n_samples = {count}; allowed: at least schedule.batch = {schedule.batch}"
            )
        self.log_ = simulation.train(
            learnt.X,
            learnt.targets,
            schedule,
            sample_weight=learnt.weights,
            validation=None if held_out.X is None else (held_out.X, held_out.targets),
            start=start,
            progress=bool(self.verbose),
        )

    def _split(self, given: Given, validation: tuple[Any, Any] | None) -> tuple[Given, Given]:
        """Scale the inputs; return the patterns to learn and those that are held out, if any."""
        given = replace(given, X=self._scaled(given.X))
        if validation is not None:
            found = self._read(*pair("validation", validation), None, first=False)
            return given, replace(found, X=self._scaled(found.X))
        if self.validation:
            return self._hold_out(given)
        return given, Given(None, None, None)

    def _hold_out(self, given: Given) -> tuple[Given, Given]:
        """Hold out a share of the patterns, stratified where there are classes."""
        share = number("validation", self.validation, least=0, below=1, try_="0.25")
        learnt, held_out = train_test_split(
            np.arange(len(given.X)),
            test_size=share,
            random_state=self._seed,
            stratify=given.targets if given.targets.ndim == 1 else None,
        )
        return given.rows(learnt), given.rows(held_out)

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
        X = validated(self, self._as_rows(X, first=False), reset=False)
        outputs = reference.forward(self.network_, self._scaled(X))
        return np.asarray(outputs[self.network_.output])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = self.network is not None
        return tags

    @abstractmethod
    def _read(self, X: Any, y: Any, sample_weight: Any, *, first: bool, **kept: Any) -> Given:
        """Return checked data; with `first`, fix the classes and scales of later calls."""

    @abstractmethod
    def _outputs(self, targets: Array) -> int:
        """Return the number of output units."""


# Docstring of both classes, which fill in losses, targets and parameters of their own.
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
    plasticity, bias_plasticity
        Learning rules of weights and biases, as in `Network.mlp`.
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
{own}    random_state : int, RandomState or None
        Seed of the weights, of the patterns held out, and of the order of presentations.
    verbose : bool
        Whether to show a progress bar with the time left, on standard error.
    network : Network or callable, optional
        What is trained in place of `Network.mlp`: a copy of a network with its weights, or what a
        function of `shape`, `outputs` and `seed` returns, such as
        ``functools.partial(Network.convolutional, channels=[8])``; `shape` is that of a pattern, to
        which two axes (rows, columns) get a third of 1. X may then have axes of sites, and mean and
        spread are by feature over all sites. The arguments from `hidden` to `bias_plasticity` must
        have their defaults.

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


def mean_and_spread(values: Array, weights: Array | None) -> tuple[Array, Array]:
    """Return mean and spread by column; a spread that is 0 to within rounding becomes 1."""
    if weights is not None:
        values, weights = values[weights > 0], weights[weights > 0]
    mean, spread = weighted_mean(values, weights), weighted_spread(values, weights)
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
