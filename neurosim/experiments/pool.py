"""Who does the tasks of a sweep or a study: this process, joblib's workers, or a Dask cluster; and
what if one dies.

Knows nothing of what a task is about. A worker that dies takes no result with it but its own: its
tasks are done again, and a point that keeps killing workers is recorded as lost. Start at
`open_pool`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from neurosim.errors import ModelError

CRASHES = 3  # without any result between them, after which points are tried one by one
DIED = "its worker process died: out of memory, killed, or a crash in compiled code"

logger = logging.getLogger("neurosim")


class Task(Protocol):
    """Some points that a worker does."""

    @property
    def size(self) -> int:
        """How many points."""

    def work(self) -> list[Any]:
        """What is found of each; what fails is a finding."""

    def singly(self) -> Sequence[Task]:
        """The same points, a task each."""

    def lost(self, reason: str) -> list[Any]:
        """What is found if it kills whoever does it."""


class Pool(ABC):
    """Does tasks, in any order."""

    size: int = 1

    @abstractmethod
    def run(self, tasks: Sequence[Task]) -> Iterator[list[Any]]:
        """What is found of each task, as it is done."""


class Here(Pool):
    """This process."""

    def run(self, tasks: Sequence[Task]) -> Iterator[list[Any]]:
        yield from map(_work, tasks)


class Local(Pool):
    """Worker processes on this machine, by joblib."""

    def __init__(self, jobs: int) -> None:
        self.size = jobs

    def run(self, tasks: Sequence[Task]) -> Iterator[list[Any]]:
        left, crashes, alone = dict(enumerate(tasks)), 0, False
        while left:
            some = dict([next(iter(left.items()))]) if alone else left
            try:
                for number, found in self._parallel(list(some.items())):
                    del left[number]
                    crashes, alone = 0, False  # the others can be tried together again
                    yield found
            except _broken() as error:
                crashes += 1
                logger.warning("a worker process died; its points are done again")
                logger.debug("joblib says: %s", error)
                if alone and crashes > CRASHES:
                    number = next(iter(some))
                    yield left.pop(number).lost(DIED)
                    crashes = 0
                elif not alone and crashes > CRASHES:
                    left = dict(
                        enumerate(single for task in left.values() for single in task.singly())
                    )
                    crashes, alone = 0, True

    def _parallel(self, tasks: list[tuple[int, Task]]) -> Iterator[tuple[int, list[Any]]]:
        from joblib import Parallel, delayed

        parallel = Parallel(
            n_jobs=self.size, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs"
        )
        yield from parallel(delayed(_numbered)(number, task) for number, task in tasks)


def _work(task: Task) -> list[Any]:
    return task.work()


def _numbered(number: int, task: Task) -> tuple[int, list[Any]]:
    """What is found, and of which task."""
    return number, task.work()


def _broken() -> type[BaseException]:
    """What joblib raises when a worker dies."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    found: type[BaseException] = BrokenProcessPool
    return found


class Cluster(Pool):
    """A Dask cluster, near or far."""

    def __init__(self, client: Any) -> None:
        self.client = client
        client.register_plugin(_ready_worker(), name="neurosim")
        self.size = max(1, sum(client.nthreads().values()))

    def run(self, tasks: Sequence[Task]) -> Iterator[list[Any]]:
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        waiting = {self._submit(task): task for task in tasks}
        finished = as_completed(list(waiting))
        for future in finished:
            task = waiting.pop(future)
            error = future.exception()
            if error is None:
                yield future.result()
            elif not isinstance(error, KilledWorker):
                raise error
            elif task.size > 1:
                logger.warning("workers died of a task; its points are tried one by one")
                for single in task.singly():
                    again = self._submit(single)
                    waiting[again] = single
                    finished.add(again)
            else:
                yield task.lost(DIED)

    def _submit(self, task: Task) -> Any:
        return self.client.submit(_work, task, pure=False)


def _ready_worker() -> Any:
    """A plugin that imports Brian2 where a worker starts: it sets a handler for Ctrl-C, as only a
    main thread may.
    """
    from distributed import WorkerPlugin

    class Ready(WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            import neurosim.engine.brian  # noqa: F401

    return Ready()


@contextmanager
def open_pool(jobs: int, scheduler: Any = None) -> Iterator[Pool]:
    """The workers that are asked for.

    Parameters
    ----------
    jobs : int
        Processes on this machine; 1: this one.
    scheduler : str, cluster or client, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, a cluster object
        (dask-jobqueue's too), or a client.

    Raises
    ------
    ModelError
        Dask is not installed, or nobody answers at the address.
    """
    if scheduler is None:
        yield Here() if jobs == 1 else Local(jobs)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ModelError(
            f"scheduler = {scheduler!r} needs Dask: try pip install 'neurosim[cluster]'"
        ) from error
    if isinstance(scheduler, Client):
        yield Cluster(scheduler)
        return
    try:
        client = Client(scheduler, timeout="10 s")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"scheduler = {scheduler!r} does not answer ({error}); try tcp://HOST:8786"
        ) from error
    try:
        yield Cluster(client)
    finally:
        client.close()
