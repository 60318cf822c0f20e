"""Imperfections of a circuit: which of them learning withstands, by level and flow, on digits.

A cell is one training. Measured are the test accuracy of its final weights, and the cosine of lam
at the end of the last presentation to backpropagation's: accuracy alone does not show that the
gradient is right. A fifth of the training part is held out. Table and figure show, for every
imperfection, level and flow, the rate tau_w with the best mean accuracy there over the seeds. The
cells of `rho_bias` are not trainings: see `bias`. Start at `ImperfectionsStudy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic.dataclasses import dataclass

from neurosim import reference
from neurosim.analysis.alignment import alignment
from neurosim.errors import ModelError, number, out_of_range, unknown, whole
from neurosim.experiments.studies.shared import (
    HELD_OUT,
    TAU,
    grid_of_panels,
    mean_and_spread,
    new_table,
    repeats,
)
from neurosim.experiments.studies.study import (
    MOST,
    STRICT,
    Cell,
    Count,
    Numbers,
    Positive,
    Study,
    StudySettings,
    Whole,
)
from neurosim.model import imperfections
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.schedules import Presentations
from neurosim.results.metrics import accuracy
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
Imperfections = list[imperfections.Imperfection]

SIZES = (64, 32, 10)
DEEP = (64, 32, 32, 10)  # with a hidden layer that receives from a noisy one
BATCH, PLASTIC_FROM = 32, 0.5
CHANCE = 0.1  # accuracy of a run that diverged
TOLERATED = 3  # points of accuracy
CLEAN, BIAS = "none", "rho_bias"
# steps of 0.1 tau: of a run, between two samples, and before the first sample that counts
BIAS_STEPS, BIAS_EVERY, BIAS_SETTLES = 2000, 5, 200
OF_RECIPES = ("dt", "steps", "tau_w")  # keys of a recipe that are not the flow's
QUICK = {
    "seeds": 1,
    "epochs": 2,
    "tau_w": [20.0],
    "flows": ["adjoint", "damped", "augmented2"],
    "levels": {"message_noise": [1.0], "delay": [2], "lost_zero": [0.3], "box": [1.0], BIAS: [0.1]},
}


LARGEST_DT = 10.0  # tau, of a recipe


def _whole_steps(steps: float) -> int:
    """Return a delay in steps.

    Raises
    ------
    ModelError
        A fraction of a step, or none.
    """
    if not float(steps).is_integer() or steps < 1:
        raise out_of_range("level of delay", steps, "a whole number of steps >= 1")
    return int(steps)


def check_levels(key: str, levels: Mapping[str, Sequence[float]]) -> None:
    """Refuse levels that their imperfection does not take; `key` is their table.

    Raises
    ------
    ModelError
        The message has the table and the kind.
    """
    for kind, of_kind in levels.items():
        for level in of_kind:
            try:
                KINDS[kind].at_level(level)
            except ModelError as error:
                raise ModelError(f"study.{key}.{kind}: {error}") from error


class Kind(NamedTuple):
    """A kind of imperfection: the imperfections at a level, and the unit of the level."""

    at_level: Callable[[float], Imperfections]
    unit: str = ""


KINDS: dict[str, Kind] = {
    "state_noise": Kind(lambda sd: [imperfections.StateNoise(sd)], "(sd, 1)"),
    "slow_state_noise": Kind(lambda sd: [imperfections.StateNoise(sd, 2 * TAU)], "(sd, 1)"),
    "message_noise": Kind(lambda sd: [imperfections.MessageNoise(sd)], "(sd, 1)"),
    "cured_noise": Kind(
        lambda sd: [imperfections.MessageNoise(sd), imperfections.LowPass(2 * TAU)], "(sd, 1)"
    ),
    "time_constants": Kind(lambda spread: [imperfections.TimeConstants(spread)], "(sd of log τ)"),
    "delay": Kind(lambda steps: [imperfections.Delay(_whole_steps(steps))], "(steps)"),
    "lost_held": Kind(lambda share: [imperfections.LostMessages(share)], "(share)"),
    "lost_zero": Kind(lambda share: [imperfections.LostMessages(share, "zero")], "(share)"),
    "box": Kind(
        lambda half_width: [imperfections.Derivative("box", half_width)], "(half-width, 1)"
    ),
    "rounded": Kind(lambda quantum: [imperfections.Quantised(quantum)], "(quantum, 1)"),
    "stochastic": Kind(
        lambda quantum: [imperfections.Quantised(quantum, "stochastic")], "(quantum, 1)"
    ),
    "dale": Kind(lambda inhibitory: [imperfections.Dale(inhibitory)], "(share inhibitory)"),
    CLEAN: Kind(lambda _: []),
}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ImperfectionsSettings(StudySettings):
    """Settings of the study.

    `recipes` are flows by name: arguments of `Flow.from_preset`, with `dt` (tau) and `steps` of a
    presentation. `tau_w` is in tau.
    """

    seeds: Count
    first_seed: Whole
    epochs: Count
    tau_w: list[Positive]
    flows: list[str]
    levels: dict[str, list[float]]
    recipes: dict[str, dict[str, Any]]

    def __post_init__(self) -> None:
        for flow in self.flows:
            if flow not in self.recipes:
                raise unknown("study.flows", flow, tuple(self.recipes))
        for kind, levels in self.levels.items():
            if kind not in (*KINDS, BIAS):
                raise unknown("study.levels key", kind, (*KINDS, BIAS))
            if kind == BIAS:
                for level in levels:
                    number(f"study.levels.{BIAS}", level, least=0)
            else:
                check_levels("levels", {kind: levels})
        for flow, recipe in self.recipes.items():
            _check_recipe(flow, recipe)


def _check_recipe(name: str, recipe: Mapping[str, Any]) -> None:
    """Check the keys of a recipe before anything is measured."""
    for key in ("preset", "dt", "steps"):
        if key not in recipe:
            raise ModelError(
                f"study.recipes.{name}.{key} is missing; allowed: preset, dt, steps, and arguments "
                "of the preset"
            )
    number(f"study.recipes.{name}.dt", recipe["dt"], above=0, most=LARGEST_DT)
    number(f"study.recipes.{name}.steps", whole("steps", recipe["steps"], 1), most=MOST)
    try:
        flow_of({**recipe, "tau_w": 1.0})
    except TypeError as error:
        raise ModelError(
            f"study.recipes.{name}: {error}; allowed: arguments of the preset"
        ) from None


class ImperfectionsStudy(Study[ImperfectionsSettings]):
    """Accuracy and angle of lam by imperfection, level and flow."""

    question = (
        "How noisy, slow, lossy or coarse may a circuit be before learning breaks, "
        "by imperfection and flow?"
    )
    settings_type = ImperfectionsSettings
    varied = ("levels", "flows", "tau_w", "first_seed")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every training, those without imperfections first.

        A flow without rho has no bias to measure.
        """
        own = self.settings
        seeds = range(own.first_seed, own.first_seed + own.seeds)
        cells: list[Cell] = []
        for kind, levels in {CLEAN: [0.0], **own.levels}.items():
            for level, flow in product(levels, own.flows):
                rates = own.tau_w
                if kind == BIAS:
                    has_rho = "rho" in own.recipes[flow]
                    rates = own.tau_w[:1] if has_rho else []
                labels = {"imperfection": kind, "level": level, "flow": flow}
                cells += [
                    {**labels, "tau_w": rate, "seed": seed} for rate, seed in product(rates, seeds)
                ]
        return cells

    def measure(self, cell: Cell) -> Numbers:
        """Return the numbers of one training (see `train`), or of one bias (see `bias`)."""
        recipe = {**self.settings.recipes[cell["flow"]], "tau_w": cell["tau_w"]}
        kind = cell["imperfection"]
        level = cell["level"]
        seed = cell["seed"]
        if kind == BIAS:
            return bias(recipe["rho"], level, seed)
        return train(recipe, KINDS[kind].at_level(level), seed, self.settings.epochs)

    def table(self, data: xr.Dataset) -> Any:
        """Return accuracy (%) and cosine, mean ± spread over seeds; and the bias through rho g."""
        flows = [str(flow) for flow in data.flow.values]
        best = at_best_rate(data)
        shown = new_table(
            "imperfection",
            "level",
            *flows,
            title="test accuracy (%) · smallest cosine of lam over populations · tau_w / tau",
            caption=f"{BIAS}: ratio of the measured bias to -rho sd² mean(sigma') w "
            "· to sd² mean(sigma'' mu - rho sigma'²) w",
        )
        for kind, level in product(data.imperfection.values, best.level.values):
            own = best.sel(imperfection=kind, level=level)
            entries = [_entry(str(kind), own.sel(flow=flow)) for flow in flows]
            if set(entries) != {"-"}:
                shown.add_row(str(kind), f"{level:g}", *entries)
        costly, levels = costly_levels(data)
        counts = [f"{costly[flow]} of {levels}" for flow in flows]
        shown.add_row(f"levels that cost over {TOLERATED} points", "", *counts)
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw the accuracy lost over the level, a panel per imperfection and a line per flow."""
        from neurosim.plot import style

        points = 100 * lost(data)
        kinds = [str(kind) for kind in data.imperfection.values if kind not in (CLEAN, BIAS)]
        with style():
            figure, panels = grid_of_panels(len(kinds), 4, size=(2.3, 2.1), margin=(0.6, 0.5))
            for ax, kind in zip(panels.flat, kinds, strict=False):
                own = points.sel(imperfection=kind).dropna("level", how="all")
                _draw_loss(ax, own)
                ax.set_title(f"{kind} {KINDS[kind].unit}".strip())
            for ax in panels[:, 0]:
                ax.set_ylabel("accuracy lost (points)")
            for ax in panels[-1]:
                ax.set_xlabel("level")
            handles, labels = panels.flat[0].get_legend_handles_labels()
            title = f"means over n = {repeats(data)}"
            figure.legend(handles, labels, loc="outside upper center", ncols=3, title=title)
        return figure


def flow_of(recipe: Mapping[str, Any]) -> Flow:
    """Return the flow of a recipe, whose times are in tau."""
    keys = {key: value for key, value in recipe.items() if key not in OF_RECIPES}
    return Flow.from_preset(**keys, tau_w=recipe["tau_w"] * TAU)


def split(seed: int) -> tuple[Array, ...]:
    """Return digits / 16: X and Y to learn, those held out to choose rates, and those to test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, Y = load_digits(return_X_y=True)
    keys: dict[str, Any] = {"test_size": HELD_OUT, "random_state": seed}
    X_rest, X_test, Y_rest, Y_test = train_test_split(X / 16, Y, stratify=Y, **keys)
    X_fit, X_held, Y_fit, Y_held = train_test_split(X_rest, Y_rest, stratify=Y_rest, **keys)
    return X_fit, Y_fit, X_held, Y_held, X_test, Y_test


def train(recipe: Mapping[str, Any], items: Imperfections, seed: int, epochs: int) -> Numbers:
    """Train once, and return accuracies and the smallest cosine of lam to backpropagation's.

    Raises
    ------
    DivergenceError
        The training diverged.
    """
    X, Y, X_held, Y_held, X_test, Y_test = split(seed)
    net = Network.mlp(SIZES, seed=seed)
    dt = recipe["dt"] * TAU
    sim = Simulation(net, flow_of(recipe), dt=dt, seed=seed, imperfections=items)
    schedule = Presentations(
        batch=BATCH, present=recipe["steps"] * dt, plastic_from=PLASTIC_FROM, epochs=epochs
    )
    log = sim.train(X, Y, schedule)
    exact = reference.backprop(net, log.run.X, log.run.Y)
    found = alignment(log.run, exact)
    return {
        "accuracy": accuracy(sim.predict(X_test), Y_test),
        "held_out": accuracy(sim.predict(X_held), Y_held),
        "cosine": min(found.cosine.values()),
    }


def bias(rho: float, sd: float, seed: int, steps: int = BIAS_STEPS) -> Numbers:
    """Measure what noise on messages adds to the mean weight change through rho g, weights fixed.

    The weights are those between two hidden layers. The noise n_j of a message enters both
    factors of delta_i x_j. For Gaussian noise (Stein's lemma) the mean of delta_i n_j is sd² w_ij
    times that of d delta_i/d a_i = sigma'' mu - rho sigma'². Where mu is small and sigma' near 1,
    that is the law -rho sd² sigma' w.

    Returns
    -------
    dict
        `slope`, `law` and `stein`: the factors with which sd² w, -rho sd² mean(sigma') w and sd²
        mean(sigma'' mu - rho sigma'²) w fit the bias best. Where a law holds, its factor is 1.
    """
    X, Y = split(seed)[:2]
    net = Network.mlp(DEEP, seed=seed)
    step = 0.1 * TAU
    noise_on_messages = [imperfections.MessageNoise(sd)]
    sim = Simulation(net, Flow.augmented(rho), dt=step, seed=seed, imperfections=noise_on_messages)
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
    noise = _samples(traces, "received_x", "hidden1") - _samples(traces, "x", "hidden1")
    delta = _samples(traces, "received_delta", "hidden2")
    slope = _samples(traces, "dsigma", "hidden2")
    w = net.weights["hidden1->hidden2"]
    curvature = -2 * _samples(traces, "sigma", "hidden2") * slope  # of tanh
    mu = _samples(traces, "mu", "hidden2")
    added = delta.T @ noise / len(noise)
    mean_slope = slope.mean(axis=0)[:, None]
    mean_change = (curvature * mu - rho * slope**2).mean(axis=0)[:, None]  # of delta with a
    return {
        "slope": _projection(added, sd**2 * w),
        "law": _projection(added, -rho * sd**2 * mean_slope * w),
        "stein": _projection(added, sd**2 * mean_change * w),
    }


def _projection(values: Array, law: Array) -> float:
    """Return the factor with which a law fits values best, by least squares."""
    return float(np.sum(values * law) / np.sum(law * law))


def _samples(traces: xr.Dataset, variable: str, population: str) -> Array:
    """Return what was recorded of a population, (samples times patterns, units)."""
    own = traces[variable].isel(unit=traces.population.values == population)
    values = np.asarray(own.transpose("time", "pattern", "unit").values)
    return values.reshape(-1, own.unit.size)


def at_best_rate(data: xr.Dataset) -> xr.Dataset:
    """Return the data at the rate tau_w that did best on held-out patterns, mean over the seeds.

    A run that diverged has the accuracy of chance; `diverged` is the number of such runs over the
    seeds.
    """
    diverged = data.reason.astype(str).str.startswith("DivergenceError")
    numbers = data.drop_vars("reason")
    for name in ("accuracy", "held_out"):
        numbers[name] = numbers[name].where(~diverged, CHANCE)
    at = {"tau_w": numbers.held_out.mean("seed").fillna(-1).argmax("tau_w")}
    best: xr.Dataset = numbers.isel(at)
    return best.assign(diverged=diverged.isel(at).sum("seed")).sortby("level")


def lost(data: xr.Dataset) -> xr.DataArray:
    """Return the accuracy that each imperfection costs, paired by seed, each at its best rate."""
    best = at_best_rate(data).accuracy
    found: xr.DataArray = best.sel(imperfection=CLEAN, level=0.0) - best
    return found


def costly_levels(data: xr.Dataset) -> tuple[dict[str, int], int]:
    """Return by flow at how many levels the mean loss exceeds `TOLERATED`; and of how many."""
    points = (100 * lost(data).mean("seed")).round(9)  # so that 3 points are not more than 3
    levels = points.drop_sel(imperfection=[CLEAN, BIAS], errors="ignore").stack(
        at=("imperfection", "level")
    )
    measured = levels.dropna("at", how="all")
    costly = (measured > TOLERATED).sum("at")
    return {str(flow): int(costly.sel(flow=flow)) for flow in data.flow.values}, measured.at.size


def _entry(kind: str, own: xr.Dataset) -> str:
    """Return an entry of the table: one imperfection, level and flow over the seeds."""
    if kind == BIAS:
        if "law" not in own or not own.law.notnull().any():
            return "-"
        return f"{mean_and_spread(own.law, 2)} · {mean_and_spread(own.stein, 2)}"
    if not own.accuracy.notnull().any():
        return "-"
    shown = [mean_and_spread(own.accuracy, 1, 100), mean_and_spread(own.cosine, 2)]
    text = " · ".join([*shown, f"{float(own.tau_w):g}"])
    if own.diverged:
        text += f" ({int(own.diverged)} diverged)"
    return text


def _draw_loss(ax: Any, own: xr.DataArray) -> None:
    from neurosim.plot.page import PALETTE

    levels = [f"{level:g}" for level in own.level.values]
    for i, flow in enumerate(own.flow.values):
        line = "os^Dv"[i % 5] + "-"
        colour = PALETTE[i % len(PALETTE)]
        mean = own.sel(flow=flow).mean("seed")
        ax.plot(levels, mean, line, color=colour, ms=4, label=str(flow))
    dashed = {"color": "0.6", "lw": 0.8, "ls": "--"}
    ax.axhline(TOLERATED, **dashed, label=f"{TOLERATED} points: tolerated")
    ax.set_yscale("symlog", linthresh=TOLERATED)
    ax.set_ylim(-3, 95)
    ax.set_yticks([0, 3, 10, 30, 90], ["0", "3", "10", "30", "90"])
