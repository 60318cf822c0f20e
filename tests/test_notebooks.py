"""Notebooks in the repository are valid, small, and end with a picture.

`.ci/run` executes them.
"""

from __future__ import annotations

import nbformat
import pytest

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
