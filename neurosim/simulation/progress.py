"""Show progress, and end a run well: on Ctrl-C, and when it fails."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from neurosim.errors import (
    DivergenceError,
    NeurosimError,
)
from neurosim.results.runs import Log
from neurosim.simulation.log import history_of
from neurosim.simulation.session import Session


@contextmanager
def bar(
    progress: bool, what: str, total: int, done: int = 0
) -> Iterator[Callable[[int, str], None]]:
    """A rich bar with the time left, or nothing."""
    if not progress:
        yield lambda steps, text: None
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
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done, text="")
        yield lambda steps, text: bar.update(task, advance=steps, text=text)


@contextmanager
def guarded(session: Session, rows: list[dict[str, float]] | None = None) -> Iterator[None]:
    """A run that fails hands over what it had; the first Ctrl-C ends a run, the second is Python's
    own.
    """
    previous = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        session.stop()

    if main:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    except NeurosimError as error:
        run = session.finish(interrupted=True)
        if isinstance(error, DivergenceError):
            error.run = run
        if rows is not None:
            error.log = Log(partial(history_of, rows), run)
        raise
    finally:
        if main:
            signal.signal(signal.SIGINT, previous or signal.SIG_DFL)
