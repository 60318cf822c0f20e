"""End runs in order when the process is told to end: Ctrl-C, SIGTERM and SIGHUP.

Batch queues, containers and terminals that close send the last two. Handlers are set only in the
main thread, only for the length of a block, and only where nobody has set one: a signal that the
user handles or ignores (nohup) stays the user's. Start at `stopping`.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

TERMINATING = [signal.SIGTERM]
if hasattr(signal, "SIGHUP"):
    TERMINATING.append(signal.SIGHUP)
STATUS = 128  # plus the number of a signal: exit code of a process that it ended

_whole: ContextVar[bool] = ContextVar("_whole", default=False)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, raised where Ctrl-C raises `KeyboardInterrupt`."""


class Terminable:
    """Handler of the command line, which raises `Terminated`.

    Attributes
    ----------
    received : int or None
        The last such signal. Where a run was stopped by it, nothing was raised.
    """

    received: int | None = None

    def __call__(self, number: int, _: Any = None) -> None:
        self.received = number
        raise Terminated(signal.Signals(number).name)


class Stopping:
    """Handler of the signals that stop a run; see `stopping`.

    Attributes
    ----------
    exit_code : int or None
        With which the process ends after the block; None: it goes on, as after Ctrl-C.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self.exit_code: int | None = None
        self._stop = stop
        self.before = {n: signal.getsignal(n) for n in (signal.SIGINT, *TERMINATING)}

    @property
    def handled(self) -> list[signal.Signals]:
        """Signals that nobody else handles, and Ctrl-C unless it is ignored."""
        is_parent = multiprocessing.parent_process() is None
        found = [signal.SIGINT]
        if self.before[signal.SIGINT] is signal.SIG_IGN:
            found.clear()
        for number in TERMINATING:
            earlier = self.before[number]
            if isinstance(earlier, Terminable | Stopping) or (
                earlier is signal.SIG_DFL and is_parent
            ):
                found.append(number)
        return found

    def __call__(self, number: int, _: Any = None) -> None:
        earlier = self.before[signal.Signals(number)]
        second = earlier
        if number == signal.SIGINT:
            second = signal.default_int_handler
        elif isinstance(earlier, Terminable):
            earlier.received = number
        elif isinstance(earlier, Stopping):  # this run is within another one
            earlier(number)
        else:
            self.exit_code = STATUS + number
        signal.signal(number, second)
        self._stop()


@contextmanager
def terminable() -> Iterator[Terminable]:
    """Raise `Terminated` at SIGTERM and SIGHUP in this block, where they would end the process."""
    handler = Terminable()
    if not _may_handle():
        yield handler
        return
    ours = [number for number in TERMINATING if signal.getsignal(number) is signal.SIG_DFL]
    with _handling(dict.fromkeys(ours, handler)):
        yield handler


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[Stopping]:
    """Call `stop` at the first Ctrl-C, SIGTERM or SIGHUP in this block; a second one ends it.

    After Ctrl-C the process goes on behind the block. So it does on the command line (`terminable`)
    after the others, to write what was reached. Elsewhere those end the process with the block, by
    `SystemExit`, so that its folders are removed; a worker process is left to its parent.

    Parameters
    ----------
    stop : callable
        It returns at once; the block then ends by itself.
    """
    found = Stopping(stop)
    if not _may_handle() or _whole.get():
        yield found
        return
    try:
        with _handling(dict.fromkeys(found.handled, found)):
            yield found
    finally:
        if found.exit_code is not None:
            raise SystemExit(found.exit_code)


@contextmanager
def whole_runs() -> Iterator[None]:
    """Let a signal end this block instead of a run in it, where part of a run would be a result."""
    before = _whole.set(True)
    try:
        yield
    finally:
        _whole.reset(before)


def _may_handle() -> bool:
    """Return whether this thread may set handlers."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    """Set handlers, and restore those that were set before; None is one that Python cannot set."""
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier or signal.SIG_DFL)
