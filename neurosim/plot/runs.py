"""Pictures of one run: traces, weights and the approach to rest. Start at `traces`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError, shown, unknown
from neurosim.plot.canvas import (
    DASHED,
    GREY,
    MOST_LINES,
    axis_label,
    chosen_lines,
    color_of,
    count_label,
    draw_lines,
    evenly_spread,
    given_axes,
    log_scale,
    milliseconds,
    population_label,
    positive,
    recorded_of,
    recorded_units,
    refuse_stream,
    row_of,
    span_of,
    styled,
    traces_of,
)
from neurosim.plot.drawing import FONT, add_legend_line, size_in_points
from neurosim.plot.legends import add_legend
from neurosim.plot.names import shortened, text_width
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from neurosim.reference import Adjoint

Array = np.ndarray

DISTANCES = {"error": "max |λ − λ$_{BP}$|", "cosine": "1 − cos(λ, λ$_{BP}$)"}


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
    ax : Axes, optional
        By default those of a new figure.

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
    ax = given_axes(ax)
    for name, own in chosen.items():
        trace = values[name][:, row]
        indices = recorded_units(run, name)[own]
        size = run.network.populations[name].size
        draw_lines(
            ax,
            milliseconds(run),
            trace[:, own],
            labels=[f"{name}[{unit}]" for unit in indices],
            total=count_label(name, len(own), size, "units"),
            color=color_of(run.network, name),
            alone=len(names) == 1,
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
    """Draw the recorded weights of a projection over time, one line per synapse.

    Parameters
    ----------
    run : Run
    projection : str
        ``"pre->post"``.
    synapses : iterable of (post, pre), optional
        By default all that were recorded, but at most `canvas.MOST_LINES`, spread evenly.
    ax : Axes, optional
        By default those of a new figure.

    Raises
    ------
    DataError, ModelError
        Those weights were not recorded.
    """
    stored = traces_of(run, "w")
    projections = stored["projection"].values
    if projection not in projections:
        allowed = dict.fromkeys(projections.tolist())
        raise unknown("projection with a trace of weights", projection, allowed)
    here = np.flatnonzero(projections == projection)
    post = stored["post"].values[here].tolist()
    pre = stored["pre"].values[here].tolist()
    pairs = list(zip(post, pre, strict=True))
    if synapses is None:
        chosen = evenly_spread(len(here), MOST_LINES)
    else:
        chosen = _places_of(synapses, pairs, projection)
    ax = given_axes(ax)
    name = projection.replace("->", "→")
    draw_lines(
        ax,
        milliseconds(run),
        stored["w"].values[:, here[chosen]],
        labels=[f"{name} [{post[i]}, {pre[i]}]" for i in chosen],
        total=count_label(name, len(chosen), len(here), "synapses"),
        color=color_of(run.network, run.network.projections[projection].post),
        alone=True,
    )
    ax.set(xlabel="time (ms)", ylabel=axis_label("w"))
    add_legend(ax)
    return ax


def _places_of(
    synapses: Iterable[tuple[int, int]], recorded: list[tuple[int, int]], projection: str
) -> Array:
    """Return where synapses (post, pre) stand among the recorded ones.

    Raises
    ------
    DataError
        A synapse was not recorded.
    """
    place = {pair: i for i, pair in enumerate(recorded)}
    places = []
    for post, pre in synapses:
        pair = (int(post), int(pre))
        if pair not in place:
            raise DataError(
                f"synapse (post, pre) = {pair} of {projection} was not recorded; "
                f"allowed: {recorded[:8]}..."
            )
        places.append(place[pair])
    return np.array(places, dtype=int)


@styled
def phase_portrait(
    run: Run, population: str, unit: int = 0, pattern: int | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the path of one unit in the plane of its output and its multiplier.

    Start and end are marked.

    Parameters
    ----------
    run : Run
    population : str
    unit : int
        Index in the population.
    pattern : int, optional
        Index in the batch; by default the first that was recorded.
    ax : Axes, optional
        By default those of a new figure.

    Raises
    ------
    DataError, ModelError
        x or lam of that unit was not recorded.
    """
    x = _trace_of_unit(run, "x", population, unit, pattern)
    lam = _trace_of_unit(run, "lam", population, unit, pattern)
    ax = given_axes(ax, (3.6, 3.2))
    color = color_of(run.network, population)
    ax.plot(x, lam, color=color, label="_")
    end = milliseconds(run)[-1]
    for moment, face, label in ((0, "white", "start"), (-1, color, f"end, {end:g} ms")):
        ax.plot(
            x[moment],
            lam[moment],
            "o",
            color=color,
            markerfacecolor=face,
            markersize=7,
            label=label,
            zorder=3,
        )
    room = min(size_in_points(ax)) - text_width("multiplier λ of [000] (1)", FONT + 1)
    name = shortened(population, room, FONT + 1)
    ax.set_xlabel(f"output x of {name}[{unit}] (1)")
    ax.set_ylabel(f"multiplier λ of {name}[{unit}] (1)")
    add_legend(ax)
    return ax


def _trace_of_unit(
    run: Run, variable: str, population: str, unit: int, pattern: int | None
) -> Array:
    """Return the recorded values of one unit and pattern, (time,).

    Raises
    ------
    DataError, ModelError
        They were not recorded.
    """
    values = recorded_of(run, variable)
    if population not in values:
        raise unknown(f"population with a trace of {variable}", population, values)
    (place,) = chosen_lines([unit], recorded_units(run, population), f"unit of {population}")
    return values[population][:, row_of(run, pattern), place]


@styled
def violation(run: Run, ax: Axes | None = None) -> Axes:
    """Draw the root mean square (full) and the largest (dashed) |g| over time, by population.

    g is the recorded one, if any. Otherwise it is computed from the recorded x and the weights at
    the end of the run, for the recorded units whose presynaptic populations were recorded whole.

    Parameters
    ----------
    run : Run
    ax : Axes, optional
        By default those of a new figure.

    Raises
    ------
    DataError
        Neither was recorded, or only x, and g is unknown: the weights moved, or no population with
        a recorded unit has all its presynaptic units recorded.
    """
    g = _violations(run)
    ax = given_axes(ax)
    time = milliseconds(run)
    for name, values in g.items():
        color, size = color_of(run.network, name), np.abs(values)
        mean = np.sqrt(np.mean(size**2, axis=(1, 2)))
        largest = size.max(axis=(1, 2))
        label = population_label(run.network, name, values.shape[2])
        ax.plot(time, positive(mean), color=color, label=label)
        ax.plot(time, positive(largest), color=color, linestyle=DASHED, label="_", alpha=0.8)
    add_legend_line(ax, "rms", color=GREY)
    add_legend_line(ax, "largest", color=GREY, linestyle=DASHED)
    ax.set(xlabel="time (ms)", ylabel="violation |x − σ(a)| (1)", xlim=span_of(time))
    log_scale(ax)
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
    if _plastic(run):
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
    run: Run, measure: str = "error", ref: Adjoint | None = None, ax: Axes | None = None
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
    ax = given_axes(ax)
    for name, values in lam.items():
        exact = _exact_of_recorded(run, name, truth)
        if measure == "error":
            distance = np.abs(values - exact).max(axis=(1, 2))
        else:
            distance = _one_minus_cosine(values, exact)
        color = color_of(run.network, name)
        label = population_label(run.network, name, values.shape[2])
        ax.plot(milliseconds(run), positive(distance), color=color, label=label)
    ax.set(xlabel="time (ms)", ylabel=f"{DISTANCES[measure]} (1)", xlim=span_of(milliseconds(run)))
    log_scale(ax)
    add_legend(ax)
    return ax


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


def _plastic(run: Run) -> bool:
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

    if _plastic(run):
        raise DataError(
            f"the weights moved while lam was recorded at {len(milliseconds(run))} times; "
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
