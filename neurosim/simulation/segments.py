"""Run a session segment by segment, show progress, and end it in order.

Above `session` and `progress`, below `running`, whose four loops are over `segments` within
`interruptible`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from neurosim.errors import DivergenceError, NeurosimError
from neurosim.results.runs import Log
from neurosim.simulation.log import Row, history_of
from neurosim.simulation.progress import bar
from neurosim.simulation.session import Session


@dataclass(frozen=True)
class Segment:
    """Steps that run without returning to Python.

    Attributes
    ----------
    number : int
        Place in the run, from 0.
    steps : int
    noise : int
        Number from which, with the seed, the segment's noise is drawn.
    """

    number: int
    steps: int
    noise: int


def segments(
    session: Session, lengths: Sequence[int], *, first: int = 0, begin: int = 0
) -> Iterator[Segment]:
    """Yield the segments of a run until one is interrupted, or the state rests.

    Parameters
    ----------
    session : Session
        It runs each segment before the next one is asked for.
    lengths : sequence of int
        Steps of every segment of the run.
    first : int
        The segment to begin with: those before it were run before a checkpoint.
    begin : int
        Segments of the trainings that this one continues; noise goes on from there.
    """
    for number in range(first, len(lengths)):
        yield Segment(number, lengths[number], begin + number)
        if session.settled or not session.complete:
            return


@contextmanager
def interruptible(
    session: Session,
    title: str,
    total: int,
    *,
    progress: bool = False,
    rows: list[Row] | None = None,
) -> Iterator[Callable[[int, str], None]]:
    """Let Ctrl-C end the run in order, keep what a failed run has done, and show a bar.

    The first Ctrl-C stops the session; the second is Python's.

    Parameters
    ----------
    session : Session
    title : str
        Beside the bar.
    total : int
        Steps of the run.
    progress : bool
        Whether a bar is shown.
    rows : list of rows, optional
        The log of a training, for the error of one that fails.

    Yields
    ------
    callable
        Takes the steps that were done, and a text to show beside the bar.

    Raises
    ------
    NeurosimError
        Whatever the run raises, with `run` (of a divergence) and `log` (of a training).
    """
    previous = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        session.stop()

    if in_main_thread:  # no other thread may set a handler
        signal.signal(signal.SIGINT, stop)
    try:
        with bar(progress, title, total, session.steps) as advance:
            yield advance
    except NeurosimError as error:
        run = session.finish(interrupted=True)
        if isinstance(error, DivergenceError):
            error.run = run
        if rows is not None:
            error.log = Log(partial(history_of, rows), run)
        raise
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, previous or signal.SIG_DFL)
