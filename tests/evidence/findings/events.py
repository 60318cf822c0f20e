"""The page on events: what messages on change cost, at rest, in learning and in streams."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from neurosim.plot.page import PALETTE
from tests.evidence import events, learning
from tests.evidence.findings.finding import (
    EXTREMES,
    MARKERS,
    Finding,
    Numbers,
    column,
    extremes,
    moments,
    powers,
    table,
)

WAYS = {  # of learning: words, words in the picture
    "dense": ("dense", "dense"),
    "theta .01": ("θ = 0.01", "θ = 0.01"),
    "theta .03": ("θ = 0.03", "θ = 0.03"),
    "adaptive": ("adaptive θ", "adaptive"),
    "adaptive, down to .03": ("adaptive θ, down to 0.03", "adaptive, ≥ 0.03"),
    "spikes .1 / .03, one a step": ("spikes of 0.1, back 0.03, one a step", "spikes"),
}
THRESHOLDS = {"theta .01": "0.01", "adaptive": "adaptive"}


def measure() -> Numbers:
    """Return the figures of every net: at rest, after training, in learning, in streams."""
    return {
        "rest": events.at_rest(),
        "trained": events.on_trained_nets(),
        "learning": learning.events(),
        "streams": learning.streams(),
    }


def tables(found: Numbers) -> dict[str, str]:
    """Return a table of errors, of savings, of trained nets, of learning and of streams."""
    errors, savings = [], []
    for case, own in found["rest"].items():
        flow, way, loss = case.split(", ")
        cells = [THRESHOLDS[way], f"`{flow}`", loss.replace("_", "-")]
        errors.append([*cells, *powers(own["error"])])
        savings.append([*cells, *extremes(own["saving"])])
    learnt = []
    for name, own in found["learning"].items():
        accuracy, operations = moments(own["accuracy"], 100), moments(own["operations"], 1e-3)
        learnt.append([WAYS[name][0], *accuracy[:2], *operations])
    followed = []
    for case, own in found["streams"].items():
        flow, speed = case.split(", ")
        followed.append([speed, f"`{flow}`", *moments(own["angle"])[:2], *moments(own["saving"])])
    head = ["θ", "flow", "loss", *EXTREMES]
    operations = ["operations (1000)", "sd (1000)", "n"]
    moving = ["pixels per frame", "flow", "angle (°)", "sd (°)", "times fewer", "sd", "n"]
    return {
        "errors": table(head, errors),
        "savings": table(head, savings),
        "trained": table(["flow", "epochs of SGD", "quantity", *EXTREMES], _trained(found)),
        "learning": table(["messages", "accuracy (%)", "sd (%)", *operations], learnt),
        "streams": table(moving, followed),
    }


def _trained(found: Numbers) -> list[list[str]]:
    """Return rows of errors and savings, by flow and epochs."""
    rows = []
    for flow in events.FLOWS:
        for epochs in (0, 3, 20):
            own = []
            for row in found["trained"]:
                if (row["flow"], row["epochs"]) == (flow, epochs):
                    own.append(row)
            case = [f"`{flow}`", str(epochs)]
            rows.append([*case, "largest error of λ", *powers(column(own, "error"))])
            rows.append([*case, "times fewer, same steps", *extremes(column(own, "saving"))])
            rows.append([*case, "times fewer, dense stopped", *extremes(column(own, "stopped"))])
    return rows


def draw(found: Numbers) -> Any:
    """Draw errors over savings, accuracies over operations, and angles over savings."""
    figure, axes = plt.subplots(1, 3, figsize=(7.4, 3.1), layout="constrained")
    _draw_rest(axes[0], found["rest"])
    for i, (name, own) in enumerate(found["learning"].items()):
        x, y = np.array(own["operations"]) / 1e3, 100 * np.array(own["accuracy"])
        _cross(axes[1], x, y, i, WAYS[name][1])
    axes[1].set(xscale="log", xlabel="operations per presentation (1000)")
    axes[1].set(ylabel="test accuracy (%)", title="learning, n = 5")
    for i, flow in enumerate(("adjoint", "augmented")):
        cases = [own for case, own in found["streams"].items() if case.split(", ")[0] == flow]
        for j, own in enumerate(cases):
            label = flow if j == 0 else None
            _cross(axes[2], np.array(own["saving"]), np.array(own["angle"]), i, label)
    axes[2].set(xlabel="operations, times fewer", ylabel="angle of the gradient (°)")
    axes[2].set(title="streams, n = 3", ylim=(0, None), xlim=(0, None))
    for ax in axes:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), fontsize=7)
    return figure


def _draw_rest(ax: Any, found: Numbers) -> None:
    """Draw the largest error of λ over the saving, a point per net."""
    for case, own in found.items():
        flow, way, loss = case.split(", ")
        kind = 2 * (flow == "adjoint") + (loss == "mse")
        adaptive = way == "adaptive"
        color, label = PALETTE[kind], f"{flow}, {loss.replace('_', '-')}"
        look: Any = {"ms": 3, "mew": 0.6, "color": color, "mfc": color if adaptive else "none"}
        x, y = own["saving"], own["error"]
        ax.semilogy(x, y, MARKERS[kind], label=label if adaptive else None, **look)
    ax.set(xlabel="operations, times fewer", ylabel="largest error of λ (1)")
    ax.set(title="at rest, n = 20", xlim=(0, None))


def _cross(ax: Any, x: Any, y: Any, i: int, label: str | None) -> None:
    """Draw means with one standard deviation (n - 1) to both sides."""
    spreads: Any = {"xerr": x.std(ddof=1), "yerr": y.std(ddof=1), "capsize": 1.5, "lw": 0.8}
    ax.errorbar(x.mean(), y.mean(), fmt=MARKERS[i], ms=4, color=PALETTE[i], label=label, **spreads)


def said(found: Numbers) -> list[str]:
    """Return the least savings, the cosines, and that learning does not lose accuracy."""
    savings, cosines = [], []
    for case, own in found["rest"].items():
        savings += own["saving"]
        if "theta" in case:
            cosines += own["cosine"]
    dense = found["learning"]["dense"]
    for own in found["learning"].values():
        assert fmean(own["accuracy"]) >= fmean(dense["accuracy"])
    return [
        f"at least {np.floor(min(savings)):.0f} times fewer operations",
        f"is {fmean(cosines):.4f} on average and {min(cosines):.4f} in the worst of the "
        f"{len(cosines)} runs",
    ]


FINDING = Finding(measure, tables, draw, said)
