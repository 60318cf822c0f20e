"""Planted code: how many cases end in success, how many in a refusal, and that none is executed."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from unittest.mock import patch

from tests.helpers.planted import all_cases, tried


def of_planted_code() -> str:
    """Return the number of cases, accepted, refused and failed, and the failures."""
    counts: Counter[str] = Counter()
    failures = []
    with tempfile.TemporaryDirectory() as root:
        kept, place = Path(root, "cache"), Path(root, "tried")
        kept.mkdir(mode=0o700)
        place.mkdir()
        with patch.dict(os.environ, NEUROSIM_CACHE=str(kept)):
            for number, case in enumerate(all_cases()):
                try:
                    answer = tried(case, place / str(number))
                except AssertionError as error:
                    failures.append(str(error))
                    counts["failed"] += 1
                else:
                    counts["accepted" if answer == "accepted" else "refused"] += 1
    total = sum(counts.values())
    lines = [f"{total} cases: {dict(counts)}; none executed, nothing written outside"]
    if failures:
        lines = [f"{total} cases: {dict(counts)}", *failures]
    return "\n".join(lines)


ROWS = {"planted_code": of_planted_code}
