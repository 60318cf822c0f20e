"""Show progress: a bar on a terminal, a line of text in a notebook, and now and then one in a file.

Start at `bar`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

REFRESH = 0.2  # s between two states of a line in a notebook
PAUSE = 10.0  # s between two lines in a file or a pipe

Advance = Callable[[float, str | None], None]


@contextmanager
def bar(progress: bool, title: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show how far a run is and the time left, if `progress`.

    On a terminal it is a bar on standard error, which is removed at the end. A notebook shows one
    line below the cell, which is updated in place and needs no widgets. Anything else, such as a
    file or a pipe, gets a line of plain text every `PAUSE` seconds, without control characters.

    Parameters
    ----------
    progress : bool
    title : str
        Text before the bar.
    total, done : int
        Number of steps in all, and of those that are already done.

    Yields
    ------
    callable
        Takes the number of steps since the last call, and a text to show after the bar; None leaves
        the text as it is.
    """
    if not progress:
        yield _nothing
        return
    in_notebook = _in_notebook()
    if not in_notebook and _on_terminal():
        yield from _bar_on_terminal(title, total, done)
        return
    line = _Line(title, total, done)
    show: Callable[[_Line], None] = _print
    pause = PAUSE
    if in_notebook:
        show, pause = _cell_output(line), REFRESH
    shown = line.started

    def advance(steps: float, text: str | None) -> None:
        nonlocal shown
        line.advance(steps, text)
        if time.monotonic() - shown >= pause:
            shown = time.monotonic()
            show(line)

    try:
        yield advance
    finally:
        if in_notebook:
            show(line)


def _nothing(steps: float, text: str | None) -> None:
    """Show nothing."""


def _print(line: _Line) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr, flush=True)


def _in_notebook() -> bool:
    """Return whether the process is the kernel of a notebook."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return getattr(shell, "kernel", None) is not None


def _cell_output(line: _Line) -> Callable[[_Line], None]:
    """Show a line below the cell of a notebook, and return a function that updates it."""
    from IPython import display

    shown = cast("Any", display).display({"text/plain": str(line)}, raw=True, display_id=True)

    def update(line: _Line) -> None:
        shown.update({"text/plain": str(line)}, raw=True)

    return update


def _on_terminal() -> bool:
    """Return whether standard error is a terminal that can move its cursor."""
    from rich.console import Console

    # Console.is_terminal alone is also true of files where FORCE_COLOR is set.
    is_tty = getattr(sys.stderr, "isatty", bool)
    return bool(is_tty()) and not Console(stderr=True).is_dumb_terminal


def _bar_on_terminal(title: str, total: int, done: int) -> Iterator[Advance]:
    """Show a bar that is removed at the end."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=total, completed=done, text="")

        def advance(steps: float, text: str | None) -> None:
            if text is None:
                shown.update(task, advance=steps)
            else:
                shown.update(task, advance=steps, text=text)

        yield advance


def unlabelled(advance: Advance) -> Callable[[float], None]:
    """Return a function that moves a bar and leaves its text as it is."""
    return lambda steps: advance(steps, None)


class _Line:
    """Progress as one line of text."""

    def __init__(self, title: str, total: int, done: int) -> None:
        self.title, self.total, self.text = title, total, ""
        self.done: float = done
        self.first = done  # steps that were done before
        self.started = time.monotonic()

    def advance(self, steps: float, text: str | None) -> None:
        """Count steps, and replace the text at the end unless it is None."""
        self.done += steps
        if text is not None:
            self.text = text

    def __str__(self) -> str:
        share = self.done / self.total if self.total else 1.0
        elapsed = time.monotonic() - self.started
        parts = [
            f"{self.title} {share:.0%}",
            f"{int(self.done)} of {self.total}",
            f"{elapsed:.1f} s",
        ]
        own = self.done - self.first
        if own > 0 and self.done < self.total:
            left = elapsed * (self.total - self.done) / own
            parts.append(f"{left:.1f} s left")
        if self.text:
            parts.append(self.text)
        return ", ".join(parts)
