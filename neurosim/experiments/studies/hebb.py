"""A Hebbian first layer beside the saddle rule: features without errors, and a readout that
`adjoint` learns.

MNIST-5k, stratified; the readout is one layer of weights with cross-entropy, so that its
multipliers reach no further than itself. Start at `measure`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import Flow, Network, Presentations, Simulation
from neurosim.data import datasets
from neurosim.errors import unknown
from neurosim.hebb import RULES, HebbianLayer
from neurosim.results.metrics import accuracy

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray

QUESTION = "How far does a first layer come that no error reaches, under a readout that the saddle rule learns?"
VARIED = ("rules", "units")
PIXELS, WHOLE = "pixels", "whole"
NAMES = {
    "oja": "Oja, winner takes all",
    "bcm": "BCM, winner takes all",
    "random": "random",
    PIXELS: "none: pixels",
    WHOLE: "784-128-10, all learnt by adjoint",
}
RATES = {"oja": 0.2, "bcm": 1.0, "random": 0.0}
HELD_OUT = 0.2  # of the training part, on which the readout's rate is chosen
TAU = 10e-3  # s, and the step: 2L steps are the forward and the backward pass
RATES_OF_READOUT = (
    30.0,
    100.0,
)  # tau over tau_w, of inputs of size 1; a hidden layer's are a hundredth
QUICK = {
    "seeds": 1,
    "units": [200],
    "rules": ["oja", "random"],
    "epochs": 3,
    "readout_epochs": 5,
    "patterns": 1500,
}


def cells(settings: Mapping[str, Any], quick: bool) -> list[dict[str, Any]]:
    """Every rule and number of units with every seed of split and weights; pixels and a whole net
    that learns once.
    """
    own = _own(settings, quick)
    allowed = (PIXELS, WHOLE, *RULES)
    for rule in own["rules"]:
        if rule not in allowed:
            raise unknown("study.rules", rule, allowed)
    return [
        {"rule": rule, "units": int(units), "seed": seed}
        for rule in own["rules"]
        for units in {PIXELS: [0], WHOLE: [128]}.get(rule, own["units"])
        for seed in range(own["first"], own["first"] + own["seeds"])
    ]


def measure(cell: Mapping[str, Any], settings: Mapping[str, Any], quick: bool) -> dict[str, float]:
    """`test` accuracy, of the rate that did best on held-out patterns (`validation`), learnt anew
    from all of them.
    """
    own, rule, seed = _own(settings, quick), cell["rule"], cell["seed"]
    data = datasets.load("mnist_5k", test=0.2, seed=seed, patterns=own["patterns"] or None)
    assert data.X_test is not None
    assert data.Y_test is not None
    X, X_test, hidden = data.X, data.X_test, []
    if rule == WHOLE:
        hidden = [cell["units"]]
    elif rule != PIXELS:
        layer = HebbianLayer(
            cell["units"], rule, epochs=own["epochs"], rate=RATES[rule], random_state=seed
        ).fit(X)
        X, X_test = layer.transform(X), layer.transform(X_test)
    if not hidden:
        size = np.sqrt((X**2).sum(axis=1).mean())
        X, X_test = X / size, X_test / size
    order = np.random.default_rng([seed, 2]).permutation(len(X))
    held, kept = np.split(order, [round(HELD_OUT * len(X))])
    rates = [rate / (100.0 if hidden else 1.0) for rate in RATES_OF_READOUT]
    found = {
        rate: _learnt(
            hidden, rate, X[kept], data.Y[kept], X[held], data.Y[held], seed, own["readout_epochs"]
        )
        for rate in rates
    }
    best = max(found, key=found.__getitem__)
    test = _learnt(hidden, best, X, data.Y, X_test, data.Y_test, seed, own["readout_epochs"])
    return {"test": test, "validation": found[best], "rate": best}


def _learnt(
    hidden: list[int],
    rate: float,
    X: Array,
    Y: Array,
    X_test: Array,
    Y_test: Array,
    seed: int,
    epochs: int,
) -> float:
    """Accuracy of a net that `adjoint` taught: steps of a forward and a backward pass, then one
    that moves weights.

    In the last third of the epochs weights move ten times more slowly.
    """
    net = Network.mlp([X.shape[1], *hidden, 10], seed=seed)
    settled = 2 * (len(hidden) + 1)
    for slower, share in ((1.0, 2 / 3), (10.0, 1 / 3)):
        flow = Flow.adjoint(tau_x=TAU, tau_lam=TAU, tau_w=slower * TAU / rate)
        sim = Simulation(net, flow, dt=TAU, backend="numpy", seed=seed)
        shown = Presentations(
            batch=32,
            present=(settled + 1) * TAU,
            plastic_from=settled / (settled + 1),
            epochs=max(round(share * epochs), 1),
        )
        sim.train(X, Y, shown)
    return accuracy(sim.predict(X_test), Y_test)


def table(data: xr.Dataset) -> Any:
    """Test accuracy by rule and units, mean ± spread and the worst seed; %."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from neurosim.experiments.studies import mean_and_spread

    shown = Table(
        "first layer", "units", "test accuracy (%)", "worst seed", "validation (%)", box=SIMPLE_HEAD
    )
    for rule in data.rule.values:
        for units in data.units.values:
            own = data.sel(rule=rule, units=units)
            if own.test.count():
                worst = f"{100 * float(own.test.min()):.1f}"
                shown.add_row(
                    NAMES[str(rule)],
                    f"{units}" if units else "-",
                    mean_and_spread(own.test, 1, 100),
                    worst,
                    mean_and_spread(own.validation, 1, 100),
                )
    return shown


def figure(data: xr.Dataset) -> Any:
    """Test accuracy over the number of units, a line a rule, every seed a dot; nets without such a
    layer as levels.
    """
    from matplotlib.figure import Figure

    from neurosim.plot import style
    from neurosim.plot.drawing import PALETTE

    with style():
        figure = Figure(figsize=(4.8, 3.2), layout="constrained")
        ax = figure.subplots()
        for i, rule in enumerate(data.rule.values):
            own = 100 * data.test.sel(rule=rule).dropna("units", how="all")
            if rule in (PIXELS, WHOLE):
                ax.axhline(
                    float(own.mean()),
                    color="0.4",
                    ls="--" if rule == PIXELS else ":",
                    label=NAMES[str(rule)],
                )
                continue
            ax.plot(
                own.units,
                own.mean("seed"),
                color=PALETTE[i],
                marker="os^v"[i % 4],
                ms=5,
                label=NAMES[str(rule)],
            )
            for seed in own.seed:
                ax.plot(own.units, own.sel(seed=seed), ".", color=PALETTE[i], ms=4, alpha=0.6)
        learnt = data.units.values[data.test.count(("rule", "seed")).values > 0]
        ax.set(xscale="log", xlabel="units of the first layer", ylabel="test accuracy (%)")
        ax.set_xticks([u for u in learnt if u], [f"{u}" for u in learnt if u])
        ax.minorticks_off()
        figure.legend(loc="outside upper center", ncols=2)
    return figure


def _own(settings: Mapping[str, Any], quick: bool) -> dict[str, Any]:
    return dict(settings["study"]) | (QUICK if quick else {})
