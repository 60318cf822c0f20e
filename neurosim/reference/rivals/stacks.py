"""Populations of one kind in one array, so that a step of a deep net is a few batched products.

Above `frame`. The net inputs of all variables are computed at once, and so are their messages. Only
functions are computed one after another. Start at `Stacks`.
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
        Matrices for outputs on the way forward and for messages on the way back; a number stands
        for unit-to-unit wiring.
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
        received = np.asarray(sent[0] @ self.weights.T)
        return received[None]

    def backward(self, delta: Array) -> Array:
        """Wᵀ delta, from (populations of post, patterns, n_post)."""
        sent = delta[self.goals]
        if isinstance(self.returning, float):
            return _times(sent, self.returning)
        if isinstance(self.returning, np.ndarray):
            return np.asarray(sent @ self.returning)
        received = np.asarray(sent[0] @ self.returning)
        return received[None]


class Stacks:
    """A frame's populations in stacks of one size, activation and level.

    Each stack is an array (populations, patterns, units).

    Attributes
    ----------
    members : dict of str to list of str
        Populations by stack, which has the name of its first.
    variables, functions : list of str
        Stacks; each function comes after those that it depends on.

    Raises
    ------
    ModelError
        An unknown precision.
    """

    def __init__(self, frame: Frame, precision: str = "float64") -> None:
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        net = frame.net
        self.frame = frame
        self.precision = np.dtype(precision)
        self.members = _members(frame)
        self.functions: list[str] = []
        self.variables: list[str] = []
        self.place: dict[str, Place] = {}
        self.activation: dict[str, str] = {}
        self.into: dict[str, list[Link]] = {}
        self.out_of: dict[str, list[Link]] = {}
        for s, names in self.members.items():
            same_kind = self.functions if s in frame.functions else self.variables
            same_kind.append(s)
            for i, n in enumerate(names):
                self.place[n] = (s, i)
            self.activation[s] = net.populations[s].activation
            self.into[s] = []
            self.out_of[s] = []
        still = {}
        self.pulled = []
        for n in frame.order:
            population = net.populations[n]
            shape = (frame.count, population.size)
            still[n] = np.broadcast_to(frame.still[n], shape)
            if n in net.losses or population.activity_l1:
                self.pulled.append(n)
        self.still = self.stacked(still)
        for link in _links(frame, self.place, self.precision):
            self.into[link.post].append(link)
            self.out_of[link.pre].append(link)

    def stacked(self, values: Mapping[str, Array]) -> Arrays:
        """Return arrays by population as arrays by stack."""
        found = {}
        for s, names in self.members.items():
            arrays = [values[n] for n in names]
            found[s] = np.stack(arrays).astype(self.precision)
        return found

    def apart(self, values: Mapping[str, Array]) -> Arrays:
        """Return arrays by stack as arrays by population, views."""
        found = {}
        for n, (s, i) in self.place.items():
            if s in values:
                found[n] = values[s][i]
        return found

    def ascend(self, x: Arrays) -> tuple[Arrays, Arrays]:
        """Return violations x - sigma(a) of the variables and slopes sigma'(a) of all, by stack.

        The outputs of the functions are written into `x`.
        """
        violation: Arrays = {}
        slope: Arrays = {}
        for s in (*self.functions, *self.variables):
            activation = self.activation[s]
            a = self.still[s].copy()
            for link in self.into[s]:
                goals = a[link.goals]
                goals += link.forward(x[link.pre])
            output = sigma(activation, a)
            slope[s] = slope_from_output(activation, a, output)
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
        delta = {}
        for s in self.variables:
            delta[s] = _message(slope[s], mu[s])
        pull: dict[str, list[tuple[int, Any]]] = {s: [] for s in self.members}
        for n in self.pulled:
            s, i = self.place[n]
            own_pull = self.frame.pull(n, x[s][i])
            pull[s].append((i, own_pull))
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
    """Return the populations of each stack, by the name of its first one.

    A function's level is one above the highest level of its parents; variables have level 0.
    """
    level: dict[str, int] = {}
    found: dict[tuple[int, int, str], list[str]] = {}
    for n in frame.order:
        level[n] = 0
        if n in frame.functions:
            below = [level[pre] for pre, _ in frame.parents[n]]
            level[n] = 1 + max(below, default=0)
        population = frame.net.populations[n]
        kind = (level[n], population.size, population.activation)
        found.setdefault(kind, []).append(n)
    members = {}
    for kind in sorted(found):
        names = found[kind]
        members[names[0]] = names
    return members


def _links(frame: Frame, place: Mapping[str, Place], precision: Any) -> list[Link]:
    """Join all projections between populations that are not clamped into as few links as possible.

    Projections between the same two stacks are joined where both ends are consecutive and the
    matrices are of one kind.
    """
    kinds: dict[tuple[Any, ...], list[tuple[int, int, str]]] = {}
    for name, q in frame.net.projections.items():
        if q.pre in frame.clamped:
            continue
        pre, i = place[q.pre]
        post, j = place[q.post]
        kind = (pre, post, j - i, _kind(frame, name))
        kinds.setdefault(kind, []).append((i, j, name))
    links = []
    for (pre, post, *_), ends in kinds.items():
        for run in _consecutive(sorted(ends)):
            i, j, _ = run[0]
            count = len(run)
            names = [name for _, _, name in run]
            weights = [frame.weights[name] for name in names]
            returning = [frame.returning[name] for name in names]
            link = Link(
                pre,
                post,
                sources=slice(i, i + count),
                goals=slice(j, j + count),
                weights=_joined(weights, precision),
                returning=_joined(returning, precision),
            )
            links.append(link)
    return links


def _kind(frame: Frame, projection: str) -> float | str | None:
    """Return the key of projections that may be joined: same number, or both matrices dense."""
    w = frame.weights[projection]
    returning = frame.returning[projection]
    if isinstance(w, float):
        return w
    if isinstance(w, np.ndarray) and isinstance(returning, np.ndarray):
        return None
    return projection


def _consecutive(ends: Sequence[tuple[int, int, str]]) -> list[list[tuple[int, int, str]]]:
    """Cut a sorted list where the first entries are not consecutive."""
    runs: list[list[tuple[int, int, str]]] = []
    following = None
    for end in ends:
        source, _, _ = end
        if source == following:
            runs[-1].append(end)
        else:
            runs.append([end])
        following = source + 1
    return runs


def _joined(weights: list[Any], precision: Any) -> Any:
    """Return one number, one sparse matrix, or a stack of matrices."""
    first = weights[0]
    if isinstance(first, float):
        return first
    if isinstance(first, np.ndarray):
        return np.stack(weights).astype(precision)
    return first.astype(precision)
