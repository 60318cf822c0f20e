"""Find the units that inputs reach, and the units that reach outputs.

Below `surgery`. Start at `driven_units`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurosim.model.network import Network

Array = np.ndarray
Arrays = Mapping[str, Array]


def driven_units(net: Network) -> dict[str, Array]:
    """Return the units that an input reaches; the output of the others is constant."""
    found = {}
    for n, p in net.populations.items():
        found[n] = np.full(p.size, p.clamped)
    return _reachable(net, found, forward=True)


def read_units(net: Network) -> dict[str, Array]:
    """Return the units that reach an output."""
    found = {}
    for n, p in net.populations.items():
        found[n] = np.full(p.size, keeps_its_size(net, n))
    return _reachable(net, found, forward=False)


def _reachable(net: Network, found: dict[str, Array], forward: bool) -> dict[str, Array]:
    """Return the units that can be reached from these along synapses that are not 0."""
    links = {name: abs(net.matrix(name)) > 0 for name in net.projections}
    before = -1
    now = _count(found)
    while now > before:
        for name, q in net.projections.items():
            start, end, link = q.pre, q.post, links[name]
            if not forward:
                start, end, link = end, start, link.T
            paths = link @ found[start].astype(float)
            found[end] = found[end] | (paths > 0)
        before = now
        now = _count(found)
    return found


def _count(units: Arrays) -> int:
    return sum(int(chosen.sum()) for chosen in units.values())


def keeps_its_size(net: Network, population: str) -> bool:
    """Return whether a population is an input, is predicted, or is compared with targets."""
    if net.populations[population].clamped or population == net.output:
        return True
    loss = net.losses.get(population)
    return loss is not None and loss.term.targeted
