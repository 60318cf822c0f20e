"""Facts about a plan that the C++ templates read, in one frozen dataclass per kind of object.

A field that names a variable holds its name in `Kernels`, e.g. ``"w_a_to_b"``; in a template,
``array(name)`` is the name of its C++ array. Made from a plan alone, without Brian2. Start at
`program_code`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from neurosim.engine.integrators import ANDERSON_DEPTH, ANDERSON_RESTART
from neurosim.engine.liveness import may_be_direct, tracks
from neurosim.engine.names import GUARD_EVERY, SAMPLE_WEIGHT, bias_group, projection_group
from neurosim.engine.plan import Plan
from neurosim.engine.standalone.noise import NoiseCode, noise_code
from neurosim.engine.standalone.program import recorded_groups
from neurosim.engine.standalone.rules import ModulatorCode, RuleCode, modulator_codes, rule_code
from neurosim.engine.standalone.shared import SharedCode, shared_code
from neurosim.model.equations.events import EventSource
from neurosim.model.feedback import FOLLOWING, KOLEN_POLLACK, SIGN, SYMMETRIC
from neurosim.model.methods import ADAM, ADAPTIVE, ANDERSON, SEMI_IMPLICIT, STAGED
from neurosim.model.populations import Projection
from neurosim.model.transport import BACKWARD, FORWARD, Spikes
from neurosim.model.weights import synapses

PARALLEL = 2**13  # entries of a loop from which several threads pay
FAR = 2**20  # bytes of weights that no longer stay in the processor's caches until the next step
COLLECTED = 16  # changes of such weights that are collected before they are added
FOLD_EVERY = 10000  # steps after which integrals (see ns_events.h) are added to the weights


@dataclass(frozen=True, kw_only=True)
class ProjectionCode:
    """One projection."""

    # Ends and size
    name: str  # its Brian2 group; suffix of the names of its variables
    pre: str  # presynaptic population
    post: str  # postsynaptic population
    pre_number: int  # presynaptic population in the order of the network, from 1; 0 if clamped
    post_number: int  # postsynaptic population in that order
    m: int  # postsynaptic units
    n: int  # presynaptic units
    id: int  # number of its buffers and flags; id + 1 and id + 2 are its own as well
    size: int  # synapses
    sparse: bool  # whether its weights are compressed rows
    shared: SharedCode | None  # how sites share its weights, if they do

    # Messages
    events: bool  # whether its messages are events
    received_x: str  # variable of the messages that it receives forward
    received_delta: str  # variable of the messages that it receives backward
    sends_back: bool  # whether its presynaptic units receive messages back: they are not clamped
    adds_feedback: bool  # whether it adds to feedback, else it is the first and overwrites it
    feedback_weights: str  # variable of the weights that carry messages back
    own_feedback: bool  # whether the feedback weights are separate from W
    feedback_learns: bool  # whether the feedback weights learn as W does
    feedback_follows_signs: bool  # whether the feedback weights have the signs of W

    # Kept products of clamped inputs
    keeps_product: bool  # whether W x is kept while neither W nor x moves
    drives_alone: bool  # whether the net input of its population is only W x and the biases
    defers_changes: bool  # whether a run may keep W x up to date without W, see `Plan.may_defer`
    collects_changes: bool  # whether changes of W are collected and added several at a time

    # Plasticity
    plasticity_x: str  # variable of x that the weights learn by
    plasticity_delta: str  # variable of delta that the weights learn by
    exact_plasticity: bool  # whether W moves by integrals between events, see ns_events.h
    learns_on_way_back: bool  # whether W moves in the pass that carries messages back through it
    rule: RuleCode | None  # in place of the built-in one
    sample_weight: str | None  # variable of the weights of patterns, if they have any

    # Observers and processes
    copy: str | None  # variable of a copy of W that samples read, if W itself is not up to date
    memory: int  # numbers that a process leaves to the next one, beside W; 0 if none


@dataclass(frozen=True, kw_only=True)
class PopulationCode:
    """One population that is not clamped."""

    name: str  # the population; suffix of the names of its variables
    number: int  # in the order of the network, from 1
    n: int  # units
    features: int  # units at each site, which one softmax is over
    n_biases: int  # biases; fewer than units where sites share them
    bias: str  # Brian2 group of its biases
    free: bool  # whether it has no constraint
    has_partition: bool  # whether its loss reads log sum exp(x)
    has_target_total: bool  # whether its loss reads the sum of its targets
    clears_feedback: bool  # whether its feedback is set to 0 first, and all projections add to it
    may_be_direct: bool  # whether gains exist with which no state depends on its old value
    may_rest: bool  # whether its net input stands still until weights, inputs or an event change it
    adaptive_threshold: bool  # whether its thresholds follow the time since a pattern was clamped
    plasticity_delta: str  # variable of delta that its biases learn by
    rule: RuleCode | None  # of its biases, in place of the built-in one


@dataclass(frozen=True, kw_only=True)
class EventSourceCode:
    """The events of one population in one direction, to projections of one transport."""

    variable: str  # the value that is sent: "x" forward, "delta" backward
    n: int  # units of all patterns
    sending: str  # variable of the units that send at this step
    now: str  # variable of the present value
    sent: str  # variable of the value that was last sent
    events: str  # variable that counts events
    plastic_events: str  # variable that counts events while weights are plastic
    quantum: str | None  # variable of the amount that a spike sends; None: events send the value
    ready: str | None  # variable of the time from which a unit may spike again, if limited
    silence: str | None  # variable of the shortest time between two spikes of a unit, if limited
    delay_steps: int  # steps from sending to arrival
    line: str | None  # variable of the values on their way, if there is a delay
    line_at: str | None  # variable of the place in that line, if there is a delay
    received: str | None  # variable of the value that has arrived, if there is a delay
    projections: tuple[str, ...]  # groups of the projections that receive


@dataclass(frozen=True, kw_only=True)
class DelayLineCode:
    """The dense messages of one population in one direction that are on their way."""

    variable: str  # the value that is sent: "x" forward, "delta" backward
    name: str  # direction and population; suffix of the names of its variables
    steps: int  # steps from sending to arrival
    n: int  # units of all patterns


@dataclass(frozen=True, kw_only=True)
class RecordedCode:
    """One recorded variable."""

    number: int  # of its files
    arrays: tuple[str, ...]  # variables that a sample is read from
    units: tuple[int, ...]  # numbers of each pattern in them; 0: not by pattern


@dataclass(frozen=True, kw_only=True)
class DataSourceCode:
    """The part of a data set that is clamped in one variable."""

    variable: str  # variable in which rows are clamped
    file: str  # file of all rows
    n: int  # numbers of the variable per pattern
    repeats: bool  # whether a row of the file is one number, which all of them take


@dataclass(frozen=True, kw_only=True)
class StateCode:
    """One state variable, of which a method with stages keeps copies."""

    id: int  # number of its buffers
    variable: str
    n: int  # entries
    owner: int = 1  # number of its population in the order of the network, from 1
    projection: ProjectionCode | None = None  # whose weights it holds, if any
    biases_of: PopulationCode | None = None  # whose biases it holds, if any


@dataclass(frozen=True, kw_only=True)
class BlockCode:
    """Statements on the variables of one population, translated by Brian2."""

    kind: str  # the part of a step that it belongs to
    name: str  # key of the translated code in Brian2
    owner: str  # the population, or the Brian2 group of synapses
    n: int  # entries that the statements apply to
    only_plastic: bool  # whether its results are read only while weights are plastic


@dataclass(frozen=True, kw_only=True)
class ProgramCode:
    """One program: the variables that are available in every template."""

    # Size and number format
    K: int  # patterns
    weight_sets: int  # matrices that a projection holds, each for its share of the patterns
    points: int  # parameter points that are simulated side by side; 0: one simulation
    real: str  # C++ type of states and weights

    # Parts
    populations: tuple[PopulationCode, ...]
    projections: tuple[ProjectionCode, ...]
    event_sources: tuple[EventSourceCode, ...]
    delay_lines: tuple[DelayLineCode, ...]  # of dense messages
    noise: NoiseCode | None  # None where nothing is random
    recorded: tuple[RecordedCode, ...]
    data_sources: tuple[DataSourceCode, ...]
    modulators: tuple[ModulatorCode, ...]

    # What a step does
    adaptive: bool  # whether a tolerance determines the length of steps
    alternates: bool  # whether multipliers move after outputs, by recomputed net inputs
    settles: bool  # whether the run ends once the state rests; False for adaptive steps
    settles_each: bool  # whether every pattern that rests leaves the steps at once
    guard_every: int  # steps between two checks whether the state has left its bound, or rests
    dale: bool  # whether a unit's outgoing weights keep one sign
    prospective: bool  # whether messages are ahead of the state
    own_times: bool  # whether every unit has time constants of its own
    anderson: tuple[int, float] | None  # depth and restart, if steps are extrapolated to rest
    tracks: bool  # whether a value is computed only where what it follows from has changed
    parallel: int  # entries from which a loop runs on several threads; 0: none does
    undisturbed: bool  # whether only the engine reads the network between two steps
    fold_every: int  # steps after which weights that move by integrals are brought up to date
    collected: int  # changes of weights that are collected before they are added


def program_code(plan: Plan, undisturbed: bool, parallel: bool = False) -> ProgramCode:
    """Gather the facts about a plan that its program depends on.

    Parameters
    ----------
    plan : Plan
    undisturbed : bool
        Whether only the engine reads the network between two steps, so that weights may lack
        changes there.
    parallel : bool
        Whether long loops over units run on several threads.
    """
    adding = _populations_added_to(plan)
    projections = _projections(plan, adding, undisturbed)
    dense_lines = plan.lines if plan.imperfections.alters_messages else ()
    return ProgramCode(
        K=plan.patterns,
        weight_sets=plan.weight_sets,
        points=plan.points,
        real="float" if plan.precision == "float32" else "double",
        populations=tuple(_population(plan, name, name in adding) for name in plan.net.neurons),
        projections=projections,
        event_sources=tuple(_event_source(plan, source) for source in plan.event_sources),
        delay_lines=tuple(_delay_line(plan, *line) for line in dense_lines),
        noise=noise_code(plan),
        recorded=_recorded(plan, projections),
        data_sources=_data_sources(plan),
        modulators=modulator_codes(plan),
        adaptive=plan.method == ADAPTIVE,
        alternates=plan.method == SEMI_IMPLICIT,
        settles=plan.settles and plan.method != ADAPTIVE,
        settles_each=plan.settles_each,
        guard_every=GUARD_EVERY,
        dale=plan.dale,
        prospective=plan.imperfections.prospective is not None,
        own_times=plan.imperfections.own_times,
        anderson=(ANDERSON_DEPTH, ANDERSON_RESTART) if plan.method == ANDERSON else None,
        tracks=tracks(plan),
        parallel=PARALLEL if parallel else 0,
        undisturbed=undisturbed,
        fold_every=FOLD_EVERY,
        collected=COLLECTED,
    )


def added_arrays(program: ProgramCode) -> dict[str, dict[str, int]]:
    """Return the sizes of the arrays that a program adds to synapses, by group and variable."""
    found: dict[str, dict[str, int]] = {}
    for q in program.projections:
        own = found[q.name] = {}
        if q.copy:
            own["copy"] = q.size
        if q.memory:
            own["memory"] = q.memory
        if q.shared:
            own.update(q.shared.tables)
    return found


def _populations_added_to(plan: Plan) -> set[str]:
    """Return the populations whose feedback is cleared, as no product overwrites it."""
    found = set()
    for name in plan.net.neurons:
        for projection in plan.net.outgoing(name):
            if not _is_dense(plan, projection.name) or _sends_events(plan, projection.name):
                found.add(name)
    return found


def _population(plan: Plan, name: str, clears_feedback: bool) -> PopulationCode:
    sources = [source for source in plan.event_sources if source.population == name]
    population = plan.net.populations[name]
    return PopulationCode(
        name=name,
        number=plan.net.neurons.index(name) + 1,
        n=population.size,
        features=population.features,
        n_biases=plan.net.biases[name].size,
        bias=bias_group(name),
        free=population.free,
        has_partition=name in plan.partitions,
        has_target_total=name in plan.totals,
        clears_feedback=clears_feedback,
        may_be_direct=may_be_direct(plan, name),
        may_rest=name in plan.resting,
        adaptive_threshold=any(source.adaptive for source in sources),
        plasticity_delta=f"{plan.bias_plasticity_reads(name)}_{name}",
        rule=rule_code(plan, bias_group(name)),
    )


def _projections(plan: Plan, adding: set[str], undisturbed: bool) -> tuple[ProjectionCode, ...]:
    """Describe all projections; the first one back to a population may overwrite its feedback."""
    written = set(adding)
    found = []
    for number, projection in enumerate(plan.net.projections.values(), start=1):
        adds = projection.pre in written
        written.add(projection.pre)
        found.append(_projection(plan, projection, 10 * number, adds, undisturbed))
    return tuple(found)


def _projection(
    plan: Plan, projection: Projection, id: int, adds_feedback: bool, undisturbed: bool
) -> ProjectionCode:
    net, name = plan.net, projection.name
    group, pre, post = projection_group(name), projection.pre, projection.post
    m, n = net.populations[post].size, net.populations[pre].size
    clamped, events = net.populations[pre].clamped, _sends_events(plan, name)
    sparse = _is_sparse(plan, name)
    only_input = len(list(net.incoming(post))) == 1
    found = ProjectionCode(
        name=group,
        pre=pre,
        post=post,
        pre_number=0 if clamped else net.neurons.index(pre) + 1,
        post_number=net.neurons.index(post) + 1,
        m=m,
        n=n,
        id=id,
        size=synapses(net.weights[name]).size,
        sparse=sparse,
        shared=shared_code(net.between(name), plan.patterns),
        events=events,
        received_x=f"{plan.received(name, FORWARD)}_{pre}",
        received_delta=f"{plan.received(name, BACKWARD)}_{post}",
        sends_back=not clamped,
        adds_feedback=adds_feedback,
        feedback_weights=f"{plan.back(name)}_{group}",
        own_feedback=projection.feedback != SYMMETRIC,
        feedback_learns=projection.feedback == KOLEN_POLLACK,
        feedback_follows_signs=projection.feedback == SIGN,
        keeps_product=clamped and plan.shortcuts and not events,
        drives_alone=post in plan.still and only_input,
        defers_changes=plan.may_defer(name),
        collects_changes=undisturbed and clamped and _collects_changes(plan, name),
        plasticity_x=f"{plan.plasticity_reads(name, FORWARD)}_{pre}",
        plasticity_delta=f"{plan.plasticity_reads(name, BACKWARD)}_{post}",
        exact_plasticity=events and _has_exact_plasticity(plan, projection),
        learns_on_way_back=undisturbed and not clamped and _learns_on_way_back(plan, name),
        rule=rule_code(plan, group),
        sample_weight=_if(plan.weighted, f"{SAMPLE_WEIGHT}_{post}"),
        copy=None,
        memory=0,
    )
    falls_behind = found.defers_changes or found.collects_changes or found.exact_plasticity
    copied = plan.records("w") and (falls_behind or found.learns_on_way_back)
    return replace(
        found, copy=_if(copied, f"copy_{group}"), memory=_memory_size(found, plan.patterns)
    )


def _memory_size(q: ProjectionCode, patterns: int) -> int:
    """Return the numbers that `save` writes, in ns_events.h and ns_kernels.h."""
    weights = q.m * q.n
    if q.collects_changes:
        return 1 + COLLECTED * (q.m + q.n) + weights
    if not q.events:
        return 0
    back = q.n if q.sends_back else 0
    size = 9 + patterns * (q.m + back)
    if q.exact_plasticity:
        size += q.m + q.n + 2 * weights
        if q.sends_back and not q.own_feedback:
            size += q.n + q.m
    return size


def _is_sparse(plan: Plan, projection: str) -> bool:
    return not isinstance(plan.net.weights[projection], np.ndarray)


def _is_dense(plan: Plan, projection: str) -> bool:
    """Return whether weights are a matrix: neither sparse nor shared."""
    return not _is_sparse(plan, projection) and plan.net.between(projection) is None


def _sends_events(plan: Plan, projection: str) -> bool:
    return plan.event_source(projection, FORWARD) is not None


def _adds_every_step(plan: Plan) -> bool:
    """Return whether weights change by plain increments, once per step."""
    return plan.method not in (*STAGED, ADAM)


def _collects_changes(plan: Plan, projection: str) -> bool:
    """Return whether dense weights of one pattern are too large to be written at every step."""
    if plan.patterns > 1 or plan.dale or not _adds_every_step(plan):
        return False
    if plan.has_own_rule(projection):
        return False
    if not _is_dense(plan, projection) or _sends_events(plan, projection):
        return False
    size = plan.net.weights[projection].size * np.dtype(plan.precision).itemsize
    return bool(size > FAR)


def _has_exact_plasticity(plan: Plan, projection: Projection) -> bool:
    """Return whether weights may move by integrals of the values last sent (ns_events.h)."""
    if plan.has_own_rule(projection.name):
        return False
    if not (plan.learns and plan.patterns == 1 and plan.shortcuts):
        return False
    if not _is_dense(plan, projection.name) or plan.dale:
        return False
    return projection.feedback not in FOLLOWING


def _learns_on_way_back(plan: Plan, projection: str) -> bool:
    """Return whether dense weights of one pattern may move while messages go back through them."""
    if plan.patterns > 1 or not _is_dense(plan, projection) or not _adds_every_step(plan):
        return False
    if plan.event_sources or plan.back(projection) != "w" or plan.has_own_rule(projection):
        return False
    for variable in (FORWARD, BACKWARD):
        if plan.plastic_message(projection, variable) != plan.received(projection, variable):
            return False
    return True


def _event_source(plan: Plan, source: EventSource) -> EventSourceCode:
    end = f"{source.name}_{source.population}"
    delayed, silent = bool(source.rule.delay), source.silent
    return EventSourceCode(
        variable=source.variable,
        n=plan.net.populations[source.population].size * plan.patterns,
        sending=f"_{source.event}space_{source.population}",
        now=f"{source.variable}_{source.population}",
        sent=f"sent_{end}",
        events=f"events_{end}",
        plastic_events=f"plastic_events_{end}",
        quantum=_if(isinstance(source.rule, Spikes), f"theta_{end}"),
        ready=_if(silent, f"ready_{end}"),
        silence=_if(silent, f"silence_{end}"),
        delay_steps=source.delay_steps(plan.dt),
        line=_if(delayed, f"line_{end}"),
        line_at=_if(delayed, f"line_at_{end}"),
        received=_if(delayed, f"received_{end}"),
        projections=tuple(projection_group(name) for name in source.projections),
    )


def _if(exists: bool, name: str) -> str | None:
    """Return the name of a variable that exists, else None."""
    return name if exists else None


def _delay_line(plan: Plan, population: str, variable: str, steps: int) -> DelayLineCode:
    return DelayLineCode(
        variable=variable,
        name=f"{variable}_{population}",
        steps=steps,
        n=plan.patterns * plan.net.populations[population].size,
    )


def _recorded(plan: Plan, projections: Sequence[ProjectionCode]) -> tuple[RecordedCode, ...]:
    copies = {q.name: q.copy for q in projections}
    found = []
    for number, recorded in enumerate(plan.recorded):
        arrays, units = [], []
        for name in recorded_groups(recorded.parts):
            group = projection_group(name)
            array = plan.array_name(name, recorded.variable)
            own_copy = copies.get(group) if array == "w" else None
            arrays.append(own_copy or f"{array}_{group}")
            units.append(plan.net.populations[name].size if name in plan.net.populations else 0)
        found.append(RecordedCode(number=number, arrays=tuple(arrays), units=tuple(units)))
    return tuple(found)


def _data_sources(plan: Plan) -> tuple[DataSourceCode, ...]:
    net = plan.net
    shown = [("x", name) for name in net.inputs] + [("y", name) for name in net.losses]
    if plan.weighted:
        shown += [(SAMPLE_WEIGHT, name) for name in net.neurons]
    found = []
    for variable, name in shown:
        source = DataSourceCode(
            variable=f"{variable}_{name}",
            file=f"data/{name}_{variable}.bin",
            n=net.populations[name].size,
            repeats=variable == SAMPLE_WEIGHT,
        )
        found.append(source)
    return tuple(found)
