"""What fixes the structure of a simulation, before any Brian2 object exists.

Start at `Plan`; its values (weights, gains, data, seed) are loaded into an engine later, so that
two plans that are equal need one build.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neurosim.model.equations import events, lagrangian
from neurosim.model.equations.events import ACTIVITY, ADAPTIVE_EQUATIONS, EventSource
from neurosim.model.equations.imperfections import NONE, Imperfections
from neurosim.model.extension import Extension
from neurosim.model.imperfections import Dale, LowPass
from neurosim.model.methods import STAGED
from neurosim.model.network import Network
from neurosim.model.transport import BACKWARD, FORWARD, Dense, Transport
from neurosim.results.format import current_name

if TYPE_CHECKING:
    from neurosim.engine.statements import Text
    from neurosim.results.recording import Part

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Recorded:
    """One recorded variable; a sample is a row of `size` numbers."""

    variable: str
    parts: tuple[Part, ...]
    size: int
    rows: int  # samples a file
    dimensions: int = 2  # of a sample, as it is kept
    folder: Path | None = None  # of a compiled program's files; a temporary one if None
    write: Callable[[int, Array], None] | None = (
        None  # takes rows from a number on, in place of memory
    )


@dataclass(frozen=True)
class Plan:
    """The structure of one Brian2 network, for `patterns` patterns at once.

    Attributes
    ----------
    settles : bool
        Whether the run looks for the moment from which nothing changes any more.
    shortcuts : bool
        Whether work whose result is known is left out: products of clamped inputs, messages nobody
        reads.
    transports : dict of str to Transport
        By projection; those that are not named are dense.
    learns : bool
        Whether weights may move.
    points : int
        Parameter points that are simulated side by side, each with its share of `patterns`: gains
        and time constants are each unit's own, and so is each point's end. 0: one simulation.
    weight_sets : int
        Matrices a projection holds, the first for the first share of `patterns`, and so on.
    imperfections : Imperfections
        What messages, plasticity and units lack.
    """

    net: Network
    patterns: int
    dt: float
    method: str = "euler"
    presentation: bool = False
    extensions: tuple[Extension, ...] = ()
    recorded: tuple[Recorded, ...] = ()
    precision: str = "float64"
    settles: bool = False
    shortcuts: bool = True
    transports: Mapping[str, Transport] = field(default_factory=dict)
    learns: bool = False
    points: int = 0
    weight_sets: int = 1
    imperfections: Imperfections = NONE

    @cached_property
    def event_sources(self) -> tuple[EventSource, ...]:
        """What is said as events."""
        every = {name: self.transports.get(name, Dense()) for name in self.net.projections}
        return events.event_sources(self.net, every, self.learns)

    def event_source(self, projection: str, variable: str) -> EventSource | None:
        """Through which a projection hears x or delta as events; None if it is dense, or nobody
        listens.
        """
        own = (
            o for o in self.event_sources if o.variable == variable and projection in o.projections
        )
        return next(own, None)

    def received(self, projection: str, variable: str) -> str:
        """What a projection knows of x or delta: as it is, as it was last said, or as that has
        arrived.
        """
        if event_source := self.event_source(projection, variable):
            return event_source.received
        pre = self.net.projections[projection].pre
        data = variable == FORWARD and self.net.populations[pre].clamped
        return variable if data else self.imperfections.received(variable)

    def plasticity_reads(self, projection: str, variable: str) -> str:
        """What plasticity reads of x or delta: what is heard, or its low-pass."""
        if self.imperfections.of(LowPass):
            return f"slow_{variable}"
        late = variable == BACKWARD and not self.event_source(projection, BACKWARD)
        return self.imperfections.known(variable) if late else self.received(projection, variable)

    def bias_plasticity_reads(self, population: str) -> str:
        """What the biases of a population read of delta: as much as its first projection does."""
        first = next((q.name for q in self.net.incoming(population)), None)
        return self.plasticity_reads(first, BACKWARD) if first else BACKWARD

    @property
    def dale(self) -> bool:
        """Whether a neuron's outgoing weights keep one sign."""
        return self.imperfections.of(Dale) is not None

    @property
    def lines(self) -> tuple[tuple[str, str, int], ...]:
        """Messages on their way: population, suffix of the line's variables, steps that it takes."""
        events = [
            (o.population, o.name, o.delay_steps(self.dt))
            for o in self.event_sources
            if o.rule.delay
        ]
        steps = self.imperfections.delay_steps(self.dt)
        dense = (
            [(n, v, steps) for n in self.net.neurons for v in (FORWARD, BACKWARD)] if steps else []
        )
        return (*events, *dense)

    def extension(self, population: str) -> Extension:
        """All extensions of one population as one."""
        own = [e for e in self.extensions if e.population == population]
        plus = " + ".join
        return Extension(
            population,
            plus(f"({e.x})" for e in own if e.x.strip()),
            plus(f"({e.lam})" for e in own if e.lam.strip()),
            "\n".join(e.equations for e in own if e.equations.strip()),
            {k: v for e in own for k, v in e.parameters.items()},
        )

    def equations(self, population: str) -> str:
        """The equations of one population, as Brian2 gets them."""
        return "\n".join(
            [self._text(population), *(f"recorded_{v} : 1" for v in self.copied(population))]
        )

    def _text(self, population: str) -> str:
        own, lacks, clamped = (
            self.extension(population),
            self.imperfections,
            self.net.populations[population].clamped,
        )
        event_sources = [o for o in self.event_sources if o.population == population]
        adaptive = ADAPTIVE_EQUATIONS if any(o.adaptive for o in event_sources) else ()
        more = [
            *own.equations.strip().splitlines(),
            *(e for o in event_sources for e in o.equations),
            *adaptive,
        ]
        more += lacks.equations(clamped)
        if clamped:
            return "\n".join([lagrangian.clamped(), *more])
        x, lam = (
            " + ".join(filter(None, pair))
            for pair in ((own.x, lacks.term("x")), (own.lam, lacks.term("lam")))
        )
        slope = lacks.slope(self.net.populations[population].activation)
        return lagrangian.population(
            self.net,
            population,
            x,
            lam,
            "\n".join(more),
            own_gains=self.points > 0,
            own_times=lacks.own_times,
            slope=slope,
        )

    def copied(self, population: str) -> list[str]:
        """Recorded variables that are no arrays: they are evaluated into one when a sample is
        taken.
        """
        names = set()
        for r in self.recorded:
            if any(part.name == population for part in r.parts):
                names.add(self._own_name(population, r.variable))
        return sorted(v for v in names if not self.variables(population)[v])

    def variables(self, population: str) -> dict[str, bool]:
        """What can be recorded of a population, every dimensionless value per unit; whether it is
        an array.
        """
        from brian2 import Equations
        from brian2.equations.equations import SUBEXPRESSION

        found = {}
        for e in Equations(self._text(population)).values():
            if e.dim.is_dimensionless and "shared" not in e.flags and e.var_type == "float":
                found[e.varname] = e.type != SUBEXPRESSION or "constant over dt" in e.flags
        return found

    def array_name(self, group: str, variable: str) -> str:
        """The array that holds a recorded variable."""
        if group not in self.net.populations:
            return variable
        name = self._own_name(group, variable)
        return name if self.variables(group)[name] else f"recorded_{name}"

    def _own_name(self, population: str, variable: str) -> str:
        """Return the population's name of a recorded variable, which may be that of 0.1.0."""
        return variable if variable in self.variables(population) else current_name(variable)

    def records(self, variable: str) -> bool:
        """Whether this variable is recorded anywhere."""
        return any(r.variable == variable for r in self.recorded)

    def text(self, population: str) -> Text:
        """The equations of one population taken apart."""
        from neurosim.engine.statements import take_apart

        return take_apart(self._text(population))

    def sent(self, population: str, variable: str) -> list[tuple[str, str]]:
        """How dense messages come about that are not just x or delta: statements, with what they
        read.
        """
        if self.net.populations[population].clamped or not self.imperfections.alters_messages:
            return []
        text = self.text(population)
        statements = self.imperfections.sent(variable, text.rates)
        return text.with_helpers(statements) if variable == FORWARD else statements

    @property
    def still(self) -> tuple[str, ...]:
        """Populations whose net input stands still while weights and inputs do."""
        if not self.shortcuts:
            return ()
        inputs = {n: list(self.net.incoming(n)) for n in self.net.neurons}
        return tuple(
            n
            for n, own in inputs.items()
            if all(
                self.net.populations[q.pre].clamped and not self.event_source(q.name, FORWARD)
                for q in own
            )
        )

    @property
    def resting(self) -> tuple[str, ...]:
        """Populations whose net input stands still, while weights and inputs do, until they hear an
        event.
        """
        if not self.shortcuts:
            return ()
        inputs = {n: list(self.net.incoming(n)) for n in self.net.neurons}
        return tuple(
            n
            for n, own in inputs.items()
            if all(
                self.net.populations[q.pre].clamped or self.event_source(q.name, FORWARD)
                for q in own
            )
        )

    def back(self, projection: str) -> str:
        """The array of a projection through which its messages return: its weights, or feedback
        weights of its own.
        """
        return "back" if projection in self.net.feedback else "w"

    def may_defer(self, projection: str) -> bool:
        """Whether W x can follow from the inputs' Gram matrix, the weights waiting (see
        `Engine.defers`).

        Its products with the messages are less work than two with W while patterns are fewer than
        twice the inputs; measured, nothing is won from 1.3 times on, and up to as many as there are
        inputs it takes no more memory than those.
        """
        pre = self.net.populations[self.net.projections[projection].pre]
        dense = isinstance(self.net.weights[projection], np.ndarray)
        linear = self.method not in (
            *STAGED,
            "adam",
        )  # increments add up, whatever was added before
        still = (
            pre.clamped and self.shortcuts and linear and not self.event_source(projection, FORWARD)
        )
        one_by_one = self.points or self.dale or self.imperfections.of(LowPass)
        return still and dense and self.patterns <= pre.size and not one_by_one

    def late_is_read(self, population: str) -> bool:
        """Whether messages of outputs and multipliers have a reader while weights rest."""
        incoming = list(self.net.incoming(population))
        if not self.shortcuts or any(not self.net.populations[q.pre].clamped for q in incoming):
            return True
        if (
            any(self.event_source(q.name, BACKWARD) for q in incoming)
            or self.imperfections.alters_messages
        ):
            return True
        text = self.text(population)
        return any(text.reads(n) or self.records(n) for n, _ in text.late)

    @property
    def partitions(self) -> tuple[str, ...]:
        """Populations whose loss reads the softmax's normaliser."""
        return tuple(n for n, v in self.net.losses.items() if v.term.partition)

    @property
    def totals(self) -> tuple[str, ...]:
        """Populations whose loss reads the sum of their targets."""
        return tuple(n for n, v in self.net.losses.items() if v.term.total)


def moves_activity(plan: Plan, population: str) -> tuple[tuple[str, str], ...]:
    """How the speed of a unit with an adaptive threshold is followed: an increment, from the rates
    of this step.
    """
    adaptive = any(o.adaptive for o in plan.event_sources if o.population == population)
    return (("activity", f"{ACTIVITY} - activity"),) if adaptive else ()
