"""Video: moving digits through a convolutional stream, with and without temporal skips.

With dt = tau a frame reaches a layer as many frames late as the layer is deep, and its error later
still. Convolutions that skip layers shorten both ways. Start at `VideoStudy`.

References
----------
Malinowski, Swirszcz, Carreira & Patraucean, Sideways: Depth-Parallel Training of Video Models, CVPR
2020; skips: Malinowski, Vytiniotis, Swirszcz, Patraucean & Carreira, CVPR 2021.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic.dataclasses import dataclass

from neurosim.data.streams import moving_digits
from neurosim.errors import out_of_range
from neurosim.experiments.studies.shared import TAU, bars_note, mean_and_spread, new_table
from neurosim.experiments.studies.skips import EVERY, draw_cosines, gradient_cosine, state_at
from neurosim.experiments.studies.study import (
    STRICT,
    Cell,
    Count,
    Numbers,
    Positive,
    Study,
    StudySettings,
    filled,
    one_of,
)
from neurosim.model import sites
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Loss, Population, Projection
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

PLAIN, SKIPS = "plain", "skips"
SIDE = 16  # pixels of a frame
LEAST_DEPTH = 3  # convolutions, fewer than which no skip fits
QUICK = {"speeds": [0.1], "frames": 100, "seeds": 1}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class VideoSettings(StudySettings):
    """Settings of the study: `depth` convolutions of `channels` features; pixels per frame."""

    wirings: Annotated[list[str], filled, one_of((PLAIN, SKIPS))]
    speeds: Annotated[list[Positive], filled]
    depth: Count
    channels: Count
    frames: Count
    seeds: Count


class VideoStudy(Study[VideoSettings]):
    """Cosine of a convolutional stream's gradient to backpropagation's, by wiring."""

    question = "Do convolutions that skip layers keep the gradient of a video stream accurate?"
    settings_type = VideoSettings
    varied = ("wirings", "speeds")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every wiring and speed, with every seed of weights and stream."""
        own = self.settings
        cells: list[Cell] = []
        for wiring, speed, seed in product(own.wirings, own.speeds, range(own.seeds)):
            cells.append({"wiring": wiring, "speed": speed, "seed": seed})
        return cells

    def check(self) -> None:
        """Refuse a net without room for a skip, and a stream without a frame to compare."""
        super().check()
        own = self.settings
        if own.depth < LEAST_DEPTH:
            raise out_of_range("study.depth", own.depth, f"at least {LEAST_DEPTH}")
        if own.frames < 2 * EVERY:
            raise out_of_range("study.frames", own.frames, f"at least {2 * EVERY}")

    def network(self, wiring: str, seed: int) -> Network:
        """Return convolutions on half the side's sites; skips pass over one layer each."""
        own = self.settings
        half = SIDE // 2
        hidden = [f"hidden{number + 1}" for number in range(own.depth)]
        populations = [Population("input", (SIDE, SIDE, 1), "linear", clamped=True)]
        populations += [Population(name, (half, half, own.channels)) for name in hidden]
        populations.append(Population("output", 10, "linear"))
        projections = [Projection("input", hidden[0], over=sites.Conv(3, stride=2))]
        for pre, post in pairwise(hidden):
            projections.append(Projection(pre, post, over=sites.Conv(3)))
        if wiring == SKIPS:
            for pre, post in pairwise(hidden[::2]):
                projections.append(Projection(pre, post, over=sites.Conv(3)))
        projections.append(Projection(hidden[-1], "output"))
        return Network(populations, projections, [Loss("output", "cross_entropy")], seed=seed)

    def measure(self, cell: Cell) -> Numbers:
        """Return the `cosine` of the whole gradient to backpropagation's, mean over the samples.

        Backpropagation's gradient is that of the frame shown last.
        """
        own = self.settings
        seed = int(cell["seed"])
        net = self.network(cell["wiring"], seed)
        video = moving_digits(own.frames, speed=cell["speed"], side=SIDE, seed=seed)
        flow = Flow.adjoint(tau_x=TAU, tau_lam=TAU)
        sim = Simulation(net, flow, dt=TAU, backend="numpy")
        traces = sim.stream(video.X, video.Y, per_frame=TAU, record=("x", "lam")).traces
        assert traces is not None
        found = []
        for sample in range(own.frames // 2, own.frames, EVERY):
            # a sample is taken at the end of the frame before it
            frame = video.X[[sample - 1]], video.Y[[sample - 1]]
            x, lam = state_at(traces, net, sample)
            found.append(gradient_cosine(net, flow, x, lam, *frame))
        return {"cosine": float(np.mean(found))}

    def table(self, data: xr.Dataset) -> Any:
        """Return the cosine by speed and wiring, mean ± spread, and that of the worst net."""
        shown = new_table(
            "pixels per frame", "wiring", "cosine to backpropagation", "worst net", title="video"
        )
        for speed, wiring in product(data.speed.values, data.wiring.values):
            cosines = data.cosine.sel(speed=speed, wiring=wiring)
            worst = f"{float(cosines.min()):.3f}"
            shown.add_row(f"{speed:g}", str(wiring), mean_and_spread(cosines, 3), worst)
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw the cosine over the speed of the digits, a line per wiring."""
        from matplotlib.figure import Figure

        from neurosim.plot import style

        with style():
            figure = Figure(figsize=(4.0, 3.0), layout="constrained")
            ax = figure.subplots()
            draw_cosines(ax, data.cosine)
            ax.set(xlabel="speed of the digits (pixels per frame)")
            ax.set_ylabel("cosine of the gradient (1)")
            figure.legend(loc="outside upper center", ncols=2, title=bars_note(data))
        return figure
