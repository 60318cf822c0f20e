"""The page on size: networks that prune and grow themselves."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from neurosim.plot.page import PALETTE
from tests.evidence import learning
from tests.evidence.findings.finding import (
    EXTREMES,
    Finding,
    Numbers,
    between,
    column,
    extremes,
    points,
    powers,
    table,
)

SEEDS_OF_STRAW = range(3)
PRUNED = {  # quantity in words: name, scale, digits
    "hidden neurons left": ("neurons", 1, 1),
    "accuracy, pruned (%)": ("pruned", 1, 2),
    "accuracy, as small from the start (%)": ("small from the start", 1, 2),
    "accuracy, whole, without a penalty (%)": ("whole", 1, 2),
    "operations, pruned (1e7)": ("operations", 1e-7, 2),
    "operations, whole (1e7)": ("of the whole", 1e-7, 2),
}
STRAW = {
    "support neurons at rest": ("support", 1, 1),
    "neurons with weight": ("not dead", 1, 1),
    "neurons in one of both sets": ("either, not both", 1, 1),
}
GROWN = {
    "hidden neurons at the end": ("neurons", 1, 1),
    "steps after which growth ended": ("steps of growth", 1, 0),
    "accuracy, grown (%)": ("grown", 1, 2),
    "accuracy, 32 from the start (%)": ("whole", 1, 2),
}


def measure() -> Numbers:
    """Return the figures of every seed, of pruning, of straw neurons and of growing."""
    return {
        "pruning": [learning.pruned(seed) for seed in learning.SEEDS],
        "straw": [learning.straw(seed) for seed in SEEDS_OF_STRAW],
        "growing": [learning.grown(seed) for seed in learning.SEEDS],
    }


def tables(found: Numbers) -> dict[str, str]:
    """Return a table of each."""
    shown = {"pruning": PRUNED, "straw": STRAW, "growing": GROWN}
    texts = {}
    for part, quantities in shown.items():
        rows = []
        for words, (name, scale, digits) in quantities.items():
            rows.append([words, *extremes(column(found[part], name), scale, digits)])
        if part == "straw":
            changes = powers(column(found[part], "change without straw"))
            rows.append(["largest change of an output without straw", *changes])
        texts[part] = table(["quantity", *EXTREMES], rows)
    return texts


def draw(found: Numbers) -> Any:
    """Draw hidden neurons over steps, and test accuracies."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(6.8, 2.6), layout="constrained", width_ratios=(1, 1.2)
    )
    for i, (part, start) in enumerate((("pruning", 128), ("growing", 4))):
        for seed, row in enumerate(found[part]):
            sizes = [start, *row["course"]]
            steps = 0.1 * np.arange(len(sizes))
            label = part if seed == 0 else None
            left.step(steps, sizes, where="pre", lw=0.9, color=PALETTE[i], label=label)
    left.set_yscale("log", base=2)
    left.set(xlabel="steps (1000)", ylabel="hidden neurons", yticks=[4, 8, 16, 32, 64, 128])
    left.yaxis.set_major_formatter("{x:.0f}")
    left.legend()
    ways = (("pruning", "pruned"), ("pruning", "small from the start"), ("pruning", "whole"))
    for place, (part, name) in enumerate((*ways, ("growing", "grown"), ("growing", "whole"))):
        points(right, place, column(found[part], name), 0 if part == "pruning" else 1)
    names = ["pruned", "as small\nfrom start", "128, no\npenalty", "grown", "32 from\nstart"]
    right.set_xticks(range(5), names)
    right.set(ylabel="test accuracy (%)")
    return figure


def said(found: Numbers) -> list[str]:
    """Return the sizes that the claim gives."""
    left, end = (column(found[part], "neurons") for part in ("pruning", "growing"))
    return [
        f"leaves {between(left)} of 128 hidden neurons",
        f"growth from 4 ends at {between(end)}",
    ]


FINDING = Finding(measure, tables, draw, said)
