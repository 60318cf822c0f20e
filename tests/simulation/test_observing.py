"""Recording does not touch a run, and going on equals never having stopped, to the last bit.

A few cases of the crossing in `tests.helpers.observing`; `python -m tests.evidence observing` draws
many more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import neurosim as ns
from neurosim.engine.build import build
from neurosim.engine.plan import Plan
from tests.helpers.observing import (
    CHECKPOINT,
    EVERY,
    MEMORY,
    METHODS,
    RECORDED,
    RUN_FILE,
    Case,
    Job,
    cases,
    go,
    graph,
    halved,
    recorded,
    state,
    ways,
)
from tests.helpers.problems import random_problem

MS = 1e-3
compiled = pytest.mark.compiler


def case(transport: str, schedule: str, method: str = "euler", **more: Any) -> Case:
    given = {"backend": "numpy", "imperfection": "none", "network": "plain"} | more
    return Case(transport=transport, schedule=schedule, method=method, **given)


# --- recording


def test_recording_changes_nothing() -> None:
    """Also with noise, whose stream recording must not advance."""
    for number, drawn in enumerate(cases(5, seed=24, noisy=True, backends=["numpy"])):
        variable, every = RECORDED[number % len(RECORDED)], EVERY[number % len(EVERY)]
        assert recorded(drawn, variable, every) == [], (drawn, variable, every)


# Each moves weights by another shortcut: by integrals between events; on the way back; by sums of
# messages, also of several patterns.
SHORTCUTS = [("events", "online"), ("dense", "online"), ("dense", "batches")]


@compiled
@pytest.mark.parametrize(("transport", "schedule"), SHORTCUTS)
def test_recorded_weights_are_a_copy(transport: str, schedule: str) -> None:
    """Compiled programs run the same shortcuts as without recording."""
    drawn = case(transport, schedule, backend="standalone")
    assert recorded(drawn, "w", 1) == []


@compiled
@pytest.mark.slow
def test_what_is_recorded_is_not_compiled_into_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled as by users: whether a function is inlined must not depend on what is recorded."""
    monkeypatch.setenv("NEUROSIM_OPTIMIZE", "3")
    more = {"imperfection": "derivative", "network": "tube", "backend": "standalone", "seed": 77}
    assert recorded(case("spikes", "online", **more), "mu", 1) == []


@pytest.mark.parametrize("backend", ["numpy", pytest.param("standalone", marks=compiled)])
def test_a_sample_of_the_weights_is_what_a_shorter_run_ends_with(backend: str) -> None:
    """Copies have the changes that the weights lack."""
    net, X, Y = random_problem([6, 4, 3], seed=3, patterns=4)
    flow = ns.Flow.augmented(1.0, tau_w=0.05)
    frames = ns.Presentations(batch=4, present=20 * MS, plastic_from=0.0, epochs=1)

    def log(present: float, **options: Any) -> ns.Log:
        sim = ns.Simulation(net.copy(), flow, dt=MS, backend=backend)
        schedule = ns.Presentations(batch=4, present=present, plastic_from=0.0, epochs=1)
        return sim.train(X, Y, schedule, **options)

    traces = log(frames.present, record="w", every=7 * MS).run.traces
    short = log(14 * MS).run
    ends = np.concatenate([w.ravel() for w in short.network.weights.values()])
    np.testing.assert_allclose(traces.w[2], ends, rtol=0, atol=1e-15)


# --- adaptive steps


@pytest.mark.parametrize("every", [7 * MS, 70 * MS, 25 * MS, 200 * MS])
def test_samples_do_not_change_how_long_an_adaptive_run_lasts(every: float) -> None:
    net, X, Y = random_problem([5, 4, 3], seed=0)
    sim = ns.Simulation(net, ns.Flow.augmented(1.0), backend="numpy")
    plain = sim.relax(X, Y, duration=0.1, adaptive=True)
    run = sim.relax(X, Y, duration=0.1, adaptive=True, record="x", every=every)
    assert run.time == pytest.approx(0.1, rel=1e-12)
    assert run.traces is not None
    assert_array_equal(run.traces.time, np.arange(0, 0.1 - 1e-9, every))
    for name in net.neurons:  # within the tolerance of the steps, 1e-6
        np.testing.assert_allclose(run.x[name], plain.x[name], rtol=0, atol=1e-5)


# --- going on


def test_two_halves_are_the_whole() -> None:
    for number, drawn in enumerate(cases(6, seed=7, backends=["numpy"])):
        options = ways(drawn)
        way = options[number % len(options)]
        assert halved(drawn, way) == [], (drawn, way)


@pytest.mark.parametrize("way", [MEMORY, RUN_FILE])
@pytest.mark.parametrize("transport", ["adaptive", "spikes"])
def test_events_go_on(transport: str, way: str) -> None:
    """Thresholds, remembered speeds and refractory times are kept, and so is the clock."""
    assert halved(case(transport, "relax"), way) == []


@pytest.mark.parametrize("imperfection", ["prospective", "estimated", "low pass", "extended"])
def test_imperfections_go_on(imperfection: str) -> None:
    """Prospective messages read what the last step left: net inputs, slopes and feedback."""
    assert halved(case("dense", "relax", imperfection=imperfection), RUN_FILE) == []


@pytest.mark.parametrize("method", METHODS)
def test_every_method_goes_on(method: str) -> None:
    assert halved(case("dense", "settle", method, imperfection="extended"), MEMORY) == []


@pytest.mark.parametrize("way", [MEMORY, RUN_FILE, CHECKPOINT])
def test_an_optimiser_goes_on(way: str) -> None:
    """Adam's running means, and the powers that correct them."""
    assert halved(case("dense", "local propagation"), way) == []


@compiled
@pytest.mark.parametrize(
    ("transport", "schedule", "method"),
    [
        ("adaptive", "relax", "euler"),
        ("delayed", "plastic stream", "euler"),
        ("dense", "relax", "adaptive"),
    ],
)
def test_compiled_programs_go_on(transport: str, schedule: str, method: str) -> None:
    """Sums over events, and weights that move by integrals between them, are kept in a file."""
    assert halved(case(transport, schedule, method, backend="standalone"), RUN_FILE) == []


def test_other_patterns_are_clamped_anew() -> None:
    """The roof of adaptive thresholds falls from the time at which the present patterns came."""
    net, X, Y = random_problem([6, 5, 3], seed=4)
    sim = ns.Simulation(net, ns.Flow.damped(), transport=ns.Events("adaptive"), backend="numpy")
    half = sim.relax(X, Y, duration=30 * MS)
    on = sim.relax(X, Y, duration=30 * MS, start=half)
    other = sim.relax(X + 1, Y, duration=30 * MS, start=half)
    assert on.auxiliary["hidden1.clamped_at"].item() == 0
    assert other.auxiliary["hidden1.clamped_at"].item() == pytest.approx(30 * MS)
    assert on.auxiliary["run.time"].item() == pytest.approx(60 * MS)
    assert on.time == pytest.approx(30 * MS)


def test_a_progress_bar_changes_nothing() -> None:
    """It divides a run into segments; whether a run rests is checked at the same steps all the
    same.
    """
    for transport, schedule in (("dense", "settle"), ("adaptive", "plastic stream")):
        drawn = case(transport, schedule)
        plain, shown = state(go(Job(drawn))), state(go(Job(drawn), progress=True))
        for name, values in plain.items():
            assert_array_equal(shown[name], values, err_msg=f"{drawn}: {name}")


# --- what is kept


def kept(**given: Any) -> set[str]:
    """Return the variables of hidden1 that an engine keeps, beside x and lam."""
    net = graph(case("dense", "relax"))
    plan = Plan(net, 2, MS, **given)
    engine = build(plan, "numpy")
    parameters = ("kappa", "gamma", "rho", "tau_x", "tau_lam")
    engine.constants = {("hidden1", name) for name in parameters}
    return {variable for group, variable in engine.memory if group == "hidden1"}


def test_what_is_kept_follows_from_the_equations() -> None:
    """Only what a step reads before it writes it."""
    ahead = ns.Simulation(
        graph(case("dense", "relax")), ns.Flow.damped(), prospective=True
    ).imperfections
    assert kept() == set()
    assert kept(method="rk4", settles=True) == set()
    assert kept(imperfections=ahead) == {"sigma", "feedback"}
    assert kept(method="adam") == {"first_x", "second_x", "first_lam", "second_lam"}
    own = ns.Extension("hidden1", equations="dv/dt = (x - v)/(5*ms) : 1\nu = 2*v : 1")
    assert kept(extensions=(own,)) == {"v"}


# --- checkpoints


def test_the_best_weights_so_far_are_in_a_checkpoint(tmp_path: Path) -> None:
    """Weights of a row before the checkpoint come back at the end of the resumed training."""
    net, X, Y = random_problem([4, 5, 3], seed=1, loss="cross_entropy")
    flow = ns.Flow.local_propagation(rate=0.3)
    schedule = ns.LocalPropagation(epochs=30, reports=6)

    class EndedError(Exception):
        pass

    def end(run: ns.Run) -> None:
        rows.append(run)
        if len(rows) == 5:
            raise EndedError

    def train(own: ns.Network, **options: Any) -> ns.Log:
        sim = ns.Simulation(own, flow, backend="numpy")
        return sim.train(X, Y, schedule, validation=(X, Y), **options)

    rows: list[ns.Run] = []
    whole, again = net.copy(), net.copy()
    log = train(whole)
    with pytest.raises(EndedError):
        train(net.copy(), checkpoint=tmp_path / "c.npz", visit=end)
    resumed = train(again, resume=tmp_path / "c.npz")
    assert resumed.run.settings["best_time"] == log.run.settings["best_time"]
    for name, w in whole.weights.items():
        assert_array_equal(again.weights[name], w)


def test_a_checkpoint_knows_all_of_its_parameters(tmp_path: Path) -> None:
    """Text shows 8 digits of an array, and not those in the middle of a long one."""
    net, X, Y = random_problem([4, 5, 2], seed=3)
    schedule = ns.Simultaneous(duration=4 * MS, reports=2)

    def train(change: float, **options: Any) -> None:
        drive = np.linspace(0, 1, 5 * len(X))
        drive[3] += change
        own = ns.Extension("hidden1", x="u/second", equations="u : 1", parameters={"u": drive})
        sim = ns.Simulation(net.copy(), ns.Flow.damped(), extensions=own, backend="numpy")
        sim.train(X, Y, schedule, **options)

    path = tmp_path / "c.npz"
    train(0.0, checkpoint=path)
    train(0.0, resume=path)
    with pytest.raises(ns.FileError, match="of another model, data set or schedule"):
        train(1e-12, resume=path)
