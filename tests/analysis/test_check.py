"""The check of a model passes on every flow and fails on planted errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosim import reference
from neurosim.analysis.check import check
from neurosim.analysis.rest import REST, frozen, settle, speed
from neurosim.errors import ConvergenceError, StabilityWarning
from neurosim.experiments import modelfile
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Loss, Population, Projection
from neurosim.model.schedules import Presentations, Simultaneous
from neurosim.reference import ode
from neurosim.simulation.simulation import Simulation
from tests.helpers.problems import random_problem

FLOWS = {
    "augmented": Flow.augmented(),
    "rho and tau_lam": Flow.augmented(rho=4),
    "damped": Flow.damped(),
    "rotated": Flow.rotated(1.2, rho=0.5),
    "adjoint": Flow.adjoint(),
    "own times": Flow(kappa=0.5, gamma=0.5, rho=1, tau_x={"hidden1": 5e-3}, tau_lam=20e-3),
}


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_every_flow_passes(flow: Flow, loss: str) -> None:
    net, X, Y = random_problem([5, 4, 3], seed=2, patterns=3, loss=loss)
    report = check(net, flow, X, Y, dt=1e-3, backend="numpy")
    assert report.passed, report
    assert [row.passed for row in report.rows] == [True] * 7


@pytest.mark.parametrize("method", ["euler", pytest.param("semi_implicit", marks=pytest.mark.slow)])
def test_methods(method: str) -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)
    assert check(net, Flow.augmented(), X, Y, method=method, backend="numpy").passed


def test_a_sparse_cycle_with_an_inner_loss_passes() -> None:
    rng = np.random.default_rng(1)
    net = Network(
        [
            Population("input", 3, clamped=True),
            Population("a", 4),
            Population("b", 4),
            Population("out", 2, "linear"),
        ],
        [
            Projection("input", "a"),
            Projection("a", "b", gain=0.4, mask=rng.random((4, 4)) < 0.6, l2=0.1),
            Projection("b", "a", gain=0.4),
            Projection("b", "out"),
        ],
        [Loss("out"), Loss("a", weight=0.3)],
    )
    X = rng.normal(size=(4, 3))
    Y = {"out": rng.normal(size=(4, 2)), "a": rng.normal(size=(4, 4))}
    assert check(net, Flow.augmented(rho=2), X, Y, backend="numpy").passed


def test_the_network_is_left_as_it_was() -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)
    before = net.copy()
    check(net, Flow.adjoint(), X, Y, backend="numpy")
    for name, w in before.weights.items():
        np.testing.assert_array_equal(net.weights[name], w)


@pytest.mark.parametrize(
    ("gain", "failing"),
    [
        ("rho", ["a step at a random state", "trajectory"]),
        ("kappa", ["a step at a random state", "trajectory"]),
    ],
)
def test_a_planted_gain_is_seen(
    gain: str, failing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reference of another flow: at rest g = 0, so it is not seen there."""
    true_rates = ode.rates_at

    def wrong(net: Network, flow: Flow, *rest: Any, **keys: Any) -> Any:
        return true_rates(net, replace(flow, **{gain: getattr(flow, gain) + 0.1}), *rest, **keys)

    monkeypatch.setattr(ode, "rates_at", wrong)
    net, X, Y = random_problem([4, 3, 2], seed=0)
    report = check(net, Flow.augmented(), X, Y, backend="numpy")
    assert not report.passed
    failed = [row.name for row in report.rows if row.passed is False]
    assert all(any(name.startswith(words) for name in failed) for words in failing), failed
    assert not any("at rest" in name for name in failed)


def test_a_planted_gradient_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)
    truth = reference.backprop

    def wrong(*args: Any, **ways: Any) -> reference.Adjoint:
        found = truth(*args, **ways)
        return replace(found, grad_w={n: w * 1.0001 for n, w in found.grad_w.items()})

    monkeypatch.setattr(reference, "backprop", wrong)
    report = check(net, Flow.adjoint(), X, Y, backend="numpy")
    assert [row.name for row in report.rows if row.passed is False] == [
        "backpropagation against central differences"
    ]


def test_planted_multipliers_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)
    truth = reference.backprop

    def wrong(*args: Any, **ways: Any) -> reference.Adjoint:
        found = truth(*args, **ways)
        return replace(found, lam={n: lam + 1e-5 for n, lam in found.lam.items()})

    monkeypatch.setattr(reference, "backprop", wrong)
    failed = [
        row.name
        for row in check(net, Flow.adjoint(), X, Y, backend="numpy").rows
        if row.passed is False
    ]
    assert failed == [
        "lam at rest against backpropagation",
        "movement away from backpropagation's own x and lam",
    ]


def test_a_flow_that_never_rests_is_not_judged_there() -> None:
    """Undamped: linear units whose loss is flat in most directions."""
    net, X, Y = random_problem([6, 5, 2], seed=0, activation="linear")
    with pytest.warns(StabilityWarning):
        report = check(net, Flow.arrow_hurwicz(), X, Y, dt=1e-5, backend="numpy")
    assert report.rows[0].passed is None
    assert "still moves" in str(report.rows[0].value)
    assert all(row.passed for row in report.rows[1:]), report
    assert report.passed


def test_a_step_that_diverges_fails() -> None:
    net, X, Y = random_problem([6, 5, 2], seed=0)
    with pytest.warns(StabilityWarning):
        report = check(net, Flow.augmented(), X, Y, dt=50e-3, backend="numpy")
    assert not report.passed
    assert "diverges at" in str(report.rows[0].value)


def test_a_cycle_that_does_not_contract_is_refused() -> None:
    net = Network(
        [Population("input", 2, clamped=True), Population("a", 3)],
        [Projection("input", "a"), Projection("a", "a", weights=5 * np.eye(3))],
        [Loss("a")],
    )
    with pytest.raises(ConvergenceError):
        check(net, Flow.augmented(), np.ones((1, 2)), np.ones((1, 3)), backend="numpy")


def test_settle_ends_at_rest_or_at_its_bound() -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)
    simulation = Simulation(net, Flow.augmented(), dt=2e-3, backend="numpy")
    settled = settle(simulation, X, Y)
    assert settled.rests
    assert speed(settled.run) == settled.speed <= REST
    short = settle(simulation, X, Y, most_steps=300)
    assert not short.rests
    assert short.time == pytest.approx(300 * 2e-3)


@pytest.mark.parametrize(
    "schedule",
    [Simultaneous(duration=0.2), Presentations(batch=3, present=0.05, epochs=2)],
    ids=["simultaneous", "presentations"],
)
def test_frozen_compares_trained_weights(schedule: Any) -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0, patterns=6)
    simulation = Simulation(net, Flow.adjoint(), dt=2e-3, backend="numpy")
    log = simulation.train(X, Y["output"], schedule)
    settled = frozen(simulation, log.run, 2)
    assert settled.rests
    assert len(settled.run.lam["output"]) == 2
    truth = reference.backprop(net, settled.run.X, settled.run.Y)
    for name, lam in truth.lam.items():
        np.testing.assert_allclose(settled.run.lam[name], lam, atol=1e-7)


def test_the_table_shows_every_row(tmp_path: Path) -> None:
    from rich.console import Console

    model = modelfile.load("xor")
    data = model.data()
    report = check(model.network(), model.flow(), data.X, data.Y, dt=1e-3, backend="numpy")
    console = Console(file=(tmp_path / "table.txt").open("w"), width=200)
    console.print(report.table())
    console.file.close()
    text = (tmp_path / "table.txt").read_text()
    assert text.count("passed") == len(report.rows)
    assert all(row.name in text for row in report.rows)


def test_outputs_without_constraint_are_checked_by_what_drives_them() -> None:
    net = Network.mlp([3, 4, 2], "sigmoid", free_output=True, seed=1)
    X, Y = np.random.default_rng(0).normal(size=(3, 3)), [0, 1, 1]
    report = check(net, Flow.augmented(2), X, Y, dt=1e-3)
    assert report.passed, report
