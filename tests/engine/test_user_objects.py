"""Brian2 objects of a user's own: each is honoured, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import brian2
import numpy as np
import pytest
from brian2 import ms

import neurosim as ns
from tests.helpers.problems import random_problem

NET, X, Y = random_problem([4, 3, 2], seed=0)
DT, STEPS = 2.0, 10  # ms


def relaxed(factory: Callable[[Any], Any], backend: str) -> ns.Simulation:
    sim = ns.Simulation(NET, ns.Flow.damped(), dt=DT * ms, backend=backend)
    sim.add(factory)
    sim.relax(X, Y, duration=STEPS * DT * ms)
    return sim


def watch(network: Any, **clock: Any) -> Any:
    return brian2.StateMonitor(network["hidden1"], "x", record=[0], name="watch", **clock)


class Counted:
    """A factory of a network operation that counts its calls."""

    def __init__(self, dt: float = DT) -> None:
        self.dt, self.calls = dt, 0

    def __call__(self, network: Any) -> Any:
        @brian2.network_operation(dt=self.dt * ms)
        def mine() -> None:
            self.calls += 1

        return mine


class Own(brian2.BrianObject):
    """An object whose `run` is Python code."""

    calls = 0

    def run(self) -> None:
        Own.calls += 1


@pytest.mark.parametrize("backend", ["numpy", "auto"])
@pytest.mark.parametrize("dt", [DT, DT / 2, 2.5 * DT])
def test_a_network_operation_is_called(backend: str, dt: float) -> None:
    """Also where the amount of work would be worth a compiler."""
    counted = Counted(dt)
    sim = ns.Simulation(NET, ns.Flow.damped(), dt=DT * ms, backend=backend)
    sim.add(counted)
    sim.train(X, Y, ns.Simultaneous(duration=STEPS * DT * ms, reports=1))
    assert counted.calls == STEPS * DT / dt
    chosen = sim.setting(10**9, len(X))
    assert chosen.backend == "numpy"


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (Counted(), r"NetworkOperation '\S*' runs Python code.*try backend='numpy'"),
        (lambda network: Own(clock=network["hidden1"].clock, name="own"), "Own 'own' runs Python"),
    ],
)
def test_what_a_compiled_program_cannot_run_is_refused(factory: Any, message: str) -> None:
    with pytest.raises(ns.ModelError, match=message):
        relaxed(factory, "standalone")


@pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]
)
def test_objects_of_many_kinds_are_honoured(backend: str) -> None:
    """One program with all of them: a kick, neurons, spikes, rates, and monitors of two clocks."""

    def several(network: Any) -> Any:
        clock = network["hidden1"].clock
        network["hidden1"].run_regularly("x = 0.25", dt=STEPS * DT / 2 * ms)
        group = brian2.NeuronGroup(
            2,
            "dv/dt = 100*Hz : 1",
            threshold="v > 0.7",
            reset="v = 0",
            name="mine",
            clock=clock,
            method="euler",
        )
        monitors = {
            "spikes": brian2.SpikeMonitor(group, name="spikes"),
            "rate": brian2.PopulationRateMonitor(group, name="rate"),
        }
        return [group, [monitors], (watch(network, dt=2 * DT * ms),)]

    sim = relaxed(several, backend)
    network = sim.network
    assert len(network["rate"].t) == STEPS
    np.testing.assert_allclose(np.asarray(network["spikes"].t), [6e-3] * 2 + [14e-3] * 2)
    assert network["watch"].x.shape == (1, STEPS / 2)
    plain = ns.Simulation(NET, ns.Flow.damped(), dt=DT * ms).relax(X, Y, duration=8 * DT * ms)
    assert not np.allclose(network["watch"].x[0, 4], plain.x["hidden1"][0, 0])


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda network: "text", "returned 'text'; allowed: a Brian2 object"),
        (lambda network: [watch(network), 3], "returned 3; allowed: a Brian2 object"),
        (lambda network: None, "returned no object and added none; .*try returning it"),
        (lambda network: [], "returned no object"),
    ],
)
def test_what_is_not_an_object_is_refused(factory: Any, message: str) -> None:
    with pytest.raises(ns.ModelError, match=message):
        relaxed(factory, "numpy")


@pytest.mark.parametrize(
    "factory",
    [
        lambda network: {"a": watch(network)},
        lambda network: (one for one in [watch(network)]),
        lambda network: brian2.Network(watch(network)),
        lambda network: network.add(watch(network)),
    ],
)
def test_every_collection_of_objects_is_added(factory: Any) -> None:
    assert relaxed(factory, "numpy").network["watch"].x.shape == (1, STEPS)
