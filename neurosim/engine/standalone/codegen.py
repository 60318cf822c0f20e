"""C++ standalone mode: the one program of a structure, as Brian2 writes it.

Values, data, duration, step and seed are run-time arguments (`program`), so that every run of a
structure after the first starts without a compiler. Start at `StandaloneEngine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from brian2 import second
from brian2.core.network import Network as BrianNetwork
from brian2.core.variables import ArrayVariable, Variables
from brian2.devices.device import get_device
from brian2.groups.group import Group

from neurosim.engine import brian, cache
from neurosim.engine.engine import Factory, add_user_objects, kinds_of
from neurosim.engine.groups import HEAR, Groups
from neurosim.engine.integrators import ADAM, DORMAND_PRINCE, SETTLING_SHARE, TABLEAUS
from neurosim.engine.names import DECAYS, GUARD_EVERY, bias_group, projection_group
from neurosim.engine.plan import Plan, moves_activity
from neurosim.engine.standalone.program import Layout, ProgramEngine, Slot, recorded_groups
from neurosim.engine.statements import (
    Statement,
    Text,
    abstract_code,
    adam,
    descended,
    stepped,
    suffixed,
)
from neurosim.errors import ModelError
from neurosim.model.equations import lagrangian
from neurosim.model.equations.events import EventSource
from neurosim.model.feedback import FOLLOWING
from neurosim.model.methods import STAGED
from neurosim.model.populations import PRICES
from neurosim.model.transport import BACKWARD, FORWARD, Spikes

Array = np.ndarray
LONGEST = 1e6  # s; a program runs until its step counter says stop
FAR = (
    2**20
)  # bytes of weights that are not near the processor any more when the next step wants them
WAITS_FOR = 16  # steps after which changes of such weights are added
REFOLD_EVERY = (
    10000  # steps after which weights that moved by their integrals are brought up to date
)
CLOCK = ("t", "dt", "t_in_timesteps")
OF_ADAM = ("force_w", "first_w", "second_w")


class StandaloneEngine(ProgramEngine):
    """A program that Brian2 writes and a compiler makes, or the cache has."""

    def __init__(self, plan: Plan, factories: Sequence[Factory], threads: int) -> None:
        super().__init__(plan, threads)
        sizes = "-".join(str(p.size) for p in plan.net.populations.values())
        self.device = brian.Device(
            self.directory, f"{sizes}, {plan.patterns} pattern(s), {plan.method}"
        )
        if plan.patterns > 1:
            self.device.link_blas()
        with (
            brian.scope(self.device, precision=plan.precision),
            brian.explained(bool(plan.extensions)),
        ):
            clock = brian.make_clock(1e-3)  # the step is an argument of the program
            self.groups = Groups(plan, clock, brian.CodeObject)
            self.kernels = Kernels(self.groups, merged=not factories)
            self.network = BrianNetwork(*self.groups.objects, self.kernels, name="neurosim_network")
            add_user_objects(self.network, factories)
            brian.adopt(self.network)
            self._generate()
        self.layout = self._layout()

    def _generate(self) -> None:
        device = get_device()
        device.apply_run_args()
        own = self.groups.counters.variables
        name = {
            n: device.get_array_name(own[n])
            for n in ("start", "step_dt", "seed", "ended", "seconds")
        }
        clock = device.get_array_name(self.groups.clock.variables["dt"])
        device.insert_code(
            "main",
            f"{self.network.name}.t = {name['start']}[0];\n{clock}[0] = {name['step_dt']}[0];\n"
            f"brian::_random_generators[0].seed((unsigned long){name['seed']}[0]);\n"
            f"{name['seconds']}[0] = -ns::seconds();",
        )
        self.network.run(LONGEST * second, namespace={})
        device.begin_at(device.get_array_name(self.groups.clock.variables["t"]), name["start"])
        last = [f"_run_{kernel.codeobj.name}();" for kernel in self.kernels.last]
        end = [f"{name['ended']}[0] = 1;", *last, f"{name['seconds']}[0] += ns::seconds();"]
        device.insert_code("main", "\n".join(end))
        device.build(directory=str(self.directory), run=False, with_output=False)

    def _layout(self) -> Layout:
        arrays = {}
        for name, group in self.groups.by_name.items():
            for variable, found in group.variables.items():
                if isinstance(found, ArrayVariable) and found.owner.name == name:
                    file, kept = self.device.get_array_filename(found), not found.read_only
                    arrays[f"{name}.{variable}"] = Slot(
                        found.size, np.dtype(found.dtype).str, file, kept
                    )
        return Layout(
            arrays, {n: kinds_of(group.equations) for n, group in self.groups.populations.items()}
        )

    def remember(self, key: str) -> None:
        """Let the next process that wants this structure do without Brian2."""
        if self.device.key and not self.device.static_arrays:  # those are files of this very build
            cache.remember(key, self.device.key, self.layout.as_json())

    def show(self, results: Path) -> None:
        """The network's variables read what a program has left there, too."""
        super().show(results)
        self.device.read_from(results)


class Kernels(Group):  # type: ignore[misc]
    """All that a program does in a step, as a few code objects on neurosim's own templates."""

    add_to_magic_network = False

    def __init__(self, groups: Groups, merged: bool) -> None:
        super().__init__(name="transport", clock=groups.clock, when="groups")
        self.groups, self.plan = groups, groups.plan
        self.last: list[Any] = []  # what is called once more after the last step
        self.variables = Variables(self)
        self.variables.add_constant("N", 1)
        self.variables.create_clock_variables(self._clock)
        plan = self.plan
        self._refer_to_everything()
        self._enable_group_attributes()
        common = self._structure(merged and plan.method not in (*STAGED, "adam")) | {
            "array": self._array_name
        }
        if plan.presentation:
            self._kernel("present", "before_start", -20, Blocks(self), common)
        now = Blocks(self)
        now.messages()
        if plan.event_sources:  # Brian2 looks who has something to say just before each of the two
            self._kernel("speak", "before_start", HEAR[FORWARD], now, common)
            self._kernel("reply", "before_start", HEAR[BACKWARD], Blocks(self), common)
        else:
            self._kernel("messages", "before_start", 0, now, common)
        if plan.recorded:
            copies = Blocks(self)
            for name in plan.net.populations:
                copied = [(f"recorded_{v}", v) for v in plan.copied(name)]
                copies.add("copies", name, plan.text(name).with_helpers(copied))
            self.last.append(self._kernel("record", "start", -20, copies, common))
        step = Blocks(self)
        if plan.method in STAGED:
            step.messages(stages=True)
            step.rates(stages=True)
            template = "adaptive" if plan.method == "adaptive" else "runge_kutta"
            own = self._states() | _coefficients(plan.method)
        elif plan.method == "adam":
            step.descents()
            template, own = "adam", {"decays": dict(zip(DECAYS, ADAM, strict=False))}
        else:
            step.updates()
            template, own = "update", {}
        self._kernel(template, "groups", 0, step, common | own)
        self._kernel("finish", "end", 100, Blocks(self), common)
        if any(q["lazy"] or q["waits"] or q["exact"] == "true" for q in common["projections"]):
            self.last.append(self._kernel("materialize", "end", 101, Blocks(self), common))

    def before_run(self, run_namespace: Any = None) -> None:
        """Nothing to prepare."""

    def _kernel(
        self, template: str, when: str, order: int, blocks: Blocks, common: dict[str, Any]
    ) -> Any:
        kwds = common | {"blocks": blocks.found}
        kernel = brian.Kernel(
            self, template, when=when, order=order, code=blocks.code or "", **kwds
        )
        self.contained_objects.append(kernel)
        return kernel

    def _array_name(self, name: str) -> str:
        return str(get_device().get_array_name(self.variables[name]))

    def _refer_to_everything(self) -> None:
        groups = self.groups
        for name, group in groups.populations.items():
            for variable, found in group.variables.items():
                if variable not in CLOCK and not hasattr(found, "expr"):
                    self._refer(f"{variable}_{name}", group, variable)
        for synapses in groups.synapses.values():
            for variable in (
                "w",
                "tau_w",
                *PRICES,
                "lazy",
                "sign",
                "row",
                "col",
                "back",
                "back_size",
                *OF_ADAM,
            ):
                if variable in synapses.variables:
                    self._refer(f"{variable}_{synapses.name}", synapses, variable)
        for name, biases in groups.biases.items():
            self._refer(f"b_{name}", biases, "w")
            self._refer(f"tau_w_{biases.name}", biases, "tau_w")
            for variable in ("w", "l2", *OF_ADAM) if self.plan.method == "adam" else ():
                self._refer(f"{variable}_{biases.name}", biases, variable)
        for variable in groups.counters.variables:
            if variable not in (*CLOCK, "N"):
                self._refer(variable, groups.counters, variable)

    def _refer(self, name: str, group: Group, variable: str) -> None:
        if name in self.variables:
            raise ModelError(
                f"names of populations and variables give {name!r} twice; rename a population"
            )
        self.variables.add_reference(name, group, variable)

    def _structure(self, merged: bool) -> dict[str, Any]:
        plan, net, K = self.plan, self.plan.net, self.plan.patterns
        filled: set[str] = set()  # populations whose feedback a dense product has written
        sums = {n: list(net.outgoing(n)) for n in net.neurons}
        sparse = {n: not isinstance(w, np.ndarray) for n, w in net.weights.items()}
        events = {n: plan.event_source(n, FORWARD) is not None for n in net.projections}
        gathers = {
            n for n, out in sums.items() if any(sparse[q.name] or events[q.name] for q in out)
        }
        projections = []
        for number, (name, q) in enumerate(net.projections.items(), start=1):
            clamped = net.populations[q.pre].clamped
            m, n = net.populations[q.post].size, net.populations[q.pre].size
            adds = q.pre in gathers or q.pre in filled
            filled.add(q.pre)
            projections.append(
                {
                    "name": projection_group(name),
                    "pre": q.pre,
                    "post": q.post,
                    "m": m,
                    "n": n,
                    "id": 10 * number,
                    "size": net.weights[name].nnz if sparse[name] else m * n,
                    "sparse": sparse[name],
                    "feeds_back": not clamped,
                    "adds": adds,
                    "kept": clamped and plan.shortcuts and not events[name],
                    "alone": q.post in plan.still and len(list(net.incoming(q.post))) == 1,
                    "lazy": plan.may_defer(name),
                    "waits": merged and clamped and self._far(name),
                    "events": events[name],
                    "back": _flag(not clamped),
                    "exact": _flag(
                        events[name]
                        and plan.learns
                        and K == 1
                        and plan.shortcuts
                        and not (sparse[name] or plan.dale)
                        and q.feedback not in FOLLOWING
                    ),
                    "carrier": f"{plan.back(name)}_{projection_group(name)}",
                    "carried": q.feedback,
                    "x": f"{plan.received(name, FORWARD)}_{q.pre}",
                    "delta": f"{plan.received(name, BACKWARD)}_{q.post}",
                    "plasticity_x": f"{plan.plasticity_reads(name, FORWARD)}_{q.pre}",
                    "plasticity_delta": f"{plan.plasticity_reads(name, BACKWARD)}_{q.post}",
                    "merged": merged
                    and K == 1
                    and not clamped
                    and not sparse[name]
                    and not plan.records("w")
                    and not plan.event_sources
                    and plan.back(name) == "w"
                    and all(
                        plan.plasticity_reads(name, v) == plan.received(name, v)
                        for v in (FORWARD, BACKWARD)
                    ),
                }
            )
        populations = [
            {
                "name": n,
                "n": net.populations[n].size,
                "bias": bias_group(n),
                "partition": n in plan.partitions,
                "total": n in plan.totals,
                "gathers": n in gathers,
                "rests": n in plan.resting,
                "plasticity_by": f"{plan.bias_plasticity_reads(n)}_{n}",
                "roof": any(o.adaptive for o in plan.event_sources if o.population == n),
                "free": net.populations[n].free,
            }
            for n in net.neurons
        ]
        sources = [("x", n) for n in net.inputs] + [("y", n) for n in net.losses]
        return {
            "K": K,
            "sets": plan.weight_sets,
            "points": plan.points,
            "real": "float" if plan.precision == "float32" else "double",
            "populations": populations,
            "projections": projections,
            "outlets": [self._outlet(o) for o in plan.event_sources],
            "lines": [
                {"variable": v, "of": f"{v}_{n}", "steps": steps, "n": K * net.populations[n].size}
                for n, v, steps in (plan.lines if plan.imperfections.alters_messages else ())
            ],
            "dale": plan.dale,
            "looks_ahead": plan.imperfections.prospective is not None,
            "own_times": plan.imperfections.own_times,
            "refold_every": REFOLD_EVERY,
            "waits_for": WAITS_FOR,
            "records_w": plan.records("w"),
            "method": plan.method,
            "settles": plan.settles and plan.method != "adaptive",
            "guard_every": GUARD_EVERY,
            "counts": plan.settles and plan.method != "adaptive",
            "recorded": [
                {
                    "number": i,
                    "arrays": [
                        self._recorded_name(group, r.variable) for group in recorded_groups(r.parts)
                    ],
                }
                for i, r in enumerate(plan.recorded)
            ],
            "sources": [
                {"variable": f"{v}_{n}", "file": f"data/{n}_{v}.bin", "n": net.populations[n].size}
                for v, n in sources
            ],
        }

    def _far(self, projection: str) -> bool:
        """Whether one pattern's changes of dense weights had better wait until several of them are
        added at once.
        """
        plan, weights = self.plan, self.plan.net.weights[projection]
        if (
            not isinstance(weights, np.ndarray)
            or plan.patterns > 1
            or plan.dale
            or plan.event_source(projection, FORWARD)
        ):
            return False
        return bool(weights.size * np.dtype(plan.precision).itemsize > FAR)

    def _outlet(self, o: EventSource) -> dict[str, Any]:
        own = {v: f"{v}_{o.name}_{o.population}" for v in ("sent", "events", "plastic_events")}
        own |= {v: f"{v}_{o.name}_{o.population}" if o.silent else "" for v in ("ready", "silence")}
        own |= {
            v: f"{v}_{o.name}_{o.population}" if o.rule.delay else ""
            for v in ("line", "line_at", "received")
        }
        return own | {
            "variable": o.variable,
            "delay_steps": o.delay_steps(self.plan.dt),
            "n": self.plan.net.populations[o.population].size * self.plan.patterns,
            "space": f"_{o.event}space_{o.population}",
            "now": f"{o.variable}_{o.population}",
            "quantum": f"theta_{o.name}_{o.population}" if isinstance(o.rule, Spikes) else "",
            "projections": [projection_group(name) for name in o.projections],
        }

    def _recorded_name(self, group: str, variable: str) -> str:
        array = self.plan.array_name(group, variable)
        return f"{array}_{projection_group(group)}"

    def _states(self) -> dict[str, Any]:
        """State variables that a method with stages keeps copies of."""
        net = self.plan.net
        found: list[dict[str, Any]] = []
        for name, group in self.groups.populations.items():
            for variable in group.equations.diff_eq_names:
                size = group.variables[variable].size
                found.append({"variable": f"{variable}_{name}", "n": size})
        n_states = sum(s["n"] for s in found)
        if self.plan.method in ("heun", "rk4"):
            by_name = {q["name"]: q for q in self._structure(False)["projections"]}
            for name in net.projections:
                q = by_name[projection_group(name)]
                found.append({"variable": f"w_{q['name']}", "n": q["size"], "projection": q})
                if q["carried"] == "kolen_pollack":
                    found.append({"variable": f"back_{q['name']}", "n": q["size"], "projection": q})
            for n in net.neurons:
                bias = {
                    "name": n,
                    "bias": bias_group(n),
                    "plasticity_by": f"{self.plan.bias_plasticity_reads(n)}_{n}",
                }
                found.append({"variable": f"b_{n}", "n": net.populations[n].size, "bias": bias})
        real = "float" if self.plan.precision == "float32" else "double"
        for i, s in enumerate(found, start=10 * len(net.projections)):
            s["id"] = i
            s |= {"projection": s.get("projection"), "bias": s.get("bias")}
            own = s["projection"] or s["bias"]
            s["rate"] = (
                f"ns::buffer<{real}, {1002 + 3 * i}, {s['n']}>()"
                if own
                else self._array_name(f"rate_{s['variable']}")
            )
        return {"states": found, "n_states": n_states}


class Blocks:
    """Statements of all populations as blocks of Brian2's abstract code, with what a template must
    know of each.
    """

    def __init__(self, kernels: Kernels) -> None:
        self.kernels, self.plan = kernels, kernels.plan
        self.code: dict[str, str] = {}
        self.found: list[dict[str, Any]] = []

    def messages(self, stages: bool = False) -> None:
        """What is sent once a step."""
        for name in self.plan.net.populations:
            text = self._text(name, stages)
            late = [*text.late, *self.plan.sent(name, BACKWARD)]
            self.add("sent", name, self.plan.sent(name, FORWARD))
            self.add("early", name, text.with_helpers(text.early))
            self.add(
                "late", name, text.with_helpers(late), optional=not self.plan.late_is_read(name)
            )

    def rates(self, stages: bool = False) -> None:
        """Right-hand sides into arrays."""
        for name in self.plan.net.populations:
            text = self._text(name, stages)
            for part in self._split(name, text):
                self.add(
                    "rates", name, text.with_helpers([(f"rate_{v}", text.rates[v]) for v in part])
                )

    def updates(self) -> None:
        """One explicit step of every state variable, all from the old values."""
        method, net = self.plan.method, self.plan.net
        if self.plan.settles:
            self.rates()
        for name in net.populations:
            text = self._text(name)
            leaks = (
                lagrangian.leak(net, name)
                if name in net.neurons and method == "exponential_euler"
                else {}
            )
            later = ["lam"] if method == "semi_implicit" and "lam" in text.rates else []
            for part in self._split(name, text):
                assigned, increments = stepped(text, [v for v in part if v not in later], leaks)
                increments += moves_activity(self.plan, name) if "x" in part else ()
                self.add("update", name, in_place(assigned, increments))
            if later:
                self.add("early", name, text.with_helpers(text.early))
                self.add("multipliers", name, in_place(*stepped(text, later, leaks)))

    def descents(self) -> None:
        """One step of Adam: of outputs and multipliers, then of weights and biases along what
        `force_w` holds.
        """
        for name in self.plan.net.populations:
            text = self._text(name)
            self.add(
                "update", name, in_place(*descended(text, list(text.rates))) if text.rates else []
            )
        groups = self.kernels.groups
        for group in (*groups.synapses.values(), *groups.biases.values()):
            statements = in_place(*adam("w", "force_w - l2*w"))
            self._block("weights", group, group.name, statements, group.variables["w"].size)

    def add(
        self, kind: str, population: str, statements: Sequence[Statement], optional: bool = False
    ) -> None:
        """A block, if there is anything in it."""
        if not statements:
            return
        group = self.kernels.groups.populations[population]
        size = self.plan.patterns * self.plan.net.populations[population].size
        self._block(kind, group, population, statements, size, optional)

    def _block(
        self,
        kind: str,
        group: Group,
        owner: str,
        statements: Sequence[Statement],
        size: int,
        optional: bool = False,
    ) -> None:
        name = f"{kind}_{owner}_{len(self.code)}"
        own = [v for v in group.variables if v not in CLOCK]
        self.code[name] = abstract_code(suffixed(statements, own, owner))
        self.found.append(
            {"kind": kind, "name": name, "population": owner, "n": size, "optional": optional}
        )

    def _text(self, population: str, stages: bool = False) -> Text:
        text = self.plan.text(population)
        return text.at_stages() if stages else text

    def _split(self, population: str, text: Text) -> list[list[str]]:
        """Variables of units, then shared ones, whose old values the units read."""
        variables = self.kernels.groups.populations[population].variables
        shared = [v for v in text.rates if variables[v].scalar]
        return [part for part in ([v for v in text.rates if v not in shared], shared) if part]


def in_place(assigned: Sequence[Statement], updated: Sequence[Statement]) -> list[Statement]:
    """Assignments, then variables that grow by increments which those have made ready."""
    return [*assigned, *((v, f"{v} + {increment}") for v, increment in updated)]


def _flag(value: bool) -> str:
    """As C++ writes it."""
    return "true" if value else "false"


def _coefficients(method: str) -> dict[str, Any]:
    """The method's coefficients as a template reads them."""

    def row(values: Sequence[float]) -> str:
        return ", ".join(repr(float(v)) for v in values)

    if method == "adaptive":
        a, c, e = DORMAND_PRINCE
        return {
            "nodes": ", ".join("{" + row(r) + "}" for r in a),
            "times": row(c),
            "errors": row(e),
            "share": SETTLING_SHARE,
        }
    if method in TABLEAUS:
        nodes, weights = TABLEAUS[method]
        return {"nodes": row(nodes), "weights": row(weights), "stages": len(weights)}
    return {}
