"""Pictures of runs, logs and networks: every function takes results and axes, and returns the axes.

Above `results` and `reference`. Axes name their units; colours are Okabe and Ito's, which the colour-blind
tell apart. Start at `summary`; `style` is the look that all share.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from neurosim.drawing import PALETTE, columns, draw_labels, draw_synapses, draw_units, proxy, rings
from neurosim.errors import ConvergenceError, DataError, unknown
from neurosim.network import Network
from neurosim.results import VARIABLES, Log, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from neurosim.reference import Adjoint

Array = np.ndarray
P = ParamSpec("P")
R = TypeVar("R")

GREY = "#7F7F7F"
STYLE: Any = MappingProxyType(  # matplotlib's stubs want their own literal keys
    {
        "font.size": 9,
        "axes.labelsize": 9,
        "axes.titlesize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "lines.linewidth": 1.2,
        "figure.dpi": 120,
        "savefig.dpi": 300,
        "pdf.fonttype": 42,  # text stays text
        "svg.fonttype": "none",
    }
)
SYMBOLS = MappingProxyType({"x": "output x", "a": "net input a", "g": "violation g", "lam": "multiplier λ",
                            "delta": "message δ", "w": "weight w"})  # fmt: skip

MOST_LINES = 32  # of one population or projection; more are a blot
ROUNDING = 1e-17  # below it differences of float64 say nothing


def style() -> AbstractContextManager[None]:
    """The look of all pictures as a context, for figures of one's own: ``with style(): plt.subplots()``."""
    import matplotlib as mpl

    return mpl.rc_context(dict(STYLE))


def _styled(function: Callable[P, R]) -> Callable[P, R]:
    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with style(), np.errstate(over="ignore", invalid="ignore"):  # what diverged can be drawn too
            return function(*args, **kwargs)

    return inner


@_styled
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
    values = _recorded(run, variable)
    if population is not None and population not in values:
        raise unknown(f"population with a trace of {variable}", population, values)
    if population is None and units is not None:
        raise DataError(f"units = {units!r} of which population? allowed with units: one of {', '.join(values)}")
    row = _row(run, pattern)
    lines = {
        name: _chosen(units, values[name].shape[2], f"units of {name}")
        for name in (values if population is None else [population])
    }
    ax = _axes(ax)
    for name, chosen in lines.items():
        trace = values[name][:, row]
        labels = [f"{name}[{unit}]" for unit in chosen]
        total = _count(name, len(chosen), trace.shape[1], "units")
        color, alone = _color(run.network, name), len(lines) == 1
        _plot_many(ax, _milliseconds(run), trace[:, chosen], labels=labels, total=total, color=color, alone=alone)
    ax.set(xlabel="time (ms)", ylabel=_label(variable))
    _legend(ax)
    return ax


@_styled
def weights(
    run: Run, projection: str, synapses: Iterable[tuple[int, int]] | None = None, ax: Axes | None = None
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
    stored = _traces(run, "w")
    names = dict.fromkeys(stored["projection"].values.tolist())
    if projection not in names:
        raise unknown("projection with a trace of weights", projection, names)
    here = np.flatnonzero(stored["projection"].values == projection)
    index = list(zip(stored["post"].values[here].tolist(), stored["pre"].values[here].tolist(), strict=True))
    if synapses is None:
        chosen = _chosen(None, len(here), "synapses")
    else:
        position = {pair: i for i, pair in enumerate(index)}
        wanted = [(int(post), int(pre)) for post, pre in synapses]
        if lost := [pair for pair in wanted if pair not in position]:
            raise DataError(
                f"synapse (post, pre) = {lost[0]} of {projection} was not recorded; allowed: {index[:8]}..."
            )
        chosen = np.array([position[pair] for pair in wanted], dtype=int)
    ax = _axes(ax)
    name = projection.replace("->", "→")
    labels = [f"{name} [{index[i][0]}, {index[i][1]}]" for i in chosen]
    total = _count(name, len(chosen), len(here), "synapses")
    color = _color(run.network, run.network.projections[projection].post)
    values = stored["w"].values[:, here[chosen]]
    _plot_many(ax, _milliseconds(run), values, labels=labels, total=total, color=color, alone=True)
    ax.set(xlabel="time (ms)", ylabel=_label("w"))
    _legend(ax)
    return ax


@_styled
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
        values = _recorded(run, variable)
        if population not in values:
            raise unknown(f"population with a trace of {variable}", population, values)
        _chosen([unit], values[population].shape[2], f"unit of {population}")
        plane.append(values[population][:, _row(run, pattern), unit])
    ax = _axes(ax, (3.6, 3.2))
    x, lam = plane
    color = _color(run.network, population)
    ax.plot(x, lam, color=color, label="_")
    ax.plot(x[0], lam[0], "o", color=color, markerfacecolor="white", markersize=7, label="start", zorder=3)
    ax.plot(x[-1], lam[-1], "o", color=color, markersize=7, label=f"end, {_milliseconds(run)[-1]:g} ms", zorder=3)
    ax.set(xlabel=f"output x of {population}[{unit}] (1)", ylabel=f"multiplier λ of {population}[{unit}] (1)")
    _legend(ax)
    return ax


@_styled
def violation(run: Run, ax: Axes | None = None) -> Axes:
    """Root mean square (full) and largest (dashed) |g| over time, by population.

    From the recorded g, or else from the recorded x of all populations and the weights at the end of the run.

    Raises
    ------
    DataError
        Neither was recorded; or the weights moved, so that x alone does not tell.
    """
    g = _violations(run)
    ax = _axes(ax)
    time = _milliseconds(run)
    for name, values in g.items():
        color, size = _color(run.network, name), np.abs(values)
        ax.plot(time, _positive(np.sqrt(np.mean(size**2, axis=(1, 2)))), color=color, label=name)
        ax.plot(time, _positive(size.max(axis=(1, 2))), color=color, linestyle=(0, (3, 1.5)), label="_", alpha=0.8)
    proxy(ax, "rms", color=GREY)
    proxy(ax, "largest", color=GREY, linestyle=(0, (3, 1.5)))
    ax.set(xlabel="time (ms)", ylabel="violation |x − σ(a)| (1)")
    _log_scale(ax)
    _legend(ax)
    return ax


@_styled
def agreement(run: Run, measure: str = "error", ref: Adjoint | None = None, ax: Axes | None = None) -> Axes:
    """Distance of the recorded multipliers to backpropagation's over time, by population.

    Parameters
    ----------
    run : Run
    measure : {"error", "cosine"}
        Largest absolute error over patterns and units, or 1 - cosine.
    ref : Adjoint, optional
        Of the recorded patterns; by default `reference.backprop` with the weights at the end of the run.
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
    lam = _recorded(run, "lam")
    truth = _reference(run) if ref is None else ref
    ax = _axes(ax)
    for name, values in lam.items():
        exact = truth.lam[name]
        if exact.shape != values.shape[1:]:
            raise DataError(f"ref.lam[{name!r}] has shape {exact.shape}; allowed: {values.shape[1:]}, as recorded")
        distance = np.abs(values - exact).max(axis=(1, 2)) if measure == "error" else _one_minus_cosine(values, exact)
        ax.plot(_milliseconds(run), _positive(distance), color=_color(run.network, name), label=name)
    distance_name = "max |λ − λ$_{BP}$|" if measure == "error" else "1 − cos(λ, λ$_{BP}$)"
    ax.set(xlabel="time (ms)", ylabel=f"{distance_name} (1)")
    _log_scale(ax)
    _legend(ax)
    return ax


@_styled
def events(run: Run, pattern: int | None = None, ax: Axes | None = None) -> Axes:
    """Who spoke when: a mark for each event of a neuron (forward), and below of a multiplier unit (backward).

    From the recorded spoken_x and spoken_delta; where not every step was recorded, at the next sample.

    Raises
    ------
    DataError
        Neither was recorded.
    """
    said = {v: _recorded(run, v) for v in ("spoken_delta", "spoken_x") if run.traces is not None and v in run.traces}
    if not said:
        _traces(run, "spoken_x")
    row, time, ax = _row(run, pattern), _milliseconds(run), _axes(ax)
    base, ticks = 0.0, []
    least = 0.15 * max(counts.shape[2] for populations in said.values() for counts in populations.values())
    for variable, populations in said.items():
        for name, counts in reversed(populations.items()):
            sample, unit = np.nonzero(np.diff(counts[:, row], axis=0, prepend=0))
            color, size = _color(run.network, name), counts.shape[2]
            height = max(size, least)  # a small population has room for its name
            ax.plot(
                time[sample],
                base + unit * height / size,
                "|",
                color=color,
                markersize=2.5,
                alpha=0.7,
                rasterized=len(unit) > 5000,
            )
            ticks.append((base + height / 2, f"{'x' if variable == 'spoken_x' else 'δ'} {name}"))
            base += height + least / 2
    ax.set_yticks([place for place, _ in ticks], [label for _, label in ticks])
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="time (ms)", ylabel="unit that speaks", ylim=(-least / 4, base), xlim=_span(time))
    return ax


@_styled
def operations(run: Run, ax: Axes | None = None) -> Axes:
    """Synaptic operations of messages since the start, by events (from what was recorded) and dense, a pattern.

    Raises
    ------
    DataError
        spoken_x or spoken_delta of some population that speaks was not recorded.
    """
    from neurosim.operations import operations_by_event, synaptic_operations

    spent = operations_by_event(run)
    total, time, ax = synaptic_operations(run), _milliseconds(run), _axes(ax)
    ax.plot(
        time, total.dense * (time / 1e3 + run.settings["dt"]) / run.time, color="black", linestyle=":", label="dense"
    )
    for label, values in spent.items():
        name = label.split()[1]
        style_ = "-" if label.startswith("x") else (0, (3, 1.5))
        ax.plot(time, _positive(values), color=_color(run.network, name), linestyle=style_, label=label)
    ax.plot(time, _positive(np.sum(list(spent.values()), axis=0)), color="black", label="events, all")
    ax.set(xlabel="time (ms)", ylabel="synaptic operations (1)")
    _log_scale(ax)
    _legend(ax)
    return ax


@_styled
def cost(runs: Iterable[Run], ax: Axes | None = None) -> Axes:
    """Accuracy against cost: of each run, the largest error of lam to backpropagation over its synaptic operations.

    Parameters
    ----------
    runs : iterable of Run
        Of relaxations that differ in their threshold, which stands beside each point.

    Raises
    ------
    DataError
        No runs, or frames of a stream.
    """
    from neurosim.operations import synaptic_operations

    points = []
    for run in runs:
        truth, spent = _final_reference(run), synaptic_operations(run)
        error = max(float(np.abs(run.lam[n] - truth.lam[n]).max()) for n in run.network.neurons)
        points.append((spent.effective, error, _threshold(run), spent.dense))
    if not points:
        raise DataError("no runs; allowed: runs of relax with different thresholds")
    ax = _axes(ax)
    points.sort()
    for family, color in (("θ", PALETTE[0]), ("q", PALETTE[1]), ("", PALETTE[2])):
        own = [p for p in points if p[2].partition(" = ")[0] == family or (not family and " = " not in p[2])]
        line = "o-" if family else "D"
        ax.plot([p[0] for p in own], [p[1] for p in own], line, color=color, markersize=4)
    for operations_, error, label, _ in points:
        ax.annotate(label, (operations_, error), xytext=(4, 4), textcoords="offset points", fontsize=8)
    ax.axvline(points[0][3], color=GREY, linestyle=(0, (3, 1.5)))
    ax.annotate("dense", (points[0][3], 1), xycoords=("data", "axes fraction"), xytext=(-4, -10),
                textcoords="offset points", ha="right", fontsize=8, color=GREY)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="synaptic operations a pattern (1)", ylabel="max |λ − λ$_{BP}$| (1)")
    ax.margins(0.12)
    return ax


@_styled
def learning_curve(log: Log, ax: Axes | None = None) -> Axes:
    """Loss (left, log) and accuracy (right) over simulated time; full lines are training, dashed validation.

    Returns the left axes; the right ones share their time.

    Raises
    ------
    DataError
        The log holds no loss.
    """
    if "loss" not in log.history:
        raise DataError(f"history holds {sorted(map(str, log.history))}; allowed: loss and more")
    ax = _axes(ax)
    blue, red = PALETTE[:2]
    dashes = {"": "-", "validation_": (0, (3, 1.5))}
    for prefix, line in dashes.items():
        _progress(log, f"{prefix}loss", ax, color=blue, linestyle=line)
    ax.set(xlabel="time (s)", ylabel="loss, mean over patterns (1)")
    _log_scale(ax)
    accuracies = [f"{prefix}accuracy" for prefix in dashes if f"{prefix}accuracy" in log.history]
    if accuracies:
        right = ax.twinx()
        right.spines["right"].set_visible(True)
        for name in accuracies:
            line = dashes[name.removesuffix("accuracy")]
            _progress(log, name, right, scale=100.0, color=red, linestyle=line)
        right.set_ylabel("accuracy (%)", color=red)
        right.tick_params(axis="y", colors=red)
        right.set_ylim(top=min(100.5, right.get_ylim()[1]))
        ax.yaxis.label.set_color(blue)
        ax.tick_params(axis="y", which="both", colors=blue)
        proxy(ax, "loss", color=blue)
        proxy(ax, "accuracy", color=red)
    if any(f"validation_{name}" in log.history for name in ("loss", "accuracy")):
        proxy(ax, "training", color=GREY)
        proxy(ax, "validation", color=GREY, linestyle=dashes["validation_"])
    _legend(ax)
    return ax


@_styled
def network(net: Network, run: Run | None = None, pattern: int = 0, ax: Axes | None = None) -> Axes:
    """The graph: layers by depth, or rings on a circle where it is cyclic.

    Lines are synapses: their width and depth is |w| relative to the strongest of the projection, their colour
    the sign of w. With a run, its final weights are drawn, and nodes have the colour of their final multiplier.
    Of a population of more than `drawing.MOST_UNITS` the first and the last units are drawn.

    Parameters
    ----------
    net : Network
    run : Run, optional
        Of that network.
    pattern : int
        Row of the batch whose multipliers are drawn.
    ax : Axes, optional

    Raises
    ------
    DataError
        `run` is of another network, or has no such pattern.
    """
    if run is not None:
        _check_drawable(net, run, pattern)
        net = run.network
    ax = _axes(ax, (5.2, 3.8))
    drawing = rings(net) if net.order() is None else columns(net, gap=50 / (72 * ax.bbox.height / ax.figure.dpi))
    ax.set_axis_off()
    top = draw_synapses(ax, net, drawing)
    draw_labels(ax, net, drawing, top)
    draw_units(ax, net, drawing, None if run is None else {n: lam[pattern] for n, lam in run.lam.items()})
    return ax


@_styled
def summary(result: Run | Log) -> Figure:
    """The sensible picture of a run or a log, in one figure: what `neurosim plot` draws.

    Panels for which nothing was recorded are left out.
    """
    from matplotlib.figure import Figure

    log = isinstance(result, Log)
    run = result.run if isinstance(result, Log) else result
    candidates: list[Callable[[Axes], Any]] = []
    if isinstance(result, Log):
        candidates.append(lambda ax: learning_curve(result, ax))
        candidates.append(lambda ax: _diagnostics(result, ax))
    candidates += [
        lambda ax: traces(run, "x", ax=ax),
        lambda ax: traces(run, "lam", ax=ax),
        lambda ax: events(run, ax=ax),
        lambda ax: operations(run, ax),
        lambda ax: violation(run, ax),
        lambda ax: agreement(run, ax=ax),
    ]
    panels = [panel for panel in candidates if _can_draw(panel)][: 2 if log else 4]
    columns = 1 + (len(panels) + 1) // 2
    figure = Figure(figsize=(1.2 + 3.3 * columns, 5.6 if len(panels) > 1 else 3.8), layout="constrained")
    grid = figure.add_gridspec(2 if len(panels) > 1 else 1, columns, width_ratios=[1.35, *[1.0] * (columns - 1)])
    network(run.network, run, ax=figure.add_subplot(grid[:, 0]))
    axes = [figure.add_subplot(grid[i % 2, 1 + i // 2]) for i in range(len(panels))]
    for ax, panel in zip(axes, panels, strict=True):
        panel(ax)
    if panels and not log:
        _share_legend(figure, axes, run.network)
    figure.suptitle(_caption(run), fontsize=9)
    return figure


def _axes(ax: Axes | None, size: tuple[float, float] = (4.8, 3.2)) -> Axes:
    """The axes that were given, untouched; or those of a new pyplot figure, `size` in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def _traces(run: Run, variable: str) -> Any:
    if run.traces is None or variable not in run.traces:
        there = [] if run.traces is None else [str(v) for v in run.traces if str(v) in VARIABLES]
        raise DataError(
            f"{variable} was not recorded, only {there}; try relax(..., record=({variable!r},)) to record it"
        )
    return run.traces


def _recorded(run: Run, variable: str) -> dict[str, Array]:
    """What was recorded of a variable, {population: (time, pattern, units)}."""
    stored = _traces(run, variable)
    names = stored["population"].values
    values = {str(name): stored[variable].values[..., names == name] for name in dict.fromkeys(names.tolist())}
    return {name: array for name, array in values.items() if not np.isnan(array).all()}


def _row(run: Run, pattern: int | None) -> int:
    recorded = _traces(run, "pattern")["pattern"].values.tolist()
    if pattern is not None and pattern not in recorded:
        raise DataError(f"pattern = {pattern!r} was not recorded; allowed: {recorded}")
    return 0 if pattern is None else recorded.index(pattern)


def _milliseconds(run: Run) -> Array:
    return np.asarray(1e3 * _traces(run, "time")["time"].values)


def _chosen(units: Iterable[int] | None, size: int, what: str) -> Array:
    """Index of the lines to draw; evenly spread where they are too many."""
    if units is None:
        return np.unique(np.linspace(0, size - 1, min(size, MOST_LINES)).round().astype(int))
    chosen = [int(unit) for unit in units]
    if outside := [unit for unit in chosen if not 0 <= unit < size]:
        raise DataError(f"{what}: {outside[0]}; allowed: 0 to {size - 1}")
    return np.array(chosen, dtype=int)


def _count(name: str, shown: int, total: int, noun: str) -> str:
    return f"{name}, {total} {noun}" if shown == total else f"{name}, {shown} of {total} {noun}"


def _plot_many(
    ax: Axes, time: Array, values: Array, *, labels: Sequence[str], total: str, color: str, alone: bool
) -> None:
    """Lines of their own colours where they are few and alone, else of one colour with one entry in the legend."""
    few = alone and len(labels) <= len(PALETTE)
    for i, line in enumerate(values.T):
        label = labels[i] if few else total if i == 0 else "_"
        alpha = 1.0 if few else max(0.35, min(1.0, 8 / len(labels)))
        ax.plot(time, line, color=PALETTE[i] if few else color, alpha=alpha, linewidth=1.2 if few else 0.8, label=label)


def _legend(ax: Axes, without: Collection[str] = ()) -> None:
    """Above the axes, where no curve can be; as many columns as fit, lines opaque, each label once."""
    handles, labels = ax.get_legend_handles_labels()
    entries = {name: h for h, name in zip(handles, labels, strict=True) if name.split(",")[0] not in without}
    if (old := ax.get_legend()) is not None:
        old.remove()
    if not entries:
        return
    width = ax.bbox.width * 72 / ax.figure.dpi  # points
    widest = 26 + 4.6 * max(len(name.replace("$_{BP}$", "BP")) for name in entries)
    legend = ax.legend(
        list(entries.values()), list(entries), loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.3,
        ncols=int(np.clip(width // widest, 1, len(entries))), handlelength=1.6, columnspacing=1.0, labelspacing=0.3,
    )  # fmt: skip
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)


def _label(variable: str) -> str:
    return f"{SYMBOLS.get(variable, variable)} (1)"


def _color(net: Network, population: str) -> str:
    """The same population has the same colour in every picture."""
    neurons = net.neurons
    return PALETTE[neurons.index(population) % len(PALETTE)] if population in neurons else GREY


def _positive(values: Array) -> Array:
    """What a logarithmic axis can show: exact zeros are gaps."""
    return np.where(values > 0, values, np.nan)


def _log_scale(ax: Axes) -> None:
    """A logarithmic axis if there is something to show on it, and not below what rounding leaves."""
    from matplotlib.ticker import LogFormatterSciNotation, LogLocator

    drawn = np.concatenate([np.ravel(line.get_ydata()) for line in ax.get_lines()])
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    if drawn.size == 0:
        return
    ax.set_yscale("log")
    if drawn.min() < ROUNDING < drawn.max():
        ax.set_ylim(bottom=ROUNDING)
    if drawn.max() < 100 * drawn.min():  # one or two powers of ten say too little
        ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        ax.yaxis.set_minor_formatter(LogFormatterSciNotation(minor_thresholds=(np.inf, np.inf)))


def _violations(run: Run) -> dict[str, Array]:
    """g by population, (time, pattern, units)."""
    from neurosim.reference.adjoint import net_input, sigma

    if run.traces is not None and "g" in run.traces:
        return _recorded(run, "g")
    _refuse_stream(run)
    x, net = _recorded(run, "x"), run.network
    if missing := [name for name in net.neurons if name not in x]:
        raise DataError(f"x of {missing} was not recorded, so g cannot be told; try record=('g',)")
    if _plastic(run):
        raise DataError("the weights moved while x was recorded, so g cannot be told from x; try record=('g',)")
    times, patterns = x[net.neurons[0]].shape[:2]
    clamped = {n: np.tile(X[_traces(run, "x")["pattern"].values], (times, 1)) for n, X in run.X.items()}
    outputs = clamped | {n: x[n].reshape(times * patterns, -1) for n in net.neurons}
    return {
        n: (outputs[n] - sigma(net.populations[n].activation, net_input(net, n, outputs))).reshape(x[n].shape)
        for n in net.neurons
    }


def _plastic(run: Run) -> bool:
    """Whether the weights moved, so that those at the end say nothing about earlier times."""
    return bool(run.settings.get("plastic", False)) or (run.traces is not None and "w" in run.traces)


def _reference(run: Run) -> Adjoint:
    from neurosim.reference import backprop

    if _plastic(run):
        raise DataError("the weights moved while lam was recorded; try ref=..., or relax(start=run) and draw that")
    _refuse_stream(run)
    rows = _traces(run, "pattern")["pattern"].values
    return backprop(run.network, {n: X[rows] for n, X in run.X.items()}, {n: Y[rows] for n, Y in run.Y.items()})


def _final_reference(run: Run) -> Adjoint:
    from neurosim.reference import backprop

    _refuse_stream(run)
    return backprop(run.network, run.X, run.Y)


def _refuse_stream(run: Run) -> None:
    if "per_frame" in run.settings:
        raise DataError("the run is a stream, whose inputs are not those of the last frame; try ref=..., record=('g',)")


def _threshold(run: Run) -> str:
    transport = run.settings.get("transport", "dense")
    if not isinstance(transport, dict) or "kind" not in transport:
        return transport if isinstance(transport, str) else "mixed"
    value = transport.get("theta", transport.get("quantum"))
    if isinstance(value, dict):
        return "adaptive" if "floor" in value else "mixed"
    return f"{'θ' if transport['kind'] == 'events' else 'q'} = {value:g}"


def _span(time: Array) -> tuple[float, float]:
    margin = 0.05 * float(time[-1] - time[0]) or 1.0
    return float(time[0]) - margin, float(time[-1]) + margin


def _one_minus_cosine(values: Array, exact: Array) -> Array:
    """Per time, over patterns and units; as |u - v|²/2 of unit vectors, which is exact where it is small."""
    u, v = values.reshape(len(values), -1), exact.reshape(1, -1)
    sizes = np.linalg.norm(u, axis=1, keepdims=True), np.linalg.norm(v)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = np.square(u / sizes[0] - v / sizes[1]).sum(axis=1) / 2
    return np.where(np.isfinite(distance), distance, np.where(sizes[0][:, 0] == sizes[1], 0.0, 1.0))


def _progress(log: Log, name: str, ax: Axes, *, scale: float = 1.0, **line: Any) -> None:
    """One variable of a log's history, where it was measured."""
    if name not in log.history:
        return
    values, time = log.history[name].values, log.history["time"].values
    there = np.isfinite(values)
    marker = "o" if there.sum() <= 30 else ""
    ax.plot(time[there], scale * values[there], marker=marker, markersize=3, label="_", **line)


def _diagnostics(log: Log, ax: Axes) -> None:
    """Violation and distance to backpropagation while learning."""
    shown = {"violation": "violation", "cosine": "1 − cos(λ, λ$_{BP}$)"}
    there = {name: label for name, label in shown.items() if name in log.history}
    if not there:
        raise DataError("history holds neither violation nor cosine")
    history = log.history.assign({"cosine": 1 - log.history["cosine"]} if "cosine" in there else {})
    for i, (name, label) in enumerate(there.items()):
        color = PALETTE[2 + i]
        _progress(Log(history, log.run), name, ax, color=color)
        proxy(ax, label, color=color)
    ax.set(xlabel="time (s)", ylabel="distance (1)")
    _log_scale(ax)
    _legend(ax)


def _can_draw(panel: Callable[[Axes], Any]) -> bool:
    """Whether what a panel needs was recorded: tried on axes that are thrown away."""
    from matplotlib.figure import Figure

    try:
        panel(Figure().add_subplot())
    except (DataError, ConvergenceError):
        return False
    return True


def _caption(run: Run) -> str:
    flow = run.flow
    dt = f", dt = {1e3 * run.settings['dt']:g} ms" if "dt" in run.settings else ""
    return (
        f"{run.network!r}\nκ = {flow.kappa:.3g}, γ = {flow.gamma:.3g}, ρ = {flow.rho:.3g}{dt}, "
        f"{run.time:g} s in {run.steps} steps" + (", interrupted" if run.interrupted else "")
    )


def _share_legend(figure: Figure, axes: Sequence[Axes], net: Network) -> None:
    """One legend for the populations, whose colours all panels share."""
    from matplotlib.lines import Line2D

    for ax in axes:
        _legend(ax, without=net.populations)
    handles = [Line2D([], [], color=_color(net, n), label=n) for n in net.neurons]
    figure.legend(handles=handles, loc="outside lower right", ncols=min(len(handles), 8), handlelength=1.6)


def _check_drawable(net: Network, run: Run, pattern: int) -> None:
    if run.network.describe() != net.describe():
        raise DataError(f"run is of {run.network!r}; allowed: a run of {net!r}")
    count = len(next(iter(run.lam.values())))
    if not 0 <= pattern < count:
        raise DataError(f"pattern = {pattern!r}; allowed: 0 to {count - 1}")
