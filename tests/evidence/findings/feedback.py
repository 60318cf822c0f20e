"""A part of the page on imperfections: feedback weights that are not those of the forward pass."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from neurosim.plot.page import PALETTE
from tests.evidence import feedback
from tests.evidence.findings.finding import (
    EXTREMES,
    MARKERS,
    Finding,
    Numbers,
    extremes,
    points,
    powers,
    table,
)

KINDS = {"symmetric": "Wᵀ", "kolen_pollack": "Kolen-Pollack"}


def measure() -> Numbers:
    """Return errors at rest, stability by angle, and trainings by Kolen and Pollack's rule."""
    return {
        "rest": feedback.at_rest(),
        "stability": feedback.stable(),
        "kolen_pollack": feedback.kolen_pollack(),
    }


def tables(found: Numbers) -> dict[str, str]:
    """Return a table of each."""
    rest = []
    for flow, own in found["rest"].items():
        settled = [str(len(own["errors"])), str(own["nets"])]
        rest.append([f"`{_plain(flow)}`", *settled, *powers(own["errors"])[:-1]])
    verdicts = []
    for row in found["stability"]:
        predicted, simulated = np.array(row["predicted"]), np.array(row["simulated"])
        counts = (predicted.sum(), simulated.sum(), (predicted == simulated).sum(), predicted.size)
        case = [str(row["depth"]), f"`{_plain(row['flow'])}`", str(row["angle"])]
        verdicts.append([*case, *(str(count) for count in counts)])
    learnt = []
    for (flow, kind), own in _joined(found).items():
        angle = extremes(own["angle"])[:-1]
        learnt.append([f"`{flow}`", KINDS[kind], *extremes(own["test"], 100)[:2], *angle, "10"])
    angles = [f"λ, {name} (°)" for name in EXTREMES[:-1]]
    counts = ["predicted stable", "simulated stable", "agree", "nets"]
    return {
        "rest": table(["flow", "nets that settle", "nets", *EXTREMES[:-1]], rest),
        "stability": table(["layers", "flow", "angle (°)", *counts], verdicts),
        "learning": table(["flow", "feedback", "accuracy (%)", "sd (%)", *angles, "n"], learnt),
    }


def _plain(flow: str) -> str:
    return flow.replace(" deg", "°")


def _joined(found: Numbers) -> dict[tuple[str, str], dict[str, list[float]]]:
    """Return accuracies and angles of all ten seeds, by flow and kind of feedback."""
    joined: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in found["kolen_pollack"]:
        own = joined.setdefault((row["flow"], row["feedback"]), {"test": [], "angle": []})
        own["test"] += row["test"]
        own["angle"] += row["angle"]
    return joined


def draw(found: Numbers) -> Any:
    """Draw shares of stable nets over the angle, and angles of λ after training."""
    figure, axes = plt.subplots(1, 3, figsize=(7.4, 2.8), layout="constrained")
    for ax, depth in zip(axes, (6, 10), strict=False):
        for i, flow in enumerate(feedback.FLOWS):
            case = (depth, flow)
            rows = [row for row in found["stability"] if (row["depth"], row["flow"]) == case]
            angles = [row["angle"] for row in rows]
            predicted = [100 * np.mean(row["predicted"]) for row in rows]
            simulated = [100 * np.mean(row["simulated"]) for row in rows]
            ax.plot(angles, predicted, "-", color=PALETTE[i], label=_plain(flow))
            ax.plot(angles, simulated, MARKERS[i], ms=4, color=PALETTE[i])
        ax.set(title=f"{depth} layers", xlabel="angle of B to Wᵀ (°)", xticks=feedback.ANGLES)
        ax.set(ylim=(-4, 104))
    axes[0].set(ylabel="stable nets (%)")
    axes[0].legend(fontsize=7)
    joined = _joined(found)
    for place, flow in enumerate(("adjoint", "damped")):
        for i, (kind, label) in enumerate(KINDS.items()):
            values = joined[flow, kind]["angle"]
            at = place + 0.4 * (i - 0.5)
            points(axes[2], at, values, i + 4, 0.15, label=label if place == 0 else None)
    axes[2].set_xticks(range(2), ["adjoint", "damped"])
    axes[2].set(ylabel="angle of hidden λ (°)", title="after training", ylim=(0, None))
    axes[2].legend(fontsize=7)
    return figure


def said(found: Numbers) -> list[str]:
    """Return how near λ is at rest, and where spectrum and simulation agree."""
    worst = max(max(own["errors"]) for own in found["rest"].values())
    agree, count = 0, 0
    for row in found["stability"]:
        same = np.array(row["predicted"]) == np.array(row["simulated"])
        agree, count = agree + int(same.sum()), count + same.size
    return [f"agree on {agree} of {count}", f"within {1e9 * worst:.0f}e-9"]


FINDING = Finding(measure, tables, draw, said, page="imperfections")
