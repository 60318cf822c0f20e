"""What is set on a public object is checked and has an effect, or is refused by name."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import neurosim as ns
from tests.helpers.problems import random_problem

NET, X, Y = random_problem([4, 3, 2], seed=0)
FIRST = "input->hidden1"
REFUSED = (ns.ModelError, AttributeError)  # frozen dataclasses raise the latter


def made(net: ns.Network | None = None, **arguments: Any) -> ns.Simulation:
    return ns.Simulation(net or NET, ns.Flow.damped(), **arguments)


# arguments of a simulation: another value of each, as the constructor takes it
OTHERS: dict[str, Any] = {
    "net": ns.Network.mlp([4, 3, 2], loss="mse", seed=5),
    "flow": ns.Flow.adjoint(),
    "transport": {FIRST: ns.Events(0.05)},
    "dt": "2 ms",
    "method": "heun",
    "backend": "numpy",
    "seed": 3,
    "extensions": ns.Extension("hidden1", x="0.3/tau_x"),
    "threads": 2,
    "precision": "float32",
    "shortcuts": False,
    "imperfections": [ns.MessageNoise(0.1)],
    "prospective": True,
}


def test_each_argument_of_a_simulation_is_among_the_others() -> None:
    from inspect import signature

    assert set(OTHERS) == set(signature(ns.Simulation).parameters)


@pytest.mark.parametrize("name", OTHERS)
def test_an_argument_that_is_set_has_the_effect_of_one_that_is_given(name: str) -> None:
    changed = made()
    changed.relax(X, Y, duration=0.01)  # not only before the first run
    setattr(changed, name, OTHERS[name])
    given = ns.Simulation(**{"net": NET, "flow": ns.Flow.damped(), name: OTHERS[name]})
    ours, theirs = (sim.relax(X, Y, duration=0.02) for sim in (changed, given))
    for n in NET.neurons:
        assert_array_equal(ours.x[n], theirs.x[n])
        assert_array_equal(ours.lam[n], theirs.lam[n])
    assert ours.settings == theirs.settings


def set_item(mapping: Any, key: str, value: Any) -> None:
    mapping[key] = value


FLOW = ns.Flow(tau_x={"hidden1": 0.01})
TRIES: dict[str, Callable[[ns.Simulation], Any]] = {
    "a method": lambda sim: setattr(sim, "method", "nonsense"),
    "a step": lambda sim: setattr(sim, "dt", -1),
    "a misspelt name": lambda sim: setattr(sim, "precison", "float32"),
    "what follows from it": lambda sim: setattr(sim, "backend_reason", "mine"),
    "a list of objects": lambda sim: setattr(sim, "factories", [1]),
    "message transports": lambda sim: set_item(sim.transports, FIRST, ns.Events(0.1)),
    "a property": lambda sim: setattr(sim, "equations", ""),
    "a deletion": lambda sim: delattr(sim, "dt"),
    "a combination": lambda sim: setattr(sim, "extensions", ns.Extension("hiden1", x="1/tau_x")),
    "times of a flow": lambda _: set_item(FLOW.tau_x, "hidden1", -1),
    "gains of a flow": lambda _: setattr(FLOW, "kappa", -1),
    "a parameter": lambda _: set_item(
        ns.Extension("hidden1", equations="c : 1", parameters={"c": 1}).parameters, "c", 2
    ),
    "a noise": lambda _: setattr(ns.MessageNoise(0.1), "sd", 2),
    "a threshold": lambda _: setattr(ns.Events(0.1), "theta", 2),
    "a schedule": lambda _: setattr(ns.Simultaneous(duration=1), "reports", 2),
    "an attribute of a network": lambda sim: setattr(sim.net, "wieghts", {}),
    "weights that are no mapping": lambda sim: setattr(sim.net, "weights", 1),
    "weights left out": lambda sim: setattr(sim.net, "weights", {}),
    "a misspelt projection": lambda sim: set_item(
        sim.net.weights, "input->hiden1", np.ones((3, 4))
    ),
    "biases of an input": lambda sim: set_item(sim.net.biases, "input", np.ones(4)),
    "feedback that is W": lambda sim: set_item(
        sim.net.feedback, "hidden1->output", np.ones((3, 2))
    ),
    "deleted weights": lambda sim: sim.net.weights.pop(FIRST),
    "a loss by its kind": lambda sim: set_item(sim.net.losses, "output", "mse"),
    "a loss elsewhere": lambda sim: set_item(sim.net.losses, "hidden1", ns.Loss("output")),
    "a loss on an input": lambda sim: set_item(sim.net.losses, "input", ns.Loss("input")),
    "another size": lambda sim: set_item(
        sim.net.populations, "hidden1", ns.Population("hidden1", 9)
    ),
    "no population": lambda sim: sim.net.populations.clear(),
    "one more population": lambda sim: set_item(sim.net.populations, "a", ns.Population("a", 1)),
    "one more projection": lambda sim: set_item(
        sim.net.projections, "input->output", ns.Projection("input", "output")
    ),
    "weights of a projection": lambda sim: set_item(
        sim.net.projections, FIRST, ns.Projection("input", "hidden1", np.ones((3, 4)))
    ),
    "another feedback": lambda sim: set_item(
        sim.net.projections,
        "hidden1->output",
        ns.Projection("hidden1", "output", feedback="random"),
    ),
    "a log": lambda _: setattr(
        made(NET.copy()).train(X, Y, ns.Simultaneous(duration=0.002, reports=1)), "history", None
    ),
    "a run": lambda sim: setattr(sim.relax(X, Y, duration=0.002), "time", 1.0),
}


@pytest.mark.parametrize("what", TRIES)
def test_what_would_have_no_effect_or_no_meaning_is_refused(what: str) -> None:
    sim = made(NET.copy(), backend="numpy")
    before = sim.relax(X, Y, duration=0.01)
    with pytest.raises(REFUSED):
        TRIES[what](sim)
    after = sim.relax(X, Y, duration=0.01)
    assert_array_equal(after.x["hidden1"], before.x["hidden1"])
    assert after.settings == before.settings


def test_the_message_names_the_attribute_and_what_to_try() -> None:
    sim = made()
    with pytest.raises(ns.ModelError, match=r"attribute of Simulation = 'precison'; .*'precision'"):
        sim.precison = "float32"
    with pytest.raises(ns.ModelError, match="backend_reason of Simulation = 'mine'; allowed: no"):
        sim.backend_reason = "mine"
    with pytest.raises(ns.ModelError, match=r"a key of weights = 'a->b'; allowed: input->hidden1"):
        sim.net.weights["a->b"] = 1


def test_parts_of_a_network_that_are_replaced_have_an_effect() -> None:
    net = NET.copy()
    net.populations["hidden1"] = replace(net.populations["hidden1"], activation="relu")
    net.losses = {"output": ns.Loss("output", "mse", weight=0.0)}
    net.projections[FIRST] = ns.Projection("input", "hidden1", l2=1.0)
    runs = [ns.Simulation(n, ns.Flow.adjoint()).relax(X, Y, duration=0.5) for n in (net, NET)]
    assert (runs[0].x["hidden1"] >= 0).all()
    assert (runs[1].x["hidden1"] < 0).any()
    assert abs(runs[0].lam["output"]).max() < 1e-12 < abs(runs[1].lam["output"]).max()
    assert (net.projections[FIRST].l2, NET.projections[FIRST].l2) == (1.0, 0.0)


def test_a_network_that_no_longer_fits_its_simulation_is_refused() -> None:
    net = NET.copy()
    sim = ns.Simulation(net, ns.Flow.adjoint())
    net.populations["hidden1"] = replace(net.populations["hidden1"], constraint="abs")
    with pytest.raises(ns.ModelError, match=r"flow\.kappa = 0 with constraint 'abs'"):
        sim.relax(X, Y, duration=0.01)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
def test_copies_and_pickles_are_equal_and_can_be_changed(again: Callable[[Any], Any]) -> None:
    sim = made(
        NET.copy(),
        transport={FIRST: ns.Events(0.01)},
        extensions=ns.Extension("hidden1", x="c/tau_x", equations="c : 1", parameters={"c": 0.1}),
    )
    twin = again(sim)
    assert_array_equal(
        sim.relax(X, Y, duration=0.01).x["hidden1"], twin.relax(X, Y, duration=0.01).x["hidden1"]
    )
    twin.dt = "2 ms"
    assert (sim.dt, twin.dt) == (1e-3, 2e-3)
    net = again(sim.net)
    net.weights[FIRST] = 0 * net.weights[FIRST]
    net.losses = {}
    assert sim.net.weights[FIRST].any()
    assert sim.net.losses
    assert again(dict(sim.net.weights)).keys() == again(sim.net.weights).keys()
    assert again(FLOW) == FLOW
    assert again(FLOW).tau_x == {"hidden1": 0.01}
