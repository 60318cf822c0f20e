"""Peak memory of a streamed recording of 1e6 steps against one of 1e3, on both backends."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.processes import finished, python
from tests.benchmarks.timing import Row, Setting, in_turns


def measure(setting: Setting) -> Iterator[Row]:
    """Measure the memory of recording every step of every unit of a 4-3-2 net, 2 patterns."""
    long, turns = (10_000, 1) if setting.quick else (1_000_000, setting.repeat)
    # Few turns, as the NumPy backend takes minutes.
    for backend, repeat in (("standalone", turns), ("numpy", min(turns, 3))):

        def peak(steps: int, backend: str = backend) -> float:
            return float(finished(python("record_once.py", backend, steps), memory=True).peak)

        peak(1_000)  # compiles
        samples = in_turns({"long": lambda: peak(long), "short": lambda: peak(1_000)}, repeat)
        what = f"{backend}, {long:,} steps recorded"
        said = finished(python("record_once.py", backend, 1_000)).said.strip()
        note = f"Python and program together; {said}"
        yield Row(what, samples["long"], "1,000 steps", samples["short"], "< 2", note, "B")
