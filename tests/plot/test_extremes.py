"""Pictures of long names, one unit, a thousand, zeros and tiny values: nothing is cut off."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

import neurosim as ns
from neurosim import plot
from neurosim.plot.names import shortened, shortened_all, text_width, wrapped
from neurosim.plot.page import STYLE

FONT = STYLE["legend.fontsize"]
LONG = "layer_23_excitatory_left_hemisphere"
LONGER = "layer_5_inhibitory_right_hemisphere_" + "b" * 20
SIZES = {"long": (5, 8, 6, 3), "one": (1, 1, 1, 1), "many": (5, 1000, 4, 3)}
MARGIN = 0.02  # inches
RECORD = ("x", "lam", "g", "events_x", "events_delta")


@pytest.fixture(autouse=True)
def _no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def chain(names: tuple[str, ...], sizes: tuple[int, ...], **options: Any) -> ns.Network:
    """Return populations one after the other, the first clamped, with a loss on the last."""
    populations = [ns.Population(names[0], sizes[0], clamped=True)]
    for name, size in zip(names[1:], sizes[1:], strict=True):
        populations.append(ns.Population(name, size, **options))
    projections = [ns.Projection(a, b) for a, b in pairwise(names)]
    return ns.Network(populations, projections, [ns.Loss(names[-1], "mse")], seed=0)


def relaxed(kind: str) -> ns.Run:
    """Relax a chain with long names within tubes, by events."""
    names = ("retina_of_the_left_eye", LONG, LONGER, "motor_output_of_the_model")
    net = chain(names, SIZES.get(kind, SIZES["long"]), constraint="tube", epsilon=0.05)
    scale = {"zero": 0.0, "tiny": 1e-9}.get(kind, 1.0)
    rng = np.random.default_rng(0)
    X = scale * rng.normal(size=(2, net.populations[names[0]].size))
    Y = scale * rng.normal(size=(2, net.populations[names[-1]].size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.StabilityWarning)
        sim = ns.Simulation(net, ns.Flow.augmented(4.0), transport=ns.Events(0.01), backend="numpy")
        return sim.relax(X, Y, duration=0.03, record=RECORD)


@pytest.fixture(scope="module")
def runs() -> dict[str, ns.Run]:
    return {kind: relaxed(kind) for kind in (*SIZES, "zero", "tiny")}


PICTURES: dict[str, Callable[[ns.Run], Any]] = {
    "summary": plot.summary,
    "network": lambda run: plot.network(run.network, run),
    "traces": plot.traces,
    "lam": lambda run: plot.traces(run, "lam", LONG),
    "phase portrait": lambda run: plot.phase_portrait(run, LONG),
    "violation": plot.violation,
    "agreement": plot.agreement,
    "events": plot.events,
    "operations": plot.operations,
    "events over traces": plot.events_over_traces,
    "cost": lambda run: plot.cost([run]),
    "support": plot.support_summary,
    "before and after": lambda run: plot.before_and_after(run.network, run.network),
}


OTHERS = {"zero": ("summary", "cost"), "one": ("support",), "many": ("events",), "tiny": ()}
CASES: list[Any] = [(picture, "long") for picture in PICTURES]
for _kind, _quick in OTHERS.items():
    for _picture in PICTURES:
        mark = () if _picture in _quick else (pytest.mark.slow,)
        CASES.append(pytest.param(_picture, _kind, marks=mark))


def figure_of(drawn: Any) -> Figure:
    return drawn if isinstance(drawn, Figure) else drawn.figure


@pytest.mark.parametrize(("picture", "kind"), CASES)
def test_nothing_is_cut_off(picture: str, kind: str, runs: dict[str, ns.Run]) -> None:
    """Nor does the layout give up, or an axis complain of values that it cannot show."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ns.UnsettledWarning)  # of pictures of support
        figure = figure_of(PICTURES[picture](runs[kind]))
        figure.canvas.draw()
    box = figure.get_tightbbox()  # inches, of everything that is drawn
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0) > -MARGIN
    assert max(box.x1 - width, box.y1 - height) < MARGIN


@pytest.mark.parametrize("scale", [1, 1e-9, 1e9])
def test_a_power_of_ten_above_the_axis_stands_clear_of_the_legend(
    scale: float, runs: dict[str, ns.Run]
) -> None:
    run = runs["long"]
    ax = plot.traces(replace(run, traces=run.traces.assign(x=scale * run.traces.x)))
    ax.figure.canvas.draw()
    exponent = ax.yaxis.get_offset_text()
    assert bool(exponent.get_text()) == (scale != 1)
    if exponent.get_text():
        assert not exponent.get_window_extent().overlaps(ax.get_legend().get_window_extent())


def test_empty_axes_say_why(runs: dict[str, ns.Run]) -> None:
    for draw in (plot.violation, plot.agreement):
        ax = draw(runs["zero"])
        assert [text.get_text() for text in ax.texts] == ["no value above 0"]
        assert ax.get_xlim()[1] > 20
    assert "no events" in {text.get_text() for text in plot.events(runs["zero"]).texts}


@pytest.mark.parametrize("name", ["layer_23_excitatory_left_hemisphere", "a" * 45, "b" * 300])
def test_a_long_name_leaves_the_network_its_room(name: str) -> None:
    def apart(name: str) -> float:
        axes = plot.network(chain(("retina", name, "motor"), (3, 4, 2)))
        (_, low), (_, high) = axes.transData.transform([(0, 0), (0, 1)])
        return float(high - low)

    assert apart(name) > 0.5 * apart("layer4")


@pytest.mark.parametrize("count", [4, 14])
def test_populations_keep_different_names(count: int) -> None:
    names = tuple(f"cortical_layer_{i}_excitatory_left_hemisphere" for i in range(count))
    ax = plot.network(chain(names, (3,) * count))
    written = {text.get_text() for text in ax.texts}
    assert len(written) == count
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_names_are_broken_and_shortened_to_their_room() -> None:
    assert wrapped(LONG, 100, 3, FONT) == [
        "layer_23_excitatory_left_",
        "hemisphere",
    ]
    for width in (30, 60, 90, 200):
        for lines in (1, 2, 3):
            found = wrapped(LONGER, width, lines, FONT)
            assert len(found) <= lines
            assert all(text_width(line, FONT) <= width for line in found)
        assert text_width(shortened(LONGER, width, FONT), FONT) <= width
    assert shortened("hidden1", 100, FONT) == "hidden1"
    pair = [f"left_hemisphere_layer_{i}_excitatory" for i in (1, 2)]
    first, second = shortened_all(pair, 70, FONT)
    assert first != second
    assert "1" in first
    assert "2" in second


def test_the_histogram_spans_the_multipliers(runs: dict[str, ns.Run]) -> None:
    """A bar that stood for the legend's entry of straw neurons was 0.8 wide."""
    run = runs["long"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.UnsettledWarning)
        small = {name: 1e-2 * lam for name, lam in run.lam.items()}
        found = ns.support_neurons(replace(run, lam=small))
    largest = max(np.abs(lam).max() for lam in found.lam.values())
    reach = max(np.abs(plot.multipliers(found).get_xlim()))
    assert largest < 0.3
    assert largest < reach < 1.2 * largest


def test_parity_shows_multipliers_beyond_the_exact_ones() -> None:
    """A run that has not settled may have larger multipliers than backpropagation."""
    run = relaxed("long")
    far = {name: 5 * lam for name, lam in run.lam.items()}
    ax = plot.parity(replace(run, lam=far))
    low, high = ax.get_ylim()
    for line in ax.lines:
        assert np.all((low <= line.get_ydata()) & (line.get_ydata() <= high))
