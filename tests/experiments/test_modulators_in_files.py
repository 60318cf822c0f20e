"""Modulators in model files: numbers and lists, against changes of a weight summed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

import neurosim as ns
from neurosim.errors import ModelError
from neurosim.experiments import modelfile

# dw/dt = r x_pre / tau_w; a presentation of 10 ms at tau_w = 100 ms adds 0.1 r x_pre
MODEL = """
[[network.populations]]
name = "input"
size = 1
clamped = true
[[network.populations]]
name = "output"
size = 1
activation = "linear"
plastic_bias = false
[[network.projections]]
pre = "input"
post = "output"
weights = [[0.0]]
plasticity = { equations = ["dw/dt = r*x_pre/tau_w : 1"], modulators = ["r"] }
[[network.losses]]
population = "output"
[flow]
preset = "adjoint"
tau_x = "1 ms"
tau_w = "100 ms"
[data]
name = "two.csv"
header = true
labels = false
test = 0
[simulation]
dt = "1 ms"
backend = "numpy"
modulators = { r = 0.5 }
"""
TRAIN = """
[train]
schedule = "presentations"
batch = 1
present = "10 ms"
plastic_from = 0.0
epochs = 2
shuffle = false
"""
STREAM = """
[stream]
per_frame = "10 ms"
plastic = true
"""
LIST = "simulation.modulators.r=[1, 0.5, -1, 2]"


def _model(folder: Path, text: str, *overrides: str) -> modelfile.ModelFile:
    (folder / "two.csv").write_text("x,y\n1.0,0.25\n2.0,0.75\n")
    return modelfile.loads(text, folder=folder, overrides=overrides)


def _learnt(model: modelfile.ModelFile) -> float:
    simulation = model.simulation()
    model.run(simulation, model.data())
    return float(simulation.net.weights["input->output"][0, 0])


@pytest.mark.parametrize(
    ("table", "overrides", "change"),
    [
        (TRAIN, [], 0.1 * 0.5 * (1 + 2 + 1 + 2)),
        (TRAIN, [LIST], 0.1 * (1 * 1 + 0.5 * 2 - 1 * 1 + 2 * 2)),
        (TRAIN, [LIST, "simulation.modulators.r.1=3"], 0.1 * (1 * 1 + 3 * 2 - 1 * 1 + 2 * 2)),
        (STREAM, [], 0.1 * 0.5 * (1 + 2)),
        (STREAM, ["simulation.modulators.r=[1, -2]"], 0.1 * (1 * 1 - 2 * 2)),
    ],
)
def test_the_weight_changes_by_the_sum(
    table: str, overrides: list[str], change: float, tmp_path: Path
) -> None:
    model = _model(tmp_path, MODEL + table, *overrides)
    assert _learnt(model) == pytest.approx(change, abs=1e-12)
    again = modelfile.loads(modelfile.dump(model), folder=tmp_path)
    assert again.tables == model.tables


def test_a_sweep_over_a_modulator(tmp_path: Path) -> None:
    """The loss of each point follows from its weight 0.6 r by hand: mean of (w x - y)² / 2."""
    model = _model(tmp_path, MODEL + TRAIN)
    found = ns.sweep(
        model, {"simulation.modulators.r": [0.0, 0.5, 1.0]}, measure="loss", duration=0.01
    )
    expected = []
    for r in (0.0, 0.5, 1.0):
        w = 0.6 * r
        expected.append(((w - 0.25) ** 2 + (2 * w - 0.75) ** 2) / 4)
    assert found.loss.values == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("simulation.modulators=0.5", "simulation.modulators = 0.5; allowed: a table with a num"),
        ("simulation.modulators.r=high", "simulation.modulators.r = 'high'; allowed: a finite nu"),
        ("simulation.modulators.r=true", "simulation.modulators.r = True; allowed: a finite num"),
        ("simulation.modulators.r=nan", "simulation.modulators.r = nan; allowed: a finite num"),
        ("simulation.modulators.r=[]", r"simulation.modulators.r = \[\]; allowed: a number, or o"),
        ("simulation.modulators.r=[1, 'a']", r"simulation.modulators.r\[1\] = 'a'; allowed: a fi"),
        ("simulation.modulators.r=[[1]]", r"simulation.modulators.r\[0\] = \[1\]; allowed: a fin"),
        ("simulation.modulators.s=1", "modulator = 's'; allowed: r"),
        ("simulation.modulators={}", "a rule reads the modulator 'r', which has no value"),
        ("simulation.modulators.r=[1, 2]", r"modulator r = .*\(2,\).*; allowed: one of shape \(4,"),
    ],
)
def test_refused(override: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        _learnt(_model(tmp_path, MODEL + TRAIN, override))


def test_refused_where_nothing_learns(tmp_path: Path) -> None:
    words = r"simulation.modulators = \{'r': 0.5\} without \[train\] or \[stream\].*; try to remove"
    with pytest.raises(ModelError, match=words):
        _model(tmp_path, MODEL)


def test_one_number_for_each_presentation_only(tmp_path: Path) -> None:
    together = "[train]\nschedule = 'simultaneous'\nduration = '10 ms'\n"
    with pytest.raises(ModelError, match=r"modulator r = .*; allowed: a number or a function"):
        _learnt(_model(tmp_path, MODEL + together, LIST))
