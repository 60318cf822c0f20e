"""What neurosim uses of Brian2 beyond its public interface, in one place.

One device instance a simulation, code objects whose names do not depend on what else is alive, two
translation units, programs cached by the hash of all that goes into them. Tested with Brian2 2.9,
2.10 and 2.11. Start at `scope` and `Device`.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import logging
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from brian2 import prefs
from brian2.codegen.codeobject import create_runner_codeobj
from brian2.codegen.generators.cpp_generator import CPPCodeGenerator
from brian2.core.base import BrianObjectException
from brian2.core.clocks import Clock
from brian2.core.variables import ArrayVariable, Variables
from brian2.devices.cpp_standalone.codeobject import CPPStandaloneCodeObject
from brian2.devices.cpp_standalone.device import CPPStandaloneDevice
from brian2.devices.device import reset_device, set_device
from brian2.equations.equations import EquationError
from brian2.groups.group import CodeRunner, Group
from brian2.parsing.rendering import CPPNodeRenderer
from brian2.units import second
from brian2.units.fundamentalunits import DimensionMismatchError
from brian2.utils.stringtools import get_identifiers, word_substitute
from jinja2 import FileSystemBytecodeCache

from neurosim.engine import cache
from neurosim.engine.compiler import compiler_command, optimisation, processor, wide_vectors
from neurosim.engine.names import LENGTH, MOMENT
from neurosim.errors import BackendError, ModelError

HERE = Path(__file__).parent
INCLUDE = HERE / "standalone" / "include"
STEPS, ONCE = "steps.cpp", "once.cpp"  # translation units of a program
QUIET = ("groups.group", "core.base")  # NaN, which the guard reports; objects left over by an error
GARBAGE = 2**25  # bytes of networks' arrays, after which dead ones are looked for
LEAST = 2**22  # that a network counts for: much hangs on it
_made: list[int] = []  # bytes of each network since then
LOCK = threading.RLock()  # Brian2's device, preferences and seed are global: one thread at a time


class SinglePrecision(CPPNodeRenderer):  # type: ignore[misc]
    """C++ whose numbers are floats: one that is a double takes its whole expression with it."""

    def render_Constant(self, node: Any) -> str:
        text: str = super().render_Constant(node)
        return f"{text}f" if isinstance(node.value, float | np.floating) else text


class Generator(CPPCodeGenerator):  # type: ignore[misc]
    """As Brian2's, in the precision of the simulation."""

    def translate_expression(self, expr: str) -> str:
        """An expression of Brian2's as C++."""
        timed = {"t", "dt", MOMENT} & get_identifiers(
            expr
        )  # those are doubles, and so is what they are compared with
        if timed or prefs.core.default_float_dtype is not np.float32:
            return str(super().translate_expression(expr))
        expr = word_substitute(expr, self.func_name_replacements)
        return str(SinglePrecision(auto_vectorise=self.auto_vectorise).render_expr(expr)).strip()


class CodeObject(CPPStandaloneCodeObject):  # type: ignore[misc]
    """A standalone code object that also finds neurosim's own templates."""

    generator_class = Generator
    templater = CPPStandaloneCodeObject.templater.derive(
        "neurosim.engine.standalone", templates_dir="templates"
    )


# Jinja's translation of templates into Python took a third of the time before a kept program starts
with contextlib.suppress(OSError, RuntimeError):  # no temporary folder that is safe
    for _templater in (CPPStandaloneCodeObject.templater, CodeObject.templater):
        _templater.env.bytecode_cache = FileSystemBytecodeCache()


class Device(CPPStandaloneDevice):  # type: ignore[misc]
    """C++ standalone for one simulation: a build of its own, of two translation units, cached.

    Sources never hold values (those are run-time arguments), so two simulations of one structure
    have one program.
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
        # glibc's vector tanh needs this macro, which -fno-finite-math-only takes away; NaN keeps
        # its meaning
        self.define_macros.append(("__FAST_MATH__", "1"))
        self.extra_compile_args += [
            "-include",
            shlex.quote(str(INCLUDE / "ns_clock.h")),
            *wide_vectors(),
        ]

    def link_blas(self) -> None:
        """Products of whole batches by the OpenBLAS that the scipy-openblas32 wheel carries."""
        import scipy_openblas32 as blas

        self.define_macros.append(("NS_BLAS", "1"))
        self.library_dirs.append(blas.get_lib_dir())
        self.runtime_library_dirs.append(blas.get_lib_dir())
        self.libraries.append(blas.get_library())

    def code_object(self, owner: Any, name: str, *args: Any, **kwds: Any) -> Any:
        """As Brian2's, with names that count within this device only."""
        base = name.rstrip("*")
        name, number = base, 1
        while name in self.code_objects:
            name, number = f"{base}_{number}", number + 1
        return super().code_object(owner, name, *args, **kwds)

    def begin_at(self, now: str, start: str) -> None:
        """Let the clock's time be that of the array `start` at the first step already; Brian2 has 0
        until it ticks.
        """
        queue = self.main_queue
        found = [
            i
            for i, (kind, given) in enumerate(queue)
            if kind.startswith("set_by") and given[0] == now
        ]
        if not found:
            raise BackendError(
                f"this Brian2 does not set {now} where a run begins; try backend='numpy'"
            )
        for i in found:
            queue[i] = ("insert_code", f"{now}[0] = {start}[0];")

    def generate_objects_source(
        self, writer: Any, arange_arrays: Any, *args: Any, **kwds: Any
    ) -> None:
        """Without the indices of a group's units where nobody reads them: 4 bytes a unit, filled at
        every start.
        """
        sources = [str(code.code.cpp_file) for code in self.code_objects.values()]
        unread = [
            v
            for v, name, _ in arange_arrays
            if not any(re.search(rf"\b\w*{name}\b", s) for s in sources)
        ]
        kept = self.arrays, self.zero_arrays
        self.arrays = {v: name for v, name in self.arrays.items() if v not in unread}
        self.zero_arrays = [entry for entry in self.zero_arrays if entry[0] not in unread]
        arange_arrays = [entry for entry in arange_arrays if entry[0] not in unread]
        super().generate_objects_source(writer, arange_arrays, *args, **kwds)
        self.arrays, self.zero_arrays = kept

    def generate_makefile(
        self, writer: Any, compiler: str, compiler_flags: str, linker_flags: str, *a: Any, **k: Any
    ) -> None:
        """Keeps the flags; the makefile itself is not used."""
        self.flags = (shlex.split(compiler_flags), shlex.split(linker_flags))
        super().generate_makefile(writer, compiler, compiler_flags, linker_flags, *a, **k)

    def compile_source(self, directory: str, compiler: str, debug: bool, clean: bool) -> None:
        """The program of these sources: compiled now, or by an earlier build."""
        folder = Path(directory)
        for name, text in _units(folder, self).items():
            (folder / name).write_text(text)
        # the last -O holds
        command = [compiler_command() or "g++", *self.flags[0], *optimisation(), "-I."]
        self.key = _fingerprint(folder, [*command, *self.flags[1]])
        cache.program(
            self.key,
            partial(self._compile, folder, command),
            target=folder / "program",
            about=self.about,
        )

    def _compile(self, folder: Path, command: list[str], program: Path) -> None:
        """What is stepped at full optimisation, beside it (on another core) what runs once at none."""
        jobs = [
            _start([*command, *more, "-c", source, "-o", f"{source}.o"], folder)
            for source, more in ((STEPS, []), (ONCE, ["-O0"]))
        ]
        messages = [job.communicate()[1] for job in jobs]
        link = [*command, f"{STEPS}.o", f"{ONCE}.o", "-o", str(program.absolute()), *self.flags[1]]
        if not any(job.returncode for job in jobs):
            jobs.append(_start(link, folder))
            messages.append(jobs[-1].communicate()[1])
        if any(job.returncode for job in jobs):
            said = "\n".join(m for job, m in zip(jobs, messages, strict=True) if job.returncode)
            raise BackendError(
                f"the C++ build failed ({command[0]}); try backend='numpy'\n{said[-2000:]}"
            )

    def read_from(self, results: Path) -> None:
        """Let variables have the values that a program has left there."""
        self.results_dir, self.has_been_run = os.path.join(results, ""), True
        for variable in self.array_cache:
            self.array_cache[variable] = None


class Kernel(CodeRunner):  # type: ignore[misc]
    """A `CodeRunner` on one of neurosim's templates."""

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
    """Everything that Brian2 and NumPy keep globally, set for one simulation and put back."""
    LOCK.acquire()
    own = {
        "codegen.target": prefs.codegen.target if device is not None else target,
        "core.default_float_dtype": np.dtype(precision).type,
        "devices.cpp_standalone.openmp_threads": 0,
    }
    kept = {name: prefs[name] for name in own}
    quiet = [logging.getLogger(f"brian2.{name}") for name in QUIET]
    levels = [q.level for q in quiet]
    for q in quiet:
        q.setLevel(logging.ERROR)
    random = np.random.get_state()
    set_device(device if device is not None else "runtime", build_on_run=False)
    try:
        for name, value in own.items():
            prefs[name] = value
        yield
    finally:
        for q, level in zip(quiet, levels, strict=True):
            q.setLevel(level)
        for name, value in kept.items():
            prefs[name] = value
        reset_device()
        np.random.set_state(random)
        LOCK.release()


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
    """What Brian2 finds wrong with a user's own equations, as neurosim's error."""
    try:
        yield
    except USERS_ERRORS as error:
        if not extended or isinstance(error, ModelError):
            raise
        cause = error.__cause__ or error
        raise ModelError(
            f"an extension does not fit its population: {cause}; see sim.equations"
        ) from error


@contextlib.contextmanager
def quick_run() -> Iterator[None]:
    """`Network.run` collects garbage first, 60-160 ms in a large process; what is alive now stays."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def code_object(
    group: Group, statements: Iterable[tuple[str, str]], dt: float, run: Group
) -> Callable[[], None]:
    """Statements on a group's variables as one code object of the current target."""
    more = Variables(None, default_index="0")
    more.add_constant(LENGTH, value=dt)
    more.add_reference(MOMENT, run, MOMENT, index="0")
    made: Callable[[], None] = create_runner_codeobj(
        group,
        "\n".join(f"{target} = {expression}" for target, expression in statements),
        "stateupdate",
        {},
        check_units=False,
        additional_variables=more,
    )
    return made


def tidy(groups: Iterable[Group]) -> None:
    """Look for dead networks now and then: they are cycles, few objects and much memory, and
    `quick_run` lets the collector believe that it has seen them.
    """
    arrays = (v for g in groups for v in g.variables.values() if isinstance(v, ArrayVariable))
    _made.append(LEAST + sum(v.size * np.dtype(v.dtype).itemsize for v in arrays))
    if sum(_made) > GARBAGE:
        _made.clear()
        gc.collect()


def adopt(network: Any) -> None:
    """Tell objects where they belong now, not at their first run: a failure before it is noise
    enough.
    """
    for item in network.objects:
        for own in (item, *item.contained_objects):
            own._network = network.id


def keep_code(objects: Iterable[Any]) -> None:
    """`Network.run` generates the same code anew each time, 30 ms; ours does not change after the
    first.
    """
    for item in objects:
        for own in (item, *item.contained_objects):
            if isinstance(own, CodeRunner):
                own.before_run = _nothing


def _nothing(run_namespace: Any = None) -> None:
    """In place of a `before_run` that has nothing left to do."""


def make_clock(dt: float) -> Clock:
    """The one clock of a simulation."""
    return Clock(dt=dt * second, name="steps")


def _start(command: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)


def _units(directory: Path, device: Device) -> dict[str, str]:
    """All sources as two translation units: what is stepped, each code object in its own namespace,
    and the rest.
    """
    headers = "climits cmath iostream fstream ctime cstring algorithm cstdio cstdlib random vector map tuple set string"
    steps = "".join(f"#include <{h}>\n" for h in headers.split())
    steps += (
        "#include <fcntl.h>\n#include <sys/mman.h>\n#include <sys/stat.h>\n#include <unistd.h>\n"
    )
    steps += '#include "objects.h"\n#include "network.h"\n#include "brianlib/common_math.h"\n'
    own = (
        "brianlib/stdint_compat.h",
        "ns_kernels.h",
        "ns_events.h",
        "ns_points.h",
        "ns_present.h",
        "ns_record.h",
    )
    steps += "".join(f'#include "{h}"\n' for h in own)
    steps += "".join(f"#include {h}\n" for h in prefs.codegen.cpp.headers)
    for i, code in enumerate(sorted(device.code_objects.values(), key=lambda c: str(c.name))):
        parts = [code.name, *(f"{block}_{code.name}" for block in code.before_after_blocks)]
        for j, part in enumerate(parts):
            function = f"_run_{part}" if j == 0 else f"_{part}"
            steps += f'namespace unit_{i}_{j} {{\n#include "code_objects/{part}.cpp"\n}}\n'
            steps += f"void {function}() {{ unit_{i}_{j}::{function}(); }}\n"
    once = ""
    if (directory / "brianlib" / "spikequeue.cpp").exists():
        once += '#include "brianlib/spikequeue.cpp"\n'
    once += "".join(f'#include "{s}.cpp"\n' for s in ("synapses_classes", "objects", "run", "main"))
    return {STEPS: steps + '#include "network.cpp"\n', ONCE: once}


def _fingerprint(directory: Path, command: list[str]) -> str:
    digest = hashlib.sha256()
    for root in (directory, INCLUDE):
        for path in sorted(p for p in root.rglob("*") if p.suffix in (".cpp", ".h")):
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    version = subprocess.run([command[0], "--version"], capture_output=True, check=False).stdout
    digest.update(version + " ".join(command).encode() + processor().encode())
    return digest.hexdigest()[:24]
