"""Early exits: readouts at inner layers, each with its share of the loss, and what they do to a
deep saddle's rest.

Nets of one depth, one digit each, from x = lam = 0; with and without exits the weights between
layers are the same. Start at `measure`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import Flow, Network, Simulation, reference
from neurosim.analysis.stability import critical_rho, stability
from neurosim.data import datasets
from neurosim.errors import DivergenceError, StabilityWarning, unknown

if TYPE_CHECKING:
    import xarray as xr

QUESTION = (
    "Do losses at inner layers let a deep saddle come to rest sooner, and with less augmentation?"
)
VARIED = ("exits", "offsets", "flows")
FLOWS = {"augmented(1)": Flow.augmented(1), "rotated(75°)": Flow.rotated(np.radians(75))}
TAU = 10e-3  # s
DT = 0.05 * TAU  # at 0.2 tau Euler's step is too long for modes that hardly decay
CLOSE = 1e-6  # of x and lam to backpropagation's: at rest
EVERY = 4 * TAU  # s, between two looks
QUICK = {"seeds": 4, "cap": 1200, "flows": ["augmented(1)"], "offsets": [-0.3], "exits": [0.0, 0.3]}
QUICK_DEPTH = 6  # of ten layers, no net of four settles that soon


def cells(settings: Mapping[str, Any], quick: bool) -> list[dict[str, Any]]:
    """Every flow, offset of the data and weight of the exits, with every seed of weights and digit."""
    own = _own(settings, quick)
    for flow in own["flows"]:
        if flow not in FLOWS:
            raise unknown("study.flows", flow, FLOWS)
    return [
        {"flow": flow, "offset": float(offset), "exits": float(weight), "seed": seed}
        for flow in own["flows"]
        for offset in own["offsets"]
        for seed in range(own["seeds"])
        for weight in own["exits"]
    ]


def measure(cell: Mapping[str, Any], settings: Mapping[str, Any], quick: bool) -> dict[str, float]:
    """Time until x and lam are within 1e-6 of backpropagation's for good (the cap if never), modes,
    critical rho.

    Returns
    -------
    dict
        `time` in tau; `settled`, 0 or 1; `slowest_rate` of the saddle point (1/s, negative: it is
        left), `stable`; `critical_rho`, of saddles, if not `quick`.
    """
    cap, flow = _own(settings, quick)["cap"], FLOWS[cell["flow"]]
    shape = settings["network"] | ({"depth": QUICK_DEPTH} if quick else {})
    net = Network.mlp(**shape, exits=cell["exits"], seed=cell["seed"])
    X, Y = digit(cell["offset"], cell["seed"])
    time = settling(net, flow, X, Y, cap)
    rate = stability(net, flow, X, Y).slowest_rate
    found = {
        "time": time,
        "settled": float(time < cap),
        "slowest_rate": rate,
        "stable": float(rate > 0),
    }
    return found | (
        {"critical_rho": critical_rho(net, flow, X, Y)} if flow.gamma == 0 and not quick else {}
    )


def digit(offset: float, seed: int) -> tuple[Any, Any]:
    """One of scikit-learn's digits, / 16 + offset, and its class as a row of 0 and 1."""
    data = datasets.load("digits", offset=offset, test=0.0)
    row = np.random.default_rng([seed, 1]).integers(len(data.X))
    return data.X[[row]], np.eye(10)[data.Y[[row]]]


def settling(net: Network, flow: Flow, X: Any, Y: Any, cap: float) -> float:
    """Time (tau) from x = lam = 0 after which both stay within `CLOSE` of backpropagation's; `cap`
    if they do not.
    """
    sim = Simulation(net, flow, dt=DT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StabilityWarning)  # what does not hold is what is asked
        try:
            run = sim.relax(
                X, Y, duration=cap * TAU, settle=CLOSE / 100, record=("x", "lam"), every=EVERY
            )
        except DivergenceError:
            return float(cap)
    assert run.traces is not None
    truth = reference.backprop(net, X, Y)
    far = np.zeros(run.traces.sizes["time"], dtype=bool)
    for variable, exact in (("x", truth.x), ("lam", truth.lam)):
        found = run.traces[variable].values
        far |= (
            np.abs(found - np.concatenate([exact[n] for n in net.neurons], axis=1)) > CLOSE
        ).any(axis=(1, 2))
    last = np.flatnonzero(far)[-1]
    return float(min((last + 1) * EVERY / TAU, cap)) if last + 1 < len(far) else float(cap)


def table(data: xr.Dataset) -> Any:
    """Over the nets: settled, time (the cap where one never settles), stable, slowest rate,
    critical rho; medians.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(
        "flow",
        "data",
        "exits",
        "settle",
        "time, median (τ)",
        "paired ratio, median",
        "stable",
        "rate (1/s)",
        "critical ρ",
        box=SIMPLE_HEAD,
    )
    for flow in data.flow.values:
        for offset in data.offset.values:
            own = data.sel(flow=flow, offset=offset)
            for weight in own.exits.values:
                these, plain = (
                    own.sel(exits=weight).dropna("seed", subset=["time"]),
                    own.sel(exits=own.exits[0]),
                )
                if not these.seed.size:
                    continue
                ratio = (these.time / plain.time).median()
                rho = (
                    f"{float(these.critical_rho.median()):.2f}" if "critical_rho" in these else "-"
                )
                shown.add_row(
                    str(flow),
                    _named(offset),
                    f"{weight:g}",
                    f"{int(these.settled.sum())} of {these.seed.size}",
                    f"{float(these.time.median()):,.0f}",
                    f"{float(ratio):.2f}",
                    f"{int(these.stable.sum())} of {these.seed.size}",
                    f"{float(these.slowest_rate.median()):.2g}",
                    rho if rho != "nan" else "-",
                )
    return shown


def figure(data: xr.Dataset) -> Any:
    """Time to rest with exits over that without, net by net; a column a flow, a row an offset."""
    from matplotlib.figure import Figure

    from neurosim.plot import style
    from neurosim.plot.drawing import PALETTE

    flows, offsets, weights = data.flow.values, data.offset.values, data.exits.values[1:]
    cap = float(data.time.max())
    with style():
        figure = Figure(
            figsize=(3.4 * len(flows) + 0.4, 2.9 * len(offsets) + 0.4), layout="constrained"
        )
        panels = figure.subplots(len(offsets), len(flows), squeeze=False)
        for row, offset in zip(panels, offsets, strict=True):
            for ax, flow in zip(row, flows, strict=True):
                own = data.sel(flow=flow, offset=offset)
                for weight, colour, marker in zip(weights, PALETTE[1:], "os^v", strict=False):
                    ax.plot(
                        own.time.sel(exits=data.exits[0]),
                        own.time.sel(exits=weight),
                        marker,
                        color=colour,
                        ms=4,
                        alpha=0.8,
                        label=f"exits of weight {weight:g}",
                    )
                _compared(ax, own, cap)
                ax.set_title(f"{flow}, {_named(offset)}")
        for ax in panels[:, 0]:
            ax.set_ylabel("time to rest (τ), with exits")
        for ax in panels[-1]:
            ax.set_xlabel("time to rest (τ), without exits")
        figure.legend(
            *panels.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3
        )
    return figure


def _named(offset: float) -> str:
    return f"digits / 16 {'−' if offset < 0 else '+'} {abs(offset):g}"


def _compared(ax: Any, own: xr.Dataset, cap: float) -> None:
    """Equal times, half of them, and the cap, at which what never came to rest is drawn."""
    low = 0.7 * float(own.time.min())
    for share, line in ((1.0, "-"), (0.5, ":")):
        ax.plot([low, cap], [share * low, share * cap], line, color="0.6", lw=0.8, zorder=0)
    ax.axhline(cap, color="0.8", lw=0.8, zorder=0)
    ax.axvline(cap, color="0.8", lw=0.8, zorder=0)
    ax.set(xscale="log", yscale="log", xlim=(low, 1.3 * cap), ylim=(low, 1.3 * cap))
    ticks = [t for t in (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000) if low < t <= cap]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(ticks, [f"{t:,}" for t in ticks])
        axis.minorticks_off()


def _own(settings: Mapping[str, Any], quick: bool) -> dict[str, Any]:
    return dict(settings["study"]) | (QUICK if quick else {})
