"""The study's cells, how they are kept, and the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from typer.testing import CliRunner

import neurosim as ns
from neurosim import study
from neurosim.cli import app

SMALL = {"rho": (0.01, 10.0), "rate": (1e-2,), "ratio": (10.0,), "epsilon": (0.0, 1e-2)}


def test_cells_hold_what_each_constraint_function_reads() -> None:
    wanted = study.cells(["lp/wine-1"], ["backprop", "abs", "lin_eps"], SMALL, range(4))
    count = {kind: sum(cell.kind == kind for cell in wanted) for kind in ("backprop", "abs", "lin_eps")}
    assert count == {"backprop": 4, "abs": 8, "lin_eps": 8}  # no epsilon of 0 for lin_eps, which would be lin
    assert len({cell.path for cell in wanted}) == 20
    assert dict(next(c for c in wanted if c.kind == "abs").point).keys() == {"rho", "rate", "ratio"}
    assert {c.epochs for c in wanted} == {1000}


def test_every_published_model_is_there_with_its_widths() -> None:
    for name, published in study.PUBLISHED.items():
        model = study.estimator(name, "abs_eps", {"epsilon": 1e-3, "rho": 10.0}, 10, 0)
        assert model.free_output and model.activation == "sigmoid"  # noqa: PT018
        depth = int(name.rsplit("-", 1)[1])
        width = 10 if "mnist" in name else {1: 100, 3: 30}[depth]
        assert model.hidden == (width,) * depth
        assert set(published.each) <= set(study.KINDS)


def test_a_study_stops_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = study.cells(["lp/wine-1"], ["backprop", "abs_eps"], SMALL | {"rho": (10.0,)}, [0, 1], epochs=40)
    study.run(wanted[:3], tmp_path, progress=False)
    assert [(tmp_path / cell.path).exists() for cell in wanted] == [True, True, True, False]
    before = (tmp_path / wanted[2].path).read_text()
    study.run(wanted, tmp_path, progress=False)
    assert (tmp_path / wanted[2].path).read_text() == before
    monkeypatch.setattr(study, "measure", lambda cell: pytest.fail("trained again"))
    study.run(wanted, tmp_path, progress=False)
    folds = study.results(wanted, tmp_path)["lp/wine-1", "abs_eps"]
    assert len(folds) == 2
    assert min(fold["test"] for fold in folds) > 0.8
    shown = CliRunner().invoke(
        app, ["study", "lp/wine-1", "--constraints", "abs_eps", "--folder", str(tmp_path), "--show"]
    )
    assert shown.exit_code == 0
    assert "98.86" in shown.output
    assert "0 of 32" in shown.output  # of 1000 epochs, which nobody has trained


def test_the_best_on_what_is_held_out_is_chosen(tmp_path: Path) -> None:
    """Not the best on the test patterns; among equals the one with the lowest loss."""
    wanted = study.cells(["lp/wine-1"], ["abs"], SMALL, [0])
    made = [
        {"validation": 0.9, "validation_loss": 0.3, "test": 0.7},
        {"validation": 0.9, "validation_loss": 0.4, "test": 1.0},
    ]
    for cell, result in zip(wanted, made, strict=True):
        path = tmp_path / cell.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(result).replace("'", '"'))
    assert study.results(wanted, tmp_path)["lp/wine-1", "abs"][0]["test"] == 0.7
    (tmp_path / wanted[0].path).write_text("{")
    with pytest.raises(ns.FileError, match="is no result of the study"):
        study.results(wanted, tmp_path)


def test_what_is_no_part_of_the_study() -> None:
    with pytest.raises(ns.ModelError, match=r"constraint = 'lin-eps'; .*did you mean 'lin_eps'"):
        study.cells(["lp/wine-1"], ["lin-eps"], SMALL, [0])
    with pytest.raises(ns.ModelError, match=r"model of the study = 'wine'; .*did you mean 'lp/wine-3'"):
        study.cells(["wine"], ["lin"], SMALL, [0])


def test_the_grid_can_be_changed_key_by_key() -> None:
    assert study.grid(SMALL, ["rate=0.1,0.2"]) == SMALL | {"rate": [0.1, 0.2]}
    with pytest.raises(ns.ModelError, match=r"a key of the grid = 'rat'; .*did you mean 'rat[eo]"):
        study.grid(SMALL, ["rat=1"])
    with pytest.raises(ns.ModelError, match="grid rate = '1,x'; allowed: numbers, separated by commas"):
        study.grid(SMALL, ["rate=1,x"])


def test_a_grid_search_goes_through_folds_and_grid() -> None:
    """The same by scikit-learn's own means: the estimator holds out what its weights are chosen by."""
    X, y = load_wine(return_X_y=True)
    model = study.estimator("lp/wine-1", "abs_eps", {"epsilon": 1e-2}, 60, 0)
    model.set_params(hidden=(20,), schedule=ns.LocalPropagation(epochs=60, reports=4))

    def scores(fitted: Any, X: Any, y: Any) -> dict[str, float]:
        held = float(fitted.log_.history.validation_accuracy.max())
        return {"held_out": held, "test": fitted.score(X, y)}

    search = GridSearchCV(
        model, {"rho": [0.01, 10.0], "constraint": ["abs_eps", "lin_eps"], "rate": [1e-2]}, scoring=scores, refit=False,
        cv=StratifiedKFold(2, shuffle=True, random_state=0), error_score="raise",
    ).fit(X, y)  # fmt: skip
    found = search.cv_results_
    assert len(found["params"]) == 4
    chosen = [np.argmax(found[f"split{i}_test_held_out"]) for i in range(2)]
    assert np.mean([found[f"split{i}_test_test"][c] for i, c in enumerate(chosen)]) > 0.85
