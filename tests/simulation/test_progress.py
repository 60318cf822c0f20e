"""Progress is text in files, a bar on terminals, and one line in notebooks (test_notebooks)."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from neurosim.simulation import progress

SHOW = """
import time
from neurosim.simulation import progress
progress.PAUSE = 0.0
with progress.bar(True, "relax [bold]a", 10, done=2) as advance:
    for step in range(8):
        advance(1, f"loss [red]{step}")
"""


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}])
def test_a_file_gets_lines_without_control_characters(environment: dict[str, str]) -> None:
    found = subprocess.run(
        [sys.executable, "-c", SHOW],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=True,
    )
    lines = found.stderr.splitlines()
    assert len(lines) == 8
    assert lines[-1].startswith("relax [bold]a 100%, 10 of 10, ")
    assert lines[0].endswith("s left, loss [red]0")
    assert all(character.isprintable() or character == "\n" for character in found.stderr)
    assert found.stdout == ""


def test_a_short_run_writes_nothing_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar(True, "relax", 10) as advance:
        advance(10, "")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("term", "bar"), [("xterm", True), ("dumb", False)])
def test_a_terminal_gets_a_bar_if_it_can_show_one(term: str, bar: bool) -> None:
    master, slave = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", SHOW], stderr=slave, env=os.environ | {"TERM": term}, check=True
        )
        shown = os.read(master, 100_000).decode()
    finally:
        os.close(master)
        os.close(slave)
    assert ("\x1b[" in shown) == bar
    assert "relax [bold]a" in shown
    assert "loss [red]" in shown
