"""One step in Brian2's runtime mode: what is done, in which order, on the groups' live arrays.

Element by element the work is functions made from the equations (`actions`); products are BLAS
calls (`products`). Start at `Machine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from neurosim.engine.engine import World
from neurosim.engine.groups import Groups
from neurosim.engine.integrators import ADAM, DORMAND_PRINCE, SETTLING_SHARE, TABLEAUS
from neurosim.engine.names import DECAYS, GUARD_EVERY, MOMENT, projection_group
from neurosim.engine.runtime.points import Points, live
from neurosim.engine.runtime.projections import Action, Line, Product, Speaker, accumulate
from neurosim.engine.runtime.updates import CLOCK, Actions, each
from neurosim.model.transport import BACKWARD, FORWARD

Array = np.ndarray
Moving = tuple[Array, Array]  # a state variable and its rate of change


class Machine:
    """All that one step does, on the live arrays of the groups."""

    stop: Action

    def __init__(self, groups: Groups, target: str) -> None:
        self.groups, self.plan = groups, groups.plan
        self.net, self.K = groups.plan.net, groups.plan.patterns
        self.numbers = {
            n: live(groups.counters, n) for n in groups.counters.variables if n not in (*CLOCK, "N")
        }
        self.products = {n: Product(self, n) for n in self.net.projections}
        self.actions = Actions(groups, target, self.numbers)
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
        said = [(o.variable, Speaker(self, o)) for o in self.plan.event_sources]
        self.speakers = {
            v: [s for variable, s in said if variable == v] for v in (FORWARD, BACKWARD)
        }
        dense = (
            []
            if not self.plan.imperfections.alters_messages
            else [(n, v) for n, v, _ in self.plan.lines]
        )
        self.lines = {
            v: [Line(self, n, w) for n, w in dense if w == v] for v in (FORWARD, BACKWARD)
        }
        self.roofs = [
            live(groups.populations[n], "clamped_at")
            for n in sorted({o.population for o in self.plan.event_sources if o.adaptive})
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
        structure, values = (
            self.net.weights[projection],
            live(self.groups.synapses[projection], variable),
        )
        if isinstance(structure, np.ndarray):
            sets = () if self.plan.weight_sets == 1 else (self.plan.weight_sets,)
            return values.reshape(*sets, *structure.shape), values
        from scipy.sparse import csr_array

        matrix = csr_array(structure, dtype=values.dtype)
        matrix.data = values[: structure.nnz]
        return matrix, matrix.data

    def _recorded(self, group: str, variable: str) -> Array:
        return live(
            self.groups.by_name[projection_group(group)], self.plan.array_name(group, variable)
        )

    def prepare(self, defers: Mapping[str, bool]) -> None:
        """Make the functions of a step from the equations, with every gain and time constant as it
        is now.
        """
        self.dt, self.moved = self.plan.dt, True
        self.step_number, self.ticks = int(self.numbers["step"][0]), 0
        self.learning = bool(self.numbers["plastic"][0])
        for name, product in self.products.items():
            product.prepare(self.dt, defers[name], self.learning and not self.plan.presentation)
        self.biases = [
            (
                live(self.groups.biases[n], "w"),
                float(live(self.groups.biases[n], "tau_w")[0]),
                self.units(n, self.plan.bias_plasticity_reads(n)),
            )
            for n in self.net.neurons
        ]
        self.ones = np.ones(self.K, dtype=self.plan.precision)
        self.learn_biases = [
            accumulate(b[None], self.dt / tau / self.K, self.ones[None], d)
            for b, tau, d in self.biases
        ]
        self.actions.make(bool(self.learning or self.plan.presentation))
        lines = {v: [line.move for line in own] for v, own in self.lines.items()}
        self.sent, self.late = (
            self.actions.sent + lines[FORWARD],
            self.actions.late + lines[BACKWARD],
        )
        self._wire()

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
            self.inputs.append(
                (
                    n in self.still,
                    _net_input(a, b, drives, others, partial(each, self.actions.early[n])),
                )
            )
        self.partitions = [
            (self.units(n, "x"), self.units(n, "log_partition")) for n in self.plan.partitions
        ]
        self.totals = [(self.units(n, "y"), self.units(n, "y_total")) for n in self.plan.totals]
        self.back: list[tuple[list[Product], Action]] = []
        for n in net.neurons:
            children = [products[q.name] for q in net.outgoing(n)]
            if len(children) == 1 and children[0].dense:
                product = partial(
                    np.matmul, children[0].delta, children[0].back, self.rows_of(n, "feedback")
                )
                self.back.append((children, product))
            elif children:
                self.back.append(
                    (children, partial(_gather, self.rows_of(n, "feedback"), children))
                )

    # --- what a step is made of

    def messages(self) -> None:
        """Before a step: the next rows of the data set, then what is sent forward and back."""
        if self.plan.presentation:
            self.present()
        self.send()

    def send(self) -> None:
        """Messages of the state as it stands."""
        if self.sent:
            self._normalise()  # of the outputs as they are: a look-ahead reads the loss
        for action in self.sent:
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
        for action in self.actions.update:
            action()
        if self.plan.method == "semi_implicit":
            self._forward()
            for action in self.actions.multipliers:
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
        for action in self.actions.descents:
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
            if self.plan.records("w"):
                self.materialize()
            for action in self.actions.copies:
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
        if (
            self.ticks % GUARD_EVERY
            and self.ticks < self.numbers["n_steps"][0]
            and self.plan.method != "adaptive"
        ):
            return
        if self.points:
            self.numbers["settled"][0] = self.points.guard(self.step_number)
            if self.numbers["settled"][0]:
                self.stop()
            return
        bound = self.numbers["bound"][0]
        for number, n in enumerate(self.net.neurons, start=1):
            if not all(
                max(v.max(), -v.min()) < bound for v in (self.units(n, "x"), self.units(n, "lam"))
            ):
                self.numbers["diverged"][0] = number
        if self.numbers["diverged"][0] or settled:
            self.stop()

    # --- methods of true order

    def _derivatives(self) -> None:
        for action in self.actions.rates:
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
            if v in self.actions.texts[n].rates
        )

    def _states(self) -> list[Moving]:
        """State variables of all populations and their rates of change."""
        return [
            (live(group, v), live(group, f"rate_{v}"))
            for n, group in self.groups.populations.items()
            for v in self.actions.texts[n].rates
        ]

    def _stages(self) -> None:
        """An explicit Runge-Kutta step of everything that moves; messages are sent anew at every
        stage.
        """
        nodes, weights = TABLEAUS[self.plan.method]
        learned = list(self.products.values()) if self.learning else []
        states = self._states()
        copied = [p for p in learned if p.carried == "kolen_pollack"]
        moving = (
            [z for z, _ in states] + [p.values for p in learned] + [p.returning for p in copied]
        )
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
        """As many steps of Dormand-Prince 5(4) as the tolerance asks for in one tick; the weights
        rest.

        Near rest the error of a step is held below a share of the motion that is left, so that the
        rate of change keeps falling and the run settles, whatever the tolerance.
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

    def _try_step(
        self, t: float, h: float, states: list[Moving], starts: list[Array], rates: list[Array]
    ) -> None:
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

    def _error(
        self, h: float, states: list[Moving], starts: list[Array], rates: list[Array]
    ) -> float:
        """Root mean square of the difference between orders 5 and 4, in units of what is allowed."""
        floor = 1e-6 if self.plan.precision == "float32" else 1e-14
        left = SETTLING_SHARE * self.numbers["residual"][0]
        allowed = max(floor, min(self.numbers["tolerance"][0], left))
        weights = np.asarray(DORMAND_PRINCE[2])
        squares = sum(
            float(
                np.sum(
                    (h * (weights @ k) / (allowed * (1 + np.maximum(np.abs(start), np.abs(z)))))
                    ** 2
                )
            )
            for (z, _), start, k in zip(states, starts, rates, strict=True)
        )
        return float(np.sqrt(squares / sum(z.size for z, _ in states)))


def _net_input(
    a: Array, b: Array, drives: list[Array], others: list[Product], early: Action
) -> Action:
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


def _gather(feedback: Array, children: list[Product]) -> None:
    feedback[:] = 0
    for product in children:
        product.backward()
