"""Find the values of a presentation that reach its weights, and from which step on.

Explicit Euler with h gamma/tau = 1 and kappa = 0 makes each output and each multiplier a function
of the messages alone: x = sigma(a) and lam = feedback - dV/dx - rho g. Such a population is
*direct*. Its old values are not read, so a value that no later message carries to a plastic step
need not be computed. With plasticity in the last of 2L + 1 steps, one product forward and one back
are left of each projection, as in backpropagation. Below both backends. Start at `live_phases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.engine.plan import Plan
from neurosim.engine.plasticity import SynapseRule
from neurosim.model.expressions import LIN
from neurosim.model.methods import EXPONENTIAL_EULER, ONE_EVALUATION, SEMI_IMPLICIT

Array = np.ndarray
# What a step computes of a population: its messages, then its state
VALUES = ("a", "delta", "feedback", "x", "lam")
MESSAGES = ("x", "delta", "weighted_delta")  # that the built-in rule reads


@dataclass(frozen=True)
class Live:
    """The steps of a presentation that compute each value.

    Attributes
    ----------
    direct : array of int, (neurons,)
        1 for populations whose states do not depend on their old values, else 0.
    first : array of int, (neurons, values)
        First step of a presentation at which each of `VALUES` is computed.
    until : int
        Step of a presentation at which feedback, x and lam are read no more, unless the state at
        the end of the presentation is.
    """

    direct: Array
    first: Array
    until: int


def tracks(plan: Plan) -> bool:
    """Return whether values are computed again only where what they follow from has changed."""
    return plan.shortcuts and not untracked(plan)


def untracked(plan: Plan) -> list[str]:
    """Return what a plan has that is not tracked, in words."""
    free = any(plan.net.populations[name].free for name in plan.net.neurons)
    found = {
        f"method {plan.method}": plan.method not in ONE_EVALUATION,
        "events": plan.event_sources,
        "imperfections": plan.imperfections,
        "extensions": plan.extensions,
        "several parameter points": plan.points or plan.weight_sets > 1,
        "populations without a constraint": free,
        "patterns that settle one by one": plan.settles_each,
    }
    return [name for name, is_there in found.items() if is_there]


def in_words(plan: Plan, direct: Array) -> str:
    """Return which work a run leaves out, and what keeps it from leaving out more.

    Parameters
    ----------
    plan : Plan
    direct : array of int, (neurons,)
        As `direct_populations` returns it.
    """
    if not plan.shortcuts:
        return "none: switched off, or user-supplied objects may read anything"
    if not tracks(plan):
        more = ", ".join(untracked(plan))
        return f"products of inputs that stand still are kept; no more with {more}"
    kept = "what has not changed is kept"
    if reads_weights_only(plan) and direct.any():
        return f"{kept}; what no plastic step reads is left out"
    return kept


def may_be_direct(plan: Plan, population: str) -> bool:
    """Return whether gains and steps exist with which no state depends on its old value."""
    own = plan.net.populations[population]
    plain = own.constraint == LIN and not own.activity_l1
    return plain and plan.method != EXPONENTIAL_EULER and tracks(plan)


def reads_weights_only(plan: Plan) -> bool:
    """Return whether nothing but plasticity reads states between the first and the last step."""
    own_rules = any(not _reads_messages_only(rule) for rule in plan.rules.values())
    read = plan.recorded or plan.settles or own_rules
    return plan.presentation and not read and tracks(plan)


def _reads_messages_only(rule: SynapseRule) -> bool:
    """Return whether a user-written rule reads delta and x alone, and rests while the gate does."""
    ends = [*(found.post for found in rule.sums), *(found.pre for found in rule.sums)]
    read = [end for end in ends if end is not None]
    messages = all(not end.expression and end.array in MESSAGES for end in read)
    open_steps = rule.steps(gate_is_open=True)
    separates = all(step.direct is None for step in open_steps)
    return messages and separates and not rule.steps(gate_is_open=False)


def direct_populations(plan: Plan, values: Mapping[tuple[str, str], Any]) -> Array:
    """Return 1 for each population whose states do not depend on their old values, else 0.

    Parameters
    ----------
    plan : Plan
    values : dict of (population, variable) to float
        Gains and time constants, s.
    """
    found = np.zeros(len(plan.net.neurons), np.int64)
    for number, name in enumerate(plan.net.neurons):
        if not may_be_direct(plan, name) or values[name, "kappa"] != 0:
            continue
        reach = plan.dt * values[name, "gamma"]
        found[number] = reach == values[name, "tau_x"] and reach == values[name, "tau_lam"]
    return found


def live_phases(plan: Plan, direct: Array, gate: int, length: int) -> Live:
    """Return what the steps of a presentation must compute so that its plastic steps are right.

    Parameters
    ----------
    plan : Plan
    direct : array of int, (neurons,)
        As `direct_populations` returns it.
    gate, length : int
        First plastic step of a presentation, and the number of its steps.
    """
    everything = Live(direct, np.zeros((len(direct), len(VALUES)), np.int64), length)
    if gate >= length or not direct.any() or not reads_weights_only(plan):
        return everything
    # a run may end with any presentation; then the states at its end are read as well
    last = _Reader(plan, direct.astype(bool), gate, length)
    last.states[:, :, -1] = True
    last.read_until_nothing_changes()
    # a state that is read at a step is made by the step before
    live = np.concatenate([last.messages, last.states[:, :, 1:]], axis=1)
    first = np.where(live.any(axis=2), live.argmax(axis=2), length)
    other = _Reader(plan, direct.astype(bool), gate, length)
    other.read_until_nothing_changes()
    until = length if other.states[:, :, -1].any() else length - 1
    return Live(direct, first, until)


class _Reader:
    """Mark what is read, from the last step of a presentation to its first.

    A state belongs to the step that reads it, a message to the step that sends it. What the next
    presentation reads of its first state is read at the end of this one.
    """

    def __init__(self, plan: Plan, direct: Array, gate: int, length: int) -> None:
        net = plan.net
        numbers = {name: number for number, name in enumerate(net.neurons)}
        self.pre: list[list[int]] = []
        self.post: list[list[int]] = []
        for name in net.neurons:
            incoming = [q.pre for q in net.incoming(name)]
            outgoing = [q.post for q in net.outgoing(name)]
            self.pre.append([numbers[n] for n in incoming if n in numbers])
            self.post.append([numbers[n] for n in outgoing])
        self.alternates = plan.method == SEMI_IMPLICIT
        self.direct, self.gate, self.length = direct, gate, length
        self.messages = np.zeros((len(direct), 3, length), bool)
        self.states = np.zeros((len(direct), 2, length + 1), bool)  # x, lam

    def read_until_nothing_changes(self) -> None:
        """Go through the presentation until its end agrees with its beginning."""
        known = -1
        while known != np.count_nonzero(self.states):
            known = int(np.count_nonzero(self.states))
            self.states[:, :, -1] |= self.states[:, :, 0]
            for step in reversed(range(self.length)):
                self._read_step(step)

    def _read_step(self, step: int) -> None:
        """Mark what one step reads, given what is read of its results."""
        x_next, lam_next = self.states[:, 0, step + 1], self.states[:, 1, step + 1]
        if self.alternates:  # multipliers read the net inputs of the new outputs
            for n in np.flatnonzero(lam_next):
                x_next[[n, *self.pre[n]]] = True
        net_input, delta, feedback = self.messages[:, :, step].T
        own = ~self.direct & (x_next | lam_next)  # what follows from all own values
        feedback |= lam_next | own
        delta |= step >= self.gate
        for n in np.flatnonzero(feedback):
            delta[self.post[n]] = True
        net_input |= x_next | lam_next | delta
        x, lam = self.states[:, 0, step], self.states[:, 1, step]
        lam |= delta | own
        x |= delta | own | (step >= self.gate)
        if not self.alternates:
            x |= lam_next
        for n in np.flatnonzero(net_input):
            x[self.pre[n]] = True
