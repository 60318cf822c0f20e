"""Steps of user-written learning rules: sums over patterns, then passes over the synapses.

The sums are matrix products, as those of the built-in rule. Above `arrays` and `updates`, below the
steppers. Start at `RuleSteps`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from neurosim.engine.names import LENGTH
from neurosim.engine.plasticity import Factor, Step, Sum, SynapseRule
from neurosim.engine.runtime.arrays import CLOCK, Action, each, live, units
from neurosim.engine.runtime.shared_sums import SharedSums
from neurosim.model.equations.plasticity import POST, PRE, Direct, at

if TYPE_CHECKING:
    from neurosim.engine.groups import Groups
    from neurosim.engine.runtime.updates import ActionMaker

Array = np.ndarray


class RuleSteps:
    """The steps of one rule, for one segment.

    Parameters
    ----------
    groups : Groups
    maker : ActionMaker
        Makes functions from statements.
    rule : SynapseRule
    """

    def __init__(self, groups: Groups, maker: ActionMaker, rule: SynapseRule) -> None:
        self.groups, self.maker, self.rule = groups, maker, rule
        self.patterns = groups.plan.patterns
        self.group = groups.by_name[rule.group]
        self.size = len(live(self.group, "w"))
        self.ends = _ends_of_synapses(groups, rule)
        self.is_dense, self.columns = True, 1
        self.shared: SharedSums | None = None
        if not rule.of_biases:
            w = groups.plan.net.weights[rule.target]
            self.is_dense, self.columns = isinstance(w, np.ndarray), w.shape[-1]
            between = groups.plan.net.between(rule.target)
            if between is not None:
                self.shared = SharedSums(between, self.patterns, w.dtype)
        self.scalars, self.arrays = self._values()
        factors = maker.factors(rule)
        sums = [self._sum(one) for one in rule.sums]
        self.open = partial(each, [*factors, *sums, *self._steps(rule.steps(True))])
        closed = self._steps(rule.steps(False))
        self.closed: Action | None = None
        if closed:
            self.closed = partial(each, [*factors, *sums, *closed])

    def start_presentation(self) -> None:
        """Let the variables in `reset` start anew."""
        for name in self.rule.rule.reset:
            live(self.group, name)[:] = self.rule.rule.initial[name]

    def _values(self) -> tuple[dict[str, float], dict[str, Array]]:
        """Return the numbers that are constant in a segment, and the live arrays."""
        dt = self.groups.plan.dt
        scalars = {LENGTH: dt}
        arrays = {"t": live(self.groups.clock, "t")}
        constant = ("tau_w", "l2", *self.rule.scalars)
        for variable in self.group.variables:
            if variable in (*CLOCK, "N", "i"):
                continue
            value = live(self.group, variable)
            if variable in constant and variable not in self.rule.rule.modulators:
                scalars[variable] = float(value[0])
            elif len(value) == self.size or variable in self.rule.rule.modulators:
                arrays[variable] = value
        return scalars, arrays

    def _steps(self, steps: tuple[Step, ...]) -> list[Action]:
        found: list[Action] = []
        for step in steps:
            if step.direct is not None:
                found.append(self._direct(step.direct))
            else:
                found += self.maker.compiled(step.statements, self.arrays, self.scalars, self.size)
        return found

    def _direct(self, direct: Direct) -> Action:
        """Return the sum over patterns of an expression that does not separate."""
        total = live(self.group, direct.array)
        places: list[tuple[Array, Array, Array]] = []
        for name, end in self.rule.reads(direct):
            values = units(self.groups, self.rule.ends[end], self.rule.variable(name, end))
            places.append((live(self.group, at(name, end)), values, self.ends[end]))
        statements = [self.rule.summed(direct)]
        adds = self.maker.compiled(statements, self.arrays, self.scalars, self.size)

        def act() -> None:
            total[:] = 0
            for pattern in range(self.patterns):
                for array, values, unit in places:
                    np.take(values[pattern], unit, out=array)
                each(adds)

        return act

    def _sum(self, one: Sum) -> Action:
        """Return the sum over patterns of f(post) g(pre), at every synapse."""
        total = live(self.group, one.array)
        post, pre = self._factor(one.post), self._factor(one.pre)
        if self.shared is not None:
            return partial(self.shared.write, total, post, pre)
        if post is not None and pre is not None:
            return self._product(total, post, pre)
        if post is not None:
            return self._spread(total, post, POST)
        assert pre is not None
        return self._spread(total, pre, PRE)

    def _spread(self, total: Array, values: Array, end: str) -> Action:
        """Return the sum of one end's values over patterns, at every synapse of each unit."""
        if self.is_dense:
            matrix = total.reshape(-1, self.columns)
            axis = (slice(None), None) if end == POST else (None, slice(None))

            def spread() -> None:
                matrix[:] = values.sum(axis=0)[axis]

            return spread
        unit = self.ends[end]

        def gather() -> None:
            np.take(values.sum(axis=0), unit, out=total)

        return gather

    def _factor(self, factor: Factor | None) -> Array | None:
        if factor is None:
            return None
        values = units(self.groups, factor.population, factor.array)
        if self.rule.of_biases:  # of sites that share them, too
            return values.reshape(-1, self.size)
        return values

    def _product(self, total: Array, post: Array, pre: Array) -> Action:
        if self.is_dense:
            matrix = total.reshape(-1, self.columns)
            return partial(np.matmul, post.T, pre, matrix)
        post_of, pre_of = self.ends[POST], self.ends[PRE]

        def act() -> None:
            total[:] = 0
            for one, other in zip(post, pre, strict=True):
                np.add(total, one[post_of] * other[pre_of], out=total)

        return act


def _ends_of_synapses(groups: Groups, rule: SynapseRule) -> dict[str, Array]:
    """Return the unit of each end, for every synapse; an empty projection has one of unit 0."""
    size = len(live(groups.by_name[rule.group], "w"))
    if rule.of_biases:
        return {POST: np.arange(size)}
    net = groups.plan.net
    w = net.weights[rule.target]
    if net.between(rule.target) is not None:
        return {}  # a rule that does not separate is refused
    if isinstance(w, np.ndarray):
        post, pre = np.divmod(np.arange(size), w.shape[1])
        return {POST: post, PRE: pre}
    if not w.nnz:
        nothing = np.zeros(size, dtype=int)
        return {POST: nothing, PRE: nothing}
    return {POST: np.repeat(np.arange(w.shape[0]), np.diff(w.indptr)), PRE: w.indices}
