"""Run the tasks of a sweep or a study: in this process, on joblib's workers, or on Dask's.

A pool does not depend on what its tasks measure. A worker that dies loses only its own results: its
tasks run again, and a point that keeps killing workers is recorded as lost. Start at `open_pool`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

from neurosim.errors import ModelError, shown
from neurosim.experiments.shares import Report, Shares, ignore, reporting_to

CRASHES = 3  # in a row without any result; after more, points are tried one by one
SAFE_PATH = "PYTHONSAFEPATH"  # environment variable of Python 3.11
WATCH = 0.5  # s between two looks of a worker for its parent
DIED = "its worker process died: out of memory, killed, or a crash in compiled code"

logger = logging.getLogger("neurosim")


class PoolTask(Protocol):
    """Some points that one worker measures."""

    @property
    def size(self) -> int:
        """Number of points."""

    def work(self, report: Report = ignore) -> list[Any]:
        """Return the result of each point; a failure is a result too.

        `report` takes the points, or shares of one, that are done since the last call.
        """

    def singly(self) -> Sequence[PoolTask]:
        """Return one task per point."""

    def lost(self, reason: str) -> list[Any]:
        """Return the results of points that kill their worker."""


class Pool(ABC):
    """Workers that run tasks, in any order."""

    size: int = 1

    @abstractmethod
    def run(self, tasks: Sequence[PoolTask], report: Report = ignore) -> Iterator[list[Any]]:
        """Yield the results of each task once it is done.

        `report` takes the points, or shares of one, that running tasks have done since the last
        call. Those of a task are taken back before its results are yielded.
        """


class Here(Pool):
    """This process as the only worker."""

    def run(self, tasks: Sequence[PoolTask], report: Report = ignore) -> Iterator[list[Any]]:
        for task in tasks:
            reported: list[float] = []

            def note(share: float, reported: list[float] = reported) -> None:
                reported.append(share)
                report(share)

            results = task.work(note)
            report(-sum(reported))
            yield results


class Local(Pool):
    """Worker processes on this machine, by joblib."""

    def __init__(self, jobs: int) -> None:
        self.size = jobs

    def run(self, tasks: Sequence[PoolTask], report: Report = ignore) -> Iterator[list[Any]]:
        with Shares(report) as shares, _safe_path():
            yield from self._run(tasks, shares)

    def _run(self, tasks: Sequence[PoolTask], shares: Shares) -> Iterator[list[Any]]:
        left = dict(enumerate(tasks))
        crashes = 0
        one_by_one = False
        while left:
            first = next(iter(left))
            batch = left
            if one_by_one:
                batch = {first: left[first]}
            try:
                for number, results in self._parallel(list(batch.items()), shares):
                    del left[number]
                    shares.take_back(number)
                    # the rest can run in parallel again
                    crashes, one_by_one = 0, False
                    yield results
            except _broken_pool() as error:
                crashes += 1
                shares.take_back()
                logger.warning("a worker process died; its points are measured again")
                logger.debug("joblib reports: %s", error)
                if crashes <= CRASHES:
                    continue
                if one_by_one:
                    yield left.pop(first).lost(DIED)
                else:
                    left, one_by_one = _split(left.values()), True
                crashes = 0

    def _parallel(
        self, tasks: list[tuple[int, PoolTask]], shares: Shares
    ) -> Iterator[tuple[int, list[Any]]]:
        from joblib import Parallel, delayed

        parallel = Parallel(
            n_jobs=self.size, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs"
        )
        own = os.getpid()
        yield from parallel(
            delayed(_numbered)(number, task, shares.path, own) for number, task in tasks
        )


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep Python processes that start in this block from importing from the working folder.

    joblib starts workers with ``python -m``, which puts that folder first. It gives them the path
    of this process later, so that what can be imported here can be imported there.
    """
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(SAFE_PATH, None)
        else:
            os.environ[SAFE_PATH] = before


def _split(tasks: Iterable[PoolTask]) -> dict[int, PoolTask]:
    """Number the points of some tasks, one task per point."""
    singles: list[PoolTask] = []
    for task in tasks:
        singles += task.singly()
    return dict(enumerate(singles))


def _numbered(number: int, task: PoolTask, path: str, parent: int) -> tuple[int, list[Any]]:
    """Return the number of a task beside its results, in a worker that `parent` started."""
    _end_with(parent)
    return number, task.work(reporting_to(path, number))


@lru_cache(maxsize=1)
def _end_with(parent: int) -> None:
    """End this process once its parent has ended, even if the parent was killed."""
    if os.getppid() != parent:  # joblib runs tasks elsewhere, such as in threads
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH)
        os._exit(1)

    threading.Thread(target=watch, name="neurosim_parent", daemon=True).start()


def _work(task: PoolTask) -> list[Any]:
    return task.work()


def _broken_pool() -> type[BaseException]:
    """Return the error that joblib raises when a worker dies."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    found: type[BaseException] = BrokenProcessPool
    return found


class Cluster(Pool):
    """A Dask cluster, local or remote."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.size = max(1, sum(client.nthreads().values()))

    def run(self, tasks: Sequence[PoolTask], report: Report = ignore) -> Iterator[list[Any]]:
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        waiting = {self._submit(task): task for task in tasks}
        finished = as_completed(list(waiting))
        for future in finished:
            task = waiting.pop(future)
            if not isinstance(future.exception(), KilledWorker):
                yield future.result()  # or raise the task's own error
            elif task.size > 1:
                logger.warning("a task killed its workers; its points are tried one by one")
                for single in task.singly():
                    again = self._submit(single)
                    waiting[again] = single
                    finished.add(again)
            else:
                yield task.lost(DIED)

    def _submit(self, task: PoolTask) -> Any:
        return self.client.submit(_work, task, pure=False)


@contextmanager
def open_pool(jobs: int, scheduler: Any = None) -> Iterator[Pool]:
    """Open a pool of workers, and disconnect it on exit.

    Parameters
    ----------
    jobs : int
        Worker processes on this machine; with 1, tasks run in this process.
    scheduler : str, cluster or client, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, a cluster object (also one
        of dask-jobqueue), or a client. It replaces the workers on this machine.

    Raises
    ------
    ModelError
        Dask is not installed, or the address does not answer.
    """
    if scheduler is None:
        if jobs == 1:
            yield Here()
        else:
            yield Local(jobs)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ModelError(
            f"scheduler = {scheduler!r} needs Dask; try pip install 'neurosim[cluster]'"
        ) from error
    if isinstance(scheduler, Client):
        yield Cluster(scheduler)
        return
    try:
        client = Client(scheduler, timeout="10 s")
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"scheduler = {shown(scheduler)} does not answer ({error}); try tcp://HOST:8786"
        ) from error
    try:
        yield Cluster(client)
    finally:
        client.close()
