"""The page on settling: what the spectrum predicts, beside simulations, and Hopf points."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from neurosim.plot.page import PALETTE
from tests.evidence import stability
from tests.evidence.findings.finding import EXTREMES, Finding, Numbers, column, powers, table

NETS = range(8)  # with a Hopf point
LARGE = "import json; from tests.evidence import stability; print(json.dumps(stability.large()))"


def measure() -> Numbers:
    """Return errors of predictions, Hopf points by net, and the cost of a large spectrum."""
    own = subprocess.run(  # a process of its own, as memory is counted
        [sys.executable, "-c", LARGE], check=True, stdout=subprocess.PIPE, text=True
    )
    return {
        "large": json.loads(own.stdout),
        "predictions": stability.predictions(),
        "hopf": [_finite(stability.hopf(seed)) for seed in NETS],
    }


def _finite(row: Numbers) -> Numbers:
    """Return a row with None for what is not finite."""
    found = {}
    for name, value in row.items():
        is_number = isinstance(value, float)
        found[name] = None if is_number and not math.isfinite(value) else value
    return found


def tables(found: Numbers) -> dict[str, str]:
    """Return a table of errors, of Hopf points and of costs."""
    errors = []
    for name, values in found["predictions"].items():
        errors.append([name, *powers([100 * value for value in values])])
    nets = []
    for row in found["hopf"]:
        cells = [f"{100 * row[name]:+.2f}" for name in ("onset", "small", "period")]
        nets.append([str(row["seed"]), row["kind"], f"{row['theta']:.4f}", *cells])
    costs = []
    for name, row in found["large"].items():
        costs.append([f"`{name}`", f"{row['processor']:.1f}", f"{row['memory']:.2f}"])
    deviations = [f"{name} (%)" for name in EXTREMES[:-1]]
    head = ["net", "kind", "θ (rad)", "onset (%)", "small (%)", "at 0.995 θ (%)"]
    return {
        "predictions": table(["prediction", *deviations, "n"], errors),
        "hopf": table(head, nets),
        "large": table(["flow", "time of processor (s)", "peak memory (GB)"], costs),
    }


def draw(found: Numbers) -> Any:
    """Draw errors of predictions, and periods of the ringing beyond the Hopf points."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(7.0, 2.7), layout="constrained", width_ratios=(1.2, 1)
    )
    names = list(found["predictions"])
    for place, name in enumerate(names):
        values = 100 * np.array(found["predictions"][name])
        offsets = np.linspace(-0.25, 0.25, values.size)
        left.semilogx(values, place + offsets, "o", ms=3, color=PALETTE[0])
    labels = [f"{name}, n = {len(found['predictions'][name])}" for name in names]
    left.set_yticks(range(len(names)), labels)
    left.set(xlabel="relative error (%)", title="predicted and simulated")
    left.invert_yaxis()
    shown = (("small", "while small"), ("period", "of the cycle"))
    for i, (name, label) in enumerate(shown):
        values = 100 * np.array(column(found["hopf"], name))
        right.plot(np.array(NETS), values, "os"[i], ms=4, color=PALETTE[i], label=label)
    for row in found["hopf"]:
        if row["kind"] == "subcritical":
            at = (row["seed"], 100 * row["period"])
            right.annotate("subcritical", at, (5, -3), textcoords="offset points", fontsize=7)
    right.axhline(0, color="0.6", lw=0.8)
    right.set(xlabel="net", ylabel="period, over 1/frequency (%)", xticks=NETS)
    right.set_title("0.5 % of θ beyond the Hopf point")
    right.set_ylim(-1, 10.5)
    right.legend(loc="upper left")
    return figure


def said(found: Numbers) -> list[str]:
    """Return the largest errors of predictions and of onsets."""
    worst = max(max(errors) for errors in found["predictions"].values())
    onset = max(abs(row["onset"]) for row in found["hopf"])
    kinds = [row["kind"] for row in found["hopf"]]
    return [
        f"within {100 * worst:.2f} %",
        f"onset of ringing within {100 * onset:.2f} %",
        f"{kinds.count('subcritical')} of the {len(kinds)} nets is subcritical",
    ]


FINDING = Finding(measure, tables, draw, said)
