"""The worker: a process that computes, so that the page never waits; a queue, progress, a stop."""

import importlib
import multiprocessing
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any

from nital.errors import NitalError, Stopped, reason_of

QUEUED, RUNNING, DONE, FAILED, STOPPED = "queued", "running", "done", "failed", "stopped"

GRACE = 0.6
"""Seconds that work has to end by itself when it is stopped; then its process is killed, which
takes some tenths of a second more."""

_POLL = 0.02


class Reporter:
    """Sends messages of work out of its process, and learns whether the work is to stop.

    Parameters
    ----------
    send : callable
        Called with each message.
    is_stopped : callable
        Returns whether the work is to stop.
    """

    def __init__(self, send: Callable[[Any], None], is_stopped: Callable[[], bool]) -> None:
        self._send, self._is_stopped = send, is_stopped

    def __call__(self, message: Any) -> None:
        """Send a message; it has to be small.

        Raises
        ------
        Stopped
            If the work is to stop.
        """
        self._send(message)
        self.check()

    def check(self) -> None:
        """Raise `Stopped` if the work is to stop."""
        if self._is_stopped():
            raise Stopped("stopped")


@dataclass
class Work:
    """One piece of work, and its state."""

    title: str
    """What it does, for people to read."""

    function: Callable[..., Any]
    """At the top of a module; called in the process as function(report, **arguments)."""

    arguments: dict[str, Any]
    on_message: Callable[[Any], None]
    """Called with each message, in a thread of the worker."""

    on_end: Callable[["Work"], None]
    """Called when it has ended, in whatever way, in a thread of the worker."""

    grace: float = GRACE
    """Seconds that it has to end by itself when it is stopped."""

    state: str = QUEUED
    result: Any = None
    error: str | None = None
    """Why it failed, in words."""

    started: float | None = None
    """As of `time.monotonic`."""

    stop_asked: float | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether it neither waits nor runs any more."""
        return self.state not in (QUEUED, RUNNING)


class Worker:
    """Does one piece of work after the other, in a process of its own.

    Parameters
    ----------
    loads : str, optional
        A module that the process loads before there is any work.
    """

    def __init__(self, loads: str | None = None) -> None:
        self._loads = loads
        self._waiting: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._context = multiprocessing.get_context("spawn")
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None
        self._stop: Event
        self._pending: list[Work] = []
        self._lock = threading.Lock()
        self._start()  # before the first work comes: loading takes a second
        self._thread = threading.Thread(target=self._run, name="nital worker", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> Work:
        """Put work at the end of the queue."""
        with self._lock:
            self._pending.append(work)
        self._waiting.put(work)
        return work

    def place(self, work: Work) -> int:
        """How many pieces of work come before this one."""
        with self._lock:
            return self._pending.index(work) if work in self._pending else 0

    def stop(self, work: Work) -> None:
        """Stop work that waits or runs; what it had finished by then is kept."""
        with self._lock:
            waiting = work.state == QUEUED
            if waiting:
                work.state = STOPPED
            elif work.state == RUNNING and work.stop_asked is None:
                work.stop_asked = time.monotonic()
                self._stop.set()
        if waiting:
            self._end(work, STOPPED)

    def close(self) -> None:
        """Stop all work, and end the process."""
        with self._lock:
            pending = list(self._pending)
        for work in pending:
            self.stop(work)
        self._waiting.put(None)
        self._thread.join(timeout=GRACE + 5)
        self._kill()

    def _run(self) -> None:
        while (work := self._waiting.get()) is not None:
            with self._lock:
                if work.is_over:
                    continue
                if self._process is None or not self._process.is_alive():
                    self._start()
                self._stop.clear()
                work.state, work.started = RUNNING, time.monotonic()
            self._do(work)
        self._kill()

    def _do(self, work: Work) -> None:
        connection = self._connection
        assert connection is not None
        try:
            connection.send((work.function, work.arguments))
            while True:
                if connection.poll(_POLL):
                    kind, value = connection.recv()
                    if kind != "message":
                        work.result = value if kind == DONE else None
                        work.error = value if kind == FAILED else None
                        break
                    work.on_message(value)
                if work.stop_asked is not None and time.monotonic() > work.stop_asked + work.grace:
                    kind = STOPPED
                    self._kill()
                    break
        except (EOFError, OSError):  # the process has died
            kind = FAILED
            work.error = "the process that computes was killed; is there too little memory?"
            self._kill()
        except Exception as error:  # what can't be sent must not end this thread
            kind = FAILED
            work.error = f"unexpected: {type(error).__name__}: {reason_of(error)}"
        self._end(work, kind)

    def _end(self, work: Work, state: str) -> None:
        with self._lock:
            work.state = state
            self._pending.remove(work)
        work.on_end(work)
        work.ended.set()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        self._stop = (
            self._context.Event()
        )  # a process that was killed may hold the lock of the old one
        given = (theirs, self._stop, self._loads)
        process = self._context.Process(target=_serve, args=given, daemon=True)
        with _interrupts_ignored():
            process.start()
        theirs.close()
        self._process, self._connection = process, ours

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C: the server receives it, and ends them."""
    if threading.current_thread() is not threading.main_thread():  # others can't set handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(connection: Connection, stop: Event, loads: str | None) -> None:
    """Do work in the process until the other end of the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if loads is not None:
        importlib.import_module(loads)
    report = Reporter(lambda message: connection.send(("message", message)), stop.is_set)
    while True:
        try:
            function, arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (DONE, function(report, **arguments))
        except Stopped:
            answer = (STOPPED, None)
        except NitalError as error:
            answer = (FAILED, str(error))
        except MemoryError:
            answer = (FAILED, "not enough memory; use a smaller micrograph, or fewer")
        except Exception as error:
            traceback.print_exc()  # in the terminal of the server
            answer = (FAILED, f"unexpected: {type(error).__name__}: {reason_of(error)}")
        try:
            connection.send(answer)
        except Exception as error:  # it can't be pickled
            connection.send((FAILED, f"unexpected: {type(error).__name__}: {reason_of(error)}"))
