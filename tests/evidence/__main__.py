"""The command ``python -m tests.evidence``: measure rows of the findings and print them."""

from __future__ import annotations

import argparse

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
    stability,
    sweeps,
    tasks,
)

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
    | explorer.ROWS
    | boundary.ROWS
)


def main() -> None:
    """Measure and print the rows that are named, or all."""
    parser = argparse.ArgumentParser("python -m tests.evidence")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        choices=[[], *ROWS],
        help=f"{', '.join(ROWS)}; all by default",
    )
    for name in parser.parse_args().names or ROWS:
        print(f"{name}: {ROWS[name]()}", flush=True)


if __name__ == "__main__":
    main()
