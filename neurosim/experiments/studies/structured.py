"""Train a network with sites by a flow, for studies of convolution, time and graphs.

Below `convolution`, `recurrence` and `graphs`. Start at `trained`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import StabilityWarning
from neurosim.experiments.studies.shared import FLOWS, TAU
from neurosim.model.network import Network
from neurosim.model.schedules import Presentations
from neurosim.results.metrics import angle
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
EXACT = "adjoint, last step"  # weights move in the step at which adjoint is backpropagation
PACES = {
    EXACT: "adjoint",
    "adjoint": "adjoint",
    "rotated(75°)": "rotated(75°)",
    "damped": "damped",
}


@dataclass(frozen=True)
class Course:
    """How a network is trained.

    Attributes
    ----------
    flow : str
        One of `PACES`.
    path : int
        Projections on the longest path from an input to a loss.
    rate : float
        dt/tau_w: the step of a rule, in each step in which weights move.
    batch, epochs, seed : int
    """

    flow: str
    path: int
    rate: float
    batch: int
    epochs: int
    seed: int


def trained(net: Network, X: Array, Y: Array, course: Course) -> Simulation:
    """Train a network in place, and return its simulation.

    With `EXACT` a presentation has 2 path + 1 steps of dt = tau, and weights move in the last one,
    by exactly backpropagation's gradient. Other flows take steps of 0.2 tau through twice as much
    time, and weights move in the second half.
    """
    exact = course.flow == EXACT
    dt = TAU if exact else 0.2 * TAU
    steps = 2 * course.path + 1
    if not exact:
        steps = 10 * steps
    plastic_steps = 1 if exact else steps // 2
    flow = FLOWS[PACES[course.flow]](tau_x=TAU, tau_w=dt / course.rate)
    sim = Simulation(net, flow, dt=dt, seed=course.seed)
    schedule = Presentations(
        batch=course.batch,
        present=steps * dt,
        plastic_from=1 - plastic_steps / steps,
        epochs=course.epochs,
    )
    with warnings.catch_warnings():
        # the accuracy shows whether the step is stable
        warnings.simplefilter("ignore", StabilityWarning)
        sim.train(X, Y, schedule)
    return sim


def accuracy(net: Network, X: Array, Y: Array) -> float:
    """Return the share of labels that the output's largest feature gives, -1 left out."""
    from neurosim import reference

    n = net.output
    x = reference.forward(net, X)[n]
    features = net.populations[n].features
    found = x.reshape(len(x), -1, features).argmax(axis=-1)
    labels = np.asarray(Y).reshape(len(x), -1)
    known = labels >= 0
    return float((found == labels)[known].mean())


def angle_to_backpropagation(net: Network, X: Array, Y: Array) -> float:
    """Return the largest angle over hidden populations of lam at rest to backpropagation's, °."""
    from neurosim import reference

    flowing = reference.multipliers(net, X, Y, through="feedback")
    exact = reference.multipliers(net, X, Y, through="weights")
    hidden = [n for n in net.neurons if net.outgoing(n)]
    return max(angle(flowing[n], exact[n]) for n in hidden)


def draw_groups(ax: Any, values: xr.DataArray, group: str, along: str) -> None:
    """Draw mean and spread over the seeds along one label, a colour per value of another."""
    from neurosim.plot import PALETTE

    names = [str(name) for name in values[along].values]
    groups = values[group].values
    for number, own in enumerate(groups):
        shown = values.sel({group: own})
        places = np.arange(len(names)) + 0.16 * (number - (len(groups) - 1) / 2)
        ax.errorbar(
            places,
            shown.mean("seed"),
            shown.std("seed"),
            fmt="osD^v"[number % 5],
            color=PALETTE[number % len(PALETTE)],
            markersize=4,
            capsize=2,
            linewidth=1,
            label=str(own).replace("_", "-"),
        )
    ax.set_xticks(range(len(names)), [name.replace("_", "-") for name in names])
    ax.set_xlim(-0.6, len(names) - 0.4)
