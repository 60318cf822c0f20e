"""Programs that are kept under the key of their structure: the right ones, and without Brian2."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brian2 import prefs
from numpy.testing import assert_array_equal

import neurosim as ns
from neurosim.engine import build, cache, compiler
from neurosim.engine.plan import Plan
from neurosim.engine.runtime import ufuncs
from neurosim.engine.runtime.engine import RuntimeEngine
from neurosim.engine.standalone.codegen import StandaloneEngine
from neurosim.engine.standalone.key import structure_key
from neurosim.engine.standalone.program import KeptProgram
from tests.helpers.examples import all_asked
from tests.helpers.problems import FORMULA

SIZES = [4, 3, 2]


class _PlannedError(Exception):
    pass


def layers(seed: int = 0, **options: Any) -> ns.Network:
    return ns.Network.mlp(SIZES, seed=seed, **options)


def sparse(synapses: int) -> ns.Network:
    mask = np.arange(12).reshape(3, 4) < synapses
    populations = [
        ns.Population("input", 4, clamped=True),
        ns.Population("hidden", 3),
        ns.Population("output", 2),
    ]
    projections = [ns.Projection("input", "hidden", mask=mask), ns.Projection("hidden", "output")]
    return ns.Network(populations, projections, [ns.Loss("output", "mse", 1.0)], seed=0)


def plan(
    net: ns.Network,
    train: Any = None,
    patterns: int = 5,
    flow: Any = None,
    relax: Any = None,
    **keys: Any,
) -> Plan:
    """Return the plan that a simulation would build."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(patterns, 4)), rng.integers(2, size=patterns)
    sim = ns.Simulation(net, flow or ns.Flow.damped(), backend="standalone", **keys)
    found: list[Plan] = []

    def caught(plan: Plan, *_: Any) -> Any:
        found.append(plan)
        raise _PlannedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "build", caught)
        with contextlib.suppress(_PlannedError):
            if train:
                sim.train(X, Y, train)
            else:
                sim.relax(X, Y, duration="20 ms", **(relax or {}))
    return found[0]


SHOWN = ns.Presentations(batch=2, present="10 ms", epochs=1)
LATE = [ns.Delay(steps=2)]
VARIANTS: dict[str, Callable[[], Plan]] = {
    "as it is": lambda: plan(layers()),
    "activation": lambda: plan(layers(activation="sigmoid")),
    "formula": lambda: plan(layers(activation=FORMULA)),
    "cross entropy": lambda: plan(layers(loss="cross_entropy")),
    "hinge": lambda: plan(layers(loss="squared_hinge")),
    "tube": lambda: plan(layers(constraint="tube", epsilon=0.1)),
    "wider tube": lambda: plan(layers(constraint="tube", epsilon=0.2)),
    "abs": lambda: plan(layers(constraint="abs")),
    "price on outputs": lambda: plan(layers(activity_l1=0.1)),
    "one pattern": lambda: plan(layers(), patterns=1),
    "exits": lambda: plan(layers(exits=0.3)),
    "random feedback": lambda: plan(layers(feedback="random")),
    "kolen_pollack": lambda: plan(layers(feedback="kolen_pollack"), train=SHOWN),
    "sparse": lambda: plan(sparse(7)),
    "sparser": lambda: plan(sparse(5)),
    "semi-implicit": lambda: plan(layers(), method="semi_implicit"),
    "exponential": lambda: plan(layers(), method="exponential_euler"),
    "heun": lambda: plan(layers(), method="heun"),
    "rk4": lambda: plan(layers(), method="rk4"),
    "adaptive": lambda: plan(layers(), relax={"adaptive": True}),
    "settles": lambda: plan(layers(), relax={"settle": 1e-6}),
    "float32": lambda: plan(layers(), precision="float32"),
    "no shortcuts": lambda: plan(layers(), shortcuts=False),
    "events": lambda: plan(layers(), transport=ns.Events(theta=0.01)),
    "late events": lambda: plan(layers(), transport=ns.Events(theta=0.01, delay="2 ms"), dt="1 ms"),
    "late events, other step": lambda: plan(
        layers(), transport=ns.Events(theta=0.01, delay="2 ms"), dt="0.5 ms"
    ),
    "adaptive events": lambda: plan(layers(), transport=ns.Events("adaptive")),
    "spikes": lambda: plan(layers(), transport=ns.Spikes(quantum=0.01)),
    "late": lambda: plan(layers(), imperfections=LATE),
    "later": lambda: plan(layers(), imperfections=[ns.Delay(steps=3)]),
    "noise": lambda: plan(layers(), imperfections=[ns.MessageNoise(0.1)]),
    "noisy states": lambda: plan(layers(), imperfections=[ns.StateNoise(0.1)]),
    "own clocks": lambda: plan(layers(), imperfections=[ns.TimeConstants(0.1)]),
    "prospective": lambda: plan(layers(), flow=ns.Flow.adjoint(), prospective=True),
    "recorded": lambda: plan(layers(), relax={"record": ("x",)}),
    "recorded multipliers": lambda: plan(layers(), relax={"record": ("x", "lam")}),
    "everything flows": lambda: plan(layers(), train=ns.Simultaneous(duration="20 ms")),
    "presentations": lambda: plan(layers(), train=SHOWN),
    "price on weights": lambda: plan(layers(l1=0.1), train=SHOWN),
    "price on neurons": lambda: plan(layers(group_l1=0.1), train=SHOWN),
}
VALUES: dict[str, Callable[[], Plan]] = {
    "weights": lambda: plan(layers(seed=3, gain=2.0)),
    "flow": lambda: plan(layers(), flow=ns.Flow.augmented(2)),
    "step": lambda: plan(layers(), dt="0.3 ms"),
    "start": lambda: plan(layers(), relax={"start": "forward"}),
}


FEW = ("as it is", "activation", "sparse", "sparser", "heun", "events", "presentations")


def test_one_key_has_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever differs in the code differs in the key; code matters where keys are equal."""
    monkeypatch.setattr(cache, "program", lambda *_, **__: True)

    def code(made: Plan) -> str:
        return StandaloneEngine(made, (), 1).device.key

    plans: dict[str, dict[str, Plan]] = {}
    for name, make in (VARIANTS | VALUES).items():
        made = make()
        key = structure_key(made)
        assert key, name
        plans.setdefault(key, {})[name] = made
    for made_alike in plans.values():
        if len(made_alike) > 1:
            assert len({code(made) for made in made_alike.values()}) == 1, list(made_alike)
    assert len(plans) > 30
    written = VARIANTS if all_asked() else FEW
    assert len({code(VARIANTS[name]()) for name in written}) > 0.75 * len(written)
    same = {structure_key(make()) for make in VALUES.values()}
    assert same == {structure_key(VARIANTS["as it is"]())}


def test_user_supplied_equations_have_no_key() -> None:
    made = plan(layers(), extensions=ns.Extension("hidden1", equations="h = 2*x : 1"))
    assert structure_key(made) is None


def test_brian2s_preferences_and_the_compiler_are_in_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = plan(layers())
    before = structure_key(made)
    kept = prefs.codegen.cpp.extra_compile_args_gcc
    prefs.codegen.cpp.extra_compile_args_gcc = ["-O1"]
    try:
        assert structure_key(made) != before
    finally:
        prefs.codegen.cpp.extra_compile_args_gcc = kept
    assert structure_key(made) == before
    monkeypatch.setenv("CXXFLAGS", "-O1")
    assert structure_key(made) != before


def test_a_cheap_program_is_never_taken_for_a_fast_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each level of optimisation has its own key and its own program, built with its flag."""
    commands: list[list[str]] = []

    def built(key: str, build: Callable[[Path], None], **_: Any) -> bool:
        commands.append(build.args[1])  # type: ignore[attr-defined]
        return True

    monkeypatch.setattr(cache, "program", built)
    made = plan(layers())
    found = set()
    for level in ("", *compiler.LEVELS):
        monkeypatch.setenv("NEUROSIM_OPTIMIZE", level)
        found.add((structure_key(made), StandaloneEngine(made, (), 1).device.key))
        flags = [flag for flag in commands[-1] if flag.startswith("-O")]
        assert flags[-1] == f"-O{level or 3}"  # the last one holds
    keys, programs = zip(*found, strict=True)
    assert len(set(keys)) == len(set(programs)) == 5


@pytest.mark.parametrize("level", ["fast", "4", "-1", "O2", "1.0"])
def test_an_optimisation_that_is_none_is_refused(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(layers())
    monkeypatch.setenv("NEUROSIM_OPTIMIZE", level)
    message = rf"NEUROSIM_OPTIMIZE = '{level}'; allowed: 0, 1, 2, 3; try '1' for tests"
    with pytest.raises(ns.ModelError, match=message):
        build.build(made, "standalone")


def test_it_is_refused_before_an_extension_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan without a key, too."""
    made = plan(layers(), extensions=ns.Extension("hidden1", equations="h = 2*x : 1"))
    monkeypatch.setenv("NEUROSIM_OPTIMIZE", "fast")
    with pytest.raises(ns.ModelError, match="NEUROSIM_OPTIMIZE = 'fast'"):
        build.build(made, "standalone")


TRAINING = """
import json, sys
import numpy as np
import neurosim as ns
net = ns.Network.mlp([4, 3, 2], loss="cross_entropy", seed=1)
sim = ns.Simulation(net, ns.Flow.augmented(1, tau_w="50 ms"), dt="1 ms", backend="standalone")
X, Y = np.random.default_rng(0).normal(size=(6, 4)), [0, 1, 0, 1, 1, 0]
log = sim.train(X, Y, ns.Presentations(batch=2, present="10 ms", plastic_from=0.5, epochs=2))
brian2 = "brian2" in sys.modules
w, lam = net.weights["input->hidden1"], log.run.lam["hidden1"]
print(json.dumps([brian2, w.tolist(), lam.tolist()]))
"""
READING = """
print(json.dumps(sim.network["hidden1"].lam[:].tolist()))
"""
ORDERED = """
from neurosim.engine import cache
from neurosim.engine.standalone.codegen import StandaloneEngine
from tests.engine.test_key import layers, plan
cache.program = lambda *_, **__: True
print(list({f"name {number}" for number in range(99)}))
print(StandaloneEngine(plan(layers(), method="rk4"), (), 1).device.key)
"""


def printed(*scripts: str, **environment: str) -> list[str]:
    """Return the lines that a process of its own prints."""
    command = [sys.executable, "-c", "".join(scripts)]
    own = os.environ | environment
    made = subprocess.run(command, capture_output=True, check=True, text=True, env=own)
    return made.stdout.splitlines()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Train in three processes, the first note damaged after it; the last one has another order."""
    folder = tmp_path_factory.mktemp("programs")
    seed = "0" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    made = [printed(TRAINING, NEUROSIM_CACHE=str(folder))]
    for note in folder.glob("*.note"):
        note.write_bytes(note.read_bytes().replace(b"arrays", b"array"))
    made.append(printed(TRAINING, NEUROSIM_CACHE=str(folder)))
    scripts = TRAINING, READING, ORDERED
    made.append(printed(*scripts, NEUROSIM_CACHE=str(folder), PYTHONHASHSEED=seed))
    return made


@pytest.mark.compiler
def test_a_kept_program_runs_without_brian2(trained: list[list[str]]) -> None:
    """The same bits; the network is made only when it is read; damaged notes are made anew."""
    first, again, read = (json.loads(lines[0]) for lines in trained)
    shown = json.loads(trained[-1][1])
    assert first[0]
    assert again == first
    assert read == [False, *first[1:]]
    assert np.reshape(shown, (2, 3)).tolist() == read[2]


@pytest.mark.compiler
def test_a_structure_has_the_same_program_in_every_process(
    trained: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brian2 keeps names in sets, whose order depends on the process."""
    monkeypatch.setattr(cache, "program", lambda *_, **__: True)
    own = StandaloneEngine(plan(layers(), method="rk4"), (), 1).device.key
    order, program = trained[-1][-2:]
    assert order != str(list({f"name {number}" for number in range(99)}))
    assert program == own


def loaded() -> dict[tuple[str, str], Any]:
    """Return values from which `plan(layers())` moves."""
    values: dict[tuple[str, str], Any] = {
        ("hidden1", "x"): np.linspace(0, 1, 15),
        ("run", "bound"): 1e6,
        ("run", "residual"): np.inf,
    }
    for name in ("hidden1", "output"):
        values |= {(name, "tau_x"): 0.01, (name, "tau_lam"): 0.01}
        values |= {(name, "kappa"): 1.0, (name, "gamma"): 1.0}
    return values


@pytest.mark.compiler
def test_segments_of_a_kept_program_continue() -> None:
    """Two segments of a kept program equal one that Brian2 has made; a network that was read
    moves on.
    """
    made = plan(layers(), relax={"settle": 1e-6})
    whole = StandaloneEngine(made, (), 1)
    whole.remember(structure_key(made))
    kept = KeptProgram.recall(structure_key(made), made, 1, build.make_program)
    assert kept
    for engine in (whole, kept):
        engine.load(loaded())
    whole.run(20)
    kept.run(8)
    read = kept.network["hidden1"].x
    kept.run(12)
    assert_array_equal(read[:], kept.value("hidden1", "x"))
    assert len(list(kept.directory.glob("segment*"))) == 1  # the files of the first are removed
    assert whole.counter("step") == kept.counter("step") == 20
    for name in ("hidden1", "output"):
        for v in ("x", "lam"):
            assert_array_equal(whole.value(name, v), kept.value(name, v))
    assert whole.state().keys() == kept.state().keys()
    assert whole.memory == kept.memory
    assert whole.size("hidden1", "x") == kept.size("hidden1", "x") == 15


@pytest.mark.compiler
def test_a_program_that_cannot_be_started_raises() -> None:
    made = plan(layers())
    engine = StandaloneEngine(made, (), 1)
    engine.program.unlink()  # the cache's is another name of the same file
    engine.program.write_text("no program")
    with pytest.raises(ns.BackendError, match=r"cannot be started .*; try backend='numpy'"):
        engine.execute([], engine.directory)


def test_the_next_segment_makes_functions_only_for_what_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Functions of populations with other time constants are made anew, and those run."""
    made: list[int] = []
    whole = ufuncs.Compiler.functions
    monkeypatch.setattr(
        ufuncs.Compiler, "functions", lambda own: made.append(own.size) or whole(own)
    )
    start = loaded()
    for name in ("input_to_hidden1", "hidden1_to_output", "hidden1_bias", "output_bias"):
        start[name, "tau_w"] = 1.0
    slower = {("hidden1", "tau_x"): 0.03}
    engine, fresh = (RuntimeEngine(plan(layers()), (), 1, target="numpy") for _ in range(2))
    engine.load(start)
    engine.run(8)
    assert made
    made.clear()
    engine.run(12)
    assert not made
    middle = engine.state()
    engine.load(slower)
    engine.run(5)
    assert set(made) == {15}  # hidden1's five patterns of three
    fresh.load(start | middle | slower)
    fresh.run(5)
    for name in ("hidden1", "output"):
        for v in ("x", "lam"):
            assert_array_equal(engine.value(name, v), fresh.value(name, v))
