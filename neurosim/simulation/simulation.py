"""Simulation: a network and a flow, relaxed or trained on Brian2.

Above `session`, which drives one engine, and `training`, which keeps the log; here is what a user
calls. Start at `Simulation.relax` and `Simulation.train`.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import reference
from neurosim.data import patterns as data
from neurosim.engine.plan import Plan
from neurosim.errors import ModelError, out_of_range, unknown, whole
from neurosim.model import transport as transports
from neurosim.model.equations import imperfections as circuit
from neurosim.model.extension import Extension
from neurosim.model.flow import Flow, seconds
from neurosim.model.methods import FIXED_STEP
from neurosim.model.network import Network
from neurosim.model.schedules import (
    Growing,
    LocalPropagation,
    Presentations,
    Pruning,
    Schedule,
    StepSchedule,
    split,
)
from neurosim.model.weights import synapses
from neurosim.results.files import load_weights, save_weights
from neurosim.results.runs import Log, Run
from neurosim.simulation import compatibility
from neurosim.simulation.checkpoint import read_checkpoint, write_checkpoint
from neurosim.simulation.log import Best, LogRows, history_of
from neurosim.simulation.options import Recording, Setting, Stepping, initial_state, steps_of
from neurosim.simulation.progress import bar, guarded
from neurosim.simulation.resizing import shape
from neurosim.simulation.session import Session
from neurosim.simulation.world import World, WorldLoop

if TYPE_CHECKING:
    from brian2.core.network import Network as BrianNetwork

Array = np.ndarray
BACKENDS = ("auto", "numpy", "cython", "standalone")
PRECISIONS = ("float64", "float32")
LONGEST_TICK = 10  # times the slowest neuron: how long an adaptive run goes without looking up
WORTH_COMPILING = 5.0  # s of NumPy work from which a compiler's 3 s pay

logger = logging.getLogger("neurosim")


class Simulation:
    """A network and a flow on Brian2.

    Parameters
    ----------
    net : Network
        `train` changes its weights in place.
    flow : Flow
    transport : Dense, Events, Spikes, "dense", "events", "spikes", or {projection: one of these}
        How messages travel: at every step, or once a unit has something new to say.
    dt : time
        Step; a `StabilityWarning` names the bound where it is too long.
    method : str
        "euler"; "semi_implicit": multipliers read the new violation, which keeps an undamped saddle
        bounded; "exponential_euler": exact in the linear leak of neurons and multiplier units;
        "heun" and "rk4": orders 2 and 4, messages recomputed at every stage.
    backend : str
        "numpy", "cython", "standalone" (C++), or "auto": by the amount of work; `backend_reason`
        says why.
    seed : int
        Of noise and of the order of presentations.
    extensions : Extension or sequence of Extension
        Terms and equations of a user's own.
    threads : int
        Of the products of whole batches (BLAS); one pattern at a time does not profit.
    precision : "float64" or "float32"
        Of outputs, multipliers and weights while they flow.
    shortcuts : bool
        Leave out work whose result is known, such as the first product of an input that stands
        still; exact to rounding. Off where objects of your own are added.
    imperfections : list
        What the circuit lacks: `StateNoise`, `MessageNoise`, `LostMessages`, `Quantised`, `Delay`,
        `TimeConstants`, `Derivative`, `Dale`, and the remedy `LowPass`; one of each kind, messages
        changed in this order.
    prospective : bool, time or Prospective
        Neighbours read x + tau dx/dt and lam + tau dlam/dt, or an estimate of them by a low-pass of
        that time; see `Prospective`, with its derivation and the notice of a patent application.

    Attributes
    ----------
    equations : str
        All ODEs, as Brian2 reads them.
    network : brian2.Network
        Of the last run; `network["hidden1"]` is the population's `NeuronGroup`.

    Raises
    ------
    ModelError
        An argument that cannot be.
    """

    def __init__(
        self,
        net: Network,
        flow: Flow,
        *,
        transport: Any = "dense",
        dt: Any = 1e-3,
        method: str = "euler",
        backend: str = "auto",
        seed: int = 0,
        extensions: Extension | Sequence[Extension] = (),
        threads: int = 1,
        precision: str = "float64",
        shortcuts: bool = True,
        imperfections: Any = (),
        prospective: Any = False,
    ) -> None:
        if not isinstance(net, Network):
            raise ModelError(
                f"net is a {type(net).__name__}; allowed: a Network, e.g. Network.mlp([64, 32, 10])"
            )
        if not isinstance(flow, Flow):
            raise ModelError(
                f"flow is a {type(flow).__name__}; allowed: a Flow, e.g. Flow.augmented()"
            )
        for name, value, allowed in (
            ("method", method, FIXED_STEP),
            ("backend", backend, BACKENDS),
            ("precision", precision, PRECISIONS),
        ):
            if value not in allowed:
                raise unknown(name, value, allowed)
        self.net, self.flow, self.method, self.transport = net, flow, method, transport
        self.transports = transports.resolve(net, transport)
        self.dt, self.seed = seconds(dt, "dt"), whole("seed", seed, 0)
        self.threads, self.precision, self.shortcuts = (
            whole("threads", threads, 1),
            precision,
            bool(shortcuts),
        )
        self.extensions = (extensions,) if isinstance(extensions, Extension) else tuple(extensions)
        self.imperfections = circuit.resolve(imperfections, prospective, self.seed)
        compatibility.check(self)
        self.wanted = backend
        self.backend = "numpy" if backend == "auto" else backend
        self.backend_reason = "not run yet" if backend == "auto" else "as asked for"
        self._factories: list[Callable[[BrianNetwork], Any]] = []
        self._session: Session | None = None

    def __repr__(self) -> str:
        where = f"{self.backend}: {self.backend_reason}"
        return f"Simulation({self.net!r}, {self.flow!r}, dt={self.dt:g} s, {self.method}, {where})"

    @property
    def equations(self) -> str:
        """The ODEs of every population and projection, in Brian2's notation."""
        from neurosim.model.equations import lagrangian

        plan = Plan(
            self.net,
            1,
            self.dt,
            self.method,
            extensions=self.extensions,
            transports=self.transports,
            imperfections=self.imperfections,
        )
        parts = []
        for name in self.net.neurons:
            size = self.net.populations[name].size
            said = [
                f"\n# at every step {v} = {e}"
                for d in ("x", "delta")
                for v, e in plan.sent(name, d)
            ]
            parts.append(
                f"# {name}: {size} neurons, {size} multiplier "
                f"units\n{plan.equations(name)}{''.join(said)}\n"
                f"{lagrangian.bias(self.net.populations[name], plan.bias_plasticity_reads(name))}"
            )
        for name, q in self.net.projections.items():
            count = synapses(self.net.weights[name]).size
            x, delta = (plan.received(name, v) for v in ("x", "delta"))
            learns = lagrangian.projection(
                q, *(plan.plasticity_reads(name, v) for v in ("x", "delta"))
            )
            parts.append(
                f"# {name}: {count} synapses, a += w*{x}_pre, feedback += w*{delta}_post\n{learns}"
            )
        return "\n\n".join(parts)

    @property
    def network(self) -> BrianNetwork:
        """The Brian2 network of the last run."""
        if self._session is None:
            raise ModelError(
                "sim.network is built by relax or train; to put objects into it "
                "before, use sim.add(...)"
            )
        return self._session.engine.network

    @property
    def loop_time(self) -> float:
        """Wall-clock seconds that the last run spent stepping, without building, compiling or
        reading.
        """
        return self._session.engine.loop_time if self._session else 0.0

    def add(self, factory: Callable[[BrianNetwork], Any]) -> None:
        """Put Brian2 objects of your own into every network that this simulation builds.

        Parameters
        ----------
        factory : callable
            Gets the Brian2 network, returns an object or a list of them, e.g. ``lambda network:
            StateMonitor(network["hidden1"], "lam", record=[0], name="watch")``; read it after the
            run as ``sim.network["watch"]``. On "standalone" a run is then one program from its
            start to its end.
        """
        if not callable(factory):
            raise ModelError(
                f"add({factory!r}); allowed: a function of the Brian2 network that "
                "returns Brian2 objects"
            )
        self._factories.append(factory)

    def relax(
        self,
        X: Any,
        Y: Any = None,
        *,
        duration: Any,
        record: str | Iterable[str] = (),
        every: Any = None,
        start: Any = "zero",
        patterns: Sequence[int] | None = None,
        units: Mapping[str, Sequence[int]] | None = None,
        stream: str | Path | None = None,
        adaptive: bool = False,
        tolerance: float = 1e-6,
        settle: float | None = None,
        progress: bool = False,
    ) -> Run:
        """Let outputs and multipliers flow with the weights fixed.

        Parameters
        ----------
        X : (patterns, features)
        Y : (patterns,) labels or (patterns, outputs)
            Not needed where the network has no loss.
        duration : time
            Rounded to steps.
        record : names
            x, lam, a, g, delta and whatever the equations name; "w" or "w:pre->post" for weights.
        every : time, optional
            Between two samples, a multiple of dt; each step by default.
        start : "zero", "forward", or a Run or State
            x = lam = 0; x of the forward pass and lam = 0; or what another run left.
        patterns : sequence of int, optional
            Which patterns are recorded; all by default.
        units : {population: sequence of int}, optional
            Which units are recorded; all by default.
        stream : path, optional
            A folder (zarr) into which what is recorded goes while the run goes on, in place of
            memory; `neurosim.recording.read_traces` and `xarray.open_zarr` read it meanwhile.
        adaptive : bool
            Steps of Dormand-Prince 5(4) as long as `tolerance` allows, of the whole coupled state;
            `dt` is only the first.
        tolerance : float
            Error of one adaptive step, absolute and relative.
        settle : float, optional
            Stop once max |tau dz/dt| over all outputs and multipliers is below it (`run.settled`).
        progress : bool
            A bar with the time left, on standard error.

        Returns
        -------
        Run

        Raises
        ------
        DataError, ModelError
            Input that does not fit.
        ConvergenceError
            A cyclic graph that does not contract.
        DivergenceError
            With the time, the population and what would hold.
        """
        clamped, targets, count = self._read(X, Y)
        steps, stepping = self._stepping(duration, every, bool(record), adaptive, tolerance, settle)
        recording = Recording.of(
            record, None if adaptive else every, self.dt, count, patterns, units, stream
        )
        session = self._open(
            clamped, targets, start, steps, plastic=False, recording=recording, stepping=stepping
        )
        parts = 20 if progress and self._divides else 1
        complete = True
        with guarded(session), bar(progress, "relaxing", steps) as advance:
            session.watch()
            for number, length in enumerate(split(steps, parts)):
                complete = session.run(length, number)
                advance(length, "")
                if not complete or session.settled:
                    break
            else:
                session.watch()
        return session.finish(interrupted=not complete)

    def train(
        self,
        X: Any,
        Y: Any,
        schedule: Schedule,
        *,
        validation: tuple[Any, Any] | None = None,
        record: str | Iterable[str] = (),
        every: Any = None,
        patterns: Sequence[int] | None = None,
        units: Mapping[str, Sequence[int]] | None = None,
        stream: str | Path | None = None,
        start: Any = "zero",
        progress: bool = False,
        checkpoint: str | Path | None = None,
        resume: str | Path | None = None,
        visit: Callable[[Run], Any] | None = None,
    ) -> Log:
        """Let all three flows run: outputs, multipliers and weights. Changes the network's weights.

        Parameters
        ----------
        X, Y, record, every, patterns, units, stream, start, progress
            As in `relax`; `start` and `patterns` are of the patterns simulated at once.
        schedule : Simultaneous, Presentations, LocalPropagation, Pruning or Growing
            With the last two the network changes its size (see `shaping`); nothing can be recorded.
        validation : (X, Y), optional
            Loss and accuracy on these go into the log.
        checkpoint : path, optional
            Written after every row of the log; the last complete one always stays.
        resume : path, optional
            Of a checkpoint of the same model, data and schedule: the result is that of an
            uninterrupted run.
        visit : callable, optional
            Gets the run as it stands, without traces, after every row of the log; see
            `SupportOverTraining`.

        Returns
        -------
        Log
            Ctrl-C ends training early with a usable log and weights (`log.interrupted`).

        Raises
        ------
        DataError, ModelError, FileError, ConvergenceError, DivergenceError
        """
        asked = {
            "record": record,
            "every": every,
            "patterns": patterns,
            "units": units,
            "stream": stream,
            "checkpoint": checkpoint,
            "resume": resume,
        }
        given = [name for name, value in asked.items() if value not in (None, ())]
        compatibility.check_schedule(self, schedule, given, self._one_segment)
        if isinstance(schedule, Pruning | Growing):
            return shape(
                self, X, Y, schedule, validation=validation, start=start, progress=progress
            )
        self.imperfections.impose_signs(self.net)
        clamped, targets, count = self._read(X, Y)
        held = LogRows(self.net, clamped, targets, validation)
        descent = schedule if isinstance(schedule, LocalPropagation) else None
        best = Best(self.net, descent is not None and descent.best and validation is not None)
        lesson = StepSchedule.of(schedule, self.dt, count, self.seed)
        recording = Recording.of(
            record, every, self.dt, lesson.batch or count, patterns, units, stream
        )
        session = self._open(
            clamped,
            targets,
            start,
            lesson.total,
            plastic=True,
            recording=recording,
            lesson=lesson,
            descent=descent,
        )
        rows: list[dict[str, float]] = []
        done = 0
        if resume is not None:
            done, rows = read_checkpoint(resume, session, schedule)
        complete = True
        with (
            guarded(session, rows),
            bar(progress, "training", lesson.total, session.steps) as advance,
        ):
            if done == 0 and not lesson.batch:
                session.watch()
            for number, length in enumerate(lesson.segments(self._one_segment)[done:], start=done):
                if lesson.batch:
                    epochs = range(lesson.reports) if self._one_segment else [number]
                    session.present(
                        np.concatenate([lesson.order(e) for e in epochs]),
                        lesson.length,
                        lesson.gate,
                    )
                session.mirror(lesson.begin + number)
                complete = session.run(length, lesson.begin + number)
                session.read_weights()
                rows.append(held.row(session))
                best.see(rows[-1])
                advance(length, held.say(rows[-1]))
                if visit is not None:
                    visit(session.snapshot_run())
                if checkpoint is not None and complete:
                    write_checkpoint(checkpoint, session, schedule, number + 1, rows)
                if not complete:
                    break
        run = session.finish(interrupted=not complete)
        return Log(partial(history_of, rows), replace(run, settings=run.settings | best.restore()))

    def stream(
        self,
        frames: Any,
        targets: Any = None,
        *,
        per_frame: Any,
        plastic: bool = False,
        record: str | Iterable[str] = (),
        every: Any = None,
        units: Mapping[str, Sequence[int]] | None = None,
        stream: str | Path | None = None,
        start: Any = "zero",
        progress: bool = False,
    ) -> Run:
        """Let a stream of inputs flow through one set of neurons: x and lam are carried from frame
        to frame.

        Parameters
        ----------
        frames : (time, features)
            Each is clamped for `per_frame`, one after the other.
        targets : (time,) labels or (time, outputs)
            Not needed where the network has no loss.
        per_frame : time
            Rounded to steps.
        plastic : bool
            Weights move all the time, and the network's are changed.
        record, units, stream, start, progress
            As in `relax`.
        every : time, optional
            Between two samples; `per_frame` by default: sample k then holds x and lam at the end of
            frame k - 1.

        Returns
        -------
        Run
            Its X and Y are those of the last frame.

        Raises
        ------
        DataError, ModelError, ConvergenceError, DivergenceError
        """
        if plastic:
            self.imperfections.impose_signs(self.net)
        clamped, encoded, count = self._read(frames, targets)
        gate = 0.0 if plastic else 1.0
        schedule = Presentations(
            batch=1, present=per_frame, plastic_from=gate, epochs=1, shuffle=False
        )
        lesson = StepSchedule.of(schedule, self.dt, count, self.seed)
        every = lesson.length * self.dt if every is None else every
        recording = Recording.of(record, every, self.dt, 1, units=units, stream=stream)
        session = self._open(
            clamped,
            encoded,
            start,
            lesson.total,
            plastic=plastic,
            recording=recording,
            lesson=lesson,
        )
        parts = min(20, count) if progress and self._divides else 1
        complete = True
        with guarded(session), bar(progress, "streaming", lesson.total) as advance:
            session.present(lesson.order(0), lesson.length, lesson.gate)
            for number, length in enumerate(split(lesson.total, parts)):
                complete = session.run(length, number)
                advance(length, "")
                if not complete:
                    break
        if plastic:
            session.read_weights()
        run = session.finish(interrupted=not complete)
        return replace(run, settings=run.settings | {"per_frame": lesson.length * self.dt})

    def interact(
        self,
        world: World,
        *,
        frames: int,
        per_frame: Any,
        patterns: int = 1,
        plastic_from: float = 1.0,
        record: str | Iterable[str] = (),
        every: Any = None,
        start: Any = "zero",
    ) -> Run:
        """Let the outputs act on a world, which answers with the next frame: a stream that depends
        on what is done.

        Parameters
        ----------
        world : callable
            Gets the output population's x, (patterns, units), as it is at the start and at the end
            of every frame but the last; returns what is shown next, X (patterns, features) and Y,
            or None to end the run.
        frames : int
            At most so many.
        per_frame : time
            How long each is shown, rounded to steps.
        patterns : int
            Worlds of one kind side by side.
        plastic_from : float
            Share of a frame after which weights move, 0 to 1; with 1 they never do.
        record, every, start
            As in `stream`: sample k holds the end of frame k - 1 unless `every` says otherwise.

        Returns
        -------
        Run
            Its X and Y are those of the last frame.

        Raises
        ------
        DataError, ModelError, ConvergenceError, DivergenceError
            Also whatever the world raises.

        Examples
        --------
        See `neurosim.tasks.Bandit`.
        """
        whole("frames", frames, 1)
        whole("patterns", patterns, 1)
        if self.wanted == "standalone":
            raise ModelError(
                "backend = 'standalone', a compiled program; allowed where a world is "
                "asked: numpy, cython"
            )
        schedule = Presentations(
            batch=patterns, present=per_frame, plastic_from=plastic_from, epochs=1, shuffle=False
        )
        count = frames * patterns
        clamped, targets = (
            {n: np.zeros((count, self.net.populations[n].size)) for n in names}
            for names in (self.net.inputs, self.net.losses)
        )
        lesson = StepSchedule.of(schedule, self.dt, count, self.seed)
        every = lesson.length * self.dt if every is None else every
        session = self._open(
            clamped,
            targets,
            start,
            lesson.total,
            plastic=plastic_from < 1,
            recording=Recording.of(record, every, self.dt, patterns),
            lesson=lesson,
            asks=True,
        )
        shape = patterns, self.net.populations[self.net.output].size
        asked = WorldLoop(
            world,
            self.net,
            clamped,
            targets,
            patterns,
            lambda: session.engine.value(self.net.output, "x").reshape(shape),
        )
        complete = True
        with guarded(session):
            session.engine.ask(asked)
            session.present(lesson.order(0), lesson.length, lesson.gate)
            complete = asked() and (session.run(lesson.total, 0) or asked.asked < frames)
        if asked.failed is not None:
            raise asked.failed
        if plastic_from < 1:
            session.read_weights()
        run = session.finish(interrupted=not complete and session.stopped)
        return replace(
            run,
            settings=run.settings | {"per_frame": lesson.length * self.dt, "frames": asked.asked},
        )

    def predict(self, X: Any) -> Array:
        """Outputs of the forward pass with the weights as they are, (patterns, outputs), no
        softmax.
        """
        return np.asarray(reference.forward(self.net, X)[self.net.output])

    def save_weights(self, path: str | Path) -> None:
        """Weights and biases as an npz file."""
        save_weights(self.net, path)

    def load_weights(self, path: str | Path) -> None:
        """Weights and biases from `save_weights`, of a network of the same shape."""
        load_weights(self.net, path)

    @property
    def _one_segment(self) -> bool:
        """A user's own objects live in one program: their state is not handed from segment to
        segment.
        """
        return bool(self._factories) and self.backend == "standalone"

    @property
    def _divides(self) -> bool:
        """Whether a run may be divided for a progress bar: noise is drawn by segment."""
        return not (self._one_segment or self.extensions or self.imperfections.draws)

    def _read(self, X: Any, Y: Any) -> tuple[dict[str, Array], dict[str, Array], int]:
        self.net.check_parameters()
        clamped = data.patterns(self.net, X, copy=False)
        count = len(next(iter(clamped.values())))
        return clamped, data.targets(self.net, Y, count), count

    def _stepping(
        self,
        duration: Any,
        every: Any,
        records: bool,
        adaptive: bool,
        tolerance: float,
        settle: float | None,
    ) -> tuple[int, Stepping]:
        """Steps of a relaxation and how they are taken; an adaptive one is counted in ticks."""
        rest = 0.0 if settle is None else _positive("settle", settle)
        tolerance = _positive("tolerance", tolerance)
        if not adaptive:
            return steps_of("duration", duration, self.dt), Stepping(rest)
        compatibility.check_adaptive(self)
        whole_time = seconds(duration, "duration")
        tick = LONGEST_TICK * max(self.flow.time("tau_x", n) for n in self.net.neurons)
        if records:
            tick = self.dt if every is None else seconds(every, "every")
        ticks = max(round(whole_time / tick), 1) if records else max(-int(-whole_time // tick), 1)
        return ticks, Stepping(rest, tolerance, tick if records else whole_time / ticks)

    def _open(
        self,
        clamped: Mapping[str, Array],
        targets: Mapping[str, Array],
        start: Any,
        steps: int,
        *,
        plastic: bool,
        recording: Recording,
        lesson: StepSchedule | None = None,
        stepping: Stepping | None = None,
        descent: LocalPropagation | None = None,
        asks: bool = False,
    ) -> Session:
        """A session on these data, at its start; a lesson in batches begins with those of its first
        rows.
        """
        batch = lesson.batch if lesson else None
        first = (
            {n: v[lesson.order(0)[:batch]] for n, v in clamped.items()}
            if lesson and batch
            else clamped
        )
        state, patterns = initial_state(self.net, start, first), len(next(iter(first.values())))
        setting = self.setting(None if asks else steps, patterns)
        if descent is not None:
            net = _mean_loss(self.net, patterns) if descent.mean else self.net
            setting = replace(
                setting, net=net, method="adam", described={**setting.described, "method": "adam"}
            )
        self._session = Session(
            setting,
            clamped,
            targets,
            state,
            plastic=plastic,
            recording=recording,
            steps=steps,
            batch=batch,
            auxiliary=getattr(start, "auxiliary", None),
            stepping=stepping,
        )
        return self._session

    def setting(self, steps: int | None, patterns: int) -> Setting:
        """What a session needs to know of this simulation, with the backend for so much work; None:
        in Python.
        """
        self._choose(steps, patterns)
        return Setting(
            self.net,
            self.flow,
            self.dt,
            self.method,
            self.backend,
            self.seed,
            self.extensions,
            self.threads,
            self.precision,
            self.shortcuts,
            self.transports,
            tuple(self._factories),
            self._described(),
            self.imperfections,
        )

    def _described(self) -> dict[str, Any]:
        return {
            "dt": self.dt,
            "method": self.method,
            "transport": transports.described(self.transport),
            "seed": self.seed,
            "backend_reason": self.backend_reason,
            "precision": self.precision,
            "extensions": [
                f"{e.population}: dx/dt += {e.x or 0}, dlam/dt += {e.lam or 0}; {e.equations}"
                for e in self.extensions
            ],
            **self.imperfections.described(),
        }

    def _choose(self, steps: int | None, count: int) -> None:
        """The backend, where it is ours to choose."""
        if self.wanted != "auto":
            return
        if steps is None:
            self.backend, self.backend_reason = "numpy", "a world is asked in Python"
            return
        from neurosim.engine.compiler import compiler_command

        units = sum(self.net.populations[n].size for n in self.net.neurons)
        work = steps * (
            70e-6 * len(self.net.neurons) + count * (3e-8 * units + 1.5e-10 * self.net.n_parameters)
        )
        amount = f"{steps} steps of {count} pattern(s), about {work:.2g} s on NumPy"
        if work < WORTH_COMPILING:
            self.backend, self.backend_reason = "numpy", f"{amount}: not worth a compiler"
        elif compiler_command() is None:
            self.backend, self.backend_reason = "numpy", f"{amount}, and no C++ compiler was found"
            logger.warning(
                "no C++ compiler found: running on NumPy; with g++ this would be faster (%s)",
                amount,
            )
        else:
            self.backend, self.backend_reason = "standalone", f"{amount}: worth a compiler"
        logger.info("backend %s: %s", self.backend, self.backend_reason)


def _mean_loss(net: Network, count: int) -> Network:
    """A network on the same weights whose losses are divided by the number of patterns."""
    twin = copy.copy(net)
    twin.losses = {n: replace(v, weight=v.weight / count) for n, v in net.losses.items()}
    return twin


def _positive(name: str, value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.number)
        or not 0 < value < np.inf
    ):
        raise out_of_range(name, value, "a number > 0", "1e-6")
    return float(value)
