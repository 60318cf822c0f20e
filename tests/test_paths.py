"""Paths with spaces and letters beyond ASCII, a home that cannot be written, one folder for two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neurosim.results import files

MODEL = """
[network]
sizes = [4, 6, 3]
[flow]
preset = "augmented"
[simulation]
dt = "1 ms"
record = ["x"]
every = "10 ms"
[data]
name = "iris"
[train]
schedule = "simultaneous"
duration = "50 ms"
reports = 2
"""
RUN = [sys.executable, "-c", "from neurosim.cli import main; main()", "run"]


def started(
    folder: Path, *arguments: str, model: str = "m.toml", **environment: str
) -> subprocess.Popen[str]:
    (folder / model).write_text(MODEL)
    return subprocess.Popen(
        [*RUN, model, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "backend",
    ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)],
)
@pytest.mark.slow
def test_spaces_and_letters_beyond_ascii(backend: str, tmp_path: Path) -> None:
    folder = tmp_path / "Ordner für ‘alles’ $HOME"
    temporary = folder / "vorläufig 1"
    temporary.mkdir(parents=True)
    process = started(
        folder,
        *("--backend", backend, "--out", "ergebnis ö 1", "--checkpoint", "stand ü.npz"),
        model="modell ä 1.toml",
        TMPDIR=str(temporary),
        NEUROSIM_CACHE=str(folder / "cache ß"),
    )
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert files.load(folder / "ergebnis ö 1" / "log.nc").history.time.size == 2
    assert (folder / "stand ü.npz").exists()
    assert not list(temporary.iterdir())


@pytest.mark.slow
def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    """Results still go to the folder and to standard output."""
    options = ("--backend", "numpy", "--out", "o", "--set", "output.formats=['svg']")
    process = started(tmp_path, *options, HOME="/proc/none", NEUROSIM_CACHE="")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.strip().splitlines()[-1].startswith("lam is within ")
    assert "Traceback" not in err
    written = {path.name for path in (tmp_path / "o").iterdir()}
    assert written == {"log.nc", "weights.npz", "model.toml", "summary.svg"}
    assert files.load(tmp_path / "o" / "log.nc").history.time.size == 2


@pytest.mark.slow
def test_two_processes_with_one_recording(tmp_path: Path) -> None:
    """One of them writes it; the other one says who does, or keeps the first under another name."""
    more = "--backend", "numpy", "--out", "o", "--set", "simulation.stream=r"
    both = [started(tmp_path, *more) for _ in range(2)]
    ends = [process.communicate(timeout=300)[1] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes, ends
    for code, err in zip(codes, ends, strict=True):
        assert "Traceback" not in err
        if code:
            assert code == 2, err
            assert "r " in err
    run = files.load(tmp_path / "r")
    assert run.traces is not None
    assert files.load(tmp_path / "o" / "log.nc").history.time.size == 2
