"""A part of the page on rivals: each rival beside its own exact gradient."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from neurosim.plot.page import PALETTE
from tests.evidence import rivals
from tests.evidence.findings.finding import EXTREMES, Finding, Numbers, powers, table


def away(cosines: list[float]) -> list[float]:
    """Return how far cosines are from 1."""
    return [1 - cosine for cosine in cosines]


def tables(found: Numbers) -> dict[str, str]:
    """Return the distances of cosines from 1, by method."""
    rows = [[method, *powers(away(cosines))] for method, cosines in found.items()]
    return {"table": table(["method", *EXTREMES], rows)}


def draw(found: Numbers) -> Any:
    """Draw the distances of cosines from 1, a point per gradient, a row per method."""
    figure, ax = plt.subplots(figsize=(5.4, 2.3), layout="constrained")
    for place, cosines in enumerate(found.values()):
        values = np.maximum(away(cosines), np.finfo(float).eps)  # rounding may give less than 0
        offsets = np.linspace(-0.25, 0.25, values.size)
        ax.semilogx(values, place + offsets, "o", ms=3, color=PALETTE[0])
    labels = [f"{method}, n = {len(cosines)}" for method, cosines in found.items()]
    ax.set_yticks(range(len(found)), labels)
    ax.set(xlabel="1 − cosine of the gradient to the exact one (1)")
    ax.invert_yaxis()
    return figure


def said(found: Numbers) -> list[str]:
    """Return the smallest cosine of all."""
    lowest = min(min(cosines) for cosines in found.values())
    return [f"a cosine of at least {np.floor(1e4 * lowest) / 1e4:.4f}"]


FINDING = Finding(rivals.against_own_gradients, tables, draw, said, page="rivals")
