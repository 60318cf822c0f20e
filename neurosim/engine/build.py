"""From a plan to a Brian2 network that can be loaded, run for some steps and read: one class a backend.

`RuntimeEngine` steps live arrays in Python (NumPy or Cython code objects); `StandaloneEngine` runs a
compiled program once a segment and hands its state from one segment to the next. Start at `build`.
"""

from __future__ import annotations

import contextlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import brian2
import numpy as np
from brian2 import second
from brian2.core.network import Network as BrianNetwork
from brian2.core.variables import ArrayVariable, Variables
from brian2.devices.device import get_device
from brian2.groups.group import Group
from threadpoolctl import ThreadpoolController

from neurosim.engine import brian, products
from neurosim.engine.groups import Groups
from neurosim.engine.plan import GUARD_EVERY, Plan, bias_group, projection_group
from neurosim.errors import BackendError, FileError

Array = np.ndarray
Factory = Callable[[BrianNetwork], Any]  # a user's own objects for the network
LONGEST = 1e6  # s; a program runs until its step counter says stop


def build(plan: Plan, backend: str, factories: Sequence[Factory] = ()) -> Engine:
    """The engine of a plan on "numpy", "cython" or "standalone".

    Raises
    ------
    BackendError
        No compiler where one is needed, or a build that failed.
    """
    if backend != "numpy" and brian.compiler_command() is None:
        raise BackendError(f"backend = {backend!r} needs a C++ compiler and none was found; try backend='numpy'")
    if backend == "standalone":
        return StandaloneEngine(plan, factories)
    return RuntimeEngine(plan, factories, target=backend)


class Engine(ABC):
    """One Brian2 network and the values in it.

    Attributes
    ----------
    network : brian2.Network
    plan : Plan
    loop_time : float
        Seconds that stepping took, of all segments.
    """

    network: BrianNetwork

    def __init__(self, plan: Plan) -> None:
        self.plan, self.loop_time = plan, 0.0

    @abstractmethod
    def load(self, values: Mapping[tuple[str, str], Any]) -> None:
        """Set arrays by (group, variable); a number fills the array."""

    @abstractmethod
    def value(self, group: str, variable: str) -> Array:
        """One array, flat, as it stands."""

    @abstractmethod
    def present(self, data: Mapping[tuple[str, str], Array], order: Array) -> None:
        """The data set by (population, variable) and the rows that come next, a batch after the other."""

    @abstractmethod
    def run(self, n_steps: int, seed: int) -> None:
        """Go on for `n_steps`, or until the state leaves its bound."""

    @abstractmethod
    def recorded(self) -> list[Array]:
        """(samples, entries) of every recorded variable since the engine was built."""

    def counter(self, name: str) -> int:
        """One of the run's own counters."""
        return int(self.value("run", name)[0])

    def state(self) -> dict[tuple[str, str], Array]:
        """Every array from which the run can go on."""
        own = [("run", "step")]
        own += [(projection_group(n), "w") for n in self.plan.net.projections]
        own += [(bias_group(n), "w") for n in self.plan.net.neurons]
        for name in self.plan.net.populations:
            own += [(name, v) for v in self._state_variables(name)]
        return {key: self.value(*key).copy() for key in own}

    def _state_variables(self, population: str) -> list[str]:
        equations = self.network[population].equations
        stored = [*equations.diff_eq_names, *(n for n in ("y", "feedback") if n in equations.names)]
        return sorted({*stored, *(n for n in equations.parameter_names if n not in ("a", "log_partition"))})


class RuntimeEngine(Engine):
    """Brian2's runtime mode: code objects of one target between NumPy products on live arrays."""

    def __init__(self, plan: Plan, factories: Sequence[Factory], target: str) -> None:
        super().__init__(plan)
        self.target, self.random = target, bool(plan.extensions or factories)
        with brian.scope(target=target), brian.explained(bool(plan.extensions)):
            self.groups = Groups(plan, brian.make_clock(plan.dt))
            self.arrays = arrays = products.Arrays(self.groups)
            steps: list[products.Step] = [
                products.Forward(arrays, when="before_start", order=-10, name="forward"),
                products.Backward(arrays, when="before_start", order=10, name="backward"),
                products.Plasticity(arrays, when="groups", order=-10, name="plasticity"),
            ]
            if plan.method == "semi_implicit":
                steps.append(products.Forward(arrays, when="synapses", order=0, name="forward_again"))
            if plan.presentation:
                self.presenter = products.Present(arrays, when="before_start", order=-20, name="present")
                steps.append(self.presenter)
            if plan.recorded:
                self.recorder = products.Record(arrays, when="start", order=-20, name="record")
                steps.append(self.recorder)
            finish = products.Finish(arrays, when="end", order=100, name="finish")
            self.network = BrianNetwork(*self.groups.objects, *steps, finish, name="neurosim_network")
            finish.network = self.network
            add_user_objects(self.network, factories)
            brian.adopt(self.network)

    def load(self, values: Mapping[tuple[str, str], Any]) -> None:
        for (group, variable), value in values.items():
            products.live(self.network[group], variable)[:] = np.ravel(value)
        if ("run", "step") in values:
            self.network.t_ = float(np.ravel(values["run", "step"])[0]) * self.plan.dt

    def value(self, group: str, variable: str) -> Array:
        return products.live(self.network[group], variable)

    def present(self, data: Mapping[tuple[str, str], Array], order: Array) -> None:
        self.presenter.sources = [(self.arrays.units(*key), rows) for key, rows in data.items()]
        self.presenter.queue = order

    def run(self, n_steps: int, seed: int) -> None:
        self.load({("run", "n_steps"): n_steps, ("run", "ticks"): 0})
        with brian.scope(target=self.target), brian.explained(bool(self.plan.extensions)), _quiet():
            if self.random:
                brian2.seed(seed)
            begin = perf_counter()
            self.network.run(n_steps * self.plan.dt * second, namespace={})
            self.loop_time += perf_counter() - begin
        brian.keep_code(self.groups.objects)

    def recorded(self) -> list[Array]:
        if not self.plan.recorded:
            return []
        sizes = [len(r.indices) for r in self.plan.recorded]
        return [np.reshape(rows, (len(rows), n)) for rows, n in zip(self.recorder.rows, sizes, strict=True)]


class StandaloneEngine(Engine):
    """Brian2's C++ standalone mode: one compiled program, run once a segment."""

    def __init__(self, plan: Plan, factories: Sequence[Factory]) -> None:
        super().__init__(plan)
        with _on_disk(Path(tempfile.gettempdir())):
            self.folder = tempfile.TemporaryDirectory(prefix="neurosim_", ignore_cleanup_errors=True)
        self.directory = Path(self.folder.name)
        (self.directory / "data").mkdir()
        (self.directory / "values").mkdir()
        self.device = brian.Device(self.directory)
        if plan.patterns > 1:
            self.device.link_blas()
        self.pending: dict[tuple[str, str], Any] = {}
        self.started = False
        with brian.scope(self.device), brian.explained(bool(plan.extensions)):
            self.groups = Groups(plan, brian.make_clock(plan.dt))
            self.kernels = Kernels(self.groups)
            self.network = BrianNetwork(*self.groups.objects, self.kernels, name="neurosim_network")
            add_user_objects(self.network, factories)
            brian.adopt(self.network)
            self._generate()

    def _generate(self) -> None:
        device = get_device()
        device.apply_run_args()
        names = {n: device.get_array_name(self.groups.counters.variables[n]) for n in ("start", "seed")}
        device.insert_code(
            "main",
            f"{self.network.name}.t = {names['start']}[0];\n"
            f"brian::_random_generators[0].seed((unsigned long){names['seed']}[0]);",
        )
        self.network.run(LONGEST * second, namespace={})
        device.build(directory=str(self.directory), run=False, with_output=False)

    def load(self, values: Mapping[tuple[str, str], Any]) -> None:
        self.pending.update(values)

    def value(self, group: str, variable: str) -> Array:
        found: ArrayVariable = self.network[group].variables[variable]
        if (group, variable) in self.pending:
            return np.broadcast_to(np.ravel(self.pending[group, variable]), (found.size,)).astype(found.dtype)
        if not self.started:
            return np.zeros(found.size, dtype=found.dtype)
        return self.device.value(found)

    def present(self, data: Mapping[tuple[str, str], Array], order: Array) -> None:
        for (population, variable), rows in data.items():
            path = self.directory / "data" / f"{population}_{variable}.bin"
            if not path.exists():
                with _on_disk(path):
                    np.ascontiguousarray(rows, dtype=np.float64).tofile(path)
        with _on_disk(self.directory):
            order.astype(np.int64).tofile(self.directory / "data" / "order.bin")

    def run(self, n_steps: int, seed: int) -> None:
        if self.started:  # what the last segment left is where this one begins
            self.pending = {**self._everything(), **self.pending}
        start = self.counter("step") * self.plan.dt
        self.pending |= {("run", "n_steps"): n_steps, ("run", "ticks"): 0, ("run", "start"): start}
        self.pending |= {("run", "seed"): seed % 2**31}
        arguments = [self._argument(*item) for item in self.pending.items()]
        self.loop_time += self.device.execute(arguments)
        self.started, self.pending = True, {}

    def _everything(self) -> dict[tuple[str, str], Array]:
        kept = {}
        for name, group in self.groups.by_name.items():
            for variable, found in group.variables.items():
                if isinstance(found, ArrayVariable) and found.owner.name == name and not found.read_only:
                    kept[name, variable] = self.device.value(found)
        return kept

    def _argument(self, key: tuple[str, str], value: Any) -> str:
        found = self.network[key[0]].variables[key[1]]
        array = np.broadcast_to(np.ravel(value), (found.size,)).astype(found.dtype)
        path = self.directory / "values" / f"{key[0]}.{key[1]}"
        with _on_disk(path):
            array.tofile(path)
        return f"{key[0]}.{key[1]}=values/{path.name}"

    def recorded(self) -> list[Array]:
        found = []
        for number, r in enumerate(self.plan.recorded):
            path = self.directory / "data" / f"record_{number}.bin"
            values = np.fromfile(path) if path.exists() else np.empty(0)
            found.append(values.reshape(-1, len(r.indices)))
        return found


class Kernels(Group):  # type: ignore[misc]
    """The projections' products, presentations, recorder and guard as code objects of a program."""

    add_to_magic_network = False

    def __init__(self, groups: Groups) -> None:
        super().__init__(name="transport", clock=groups.clock, when="groups")
        self.variables = Variables(self)
        self.variables.add_constant("N", 1)
        self.variables.create_clock_variables(self._clock)
        self.needed = ["dt"]
        plan = self.plan = groups.plan
        for name, group in groups.populations.items():
            wanted = ["x"] if plan.net.populations[name].clamped else ["x", "lam", "a", "delta", "feedback"]
            wanted += [v for v in ("y", "log_partition") if v in group.variables]
            self._refer(group, wanted, name)
        for synapses in groups.synapses.values():
            wanted = ["w", "tau_w", "l1", "l2"]
            self._refer(synapses, [*wanted, *(["row", "col"] if "row" in synapses.variables else [])], synapses.name)
        for name, biases in groups.biases.items():
            self._refer(biases, ["w"], name, {"w": "b"})
            self._refer(biases, ["tau_w"], biases.name)
        counters = groups.counters
        self._refer(counters, [*counters.WHOLE, "plastic", "diverged", "bound"], "")
        recorded = self._recorded(groups)
        self._enable_group_attributes()
        kwds = self._structure() | {"recorded": recorded}
        slots = [("present", "before_start", -20)] if plan.presentation else []
        slots += [("forward", "before_start", -10), ("backward", "before_start", 10)]
        slots += [("plasticity", "groups", -10), ("finish", "end", 100)]
        slots += [("record", "start", -20)] if recorded else []
        for template, when, order in slots:
            self.contained_objects.append(
                brian.Kernel(self, template, when=when, order=order, needed=self.needed, **kwds)
            )
        if plan.method == "semi_implicit":
            again = brian.Kernel(self, "forward", when="synapses", order=0, needed=self.needed, **kwds)
            brian.rename(again, "transport_forward_again")
            self.contained_objects.append(again)

    def before_run(self, run_namespace: Any = None) -> None:
        """Nothing to prepare."""

    def _refer(
        self, group: Group, variables: Sequence[str], suffix: str, rename: Mapping[str, str] | None = None
    ) -> None:
        for variable in variables:
            name = (rename or {}).get(variable, variable) + (f"_{suffix}" if suffix else "")
            self.variables.add_reference(name, group, variable)
            self.needed.append(name)

    def _recorded(self, groups: Groups) -> list[dict[str, Any]]:
        found = []
        for number, r in enumerate(self.plan.recorded):
            name, chosen = f"recorded_{number}", f"chosen_{number}"
            self.variables.add_reference(name, groups.by_name[r.group], self.plan.array_name(r))
            self.variables.add_array(chosen, size=len(r.indices), dtype=np.int32, values=np.array(r.indices, np.int32))
            self.needed += [name, chosen]
            found.append({"variable": name, "chosen": chosen, "n": len(r.indices), "file": f"record_{number}.bin"})
        return found

    def _structure(self) -> dict[str, Any]:
        net = self.plan.net
        populations = [
            {"name": n, "n": net.populations[n].size, "bias": bias_group(n), "partition": n in self.plan.partitions}
            for n in net.neurons
        ]
        projections = [
            {"name": projection_group(n), "pre": q.pre, "post": q.post,
             "m": net.populations[q.post].size, "n": net.populations[q.pre].size,
             "sparse": not isinstance(net.weights[n], np.ndarray),
             "feeds_back": not net.populations[q.pre].clamped}
            for n, q in net.projections.items()
        ]  # fmt: skip
        sources = [("x", n) for n in net.inputs] + [("y", n) for n in net.losses]
        return {
            "K": self.plan.patterns,
            "populations": populations,
            "projections": projections,
            "presentation": self.plan.presentation,
            "guard_every": GUARD_EVERY,
            "sources": [
                {"variable": f"{v}_{n}", "file": f"data/{n}_{v}.bin", "n": net.populations[n].size} for v, n in sources
            ],
        }


@contextlib.contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """What goes wrong in the temporary folder, in words."""
    try:
        yield
    except OSError as error:
        raise FileError(
            f"{path} cannot be written ({error}): the temporary folder is full or missing; try TMPDIR=another folder, "
            "or backend='numpy'"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """One BLAS thread, no collection of garbage, no warnings of NumPy: the guard says what diverges."""
    with _blas().limit(limits=1, user_api="blas"), brian.quick_run(), np.errstate(all="ignore"):
        yield


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def add_user_objects(network: BrianNetwork, factories: Sequence[Factory]) -> None:
    """What a user's own functions return for this network."""
    for factory in factories:
        made = factory(network)
        for item in made if isinstance(made, list | tuple) else [made]:
            if item is not None and item not in network.objects:
                network.add(item)


__all__ = ["Engine", "RuntimeEngine", "StandaloneEngine", "build"]
