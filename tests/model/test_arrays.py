"""Arrays that a user hands in: nothing of them is dropped or guessed, and nothing is shared."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import brian2
import numpy as np
import pytest
from scipy.sparse import csr_array

import neurosim as ns
from neurosim.data.patterns import labels, patterns, targets
from neurosim.data.streams import dvs
from neurosim.data.tasks import advantages
from neurosim.hebb import HebbianLayer
from neurosim.model.arrays import real_array
from tests.helpers.problems import random_problem

NET, X, Y = random_problem([4, 3, 2], seed=0)
FLOW = ns.Flow.damped()
ENDS = [ns.Population("i", 4, clamped=True), ns.Population("o", 4)]
MASK = np.eye(4, dtype=bool)
START = ns.Simulation(NET, FLOW).relax(X, Y, duration=0.001)
LAYER = HebbianLayer(2, epochs=1).fit(X)


def masked(values: np.ndarray) -> np.ndarray:
    return np.ma.array(values, mask=np.arange(values.size).reshape(values.shape) == 0)


# something that a conversion to floats would drop, or guess
LOSSY: dict[str, Callable[[np.ndarray], Any]] = {
    "a mask": masked,
    "masks in a list": lambda values: [masked(row) for row in np.atleast_2d(values)],
    "imaginary parts": lambda values: values * (1 + 1j),
    "complex objects": lambda values: (values * (1 + 1j)).astype(object),
    "units": lambda values: values * brian2.mV,
    "units in a list": lambda values: list(values * brian2.mV),
    "text": lambda values: values.astype(str),
    "text in objects": lambda values: values.astype(str).astype(object),
    "time spans": lambda values: np.ones(values.shape, "m8[ms]"),
    "dates": lambda values: np.ones(values.shape, "M8[D]"),
    "records": lambda values: values.astype([("a", float)]),
    "NaN": lambda values: np.where(np.ones(values.shape), np.nan, values),
    "None": lambda values: np.full(values.shape, None),
}


def projected(**arguments: Any) -> ns.Network:
    return ns.Network(ENDS, [ns.Projection("i", "o", **arguments)])


def returning(given: Any) -> ns.Network:
    populations = [ns.Population("i", 1, clamped=True), *(ns.Population(n, 4) for n in "op")]
    back = ns.Projection("o", "p", feedback="random", feedback_weights=given)
    return ns.Network(populations, [ns.Projection("i", "o"), back])


def written(attribute: str, name: str, given: Any) -> None:
    net = NET.copy()
    getattr(net, attribute)[name] = given
    ns.reference.forward(net, X)


def from_state(part: str, given: Any) -> None:
    state = {"x": START.x, "lam": START.lam, part: {**START.x, "hidden1": given}}
    ns.Simulation(NET, FLOW).relax(X, Y, duration=0.001, start=ns.State(**state))


def in_extension(given: Any) -> None:
    own = ns.Extension("hidden1", x="c/tau_x", equations="c : 1", parameters={"c": given})
    ns.Simulation(NET, FLOW, extensions=own).relax(X, Y, duration=0.001)


SQUARE, HIDDEN = np.full((4, 4), 0.5), np.full((len(X), 3), 0.5)
# every place where an array is handed in: the array that would fit, and its use
ENTRIES: dict[str, tuple[np.ndarray, Callable[[Any], Any]]] = {
    "X": (X, lambda given: patterns(NET, given)),
    "X by population": (X, lambda given: patterns(NET, {"input": given})),
    "Y": (Y["output"], lambda given: targets(NET, given, len(X))),
    "labels": (np.ones(len(X)), lambda given: targets(NET, given, len(X))),
    "weights": (SQUARE, lambda given: projected(weights=given)),
    "mask": (MASK.astype(float), lambda given: projected(mask=given)),
    "feedback weights": (SQUARE, returning),
    "weights written": (np.ones((3, 4)), lambda given: written("weights", "input->hidden1", given)),
    "biases written": (np.ones(3), lambda given: written("biases", "hidden1", given)),
    "start.x": (HIDDEN, lambda given: from_state("x", given)),
    "start.lam": (HIDDEN, lambda given: from_state("lam", given)),
    "at": (
        HIDDEN,
        lambda given: ns.stability(
            NET, FLOW, X, Y, at=ns.State({**START.x, "hidden1": given}, START.lam)
        ),
    ),
    "an extension": (HIDDEN, in_extension),
    "frames of dvs": (X, dvs),
    "actions": (np.ones(3), lambda given: advantages(given, np.ones(3), 2)),
    "advantages": (np.ones(3), lambda given: advantages(np.ones(3), given, 2)),
    "X of a classifier": (X, lambda given: ns.SaddleClassifier().fit(given, np.arange(len(X)) % 2)),
    "y of a regressor": (np.ones(len(X)), lambda given: ns.SaddleRegressor().fit(X, given)),
    "X of a Hebbian layer": (X, LAYER.transform),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_nothing_is_dropped_or_guessed(entry: str) -> None:
    """Each kind at each entry; scikit-learn words some of its refusals itself."""
    fitting, use = ENTRIES[entry]
    taken = []
    for kind, spoil in LOSSY.items():
        refusal = (ns.NeurosimError, ValueError) if kind in ("NaN", "None") else ns.NeurosimError
        try:
            use(spoil(fitting))
            taken.append(kind)
        except refusal:
            pass
    assert not taken


def test_labels_of_a_classifier_may_be_text_but_not_masked() -> None:
    short = ns.SaddleClassifier((), schedule=ns.Simultaneous(duration=0.001, reports=1))
    names = np.array(["a", "b"] * len(X))[: len(X)]
    assert set(short.fit(X, names).predict(X)) <= {"a", "b"}
    with pytest.raises(ns.DataError, match="y: 1 masked value; allowed: no mask"):
        short.fit(X, masked(np.arange(len(X)) % 2))


def test_true_and_false_are_data_but_not_weights() -> None:
    np.testing.assert_array_equal(real_array("X", X > 0), (X > 0).astype(float))
    with pytest.raises(ns.ModelError, match="weights of i->o are not numbers but True and False"):
        projected(weights=MASK)
    with pytest.raises(ns.ModelError, match="weights of i->o are not numbers but True and False"):
        projected(weights=csr_array(MASK))


def test_what_has_no_mask_and_no_unit_is_taken() -> None:
    table = pytest.importorskip("pandas").DataFrame({"unit": [1, 2], "b": [True, False]})
    numbers = [[1.0, 1.0], [2.0, 0.0]]
    for same in (
        table,
        np.ma.array(numbers),
        np.ma.array(numbers, mask=False),
        np.array(numbers) * (brian2.ms / brian2.ms),
        np.array(numbers, dtype=object),
        csr_array(numbers),
    ):
        np.testing.assert_array_equal(real_array("X", same), numbers)


def test_of_two_values_the_larger_is_class_1() -> None:
    for low, high in ((0, 1), (-1, 1), (-1, 0)):
        np.testing.assert_array_equal(labels([low, high, high], 1), [0, 1, 1])


# Nothing is shared


def test_arrays_are_copied_when_they_are_handed_in() -> None:
    W, B, mask, c = np.ones((4, 4)), np.full((4, 4), 0.5), MASK.copy(), np.ones((len(X), 3))
    forward = ns.Projection("i", "o", W)
    back = ns.Projection("o", "p", mask=mask, feedback="random", feedback_weights=B * mask)
    own = ns.Extension("hidden1", equations="c : 1", parameters={"c": c})
    state = {n: values.copy() for n, values in START.x.items()}
    net = ns.Network([*ENDS, ns.Population("p", 4)], [forward, back])
    other = net.copy()
    other.weights["i->o"] = W
    bias = np.ones(4)
    other.biases["o"] = bias
    sim = ns.Simulation(NET, FLOW)
    run = sim.relax(X, Y, duration=0.01, start=ns.State(state, START.lam))
    for array in (W, B, c, bias, *state.values()):
        array[...] = 7
    mask[...] = True
    again = ns.Network([*ENDS, ns.Population("p", 4)], [forward, back])
    for made in (net, again):
        np.testing.assert_array_equal(made.weights["i->o"], np.ones((4, 4)))
        np.testing.assert_array_equal(made.feedback["o->p"].toarray(), 0.5 * MASK)
    np.testing.assert_array_equal(other.weights["i->o"], np.ones((4, 4)))
    np.testing.assert_array_equal(other.biases["o"], np.ones(4))
    np.testing.assert_array_equal(own.parameters["c"], np.ones((len(X), 3)))
    same = sim.relax(X, Y, duration=0.01, start=START)
    np.testing.assert_array_equal(run.x["hidden1"], same.x["hidden1"])


def test_two_networks_do_not_share_what_one_was_given_from_the_other() -> None:
    a, b, c = (ns.Network.mlp([4, 3, 2], seed=seed, loss="mse") for seed in range(3))
    b.weights.update(a.weights)
    c.biases = a.biases
    start = pickle.dumps((dict(b.weights), dict(c.biases)))
    schedule = ns.Simultaneous(duration=0.05, reports=1)
    ns.Simulation(a, ns.Flow.augmented(tau_w=0.02)).train(X, Y, schedule)
    assert pickle.dumps((dict(b.weights), dict(c.biases))) == start


@pytest.mark.parametrize("convert", [np.array, csr_array])
def test_arrays_that_cannot_be_written_to_are_weights_all_the_same(convert: Any) -> None:
    net = ns.Network.mlp([4, 3, 2], loss="mse")
    W = convert(net.weights["input->hidden1"])
    values = W if convert is np.array else W.data
    values.setflags(write=False)
    net.weights["input->hidden1"] = W
    net.biases["hidden1"].setflags(write=False)
    schedule = ns.Simultaneous(duration=0.02, reports=1)
    ns.Simulation(net, ns.Flow.augmented(tau_w=0.02)).train(X, Y, schedule)
    assert abs(net.weights["input->hidden1"] - W).max() > 0


def test_data_that_a_visit_changes_are_not_the_data_of_the_run() -> None:
    ends = []
    for spoils in (False, True):
        own = X.copy()

        def visit(run: ns.Run, own: np.ndarray = own, spoils: bool = spoils) -> None:
            own *= 0 if spoils else 1

        net = ns.Network.mlp([4, 3, 2], loss="mse")
        schedule = ns.Presentations(batch=1, present=0.005, epochs=3)
        ns.Simulation(net, FLOW).train(own, Y, schedule, visit=visit)
        ends.append(net.weights["input->hidden1"])
    np.testing.assert_array_equal(*ends)
