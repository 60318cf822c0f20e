"""Both estimators against scikit-learn's checks, and against a simulation by hand."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris, make_regression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

import neurosim as ns

# The defaults but for a shorter time: 200 steps are enough for what is checked.
QUICK: dict[str, Any] = {
    "backend": "numpy",
    "schedule": ns.Simultaneous(duration=0.2, reports=1),
    "hidden": (8,),
    "random_state": 0,
}


# Arguments of Network.mlp that the estimators take from elsewhere, or do not offer.
NOT_OFFERED = {
    "sizes": "hidden and the data",
    "seed": "random_state",
    "output": "linear, as the losses of both estimators need",
    "loss_epsilon": "set by a loss of one's own",
    "group_l1": "for networks that are pruned afterwards",
    "depth": "the length of hidden",
    "exits": "one output is predicted from",
    "skips": "layers only",
}


@pytest.mark.parametrize("estimator", [ns.SaddleClassifier, ns.SaddleRegressor])
def test_the_arguments_are_those_of_the_network(estimator: type) -> None:
    """A keyword of Network.mlp is offered with its default, or stands among those that are not."""
    own = inspect.signature(estimator).parameters
    of_network = inspect.signature(ns.Network.mlp).parameters
    assert set(of_network) - set(own) == set(NOT_OFFERED)
    for name in set(of_network) & set(own) - {"loss"}:  # whose default is each estimator's own
        assert own[name].default == of_network[name].default, name


@parametrize_with_checks([ns.SaddleClassifier(**QUICK), ns.SaddleRegressor(**QUICK)])
def test_scikit_learn_accepts_the_estimators(estimator: Any, check: Any) -> None:
    check(estimator)


def test_rules_reach_the_network() -> None:
    X, y = load_iris(return_X_y=True)
    model = ns.SaddleClassifier(plasticity="eligibility", **QUICK).fit(X, y)
    for q in model.network_.projections.values():
        assert q.plasticity == ns.rules.eligibility()
    assert clone(model).plasticity == "eligibility"


def test_the_defaults_learn_iris() -> None:
    X, Xt, y, yt = train_test_split(
        *load_iris(return_X_y=True), stratify=load_iris().target, random_state=0
    )
    model = ns.SaddleClassifier(random_state=0).fit(X, y)
    assert model.score(Xt, yt) > 0.94
    shares = model.predict_proba(Xt)
    assert_allclose(shares.sum(axis=1), 1)
    assert_array_equal(model.classes_[shares.argmax(axis=1)], model.predict(Xt))
    assert_allclose(np.diff(np.log(shares)), np.diff(model.decision_function(Xt)), atol=1e-9)


def test_an_estimator_does_what_a_simulation_does() -> None:
    """The same network, flow and schedule by hand, on standardised inputs."""
    X, y = load_iris(return_X_y=True)
    model = ns.SaddleClassifier(**QUICK, rho=2, tau_w=50e-3).fit(X, y)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    net = ns.Network.mlp([4, 8, 3], seed=seed)
    ns.Simulation(net, ns.Flow.augmented(2, tau_w=50e-3), backend="numpy").train(
        Z, y, QUICK["schedule"]
    )
    assert_allclose(
        model.decision_function(X), ns.Simulation(net, ns.Flow.adjoint()).predict(Z), atol=1e-12
    )


def test_biases_that_stay_are_zero_and_the_weights_learn_without() -> None:
    X, y = load_iris(return_X_y=True)
    model = ns.SaddleClassifier(**QUICK, plastic_bias=False).fit(X, y)
    assert not any(b.any() for b in model.network_.biases.values())
    assert model.score(X, y) > 0.8


def test_a_grid_goes_through_flows_constraints_and_schedules() -> None:
    X, y = load_iris(return_X_y=True)
    grid = [
        {"flow": ["augmented"], "rho": [1.0, 2.0]},
        {
            "flow": [ns.Flow.adjoint(tau_w=50e-3)],
            "schedule": [ns.Presentations(batch=10, epochs=2)],
        },
    ]
    search = GridSearchCV(ns.SaddleClassifier(**QUICK), grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 3
    assert search.best_score_ > 0.8
    chosen = search.best_estimator_.log_.run.flow
    assert chosen == (
        search.best_params_["flow"]
        if "schedule" in search.best_params_
        else ns.Flow.augmented(search.best_params_["rho"], tau_w=20e-3)
    )


def test_partial_fit_goes_on_from_where_the_weights_are() -> None:
    """An epoch at a time, each from the forward pass; classes may be missing from a part."""
    X, y = load_iris(return_X_y=True)
    model = ns.SaddleClassifier(
        **QUICK | {"schedule": ns.Presentations(batch=10, epochs=30)}, tau_w=0.1
    )
    scores = []
    for _ in range(5):
        model.partial_fit(X[:100], y[:100], classes=[0, 1, 2]).partial_fit(X[50:], y[50:])
        scores.append(model.score(X, y))
    assert scores[-1] > max(0.8, scores[0])
    assert model.log_.run.steps == 10 * 120  # one epoch of 10 batches, 120 ms each
    with pytest.raises(ValueError, match=r"allowed: the classes \[0 1 2\]"):
        model.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="those of the first call"):
        model.partial_fit(X, y, classes=[0, 1])


def test_a_regressor_answers_in_the_targets_scale_with_several_outputs() -> None:
    X, Y = make_regression(120, 5, n_informative=3, n_targets=2, random_state=0)
    model = ns.SaddleRegressor(
        **QUICK | {"schedule": ns.Simultaneous(duration=1.5, reports=1)}
    ).fit(X, 1000 + 50 * Y)
    assert model.predict(X).shape == (120, 2)
    assert model.score(X, 1000 + 50 * Y) > 0.9
    assert model.predict(X).mean() == pytest.approx(1000 + 50 * Y.mean(), rel=0.05)
    with pytest.raises(ValueError, match="y has 1 outputs; allowed: 2"):
        model.partial_fit(X, Y[:, 0])


def test_validation_patterns_are_held_out_and_measured() -> None:
    X, y = load_iris(return_X_y=True)
    model = ns.SaddleClassifier(**QUICK, validation=0.2).fit(X, y)
    assert len(model.log_.run.x["output"]) == 120
    assert 0 <= float(model.log_.history.validation_accuracy[-1]) <= 1


# --- weights of patterns and classes


def iris() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return iris with whole weights of patterns, 0 to 3."""
    X, y = load_iris(return_X_y=True)
    return X, y, np.random.default_rng(0).integers(0, 4, size=len(X))


def test_class_weights_multiply_the_weights_of_patterns() -> None:
    X, y, weights = iris()
    labels = np.array(["a", "b", "c"])[y]
    by_class = {"a": 0.5, "c": 3}
    factors = np.array([0.5, 1.0, 3.0])[y]
    one = ns.SaddleClassifier(**QUICK, class_weight=by_class).fit(X, labels, sample_weight=weights)
    two = ns.SaddleClassifier(**QUICK).fit(X, labels, sample_weight=weights * factors)
    assert_array_equal(one.decision_function(X), two.decision_function(X))
    plain = ns.SaddleClassifier(**QUICK).fit(X, labels, sample_weight=weights)
    assert np.abs(one.decision_function(X) - plain.decision_function(X)).max() > 0.1


def test_balanced_classes_count_repeated_rows() -> None:
    """scikit-learn's own weights of the repeated rows are the yardstick."""
    X, y, weights = iris()
    weights[y == 0] = np.minimum(weights[y == 0], 1)
    rows = np.repeat(np.arange(len(X)), weights)
    by_class = compute_class_weight("balanced", classes=np.arange(3), y=y[rows])
    assert by_class.max() > 1.5 * by_class.min()
    one = ns.SaddleClassifier(**QUICK, class_weight="balanced").fit(X, y, sample_weight=weights)
    two = ns.SaddleClassifier(**QUICK, class_weight="balanced").fit(X[rows], y[rows])
    three = ns.SaddleClassifier(**QUICK).fit(X[rows], y[rows], sample_weight=by_class[y[rows]])
    for other in (two, three):
        assert_allclose(one.decision_function(X), other.decision_function(X), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("estimator", [ns.SaddleClassifier, ns.SaddleRegressor])
def test_an_epoch_of_partial_fit_takes_weights(estimator: type) -> None:
    X, y, weights = iris()
    rows = np.repeat(np.arange(len(X)), weights)
    schedule = ns.Simultaneous(duration=0.2, reports=2)
    one, two = (estimator(**QUICK | {"schedule": schedule}) for _ in range(2))
    for _ in range(2):
        one.partial_fit(X, y, sample_weight=weights)
        two.partial_fit(X[rows], y[rows])
    assert_allclose(one.predict(X), two.predict(X), rtol=1e-8, atol=1e-8)
    for name, w in one.network_.weights.items():
        assert_allclose(w, two.network_.weights[name], rtol=1e-8, atol=1e-8)


def test_a_row_without_weight_leaves_no_trace_whatever_its_values() -> None:
    X, y = load_iris(return_X_y=True)
    X = X[:, :2]
    far = np.vstack([X, [1e25, -1e25]])
    weights = np.r_[np.ones(150), 0]
    one = ns.SaddleClassifier(**QUICK).fit(X, y)
    two = ns.SaddleClassifier(**QUICK).fit(far, np.r_[y, 0], sample_weight=weights)
    assert_allclose(one.scale_, two.scale_, rtol=1e-14)
    assert_allclose(one.decision_function(X), two.decision_function(X), rtol=1e-9, atol=1e-9)


def test_weights_of_patterns_that_are_held_out_leave_with_them() -> None:
    X, y, weights = iris()
    weights = weights + 0.5
    model = ns.SaddleClassifier(**QUICK, validation=0.4).fit(X, y, sample_weight=weights)
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    rows, _ = train_test_split(np.arange(150), test_size=0.4, random_state=seed, stratify=y)
    mean = np.average(X, axis=0, weights=weights)
    variance = np.cov(X.T, aweights=weights, ddof=0).diagonal()
    Z = (X - mean) / np.sqrt(variance)
    net = ns.Network.mlp([4, 8, 3], seed=seed)
    ns.Simulation(net, ns.Flow.augmented(tau_w=20e-3), backend="numpy").train(
        Z[rows], y[rows], QUICK["schedule"], sample_weight=weights[rows]
    )
    assert_allclose(
        model.decision_function(X), ns.Simulation(net, ns.Flow.adjoint()).predict(Z), atol=1e-12
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"class_weight": "even"}, "class_weight = 'even'; allowed: None, 'balanced' or a dict"),
        ({"class_weight": [1, 2, 3]}, r"class_weight = \[1, 2, 3\]; allowed: None, 'balanced'"),
        ({"class_weight": {7: 1}}, r"class_weight has 7; allowed: the classes \[0 1 2\]"),
        ({"class_weight": {0: -1}}, r"class_weight\[0\] = -1; allowed: a finite number >= 0"),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, "times class_weight is zero for all 150 patterns"),
    ],
)
def test_class_weights_that_mean_nothing_are_refused(given: dict[str, Any], message: str) -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        ns.SaddleClassifier(**QUICK | given).fit(X, y)


def test_a_part_of_the_data_is_not_balanced() -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ns.ModelError, match="class_weight = 'balanced' with partial_fit"):
        ns.SaddleClassifier(**QUICK, class_weight="balanced").partial_fit(X, y)
    assert not hasattr(ns.SaddleRegressor(), "class_weight")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"flow": "augmentd"}, "flow.preset = 'augmentd'; .* did you mean 'augmented'"),
        (
            {"flow": ns.Flow.adjoint(), "rho": 2.0},
            "rho = 2.0 beside a Flow, which has its own; allowed: None",
        ),
        ({"flow": 3}, "flow = 3; allowed: a Flow, or a preset's name"),
        ({"flow": "damped", "rho": -2}, "flow.rho"),
        ({"flow": "adjoint", "theta": 0.3}, r"a key of flow \(adjoint\) = 'theta'"),
        ({"hidden": "32"}, "hidden = '32'; allowed: units of each hidden layer"),
        ({"plastic_bias": "no"}, "plastic_bias = 'no'; allowed: True or False"),
        ({"activation": "tanhh"}, "did you mean 'tanh'"),
        ({"validation": 1.5}, "validation = 1.5; allowed: a finite number >= 0 and < 1"),
        ({"schedule": 4}, "schedule = 4; allowed"),
        (
            {"schedule": ns.Presentations(batch=500)},
            "n_samples = 150; allowed: at least schedule.batch = 500",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_fit(given: dict[str, Any], message: str) -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        ns.SaddleClassifier(**QUICK | given).fit(X, y)


def test_probabilities_are_of_cross_entropy_alone() -> None:
    assert not hasattr(ns.SaddleClassifier(loss="squared_hinge"), "predict_proba")


def test_importing_neurosim_imports_no_scikit_learn() -> None:
    slow = ("sklearn", "brian2", "scipy")
    code = f"import sys, neurosim; print([m for m in {slow} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_user_supplied_validation_patterns() -> None:
    """The log measures on them, scaled as the training patterns, of which none are held out."""
    X, y = load_iris(return_X_y=True)
    model = ns.SaddleClassifier(random_state=0, schedule=ns.Simultaneous(duration=0.5, reports=2))
    model.fit(X[::2], y[::2], validation=(X[1::2], y[1::2]))
    assert len(model.log_.run.x["output"]) == 75
    assert float(model.log_.history.validation_accuracy[-1]) == model.score(X[1::2], y[1::2]) > 0.8
    with pytest.raises(ns.DataError, match=r"validation is a ndarray; allowed: \(X, Y\)"):
        model.fit(X, y, validation=X)
    with pytest.raises(ns.DataError, match="y holds 7; allowed: the classes"):
        model.fit(X, y, validation=(X[:2], [0, 7]))


def test_an_empty_name_is_refused_and_no_default() -> None:
    X, y = np.random.default_rng(0).normal(size=(10, 3)), np.arange(10) % 2
    with pytest.raises(ns.ModelError, match="loss"):
        ns.SaddleClassifier(loss="", hidden=2).fit(X, y)
    run = ns.Simulation(ns.Network.mlp([3, 2, 2]), ns.Flow.augmented()).relax(X, y, duration=0.1)
    with pytest.raises(ns.ModelError, match="population"):
        ns.plot.support_summary(run, "")
