"""Train a network with sites by a flow or by backpropagation, for studies of what shares weights.

Below `convolution`, `recurrence` and `graphs`. Start at `trained`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, ValidationInfo

from neurosim.data.patterns import patterns, targets
from neurosim.errors import StabilityWarning, unknown
from neurosim.experiments.studies.shared import BACKPROP, FLOWS, TAU
from neurosim.model import rules
from neurosim.model.network import Network
from neurosim.model.populations import Population
from neurosim.model.schedules import Presentations, StepSchedule
from neurosim.reference.backpropagation import backprop_encoded, strong_components
from neurosim.reference.descent import Adam, moving_arrays
from neurosim.reference.functions import rows_of
from neurosim.results.metrics import angle
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
EXACT = "adjoint, last step"  # weights move in the step at which adjoint is backpropagation
ADAM = "adam"
DESCENTS = ("gradient", ADAM)  # rules that backpropagation has too


@dataclass(frozen=True)
class Pace:
    """How a flow is stepped while a batch is shown.

    Attributes
    ----------
    flow : str
        A key of `FLOWS`.
    step : float
        dt/tau.
    shown : float
        Time for which a batch is shown, in tau, for each of the 2 path + 1 steps that `adjoint`
        needs with dt = tau.
    last : bool
        Whether weights move in the last step alone, and not through the second half.
    """

    flow: str
    step: float
    shown: float
    last: bool


PACES = {
    EXACT: Pace("adjoint", 1.0, 1.0, last=True),
    "rotated(89°), last step": Pace("rotated(89°)", 0.5, 2.0, last=True),
    "adjoint": Pace("adjoint", 0.2, 2.0, last=False),
    "rotated(75°)": Pace("rotated(75°)", 0.2, 2.0, last=False),
    "damped": Pace("damped", 0.2, 2.0, last=False),
}
WAYS = (*PACES, BACKPROP)


def _known_rule(value: str, info: ValidationInfo) -> str:
    rules.rule_of(f"study.{info.field_name}", value)
    return value


def _known_activation(value: str, info: ValidationInfo) -> str:
    Population(str(info.field_name), 1, value)
    return value


# types of settings
Rule = Annotated[str, AfterValidator(_known_rule)]
Activation = Annotated[str, AfterValidator(_known_activation)]


@dataclass(frozen=True)
class Course:
    """How a network is trained.

    Attributes
    ----------
    flow : str
        One of `WAYS`.
    path : int
        Projections on the longest path from an input to a loss.
    rate : float
        dt/tau_w: the step of a rule, in each step in which weights move.
    batch, epochs, seed : int
    rule : str
        Rule of learning of the network; one of `DESCENTS` with backpropagation.
    """

    flow: str
    path: int
    rate: float
    batch: int
    epochs: int
    seed: int
    rule: str


def trained(net: Network, X: Array, Y: Array, course: Course) -> None:
    """Train a network in place, by a flow or by backpropagation on the same batches.

    With `EXACT` a presentation has 2 path + 1 steps of dt = tau, and weights move in the last one,
    by exactly backpropagation's gradient.
    """
    if course.flow == BACKPROP:
        descend(net, X, Y, course)
        return
    pace = PACES[course.flow]
    dt = pace.step * TAU
    steps = round(pace.shown * (2 * course.path + 1) / pace.step)
    plastic_steps = 1 if pace.last else steps // 2
    flow = FLOWS[pace.flow](tau_x=TAU, tau_w=dt / course.rate)
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


def descend(net: Network, X: Array, Y: Array, course: Course) -> None:
    """Train a network in place by backpropagation, on the batches that a flow would be shown."""
    clamped = patterns(net, X)
    encoded = targets(net, Y, len(X))
    schedule = Presentations(batch=course.batch, present=TAU, epochs=course.epochs)
    plan = StepSchedule.of(schedule, TAU, len(X), course.seed)
    components = strong_components(net)
    moving = moving_arrays(net, net.weights, net.biases)
    adam = Adam(moving, course.rate) if course.rule == ADAM else None
    for epoch in range(course.epochs):
        order = plan.order(epoch)
        for first in range(0, len(order), course.batch):
            rows = order[first : first + course.batch]
            found = backprop_encoded(
                net, components, rows_of(clamped, rows), rows_of(encoded, rows)
            )
            gradients = moving_arrays(net, found.grad_w, found.grad_b)
            if adam is not None:
                adam(gradients)
                continue
            for z, gradient in zip(moving, gradients, strict=True):
                z -= course.rate * gradient


def check_rule(rule: str, flows: Sequence[str]) -> None:
    """Refuse backpropagation with a rule that only flows have.

    Raises
    ------
    ModelError
        Another rule than those of `DESCENTS`.
    """
    if BACKPROP in flows and rule not in DESCENTS:
        raise unknown(f"study.rule with {BACKPROP!r} among study.flows", rule, DESCENTS)


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
