"""Engine that runs a compiled program, once per segment.

The program reads values, data, duration, step and seed from files, and leaves its results in files.
Brian2 is not imported. A kept program starts without it (`KeptProgram`); a program that `codegen`
has just made runs in the same way. Start at `ProgramEngine`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.disk import TemporaryFolder, writing_temporary
from neurosim.engine import cache
from neurosim.engine.engine import Engine, Factory
from neurosim.engine.names import LENGTH, MEMORY, projection_group
from neurosim.engine.plan import Plan, Recorded
from neurosim.engine.signals import TERMINATING
from neurosim.errors import BackendError

if TYPE_CHECKING:
    from brian2.core.network import Network as BrianNetwork

Array = np.ndarray
Key = tuple[str, str]  # group and variable
PARENT = "NEUROSIM_PARENT"  # variable of a program: the process that it ends with
OUTPUT = "stdout.txt"  # the output of a program, beside its results
FILES = 64  # status of a program that could not read or write a file, less the system's reason
ENDED_BY = {
    "SIGKILL": "something killed it, perhaps as the memory was full",
    "SIGXFSZ": "a file grew beyond the limit (ulimit -f)",
    "SIGBUS": "perhaps a disk was full",
}
SHOWN = 2000  # last characters of the output that an error shows


@dataclass(frozen=True)
class Slot:
    """One array of a program."""

    size: int  # entries
    dtype: str  # of an entry, in NumPy's notation, e.g. "<f8"
    file: str  # name of the file in which the program leaves it
    kept: bool  # whether the next segment begins with its values
    added: str = ""  # name in the program, if the array is of a user-supplied object


@dataclass(frozen=True)
class Layout:
    """Arrays of a program by ``"group.variable"``, and those of them that are its state."""

    arrays: Mapping[str, Slot]
    state: Mapping[str, bool]  # see `memory.state_of`

    def as_json(self) -> str:
        """Return the layout as JSON text, which `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Read a layout from the text that `as_json` returned.

        Raises
        ------
        ValueError, TypeError, KeyError
            The text is not that of a layout.
        """
        found = json.loads(text)
        arrays = {name: Slot(**slot) for name, slot in found["arrays"].items()}
        return cls(arrays, found["state"])


class ProgramEngine(Engine):
    """Run a program; exchange values with it through files.

    Attributes
    ----------
    directory : Path
        Folder in which the program runs. It holds the folder `data`, and a folder per segment with
        `values` and `results`; only the last segment's is kept.
    layout : Layout
    """

    layout: Layout

    def __init__(self, plan: Plan, threads: int) -> None:
        super().__init__(plan, threads)
        self.folder = TemporaryFolder()
        self.directory = self.folder.path
        self.program, self.results = self.directory / "program", self.directory
        (self.directory / "data").mkdir()
        self.pending: dict[Key, Any] = {}
        self.segments = 0
        self._running: subprocess.Popen[bytes] | None = None
        self._stopped = False
        for number, recorded in enumerate(self.plan.recorded):
            self._prepare_recording(number, recorded)

    @property
    def remembered(self) -> Mapping[Key, bool]:
        found = {}
        for name, moves in self.layout.state.items():
            group, _, variable = name.partition(".")
            found[group, variable] = moves
        return found

    def has(self, group: str, variable: str) -> bool:
        return f"{group}.{variable}" in self.layout.arrays

    def size(self, group: str, variable: str) -> int:
        return self._slot(group, variable).size

    def stop(self) -> None:
        """Interrupt the program, which ends after its present step."""
        self._stopped = True
        if self._running is not None:
            self._running.send_signal(signal.SIGINT)

    def _slot(self, group: str, variable: str) -> Slot:
        return self.layout.arrays[f"{group}.{variable}"]

    def load(self, values: Mapping[Key, Any]) -> None:
        super().load(values)
        self.pending.update(values)
        for group, variable in values:
            # other weights than those that the last process left have another memory
            memory = group, MEMORY
            if variable in ("w", "back") and memory not in values and self.has(*memory):
                self.pending[memory] = 0

    def value(self, group: str, variable: str) -> Array:
        slot = self._slot(group, variable)
        if (group, variable) in self.pending:
            return _filled(slot, self.pending[group, variable]).astype(slot.dtype)
        if self.segments:
            return self._left(slot)
        return np.zeros(slot.size, slot.dtype)

    def _left(self, slot: Slot) -> Array:
        """Return an array as the last segment left it."""
        with writing_temporary(self.results / slot.file):
            return np.fromfile(self.results / slot.file, dtype=slot.dtype)

    def present(self, data: Mapping[Key, Array], order: Array) -> None:
        for (population, variable), rows in data.items():
            path = self.directory / "data" / f"{population}_{variable}.bin"
            if not path.exists():
                with writing_temporary(path):
                    np.ascontiguousarray(rows, dtype=self.plan.precision).tofile(path)
        path = self.directory / "data" / "order.bin"
        with writing_temporary(path):
            path.unlink(missing_ok=True)  # see `run`
            order.astype(np.int64).tofile(path)

    def modulate(self, values: Mapping[str, Array], length: int) -> None:
        for name, own in values.items():
            path = self.directory / "data" / f"modulator_{name}.bin"
            with writing_temporary(path):
                path.unlink(missing_ok=True)  # see `run`
                own.astype(np.float64).tofile(path)
        self.load({("run", "modulator_first"): self.counter("step")})
        self.load({("run", "modulator_steps"): length})

    def run(self, n_steps: int) -> None:
        dt = self.plan.dt
        settings = {"n_steps": n_steps, "ticks": 0, "start": self.counter("step") * dt}
        settings |= {"step_dt": dt, LENGTH: dt, "seed": self.objects_seed, "ended": 0}
        self.pending |= {("run", name): value for name, value in settings.items()}
        for name in self.plan.net.projections:
            self.pending[projection_group(name), "lazy"] = self.defers(name, n_steps)
        self.pending |= self.live()
        # new files in a new folder: ext4 flushes an overwritten file to disk at once, which takes
        # 2 ms per file
        folder, before = self.directory / f"segment{self.segments}", self.results
        values, results = folder / "values", folder / "results"
        with writing_temporary(folder):
            for new in (folder, values, results):
                new.mkdir()
        self.execute([*self._kept_arguments(), *self._pending_arguments(values)], results)
        self.show(results)
        shutil.rmtree(values, ignore_errors=True)
        if self.segments:
            shutil.rmtree(before.parent, ignore_errors=True)
        self.segments += 1
        self.loop_time += float(self.value("run", "seconds")[0])

    def _kept_arguments(self) -> list[str]:
        """Return the arguments that make this segment begin where the last one ended.

        Arrays of zeros are omitted, since all arrays of a program are 0 at its start but those of
        user-supplied objects.
        """
        arguments: list[str] = []
        if not self.segments:
            return arguments
        for name, slot in self.layout.arrays.items():
            group, _, variable = name.partition(".")
            if not slot.kept or (group, variable) in self.pending:
                continue
            if slot.added or self._left(slot).any():
                file = (self.results / slot.file).relative_to(self.directory)
                arguments.append(f"{slot.added or name}={file}")
        return arguments

    def _pending_arguments(self, folder: Path) -> list[str]:
        """Write loaded values into files of a folder; return the arguments that name the files."""
        arguments = []
        for key, value in self.pending.items():
            slot, name = self._slot(*key), ".".join(key)
            if not (slot.added or np.any(value)):
                continue
            file = folder / name.replace(" ", "_")
            with writing_temporary(file):
                _filled(slot, value).astype(slot.dtype, copy=False).tofile(file)
            arguments.append(f"{slot.added or name}={file.relative_to(self.directory)}")
        self.pending = {}
        return arguments

    def show(self, results: Path) -> None:
        """Read arrays from the files in `results` from now on."""
        self.results = results

    def execute(self, arguments: Sequence[str], results: Path) -> None:
        """Run the program once.

        Parameters
        ----------
        arguments : sequence of str
            Initial arrays, each as ``group.variable=file``.
        results : Path
            Folder in which the program leaves its arrays.

        Raises
        ------
        BackendError
            The program cannot be started, or it failed.
        FileError
            The disk of the temporary folder, or of a recording, is full.
        KeyboardInterrupt
            It was interrupted before it could begin.
        """
        environment = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": str(self.threads),
            "OMP_NUM_THREADS": str(self.threads),
            "OMP_WAIT_POLICY": "passive",  # threads that spin take the cores from those of BLAS
            "LD_BIND_NOW": "1",
            PARENT: str(os.getpid()),  # the program ends with it
        }
        command = [str(self.program), "--results_dir", f"{results}{os.sep}", *arguments]
        path = results / OUTPUT
        with writing_temporary(path):
            output = path.open("wb")
        with output:
            status = self._status(command, environment, output)
        if -status in (signal.SIGINT, *TERMINATING):
            raise KeyboardInterrupt
        if status > FILES:
            with writing_temporary(self.directory):
                raise OSError(status - FILES, os.strerror(status - FILES))
        if status:
            raise BackendError(
                f"the compiled simulation failed ({_named(status)}); try backend='numpy'\n"
                f"{path.read_text(encoding='utf-8', errors='replace')[-SHOWN:]}"
            )
        self._check_left(results)

    def _check_left(self, results: Path) -> None:
        """Check that the program has written its arrays to their ends: it does not say so itself.

        Raises
        ------
        FileError
            The disk was full.
        """
        sizes = {}
        for slot in self.layout.arrays.values():
            sizes[slot.file] = slot.size * np.dtype(slot.dtype).itemsize
        for file in os.scandir(results):
            if file.name in sizes and file.stat().st_size != sizes[file.name]:
                with writing_temporary(Path(file.path)):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _status(self, command: list[str], environment: Mapping[str, str], output: Any) -> int:
        """Run a command until it ends; kill it if this process is interrupted meanwhile."""
        try:
            self._running = subprocess.Popen(
                command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise BackendError(
                f"the compiled program cannot be started ({error}); try backend='numpy'"
            ) from error
        try:
            if self._stopped:  # while it was started
                self._running.send_signal(signal.SIGINT)
            return self._running.wait()
        except BaseException:
            self._running.kill()
            self._running.wait()
            raise
        finally:
            self._running = None

    def _prepare_recording(self, number: int, recorded: Recorded) -> None:
        """Make the folder of a recorded variable, and the layout file that ns_record.h reads."""
        folder = self.directory / "data" / f"record_{number}"
        with writing_temporary(folder):
            if recorded.folder is None:
                folder.mkdir()
            else:
                folder.symlink_to(recorded.folder.absolute(), target_is_directory=True)
            groups = recorded_groups(recorded.parts)
            sizes = [recorded.size, recorded.rows, recorded.dimensions, len(recorded.parts)]
            layout = [np.array(sizes)]
            for part in recorded.parts:
                head = np.array([groups.index(part.name), len(part.source)])
                layout += [head, part.source, part.position]
            np.concatenate(layout).astype(np.int64).tofile(folder.with_suffix(".layout"))

    def recorded(self, number: int, first: int, last: int) -> Array:
        r = self.plan.recorded[number]
        folder, ending = self.directory / "data" / f"record_{number}", ".0" * r.dimensions
        found = [np.empty((0, r.size), dtype=self.plan.precision)]
        chunks = range(first // r.rows, -(-last // r.rows)) if last > first else ()
        for chunk in chunks:
            numbers = np.fromfile(folder / f"{chunk}{ending}", dtype=self.plan.precision)
            rows = numbers.reshape(-1, r.size)
            before = chunk * r.rows
            found.append(rows[max(first - before, 0) : last - before])
        return np.concatenate(found)


Maker = Callable[[Plan, Sequence[Factory], int], ProgramEngine]  # see `build.make_program`


class KeptProgram(ProgramEngine):
    """Run a program from the cache, without Brian2 or a compiler.

    Parameters
    ----------
    make : callable
        Makes the engine with Brian2's network when `network` is first read (`build.make_program`).
    """

    def __init__(self, plan: Plan, threads: int, layout: Layout, make: Maker) -> None:
        super().__init__(plan, threads)
        self.layout, self._make = layout, make
        self.made: ProgramEngine | None = None

    @classmethod
    def recall(cls, key: str, plan: Plan, threads: int, make: Maker) -> KeptProgram | None:
        """Return the engine of the program noted under the key of a structure, or None."""
        # if the note is damaged or not neurosim's, the program is made again
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            found = cache.recall(key)
            if found is None:
                return None
            program_key, layout = found
            engine = cls(plan, threads, Layout.from_json(layout), make)
            if cache.take(program_key, engine.program):
                return engine
        return None

    @cached_property
    def network(self) -> BrianNetwork:
        """Brian2's network with the program's results; made when it is first read."""
        self.made = self._make(self.plan, (), self.threads)
        if self.segments:
            self.made.show(self.results)
        return self.made.network

    def show(self, results: Path) -> None:
        """Read arrays from the files in `results` from now on, in Brian2's network too."""
        super().show(results)
        if self.made:
            self.made.show(results)


def recorded_groups(parts: Sequence[Any]) -> list[str]:
    """Return the names of the groups that a recorded variable is read from, without repeats."""
    return list(dict.fromkeys(part.name for part in parts))


def _named(status: int) -> str:
    """Return the exit status of a program in words."""
    if status >= 0:
        return f"status {status}"
    name = signal.Signals(-status).name
    return f"{name}: {ENDED_BY.get(name, 'a signal ended it')}"


def _filled(slot: Slot, value: Any) -> Array:
    """Return a value as an array of the slot's size; a single number is repeated."""
    return np.broadcast_to(np.ravel(value), (slot.size,))
