"""A few pictures, pixel by pixel, against those that were looked at and kept in `images/`.

After a change that is meant, ``python -m tests.plot.test_images`` draws them again; look at them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import pytest
from matplotlib.testing.compare import compare_images

from neurosim import plot
from tests.helpers.pictured import categories, graphs, spoilt, subject

KEPT = Path(__file__).parent / "images"
TOLERANCE = 12  # root mean square of grey values; fonts of other FreeType versions differ by less
PICTURES: dict[str, Callable[[], Any]] = {
    "exits": lambda: plot.network(graphs()["exits"]),
    "skips": lambda: plot.network(graphs()["long skips"]),
    "cycle": lambda: plot.network(graphs()["cycle"]),
    "twelve": lambda: plot.traces(subject("twelve").run, "lam"),
    "field": lambda: plot.phase_portrait(subject("default").run, "hidden1", field=True),
    "diverged": lambda: plot.violation(spoilt(subject("default").run)),
    "names": lambda: plot.sweep(categories()),
    "lines": lambda: plot.lines(subject("default").sweep, "growth"),
}


def write(name: str, folder: Path) -> Path:
    """Draw a picture into a folder."""
    path = folder / f"{name}.png"
    drawn = PICTURES[name]()
    getattr(drawn, "figure", drawn).savefig(path, dpi=60)
    plt.close("all")
    return path


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_looks_as_it_did(name: str, tmp_path: Path) -> None:
    found = write(name, tmp_path)
    assert compare_images(str(KEPT / f"{name}.png"), str(found), TOLERANCE) is None


if __name__ == "__main__":
    KEPT.mkdir(exist_ok=True)
    for _name in PICTURES:
        print(write(_name, KEPT))
