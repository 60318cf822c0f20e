"""Write what a page on a study includes: its numbers (JSON), its table (Markdown), its picture.

Start at `write_page`.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosim.disk import replacing
from neurosim.errors import FileError
from neurosim.experiments.studies.shared import spread_note
from neurosim.experiments.studies.study import Study
from neurosim.version import __version__

if TYPE_CHECKING:
    import xarray as xr
    from rich.table import Table

DPI = 150  # of the picture


def write_page(study: Study[Any], data: xr.Dataset, folder: Path) -> list[Path]:
    """Write numbers, table and picture of a study that has been measured as a whole.

    Parameters
    ----------
    study : Study
    data : xarray.Dataset
        Its results, as `neurosim.experiments.studies.run` returns them.
    folder : Path
        It gets ``NAME.json``, ``NAME-table.txt`` and ``NAME.png``.

    Returns
    -------
    list of Path
        The three files.

    Raises
    ------
    FileError
        Some cells have no result yet.
    """
    rows = _rows(study, data)
    about = {
        "study": study.name,
        "quick": study.quick,
        "date": datetime.now(UTC).date().isoformat(),
        "version": __version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "settings": study.tables,
    }
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    cells = ",\n  ".join(lines)
    kept = json.dumps(about, ensure_ascii=False, default=str)
    numbers = f'{{\n "about": {kept},\n "cells": [\n  {cells}\n ]\n}}\n'
    stem = study.name + ("-quick" if study.quick else "")
    paths = [folder / f"{stem}{ending}" for ending in (".json", "-table.txt", ".png")]
    texts = [numbers, page_table(study, data, about)]
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, texts, strict=False):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    with replacing(paths[-1]) as temporary:
        study.figure(data).savefig(temporary, format="png", dpi=DPI)
    return paths


def page_table(study: Study[Any], data: xr.Dataset, about: dict[str, Any]) -> str:
    """Return the table of a study in Markdown, and below it what ± means and where it is from."""
    where = (
        f"Written on {about['date']} by version {about['version']} "
        f"({about['machine']}, Python {about['python']})."
    )
    note = spread_note(data)
    return f"{markdown(study.table(data))}\n{note[0].upper()}{note[1:]}. {where}\n"


def markdown(table: Table) -> str:
    """Return a rich table as Markdown."""
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    head, *body = zip(*columns, strict=True)
    return "\n".join([_line(head), _line(["---"] * len(head)), *map(_line, body)]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _rows(study: Study[Any], data: xr.Dataset) -> list[dict[str, Any]]:
    """Return labels, numbers and reason of every cell, without times and what is not finite."""
    rows = []
    for cell in study.cells:
        own = data.sel(cell)
        numbers = {}
        for name in own.data_vars:
            if name not in ("reason", "seconds") and math.isfinite(own[name]):
                numbers[str(name)] = float(own[name])
        reason = str(own["reason"].values)
        if not numbers and not reason:
            raise FileError(
                f"cell {cell} of study {study.name!r} has no result yet; a page needs all, "
                "try without --show"
            )
        rows.append({"cell": cell, "numbers": numbers, "reason": reason})
    return rows
