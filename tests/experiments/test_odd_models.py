"""Hostile model files: a seeded sample; ``python -m tests.evidence`` counts all of them."""

from __future__ import annotations

import random

import pytest

from neurosim.errors import ModelError, NeurosimError, shown
from neurosim.experiments import designs, modelfile
from neurosim.model.extension import Extension
from neurosim.model.network import Network
from neurosim.simulation.simulation import Simulation
from tests.helpers.odd_models import (
    LAYERS,
    SIMULTANEOUS,
    TRAINED,
    key_trials,
    mutations,
    study_trials,
    table_of,
)
from tests.helpers.odd_models import toml as written

SAMPLE = 80


def test_mutated_model_files_end_in_success_or_a_named_error() -> None:
    trials = [trial for name in modelfile.built_in() for trial in mutations(name, 8, seed=1)]
    counts, faults = table_of(trials)
    assert not faults
    assert counts.total() == 8 * len(modelfile.built_in())


def test_odd_values_of_keys_end_in_success_or_a_named_error() -> None:
    trials = random.Random(0).sample(list(key_trials()), SAMPLE)
    trials += random.Random(0).sample(list(study_trials()), SAMPLE)
    _, faults = table_of(trials)
    assert not faults


@pytest.mark.parametrize(
    ("base", "override", "words"),
    [
        (TRAINED, "simulation.adaptive=true", r"simulation.adaptive = True beside \[train\]"),
        (TRAINED, "simulation.tolerance=1e-5", r"simulation.tolerance = 1e-05 beside \[train\]"),
        (TRAINED, "simulation.settle=1e-5", r"simulation.settle = 1e-05 beside \[train\]"),
        (TRAINED, "simulation.duration=1", r"simulation.duration = 1 beside \[train\]"),
        (TRAINED, "start={x=1.0}", r"\[start\] beside \[train\]"),
    ],
)
@pytest.mark.parametrize("table", ["train", "stream"])
def test_keys_that_do_not_apply_are_refused(
    base: dict[str, object], override: str, words: str, table: str
) -> None:
    own = SIMULTANEOUS if table == "train" else {"per_frame": "5 ms"}
    model = modelfile.loads(written({**base, table: own}), overrides=[override])
    with pytest.raises(ModelError, match=words.replace("train", table)):
        model.run(model.simulation(), model.data())


def test_patterns_beside_a_stream_are_refused() -> None:
    tables = {**TRAINED, "stream": {"per_frame": "5 ms"}}
    given = ["simulation.record=['x']", "simulation.patterns=[0]"]
    model = modelfile.loads(written(tables), overrides=given)
    with pytest.raises(ModelError, match=r"simulation.patterns = \[0\] beside \[stream\]"):
        model.run(model.simulation(), model.data())


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("simulation.transport=event", "simulation.transport.kind = 'event'.*mean 'events'"),
        ("simulation.transport={kind='events', thta=1}", "a key of simulation.transport = 'thta'"),
        ("simulation.transport={kind=['a']}", r"simulation.transport.kind = \['a'\]"),
        ("simulation.transport={kind='spikes', max_rate='a'}", "simulation.transport: max_rate"),
        ("simulation.imperfections=[{kind='delay', steps='a'}]", r"imperfections\[0\].steps = 'a'"),
        ("simulation.imperfections=[{kind='message_noise'}]", r"imperfections\[0\].sd is missing"),
        ("simulation.imperfections=[{steps=1}]", r"imperfections\[0\].kind is missing"),
        ("simulation.imperfections=[{kind='delay', steps=1000000}]", "1 to 100000"),
        ("network.depth=2000000000", "layers of network = 2000000001; allowed: at most 1000"),
    ],
)
def test_tables_with_a_kind_are_checked_when_read(override: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        modelfile.loads(written(LAYERS), overrides=[override]).network()


@pytest.mark.parametrize(
    "given",
    [
        {"transport": {"kind": ["a"]}},
        {"imperfections": {"kind": {"a": 1}}},
        {"transport": {"kind": "spikes", "max_rate": "abc"}},
        {"extensions": 3},
        {"extensions": ["a"]},
    ],
)
def test_a_simulation_refuses_wrong_types(given: dict[str, object]) -> None:
    model = modelfile.loads(written(LAYERS))
    with pytest.raises(NeurosimError):
        Simulation(model.network(), model.flow(), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["9**9**9/tau_x", "x/tau_x + 10**(10**10)*Hz", "(2**2000)**2/second"]
)
def test_numbers_of_an_extension_are_bounded(text: str) -> None:
    with pytest.raises(ModelError, match="which is not a finite number"):
        Extension("hidden1", x=text)
    with pytest.raises(ModelError, match="which is not a finite number"):
        Extension("hidden1", equations=f"tau_I : second (shared)\ndI/dt = {text} : 1")
    Extension("hidden1", x="2**10*x/tau_x", equations="dI/dt = -I**2/(1e3*ms) : 1")


def test_work_is_bounded_before_it_starts() -> None:
    model = modelfile.loads(written(LAYERS))
    net, data = model.network(), model.data()
    sim = Simulation(net, model.flow(), backend="numpy")
    for keys in ({"duration": 1e20}, {"duration": 0.1, "record": "x", "every": 2.0**63}):
        with pytest.raises(ModelError, match="allowed: at most 1000000000000 steps"):
            sim.relax(data.X, data.Y, **keys)
    with pytest.raises(ModelError, match="depth = 1000000000; allowed: at most 10000"):
        Network.mlp([2, 3, 1], depth=10**9)
    with pytest.raises(ModelError, match="COUNT of --grid"):
        designs.parse("flow.rho=0:1:1000000000")
    values = list(range(10_000))
    with pytest.raises(ModelError, match="points of the grid = 100000000;"):
        designs.make("grid", {"a": values, "b": values}, points=None, rounds=0, seed=0)
    with pytest.raises(ModelError, match="points of design 'lhs'"):
        designs.make("lhs", {"a": [0.0, 1.0]}, points=10**12, rounds=0, seed=0)
    with pytest.raises(ModelError, match="rounds = 1000"):
        designs.make("refine", {"a": [0.0, 1.0]}, points=None, rounds=1000, seed=0)


def test_messages_are_cut() -> None:
    assert len(shown("x" * 10_000)) < 250
    assert len(shown(10**5000)) < 250
    with pytest.raises(ModelError) as found:
        modelfile.loads(written(LAYERS), overrides=[f"network.{'y' * 10_000}=1"])
    assert len(str(found.value)) < 2500
