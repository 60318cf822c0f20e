"""Trace the first case of each test alone: the others run the same lines, and tracing is slow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest


class FirstCases:
    """The first case of every test that is collected, which is the one to trace."""

    def __init__(self) -> None:
        self.nodes: set[str] = set()

    def collect(self, items: Sequence[pytest.Item]) -> None:
        """Note the first case of each test among those that are run."""
        seen: set[str] = set()
        for item in items:
            test = item.nodeid.partition("[")[0]
            if test not in seen:
                seen.add(test)
                self.nodes.add(item.nodeid)

    @contextmanager
    def traced(self, item: pytest.Item) -> Iterator[None]:
        """Pause the measurement of coverage, if there is one, unless the case is a first one."""
        running = None if item.nodeid in self.nodes else _coverage()
        if running is None:
            yield
            return
        running.stop()
        try:
            yield
        finally:
            running.start()


def _coverage() -> Any:
    """Return the measurement that runs, or None."""
    try:
        from coverage import Coverage
    except ImportError:
        return None
    return Coverage.current()
