"""Pictures of runs of which only some units and patterns were recorded show these, by their index.

The right values are those of the same run recorded whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

import neurosim as ns
from neurosim import plot

Array = np.ndarray
UNITS = {"hidden1": [5, 2, 7]}
ROWS = [2, 1]


@pytest.fixture(autouse=True)
def _no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def relaxed(**recorded: object) -> ns.Run:
    X = np.random.default_rng(0).normal(size=(5, 4))
    sim = ns.Simulation(ns.Network.mlp([4, 8, 3], seed=0), ns.Flow.damped(), backend="numpy")
    return sim.relax(X, [0, 1, 2, 0, 1], duration=0.03, record=("x", "lam"), **recorded)


@pytest.fixture(scope="module")
def whole() -> ns.Run:
    return relaxed()


@pytest.fixture(scope="module")
def part() -> ns.Run:
    return relaxed(units=UNITS, patterns=ROWS)


def of_hidden(run: ns.Run, variable: str) -> Array:
    assert run.traces is not None
    return run.traces[variable].values[..., run.traces.population.values == "hidden1"]


def drawn(ax: Axes, label: str) -> Array:
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return np.asarray(line.get_ydata())


def test_traces_are_of_the_units_by_their_index_in_the_population(
    whole: ns.Run, part: ns.Run
) -> None:
    right = of_hidden(whole, "x")
    for unit in UNITS["hidden1"]:
        ax = plot.traces(part, "x", "hidden1", [unit], pattern=1)
        np.testing.assert_array_equal(drawn(ax, f"hidden1[{unit}]"), right[:, 1, unit])
    ax = plot.traces(part, "x", "hidden1")
    assert [line.get_label() for line in ax.lines] == [f"hidden1[{i}]" for i in (5, 2, 7)]
    with pytest.raises(ns.DataError, match="units of hidden1: 0; allowed: 5, 2, 7, which were"):
        plot.traces(part, "x", "hidden1", [0])


def test_a_phase_portrait_is_of_the_unit_that_is_named(whole: ns.Run, part: ns.Run) -> None:
    path = plot.phase_portrait(part, "hidden1", 7).lines[0]
    np.testing.assert_array_equal(path.get_xdata(), of_hidden(whole, "x")[:, 2, 7])
    np.testing.assert_array_equal(path.get_ydata(), of_hidden(whole, "lam")[:, 2, 7])
    with pytest.raises(ns.DataError, match="unit of hidden1: 1; allowed: 5, 2, 7"):
        plot.phase_portrait(part, "hidden1", 1)


def test_the_violation_is_of_the_units_where_it_is_known(whole: ns.Run, part: ns.Run) -> None:
    """That of the output is not: five of the units that send to it were not recorded."""
    net, x = whole.network, of_hidden(whole, "x")
    a = whole.X["input"] @ net.weights["input->hidden1"].T + net.biases["hidden1"]
    g = (x - np.tanh(a))[:, ROWS][..., UNITS["hidden1"]]
    ax = plot.violation(part)
    found = drawn(ax, "hidden1, 3 of 8 units")
    np.testing.assert_allclose(found, np.sqrt((g**2).mean(axis=(1, 2))), rtol=1e-10)
    assert not any(str(line.get_label()).startswith("output") for line in ax.lines)


def test_agreement_compares_each_recorded_unit_with_its_own_multiplier(
    whole: ns.Run, part: ns.Run
) -> None:
    exact = ns.reference.backprop(whole.network, whole.X, whole.Y).lam["hidden1"]
    error = np.abs(of_hidden(whole, "lam") - exact)[:, ROWS][..., UNITS["hidden1"]]
    found = drawn(plot.agreement(part), "hidden1, 3 of 8 units")
    np.testing.assert_allclose(found, error.max(axis=(1, 2)), rtol=1e-9)
    other = ns.reference.backprop(whole.network, whole.X, whole.Y)
    with pytest.raises(ns.DataError, match=r"ref.lam\['hidden1'\] has shape \(5, 8\); .*\(2, 8\)"):
        plot.agreement(part, ref=other)


def test_a_violation_that_is_nowhere_known_is_refused(part: ns.Run) -> None:
    assert part.traces is not None
    output = part.traces.isel(unit=part.traces.population.values == "output")
    with pytest.raises(ns.DataError, match=r"g is unknown, as no population .* try record="):
        plot.violation(replace(part, traces=output))


def test_events_are_counted_by_the_units_that_were_recorded() -> None:
    sim = ns.Simulation(
        ns.Network.mlp([4, 8, 3], seed=0), ns.Flow.damped(), transport="events", backend="numpy"
    )
    X = np.random.default_rng(0).normal(size=(2, 4))
    run = sim.relax(X, [0, 1], duration=0.02, record="events_x", units=UNITS)
    ax = plot.events(run)
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert "x hidden1, 3 of 8 units" in labels


def test_a_summary_can_be_drawn(part: ns.Run) -> None:
    titles = [ax.get_ylabel() for ax in plot.summary(part).axes]
    assert "violation |x − σ(a)| (1)" in titles
