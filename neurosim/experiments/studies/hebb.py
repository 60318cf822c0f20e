"""A Hebbian first layer, which no error reaches, under a readout that the `adjoint` flow learns.

MNIST-5k, stratified. The readout is one layer of weights with cross-entropy, so that no error goes
further back than its own units. Start at `HebbStudy`.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic.dataclasses import dataclass

from neurosim.data import datasets
from neurosim.experiments.studies.shared import HELD_OUT, TAU, dots_note, mean_and_spread, new_table
from neurosim.experiments.studies.study import (
    STRICT,
    Cell,
    Count,
    Numbers,
    Study,
    StudySettings,
    Whole,
    one_of,
)
from neurosim.hebb import RULES, HebbianLayer
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.schedules import Presentations
from neurosim.results.metrics import accuracy
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray

# cells without a Hebbian layer: readout of the pixels, and a network that learns as a whole
PIXELS, WHOLE = "pixels", "whole"
HIDDEN = 128  # hidden units of the network that learns as a whole
NAMES = {
    "oja": "Oja, winner takes all",
    "bcm": "BCM, winner takes all",
    "random": "random",
    PIXELS: "none: pixels",
    WHOLE: f"784-{HIDDEN}-10, all learnt by adjoint",
}
RATES = {"oja": 0.2, "bcm": 1.0, "random": 0.0}
# tau / tau_w of a readout, for inputs of size 1; a hundredth for the network that learns as a whole
READOUT_RATES = (30.0, 100.0)
# parts of a training: factor of tau_w, and share of the epochs
SLOWING = ((1.0, 2 / 3), (10.0, 1 / 3))
QUICK = {
    "seeds": 1,
    "units": [200],
    "rules": ["oja", "random"],
    "epochs": 3,
    "readout_epochs": 5,
    "patterns": 1500,
}


class Problem(NamedTuple):
    """Patterns and classes to learn, and those on which the result is scored."""

    X: Array
    Y: Array
    X_score: Array
    Y_score: Array


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HebbSettings(StudySettings):
    """Settings of the study; `first` is the first seed, and `patterns` = 0 means all of them."""

    seeds: Count
    first: Whole
    rules: Annotated[list[str], one_of((PIXELS, WHOLE, *RULES))]
    units: list[Count]
    epochs: Count
    readout_epochs: Count
    patterns: Whole


class HebbStudy(Study[HebbSettings]):
    """Test accuracy by rule and size of the first layer."""

    question = (
        "How accurate is a readout that the adjoint flow learns, "
        "on a first layer that no error reaches?"
    )
    settings_type = HebbSettings
    varied = ("rules", "units")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every rule and number of units, with every seed of split and weights.

        Pixels and the network that learns as a whole have one number of units each.
        """
        own = self.settings
        units = {PIXELS: [0], WHOLE: [HIDDEN]}
        seeds = range(own.first, own.first + own.seeds)
        cells: list[Cell] = []
        for rule in own.rules:
            sizes = units.get(rule, own.units)
            cells += [
                {"rule": rule, "units": size, "seed": seed} for size, seed in product(sizes, seeds)
            ]
        return cells

    def check(self) -> None:
        """Load the patterns, as many as are asked for."""
        super().check()
        datasets.load("mnist_5k", test=0.2, seed=0, patterns=self.settings.patterns or None)

    def measure(self, cell: Cell) -> Numbers:
        """Return the accuracies at the rate that did best on held-out patterns.

        Returns
        -------
        dict
            `validation` on the held-out patterns; `test` on test patterns, after learning anew from
            all training patterns; `rate`, the chosen tau / tau_w.
        """
        own = self.settings
        seed = cell["seed"]
        data = datasets.load("mnist_5k", test=0.2, seed=seed, patterns=own.patterns or None)
        assert data.X_test is not None
        assert data.Y_test is not None
        hidden = [cell["units"]] if cell["rule"] == WHOLE else []
        X, X_test = self._inputs(cell, data.X, data.X_test)
        order = np.random.default_rng([seed, 2]).permutation(len(X))
        count = round(HELD_OUT * len(X))
        held = order[:count]
        kept = order[count:]
        part = Problem(X[kept], data.Y[kept], X[held], data.Y[held])
        found = {}
        for readout_rate in READOUT_RATES:
            rate = readout_rate / 100.0 if hidden else readout_rate
            found[rate] = self._learnt(hidden, rate, part, seed)
        best = max(found, key=found.__getitem__)
        whole = Problem(X, data.Y, X_test, data.Y_test)
        test = self._learnt(hidden, best, whole, seed)
        return {"test": test, "validation": found[best], "rate": best}

    def _inputs(self, cell: Cell, X: Array, X_test: Array) -> tuple[Array, Array]:
        """Return the inputs of the network that learns, pixels or features.

        They are scaled to a mean squared norm of 1, except for the network that learns as a whole.
        """
        rule = cell["rule"]
        if rule == WHOLE:
            return X, X_test
        if rule != PIXELS:
            layer = HebbianLayer(
                cell["units"],
                rule,
                epochs=self.settings.epochs,
                rate=RATES[rule],
                random_state=cell["seed"],
            )
            layer.fit(X)
            X, X_test = layer.transform(X), layer.transform(X_test)
        size = np.sqrt((X**2).sum(axis=1).mean())
        return X / size, X_test / size

    def _learnt(self, hidden: list[int], rate: float, problem: Problem, seed: int) -> float:
        """Return the accuracy of a network that the `adjoint` flow has trained.

        Each presentation is a forward and a backward pass, then one step that moves the weights. In
        the last third of the epochs weights move ten times more slowly.
        """
        X, Y, X_score, Y_score = problem
        net = Network.mlp([X.shape[1], *hidden, 10], seed=seed)
        settled = 2 * (len(hidden) + 1)  # steps
        for slower, share in SLOWING:
            flow = Flow.adjoint(tau_x=TAU, tau_lam=TAU, tau_w=slower * TAU / rate)
            sim = Simulation(net, flow, dt=TAU, backend="numpy", seed=seed)
            schedule = Presentations(
                batch=32,
                present=(settled + 1) * TAU,
                plastic_from=settled / (settled + 1),
                epochs=max(round(share * self.settings.readout_epochs), 1),
            )
            sim.train(X, Y, schedule)
        return accuracy(sim.predict(X_score), Y_score)

    def table(self, data: xr.Dataset) -> Any:
        """Return test accuracy (%) by rule and units: mean ± spread, and the worst seed."""
        shown = new_table(
            "first layer", "units", "test accuracy (%)", "worst seed", "validation (%)"
        )
        for rule, units in product(data.rule.values, data.units.values):
            own = data.sel(rule=rule, units=units)
            if not own.test.count():
                continue
            shown.add_row(
                NAMES[str(rule)],
                f"{units}" if units else "-",
                mean_and_spread(own.test, 1, 100),
                f"{100 * float(own.test.min()):.1f}",
                mean_and_spread(own.validation, 1, 100),
            )
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw test accuracy over the number of units, a line per rule and a dot per seed.

        Networks without a Hebbian layer are horizontal lines.
        """
        from matplotlib.figure import Figure

        from neurosim.plot import style

        with style():
            figure = Figure(figsize=(4.8, 3.2), layout="constrained")
            ax = figure.subplots()
            for i, rule in enumerate(data.rule.values):
                own = 100 * data.test.sel(rule=rule).dropna("units", how="all")
                _draw_rule(ax, own, str(rule), i)
            measured = data.test.count(("rule", "seed")).values > 0
            ticks = [units for units in data.units.values[measured] if units]
            ax.set(xscale="log", xlabel="units of the first layer", ylabel="test accuracy (%)")
            ax.set_xticks(ticks, [f"{units}" for units in ticks])
            ax.minorticks_off()
            title = f"lines: means; {dots_note(data)}"
            figure.legend(loc="outside upper center", ncols=2, title=title)
        return figure


def _draw_rule(ax: Any, own: xr.DataArray, rule: str, number: int) -> None:
    from neurosim.plot.page import PALETTE

    if rule in (PIXELS, WHOLE):
        line = "--" if rule == PIXELS else ":"
        ax.axhline(float(own.mean()), color="0.4", ls=line, label=NAMES[rule])
        return
    colour = PALETTE[number]
    marker = "os^v"[number % 4]
    ax.plot(own.units, own.mean("seed"), color=colour, marker=marker, ms=5, label=NAMES[rule])
    for seed in own.seed:
        ax.plot(own.units, own.sel(seed=seed), ".", color=colour, ms=4, alpha=0.6)
