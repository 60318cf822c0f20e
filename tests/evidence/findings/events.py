"""Parts of the page on events: what messages on change cost, at rest, learning, in streams."""

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

WAYS = {  # of learning, in words
    "dense": "dense",
    "theta .01": "θ = 0.01",
    "theta .03": "θ = 0.03",
    "adaptive": "adaptive θ",
    "adaptive, down to .03": "adaptive θ, down to 0.03",
    "spikes .1 / .03, one a step": "spikes of 0.1, back 0.03, one a step",
}
THRESHOLDS = {"theta .01": "0.01", "adaptive": "adaptive"}


# At rest


def at_rest() -> Numbers:
    """Return cosines, errors and savings of every net, at rest and after training."""
    return {"rest": events.at_rest(), "trained": events.on_trained_nets()}


def tables_at_rest(found: Numbers) -> dict[str, str]:
    """Return a table of errors, of savings and of trained nets."""
    errors, savings = [], []
    for case, own in found["rest"].items():
        flow, way, loss = case.split(", ")
        cells = [THRESHOLDS[way], f"`{flow}`", loss.replace("_", "-")]
        errors.append([*cells, *powers(own["error"])])
        savings.append([*cells, *extremes(own["saving"])])
    head = ["θ", "flow", "loss", *EXTREMES]
    after = ["flow", "epochs of SGD", "quantity", *EXTREMES]
    return {
        "errors": table(head, errors),
        "savings": table(head, savings),
        "trained": table(after, _trained(found)),
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


def draw_at_rest(found: Numbers) -> Any:
    """Draw the largest error of λ over the saving, a point per net."""
    figure, ax = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
    for case, own in found["rest"].items():
        flow, way, loss = case.split(", ")
        kind = 2 * (flow == "adjoint") + (loss == "mse")
        adaptive = way == "adaptive"
        color, label = PALETTE[kind], f"{flow}, {loss.replace('_', '-')}"
        look: Any = {"ms": 4, "mew": 0.7, "color": color, "mfc": color if adaptive else "none"}
        x, y = own["saving"], own["error"]
        ax.semilogy(x, y, MARKERS[kind], label=label if adaptive else None, **look)
    ax.set(xlabel="operations, times fewer than dense messages", xlim=(0, None))
    ax.set(ylabel="largest error of λ (1)", title="open: θ = 0.01; filled: adaptive θ")
    figure.legend(loc="outside right center")
    return figure


def said_at_rest(found: Numbers) -> list[str]:
    """Return the least saving, and cosines with a fixed threshold."""
    savings, cosines = [], []
    for case, own in found["rest"].items():
        savings += own["saving"]
        if "theta" in case:
            cosines += own["cosine"]
    return [
        f"at least {np.floor(min(savings)):.0f} times fewer operations",
        f"is {fmean(cosines):.4f} on average and {min(cosines):.4f} in the worst of the "
        f"{len(cosines)} runs",
    ]


# Learning


def learning_tables(found: Numbers) -> dict[str, str]:
    """Return accuracies and operations by messages."""
    rows = []
    for name, own in found.items():
        accuracy, operations = moments(own["accuracy"], 100), moments(own["operations"], 1e-3)
        rows.append([WAYS[name], *accuracy[:2], *operations])
    head = ["messages", "accuracy (%)", "sd (%)", "operations (1000)", "sd (1000)", "n"]
    return {"table": table(head, rows)}


def said_of_learning(found: Numbers) -> list[str]:
    """Return whether any kind of events has a lower mean accuracy than dense messages."""
    means = {name: fmean(own["accuracy"]) for name, own in found.items()}
    worst = min(means.values())
    return ["learnt no worse" if worst == means["dense"] else "learnt worse by some"]


def draw_learning(found: Numbers) -> Any:
    """Draw accuracies over operations."""
    figure, ax = plt.subplots(figsize=(5.6, 2.6), layout="constrained")
    for i, (name, own) in enumerate(found.items()):
        x, y = np.array(own["operations"]) / 1e3, 100 * np.array(own["accuracy"])
        _cross(ax, x, y, i, WAYS[name])
    ax.set(xscale="log", xlabel="synaptic operations per presentation (1000)")
    ax.set(ylabel="test accuracy (%)")
    figure.legend(loc="outside right center")
    return figure


# Streams


def stream_tables(found: Numbers) -> dict[str, str]:
    """Return angles and savings by speed and flow."""
    rows = []
    for case, own in found.items():
        flow, speed = case.split(", ")
        rows.append([speed, f"`{flow}`", *moments(own["angle"])[:2], *moments(own["saving"])])
    head = ["pixels per frame", "flow", "angle (°)", "sd (°)", "times fewer", "sd", "n"]
    return {"table": table(head, rows)}


def draw_streams(found: Numbers) -> Any:
    """Draw angles and savings over the speed."""
    figure, axes = plt.subplots(1, 2, figsize=(6.0, 2.5), layout="constrained")
    for i, flow in enumerate(("adjoint", "augmented")):
        cases = {case: own for case, own in found.items() if case.split(", ")[0] == flow}
        speeds = [float(case.split(", ")[1]) for case in cases]
        for ax, name in zip(axes, ("angle", "saving"), strict=True):
            values = np.array([own[name] for own in cases.values()])
            look: Any = {"color": PALETTE[i], "ms": 4, "capsize": 2, "label": flow}
            spread = values.std(axis=1, ddof=1)
            ax.errorbar(speeds, values.mean(axis=1), spread, fmt=f"{MARKERS[i]}-", **look)
    for ax in axes:
        ax.set(xlabel="pixels per frame", ylim=(0, None))
    axes[0].set(ylabel="angle of the gradient (°)")
    axes[1].set(ylabel="operations, times fewer")
    axes[0].legend()
    return figure


def _cross(ax: Any, x: Any, y: Any, i: int, label: str | None) -> None:
    """Draw means with one standard deviation (n - 1) to both sides."""
    spreads: Any = {"xerr": x.std(ddof=1), "yerr": y.std(ddof=1), "capsize": 1.5, "lw": 0.8}
    ax.errorbar(x.mean(), y.mean(), fmt=MARKERS[i], ms=4, color=PALETTE[i], label=label, **spreads)


REST = Finding(at_rest, tables_at_rest, draw_at_rest, said_at_rest)
LEARNING = Finding(learning.events, learning_tables, draw_learning, said_of_learning, page="events")
STREAMS = Finding(learning.streams, stream_tables, draw_streams, page="events")
