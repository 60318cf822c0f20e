"""Brian2's runtime mode: a step on the groups' live arrays, in two or three objects of the network.

Before a step messages are sent, in the slot of the groups the state moves. Element by element the work is
NumPy calls made from the equations (`ufuncs`) or Brian2's Cython code objects; products are BLAS calls.
Start at `RuntimeEngine`; `Machine` is what one step does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from time import perf_counter
from typing import Any

import brian2
import numpy as np
from brian2 import second
from brian2.core.base import BrianObject
from brian2.core.network import Network as BrianNetwork
from brian2.core.variables import ArrayVariable
from threadpoolctl import ThreadpoolController

from neurosim import lagrangian
from neurosim.engine import brian
from neurosim.engine.engine import Engine, Factory, World, add_user_objects, kinds_of
from neurosim.engine.groups import HEAR, Groups
from neurosim.engine.plan import (
    DECAYS,
    GUARD_EVERY,
    LENGTH,
    MOMENT,
    MOMENTS,
    STAGED,
    Plan,
    moves_activity,
    projection_group,
)
from neurosim.engine.points import Points, live
from neurosim.engine.tableaus import ADAM, DORMAND_PRINCE, SETTLING_SHARE, TABLEAUS
from neurosim.engine.text import Statement, adam, descended, stepped
from neurosim.populations import PRICES
from neurosim.transport import BACKWARD, FORWARD, Outlet, Spikes

Array = np.ndarray
CHUNK = 2**20  # products of single synapses held at once
Moving = tuple[Array, Array]  # a state variable and its rate of change
Action = Callable[[], Any]
Phase = tuple[Sequence[Statement], Sequence[Statement]]  # what is assigned, then what grows by increments
CLOCK = ("t", "dt", "t_in_timesteps")


class RuntimeEngine(Engine):
    """One Brian2 network in this process."""

    def __init__(self, plan: Plan, factories: Sequence[Factory], threads: int, target: str) -> None:
        super().__init__(plan, threads)
        self.target, self.random = target, bool(plan.extensions or factories or plan.imperfections.draws)
        with self._scope():
            self.groups = Groups(plan, brian.make_clock(plan.dt))
            self.machine = Machine(self.groups, target)
            slots = [("messages", "before_start", 0), ("step", "groups", 0), ("finish", "end", 100)]
            if plan.outlets:  # Brian2 looks who has something to say just before each of the two
                slots[:1] = [("present", "before_start", -20)] if plan.presentation else []
                slots += [("speak", "before_start", HEAR[FORWARD]), ("reply", "before_start", HEAR[BACKWARD])]
            slots += [("record", "start", -20)] if plan.recorded else []
            steps = [
                Step(getattr(self.machine, name), self.groups.clock, when=when, order=order, name=f"run_{name}")
                for name, when, order in slots
            ]
            self.network = BrianNetwork(*self.groups.objects, *steps, name="neurosim_network")
            self.machine.stop = self.network.stop
            add_user_objects(self.network, factories)
            brian.adopt(self.network)

    def kinds(self, population: str) -> dict[str, str]:
        return kinds_of(self.groups.populations[population].equations)

    def size(self, group: str, variable: str) -> int:
        return int(self.groups.by_name[group].variables[variable].size)

    def stop(self) -> None:
        self.network.stop()

    def load(self, values: Mapping[tuple[str, str], Any]) -> None:
        super().load(values)
        for (group, variable), value in values.items():
            live(self.network[group], variable)[:] = np.ravel(value)
        if ("run", "step") in values:
            self.network.t_ = self.settings["step"] * self.plan.dt

    def value(self, group: str, variable: str) -> Array:
        return live(self.network[group], variable).copy()

    def present(self, data: Mapping[tuple[str, str], Array], order: Array) -> None:
        self.machine.sources = [(self.machine.units(*key), rows) for key, rows in data.items()]
        self.machine.queue = order

    def ask(self, world: World) -> None:
        self.machine.world = world

    def run(self, n_steps: int, seed: int) -> None:
        self.load({("run", "n_steps"): n_steps, ("run", "ticks"): 0, ("run", LENGTH): self.plan.dt})
        with self._scope(), _blas().limit(limits=self.threads, user_api="blas"), np.errstate(all="ignore"):
            self.machine.prepare({n: self.defers(n, n_steps) for n in self.plan.net.projections})
            if self.random:
                brian2.seed(seed)
            with brian.quick_run():
                begin = perf_counter()
                try:
                    self.network.run(n_steps * self.plan.dt * second, namespace={})
                finally:
                    self.machine.close()
                    self.loop_time += perf_counter() - begin
        brian.keep_code(self.groups.objects)

    def recorded(self, number: int, first: int, last: int) -> Array:
        rows = self.machine.rows[number][first - self.first_sample : last - self.first_sample]
        return np.reshape(rows, (len(rows), self.plan.recorded[number].size)).astype(self.plan.precision, copy=False)

    @contextlib.contextmanager
    def _scope(self) -> Iterator[None]:
        with (
            brian.scope(target=self.target, precision=self.plan.precision),
            brian.explained(bool(self.plan.extensions)),
        ):
            yield


class Step(BrianObject):  # type: ignore[misc]
    """Something done once a step in one slot of Brian2's schedule."""

    add_to_magic_network = False

    def __init__(self, action: Action, clock: Any, *, when: str, order: int, name: str) -> None:
        super().__init__(clock=clock, when=when, order=order, name=name)
        self.run = action


class Product:
    """One projection on live arrays: drive a += W x, feedback += W^T delta, and the change of W."""

    def __init__(self, machine: Machine, name: str) -> None:
        plan, q = machine.plan, machine.plan.net.projections[name]
        group = machine.groups.synapses[name]
        self.name, self.K = name, plan.patterns
        self.w, self.values = machine.weights(name)
        self.back, self.returning = machine.weights(name, plan.back(name))
        self.carried = q.feedback
        self.dense = isinstance(self.w, np.ndarray)
        self.transposed = self.w.swapaxes(-1, -2) if self.dense else self.w.T
        self.x = machine.rows_of(q.pre, plan.heard(name, FORWARD))
        self.delta = machine.rows_of(q.post, plan.heard(name, BACKWARD))
        self.factors = (
            machine.rows_of(q.post, plan.teaches(name, BACKWARD)), machine.rows_of(q.pre, plan.teaches(name, FORWARD))
        )  # fmt: skip
        self.listens = plan.outlet(name, FORWARD) is not None
        self.replied = True  # whether what it sends back may have changed
        self.a = machine.rows_of(q.post, "a")
        self.clamped = plan.net.populations[q.pre].clamped
        self.feedback = None if self.clamped else machine.rows_of(q.pre, "feedback")
        self.prices = {v: live(group, v) for v in ("tau_w", *PRICES)}
        self.signs = live(group, "sign") if plan.dale else None
        self.back_size = live(group, "back_size") if plan.back(name) == "back" else None
        self.may_keep = self.listens or (self.clamped and plan.shortcuts)
        self.kept, self.stale, self.defers, self.waiting = False, True, False, False
        self.drive = np.zeros_like(self.a) if self.may_keep else self.a
        if not self.dense:
            self.rows = np.repeat(np.arange(self.w.shape[0]), np.diff(self.w.indptr))

    def prepare(self, dt: float, defers: bool, moves: bool) -> None:
        """Read what is fixed for the run; `moves`: at every step the weights are others."""
        self.kept = self.may_keep and (self.listens or defers or not moves)
        self.replied = True
        prices = {v: float(p[0]) for v, p in self.prices.items()}
        self.tau_w, self.l2 = prices["tau_w"], prices["l2"]
        self.rate, self.keep = dt / self.tau_w, 1 - dt / self.tau_w * self.l2
        self.size, *self.group_sizes = (self.rate * prices[p] for p in ("l1", "row_l1", "column_l1"))
        self.stale, self.defers, self.waiting = True, defers, False
        if self.dense and self.w.ndim == 2:
            delta, x = self.factors
            self.learn_dense = accumulate(self.w, self.rate / self.K, delta.T, x)
            self.learn_back = accumulate(self.back, self.rate / self.K, delta.T, x)
            self.add_forward = accumulate(self.a, 1.0, self.x, self.w.T)
        if defers:
            self.gram, self.sum, self.scale = (
                np.empty((self.K, self.K), self.w.dtype),
                np.zeros_like(self.factors[0]),
                1.0,
            )
            self.learn_drive = accumulate(self.drive, self.rate / self.K, self.gram, self.factors[0])
            self.catch_up = accumulate(self.w, self.rate / self.K, self.sum.T, self.x)

    def into_drive(self) -> None:
        """W x of an input that stands still."""
        if self.dense:
            np.matmul(self.x, self.transposed, self.drive)
        else:
            self.drive[:] = (self.w @ self.x.T).T
        if self.defers:
            np.matmul(self.x, self.x.T, out=self.gram)
        self.stale = False

    def forward(self) -> None:
        """a += W x."""
        if self.dense and self.w.ndim == 2:
            self.add_forward()
        elif self.dense:
            self.a += self.x @ self.transposed
        else:
            self.a += (self.w @ self.x.T).T

    def backward(self) -> None:
        """feedback += W^T delta, or B delta."""
        assert self.feedback is not None
        self.feedback += self.delta @ self.back if self.dense else (self.back.T @ self.delta.T).T

    def learn(self) -> None:
        """One Euler step: w += dt/tau_w (mean over the batch of delta x - l2 w), then the proximal steps."""
        if self.defers:
            if self.keep != 1:
                self.sum *= self.keep
                self.drive *= self.keep
                self.scale *= self.keep
            np.add(self.sum, self.factors[0], self.sum)
            self.learn_drive()
            self.waiting = True
            return
        if self.keep != 1:
            self.values *= self.keep
        if self.dense:
            self.learn_dense()
        else:
            self.values += self.rate * self.mean_change()
        self.shrink()
        self.follow()
        self.stale = self.replied = True

    def follow(self) -> None:
        """The step of the feedback weights that goes with that of the weights."""
        if self.carried == "sign":
            self.follow_signs()
        elif self.carried == "kolen_pollack":
            if self.keep != 1:
                self.returning *= self.keep
            if self.dense:
                self.learn_back()
            else:
                self.returning += self.rate * self.mean_change()

    def follow_signs(self) -> None:
        """B = size sign(W^T)."""
        if self.carried == "sign":
            assert self.back_size is not None
            np.multiply(np.sign(self.values), self.back_size[0], out=self.returning)

    def sum_change(self, force: Array) -> None:
        """Delta x of every synapse, summed over the batch, into `force`."""
        if self.dense:
            np.matmul(self.factors[0].T, self.factors[1], out=force.reshape(self.w.shape))
        else:
            force[: len(self.values)] = self.K * self.mean_change()
        self.stale = self.replied = True

    def mean_change(self) -> Array:
        """delta x of every synapse, mean over the batch."""
        deltas, outputs = self.factors
        if self.dense:
            whole: Array = (deltas.T @ outputs).ravel() / self.K
            return whole
        change = np.zeros(len(self.values), self.values.dtype)
        rows = max(1, CHUNK // max(len(self.values), 1))
        for k in range(0, self.K, rows):
            delta, x = deltas[k : k + rows], outputs[k : k + rows]
            change += np.einsum("kp,kp->p", delta[:, self.rows], x[:, self.w.indices])
        return change / self.K

    def shrink(self) -> None:
        """What follows a step: the proximal steps of l1, then of the group prices, exact zeros, weight by weight and
        neuron by neuron; then Dale's law."""
        self._shrink()
        if self.signs is not None:
            w, signs = (self.w, self.signs) if self.dense else (self.values, self.signs[self.w.indices])
            w[w * signs < 0] = 0

    def _shrink(self) -> None:
        if self.size:
            left = np.abs(self.values) - self.size
            self.values[:] = np.where(left > 0, np.copysign(left, self.values), 0.0)
        for side, size in enumerate(self.group_sizes):  # postsynaptic neurons' rows, presynaptic ones' columns
            if not size:
                continue
            if self.dense:
                norms = np.sqrt(np.square(self.w).sum(axis=1 - side, keepdims=True))
                self.w *= left_of(norms, size)
            else:
                ends = (self.rows, self.w.indices)[side]
                norms = np.sqrt(np.bincount(ends, np.square(self.values), minlength=self.w.shape[side]))
                self.values *= left_of(norms, size)[ends]

    def materialize(self) -> None:
        """Bring weights whose change was only accumulated up to date."""
        if self.waiting:
            if self.scale != 1:
                self.values *= self.scale
            self.catch_up()
            self.sum[:], self.scale, self.waiting = 0, 1.0, False


class Speaker:
    """What one population says in one direction, as events; Brian2's thresholder has found who speaks."""

    def __init__(self, machine: Machine, outlet: Outlet) -> None:
        group = machine.groups.populations[outlet.population]
        self.who = live(group, f"_{outlet.event}space")  # units, then their number in the last place
        self.now, self.sent, self.spoken, self.taught = (
            live(group, v) for v in (outlet.variable, *(f"{v}_{outlet.name}" for v in ("sent", "spoken", "taught")))
        )
        self.quantum = live(group, f"theta_{outlet.name}") if isinstance(outlet.rule, Spikes) else None
        self.waits = [live(group, f"{v}_{outlet.name}") for v in ("ready", "silence")] if outlet.silent else []
        self.line = None
        if outlet.rule.delay:
            self.line = live(group, f"line_{outlet.name}").reshape(-1, len(self.sent))
            self.line_at, self.heard = live(group, f"line_at_{outlet.name}"), live(group, outlet.heard)
        self.products = [machine.products[name] for name in outlet.projections]
        self.backward = outlet.variable == BACKWARD

    def speak(self, t: float, learning: bool) -> None:
        """Whoever has something to say is heard, now or after the delay."""
        units = self.who[: self.who[-1]]
        if len(units):
            self._say(units, t, learning)
        if not (len(units) if self.line is None else self._arrives()):
            return
        for product in self.products:
            if self.backward:
                product.replied = True
            else:
                product.stale = True

    def _say(self, units: Array, t: float, learning: bool) -> None:
        if self.quantum is None:
            self.sent[units] = self.now[units]
        else:
            self.sent[units] += np.copysign(self.quantum[0], self.now[units] - self.sent[units])
        self.spoken[units] += 1
        if learning:
            self.taught[units] += 1
        if self.waits:
            ready, silence = self.waits
            ready[units] = t + silence[0]

    def _arrives(self) -> bool:
        """What was said a delay ago is heard; whether it is news."""
        assert self.line is not None
        slot = self.line[self.line_at[0]]
        news = bool(np.any(slot != self.heard))
        self.heard[:] = slot
        slot[:] = self.sent
        self.line_at[0] = (self.line_at[0] + 1) % len(self.line)
        return news


class Line:
    """Dense messages of one population in one direction, on their way for some steps."""

    def __init__(self, machine: Machine, population: str, variable: str) -> None:
        group = machine.groups.populations[population]
        self.said, self.heard = (live(group, f"{v}_{variable}") for v in ("said", "heard"))
        self.line = live(group, f"line_{variable}").reshape(-1, len(self.said))
        self.at = live(group, f"line_at_{variable}")

    def move(self) -> None:
        """What was said so many steps ago is heard, and what is said now is on its way."""
        slot = self.line[self.at[0]]
        self.heard[:] = slot
        slot[:] = self.said
        self.at[0] = (self.at[0] + 1) % len(self.line)


class Machine:
    """All that one step does, on the live arrays of the groups."""

    stop: Action

    def __init__(self, groups: Groups, target: str) -> None:
        self.groups, self.plan, self.target = groups, groups.plan, target
        self.net, self.K = groups.plan.net, groups.plan.patterns
        self.numbers = {n: live(groups.counters, n) for n in groups.counters.variables if n not in (*CLOCK, "N")}
        self.products = {n: Product(self, n) for n in self.net.projections}
        self.texts = {n: self.plan.text(n) for n in self.net.populations}
        self.now = groups.clock.variables["t"].get_value()
        self.sources: list[tuple[Array, Array]] = []  # (live array, data set)
        self.queue = np.empty(0, dtype=np.int64)
        self.world: World | None = None
        self.records = [
            (r, [(self._recorded(p.name, r.variable), p.source, p.position) for p in r.parts])
            for r in self.plan.recorded
        ]
        self.rows: list[list[Array]] = [[] for _ in self.plan.recorded]
        self.written = 0
        self.points = Points(self) if self.plan.points else None
        self.still = self.plan.still
        self.moved = True
        said = [(o.variable, Speaker(self, o)) for o in self.plan.outlets]
        self.speakers = {v: [s for variable, s in said if variable == v] for v in (FORWARD, BACKWARD)}
        dense = [] if not self.plan.imperfections.speaks else [(n, v) for n, v, _ in self.plan.lines]
        self.lines = {v: [Line(self, n, w) for n, w in dense if w == v] for v in (FORWARD, BACKWARD)}
        self.roofs = [
            live(groups.populations[n], "clamped_at")
            for n in sorted({o.population for o in self.plan.outlets if o.adaptive})
        ]

    def units(self, population: str, variable: str) -> Array:
        """(patterns, units)."""
        return live(self.groups.populations[population], variable).reshape(self.K, -1)

    def rows_of(self, population: str, variable: str) -> Array:
        """(patterns, units), or (sets of weights, patterns of each, units)."""
        values, sets = self.units(population, variable), self.plan.weight_sets
        return values if sets == 1 else values.reshape(sets, self.K // sets, -1)

    def weights(self, projection: str, variable: str = "w") -> tuple[Any, Array]:
        """(n_post, n_pre), dense or compressed rows, on the live values; and those values, flat."""
        structure, values = self.net.weights[projection], live(self.groups.synapses[projection], variable)
        if isinstance(structure, np.ndarray):
            sets = () if self.plan.weight_sets == 1 else (self.plan.weight_sets,)
            return values.reshape(*sets, *structure.shape), values
        from scipy.sparse import csr_array

        matrix = csr_array(structure, dtype=values.dtype)
        matrix.data = values[: structure.nnz]
        return matrix, matrix.data

    def _recorded(self, group: str, variable: str) -> Array:
        return live(self.groups.by_name[projection_group(group)], self.plan.array_name(group, variable))

    def prepare(self, defers: Mapping[str, bool]) -> None:
        """Make the functions of a step from the equations, with every gain and time constant as it is now."""
        self.dt, self.moved = self.plan.dt, True
        self.step_number, self.ticks = int(self.numbers["step"][0]), 0
        self.learning = bool(self.numbers["plastic"][0])
        for name, product in self.products.items():
            product.prepare(self.dt, defers[name], self.learning and not self.plan.presentation)
        self.biases = [
            (
                live(self.groups.biases[n], "w"),
                float(live(self.groups.biases[n], "tau_w")[0]),
                self.units(n, self.plan.teaches_biases(n)),
            )
            for n in self.net.neurons
        ]
        self.ones = np.ones(self.K, dtype=self.plan.precision)
        self.learn_biases = [
            accumulate(b[None], self.dt / tau / self.K, self.ones[None], d) for b, tau, d in self.biases
        ]
        self._compile()
        self._wire()

    def _compile(self) -> None:
        """Every population's part of a step as functions; None where there is nothing to do."""
        make = self._cython if self.target == "cython" else self._numpy
        plan, learns = self.plan, bool(self.learning or self.plan.presentation)
        self.early: dict[str, list[Action]] = {}
        said: list[Action | None] = []
        late: list[Action | None] = []
        update: list[Action | None] = []
        multipliers: list[Action | None] = []
        rates: list[Action | None] = []
        copies: list[Action | None] = []
        for name in self.net.populations:
            text = self.texts[name] if plan.method not in STAGED else self.texts[name].at_stages()
            self.early[name] = present(make(name, [(text.with_helpers(text.early), [])]))
            said += make(name, [(plan.said(name, FORWARD), [])])
            late_ones = [*text.late, *plan.said(name, BACKWARD)]
            sent = text.with_helpers(late_ones) if learns or plan.late_is_read(name) else []
            if plan.settles or plan.method in STAGED:
                rates += make(name, [(text.with_helpers([(f"rate_{v}", e) for v, e in text.rates.items()]), [])])
            own = name in self.net.neurons
            later = ["lam"] if plan.method == "semi_implicit" and "lam" in text.rates else []
            leaks = lagrangian.leak(self.net, name) if plan.method == "exponential_euler" and own else {}
            now = [v for v in text.rates if v not in later]
            assigned, increments = descended(text, now) if plan.method == "adam" else stepped(text, now, leaks)
            moves = assigned, [*increments, *moves_activity(plan, name)]
            if plan.method in STAGED:
                late += make(name, [(sent, [])])
            else:
                first, second = make(name, [(sent, []), moves])
                late.append(first)
                update.append(second)
            if later:
                multipliers += make(name, [stepped(text, later, leaks)])
            copied = [(f"recorded_{v}", v) for v in plan.copied(name)]
            copies += make(name, [(self.texts[name].with_helpers(copied), [])])
        lines = {v: [line.move for line in own] for v, own in self.lines.items()}
        self.said, self.late = present(said) + lines[FORWARD], present(late) + lines[BACKWARD]
        self.update, self.multipliers = present(update), present(multipliers)
        self.rates, self.copies = present(rates), present(copies)
        weights = [*self.groups.synapses.values(), *self.groups.biases.values()] if plan.method == "adam" else []
        self.descents = present([self._descent(group) for group in weights])

    def _numpy(self, name: str, phases: Sequence[Phase]) -> list[Action | None]:
        between = (
            not self.plan.shortcuts or self.plan.imperfections.prospective
        )  # who looks ahead reads the old feedback
        if len(phases) > 1 and between:  # somebody may change what they read between them
            return [action for phase in phases for action in self._numpy(name, [phase])]
        if not any(assigned or updated for assigned, updated in phases):
            return [None] * len(phases)
        from neurosim.engine.ufuncs import Compiler

        group = self.groups.populations[name]
        states = {v for n in self.texts[name].rates for v in (n, f"rate_{n}")}
        arrays = {"t": self.groups.clock.variables["t"].get_value()}
        arrays |= {n: self.numbers[n] for n in (MOMENT, *DECAYS)}
        scalars = {"dt": self.dt, LENGTH: self.dt, "N": float(len(group))}
        for variable, found in group.variables.items():
            if variable in (*CLOCK, "N") or not isinstance(found, ArrayVariable):
                continue
            value = np.atleast_1d(found.get_value())
            if found.scalar and variable not in states:
                scalars[variable] = float(value[0])
            else:
                arrays[variable] = value
        compiler = Compiler(arrays, scalars, len(group), self.plan.precision)
        for assigned, updated in phases:
            compiler.phase(assigned, updated)
        return compiler.functions()

    def _descent(self, group: Any) -> Action | None:
        """Adam's step of the weights of one projection, or of the biases of one population."""
        from neurosim.engine.ufuncs import Compiler

        own = {v: live(group, v) for v in ("w", "force_w", *(f"{m}_w" for m in MOMENTS))}
        prices = {v: float(live(group, v)[0]) for v in ("tau_w", "l2")}
        compiler = Compiler(
            own | {n: self.numbers[n] for n in DECAYS}, prices | {LENGTH: self.dt}, len(own["w"]), self.plan.precision
        )
        compiler.phase(*adam("w", "force_w - l2*w"))
        return compiler.functions()[0]

    def _cython(self, name: str, phases: Sequence[Phase]) -> list[Action | None]:
        group = self.groups.populations[name]
        made: list[Action | None] = []
        helpers = dict(self.texts[name].helpers)  # Brian2 puts them in by itself
        for assigned, updated in phases:
            parts: list[Action] = []
            statements = [*assigned, *((v, f"{v} + {increment}") for v, increment in updated)]
            for shared in (False, True):  # units read the old values of shared variables
                own = [
                    (v, e) for v, e in statements
                    if v not in helpers and (v not in group.variables or group.variables[v].scalar == shared)
                ]  # fmt: skip
                if any(v in group.variables for v, _ in own):
                    parts.append(brian.code_object(group, own, self.dt, self.groups.counters))
            made.append(partial(_each, parts) if parts else None)
        return made

    def _wire(self) -> None:
        """The order of a step's products, fixed for the run."""
        net, products = self.net, self.products
        self.kept = [p for p in products.values() if p.kept]
        self.inputs: list[tuple[bool, Action]] = []
        for n in net.neurons:
            a, b = self.rows_of(n, "a"), live(self.groups.biases[n], "w")
            b = b if a.ndim == 2 else b.reshape(len(a), 1, -1)
            drives = [products[q.name].drive for q in net.incoming(n) if products[q.name].kept]
            others = [products[q.name] for q in net.incoming(n) if not products[q.name].kept]
            self.inputs.append((n in self.still, _net_input(a, b, drives, others, partial(_each, self.early[n]))))
        self.partitions = [(self.units(n, "x"), self.units(n, "log_partition")) for n in self.plan.partitions]
        self.totals = [(self.units(n, "y"), self.units(n, "y_total")) for n in self.plan.totals]
        self.back: list[tuple[list[Product], Action]] = []
        for n in net.neurons:
            children = [products[q.name] for q in net.outgoing(n)]
            if len(children) == 1 and children[0].dense:
                product = partial(np.matmul, children[0].delta, children[0].back, self.rows_of(n, "feedback"))
                self.back.append((children, product))
            elif children:
                self.back.append((children, partial(_gather, self.rows_of(n, "feedback"), children)))

    # --- what a step is made of

    def messages(self) -> None:
        """Before a step: the next rows of the data set, then what is sent forward and back."""
        if self.plan.presentation:
            self.present()
        self.send()

    def send(self) -> None:
        """Messages of the state as it stands."""
        if self.said:
            self._normalise()  # of the outputs as they are: a look-ahead reads the loss
        for action in self.said:
            action()
        self._forward()
        for action in self.late:
            action()
        for _, action in self.back:
            action()

    def speak(self) -> None:
        """Events of neurons, and what follows from them."""
        for speaker in self.speakers[FORWARD]:
            speaker.speak(float(self.now[0]), self.learning)
        self._forward()
        for action in self.late:
            action()

    def reply(self) -> None:
        """Events of multiplier units."""
        for speaker in self.speakers[BACKWARD]:
            speaker.speak(float(self.now[0]), self.learning)
        for children, action in self.back:
            if any(product.replied or not product.listens for product in children):
                action()
            for product in children:
                product.replied = False

    def _forward(self) -> None:
        for product in self.kept:
            if product.stale:
                product.into_drive()
        for still, action in self.inputs:
            if self.moved or not still:
                action()
        self.moved = False
        self._normalise()

    def _normalise(self) -> None:
        for x, z in self.partitions:
            top = x.max(axis=1, keepdims=True)
            z[:] = top + np.log(np.exp(x - top).sum(axis=1, keepdims=True))
        for y, total in self.totals:
            total[:] = y.sum(axis=1, keepdims=True)

    def present(self) -> None:
        """The next rows of the data set when a presentation begins, and the gate of plasticity."""
        now, length = self.step_number, int(self.numbers["present_steps"][0])
        phase = now % length
        self.learning = phase >= self.numbers["gate_steps"][0]
        self.numbers["plastic"][0] = self.learning
        if phase == 0 or self.ticks == 0:
            self.materialize()
            first = (now - int(self.numbers["first_step"][0])) // length * self.K
            for array, data in self.sources:
                array[:] = data[self.queue[first : first + self.K]]
            for clamped_at in self.roofs:
                clamped_at[:] = self.now
            self.input_changed()

    def input_changed(self) -> None:
        """Nothing that was kept holds any more."""
        self.moved = True
        for product in self.kept:
            product.stale = True

    def step(self) -> None:
        """The state moves by one step."""
        if self.plan.method == "adaptive":
            self._adapt()
            return
        if self.plan.settles and self.ticks % GUARD_EVERY == 0 and self._settled():
            return
        if self.plan.method in TABLEAUS:
            self._stages()
            return
        if self.plan.method == "adam":
            self._descend()
        elif self.learning:
            self.moved = True
            for product in self.products.values():
                product.learn()
            for learn in self.learn_biases:
                learn()
        for action in self.update:
            action()
        if self.plan.method == "semi_implicit":
            self._forward()
            for action in self.multipliers:
                action()

    def _descend(self) -> None:
        """Adam's step of the weights, by the messages of this step; that of the state follows."""
        for name, beta in zip(DECAYS, ADAM, strict=False):
            self.numbers[name] *= beta
        if not self.learning:
            return
        self.moved = True
        for name, product in self.products.items():
            product.sum_change(live(self.groups.synapses[name], "force_w"))
        for n, (_, _, delta) in zip(self.net.neurons, self.biases, strict=True):
            delta.sum(axis=0, out=live(self.groups.biases[n], "force_w"))
        for action in self.descents:
            action()
        for product in self.products.values():
            product.shrink()
            product.follow_signs()

    def materialize(self) -> None:
        """Weights as they are."""
        for product in self.products.values():
            product.materialize()

    def close(self) -> None:
        """After the last step: what was kept aside for speed is where everybody looks for it."""
        self.materialize()
        if any(r.write is not None for r, _ in self.records):
            self._write()
        self.numbers["step"][0], self.numbers["ticks"][0] = self.step_number, self.ticks

    def record(self) -> None:
        """Every few steps: chosen values, one row for every recorded variable."""
        if self.step_number % self.numbers["record_steps"][0] == 0:
            self.materialize()
            for action in self.copies:
                action()
            for (r, parts), rows in zip(self.records, self.rows, strict=True):
                row = np.full(r.size, np.nan)
                for values, source, position in parts:
                    row[position] = values[source]
                rows.append(row)
            if any(
                r.write is not None and len(rows) >= r.rows
                for (r, _), rows in zip(self.records, self.rows, strict=True)
            ):
                self._write()

    def _write(self) -> None:
        """Hand over rows that are not to be kept in memory."""
        for (r, _), rows in zip(self.records, self.rows, strict=True):
            if r.write is not None and rows:
                r.write(self.written, np.array(rows))
        self.written += len(self.rows[0])
        for rows in self.rows:
            rows.clear()

    def finish(self) -> None:
        """End of a step: count it; stop where the state has settled or left its bound."""
        settled = self.numbers["settled"][0]
        if settled and self.plan.method != "adaptive":
            self.stop()
            return
        self.step_number += 1
        self.ticks += 1
        if (
            self.world is not None
            and self.step_number % int(self.numbers["present_steps"][0]) == 0
            and not self.world()
        ):
            self.stop()
        if self.ticks % GUARD_EVERY and self.ticks < self.numbers["n_steps"][0] and self.plan.method != "adaptive":
            return
        if self.points:
            self.numbers["settled"][0] = self.points.guard(self.step_number)
            if self.numbers["settled"][0]:
                self.stop()
            return
        bound = self.numbers["bound"][0]
        for number, n in enumerate(self.net.neurons, start=1):
            if not all(max(v.max(), -v.min()) < bound for v in (self.units(n, "x"), self.units(n, "lam"))):
                self.numbers["diverged"][0] = number
        if self.numbers["diverged"][0] or settled:
            self.stop()

    # --- methods of true order

    def _derivatives(self) -> None:
        for action in self.rates:
            action()
        self.numbers["evaluations"][0] += 1

    def _settled(self) -> bool:
        self._derivatives()
        if self.points:
            self.numbers["settled"][0] = self.points.look()
            return bool(self.numbers["settled"][0])
        return self._rests()

    def _rests(self) -> bool:
        """Whether the rates of change, as they were last computed, are those of a settled state."""
        self.numbers["residual"][0] = residual = self._residual()
        self.numbers["settled"][0] = residual < self.numbers["settle"][0]
        return bool(self.numbers["settled"][0])

    def _residual(self) -> float:
        """max |tau dz/dt| over outputs and multipliers."""
        return max(
            float(np.abs(live(group, f"rate_{v}") * live(group, f"tau_{v}")).max())
            for n, group in self.groups.populations.items()
            for v in ("x", "lam")
            if v in self.texts[n].rates
        )

    def _states(self) -> list[Moving]:
        """State variables of all populations and their rates of change."""
        return [
            (live(group, v), live(group, f"rate_{v}"))
            for n, group in self.groups.populations.items()
            for v in self.texts[n].rates
        ]

    def _stages(self) -> None:
        """An explicit Runge-Kutta step of everything that moves; messages are sent anew at every stage."""
        nodes, weights = TABLEAUS[self.plan.method]
        learned = list(self.products.values()) if self.learning else []
        states = self._states()
        copied = [p for p in learned if p.carried == "kolen_pollack"]
        moving = [z for z, _ in states] + [p.values for p in learned] + [p.returning for p in copied]
        moving += [b for b, _, _ in self.biases] if self.learning else []
        starts, sums = [z.copy() for z in moving], [np.zeros_like(z) for z in moving]
        t = float(self.now[0])
        for stage, weight in enumerate(weights):
            self.numbers[MOMENT][0] = t + nodes[stage] * self.dt
            if stage:
                self.send()
            self._derivatives()
            rates = [rate for _, rate in states]
            changes = {p.name: p.mean_change() for p in learned}
            rates += [(changes[p.name] - p.l2 * p.values) / p.tau_w for p in learned]
            rates += [(changes[p.name] - p.l2 * p.returning) / p.tau_w for p in copied]
            rates += [d.mean(axis=0) / tau for _, tau, d in self.biases] if self.learning else []
            last = stage == len(weights) - 1
            for z, start, total, rate in zip(moving, starts, sums, rates, strict=True):
                total += weight * rate
                z[:] = start + (self.dt * total if last else self.dt * nodes[stage + 1] * rate)
            if self.learning:
                self.input_changed()
            for p in learned:
                p.follow_signs()
        for p in learned:
            p.shrink()
            p.follow_signs()

    def _adapt(self) -> None:
        """As many steps of Dormand-Prince 5(4) as the tolerance asks for in one tick; the weights rest.

        Near rest the error of a step is held below a share of the motion that is left, so that the rate of
        change keeps falling and the run settles, whatever the tolerance.
        """
        numbers, states = self.numbers, self._states()
        end, t, done = self.dt, float(self.now[0]), 0.0
        rates = [np.empty((7, z.size), z.dtype) for z, _ in states]
        known = False  # whether stage 0 holds the rates of this state
        while done < end * (1 - 1e-12) and not numbers["settled"][0]:
            whole = numbers["step_size"][0] < end - done
            h = float(numbers["step_size"][0]) if whole else end - done
            starts = [z.copy() for z, _ in states]
            if not known and self._rates_at(t + done, states, rates, 0):
                break
            self._try_step(t + done, h, states, starts, rates)
            error, known = self._error(h, states, starts, rates), True
            if error <= 1:
                done += h
                numbers["accepted"][0] += 1
                for k in rates:
                    k[0] = k[6]
                self._rests()
            else:
                for (z, _), start in zip(states, starts, strict=True):
                    z[:] = start
            if not error < 1e300:  # not a number: the state has left every bound
                numbers["diverged"][0] = 1
                break
            if whole or error > 1:
                numbers["step_size"][0] = h * min(5.0, max(0.2, 0.9 * (error + 1e-30) ** -0.2))
        numbers["elapsed"][0] += done

    def _try_step(self, t: float, h: float, states: list[Moving], starts: list[Array], rates: list[Array]) -> None:
        """Stages 1 to 6; the last is the state of order 5."""
        a, c, _ = DORMAND_PRINCE
        for stage in range(1, 7):
            for (z, _), start, k in zip(states, starts, rates, strict=True):
                z[:] = start + h * (np.asarray(a[stage][:stage], z.dtype) @ k[:stage])
            self._rates_at(t + c[stage] * h, states, rates, stage)

    def _rates_at(self, t: float, states: list[Moving], rates: list[Array], stage: int) -> bool:
        """Rates of the state as it stands, of one stage; at the first, whether it rests."""
        self.numbers[MOMENT][0] = t
        self.send()
        self._derivatives()
        for (_, rate), k in zip(states, rates, strict=True):
            k[stage] = rate
        return stage == 0 and self._rests()

    def _error(self, h: float, states: list[Moving], starts: list[Array], rates: list[Array]) -> float:
        """Root mean square of the difference between orders 5 and 4, in units of what is allowed."""
        floor = 1e-6 if self.plan.precision == "float32" else 1e-14
        left = SETTLING_SHARE * self.numbers["residual"][0]
        allowed = max(floor, min(self.numbers["tolerance"][0], left))
        weights = np.asarray(DORMAND_PRINCE[2])
        squares = sum(
            float(np.sum((h * (weights @ k) / (allowed * (1 + np.maximum(np.abs(start), np.abs(z))))) ** 2))
            for (z, _), start, k in zip(states, starts, rates, strict=True)
        )
        return float(np.sqrt(squares / sum(z.size for z, _ in states)))


def left_of(norms: Array, size: float) -> Array:
    """The share of each group that its proximal step leaves: max(1 - size/norm, 0)."""
    left: Array = 1 - np.divide(size, norms, out=np.ones_like(norms), where=norms > size)
    return left


def accumulate(c: Array, alpha: float, a: Array, b: Array) -> Action:
    """A function that does c += alpha a b in one BLAS call, on C-ordered arrays or their transposes."""
    from scipy.linalg.blas import dgemm, sgemm

    gemm = sgemm if c.dtype == np.float32 else dgemm
    # BLAS reads columns: c^T += alpha b^T a^T
    (left, trans_left), (right, trans_right) = (
        (m.T, 0) if m.flags.c_contiguous else (m, 1) for m in (b, a)
    )  # fmt: skip
    return partial(gemm, alpha, left, right, 1.0, c.T, trans_left, trans_right, 1)


def _net_input(a: Array, b: Array, drives: list[Array], others: list[Product], early: Action) -> Action:
    """a = b + what is sent, then the messages that follow from it alone."""
    if not drives and len(others) == 1 and others[0].dense:
        x, transposed = others[0].x, others[0].transposed

        def plain() -> None:
            np.matmul(x, transposed, a)
            np.add(a, b, a)
            early()

        return plain

    def general() -> None:
        if drives:
            np.add(drives[0], b, a)
            for drive in drives[1:]:
                np.add(a, drive, a)
        else:
            a[:] = b
        for product in others:
            product.forward()
        early()

    return general


def present(actions: Sequence[Action | None]) -> list[Action]:
    """Those that have anything to do."""
    return [action for action in actions if action is not None]


def _each(actions: Sequence[Action]) -> None:
    for action in actions:
        action()


def _gather(feedback: Array, children: list[Product]) -> None:
    feedback[:] = 0
    for product in children:
        product.backward()


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    import scipy.linalg.blas  # noqa: F401 - its library must be there to be controlled

    return ThreadpoolController()
