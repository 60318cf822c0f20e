"""X and Y: how they are encoded, and how what does not fit is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import neurosim as ns
from neurosim.data.patterns import labels, pair, patterns, targets
from neurosim.errors import DataError

NET = ns.Network.mlp([4, 3, 2], loss="cross_entropy")
TWO_INPUTS = ns.Network(
    [
        ns.Population("a", 1, clamped=True),
        ns.Population("b", 2, clamped=True),
        ns.Population("c", 1),
    ],
    [ns.Projection("a", "c"), ns.Projection("b", "c")],
    [ns.Loss("c")],
)
NO_INPUT = ns.Network([ns.Population("a", 2), ns.Population("b", 1)], [ns.Projection("a", "b")])


def test_columns_go_to_the_clamped_populations_in_order() -> None:
    X = np.arange(6.0).reshape(2, 3)
    found = patterns(TWO_INPUTS, X)
    np.testing.assert_array_equal(found["a"], X[:, :1])
    np.testing.assert_array_equal(found["b"], X[:, 1:])
    again = patterns(TWO_INPUTS, {"b": X[:, 1:], "a": X[:, :1]})
    assert list(found) == list(again) == ["a", "b"]
    for name, values in found.items():
        np.testing.assert_array_equal(again[name], values)
        assert values.flags.c_contiguous


def test_patterns_are_copied_unless_they_are_only_read() -> None:
    X = np.ones((2, 4))
    assert not np.shares_memory(patterns(NET, X)["input"], X)
    assert np.shares_memory(patterns(NET, X, copy=False)["input"], X)


@pytest.mark.parametrize(
    ("net", "X", "words"),
    [
        (NO_INPUT, np.ones((3, 2)), "none of the populations a, b is clamped; try Population"),
        (NET, np.ones((4, 6)), r"\(patterns, 4\).* per unit of input; try X.T"),
        (NET, np.ones(4), r"one pattern is X\[None, :\]"),
        (NET, np.ones((3, 2, 2, 1)), r"try X.reshape\(len\(X\), -1\), or flat=True"),
        (NET, [[1, 2], [3]], "rows of equal length"),
        (TWO_INPUTS, np.ones((2, 2)), r"\(patterns, 3\).* per unit of a, b"),
        (TWO_INPUTS, {"a": np.ones((2, 1))}, "X has the keys a; allowed: .*no other, a, b"),
        (
            TWO_INPUTS,
            {"a": np.ones((2, 1)), "b": np.ones((3, 2))},
            r"X has \{'a': 2, 'b': 3\} patterns; allowed: equally many",
        ),
        (
            TWO_INPUTS,
            {"a": np.ones((2, 1)), "b": np.ones(2)},
            r"X\['b'\] has shape \(2,\).*one pattern is X\['b'\]\[None, :\]",
        ),
    ],
)
def test_patterns_that_do_not_fit_are_refused(net: ns.Network, X: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        patterns(net, X)


@pytest.mark.parametrize(
    ("loss", "Y", "words"),
    [
        ("cross_entropy", [1, 2, 1], "holds label 2; .*labels begin at 0, try Y - 1"),
        ("cross_entropy", [0, 0.5, 1], "holds label 0.5; allowed: whole numbers 0 to 1"),
        ("cross_entropy", [[0], [1], [1]], r"allowed: .*targets \(3, 2\); labels are Y\[:, 0\]"),
        ("cross_entropy", [[1, 0], [1, 1], [0, 1]], "row 1, sums to 2; allowed for cross_entropy"),
        ("cross_entropy", {"hidden1": 0}, "a key of Y = 'hidden1'; allowed: output"),
        ("cross_entropy", {}, "Y has no targets for output"),
        ("squared_hinge", [[1, -1], [0, 1], [1, 0]], "mixes -1 and 0; allowed for squared_hinge"),
        ("squared_hinge", [[1, 3], [0, 1], [1, 0]], "holds 3; allowed for squared_hinge"),
    ],
)
def test_targets_that_do_not_fit_are_refused(loss: str, Y: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        targets(ns.Network.mlp([4, 3, 2], loss=loss), Y, 3)


def test_labels_become_the_rows_that_a_loss_reads() -> None:
    one_hot = [[0, 1], [1, 0]]
    found = targets(NET, [1, 0], 2)["output"]
    np.testing.assert_array_equal(found, one_hot)
    hinge = ns.Network.mlp([4, 3, 2], loss="squared_hinge")
    np.testing.assert_array_equal(targets(hinge, [1, 0], 2)["output"], [[-1, 1], [1, -1]])
    np.testing.assert_array_equal(targets(hinge, one_hot, 2)["output"], [[-1, 1], [1, -1]])
    penalised = ns.Network(
        NET.populations.values(),
        NET.projections.values(),
        [ns.Loss("output"), ns.Loss("hidden1", "abs(x)")],
    )
    both = targets(penalised, [1, 0], 2)
    np.testing.assert_array_equal(both["output"], one_hot)
    np.testing.assert_array_equal(both["hidden1"], np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("Y", "size", "expected"),
    [
        ([2, 0], 3, [2, 0]),
        ([[0, 1], [1, 0]], 2, [1, 0]),
        ([[-1, 1], [1, -1]], 2, [1, 0]),
        ([[0.2, 0.8], [1, 0]], 2, None),
        ([0.5, 1], 3, None),
        ([[1], [-1]], 1, [1, 0]),
        ([0, 1], 1, [0, 1]),
        ([0, 2], 1, None),
        ([[0.3], [0.1]], 1, None),
    ],
)
def test_classes_of_targets(Y: Any, size: int, expected: Any) -> None:
    found = labels(Y, size)
    assert (None if found is None else found.tolist()) == expected


def test_a_pair_is_two_arrays() -> None:
    assert pair("validation", [1, 2]) == (1, 2)
    with pytest.raises(DataError, match=r"validation is a dict; allowed: \(X, Y\)"):
        pair("validation", {})
    with pytest.raises(DataError, match=r"validation has 3 entries; allowed: \(X, Y\)"):
        pair("validation", (1, 2, 3))


def test_rows_of_zeros_are_no_classes() -> None:
    """They were class 0, so that targets of zeros had an accuracy."""
    assert labels(np.zeros((3, 2)), 2) is None
    assert labels([[0, 1], [0, 0]], 2) is None
    assert labels([[-1, 1], [1, -1]], 2).tolist() == [1, 0]
