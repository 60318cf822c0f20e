"""Simulation: a network and a flow, relaxed or trained on Brian2.

Above `session`, which drives one engine; here are what a user calls, the schedules of learning, progress
and checkpoints. Start at `Simulation.relax` and `Simulation.train`.
"""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import data, reference
from neurosim.engine.plan import Extension, Plan
from neurosim.errors import DataError, DivergenceError, FileError, ModelError, out_of_range, unknown
from neurosim.flow import Flow, seconds
from neurosim.network import Network
from neurosim.results import Log, Run, State, load_weights, replacing, save_weights
from neurosim.session import Recording, Session, Setting

if TYPE_CHECKING:
    from brian2.core.network import Network as BrianNetwork

Array = np.ndarray
BACKENDS = ("auto", "numpy", "cython", "standalone")
METHODS = ("euler", "semi_implicit")
TRANSPORTS = ("dense",)
WORTH_COMPILING = 5.0  # s of NumPy work from which a compiler's 3 s pay
LOOK_AT = 500  # training patterns that the log's loss and accuracy are read from

logger = logging.getLogger("neurosim")


@dataclass(frozen=True, kw_only=True)
class Simultaneous:
    """Every pattern has its own neurons and multiplier units; all three flows run at once.

    The setting of Betti, Gori & Marra 2018. The log has `reports` rows.
    """

    duration: Any
    reports: int = 40

    def __post_init__(self) -> None:
        object.__setattr__(self, "duration", seconds(self.duration, "duration"))
        _whole("reports", self.reports, 1)


@dataclass(frozen=True, kw_only=True)
class Presentations:
    """Batches of patterns, each shown for a time; nothing is reset between them.

    Parameters
    ----------
    batch : int
        Patterns shown at once; 1 is online learning.
    present : time
        How long each batch is shown.
    plastic_from : float
        Share of a presentation after which weights move, 0 to 1.
    epochs : int
        Passes over the data, in an order drawn anew each time (unless `shuffle` is False); what is left
        when `batch` does not divide the patterns waits for another epoch. The log has a row an epoch.
    """

    batch: int = 32
    present: Any = 120e-3
    plastic_from: float = 0.5
    epochs: int = 20
    shuffle: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "present", seconds(self.present, "present"))
        _whole("batch", self.batch, 1)
        _whole("epochs", self.epochs, 1)
        if not isinstance(self.plastic_from, int | float) or not 0 <= self.plastic_from <= 1:
            raise out_of_range("plastic_from", self.plastic_from, "0 to 1, a share of the presentation", "0.5")


class Simulation:
    """A network and a flow on Brian2.

    Parameters
    ----------
    net : Network
        `train` changes its weights in place.
    flow : Flow
    transport : str
        How messages travel: "dense".
    dt : time
        Step; a `StabilityWarning` names the bound where it is too long.
    method : str
        "euler", or "semi_implicit": multipliers read the new violation, which keeps an undamped saddle
        bounded.
    backend : str
        "numpy", "cython", "standalone" (C++), or "auto": by the amount of work; `backend_reason` says why.
    seed : int
        Of noise and of the order of presentations.
    extensions : Extension or sequence of Extension
        Terms and equations of a user's own.

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
        transport: str = "dense",
        dt: Any = 1e-3,
        method: str = "euler",
        backend: str = "auto",
        seed: int = 0,
        extensions: Extension | Sequence[Extension] = (),
    ) -> None:
        if not isinstance(net, Network):
            raise ModelError(f"net is a {type(net).__name__}; allowed: a Network, e.g. Network.mlp([64, 32, 10])")
        if not isinstance(flow, Flow):
            raise ModelError(f"flow is a {type(flow).__name__}; allowed: a Flow, e.g. Flow.augmented()")
        for name, value, allowed in (
            ("transport", transport, TRANSPORTS),
            ("method", method, METHODS),
            ("backend", backend, BACKENDS),
        ):
            if value not in allowed:
                raise unknown(name, value, allowed)
        self.net, self.flow, self.method, self.transport = net, flow, method, transport
        self.dt, self.seed = seconds(dt, "dt"), _whole("seed", seed, 0)
        self.extensions = (extensions,) if isinstance(extensions, Extension) else tuple(extensions)
        for e in self.extensions:
            if e.population not in net.neurons:
                raise unknown("population of an extension", e.population, net.neurons)
        for name in (p for t in (flow.tau_x, flow.tau_lam, flow.tau_w) if isinstance(t, Mapping) for p in t):
            if name not in net.neurons:
                raise unknown("population of a time constant", name, net.neurons)
        self.wanted = backend
        self.backend = "numpy" if backend == "auto" else backend
        self.backend_reason = "not run yet" if backend == "auto" else "as asked for"
        self._factories: list[Callable[[BrianNetwork], Any]] = []
        self._session: Session | None = None

    def __repr__(self) -> str:
        return f"Simulation({self.net!r}, {self.flow!r}, dt={self.dt:g} s, {self.method}, {self.backend}: {self.backend_reason})"

    @property
    def equations(self) -> str:
        """The ODEs of every population and projection, in Brian2's notation."""
        from neurosim import lagrangian

        plan = Plan(self.net, 1, self.dt, self.method, extensions=self.extensions)
        parts = []
        for name in self.net.neurons:
            size = self.net.populations[name].size
            parts.append(f"# {name}: {size} neurons, {size} multiplier units\n{plan.equations(name)}\n{lagrangian.bias()}")
        for name, q in self.net.projections.items():
            w = self.net.weights[name]
            count = w.size if isinstance(w, np.ndarray) else w.nnz
            parts.append(f"# {name}: {count} synapses; a_post += w*x_pre, feedback_pre += w*delta_post\n{lagrangian.projection(q)}")
        return "\n\n".join(parts)

    @property
    def network(self) -> BrianNetwork:
        """The Brian2 network of the last run."""
        if self._session is None:
            raise ModelError("sim.network is built by relax or train; to put objects into it before, use sim.add(...)")
        return self._session.engine.network

    def add(self, factory: Callable[[BrianNetwork], Any]) -> None:
        """Put Brian2 objects of your own into every network that this simulation builds.

        Parameters
        ----------
        factory : callable
            Gets the Brian2 network, returns an object or a list of them, e.g.
            ``lambda network: StateMonitor(network["hidden1"], "lam", record=[0], name="watch")``; read it
            after the run as ``sim.network["watch"]``. On "standalone" a run is then one program from its
            start to its end.
        """
        if not callable(factory):
            raise ModelError(f"add({factory!r}); allowed: a function of the Brian2 network that returns Brian2 objects")
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
        steps = self._steps("duration", duration)
        recording = self._recording(record, every, patterns, count)
        session = self._open(clamped, targets, self._start(start, clamped, count), steps, plastic=False, recording=recording)
        parts = 20 if progress and not self._one_segment else 1
        complete = True
        with self._guarded(session), _bar(progress, "relaxing", steps) as advance:
            session.watch()
            for number, length in enumerate(_split(steps, parts, recording.every)):
                complete = session.run(length, number)
                advance(length, "")
                if not complete:
                    break
            else:
                session.watch()
        return session.finish(interrupted=not complete)

    def train(
        self,
        X: Any,
        Y: Any,
        schedule: Simultaneous | Presentations,
        *,
        validation: tuple[Any, Any] | None = None,
        record: str | Iterable[str] = (),
        every: Any = None,
        patterns: Sequence[int] | None = None,
        start: Any = "zero",
        progress: bool = False,
        checkpoint: str | Path | None = None,
        resume: str | Path | None = None,
    ) -> Log:
        """Let all three flows run: outputs, multipliers and weights. Changes the network's weights.

        Parameters
        ----------
        X, Y, record, every, patterns, start, progress
            As in `relax`; `start` and `patterns` are of the patterns simulated at once.
        schedule : Simultaneous or Presentations
        validation : (X, Y), optional
            Loss and accuracy on these go into the log.
        checkpoint : path, optional
            Written after every row of the log; the last complete one always stays.
        resume : path, optional
            Of a checkpoint of the same model, data and schedule: the result is that of an uninterrupted run.

        Returns
        -------
        Log
            Ctrl-C ends training early with a usable log and weights (`log.interrupted`).

        Raises
        ------
        DataError, ModelError, FileError, ConvergenceError, DivergenceError
        """
        if not isinstance(schedule, Simultaneous | Presentations):
            raise ModelError(f"schedule = {schedule!r}; allowed: Simultaneous(...) or Presentations(...)")
        if not self.net.losses:
            raise ModelError("the network has no loss, so nothing can be learnt; add Loss(population, kind)")
        clamped, targets, count = self._read(X, Y)
        held = _Held(self.net, X, Y, validation)
        lesson = _Lesson.of(schedule, self.dt, count, self.seed)
        at_once = lesson.batch or count
        recording = self._recording(record, every, patterns, at_once)
        first = {n: v[lesson.order(0)[:at_once]] for n, v in clamped.items()} if lesson.batch else clamped
        session = self._open(
            clamped, targets, self._start(start, first, at_once), lesson.total, plastic=True, recording=recording, lesson=lesson
        )
        rows: list[dict[str, float]] = []
        done = 0
        if resume is not None:
            done, rows = _resume(resume, session, self._fingerprint(schedule, clamped, targets))
        complete = True
        with self._guarded(session), _bar(progress, "training", lesson.total, session.steps) as advance:
            if done == 0 and not lesson.batch:
                session.watch()
            for number, length in enumerate(lesson.segments(self._one_segment)):
                if number < done:
                    continue
                if lesson.batch:
                    lesson.present(session, number, self._one_segment)
                complete = session.run(length, number)
                session.read_weights()
                rows.append(held.row(session))
                advance(length, held.say(rows[-1]))
                if checkpoint is not None and complete:
                    _checkpoint(checkpoint, session, number + 1, rows, self._fingerprint(schedule, clamped, targets))
                if not complete:
                    break
        return Log(_history(rows), session.finish(interrupted=not complete))

    def predict(self, X: Any) -> Array:
        """Outputs of the forward pass with the weights as they are, (patterns, outputs), no softmax."""
        return np.asarray(reference.forward(self.net, X)[self.net.output])

    def save_weights(self, path: str | Path) -> None:
        """Weights and biases as an npz file."""
        save_weights(self.net, path)

    def load_weights(self, path: str | Path) -> None:
        """Weights and biases from `save_weights`, of a network of the same shape."""
        load_weights(self.net, path)

    @property
    def _one_segment(self) -> bool:
        """A user's own objects live in one program: their state is not handed from segment to segment."""
        return bool(self._factories) and self.backend == "standalone"

    def _read(self, X: Any, Y: Any) -> tuple[dict[str, Array], dict[str, Array], int]:
        self.net.check_parameters()
        clamped = data.patterns(self.net, X)
        count = len(next(iter(clamped.values()))) if clamped else len(np.atleast_1d(next(iter(Y.values())) if isinstance(Y, Mapping) else Y))
        return clamped, data.targets(self.net, Y, count), count

    def _steps(self, name: str, time: Any) -> int:
        duration = seconds(time, name)
        steps = round(duration / self.dt)
        if steps < 1:
            raise out_of_range(name, time, f"at least one step, dt = {self.dt:g} s")
        return steps

    def _recording(self, record: str | Iterable[str], every: Any, patterns: Sequence[int] | None, count: int) -> Recording:
        names = (record,) if isinstance(record, str) else tuple(dict.fromkeys(record))
        stride = 1 if every is None else self._steps("every", every)
        if every is not None and abs(stride * self.dt - seconds(every, "every")) > 1e-6 * self.dt:
            raise out_of_range("every", every, f"a multiple of dt = {self.dt:g} s", f"{stride * self.dt:g}")
        chosen = range(count) if patterns is None else [_whole("patterns", p, 0) for p in patterns]
        return Recording(names, stride, tuple(chosen))

    def _start(self, start: Any, clamped: Mapping[str, Array], count: int) -> State:
        zero = {n: np.zeros((count, self.net.populations[n].size)) for n in self.net.neurons}
        if self.net.order() is None or isinstance(start, str) and start == "forward":
            forward = reference.forward(self.net, clamped)  # refuses a cycle that does not contract
        if isinstance(start, str):
            if start == "forward":
                return State({n: forward[n] for n in self.net.neurons}, zero)
            if start != "zero":
                raise unknown("start", start, ("zero", "forward", "a Run or State"))
            return State(zero, zero)
        if not hasattr(start, "x") or not hasattr(start, "lam"):
            raise ModelError(f"start is a {type(start).__name__}; allowed: 'zero', 'forward', a Run or a State")
        for part in ("x", "lam"):
            for n, shape in ((n, z.shape) for n, z in zero.items()):
                got = np.shape(getattr(start, part).get(n))
                if got != shape:
                    raise DataError(f"start.{part}[{n!r}] has shape {got}; allowed: (patterns, units) = {shape}")
                if not np.isfinite(getattr(start, part)[n]).all():
                    raise DataError(f"start.{part}[{n!r}] holds NaN or infinity; allowed: finite numbers")
        return State({n: start.x[n] for n in zero}, {n: start.lam[n] for n in zero})

    def _open(
        self,
        clamped: Mapping[str, Array],
        targets: Mapping[str, Array],
        start: State,
        steps: int,
        *,
        plastic: bool,
        recording: Recording,
        lesson: _Lesson | None = None,
    ) -> Session:
        batch = lesson.batch if lesson else None
        self._choose(steps, batch or len(next(iter(start.x.values()))))
        self._session = Session(
            Setting(
                self.net, self.flow, self.dt, self.method, self.backend, self.seed, self.extensions,
                tuple(self._factories), self._described(),
            ),
            clamped, targets, start, plastic=plastic, recording=recording, batch=batch,
        )  # fmt: skip
        return self._session

    def _described(self) -> dict[str, Any]:
        return {
            "dt": self.dt, "method": self.method, "transport": self.transport, "seed": self.seed,
            "backend_reason": self.backend_reason,
            "extensions": [f"{e.population}: dx/dt += {e.x or 0}, dlam/dt += {e.lam or 0}; {e.equations}" for e in self.extensions],
        }  # fmt: skip

    def _choose(self, steps: int, count: int) -> None:
        """The backend, where it is ours to choose."""
        if self.wanted != "auto":
            return
        from neurosim.engine.brian import compiler_command

        units = sum(self.net.populations[n].size for n in self.net.neurons)
        synapses = self.net.n_parameters
        work = steps * (70e-6 * len(self.net.neurons) + count * (3e-8 * units + 1.5e-10 * synapses))
        amount = f"{steps} steps of {count} pattern(s), about {work:.2g} s on NumPy"
        if work < WORTH_COMPILING:
            self.backend, self.backend_reason = "numpy", f"{amount}: not worth a compiler"
        elif compiler_command() is None:
            self.backend, self.backend_reason = "numpy", f"{amount}, and no C++ compiler was found"
            logger.warning("no C++ compiler found: running on NumPy; with g++ this would be faster (%s)", amount)
        else:
            self.backend, self.backend_reason = "standalone", f"{amount}: worth a compiler"
        logger.info("backend %s: %s", self.backend, self.backend_reason)

    @contextmanager
    def _guarded(self, session: Session) -> Iterator[None]:
        """A run that diverges hands over what it had; the first Ctrl-C ends a run, the second is Python's own."""
        previous = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()

        def stop(*_: Any) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            session.stop()

        if main:
            signal.signal(signal.SIGINT, stop)
        try:
            yield
        except DivergenceError as error:
            error.run = session.finish(interrupted=True)
            raise
        finally:
            if main:
                signal.signal(signal.SIGINT, previous)

    def _fingerprint(self, schedule: Any, clamped: Mapping[str, Array], targets: Mapping[str, Array]) -> str:
        """What must be the same for a checkpoint to go on."""
        import hashlib

        digest = hashlib.sha256()
        for arrays in (clamped, targets):
            for name, values in arrays.items():
                digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
        model = [self.net.describe(), self.flow.as_dict(), repr(schedule), self.dt, self.method, self.seed, repr(self.extensions)]
        return digest.hexdigest() + json.dumps(model, default=str)


@dataclass(frozen=True)
class _Lesson:
    """A schedule in steps: how long, how many patterns at once, and in which order."""

    total: int
    batch: int | None
    reports: int
    count: int
    seed: int
    length: int = 1
    gate: int = 0
    shuffle: bool = True

    @classmethod
    def of(cls, schedule: Simultaneous | Presentations, dt: float, count: int, seed: int) -> _Lesson:
        if isinstance(schedule, Simultaneous):
            total = max(round(schedule.duration / dt), 1)
            return cls(total, None, min(schedule.reports, total), count, seed)
        if schedule.batch > count:
            raise DataError(f"batch = {schedule.batch}; allowed: 1 to {count}, the number of patterns")
        length = round(schedule.present / dt)
        if length < 1:
            raise out_of_range("present", schedule.present, f"at least one step, dt = {dt:g} s")
        gate = round(schedule.plastic_from * length)
        total = schedule.epochs * (count // schedule.batch) * length
        return cls(total, schedule.batch, schedule.epochs, count, seed, length, gate, schedule.shuffle)

    def segments(self, one: bool) -> list[int]:
        """Steps of each segment."""
        return [self.total] if one else _split(self.total, self.reports, 1)

    def order(self, epoch: int) -> Array:
        """Rows of an epoch, a batch after the other."""
        assert self.batch is not None
        rows = np.arange(self.count)
        if self.shuffle:
            rows = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return rows[: self.count // self.batch * self.batch]

    def present(self, session: Session, number: int, one: bool) -> None:
        """Hand the engine the rows of its next segment."""
        rows = np.concatenate([self.order(e) for e in range(self.reports)]) if one else self.order(number)
        sets = {(n, "x"): v for n, v in session.clamped.items()} | {(n, "y"): v for n, v in session.targets.items()}
        session.engine.present(sets, rows)
        session.engine.load(
            {
                ("run", "present_steps"): self.length,
                ("run", "gate_steps"): self.gate,
                ("run", "first_step"): session.steps,
            }
        )


class _Held:
    """Data on which the log's rows are measured."""

    def __init__(self, net: Network, X: Any, Y: Any, validation: tuple[Any, Any] | None) -> None:
        self.net = net
        clamped = data.patterns(net, X)
        rows = slice(None, LOOK_AT)
        count = len(next(iter(clamped.values())))
        self.sets = {"": ({n: v[rows] for n, v in clamped.items()}, {n: v[rows] for n, v in data.targets(net, Y, count).items()})}
        if validation is not None:
            held = data.patterns(net, validation[0])
            self.sets["validation_"] = (held, data.targets(net, validation[1], len(next(iter(held.values())))))

    def row(self, session: Session) -> dict[str, float]:
        """One row of the log: the forward pass now, and how far the state is from backpropagation's."""
        net, found = self.net, {"time": session.time}
        for prefix, (X, Y) in self.sets.items():
            outputs = reference.forward(net, X)
            found[f"{prefix}loss"] = reference.loss(net, outputs, Y)
            classes = data.labels(Y[net.output], net.populations[net.output].size)
            if classes is not None:
                found[f"{prefix}accuracy"] = data.accuracy(outputs[net.output], classes)
        X, Y = session.batch()
        exact = reference.backprop(net, X, Y)
        state = session.state()
        cosines = [_cosine(state.lam[n], exact.lam[n]) for n in net.neurons]
        errors = np.concatenate([np.ravel(state.x[n] - exact.x[n]) for n in net.neurons])
        found |= {"cosine": min(cosines), "violation": float(np.sqrt(np.mean(errors**2))), "max_step": session.watch()}
        return found

    def say(self, row: Mapping[str, float]) -> str:
        """The row in a few words, for the progress bar."""
        accuracy = row.get("validation_accuracy", row.get("accuracy"))
        return f"loss {row['loss']:.3g}" + (f", accuracy {accuracy:.1%}" if accuracy is not None else "")


def _cosine(a: Array, b: Array) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.sum(a * b)) / size if size > 0 else float(not np.any(a) and not np.any(b))


def _split(total: int, parts: int, multiple: int) -> list[int]:
    """`total` steps in at most `parts` segments, all but the last multiples of `multiple`."""
    marks = np.unique(np.linspace(0, total, min(parts, total) + 1).astype(int) // multiple * multiple)
    marks = np.unique([*marks[marks < total], total])
    return [int(n) for n in np.diff(marks)]


def _history(rows: Sequence[Mapping[str, float]]) -> Any:
    import xarray as xr

    columns = {k: ("time", [row.get(k, np.nan) for row in rows]) for k in (rows[0] if rows else {}) if k != "time"}
    history = xr.Dataset(columns, {"time": ("time", [row["time"] for row in rows], {"units": "s", "long_name": "time"})})
    for name, variable in history.data_vars.items():
        variable.attrs["units"] = "s" if name == "max_step" else "1"
    return history


@contextmanager
def _bar(progress: bool, what: str, total: int, done: int = 0) -> Iterator[Callable[[int, str], None]]:
    """A rich bar with the time left, or nothing."""
    if not progress:
        yield lambda steps, text: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[text]}"))  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done, text="")
        yield lambda steps, text: bar.update(task, advance=steps, text=text)


def _checkpoint(path: str | Path, session: Session, done: int, rows: Sequence[Mapping[str, float]], model: str) -> None:
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **session.snapshot(), _done=np.array(done), _rows=np.array(json.dumps(list(rows))), _model=np.array(model))


def _resume(path: str | Path, session: Session, model: str) -> tuple[int, list[dict[str, float]]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {k: stored[k] for k in stored.files}
        done, rows, written = int(found.pop("_done")), json.loads(str(found.pop("_rows"))), str(found.pop("_model"))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise FileError(f"{path} is not a checkpoint that can be read ({error}); allowed: a file of train(checkpoint=...)") from error
    if written != model:
        raise FileError(f"{path} is a checkpoint of another model, data set or schedule; try it with the same ones")
    session.restore(found)
    session.read_weights()
    return done, rows


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise out_of_range(name, value, f"a whole number >= {least}")
    return int(value)
