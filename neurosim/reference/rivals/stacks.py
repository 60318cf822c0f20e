"""Like populations side by side in one array, so that a deep net's step is a handful of batched
products.

Above `frame`: variables do not wait for each other, so all net inputs, and all messages, of a state
are found at once; only functions come one after another. Start at `Stacks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.errors import unknown
from neurosim.reference.functions import dsigma, sigma
from neurosim.reference.rivals.frame import ONE, SLOPE_AT, Array, Arrays, Frame

PRECISIONS = ("float64", "float32")


@dataclass(frozen=True)
class Link:
    """Projections from consecutive populations of one stack to consecutive populations of another.

    Attributes
    ----------
    pre, post : str
        Stacks.
    sources, goals : slice
        Of their populations.
    weights, returning : float, csr_array, or array (populations, n_post, n_pre)
        What carries outputs forward and messages back.
    """

    pre: str
    post: str
    sources: slice
    goals: slice
    weights: Any
    returning: Any

    def forward(self, x: Array) -> Array:
        """W x, from (populations of pre, patterns, n_pre)."""
        if isinstance(self.weights, float):
            return (
                x[self.sources] if self.weights == 1 else np.asarray(x[self.sources] * self.weights)
            )
        if isinstance(self.weights, np.ndarray):
            return np.asarray(x[self.sources] @ self.weights.transpose(0, 2, 1))
        return np.asarray(x[self.sources.start] @ self.weights.T)[None]

    def backward(self, delta: Array) -> Array:
        """Wᵀ delta, from (populations of post, patterns, n_post)."""
        if isinstance(self.returning, float):
            return (
                delta[self.goals]
                if self.returning == 1
                else np.asarray(delta[self.goals] * self.returning)
            )
        if isinstance(self.returning, np.ndarray):
            return np.asarray(delta[self.goals] @ self.returning)
        return np.asarray(delta[self.goals.start] @ self.returning)[None]


class Stacks:
    """A frame's populations in stacks of one size, activation and level, each a (populations,
    patterns, units) array.

    Attributes
    ----------
    members : dict of str to list of str
        Populations by stack, which has the name of its first.
    variables, functions : list of str
        Stacks; functions in an order in which none waits for a later one.
    """

    def __init__(self, frame: Frame, precision: str = "float64") -> None:
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        self.frame, net, self.precision = frame, frame.net, np.dtype(precision)
        level: dict[str, int] = {}
        found: dict[tuple[int, int, str], list[str]] = {}
        for n in frame.order:
            above = [level[pre] for pre, _ in frame.parents[n]]
            level[n] = 1 + max(above, default=0) if n in frame.functions else 0
            found.setdefault(
                (level[n], net.populations[n].size, net.populations[n].activation), []
            ).append(n)
        ordered = [found[key] for key in sorted(found)]
        self.members = {names[0]: names for names in ordered}
        self.functions = [s for s in self.members if s in frame.functions]
        self.variables = [s for s in self.members if s not in frame.functions]
        self.place = {n: (s, i) for s, names in self.members.items() for i, n in enumerate(names)}
        self.activation = {s: net.populations[s].activation for s in self.members}
        shape = {n: (frame.count, net.populations[n].size) for n in frame.order}
        self.still = {
            s: np.stack([np.broadcast_to(frame.still[n], shape[n]) for n in m]).astype(
                self.precision
            )
            for s, m in self.members.items()
        }
        self.asked = [n for n in frame.order if n in net.losses or net.populations[n].activity_l1]
        self.into: dict[str, list[Link]] = {s: [] for s in self.members}
        self.out_of: dict[str, list[Link]] = {s: [] for s in self.members}
        for link in _links(frame, self.place, self.precision):
            self.into[link.post].append(link)
            self.out_of[link.pre].append(link)

    def stacked(self, values: Mapping[str, Array]) -> Arrays:
        """Arrays by population as arrays by stack."""
        return {
            s: np.stack([values[n] for n in names]).astype(self.precision)
            for s, names in self.members.items()
        }

    def apart(self, values: Mapping[str, Array]) -> Arrays:
        """Arrays by stack as arrays by population, views."""
        return {n: values[s][i] for n, (s, i) in self.place.items() if s in values}

    def ascend(self, x: Arrays) -> tuple[Arrays, Arrays]:
        """Violations x - sigma(a) of the variables, and slopes sigma'(a); writes the functions'
        outputs into `x`.
        """
        violation: Arrays = {}
        slope: Arrays = {}
        for s in (*self.functions, *self.variables):
            a = self.still[s].copy()
            for link in self.into[s]:
                reached = a[link.goals]
                reached += link.forward(x[link.pre])
            output = sigma(self.activation[s], a)
            at_output = SLOPE_AT.get(self.activation[s])
            slope[s] = dsigma(self.activation[s], a) if at_output is None else at_output(output)
            if s in self.frame.functions:
                x[s] = output
            else:
                violation[s] = np.subtract(x[s], output, out=output)  # nobody else holds it
        return violation, slope

    def descend(self, x: Arrays, mu: Arrays, slope: Arrays) -> tuple[Arrays, Arrays, Arrays]:
        """dE/dx of the variables, effective multipliers and messages delta of all, from the
        variables' `mu`.
        """
        credit = dict(mu)
        delta = {s: _message(slope[s], mu[s]) for s in self.variables}
        pull: dict[str, list[tuple[int, Any]]] = {s: [] for s in self.members}
        for n in self.asked:
            s, i = self.place[n]
            pull[s].append((i, self.frame.pull(n, x[s][i])))
        for s in reversed(self.functions):
            credit[s] = self._back(s, x[s], delta, pull[s])
            delta[s] = _message(slope[s], credit[s])
        force = {}
        for s in self.variables:
            back = self._back(s, x[s], delta, pull[s])
            force[s] = np.subtract(mu[s], back, out=back)
        return force, credit, delta

    def _back(self, stack: str, x: Array, delta: Arrays, pull: Iterable[tuple[int, Any]]) -> Array:
        """What children send back, and the losses' pull."""
        back = np.zeros_like(x)
        for link in self.out_of[stack]:
            reached = back[link.sources]
            reached += link.backward(delta[link.post])
        for i, own in pull:
            back[i] += own
        return back


def _message(slope: Array, mu: Array) -> Array:
    return mu if slope is ONE else slope * mu


def _links(frame: Frame, place: Mapping[str, tuple[str, int]], precision: Any) -> list[Link]:
    """All projections between populations that are not clamped, as few links as their order allows."""
    kinds: dict[tuple[Any, ...], list[tuple[int, int, str]]] = {}
    for name, q in frame.net.projections.items():
        if q.pre in frame.clamped:
            continue
        (of, i), (to, j), w = place[q.pre], place[q.post], frame.weights[name]
        stacks = isinstance(w, np.ndarray) and isinstance(frame.returning[name], np.ndarray)
        alike = w if isinstance(w, float) else None if stacks else name
        kinds.setdefault((of, to, j - i, alike), []).append((i, j, name))
    links = []
    for (of, to, *_), ends in kinds.items():
        ends.sort()
        starts = [k for k in range(len(ends)) if k == 0 or ends[k][0] != ends[k - 1][0] + 1]
        for first, last in zip(starts, [*starts[1:], len(ends)], strict=True):
            (i, j, _), count = ends[first], last - first
            names = [name for _, _, name in ends[first:last]]
            own = (
                _joined([carriers[n] for n in names], precision)
                for carriers in (frame.weights, frame.returning)
            )
            links.append(Link(of, to, slice(i, i + count), slice(j, j + count), *own))
    return links


def _joined(weights: list[Any], precision: Any) -> Any:
    """One number, one sparse matrix, or a stack of matrices."""
    if isinstance(weights[0], float):
        return weights[0]
    return (np.stack(weights) if isinstance(weights[0], np.ndarray) else weights[0]).astype(
        precision
    )
