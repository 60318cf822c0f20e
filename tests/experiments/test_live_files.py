"""A live session as a script and as a model file, both run again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import neurosim as ns
from neurosim.errors import ModelError
from neurosim.experiments import modelfile
from neurosim.experiments.live_files import open_live
from neurosim.simulation.live import Live
from tests.helpers.problems import random_problem


def _play(live: Live) -> None:
    live.run("20 ms")
    live.set("flow.rho", 2.5)
    live.kick(x=0.2, lam=0.1, units={"hidden1": [0, 2]}, seed=4)
    live.run("7 ms")
    live.clamp({"output": 0}, x=0.25)
    live.show(list(reversed(live.patterns)))
    live.plastic(True)
    live.run("11 ms")
    live.place(x={"hidden1": {1: -0.5}})
    live.release()
    live.run("6 ms")


def _repeated(script: str) -> Live:
    names: dict[str, Any] = {}
    exec(compile(script, "script", "exec"), names)
    found: Live = names["live"]
    return found


def _same(one: Live, other: Live) -> None:
    for variable in ("x", "lam", "weights"):
        for name, values in getattr(one, variable).items():
            assert_array_equal(getattr(other, variable)[name], values, name)
    assert one.time == other.time


def test_a_script_repeats_a_session_of_arrays_to_the_last_bit() -> None:
    net, X, Y = random_problem([3, 4, 2], 1)
    extension = ns.Extension("hidden1", x="I/tau_x", equations="I : 1", parameters={"I": 0.1})
    sim = ns.Simulation(
        net, ns.Flow.damped(), extensions=extension, imperfections=[ns.StateNoise(0.01)], seed=3
    )
    live = sim.live(X, Y, patterns=[1, 3], start="forward")
    _play(live)
    _same(_repeated(ns.to_script(live)), live)


def test_a_script_repeats_a_session_of_a_model_file() -> None:
    live = open_live(modelfile.load("xor"), patterns=[0, 3])
    _play(live)
    _same(_repeated(ns.to_script(live)), live)


def test_a_script_repeats_events() -> None:
    net, X, Y = random_problem([3, 4, 2], 1)
    events = ns.Events(theta={"hidden1": 0.05}, backward="adaptive")
    live = ns.Simulation(net, ns.Flow.augmented(), transport=events).live(X, Y)
    live.run("20 ms")
    live.set("simulation.transport.theta.hidden1", 0.02)
    live.run("20 ms")
    _same(_repeated(ns.to_script(live)), live)


@pytest.mark.parametrize("name", ["xor", "events", "ring", "tube"])
def test_a_saved_model_has_the_choices_of_the_session(name: str) -> None:
    live = open_live(modelfile.load(name), patterns=[0])
    live.set("flow.rho", 2.5)
    live.set("flow.tau_x", "8 ms")
    for key, value in {
        "simulation.dt": 5e-4,
        "network.epsilon": 0.03,
        "network.l1": 1e-3,
        "simulation.transport.theta.floor": 1e-4,
    }.items():
        if key in live.numbers:
            live.set(key, value)
    model = modelfile.loads(ns.to_model(live))
    again = open_live(model, patterns=[0])
    assert again.numbers == pytest.approx(live.numbers, rel=1e-15)
    live.reset()
    for either in (live, again):
        either.run("20 ms")
    for n, values in live.x.items():
        assert_allclose(again.x[n], values, rtol=0, atol=1e-14)


def test_a_session_of_arrays_needs_the_name_of_its_data() -> None:
    net, X, Y = random_problem([3, 4, 2], 1)
    for bias in net.biases.values():
        bias[:] = 0.1
    live = ns.Simulation(net, ns.Flow.augmented()).live(X, Y)
    with pytest.raises(ModelError, match=r"data = None.*'own.csv'"):
        ns.to_model(live)
    model = modelfile.loads(ns.to_model(live, data={"name": "random", "features": 3, "outputs": 2}))
    for name, w in model.network().weights.items():
        assert_array_equal(w, net.weights[name])
    assert model.network().biases["output"][0] == 0.1


def test_biases_that_a_model_file_cannot_hold_are_refused() -> None:
    net, X, Y = random_problem([3, 4, 2], 1)
    live = ns.Simulation(net, ns.Flow.augmented()).live(X, Y)
    with pytest.raises(ModelError, match=r"biases of hidden1 = .*bias_init.*ns.to_script"):
        ns.to_model(live, data="own.csv")


def test_stability_takes_a_live_simulation() -> None:
    net, X, Y = random_problem([3, 4, 4, 2], 1)  # of a shallower one the modes do not depend on x
    live = ns.Simulation(net, ns.Flow.augmented()).live(X, Y, patterns=[2])
    live.set("flow.rho", 4)
    live.run("30 ms")
    rows = {n: y[[2]] for n, y in Y.items()}
    expected = ns.stability(net, ns.Flow(rho=4), X[[2]], rows, at=live)
    assert_array_equal(ns.stability(live, at=live).eigenvalues, expected.eigenvalues)
    assert not np.array_equal(ns.stability(live).eigenvalues, expected.eigenvalues)
    with pytest.raises(ModelError, match=r"X = .*allowed: None beside a live simulation"):
        ns.stability(live, X=X)
    with pytest.raises(ModelError, match="flow = None"):
        ns.stability(net, X=X)
    with pytest.raises(ModelError, match="net = 3"):
        ns.stability(3, ns.Flow(), np.eye(3))  # type: ignore[arg-type]
