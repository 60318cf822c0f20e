"""Write the files of a run: results, weights, the effective model and pictures.

Start at `write_run` and `save_figure`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosim.disk import is_within, replacing
from neurosim.errors import FileError, unknown
from neurosim.version import __version__

if TYPE_CHECKING:
    from neurosim.experiments.modelfile import ModelFile
    from neurosim.results.runs import Log, Run
    from neurosim.simulation.simulation import Simulation

FORMATS = ("png", "pdf")
KNOWN_FORMATS = ("png", "pdf", "svg")
DPI = 150
TRIED = 4096  # bytes written to test a folder


def writable(folder: Path) -> Path:
    """Make a folder and try to write into it, so that a long run does not fail at its end.

    Raises
    ------
    FileError
        The folder cannot be made or written, or holds a symbolic link that leaves it.
    """
    check_links(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".try-") as trial:
            trial.write(b"0" * TRIED)
            trial.flush()
    except OSError as error:
        raise FileError(
            f"cannot write into folder {str(folder)!r}: {error.strerror or error}; try --out"
        ) from error
    return folder


def default(folder: Path) -> Path:
    """Return a folder that no option names, after checking that it is below the current one.

    Raises
    ------
    FileError
        A symbolic link leads out of the current folder, which may come from anyone.
    """
    if not is_within(folder, Path()):
        raise FileError(
            f"folder {str(folder)!r} is outside the current one, through a symbolic link to "
            f"{os.path.realpath(folder)!r}; try --out {folder} if that is intended"
        )
    return folder


def check_links(folder: Path) -> None:
    """Refuse a folder of results that holds a symbolic link to a place outside it.

    Raises
    ------
    FileError
        The message has the link and its target.
    """
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = os.path.join(place, name)
            if os.path.islink(path) and not is_within(path, folder):
                raise FileError(
                    f"{path!r} is a symbolic link to {os.path.realpath(path)!r}, outside the "
                    "folder of results; try to remove it, or --out with another folder"
                )


def write_run(spec: ModelFile, simulation: Simulation, result: Run | Log, folder: Path) -> None:
    """Write weights, result, model and pictures into a folder.

    If a disk fills up or a file grows too large, the rest is still written: a result without its
    traces where those do not fit.

    Raises
    ------
    FileError
        The message names what could not be written, and what is there.
    """
    from neurosim.results import files
    from neurosim.results.runs import Run

    name = "run.nc" if isinstance(result, Run) else "log.nc"
    asked = spec.tables.output.formats
    formats = FORMATS if asked is None else asked
    pictures = [folder / f"summary.{suffix}" for suffix in formats]
    lost: list[FileError] = []
    with _noted(lost):
        simulation.save_weights(folder / "weights.npz")
    with _noted(lost):
        _write_model(spec, folder / "model.toml")
    written = len(lost)
    with _noted(lost):
        files.save(result, folder / name)
    if len(lost) > written:
        with _noted(lost):
            files.save(_without_traces(result), folder / name)
            lost[-1] = FileError(f"{lost[-1]} ({folder / name} is without its traces)")
    if pictures:
        with _noted(lost):
            save_summary(result, pictures)
    _raise_all(lost)


@contextmanager
def _noted(lost: list[FileError]) -> Iterator[None]:
    """Append an error of this block about writing to a list."""
    try:
        yield
    except FileError as error:
        lost.append(error)


def _raise_all(lost: Sequence[FileError]) -> None:
    """Raise one error with the messages of all, each once; nothing if there are none."""
    if lost:
        raise FileError("; ".join(dict.fromkeys(str(error) for error in lost))) from lost[0]


def _write_model(spec: ModelFile, path: Path) -> None:
    from neurosim.experiments import modelfile

    header = (
        f"# {spec.comment or spec.name}\n"
        f"# As run by neurosim {__version__}, overrides included.\n\n"
    )
    with replacing(path) as new:
        new.write_text(header + modelfile.dump(spec.effective()), encoding="utf-8")


def _without_traces(result: Run | Log) -> Run | Log:
    from neurosim.results.runs import Log, Run

    if isinstance(result, Run):
        return replace(result, traces=None)
    return Log(result.history, replace(result.run, traces=None))


def save_summary(result: Run | Log, paths: Sequence[Path]) -> None:
    """Draw the summary of a run or a log, and write it to every path."""
    draw_without_display()
    from neurosim import plot as pictures

    formats_of(paths)  # refuses an unknown format before the figure is drawn
    save_figure(pictures.summary(result), paths)


def pictures_beside(file: Path) -> list[Path]:
    """Return the default paths of the pictures of a result: beside it, with its name.

    Raises
    ------
    FileError
        The root of the file system, which has no name.
    """
    named = file if file.name not in ("", "..") else file.resolve()
    if not named.name:
        raise FileError(f"{str(file)!r} is the root; allowed: a run.nc or log.nc, or a sweep")
    return [named.with_suffix(f".{suffix}") for suffix in FORMATS]


def save_figure(figure: Any, paths: Sequence[Path]) -> None:
    """Write a figure to every path, in the format of its suffix, and close it.

    If a file cannot be written, the others still are.

    Raises
    ------
    ModelError
        An unknown format.
    FileError
        Files that cannot be written.
    """
    import matplotlib.pyplot as plt

    lost: list[FileError] = []
    for path, suffix in zip(paths, formats_of(paths), strict=True):
        with _noted(lost), replacing(path) as new:
            figure.savefig(new, format=suffix, dpi=DPI)
        # no new layout, so that every format has the same picture
        figure.set_layout_engine("none")
    plt.close(figure)
    _raise_all(lost)


def formats_of(paths: Sequence[Path]) -> list[str]:
    """Return the picture formats of paths, by their suffixes.

    Raises
    ------
    ModelError
        An unknown format.
    """
    formats = [path.suffix.lstrip(".").lower() for path in paths]
    for suffix in formats:
        if suffix not in KNOWN_FORMATS:
            raise unknown("format of a picture", suffix, KNOWN_FORMATS)
    return formats


def draw_without_display() -> None:
    """Let Matplotlib draw into files only; call it before anything is drawn."""
    from neurosim.plot.library import matplotlib

    matplotlib.use("Agg")


def print_rows(rows: Mapping[str, str], title: str) -> None:
    """Print rows of a report as a table without headings."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_header=False, title=title, title_justify="left")
    for name, value in rows.items():
        table.add_row(name, Text(value))
    Console().print(table)
