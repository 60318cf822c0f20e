"""Hold line and branch coverage to their floors: ``python -m tests.coverage``.

The tests have to run first, with ``--cov``, as this reads the data that they leave. coverage.py
mixes lines and branches into one figure; here each has a separate floor.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

LINES, BRANCHES = 95.0, 90.0  # percent


def main() -> int:
    """Print both figures; return 1 if one is below its floor, else 0."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "coverage.json")
        command = [sys.executable, "-m", "coverage", "json", "-q", "-o", str(path)]
        subprocess.run(command, check=True)
        totals = json.loads(path.read_text())["totals"]
    lines = 100 * totals["covered_lines"] / totals["num_statements"]
    branches = 100 * totals["covered_branches"] / totals["num_branches"]
    print(f"line coverage    {lines:.1f} %, floor {LINES:g} %")
    print(f"branch coverage  {branches:.1f} %, floor {BRANCHES:g} %")
    return int(lines < LINES or branches < BRANCHES)


if __name__ == "__main__":
    sys.exit(main())
