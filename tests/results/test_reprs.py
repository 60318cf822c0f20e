"""Displays of results: short, on one line, without the numbers; HTML for notebooks is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import neurosim as ns
from neurosim.data.datasets import Data
from neurosim.model.display import html_table
from neurosim.reference import rivals

X, Y = np.zeros((64, 64)), np.zeros(64, int)


def shown() -> Iterator[Any]:
    """Yield a value of each public kind that holds arrays."""
    net = ns.Network.mlp([64, 32, 10], seed=0)
    flow = ns.Flow.adjoint(tau_w=0.1)
    sim = ns.Simulation(net, flow, backend="numpy")
    run = sim.relax(X, Y, duration=0.01, record=("x", "lam"))
    exact = ns.reference.backprop(net, X, Y)
    yield from (net, flow, sim, run, run.state, exact, ns.alignment(run, exact))
    yield from (ns.synaptic_operations(run), ns.kkt(run))
    yield sim.train(X, Y, ns.Simultaneous(duration=0.01, reports=2))
    yield ns.reference.solve_ivp(net, flow, X[:2], Y[:2], duration=1e-3)
    yield from (ns.streams.moving_digits(30), Data(X, Y, X, Y, classes=10))
    yield from (ns.tasks.Bandit.drawn(contexts=30), ns.tasks.CartPole.drawn(30))
    yield ns.SupportOverTraining(sim)
    yield rivals.relax(net, X[:2], Y[:2], flow=flow, steps=3)


def test_results_are_shown_on_one_line() -> None:
    for value in shown():
        text = repr(value)
        assert "\n" not in text, type(value)
        assert len(text) < 400, type(value)
        assert text.startswith(type(value).__name__), text
        assert "0., 0." not in text, text


@pytest.mark.parametrize("way", ["run", "log"])
def test_a_notebook_shows_a_table(way: str) -> None:
    net = ns.Network.mlp([3, 2, 2], seed=0)
    sim = ns.Simulation(net, ns.Flow.adjoint(), backend="numpy")
    result: Any
    if way == "run":
        result = sim.relax(X[:4, :3], Y[:4], duration=0.02, record=("x", "w"))
        assert "x, w at 20 times" in result._repr_html_()
    else:
        result = sim.train(X[:4, :3], Y[:4], ns.Simultaneous(duration=0.02, reports=2))
        assert "accuracy" in result._repr_html_()
    html = result._repr_html_()
    assert "3-2-2" in html
    assert html.count("<table") == (1 if way == "run" else 2)


def test_a_notebook_shows_the_parts_of_a_network() -> None:
    html = ns.Network.mlp([3, 2, 2], seed=0)._repr_html_()
    assert "3-2-2" in html
    assert "<td>hidden1</td><td style='text-align: left'>2 units, tanh</td>" in html
    assert "input-&gt;hidden1" in html


@pytest.mark.parametrize("recorded", [(), ("x", "lam")])
def test_a_run_is_a_table_for_pandas(recorded: Any) -> None:
    net = ns.Network.mlp([3, 2, 2], seed=0)
    sim = ns.Simulation(net, ns.Flow.adjoint(), backend="numpy")
    run = sim.relax(X[:4, :3], Y[:4], duration=0.02, record=recorded)
    table = run.to_dataframe()
    if not recorded:
        row = table[(table.population == "output") & (table.pattern == 2) & (table.unit == 1)]
        assert row.lam.item() == run.lam["output"][2, 1]
        assert len(table) == 4 * 4
    else:
        assert len(table) == 20 * 4 * 4
        assert {"x", "lam"} <= set(table.columns)


def test_text_in_a_table_is_escaped() -> None:
    assert "<script>" not in html_table("<script>", {"<script>": "<script>"})
