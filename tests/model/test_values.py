"""Equal values have one hash: every public class that is made of values or of results."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import neurosim as ns
from tests.helpers.odd_arguments import things

VALUES: dict[str, Any] = {
    "Flow": lambda: ns.Flow(tau_x={"a": 1.0, "b": 2.0}, kappa=-0.0, gamma=1),
    "Events": lambda: ns.Events({"a": 0.1, "b": "adaptive"}),
    "Spikes": lambda: ns.Spikes({"a": 0.1, "b": 0.2}),
    "Extension": lambda: ns.Extension("a", parameters={"I": np.ones(3), "J": 2}),
    "State": lambda: ns.State({"a": np.array([[1.0, np.nan]])}, {"a": np.zeros((1, 2))}),
    "Population": lambda: ns.Population("a", 3),
    "Pruning": lambda: ns.Pruning(schedule=ns.Presentations()),
    "Delay": lambda: ns.Delay(2),
    "Run": lambda: things().run,
    "Branch": lambda: things().branch,
    "Stability": lambda: things().stability,
    "Support": lambda: things().support,
    "Plausibility": lambda: things().card,
    "Adjoint": lambda: things().adjoint,
    "Alignment": lambda: ns.alignment(things().run, things().adjoint),
    "SynapticOperations": lambda: ns.synaptic_operations(things().events),
    "Kkt": lambda: ns.kkt(things().run),
    "Cycle": lambda: ns.Cycle(1.0, "rest", 0.0, 0.0, "a", things().run.state),
}


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
def test_a_value_equals_itself_and_its_copy_and_has_one_hash(make: Any) -> None:
    """A copy of a network is another network, so that what holds one is equal to itself only."""
    value = make()
    again = copy.copy(value)
    assert value == again
    assert hash(value) == hash(again)
    assert len({value, again}) == 1
    assert value != "text"
    twin = copy.deepcopy(value)
    assert value != twin or hash(value) == hash(twin)


def test_the_order_of_a_mapping_does_not_count() -> None:
    one = ns.Flow(tau_x={"a": 1.0, "b": 2.0})
    other = ns.Flow(tau_x={"b": 2.0, "a": 1.0})
    assert one == other
    assert hash(one) == hash(other)
    assert one != ns.Flow(tau_x={"a": 2.0, "b": 1.0})


def test_equal_numbers_of_other_types_have_one_hash() -> None:
    assert hash(ns.Flow(kappa=0.0, gamma=1)) == hash(ns.Flow(kappa=-0.0, gamma=1.0))


def test_arrays_are_compared_by_element() -> None:
    one = ns.Extension("a", parameters={"I": np.array([1.0, 2.0])})
    assert one == ns.Extension("a", parameters={"I": np.array([1.0, 2.0])})
    assert one != ns.Extension("a", parameters={"I": np.array([1.0, 3.0])})
    assert one != ns.Extension("a", parameters={"I": np.array([1.0])})
    assert one != ns.Extension("a", parameters={"J": np.array([1.0, 2.0])})
    assert one != ns.Extension("a", parameters={"I": 1.0})
