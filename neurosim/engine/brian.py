"""All uses of Brian2 beyond its public interface, in one place.

Each simulation has its own device. The names of its code objects do not depend on other
simulations, its sources form two translation units, and its program is cached under a hash of them.
Tested with Brian2 2.9, 2.10 and 2.11. Start at `scope` and `Device`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from neurosim.engine.quiet import OURS, own_deprecations_ignored

import numpy as np
from brian2 import prefs
from brian2.codegen.codeobject import create_runner_codeobj
from brian2.codegen.generators.cpp_generator import CPPCodeGenerator
from brian2.core.base import BrianObject, BrianObjectException
from brian2.core.clocks import Clock
from brian2.core.variables import Variables
from brian2.devices.cpp_standalone.codeobject import CPPStandaloneCodeObject
from brian2.devices.cpp_standalone.device import CPPStandaloneDevice
from brian2.devices.device import reset_device, set_device
from brian2.equations.equations import EquationError
from brian2.groups.group import CodeRunner, Group
from brian2.groups.neurongroup import NeuronGroup
from brian2.parsing.rendering import CPPNodeRenderer
from brian2.units import second
from brian2.units.fundamentalunits import DimensionMismatchError
from brian2.utils.logger import std_silent
from brian2.utils.stringtools import get_identifiers, word_substitute

from neurosim.engine import cache
from neurosim.engine.children import Job
from neurosim.engine.compiler import compiler_command, optimisation, wide_vectors
from neurosim.engine.cython_modules import kept_modules
from neurosim.engine.names import DECAYS, LENGTH, MOMENT
from neurosim.engine.standalone.units import (
    INCLUDE,
    ONCE,
    STEPS,
    WHOLE,
    fingerprint,
    stepped_unit,
    unit_run_once,
)
from neurosim.errors import BackendError, ModelError

# loggers whose warnings are suppressed: about NaN, which the stability monitor reports, and about
# objects left over after an error
QUIET = ("groups.group", "core.base")
LOCK = threading.RLock()  # Brian2's device, preferences and seed are global: one thread at a time


class SinglePrecision(CPPNodeRenderer):  # type: ignore[misc]
    """Render numbers as floats, as a single double would make the whole expression double."""

    def render_Constant(self, node: Any) -> str:
        text: str = super().render_Constant(node)
        return f"{text}f" if isinstance(node.value, float | np.floating) else text


class Generator(CPPCodeGenerator):  # type: ignore[misc]
    """Generate C++ as Brian2 does, in the precision of the simulation."""

    def translate_expression(self, expr: str) -> str:
        """Translate an expression into C++."""
        # times are doubles, and so are the numbers that they are compared with
        timed = {"t", "dt", MOMENT} & get_identifiers(expr)
        if timed or prefs.core.default_float_dtype is not np.float32:
            return str(super().translate_expression(expr))
        expr = word_substitute(expr, self.func_name_replacements)
        return str(SinglePrecision(auto_vectorise=self.auto_vectorise).render_expr(expr)).strip()


class CodeObject(CPPStandaloneCodeObject):  # type: ignore[misc]
    """A standalone code object with neurosim's templates beside Brian2's."""

    generator_class = Generator
    templater = CPPStandaloneCodeObject.templater.derive(
        "neurosim.engine.standalone", templates_dir="templates"
    )


class Device(CPPStandaloneDevice):  # type: ignore[misc]
    """C++ standalone device of one simulation, with a cached build of two translation units.

    Values are run-time arguments and do not appear in the sources, so two simulations of one
    structure share one program.

    Parameters
    ----------
    directory : Path
        Folder of the sources and the program.
    about : str
        Description of the program that ``neurosim cache`` shows.
    """

    arrays: dict[Any, str]
    zero_arrays: list[tuple[Any, str]]
    main_queue: list[tuple[str, Any]]

    def __init__(self, directory: Path, about: str) -> None:
        super().__init__()
        self.directory, self.about = directory, about
        self.key = ""  # of the program
        self.flags: tuple[list[str], list[str]] = ([], [])
        self.include_dirs.append(str(INCLUDE))
        # glibc declares its vector tanh only with this macro, which -fno-finite-math-only removes.
        # The macro alone does not change the treatment of NaN
        self.define_macros.append(("__FAST_MATH__", "1"))
        self.extra_compile_args += [
            "-include",
            shlex.quote(str(INCLUDE / "ns_clock.h")),
            *wide_vectors(),
        ]

    def link_blas(self) -> None:
        """Link OpenBLAS from the scipy-openblas32 wheel, for products of whole batches."""
        import scipy_openblas32 as blas

        self.define_macros.append(("NS_BLAS", "1"))
        self.library_dirs.append(blas.get_lib_dir())
        self.runtime_library_dirs.append(blas.get_lib_dir())
        self.libraries.append(blas.get_library())

    def add_flags(self, flags: Sequence[str]) -> None:
        """Compile and link with these flags, too."""
        self.extra_compile_args += flags
        self.extra_link_args += flags

    def code_object(self, owner: Any, name: str, *args: Any, **kwds: Any) -> Any:
        """Make a code object whose name is unique within this device, not in the process."""
        base = name.rstrip("*")
        name, number = base, 1
        while name in self.code_objects:
            name, number = f"{base}_{number}", number + 1
        return super().code_object(owner, name, *args, **kwds)

    def begin_at(self, now: str, start: str) -> None:
        """Start the clock `now`, a C++ name, at a C++ expression of seconds, not at 0."""
        found = False
        for i, (kind, given) in enumerate(self.main_queue):
            if kind.startswith("set_by") and given[0] == now:
                self.main_queue[i] = ("insert_code", f"{now}[0] = {start};")
                found = True
        if not found:
            raise BackendError(
                f"this version of Brian2 does not set {now} when a run begins; try backend='numpy'"
            )

    def begin_other_clocks(self, network: Any, own: str, start: str) -> None:
        """Start the clocks of user-supplied objects at their first tick from `start` on.

        Brian2's program counts their ticks from there, but would leave their time at 0. `own` is
        the C++ name of the time of the simulation's clock, `start` an expression of seconds.
        """
        for clock in sorted(network._clocks, key=lambda found: str(found.name)):
            now, step = (self.get_array_name(clock.variables[name]) for name in ("t", "dt"))
            if now != own:
                self.begin_at(now, f"ns::first_tick({start}, {step}[0])")

    def run_for(self, duration: str) -> None:
        """Let the network run for a C++ expression of seconds, not for the constant of its run."""
        found = False
        for i, (kind, given) in enumerate(self.main_queue):
            if kind == "run_network":
                network, lines = given
                start = f"{network.name}.run("
                changed = []
                for line in lines:
                    if line.startswith(start):
                        _, _, rest = line.removeprefix(start).partition(",")
                        line = f"{start}{duration},{rest}"
                        found = True
                    changed.append(line)
                self.main_queue[i] = (kind, (network, changed))
        if not found:
            raise BackendError(
                "this version of Brian2 does not run a network as expected; try backend='numpy'"
            )

    def generate_objects_source(
        self, writer: Any, arange_arrays: Any, *args: Any, **kwds: Any
    ) -> None:
        """Omit the arrays of unit indices that no code reads.

        They take 4 bytes per unit, and a program fills them at every start.
        """
        sources = "\n".join(str(code.code.cpp_file) for code in self.code_objects.values())
        unread = []
        for variable, name, _ in arange_arrays:
            if not re.search(rf"\b\w*{name}\b", sources):
                unread.append(variable)
        kept = self.arrays, self.zero_arrays
        self.arrays = {v: name for v, name in self.arrays.items() if v not in unread}
        self.zero_arrays = [entry for entry in self.zero_arrays if entry[0] not in unread]
        arange_arrays = [entry for entry in arange_arrays if entry[0] not in unread]
        super().generate_objects_source(writer, arange_arrays, *args, **kwds)
        self.arrays, self.zero_arrays = kept

    def generate_makefile(
        self, writer: Any, compiler: str, compiler_flags: str, linker_flags: str, *a: Any, **k: Any
    ) -> None:
        """Store the flags for `compile_source`; the makefile itself is not used."""
        self.flags = (shlex.split(compiler_flags), shlex.split(linker_flags))
        super().generate_makefile(writer, compiler, compiler_flags, linker_flags, *a, **k)

    def compile_source(self, directory: str, compiler: str, debug: bool, clean: bool) -> None:
        """Put the program of these sources in place, from the cache or compiled now."""
        folder = Path(directory)
        (folder / STEPS).write_text(stepped_unit(self))
        (folder / ONCE).write_text(unit_run_once(folder))
        (folder / WHOLE).write_text(f'#include "{STEPS}"\n#include "{ONCE}"\n')
        # compilers use the last -O
        own = compiler_command() or ["g++"]
        command = [*own, *self.flags[0], *optimisation(), "-I."]
        self.key = fingerprint(folder, own, [*command, *self.flags[1]])
        cache.program(
            self.key,
            partial(self._compile, folder, command),
            target=folder / "program",
            about=self.about,
        )

    def _compile(self, folder: Path, command: list[str], program: Path) -> None:
        """Compile both units in parallel, ONCE without optimisation; then link them.

        Where nothing is optimised, the headers take most of the time, so both are compiled as one.
        """
        sources = [STEPS, ONCE]
        if "-O0" in command:
            sources = [WHOLE]
        jobs = []
        for source in sources:
            level = ["-O0"] if source == ONCE else []
            jobs.append(Job([*command, *level, "-c", source, "-o", f"{source}.o"], folder))
        found = [job.failure() for job in jobs]
        failures = [message for message in found if message is not None]
        if not failures:
            objects = [f"{source}.o" for source in sources]
            link = [*command, *objects, "-o", str(program.absolute()), *self.flags[1]]
            message = Job(link, folder).failure()
            if message is not None:
                failures = [message]
        if failures:
            messages = "\n".join(failures)[-2000:]
            raise BackendError(
                f"the C++ build failed ({command[0]}); try backend='numpy'\n{messages}"
            )

    def read_from(self, results: Path) -> None:
        """Read the values of variables from the results of a program in a folder."""
        self.results_dir, self.has_been_run = os.path.join(results, ""), True
        for variable in self.array_cache:
            self.array_cache[variable] = None


class Kernel(CodeRunner):  # type: ignore[misc]
    """A `CodeRunner` that runs one of neurosim's templates."""

    add_to_magic_network = False

    def __init__(
        self,
        group: Group,
        template: str,
        *,
        when: str,
        order: int,
        code: str | dict[str, str] = "",
        **kwds: Any,
    ) -> None:
        super().__init__(
            group,
            template,
            code=code,
            clock=group.clock,
            when=when,
            order=order,
            name=f"{group.name}_{template}",
            template_kwds=kwds,
            check_units=False,
            codeobj_class=CodeObject,
        )


@contextlib.contextmanager
def scope(
    device: Device | None = None, target: str = "numpy", precision: str = "float64"
) -> Iterator[None]:
    """Set the global state of Brian2 and NumPy for one simulation, and restore it.

    Parameters
    ----------
    device : Device, optional
        Device of a compiled program; None: Brian2's runtime mode.
    target : "numpy" or "cython"
        Brian2's code generation target in runtime mode.
    precision : "float64" or "float32"
    """
    LOCK.acquire()
    own = {
        "codegen.target": target if device is None else prefs.codegen.target,
        "core.default_float_dtype": np.dtype(precision).type,
        "devices.cpp_standalone.openmp_threads": 0,
    }
    kept = {name: prefs[name] for name in own}
    loggers = [logging.getLogger(f"brian2.{name}") for name in QUIET]
    levels = [quiet.level for quiet in loggers]
    for quiet in loggers:
        quiet.setLevel(logging.ERROR)
    random = np.random.get_state()
    earlier, environment = set(BrianObject.__instances__()), dict(os.environ)
    set_device("runtime" if device is None else device, build_on_run=False)
    modules = contextlib.ExitStack()
    modules.enter_context(own_deprecations_ignored())
    try:
        if target == "cython":
            modules.enter_context(kept_modules())
        for name, value in own.items():
            prefs[name] = value
        yield
    except BaseException:
        _adopt_all(set(BrianObject.__instances__()) - earlier)
        raise
    finally:
        modules.close()
        for quiet, level in zip(loggers, levels, strict=True):
            quiet.setLevel(level)
        for name, value in kept.items():
            prefs[name] = value
        reset_device()
        np.random.set_state(random)
        if "PLAT" not in environment:  # which a build of Cython sets
            os.environ.pop("PLAT", None)
        if OURS:
            _remove_output()
        LOCK.release()


def _adopt_all(references: Iterable[Any]) -> None:
    """Assign what a failed build has made to a network; else Brian2 warns that it is deleted."""
    for reference in references:
        made = reference()
        if getattr(made, "_network", "") is None:
            made._network = "none, as its build failed"


def _remove_output() -> None:
    """Remove the files of a compiler's output, which Brian2 keeps until the process ends."""
    std_silent.close()
    std_silent.dest_stdout = std_silent.dest_stderr = None


USERS_ERRORS = (
    BrianObjectException,
    EquationError,
    DimensionMismatchError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    NotImplementedError,
)


@contextlib.contextmanager
def explained(extended: bool) -> Iterator[None]:
    """Turn exceptions that user-supplied equations cause in Brian2 into a `ModelError`.

    Parameters
    ----------
    extended : bool
        Whether the plan has extensions; else exceptions pass unchanged.
    """
    try:
        yield
    except USERS_ERRORS as error:
        if not extended or isinstance(error, ModelError):
            raise
        cause = error.__cause__ or error
        raise ModelError(
            f"an extension does not fit its population: {cause}; see sim.equations"
        ) from error


def code_object(
    group: Group, statements: Iterable[tuple[str, str]], dt: float, run: Group
) -> Callable[[], None]:
    """Make one code object of the current target from statements on a group's variables.

    Parameters
    ----------
    group : Group
        Group whose variables the statements read and assign.
    statements : iterable of (target, expression)
    dt : float
        Length of a step, s.
    run : Group
        Counters of the run, which hold the time of a stage and Adam's corrections.

    Returns
    -------
    callable
        Executes the statements once.
    """
    more = Variables(None, default_index="0")
    more.add_constant(LENGTH, value=dt)
    for name in (MOMENT, *DECAYS):
        more.add_reference(name, run, name, index="0")
    made: Callable[[], None] = create_runner_codeobj(
        group,
        "\n".join(f"{target} = {expression}" for target, expression in statements),
        "stateupdate",
        {},
        check_units=False,
        additional_variables=more,
    )
    return made


def adopt(network: Any) -> None:
    """Assign objects to their network now, not at its first run.

    Brian2 warns about objects without a network; a failure before that run would leave some.
    """
    for item in network.objects:
        for own in (item, *item.contained_objects):
            own._network = network.id


def keep_code(objects: Iterable[Any]) -> None:
    """Keep the generated code, which `Network.run` would regenerate at every call, in 30 ms.

    The equations have been checked by then as well.
    """
    for item in objects:
        if isinstance(item, NeuronGroup):
            item.before_run = _nothing
        for own in (item, *item.contained_objects):
            if isinstance(own, CodeRunner):
                own.before_run = _nothing


def _nothing(run_namespace: Any = None) -> None:
    """Do nothing, in place of `before_run`, once the code has been generated."""


def make_clock(dt: float) -> Clock:
    """Make the one clock of a simulation; `dt` in s."""
    return Clock(dt=dt * second, name="steps")
