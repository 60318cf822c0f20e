"""Figures of exits, skips, policies and Hebbian layers, as the studies measure them.

Each line says what is claimed beside what was found. A study's cells that are done are kept in
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
    return studies.run(studies.load(name, overrides), FOLDER / name, progress=True)[0]


def of_exits() -> str:
    """Paired nets, ten layers of 16, with and without exits of weight 0.3."""
    data = _data("exits", ['study.flows=["augmented(1)"]', "study.exits=[0.0, 0.3]"]).squeeze(
        ["flow", "offset"]
    )
    with_them, without = (data.sel(exits=e) for e in (0.3, 0.0))
    ratio = with_them.time / without.time
    both = float(ratio.where(without.settled * with_them.settled == 1).median())
    return (
        f"{int(without.settled.sum())} -> {int(with_them.settled.sum())} of "
        f"{data.seed.size} settle; median time "
        f"{float(without.time.median()):.0f} -> {float(with_them.time.median()):.0f} "
        "tau (claimed: half), median "
        f"of the paired ratios {float(ratio.median()):.2f}, of nets that settle both "
        f"ways {both:.2f}"
    )


def of_skips() -> str:
    """Cosine of the gradient at 0.05 rad a frame over plain, mean of the nets."""
    data = _data("skips", ["study.speeds=[0.05]"]).cosine.squeeze("speed").mean("seed")
    lines = [
        f"{depth} layers: "
        + ", ".join(f"{w} {float(data.sel(depth=depth, wiring=w)):.3f}" for w in data.wiring.values)
        for depth in data.depth.values
    ]
    return "; ".join(lines) + " (claimed: skips at least 0.04 over plain)"


def of_policy() -> str:
    """Best choices of the bandit over ten seeds; carts that stay up, over five."""
    data = _data("policy", ['study.flows=["backprop", "adjoint"]']).sel(start="acting")
    best, carts = data.best.sel(task="bandit"), data.sel(task="cartpole")
    return "; ".join(
        f"{flow}: {100 * float(best.sel(flow=flow).mean()):.1f} % best choices "
        "(claimed: 93), worst seed "
        f"{100 * float(best.sel(flow=flow).min()):.1f}; carts solved by "
        f"{int(carts.solved.sel(flow=flow).sum())} of "
        f"{int(carts.solved.sel(flow=flow).count())} seeds within 300 episodes "
        "(claimed: 4 of 5), last after "
        f"{float(carts.episodes.sel(flow=flow).max()):.0f}"
        for flow in data.flow.values
    )


def of_hebb() -> str:
    """Test accuracy on MNIST-5k, 1000 units."""
    data = (
        _data("hebb", ["study.units=[1000]", 'study.rules=["oja", "random"]']).test.squeeze("units")
        * 100
    )
    oja, random = (data.sel(rule=r).mean() for r in ("oja", "random"))
    return f"oja {float(oja):.1f} % (claimed: 94), random features {float(random):.1f} % (claimed: 4 less)"


ROWS: dict[str, Callable[[], Any]] = {
    "exits": of_exits,
    "skips": of_skips,
    "policy": of_policy,
    "hebb": of_hebb,
}
