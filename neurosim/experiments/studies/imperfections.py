"""What of a circuit may be broken before learning breaks: every imperfection, level and flow on
digits.

A cell is one training: test accuracy of the weights it leaves, and the cosine of lam at the end of
the last presentation to backpropagation's, since accuracy alone is no proof. Of the training part a
fifth is held out; of the rates tau_w the one is shown whose mean accuracy there, over the seeds, is
best, for every imperfection, level and flow by itself. `rho_bias` is no training: see `bias`. Start
at `measure`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import reference
from neurosim.analysis.alignment import alignment
from neurosim.errors import out_of_range, unknown
from neurosim.experiments.studies import mean_and_spread
from neurosim.model import imperfections as lacking
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.schedules import Presentations
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray

QUESTION = "How noisy, slow, lossy or coarse may a circuit be before learning breaks, by imperfection and flow?"
VARIED = ("levels", "flows", "tau_w", "first_seed")
TAU = 10e-3  # s
SIZES = (64, 32, 10)
DEEP = (64, 32, 32, 10)  # where a hidden layer hears a noisy one
BATCH, PLASTIC_FROM, HELD_OUT = 32, 0.5, 0.2
CLEAN, BIAS = "none", "rho_bias"
QUICK = {
    "seeds": 1,
    "epochs": 2,
    "tau_w": [20.0],
    "flows": ["adjoint", "damped", "augmented2"],
    "levels": {"message_noise": [1.0], "delay": [2], "lost_zero": [0.3], "box": [1.0], BIAS: [0.1]},
}
BIAS_STEPS, BIAS_EVERY, BIAS_SETTLES = 2000, 5, 200  # of 0.1 tau

KINDS: dict[str, Callable[[float], list[lacking.Imperfection]]] = {
    "state_noise": lambda sd: [lacking.StateNoise(sd)],
    "slow_state_noise": lambda sd: [lacking.StateNoise(sd, 2 * TAU)],
    "message_noise": lambda sd: [lacking.MessageNoise(sd)],
    "cured_noise": lambda sd: [lacking.MessageNoise(sd), lacking.LowPass(2 * TAU)],
    "time_constants": lambda spread: [lacking.TimeConstants(spread)],
    "delay": lambda steps: [lacking.Delay(int(steps))],
    "lost_held": lambda share: [lacking.LostMessages(share)],
    "lost_zero": lambda share: [lacking.LostMessages(share, "zero")],
    "box": lambda half_width: [lacking.Derivative("box", half_width)],
    "rounded": lambda quantum: [lacking.Quantised(quantum)],
    "stochastic": lambda quantum: [lacking.Quantised(quantum, "stochastic")],
    "dale": lambda inhibitory: [lacking.Dale(inhibitory)],
    CLEAN: lambda _: [],
}


def cells(settings: Mapping[str, Any], quick: bool) -> list[dict[str, Any]]:
    """Every training, the clean ones first; where rho is 0 there is no bias to measure.

    Raises
    ------
    ModelError
        An unknown flow or imperfection.
    """
    own = _own(settings, quick)
    for flow in own["flows"]:
        if flow not in own["recipes"]:
            raise unknown("study.flows", flow, tuple(own["recipes"]))
    for kind in own["levels"]:
        if kind not in (*KINDS, BIAS):
            raise unknown("study.levels key", kind, (*KINDS, BIAS))
    seeds = range(own["first_seed"], own["first_seed"] + own["seeds"])
    return [
        {
            "imperfection": kind,
            "level": float(level),
            "flow": flow,
            "tau_w": float(rate),
            "seed": seed,
        }
        for kind, levels in {CLEAN: [0.0], **own["levels"]}.items()
        for level in levels
        for flow in own["flows"]
        if kind != BIAS or "rho" in own["recipes"][flow]
        for rate in (own["tau_w"] if kind != BIAS else own["tau_w"][:1])
        for seed in seeds
    ]


def measure(cell: Mapping[str, Any], settings: Mapping[str, Any], quick: bool) -> dict[str, float]:
    """One training: accuracies on held-out and test patterns, the smallest cosine of lam; or one
    bias.

    Raises
    ------
    DivergenceError
        A run that diverged: a result too.
    """
    own = _own(settings, quick)
    recipe = {**own["recipes"][cell["flow"]], "tau_w": cell["tau_w"]}
    if cell["imperfection"] == BIAS:
        return bias(recipe["rho"], cell["level"], cell["seed"])
    return train(recipe, KINDS[cell["imperfection"]](cell["level"]), cell["seed"], own["epochs"])


def flow_of(recipe: Mapping[str, Any]) -> Flow:
    """The flow of a recipe of the file, whose times are in tau."""
    keys = {k: v for k, v in recipe.items() if k not in ("dt", "steps", "tau_w")}
    return Flow.from_preset(**keys, tau_w=recipe["tau_w"] * TAU)


def split(seed: int) -> tuple[Array, ...]:
    """Digits / 16: X, Y to learn; held out, by which rates are chosen; test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, Y = load_digits(return_X_y=True)
    keys: dict[str, Any] = {"test_size": HELD_OUT, "random_state": seed}
    rest, X_test, of_rest, Y_test = train_test_split(X / 16, Y, stratify=Y, **keys)
    X_fit, X_held, Y_fit, Y_held = train_test_split(rest, of_rest, stratify=of_rest, **keys)
    return X_fit, Y_fit, X_held, Y_held, X_test, Y_test


def train(
    recipe: Mapping[str, Any],
    items: list[lacking.Imperfection],
    seed: int,
    epochs: int,
    prospective: Any = False,
) -> dict[str, float]:
    """Accuracy and cosine after one training."""
    from neurosim.results.metrics import accuracy

    X, Y, X_held, Y_held, X_test, Y_test = split(seed)
    net, dt = Network.mlp(SIZES, seed=seed), recipe["dt"] * TAU
    sim = Simulation(
        net, flow_of(recipe), dt=dt, seed=seed, imperfections=items, prospective=prospective
    )
    shown = Presentations(
        batch=BATCH, present=recipe["steps"] * dt, plastic_from=PLASTIC_FROM, epochs=epochs
    )
    log = sim.train(X, Y, shown)
    found = alignment(log.run, reference.backprop(net, log.run.X, log.run.Y))
    return {
        "accuracy": accuracy(sim.predict(X_test), Y_test),
        "held_out": accuracy(sim.predict(X_held), Y_held),
        "cosine": min(found.cosine.values()),
    }


def bias(rho: float, sd: float, seed: int, steps: int = BIAS_STEPS) -> dict[str, float]:
    """What noise on messages adds to the mean weight change between two hidden layers, through rho
    g, at fixed weights.

    The noise n_j of a message stands in both factors of delta_i x_j. For Gaussian noise (Stein's
    lemma) the mean of delta_i n_j is sd² w_ij times that of d delta_i/d a_i = sigma'' mu - rho
    sigma'²; where mu is small and sigma' near 1 that is the law -rho sd² sigma' w.

    Returns
    -------
    dict
        `slope`: of the bias on the weights, over sd²; `law`: the bias over -rho sd² mean(sigma') w,
        1 where it holds; `stein`: over sd² mean(sigma'' mu - rho sigma'²) w.
    """
    X, Y = split(seed)[:2]
    net, step = Network.mlp(DEEP, seed=seed), 0.1 * TAU
    sim = Simulation(
        net, Flow.augmented(rho), dt=step, seed=seed, imperfections=[lacking.MessageNoise(sd)]
    )
    run = sim.relax(
        X[:BATCH],
        Y[:BATCH],
        duration=steps * step,
        every=BIAS_EVERY * step,
        start="forward",
        record=("x", "received_x", "received_delta", "sigma", "dsigma", "mu"),
    )
    assert run.traces is not None
    traces = run.traces.isel(time=slice(BIAS_SETTLES // BIAS_EVERY, None))

    def of(variable: str, population: str) -> Array:
        own = traces[variable].isel(unit=traces.population.values == population)
        return np.asarray(own.transpose("time", "pattern", "unit").values).reshape(
            -1, own.unit.size
        )

    noise, delta = of("received_x", "hidden1") - of("x", "hidden1"), of("received_delta", "hidden2")
    slope, w = of("dsigma", "hidden2"), net.weights["hidden1->hidden2"]
    curvature = -2 * of("sigma", "hidden2") * slope  # of tanh
    added = delta.T @ noise / len(noise)
    laws = {
        "slope": sd**2 * w,
        "law": -rho * sd**2 * slope.mean(axis=0)[:, None] * w,
        "stein": sd**2
        * (curvature * of("mu", "hidden2") - rho * slope**2).mean(axis=0)[:, None]
        * w,
    }
    return {name: float(np.sum(added * law) / np.sum(law * law)) for name, law in laws.items()}


def at_best_rate(data: xr.Dataset) -> xr.Dataset:
    """Without the dimension `tau_w`: at the rate that did best on held-out patterns, mean over the
    seeds.

    A run that diverged is as good as chance; `diverged` counts them over the seeds.
    """
    diverged = data.reason.astype(str).str.startswith("DivergenceError")
    numbers = data.drop_vars("reason")
    for name in ("accuracy", "held_out"):
        numbers[name] = numbers[name].where(~diverged, 0.1)
    at = {"tau_w": numbers.held_out.mean("seed").fillna(-1).argmax("tau_w")}
    best: xr.Dataset = numbers.isel(at)
    return best.assign(diverged=diverged.isel(at).sum("seed")).sortby("level")


def lost(data: xr.Dataset) -> xr.DataArray:
    """Accuracy that each imperfection costs, paired by seed, each at its best rate."""
    accuracy = at_best_rate(data).accuracy
    found: xr.DataArray = accuracy.sel(imperfection=CLEAN, level=0.0) - accuracy
    return found


def table(data: xr.Dataset) -> Any:
    """Accuracy (%) and cosine of every imperfection and flow, mean ± spread over seeds; then the
    bias through rho g.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    flows, best = [str(f) for f in data.flow.values], at_best_rate(data)
    note = f"{BIAS}: the measured bias over -rho sd² mean(sigma') w · over sd² mean(sigma'' mu - rho sigma'²) w"
    title = "test accuracy (%) · smallest cosine of lam over populations · tau_w / tau"
    shown = Table("imperfection", "level", *flows, box=SIMPLE_HEAD, title=title, caption=note)
    for kind in data.imperfection.values:
        for level in best.level.values:
            own = best.sel(imperfection=kind, level=level)
            entries = [_entry(str(kind), own.sel(flow=f)) for f in flows]
            if set(entries) != {"-"}:
                shown.add_row(str(kind), f"{level:g}", *entries)
    return shown


def _entry(kind: str, own: xr.Dataset) -> str:
    if kind == BIAS:
        there = "law" in own and own.law.notnull().any()
        return " · ".join(mean_and_spread(own[v], 2) for v in ("law", "stein")) if there else "-"
    if not own.accuracy.notnull().any():
        return "-"
    text = f"{mean_and_spread(own.accuracy, 1, 100)} · {mean_and_spread(own.cosine, 2)} · {float(own.tau_w):g}"
    return f"{text} ({int(own.diverged)} diverged)" if own.diverged else text


def figure(data: xr.Dataset) -> Any:
    """Points of accuracy lost over the level, a panel an imperfection, a line a flow."""
    from matplotlib.figure import Figure

    from neurosim.plot import style
    from neurosim.plot.drawing import PALETTE

    points = 100 * lost(data)
    kinds = [str(k) for k in data.imperfection.values if k not in (CLEAN, BIAS)]
    columns = min(4, len(kinds))
    with style():
        figure = Figure(
            figsize=(2.3 * columns + 0.6, 2.1 * -(-len(kinds) // columns) + 0.5),
            layout="constrained",
        )
        panels = figure.subplots(-(-len(kinds) // columns), columns, squeeze=False)
        for ax, kind in zip(panels.flat, kinds, strict=False):
            own = points.sel(imperfection=kind).dropna("level", how="all")
            names = [f"{level:g}" for level in own.level.values]
            for i, flow in enumerate(data.flow.values):
                line = own.sel(flow=flow).mean("seed")
                ax.plot(
                    names,
                    line,
                    "os^Dv"[i % 5] + "-",
                    color=PALETTE[i % len(PALETTE)],
                    ms=4,
                    label=str(flow),
                )
            ax.axhline(3, color="0.6", lw=0.8, ls="--")
            ax.set_yscale("symlog", linthresh=3)
            ax.set_ylim(-3, 95)
            ax.set_yticks([0, 3, 10, 30, 90], ["0", "3", "10", "30", "90"])
            ax.set_title(f"{kind} {UNITS[kind]}".strip())
        for ax in panels.flat[len(kinds) :]:
            ax.set_visible(False)
        for ax in panels[:, 0]:
            ax.set_ylabel("accuracy lost (points)")
        for ax in panels[-1]:
            ax.set_xlabel("level")
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


UNITS = {
    "state_noise": "(sd, 1)",
    "slow_state_noise": "(sd, 1)",
    "message_noise": "(sd, 1)",
    "cured_noise": "(sd, 1)",
    "time_constants": "(sd of log τ)",
    "delay": "(steps)",
    "lost_held": "(share)",
    "lost_zero": "(share)",
    "box": "(half-width, 1)",
    "rounded": "(quantum, 1)",
    "stochastic": "(quantum, 1)",
    "dale": "(share inhibitory)",
}


def _own(settings: Mapping[str, Any], quick: bool) -> dict[str, Any]:
    own = {**settings["study"], **(QUICK if quick else {})}
    if not isinstance(own["epochs"], int) or own["epochs"] < 1:
        raise out_of_range("study.epochs", own["epochs"], "a whole number >= 1", "10")
    return own
