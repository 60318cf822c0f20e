"""Learning without phases: prospective messages against plain ones, clean and with imperfections.

A cell is one training, one pattern at a time for 2 tau, with weights that are always plastic. A
fifth of the training part is held out. Table and figure show, for every way of sending and every
condition, the rate tau_w with the best mean accuracy there over the seeds. Start at
`ProspectiveStudy`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic.dataclasses import dataclass

from neurosim.experiments.studies.imperfections import (
    CLEAN,
    KINDS,
    SIZES,
    at_best_rate,
    check_levels,
    split,
)
from neurosim.experiments.studies.shared import FLOWS as ALL_FLOWS
from neurosim.experiments.studies.shared import TAU, dots_note, mean_and_spread, new_table
from neurosim.experiments.studies.study import (
    STRICT,
    Cell,
    Count,
    NotNegative,
    Numbers,
    Positive,
    Study,
    StudySettings,
    Whole,
    filled,
    one_of,
)
from neurosim.model.network import Network
from neurosim.model.schedules import Presentations
from neurosim.results.metrics import accuracy
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

# the argument `prospective` of a simulation
MESSAGES: dict[str, Any] = {"plain": False, "exact": True, "low_pass": 0.5 * TAU}
FLOWS = {
    "adjoint": ALL_FLOWS["adjoint"](),
    "rotated": ALL_FLOWS["rotated(75°)"](),
    "damped": ALL_FLOWS["damped"](),
    "augmented2": ALL_FLOWS["augmented(2)"](),
}
DT, STEPS = 0.2 * TAU, 10
LABELS = ("flow", "messages", "tau_w", "condition", "level", "seed")
SHOWN = {"low_pass": "low-pass difference"}  # in the legend
QUICK = {
    "seeds": 1,
    "epochs": 1,
    "tau_w": [66.0],
    "conditions": {"delay": [5]},
    "saddle": ["damped"],
}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ProspectiveSettings(StudySettings):
    """Settings of the study; `tau_w` is in tau, and `saddle` are flows besides `adjoint`."""

    seeds: Count
    first_seed: Whole
    epochs: Count
    messages: Annotated[list[str], one_of(MESSAGES)]
    saddle: Annotated[list[str], one_of(FLOWS)]
    tau_w: Annotated[list[Positive], filled]
    conditions: Annotated[dict[str, list[NotNegative]], one_of(KINDS)]

    def __post_init__(self) -> None:
        check_levels("conditions", self.conditions)


class ProspectiveStudy(Study[ProspectiveSettings]):
    """Accuracy by way of sending and condition."""

    question = (
        "Does learning need phases if messages extrapolate the state of a unit, "
        "and what does that cost under noise?"
    )
    settings_type = ProspectiveSettings
    varied = ("messages", "saddle", "tau_w", "conditions", "first_seed")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every training with `adjoint`, then the saddle flows.

        Saddle flows are tried with exact messages, without imperfections, at the fastest rate.
        """
        own = self.settings
        conditions = [(CLEAN, 0.0)]
        for kind, levels in own.conditions.items():
            conditions += [(kind, level) for level in levels]
        trainings: list[tuple[Any, ...]] = []
        for condition, message, tau_w in product(conditions, own.messages, own.tau_w):
            trainings.append(("adjoint", message, tau_w, *condition))
        for flow in own.saddle:
            trainings.append((flow, "exact", min(own.tau_w), CLEAN, 0.0))
        cells: list[Cell] = []
        for training in trainings:
            for seed in range(own.first_seed, own.first_seed + own.seeds):
                cells.append(dict(zip(LABELS, (*training, seed), strict=True)))
        return cells

    def measure(self, cell: Cell) -> Numbers:
        """Return the accuracy of one training, on held-out and on test patterns."""
        seed = cell["seed"]
        X, Y, X_held, Y_held, X_test, Y_test = split(seed)
        net = Network.mlp(SIZES, seed=seed)
        sim = Simulation(
            net,
            replace(FLOWS[cell["flow"]], tau_w=cell["tau_w"] * TAU),
            dt=DT,
            seed=seed,
            imperfections=KINDS[cell["condition"]].at_level(cell["level"]),
            prospective=MESSAGES[cell["messages"]],
        )
        schedule = Presentations(
            batch=1, present=STEPS * DT, plastic_from=0.0, epochs=self.settings.epochs
        )
        sim.train(X, Y, schedule)
        return {
            "accuracy": accuracy(sim.predict(X_test), Y_test),
            "held_out": accuracy(sim.predict(X_held), Y_held),
        }

    def table(self, data: xr.Dataset) -> Any:
        """Return test accuracy (%), mean ± spread over seeds, with the rate in tau."""
        found = at_best_rate(data)
        messages = [str(message) for message in data.messages.values]
        title = "test accuracy (%) · tau_w / tau"
        shown = new_table("flow", "condition", "level", *messages, title=title)
        for flow, kind, level in product(
            data.flow.values, data.condition.values, found.level.values
        ):
            row = found.sel(flow=flow, condition=kind, level=level)
            if row.accuracy.notnull().any():
                entries = [_entry(row.sel(messages=message)) for message in messages]
                shown.add_row(str(flow), str(kind), f"{level:g}", *entries)
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw the test accuracy of `adjoint` by condition, a colour per way of sending."""
        from matplotlib.figure import Figure

        from neurosim.plot import style

        found = 100 * at_best_rate(data).accuracy.sel(flow="adjoint")
        conditions = []
        for kind, level in product(data.condition.values, found.level.values):
            if found.sel(condition=kind, level=level).notnull().any():
                conditions.append((str(kind), float(level)))
        names = [_condition_name(*condition) for condition in conditions]
        with style():
            width = max(1.0 * len(names) + 1.6, 4.8)
            figure = Figure(figsize=(width, 3.2), layout="constrained")
            ax = figure.subplots()
            for i, message in enumerate(data.messages.values):
                _draw_seeds(ax, found.sel(messages=message), conditions, i)
            ax.set_xticks(range(len(names)), names)
            ax.set(
                ylim=(0, 100),
                ylabel="test accuracy (%)",
                xlabel="imperfection and its level (sd, or steps of delay)",
            )
            title = f"messages; {dots_note(data)}"
            figure.legend(loc="outside upper center", ncols=len(data.messages), title=title)
        return figure


def _entry(own: xr.Dataset) -> str:
    count = int(own.accuracy.count())
    if int(own.diverged):
        return f"{int(own.diverged)} of {count} diverged"
    if not count:
        return "-"
    return f"{mean_and_spread(own.accuracy, 1, 100)} · {float(own.tau_w):g}"


def _condition_name(kind: str, level: float) -> str:
    if kind == CLEAN:
        return "clean"
    return f"{kind.replace('_', ' ')}\n{level:g}"


def _draw_seeds(
    ax: Any, found: xr.DataArray, conditions: list[tuple[str, float]], number: int
) -> None:
    """Draw a dot per seed and a dash at their mean, beside those of other ways of sending."""
    from neurosim.plot.page import PALETTE

    name = str(found.messages.values)
    label: str | None = SHOWN.get(name, name)
    for place, (kind, level) in enumerate(conditions):
        seeds = found.sel(condition=kind, level=level).values
        x = place + 0.22 * (number - 1)
        colour = PALETTE[number]
        ax.plot(np.full(seeds.size, x), seeds, "o", color=colour, ms=3, alpha=0.6)
        ax.plot(x, np.nanmean(seeds), "_", color=colour, ms=14, mew=2.5, label=label)
        label = None  # one entry of the legend
