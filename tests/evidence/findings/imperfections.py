"""Parts of the page on imperfections: the bias of ρg, prospective messages, and what is lost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt

from tests.evidence import imperfections
from tests.evidence.findings.finding import EXTREMES, Finding, Numbers, extremes, points, table

FLOWS = {
    "augmented1": "augmented(1)",
    "augmented2": "augmented(2)",
    "damped": "damped",
    "rotated": "rotated(75°)",
}
LAWS = {"law": "−ρσ²mean(σ′)W", "stein": "σ²mean(σ″μ − ρσ′²)W"}
RATES = {"clean rate": "best without the delay", "own rate": "best here"}
MESSAGES = {"plain": "plain", "exact": "prospective", "low_pass": "low-pass"}
LACKS = {
    "message_noise": "message noise of sd 1",
    "lost_zero": "30 % of messages read as zero",
    "delay": "a delay of τ",
}


def anew(measure: Callable[[Path], Any]) -> Any:
    """Return what a function of a folder measures in an empty one."""
    with tempfile.TemporaryDirectory() as folder:
        return measure(Path(folder))


# The bias of ρg under noise


def stein() -> Numbers:
    """Return ratios to two laws, one of each seed, by flow and sd of the noise."""
    found: Numbers = {}
    for flow, own in anew(imperfections.bias_ratios).items():
        found[flow] = {f"{sd:g}": ratios for sd, ratios in own.items()}
    return found


def stein_tables(found: Numbers) -> dict[str, str]:
    """Return the ratios by flow, noise and law."""
    rows = []
    for flow, own in found.items():
        for sd, ratios in own.items():
            for law, words in LAWS.items():
                rows.append([f"`{FLOWS[flow]}`", sd, words, *extremes(ratios[law], 1, 3)])
    return {"table": table(["flow", "σ", "law", *EXTREMES], rows)}


def draw_stein(found: Numbers) -> Any:
    """Draw ratios over the noise, a panel per flow."""
    figure, axes = plt.subplots(1, 2, figsize=(6.0, 2.5), sharey=True, layout="constrained")
    for ax, (flow, own) in zip(axes, found.items(), strict=True):
        for place, ratios in enumerate(own.values()):
            for i, (law, label) in enumerate((("law", "first law"), ("stein", "Stein's law"))):
                points(ax, place, ratios[law], i, label=label if place == 0 else None)
        ax.axhline(1, color="0.6", lw=0.8, zorder=0)
        ax.set_xticks(range(len(own)), list(own))
        ax.set(title=FLOWS[flow], xlabel="sd σ of the noise (1)", ylim=(0, 1.15))
    axes[0].set(ylabel="bias of ρg over the law")
    axes[0].legend(loc="lower left")
    return figure


def said_of_stein(found: Numbers) -> list[str]:
    """Return how far the means are from Stein's law."""
    away = []
    for own in found.values():
        for ratios in own.values():
            away.append(100 * abs(fmean(ratios["stein"]) - 1))
    return [f"within {max(away):.1f} %"]


# Prospective messages


def prospective() -> Numbers:
    """Return accuracies of every seed, and how many trainings of saddle flows diverged."""

    def both(folder: Path) -> Numbers:
        found = imperfections.accuracies(folder)
        return {"accuracy": found, "diverged": imperfections.diverged(folder)}

    found: Numbers = anew(both)
    return found


def prospective_tables(found: Numbers) -> dict[str, str]:
    """Return accuracies by condition, rate and messages, and trainings that diverged."""
    rows = []
    for name, rates in found["accuracy"].items():
        for rate, ways in rates.items():
            if name == "clean" and rate == "own rate":
                continue  # the same
            words = "a delay of τ" if name == "delay" else "clean"
            for way, values in ways.items():
                rows.append([words, RATES[rate], MESSAGES[way], *extremes(values)])
    lost = []
    for flow, own in found["diverged"].items():
        lost.append([f"`{FLOWS[flow]}`", str(own["diverged"]), str(own["of"])])
    head = ["condition", "learning rate", "messages", *(f"{one} (%)" for one in EXTREMES[:-1])]
    return {
        "table": table([*head, "n"], rows),
        "diverged": table(["flow", "trainings that diverged", "trainings"], lost),
    }


def draw_prospective(found: Numbers) -> Any:
    """Draw accuracies of every seed, by condition and rate."""
    figure, ax = plt.subplots(figsize=(5.6, 2.7), layout="constrained")
    conditions = (("clean", "clean rate"), ("delay", "clean rate"), ("delay", "own rate"))
    for place, (name, rate) in enumerate(conditions):
        for i, (way, label) in enumerate(MESSAGES.items()):
            values = found["accuracy"][name][rate][way]
            at = place + 0.27 * (i - 1)
            points(ax, at, values, i, 0.1, label=label if place == 0 else None)
    names = ["clean", "a delay of τ,\nrate best without it", "a delay of τ,\nrate best with it"]
    ax.set_xticks(range(3), names)
    ax.set(ylabel="test accuracy (%)")
    ax.axhline(10, color="0.6", lw=0.8, zorder=0)
    ax.annotate("chance", (2.4, 10), (0, 2), textcoords="offset points", ha="right", fontsize=7)
    ax.legend(title="messages", loc="center left", fontsize=7, title_fontsize=7)
    return figure


# What imperfections cost


def losses() -> Numbers:
    """Return what is lost and the cosine of λ, one of each seed, by flow and imperfection."""
    found: Numbers = anew(imperfections.losses)
    return found


def loss_tables(found: Numbers) -> dict[str, str]:
    """Return the points of accuracy that are lost."""
    rows = []
    for flow, kinds in found.items():
        for kind, own in kinds.items():
            rows.append([LACKS[kind], f"`{FLOWS[flow]}`", *extremes(own["lost"])])
    return {"table": table(["imperfection", "flow", *EXTREMES], rows)}


def draw_losses(found: Numbers) -> Any:
    """Draw the points of accuracy that are lost, a point per seed."""
    figure, ax = plt.subplots(figsize=(5.2, 2.5), layout="constrained")
    for i, (flow, kinds) in enumerate(found.items()):
        for place, own in enumerate(kinds.values()):
            label = FLOWS[flow] if place == 0 else None
            points(ax, place + 0.4 * (i - 0.5), own["lost"], i, 0.15, label=label)
    ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    names = ["message noise\nof sd 1", "30 % of messages\nread as zero", "a delay of τ"]
    ax.set_xticks(range(3), names)
    ax.set(ylabel="accuracy lost (points)")
    ax.legend()
    return figure


STEIN = Finding(stein, stein_tables, draw_stein, said_of_stein, page="imperfections")
PROSPECTIVE = Finding(prospective, prospective_tables, draw_prospective, page="imperfections")
LOSSES = Finding(losses, loss_tables, draw_losses, page="imperfections")
