"""Faults that a referee would find: what diverged is said, nothing overlaps, nothing is cut off."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import neurosim as ns
from neurosim import plot
from neurosim.plot.canvas import NOT_FINITE
from tests.helpers.pictured import LONG, branch, categories, points, subject
from tests.plot.test_extremes import MARGIN, figure_of


@pytest.fixture(autouse=True)
def _no_figures_left() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.UnsettledWarning)
        yield
    plt.close("all")


def words(ax: Axes) -> set[str]:
    """Return all texts of axes: their own, their title and those of their legend."""
    found = {text.get_text() for text in ax.texts} | {ax.get_title()}
    legend = ax.get_legend()
    if legend is not None:
        found |= {text.get_text() for text in legend.get_texts()} | {legend.get_title().get_text()}
    return found


def boxes(texts: Sequence[Any]) -> list[Any]:
    """Return the places of texts that are not empty, once the figure is drawn."""
    return [text.get_window_extent() for text in texts if text.get_text()]


def touch(texts: Sequence[Any]) -> bool:
    """Return whether neighbouring texts overlap."""
    return any(one.overlaps(other) for one, other in pairwise(boxes(texts)))


def plain_axes() -> Axes:
    """Return the left axes of a figure that plain Matplotlib made, with little room around."""
    figure, (left, _) = plt.subplots(1, 2, figsize=(7, 3))
    figure.subplots_adjust(left=0.13, bottom=0.17, wspace=0.45)
    ax: Axes = left
    return ax


def is_cut(figure: Figure) -> bool:
    """Return whether anything lies beyond the figure."""
    figure.canvas.draw()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    low = min(box.x0, box.y0)
    return bool(low < -MARGIN or max(box.x1 - width, box.y1 - height) > MARGIN)


OVER_TIME: dict[str, Callable[[], Axes]] = {
    "traces": lambda: plot.traces(subject("diverged").run),
    "violation": lambda: plot.violation(subject("diverged").run),
    "agreement": lambda: plot.agreement(subject("diverged").run),
    "events": lambda: plot.events(subject("diverged").run),
    "operations": lambda: plot.operations(subject("diverged").run),
    "learning curve": lambda: plot.learning_curve(subject("diverged").log),
    "accuracies": lambda: plot.accuracies(subject("diverged").log),
    "neurons": lambda: plot.neurons(subject("diverged").log),
    "operations done": lambda: plot.operations_done(subject("diverged").log),
    "feedback angles": lambda: plot.feedback_angles(subject("diverged").log),
}


@pytest.mark.parametrize("picture", OVER_TIME)
def test_the_time_after_a_divergence_is_shaded(picture: str) -> None:
    ax = OVER_TIME[picture]()
    assert "not finite" in words(ax)
    last = 1.0 if subject("diverged").log and "time (s)" in ax.get_xlabel() else 299.0
    assert ax.get_xlim()[1] > last


def test_a_run_that_stayed_finite_is_not_shaded() -> None:
    assert "not finite" not in words(plot.traces(subject("default").run))


def test_a_loss_that_was_not_measured_at_all_rows_has_not_diverged() -> None:
    log = subject("default").log
    loss = log.history["loss"].copy()
    loss[1::2] = np.nan
    history = log.history.assign(loss=loss)
    assert "not finite" not in words(plot.learning_curve(ns.Log(history, log.run)))


def test_a_path_that_diverged_ends_at_its_last_finite_point() -> None:
    run = subject("diverged").run
    ax = plot.phase_portrait(run, "hidden1", field=True)
    assert {"last finite point, 149 ms", "no field, as the end is not finite"} <= words(ax)


def test_units_without_a_finite_multiplier_are_grey() -> None:
    run = subject("diverged").run
    ax = plot.network(run.network, run)
    faces = {to_hex(marks.get_facecolor()[0]) for marks in ax.collections[-3:]}
    assert faces == {NOT_FINITE.lower()}
    assert "grey: not finite" in figure_of(ax).axes[-1].get_ylabel()


def test_support_is_not_claimed_of_what_is_not_finite() -> None:
    run = subject("diverged").tubes
    found = ns.support_neurons(run)
    assert "no finite λ" in plot.support_map(found, "hidden1").get_title()
    assert "no finite multiplier" in words(plot.multipliers(found))
    assert "no finite multiplier" in words(plot.conditions(run, "hidden1"))
    part = {name: lam.copy() for name, lam in subject("default").tubes.lam.items()}
    part["hidden1"][0, :2] = np.nan
    half = replace(subject("default").tubes, lam=part)
    said = words(plot.multipliers(ns.support_neurons(half)))
    assert "2 of 34 multipliers are not finite" in said
    assert "2 of 34 multipliers are not finite" in words(plot.parity(half))
    assert "not finite, 12%" in words(plot.conditions(half, "hidden1"))


def test_a_run_that_diverged_has_no_error_of_zero() -> None:
    runs = [subject("default").thresholds[0], subject("diverged").thresholds[1]]
    assert "1 of 2 runs have no finite λ" in words(plot.cost(runs))
    assert "no finite value" in words(plot.cost(runs[1:]))


def test_accuracies_that_are_not_numbers_are_not_finite() -> None:
    ax = plot.plausibility(subject("diverged").cards).axes[0]
    assert not any(text.startswith("nan") for text in words(ax))
    assert "not finite" in words(ax)


LEFT: dict[str, Callable[[Axes], Any]] = {
    "events": lambda ax: plot.events(subject("default").run, ax=ax),
    "events of long names": lambda ax: plot.events(subject("long").run, ax=ax),
    "participation": lambda ax: plot.participation(subject("default").spec, ax=ax),
    "sensitivity": lambda ax: plot.sensitivity(subject("default").sweep, "growth", ax=ax),
    "support map": lambda ax: plot.support_map(
        ns.support_neurons(subject("default").tubes), "hidden1", ax
    ),
    "parallel": lambda ax: plot.parallel_coordinates(subject("default").sweep, ax=ax),
}


@pytest.mark.parametrize("picture", LEFT)
def test_nothing_is_cut_off_in_axes_without_a_layout(picture: str) -> None:
    ax = plain_axes()
    LEFT[picture](ax)
    assert not is_cut(figure_of(ax))


def test_names_of_populations_below_a_narrow_map_stand_apart() -> None:
    ax = plot.participation(subject("twelve").spec, figsize=(3.5, 2.6))
    figure_of(ax).canvas.draw()
    assert not touch(ax.get_xticklabels())


@pytest.mark.parametrize("case", ["default", "twelve"])
def test_networks_side_by_side_in_one_column_do_not_overlap(case: str) -> None:
    net = subject(case).run.network
    figure = plot.before_and_after(net, net, figsize=(3.5, 7.5))
    assert not is_cut(figure)
    for ax in figure.axes:
        assert not touch(ax.texts)


def test_names_of_a_network_fit_into_a_summary_in_one_column() -> None:
    figure = plot.summary(subject("default").log, figsize=(3.5, 7.5))
    figure.canvas.draw()
    assert not touch(figure.axes[0].texts)


def test_a_population_keeps_its_name_rather_than_its_size() -> None:
    ax = plot.network(subject("twelve").run.network, figsize=(3.5, 2.6))
    assert {text.get_text() for text in ax.texts} == set(subject("twelve").run.network.populations)


@pytest.mark.parametrize("case", ["default", "twelve"])
def test_entries_of_a_scorecard_stay_in_their_cells(case: str) -> None:
    figure = plot.plausibility(subject(case).cards, figsize=(3.5, 7.5))
    figure.canvas.draw()
    ax = figure.axes[0]
    rows: dict[float, list[Any]] = {}
    for text in ax.texts:
        rows.setdefault(text.get_position()[1], []).append(text)
    assert not any(touch(row) for row in rows.values())


@pytest.mark.parametrize("figsize", [None, (3.5, 4)])
def test_a_scorecard_with_a_spread_names_the_number_of_seeds(figsize: Any) -> None:
    card = next(iter(subject("default").cards.values()))
    figure = plot.plausibility(card, figsize=figsize)
    assert "n = 5" in figure.axes[0].get_xlabel()
    assert not is_cut(figure)


def test_the_words_of_a_scorecard_are_whole() -> None:
    ax = plot.plausibility(next(iter(subject("default").cards.values()))).axes[0]
    assert not any("…" in text.get_text() for text in ax.get_yticklabels())


@pytest.mark.parametrize("case", ["default", "twelve"])
def test_ticks_of_a_sweep_are_every_second_or_third_value_and_stand_apart(case: str) -> None:
    for size in ((7.2, 5.0), (3.5, 7.5), (3.5, 2.6)):
        figure = plot.heat_map(subject(case).sweep, "growth", figsize=size)
        figure.canvas.draw()
        ax = figure.axes[0]
        assert not touch(ax.get_xticklabels())
        assert not touch(ax.get_yticklabels())
        values = subject(case).sweep["flow.theta"].values
        axis = ax.xaxis if case == "default" else ax.yaxis
        steps = np.diff(np.searchsorted(values, axis.get_ticklocs()))
        assert len(set(steps)) <= 1


@pytest.mark.parametrize("size", [(3.5, 2.6), (7.2, 3.2)])
def test_names_below_parallel_coordinates_stand_apart(size: tuple[float, float]) -> None:
    figure = plot.parallel_coordinates(subject("default").sweep, figsize=size)
    figure.canvas.draw()
    ax = figure.axes[0]
    names = [text for text in ax.texts if "(" in text.get_text()]
    assert len(names) == 4
    assert not touch(names)
    beside = next(text for text in ax.texts if text.get_text() == "no number")
    assert not beside.get_window_extent().overlaps(figure.axes[1].get_window_extent())


def test_a_threshold_does_not_cross_the_line_of_dense_messages() -> None:
    ax = plot.cost(subject("twelve").thresholds)
    figure_of(ax).canvas.draw()
    (line,) = [line for line in ax.lines if len(set(line.get_xdata())) == 1]
    dense, _ = ax.transData.transform((line.get_xdata()[0], 1.0))
    for text in ax.texts[1:]:
        box = text.get_window_extent()
        assert not box.x0 < dense < box.x1


def test_marks_of_two_lines_over_names_do_not_coincide() -> None:
    ax = plot.lines(categories(), "accuracy").axes[0]
    places = np.concatenate([line.get_xdata() for line in ax.lines])
    assert len(np.unique(places)) == places.size == 9
    assert "bars: range" in ax.get_legend().get_title().get_text()


def test_drawn_points_at_the_edge_are_whole() -> None:
    sweep = points(subject("default").sweep)
    low, high = plot.phase_diagram(sweep).axes[0].get_ylim()
    gain = sweep["network.gain"].values
    assert low < 0.98 * gain.min()
    assert high > 1.02 * gain.max()


def test_counts_have_integer_ticks() -> None:
    ax = plot.multipliers(ns.support_neurons(subject("long").tubes))
    assert np.all(ax.get_yticks() % 1 == 0)
    log = subject("default").log
    few = log.history.assign(neurons=log.history["neurons"] * 0 + 2)
    assert np.all(plot.neurons(ns.Log(few, log.run)).get_yticks() % 1 == 0)


def test_marks_of_one_row_of_a_log_do_not_coincide() -> None:
    left = plot.learning_curve(subject("one").log)
    figure_of(left).canvas.draw()
    (right,) = [ax for ax in figure_of(left).axes if ax is not left]
    heights = []
    for ax in (left, right):
        for line in ax.lines:
            if len(line.get_ydata()):
                heights.append(ax.transData.transform((1.0, line.get_ydata()[0]))[1])
    assert np.diff(np.sort(heights)).min() > 5


def test_the_keys_of_bars_are_as_short_as_others() -> None:
    ax = plot.sensitivity(subject("default").sweep, "growth").axes[0]
    assert ax.get_legend().handlelength < 2


def test_a_legend_within_axes_hides_the_lines_behind_it() -> None:
    ax = plain_axes()
    plot.branch(branch()[0], ax=ax)
    assert ax.get_legend().get_frame_on()
    assert "least stable mode" in words(ax)


def test_the_legend_of_conditions_stands_between_title_and_points() -> None:
    ax = plot.conditions(subject("long").tubes, LONG)
    figure_of(ax).canvas.draw()
    legend = ax.get_legend().get_window_extent()
    assert legend.y0 > ax.get_window_extent().y1 - 1
    assert not legend.overlaps(ax.title.get_window_extent())


def test_units_of_an_animation_without_multipliers_are_pale() -> None:
    moving = plot.animate(subject("one").run, panels=["network"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moving.to_jshtml()
    units = plt.gcf().axes[0].collections[-3:]
    assert all(marks.get_facecolor()[0].min() > 0.9 for marks in units)


def test_panels_of_an_animation_stand_above_each_other_in_one_column() -> None:
    plot.animate(subject("default").run, figsize=(3.5, 7.5)).pause()
    figure = plt.gcf()
    figure.canvas.draw()
    panels = [ax for ax in figure.axes if ax.get_subplotspec() is not None]
    assert len({ax.get_subplotspec().colspan.start for ax in panels[:4]}) == 1
    assert not is_cut(figure)
