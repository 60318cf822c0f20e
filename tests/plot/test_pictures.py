"""Pictures show the recorded numbers on the given axes, with units, and no text covers another."""

from __future__ import annotations

import dataclasses
import gc
import io
import itertools
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import matplotlib as mpl
import numpy as np
import PIL.Image
import pytest
import xarray as xr

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import neurosim as ns
from neurosim import plot, reference
from neurosim.data.patterns import patterns, targets
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Loss, Population, Projection
from neurosim.plot.canvas import color_of
from neurosim.plot.phase import field_of
from neurosim.results.runs import Log, Run
from neurosim.results.traces import build_traces
from tests.helpers.problems import random_problem

Array = np.ndarray
ROWS = [1, 3]  # of the batch, recorded


def recorded_run(
    net: Network,
    X: Any,
    Y: Any,
    *,
    variables: tuple[str, ...] = ("x", "lam"),
    weights: bool = False,
) -> Run:
    """Return a run as SciPy solves it, recorded every 4 ms for two of the patterns."""
    flow = Flow.damped()
    found = reference.solve_ivp(net, flow, X, Y, 0.2, every=4e-3, rtol=1e-6, atol=1e-8)
    assert found.t is not None
    recorded: dict[str, dict[str, Array]] = {variable: {} for variable in variables}
    for variable, every in (("x", found.x_trace), ("lam", found.lam_trace)):
        if variable in variables:
            recorded[variable] = {name: trace[:, ROWS] for name, trace in every.items()}
    moving = None
    if weights:
        growth = np.linspace(1, 2, len(found.t))
        moving = {name: np.outer(growth, w) for name, w in net.weights.items()}
    traces = build_traces(net, flow, {"dt": 1e-3}, found.t, recorded, pattern=ROWS, weights=moving)
    return Run(
        net,
        flow,
        {"dt": 1e-3},
        patterns(net, X),
        targets(net, Y, len(X)),
        found.x,
        found.lam,
        traces,
        found.time,
        200,
    )


@pytest.fixture(scope="module")
def run() -> Run:
    return recorded_run(*random_problem([6, 4, 3], seed=0))


@pytest.fixture(scope="module")
def learning() -> Run:
    return recorded_run(*random_problem([6, 4, 3], seed=0), weights=True)


@pytest.fixture(scope="module")
def log(learning: Run) -> Log:
    nan = np.nan
    columns = {
        "loss": [2.0, 1.0, 0.5],
        "validation_loss": [nan, 1.5, nan],
        "accuracy": [0.2, 0.6, 0.975],
        "validation_accuracy": [0.1, nan, 0.9],
        "violation": [0.1, 0.01, 0.001],
        "cosine": [0.5, 0.9, 0.99],
    }
    return Log(
        xr.Dataset({k: ("time", v) for k, v in columns.items()}, {"time": [0.0, 0.5, 1.0]}),
        learning,
    )


@pytest.fixture
def ax() -> Axes:
    """Axes of a figure outside of pyplot, so that a use of pyplot's current figure shows."""
    return Figure(figsize=(5, 3.5), layout="constrained").add_subplot()


@pytest.fixture(autouse=True)
def _no_figures_left() -> Iterator[None]:
    plt.close("all")
    yield
    plt.close("all")


def curves(ax: Axes) -> list[Line2D]:
    """Return the lines with data; the others are entries of the legend."""
    return [line for line in ax.get_lines() if len(line.get_xdata())]


def legend(ax: Axes) -> list[str]:
    found = ax.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


PICTURES: dict[str, Callable[..., Axes]] = {
    "x": lambda run, log, ax: plot.traces(run, ax=ax),
    "lam": lambda run, log, ax: plot.traces(run, "lam", "output", ax=ax),
    "weights": lambda run, log, ax: plot.weights(log.run, "input->hidden1", ax=ax),
    "phase portrait": lambda run, log, ax: plot.phase_portrait(run, "hidden1", 2, ax=ax),
    "violation": lambda run, log, ax: plot.violation(run, ax),
    "agreement": lambda run, log, ax: plot.agreement(run, ax=ax),
    "cosine": lambda run, log, ax: plot.agreement(run, "cosine", ax=ax),
    "learning curve": lambda run, log, ax: plot.learning_curve(log, ax),
}


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_axes_are_returned_and_name_their_units(
    picture: Callable[..., Axes], run: Run, log: Log, ax: Axes
) -> None:
    assert picture(run, log, ax) is ax
    assert plt.get_fignums() == []
    assert re.search(r"\((1|s|ms)\)$", ax.get_xlabel())
    assert all(re.search(r"\((1|%)\)$", a.get_ylabel()) for a in ax.figure.axes)
    assert len(curves(ax)) > 0


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_without_axes_there_is_one_new_figure(
    picture: Callable[..., Axes], run: Run, log: Log
) -> None:
    found = picture(run, log, None)
    assert [found.figure.number] == plt.get_fignums()


def test_pictures_leave_the_users_style_alone(run: Run, ax: Axes) -> None:
    before = dict(mpl.rcParams)
    plot.traces(run, ax=ax)
    assert dict(mpl.rcParams) == before
    with plot.style():
        assert mpl.rcParams["pdf.fonttype"] == 42
    assert dict(mpl.rcParams) == before


def test_settings_of_matplotlib_that_the_user_changed_are_kept(run: Run) -> None:
    plain = plot.violation(run)
    assert not plain.spines["top"].get_visible()
    assert {t.get_fontsize() for t in plain.get_legend().get_texts()} == {8}
    colors = mpl.cycler(color=["#123456", "#654321"])
    with mpl.rc_context({"legend.fontsize": 15, "axes.linewidth": 3, "axes.prop_cycle": colors}):
        ax = plot.violation(run)
        assert {t.get_fontsize() for t in ax.get_legend().get_texts()} == {15}
    assert ax.spines["left"].get_linewidth() == 3
    assert {line.get_color() for line in curves(ax)} == {"#123456", "#654321"}
    with mpl.rc_context({"font.size": 18}):  # scales what the style would set
        assert plot.violation(run).get_legend().get_texts()[0].get_fontsize() == 16


def test_a_figure_has_the_size_that_is_asked_for(run: Run) -> None:
    assert list(plot.violation(run, figsize=(3.5, 2)).figure.get_size_inches()) == [3.5, 2]
    assert list(plot.summary(run, figsize=(9, 4)).get_size_inches()) == [9, 4]
    with pytest.raises(ns.ModelError, match=r"figsize\[0\] = -1; allowed: "):
        plot.violation(run, figsize=(-1, 2))
    with pytest.raises(ns.ModelError, match="with ax=; allowed: one of the two"):
        plot.violation(run, Figure().add_subplot(), figsize=(3, 2))


def test_a_title_stands_above_the_legend(run: Run) -> None:
    ax = plot.violation(run)
    ax.set_title("set by the user, afterwards")
    ax.figure.canvas.draw()
    assert not ax.title.get_window_extent().overlaps(ax.get_legend().get_window_extent())


def test_a_legend_in_plain_axes_stands_above_the_curves(run: Run) -> None:
    """They may be at the edge of the figure, or below a title that is there."""
    figure = Figure(figsize=(5, 3.5))
    ax = plot.violation(run, figure.add_subplot())
    figure.canvas.draw()
    legend_box = ax.get_legend().get_window_extent()
    assert ax.bbox.y0 < legend_box.y0 < legend_box.y1 <= ax.bbox.y1 + 1
    for line in curves(ax):
        assert line.get_window_extent().y1 < legend_box.y0


@pytest.mark.parametrize("count", [7, 8, 20])
def test_populations_have_different_colours(count: int) -> None:
    net = Network.mlp([2, *[2] * (count - 1), 2])
    colors = [color_of(net, name) for name in net.neurons]
    assert len(set(colors)) == count
    rgb = np.array([to_rgb(color) for color in colors])
    distance = np.linalg.norm(rgb[:, None] - rgb[None], axis=2)
    assert distance[~np.eye(count, dtype=bool)].min() > 0.05


# What is drawn is what was recorded


@pytest.mark.parametrize("variable", ["x", "lam"])
@pytest.mark.parametrize(("pattern", "row"), [(None, 0), (1, 0), (3, 1)])
def test_traces_draw_every_recorded_number(
    run: Run, ax: Axes, variable: str, pattern: int | None, row: int
) -> None:
    plot.traces(run, variable, pattern=pattern, ax=ax)
    assert len(curves(ax)) == 7
    for line, values in zip(curves(ax), run.traces[variable].values[:, row].T, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), values)
        np.testing.assert_allclose(line.get_xdata(), 4 * np.arange(51), rtol=1e-12)  # ms
    assert legend(ax) == ["hidden1, 4 units", "output, 3 units"]
    assert len({line.get_color() for line in curves(ax)}) == 2


def test_chosen_units_have_their_own_colours(run: Run, ax: Axes) -> None:
    plot.traces(run, "x", "hidden1", [3, 0], ax=ax)
    of_hidden = run.traces.x.values[:, 0, :4]
    np.testing.assert_array_equal([line.get_ydata() for line in curves(ax)], of_hidden[:, [3, 0]].T)
    assert legend(ax) == ["hidden1[3]", "hidden1[0]"]
    assert len({line.get_color() for line in curves(ax)}) == 2


def test_the_legend_counts_the_drawn_units_of_a_large_population(ax: Axes) -> None:
    large = recorded_run(*random_problem([2, 100, 1], seed=0))
    plot.traces(large, "x", "hidden1", ax=ax)
    assert len(curves(ax)) == 32
    np.testing.assert_array_equal(curves(ax)[-1].get_ydata(), large.traces.x.values[:, 0, 99])
    assert legend(ax) == ["hidden1, 32 of 100 units"]


def test_weights_are_drawn_by_synapse(learning: Run, ax: Axes) -> None:
    plot.weights(learning, "hidden1->output", [(2, 3), (0, 1)], ax=ax)
    w = learning.network.weights["hidden1->output"]
    for line, (post, pre) in zip(curves(ax), [(2, 3), (0, 1)], strict=True):
        np.testing.assert_allclose(
            line.get_ydata(), w[post, pre] * np.linspace(1, 2, 51), rtol=1e-12
        )
    assert legend(ax) == ["hidden1→output [2, 3]", "hidden1→output [0, 1]"]


def test_phase_portraits_mark_start_and_end(run: Run, ax: Axes) -> None:
    plot.phase_portrait(run, "output", 1, pattern=3, ax=ax)
    x, lam = (run.traces[v].values[:, 1, 5] for v in ("x", "lam"))
    way, start, end, target = curves(ax)
    np.testing.assert_array_equal(way.get_xydata(), np.column_stack([x, lam]))
    np.testing.assert_array_equal(start.get_xydata(), [[x[0], lam[0]]])
    np.testing.assert_array_equal(end.get_xydata(), [[x[-1], lam[-1]]])
    assert start.get_markerfacecolor() != end.get_markerfacecolor()
    assert legend(ax) == ["start", "end, 200 ms", "backpropagation"]
    truth = reference.backprop(run.network, run.X, run.Y)
    right = [[truth.x["output"][3, 1], truth.lam["output"][3, 1]]]
    np.testing.assert_allclose(target.get_xydata(), right)
    plot.phase_portrait(run, "output", [0, 2], pattern=3, ax=ax)
    paths = [line for line in ax.lines if line.get_gid() == "path"]
    assert len({line.get_color() for line in paths}) == 3
    assert ax.get_xlabel() == "output x (1)"


def test_the_field_is_made_of_derivatives_of_the_lagrangian(run: Run) -> None:
    """By finite differences of the scalar L, which shares no formula with the rates."""
    dx, dlam = field_of(run, "hidden1", 0, np.array([0.2, 0.3]), np.array([-0.1, 0.4]), 0)
    row = ROWS[0]
    X = {name: own[[row]] for name, own in run.X.items()}
    Y = {name: own[[row]] for name, own in run.Y.items()}

    def lagrangian(x: float, lam: float) -> float:
        states = {name: own[[row]] for name, own in run.x.items()}
        multipliers = {name: own[[row]] for name, own in run.lam.items()}
        states["hidden1"][0, 0], multipliers["hidden1"][0, 0] = x, lam
        return float(reference.lagrangian(run.network, run.flow, states, multipliers, X, Y))

    step, flow = 1e-6, run.flow
    by_x = (lagrangian(0.3 + step, 0.4) - lagrangian(0.3 - step, 0.4)) / (2 * step)
    g = (lagrangian(0.3, 0.4 + step) - lagrangian(0.3, 0.4 - step)) / (2 * step)
    rate = (-flow.kappa * by_x - flow.gamma * g) / flow.tau_x
    rate_lam = (flow.kappa * g - flow.gamma * by_x) / flow.tau_lam
    np.testing.assert_allclose([dx[1, 1], dlam[1, 1]], [rate, rate_lam], rtol=1e-5)


def test_a_run_can_be_animated(run: Run, tmp_path: Any) -> None:
    short = dataclasses.replace(run, traces=run.traces.isel(time=slice(0, 30, 10)))
    path = tmp_path / "run.gif"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one that is let go
        plot.animate(short, path, figsize=(5, 4), fps=0.4)
        gc.collect()
    with PIL.Image.open(path) as image:
        assert (image.n_frames, image.size) == (3, (600, 480))  # 120 dots per inch
        assert image.info["duration"] == 2500  # ms
    with pytest.raises(ns.FileError, match=r"allowed: \.gif, \.mp4, \.html"):
        plot.animate(short, tmp_path / "run.png")
    with pytest.raises(
        ns.ModelError, match=r"panel = 'netwerk'; allowed: .*did you mean 'network'"
    ):
        plot.animate(short, panels=["netwerk"])


def test_a_file_of_an_animation_has_every_frame(run: Run, tmp_path: Any) -> None:
    short = dataclasses.replace(run, traces=run.traces.isel(time=slice(0, 30, 10)))
    path = tmp_path / "run.html"
    with mpl.rc_context({"animation.embed_limit": 0.01}):  # MB; beyond, frames are dropped
        plot.animate(short, path, panels=["x"])
    assert path.read_text(encoding="utf-8").count("data:image/png;base64") == 3


def test_an_animation_that_fails_leaves_the_older_file(
    run: Run, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = dataclasses.replace(run, traces=run.traces.isel(time=slice(0, 30, 10)))
    path = tmp_path / "run.gif"
    path.write_bytes(b"older")
    monkeypatch.setattr(PIL.Image.Image, "save", Mock(side_effect=OSError(28, "No space left")))
    with pytest.raises(ns.FileError, match="No space left"):
        plot.animate(short, path, panels=["x"])
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_one_call_chooses_a_picture(run: Run, log: Log) -> None:
    assert plot.quick(run).get_ylabel() == "output x (1)"
    without = dataclasses.replace(run, traces=None)
    assert plot.quick(without).get_xlabel() == "λ of backpropagation (1)"
    assert plot.quick(log).get_ylabel() == "loss per pattern (1)"
    assert plot.quick(run.network).axison is False
    with pytest.raises(ns.ModelError, match="result = 3; allowed: Run, Log"):
        plot.quick(3)


def test_violation_is_x_less_sigma(run: Run, ax: Axes) -> None:
    plot.violation(run, ax)
    population = run.traces.population.values
    hidden = run.traces.x.values[..., population == "hidden1"]
    output = run.traces.x.values[..., population == "output"]
    (W1, W2), (b1, b2) = run.network.weights.values(), run.network.biases.values()
    inputs = run.X["input"][ROWS]
    g = (hidden - np.tanh(inputs @ W1.T + b1), output - hidden @ W2.T - b2)
    drawn = [line.get_ydata() for line in curves(ax)]
    for values, rms, largest in zip(g, drawn[::2], drawn[1::2], strict=True):
        expected = np.sqrt((values**2).mean(axis=(1, 2)))
        np.testing.assert_allclose(rms, expected, rtol=1e-9, atol=1e-12)
        expected = np.abs(values).max(axis=(1, 2))
        np.testing.assert_allclose(largest, expected, rtol=1e-9, atol=1e-12)
    assert ax.get_yscale() == "log"
    assert legend(ax) == ["hidden1", "output", "rms", "largest"]


def test_a_recorded_violation_is_taken_as_it_is(run: Run, ax: Axes) -> None:
    g = {"hidden1": np.full((2, 2, 4), -0.5)}
    traces = build_traces(run.network, run.flow, {}, np.array([0.0, 1.0]), {"g": g}, pattern=ROWS)
    plot.violation(dataclasses.replace(run, traces=traces), ax)
    np.testing.assert_array_equal([line.get_ydata() for line in curves(ax)], 0.5)


@pytest.mark.parametrize("measure", ["error", "cosine"])
def test_agreement_is_with_backpropagation(run: Run, ax: Axes, measure: str) -> None:
    plot.agreement(run, measure, ax=ax)
    exact = reference.backprop(run.network, run.X, run.Y).lam
    for line, name in zip(curves(ax), ("hidden1", "output"), strict=True):
        lam = run.traces.lam.values[..., run.traces.population.values == name]
        truth = exact[name][ROWS]
        if measure == "error":
            expected = np.abs(lam - truth).max(axis=(1, 2))
        else:
            sizes = np.sqrt((lam**2).sum(axis=(1, 2)) * (truth**2).sum())
            products = (lam * truth).sum(axis=(1, 2))
            expected = 1 - np.divide(products, sizes, out=np.zeros(51), where=sizes > 0)
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-6, atol=1e-14)
    assert legend(ax) == ["hidden1", "output"]


def test_rounding_does_not_stretch_a_logarithmic_axis(run: Run, ax: Axes) -> None:
    g = {"hidden1": np.array([1.0, 1e-30, 0.0])[:, None, None] * np.ones((3, 2, 4))}
    traces = build_traces(run.network, run.flow, {}, np.arange(3.0), {"g": g}, pattern=ROWS)
    plot.violation(dataclasses.replace(run, traces=traces), ax)
    assert ax.get_ylim()[0] == 1e-17
    np.testing.assert_allclose(curves(ax)[1].get_ydata(), [1.0, 1e-30, np.nan])


def test_learning_curves_skip_what_was_not_measured(log: Log, ax: Axes) -> None:
    plot.learning_curve(log, ax)
    right = next(a for a in ax.figure.axes if a is not ax)
    drawn = [line.get_xydata().tolist() for line in (*curves(ax), *curves(right))]
    assert drawn[0] == [[0, 2], [0.5, 1], [1, 0.5]]
    assert drawn[1] == [[0.5, 1.5]]
    np.testing.assert_allclose(drawn[2], [[0, 20], [0.5, 60], [1, 97.5]])
    np.testing.assert_allclose(drawn[3], [[0, 10], [1, 90]])
    assert (right.get_ylabel(), ax.get_yscale()) == ("accuracy (%)", "log")
    assert legend(ax) == ["loss", "accuracy", "training", "validation"]


def test_a_regression_has_no_accuracy_axis(log: Log, ax: Axes) -> None:
    plot.learning_curve(Log(log.history[["loss"]], log.run), ax)
    assert ax.figure.axes == [ax]
    assert legend(ax) == []


# Networks

GRAPHS = {
    "layers": Network.mlp([6, 4, 3]),
    "wide": Network.mlp([300, 100, 41, 10]),
    "deep": Network.mlp([8] + [5] * 9 + [2]),
    "one unit": Network.mlp([1, 1], loss="mse"),
    "no synapse": Network([Population("a", 2)], [], [Loss("a")]),
    "skips and losses": Network(
        [
            Population("input", 8, clamped=True),
            Population("context", 5, clamped=True),
            Population("hidden1", 12),
            Population("side", 20, "a/(1+abs(a))"),
            Population("hidden2", 6),
            Population("output", 3, "linear"),
        ],
        [
            Projection("input", "hidden1"),
            Projection("context", "side"),
            Projection("input", "output"),
            Projection("hidden1", "hidden2", mask=np.eye(6, 12)),
            Projection("side", "hidden2"),
            Projection("hidden2", "output"),
            Projection("hidden1", "output"),
        ],
        [Loss("hidden2"), Loss("output")],
    ),
    "cycle": Network(
        [
            Population("input", 8, clamped=True),
            Population("a", 12),
            Population("b", 60),
            Population("output", 4),
        ],
        [
            Projection("input", "a"),
            Projection("a", "b"),
            Projection("b", "a"),
            Projection("a", "a"),
            Projection("b", "output"),
        ],
        [Loss("output")],
    ),
    "alone in a cycle": Network([Population("a", 5)], [Projection("a", "a")], [Loss("a")]),
}


def drawn_units(ax: Axes) -> dict[int, Array]:
    """Return the colours of units, {index of the population: (units, 4)}."""
    units = [c for c in ax.collections if isinstance(c, PathCollection)]
    return {i: own.get_facecolor() for i, own in enumerate(units)}


@pytest.mark.parametrize("name", GRAPHS)
def test_every_unit_and_synapse_of_a_small_graph_is_drawn(name: str, ax: Axes) -> None:
    net = GRAPHS[name]
    assert plot.network(net, ax=ax) is ax
    shown = {n: p.size if p.size <= 40 else 24 for n, p in net.populations.items()}
    offsets = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
    assert sorted(map(len, offsets)) == sorted(shown.values())
    positions = np.concatenate(offsets)
    assert len(np.unique(positions.round(9), axis=0)) == len(positions)
    lines = sum(len(c.get_segments()) for c in ax.collections if isinstance(c, LineCollection))
    if name in ("layers", "one unit", "no synapse", "skips and losses", "alone in a cycle"):
        synapses = [w.size if isinstance(w, np.ndarray) else w.nnz for w in net.weights.values()]
        assert lines == sum(synapses)
    else:
        assert 0 < lines <= 3000
    texts = " ".join(text.get_text() for text in ax.texts)
    assert all(re.search(rf"\b{n}\W+{p.size}\b", texts) for n, p in net.populations.items())


@pytest.mark.parametrize("size", [(5, 3.5), (3.4, 4.5)], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", GRAPHS)
def test_no_name_covers_another_or_a_unit(name: str, size: tuple[float, float]) -> None:
    figure = Figure(figsize=size, layout="constrained")
    ax = plot.network(GRAPHS[name], ax=figure.add_subplot())
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text() != "⋮"]
    if ax.get_legend() is not None:
        boxes.append(ax.get_legend().get_window_extent())
    for one, other in itertools.combinations(boxes, 2):
        assert not one.shrunk(0.98, 0.98).overlaps(other.shrunk(0.98, 0.98)), (one, other)
    units = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
    for x, y in ax.transData.transform(np.concatenate(units)):
        assert not any(box.shrunk(0.98, 0.98).contains(x, y) for box in boxes)
    page = figure.bbox
    for box in boxes:
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, box
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, box


def test_colours_are_the_sign_of_weights_and_lam(run: Run, ax: Axes) -> None:
    plot.network(run.network, run, pattern=2, ax=ax)
    synapses = [c for c in ax.collections if isinstance(c, LineCollection)]
    for lines, w in zip(synapses, run.network.weights.values(), strict=True):
        blue = (lines.get_colors()[:, :3] == to_rgb(plot.PALETTE[0])).all(axis=1)
        assert blue.sum() == (w > 0).sum()
        assert 0 < blue.sum() < blue.size
        thickest = lines.get_segments()[int(np.argmax(lines.get_linewidths()))]
        post, pre = np.unravel_index(np.abs(w).argmax(), w.shape)
        units = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
        layer = [u.shape[0] for u in units].index(w.shape[1])
        np.testing.assert_allclose(thickest, [units[layer][pre], units[layer + 1][post]])
    colours = list(drawn_units(ax).values())[1:]
    for name, colour in zip(("hidden1", "output"), colours, strict=True):
        lam = run.lam[name][2]
        clear = np.abs(lam) > 0.1 * max(np.abs(v[2]).max() for v in run.lam.values())
        assert clear.any()
        greenness = colour[:, 1] - (colour[:, 0] + colour[:, 2]) / 2
        np.testing.assert_array_equal(np.sign(greenness[clear]), np.sign(lam[clear]))
    assert any(a.get_ylabel() == "multiplier λ (1)" for a in ax.figure.axes)


# Summaries


def test_a_summary_shows_all_that_was_recorded(run: Run, log: Log) -> None:
    figure = plot.summary(run)
    labels = {a.get_ylabel() for a in figure.axes}
    assert {
        "output x (1)",
        "multiplier λ (1)",
        "violation |x − σ(a)| (1)",
        "max |λ − λ$_{BP}$| (1)",
    } <= labels
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["hidden1", "output"]
    assert "κ = 1, γ = 1, ρ = 0, dt = 1 ms, 0.2 s in 200 steps" in figure.get_suptitle()
    assert {"loss per pattern (1)", "accuracy (%)", "distance (1)"} <= {
        a.get_ylabel() for a in plot.summary(log).axes
    }
    assert len(plt.get_fignums()) == 2  # as plt.show() needs


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: dataclasses.replace(run, traces=None),
        lambda run: dataclasses.replace(run, traces=run.traces.drop_vars("lam")),
        lambda run: dataclasses.replace(
            run, traces=run.traces.isel(time=slice(1)), interrupted=True
        ),
        lambda run: dataclasses.replace(
            run,
            traces=run.traces.assign(x=run.traces.x * np.inf),
            lam={n: v * np.nan for n, v in run.lam.items()},
        ),
    ],
    ids=["nothing recorded", "no lam", "one moment", "diverged"],
)
def test_a_summary_takes_whatever_there_is(
    run: Run, spoil: Callable[[Run], Run], suffix: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        buffer = io.BytesIO()
        figure = plot.summary(spoil(run))
        figure.savefig(buffer, format=suffix)
    assert len(buffer.getvalue()) > 5000
    assert len(figure.axes) >= 2


def test_a_cycle_that_does_not_contract_has_a_summary_without_agreement() -> None:
    net, X, Y = random_problem([2, 3], seed=0)
    cyclic = Network(
        list(net.populations.values()),
        [Projection("input", "output"), Projection("output", "output", 9 * np.eye(3))],
        [Loss("output")],
    )
    x = {"output": np.zeros((3, 2, 3))}
    traces = build_traces(
        cyclic, Flow.adjoint(), {}, np.arange(3.0), {"x": x, "lam": x}, pattern=ROWS
    )
    state = {"output": np.zeros((5, 3))}
    run = Run(
        cyclic, Flow.adjoint(), {}, patterns(cyclic, X), targets(cyclic, Y, 5), state, state, traces
    )
    labels = [a.get_ylabel() for a in plot.summary(run).axes]
    assert "violation |x − σ(a)| (1)" in labels
    assert not any("BP" in label for label in labels)


# What cannot be drawn


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (
            lambda run, log: plot.traces(run, "delta"),
            r"delta was not recorded, only \['x', 'lam'\]; try .*record=",
        ),
        (lambda run, log: plot.traces(run, "x", "hiden1"), "did you mean 'hidden1'"),
        (
            lambda run, log: plot.traces(run, "x", "output", [3]),
            "units of output: 3; allowed: 0 to 2",
        ),
        (lambda run, log: plot.traces(run, "x", units=[0]), "without population.*hidden1, output"),
        (
            lambda run, log: plot.traces(run, pattern=0),
            r"pattern = 0 was not recorded; allowed: \[1, 3\]",
        ),
        (lambda run, log: plot.weights(run, "input->hidden1"), "w was not recorded"),
        (
            lambda run, log: plot.weights(log.run, "input->output"),
            "allowed: input->hidden1, hidden1->output",
        ),
        (
            lambda run, log: plot.weights(log.run, "input->hidden1", [(6, 0)]),
            r"\(post, pre\) = \(6, 0\)",
        ),
        (lambda run, log: plot.violation(log.run), "weights moved.*record="),
        (lambda run, log: plot.agreement(log.run), "weights moved"),
        (lambda run, log: plot.agreement(run, "angle"), "allowed: error, cosine"),
        (lambda run, log: plot.learning_curve(Log(log.history[["cosine"]], run)), "missing: loss"),
        (lambda run, log: plot.network(Network.mlp([6, 4, 2]), run), r"run is of Network\(6-4-3"),
        (lambda run, log: plot.network(run.network, run, 5), "pattern = 5; allowed: 0 to 4"),
        (lambda run, log: plot.traces(dataclasses.replace(run, traces=None)), r"only \[\]"),
    ],
)
def test_what_is_missing_is_named(
    draw: Callable[[Run, Log], Any], words: str, run: Run, log: Log
) -> None:
    with pytest.raises(ns.NeurosimError, match=words):
        draw(run, log)
    assert plt.get_fignums() == []
