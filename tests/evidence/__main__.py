"""The command ``python -m tests.evidence``: measure rows of the findings and print them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.evidence import (
    boundary,
    constraints,
    endings,
    events,
    explorer,
    feedback,
    imperfections,
    integration,
    learning,
    model_files,
    observing,
    odd_arguments,
    planted,
    rivals,
    rules,
    shared,
    stability,
    sweeps,
    tasks,
)
from tests.helpers.provenance import about

ROWS = (
    learning.ROWS
    | events.ROWS
    | constraints.ROWS
    | stability.ROWS
    | rivals.ROWS
    | sweeps.ROWS
    | feedback.ROWS
    | imperfections.ROWS
    | tasks.ROWS
    | integration.ROWS
    | observing.ROWS
    | odd_arguments.ROWS
    | model_files.ROWS
    | endings.ROWS
    | planted.ROWS
    | rules.ROWS
    | shared.ROWS
    | explorer.ROWS
    | boundary.ROWS
)


def main() -> None:
    """Measure and print rows; keep them, or compare them with kept ones."""
    parser = argparse.ArgumentParser("python -m tests.evidence")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        choices=[[], *ROWS],
        help=f"{', '.join(ROWS)}; all by default",
    )
    parser.add_argument(
        "--json",
        type=Path,
        help="keep the figures with date, commit and machine; those of other rows in the file stay",
    )
    parser.add_argument("--compare", type=Path, help="print which figures differ from kept ones")
    given = parser.parse_args()
    earlier = read(given.compare) if given.compare is not None else {}
    found = {}
    for name in given.names or ROWS:
        found[name] = str(ROWS[name]())
        print(f"{name}: {found[name]}", flush=True)
        if given.json is not None:  # at once, as all of them take hours
            keep(given.json, name, found[name])
    if given.compare is not None:
        for line in differences(earlier, found):
            print(line)


def read(path: Path) -> dict[str, str]:
    """Return kept figures by row."""
    figures = json.loads(path.read_text(encoding="utf-8"))
    return {name: row["figures"] for name, row in figures.items()}


def keep(path: Path, name: str, figures: str) -> None:
    """Write one row into a file of kept figures, in the order of `ROWS`."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept[name] = {"figures": figures, **about()}
    order = [row for row in ROWS if row in kept]
    text = json.dumps({row: kept[row] for row in order}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def differences(kept: dict[str, str], found: dict[str, str]) -> list[str]:
    """Return a line for each figure that is not what it was; those that were not kept are new."""
    lines = []
    for name, text in found.items():
        if name not in kept:
            lines.append(f"new: {name}: {text}")
        elif kept[name] != text:
            lines.append(f"changed: {name}: {kept[name]} -> {text}")
    return lines


if __name__ == "__main__":
    main()
