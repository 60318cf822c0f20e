"""Measure the figures of whole pages: ``python -m tests.evidence.findings PAGE ...``.

A page of ``docs/findings`` includes what this command writes beside it: ``PAGE.json``, the numbers
with date, commit and machine; ``PAGE-*.txt``, its tables; ``PAGE.png``, its picture. ``--draw``
writes tables and pictures again from the kept numbers. Each page has a module here, which is named
after it; a page may have several parts. Start at `Finding`.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt

from neurosim.plot import style
from tests.evidence.findings import (
    all_at_once,
    events,
    feedback,
    imperfections,
    rest,
    rivals,
    settling,
    sites,
    size,
    support,
)
from tests.evidence.findings.finding import Finding, Numbers
from tests.helpers.provenance import sentence

FOLDER = Path(__file__).parents[3] / "docs" / "findings"
COMMAND = "python -m tests.evidence.findings"
FINDINGS: dict[str, Finding] = {
    "all-at-once": all_at_once.FINDING,
    "rest": rest.FINDING,
    "events": events.REST,
    "events-learning": events.LEARNING,
    "events-streams": events.STREAMS,
    "settling": settling.FINDING,
    "feedback": feedback.FINDING,
    "stein": imperfections.STEIN,
    "prospective-messages": imperfections.PROSPECTIVE,
    "losses": imperfections.LOSSES,
    "rival-gradients": rivals.FINDING,
    "convolution": sites.FINDING,
    "size": size.FINDING,
    "support": support.FINDING,
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
