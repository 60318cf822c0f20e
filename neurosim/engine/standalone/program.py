"""A compiled program, run once a segment on files: values, data, duration, step and seed are its
arguments.

Knows no Brian2: a program that is kept starts without it (`KeptProgram`), and the one that
`neurosim.engine.standalone.codegen` has just made is run in the same way. Start at `ProgramEngine`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine import cache
from neurosim.engine.engine import Engine
from neurosim.engine.names import LENGTH, projection_group
from neurosim.engine.plan import Plan
from neurosim.errors import BackendError, FileError

if TYPE_CHECKING:
    from brian2.core.network import Network as BrianNetwork

    from neurosim.engine.standalone.codegen import StandaloneEngine

Array = np.ndarray
OUTPUT = "stdout.txt"  # beside the results: what a program said


@dataclass(frozen=True)
class Slot:
    """One array of a program: entries and their type, the file it is left in, whether a next
    segment begins with it.
    """

    size: int
    dtype: str
    file: str
    kept: bool


@dataclass(frozen=True)
class Layout:
    """What a program holds: arrays by ``"group.variable"``, and `Engine.kinds` by population."""

    arrays: Mapping[str, Slot]
    kinds: Mapping[str, Mapping[str, str]]

    def as_json(self) -> str:
        """For a file; `from_json` is the way back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """What `as_json` wrote.

        Raises
        ------
        ValueError, TypeError, KeyError
            Something else was there.
        """
        found = json.loads(text)
        return cls({name: Slot(**slot) for name, slot in found["arrays"].items()}, found["kinds"])


class ProgramEngine(Engine):
    """A program and the files that it reads and leaves.

    Attributes
    ----------
    directory : Path
        The program's own, with `data` and, of the last segment, `values` and `results`.
    layout : Layout
    """

    layout: Layout

    def __init__(self, plan: Plan, threads: int) -> None:
        super().__init__(plan, threads)
        with on_disk(Path(tempfile.gettempdir())):
            self.folder = tempfile.TemporaryDirectory(
                prefix="neurosim_", ignore_cleanup_errors=True
            )
        self.directory = Path(self.folder.name)
        self.program, self.results = self.directory / "program", self.directory
        (self.directory / "data").mkdir()
        self.pending: dict[tuple[str, str], Any] = {}
        self.segments = 0
        self._prepare_recording()

    def kinds(self, population: str) -> dict[str, str]:
        return dict(self.layout.kinds[population])

    def size(self, group: str, variable: str) -> int:
        return self._slot(group, variable).size

    def stop(self) -> None:
        """Nothing: the program hears the same Ctrl-C."""

    def _slot(self, group: str, variable: str) -> Slot:
        return self.layout.arrays[f"{group}.{variable}"]

    def load(self, values: Mapping[tuple[str, str], Any]) -> None:
        super().load(values)
        self.pending.update(values)

    def value(self, group: str, variable: str) -> Array:
        slot = self._slot(group, variable)
        if (group, variable) in self.pending:
            return np.broadcast_to(np.ravel(self.pending[group, variable]), (slot.size,)).astype(
                slot.dtype
            )
        return self._left(slot) if self.segments else np.zeros(slot.size, slot.dtype)

    def _left(self, slot: Slot) -> Array:
        """What the last segment left in an array."""
        return np.fromfile(self.results / slot.file, dtype=slot.dtype)

    def present(self, data: Mapping[tuple[str, str], Array], order: Array) -> None:
        for (population, variable), rows in data.items():
            path = self.directory / "data" / f"{population}_{variable}.bin"
            if not path.exists():
                with on_disk(path):
                    np.ascontiguousarray(rows, dtype=self.plan.precision).tofile(path)
        path = self.directory / "data" / "order.bin"
        with on_disk(path):
            path.unlink(missing_ok=True)  # see `run`
            order.astype(np.int64).tofile(path)

    def run(self, n_steps: int, seed: int) -> None:
        dt = self.plan.dt
        start = self.counter("step") * dt
        self.pending |= {("run", "n_steps"): n_steps, ("run", "ticks"): 0, ("run", "start"): start}
        self.pending |= {
            ("run", "step_dt"): dt,
            ("run", LENGTH): dt,
            ("run", "seed"): seed % 2**31,
            ("run", "ended"): 0,
        }
        for name in self.plan.net.projections:
            self.pending[projection_group(name), "lazy"] = self.defers(name, n_steps)
        # New files in a new folder: ext4 puts a file that is written over on the disk at once, 2 ms
        # each.
        folder, before = self.directory / f"segment{self.segments}", self.results
        values, results = folder / "values", folder / "results"
        with on_disk(folder):
            for new in (folder, values, results):
                new.mkdir()
        self.execute([*self._kept(), *self._told(values)], results)
        self.show(results)
        for old in (values, before.parent) if self.segments else (values,):
            shutil.rmtree(old, ignore_errors=True)
        self.segments += 1
        self.loop_time += float(self.value("run", "seconds")[0])

    def _kept(self) -> list[str]:
        """Arguments by which this segment begins where the last one ended; a program's arrays are
        zeros at first.
        """
        if not self.segments:
            return []
        return [
            f"{name}={(self.results / slot.file).relative_to(self.directory)}"
            for name, slot in self.layout.arrays.items()
            if slot.kept and _key(name) not in self.pending and self._left(slot).any()
        ]

    def _told(self, folder: Path) -> list[str]:
        """Arguments that give what is pending, from then on in files of this folder."""
        arguments = []
        for key, value in self.pending.items():
            if not np.any(value):
                continue
            slot, name = self._slot(*key), ".".join(key)
            array = np.broadcast_to(np.ravel(value), (slot.size,)).astype(slot.dtype, copy=False)
            with on_disk(folder / name):
                array.tofile(folder / name)
            arguments.append(f"{name}={(folder / name).relative_to(self.directory)}")
        self.pending = {}
        return arguments

    def show(self, results: Path) -> None:
        """Arrays are from now on what a program has left here."""
        self.results = results

    def execute(self, arguments: Sequence[str], results: Path) -> None:
        """Run the program on `arguments` (``group.variable=file``), to leave its arrays in the
        folder `results`.

        Raises
        ------
        BackendError
            It failed.
        """
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(self.threads), "LD_BIND_NOW": "1"}
        command = [str(self.program), "--results_dir", f"{results}{os.sep}", *arguments]
        said = results / OUTPUT
        with on_disk(said):
            output = said.open("wb")
        with output:
            try:
                status = subprocess.call(
                    command, cwd=self.directory, env=environment, stdout=output
                )
            except OSError as error:
                raise BackendError(
                    f"the compiled program cannot be started ({error}); try backend='numpy'"
                ) from error
        if status:
            words = said.read_text(errors="replace")[-2000:]
            raise BackendError(
                f"the compiled simulation failed (status {status}); try backend='numpy'\n{words}"
            )

    def _prepare_recording(self) -> None:
        for number, r in enumerate(self.plan.recorded):
            folder = self.directory / "data" / f"record_{number}"
            with on_disk(folder):
                if r.folder is None:
                    folder.mkdir()
                else:
                    folder.symlink_to(r.folder.absolute(), target_is_directory=True)
                groups = recorded_groups(r.parts)
                layout = [np.array([r.size, r.rows, r.dimensions, len(r.parts)])]
                for part in r.parts:
                    head = np.array([groups.index(part.name), len(part.source)])
                    layout += [head, part.source, part.position]
                np.concatenate(layout).astype(np.int64).tofile(folder.with_suffix(".layout"))

    def recorded(self, number: int, first: int, last: int) -> Array:
        r = self.plan.recorded[number]
        folder, ending = self.directory / "data" / f"record_{number}", ".0" * r.dimensions
        found = [np.empty((0, r.size), dtype=self.plan.precision)]
        for chunk in range(first // r.rows, -(-last // r.rows) if last > first else 0):
            rows = np.fromfile(folder / f"{chunk}{ending}", dtype=self.plan.precision).reshape(
                -1, r.size
            )
            found.append(rows[max(first - chunk * r.rows, 0) : last - chunk * r.rows])
        return np.concatenate(found)


class KeptProgram(ProgramEngine):
    """A program from the cache: neither Brian2 nor a compiler has to start."""

    def __init__(self, plan: Plan, threads: int, layout: Layout) -> None:
        super().__init__(plan, threads)
        self.layout = layout
        self.made: StandaloneEngine | None = None

    @classmethod
    def recall(cls, key: str, plan: Plan, threads: int) -> KeptProgram | None:
        """The program that was remembered under this key of a structure, where it is still there."""
        with contextlib.suppress(
            ValueError, TypeError, KeyError, AttributeError
        ):  # a foreign file: made anew
            if (found := cache.recall(key)) is None:
                return None
            engine = cls(plan, threads, Layout.from_json(found[1]))
            if cache.take(found[0], engine.program):
                return engine
        return None

    @cached_property
    def network(self) -> BrianNetwork:
        """Made when somebody asks for it, with the values that the program left."""
        from neurosim.engine.standalone.codegen import StandaloneEngine

        self.made = StandaloneEngine(self.plan, (), self.threads)
        if self.segments:
            self.made.show(self.results)
        return self.made.network

    def show(self, results: Path) -> None:
        super().show(results)
        if self.made:
            self.made.show(results)


def recorded_groups(parts: Sequence[Any]) -> list[str]:
    """The groups that a recorded variable is read from, each once."""
    return list(dict.fromkeys(part.name for part in parts))


def _key(name: str) -> tuple[str, str]:
    group, _, variable = name.partition(".")
    return group, variable


@contextlib.contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """What goes wrong in the temporary folder, in words."""
    try:
        yield
    except OSError as error:
        raise FileError(
            f"{path} cannot be written ({error}): the temporary folder is full or "
            "missing; try TMPDIR=another folder, "
            "or backend='numpy'"
        ) from error
