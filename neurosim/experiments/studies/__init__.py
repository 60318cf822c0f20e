"""Studies: questions that take many trainings, as commands: cells, what is measured of each, a
table and a figure.

Above everything but the command line. A study is a file of ``models/studies`` and the module here
that its ``[study] kind`` names, with four functions: `cells`, `measure`, `table`, `figure`. What
they share is here: a cell that was measured is kept in a file of its own, so that a study that was
stopped, or killed, goes on where it was; cells are done by the workers that do a sweep's points.
Start at `load` and `run`.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from neurosim.disk import replacing
from neurosim.errors import ConvergenceError, DivergenceError, FileError, out_of_range, unknown
from neurosim.experiments import modelfile
from neurosim.experiments.pool import PoolTask as Task, open_pool
from neurosim.simulation.progress import bar

if TYPE_CHECKING:
    import xarray as xr

Cell = Mapping[str, Any]

KINDS = (
    "exits",
    "hebb",
    "imperfections",
    "local_propagation",
    "policy",
    "prospective",
    "rivals",
    "skips",
    "transport",
)
MODULES = {"transport": "weight_transport"}  # where a kind has another name than its module
REASON = "reason"  # why a cell has no numbers
SECONDS = "seconds"  # that a cell took


@dataclass(frozen=True)
class Study:
    """A study's file, read and checked.

    Attributes
    ----------
    name : str
        The file's, without ``.toml``.
    settings : dict
        Its tables, as plain values; ``settings["study"]`` is the study's own.
    quick : bool
        The same in a minute.
    comment : str
        The first line of the file's opening comment: what it shows.
    """

    name: str
    settings: Mapping[str, Any]
    quick: bool = False
    comment: str = ""

    @cached_property
    def module(self) -> ModuleType:
        """What makes its cells, measures them, and shows what was found."""
        kind = self.settings["study"]["kind"]
        return import_module(f"{__name__}.{MODULES.get(kind, kind)}")

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        """The labels of everything that is measured."""
        found: list[dict[str, Any]] = self.module.cells(self.settings, self.quick)
        return found

    def path(self, cell: Cell) -> Path:
        """Where a cell's result is kept, below the study's folder.

        Which cells there are does not matter to any of them: neither the number of seeds nor the
        lists that the module names as `VARIED`.
        """
        varied = {"seeds", *getattr(self.module, "VARIED", ())}
        settings = dict(self.settings) | {
            "study": {k: v for k, v in self.settings["study"].items() if k not in varied}
        }
        text = json.dumps([cell, settings, self.quick], sort_keys=True, default=str)
        return Path("cells", f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.json")


def built_in() -> dict[str, Path]:
    """The files of ``models/studies`` by name."""
    return {
        path.stem: path for path in sorted((modelfile.folder() / modelfile.STUDIES).glob("*.toml"))
    }


def load(source: str | Path, overrides: Iterable[str] = (), quick: bool = False) -> Study:
    """A study by the path of its file, or a built-in one by name, with overrides.

    Parameters
    ----------
    source : str or Path
        ``"transport"``, or ``"mine.toml"``.
    overrides : iterable of str
        ``"study.seeds=10"``: a value as TOML writes it.
    quick : bool
        The same in a minute: fewer seeds, patterns, epochs.

    Raises
    ------
    FileError
        No such file, not readable, not TOML.
    ModelError
        A key or a value that cannot be.
    """
    path = Path(source)
    if not path.is_file():
        names = built_in()
        if path.as_posix() not in names:
            raise FileError(
                str(unknown("study", str(source), (*names, "the path of a .toml file")))
            )
        path = names[path.as_posix()]
    text = modelfile.text_of(path)
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"study {str(path)!r} is not TOML: {error}") from error
    own = raw.get("study")
    if not isinstance(own, dict) or own.get("kind") not in KINDS:
        given = own.get("kind") if isinstance(own, dict) else None
        raise unknown("study.kind", given, KINDS)
    for override in overrides:
        _override(raw, override)
    modelfile.check_tables({k: v for k, v in raw.items() if k != "study"})
    seeds = own.get("seeds", 1)
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise out_of_range("study.seeds", seeds, "a whole number >= 1", "5")
    return Study(path.stem, raw, quick, modelfile.headline(text))


def _override(raw: dict[str, Any], text: str) -> None:
    """Set a key of the study's own table, or of one of the model's."""
    key, equals, value = text.partition("=")
    table, _, name = key.strip().partition(".")
    if table != "study":
        modelfile.override(raw, text)
        return
    own = raw["study"]
    if not equals or name not in own:
        raise unknown("--set study key", name or text, tuple(own))
    found = modelfile.parsed(value)
    if type(found) is not type(own[name]) and {type(found), type(own[name])} != {int, float}:
        raise out_of_range(f"--set study.{name}", found, f"a value like {own[name]!r}")
    own[name] = found


@dataclass(frozen=True)
class Found:
    """What was measured of a cell, or why nothing was."""

    index: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class _Measured:
    """One cell, as a worker gets it."""

    study: Study
    points: tuple[tuple[int, Cell], ...]
    size: int = 1

    def work(self) -> list[Found]:
        """Measure it; what diverges is a result."""
        found = []
        for index, cell in self.points:
            started = time.perf_counter()
            try:
                numbers = self.study.module.measure(cell, self.study.settings, self.study.quick)
            except (
                DivergenceError,
                ConvergenceError,
            ) as error:  # anything else would stop every cell like it
                found.append(Found(index, {}, f"{type(error).__name__}: {error}"))
            else:
                found.append(Found(index, {**numbers, SECONDS: time.perf_counter() - started}))
        return found

    def singly(self) -> list[_Measured]:
        return [self]

    def lost(self, reason: str) -> list[Found]:
        return [Found(index, {}, reason) for index, _ in self.points]


def run(
    study: Study, folder: Path, *, jobs: int = 1, scheduler: Any = None, progress: bool = False
) -> tuple[xr.Dataset, int]:
    """Measure whatever has no result yet, cell by cell.

    Parameters
    ----------
    study : Study
    folder : Path
        Where results are kept; of one study, or of several.
    jobs, scheduler : as for `neurosim.sweep`
    progress : bool
        A bar with the time left, on standard error.

    Returns
    -------
    data : xarray.Dataset
        A dimension a label, a variable a number; NaN where there is no cell. `reason` says why a
        cell has no numbers.
    missing : int
        Cells that have no result: none, unless somebody stopped it.
    """
    paths = [folder / study.path(cell) for cell in study.cells]
    pending: list[Task] = [
        _Measured(study, ((i, cell),))
        for i, (cell, path) in enumerate(zip(study.cells, paths, strict=True))
        if not path.exists()
    ]
    with (
        open_pool(jobs, scheduler) as pool,
        bar(
            progress and bool(pending), study.name, len(paths), len(paths) - len(pending)
        ) as advance,
    ):
        for results in pool.run(pending):
            for found in results:
                _keep(paths[found.index], study.cells[found.index], found)
                advance(1, ", ".join(f"{k} {v}" for k, v in study.cells[found.index].items()))
    return gather(study, folder)


def _keep(path: Path, cell: Cell, found: Found) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(
            json.dumps({"cell": cell, "numbers": found.numbers, REASON: found.reason}), "utf-8"
        )


def gather(study: Study, folder: Path) -> tuple[xr.Dataset, int]:
    """What was measured until now as one dataset, and how many cells are missing; see `run`."""
    import pandas as pd

    kept = [_read(folder / study.path(cell)) for cell in study.cells]
    rows = [
        {**cell, **_numbers(result)}
        for cell, result in zip(study.cells, kept, strict=True)
        if result
    ]
    if not rows:
        raise FileError(
            f"no cell of study {study.name!r} is in {str(folder)!r} yet; try without --show"
        )
    labels = list(study.cells[0])
    data = pd.DataFrame(rows).set_index(labels).to_xarray()
    data.attrs = {
        "study": study.name,
        "quick": int(study.quick),
        "settings": json.dumps(study.settings, default=str),
    }
    for label in labels:  # in the order of the study, not of the alphabet
        data = data.reindex({label: list(dict.fromkeys(cell[label] for cell in study.cells))})
    data[REASON] = data[REASON].fillna("")
    return data, len(kept) - len(rows)


def _numbers(result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{k: math.nan if v is None else v for k, v in result["numbers"].items()},
        REASON: result[REASON],
    }


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FileError(f"{path} is no result of the study ({error}); try to remove it") from error


def write(
    study: Study, data: xr.Dataset, folder: Path, formats: Sequence[str] = ("png", "pdf")
) -> list[Path]:
    """The data (netCDF), the table as text, and the figure; returns their paths."""
    from rich.console import Console

    stem = study.name + ("-quick" if study.quick else "")
    paths = [folder / f"{stem}.{suffix}" for suffix in ("nc", "txt", *formats)]
    with replacing(paths[0]) as temporary:
        data.to_netcdf(temporary, engine="h5netcdf")
    with replacing(paths[1]) as temporary, temporary.open("w", encoding="utf-8") as file:
        Console(file=file, width=160).print(study.module.table(data))
    if study.module.figure is None:
        return paths[:2]
    figure = study.module.figure(data)
    for path in paths[2:]:
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=150)
        figure.set_layout_engine("none")
    return paths


def mean_and_spread(values: Any, digits: int = 1, scale: float = 1.0) -> str:
    """ "95.1 ± 0.6" of numbers, NaN left out; "-" if there are none."""
    import numpy as np

    found = np.ravel(values)[np.isfinite(np.ravel(values))] * scale
    return f"{found.mean():.{digits}f} ± {found.std():.{digits}f}" if found.size else "-"
