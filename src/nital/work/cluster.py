"""Where work on many micrographs runs: in this process, in several, or on a Dask cluster."""

import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any

from nital.errors import InputError, SettingError, reason_of

PATIENCE = 8.0
"""Seconds to wait for a scheduler to answer."""


@contextmanager
def executor_of(workers: int, scheduler: str | None = None) -> Iterator[Executor | None]:
    """Yield an executor for processes of this machine or for a cluster, or None: this process.

    Parameters
    ----------
    workers : int
        Processes on this machine; 1 with a scheduler.
    scheduler : str, optional
        Address of a running Dask scheduler, as `tcp://127.0.0.1:8786`. Its workers need the same
        paths and the same version of nital.

    Raises
    ------
    SettingError
        If `workers` is below 1, both are given, or dask is not installed.
    InputError
        If the scheduler can't be reached; or, while the executor is in use, if a worker is killed.
    """
    if workers < 1:
        raise SettingError(f"--workers {workers}: must be 1 or more")
    if scheduler is None and workers == 1:
        yield None
        return
    if scheduler is not None and workers > 1:
        raise SettingError(
            f"--workers {workers}: the cluster of --scheduler {scheduler} has its own workers; use"
            " only one of the two options"
        )
    opened = _processes(workers) if scheduler is None else _cluster(scheduler)
    try:
        with opened as executor:
            yield executor
    except BrokenExecutor as error:
        raise InputError(f"a worker was killed (out of memory?): {reason_of(error)}") from error


def _processes(workers: int) -> Executor:
    """Return a pool of spawned processes: forking would copy the threads of this one."""
    return ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_end_with_parent
    )


def _end_with_parent() -> None:
    """Let a process of the pool end when the one that started it is killed: it would wait for
    work for ever."""
    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError as error:
        raise SettingError(
            f"--scheduler {address}: dask is not installed; pip install 'nital[dask]'"
        ) from error
    # Dask logs a lost scheduler with tracebacks; the error raised below is enough.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"--scheduler {address}: no Dask scheduler answers ({reason_of(error)}); start one with"
            " `dask scheduler`, or check the address, as tcp://127.0.0.1:8786"
        ) from error
    with client:
        yield ClusterExecutor(client)


class ClusterExecutor(Executor):
    """A Dask cluster as an executor; other workers repeat the tasks of those that died.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._work: Callable[..., Any] | None = None

    def submit(self, work: Callable[..., Any], /, *given: Any, **more: Any) -> Future[Any]:
        """Call `work` on a worker; the same callable is sent to each worker only once.

        A task that repeatedly kills its workers ends with a BrokenExecutor, as in a pool of
        processes; one whose scheduler is gone, with an InputError.
        """
        if work is not self._work:
            # The callable and its data (a model) are sent once, not with each task. Its tasks form
            # one group in Dask, with a single dependency, so that they queue at the scheduler:
            # tasks already assigned to a worker would count as suspicious if it dies.
            self._work, self._group, self._n_given = work, f"nital-{uuid.uuid4().hex}", 0
            self._sent = self._client.submit(_itself, work, key=(f"work-{self._group}", 0))
        self._n_given += 1
        key = (self._group, self._n_given)  # unique, so Dask never returns an older result
        found = self._client.submit(partial(_call, **more), self._sent, *given, key=key)
        future: Future[Any] = Future()
        found.add_done_callback(partial(_pass_on, future=future))
        return future


def _itself(work: Callable[..., Any]) -> Callable[..., Any]:
    return work


def _call(work: Callable[..., Any], *given: Any, **more: Any) -> Any:
    return work(*given, **more)


def _pass_on(found: Any, *, future: Future[Any]) -> None:
    """Pass the outcome of a task of Dask on to a future of concurrent.futures."""
    # Not by `Client.get_executor`: it takes a result for an error, and fails on it, where the
    # worker dies between the end of the task and the transfer of its result.
    from distributed import KilledWorker

    if not future.set_running_or_notify_cancel():
        return  # cancelled by the caller
    try:
        future.set_result(found.result())
    except CancelledError:
        future.set_exception(
            InputError("the Dask scheduler is gone; start it, then repeat the same command")
        )
    except KilledWorker as error:
        future.set_exception(BrokenExecutor(str(error)))
    except BaseException as error:
        future.set_exception(error)
