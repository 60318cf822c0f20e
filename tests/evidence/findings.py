"""Measure the figures of whole pages: ``python -m tests.evidence.findings PAGE ...``.

A page of ``docs/findings`` includes what this command writes beside it: ``PAGE.json``, the numbers
with date, commit and machine; ``PAGE-*.txt``, its tables; ``PAGE.png``, its picture. ``--draw``
writes tables and pictures again from the kept numbers. Start at `Finding`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

import matplotlib.pyplot as plt

from neurosim.plot import style
from neurosim.plot.page import PALETTE
from tests.evidence import learning
from tests.helpers.provenance import about, sentence

FOLDER = Path(__file__).parent.parent.parent / "docs" / "findings"
COMMAND = "python -m tests.evidence.findings"

Numbers = dict[str, Any]  # as JSON holds them


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
    """

    measure: Callable[[], Numbers]
    tables: Callable[[Numbers], dict[str, str]]
    draw: Callable[[Numbers], Any]


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


# All flows at once

SCHEDULES = {  # training by flows, and by SGD where it sees the same patterns
    "all flows at once": (learning.simultaneous, None),
    "batches of 32": (learning.presentations, learning.sgd),
    "one pattern at a time": (
        learning.one_at_a_time,
        lambda seed: learning.sgd(seed, batch=1, epochs=3, rate=0.02),
    ),
}


def accuracies() -> Numbers:
    """Return test accuracies by schedule, of the flows and of SGD, one per seed."""
    found: Numbers = {}
    for name, (flows, sgd) in SCHEDULES.items():
        found[name] = {"flows": [flows(seed) for seed in learning.SEEDS]}
        if sgd is not None:
            found[name]["SGD"] = [sgd(seed) for seed in learning.SEEDS]
    return found


def accuracy_tables(found: Numbers) -> dict[str, str]:
    """Return mean, spread and extremes of each schedule."""
    rows = []
    for name, ways in found.items():
        for way, values in ways.items():
            mean, spread, count = moments(values, 100)
            extremes = [f"{100 * min(values):.1f}", f"{100 * max(values):.1f}"]
            rows.append([name, way, mean, spread, *extremes, count])
    head = ["schedule", "weights by", "mean (%)", "sd (%)", "worst (%)", "best (%)", "n"]
    return {"table": table(head, rows)}


def draw_accuracies(found: Numbers) -> Any:
    """Draw a point per seed, and a line at the mean, by schedule."""
    figure, ax = plt.subplots(figsize=(5.2, 2.4), layout="constrained")
    for place, ways in enumerate(found.values()):
        for i, way in enumerate(("flows", "SGD")):
            if way not in ways:
                continue
            values = 100 * np.array(ways[way])
            x = place + 0.2 * (2 * i - 1)
            offsets = np.linspace(-0.06, 0.06, values.size)
            label = way if place == 1 else None
            ax.plot(x + offsets, values, "os"[i], ms=4, color=PALETTE[i], label=label)
            ax.hlines(values.mean(), x - 0.14, x + 0.14, color=PALETTE[i], lw=1)
    ax.set_xticks(range(len(found)), list(found))
    ax.set(ylabel="test accuracy (%)", xlim=(-0.5, len(found) - 0.5))
    count = len(next(iter(found.values()))["flows"])
    title = f"a point per seed (n = {count}), line: mean"
    figure.legend(loc="outside upper center", ncols=2, title=title)
    return figure


# Rest


def rest() -> Numbers:
    """Return errors at rest by flow, loss and backend, errors by depth, and how XOR ends."""
    return {
        "at rest": learning.at_rest(),
        "depths": {str(layers): error for layers, error in learning.depths().items()},
        "xor": learning.xor(),
    }


def rest_tables(found: Numbers) -> dict[str, str]:
    """Return a table of each."""
    rows = []
    for name, error in found["at rest"].items():
        rows.append([*name.split(", "), power(error)])
    depths = [[layers, power(error)] for layers, error in found["depths"].items()]
    ends = []
    for seed, (loss, gradient) in enumerate(found["xor"]):
        ends.append([str(seed), power(loss), power(gradient)])
    return {
        "flows": table(["flow", "loss", "backend", "largest error"], rows),
        "depths": table(["weight layers", "largest error of λ"], depths),
        "xor": table(["seed", "loss", "norm of the gradient"], ends),
    }


def draw_rest(found: Numbers) -> Any:
    """Draw errors over depth, and loss and gradient of XOR by seed."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.4), layout="constrained")
    layers = [int(name) for name in found["depths"]]
    errors = 1e16 * np.array(list(found["depths"].values()))
    left.plot(layers, errors, "o", ms=4, color=PALETTE[0])
    epsilon = 1e16 * np.finfo(float).eps
    left.axhline(epsilon, color="0.6", lw=0.8)
    left.annotate("spacing of doubles at 1", (layers[-1], epsilon), (0, -3), **BELOW)
    top = 1.1 * max(errors.max(), epsilon)
    left.set(xlabel="weight layers", ylabel="largest error of λ (10⁻¹⁶)", ylim=(-0.3, top))
    left.set_xticks(range(2, layers[-1] + 1, 3))
    left.set_title("2L steps of adjoint, dt = τ")
    ends = np.array(found["xor"])
    for i, name in enumerate(("loss", "norm of the gradient")):
        right.semilogy(ends[:, i], "os"[i], ms=4, color=PALETTE[i], label=name)
    right.set(xlabel="seed", ylabel="at the end (1)", xticks=range(len(ends)))
    right.set_title("XOR by all flows")
    right.legend(loc="center")
    return figure


BELOW: dict[str, Any] = {
    "textcoords": "offset points",
    "ha": "right",
    "va": "top",
    "fontsize": 7,
    "color": "0.4",
}

FINDINGS = {
    "all-at-once": Finding(accuracies, accuracy_tables, draw_accuracies),
    "rest": Finding(rest, rest_tables, draw_rest),
}


def texts(page: str, kept: Numbers) -> dict[str, str]:
    """Return the files of tables of a page by name, each with where its numbers are from."""
    where = f"{sentence(kept['about'])} The command is `{COMMAND} {page}`."
    found = {}
    for name, text in FINDINGS[page].tables(kept["found"]).items():
        found[f"{page}-{name}.txt"] = f"{text}\n{where}\n"
    return found


def write(page: str, kept: Numbers, folder: Path = FOLDER) -> None:
    """Write tables and picture of kept numbers."""
    for name, text in texts(page, kept).items():
        (folder / name).write_text(text, encoding="utf-8")
    with style():
        figure = FINDINGS[page].draw(kept["found"])
        figure.savefig(folder / f"{page}.png", dpi=150)
        plt.close(figure)


def read(page: str) -> Numbers:
    """Return the kept numbers of a page."""
    kept: Numbers = json.loads((FOLDER / f"{page}.json").read_text(encoding="utf-8"))
    return kept


def main() -> None:
    """Measure pages, or draw kept numbers again."""
    parser = argparse.ArgumentParser(COMMAND)
    parser.add_argument("pages", nargs="+", metavar="PAGE", choices=FINDINGS)
    parser.add_argument("--draw", action="store_true", help="draw the kept numbers again")
    given = parser.parse_args()
    where = about()  # as the code is now
    for page in given.pages:
        if not given.draw:
            kept = {"about": where, "found": FINDINGS[page].measure()}
            text = json.dumps(kept, indent=1, ensure_ascii=False)
            (FOLDER / f"{page}.json").write_text(text + "\n", encoding="utf-8")
        write(page, read(page))
        print(f"{page}: {', '.join(texts(page, read(page)))}", flush=True)


if __name__ == "__main__":
    main()
