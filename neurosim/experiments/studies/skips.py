"""Temporal skips: a stream without pauses, in which errors return to inputs that have moved on.

With dt = tau a frame reaches a layer as many frames late as the layer is deep, and its error later
still. Projections that skip layers shorten both ways. Start at `SkipsStudy`.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic.dataclasses import dataclass

from neurosim import reference
from neurosim.experiments.studies.shared import (
    TAU,
    bars_note,
    check_data,
    mean_and_spread,
    new_table,
)
from neurosim.experiments.studies.study import (
    STRICT,
    Cell,
    Count,
    Numbers,
    Positive,
    Study,
    StudySettings,
    one_of,
)
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.reference.functions import plastic, plastic_biases
from neurosim.results.metrics import cosine
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
State = dict[str, Array]  # by population

# arguments of `Network.mlp`
WIRINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "skips": {"skips": 3},
    "exits": {"exits": 0.3},
    "skips and exits": {"skips": 3, "exits": 0.3},
}
FRAMES = 300  # of a stream; each is shown for TAU, which is also the step
EVERY = 5  # frames between two comparisons, all in the second half of the stream

QUICK = {"seeds": 2, "depths": [6]}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SkipsSettings(StudySettings):
    """Settings of the study; speeds are in rad per frame."""

    seeds: Count
    wirings: Annotated[list[str], one_of(WIRINGS)]
    depths: list[Count]
    speeds: list[Positive]


class SkipsStudy(Study[SkipsSettings]):
    """Cosine of a stream's gradient to backpropagation's, by wiring."""

    question = (
        "In a stream without pauses, do projections that skip layers keep the gradient accurate?"
    )
    settings_type = SkipsSettings
    reads = ("network",)
    varied = ("wirings", "depths", "speeds")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every wiring, depth and speed, with every seed of weights and stream."""
        own = self.settings
        cells = product(own.depths, own.speeds, own.wirings, range(own.seeds))
        return [
            {"wiring": wiring, "depth": depth, "speed": speed, "seed": seed}
            for depth, speed, wiring, seed in cells
        ]

    def check(self) -> None:
        """Build every wiring at every depth, and the targets of a stream."""
        super().check()
        own = self.settings
        for wiring, depth in product(own.wirings, own.depths):
            net = self._network(wiring, depth, 0)
            ends = net.populations["input"].size, net.populations["output"].size
            check_data(net, *turning(own.speeds[0], *ends, 0))

    def _network(self, wiring: str, depth: int, seed: int) -> Network:
        shape = self.network_keys("depth", "seed", "skips", "exits")
        return Network.mlp(**shape, **WIRINGS[wiring], depth=depth, seed=seed)

    def measure(self, cell: Cell) -> Numbers:
        """Return the `cosine` of the whole gradient to backpropagation's, mean over the samples.

        Backpropagation's gradient is that of the frame shown last.
        """
        net = self._network(cell["wiring"], cell["depth"], cell["seed"])
        inputs = net.populations["input"].size
        outputs = net.populations["output"].size
        X, Y = turning(cell["speed"], inputs, outputs, cell["seed"])
        flow = Flow.adjoint(tau_x=TAU, tau_lam=TAU)
        sim = Simulation(net, flow, dt=TAU, backend="numpy")
        traces = sim.stream(X, Y, per_frame=TAU, record=("x", "lam")).traces
        assert traces is not None
        found = []
        for sample in range(FRAMES // 2, FRAMES, EVERY):
            # a sample is taken at the end of the frame before it
            frame = X[[sample - 1]], Y[[sample - 1]]
            x, lam = state_at(traces, net, sample)
            found.append(gradient_cosine(net, flow, x, lam, *frame))
        return {"cosine": float(np.mean(found))}

    def table(self, data: xr.Dataset) -> Any:
        """Return the cosine by wiring, and its gain over the plain wiring, network by network."""
        shown = new_table(
            "layers",
            "rad per frame",
            "wiring",
            "cosine to backpropagation",
            "over plain, mean",
            "over plain, worst net",
        )
        for depth, speed in product(data.depth.values, data.speed.values):
            own = data.cosine.sel(depth=depth, speed=speed)
            for wiring in own.wiring.values:
                cosines = own.sel(wiring=wiring)
                gain = cosines - own[{"wiring": 0}]
                mean_gain = float(gain.mean())
                worst_gain = float(gain.min())
                shown.add_row(
                    f"{depth}",
                    f"{speed:g}",
                    str(wiring),
                    mean_and_spread(cosines, 3),
                    f"{mean_gain:+.3f}",
                    f"{worst_gain:+.3f}",
                )
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw the cosine over the speed of the stream, a line per wiring, a panel per depth."""
        from matplotlib.figure import Figure

        from neurosim.plot import style

        with style():
            figure = Figure(figsize=(2.9 * data.depth.size + 0.4, 2.9), layout="constrained")
            panels = figure.subplots(1, data.depth.size, squeeze=False, sharey=True)[0]
            for ax, depth in zip(panels, data.depth.values, strict=True):
                draw_cosines(ax, data.cosine.sel(depth=depth))
                ax.set_title(f"{depth} layers of weights")
            panels[0].set_ylabel("cosine of the gradient (1)")
            handles, labels = panels[0].get_legend_handles_labels()
            title = bars_note(data)
            figure.legend(handles, labels, loc="outside upper center", ncols=4, title=title)
        return figure


def turning(speed: float, inputs: int, outputs: int, seed: int) -> tuple[Array, Array]:
    """Return inputs and targets of a stream, (frames, units).

    They are sines of the given speed (rad per frame), with random phases and amplitude 1/2.
    """
    rng = np.random.default_rng([seed, 1])
    time = speed * np.arange(FRAMES)[:, None]
    phases_of_X = rng.uniform(0, 2 * np.pi, inputs)
    phases_of_Y = rng.uniform(0, 2 * np.pi, outputs)
    return 0.5 * np.sin(time + phases_of_X), 0.5 * np.sin(time + phases_of_Y)


def state_at(traces: xr.Dataset, net: Network, sample: int) -> tuple[State, State]:
    """Return x and lam of a recorded sample, by population."""
    x: State = {}
    lam: State = {}
    for name in net.neurons:
        units = (traces.population == name).values
        x[name] = traces.x.values[sample][:, units]
        lam[name] = traces.lam.values[sample][:, units]
    return x, lam


def gradient_cosine(net: Network, flow: Flow, x: State, lam: State, X: Array, Y: Array) -> float:
    """Return the cosine of a state's weight gradient to backpropagation's."""
    rates = reference.right_hand_side(net, flow, x, lam, X, Y)
    exact = reference.backprop(net, X, Y)
    ours = _vector(net, rates.w, rates.b)
    truth = _vector(net, exact.grad_w, exact.grad_b)
    return cosine(ours, -truth)


def _vector(net: Network, weights: dict[str, Any], biases: dict[str, Array]) -> Array:
    """Return the entries of all weights and biases that learn as one vector."""
    parts = [*plastic(net, weights).values(), *plastic_biases(net, biases).values()]
    return np.concatenate([np.ravel(part) for part in parts])


def draw_cosines(ax: Any, data: xr.DataArray) -> None:
    """Draw mean and spread of cosines over the speed of a stream, a line per wiring."""
    from neurosim.plot.page import PALETTE

    for i, wiring in enumerate(data.wiring.values):
        own = data.sel(wiring=wiring).dropna("speed", how="all")
        look = {"color": PALETTE[i], "marker": "os^v"[i % 4], "ms": 4, "capsize": 2}
        mean = own.mean("seed")
        spread = own.std("seed")
        ax.errorbar(own.speed, mean, spread, label=str(wiring), **look)
    ax.set(xscale="log", xlabel="speed of the stream (rad per frame)")
    speeds = data.speed.values
    ax.set_xticks(speeds, [f"{speed:g}" for speed in speeds])
    ax.minorticks_off()
