"""Messages of a step: sent by units, delayed on the way, and summed by their receivers.

Above `projections` and `updates`, below the steppers. Start at `Messages`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.engine.runtime.arrays import Action, each, live, rows_of, units
from neurosim.engine.runtime.projections import STALE, DenseProduct, Product
from neurosim.engine.runtime.updates import Actions
from neurosim.model.equations.events import EventSource
from neurosim.model.transport import BACKWARD, FORWARD, Spikes

Array = np.ndarray


class DelayLine:
    """Delay messages of one population in one direction by a fixed number of steps.

    Parameters
    ----------
    group : NeuronGroup
    name : str
        Suffix of the arrays: values sent, values received, and a ring buffer of values on the way.
    """

    def __init__(self, group: Any, name: str) -> None:
        self.sent = live(group, f"sent_{name}")
        self.received = live(group, f"received_{name}")
        line = live(group, f"line_{name}")
        self.slots = line.reshape(-1, len(self.sent))
        self.place = live(group, f"line_at_{name}")

    def move(self) -> None:
        """Receive the values sent that many steps ago, and store those sent now."""
        place = self.place[0]
        slot = self.slots[place]
        self.received[:] = slot
        slot[:] = self.sent
        self.place[0] = (place + 1) % len(self.slots)

    def arrival_differs(self) -> bool:
        """Return whether the values that arrive next differ from those received last."""
        slot = self.slots[self.place[0]]
        return bool(np.any(slot != self.received))


class EventSender:
    """Send events of one population in one direction; Brian2's thresholder finds the units.

    Parameters
    ----------
    groups : Groups
    source : EventSource
    products : dict of str to Product
        All projections, by name.
    """

    def __init__(
        self, groups: Groups, source: EventSource, products: Mapping[str, Product]
    ) -> None:
        group = groups.populations[source.population]
        name = source.name
        # indices of the units that send; the last entry is their number
        self.space = live(group, f"_{source.event}space")
        self.value = live(group, source.variable)
        self.sent = live(group, f"sent_{name}")
        self.events = live(group, f"events_{name}")
        self.plastic_events = live(group, f"plastic_events_{name}")
        self.quantum: Array | None = None  # amount that a spike sends
        if isinstance(source.rule, Spikes):
            self.quantum = live(group, f"theta_{name}")
        # time from which a unit may spike again, and shortest time between two spikes, s
        self.ready: Array | None = None
        self.silence: Array | None = None
        if source.silent:
            self.ready = live(group, f"ready_{name}")
            self.silence = live(group, f"silence_{name}")
        self.line: DelayLine | None = None
        if source.rule.delay:
            self.line = DelayLine(group, name)
        self.products = [products[projection] for projection in source.projections]
        self.backward = source.variable == BACKWARD

    def send(self, t: float, learning: bool) -> None:
        """Send the events of this step at time t (s), and mark the products that become stale."""
        senders = self.space[: self.space[-1]]
        changed = len(senders) > 0
        if changed:
            self._send(senders, t, learning)
        if self.line is not None:
            changed = self.line.arrival_differs()
            self.line.move()
        if not changed:
            return
        for product in self.products:
            if self.backward:
                product.feedback_stale = True
            else:
                product.state = STALE

    def _send(self, senders: Array, t: float, learning: bool) -> None:
        if self.quantum is None:
            self.sent[senders] = self.value[senders]
        else:
            difference = self.value[senders] - self.sent[senders]
            self.sent[senders] += np.copysign(self.quantum[0], difference)
        self.events[senders] += 1
        if learning:
            self.plastic_events[senders] += 1
        if self.ready is not None and self.silence is not None:
            self.ready[senders] = t + self.silence[0]


class Messages:
    """Send all messages of one segment: forward into net inputs, then back into feedback.

    Attributes
    ----------
    moved : bool
        Whether weights, biases or inputs have moved since net inputs were last computed. If not,
        net inputs that come from clamped inputs alone are unchanged.
    """

    def __init__(self, groups: Groups, actions: Actions, products: Mapping[str, Product]) -> None:
        plan = groups.plan
        net = groups.plan.net
        self.moved = True
        self.products = list(products.values())
        self.kept = [product for product in self.products if product.kept]
        self._sent = [*actions.sent, *_delays(groups, FORWARD)]
        self._late = [*chain(*actions.late.values()), *_delays(groups, BACKWARD)]
        self._weighted = actions.weighted
        self._forward_events = _senders(groups, FORWARD, products)
        self._backward_events = _senders(groups, BACKWARD, products)
        # actions of all populations, and of those whose net input may move at every step
        self._all_inputs: list[Action] = []
        self._moving_inputs: list[Action] = []
        for name in net.neurons:
            incoming = [products[q.name] for q in net.incoming(name)]
            early = partial(each, actions.early[name])
            action = _net_input(groups, name, incoming, early)
            self._all_inputs.append(action)
            if name not in plan.still:
                self._moving_inputs.append(action)
        self._feedback: list[tuple[list[Product], Action]] = []
        for name in net.neurons:
            outgoing = [products[q.name] for q in net.outgoing(name)]
            if outgoing:
                action = _feedback(groups, name, outgoing)
                self._feedback.append((outgoing, action))
        # (x, log sum exp x) and (y, sum y), over the units of a pattern or site, for the losses
        # that read these sums
        self._partitions = _pairs(groups, plan.partitions, "x", "log_partition")
        self._totals = _pairs(groups, plan.totals, "y", "y_total")

    def send(self) -> None:
        """Send the messages of the current state, forward and then back."""
        if self._sent:
            self._normalise()  # from the current outputs, as prospective messages read the loss
            for action in self._sent:
                action()
        self.forward()
        for action in self._late:
            action()
        for _, action in self._feedback:
            action()
        for action in self._weighted:
            action()

    def forward(self) -> None:
        """Compute the net inputs, the early messages, and the sums that losses read."""
        for product in self.kept:
            product.refresh()
        for action in self._all_inputs if self.moved else self._moving_inputs:
            action()
        self.moved = False
        self._normalise()

    def repeat_late(self) -> None:
        """Compute the late messages again, since updates read values that were found on the way."""
        for action in self._late:
            action()

    def send_events(self, t: float, learning: bool) -> None:
        """Send the events of neurons; compute net inputs and late messages."""
        for sender in self._forward_events:
            sender.send(t, learning)
        self.forward()
        for action in self._late:
            action()

    def send_events_back(self, t: float, learning: bool) -> None:
        """Send the events of multiplier units; sum the feedback where it may have changed."""
        for sender in self._backward_events:
            sender.send(t, learning)
        for outgoing, action in self._feedback:
            if any(product.feedback_stale or not product.by_events for product in outgoing):
                action()
            for product in outgoing:
                product.feedback_stale = False
        for action in self._weighted:
            action()

    def input_changed(self) -> None:
        """Invalidate the kept products."""
        self.moved = True
        for product in self.kept:
            product.state = STALE

    def _normalise(self) -> None:
        """Compute the sums over units that losses read."""
        for x, log_partition in self._partitions:
            top = x.max(axis=1, keepdims=True)
            partition = np.exp(x - top).sum(axis=1, keepdims=True)
            log_partition[:] = top + np.log(partition)
        for y, total in self._totals:
            total[:] = y.sum(axis=1, keepdims=True)


def _pairs(
    groups: Groups, populations: Iterable[str], values: str, total: str
) -> list[tuple[Array, Array]]:
    """Return, for each population, the arrays of a variable and of its sum over features."""
    found = []
    for n in populations:
        features = groups.plan.net.populations[n].features
        pair = units(groups, n, values), units(groups, n, total)
        found.append((pair[0].reshape(-1, features), pair[1].reshape(-1, features)))
    return found


def _delays(groups: Groups, direction: str) -> list[Action]:
    """Return actions that move the delay lines of dense messages."""
    if not groups.plan.imperfections.alters_messages:
        return []
    moves: list[Action] = []
    for population, variable, _ in groups.plan.lines:
        if variable == direction:
            line = DelayLine(groups.populations[population], variable)
            moves.append(line.move)
    return moves


def _senders(groups: Groups, direction: str, products: Mapping[str, Product]) -> list[EventSender]:
    return [
        EventSender(groups, source, products)
        for source in groups.plan.event_sources
        if source.variable == direction
    ]


def _net_input(
    groups: Groups, population: str, incoming: Sequence[Product], early: Action
) -> Action:
    """Return an action that computes a = b + W x, then the early messages."""
    a = rows_of(groups, population, "a")
    b = live(groups.biases[population], "w")
    rows = a
    if a.ndim == 3:
        b = b.reshape(len(a), 1, -1)
    else:
        rows = a.reshape(-1, len(b))  # of patterns, or of sites that share the biases
    drives = [product.drive.reshape(rows.shape) for product in incoming if product.kept]
    others = [product for product in incoming if not product.kept]
    only = incoming[0] if len(incoming) == 1 else None
    if isinstance(only, DenseProduct) and not only.kept:
        x = only.x
        transposed = only.transposed

        def single() -> None:
            np.matmul(x, transposed, a)
            np.add(a, b, a)
            early()

        return single

    def general() -> None:
        if drives:
            np.add(drives[0], b, rows)
            for drive in drives[1:]:
                np.add(rows, drive, rows)
        else:
            rows[:] = b
        for product in others:
            product.forward()
        early()

    return general


def _feedback(groups: Groups, population: str, outgoing: Sequence[Product]) -> Action:
    """Return an action that sums the messages sent back to a population."""
    feedback = rows_of(groups, population, "feedback")
    only = outgoing[0] if len(outgoing) == 1 else None
    if isinstance(only, DenseProduct):
        return partial(np.matmul, only.delta, only.back, feedback)

    def general() -> None:
        feedback[:] = 0
        for product in outgoing:
            product.backward()

    return general
