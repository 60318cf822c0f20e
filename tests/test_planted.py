"""Planted code is never executed; ``python -m tests.evidence planted_code`` tries all cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.planted import GRAPH, all_cases, model_text, run_model, tried

CASES = all_cases()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir(mode=0o700)


def test_there_are_cases_enough() -> None:
    assert len(CASES) >= 200
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_models_run_where_nothing_is_planted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_model(model_text({}) + '[output]\nfolder = "runs"', tmp_path)
    run_model(GRAPH.format('"h"', '"tanh"'), tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_of_planted_code_is_not_executed(seed: int, tmp_path: Path) -> None:
    for number in np.random.default_rng(seed).choice(len(CASES), size=30, replace=False):
        (tmp_path / "tried").mkdir(exist_ok=True)
        tried(CASES[number], tmp_path / "tried" / "case")
