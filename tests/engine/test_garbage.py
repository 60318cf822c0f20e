"""Garbage collection around runs: what exists is left out of it, and what a user froze stays so."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from neurosim.engine import garbage


@pytest.fixture
def thawed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nothing be frozen during a test, as in most processes."""
    monkeypatch.setattr(garbage, "_trusting", [0])
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.mark.usefixtures("thawed")
def test_a_run_freezes_what_exists_until_it_ends() -> None:
    with garbage.quick_run():
        frozen = gc.get_freeze_count()
        assert frozen > 0
        with garbage.quick_run():  # a run within a run
            pass
        assert gc.get_freeze_count() > 0.5 * frozen
    assert gc.get_freeze_count() == 0
    with pytest.raises(KeyError), garbage.quick_run():
        raise KeyError
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("thawed")
def test_what_a_user_has_frozen_stays_frozen_and_is_seldom_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = []
    count = gc.get_freeze_count
    gc.freeze()
    monkeypatch.setattr(gc, "get_freeze_count", lambda: counts.append(count()) or counts[-1])
    for _ in range(garbage.RECOUNT + 1):
        with garbage.quick_run():
            pass
    assert len(counts) == 1
    assert count() > 0
    gc.unfreeze()
    with garbage.quick_run():
        assert count() > 0  # noticed at the next count
    assert len(counts) == 2
    assert count() == 0
