"""Simulation: a network and a flow, relaxed or trained on Brian2.

Each method documents its arguments and passes them to the function of its name in `running`;
`train` passes `Pruning` and `Growing` to `resizing`. Start at `Simulation.relax` and `train`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurosim import reference
from neurosim.arguments import checked_methods
from neurosim.errors import whole
from neurosim.model import transport as transports
from neurosim.model.equations import imperfections as circuit
from neurosim.model.extension import Extension, extensions_of
from neurosim.model.flow import Flow, seconds
from neurosim.model.frozen import frozen
from neurosim.model.network import Network
from neurosim.model.schedules import Growing, Pruning, Schedule
from neurosim.results.files import load_weights, save_weights
from neurosim.results.runs import Log, Run
from neurosim.simulation import compatibility, resizing, running
from neurosim.simulation.arguments import Settable
from neurosim.simulation.backend import choose_backend
from neurosim.simulation.brian_objects import BrianObjects
from neurosim.simulation.one_run import OneRun
from neurosim.simulation.opening import is_one_program, setting_of
from neurosim.simulation.opens_live import OpensLive
from neurosim.simulation.options import RelaxOptions, RunOptions, Setting, TrainOptions
from neurosim.simulation.printed import Printed
from neurosim.simulation.world import World

Array = np.ndarray


@checked_methods("__init__", "relax", "train", "stream", "interact", "predict")
class Simulation(OpensLive, OneRun, BrianObjects, Settable, Printed):
    """A network and a flow on Brian2.

    Times are numbers in s, Brian2 quantities such as ``2 * ms``, or text such as ``"2 ms"``.

    Parameters
    ----------
    net : Network
        `train` changes its weights and biases in place.
    flow : Flow
    transport : "dense", "events", "spikes", Dense, Events, Spikes, or {projection: one of these}
        How messages travel: at every step, or once a unit has changed by more than a threshold.
    dt : time
        Step; 1 ms by default. Where dt exceeds the stable step, a `StabilityWarning` names it.
    method : str
        "euler", the default; "semi_implicit": multipliers read the new violation, which keeps an
        undamped saddle bounded; "exponential_euler": exact in the linear leak of each unit, for
        flows with more relaxation than augmentation, gamma >= kappa rho (`model.methods`); "heun"
        and "rk4": orders 2 and 4, messages sent anew at every stage.
    backend : str
        "numpy", "cython", "standalone" (C++), or "auto": chosen by the amount of work of each run;
        `backend_reason` states why.
    seed : int
        Seed of noise, of imperfections, and of the order of presentations.
    extensions : Extension or sequence of Extension
        User-supplied terms, right-hand sides and equations.
    threads : int
        Threads for the products of whole batches (BLAS); no gain with one pattern at a time.
    precision : "float64" or "float32"
        Precision of outputs, multipliers and weights while they flow.
    shortcuts : bool
        Skip work whose result is known, such as the product of an input that stands still; results
        are equal to within rounding. Always off where `add` adds user-supplied objects.
        `run.settings["shortcuts"]` says which were taken. After Ctrl-C within a presentation, x and
        lam may be those of an earlier step.
    imperfections : sequence of imperfections
        What the circuit lacks or adds: `StateNoise`, `MessageNoise`, `LostMessages`, `Quantised`,
        `Delay`, `TimeConstants`, `Derivative`, `Dale`, and the remedy `LowPass`; at most one of
        each kind. Messages are changed in the order given.
    prospective : bool, time or Prospective
        Units receive x + tau dx/dt and lam + tau dlam/dt. With a time, the rates are estimated by a
        low-pass filter of that time constant. `Prospective` has the derivation, and the notice of a
        patent application.

    Raises
    ------
    ModelError
        An argument out of range, or a combination that has no meaning.

    Examples
    --------
    >>> import neurosim as ns
    >>> net = ns.Network.mlp([2, 4, 1], loss="mse", seed=1)
    >>> sim = ns.Simulation(net, ns.Flow.adjoint(), dt="2 ms")
    >>> run = sim.relax([[0, 1], [1, 1]], [[1], [0]], duration="1 s")
    >>> exact = ns.reference.backprop(net, run.X, run.Y)
    >>> bool(ns.alignment(run, exact).error["hidden1"] < 1e-9)  # at rest, lam is the adjoint
    True
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
        compatibility.check_arguments(method, backend, precision)
        self.net, self.flow, self.method, self.precision = net, flow, method, precision
        self.transport, self.transports = frozen(transport), transports.resolve(net, transport)
        self.dt, self.seed = seconds(dt, "dt"), whole("seed", seed, 0)
        self.threads, self.shortcuts = whole("threads", threads, 1, 1024), shortcuts
        self.extensions = extensions_of(extensions)
        self.imperfections = circuit.resolve(imperfections, prospective, self.seed)
        compatibility.check(self)
        self.requested_backend, self.backend, self.backend_reason = backend, backend, "as asked for"
        if backend == "auto":
            self.backend, self.backend_reason = "numpy", "not run yet"
        self.factories = ()
        super().__init__()
        self._made = True

    def __repr__(self) -> str:
        step, backend = f"dt={self.dt:g} s", f"{self.backend}: {self.backend_reason}"
        return f"Simulation({self.net!r}, {self.flow!r}, {step}, {self.method}, {backend})"

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
        units: Mapping[str, Sequence[Any]] | None = None,
        stream: str | Path | None = None,
        adaptive: bool = False,
        tolerance: float = 1e-6,
        settle: float | None = None,
        accelerate: str | None = None,
        settle_each: bool = False,
        progress: bool = False,
    ) -> Run:
        """Let outputs and multipliers flow with the weights fixed.

        Parameters
        ----------
        X : (patterns, features) or {input: (patterns, units)}, unit 1
        Y : (patterns,) labels, (patterns, outputs) targets, or {population: one of these}
            Not needed where the network has no loss.
        duration : time
            Rounded to steps.
        record : str or sequence of str
            Variables to record: x, lam, a, g, delta and others of `equations`; "w" or "w:pre->post"
            for weights, and likewise for other variables of a learning rule. None by default.
        every : time, optional
            Time between two samples, a multiple of dt; dt by default. Adaptive steps take any
            time; each sample then ends a step, as does `duration`.
        start : "zero", "forward", Run or State
            x = lam = 0; x of the forward pass and lam = 0; or the end of an earlier run, from which
            the whole state goes on: events, messages in flight, the clock that equations read.
        patterns, units : sequence of int, {population: sequence of int}, optional
            Which patterns and units to record; all by default. Of a projection, pairs (post, pre)
            choose synapses.
        stream : str or Path, optional
            Folder (zarr) to which samples are written during the run, instead of being kept in
            memory; `neurosim.recording.read_traces` and `xarray.open_zarr` can read it meanwhile.
            An older recording there gets another name, with a warning.
        adaptive : bool
            Adapt the step by Dormand-Prince 5(4), so that the error of the whole coupled state
            stays within `tolerance`; `dt` is only the first step.
        tolerance : float, unit 1
            Error of one adaptive step, absolute and relative.
        settle : float, unit 1, optional
            Stop once max |tau dz/dt| over all outputs and multipliers z is below it
            (`run.settled`). By default the run lasts for `duration`.
        accelerate : "anderson", optional
            Extrapolate Euler steps to rest by Anderson acceleration (Walker & Ni 2011), pattern by
            pattern. The steps are no longer the flow's, so nothing is recorded and `duration` only
            counts them; where they end, the state rests as that of the flow. For `method="euler"`
            and dense messages; nothing of it is kept for a later run.
        settle_each : bool
            Judge each pattern by itself: where max |tau dz/dt| over its own outputs and multipliers
            is below `settle`, it keeps that state and leaves the work of later steps. The run
            stops once all have settled; `run.settle_times` has the time of each. Samples taken
            later hold the state that it keeps. For fixed steps and dense messages.
        progress : bool
            Show a progress bar with the time left, on standard error.

        Returns
        -------
        Run
            The final state, and the recorded variables in `run.traces`. Ctrl-C ends the run early
            and keeps what was computed until then (`run.interrupted`).

        Raises
        ------
        DataError, ModelError, FileError
            Data or arguments that do not fit; a `stream` that cannot be written.
        ConvergenceError
            A cyclic graph that does not contract.
        DivergenceError
            The state left its bound; the message names the time, the population and a remedy.

        Examples
        --------
        >>> import neurosim as ns
        >>> net = ns.Network.mlp([2, 4, 1], loss="mse", seed=1)
        >>> sim = ns.Simulation(net, ns.Flow.augmented(rho=2))
        >>> run = sim.relax([[0, 1]], [[1]], duration="0.5 s", record=("x", "lam"), every="10 ms")
        >>> dict(run.traces.lam.sizes)
        {'time': 50, 'pattern': 1, 'unit': 5}
        """
        options = RelaxOptions(
            record=record,
            every=every,
            patterns=patterns,
            units=units,
            stream=stream,
            start=start,
            progress=progress,
            duration=duration,
            adaptive=adaptive,
            tolerance=tolerance,
            settle=settle,
            accelerate=accelerate,
            settle_each=settle_each,
        )
        return running.relax(self, X, Y, options)

    def train(
        self,
        X: Any,
        Y: Any,
        schedule: Schedule,
        *,
        sample_weight: Any = None,
        validation: tuple[Any, Any] | None = None,
        record: str | Iterable[str] = (),
        every: Any = None,
        patterns: Sequence[int] | None = None,
        units: Mapping[str, Sequence[Any]] | None = None,
        stream: str | Path | None = None,
        start: Any = "zero",
        progress: bool = False,
        checkpoint: str | Path | None = None,
        resume: str | Path | None = None,
        visit: Callable[[Run], Any] | None = None,
        modulators: Mapping[str, Any] | None = None,
    ) -> Log:
        """Let all three flows run: outputs, multipliers and weights. Changes the network's weights.

        Parameters
        ----------
        X, Y, record, every, units, stream, progress
            As in `relax`.
        schedule : Simultaneous, Presentations, LocalPropagation, Pruning or Growing
            How patterns are presented, and for how long. With the last two the network changes its
            size, so nothing can be recorded and no checkpoint can be written.
        sample_weight : (patterns,), optional
            Weight of every pattern in plasticity, >= 0, unit 1; all count alike by default. What
            a pattern adds to plasticity is multiplied by its weight over the mean of all weights;
            its x and lam do not depend on it. With all patterns at once, 2 is the same as its row
            twice, 0 as no such row; in batches of one, 2 is a step of twice the length. Loss and
            accuracy of the log are means with these weights; its other columns are not.
        validation : (X, Y), optional
            Held-out data, whose loss and accuracy go into the log; they all count alike.
        patterns, start
            As in `relax`, for the patterns that are simulated at once.
        checkpoint : str or Path, optional
            File for a checkpoint after every row of the log. The earlier checkpoint stays until the
            new one is complete.
        resume : str or Path, optional
            Checkpoint to go on from, of the same model, data and schedule. The result is that of an
            uninterrupted training.
        visit : callable, optional
            Called after every row of the log with the current run, without traces; for example
            `SupportOverTraining`.
        modulators : {name: number, array or callable}, optional
            Those of learning rules: an array has a number per presentation, a callable takes the
            time (s). All that the rules read are needed.

        Returns
        -------
        Log
            Loss, accuracy, cosine to the adjoint and more over time (`history`), and the final
            state (`run`). Ctrl-C ends training early with a usable log and weights.

        Raises
        ------
        DataError, ModelError, ConvergenceError, DivergenceError
            As in `relax`; the error's `log` holds the log until then. DataError also for weights
            of patterns that are not finite, below 0, or all 0.
        FileError
            A checkpoint that cannot be read or written, or that belongs to another training.

        Examples
        --------
        >>> import neurosim as ns
        >>> net = ns.Network.mlp([2, 4, 1], loss="mse", seed=1)
        >>> sim = ns.Simulation(net, ns.Flow.augmented(tau_w="50 ms"), dt="2 ms")
        >>> X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]
        >>> log = sim.train(X, Y, ns.Simultaneous(duration="2 s", reports=4))
        >>> len(log.history.time), bool(log.history.loss[-1] < log.history.loss[0])
        (4, True)
        """
        options = TrainOptions(
            record=record,
            every=every,
            patterns=patterns,
            units=units,
            stream=stream,
            start=start,
            progress=progress,
            validation=validation,
            checkpoint=checkpoint,
            resume=resume,
            visit=visit,
            modulators=modulators,
            sample_weight=sample_weight,
        )
        compatibility.check_schedule(self, schedule, options.given(), is_one_program(self))
        if isinstance(schedule, Pruning | Growing):
            given = {"validation": validation, "start": start, "progress": progress}
            given["sample_weight"] = sample_weight
            return resizing.train(self, X, Y, schedule, **given)
        return running.train(self, X, Y, schedule, options)

    def stream(
        self,
        frames: Any,
        targets: Any = None,
        *,
        per_frame: Any,
        plastic: bool = False,
        record: str | Iterable[str] = (),
        every: Any = None,
        units: Mapping[str, Sequence[Any]] | None = None,
        stream: str | Path | None = None,
        start: Any = "zero",
        progress: bool = False,
        modulators: Mapping[str, Any] | None = None,
    ) -> Run:
        """Clamp frames one after the other; x and lam are carried from each frame to the next.

        Parameters
        ----------
        frames, targets
            As X and Y in `relax`, a row per frame.
        per_frame : time
            How long each frame is clamped, rounded to steps.
        plastic : bool
            Whether weights move throughout; if so, the network is changed in place.
        record, units, stream, start, progress
            As in `relax`.
        modulators
            As in `train`; an array has a number per frame.
        every : time, optional
            Time between two samples; `per_frame` by default, so that sample k > 0 holds the state
            at the end of frame k - 1. Sample 0 is the start; the end of the last frame is the
            run's final state.

        Returns
        -------
        Run
            Its X and Y are those of the last frame.

        Raises
        ------
        DataError, ModelError, ConvergenceError, DivergenceError
            As in `relax`.

        Examples
        --------
        >>> import neurosim as ns
        >>> net = ns.Network.mlp([2, 4, 1], loss="mse", seed=1)
        >>> sim = ns.Simulation(net, ns.Flow.adjoint())
        >>> run = sim.stream([[0, 1], [1, 1]], [[1], [0]], per_frame="20 ms", record="x")
        >>> run.steps, run.traces.sizes["time"]
        (40, 2)
        """
        options = RunOptions(
            record=record,
            every=every,
            units=units,
            stream=stream,
            start=start,
            progress=progress,
            modulators=modulators,
        )
        return running.stream(self, frames, targets, per_frame, plastic, options)

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
        """Let the outputs act on a world, which returns the next frame.

        Parameters
        ----------
        world : callable
            Takes the output population's x, (patterns, units), at the start and at the end of every
            frame but the last. Returns X (patterns, features) and Y of the next frame, and a dict
            of modulators where rules read them; or None to end the run.
        frames : int
            Frames at most.
        per_frame : time
            How long each frame is clamped, rounded to steps.
        patterns : int
            Patterns per frame, such as independent copies of one kind of world.
        plastic_from : float
            Share of a frame after which weights move, 0 to 1; with 1, the default, they stay fixed.
        record, every, start
            As in `stream`.

        Returns
        -------
        Run
            Its X and Y are those of the last frame; `settings["frames"]` counts the frames.

        Raises
        ------
        DataError, ModelError, ConvergenceError, DivergenceError
            As in `relax`. DataError also if a frame does not have `patterns` patterns; ModelError
            also if `backend` is "standalone". Exceptions of `world` pass through.

        Examples
        --------
        >>> net = Network.mlp([1, 1], loss="mse")
        >>> def world(outputs):  # shows the network its own output; the target is 1
        ...     return outputs, [[1.0]]
        >>> run = Simulation(net, Flow.adjoint()).interact(world, frames=3, per_frame="20 ms")
        >>> run.settings["frames"]
        3
        """
        options = RunOptions(record=record, every=every, start=start)
        return running.interact(self, world, frames, per_frame, patterns, plastic_from, options)

    def predict(self, X: Any) -> Array:
        """Return the outputs of the forward pass with the present weights.

        Parameters
        ----------
        X : (patterns, features) or {input: (patterns, units)}, unit 1

        Returns
        -------
        (patterns, outputs), unit 1
            The output population's x; for a classifier, the scores before the softmax.

        Raises
        ------
        DataError, ConvergenceError
            As in `relax`.

        Examples
        --------
        >>> net = Network.mlp([2, 4, 3])
        >>> Simulation(net, Flow.adjoint()).predict([[0, 1], [1, 1]]).shape
        (2, 3)
        """
        return np.asarray(reference.forward(self.net, X)[self.net.output])

    def save_weights(self, path: str | Path) -> None:
        """Save weights and biases as an npz file, or raise `FileError`; see `load_weights`."""
        save_weights(self.net, path)

    def load_weights(self, path: str | Path) -> None:
        """Load what `save_weights` wrote, or raise `FileError` and leave the network as it was."""
        load_weights(self.net, path)

    def setting(self, steps: int | None, patterns: int) -> Setting:
        """Return all choices for a session of so many steps and patterns.

        With ``backend="auto"`` this sets `backend` and `backend_reason`, see `choose_backend`.
        """
        vars(self).update(choose_backend(self, steps, patterns))
        return setting_of(self)
