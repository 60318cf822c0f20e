"""Notebooks in the repository are valid, small, and end with a picture.

`.ci/run` executes them.
"""

from __future__ import annotations

import os

import nbformat
import pytest
from nbclient import NotebookClient

from tests.notebooks import FOLDER

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_asks_a_question_and_ends_with_a_picture(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "question for the last figure" in notebook.cells[0].source
    assert [bool(cell.outputs) for cell in code] == [False] * (len(code) - 1) + [True]
    assert list(code[-1].outputs[0].data) == ["image/png"]
    assert path.stat().st_size < 300_000
    for cell in code:
        compile(cell.source, path.name, "exec")


def test_there_are_four():
    assert len(NOTEBOOKS) == 4


def outputs_of(*sources: str) -> list[list[nbformat.NotebookNode]]:
    """Return the outputs of the cells of a notebook that a fresh kernel executes."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    plain = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(env=plain)
    return [cell.outputs for cell in notebook.cells]


def pictures(outputs: list[nbformat.NotebookNode]) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
def test_a_notebook_shows_progress_tables_and_each_picture_once() -> None:
    """Without ipywidgets: the cells' outputs are those of a plain Jupyter."""
    model = """
import numpy as np, neurosim as ns
X, Y = np.random.default_rng(0).normal(size=(6, 5)), np.arange(6) % 3
sim = ns.Simulation(ns.Network.mlp([5, 4, 3], seed=0), ns.Flow.adjoint(), backend="numpy")
"""
    _, progress, table, picture, assigned, again, axes, many = outputs_of(
        model,
        "run = sim.relax(X, Y, duration=0.1, record=('x', 'lam'), progress=True)",
        "run",
        "ns.plot.summary(run)",
        "figure = ns.plot.summary(run)",
        "figure",
        "ns.plot.traces(run)",
        "for _ in range(2): ns.plot.summary(run)",
    )
    (line,) = progress
    assert line.data["text/plain"].startswith("relax")
    assert "100%, 100 of 100" in line.data["text/plain"]
    (shown,) = table
    assert "<table>" in shown.data["text/html"]
    assert len(shown.data["text/plain"].splitlines()) == 1
    assert [pictures(outputs) for outputs in (picture, assigned, again, axes)] == [1, 1, 1, 1]
    assert pictures(many) == 2
