"""The page on all flows at once: test accuracies by schedule."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from neurosim.plot.page import PALETTE
from tests.evidence import learning
from tests.evidence.findings.finding import Finding, Numbers, moments, table

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


FINDING = Finding(accuracies, accuracy_tables, draw_accuracies)
