"""Where a saddle flow settles, over seeds and widths: the smallest angle that the spectrum allows.

``python -m tests.evidence.boundary`` writes ``docs/findings/boundary.json`` and the table and the
picture that the page includes. For each depth, width and gain, `SEEDS` nets are drawn. With ρ = 0
and equal time constants, the Jacobian of `Flow.rotated(theta)` at the saddle point is cos θ J₀ +
sin θ J₁, with the Jacobians of `arrow_hurwicz` and `adjoint`; the critical θ is the zero of its
largest growth rate, found by bisection from π/2 down.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

import matplotlib.pyplot as plt

import neurosim as ns
from neurosim.plot import style
from neurosim.plot.page import distinct_color
from neurosim.reference.jacobian import Linearised

Array = np.ndarray

SEEDS = 10
DEPTHS = (2, 3, 4, 6, 8)
WIDTHS = (4, 8, 16)
GAINS = (0.75, 1.0, 1.25, 1.5)
STEPS = 10  # of bisection: θ within 0.1°
FINDINGS = Path(__file__).parent.parent.parent / "docs" / "findings"


def critical_theta(net: ns.Network, X: Array, Y: Array) -> float:
    """Return the largest θ, in degrees, below which the saddle point of one pattern is unstable."""
    truth = ns.reference.backprop(net, X, Y)
    inputs, targets = {"input": X}, {"output": Y}
    parts = []
    for flow in (ns.Flow.arrow_hurwicz(tau_lam=10e-3), ns.Flow.adjoint(tau_lam=10e-3)):
        linear = Linearised(net, flow, truth.x, truth.lam, inputs, targets)
        parts.append(10e-3 * linear.jacobian())
    saddle, relaxation = parts

    def growth(theta: float) -> float:
        mixed = np.cos(theta) * saddle + np.sin(theta) * relaxation
        return float(np.linalg.eigvals(mixed).real.max())

    stable, unstable = np.pi / 2, 0.0
    for _ in range(STEPS):
        middle = (stable + unstable) / 2
        if growth(middle) < 0:
            stable = middle
        else:
            unstable = middle
    return float(np.degrees(stable))


def problem(depth: int, width: int, gain: float, seed: int) -> tuple[ns.Network, Array, Array]:
    """Return a net of equal layers and one random pattern."""
    net = ns.Network.mlp([width] * (depth + 1), loss="mse", gain=gain, seed=seed)
    rng = np.random.default_rng(seed)
    return net, rng.normal(size=(1, width)), rng.normal(size=(1, width))


def measured(seeds: int = SEEDS) -> dict[str, list[float]]:
    """Return the critical θ of each seed, by ``"depth width gain"``."""
    found = {}
    for depth in DEPTHS:
        for width in WIDTHS:
            for gain in GAINS:
                own = [critical_theta(*problem(depth, width, gain, seed)) for seed in range(seeds)]
                found[f"{depth} {width} {gain}"] = own
    return found


def table(found: dict[str, list[float]]) -> str:
    """Return mean and standard deviation over the seeds, one number per cell."""
    head = ["gain", "weight layers"]
    for width in WIDTHS:
        head += [f"width {width}, mean (°)", "sd (°)"]
    lines = [_row(head), _row(["---"] * len(head))]
    for gain in GAINS:
        for depth in DEPTHS:
            cells = [f"{gain:g}", str(depth)]
            for width in WIDTHS:
                own = found[f"{depth} {width} {gain}"]
                cells += [f"{np.mean(own):.1f}", f"{np.std(own, ddof=1):.1f}"]
            lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def draw(found: dict[str, list[float]], path: Path) -> None:
    """Draw the mean critical θ over depth, with a band of one standard deviation."""
    with style():
        figure, axes = plt.subplots(
            1, len(GAINS), figsize=(7.2, 2.4), sharey=True, layout="constrained"
        )
        for ax, gain in zip(axes, GAINS, strict=True):
            for i, width in enumerate(WIDTHS):
                own = np.array([found[f"{depth} {width} {gain}"] for depth in DEPTHS])
                mean, spread = own.mean(axis=1), own.std(axis=1, ddof=1)
                color = distinct_color(i, len(WIDTHS))
                label = f"width {width}"
                ax.plot(DEPTHS, mean, "o-", markersize=3, color=color, label=label)
                look: Any = {"color": color, "alpha": 0.2, "linewidth": 0}
                ax.fill_between(DEPTHS, mean - spread, mean + spread, **look)
            ax.set(title=f"gain {gain:g}", xlabel="weight layers", xticks=DEPTHS, ylim=(0, 92))
        axes[0].set(ylabel="critical θ (°)", yticks=range(0, 91, 30))
        handles, labels = axes[0].get_legend_handles_labels()
        title = f"mean over n = {len(own[0])} nets, band: ± standard deviation"
        figure.legend(handles, labels, loc="outside upper center", ncols=len(WIDTHS), title=title)
        figure.savefig(path, dpi=150)
        plt.close(figure)


def write(found: dict[str, list[float]], folder: Path = FINDINGS) -> None:
    """Write figures, table and picture."""
    about = {
        "version": ns.__version__,
        "seeds": SEEDS,
        "unit": "degree",
        "by": "weight layers, width, gain",
    }
    text = json.dumps({"about": about, "critical_theta": found}, indent=1)
    (folder / "boundary.json").write_text(text + "\n", encoding="utf-8")
    (folder / "boundary-table.txt").write_text(table(found), encoding="utf-8")
    draw(found, folder / "boundary.png")


def boundary() -> str:
    """Measure a sample, and return the largest deviation from the kept figures, in degrees."""
    kept = json.loads((FINDINGS / "boundary.json").read_text(encoding="utf-8"))["critical_theta"]
    worst = 0.0
    for depth, width, gain in ((2, 4, 1.0), (6, 8, 1.25), (4, 16, 1.5)):
        own = critical_theta(*problem(depth, width, gain, 0))
        worst = max(worst, abs(own - kept[f"{depth} {width} {gain}"][0]))
    return f"largest deviation from the kept figures: {worst:.2g}°"


ROWS = {"boundary": boundary}


def main() -> None:
    """Measure all, and write them."""
    parser = argparse.ArgumentParser("python -m tests.evidence.boundary")
    parser.add_argument("--draw", action="store_true", help="draw the kept figures again")
    if parser.parse_args().draw:
        kept = json.loads((FINDINGS / "boundary.json").read_text(encoding="utf-8"))
        write(kept["critical_theta"])
    else:
        write(measured())


if __name__ == "__main__":
    main()
