"""Pictures of one run: its traces, its weights, its way to rest. Start at `traces`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError, unknown
from neurosim.plot.canvas import (
    GREY,
    add_legend,
    axis_label,
    chosen_units,
    color_of,
    counted,
    given_axes,
    log_scale,
    milliseconds,
    plot_many,
    positive,
    recorded_of,
    refuse_stream,
    row_of,
    styled,
    traces_of,
)
from neurosim.plot.drawing import proxy
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from neurosim.reference import Adjoint


Array = np.ndarray


@styled
def traces(
    run: Run,
    variable: str = "x",
    population: str | None = None,
    units: Iterable[int] | None = None,
    *,
    pattern: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A recorded variable over time, one line a unit.

    Parameters
    ----------
    run : Run
    variable : str
        x, lam, g, a, delta: whatever was recorded.
    population : str, optional
        All by default, each in its colour.
    units : iterable of int, optional
        Of that population; by default all, or `MOST_LINES` at equal distances of more.
    pattern : int, optional
        Index in the batch; by default the first that was recorded.
    ax : Axes, optional
        A new figure's by default.

    Raises
    ------
    DataError, ModelError
        Nothing of that name was recorded.
    """
    values = recorded_of(run, variable)
    if population is not None and population not in values:
        raise unknown(f"population with a trace of {variable}", population, values)
    if population is None and units is not None:
        raise DataError(
            f"units = {units!r} of which population? allowed with units: one of {', '.join(values)}"
        )
    row = row_of(run, pattern)
    lines = {
        name: chosen_units(units, values[name].shape[2], f"units of {name}")
        for name in (values if population is None else [population])
    }
    ax = given_axes(ax)
    for name, chosen in lines.items():
        trace = values[name][:, row]
        labels = [f"{name}[{unit}]" for unit in chosen]
        total = counted(name, len(chosen), trace.shape[1], "units")
        color, alone = color_of(run.network, name), len(lines) == 1
        plot_many(
            ax,
            milliseconds(run),
            trace[:, chosen],
            labels=labels,
            total=total,
            color=color,
            alone=alone,
        )
    ax.set(xlabel="time (ms)", ylabel=axis_label(variable))
    add_legend(ax)
    return ax


@styled
def weights(
    run: Run,
    projection: str,
    synapses: Iterable[tuple[int, int]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Recorded weights of a projection over time, one line a synapse.

    Parameters
    ----------
    run : Run
    projection : str
        ``"pre->post"``.
    synapses : iterable of (post, pre), optional
        By default all that were recorded, or `MOST_LINES` at equal distances of more.
    ax : Axes, optional

    Raises
    ------
    DataError, ModelError
        Those weights were not recorded.
    """
    stored = traces_of(run, "w")
    names = dict.fromkeys(stored["projection"].values.tolist())
    if projection not in names:
        raise unknown("projection with a trace of weights", projection, names)
    here = np.flatnonzero(stored["projection"].values == projection)
    index = list(
        zip(stored["post"].values[here].tolist(), stored["pre"].values[here].tolist(), strict=True)
    )
    if synapses is None:
        chosen = chosen_units(None, len(here), "synapses")
    else:
        position = {pair: i for i, pair in enumerate(index)}
        wanted = [(int(post), int(pre)) for post, pre in synapses]
        if lost := [pair for pair in wanted if pair not in position]:
            raise DataError(
                f"synapse (post, pre) = {lost[0]} of {projection} was not recorded; "
                f"allowed: {index[:8]}..."
            )
        chosen = np.array([position[pair] for pair in wanted], dtype=int)
    ax = given_axes(ax)
    name = projection.replace("->", "→")
    labels = [f"{name} [{index[i][0]}, {index[i][1]}]" for i in chosen]
    total = counted(name, len(chosen), len(here), "synapses")
    color = color_of(run.network, run.network.projections[projection].post)
    values = stored["w"].values[:, here[chosen]]
    plot_many(ax, milliseconds(run), values, labels=labels, total=total, color=color, alone=True)
    ax.set(xlabel="time (ms)", ylabel=axis_label("w"))
    add_legend(ax)
    return ax


@styled
def phase_portrait(
    run: Run, population: str, unit: int = 0, pattern: int | None = None, ax: Axes | None = None
) -> Axes:
    """The way of one unit in the plane of its output and its multiplier, start and end marked.

    Raises
    ------
    DataError, ModelError
        x or lam of that unit was not recorded.
    """
    plane = []
    for variable in ("x", "lam"):
        values = recorded_of(run, variable)
        if population not in values:
            raise unknown(f"population with a trace of {variable}", population, values)
        chosen_units([unit], values[population].shape[2], f"unit of {population}")
        plane.append(values[population][:, row_of(run, pattern), unit])
    ax = given_axes(ax, (3.6, 3.2))
    x, lam = plane
    color = color_of(run.network, population)
    ax.plot(x, lam, color=color, label="_")
    ax.plot(
        x[0],
        lam[0],
        "o",
        color=color,
        markerfacecolor="white",
        markersize=7,
        label="start",
        zorder=3,
    )
    ax.plot(
        x[-1],
        lam[-1],
        "o",
        color=color,
        markersize=7,
        label=f"end, {milliseconds(run)[-1]:g} ms",
        zorder=3,
    )
    ax.set(
        xlabel=f"output x of {population}[{unit}] (1)",
        ylabel=f"multiplier λ of {population}[{unit}] (1)",
    )
    add_legend(ax)
    return ax


@styled
def violation(run: Run, ax: Axes | None = None) -> Axes:
    """Root mean square (full) and largest (dashed) |g| over time, by population.

    From the recorded g, or else from the recorded x of all populations and the weights at the end
    of the run.

    Raises
    ------
    DataError
        Neither was recorded; or the weights moved, so that x alone does not tell.
    """
    g = _violations(run)
    ax = given_axes(ax)
    time = milliseconds(run)
    for name, values in g.items():
        color, size = color_of(run.network, name), np.abs(values)
        ax.plot(time, positive(np.sqrt(np.mean(size**2, axis=(1, 2)))), color=color, label=name)
        ax.plot(
            time,
            positive(size.max(axis=(1, 2))),
            color=color,
            linestyle=(0, (3, 1.5)),
            label="_",
            alpha=0.8,
        )
    proxy(ax, "rms", color=GREY)
    proxy(ax, "largest", color=GREY, linestyle=(0, (3, 1.5)))
    ax.set(xlabel="time (ms)", ylabel="violation |x − σ(a)| (1)")
    log_scale(ax)
    add_legend(ax)
    return ax


@styled
def agreement(
    run: Run, measure: str = "error", ref: Adjoint | None = None, ax: Axes | None = None
) -> Axes:
    """Distance of the recorded multipliers to backpropagation's over time, by population.

    Parameters
    ----------
    run : Run
    measure : {"error", "cosine"}
        Largest absolute error over patterns and units, or 1 - cosine.
    ref : Adjoint, optional
        Of the recorded patterns; by default `reference.backprop` with the weights at the end of the
        run.
    ax : Axes, optional

    Raises
    ------
    DataError
        lam was not recorded; or the weights moved, and no `ref` is given.
    ConvergenceError
        A cyclic graph that does not contract has no backpropagation to compare with.
    """
    if measure not in ("error", "cosine"):
        raise unknown("measure", measure, ("error", "cosine"))
    lam = recorded_of(run, "lam")
    truth = _reference(run) if ref is None else ref
    ax = given_axes(ax)
    for name, values in lam.items():
        exact = truth.lam[name]
        if exact.shape != values.shape[1:]:
            raise DataError(
                f"ref.lam[{name!r}] has shape {exact.shape}; allowed: "
                f"{values.shape[1:]}, as recorded"
            )
        distance = (
            np.abs(values - exact).max(axis=(1, 2))
            if measure == "error"
            else _one_minus_cosine(values, exact)
        )
        ax.plot(
            milliseconds(run), positive(distance), color=color_of(run.network, name), label=name
        )
    distance_name = "max |λ − λ$_{BP}$|" if measure == "error" else "1 − cos(λ, λ$_{BP}$)"
    ax.set(xlabel="time (ms)", ylabel=f"{distance_name} (1)")
    log_scale(ax)
    add_legend(ax)
    return ax


def _violations(run: Run) -> dict[str, Array]:
    """g by population, (time, pattern, units)."""
    from neurosim.reference.functions import net_input, sigma

    if run.traces is not None and "g" in run.traces:
        return recorded_of(run, "g")
    refuse_stream(run)
    x, net = recorded_of(run, "x"), run.network
    if missing := [name for name in net.neurons if name not in x]:
        raise DataError(f"x of {missing} was not recorded, so g cannot be told; try record=('g',)")
    if _plastic(run):
        raise DataError(
            "the weights moved while x was recorded, so g cannot be told from x; try record=('g',)"
        )
    times, patterns = x[net.neurons[0]].shape[:2]
    clamped = {
        n: np.tile(X[traces_of(run, "x")["pattern"].values], (times, 1)) for n, X in run.X.items()
    }
    outputs = clamped | {n: x[n].reshape(times * patterns, -1) for n in net.neurons}
    return {
        n: (outputs[n] - sigma(net.populations[n].activation, net_input(net, n, outputs))).reshape(
            x[n].shape
        )
        for n in net.neurons
    }


def _plastic(run: Run) -> bool:
    """Whether the weights moved, so that those at the end say nothing about earlier times."""
    return bool(run.settings.get("plastic", False)) or (
        run.traces is not None and "w" in run.traces
    )


def _reference(run: Run) -> Adjoint:
    from neurosim.reference import backprop

    if _plastic(run):
        raise DataError(
            "the weights moved while lam was recorded; try ref=..., or "
            "relax(start=run) and draw that"
        )
    refuse_stream(run)
    rows = traces_of(run, "pattern")["pattern"].values
    return backprop(
        run.network, {n: X[rows] for n, X in run.X.items()}, {n: Y[rows] for n, Y in run.Y.items()}
    )


def final_reference(run: Run) -> Adjoint:
    """Backpropagation of the final weights and all patterns."""
    from neurosim.reference import backprop

    refuse_stream(run)
    return backprop(run.network, run.X, run.Y)


def _one_minus_cosine(values: Array, exact: Array) -> Array:
    """Per time, over patterns and units; as |u - v|²/2 of unit vectors, which is exact where it is
    small.
    """
    u, v = values.reshape(len(values), -1), exact.reshape(1, -1)
    sizes = np.linalg.norm(u, axis=1, keepdims=True), np.linalg.norm(v)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = np.square(u / sizes[0] - v / sizes[1]).sum(axis=1) / 2
    return np.where(np.isfinite(distance), distance, np.where(sizes[0][:, 0] == sizes[1], 0.0, 1.0))
