"""Count how model files from strangers end: mutated ones, and every key with odd values."""

from __future__ import annotations

from collections import Counter

from neurosim.experiments import modelfile
from tests.helpers.odd_models import (
    FAULTS,
    REFUSED,
    SUCCESS,
    key_trials,
    mutations,
    study_trials,
    table_of,
)

MUTATIONS = 24  # of each packaged model file
COLUMNS = (SUCCESS, REFUSED, *FAULTS)


def _row(name: str, counts: Counter[str]) -> str:
    cells = [str(counts[column]) for column in COLUMNS]
    return f"| {name} | {counts.total()} | {' | '.join(cells)} |"


def mutated() -> str:
    """Return the outcomes of the mutations of every packaged model file, as a table."""
    lines = [f"\n| model file | trials | {' | '.join(COLUMNS)} |"]
    lines.append("|---" * (len(COLUMNS) + 2) + "|")
    total: Counter[str] = Counter()
    found = []
    for name in modelfile.built_in():
        counts, faults = table_of(mutations(name, MUTATIONS, seed=0))
        lines.append(_row(name, counts))
        total += counts
        found += faults
    return "\n".join([*lines, _row("all", total), *found])


def keys() -> str:
    """Return the outcomes of every key with every odd value."""
    rows = [f"\n| keys of | trials | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 2) + "|"]
    found = []
    for name, trials in (("models", key_trials()), ("studies", study_trials())):
        counts, faults = table_of(trials)
        rows.append(_row(name, counts))
        found += faults
    return "\n".join([*rows, *found])


ROWS = {"mutated_model_files": mutated, "odd_values_of_keys": keys}
