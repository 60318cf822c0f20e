"""Steps of direct populations: what nothing reads, or has not changed, is not computed.

The rules are those of ns_versions.h. Above `messages` and the steppers, below `step`. Start at
`Tracker`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.engine.liveness import VALUES
from neurosim.engine.runtime.arrays import Action, each, live
from neurosim.engine.runtime.messages import Messages
from neurosim.engine.runtime.projections import Bias, Product
from neurosim.engine.runtime.updates import Actions

Array = np.ndarray


@dataclass
class Versions:
    """The values of one population: their versions, and what they were last computed from.

    Attributes
    ----------
    direct : bool
        Whether the states do not depend on their old values.
    first : dict of str to int
        First step of a presentation at which each value is computed.
    pre, post : list of Versions
        The populations at the other ends of its projections; inputs are left out.
    present, sources : dict of str to int
        Version of each value; sum of the versions that it was last computed from.
    """

    direct: bool
    first: dict[str, int]
    pre: list[Versions] = field(default_factory=list)
    post: list[Versions] = field(default_factory=list)
    present: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VALUES, 1))
    sources: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VALUES, 0))


class Tracker:
    """Decide for each value whether a step must compute it.

    Parameters
    ----------
    groups : Groups
    numbers : dict of str to array
        Counters and settings of the run, with those of `liveness`.

    Attributes
    ----------
    weights, data : int
        Versions of all weights and biases, and of what is clamped.
    phase : int
        Step of the presentation.
    skips_before, skips_after : bool
        Whether this presentation leaves out values before their first step, and states after the
        last plastic step.
    """

    def __init__(self, groups: Groups, numbers: Mapping[str, Array]) -> None:
        net = groups.plan.net
        self.weights = self.data = 1
        self.phase = 0
        self.skips_before = self.skips_after = False
        self.until = int(numbers["live_until"][0])
        self.populations: dict[str, Versions] = {}
        for number, name in enumerate(net.neurons):
            first = {value: int(numbers[f"{value}_from"][number]) for value in VALUES}
            self.populations[name] = Versions(bool(numbers["direct"][number]), first)
        for q in net.projections.values():
            if not net.populations[q.pre].clamped:
                self.populations[q.post].pre.append(self.populations[q.pre])
                self.populations[q.pre].post.append(self.populations[q.post])

    def begin(self, is_whole: bool, is_last: bool) -> None:
        """Begin a presentation; it skips nothing unless the segment contains all its steps.

        After the last presentation of a segment the states are read.
        """
        self.data += 1
        self.skips_before = is_whole
        self.skips_after = is_whole and not is_last

    def net_input_is_due(self, p: Versions) -> bool:
        """Return whether a net input must be computed; it then has a new version."""
        sources = self.weights + self.data + sum(other.present["x"] for other in p.pre)
        return self._is_due(p, "a", sources)

    def delta_is_due(self, p: Versions) -> bool:
        """Return whether delta must be computed."""
        own = p.present
        return self._is_due(p, "delta", own["a"] + own["x"] + own["lam"])

    def feedback_is_due(self, p: Versions) -> bool:
        """Return whether a sum of messages sent back must be computed."""
        sources = self.weights + sum(other.present["delta"] for other in p.post)
        return not self.is_over and self._is_due(p, "feedback", sources)

    def multipliers_are_due(self, p: Versions) -> bool:
        """Return whether the multipliers must move."""
        own = p.present
        sources = self.data + own["a"] + own["feedback"] + own["x"]
        return not self.is_over and self._is_due(p, "lam", sources)

    def outputs_are_due(self, p: Versions) -> bool:
        """Return whether the outputs must move."""
        return not self.is_over and self._is_due(p, "x", p.present["a"])

    @property
    def is_over(self) -> bool:
        """Whether nothing reads the states that this step makes."""
        return self.skips_after and self.phase >= self.until

    def _is_due(self, p: Versions, value: str, sources: int) -> bool:
        if self.skips_before and self.phase < p.first[value]:
            return False
        if p.sources[value] == sources:
            return False
        p.sources[value] = sources
        p.present[value] += 1
        return True


class TrackedMessages(Messages):
    """Messages of a segment with direct populations."""

    def __init__(
        self, groups: Groups, actions: Actions, products: Mapping[str, Product], tracker: Tracker
    ) -> None:
        super().__init__(groups, actions, products)
        self.tracker = tracker
        own = tracker.populations
        self._inputs = list(zip(own.values(), self._all_inputs, strict=True))
        self._deltas = [(own[name], found) for name, found in actions.late.items() if name in own]
        senders = [name for name in own if groups.plan.net.outgoing(name)]
        self._returns = []
        for name, (_, action) in zip(senders, self._feedback, strict=True):
            self._returns.append((own[name], action))

    def send(self) -> None:
        """Send the messages of the current state that are due, forward and then back."""
        self.forward()
        for p, actions in self._deltas:
            if self.tracker.delta_is_due(p):
                each(actions)
        for p, action in self._returns:
            if self.tracker.feedback_is_due(p):
                action()
        for action in self._weighted:
            action()

    def forward(self) -> None:
        """Compute the net inputs that are due, their early messages, and the sums of losses."""
        for product in self.kept:
            product.refresh()
        for p, action in self._inputs:
            if self.tracker.net_input_is_due(p):
                action()
        self._normalise()

    def forward_again(self) -> None:
        """Do the same for multipliers that move afterwards, unless nothing reads them."""
        if not self.tracker.is_over:
            self.forward()


class Direct:
    """Euler steps in which direct populations forget their states, then take them from messages.

    So a state follows from the messages without rounding, and repeats bit for bit. All others move
    at every step. With `alternates` the multipliers move by the violation of the new outputs.
    """

    def __init__(
        self,
        groups: Groups,
        actions: Actions,
        messages: TrackedMessages,
        biases: Sequence[Bias],
        alternates: bool,
    ) -> None:
        self.messages = messages
        self.tracker = messages.tracker
        self.alternates = alternates
        self.learn = [product.learn for product in messages.products]
        self.learn += [bias.learn for bias in biases]
        self.populations = []
        for name, p in self.tracker.populations.items():
            x, lam = (live(groups.populations[name], variable) for variable in ("x", "lam"))
            self.populations.append((p, x, lam, _Steps(actions, name)))

    def step(self, learning: bool) -> None:
        """Move the weights where they learn, then the state."""
        if learning:
            self.tracker.weights += 1
            each(self.learn)
        if self.alternates:
            self._move_outputs()
            self.messages.forward_again()
            self._move_multipliers()
        else:
            self._move_multipliers()  # they read the old outputs
            self._move_outputs()

    def _move_outputs(self) -> None:
        for p, x, _, steps in self.populations:
            if not p.direct:
                each(steps.update)
                p.present["x"] += 1
                p.present["lam"] += not self.alternates
            elif self.tracker.outputs_are_due(p):
                x[:] = 0
                each(steps.x)

    def _move_multipliers(self) -> None:
        for p, _, lam, steps in self.populations:
            if not p.direct:
                each(steps.multipliers)
                p.present["lam"] += self.alternates
            elif self.tracker.multipliers_are_due(p):
                lam[:] = 0
                each(steps.lam)


class _Steps:
    """The steps of one population: of both states, of each alone, of multipliers afterwards."""

    def __init__(self, actions: Actions, name: str) -> None:
        self.update: list[Action] = actions.update.get(name, [])
        self.multipliers: list[Action] = actions.multipliers.get(name, [])
        self.x: list[Action] = actions.alone.get((name, "x"), [])
        self.lam: list[Action] = actions.alone.get((name, "lam"), [])
