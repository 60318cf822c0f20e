"""Keep the rows of benchmarks in a file, and compare new ones with them.

The file holds, by benchmark, its rows with date, version, commit and machine, and as `released` the
rows that the version before kept. `docs/generated.py` makes a page of it. Rows that were measured
while others used the machine are not kept: see `Watch`. Start at `keep`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.timing import Row
from tests.helpers.provenance import about

MOST_OTHERS = 0.1  # cores that others may use while rows that are kept are measured
STAT = Path("/proc/stat")  # of Linux
IDLE = (3, 4)  # columns of its first line, without the name: idle, and waiting for a disk

Entry = dict[str, Any]  # of a benchmark in the file


class Watch:
    """Measure how many cores others use, from when it is made on."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.busy, self.own = busy_seconds(), own_seconds()

    def others(self) -> float:
        """Return the mean number of cores that others have used so far; NaN if it is not known."""
        wall = time.perf_counter() - self.start
        return (busy_seconds() - self.busy - (own_seconds() - self.own)) / wall


def busy_seconds() -> float:
    """Return the time that all cores have worked since the machine started, s."""
    if not STAT.exists():
        return float("nan")
    fields = STAT.read_text(encoding="ascii").splitlines()[0].split()[1:9]
    ticks = [int(field) for i, field in enumerate(fields) if i not in IDLE]
    return sum(ticks) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Return the processor time of this process and of its children that have ended, s."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def keep(path: Path, name: str, rows: Sequence[Row], others: float, order: Sequence[str]) -> str:
    """Write the rows of a benchmark into a file, and return what was done as a line of text.

    Parameters
    ----------
    path : Path
        Rows of other benchmarks in it stay.
    name : str
    rows : sequence of Row
    others : float
        Cores that others used meanwhile; above `MOST_OTHERS` nothing is written.
    order : sequence of str
        Names of benchmarks in the order of the file.
    """
    if not others <= MOST_OTHERS:  # nor NaN
        return f"{name} is not kept: others used {others:.2f} cores; allowed: {MOST_OTHERS}"
    kept = read(path)
    new: Entry = {**about(), "others": others, "rows": [row.as_dict() for row in rows]}
    old = kept.get(name)
    if old is not None:
        earlier = old if old["version"] != new["version"] else old.get("released")
        if earlier is not None:
            new["released"] = {key: earlier[key] for key in earlier if key != "released"}
    kept[name] = new
    ordered = {known: kept[known] for known in order if known in kept}
    path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return f"{name} is kept in {path}"


def read(path: Path) -> dict[str, Entry]:
    """Return what a file keeps, by benchmark; nothing if there is no file."""
    if not path.exists():
        return {}
    kept: dict[str, Entry] = json.loads(path.read_text(encoding="utf-8"))
    return kept


def quartiles(row: Entry) -> tuple[float, float, float] | None:
    """Return quartiles and median of the ratios of a row, sorted; None without a yardstick."""
    if not row["ratios"]:
        return None
    low, middle, high = np.percentile(row["ratios"], [25, 50, 75])
    return float(low), float(middle), float(high)


def key(row: Entry) -> tuple[str, str]:
    """Return what tells a row from the others of a benchmark."""
    return row["what"], row["yardstick"]


def differences(kept: Sequence[Entry], found: Sequence[Entry]) -> list[str]:
    """Return a line for each row whose ratio left the quartiles that were kept, is new or gone."""
    before = {key(row): row for row in kept}
    lines = []
    for row in found:
        what = ", ".join(part for part in key(row) if part).replace("\n", ", ")
        old, new = before.pop(key(row), None), quartiles(row)
        if old is None:
            lines.append(f"new: {what}")
            continue
        earlier = quartiles(old)
        if earlier is None or new is None:
            continue
        if new[0] > earlier[2] or new[2] < earlier[0]:  # quartiles do not overlap
            lines.append(f"changed: {what}: {earlier[1]:.3g} -> {new[1]:.3g}")
    lines += [f"gone: {', '.join(gone)}".replace("\n", ", ") for gone in before]
    return lines
