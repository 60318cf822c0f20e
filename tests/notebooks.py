"""Execute every notebook: ``python -m tests.notebooks [--write]``.

The command fails on the first cell that raises. With ``--write`` the notebooks are written back,
each with its last picture as the only output, so that they stay small in the repository.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
MOST = 60.0  # s for all of them, on an idle core


def executed(path: Path) -> nbformat.NotebookNode:
    """Return the notebook with the outputs of a fresh kernel."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(FOLDER)}}
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources)
    client.execute()
    return notebook


def light(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook without execution counts and outputs, except for the last picture.

    That picture answers the question of the notebook.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (*_, picture) = [o for o in cells[-1].outputs if "image/png" in o.get("data", {})]
    picture["data"] = {"image/png": picture["data"]["image/png"]}
    for cell in cells:
        cell.outputs = []
        cell.execution_count = None
        cell.metadata = {}
    cells[-1].outputs = [picture]
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def main(arguments: list[str]) -> None:
    """Execute all notebooks, and print one line for each."""
    begin = time.perf_counter()
    for path in sorted(FOLDER.glob("*.ipynb")):
        start = time.perf_counter()
        notebook = executed(path)
        print(f"{path.name}: {time.perf_counter() - start:.1f} s", flush=True)
        if "--write" in arguments:
            nbformat.write(light(notebook), path)
    seconds = time.perf_counter() - begin
    print(f"all of them: {seconds:.1f} s (at most {MOST:.0f} on an idle machine)")


if __name__ == "__main__":
    main(sys.argv[1:])
