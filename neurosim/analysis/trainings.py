"""Trainings of one network that differ in one thing: a schedule, a feedback, an imperfection.

Above `simulation`, below `plausibility`. Start at `Trial`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurosim.errors import DivergenceError
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.schedules import Presentations
from neurosim.results.metrics import share_correct
from neurosim.simulation.simulation import Simulation

Array = np.ndarray


@dataclass(frozen=True)
class Trial:
    """Network, flow, data and options of trainings that differ in one thing."""

    net: Network
    flow: Flow
    train: tuple[Array, Array]
    test: tuple[Array, Array]
    schedule: Presentations
    options: dict[str, Any] = field(default_factory=dict)
    seeds: int = 1
    modulators: Mapping[str, Any] | None = None

    @property
    def tau(self) -> float:
        """Largest tau_x, s."""
        return max(self.flow.time("tau_x", n) for n in self.net.neurons)

    def accuracies(
        self, net: Network | None = None, schedule: Presentations | None = None, **options: Any
    ) -> Array:
        """Train with each seed and return the accuracies on the test patterns, (seeds,)."""
        found, first = [], self.options["seed"]
        for seed in range(first, first + self.seeds):
            seeded = {**self.options, **options, "seed": seed}
            found.append(self._accuracy(net or self.net, schedule or self.schedule, seeded))
        return np.array(found)

    def _accuracy(self, net: Network, schedule: Presentations, options: Mapping[str, Any]) -> float:
        """Train with one seed and return the accuracy; chance where the training diverges."""
        trained = net.copy()
        simulation = Simulation(trained, self.flow, **options)
        try:
            simulation.train(*self.train, schedule, modulators=self.modulators)
        except DivergenceError:
            classes = max(2, trained.populations[trained.output].features)
            return 1 / classes
        share = share_correct(trained, simulation.predict(self.test[0]), self.test[1])
        assert share is not None  # as the scorecard has checked
        return share


def with_feedback(net: Network, kind: str) -> Network:
    """Return the same network and weights, with feedback weights of a kind.

    Projections from clamped populations, which receive no messages, stay as they are.
    """
    clamped, projections = set(net.inputs), []
    for q in net.projections.values():
        has_weights = q.over is None or q.over.weighted
        sends_back = q.pre not in clamped and has_weights
        projections.append(replace(q, feedback=kind) if sends_back else q)
    twin = Network(list(net.populations.values()), projections, list(net.losses.values()))
    for name, w in net.weights.items():
        twin.weights[name] = w.copy()
    for name, b in net.biases.items():
        twin.biases[name] = b.copy()
    return twin


def with_own_weights(net: Network) -> Network:
    """Return the same network and outputs, in which no sites share weights: each pair learns."""
    projections = []
    for name, q in net.projections.items():
        if q.shares:
            q = replace(q, shared=False, weights=net.matrix(name), feedback_weights=None)
        projections.append(q)
    twin = Network(list(net.populations.values()), projections, list(net.losses.values()))
    for name, w in net.weights.items():
        if not net.projections[name].shares:
            twin.weights[name] = w.copy()
    for name, b in net.biases.items():
        twin.biases[name] = np.tile(b, twin.biases[name].size // b.size)
    return twin
