"""One engine driven over one set of patterns: loaded, run in segments, watched, read.

Above `engine`, `reference` and `guard`, below `simulation`. A segment is what runs without looking back
at Python: progress, the watch over the stable step, checkpoints and Ctrl-C live between segments.
Start at `Session`.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import guard, lagrangian, recording
from neurosim.engine.plan import DIFFERENTIAL, STAGED, Extension, Plan, Recorded
from neurosim.errors import DivergenceError, FileError, ModelError, StabilityWarning, unknown
from neurosim.feedback import like, synapses, turned
from neurosim.flow import Flow
from neurosim.imperfections import NONE, Imperfections
from neurosim.mirror import mirror
from neurosim.network import Network
from neurosim.operations import synaptic_operations
from neurosim.results import Run, State, build_traces
from neurosim.transport import Transport

if TYPE_CHECKING:
    from neurosim.engine.engine import Engine, Factory
    from neurosim.recording import Store

Array = np.ndarray
Key = tuple[str, str]
BOUND = 1e6  # of x and lam, times the largest input or target: beyond it a run counts as diverged
GUARD_PATTERNS = 2  # that the watch over the stable step looks at
WATCHED = 3_000_000  # synapses of the largest net whose stable step is looked for: some 250 passes through them
SLACK = 1.02  # a step this much beyond the bound is still no reason to warn

logger = logging.getLogger("neurosim")


@dataclass(frozen=True)
class Setting:
    """What a simulation fixed, as its sessions need it."""

    net: Network
    flow: Flow
    dt: float
    method: str
    backend: str
    seed: int
    extensions: tuple[Any, ...]
    threads: int = 1
    precision: str = "float64"
    shortcuts: bool = True
    transports: Mapping[str, Transport] = field(default_factory=dict)
    factories: Sequence[Factory] = ()
    described: Mapping[str, Any] = field(default_factory=dict)
    imperfections: Imperfections = NONE


@dataclass(frozen=True)
class Recording:
    """What a run records: variables, every how many steps, of which patterns and units; where to, if not in memory."""

    variables: tuple[str, ...] = ()
    every: int = 1
    patterns: tuple[int, ...] = ()
    units: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    stream: Path | None = None


@dataclass(frozen=True)
class Stepping:
    """How a run is stepped where it is not as the simulation says: adaptive ticks, the rate at which it is at rest.

    `settle` is max |tau dz/dt| over outputs and multipliers; `tolerance` is of one adaptive step, absolute and
    relative; `tick` (s) is the adaptive step's longest.
    """

    settle: float = 0.0
    tolerance: float | None = None
    tick: float = 0.0


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
        largest = max([1.0, *(float(np.abs(v).max()) for v in (*clamped.values(), *targets.values()) if v.size)])
        self.engine.load(self._constants(plastic, BOUND * largest))
        self.engine.load(self._state(start))
        self.engine.load(self._resumed(auxiliary or {}))
        if batch is None:
            self.engine.load({(n, "x"): v for n, v in clamped.items()} | {(n, "y"): v for n, v in targets.items()})

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
        read = {v: {n: self.engine.value(n, v).reshape(shape[n]) for n in shape} for v in ("x", "lam")}
        return State(read["x"], read["lam"])

    def batch(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """Inputs and targets that are clamped now."""
        if not self.plan.presentation and not self.setting.factories:
            return {n: X.copy() for n, X in self.clamped.items()}, dict(self.targets)
        x = {n: self.engine.value(n, "x").reshape(self.count, -1) for n in self.net.inputs}
        return x, {n: self.engine.value(n, "y").reshape(self.count, -1) for n in self.net.losses}

    def read_weights(self) -> None:
        """Give the network the weights and biases as they stand."""
        from neurosim.engine.plan import bias_group, projection_group

        for name, w in self.net.weights.items():
            values = self.engine.value(projection_group(name), "w")
            if isinstance(w, np.ndarray):
                w[...] = values.reshape(w.shape)
            else:
                w.data[...] = values[: w.nnz]
        for name in self.net.feedback:
            values = self.engine.value(projection_group(name), "back")
            w = self.net.weights[name]
            found = turned(like(w, values[: synapses(w).size]))
            synapses(self.net.feedback[name])[...] = synapses(found)
        for name in self.net.neurons:
            self.net.biases[name][...] = self.engine.value(bias_group(name), "w")

    def mirror(self, row: int) -> None:
        """Feedback of kind mirror comes near the weights as they are, before this row of a log."""
        from neurosim.engine.plan import projection_group

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
        self.engine.run(n_steps, int(np.random.SeedSequence([self.setting.seed, segment]).generate_state(1)[0]))
        if number := self.engine.counter("diverged"):
            raise self._diverged(self.net.neurons[number - 1])
        self.good = self.state()
        return (self.steps - before >= n_steps or self.settled) and not self.stopped

    @property
    def settled(self) -> bool:
        """Nothing changes any more, as `Stepping.settle` says."""
        return bool(self.engine.counter("settled"))

    def stop(self) -> None:
        """End the segment that runs now as soon as may be; a compiled program ends it by the same Ctrl-C."""
        self.stopped = True
        self.engine.stop()

    def present(self, order: Array, length: int, gate: int) -> None:
        """Show these rows next, a batch after the other, `length` steps each, plastic from step `gate` on."""
        sets = {(n, "x"): v for n, v in self.clamped.items()} | {(n, "y"): v for n, v in self.targets.items()}
        self.engine.present(sets, order)
        steps = {"present_steps": length, "gate_steps": gate, "first_step": self.steps}
        self.engine.load({("run", name): value for name, value in steps.items()})

    def watch(self) -> float:
        """The largest stable Euler step here, s; warns once where dt is beyond it. NaN where it is not looked for."""
        if self.plan.method != "euler" or not self._watched:
            return float("nan")
        clamped, targets = self.batch()
        state, rows = self.good, np.unique(np.linspace(0, self.count - 1, GUARD_PATTERNS).astype(int))
        x, lam, X, Y = ({n: v[rows] for n, v in part.items()} for part in (state.x, state.lam, clamped, targets))
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

    def glance(self, interrupted: bool = False) -> Run:
        """All that the engine holds, as a run without traces."""
        state = self.state()
        clamped, targets = self.batch()
        run = Run(
            network=self.net.copy(),
            flow=self.flow,
            settings=self._settings(),
            X=clamped,
            Y=targets,
            x=dict(state.x),
            lam=dict(state.lam),
            time=self.time,
            steps=self.engine.counter("accepted") if self.adaptive else self.steps,
            interrupted=interrupted,
            auxiliary=self._auxiliary(),
        )
        if self.plan.outlets:
            run = replace(run, settings=run.settings | {"synaptic_operations": synaptic_operations(run).as_dict()})
        return run

    def finish(self, interrupted: bool) -> Run:
        """All that the engine holds, as a run with what was recorded."""
        run = self.glance(interrupted)
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
        kept = {f"{group}.{variable}": value for (group, variable), value in self.engine.state().items()}
        return kept | {f"record.{i}": rows for i, rows in enumerate(self._rows())}

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Go on from a checkpoint."""
        state = {k: v for k, v in snapshot.items() if not k.startswith("record.")}
        expected = self.engine.state()
        if {k: np.size(v) for k, v in state.items()} != {f"{g}.{v}": a.size for (g, v), a in expected.items()}:
            raise FileError("the checkpoint's arrays are not those of this model; try it with the model that wrote it")
        self.engine.load({(k.split(".")[0], k.split(".")[1]): v for k, v in state.items()})
        self.recorded = [snapshot[f"record.{i}"] for i in range(len(self.plan.recorded)) if f"record.{i}" in snapshot]
        self.good = self.state()

    def _settings(self) -> dict[str, Any]:
        chosen: dict[str, Any] = {"backend": self.setting.backend, "plastic": self.plastic, "duration": self.time}
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
        length, gate = (int(self.engine.settings.get(k, 0)) for k in ("present_steps", "gate_steps"))
        whole, rest = divmod(self.steps, max(length, 1))
        return whole * (length - gate) + max(rest - gate, 0)

    def _rows(self) -> list[Array]:
        """(samples, entries) of every recorded variable since the start."""
        first, last = self.engine.first_sample, self.engine.samples
        new = [self.engine.recorded(i, first, last) for i in range(len(self.plan.recorded))]
        return [np.concatenate(pair) for pair in zip(self.recorded, new, strict=True)] if self.recorded else new

    def _diverged(self, population: str) -> DivergenceError:
        clamped, targets = self.batch()
        try:
            if not self._watched:
                raise ArithmeticError(f"more than {WATCHED} synapses")
            with np.errstate(all="ignore"):
                found = guard.stable_step(
                    self.net, self.flow, self.good.x, self.good.lam, clamped, targets, patterns=GUARD_PATTERNS
                )
            advice = self._advice(found)
        except (ArithmeticError, ValueError, np.linalg.LinAlgError):
            advice = f"try dt = {self.setting.dt * 500:.3g} ms, or Flow.adjoint()"
        return DivergenceError(
            f"the run diverged at t = {self.time:.6g} s (step {self.steps}) in population {population!r}, with "
            f"dt = {self.setting.dt * 1e3:.3g} ms; {advice}",
            time=self.time,
            population=population,
        )

    def _advice(self, found: guard.StableStep) -> str:
        """What to try after a divergence, given the step that would hold."""
        if self.plan.imperfections.prospective:
            return (
                "prospective messages undo the lag of a unit that relaxes; with a saddle term (kappa > 0), a "
                "look-ahead time as short as the step or weights that move fast they amplify: try Flow.adjoint(), "
                "a larger tau_w, or prospective=False"
            )
        if self.setting.dt >= found.step:
            return guard.remedy(self.net, self.flow, self.setting.dt, found)
        if self.plan.imperfections.speaks:
            return (
                f"a circuit whose messages are neither late nor noisy would hold (stable step {found.step * 1e3:.3g} "
                "ms): try smaller imperfections, Flow.rotated(1.3), Flow.adjoint() or a larger tau_w"
            )
        if any(self.net.populations[n].term.slides for n in self.net.neurons):
            return (
                "the step would hold off the kinks of the constraint function; along them the state chatters, the "
                f"more the longer the step: try dt = {self.setting.dt * 250:.3g} ms, or constraint='tube'"
            )
        if not self.plastic:
            return "the step itself would hold: an activation, a loss or an extension is not defined everywhere"
        return (
            f"outputs and multipliers alone would hold (stable step {found.step * 1e3:.3g} ms), so moving weights are "
            "the likely cause: try a tau_w several times larger, Flow.adjoint(), or a later plastic_from"
        )

    def _constants(self, plastic: bool, bound: float) -> dict[Key, Any]:
        from neurosim.engine.plan import DECAYS

        values: dict[Key, Any] = {
            ("run", "plastic"): int(plastic),
            ("run", "bound"): bound,
            ("run", "record_steps"): self.recording.every,
            ("run", "settle"): self.stepping.settle,
            ("run", "tolerance"): self.stepping.tolerance or 0.0,
            ("run", "step_size"): min(self.setting.dt, self.dt),
            ("run", "residual"): np.inf,
            **{("run", name): 1.0 for name in DECAYS},
        }
        step = 0.0 if self.plan.method in STAGED else self.dt
        values |= parameters(self.net, self.flow, step)
        for o in self.plan.outlets:
            values |= {(o.population, k): v for k, v in o.constants(self.flow, self.setting.dt).items()}
        for e in self.setting.extensions:
            values |= {(e.population, k): v for k, v in self._parameters(e).items()}
        return values | self._lacking()

    def _lacking(self) -> dict[Key, Any]:
        """What imperfections give values to."""
        from neurosim.engine.plan import projection_group

        lacks = self.setting.imperfections
        values: dict[Key, Any] = {}
        for number, (n, p) in enumerate(self.net.populations.items()):
            values |= {(n, k): v for k, v in lacks.constants(p.clamped).items()}
            if lacks.own_times and not p.clamped:
                for name, factors in zip(("tau_x", "tau_lam"), lacks.times(number, p.size), strict=True):
                    values[n, name] = np.tile(self.flow.time(name, n) * factors, self.count)
        signs = lacks.signs(self.net) if self.plan.dale else {}
        for name, q in self.net.projections.items() if signs else ():
            values[projection_group(name), "sign"] = signs[q.pre]
        return values

    def _parameters(self, e: Extension) -> dict[str, Array]:
        """The values of an extension's own parameters, all of them."""
        from brian2 import Equations

        own = Equations(e.equations) if e.equations.strip() else Equations([])
        allowed = own.parameter_names | own.diff_eq_names
        found = {}
        for name, value in e.parameters.items():
            if name not in allowed:
                raise unknown(f"parameter of the extension of {e.population}", name, sorted(allowed))
            array = np.asarray(value, dtype=float)
            size = self.engine.size(e.population, name)
            if array.size not in (1, size):
                raise ModelError(
                    f"{name} of {e.population} has shape {array.shape}; allowed: a number, or {size} of them"
                )
            found[name] = array
        if missing := sorted(own.parameter_names - set(found)):
            raise ModelError(f"the extension of {e.population} gives no value to {', '.join(missing)}; try parameters=")
        return found

    def _state(self, start: State) -> dict[Key, Array]:
        return {(n, v): getattr(start, v)[n] for n in self.net.neurons for v in ("x", "lam")}

    def _resumed(self, auxiliary: Mapping[str, Array]) -> dict[Key, Array]:
        """State variables of a user's own from an earlier run, where they are still the same."""
        own = self._auxiliary()
        found = {
            (k.split(".")[0], k.split(".")[1]): v
            for k, v in auxiliary.items()
            if k in own and np.shape(v) == own[k].shape and not k.split(".")[1].startswith(("spoken_", "taught_"))
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
        for o in self.plan.outlets:
            own = dict.fromkeys([*(f"{said}_{o.name}" for said in ("sent", "spoken", "taught")), o.heard])
            kept += [(o.population, v) for v in own]
        kept += [(n, v) for n, p in self.net.populations.items() for v in self.setting.imperfections.memory(p.clamped)]
        found = {f"{n}.{v}": self.engine.value(n, v).reshape(self.count, -1) for n, v in kept}
        return found | {f"{n}.line_{name}": self._in_flight(n, name, steps) for n, name, steps in self.plan.lines}

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
            raise ModelError(f"patterns = {wrong[0]!r}; allowed: 0 to {self.count - 1}, those simulated at once")
        variables, weights = self._variables(plan)
        if chosen.stream is not None:
            self.store = store = recording.Store(
                chosen.stream, self.net, self.flow, self.setting.described,
                self._times(-(-steps // chosen.every)), variables, pattern=chosen.patterns,
                units=chosen.units, weights=weights, dtype=plan.precision,
            )  # fmt: skip
            return [
                Recorded(
                    v, tuple(parts), store.sizes[v], 1 if v == "w" else 2, store.rows, store.folders[v],
                    partial(store.write, v),
                )
                for v, parts in store.layout.items()
            ]  # fmt: skip
        sizes, layout = recording.layout(self.net, variables, chosen.patterns, chosen.units, weights)
        return [Recorded(v, tuple(parts), sizes[v]) for v, parts in layout.items()]

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
            every = self.net.neurons if variable == "x" else self.net.populations  # x of inputs is data
            variables[variable] = [n for n in every if variable in plan.variables(n)]
            if not variables[variable]:
                known = sorted({v for n in self.net.neurons for v in plan.variables(n)})
                raise unknown("record", variable, [*known, "w", "w:pre->post"])
        return variables, weights


def parameters(net: Network, flow: Flow, step: float) -> dict[Key, Any]:
    """Gains, time constants, weights and biases, by the engine's (group, variable).

    Parameters
    ----------
    step : s
        Of which a tube knows; 0 where messages are sent anew within a step.
    """
    from neurosim.engine.plan import bias_group, projection_group

    values: dict[Key, Any] = {}
    for n in net.neurons:
        values |= {(n, v): value for v, value in lagrangian.shared(net, flow, n, step).items()}
        values |= {(bias_group(n), "tau_w"): flow.time("tau_w", n), (bias_group(n), "w"): net.biases[n]}
    for name, q in net.projections.items():
        group, w = projection_group(name), net.weights[name]
        values |= {(group, "tau_w"): flow.time("tau_w", q.post) if q.plastic else math.inf}
        values |= {(group, price): value for price, value in (q.prices | {"l2": q.decay}).items()}
        if name in net.feedback:
            back = synapses(net.returning(name))
            values |= {(group, "back"): back if back.size else 0.0, (group, "back_size"): q.feedback_size or 0.0}
        if isinstance(w, np.ndarray):
            values[group, "w"] = w
        elif w.nnz:
            values |= {(group, "w"): w.data, (group, "row"): w.indptr, (group, "col"): w.indices}
        else:
            values |= {(group, "w"): 0.0, (group, "row"): 0, (group, "col"): 0}
    return values
