"""The study of rivals: what is chosen, what a cell holds, table and figure."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import neurosim as ns
from neurosim.experiments import studies
from neurosim.experiments.studies import rivals as study
from neurosim.experiments.studies.rivals_display import chosen, restless

SMALL = [
    'study.nets=["64-6-10"]',
    'study.trained=["64-6-10"]',
    "study.seeds=1",
    "study.epochs=1",
    "study.rates=[0.1, 1.0]",
    'study.methods=["backprop", "adjoint", "predictive coding"]',
    "study.training_steps=3",
]


def test_cells_measure_gradients_and_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "MOST", 100)
    found = studies.load("rivals", SMALL)
    data, missing = studies.run(found, tmp_path)
    assert missing == 0
    start = data.sel(part="start", net="64-6-10", feedback="symmetric").max("rate").mean("seed")
    assert float(start.cosine.sel({"method": "adjoint"})) == pytest.approx(1, abs=1e-12)
    assert float(start.steps.sel({"method": "adjoint"})) == 2
    assert float(start.cosine.sel({"method": "predictive coding"})) < 0.999
    assert float(start.phases.max()) == 1
    trained = chosen(data).test.sel(net="64-6-10", feedback="symmetric")
    same = [trained.sel({"method": m}).values for m in ("backprop", "adjoint")]
    np.testing.assert_array_equal(*same)
    paths = studies.write(found, data, tmp_path, formats=("png",))
    assert "adjoint" in paths[1].read_text(encoding="utf-8")
    assert all(p.stat().st_size > 0 for p in paths)


def test_the_rate_is_chosen_on_what_is_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {0.1: {"validation": 0.9, "test": 0.7}, 1.0: {"validation": 0.8, "test": 0.95}}
    other = {"test": 0.5, "cosine": 1.0}
    monkeypatch.setattr(study.RivalsStudy, "measure", lambda _, cell: made.get(cell["rate"], other))
    few = [*SMALL[:5], 'study.methods=["adjoint"]', 'study.parts=["train"]']
    data, _ = studies.run(studies.load("rivals", few), tmp_path)
    assert float(chosen(data).test.max()) == 0.7


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('study.methods=["pcalm"]', "study.methods = 'pcalm'; allowed: .*PC-ALM"),
        ('study.parts=["end"]', "study.parts = 'end'; allowed: start, train"),
        (
            'study.nets=["64-x"]',
            "study.nets = '64-x'; allowed: 64-32-10 or other sizes, residual 32",
        ),
    ],
)
def test_what_cannot_be(override: str, message: str) -> None:
    with pytest.raises(ns.ModelError, match=message):
        studies.load("rivals", [override]).cells  # noqa: B018


def test_blocks_are_one_constraint_for_those_whose_papers_say_so() -> None:
    own = study._options("PC-ALM", "residual 5")
    assert own is not None and own["steps"] == 10  # noqa: PT018
    assert set(own["functions"]) <= set(study.network("residual 5", 0).neurons)
    assert "functions" not in (study._options("damped", "residual 5") or {})


def test_residual_networks_learn_the_images_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Y = np.arange(100) % 10
    X = rng.random((100, 28, 28, 1)) * 0.1
    X[np.arange(100), Y] = 1.0  # a bright row for each class
    np.savez(tmp_path / "bars.npz", X=X, y=Y)
    more = [
        'study.trained=["residual 4"]',
        f"study.images='{tmp_path / 'bars.npz'}'",
        "study.batch=8",
        "study.residual_epochs=12",
        "study.seeds=1",
        'study.methods=["backprop", "adjoint"]',
    ]
    found = studies.load("pc_alm", more)
    assert found._problem("adjoint", "residual 4", 0)[0].populations["branch2"].activation == "relu"
    data, missing = studies.run(found, tmp_path / "out")
    assert missing == 0
    test = data.test.sel(part="train", net="residual 4", feedback="symmetric").squeeze()
    accuracy = {str(m): float(test.sel({"method": m})) for m in data.method.values}
    assert accuracy["backprop"] == accuracy["adjoint"] > 0.8
    cosine = data.cosine.sel({"method": "adjoint"}).max()
    assert float(cosine) == pytest.approx(1, abs=1e-5)  # in single precision


def test_what_finds_no_rest_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    data = SimpleNamespace(X=rng.random((8, 784)), Y=rng.integers(10, size=8))
    monkeypatch.setattr(study, "_data", lambda name, seed: data)
    methods = 'study.methods=["adjoint", "augmented(2)", "equilibrium propagation"]'
    few = ['study.nets=["residual 12"]', 'study.parts=["start"]', "study.seeds=1", methods]
    found = studies.load("rivals", few)
    measured, _ = studies.run(found, tmp_path)
    at = {"part": "start", "net": "residual 12", "feedback": "symmetric"}
    assert float(measured.cosine.sel({"method": "adjoint", **at}).max()) == pytest.approx(
        1, abs=1e-9
    )
    assert 0 < float(measured.cosine.sel({"method": "augmented(2)", **at}).max()) < 1
    lost = [m for m in measured.method.values if restless(measured, "residual 12", m)]
    assert lost == ["equilibrium propagation"]
    assert "does not settle" in studies.write(found, measured, tmp_path, formats=("png",))[
        1
    ].read_text(encoding="utf-8")
