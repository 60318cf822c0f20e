"""The parts of a page of the findings, and cells, tables and marks that pages share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from neurosim.plot.page import PALETTE

Numbers = dict[str, Any]  # as JSON holds them
MARKERS = "os^Dv<*"  # one for each colour
BELOW: dict[str, Any] = {
    "textcoords": "offset points",
    "ha": "right",
    "va": "top",
    "fontsize": 7,
    "color": "0.4",
}


def nothing(found: Numbers) -> list[str]:
    """Return that the prose says no number."""
    return []


@dataclass(frozen=True)
class Finding:
    """A page of the findings whose figures one command measures.

    Parameters
    ----------
    measure : function
        Returns the numbers, as JSON can hold them.
    tables : function
        Returns the tables of numbers in Markdown, by name.
    draw : function
        Draws numbers into a new figure, and returns it.
    said : function
        Returns what the prose of the page says of the numbers, word for word.
    page : str
        The page that includes it; the one of its own name if empty.
    """

    measure: Callable[[], Numbers]
    tables: Callable[[Numbers], dict[str, str]]
    draw: Callable[[Numbers], Any]
    said: Callable[[Numbers], list[str]] = nothing
    page: str = ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def moments(values: Sequence[float], scale: float = 1.0, digits: int = 1) -> list[str]:
    """Return cells of mean, standard deviation (n - 1) and number of values."""
    found = scale * np.asarray(values)
    return [f"{found.mean():.{digits}f}", f"{found.std(ddof=1):.{digits}f}", str(found.size)]


def power(value: float) -> str:
    """Return a small number as text."""
    return f"{value:.1e}"


EXTREMES = ["mean", "sd", "least", "most", "n"]  # heads of the cells of `extremes`


def extremes(values: Sequence[float], scale: float = 1.0, digits: int = 1) -> list[str]:
    """Return cells of mean, standard deviation (n - 1), least, most and number of values."""
    mean, spread, count = moments(values, scale, digits)
    least, most = scale * min(values), scale * max(values)
    return [mean, spread, f"{least:.{digits}f}", f"{most:.{digits}f}", count]


def powers(values: Sequence[float]) -> list[str]:
    """Return the cells of `extremes` for small numbers."""
    own = np.asarray(values)
    found = [own.mean(), own.std(ddof=1), own.min(), own.max()]
    return [*(power(value) for value in found), str(own.size)]


def column(rows: Sequence[Numbers], name: str) -> list[float]:
    """Return one number of every row, such as of every seed."""
    return [row[name] for row in rows]


def between(values: Sequence[float]) -> str:
    """Return the range of whole numbers in words."""
    return f"{min(values):.0f} to {max(values):.0f}"


def points(
    ax: Any, place: float, values: Sequence[float], i: int, width: float = 0.2, **options: Any
) -> None:
    """Draw a point per value and a line at the mean, in colour and shape number i."""
    own = np.asarray(values, dtype=float)
    offsets = width * np.linspace(-0.6, 0.6, own.size)
    color = PALETTE[i]
    ax.plot(place + offsets, own, MARKERS[i], ms=3.5, color=color, **options)
    ax.hlines(own.mean(), place - width, place + width, color=color, lw=1)
