"""Learning without phases: prospective messages against plain ones, clean and with noise or delays.

A cell is one training, one pattern at a time for 2 tau, weights plastic all the time. Of the
training part a fifth is held out; of the rates tau_w the one is shown whose mean accuracy there,
over the seeds, is best, for every way of sending and every condition by itself. Start at `measure`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import radians
from typing import TYPE_CHECKING, Any

from neurosim.errors import unknown
from neurosim.experiments.studies import mean_and_spread
from neurosim.experiments.studies.imperfections import CLEAN, KINDS, SIZES, TAU, at_best_rate, split
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.schedules import Presentations
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

QUESTION = "Does learning need phases if neighbours read where a unit is going, and what does that cost under noise?"
VARIED = ("messages", "saddle", "tau_w", "conditions", "first_seed")
MESSAGES: dict[str, Any] = {"plain": False, "exact": True, "low_pass": 0.5 * TAU}
FLOWS = {
    "adjoint": Flow.adjoint(),
    "rotated": Flow.rotated(radians(75)),
    "damped": Flow.damped(),
    "augmented2": Flow.augmented(2),
}
DT, STEPS = 0.2 * TAU, 10
QUICK = {
    "seeds": 1,
    "epochs": 1,
    "tau_w": [66.0],
    "conditions": {"delay": [5]},
    "saddle": ["damped"],
}


def cells(settings: Mapping[str, Any], quick: bool) -> list[dict[str, Any]]:
    """Every training with `adjoint`; then the saddle flows with exact messages, at the fastest
    rate.

    Raises
    ------
    ModelError
        An unknown way of sending, flow or condition.
    """
    own = {**settings["study"], **(QUICK if quick else {})}
    for key, allowed in (("messages", MESSAGES), ("saddle", FLOWS), ("conditions", KINDS)):
        for name in own[key]:
            if name not in allowed:
                raise unknown(f"study.{key}", name, tuple(allowed))
    seeds = range(own["first_seed"], own["first_seed"] + own["seeds"])
    points = [("adjoint", m, float(r)) for m in own["messages"] for r in own["tau_w"]]
    conditions = [
        (kind, float(level)) for kind, levels in own["conditions"].items() for level in levels
    ]
    found = [(*point, *condition) for condition in [(CLEAN, 0.0), *conditions] for point in points]
    found += [(flow, "exact", float(min(own["tau_w"])), CLEAN, 0.0) for flow in own["saddle"]]
    labels = ("flow", "messages", "tau_w", "condition", "level", "seed")
    return [dict(zip(labels, (*values, seed), strict=True)) for values in found for seed in seeds]


def measure(cell: Mapping[str, Any], settings: Mapping[str, Any], quick: bool) -> dict[str, float]:
    """Accuracy of one training, on held-out and on test patterns.

    Raises
    ------
    DivergenceError
        A run that diverged: a result too.
    """
    from dataclasses import replace

    from neurosim.results.metrics import accuracy

    own = {**settings["study"], **(QUICK if quick else {})}
    seed = cell["seed"]
    X, Y, X_held, Y_held, X_test, Y_test = split(seed)
    net, flow = (
        Network.mlp(SIZES, seed=seed),
        replace(FLOWS[cell["flow"]], tau_w=cell["tau_w"] * TAU),
    )
    sim = Simulation(
        net,
        flow,
        dt=DT,
        seed=seed,
        imperfections=KINDS[cell["condition"]](cell["level"]),
        prospective=MESSAGES[cell["messages"]],
    )
    sim.train(
        X, Y, Presentations(batch=1, present=STEPS * DT, plastic_from=0.0, epochs=own["epochs"])
    )
    return {
        "accuracy": accuracy(sim.predict(X_test), Y_test),
        "held_out": accuracy(sim.predict(X_held), Y_held),
    }


def table(data: xr.Dataset) -> Any:
    """Test accuracy (%), mean ± spread over seeds, with the rate in tau; what diverged says so."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    found = at_best_rate(data)
    ways = [str(m) for m in data.messages.values]
    shown = Table(
        "flow",
        "condition",
        "level",
        *ways,
        box=SIMPLE_HEAD,
        title="test accuracy (%) · tau_w / tau",
    )
    for flow in data.flow.values:
        for kind in data.condition.values:
            for level in found.level.values:
                row = found.sel(flow=flow, condition=kind, level=level)
                if row.accuracy.notnull().any():
                    entries = (_entry(row.sel(messages=way)) for way in ways)
                    shown.add_row(str(flow), str(kind), f"{level:g}", *entries)
    return shown


def _entry(own: xr.Dataset) -> str:
    count = int(own.accuracy.count())
    if int(own.diverged):
        return f"{int(own.diverged)} of {count} diverged"
    return f"{mean_and_spread(own.accuracy, 1, 100)} · {float(own.tau_w):g}" if count else "-"


def figure(data: xr.Dataset) -> Any:
    """Test accuracy of `adjoint` by condition, a colour a way of sending; dots are seeds."""
    import numpy as np
    from matplotlib.figure import Figure

    from neurosim.plot import style
    from neurosim.plot.drawing import PALETTE

    found = 100 * at_best_rate(data).accuracy.sel(flow="adjoint")
    rows = [
        (str(kind), float(level))
        for kind in data.condition.values
        for level in found.level.values
        if found.sel(condition=kind, level=level).notnull().any()
    ]
    with style():
        figure = Figure(figsize=(1.0 * len(rows) + 1.6, 3.2), layout="constrained")
        ax = figure.subplots()
        for i, way in enumerate(data.messages.values):
            for at, (kind, level) in enumerate(rows):
                seeds = found.sel(messages=way, condition=kind, level=level).values
                x = at + 0.22 * (i - 1)
                ax.plot(np.full(seeds.size, x), seeds, "o", color=PALETTE[i], ms=3, alpha=0.6)
                label = (
                    {"low_pass": "low-pass difference"}.get(str(way), str(way)) if at == 0 else None
                )
                ax.plot(x, np.nanmean(seeds), "_", color=PALETTE[i], ms=14, mew=2.5, label=label)
        names = [
            kind.replace("_", " ") + (f"\n{level:g}" if kind != CLEAN else "")
            for kind, level in rows
        ]
        ax.set_xticks(range(len(rows)), ["clean" if n == CLEAN else n for n in names])
        ax.set(
            ylim=(0, 100),
            ylabel="test accuracy (%)",
            xlabel="imperfection and its level (sd, or steps of delay)",
        )
        figure.legend(loc="outside upper center", ncols=len(data.messages), title="messages")
    return figure
