"""The page on support neurons: rest within a tube, sliding, and shares of support neurons."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from neurosim.plot.page import PALETTE
from tests.evidence import constraints
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

BIASES = {"no biases": False, "with biases": True}
MET = 1e-6  # residual up to which the KKT conditions count as met
MOVED = 1e-5  # distance from which SLSQP counts as having moved


def measure() -> Numbers:
    """Return residuals of every net, errors of every seed, and support neurons of trainings."""
    return {
        "one layer": constraints.tube_one_layer(),
        "two layers": constraints.tube_two_layers(),
        "sliding": constraints.sliding(),
        "support": {name: constraints.support(biases=own) for name, own in BIASES.items()},
    }


def tables(found: Numbers) -> dict[str, str]:
    """Return residuals at rest, errors of sliding, and shares with accuracies."""
    one, two = found["one layer"], found["two layers"]
    quantities = {
        "one hidden layer: residual of the KKT conditions": one["kkt"],
        "one hidden layer: V against SLSQP": one["V"],
        "one hidden layer, mse: output x against SLSQP": one["x"],
        "two hidden layers: residual of the KKT conditions": two["kkt"],
        "two hidden layers: distance that SLSQP moves": two["moves"],
    }
    rest = [[words, *powers(values)] for words, values in quantities.items()]
    slid = []
    for kind, own in found["sliding"].items():
        slid += [[f"`{kind}`", h, *extremes(errors, 100, 3)] for h, errors in own.items()]
    shares = []
    for name, own in found["support"].items():
        for epsilon, trainings in own.items():
            ends = [rows[1] for rows in trainings]
            share = moments(column(ends, "share"), 100)
            shares.append([name, epsilon, *share[:2], *moments(column(ends, "accuracy"), 100)])
    head = ["net", "ε", "support (%)", "sd (%)", "accuracy (%)", "sd (%)", "n"]
    return {
        "rest": table(["quantity", *EXTREMES], rest),
        "sliding": table(
            ["constraint", "dt/τ", *(f"{one} (%)" for one in EXTREMES[:-1]), "n"], slid
        ),
        "shares": table(head, shares),
    }


def draw(found: Numbers) -> Any:
    """Draw residuals in order, and shares and accuracies over epsilon."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(7.2, 2.5), layout="constrained")
    for i, part in enumerate(("one layer", "two layers")):
        values = np.sort(found[part]["kkt"])
        share = np.arange(1, values.size + 1) / values.size
        label = f"{part.split()[0]} hidden, n = {values.size}"
        left.step(values, share, where="post", color=PALETTE[i], label=label)
    left.set(xscale="log", xlabel="residual of the KKT conditions (1)", ylabel="share of nets")
    left.legend(loc="upper left")
    left.set_ylim(0, 1.35)
    left.set_yticks([0, 0.5, 1])
    for i, (name, own) in enumerate(found["support"].items()):
        epsilons = [float(epsilon) for epsilon in own]
        for ax, key in ((middle, "share"), (right, "accuracy")):
            values = []
            for one in own.values():
                values.append([100 * rows[1][key] for rows in one])
            mean, spread = np.mean(values, axis=1), np.std(values, axis=1, ddof=1)
            look: Any = {"color": PALETTE[i + 2], "ms": 3.5, "capsize": 2, "label": name}
            ax.errorbar(epsilons, mean, spread, fmt=f"{MARKERS[i + 2]}-", **look)
    middle.set(xlabel="ε (1)", ylabel="support neurons (%)", ylim=(0, None))
    right.set(xlabel="ε (1)", ylabel="test accuracy (%)")
    middle.legend()
    return figure


def said(found: Numbers) -> list[str]:
    """Return how few neurons are support, and on how many nets the conditions are met."""
    few = []
    for own in found["support"].values():
        few += [fmean(rows[1]["share"] for rows in own["0.05"])]
    two = found["two layers"]
    met, still = np.mean(np.array(two["kkt"]) <= MET), np.mean(np.array(two["moves"]) < MOVED)
    return [
        f"with ε = 0.05 {'fewer' if max(few) < 1 / 5 else 'more'} than a fifth of the hidden "
        "neurons are support",
        f"within 1e-6 on {100 * met:.1f} % of them",
        f"moves by less than 1e-5 on {100 * still:.1f} %",
    ]


FINDING = Finding(measure, tables, draw, said)
