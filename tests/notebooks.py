"""Execute every notebook, and keep of its outputs the last picture: ``python -m tests.notebooks
[--write]``.

Fails on the first cell that raises. With ``--write`` the notebooks are written back, light enough
for the repository.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
MOST = 60.0  # s for all of them, on one idle core


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a fresh kernel."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    return notebook


def light(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without execution counts and outputs, but for the picture that answers the question."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        cell.outputs = pictures[-1:] if cell is cells[-1] else []
        cell.execution_count = None
        cell.metadata = {}
        for output in cell.outputs:
            output["data"] = {"image/png": output["data"]["image/png"]}
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def main(arguments: list[str]) -> None:
    """Execute them all, one line each."""
    begin = time.perf_counter()
    for path in sorted(FOLDER.glob("*.ipynb")):
        start = time.perf_counter()
        notebook = executed(path)
        print(f"{path.name}: {time.perf_counter() - start:.1f} s", flush=True)
        if "--write" in arguments:
            nbformat.write(light(notebook), path)
    print(
        f"all of them: {time.perf_counter() - begin:.1f} s (at most {MOST:.0f} on an idle machine)"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
