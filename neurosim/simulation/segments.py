"""Divide a session into segments, show progress, and end it cleanly on a signal or an error.

Above `session`, `trials` and `progress`, below `running`, whose four functions loop over `segments`
within `interruptible`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from neurosim.engine.signals import stopping
from neurosim.errors import DivergenceError, NeurosimError
from neurosim.results.runs import Log
from neurosim.simulation.log import Row, history_of
from neurosim.simulation.progress import Advance, bar
from neurosim.simulation.session import Session
from neurosim.simulation.trials import advice


@dataclass(frozen=True)
class Segment:
    """Steps that run without returning to Python.

    Attributes
    ----------
    number : int
        Place in the run, from 0.
    steps : int
    """

    number: int
    steps: int


def segments(session: Session, lengths: Sequence[int], *, first: int = 0) -> Iterator[Segment]:
    """Yield the segments of a run until one is interrupted or the state rests.

    Parameters
    ----------
    session : Session
        The caller runs each segment on it before taking the next.
    lengths : sequence of int
        Steps of every segment of the run.
    first : int
        Number of the first segment to run; those before it were run before a checkpoint.
    """
    for number in range(first, len(lengths)):
        yield Segment(number, lengths[number])
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
) -> Iterator[Advance]:
    """Let a signal end the run cleanly, attach the partial run to an error, and show a bar.

    The first Ctrl-C, SIGTERM or SIGHUP stops the session (`signals.stopping`). Where the process
    ends with the block, its recording is completed before.

    Parameters
    ----------
    session : Session
    title : str
        Text before the bar.
    total : int
        Steps of the run.
    progress : bool
        Whether a bar is shown.
    rows : list of rows, optional
        The log of a training, to attach to an error.

    Yields
    ------
    callable
        Takes the number of steps since the last call, and a text to show after the bar.

    Raises
    ------
    NeurosimError
        Any error of the run; a `DivergenceError` gets `run` and advice that was tried, an error in
        training gets `log`.
    """
    with stopping(session.stop) as signals:
        try:
            shown = bar(progress, title, total, session.steps)
            with session.recorder.released_on_error(), shown as advance:
                yield advance
            if signals.exit_code is not None:
                session.finish(interrupted=True)
        except NeurosimError as error:
            run = session.finish(interrupted=True)
            if isinstance(error, DivergenceError):
                error.run = run
                if error.population in session.net.neurons:  # not in a rule of synapses
                    error.args = (f"{error}; {advice(session)}",)
            if rows is not None:
                error.log = Log(partial(history_of, rows), run)
            raise
