"""Is a run changed by recording it, or by cutting it in two? A seeded sample of the crossing.

``python -m tests.evidence observing`` draws `COUNT` cases per backend; for other samples there is
``python -m tests.evidence.observing --count 500 --seed 3 --backend numpy``.
"""

from __future__ import annotations

import argparse

import numpy as np

from neurosim.errors import NeurosimError
from tests.helpers.observing import BACKENDS, EVERY, RECORDED, Case, cases, halved, recorded, ways

COUNT = 40
Figures = dict[str, tuple[int, int]]  # comparisons, and how many of them were not equal


def observing(count: int = COUNT, seed: int = 0, backends: tuple[str, ...] = BACKENDS) -> Figures:
    """Return by kind of comparison: how many were made, how many were not equal to the last bit.

    Each case is recorded once, with a random variable and interval, in memory or to disk, and cut
    in two in every way that its schedule allows. Cases with noise are recorded only.
    """
    found: Figures = {}
    for backend in backends:
        rng = np.random.default_rng(seed)
        for case in cases(count, seed, noisy=True, backends=[backend]):
            variable, every = str(rng.choice(RECORDED)), int(rng.choice(EVERY))
            to_disk = bool(rng.random() < 0.3)
            changed = _tried(case, f"{variable} every {every}", recorded, variable, every, to_disk)
            _count(found, f"{backend}, recorded", changed)
            if case.draws:
                continue
            for way in ways(case):
                _count(found, f"{backend}, {way}", _tried(case, way, halved, way))
    return found


def _tried(case: Case, what: str, compare: object, *arguments: object) -> list[str]:
    """Return what differs, and print it; an error counts as a difference."""
    assert callable(compare)
    try:
        changed: list[str] = compare(case, *arguments)
    except NeurosimError as error:
        changed = [repr(error)]
    if changed:
        print(f"{what} of {case}: {changed}", flush=True)
    return changed


def _count(found: Figures, kind: str, changed: list[str]) -> None:
    made, differing = found.get(kind, (0, 0))
    found[kind] = made + 1, differing + bool(changed)


ROWS = {"observing": observing}


def main() -> None:
    """Measure a sample."""
    parser = argparse.ArgumentParser("python -m tests.evidence.observing")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    given = parser.parse_args()
    backends = tuple(given.backend or BACKENDS)
    for kind, (made, differing) in observing(given.count, given.seed, backends).items():
        print(f"{kind}: {made} comparisons, {differing} not equal")


if __name__ == "__main__":
    main()
