"""Studies: which cells there are, how they are kept, what stops them; and Local Propagation's
tables.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from typer.testing import CliRunner

import neurosim as ns
from neurosim.cli import app
from neurosim.experiments import studies
from neurosim.experiments.studies import local_propagation as lp
from neurosim.experiments.studies import runner
from neurosim.results import checksums

WINE = ['study.models=["lp/wine-1"]']
SMALL = [
    *WINE,
    "study.folds=2",
    "study.epochs=40",
    "study.grid={rho = [10.0], rate = [0.01], epsilon = [0.0, 0.01]}",
]


@pytest.mark.parametrize("name", studies.built_in())
def test_every_study_has_a_question_and_cells_of_its_own(name: str) -> None:
    study = studies.load(name)
    assert study.comment
    assert study.question.endswith("?")
    assert len({study.path(cell) for cell in study.cells}) == len(study.cells) > 0
    quick = studies.load(name, quick=True)
    assert 0 < len(quick.cells) <= len(study.cells)
    assert not {quick.path(cell) for cell in quick.cells} & {
        study.path(cell) for cell in study.cells
    }
    for cell in study.cells:
        assert all(isinstance(value, str | int | float) for value in cell.values())


def test_what_says_which_cells_there_are_is_no_part_of_one() -> None:
    one, more = studies.load("lp", SMALL), studies.load("lp", [*SMALL, "study.folds=4"])
    assert [one.path(c) for c in one.cells] == [more.path(c) for c in more.cells if c["fold"] < 2]
    other = studies.load("lp", [*SMALL, "study.epochs=50"])
    assert not {one.path(c) for c in one.cells} & {other.path(c) for c in other.cells}


def test_a_study_stops_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = [*SMALL, 'study.constraints=["backprop", "abs_eps"]']
    study = studies.load("lp", overrides)
    assert len(study.cells) == 4
    measure = lp.LocalPropagationStudy.measure

    def stopped(self: Any, cell: Any) -> Any:
        if cell["constraint"] == "abs_eps" and cell["fold"] == 1:
            raise KeyboardInterrupt
        return measure(self, cell)

    monkeypatch.setattr(lp.LocalPropagationStudy, "measure", stopped)
    with pytest.raises(KeyboardInterrupt):
        studies.run(study, tmp_path)
    assert studies.gather(study, tmp_path)[1] == 1
    monkeypatch.setattr(lp.LocalPropagationStudy, "measure", measure)
    data, missing = studies.run(study, tmp_path)
    assert missing == 0
    monkeypatch.setattr(
        lp.LocalPropagationStudy, "measure", lambda *_: pytest.fail("trained again")
    )
    assert studies.run(study, tmp_path)[0].identical(data)
    assert float(lp.chosen(data).min()) > 0.8
    command = ["study", "lp", "--out", str(tmp_path), "--show"]
    for override in overrides:
        command += ["--set", override]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert "98.86" in shown.output
    assert {p.suffix for p in tmp_path.iterdir() if p.is_file()} == {".nc", ".txt", ".png", ".pdf"}


def test_a_cell_that_diverges_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverges(_: Any, cell: Any) -> Any:
        if cell["fold"]:
            raise ns.DivergenceError("x left its bound", time=0.1, population="hidden1")
        return {"test": 0.5}

    monkeypatch.setattr(lp.LocalPropagationStudy, "measure", diverges)
    study = studies.load("lp", [*SMALL, 'study.constraints=["backprop"]'])
    data, missing = studies.run(study, tmp_path)
    assert missing == 0
    test = data["test"].squeeze()
    assert float(test.sel(fold=0)) == 0.5
    assert np.isnan(float(test.sel(fold=1)))
    assert data["reason"].squeeze().sel(fold=1) == "DivergenceError: x left its bound"


def kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Path]]:
    """Return a study with two cells that are kept, and their files."""
    monkeypatch.setattr(
        lp.LocalPropagationStudy, "measure", lambda _, cell: {"test": 0.1234567 + cell["fold"]}
    )
    study = studies.load("lp", [*SMALL, 'study.constraints=["backprop"]'])
    studies.run(study, folder)
    return study, [folder / study.path(cell) for cell in study.cells]


def test_a_flipped_bit_in_a_cell_never_gives_other_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, files = kept(tmp_path, monkeypatch)
    whole, _ = studies.gather(study, tmp_path)
    rng = np.random.default_rng(3)
    intact, refused = files[0].read_bytes(), 0
    for _ in range(100):
        data = bytearray(intact)
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        files[0].write_bytes(data)
        try:
            assert studies.gather(study, tmp_path)[0].identical(whole)
        except ns.FileError:
            refused += 1
    assert refused > 90
    for cut in range(0, len(intact), 7):
        files[0].write_bytes(intact[:cut])
        with pytest.raises(ns.FileError):
            studies.gather(study, tmp_path)


def test_a_cell_that_is_swapped_or_strange_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, files = kept(tmp_path, monkeypatch)
    whole, _ = studies.gather(study, tmp_path)
    one, other = (file.read_bytes() for file in files)
    files[0].write_bytes(one[: -checksums.ENDING])  # as 0.1.0 wrote it
    assert studies.gather(study, tmp_path)[0].identical(whole)
    cell = json.loads(one[: -checksums.ENDING])
    for content, words in (
        (other, "it is the result of another cell"),
        (b"{", "is not a result of the study"),
        (b"[" * 10**5, "is not a result of the study"),
        (b"[3]", "it is the result of another cell"),
        (b" " * 2**21, "2097152 bytes; allowed: at most 1048576"),
        (json.dumps({**cell, "numbers": 3}).encode(), "it has no numbers"),
        (json.dumps({**cell, "reason": None}).encode(), "it has no numbers, or no 'reason'"),
        (json.dumps({**cell, "numbers": {"test": "1"}}).encode(), "test = '1', which is not a num"),
    ):
        files[0].write_bytes(content)
        with pytest.raises(ns.FileError, match=words):
            studies.gather(study, tmp_path)
    files[0].unlink()
    os.mkfifo(files[0])
    with pytest.raises(ns.FileError, match="is a pipe; allowed: a file"):
        studies.gather(study, tmp_path)


def test_what_stops_every_cell_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a missing package: nothing is kept, so that the study resumes once it is there."""

    def lacks(*_: Any) -> Any:
        raise ns.ModelError("data.name = 'letter' needs a package; try pip install")

    monkeypatch.setattr(lp.LocalPropagationStudy, "measure", lacks)
    study = studies.load("lp", [*SMALL, 'study.constraints=["backprop"]'])
    with pytest.raises(ns.ModelError, match="needs a package"):
        studies.run(study, tmp_path)
    assert not (tmp_path / "cells").exists()


@pytest.mark.parametrize(
    ("source", "overrides", "message"),
    [
        ("lpp", [], "study = 'lpp'; allowed: .*did you mean 'lp'"),
        ("lp", ["study.fold=2"], "a key of study = 'fold'; .*did you mean 'folds'"),
        ("lp", ["study.folds=two"], "study.folds = 'two'; allowed: a whole number"),
        ("lp", ["study.folds"], "--set 'study.folds'; allowed: study.KEY=VALUE"),
        ("lp", ["study.folds=0"], "study.folds = 0; allowed: a whole number >= 1"),
        ("lp", ["study.looks=0"], "study.looks = 0; allowed: a whole number >= 1"),
        (
            "lp",
            ["study.held_out=1"],
            "study.held_out = 1.0; allowed: a finite number >= 0 and < 1; try 0.25",
        ),
        ("lp", ["flow.roh=2"], "flow.roh: unknown key; .*did you mean 'flow.rho'"),
        ("lp", ['study.models=["wine"]'], "study.models = 'wine'; .*did you mean 'lp/wine"),
        (
            "lp",
            ['study.constraints=["lin-eps"]'],
            "study.constraints = 'lin-eps'; .*did you mean 'lin_eps'",
        ),
        ("lp", ["study.grid={rat = [1.0]}"], "study.grid key = 'rat'; .*did you mean 'rat[eo]"),
        ("lp", ["study.grid={rate = 1.0}"], "study.grid.rate = 1.0; allowed: a list"),
    ],
)
def test_what_is_no_study(source: str, overrides: list[str], message: str) -> None:
    with pytest.raises(ns.NeurosimError, match=message):
        _ = studies.load(source, overrides).cells


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[study]\nkind = 'transprt'", "study.kind = 'transprt'; allowed: "),
        ("[study]\nkind = ['lp']", "study.kind = "),
        ("kind = 1", "study.kind = None"),
        (
            "[study]\nkind = 'skips'\nseeds = 0",
            "study.seeds = 0; allowed: a whole number >= 1",
        ),
        (
            "[study]\nkind = 'local_propagation'\n[netwrk]\n",
            "table = 'netwrk'; .*did you mean 'network'",
        ),
        (
            "[study]\nkind = 'local_propagation'\n[flow]\nrho = 'a'\n",
            "flow.rho = 'a'; allowed: a number",
        ),
        ("[study]\nkind = 'skips'\nseed = 3", "a key of study = 'seed'; .*did you mean 'seeds'"),
        ("[study]\nkind = 'skips'\nseeds = 1", "study.wirings is missing; allowed: "),
        ("[study]\nkind = 'skips'\nseeds = true", "study.seeds = True; allowed: a whole number"),
        ("[study\n", "is not TOML"),
    ],
)
def test_a_file_that_is_no_study(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ns.NeurosimError, match=message):
        studies.load(path)


def test_cells_hold_what_each_constraint_function_reads() -> None:
    cells = studies.load("lp", [*WINE, 'study.constraints=["backprop", "abs", "lin_eps"]']).cells
    counts = Counter(cell["constraint"] for cell in cells)
    assert counts == {"backprop": 4 * 2, "abs": 4 * 8, "lin_eps": 4 * 16}
    assert all(c["epsilon"] == 0 for c in cells if c["constraint"] != "lin_eps")


def test_folds_go_on_with_further_partitions() -> None:
    y = load_wine().target
    tested = [lp.split(y, fold)[1] for fold in range(8)]
    for partition in (tested[:4], tested[4:]):
        assert np.array_equal(np.sort(np.concatenate(partition)), np.arange(len(y)))
    assert not any(np.array_equal(tested[i], tested[i + 4]) for i in range(4))
    assert not set(lp.split(y, 5)[0]) & set(tested[5])


@pytest.mark.parametrize("kind", [lp.BACKPROP, "abs_eps"])
def test_where_nothing_is_held_out_the_test_patterns_choose(kind: str) -> None:
    study = studies.load("lp", [*SMALL, "study.held_out=0", f'study.constraints=["{kind}"]'])
    found = study.measure(study.cells[0])
    assert found["validation"] == found["test"] > 0.5


def test_every_published_model_is_there_with_its_widths() -> None:
    for name, published in lp.PUBLISHED.items():
        model = lp.estimator(
            name, "abs_eps", {"epsilon": 1e-3, "rho": 10.0}, ns.LocalPropagation(epochs=10), 0
        )
        assert model.free_output and model.activation == "sigmoid"  # noqa: PT018
        depth = int(name.rsplit("-", 1)[1])
        width = 10 if "mnist" in name else {1: 100, 3: 30}[depth]
        assert model.hidden == (width,) * depth
        assert set(published.each) <= set(lp.KINDS)


def test_the_best_on_what_is_held_out_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the best on the test patterns; among equals the one with the lowest loss."""
    made = {
        0.01: {"validation": 0.9, "validation_loss": 0.3, "test": 0.7},
        10.0: {"validation": 0.9, "validation_loss": 0.4, "test": 1.0},
        20.0: {"validation": 0.8, "validation_loss": 0.1, "test": 0.9},
    }
    monkeypatch.setattr(lp.LocalPropagationStudy, "measure", lambda _, cell: made[cell["rho"]])
    study = studies.load(
        "lp",
        [
            *WINE,
            'study.constraints=["abs"]',
            "study.folds=1",
            "study.grid={rho = [0.01, 10.0, 20.0], rate = [1]}",
        ],
    )
    assert lp.chosen(studies.run(study, tmp_path)[0]).item() == 0.7


def test_a_grid_search_goes_through_folds_and_grid() -> None:
    """The same by scikit-learn: the estimator holds out what its weights are chosen by."""
    X, y = load_wine(return_X_y=True)
    model = lp.estimator(
        "lp/wine-1", "abs_eps", {"epsilon": 1e-2}, ns.LocalPropagation(epochs=60, reports=4), 0
    )
    model.set_params(hidden=(20,))

    def scores(fitted: Any, X: Any, y: Any) -> dict[str, float]:
        held = float(fitted.log_.history.validation_accuracy.max())
        return {"held_out": held, "test": fitted.score(X, y)}

    search = GridSearchCV(
        model,
        {"rho": [0.01, 10.0], "constraint": ["abs_eps", "lin_eps"], "rate": [1e-2]},
        scoring=scores,
        refit=False,
        cv=StratifiedKFold(2, shuffle=True, random_state=0),
        error_score="raise",
    ).fit(X, y)
    found = search.cv_results_
    assert len(found["params"]) == 4
    chosen = [np.argmax(found[f"split{i}_test_held_out"]) for i in range(2)]
    assert np.mean([found[f"split{i}_test_test"][c] for i, c in enumerate(chosen)]) > 0.85


DAMPED = 'preset="damped", dt=0.1'
ONE = ["study.flows=['damped']"]


def test_what_the_user_sets_wins_over_quick() -> None:
    given = ["study.networks=['64-16-10']", "study.epochs=3"]
    study = studies.load("transport", given, quick=True)
    assert {cell["network"] for cell in study.cells} == {"64-16-10"}
    assert (study.settings.epochs, study.settings.seeds) == (3, 2)
    quick = studies.load("transport", ["study.networks=['64-16-10']"], quick=True)
    assert not {study.path(cell) for cell in study.cells} & {quick.path(c) for c in quick.cells}
    depth = studies.load("exits", ["network.depth=4"], quick=True).network_keys()["depth"]
    assert depth == 4
    assert studies.load("exits", [], quick=True).network_keys()["depth"] == 6


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        (
            "transport",
            ["flow.rho=2"],
            "table of a study of kind 'transport' = 'flow'; .*study, data",
        ),
        (
            "exits",
            ["data.name=iris"],
            "table of a study of kind 'exits' = 'data'; .*study, network",
        ),
        ("transport", ["study.kind=exits"], "allowed: its own kind"),
        (
            "imperfections",
            [f"study.recipes={{damped={{{DAMPED}}}}}", *ONE],
            "damped.steps is missing",
        ),
        (
            "imperfections",
            [f"study.recipes={{damped={{{DAMPED}, steps=9, rat=1}}}}", *ONE],
            "a key of flow .damped. = 'rat'",
        ),
        ("imperfections", ["study.levels={lost_zero=[3.0]}"], "3.0"),
    ],
)
def test_what_a_study_does_not_read_is_refused(name: str, given: list[str], words: str) -> None:
    with pytest.raises(ns.ModelError, match=words):
        studies.load(name, given)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("transport", ["data.name=xor"], "no classes or no test patterns"),
        ("transport", ["data.name=iris"], r"allowed: \(patterns, 64\)"),
        ("transport", ["study.networks=['64-8-10', '63-8-10']"], r"allowed: \(patterns, 63\)"),
        ("transport", ["study.networks=['64-8-10', '64-8-9']"], "Y for output holds label 9"),
        (
            "prospective",
            ["study.conditions={delay=[2.5]}"],
            "level of delay = 2.5; allowed: a whole",
        ),
        ("prospective", ["study.conditions={lost_zero=[3.0]}"], "study.conditions.lost_zero.* 3.0"),
        ("imperfections", ["study.levels={delay=[0.0]}"], "study.levels.delay: level of delay = 0"),
        ("skips", ["network.seed=3"], "network.seed = 3 in study 'skips', which sets it itself"),
        ("skips", ["network.exits=0.3"], "network.exits = 0.3 in study 'skips'"),
        ("skips", ["network.loss='cross_entropy'"], "allowed for cross_entropy"),
        ("exits", ["network.exits=2"], "network.exits = 2 in study 'exits'"),
        ("exits", ["network.sizes=[3, 4, 10]"], r"allowed: \(patterns, 3\)"),
        ("hebb", ["study.patterns=1"], "data.patterns = 1"),
        ("rivals", ["study.trained=['64-32-9']", "study.nets=[]"], "Y for output holds label 9"),
        ("rivals", ["study.nets=['64-8-10', '63-8-10']", "study.trained=[]"], "patterns, 63"),
        ("lp", ["study.grid={rho=[1.0]}"], "study.grid.rate is missing beside constraint"),
        ("lp", ["study.grid={rate=[0.0]}"], "study.grid.rate = 0.0; allowed: .* > 0"),
    ],
)
def test_all_settings_are_checked_before_anything_is_measured(
    name: str, given: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those with which only the last of the cells could not be measured."""

    def measured(task: Any, report: Any = None) -> None:
        raise AssertionError(f"{task.cell} was measured")

    monkeypatch.setattr(runner.StudyTask, "work", measured)
    with pytest.raises(ns.NeurosimError, match=words):
        studies.run(studies.load(name, given), tmp_path)


def test_a_path_starts_where_the_one_who_wrote_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file its folder; in --set, a sweep and Python the current one."""
    from neurosim.experiments import modelfile

    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    text = modelfile.dump(modelfile.load("xor")).replace('name = "xor"', 'name = "d.csv"')
    (there / "m.toml").write_text(text)
    (there / "s.toml").write_text('[data]\nname = "d.csv"\n[study]\n' + TRANSPORT)
    spec = modelfile.load(there / "m.toml")
    set_spec = modelfile.load(there / "m.toml", ["data.name=d.csv"])
    changed = spec.changed({"data.name": "d.csv"})
    study = studies.load(there / "s.toml")
    set_study = studies.load(there / "s.toml", ["data.name=d.csv"])
    assert spec.changed({"flow.rho": 2.0}).tables.data.name == str(there / "d.csv")
    assert [s.tables.data.name for s in (spec, set_spec, changed)] == [
        str(there / "d.csv"),
        str(here / "d.csv"),
        str(here / "d.csv"),
    ]
    assert study.tables["data"]["name"] == str(there / "d.csv")
    assert set_study.tables["data"]["name"] == str(here / "d.csv")


TRANSPORT = """
kind = "transport"
networks = ["4-8-3"]
feedback = ["symmetric"]
flows = ["adjoint"]
tau_w = [5.0]
feedback_decay = 0.01
epochs = 1
seeds = 1
"""


def test_a_spread_is_defined_and_one_run_has_none() -> None:
    from neurosim.experiments.studies.shared import mean_and_spread, spread_note

    nan = float("nan")
    assert mean_and_spread([0.5, 0.7], 1) == "0.6 ± 0.1"
    assert mean_and_spread([0.5, 0.7, nan], 1) == "0.6 ± 0.1 (n=2)"
    assert mean_and_spread([0.5], 1) == mean_and_spread([nan, 0.5], 1) == "0.5 (n=1)"
    assert mean_and_spread([nan]) == "-"
    data = xr.Dataset(coords={"seed": [0, 1, 2]})
    assert "standard deviation (divided by n) over n = 3 seeds" in spread_note(data)
