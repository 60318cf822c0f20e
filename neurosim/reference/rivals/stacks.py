"""Populations of one kind in one array, so that a step of a deep net is a few batched products.

Above `frame`. Variables do not wait for each other: the net inputs of a state are all found at
once, and so are the messages. Only functions come one after another. Start at `Stacks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.errors import unknown
from neurosim.reference.functions import sigma
from neurosim.reference.rivals.frame import ONE, Array, Arrays, Frame, slope_from_output

PRECISIONS = ("float64", "float32")
Place = tuple[str, int]  # a stack, and an index into it


@dataclass(frozen=True)
class Link:
    """Projections from consecutive populations of one stack to consecutive ones of another.

    Attributes
    ----------
    pre, post : str
        Stacks.
    sources, goals : slice
        Populations within them.
    weights, returning : float, csr_array, or array (populations, n_post, n_pre)
        Matrices for outputs on the way forward and for messages on the way back.
    """

    pre: str
    post: str
    sources: slice
    goals: slice
    weights: Any
    returning: Any

    def forward(self, x: Array) -> Array:
        """W x, from (populations of pre, patterns, n_pre)."""
        sent = x[self.sources]
        if isinstance(self.weights, float):
            return _times(sent, self.weights)
        if isinstance(self.weights, np.ndarray):
            return np.asarray(sent @ self.weights.transpose(0, 2, 1))
        return np.asarray(sent[0] @ self.weights.T)[None]

    def backward(self, delta: Array) -> Array:
        """Wᵀ delta, from (populations of post, patterns, n_post)."""
        sent = delta[self.goals]
        if isinstance(self.returning, float):
            return _times(sent, self.returning)
        if isinstance(self.returning, np.ndarray):
            return np.asarray(sent @ self.returning)
        return np.asarray(sent[0] @ self.returning)[None]


class Stacks:
    """A frame's populations in stacks of one size, activation and level.

    Each stack is an array (populations, patterns, units).

    Attributes
    ----------
    members : dict of str to list of str
        Populations by stack, which has the name of its first.
    variables, functions : list of str
        Stacks; functions in an order in which none waits for a later one.

    Raises
    ------
    ModelError
        An unknown precision.
    """

    def __init__(self, frame: Frame, precision: str = "float64") -> None:
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        self.frame, net, self.precision = frame, frame.net, np.dtype(precision)
        self.members = _members(frame)
        self.functions = [s for s in self.members if s in frame.functions]
        self.variables = [s for s in self.members if s not in frame.functions]
        self.place: dict[str, Place] = {}
        for s, names in self.members.items():
            self.place.update({n: (s, i) for i, n in enumerate(names)})
        self.activation = {s: net.populations[s].activation for s in self.members}
        still = {}
        for n in frame.order:
            still[n] = np.broadcast_to(frame.still[n], (frame.count, net.populations[n].size))
        self.still = self.stacked(still)
        self.pulled = [n for n in frame.order if n in net.losses or net.populations[n].activity_l1]
        self.into: dict[str, list[Link]] = {s: [] for s in self.members}
        self.out_of: dict[str, list[Link]] = {s: [] for s in self.members}
        for link in _links(frame, self.place, self.precision):
            self.into[link.post].append(link)
            self.out_of[link.pre].append(link)

    def stacked(self, values: Mapping[str, Array]) -> Arrays:
        """Return arrays by population as arrays by stack."""
        found = {}
        for s, names in self.members.items():
            found[s] = np.stack([values[n] for n in names]).astype(self.precision)
        return found

    def apart(self, values: Mapping[str, Array]) -> Arrays:
        """Return arrays by stack as arrays by population, views."""
        return {n: values[s][i] for n, (s, i) in self.place.items() if s in values}

    def ascend(self, x: Arrays) -> tuple[Arrays, Arrays]:
        """Return violations x - sigma(a) of the variables and slopes sigma'(a) of all, by stack.

        Writes the outputs of the functions into `x`.
        """
        violation: Arrays = {}
        slope: Arrays = {}
        for s in (*self.functions, *self.variables):
            a = self.still[s].copy()
            for link in self.into[s]:
                goals = a[link.goals]
                goals += link.forward(x[link.pre])
            output = sigma(self.activation[s], a)
            slope[s] = slope_from_output(self.activation[s], a, output)
            if s in self.frame.functions:
                x[s] = output
            else:
                # in place: the output is not read again
                violation[s] = np.subtract(x[s], output, out=output)
        return violation, slope

    def descend(self, x: Arrays, mu: Arrays, slope: Arrays) -> tuple[Arrays, Arrays, Arrays]:
        """Return dE/dx of the variables, effective multipliers and messages delta of all.

        Parameters
        ----------
        x, slope : dict of str to array
            Outputs and sigma'(a) by stack.
        mu : dict of str to array
            Effective multipliers of the variables.
        """
        credit = dict(mu)
        delta = {s: _message(slope[s], mu[s]) for s in self.variables}
        pull: dict[str, list[tuple[int, Any]]] = {s: [] for s in self.members}
        for n in self.pulled:
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
        """Return the messages received from the children plus -dV/dx, in the shape of x."""
        back = np.zeros_like(x)
        for link in self.out_of[stack]:
            sources = back[link.sources]
            sources += link.backward(delta[link.post])
        for i, slope in pull:
            back[i] += slope
        return back


def _times(values: Array, factor: float) -> Array:
    """Return values times a number, the values themselves where it is 1."""
    if factor == 1:
        return values
    return np.asarray(values * factor)


def _message(slope: Array, mu: Array) -> Array:
    """delta = sigma' mu; mu itself where the slope is `ONE`."""
    if slope is ONE:
        return mu
    return np.asarray(slope * mu)


def _members(frame: Frame) -> dict[str, list[str]]:
    """Return the populations of each stack, by its first.

    A function's level is one above that of the functions it reads; variables have level 0.
    """
    level: dict[str, int] = {}
    found: dict[tuple[int, int, str], list[str]] = {}
    for n in frame.order:
        level[n] = 0
        if n in frame.functions:
            below = [level[pre] for pre, _ in frame.parents[n]]
            level[n] = 1 + max(below, default=0)
        population = frame.net.populations[n]
        found.setdefault((level[n], population.size, population.activation), []).append(n)
    ordered = [found[kind] for kind in sorted(found)]
    return {names[0]: names for names in ordered}


def _links(frame: Frame, place: Mapping[str, Place], precision: Any) -> list[Link]:
    """Join all projections between populations that are not clamped into as few links as possible.

    Projections between the same two stacks are joined where both ends are consecutive and the
    matrices are of one kind.
    """
    kinds: dict[tuple[Any, ...], list[tuple[int, int, str]]] = {}
    for name, q in frame.net.projections.items():
        if q.pre in frame.clamped:
            continue
        (pre, i), (post, j) = place[q.pre], place[q.post]
        kind = (pre, post, j - i, _kind(frame, name))
        kinds.setdefault(kind, []).append((i, j, name))
    links = []
    for (pre, post, *_), ends in kinds.items():
        for run in _consecutive(sorted(ends)):
            (i, j, _), count = run[0], len(run)
            weights = _joined([frame.weights[name] for _, _, name in run], precision)
            returning = _joined([frame.returning[name] for _, _, name in run], precision)
            links.append(
                Link(pre, post, slice(i, i + count), slice(j, j + count), weights, returning)
            )
    return links


def _kind(frame: Frame, projection: str) -> float | str | None:
    """Return the key of projections that may be joined: same number, or both matrices dense."""
    w, returning = frame.weights[projection], frame.returning[projection]
    if isinstance(w, float):
        return w
    if isinstance(w, np.ndarray) and isinstance(returning, np.ndarray):
        return None
    return projection


def _consecutive(ends: Sequence[tuple[int, int, str]]) -> list[list[tuple[int, int, str]]]:
    """Cut a sorted list where the first entries are not consecutive."""
    runs: list[list[tuple[int, int, str]]] = []
    for end in ends:
        if runs and end[0] == runs[-1][-1][0] + 1:
            runs[-1].append(end)
        else:
            runs.append([end])
    return runs


def _joined(weights: list[Any], precision: Any) -> Any:
    """Return one number, one sparse matrix, or a stack of matrices."""
    first = weights[0]
    if isinstance(first, float):
        return first
    if isinstance(first, np.ndarray):
        return np.stack(weights).astype(precision)
    return first.astype(precision)
