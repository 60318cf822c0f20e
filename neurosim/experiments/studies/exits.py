"""Early exits: whether losses at inner layers bring a deep saddle flow to rest sooner.

The networks of a depth have the same weights between layers with and without exits. Each relaxes
one digit from x = lam = 0. Start at `ExitsStudy`.
"""

from __future__ import annotations

import warnings
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic.dataclasses import dataclass

from neurosim import reference
from neurosim.analysis.stability import critical_rho, stability
from neurosim.data import datasets
from neurosim.errors import DivergenceError, StabilityWarning
from neurosim.experiments.studies.shared import FLOWS as ALL_FLOWS
from neurosim.experiments.studies.shared import TAU, check_data, dots_note, new_table
from neurosim.experiments.studies.study import (
    STRICT,
    Cell,
    Count,
    Finite,
    NotNegative,
    Numbers,
    Positive,
    Study,
    StudySettings,
    one_of,
)
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray

FLOWS = {name: ALL_FLOWS[name]() for name in ("augmented(1)", "rotated(75°)")}
DT = 0.05 * TAU  # s; 0.2 tau is too long for modes that hardly decay
CLOSE = 1e-6  # largest distance of x and lam from backpropagation's at rest
EVERY = 4 * TAU  # s, between two samples
QUICK_DEPTH = 6  # with four layers, no network settles within the quick cap
TICKS = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000)  # tau

QUICK = {
    "seeds": 4,
    "cap": 1200,
    "flows": ["augmented(1)"],
    "offsets": [-0.3],
    "exits": [0.0, 0.3],
}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExitsSettings(StudySettings):
    """Settings of the study; `cap` is the longest relaxation, in tau."""

    seeds: Count
    flows: Annotated[list[str], one_of(FLOWS)]
    offsets: list[Finite]
    exits: list[NotNegative]
    cap: Positive


class ExitsStudy(Study[ExitsSettings]):
    """Time to rest with and without exits."""

    question = (
        "Does a deep saddle flow come to rest sooner, and with less augmentation, "
        "if inner layers have losses?"
    )
    settings_type = ExitsSettings
    varied = ("exits", "offsets", "flows")
    quick_settings = QUICK
    quick_tables = MappingProxyType({"network": {"depth": QUICK_DEPTH}})
    reads = ("network",)

    def make_cells(self) -> list[Cell]:
        """Return every flow, offset of the data and weight of the exits, with every seed.

        The seed is that of the weights and of the digit.
        """
        own = self.settings
        cells = product(own.flows, own.offsets, range(own.seeds), own.exits)
        return [
            {"flow": flow, "offset": offset, "exits": weight, "seed": seed}
            for flow, offset, seed, weight in cells
        ]

    def check(self) -> None:
        """Build the network with every weight of the exits, and the patterns."""
        super().check()
        own = self.settings
        for weight, offset in product(own.exits, own.offsets):
            check_data(self._network(weight, 0), *digit(offset, 0))

    def _network(self, weight: float, seed: int) -> Network:
        return Network.mlp(**self.network_keys("exits", "seed"), exits=weight, seed=seed)

    def measure(self, cell: Cell) -> Numbers:
        """Return the time to rest, and the stability of the saddle point.

        Returns
        -------
        dict
            `time` in tau until x and lam stay within `CLOSE` of backpropagation's, or the cap if
            they do not; `settled`, 0 or 1; `slowest_rate` of the saddle point (1/s; if it is
            negative, the point repels) and `stable`, 0 or 1; `critical_rho` of flows with gamma = 0
            if the study is not quick.
        """
        flow = FLOWS[cell["flow"]]
        cap = self.settings.cap
        net = self._network(cell["exits"], cell["seed"])
        X, Y = digit(cell["offset"], cell["seed"])
        time = settling(net, flow, X, Y, cap)
        rate = stability(net, flow, X, Y).slowest_rate
        numbers = {
            "time": time,
            "settled": float(time < cap),
            "slowest_rate": rate,
            "stable": float(rate > 0),
        }
        if flow.gamma == 0 and not self.quick:
            numbers["critical_rho"] = critical_rho(net, flow, X, Y)
        return numbers

    def table(self, data: xr.Dataset) -> Any:
        """Return counts and medians over the networks; one that never settles counts as the cap."""
        shown = new_table(
            "flow",
            "data",
            "exits",
            "settle",
            "time, median (τ)",
            "paired ratio, median",
            "stable",
            "rate (1/s)",
            "critical ρ",
        )
        for flow, offset in product(data.flow.values, data.offset.values):
            own = data.sel(flow=flow, offset=offset)
            for weight in own.exits.values:
                nets = own.sel(exits=weight).dropna("seed", subset=["time"])
                if nets.seed.size:
                    entries = _entries(nets, own.sel(exits=own.exits[0]))
                    shown.add_row(str(flow), _named(offset), f"{weight:g}", *entries)
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw time to rest with exits over time without, a column per flow, a row per offset."""
        from matplotlib.figure import Figure

        from neurosim.plot import style

        flows = data.flow.values
        offsets = data.offset.values
        width = 3.4 * len(flows) + 0.4
        height = 2.9 * len(offsets) + 0.4
        with style():
            figure = Figure(figsize=(width, height), layout="constrained")
            panels = figure.subplots(len(offsets), len(flows), squeeze=False)
            for row, offset in zip(panels, offsets, strict=True):
                for ax, flow in zip(row, flows, strict=True):
                    own = data.sel(flow=flow, offset=offset)
                    _draw_pairs(ax, own, cap=float(data.time.max()))
                    ax.set_title(f"{flow}, {_named(offset)}")
            for ax in panels[:, 0]:
                ax.set_ylabel("time to rest (τ), with exits")
            for ax in panels[-1]:
                ax.set_xlabel("time to rest (τ), without exits")
            handles, labels = panels.flat[0].get_legend_handles_labels()
            title = dots_note(data)
            figure.legend(handles, labels, loc="outside upper center", ncols=3, title=title)
        return figure


def digit(offset: float, seed: int) -> tuple[Array, Array]:
    """Return one of scikit-learn's digits, / 16 + offset, and its class as a one-hot row."""
    data = datasets.load("digits", offset=offset, test=0.0)
    rng = np.random.default_rng([seed, 1])
    row = [rng.integers(len(data.X))]
    return data.X[row], np.eye(10)[data.Y[row]]


def settling(net: Network, flow: Flow, X: Array, Y: Array, cap: float) -> float:
    """Return the time (tau) after which x and lam stay within `CLOSE` of backpropagation's.

    The relaxation starts at x = lam = 0 and ends at `cap` (tau), which is returned if they do not
    stay within it.
    """
    sim = Simulation(net, flow, dt=DT)
    options: dict[str, Any] = {"settle": CLOSE / 100, "record": ("x", "lam"), "every": EVERY}
    with warnings.catch_warnings():
        # modes outside the stable region are part of the question
        warnings.simplefilter("ignore", StabilityWarning)
        try:
            run = sim.relax(X, Y, duration=cap * TAU, **options)
        except DivergenceError:
            return float(cap)
    assert run.traces is not None
    exact = reference.backprop(net, X, Y)
    far = np.zeros(run.traces.sizes["time"], dtype=bool)
    for variable, truth in (("x", exact.x), ("lam", exact.lam)):
        units = np.concatenate([truth[name] for name in net.neurons], axis=1)
        error = np.abs(run.traces[variable].values - units)
        far |= (error > CLOSE).any(axis=(1, 2))
    last = np.flatnonzero(far)[-1]
    if last + 1 == len(far):
        return float(cap)
    return float(min((last + 1) * EVERY / TAU, cap))


def _entries(nets: xr.Dataset, plain: xr.Dataset) -> list[str]:
    """Return entries of a row: networks with exits of one weight, compared with those without."""
    count = nets.seed.size
    ratio = (nets.time / plain.time).median()
    critical = "-"
    if "critical_rho" in nets and nets.critical_rho.notnull().any():
        critical = f"{float(nets.critical_rho.median()):.2f}"
    return [
        f"{int(nets.settled.sum())} of {count}",
        f"{float(nets.time.median()):,.0f}",
        f"{float(ratio):.2f}",
        f"{int(nets.stable.sum())} of {count}",
        f"{float(nets.slowest_rate.median()):.2g}",
        critical,
    ]


def _named(offset: float) -> str:
    sign = "−" if offset < 0 else "+"
    return f"digits / 16 {sign} {abs(offset):g}"


def _draw_pairs(ax: Any, own: xr.Dataset, cap: float) -> None:
    """Draw a point per network, with lines of equal and of half the time, and at the cap."""
    from neurosim.plot.page import PALETTE

    plain = own.time.sel(exits=own.exits[0])
    weights = own.exits.values[1:]
    for weight, colour, marker in zip(weights, PALETTE[1:], "os^v", strict=False):
        look = {"color": colour, "ms": 4, "alpha": 0.8, "label": f"exits of weight {weight:g}"}
        ax.plot(plain, own.time.sel(exits=weight), marker, **look)
    low = 0.7 * float(own.time.min())
    for share, line, label in ((1.0, "-", "equal time"), (0.5, ":", "half the time")):
        ends = [share * low, share * cap]
        ax.plot([low, cap], ends, line, color="0.6", lw=0.8, zorder=0, label=label)
    ax.axhline(cap, color="0.8", lw=0.8, zorder=0, label="not settled at the end")
    ax.axvline(cap, color="0.8", lw=0.8, zorder=0)
    limits = (low, 1.3 * cap)
    ax.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
    ticks = [tick for tick in TICKS if low < tick <= cap]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(ticks, [f"{tick:,}" for tick in ticks])
        axis.minorticks_off()
