"""Model files and folders from strangers: nothing is written outside, or waited for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from neurosim.cli import app
from neurosim.disk import is_within, replacing
from neurosim.errors import FileError, ModelError
from neurosim.experiments import modelfile, studies

MODEL = """
[network]
sizes = [2, 3, 1]
loss = "mse"
[flow]
preset = "augmented"
[simulation]
duration = "20 ms"
record = ["x"]
backend = "numpy"
[data]
name = "xor"
[output]
formats = ["svg"]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a stranger, with a model and a link that leaves it."""
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (folder / "leaving").symlink_to(tmp_path / "outside")
    (folder / "inner").mkdir()
    (folder / "staying").symlink_to(folder / "inner")
    (folder / "m.toml").write_text(MODEL)
    monkeypatch.chdir(folder)
    return folder


def call(*args: str) -> Any:
    return CliRunner().invoke(app, args)


def outside(here: Path) -> list[str]:
    """Return the names of all that is beside the stranger's folder, and below it."""
    return sorted(p.name for p in here.parent.rglob("*") if not is_within(p, here))


@pytest.mark.parametrize("key", ["output.folder", "simulation.stream"])
@pytest.mark.parametrize(
    "path", ["../up", "a/../../up", "leaving", "leaving/deep/er", "ABSOLUTE", "", "a\\u0000b"]
)
def test_a_path_in_a_model_file_stays_below_the_current_folder(
    here: Path, key: str, path: str
) -> None:
    given = str(here.parent / "up") if path == "ABSOLUTE" else path
    with pytest.raises(ModelError, match=f"{key} = .*allowed: a relative path without"):
        modelfile.loads(MODEL, overrides=[f'{key}="{given}"'])
    before = outside(here)
    result = call("run", "m.toml", "--out", "o", "--set", f'{key}="{given}"')
    assert result.exit_code == 2
    assert outside(here) == before


def test_a_link_that_stays_inside_is_followed(here: Path) -> None:
    result = call("run", "m.toml", "--out", "o", "--set", "simulation.stream=staying/recording")
    assert result.exit_code == 0, result.output
    assert (here / "inner" / "recording").is_dir()


def test_folders_that_no_option_names_stay_inside(here: Path) -> None:
    (here / "runs").symlink_to(here.parent / "outside")
    before = outside(here)
    for args in (
        ("run", "m.toml"),
        ("sweep", "m.toml", "--grid", "flow.rho=1,2"),
        ("study", "skips", "--quick"),
    ):
        result = call(*args)
        assert result.exit_code == 2, result.output
        assert "symbolic link" in result.output
    assert outside(here) == before
    assert call("run", "m.toml", "--out", "runs/mine").exit_code == 0  # the user names it


@pytest.mark.parametrize("name", ["run.nc", "weights.npz", "model.toml", "cells/1.json"])
def test_planted_links_are_not_written_through(here: Path, name: str) -> None:
    target = here.parent / "outside" / "precious"
    target.write_text("precious")
    link = here / "runs" / "m" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    result = call("run", "m.toml")
    assert result.exit_code == 2
    assert "symbolic link" in result.output
    assert target.read_text() == "precious"


def test_a_pipe_is_not_waited_for(here: Path) -> None:
    os.mkfifo(here / "pipe.csv")
    with pytest.raises(FileError, match="it is a pipe or a device"):
        modelfile.loads(MODEL, overrides=["data.name=pipe.csv"]).data()


def test_a_byte_order_mark_is_skipped(here: Path) -> None:
    (here / "m.toml").write_text("# About.\n" + MODEL, encoding="utf-8-sig")
    assert modelfile.load("m.toml").comment == "About."
    assert modelfile.loads("\ufeff" + MODEL).network().neurons == ("hidden1", "output")
    text = modelfile.text_of(studies.built_in()["skips"])
    (here / "s.toml").write_text(text, encoding="utf-8-sig")
    assert studies.load("s.toml").cells


@pytest.mark.parametrize("path", [".", "..", "/", "inner"])
def test_plot_of_a_folder_that_is_not_a_result(path: str) -> None:
    result = call("plot", path)
    assert result.exit_code == 2, result.exception
    assert "error: " in result.output


@pytest.mark.parametrize("path", ["/", "a\0b"])
def test_a_path_without_a_name_is_refused(path: str) -> None:
    with pytest.raises(FileError, match="is not the path of a file"), replacing(path):
        pass
