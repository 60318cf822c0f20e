"""An argument that would be ignored is refused, with the argument that it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from brian2 import mV

import neurosim as ns
from neurosim.experiments.modelfile import load
from tests.helpers.problems import random_problem

NET, X, Y = random_problem([4, 3, 2], seed=0)
SIM = ns.Simulation(NET, ns.Flow.damped())


def relax(**options: Any) -> ns.Run:
    return SIM.relax(X, Y, duration=0.002, **options)


IGNORED: dict[str, tuple[Callable[[], Any], str]] = {
    "every": (lambda: relax(every=0.001), "every = 0.001, but nothing is recorded"),
    "patterns": (lambda: relax(patterns=[0]), "but nothing is recorded"),
    "units": (lambda: relax(units={"hidden1": [0]}), "but nothing is recorded"),
    "every, adaptive": (lambda: relax(every=0.001, adaptive=True), "but nothing is recorded"),
    "every of a stream": (
        lambda: SIM.stream(X, Y, per_frame=0.002, every=0.001),
        "but nothing is recorded",
    ),
    "tolerance": (lambda: relax(tolerance=1e-3), "with fixed steps, .*try adaptive=True"),
    "adaptive": (lambda: relax(adaptive="no"), "adaptive = 'no'; allowed: True or False"),
    "progress": (lambda: relax(progress="no"), "progress = 'no'; allowed: True or False"),
    "plastic": (
        lambda: SIM.stream(X, Y, per_frame=0.002, plastic="no"),
        "plastic = 'no'; allowed: True or False",
    ),
    "start": (
        lambda: SIM.train(
            X, Y, ns.Simultaneous(duration=0.002), start="forward", resume="missing.npz"
        ),
        "start beside resume",
    ),
    "Y of no loss": (lambda: ns.reference.backprop(NET, X, Y | {"hidden1": X[:, :3]}), "hidden1"),
    "rho in units": (lambda: ns.Flow(rho=2 * mV), "flow.rho = .*finite number >= 0"),
    "rho as text": (lambda: ns.Flow(rho="1"), "flow.rho = '1'; allowed: a finite number >= 0"),
    "kappa as truth": (lambda: ns.Flow(kappa=True), "flow.kappa = True"),
    "NumPy's time": (lambda: ns.Flow(tau_x=np.timedelta64(5, "ms")), "flow.tau_x = .*a time"),
    "tolerance of a loss": (
        lambda: ns.Network.mlp([4, 3, 2], loss="mse", loss_epsilon=0.1),
        "loss_epsilon of output = 0.1; allowed: 0 with 'mse'",
    ),
    "epsilon of no constraint": (
        lambda: ns.Network.mlp([4, 3, 2], constraint={"hidden1": "lin"}, epsilon=0.1),
        "epsilon = 0.1; allowed: 0 where no constraint has a tolerance",
    ),
    "constraint of a free output": (
        lambda: ns.Network.mlp([4, 3, 2], constraint={"output": "abs"}, free_output=True),
        "constraint of output = 'abs' with free_output=True",
    ),
    "free_output": (lambda: ns.Network.mlp([4, 2], free_output="no"), "free_output = 'no'"),
    "penalty of no layer": (
        lambda: ns.Network.mlp([4, 2], activity_l1=0.1),
        "activity_l1 = 0.1; allowed: 0 where no layer is hidden",
    ),
    "feedback to nobody": (
        lambda: ns.Network.mlp([4, 2], feedback="random"),
        "feedback = 'random'; allowed: 'symmetric' where no projection is between neurons",
    ),
    "size of a given B": (
        lambda: ns.Projection(
            "a", "b", feedback="random", feedback_size=2.0, feedback_weights=np.eye(2)
        ),
        "feedback_size of a->b = 2.0 with feedback = 'random' and feedback_weights",
    ),
    "units of a parameter": (
        lambda: ns.Simulation(
            NET,
            ns.Flow.damped(),
            extensions=ns.Extension("hidden1", equations="t0 : second", parameters={"t0": 3 * mV}),
        ).relax(X, Y, duration=0.002),
        "t0 of hidden1 = .*allowed: a value in units of s",
    ),
    "shape of a parameter": (
        lambda: ns.Simulation(
            NET,
            ns.Flow.damped(),
            extensions=ns.Extension(
                "hidden1", equations="c : 1", parameters={"c": np.ones((3, len(X)))}
            ),
        ).relax(X, Y, duration=0.002),
        r"c of hidden1 has shape \(3, 5\); allowed: one number, or numbers of shape .*\(5, 3\)",
    ),
}


@pytest.mark.parametrize("what", IGNORED)
def test_an_argument_without_effect_is_refused(what: str) -> None:
    attempt, message = IGNORED[what]
    with pytest.raises((ns.ModelError, ns.DataError), match=message):
        attempt()


def test_options_of_a_recording_that_a_model_file_switches_off_are_left_out() -> None:
    spec = load("xor", overrides=["simulation.every='2 ms'", "simulation.record=[]"])
    data = spec.data()
    spec = spec.changed({"simulation.duration": "10 ms", "simulation.adaptive": False})
    run = spec.relax(spec.simulation(), data)
    assert run.traces is None


def test_older_files_may_hold_a_tolerance_that_their_loss_does_not_read() -> None:
    described = NET.describe()
    described["losses"][0]["epsilon"] = 0.5
    again = ns.Network.from_description(described, NET.weights, NET.biases)
    assert again.losses == NET.losses
