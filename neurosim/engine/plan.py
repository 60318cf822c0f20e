"""Structure of a simulation, fixed before any Brian2 object exists.

Values (weights, gains, data, seed) are loaded into an engine later, so two equal plans need one
build. Below both backends, and importable without Brian2. Start at `Plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.draws import Draw, Row, all_named, row_of
from neurosim.engine.names import SAMPLE_WEIGHT, projection_group
from neurosim.engine.plasticity import SynapseRule, rules_of
from neurosim.errors import ModelError, shown
from neurosim.model.equations import events, lagrangian
from neurosim.model.equations.events import ACTIVITY, ADAPTIVE_EQUATIONS, EventSource
from neurosim.model.equations.imperfections import NONE, Imperfections
from neurosim.model.extension import TEXTS, Extension, merged, replaced
from neurosim.model.imperfections import Dale, LowPass
from neurosim.model.methods import ADAM, EXPONENTIAL_EULER, STAGED
from neurosim.model.network import Network
from neurosim.model.transport import BACKWARD, FORWARD, Dense, Transport
from neurosim.results.format import current_name

if TYPE_CHECKING:
    from neurosim.engine.statements import Text
    from neurosim.model.populations import Projection
    from neurosim.results.recording import Part

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Recorded:
    """One recorded variable; each sample is a row of `size` numbers.

    Attributes
    ----------
    variable : str
    parts : tuple of Part
        Populations or projections, and the places of their values in a row.
    size : int
        Numbers in a row.
    rows : int
        Samples per file.
    dimensions : int
        Number of dimensions of a sample in its zarr array.
    folder : Path or None
        Folder into which a compiled program writes its files; a temporary one if None.
    write : callable or None
        Receives the number of the first row, and the rows; these are then not kept in memory.
    """

    variable: str
    parts: tuple[Part, ...]
    size: int
    rows: int
    dimensions: int = 2
    folder: Path | None = None
    write: Callable[[int, Array], None] | None = None


@dataclass(frozen=True)
class Plan:
    """The structure of one Brian2 network, for `patterns` patterns at once.

    Attributes
    ----------
    net : Network
    patterns : int
        Patterns that are simulated at once.
    dt : float
        Step, s.
    method : str
        One of `neurosim.model.methods.ALL`.
    presentation : bool
        Whether batches of a data set are clamped in turn.
    extensions : tuple of Extension
    recorded : tuple of Recorded
    precision : "float64" or "float32"
    settles : bool
        Whether the run ends once the state rests.
    settles_each : bool
        Whether every pattern that rests leaves the steps at once.
    shortcuts : bool
        Whether work that cannot change the result is skipped: repeated products of clamped
        inputs, messages that nothing reads.
    transports : dict of str to Transport
        Message transport by projection; projections that are not named are dense.
    learns : bool
        Whether weights may move.
    points : int
        Parameter points in one batch, each with an equal share of `patterns`: gains and time
        constants are then stored per unit, and each point ends separately. 0: one simulation.
    weight_sets : int
        Matrices that a projection holds, one for each equal share of `patterns`, in order.
    imperfections : Imperfections
        What messages, plasticity and units lack or add.
    weighted : bool
        Whether every pattern has a weight in plasticity: delta is multiplied by `sample_weight`.
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
    settles_each: bool = False
    shortcuts: bool = True
    transports: Mapping[str, Transport] = field(default_factory=dict)
    learns: bool = False
    points: int = 0
    weight_sets: int = 1
    imperfections: Imperfections = NONE
    weighted: bool = False

    # --- messages

    @cached_property
    def event_sources(self) -> tuple[EventSource, ...]:
        """All messages that are sent as events."""
        transports = {name: self.transports.get(name, Dense()) for name in self.net.projections}
        return events.event_sources(self.net, transports, self.learns)

    def sources_of(self, population: str) -> list[EventSource]:
        """Return the event sources of one population."""
        return [source for source in self.event_sources if source.population == population]

    def event_source(self, projection: str, variable: str) -> EventSource | None:
        """Return the source whose events a projection receives.

        None where the projection is dense, or where nothing reads its messages.
        """
        for source in self.event_sources:
            if source.variable == variable and projection in source.projections:
                return source
        return None

    def received(self, projection: str, variable: str) -> str:
        """Return the variable that holds x or delta as a projection receives it."""
        source = self.event_source(projection, variable)
        if source is not None:
            return source.received
        pre = self.net.projections[projection].pre
        if variable == FORWARD and self.net.populations[pre].clamped:
            return variable  # imperfections do not alter data
        return self.imperfections.received(variable)

    def plasticity_reads(self, projection: str, variable: str) -> str:
        """Return the variable that plasticity reads as x or delta, maybe filtered or weighted."""
        found = self.plastic_message(projection, variable)
        return self._weighted(found) if variable == BACKWARD else found

    def plastic_message(self, projection: str, variable: str) -> str:
        """Return `plasticity_reads` without the weights of the patterns."""
        if self.imperfections.of(LowPass):
            return f"slow_{variable}"
        if variable == BACKWARD and self.event_source(projection, BACKWARD) is None:
            return self.imperfections.known(variable)
        return self.received(projection, variable)

    def bias_plasticity_reads(self, population: str) -> str:
        """Return the variable that biases read as delta: that of the first incoming projection."""
        for q in self.net.incoming(population):
            return self.plasticity_reads(q.name, BACKWARD)
        return self._weighted(BACKWARD)

    def weighted_messages(self, population: str) -> list[tuple[str, str]]:
        """Return the statements of the messages that plasticity reads with weights of patterns."""
        if not self.weighted or self.net.populations[population].clamped:
            return []
        incoming = self.net.incoming(population)
        messages = [self.plastic_message(q.name, BACKWARD) for q in incoming] or [BACKWARD]
        return [(self._weighted(v), f"{SAMPLE_WEIGHT}*{v}") for v in dict.fromkeys(messages)]

    def _weighted(self, message: str) -> str:
        return f"weighted_{message}" if self.weighted else message

    def sent(self, population: str, variable: str) -> list[tuple[str, str]]:
        """Return the statements of dense messages that are not just x or delta."""
        if not self._alters_messages_of(population):
            return []
        text = self.text(population)
        statements, _ = all_named(self.imperfections.sent(variable, text.rates))
        return text.with_helpers(statements) if variable == FORWARD else statements

    def _alters_messages_of(self, population: str) -> bool:
        return not self.net.populations[population].clamped and self.imperfections.alters_messages

    def draws(self, population: str) -> tuple[Draw, ...]:
        """Return the random numbers that the statements of a population read at every step."""
        extended = any(e.population == population for e in self.extensions)
        if not extended and not self.imperfections.draws:
            return ()
        text = self.text(population)
        found = list(text.draws)
        for variable in (FORWARD, BACKWARD) if self._alters_messages_of(population) else ():
            found += all_named(self.imperfections.sent(variable, text.rates))[1]
        return tuple(found)

    @cached_property
    def row(self) -> Row:
        """Layout of the random numbers of one step."""
        found = []
        for name, population in self.net.populations.items():
            size = self.patterns * population.size
            found += [(name, draw, size) for draw in self.draws(name)]
        for group, rule in self.rules.items():
            size = rule.size
            found += [(group, draw, size) for draw in rule.draws]
        return row_of(found)

    @property
    def lines(self) -> tuple[tuple[str, str, int], ...]:
        """Delay lines: population, suffix of the line's variables, delay in steps."""
        found = []
        for source in self.event_sources:
            if source.rule.delay:
                found.append((source.population, source.name, source.delay_steps(self.dt)))
        steps = self.imperfections.delay_steps(self.dt)
        if steps:
            for n in self.net.neurons:
                found += [(n, FORWARD, steps), (n, BACKWARD, steps)]
        return tuple(found)

    @property
    def still(self) -> tuple[str, ...]:
        """Populations whose net input is constant while weights, biases and inputs are."""
        if not self.shortcuts:
            return ()
        found = []
        for n in self.net.neurons:
            incoming = self.net.incoming(n)
            if all(self._from_dense_data(q) for q in incoming):
                found.append(n)
        return tuple(found)

    @property
    def resting(self) -> tuple[str, ...]:
        """Populations whose net input moves only with weights, biases, inputs and events."""
        if not self.shortcuts:
            return ()
        found = []
        for n in self.net.neurons:
            incoming = self.net.incoming(n)
            if all(self._from_data(q) or self.event_source(q.name, FORWARD) for q in incoming):
                found.append(n)
        return tuple(found)

    def _from_data(self, q: Projection) -> bool:
        clamped: bool = self.net.populations[q.pre].clamped
        return clamped

    def _from_dense_data(self, q: Projection) -> bool:
        return self._from_data(q) and self.event_source(q.name, FORWARD) is None

    def late_is_read(self, population: str) -> bool:
        """Return whether anything reads the late messages (`Text.late`) while weights are fixed."""
        if not self.shortcuts or self.imperfections.alters_messages or self.rules:
            return True
        for q in self.net.incoming(population):
            if not self._from_data(q) or self.event_source(q.name, BACKWARD):
                return True
        text = self.text(population)
        return any(text.reads(n) for n, _ in text.late)

    # --- equations

    def leaks(self, population: str) -> dict[str, str]:
        """Return the leaks (1/s) in which an Euler step is exact, by variable (`stepped`)."""
        clamped = self.net.populations[population].clamped
        found = self.imperfections.leaks(clamped)
        if self.method == EXPONENTIAL_EULER and not clamped:
            for state, leak in lagrangian.leak(self.net, population).items():
                if (population, state) not in self.replaced:  # its leak is not known
                    found[state] = leak
        return found

    @cached_property
    def replaced(self) -> Mapping[tuple[str, str], str]:
        """Right-hand sides in place of the flow's own, by population and state."""
        return replaced(self.extensions)

    def extension(self, population: str) -> Extension:
        """Return the extensions of one population, merged into one."""
        return merged(population, self.extensions)

    def equations(self, population: str) -> str:
        """Return the equations of one population in Brian2's notation."""
        recorded = [f"recorded_{variable} : 1" for variable in self.copied(population)]
        return "\n".join([self._text(population), *recorded])

    def text(self, population: str) -> Text:
        """Return the equations of one population as statements (`take_apart`)."""
        from neurosim.engine.statements import take_apart

        return take_apart(self._text(population))

    def _text(self, population: str) -> str:
        own = self.extension(population)
        imperfections = self.imperfections
        clamped = self.net.populations[population].clamped
        more = own.equations.strip().splitlines()
        sources = self.sources_of(population)
        for source in sources:
            more += source.equations
        if any(source.adaptive for source in sources):
            more += ADAPTIVE_EQUATIONS
        more += imperfections.equations(clamped)
        weighted = self.weighted_messages(population)
        if weighted:
            more += [f"{name} : 1" for name in (SAMPLE_WEIGHT, *dict(weighted))]
        if clamped:
            return "\n".join([lagrangian.clamped(), *more])
        return lagrangian.population(
            self.net,
            population,
            _sum(own.x, imperfections.term("x", self.method)),
            _sum(own.lam, imperfections.term("lam", self.method)),
            "\n".join(more),
            own_gains=self.points > 0,
            own_times=imperfections.own_times,
            slope=imperfections.slope(self.net.populations[population].activation),
            dx=own.dx,
            dlam=own.dlam,
        )

    @property
    def keeps_rates(self) -> bool:
        """Whether rates of change are stored in arrays."""
        return self.settles or self.method in STAGED

    @property
    def partitions(self) -> tuple[str, ...]:
        """Populations whose loss reads log sum exp(x), the normaliser of the softmax."""
        return tuple(n for n in self.net.losses if self.net.loss_term(n).partition)

    @property
    def totals(self) -> tuple[str, ...]:
        """Populations whose loss reads the sum of their targets."""
        return tuple(n for n in self.net.losses if self.net.loss_term(n).total)

    def check_texts(self) -> None:
        """Refuse extensions that Brian2 cannot read, and rules that read what is not there.

        Raises
        ------
        ModelError
            Text that is not in Brian2's notation, or a name that the equations have already; a
            variable that the ends of a synapse do not have.
        """
        for population in dict.fromkeys(e.population for e in self.extensions):
            self._parsed(population)
        more = self.extensions or self.imperfections  # else `compatibility` has checked the names
        for rule in self.rules.values() if more else ():
            rule.check()

    def _parsed(self, population: str) -> Any:
        """Return the equations of one population as Brian2 reads them."""
        try:
            return _equations(self._text(population))
        except Exception as error:  # of Brian2's own kinds, of Python's parser and of SymPy
            own = self.extension(population)
            given = {key: getattr(own, key) for key in TEXTS}
            if not any(given.values()):
                raise
            texts = ", ".join(f"{key} = {shown(text)}" for key, text in given.items() if text)
            raise ModelError(
                f"the extension of {population} makes no equations: {str(error).strip()}; "
                "allowed: Brian2's notation, with names that sim.equations does not define; "
                f"given: {texts}"
            ) from error

    # --- records

    def variables(self, population: str) -> dict[str, bool]:
        """Return the variables of a population that can be recorded, and whether each is an array.

        They are dimensionless numbers, one per unit.
        """
        from neurosim.engine.quiet import brian2

        subexpression = brian2.equations.equations.SUBEXPRESSION
        found = {}
        for e in self._parsed(population).values():
            if e.dim.is_dimensionless and "shared" not in e.flags and e.var_type == "float":
                found[e.varname] = e.type != subexpression or "constant over dt" in e.flags
        return found

    def copied(self, population: str) -> list[str]:
        """Return the recorded subexpressions, which are evaluated when a sample is taken."""
        names = set()
        for recorded in self.recorded:
            if any(part.name == population for part in recorded.parts):
                names.add(self._own_name(population, recorded.variable))
        return sorted(name for name in names if not self.variables(population)[name])

    def sampled(self, population: str) -> list[tuple[str, str]]:
        """Return the statements to evaluate when a sample is taken.

        They write recorded subexpressions, and late messages that the steps may leave out. So
        which messages a step computes does not depend on what is recorded.
        """
        text = self.text(population)
        if self.method in STAGED:
            text = text.at_stages()
        copies = [(f"recorded_{variable}", variable) for variable in self.copied(population)]
        late: list[tuple[str, str]] = []
        if not self.late_is_read(population) and any(self.records(name) for name, _ in text.late):
            late += text.late
        return text.with_helpers([*late, *copies])

    def array_name(self, group: str, variable: str) -> str:
        """Return the name of the array that holds a recorded variable."""
        if group not in self.net.populations:
            return variable
        name = self._own_name(group, variable)
        return name if self.variables(group)[name] else f"recorded_{name}"

    def _own_name(self, population: str, variable: str) -> str:
        """Return the present name of a recorded variable, which may be given by its 0.1.0 name."""
        return variable if variable in self.variables(population) else current_name(variable)

    def records(self, variable: str) -> bool:
        """Return whether this variable is recorded anywhere."""
        return any(recorded.variable == variable for recorded in self.recorded)

    # --- weights

    @cached_property
    def rules(self) -> dict[str, SynapseRule]:
        """Learning rules that are not built in, by Brian2 group; none if weights are fixed."""
        return rules_of(self) if self.learns else {}

    def has_own_rule(self, projection: str) -> bool:
        """Return whether the weights of a projection move by a rule that is not built in."""
        return projection_group(projection) in self.rules

    @property
    def dale(self) -> bool:
        """Whether a neuron's outgoing weights keep one sign."""
        return self.imperfections.of(Dale) is not None

    def back(self, projection: str) -> str:
        """Return the name of the array that carries messages back: "w", or "back" for B."""
        return "back" if projection in self.net.feedback else "w"

    def may_defer(self, projection: str) -> bool:
        """Return whether W x may follow from the Gram matrix of the inputs (`Engine.defers`).

        Its products with the messages take less work than two products with W as long as there
        are fewer than two patterns per input unit. In measurements the gain vanished at 1.3. The
        limit here is 1, up to which the Gram matrix takes no more memory than the inputs.
        """
        q = self.net.projections[projection]
        input_is_constant = self.shortcuts and self._from_dense_data(q)
        # a step adds h delta^T x to the weights; those of stages and of Adam do not
        linear = self.method not in (*STAGED, ADAM)
        each_step_counts = self.points or self.dale or self.imperfections.of(LowPass)
        each_step_counts = each_step_counts or self.has_own_rule(projection)
        if not input_is_constant or not linear or each_step_counts:
            return False
        w = self.net.weights[projection]
        dense = isinstance(w, np.ndarray) and w.ndim == 2
        return dense and self.patterns <= self.net.populations[q.pre].size


@lru_cache(maxsize=256)  # every segment of a run asks for them
def _equations(text: str) -> Any:
    """Return equations as Brian2 reads them."""
    from neurosim.engine.quiet import equations

    return equations(text)


def moves_activity(plan: Plan, population: str) -> tuple[tuple[str, str], ...]:
    """Return the increment of `activity`, the decaying maximum of a unit's speed |tau dz/dt|.

    Units with an adaptive threshold have it. It reads the rates of the same step.
    """
    if any(source.adaptive for source in plan.sources_of(population)):
        return (("activity", f"{ACTIVITY} - activity"),)
    return ()


def _sum(*terms: str) -> str:
    """Return the sum of the terms that are not empty."""
    return " + ".join(term for term in terms if term)
