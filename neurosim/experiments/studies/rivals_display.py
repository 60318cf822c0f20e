"""Table and figure of the study of rivals.

Both are drawn from the data of the study alone. Start at `table` and `figure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.experiments.studies.shared import (
    BACKPROP,
    bars_note,
    dots_note,
    mean_and_spread,
    new_table,
)

if TYPE_CHECKING:
    import xarray as xr

# labels of the data
START, TRAIN = "start", "train"
SYMMETRIC, RANDOM = {"feedback": "symmetric"}, {"feedback": "random"}
CAPTION = (
    "dW: cosine to backpropagation's, at the start and in training; to 1 %: steps until λ is "
    "within 1 % of the adjoint; phases: settlings in succession; state: numbers per unit; "
    "by B: test accuracy with messages through a fixed random B"
)
MARKERS = "osD^vPX*<>h"


def residual(net: str) -> int:
    """Return the number of layers of weights of ``"residual 32"``; 0 for ``"64-32-10"``."""
    if not net.startswith("residual "):
        return 0
    return int(net.removeprefix("residual "))


def depth_of(net: str) -> int:
    """Return the number of layers of weights of a network."""
    return residual(net) or net.count("-")


def chosen(data: xr.Dataset) -> xr.Dataset:
    """Return the trainings, on digits those at the rate that did best on held-out patterns.

    The best rate has the best mean over the seeds.
    """
    trained = data.sel(part=TRAIN)
    if "validation" not in trained:
        return trained.max("rate")
    best = trained.validation.fillna(0.0).mean("seed").argmax("rate")
    has_choice = trained.validation.notnull().any(("rate", "seed"))
    return trained.isel(rate=best).where(has_choice, trained.max("rate"))


def restless(data: xr.Dataset, net: str, method: str) -> bool:
    """Return whether a method was tried at a network's start and did not settle for any seed."""
    if START not in data.part.values:
        return False
    own = data.sel({"part": START, "net": net, "method": method, **SYMMETRIC})
    tried = own.reason.astype(str) != ""
    return bool(tried.any() and not own.cosine.notnull().any())


def table(data: xr.Dataset, methods: Sequence[str]) -> Any:
    """Return cosines at the start, steps to 1 % and accuracies, a section per network.

    Parameters
    ----------
    data : xarray.Dataset
    methods : sequence of str
        All methods, in the order of the rows.
    """
    shown = new_table(
        "method",
        "dW by layer",
        "all of dW",
        "to 1 %",
        "phases",
        "state",
        "in training",
        "test (%)",
        "by B (%)",
        caption=CAPTION,
    )
    trained = chosen(data) if TRAIN in data.part.values else None
    for net in data.net.values:
        shown.add_row(str(net), style="bold")
        for method in _tried(data, methods):
            entries = _start_entries(data, str(net), method)
            entries += _training_entries(trained, str(net), method)
            if any(entry != "-" for entry in entries):
                shown.add_row(method, *entries)
        shown.add_section()
    return shown


def _tried(data: xr.Dataset, methods: Sequence[str]) -> list[str]:
    return [method for method in methods if method in data.method.values]


def _start_entries(data: xr.Dataset, net: str, method: str) -> list[str]:
    entries = ["-"] * 5
    if START in data.part.values:
        at = {"part": START, "net": net, "method": method, **SYMMETRIC}
        start = data.sel(at).max("rate")
        if bool(start.cosine.notnull().any()):
            entries = [
                _layers(start, net),
                mean_and_spread(start.cosine, 3),
                *(_mean_of(start, name, 0) for name in ("steps", "phases", "states")),
            ]
    if restless(data, net, method):
        entries[0] = "does not settle"
    return entries


def _layers(start: xr.Dataset, net: str) -> str:
    """Return the cosines of the layers as text; of a residual network, the lowest alone."""
    if residual(net):
        return f"lowest {_mean(start.lowest, 3)}"
    layers = range(1, 1 + depth_of(net))
    return " ".join(_mean(start[f"layer{i}"], 2) for i in layers)


def _training_entries(trained: xr.Dataset | None, net: str, method: str) -> list[str]:
    if trained is None:
        return ["-"] * 3
    end = trained.sel({"net": net, "method": method})
    symmetric = end.sel(SYMMETRIC)
    through_random = "-"
    if RANDOM["feedback"] in end.feedback.values:
        through_random = mean_and_spread(end.test.sel(RANDOM), 1, 100)
    accuracy = mean_and_spread(symmetric.test, 1, 100)
    return [_mean_of(symmetric, "cosine", 3), accuracy, through_random]


def _mean_of(data: xr.Dataset, name: str, digits: int) -> str:
    """Return the mean of a variable; "-" if the data do not have it."""
    if name not in data:
        return "-"
    return _mean(data[name], digits)


def _mean(values: Any, digits: int) -> str:
    return mean_and_spread(values, digits).split(" ")[0]


def figure(data: xr.Dataset, methods: Sequence[str]) -> Any:
    """Draw the cosine of every layer's gradient at the start, and accuracy against cosine.

    Each has a panel per residual network, the second only if it was trained. If the data have no
    residual networks, all others are drawn.
    """
    from matplotlib.figure import Figure

    from neurosim.plot import style

    deep, trained = _nets_drawn(data)
    count = len(deep) + len(trained)
    with style():
        figure = Figure(figsize=(3.1 * count, 3.4), layout="constrained")
        panels = figure.subplots(1, count, squeeze=False)[0]
        for ax, net in zip(panels, deep, strict=False):
            at = {"part": START, "net": net, **SYMMETRIC}
            start = data.sel(at).max("rate")
            _draw_by_depth(ax, start, depth_of(net), methods)
            ax.set_title(f"{net}, at its start")
            lost = [way for way in _tried(data, methods) if restless(data, net, way)]
            _name_restless(ax, lost)
        for ax, net in zip(panels[len(deep) :], trained, strict=True):
            best = chosen(data).sel({"net": net, **SYMMETRIC})
            _draw_by_cosine(ax, best, methods)
            ax.set_title(f"{net}, trained")
        handles, names = panels[0].get_legend_handles_labels()
        columns = 1 + 3 * len(panels) // 2  # as many as fit above the panels
        title = f"bands: {bars_note(data)}" if deep else dots_note(data)
        columns = min(len(names), columns)
        figure.legend(handles, names, loc="outside upper center", ncols=columns, title=title)
    return figure


def _nets_drawn(data: xr.Dataset) -> tuple[list[str], list[str]]:
    """Return the networks drawn at their start, and as trained: residual ones, or else all."""
    nets = [str(net) for net in data.net.values]
    deep = []
    for net in nets:
        if residual(net) and f"layer{residual(net)}" in data:
            deep.append(net)
    deep = deep or nets
    trained = []
    for net in deep:
        if "test" not in data:
            continue
        if bool(data.test.sel(net=net).notnull().any()):
            trained.append(net)
    if START not in data.part.values:
        deep = []
    return deep, trained


def _name_restless(ax: Any, methods: Sequence[str]) -> None:
    """Write the methods that did not settle into a panel."""
    if methods:
        text = f"did not settle: {', '.join(methods)}"
        ax.text(0.03, 0.03, text, transform=ax.transAxes, fontsize="small")


def _look(methods: Sequence[str], method: str) -> dict[str, Any]:
    """Return colour and marker of a method."""
    from neurosim.plot.page import PALETTE

    i = list(methods).index(method)
    colour = PALETTE[i % len(PALETTE)]
    return {"color": colour, "marker": MARKERS[i % len(MARKERS)]}


def _draw_by_depth(ax: Any, start: xr.Dataset, depth: int, methods: Sequence[str]) -> None:
    """Draw the mean over the seeds, a line per method; the band is the spread."""
    from matplotlib.ticker import MaxNLocator

    from neurosim.plot.page import PALETTE

    layers = np.arange(1, depth + 1)
    every = max(depth // 8, 1)
    for method in _tried(start, methods):
        own = start.sel({"method": method})
        cosines = np.stack([own[f"layer{i}"].values for i in layers])  # (layers, seeds)
        if method == BACKPROP or not np.isfinite(cosines).any():
            continue
        middle = np.nanmean(cosines, axis=1)
        spread = np.nanstd(cosines, axis=1)
        look = _look(methods, method)
        dash = "--" if list(methods).index(method) >= len(PALETTE) else "-"
        ax.plot(layers, middle, dash, markevery=every, ms=4, label=method, **look)
        low = middle - spread
        high = middle + spread
        ax.fill_between(layers, low, high, color=look["color"], alpha=0.15, lw=0)
    ax.set(xlabel="layer of weights", ylabel="cosine of dW to BP (1)", ylim=(-0.25, 1.05))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_by_cosine(ax: Any, trained: xr.Dataset, methods: Sequence[str]) -> None:
    """Draw test accuracy against the mean cosine of the whole gradient, a point per seed."""
    for method in _tried(trained, methods):
        own = trained.sel({"method": method})
        at = np.ones(own.test.size)
        if method != BACKPROP and "cosine" in own:
            at = own.cosine.values
        if np.isfinite(own.test.values).any():
            look = _look(methods, method)
            ax.plot(at, 100 * own.test.values, ls="", ms=4, **look)
    ax.set(
        xlabel="cosine of dW to BP in training (1)", ylabel="test accuracy (%)", xlim=(-0.05, 1.05)
    )
