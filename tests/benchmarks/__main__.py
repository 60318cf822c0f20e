"""The command ``python -m tests.benchmarks``: run benchmarks and print their tables."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import kept
from tests.benchmarks.processes import CORES
from tests.benchmarks.timing import Row, Setting

NAMES = (
    "online",
    "batches",
    "presentations",
    "runtime",
    "events",
    "relaxation",
    "rest",
    "settling",
    "plain_brian2",
    "scaling",
    "start",
    "digits",
    "training",
    "recording",
    "rules",
    "sites",
)


def table(name: str, rows: list[Row]) -> Table:
    """Return the rows of one benchmark as a table."""
    title = importlib.import_module(f"tests.benchmarks.{name}").__doc__ or ""
    shown = Table(title=f"{name}: {title.splitlines()[0]}", title_justify="left", show_lines=True)
    for heading in ("what", "ours", "yardstick", "its time", "ratio", "target", "max diff", "note"):
        shown.add_column(heading)
    for row in rows:
        shown.add_row(*row.cells())
    return shown


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks", description=sys.modules["tests.benchmarks"].__doc__
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; all by default"
    )
    parser.add_argument(
        "--repeat",
        type=int,
        help="samples of neurosim and of each yardstick; 7 by default, 2 with --quick",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes and short samples, to check that everything works",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="keep the samples of each benchmark with date, commit and machine, and print what "
        "has changed since; not with --quick, nor while others use the machine",
    )
    found = parser.parse_args()
    for name in found.names:
        if name not in NAMES:
            parser.error(f"NAME = {name!r}; allowed: {', '.join(NAMES)}")
    if found.json and found.quick:
        parser.error("--json with --quick; allowed: one of them, as small sizes say nothing")
    return found


def main() -> int:
    """Print one table per benchmark; return 1 if one of them failed."""
    asked = arguments()
    os.sched_setaffinity(0, {max(CORES)})  # children inherit it
    setting = Setting.quickly(asked.repeat or 2) if asked.quick else Setting(asked.repeat or 7)
    console = Console()
    console.width = max(console.width, 160)
    failed = False
    for name in asked.names or NAMES:
        found: list[Row] = []
        broken = False
        watch = kept.Watch()
        try:
            found.extend(importlib.import_module(f"tests.benchmarks.{name}").measure(setting))
        except Exception:  # the others still run
            traceback.print_exc()
            failed = broken = True
        others = watch.others()
        console.print(table(name, found))
        if asked.json and not broken:
            earlier = kept.read(asked.json).get(name, {"rows": []})
            for line in kept.differences(earlier["rows"], [row.as_dict() for row in found]):
                console.print(line, markup=False)
            console.print(kept.keep(asked.json, name, found, others, NAMES), markup=False)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
