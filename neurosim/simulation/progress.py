"""Show a progress bar with the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[float, str | None], None]


@contextmanager
def bar(progress: bool, title: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show a bar on standard error, if `progress`.

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
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=total, completed=done, text="")

        def advance(steps: float, text: str | None) -> None:
            if text is None:
                shown.update(task, advance=steps)
            else:
                shown.update(task, advance=steps, text=text)

        yield advance


def _nothing(steps: float, text: str | None) -> None:
    """Show nothing."""


def unlabelled(advance: Advance) -> Callable[[float], None]:
    """Return a function that moves a bar and leaves its text as it is."""
    return lambda steps: advance(steps, None)
