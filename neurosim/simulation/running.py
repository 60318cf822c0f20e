"""Relax, train, stream and interact: each opens a session and loops over its segments.

Above `opening` and `segments`, below `simulation`, whose methods of the same names document the
arguments. Start at `relax`, the shortest.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from neurosim.data.sample_weights import of_mean_one
from neurosim.errors import number, out_of_range, whole, yes_or_no
from neurosim.model.flow import seconds
from neurosim.model.schedules import LocalPropagation, Plain, Presentations, StepSchedule, split
from neurosim.results.runs import Log, Run
from neurosim.simulation import compatibility
from neurosim.simulation.best_weights import BestWeights
from neurosim.simulation.checkpoint import read_checkpoint, write_checkpoint
from neurosim.simulation.log import LogRows, Row, history_of, summary
from neurosim.simulation.modulators import Modulation, modulation
from neurosim.simulation.one_run import one_at_a_time
from neurosim.simulation.opening import (
    Data,
    Simulated,
    is_one_program,
    may_divide,
    open_session,
    read_data,
)
from neurosim.simulation.options import (
    RelaxOptions,
    RunOptions,
    Stepping,
    TrainOptions,
    Work,
    steps_of,
)
from neurosim.simulation.segments import interruptible, segments
from neurosim.simulation.session import Session
from neurosim.simulation.settling import check_settling
from neurosim.simulation.start import steps_before
from neurosim.simulation.world import World, WorldLoop

Array = np.ndarray
# Longest time from one tick of an adaptive run to the next, in tau_x of the slowest population.
LONGEST_TICK = 10
MOST_FRAMES = 2**31  # of one run, and copies of a world
PARTS = 20  # segments into which a run that shows its progress is divided


@one_at_a_time
def relax(sim: Simulated, X: Any, Y: Any, options: RelaxOptions) -> Run:
    """Relax; `Simulation.relax` documents the arguments."""
    options.refuse_unrecorded()
    given = read_data(sim.net, X, Y)
    steps, stepping = _stepping(sim, options)
    if stepping.adaptive:
        options = replace(options, every=None)  # one sample per tick, and a tick lasts for `every`
    recording = options.recording(sim.dt, given.count)
    work = Work(steps=steps, recording=recording, stepping=stepping)
    session = open_session(sim, given, options.start, work)
    divided = options.progress and may_divide(sim) and options.accelerate is None
    parts = PARTS if divided else 1
    with interruptible(session, "relaxing", steps, progress=options.progress) as advance:
        session.stable_step()
        for segment in segments(session, split(steps, parts)):
            session.run(segment.steps)
            advance(segment.steps, "")
        if session.complete and not session.settled:
            session.stable_step()
    return session.finish(interrupted=not session.complete)


@one_at_a_time
def train(sim: Simulated, X: Any, Y: Any, schedule: Plain, options: TrainOptions) -> Log:
    """Train a network that keeps its size; `Simulation.train` documents the arguments."""
    sim.imperfections.impose_signs(sim.net)
    options.refuse_unrecorded()
    # functions of the user's own run between the steps, and may change X
    calls = options.visit is not None or bool(sim.factories)
    given = read_data(sim.net, X, Y, sample_weight=options.sample_weight, copied=calls)
    log = LogRows(sim.net, given, options.validation)
    descent = schedule if isinstance(schedule, LocalPropagation) else None
    keeps_best = descent is not None and descent.best and options.validation is not None
    best = BestWeights(sim.net, keeps_best)
    plan = StepSchedule.of(schedule, sim.dt, given.count, sim.seed)
    plan = plan.after(steps_before(options.start))
    recording = options.recording(sim.dt, plan.batch or given.count)
    work = Work(
        steps=plan.total,
        plastic=True,
        recording=recording,
        schedule=plan,
        descent=descent,
        sample_weight=_factors(given.sample_weight, descent),
    )
    modulators = modulation(sim.net, options.modulators, plan)
    session = open_session(sim, given, options.start, work)
    one_program = is_one_program(sim)
    done = 0
    rows: list[Row] = []
    if options.resume is not None:
        done, rows = read_checkpoint(options.resume, session, schedule, best)
    with interruptible(
        session, "training", plan.total, progress=options.progress, rows=rows
    ) as advance:
        if done == 0 and not plan.batch:
            session.stable_step()
        lengths = plan.segments(one_program)
        for segment in segments(session, lengths, first=done):
            if plan.batch:
                epochs = range(plan.reports) if one_program else [segment.number]
                _present(session, plan, epochs)
            session.mirror(plan.begin + segment.number)
            modulators.load(session, segment.steps)
            session.run(segment.steps)
            session.read_weights()
            rows.append(log.row(session))
            best.consider(rows[-1])
            advance(segment.steps, summary(rows[-1]))
            if options.visit is not None:
                options.visit(session.snapshot_run())
            if options.checkpoint is not None and session.complete:
                done = segment.number + 1
                write_checkpoint(options.checkpoint, session, schedule, done, rows, best)
    run = session.finish(interrupted=not session.complete)
    return Log(partial(history_of, rows), replace(run, settings=run.settings | best.restore()))


@one_at_a_time
def stream(
    sim: Simulated, frames: Any, targets: Any, per_frame: Any, plastic: bool, options: RunOptions
) -> Run:
    """Clamp frames one after the other; `Simulation.stream` documents the arguments."""
    if yes_or_no("plastic", plastic):
        sim.imperfections.impose_signs(sim.net)
    given = read_data(sim.net, frames, targets)
    plan = _frame_by_frame(sim, given.count, per_frame, 1, 0.0 if plastic else 1.0)
    modulators = Modulation()
    if plastic:
        modulators = modulation(sim.net, options.modulators, plan)
    elif options.modulators is not None:
        raise out_of_range("modulators", options.modulators, "None with plastic=False")
    session = _open_frames(sim, given, plan, plastic, options)
    parts = min(PARTS, given.count) if options.progress and may_divide(sim) else 1
    with interruptible(session, "streaming", plan.total, progress=options.progress) as advance:
        _present(session, plan, [0])
        # a frame is never divided, so that a bar does not change the numbers
        lengths = [frames * plan.length for frames in split(given.count, parts)]
        for segment in segments(session, lengths):
            modulators.load(session, segment.steps)
            session.run(segment.steps)
            advance(segment.steps, "")
    if plastic:
        session.read_weights()
    run = session.finish(interrupted=not session.complete)
    return replace(run, settings=run.settings | {"per_frame": plan.length * sim.dt})


@one_at_a_time
def interact(
    sim: Simulated,
    world: World,
    frames: int,
    per_frame: Any,
    patterns: int,
    plastic_from: float,
    options: RunOptions,
) -> Run:
    """Let outputs act on a world; `Simulation.interact` documents the arguments."""
    count = whole("frames", frames, 1, MOST_FRAMES) * whole("patterns", patterns, 1, MOST_FRAMES)
    compatibility.check_interactive(sim.requested_backend)
    plan = _frame_by_frame(sim, count, per_frame, patterns, plastic_from)
    # the world writes its frames into these rows
    rows = Data(_zeros(sim, sim.net.inputs, count), _zeros(sim, sim.net.losses, count), count)
    session = _open_frames(sim, rows, plan, plastic_from < 1, options, interactive=True)

    def outputs() -> Array:
        return session.engine.value(sim.net.output, "x").reshape(patterns, -1)

    modulators = Modulation()
    if plastic_from < 1:
        modulators = modulation(sim.net, None, plan, frames=True)
    loop = WorldLoop(
        world, sim.net, rows.clamped, rows.targets, patterns, outputs, modulators.values
    )
    with interruptible(session, "interacting", plan.total):
        session.engine.ask(loop)
        _present(session, plan, [0])
        modulators.load(session, plan.total)
        if loop():  # the first frame
            for segment in segments(session, [plan.total]):
                session.run(segment.steps)
    if loop.failed is not None:
        raise loop.failed
    if plastic_from < 1:
        session.read_weights()
    run = session.finish(interrupted=session.stopped)
    shown = {"per_frame": plan.length * sim.dt, "frames": loop.shown}
    return replace(run, settings=run.settings | shown)


def _factors(weights: Array | None, descent: LocalPropagation | None) -> Array | None:
    """Return the factors of the patterns' plasticity, (patterns,); None without weights.

    Plasticity is a mean over the patterns, so that its factors have the mean 1; that of Local
    Propagation is a sum.
    """
    if weights is None or descent is not None:
        return weights
    return of_mean_one(weights)


def _stepping(sim: Simulated, options: RelaxOptions) -> tuple[int, Stepping]:
    """Return the number of steps of a relaxation, and how they are taken.

    An adaptive run is counted in ticks. Its samples are one tick apart, so the last tick may be
    shorter; if it records nothing, its ticks are as long as `LONGEST_TICK` allows.
    """
    settle = 0.0
    if options.settle is not None:
        settle = number("settle", options.settle, above=0, try_="1e-6")
    tolerance = number("tolerance", options.tolerance, above=0, try_="1e-6")
    if options.accelerate is not None:
        compatibility.check_accelerated(sim)
    if options.settle_each:
        check_settling(sim, sim.backend, bool(sim.factories))
    if not options.adaptive:
        steps = steps_of("duration", options.duration, sim.dt)
        each = options.settle_each
        return steps, Stepping(settle, accelerate=options.accelerate, settle_each=each)
    compatibility.check_adaptive(sim)
    duration = seconds(options.duration, "duration")
    if options.record:
        tick = sim.dt if options.every is None else seconds(options.every, "every")
        steps_of("duration", max(duration, tick), tick)  # not too many
        ticks, last = _ticks(duration, tick)
        return ticks, Stepping(settle, tolerance, tick, last)
    longest = LONGEST_TICK * max(sim.flow.time("tau_x", n) for n in sim.net.neurons)
    steps_of("duration", max(duration, longest), longest)  # refuses too many
    ticks = max(-int(-duration // longest), 1)
    tick = duration / ticks
    return ticks, Stepping(settle, tolerance, tick, tick)


def _ticks(duration: float, tick: float) -> tuple[int, float]:
    """Return the number of ticks in a duration, and the length of the last one, s.

    Examples
    --------
    >>> _ticks(0.1, 0.025), _ticks(0.1, 0.07)[0]
    ((4, 0.025), 2)
    """
    whole = round(duration / tick)
    if whole and abs(whole * tick - duration) < 1e-6 * tick:
        return whole, tick
    ticks = int(duration // tick) + 1
    return ticks, duration - (ticks - 1) * tick


def _frame_by_frame(
    sim: Simulated, count: int, per_frame: Any, patterns: int, plastic_from: float
) -> StepSchedule:
    """Return the schedule that shows each frame once, in order."""
    steps_of("per_frame", per_frame, sim.dt)
    frames = Presentations(
        batch=patterns, present=per_frame, plastic_from=plastic_from, epochs=1, shuffle=False
    )
    return StepSchedule.of(frames, sim.dt, count, sim.seed)


def _open_frames(
    sim: Simulated,
    given: Data,
    plan: StepSchedule,
    plastic: bool,
    options: RunOptions,
    *,
    interactive: bool = False,
) -> Session:
    """Open a session to which frames are presented; by default it samples once per frame."""
    options.refuse_unrecorded()
    if options.record and options.every is None:
        options = replace(options, every=plan.length * sim.dt)
    work = Work(
        steps=plan.total,
        plastic=plastic,
        recording=options.recording(sim.dt, plan.batch or 1),
        schedule=plan,
        interactive=interactive,
    )
    return open_session(sim, given, options.start, work)


def _present(session: Session, plan: StepSchedule, epochs: Any) -> None:
    """Present all batches of these epochs, in the order of the schedule."""
    order = np.concatenate([plan.order(epoch) for epoch in epochs])
    session.present(order, plan.length, plan.gate)


def _zeros(sim: Simulated, populations: Any, count: int) -> dict[str, Array]:
    return {n: np.zeros((count, sim.net.populations[n].size)) for n in populations}
