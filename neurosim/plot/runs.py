"""Pictures of one run: traces and the approach to rest. Start at `traces`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError, shown, unknown
from neurosim.model.flow import seconds
from neurosim.plot.canvas import (
    DASHED,
    GREY,
    HOLLOW,
    add_note,
    axis_label,
    chosen_lines,
    color_of,
    count_label,
    draw_lines,
    evenly_spread,
    finite_or_nan,
    finite_samples,
    largest_size,
    log_scale,
    mark_not_finite,
    marker_for,
    population_label,
    positive,
    recorded_of,
    recorded_units,
    refuse_stream,
    row_of,
    span_of,
    time_label,
    times_of,
    traces_of,
)
from neurosim.plot.drawing import add_legend_line
from neurosim.plot.legends import add_legend
from neurosim.plot.page import (
    Size,
    given_axes,
    styled,
)
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from neurosim.reference import Adjoint

Array = np.ndarray

MOST_MARKS = 200
MOST_POINTS = 2000  # of a population in a parity picture

DISTANCES = {"error": "max |λ − λ$_{BP}$|", "cosine": "1 − cos(λ, λ$_{BP}$)"}


@styled
def traces(
    run: Run,
    variable: str = "x",
    population: str | None = None,
    units: Iterable[int] | None = None,
    *,
    pattern: int | None = None,
    marks: Any = None,
    ax: Axes | None = None,
    figsize: Size | None = None,
) -> Axes:
    """Draw a recorded variable over time, one line per unit.

    Parameters
    ----------
    run : Run
    variable : str
        A recorded one, such as x, lam, g, a or delta.
    population : str, optional
        By default all, each in its own colour.
    units : iterable of int, optional
        Units of that population; by default all, but at most `canvas.MOST_LINES`, spread evenly.
    pattern : int, optional
        Index in the batch; by default the first that was recorded.
    marks : time, optional
        Interval, s, at which upright lines are drawn, such as the length of a presentation.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

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
            f"units = {shown(units)} without population; "
            f"allowed: population = one of {', '.join(values)}"
        )
    row = row_of(run, pattern)
    names = list(values) if population is None else [population]
    chosen = {}
    for name in names:
        chosen[name] = chosen_lines(units, recorded_units(run, name), f"units of {name}")
    ax = given_axes(ax, figsize)
    finite = np.ones(len(times_of(run)), dtype=bool)
    for name, own in chosen.items():
        trace = finite_or_nan(values[name][:, row])
        finite &= finite_samples(trace[:, own])
        indices = recorded_units(run, name)[own]
        size = run.network.populations[name].size
        draw_lines(
            ax,
            times_of(run),
            trace[:, own],
            labels=[f"{name}[{unit}]" for unit in indices],
            total=count_label(name, len(own), size, "units"),
            color=color_of(run.network, name),
            alone=len(names) == 1,
        )
    ax.set(xlabel=time_label(run), ylabel=axis_label(variable))
    mark_not_finite(ax, times_of(run), finite)
    if marks is not None:
        _draw_marks(ax, run, seconds(marks, "marks"))
    add_legend(ax)
    return ax


def _draw_marks(ax: Axes, run: Run, interval: float) -> None:
    """Draw upright lines every `interval`, s, over the time of the samples.

    Raises
    ------
    DataError
        There would be more than `MOST_MARKS`.
    """
    stored = traces_of(run, "time")["time"].values
    count = int((stored[-1] - stored[0]) / interval) + 1
    if count > MOST_MARKS:
        raise DataError(
            f"marks = {interval:g} s would be {count} lines; allowed: {MOST_MARKS}; "
            f"try a longer interval, or a part of the run: traces.sel(time=slice(...))"
        )
    first = np.ceil(stored[0] / interval) * interval
    places = np.arange(first, stored[-1] + interval / 2, interval)
    scale = times_of(run)[-1] / stored[-1] if stored[-1] else 1.0
    for place in places:
        ax.axvline(scale * place, color="0.8", linewidth=0.6, zorder=0)


@styled
def violation(run: Run, ax: Axes | None = None, *, figsize: Size | None = None) -> Axes:
    """Draw the root mean square (full) and the largest (dashed) |g| over time, by population.

    g is the recorded one, if any. Otherwise it is computed from the recorded x and the weights at
    the end of the run, for the recorded units whose presynaptic populations were recorded whole.

    Parameters
    ----------
    run : Run
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        Neither was recorded, or only x, and g is unknown: the weights moved, or no population with
        a recorded unit has all its presynaptic units recorded.
    """
    g = _violations(run)
    ax = given_axes(ax, figsize)
    time = times_of(run)
    marker = marker_for(len(time), most=1)
    finite = np.ones(len(time), dtype=bool)
    for name, values in g.items():
        finite &= finite_samples(values)
        color, size = color_of(run.network, name), np.abs(values)
        mean = np.sqrt(np.mean(size**2, axis=(1, 2)))
        largest = size.max(axis=(1, 2))
        label = population_label(run.network, name, values.shape[2])
        ax.plot(time, positive(mean), color=color, marker=marker, label=label)
        dashed: Any = {"linestyle": DASHED, "label": "_", "alpha": 0.8, **HOLLOW}
        ax.plot(time, positive(largest), color=color, marker=marker, **dashed)
    add_legend_line(ax, "rms", color=GREY, marker=marker)
    add_legend_line(ax, "largest", color=GREY, linestyle=DASHED, marker=marker, **HOLLOW)
    ax.set(xlabel=time_label(run), ylabel="violation |x − σ(a)| (1)", xlim=span_of(time))
    log_scale(ax, empty=_why_empty(finite))
    mark_not_finite(ax, time, finite)
    add_legend(ax)
    return ax


def _violations(run: Run) -> dict[str, Array]:
    """Return g by population, (time, pattern, units).

    Raises
    ------
    DataError
        g was not recorded, and cannot be computed from what was.
    """
    from neurosim.reference.functions import violation as violation_of

    if run.traces is not None and "g" in run.traces:
        return recorded_of(run, "g")
    refuse_stream(run)
    x, net = recorded_of(run, "x"), run.network
    if is_plastic(run):
        raise DataError(
            f"the weights moved while x of {list(x)} was recorded, so that g is unknown; "
            "try record=('g',)"
        )
    outputs = _recorded_outputs(run, x)
    g = {}
    for name, values in x.items():
        before = {q.pre for q in net.incoming(name)}
        if not any(np.isnan(outputs[pre]).all(axis=0).any() for pre in before):
            own = violation_of(net, name, outputs).reshape(*values.shape[:2], -1)
            g[name] = own[..., recorded_units(run, name)]
    if not g:
        raise DataError(
            "g is unknown, as no population has all its presynaptic units recorded in x; "
            "try record=('g',), or units=None"
        )
    return g


def _recorded_outputs(run: Run, x: dict[str, Array]) -> dict[str, Array]:
    """Return the outputs of all units, (times x patterns, units); NaN where none was recorded.

    Parameters
    ----------
    x : {population: (time, pattern, recorded units)}
    """
    traces = traces_of(run, "x")
    rows = traces["pattern"].values
    moments = traces.sizes["time"] * len(rows)
    outputs = {}
    for name, population in run.network.populations.items():
        outputs[name] = np.full((moments, population.size), np.nan)
    for name, X in run.X.items():
        outputs[name] = np.tile(X[rows], (traces.sizes["time"], 1))
    for name, values in x.items():
        outputs[name][:, recorded_units(run, name)] = values.reshape(moments, -1)
    return outputs


@styled
def agreement(
    run: Run,
    measure: str = "error",
    ref: Adjoint | None = None,
    ax: Axes | None = None,
    *,
    figsize: Size | None = None,
) -> Axes:
    """Draw the distance of the recorded multipliers to backpropagation's over time, by population.

    Parameters
    ----------
    run : Run
    measure : {"error", "cosine"}
        Largest absolute error over patterns and units, or 1 - cosine.
    ref : Adjoint, optional
        Multipliers of the recorded patterns to compare with; by default those of
        `reference.backprop` with the weights at the end of the run.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        lam was not recorded; or the weights moved, and no `ref` is given.
    ConvergenceError
        A cyclic graph does not contract, so that backpropagation is not defined.
    """
    if measure not in DISTANCES:
        raise unknown("measure", measure, DISTANCES)
    lam = recorded_of(run, "lam")
    truth = _reference(run) if ref is None else ref
    ax = given_axes(ax, figsize)
    time = times_of(run)
    marker = marker_for(len(time), most=1)
    finite = np.ones(len(time), dtype=bool)
    for name, values in lam.items():
        finite &= finite_samples(values)
        exact = _exact_of_recorded(run, name, truth)
        if measure == "error":
            distance = np.abs(values - exact).max(axis=(1, 2))
        else:
            distance = _one_minus_cosine(values, exact)
        color = color_of(run.network, name)
        label = population_label(run.network, name, values.shape[2])
        ax.plot(time, positive(distance), color=color, marker=marker, label=label)
    ax.set(xlabel=time_label(run), ylabel=f"{DISTANCES[measure]} (1)", xlim=span_of(time))
    log_scale(ax, empty=_why_empty(finite))
    mark_not_finite(ax, time, finite)
    add_legend(ax)
    return ax


@styled
def parity(run: Run, ax: Axes | None = None, *, figsize: Size | None = None) -> Axes:
    """Draw every final multiplier over backpropagation's with the final weights, by population.

    On the grey diagonal they are equal. Needs no traces.

    Parameters
    ----------
    run : Run
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        The run is a stream.
    ConvergenceError
        A cyclic graph does not contract, so that backpropagation is not defined.
    """
    truth = final_reference(run)
    ax = given_axes(ax, figsize, (3.6, 3.2))
    largest = 0.0
    for name in run.network.neurons:
        exact, found = np.ravel(truth.lam[name]), np.ravel(run.lam[name])
        chosen = evenly_spread(len(exact), MOST_POINTS)
        label = name if len(chosen) == len(exact) else f"{name}, {len(chosen)} of {len(exact)}"
        color = color_of(run.network, name)
        look: Any = {"color": color, "markersize": 3, "alpha": 0.6, "rasterized": True}
        ax.plot(exact[chosen], found[chosen], "o", label=label, **look)
        largest = max(largest, largest_size(exact), largest_size(found))
    reach = 1.1 * largest or 1.0
    ax.plot([-reach, reach], [-reach, reach], color=GREY, linewidth=0.8, zorder=1)
    ax.set(xlabel="λ of backpropagation (1)", ylabel="multiplier λ (1)")
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    ax.locator_params(nbins=5)
    found = np.concatenate([np.ravel(run.lam[name]) for name in run.network.neurons])
    lost = int(np.count_nonzero(~np.isfinite(found)))
    if lost == found.size:
        add_note(ax, "no finite multiplier")
        lost = 0
    title = f"{lost} of {found.size} multipliers are not finite" if lost else ""
    add_legend(ax, title=title)
    return ax


def _why_empty(finite: Array) -> str:
    """Return why a logarithmic axis of sizes shows nothing."""
    return "no value above 0" if finite.any() else "no finite value"


def _exact_of_recorded(run: Run, population: str, ref: Adjoint) -> Array:
    """Return the exact multipliers of the recorded units of a population, (pattern, units).

    Raises
    ------
    DataError
        `ref` is of other patterns or of another network.
    """
    patterns = traces_of(run, "pattern").sizes["pattern"]
    allowed = patterns, run.network.populations[population].size
    found = np.shape(ref.lam.get(population, ()))
    if found != allowed:
        raise DataError(
            f"ref.lam[{population!r}] has shape {found}; "
            f"allowed: {allowed}, the recorded patterns and all units"
        )
    return ref.lam[population][:, recorded_units(run, population)]


def is_plastic(run: Run) -> bool:
    """Return whether the weights moved, so that the final ones are not those of earlier times."""
    if run.settings.get("plastic", False):
        return True
    return run.traces is not None and "w" in run.traces


def _reference(run: Run) -> Adjoint:
    """Return backpropagation with the final weights, for the recorded patterns.

    Raises
    ------
    DataError
        The weights moved.
    """
    from neurosim.reference import backprop

    if is_plastic(run):
        raise DataError(
            f"the weights moved while lam was recorded at {len(times_of(run))} times; "
            "allowed: fixed weights; try ref=..., or relax(start=run) and draw that"
        )
    refuse_stream(run)
    rows = traces_of(run, "pattern")["pattern"].values
    X = {name: values[rows] for name, values in run.X.items()}
    Y = {name: values[rows] for name, values in run.Y.items()}
    return backprop(run.network, X, Y)


def final_reference(run: Run) -> Adjoint:
    """Return backpropagation with the final weights, for all patterns.

    Raises
    ------
    DataError
        The run is a stream.
    """
    from neurosim.reference import backprop

    refuse_stream(run)
    return backprop(run.network, run.X, run.Y)


def _one_minus_cosine(values: Array, exact: Array) -> Array:
    """Return 1 - cosine over patterns and units, (time,).

    It is computed as |u - v|²/2 of unit vectors, which keeps its digits where it is small.
    """
    u = values.reshape(len(values), -1)
    v = exact.reshape(1, -1)
    u_size = np.linalg.norm(u, axis=1, keepdims=True)
    v_size = np.linalg.norm(v)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = u / u_size - v / v_size
    distance = np.square(between).sum(axis=1) / 2
    both_zero = np.where(u_size[:, 0] == v_size, 0.0, 1.0)
    return np.where(np.isfinite(distance), distance, both_zero)
