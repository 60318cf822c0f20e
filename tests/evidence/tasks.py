"""Figures of exits, skips, policies and Hebbian layers, as the studies measure them.

Each line gives the claimed figure beside the measured one. Finished cells of a study are kept in
``runs/studies``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neurosim.experiments import studies

FOLDER = Path("runs", "studies")


def _data(name: str, overrides: Sequence[str] = ()) -> xr.Dataset:
    """Run the cells of a study that are missing, and return its data."""
    return studies.run(studies.load(name, overrides), FOLDER / name, progress=True)[0]


def of_exits() -> str:
    """Compare paired nets, ten layers of 16, with and without exits of weight 0.3."""
    data = _data("exits", ['study.flows=["augmented(1)"]', "study.exits=[0.0, 0.3]"])
    data = data.squeeze(["flow", "offset"])
    with_them, without = (data.sel(exits=e) for e in (0.3, 0.0))
    ratio = with_them.time / without.time
    both = float(ratio.where(without.settled * with_them.settled == 1).median())
    return (
        f"{int(without.settled.sum())} -> {int(with_them.settled.sum())} of {data.seed.size} "
        f"settle; median time {float(without.time.median()):.0f} -> "
        f"{float(with_them.time.median()):.0f} tau (claimed: half), "
        f"median of the paired ratios {float(ratio.median()):.2f}, "
        f"of nets that settle both ways {both:.2f}"
    )


def of_skips() -> str:
    """Return the mean cosine of the gradient at 0.05 rad per frame, by depth and wiring."""
    data = _data("skips", ["study.speeds=[0.05]"]).cosine.squeeze("speed").mean("seed")
    lines = []
    for depth in data.depth.values:
        own = data.sel(depth=depth)
        cosines = [f"{wiring} {float(own.sel(wiring=wiring)):.3f}" for wiring in own.wiring.values]
        lines.append(f"{depth} layers: {', '.join(cosines)}")
    return "; ".join(lines) + " (claimed: skips at least 0.04 over plain)"


def of_policy() -> str:
    """Return by flow the best choices of the bandit in %, and the seeds that solve CartPole."""
    data = _data("policy", ['study.flows=["backprop", "adjoint"]']).sel(start="acting")
    lines = []
    for flow in data.flow.values:
        best = 100 * data.best.sel(task="bandit", flow=flow)
        carts = data.sel(task="cartpole", flow=flow)
        solved, seeds = int(carts.solved.sum()), int(carts.solved.count())
        lines.append(
            f"{flow}: {float(best.mean()):.1f} % best choices (claimed: 93), "
            f"worst seed {float(best.min()):.1f}; "
            f"carts solved by {solved} of {seeds} seeds within 300 episodes (claimed: 4 of 5), "
            f"last after {float(carts.episodes.max()):.0f}"
        )
    return "; ".join(lines)


def of_hebb() -> str:
    """Return the test accuracy on MNIST-5k with 1000 units, of Oja's rule and random features."""
    data = _data("hebb", ["study.units=[1000]", 'study.rules=["oja", "random"]'])
    test = 100 * data.test.squeeze("units")
    oja, random = float(test.sel(rule="oja").mean()), float(test.sel(rule="random").mean())
    return f"oja {oja:.1f} % (claimed: 94), random features {random:.1f} % (claimed: 4 less)"


ROWS: dict[str, Callable[[], Any]] = {
    "exits": of_exits,
    "skips": of_skips,
    "policy": of_policy,
    "hebb": of_hebb,
}
