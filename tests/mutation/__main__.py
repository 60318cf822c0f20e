"""The command ``python -m tests.mutation``: mutate, test, print the survivors."""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from tests.mutation.mutants import Mutant, Site, mutants_of, sample, sites_of
from tests.mutation.runner import KILLED, SURVIVED, TIMEOUT, Job, import_libraries

HERE = Path(__file__).parent


def main() -> int:
    """Print the survivors.

    Returns
    -------
    int
        0; 1 if a survivor is not explained; 2 if tests fail without any mutation.
    """
    parser = argparse.ArgumentParser(
        "python -m tests.mutation", description=sys.modules["tests.mutation"].__doc__
    )
    parser.add_argument("modules", nargs="*", help="modules of targets.toml; all by default")
    parser.add_argument(
        "--sample", type=int, help="number of mutants, drawn with --seed; all by default"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--after", type=int, default=0, help="leave out so many, to go on after them; 0 by default"
    )
    parser.add_argument("--jobs", type=int, default=2, help="number of processes; 2 by default")
    parser.add_argument(
        "--limit",
        type=float,
        default=180.0,
        help="seconds after which a mutant is stopped and counts as a timeout",
    )
    parser.add_argument("--list", action="store_true", help="print the mutants, test none")
    asked = parser.parse_args()
    targets = tomllib.loads((HERE / "targets.toml").read_text())
    chosen = asked.modules or list(targets)
    mutants: list[Mutant] = []
    if asked.sample is None:
        for module in chosen:
            mutants += mutants_of(module, targets[module].get("functions", ()))
    else:
        sites: list[Site] = []
        for module in chosen:
            sites += sites_of(module, targets[module].get("functions", ()))
        mutants = sample(sites, asked.sample, asked.seed)
    mutants = mutants[asked.after :]
    if asked.list:
        for mutant in mutants:
            print(mutant.operator, mutant.key)
        print(Counter(m.module for m in mutants), len(mutants))
        return 0
    import_libraries()
    tests: dict[str, None] = {}
    for module in dict.fromkeys(mutant.module for mutant in mutants):
        tests |= dict.fromkeys(targets[module]["tests"])
    sound = Job(None, list(tests), 1e9, thorough=True)
    while (ended := sound.poll()) is None:
        time.sleep(0.05)
    if ended != SURVIVED:
        print("the tests fail without any mutation")
        return 2
    outcomes = run(mutants, targets, asked.jobs, asked.limit)
    return report(outcomes)


def run(
    mutants: list[Mutant], targets: dict[str, Any], jobs: int, limit: float
) -> list[tuple[Mutant, str]]:
    """Test every mutant, `jobs` at a time; return (mutant, outcome) in the order of their ends.

    Those that survive the examples of every day are tested with all.
    """
    waiting, running, outcomes = list(mutants), [], []
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop(0)
            running.append(Job(mutant, targets[mutant.module]["tests"], limit))
        time.sleep(0.02)
        for job in list(running):
            ended = job.poll()
            if ended is not None:
                assert job.mutant is not None
                running.remove(job)
                if ended == SURVIVED and not job.thorough:
                    running.append(Job(job.mutant, job.tests, limit, thorough=True))
                    continue
                outcomes.append((job.mutant, ended))
                if ended == SURVIVED:
                    print(f"survived: {job.mutant.operator}  {job.mutant.key}", flush=True)
                elif len(outcomes) % 50 == 0:
                    print(f"{len(outcomes)} of {len(mutants)}", flush=True)
    return outcomes


def report(outcomes: list[tuple[Mutant, str]]) -> int:
    """Print the counts per module; return 1 if a survivor is not explained, else 0."""
    explained = tomllib.loads((HERE / "explained.toml").read_text())
    counts = Counter((mutant.module, ended) for mutant, ended in outcomes)
    print(
        f"{'module':42}{'mutants':>9}{'killed':>9}{'timeout':>9}{'explained':>11}{'unexplained':>13}"
    )
    total = 0
    for module in dict.fromkeys(mutant.module for mutant, _ in outcomes):
        left = [m.key for m, ended in outcomes if m.module == module and ended == SURVIVED]
        open_ = [key for key in left if key not in explained]
        total += len(open_)
        every = sum(count for (name, _), count in counts.items() if name == module)
        killed, timeout = counts[module, KILLED], counts[module, TIMEOUT]
        print(
            f"{module:42}{every:9}{killed:9}{timeout:9}{len(left) - len(open_):11}{len(open_):13}"
        )
    print(f"{len(outcomes)} mutants, {total} survive unexplained")
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
