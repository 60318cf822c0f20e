"""Pictures of networks that change their size show the numbers of the log."""

from __future__ import annotations

import re

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

import neurosim as ns
from neurosim import plot
from tests.helpers.problems import random_problem


@pytest.fixture(scope="module")
def log() -> ns.Log:
    net, X, Y = random_problem([4, 2, 3], seed=1, loss="squared_hinge", patterns=6)
    schedule = ns.Growing(schedule=ns.Simultaneous(duration=0.1, reports=4), split=1, most=4)
    return ns.Simulation(net, ns.Flow.augmented()).train(X, Y["output"].argmax(axis=1), schedule)


def test_size_accuracy_and_operations_have_a_panel_each(log: ns.Log) -> None:
    before = plt.get_fignums()
    figure = plot.architecture(log)
    labels = [re.sub(r" \(.*", "", ax.get_ylabel()) for ax in figure.axes]
    assert labels == ["hidden neurons", "accuracy", "operations"]
    assert figure.axes[-1].get_xlabel() == "time (s)"
    assert plt.get_fignums() == [*before, figure.number]


def test_neurons_are_steps_that_last_until_the_end_of_their_row(log: ns.Log) -> None:
    ax = plot.neurons(log, Figure().add_subplot())
    (steps,) = (patch for patch in ax.patches if isinstance(patch, StepPatch))
    values, edges, _ = steps.get_data()
    assert list(values) == [2, 3, 4, 4]
    assert edges == pytest.approx(np.r_[0, log.history.time])


def test_operations_are_beside_those_of_the_largest_size(log: ns.Log) -> None:
    ax = plot.operations_done(log, Figure().add_subplot())
    done, largest = (line for line in ax.lines if len(line.get_xdata()))
    assert done.get_ydata() == pytest.approx(np.r_[0, 1e-6 * log.history.operations])
    assert (done.get_ydata()[1:] < largest.get_ydata()[1:]).all()
    assert np.diff(largest.get_ydata())[-1] == pytest.approx(np.diff(done.get_ydata())[-1])


def test_a_summary_shows_the_sizes_and_names_the_part_of_its_run(log: ns.Log) -> None:
    figure = plot.summary(log)
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert {"hidden neurons (1)", "operations (10⁶)"} <= set(labels)
    assert "the last part of 0.1 s" in figure.get_suptitle()


def test_before_and_after_draws_both_networks() -> None:
    net = ns.Network.mlp([4, 6, 2])
    net.weights["hidden1->output"][:, :4] = 0
    figure = plot.before_and_after(net, ns.prune(net))
    assert [ax.get_title() for ax in figure.axes] == [
        "before: 44 parameters",
        "after: 16 parameters",
    ]


def test_a_log_of_one_size_is_refused() -> None:
    net, X, Y = random_problem([4, 2, 3], seed=1)
    schedule = ns.Simultaneous(duration=0.01, reports=1)
    log = ns.Simulation(net, ns.Flow.augmented()).train(X, Y, schedule)
    with pytest.raises(ns.DataError, match=r"no neurons; try train"):
        plot.architecture(log)
