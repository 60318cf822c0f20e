"""Settings of studies: what is misspelt, of a wrong type, out of range or unbounded is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurosim.errors import ModelError
from neurosim.experiments import modelfile, studies


def written(folder: Path, name: str, old: str, new: str) -> Path:
    """Write a built-in study with a part of its text replaced."""
    text = modelfile.text_of(studies.built_in()[name])
    assert old in text
    path = folder / "own.toml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("skips", "seeds", "sedes", "a key of study = 'sedes'.*did you mean 'seeds'"),
        ("skips", "\nloss =", "\nlos =", "a key of network = 'los'.*did you mean 'loss'"),
        (
            "imperfections",
            "\naugmented1 = {",
            "\nextra = { dt = 0.1 }\naugmented1 = {",
            "recipes.extra.preset is missing",
        ),
    ],
)
def test_a_misspelt_key_is_refused(
    tmp_path: Path, name: str, old: str, new: str, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        studies.load(written(tmp_path, name, old, new))


@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        ("skips", "study.seeds=9_000_000_000", "study.seeds = 9000000000; allowed: 1 to 1000000"),
        ("skips", "study.seeds=1_000_000", "combinations of study = .*at most 1000000"),
        ("skips", "study.depths=[-1]", "study.depths = -1"),
        ("skips", "study.speeds=[nan]", "study.speeds = nan; allowed: a finite number > 0"),
        ("skips", "study.wirings=[]", "has no cells"),
        ("skips", "network.sizes=[1]", "sizes"),
        ("exits", "network.depth=2_000_000_000", "layers of network = 2000000001"),
        ("exits", "network.loss=abc", "loss = 'abc'"),
        ("exits", "study.cap=nan", "study.cap = nan"),
        ("exits", "study.exits=[-1]", "study.exits = -1"),
        ("lp", "study.grid={rho=[]}", r"study.grid = \[\]; allowed: at least one value"),
        ("lp", "study.grid={epsilon=[0], rate=[0.1]}", r"study.grid.epsilon = \[0.0\]; allowed"),
        ("prospective", "study.tau_w=[]", r"study.tau_w = \[\]; allowed: at least one value"),
        ("imperfections", "study.tau_w=[-1]", "study.tau_w = -1"),
        ("hebb", "study.units=[0]", "study.units = 0"),
        ("policy", "study.tau_w=-1", "study.tau_w = -1"),
        ("time", "study.rule=adamm", "study.rule = 'adamm'; allowed"),
        ("mnist1d", "study.activation=rellu", "activation = 'rellu'; allowed"),
        ("rivals", "study.rates=[inf]", "study.rates = inf"),
        ("transport", "study.feedback_decay=nan", "study.feedback_decay = nan"),
        ("transport", "data.name=digitz", "data.name = 'digitz'"),
    ],
)
def test_a_value_without_meaning_is_refused_before_any_cell(
    name: str, override: str, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        _ = studies.load(name, [override]).cells


@pytest.mark.parametrize("name", list(studies.built_in()))
def test_the_built_in_studies_are_within_bounds(name: str) -> None:
    assert studies.load(name).cells
    assert studies.load(name, quick=True).cells
