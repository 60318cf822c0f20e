"""One engine driven over one set of patterns: loaded, run in segments, watched, read.

Above `engine`, `reference` and `guard`, below `simulation`. A segment is what runs without looking
back at Python: progress, the watch over the stable step, checkpoints and Ctrl-C live between
segments. Start at `Session`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.loading import Key, initial_values
from neurosim.engine.names import DECAYS, DIFFERENTIAL
from neurosim.engine.plan import Plan, Recorded
from neurosim.errors import DivergenceError, FileError, ModelError, StabilityWarning, unknown
from neurosim.model.state import State
from neurosim.model.weights import synapses, transposed, with_values
from neurosim.results import recording
from neurosim.results.format import current_name
from neurosim.results.operations import synaptic_operations
from neurosim.results.runs import Run
from neurosim.results.traces import build_traces
from neurosim.results.zarr import rows_a_chunk
from neurosim.simulation import stable_step as guard
from neurosim.simulation.options import Recording, Setting, Stepping
from neurosim.simulation.weight_mirror import mirror

if TYPE_CHECKING:
    from neurosim.engine.engine import Engine
    from neurosim.results.recording import Store

Array = np.ndarray
BOUND = 1e6  # of x and lam, times the largest input or target: beyond it a run counts as diverged
GUARD_PATTERNS = 2  # that the watch over the stable step looks at
# synapses of the largest net whose stable step is looked for: some 250 passes through them
WATCHED = 3_000_000
SLACK = 1.02  # a step this much beyond the bound is still no reason to warn
IN_MEMORY = 1024  # samples at most that a compiled program collects before it writes them


class Session:
    """One engine with its data.

    Parameters
    ----------
    setting : Setting
    clamped, targets : dict of str to array, (patterns, units)
        All patterns; a batch of them if `batch` is given.
    start : State or mapping of arrays
        Outputs and multipliers of the patterns that are simulated at once.
    batch : int, optional
        Patterns simulated at once; then rows of the data are presented in turn.
    auxiliary : dict of str to array, optional
        State variables of a user's own, as an earlier run left them.
    """

    def __init__(
        self,
        setting: Setting,
        clamped: Mapping[str, Array],
        targets: Mapping[str, Array],
        start: State,
        *,
        plastic: bool,
        recording: Recording,
        steps: int,
        batch: int | None = None,
        auxiliary: Mapping[str, Array] | None = None,
        stepping: Stepping | None = None,
    ) -> None:
        from neurosim.engine.build import build

        self.stepping = stepping or Stepping()
        self.adaptive = self.stepping.tolerance is not None
        self.dt = self.stepping.tick if self.adaptive else setting.dt
        self.setting, self.clamped, self.targets = setting, clamped, targets
        self.net, self.flow, self.recording = setting.net, setting.flow, recording
        self.count = batch or len(next(iter(clamped.values())))
        self.plan = Plan(
            self.net,
            self.count,
            self.dt,
            "adaptive" if self.adaptive else setting.method,
            presentation=batch is not None,
            extensions=setting.extensions,
            precision=setting.precision,
            settles=self.stepping.settle > 0,
            shortcuts=setting.shortcuts and not setting.factories,
            transports=setting.transports,
            learns=plastic,
            imperfections=setting.imperfections,
        )
        self.store: Store | None = None
        self.plan = replace(self.plan, recorded=tuple(self._recorded(self.plan, steps)))
        self.engine: Engine = build(self.plan, setting.backend, setting.factories, setting.threads)
        self.recorded: list[Array] = []
        self.warned = False
        self.stopped, self.plastic = False, plastic
        self.good: State = start
        self.engine.load(self._constants())
        self.engine.load(self._state(start))
        self.engine.load(self._resumed(auxiliary or {}))
        if batch is None:
            self.engine.load(
                {(n, "x"): v for n, v in clamped.items()}
                | {(n, "y"): v for n, v in targets.items()}
            )

    @property
    def steps(self) -> int:
        """Steps since the start."""
        return self.engine.counter("step")

    @property
    def time(self) -> float:
        """Simulated time since the start, s."""
        if self.adaptive:
            return float(self.engine.value("run", "elapsed")[0])
        return self.steps * self.dt

    def state(self) -> State:
        """Outputs and multipliers as they stand."""
        shape = {n: (self.count, self.net.populations[n].size) for n in self.net.neurons}
        read = {
            v: {n: self.engine.value(n, v).reshape(shape[n]) for n in shape} for v in ("x", "lam")
        }
        return State(read["x"], read["lam"])

    def batch(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """Inputs and targets that are clamped now, to be read."""
        if not self.plan.presentation and not self.setting.factories:
            return dict(self.clamped), dict(self.targets)
        x = {n: self.engine.value(n, "x").reshape(self.count, -1) for n in self.net.inputs}
        return x, {n: self.engine.value(n, "y").reshape(self.count, -1) for n in self.net.losses}

    def read_weights(self) -> None:
        """Give the network the weights and biases as they stand."""
        from neurosim.engine.names import bias_group, projection_group

        for name, w in self.net.weights.items():
            values = self.engine.value(projection_group(name), "w")
            if isinstance(w, np.ndarray):
                w[...] = values.reshape(w.shape)
            else:
                w.data[...] = values[: w.nnz]
        for name in self.net.feedback:
            values = self.engine.value(projection_group(name), "back")
            w = self.net.weights[name]
            found = transposed(with_values(w, values[: synapses(w).size]))
            synapses(self.net.feedback[name])[...] = synapses(found)
        for name in self.net.neurons:
            self.net.biases[name][...] = self.engine.value(bias_group(name), "w")

    def mirror(self, row: int) -> None:
        """Feedback of kind mirror comes near the weights as they are, before this row of a log."""
        from neurosim.engine.names import projection_group

        mirror(self.net, [self.setting.seed, row])
        for name in (n for n in self.net.feedback if self.net.projections[n].feedback == "mirror"):
            self.engine.load({(projection_group(name), "back"): synapses(self.net.returning(name))})

    def run(self, n_steps: int, segment: int) -> bool:
        """One segment; False if Ctrl-C ended it.

        Raises
        ------
        DivergenceError
            The state left its bound.
        """
        if self.stopped:
            return False
        before = self.steps
        self.engine.run(
            n_steps, int(np.random.SeedSequence([self.setting.seed, segment]).generate_state(1)[0])
        )
        if number := self.engine.counter("diverged"):
            raise self._diverged(self.net.neurons[number - 1])
        self.good = self.state()
        return (self.steps - before >= n_steps or self.settled) and not self.stopped

    @property
    def settled(self) -> bool:
        """Nothing changes any more, as `Stepping.settle` says."""
        return bool(self.engine.counter("settled"))

    def stop(self) -> None:
        """End the segment that runs now as soon as may be; a compiled program ends it by the same
        Ctrl-C.
        """
        self.stopped = True
        self.engine.stop()

    def present(self, order: Array, length: int, gate: int) -> None:
        """Show these rows next, a batch after the other, `length` steps each, plastic from step
        `gate` on.
        """
        sets = {(n, "x"): v for n, v in self.clamped.items()} | {
            (n, "y"): v for n, v in self.targets.items()
        }
        self.engine.present(sets, order)
        steps = {"present_steps": length, "gate_steps": gate, "first_step": self.steps}
        self.engine.load({("run", name): value for name, value in steps.items()})

    def watch(self) -> float:
        """The largest stable Euler step here, s; warns once where dt is beyond it. NaN where it is
        not looked for.
        """
        if self.plan.method != "euler" or not self._watched:
            return float("nan")
        clamped, targets = self.batch()
        state, rows = (
            self.good,
            np.unique(np.linspace(0, self.count - 1, GUARD_PATTERNS).astype(int)),
        )
        x, lam, X, Y = (
            {n: v[rows] for n, v in part.items()} for part in (state.x, state.lam, clamped, targets)
        )
        found = guard.stable_step(self.net, self.flow, x, lam, X, Y, patterns=GUARD_PATTERNS)
        if self.setting.dt > SLACK * found.step and not self.warned:
            self.warned = True
            warnings.warn(
                guard.remedy(self.net, self.flow, self.setting.dt, found),
                StabilityWarning,
                stacklevel=3,
            )
        return found.step

    @property
    def _watched(self) -> bool:
        return sum(int(w.size) for w in self.net.weights.values()) <= WATCHED

    def snapshot_run(self, interrupted: bool = False) -> Run:
        """All that the engine holds, as a run without traces."""
        clamped, targets = self.batch()
        run = Run(
            network=self.net.copy(),
            flow=self.flow,
            settings=self._settings(),
            X={
                n: X.copy() for n, X in clamped.items()
            },  # the user's may change, and the run is the user's
            Y=targets,
            x={n: x.copy() for n, x in self.good.x.items()},
            lam={n: lam.copy() for n, lam in self.good.lam.items()},
            time=self.time,
            steps=self.engine.counter("accepted") if self.adaptive else self.steps,
            interrupted=interrupted,
            auxiliary=self._auxiliary(),
        )
        if self.plan.event_sources:
            run = replace(
                run,
                settings=run.settings | {"synaptic_operations": synaptic_operations(run).as_dict()},
            )
        return run

    def finish(self, interrupted: bool) -> Run:
        """All that the engine holds, as a run with what was recorded."""
        run = self.snapshot_run(interrupted)
        if self.store is None:
            return replace(run, traces=self.traces())
        self.store.finish(run, self.engine.samples)
        return replace(run, traces=recording.load_run(self.store.path).traces)

    def traces(self) -> Any:
        """What was recorded, or None."""
        if not self.recording.variables:
            return None
        units: dict[str, dict[str, Array]] = {}
        weights: dict[str, Array] = {}
        patterns, samples = len(self.recording.patterns), self.engine.samples
        for r, values in zip(self.plan.recorded, self._rows(), strict=True):
            for part in r.parts:
                own = values[:, part.position]
                if r.variable == "w":
                    weights[part.name] = own
                else:
                    units.setdefault(r.variable, {})[part.name] = own.reshape(
                        samples, patterns, own.shape[1] // patterns
                    )
        return build_traces(
            self.net,
            self.flow,
            self._settings(),
            self._times(samples),
            units,
            pattern=self.recording.patterns,
            units=self.recording.units,
            weights=weights or None,
        )

    def _times(self, samples: int) -> Array:
        return np.arange(samples) * (self.recording.every * self.dt)

    def snapshot(self) -> dict[str, Array]:
        """Every array from which the run can go on, for a checkpoint."""
        kept = {
            f"{group}.{variable}": value for (group, variable), value in self.engine.state().items()
        }
        return kept | {f"record.{i}": rows for i, rows in enumerate(self._rows())}

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Go on from a checkpoint."""
        state = {current_name(k): v for k, v in snapshot.items() if not k.startswith("record.")}
        expected = self.engine.state()
        if {k: np.size(v) for k, v in state.items()} != {
            f"{g}.{v}": a.size for (g, v), a in expected.items()
        }:
            raise FileError(
                "the checkpoint's arrays are not those of this model; try it with the "
                "model that wrote it"
            )
        self.engine.load({(k.split(".")[0], k.split(".")[1]): v for k, v in state.items()})
        self.recorded = [
            snapshot[f"record.{i}"]
            for i in range(len(self.plan.recorded))
            if f"record.{i}" in snapshot
        ]
        self.good = self.state()

    def _settings(self) -> dict[str, Any]:
        chosen: dict[str, Any] = {
            "backend": self.setting.backend,
            "plastic": self.plastic,
            "duration": self.time,
        }
        if self.plastic:
            chosen["plastic_steps"] = self._plastic_steps()
        if self.stepping.settle:
            chosen |= {"settle": self.stepping.settle, "settled": self.settled}
        if self.adaptive:
            chosen |= {
                "method": "adaptive",
                "tolerance": self.stepping.tolerance,
                "evaluations": self.engine.counter("evaluations"),
            }
        return {**self.setting.described, **chosen}

    def _plastic_steps(self) -> int:
        """Steps so far at which weights moved."""
        if not self.plan.presentation:
            return self.steps
        length, gate = (
            int(self.engine.settings.get(k, 0)) for k in ("present_steps", "gate_steps")
        )
        whole, rest = divmod(self.steps, max(length, 1))
        return whole * (length - gate) + max(rest - gate, 0)

    def _rows(self) -> list[Array]:
        """(samples, entries) of every recorded variable since the start."""
        first, last = self.engine.first_sample, self.engine.samples
        new = [self.engine.recorded(i, first, last) for i in range(len(self.plan.recorded))]
        return (
            [np.concatenate(pair) for pair in zip(self.recorded, new, strict=True)]
            if self.recorded
            else new
        )

    def _diverged(self, population: str) -> DivergenceError:
        clamped, targets = self.batch()
        try:
            if not self._watched:
                raise ArithmeticError(f"more than {WATCHED} synapses")
            with np.errstate(all="ignore"):
                found = guard.stable_step(
                    self.net,
                    self.flow,
                    self.good.x,
                    self.good.lam,
                    clamped,
                    targets,
                    patterns=GUARD_PATTERNS,
                )
            advice = guard.advice(self.plan, self.flow, self.setting.dt, found, self.plastic)
        except (ArithmeticError, ValueError, np.linalg.LinAlgError):
            advice = f"try dt = {self.setting.dt * 500:.3g} ms, or Flow.adjoint()"
        return DivergenceError(
            f"the run diverged at t = {self.time:.6g} s (step {self.steps}) in "
            f"population {population!r}, with "
            f"dt = {self.setting.dt * 1e3:.3g} ms; {advice}",
            time=self.time,
            population=population,
        )

    def _constants(self) -> dict[Key, Any]:
        values: dict[Key, Any] = {
            ("run", "plastic"): int(self.plastic),
            ("run", "bound"): bound(self.clamped, self.targets),
            ("run", "record_steps"): self.recording.every,
            ("run", "settle"): self.stepping.settle,
            ("run", "tolerance"): self.stepping.tolerance or 0.0,
            ("run", "step_size"): min(self.setting.dt, self.dt),
            ("run", "residual"): np.inf,
            **{("run", name): 1.0 for name in DECAYS},
        }
        return values | initial_values(self.plan, self.flow, self.setting.dt, self.engine)

    def _state(self, start: State) -> dict[Key, Array]:
        return {(n, v): getattr(start, v)[n] for n in self.net.neurons for v in ("x", "lam")}

    def _resumed(self, auxiliary: Mapping[str, Array]) -> dict[Key, Array]:
        """State variables of a user's own from an earlier run, where they are still the same."""
        own = self._auxiliary()
        found = {
            (k.split(".")[0], k.split(".")[1]): v
            for k, v in auxiliary.items()
            if k in own
            and np.shape(v) == own[k].shape
            and not k.split(".")[1].startswith(("events_", "plastic_events_"))
        }
        for population, name, steps in self.plan.lines:
            if (key := (population, f"line_{name}")) in found:
                found[key] = found[key].reshape(self.count, steps, -1).swapaxes(0, 1)
        return found

    def _auxiliary(self) -> dict[str, Array]:
        """State variables beside x and lam, so that a run can go on."""
        kept = [
            (e.population, v)
            for e in self.setting.extensions
            for v, kind in self.engine.kinds(e.population).items()
            if kind == DIFFERENTIAL and v not in ("x", "lam")
        ]
        for o in self.plan.event_sources:
            own = dict.fromkeys(
                [*(f"{said}_{o.name}" for said in ("sent", "events", "plastic_events")), o.received]
            )
            kept += [(o.population, v) for v in own]
        kept += [
            (n, v)
            for n, p in self.net.populations.items()
            for v in self.setting.imperfections.memory(p.clamped)
        ]
        found = {f"{n}.{v}": self.engine.value(n, v).reshape(self.count, -1) for n, v in kept}
        return found | {
            f"{n}.line_{name}": self._in_flight(n, name, steps)
            for n, name, steps in self.plan.lines
        }

    def _in_flight(self, population: str, name: str, steps: int) -> Array:
        """What was said and is not yet heard, the next to arrive first: (patterns, steps x units)."""
        line, at = (self.engine.value(population, f"{v}_{name}") for v in ("line", "line_at"))
        in_order = np.roll(line.reshape(steps, self.count, -1), -int(at[0]), axis=0)
        return in_order.swapaxes(0, 1).reshape(self.count, -1)

    def _recorded(self, plan: Plan, steps: int) -> list[Recorded]:
        chosen = self.recording
        if not chosen.variables:
            return []
        wrong = [p for p in chosen.patterns if not 0 <= p < self.count]
        if wrong:
            raise ModelError(
                f"patterns = {wrong[0]!r}; allowed: 0 to {self.count - 1}, those simulated at once"
            )
        variables, weights = self._variables(plan)
        if chosen.stream is not None:
            self.store = store = recording.Store(
                chosen.stream,
                self.net,
                self.flow,
                self.setting.described,
                self._times(-(-steps // chosen.every)),
                variables,
                pattern=chosen.patterns,
                units=chosen.units,
                weights=weights,
                dtype=plan.precision,
            )
            return [
                Recorded(
                    v,
                    tuple(parts),
                    store.sizes[v],
                    store.rows,
                    1 if v == "w" else 2,
                    store.folders[v],
                    partial(store.write, v),
                )
                for v, parts in store.layout.items()
            ]
        sizes, layout = recording.layout(
            self.net, variables, chosen.patterns, chosen.units, weights
        )
        dtype = np.dtype(plan.precision)
        rows = {v: rows_a_chunk((IN_MEMORY, size), dtype) for v, size in sizes.items()}
        return [Recorded(v, tuple(parts), sizes[v], rows[v]) for v, parts in layout.items()]

    def _variables(self, plan: Plan) -> tuple[dict[str, list[str]], list[str]]:
        """Populations that have each recorded variable, and projections whose weights are recorded."""
        variables: dict[str, list[str]] = {}
        weights: list[str] = []
        for variable in self.recording.variables:
            if variable == "w" or variable.startswith("w:"):
                names = list(self.net.projections) if variable == "w" else [variable[2:]]
                if not names or names[0] not in self.net.projections:
                    raise unknown("record", variable, [f"w:{n}" for n in self.net.projections])
                weights += [n for n in names if n not in weights]
                continue
            every = (
                self.net.neurons if variable == "x" else self.net.populations
            )  # x of inputs is data
            is_known = any(variable in plan.variables(n) for n in self.net.populations)
            name = variable if is_known else current_name(variable)
            if name != variable:
                warnings.warn(
                    f"record = {variable!r} is called {name!r} since 0.2; the old name goes in 0.4",
                    DeprecationWarning,
                    stacklevel=2,
                )
            variables[variable] = [n for n in every if name in plan.variables(n)]
            if not variables[variable]:
                known = sorted({v for n in self.net.neurons for v in plan.variables(n)})
                raise unknown("record", variable, [*known, "w", "w:pre->post"])
        return variables, weights


def bound(clamped: Mapping[str, Array], targets: Mapping[str, Array]) -> float:
    """Of x and lam: beyond it a run counts as diverged."""
    parts = [v for v in (*clamped.values(), *targets.values()) if v.size]
    return BOUND * max([1.0, *(float(max(v.max(), -v.min())) for v in parts)])
