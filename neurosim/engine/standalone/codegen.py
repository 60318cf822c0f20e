"""Generate the C++ program of a structure with Brian2's standalone mode.

Values, data, duration, step and seed are run-time arguments (`program`), so only the first run of a
structure needs the compiler. Start at `StandaloneEngine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import neurosim.engine.quiet  # noqa: F401

import numpy as np
from brian2 import second
from brian2.core.network import Network as BrianNetwork
from brian2.devices.device import get_device

from neurosim.disk import writing_temporary
from neurosim.engine import brian, cache
from neurosim.engine.compiler import parallel_loops
from neurosim.engine.engine import Factory
from neurosim.engine.groups import Groups
from neurosim.engine.memory import arrays_of, state_of
from neurosim.engine.plan import Plan
from neurosim.engine.standalone.code import added_arrays, program_code
from neurosim.engine.standalone.kernels import Kernels
from neurosim.engine.standalone.program import Layout, ProgramEngine, Slot
from neurosim.engine.user_objects import add_user_objects

# that `main` reads or writes
COUNTERS = ("start", "step_dt", "n_steps", "seed", "ended", "seconds")


class StandaloneEngine(ProgramEngine):
    """Generate a program with Brian2, compile it or take it from the cache, and run it."""

    def __init__(self, plan: Plan, factories: Sequence[Factory], threads: int) -> None:
        super().__init__(plan, threads)
        sizes = "-".join(str(population.size) for population in plan.net.populations.values())
        about = f"{sizes}, {plan.patterns} pattern(s), {plan.method}"
        self.device = brian.Device(self.directory, about)
        self.device.folder = self.folder  # a user-supplied monitor reads it for as long as it lives
        shares = any(q.shares for q in plan.net.projections.values())
        if plan.patterns > 1 or shares:
            self.device.link_blas()
        flags = parallel_loops(threads)
        self.device.add_flags(flags)
        with (
            brian.scope(self.device, precision=plan.precision),
            brian.explained(bool(plan.extensions)),
        ):
            # the step is an argument of the program, but user-supplied objects may compute with it
            clock = brian.make_clock(plan.dt if factories else 1e-3)
            program = program_code(plan, undisturbed=not factories, parallel=bool(flags))
            self.groups = Groups(plan, clock, brian.CodeObject, added_arrays(program))
            self.kernels = Kernels(self.groups, program, seeds=bool(factories))
            self.network = BrianNetwork(*self.groups.objects, self.kernels, name="neurosim_network")
            self.added = add_user_objects(self.network, factories, self.groups, compiled=True)
            brian.adopt(self.network)
            with writing_temporary(self.directory):
                self._generate()
        self.layout = self._layout()

    def _generate(self) -> None:
        """Write the sources, and compile them or take the program from the cache."""
        device = get_device()
        device.apply_run_args()
        counters = self.groups.counters.variables
        name = {variable: device.get_array_name(counters[variable]) for variable in COUNTERS}
        clock = self.groups.clock.variables
        time, step = device.get_array_name(clock["t"]), device.get_array_name(clock["dt"])
        seed = f"brian::_random_generators[0].seed((unsigned long){name['seed']}[0]);"
        begin = [
            f"{self.network.name}.t = {name['start']}[0];",
            f"{step}[0] = {name['step_dt']}[0];",
            seed,
            f"{name['seconds']}[0] = -ns::seconds();",
        ]
        device.insert_code("before_start", "ns::end_with_parent();")
        device.insert_code("before_start", "ns::end_in_order();")
        device.insert_code("main", "\n".join(begin))
        self.network.run(second, namespace={})
        device.begin_at(time, f"{name['start']}[0]")
        device.begin_other_clocks(self.network, time, f"{name['start']}[0]")
        # one step more than asked for, as the step counter ends the run
        device.run_for(f"({name['n_steps']}[0] + 1.0) * {name['step_dt']}[0]")
        last = [f"_run_{kernel.codeobj.name}();" for kernel in self.kernels.last]
        end = [f"{name['ended']}[0] = 1;", *last, f"{name['seconds']}[0] += ns::seconds();"]
        device.insert_code("main", "\n".join(end))
        device.build(directory=str(self.directory), run=False, with_output=False)

    def _layout(self) -> Layout:
        """Describe the arrays that the program reads and leaves."""
        arrays = {}
        for key, found in arrays_of(self.groups.by_name):
            file = self.device.get_array_filename(found)
            dtype, kept = np.dtype(found.dtype).str, not found.read_only
            arrays[".".join(key)] = Slot(found.size, dtype, file, kept)
        state = state_of(self.plan, self.groups.by_name)
        assert self.added is not None
        for key in self.added.state:
            found = self.added.array(*key)
            own = f"{found.owner.name}.{found.name}"
            file, dtype = self.device.get_array_filename(found), np.dtype(found.dtype).str
            arrays[".".join(key)] = Slot(found.size, dtype, file, True, own)
        state |= self.added.state
        return Layout(arrays, {".".join(key): moves for key, moves in state.items()})

    def remember(self, key: str) -> None:
        """Note the program under the key of its structure, for processes without Brian2."""
        # static arrays are files of this build alone
        if self.device.key and not self.device.static_arrays:
            cache.remember(key, self.device.key, self.layout.as_json())

    def show(self, results: Path) -> None:
        """Read arrays from the files in `results` from now on, in the Brian2 network too."""
        super().show(results)
        self.device.read_from(results)
