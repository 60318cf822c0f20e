"""Run a study: measure its cells in workers, keep each result in a file, and gather them.

A study that was stopped, or killed, resumes: a cell with a result is not measured again. Start at
`run`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosim.disk import check_readable, replacing
from neurosim.engine.signals import whole_runs
from neurosim.errors import ConvergenceError, DivergenceError, FileError, shown
from neurosim.experiments.pool import open_pool
from neurosim.experiments.shares import Report, ignore
from neurosim.experiments.studies.page import write_page
from neurosim.experiments.studies.shared import WIDTH, spread_note
from neurosim.experiments.studies.study import Cell, Study
from neurosim.results.checksums import ENDING, check_seal, sealed
from neurosim.simulation.progress import bar
from neurosim.simulation.trials import without_trials

if TYPE_CHECKING:
    import xarray as xr

REASON = "reason"  # why a cell has no numbers
SECONDS = "seconds"  # wall-clock time of a cell
LARGEST = 2**20  # bytes of a stored result


@dataclass(frozen=True)
class CellResult:
    """The numbers of a cell, or the reason why there are none."""

    index: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class StudyTask:
    """One cell, which one worker measures."""

    study: Study[Any]
    index: int
    cell: Cell
    size: int = 1

    def work(self, report: Report = ignore) -> list[CellResult]:
        """Measure the cell. A flow that diverges is a result; other errors end the study."""
        started = time.perf_counter()
        try:
            with without_trials(), whole_runs():
                numbers = self.study.measure(self.cell)
        except (DivergenceError, ConvergenceError) as error:
            return self.lost(f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - started
        return [CellResult(self.index, {**numbers, SECONDS: seconds})]

    def singly(self) -> list[StudyTask]:
        """Return the task itself."""
        return [self]

    def lost(self, reason: str) -> list[CellResult]:
        """Return the result of a cell without numbers."""
        return [CellResult(self.index, {}, reason)]


def run(
    study: Study[Any],
    folder: Path,
    *,
    jobs: int = 1,
    scheduler: Any = None,
    progress: bool = False,
) -> tuple[xr.Dataset, int]:
    """Measure the cells that have no result yet.

    Parameters
    ----------
    study : Study
    folder : Path
        Folder of the results; several studies may share it.
    jobs, scheduler
        As for `neurosim.sweep`.
    progress : bool
        Show a bar with the time left, on standard error.

    Returns
    -------
    data : xarray.Dataset
        One dimension per label, one variable per number; NaN where there is no cell. `reason`
        states why a cell has no numbers.
    missing : int
        Number of cells without a result: 0 unless the study was stopped.

    Raises
    ------
    ModelError, DataError, FileError
        Settings with which some cell could not be measured; see `Study.check`.
    """
    paths = [folder / study.path(cell) for cell in study.cells]
    pending = []
    for index, cell in enumerate(study.cells):
        if not paths[index].exists():
            pending.append(StudyTask(study, index, cell))
    if pending:
        study.check()
    shows = progress and bool(pending)
    done = len(paths) - len(pending)
    with (
        open_pool(jobs, scheduler) as pool,
        bar(shows, study.name, len(paths), done) as advance,
    ):
        for results in pool.run(pending):
            for result in results:
                cell = study.cells[result.index]
                _keep(paths[result.index], cell, result)
                labels = [f"{label} {value}" for label, value in cell.items()]
                advance(1, ", ".join(labels))
    return gather(study, folder)


def _keep(path: Path, cell: Cell, result: CellResult) -> None:
    text = json.dumps({"cell": cell, "numbers": result.numbers, REASON: result.reason})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(sealed(text.encode()))


def gather(study: Study[Any], folder: Path) -> tuple[xr.Dataset, int]:
    """Return the results so far, and the number of missing cells; see `run`.

    Raises
    ------
    FileError
        No cell has a result yet, or a file is not a result.
    ConvergenceError
        Every cell with a result diverged.
    """
    rows = []
    for cell in study.cells:
        result = _read(folder / study.path(cell), cell)
        if result is not None:
            rows.append({**cell, **_numbers(result)})
    if not rows:
        raise FileError(
            f"no cell of study {study.name!r} is in {str(folder)!r} yet; try without --show"
        )
    if not any(set(row) - {*study.cells[0], REASON} for row in rows):
        reasons = dict.fromkeys(str(row[REASON]) for row in rows)
        raise ConvergenceError(
            f"no cell of study {study.name!r} has numbers: {'; '.join(reasons)}; try other settings"
        )
    return as_dataset(study, rows), len(study.cells) - len(rows)


def as_dataset(study: Study[Any], rows: Sequence[Mapping[str, Any]]) -> xr.Dataset:
    """Return results as a dataset; each row has labels, numbers and reason of a cell."""
    import pandas as pd

    labels = list(study.cells[0])
    data: xr.Dataset = pd.DataFrame(rows).set_index(labels).to_xarray()
    data.attrs = {
        "study": study.name,
        "quick": int(study.quick),
        "settings": json.dumps(study.tables, default=str),
    }
    for label in labels:  # in the order of the study, not of the alphabet
        values = dict.fromkeys(cell[label] for cell in study.cells)
        data = data.reindex({label: list(values)})
    data[REASON] = data[REASON].fillna("")
    return data


def _numbers(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers and the reason of a stored result."""
    numbers = {}
    for name, value in result["numbers"].items():
        numbers[name] = math.nan if value is None else value
    return {**numbers, REASON: result[REASON]}


def _read(path: Path, cell: Cell) -> dict[str, Any] | None:
    """Return the stored result of a cell; None if the file does not exist.

    Raises
    ------
    FileError
        The file is damaged, or is not the result of this cell.
    """
    if not path.exists():
        return None
    check_readable(path)
    try:
        return _checked(path, cell)
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(
            f"{path} is not a result of the study ({error}); try removing it"
        ) from error


def _checked(path: Path, cell: Cell) -> dict[str, Any]:
    """Return a stored result, with or without the checksum that 0.1.0 does not write.

    Raises
    ------
    ValueError
        The file is damaged, or is not the result of this cell.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{size} bytes; allowed: at most {LARGEST}")
    content = path.read_bytes()
    if check_seal(path):
        content = content[:-ENDING]
    found = json.loads(content)
    if not isinstance(found, dict) or found.get("cell") != json.loads(json.dumps(cell)):
        raise ValueError("it is the result of another cell")
    numbers, reason = found.get("numbers"), found.get(REASON)
    if not isinstance(numbers, dict) or not isinstance(reason, str):
        raise ValueError(f"it has no numbers, or no {REASON!r}")
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise ValueError(f"{name} = {shown(value)}, which is not a number")
    return found


def write(
    study: Study[Any],
    data: xr.Dataset,
    folder: Path,
    formats: Sequence[str] = ("png", "pdf"),
    page: Path | None = None,
) -> list[Path]:
    """Write the data (netCDF), the table as text, and the figure; return their paths.

    A folder `page` gets what a page of the documentation includes, too: see `write_page`.
    """
    from rich.console import Console

    stem = study.name + ("-quick" if study.quick else "")
    data_path = folder / f"{stem}.nc"
    table_path = folder / f"{stem}.txt"
    with replacing(data_path) as temporary:
        data.to_netcdf(temporary, engine="h5netcdf")
    with replacing(table_path) as temporary, temporary.open("w", encoding="utf-8") as file:
        Console(file=file, width=WIDTH).print(study.table(data))
        file.write(spread_note(data) + "\n")
    figure = study.figure(data)
    pictures = [folder / f"{stem}.{suffix}" for suffix in formats]
    for path in pictures:
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=150)
        # no new layout, so that every format has the same picture
        figure.set_layout_engine("none")
    written = [data_path, table_path, *pictures]
    if page is not None:
        written += write_page(study, data, page)
    return written
