"""Temporal skips: a slow stream, one step a frame, in which what comes back meets what has gone on
meanwhile.

With dt = tau a layer hears of a frame as many frames later as it is deep, and of its error later
still; projections that jump over layers shorten both ways. Start at `measure`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import Flow, Network, Simulation, reference
from neurosim.errors import unknown
from neurosim.reference.functions import plastic, plastic_biases
from neurosim.results.metrics import cosine

if TYPE_CHECKING:
    import xarray as xr

QUESTION = (
    "In a stream without pauses, do projections that jump over layers keep the gradient true?"
)
VARIED = ("wirings", "depths", "speeds")
WIRINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "skips": {"skips": 3},
    "exits": {"exits": 0.3},
    "skips and exits": {"skips": 3, "exits": 0.3},
}
TAU = 1e-2  # s, and the step, and a frame
FRAMES, EVERY = 300, 5  # of a stream; compared are all after the first half, in steps of so many
QUICK = {"seeds": 2, "depths": [6]}


def cells(settings: Mapping[str, Any], quick: bool) -> list[dict[str, Any]]:
    """Every wiring, depth and speed, with every seed of weights and stream."""
    own = dict(settings["study"]) | (QUICK if quick else {})
    for wiring in own["wirings"]:
        if wiring not in WIRINGS:
            raise unknown("study.wirings", wiring, WIRINGS)
    return [
        {"wiring": wiring, "depth": int(depth), "speed": float(speed), "seed": seed}
        for depth in own["depths"]
        for speed in own["speeds"]
        for wiring in own["wirings"]
        for seed in range(own["seeds"])
    ]


def measure(cell: Mapping[str, Any], settings: Mapping[str, Any], quick: bool) -> dict[str, float]:
    """`cosine` of the whole gradient to backpropagation's of the frame that is shown, mean over the
    frames.
    """
    net = Network.mlp(
        **settings["network"], depth=cell["depth"], seed=cell["seed"], **WIRINGS[cell["wiring"]]
    )
    X, Y = turning(
        cell["speed"], net.populations["input"].size, net.populations["output"].size, cell["seed"]
    )
    flow = Flow.adjoint(tau_x=TAU, tau_lam=TAU)
    sim = Simulation(net, flow, dt=TAU, backend="numpy")
    traces = sim.stream(X, Y, per_frame=TAU, record=("x", "lam")).traces
    assert traces is not None
    own = {n: (traces.population == n).values for n in net.neurons}
    found = []
    for k in range(FRAMES // 2, FRAMES, EVERY):  # sample k is taken at the end of frame k - 1
        x, lam = (
            {n: part.values[k][:, units] for n, units in own.items()}
            for part in (traces.x, traces.lam)
        )
        shown = X[[k - 1]], Y[[k - 1]]
        rates = reference.right_hand_side(net, flow, x, lam, *shown)
        exact = reference.backprop(net, *shown)
        ours = [*plastic(net, rates.w).values(), *plastic_biases(net, rates.b).values()]
        learnt = plastic(net, exact.grad_w), plastic_biases(net, exact.grad_b)
        truth = [-g for part in learnt for g in part.values()]
        found.append(
            cosine(*(np.concatenate([np.ravel(v) for v in part]) for part in (ours, truth)))
        )
    return {"cosine": float(np.mean(found))}


def turning(speed: float, inputs: int, outputs: int, seed: int) -> tuple[Any, Any]:
    """Inputs and targets of a stream, (frames, units): sines of one speed (rad a frame) and random
    phases, size 1/2.
    """
    rng = np.random.default_rng([seed, 1])
    time = speed * np.arange(FRAMES)[:, None]
    X, Y = (0.5 * np.sin(time + rng.uniform(0, 2 * np.pi, n)) for n in (inputs, outputs))
    return X, Y


def table(data: xr.Dataset) -> Any:
    """Cosine by wiring, mean ± spread over the nets, and how much higher it is than without, net by
    net.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from neurosim.experiments.studies import mean_and_spread

    shown = Table(
        "layers",
        "rad a frame",
        "wiring",
        "cosine to backpropagation",
        "over plain, worst net",
        box=SIMPLE_HEAD,
    )
    for depth in data.depth.values:
        for speed in data.speed.values:
            own = data.cosine.sel(depth=depth, speed=speed)
            for wiring in own.wiring.values:
                gain = own.sel(wiring=wiring) - own[{"wiring": 0}]
                more = f"{float(gain.mean()):+.3f}, {float(gain.min()):+.3f}"
                shown.add_row(
                    f"{depth}",
                    f"{speed:g}",
                    str(wiring),
                    mean_and_spread(own.sel(wiring=wiring), 3),
                    more,
                )
    return shown


def figure(data: xr.Dataset) -> Any:
    """Cosine over the speed of the stream, a line a wiring, a panel a depth."""
    from matplotlib.figure import Figure

    from neurosim.plot import style
    from neurosim.plot.drawing import PALETTE

    with style():
        figure = Figure(figsize=(2.9 * data.depth.size + 0.4, 2.9), layout="constrained")
        panels = figure.subplots(1, data.depth.size, squeeze=False, sharey=True)[0]
        for ax, depth in zip(panels, data.depth.values, strict=True):
            for i, wiring in enumerate(data.wiring.values):
                own = data.cosine.sel(depth=depth, wiring=wiring).dropna("speed", how="all")
                mean, spread = own.mean("seed"), own.std("seed")
                ax.errorbar(
                    own.speed,
                    mean,
                    spread,
                    color=PALETTE[i],
                    marker="os^v"[i % 4],
                    ms=4,
                    capsize=2,
                    label=str(wiring),
                )
            ax.set(
                xscale="log",
                xlabel="speed of the stream (rad a frame)",
                title=f"{depth} layers of weights",
            )
            ax.set_xticks(data.speed.values, [f"{v:g}" for v in data.speed.values])
            ax.minorticks_off()
        panels[0].set_ylabel("cosine of the gradient (1)")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure
