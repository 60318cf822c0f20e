"""Drive one engine: load it, run it in segments, monitor it, read its state.

Above `engine`, `recorder`, `auxiliary` and `stability_monitor`, below `running`. A segment is
a number of steps that run without returning to Python; the log, the progress bar and checkpoints
are updated between segments. Start at `Session`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.draws import noise_key
from neurosim.engine.engine import BEFORE
from neurosim.engine.liveness import direct_populations, in_words
from neurosim.engine.loading import Key, initial_values
from neurosim.engine.names import (
    DECAYS,
    MEMORY,
    MOVING,
    SAMPLE_WEIGHT,
    bias_group,
    projection_group,
)
from neurosim.engine.plan import Plan
from neurosim.errors import DivergenceError, FileError
from neurosim.model.feedback import MIRROR
from neurosim.model.methods import ADAPTIVE
from neurosim.model.network import Network
from neurosim.model.rule_text import WEIGHT
from neurosim.model.state import State
from neurosim.model.weights import synapses, transposed, with_values
from neurosim.results.format import current_name
from neurosim.results.operations import synaptic_operations
from neurosim.results.runs import Run
from neurosim.simulation.auxiliary import read_auxiliary, resumed
from neurosim.simulation.options import Setting, Work
from neurosim.simulation.recorder import Recorder
from neurosim.simulation.remedies import Change
from neurosim.simulation.stability_monitor import StabilityMonitor, divergence_bound
from neurosim.simulation.weight_mirror import mirror

if TYPE_CHECKING:
    from neurosim.engine.engine import Engine

Array = np.ndarray
Arrays = Mapping[str, Array]
Patterns = dict[str, Array]
RECORD = "record."  # prefix of recorded rows in a checkpoint
NEEDED = ("w", "x", "lam", "step")  # variables that every checkpoint holds


class Session:
    """One engine with its data.

    Parameters
    ----------
    setting : Setting
    clamped, targets : dict of str to array, (patterns, units)
        All patterns. With `work.batch` they are presented in turn, without it all at once.
    start : State
        Initial state of the patterns that are simulated at once.
    work : Work
    auxiliary : dict of str to array, optional
        State beside x and lam at the end of an earlier run, see `auxiliary`.

    Attributes
    ----------
    complete : bool
        Whether the last segment came to its end.
    stopped : bool
        Whether `stop` was called.
    state : State
        Outputs and multipliers at the end of the last segment that did not diverge.
    start : State
    initial : Network or None
        Copy with the weights of the start, for trials after a divergence; None if the network is
        large, or if a checkpoint was restored.

    Raises
    ------
    ModelError, DataError, FileError
        A variable, pattern or unit to record does not exist, or its store cannot be written.
    """

    def __init__(
        self,
        setting: Setting,
        clamped: Arrays,
        targets: Arrays,
        start: State,
        work: Work,
        auxiliary: Arrays | None = None,
    ) -> None:
        from neurosim.engine.build import build

        self.setting, self.work = setting, work
        self.clamped, self.targets = clamped, targets
        self.net, self.flow = setting.net, setting.flow
        self.plastic = work.plastic
        plan = self._plan()
        self.recorder = Recorder(setting, work.recording, plan, work.steps)
        self.plan = replace(plan, recorded=self.recorder.recorded)
        self.monitor = StabilityMonitor(self.plan, self.flow, setting.dt)
        self.complete, self.stopped = True, False
        self.state = self.start = start
        self.initial: Network | None = None
        if self.monitor.small_enough:
            self.initial = self.net.copy() if self.plastic else self.net
        with self.recorder.released_on_error():
            made = build(self.plan, setting.backend, setting.factories, setting.threads)
            self.engine: Engine = made
            constants = self._constants()
            self.engine.load(constants)
            self.engine.constants = set(constants)
            self.engine.load(_state_values(start))
            self.engine.load(resumed(self.plan, self.engine, auxiliary or {}))
            if not self.plan.presentation:
                self.engine.load(self._data())

    @property
    def dt(self) -> float:
        """Time from one step to the next, or from one tick of adaptive steps, s."""
        return self.plan.dt

    @property
    def count(self) -> int:
        """Patterns simulated at once."""
        return self.plan.patterns

    @property
    def steps(self) -> int:
        """Steps since the start."""
        return self.engine.steps

    @property
    def time(self) -> float:
        """Simulated time since the start, s."""
        if self.work.stepping.adaptive:
            return float(self.engine.value("run", "elapsed")[0])
        return self.steps * self.dt

    @property
    def settled(self) -> bool:
        """Whether the state rests, to within `Stepping.settle`."""
        return bool(self.engine.counter("settled"))

    def run(self, steps: int) -> None:
        """Run one segment, and set `complete` and `state`.

        Parameters
        ----------
        steps : int

        Raises
        ------
        DivergenceError
            The state left its bound.
        """
        if self.stopped:
            self.complete = False
            return
        before = self.steps
        stepping = self.work.stepping
        if stepping.adaptive:
            is_last = before + steps >= self.work.steps
            self.engine.load({("run", "last_tick"): stepping.last if is_last else stepping.tick})
        self.engine.run(steps)
        self._check_rules()
        if number := self.engine.counter("diverged"):
            raise self._diverged(self.net.neurons[number - 1])
        self.state = self._read_state()
        done = self.steps - before >= steps or self.settled
        self.complete = done and not self.stopped

    def _check_rules(self) -> None:
        """Refuse to go on from variables of user-written rules that are not finite.

        Raises
        ------
        DivergenceError
            The message has the variable and the rule.
        """
        for group, rule in self.plan.rules.items():
            for variable in (*rule.states, WEIGHT):
                if not np.isfinite(self.engine.value(group, variable)).all():
                    raise DivergenceError(
                        f"{variable} of the rule of {rule.target} is not finite after "
                        f"{self.time:.3g} s; allowed: finite values; try max and min around what "
                        "log, sqrt or a quotient reads, a smaller dt, or record="
                        f"{variable!r} to see when",
                        time=self.time,
                        population=rule.target,
                    )

    def stop(self) -> None:
        """End the running segment as soon as possible.

        A compiled program receives the same Ctrl-C, and ends by itself.
        """
        self.stopped = True
        self.engine.stop()

    def present(self, order: Array, length: int, gate: int) -> None:
        """Present these rows of the data from the present step on, one batch after the other.

        Parameters
        ----------
        order : (rows,) of int
        length : int
            Steps per batch.
        gate : int
            Step of a presentation from which weights move.
        """
        self.engine.present(self._data(), order)
        self.engine.load(
            {
                ("run", "present_steps"): length,
                ("run", "gate_steps"): gate,
                ("run", "first_step"): self.engine.counter("step"),
            }
        )

    def stable_step(self) -> float:
        """Return the largest stable Euler step at the present state, s; warn once if dt exceeds it.

        It is NaN where it is not computed, see `StabilityMonitor.check`.
        """
        return self.monitor.check(self.state, *self.shown())

    def shown(self) -> tuple[Patterns, Patterns]:
        """Return the inputs and targets that are clamped now; the caller must not change them."""
        if not self.plan.presentation and not self.setting.factories:
            return dict(self.clamped), dict(self.targets)
        x = self._by_population("x", self.net.inputs)
        y = self._by_population("y", self.net.losses)
        return x, y

    def read_weights(self) -> None:
        """Copy the engine's weights, feedback weights and biases into the network."""
        for name, w in self.net.weights.items():
            values = self.engine.value(projection_group(name), "w")
            if isinstance(w, np.ndarray):
                w[...] = values.reshape(w.shape)
            else:
                w.data[...] = values[: w.nnz]  # without synapses the engine's array has 1 entry
        for name in self.net.feedback:
            values = self.engine.value(projection_group(name), "back")
            w = self.net.weights[name]
            as_forward = with_values(w, values[: synapses(w).size])
            back = self.net.feedback[name]
            synapses(back)[...] = synapses(transposed(as_forward))
        for name in self.net.neurons:
            values = self.engine.value(bias_group(name), "w")
            self.net.biases[name][...] = values

    def mirror(self, row: int) -> None:
        """Move feedback weights of kind mirror towards Wᵀ, before this row of the log is run."""
        mirror(self.net, [self.setting.seed, row])
        for name in self.net.feedback:
            if self.net.projections[name].feedback == MIRROR:
                back = synapses(self.net.returning(name))
                self.engine.load({(projection_group(name), "back"): back})

    def snapshot_run(self, interrupted: bool = False) -> Run:
        """Return the present state as a run without traces."""
        clamped, targets = self.shown()
        run = Run(
            network=self.net.copy(),
            flow=self.flow,
            settings=self._settings(),
            X=_copies(clamped),  # may be user-supplied arrays, which change independently
            Y=targets,
            x=_copies(self.state.x),
            lam=_copies(self.state.lam),
            time=self.time,
            steps=self._steps_taken(),
            interrupted=interrupted,
            auxiliary=read_auxiliary(self.plan, self.engine),
            steps_before=self.engine.counter("steps_before"),
        )
        if self.plan.event_sources:
            cost = synaptic_operations(run).as_dict()
            run = replace(run, settings=run.settings | {"synaptic_operations": cost})
        return run

    def finish(self, interrupted: bool) -> Run:
        """Return the final state as a run with its traces."""
        from neurosim.engine.build import give_back

        run = self.snapshot_run(interrupted)
        run = self.recorder.with_traces(run, self.engine, self._settings())
        if not interrupted:
            give_back(self.engine)
        return run

    def snapshot(self) -> dict[str, Array]:
        """Return all arrays that the run needs to go on, for a checkpoint."""
        found = {}
        for (group, variable), values in self.engine.state().items():
            found[f"{group}.{variable}"] = values
        for number, rows in enumerate(self.recorder.rows(self.engine)):
            found[f"{RECORD}{number}"] = rows
        return found

    def restore(self, snapshot: Arrays, complete: bool = True) -> None:
        """Restore the state from the arrays of a checkpoint, as `snapshot` returns them.

        Parameters
        ----------
        snapshot : dict of str to array
        complete : bool
            Whether it holds all that this version keeps. One of 0.1.0 also held messages, which
            every step recomputes, and lacked what only later versions keep.

        Raises
        ------
        FileError
            The arrays belong to another model.
        ModelError
            A user-supplied object whose state is not kept, or that is another one.
        """
        state: dict[Key, Array] = {}
        for name, values in snapshot.items():
            if not name.startswith(RECORD):
                group, variable = current_name(name).split(".")[:2]
                state[group, variable] = values
        self.initial = None
        if self.engine.added is not None:
            self.engine.added.check_checkpoint(snapshot)
        self.engine.load(self._checked(state, complete))
        for number in range(len(self.plan.recorded)):
            name = f"{RECORD}{number}"
            if name in snapshot:
                self.recorder.earlier.append(snapshot[name])
        self.state = self._read_state()

    def _checked(self, state: dict[Key, Array], complete: bool) -> dict[Key, Array]:
        """Return the arrays of a checkpoint that this engine has; see `restore`."""
        expected = {key: values.size for key, values in self.engine.state().items()}
        differ = []
        for key in sorted({*state, *expected}):
            in_both = key in state and key in expected
            if in_both and np.size(state[key]) == expected[key]:
                continue
            # what a compiled program keeps beside the weights goes on in such a program alone
            may_lack = key[1] == MEMORY or not (complete or key[1] in NEEDED)
            if in_both or not may_lack:
                differ.append(".".join(key))
        if differ:
            raise FileError(
                f"the checkpoint's arrays are not those of this model: {', '.join(differ)} differ; "
                "try it with the model that wrote it"
            )
        return {key: values for key, values in state.items() if key in expected}

    def _plan(self) -> Plan:
        """Return the plan of the engine, without recorded variables."""
        setting, stepping = self.setting, self.work.stepping
        return Plan(
            self.net,
            self.work.batch or len(next(iter(self.clamped.values()))),
            stepping.tick if stepping.adaptive else setting.dt,
            stepping.method or setting.method,
            presentation=self.work.batch is not None,
            extensions=setting.extensions,
            precision=setting.precision,
            settles=stepping.settle > 0,
            settles_each=stepping.settle_each,
            shortcuts=setting.shortcuts and not setting.factories,
            transports=setting.transports,
            learns=self.plastic,
            imperfections=setting.imperfections,
            weighted=self.work.sample_weight is not None,
        )

    def _constants(self) -> dict[Key, Any]:
        """Return the constants of the run, and the parameters of the equations."""
        stepping = self.work.stepping
        numbers = {
            "plastic": int(self.plastic),
            "bound": divergence_bound(self.clamped, self.targets),
            "record_steps": self.work.recording.every,
            "settle": stepping.settle,
            "tolerance": stepping.tolerance or 0.0,
            "step_size": min(self.setting.dt, self.dt),
            "residual": np.inf,
            "noise_key": noise_key(self.setting.seed),
            **dict.fromkeys(DECAYS, 1.0),
        }
        if stepping.settle_each:
            numbers["settled_at"] = MOVING
        values: dict[Key, Any] = {("run", name): value for name, value in numbers.items()}
        return values | initial_values(self.plan, self.flow, self.setting.dt, self.engine)

    def _data(self) -> dict[Key, Array]:
        """Return inputs, targets and weights of all patterns, by the engine's keys."""
        x = {(n, "x"): values for n, values in self.clamped.items()}
        y = {(n, "y"): values for n, values in self.targets.items()}
        return x | y | self._sample_weights()

    def _sample_weights(self) -> dict[Key, Array]:
        """Return the weights of patterns, by population that learns; empty without weights.

        They are (patterns, 1) where patterns are presented, else (patterns, units).
        """
        weights = self.work.sample_weight
        if weights is None:
            return {}
        found = {}
        for n in self.net.neurons:
            columns = 1 if self.plan.presentation else self.net.populations[n].size
            found[n, SAMPLE_WEIGHT] = np.repeat(weights[:, None], columns, axis=1)
        return found

    def _by_population(self, variable: str, populations: Iterable[str]) -> Patterns:
        """Return the engine's values of one variable, (patterns, units) by population."""
        found = {}
        for n in populations:
            values = self.engine.value(n, variable)
            found[n] = values.reshape(self.count, -1)
        return found

    def _read_state(self) -> State:
        neurons = self.net.neurons
        return State(self._by_population("x", neurons), self._by_population("lam", neurons))

    def diagnosis(self) -> tuple[str, list[Change]]:
        """Return the probable cause of a divergence, and changes that may prevent it."""
        return self.monitor.diagnosis(self.state, *self.shown(), self.plastic)

    def _diverged(self, population: str) -> DivergenceError:
        return DivergenceError(
            f"the run diverged at t = {self.time:.6g} s (step {self.steps}) in population "
            f"{population!r}, with dt = {self.setting.dt * 1e3:.3g} ms",
            time=self.time,
            population=population,
        )

    def _settings(self) -> dict[str, Any]:
        """Return the choices of the simulation and of this run, for `Run.settings`."""
        stepping = self.work.stepping
        chosen: dict[str, Any] = {
            "backend": self.setting.backend,
            "plastic": self.plastic,
            "duration": self.time,
            "shortcuts": in_words(self.plan, direct_populations(self.plan, self.engine.gains)),
        }
        if self.plastic:
            chosen["plastic_steps"] = self._plastic_steps()
        if stepping.settle:
            chosen |= {"settle": stepping.settle, "settled": self.settled}
        if stepping.settle_each:
            chosen["settle_steps"] = self._settle_steps()
        if stepping.accelerate:
            chosen["method"] = stepping.method
        if stepping.adaptive:
            evaluations = self.engine.counter("evaluations")
            chosen |= {
                "method": ADAPTIVE,
                "tolerance": stepping.tolerance,
                "evaluations": evaluations,
            }
        return {**self.setting.described, **chosen}

    def _settle_steps(self) -> list[int]:
        """Return the step of this run at which each pattern settled, or `MOVING`."""
        settled_at = self.engine.value("run", "settled_at")
        steps = settled_at - self.engine.counter("origin")
        return [int(step) for step in np.where(settled_at == MOVING, MOVING, steps)]

    def _steps_taken(self) -> int:
        if self.work.stepping.adaptive:
            return self.engine.counter("accepted")
        return self.steps

    def _plastic_steps(self) -> int:
        """Count the steps so far at which weights moved."""
        if not self.plan.presentation:
            return self.steps
        length = int(self.engine.settings.get("present_steps", 0))
        gate = int(self.engine.settings.get("gate_steps", 0))
        whole, rest = divmod(self.steps, max(length, 1))
        return whole * (length - gate) + max(rest - gate, 0)


def _copies(values: Arrays) -> Patterns:
    return {n: array.copy() for n, array in values.items()}


def _state_values(state: State) -> dict[Key, Array]:
    """Return outputs and multipliers by the engine's keys."""
    x = {(n, "x"): values for n, values in state.x.items()}
    lam = {(n, "lam"): values for n, values in state.lam.items()}
    return x | lam | {BEFORE: np.array([state.steps_before])}
