"""An engine that serves several runs, and stable steps that are kept, change no number."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from brian2 import second

import neurosim as ns
from neurosim.engine import build
from neurosim.engine.runtime.engine import RuntimeEngine
from neurosim.simulation import stability_monitor, stable_step
from tests.helpers.problems import random_problem

NET, X, Y = random_problem([4, 5, 3], seed=1, patterns=3)
CASES = [
    *product((ns.Flow.damped(), ns.Flow.adjoint()), ("1 ms", "3 ms"), ({}, {"record": "x"})),
    (ns.Flow.damped(), "1 ms", {"transport": ns.Events(0.01), "record": ("x", "delta")}),
    (ns.Flow.damped(), "1 ms", {"imperfections": [ns.MessageNoise(0.1)]}),
    (ns.Flow.damped(), "2 ms", {"method": "rk4"}),
]


def relaxed(flow: ns.Flow, dt: str, options: dict[str, Any]) -> ns.Run:
    given = dict(options)
    record = given.pop("record", ())
    sim = ns.Simulation(NET.copy(), flow, dt=dt, backend="numpy", **given)
    return sim.relax(X, Y, duration="30 ms", record=record)


def test_engines_that_are_used_again_give_the_same_numbers() -> None:
    first = []
    for case in CASES:
        build._idle.clear()
        first.append(relaxed(*case))
    engines = set()
    for number in np.random.default_rng(0).permutation(2 * len(CASES)) % len(CASES):
        run = relaxed(*CASES[number])
        engines |= {id(engine) for engine in build._idle.values()}
        for name in NET.neurons:
            np.testing.assert_array_equal(run.x[name], first[number].x[name])
            np.testing.assert_array_equal(run.lam[name], first[number].lam[name])
        if run.traces is not None:
            assert run.traces.identical(first[number].traces)
    assert len(engines) < 2 * len(CASES)
    assert len(build._idle) <= build.MOST_IDLE


def test_steps_without_brian2s_loop_are_those_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for with_loop in (False, True):
        build._idle.clear()
        sim = ns.Simulation(NET.copy(), ns.Flow.damped(), dt="3 ms", backend="numpy")
        if with_loop:
            monkeypatch.setattr(RuntimeEngine, "_run_slots", brian2s_loop)
        run = sim.relax(X, Y, duration="90 ms", record=("x", "lam"), progress=True)
        longer = sim.relax(X, Y, duration="1 s", settle=1e-3, start=run)
        found.append((run, longer, float(sim.network.t)))
    (run, longer, t), (other, other_longer, other_t) = found
    assert run.traces.identical(other.traces)
    assert longer.steps == other_longer.steps
    assert t == pytest.approx(other_t, rel=1e-12)
    for name in NET.neurons:
        np.testing.assert_array_equal(longer.lam[name], other_longer.lam[name])


def brian2s_loop(engine: RuntimeEngine, n_steps: int) -> None:
    """Run the steps by `Network.run`."""
    engine.network.run(n_steps * engine.plan.dt * second, namespace={})


def test_an_idle_engine_holds_no_data_and_no_samples() -> None:
    build._idle.clear()
    relaxed(ns.Flow.damped(), "1 ms", {"record": "x"})
    (engine,) = build._idle.values()
    assert not engine.recorder.columns
    assert not engine.presenter.sources


def test_a_stable_step_is_computed_again_where_something_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computed = []
    original = stable_step.stable_step

    def counting(*given: Any, **keys: Any) -> stable_step.StableStep:
        computed.append(given)
        return original(*given, **keys)

    monkeypatch.setattr(stable_step, "stable_step", counting)
    monkeypatch.setattr(stability_monitor, "_known", {})
    net = NET.copy()
    sim = ns.Simulation(net, ns.Flow.damped(), dt="1 ms", backend="numpy")
    expected = 0
    for change in (lambda: None, lambda: net.weights["hidden1->output"].fill(0.1)):
        change()
        expected += 2  # at the start and at the end
        for _ in range(2):
            sim.relax(X, Y, duration="20 ms")
            assert len(computed) == expected
    sim.relax(X + 1, Y, duration="20 ms")
    assert len(computed) == expected + 2
