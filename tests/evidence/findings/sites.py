"""A part of the page on shared weights: a convolutional net of digits, and events on it."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from neurosim.plot.page import PALETTE
from tests.evidence import shared
from tests.evidence.findings.finding import (
    EXTREMES,
    MARKERS,
    Finding,
    Numbers,
    column,
    extremes,
    moments,
    table,
)

THRESHOLDS = {"theta .01": "0.01", "theta .003": "0.003", "adaptive": "adaptive"}
SAVED = {"saving": "the same steps", "stopped": "dense stopped"}


def measure() -> Numbers:
    """Return accuracies of every seed, and cosines and savings of every net."""
    return {"learning": shared.convolution(), "events": shared.by_events()}


def tables(found: Numbers) -> dict[str, str]:
    """Return accuracies, cosines and savings."""
    rows = []
    for way, words in (("adjoint", "`adjoint`"), ("backprop", "backpropagation")):
        rows.append([words, *extremes(column(found["learning"], way), 100, 2)])
    differences = [abs(row["adjoint"] - row["backprop"]) for row in found["learning"]]
    rows.append(["difference on the same batches", *extremes(differences, 100, 2)])
    near, saved = [], []
    for case, own in found["events"].items():
        flow, way = case.split(", ")
        cells = [f"`{flow}`", THRESHOLDS[way]]
        near.append([*cells, *extremes(own["cosine"], 1, 5)])
        for name, words in SAVED.items():
            saved.append([*cells, words, *moments(own[name])])
    percent = [f"{name} (%)" for name in EXTREMES[:-1]]
    return {
        "learning": table(["weights by", *percent, "n"], rows),
        "cosines": table(["flow", "θ", *EXTREMES], near),
        "savings": table(["flow", "θ", "against", "times fewer", "sd", "n"], saved),
    }


def draw(found: Numbers) -> Any:
    """Draw the distance of the cosine from 1 over the savings, a point per net."""
    figure, axes = plt.subplots(1, 2, figsize=(6.6, 2.8), sharey=True, layout="constrained")
    for ax, (name, words) in zip(axes, SAVED.items(), strict=True):
        for i, (case, own) in enumerate(found["events"].items()):
            flow, way = case.split(", ")
            away = 1 - np.array(own["cosine"])
            look: Any = {"ms": 4, "color": PALETTE[i], "label": f"{flow}, θ {THRESHOLDS[way]}"}
            ax.semilogy(own[name], away, MARKERS[i], **look)
        ax.set(xlabel="operations, times fewer", xlim=(0, None))
        ax.set_title(f"dense over {words}" if name == "saving" else "dense stopped")
    axes[0].set(ylabel="1 − cosine of λ (1)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=7)
    return figure


def said(found: Numbers) -> list[str]:
    """Return that no seed differs from backpropagation in test accuracy, where that is so."""
    apart = [abs(row["adjoint"] - row["backprop"]) for row in found["learning"]]
    return ["no seed differs"] if max(apart) == 0 else []


FINDING = Finding(measure, tables, draw, said, page="sites")
