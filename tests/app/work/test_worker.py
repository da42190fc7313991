"""The worker: work is done in turn in another process, reports its progress, can be stopped."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nital.app.work import worker as worker_module
from nital.app.work.worker import (
    DONE,
    FAILED,
    GRACE,
    QUEUED,
    RUNNING,
    STOPPED,
    Reporter,
    Work,
    Worker,
)
from nital.errors import InputError, Stopped

PATIENCE = 30
"""Seconds; whatever takes so long will never happen."""

KILLED = "the process that computes was killed; is there too little memory?"

# --- work, done in the process -------------------------------------------------------------------


def count(report: Reporter, n: int) -> int:
    for i in range(n):
        report(i)
    return n


def whose(report: Reporter) -> int:
    return os.getpid()


def fail(report: Reporter, error: BaseException) -> None:
    report("begun")
    raise error


def meet(report: Reporter, path: Path) -> bool:
    """Whether this was received while it was at work."""
    report("begun")
    return wait_until(path.exists, 5)


def hold(report: Reporter, path: Path) -> None:
    """Until the file is there, or it is stopped."""
    report("begun")
    while not path.exists():
        report.check()
        time.sleep(0.005)


def tidy(report: Reporter, path: Path) -> None:
    """Needs a moment when it is stopped."""
    try:
        hold(report, path.with_name("never"))
    except Stopped:
        time.sleep(0.2)
        path.touch()
        raise


def finish(report: Reporter, path: Path) -> str:
    """Makes the best of it when it is stopped."""
    with suppress(Stopped):
        hold(report, path)
    return "as far as it was"


def sleep(report: Reporter) -> None:
    report(os.getpid())
    time.sleep(10 * PATIENCE)


def chatter(report: Reporter) -> None:
    report(os.getpid())
    while True:
        with suppress(Stopped):
            report("still here")


def die(report: Reporter) -> None:
    report("begun")
    os.kill(os.getpid(), signal.SIGKILL)


def die_asking(report: Reporter) -> None:
    """Killed at the moment when it checks whether it is to stop."""
    stop: Any = report._is_stopped
    with stop.__self__._cond:
        os.kill(os.getpid(), signal.SIGKILL)


def interrupt(report: Reporter) -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return "went on"


# --- and what is received of it ------------------------------------------------------------------


class Job(Work):
    """Work that stores all that is received of it: messages, then how it ended."""

    def __init__(self, function: Callable[..., Any], **arguments: Any) -> None:
        self.received: list[Any] = []
        self.on_first: Callable[[], None] | None = None
        self.pause = 0.0
        super().__init__("work", function, arguments, self._receive, self._end)

    def _receive(self, message: Any) -> None:
        assert self.state == RUNNING
        if not self.received and self.on_first is not None:
            self.on_first()
        self.received.append(message)
        time.sleep(self.pause)

    def _end(self, work: Work) -> None:
        assert work is self
        assert self.is_over
        assert not self.ended.is_set()
        self.received.append(self.state)

    def wait(self) -> "Job":
        assert self.ended.wait(PATIENCE)
        return self

    def wait_for_message(self) -> "Job":
        assert wait_until(lambda: bool(self.received))
        return self


def wait_until(is_so: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    until = time.monotonic() + seconds
    while not is_so() and time.monotonic() < until:
        time.sleep(0.005)
    return is_so()


def running_processes() -> set[int | None]:
    return {process.pid for process in multiprocessing.active_children()}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def do(worker: Worker, function: Callable[..., Any], **arguments: Any) -> Job:
    """Work that is done."""
    job = Job(function, **arguments)
    worker.submit(job)
    return job.wait()


def begin(worker: Worker, function: Callable[..., Any], **arguments: Any) -> Job:
    """Work that runs."""
    job = Job(function, **arguments)
    worker.submit(job)
    return job.wait_for_message()


# --- what is done --------------------------------------------------------------------------------


def test_messages_come_in_order_and_before_the_end(worker: Worker) -> None:
    job = do(worker, count, n=50)
    assert job.received == [*range(50), DONE]
    assert (job.state, job.result, job.error, job.is_over) == (DONE, 50, None, True)


def test_messages_come_while_it_is_at_work(worker: Worker, tmp_path: Path) -> None:
    job = Job(meet, path=tmp_path / "received")
    job.on_first = (tmp_path / "received").touch
    worker.submit(job)
    assert job.wait().result is True


def test_work_is_done_in_a_process_that_stays(worker: Worker) -> None:
    first, second = (do(worker, whose).result for _ in range(2))
    assert first == second != os.getpid()
    assert first in running_processes()


def test_work_is_done_in_turn(worker: Worker, tmp_path: Path) -> None:
    started = time.monotonic()
    first = begin(worker, hold, path=tmp_path / "go")
    others = [Job(count, n=1) for _ in range(3)]
    assert [worker.submit(job) for job in others] == others
    assert [job.state for job in (first, *others)] == [RUNNING, QUEUED, QUEUED, QUEUED]
    assert [worker.place(job) for job in (first, *others)] == [0, 1, 2, 3]
    assert not any(job.is_over for job in (first, *others))
    assert first.started is not None
    assert started <= first.started <= time.monotonic()
    (tmp_path / "go").touch()
    order = [job.wait() for job in (first, *others)]
    times = [job.started or 0 for job in order]
    assert times == sorted(times)
    assert [job.state for job in order] == [DONE] * 4
    assert [worker.place(job) for job in order] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InputError("a.png: damaged; export it again"), "a.png: damaged; export it again"),
        (MemoryError(), "not enough memory; use a smaller micrograph, or fewer"),
        (ValueError("no\nsuch luck"), "unexpected: ValueError: no"),
        (KeyError("x"), "unexpected: KeyError: 'x'"),
        (RuntimeError(), "unexpected: RuntimeError: RuntimeError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_reported_in_words_and_the_process_stays(
    worker: Worker, error: Exception, reason: str
) -> None:
    process = do(worker, whose).result
    job = do(worker, fail, error=error)
    assert (job.received, job.result, job.error) == (["begun", FAILED], None, reason)
    assert do(worker, whose).result == process


@pytest.mark.parametrize("function", [die, fail])
def test_a_process_that_dies_is_reported_and_the_next_work_is_done(
    worker: Worker, function: Callable[..., Any]
) -> None:
    arguments = {"error": SystemExit(3)} if function is fail else {}
    before = do(worker, whose).result
    job, after = Job(function, **arguments), Job(whose)
    worker.submit(job)
    worker.submit(after)
    assert (job.wait().received, job.error) == (["begun", FAILED], KILLED)
    assert after.wait().state == DONE
    assert after.result != before
    assert before not in running_processes()


def test_a_process_that_died_between_is_replaced(worker: Worker) -> None:
    process = do(worker, whose).result
    os.kill(process, signal.SIGKILL)
    assert wait_until(lambda: process not in running_processes())
    assert do(worker, whose).state == DONE


def test_an_interrupt_at_the_keyboard_is_for_the_server(worker: Worker) -> None:
    assert do(worker, interrupt).result == "went on"


# --- what is stopped -----------------------------------------------------------------------------


def test_waiting_work_that_is_stopped_never_runs(worker: Worker, tmp_path: Path) -> None:
    first = begin(worker, hold, path=tmp_path / "go")
    second, third = Job(count, n=2), Job(count, n=3)
    worker.submit(second)
    worker.submit(third)
    worker.stop(second)
    assert (second.state, second.ended.is_set()) == (STOPPED, True)
    assert worker.place(third) == 1
    assert first.state == RUNNING
    (tmp_path / "go").touch()
    assert third.wait().received == [0, 1, 2, DONE]
    assert first.received == ["begun", DONE]
    assert (second.received, second.started, second.result) == ([STOPPED], None, None)


def test_work_that_listens_ends_by_itself(worker: Worker, tmp_path: Path) -> None:
    process = do(worker, whose).result
    job = begin(worker, tidy, path=tmp_path / "tidied")
    worker.stop(job)
    worker.stop(job)
    assert job.wait().received == ["begun", STOPPED]
    assert (job.result, job.error) == (None, None)
    assert (tmp_path / "tidied").exists()  # it had the time
    assert do(worker, whose).result == process
    assert do(worker, count, n=3).state == DONE  # the next work is not to stop


def test_work_may_make_the_best_of_it(worker: Worker, tmp_path: Path) -> None:
    job = begin(worker, finish, path=tmp_path / "never")
    worker.stop(job)
    assert (job.wait().state, job.result) == (DONE, "as far as it was")


def test_work_that_does_not_listen_is_killed_soon(worker: Worker) -> None:
    job = begin(worker, sleep)
    after = Job(whose)
    worker.submit(after)
    start = time.monotonic()
    worker.stop(job)
    assert job.wait().state == STOPPED
    assert GRACE <= time.monotonic() - start < GRACE + 2  # 2: others are at work as well
    assert (job.result, job.error) == (None, None)
    assert job.received == [job.received[0], STOPPED]
    assert job.received[0] not in running_processes()
    assert after.wait().state == DONE


def test_what_is_over_can_not_be_stopped(worker: Worker, tmp_path: Path) -> None:
    job = do(worker, count, n=1)
    running = begin(worker, hold, path=tmp_path / "go")
    for _ in range(2):
        worker.stop(job)
        assert (job.state, job.received) == (DONE, [0, DONE])
    time.sleep(0.1)  # long enough to notice
    (tmp_path / "go").touch()
    assert running.wait().state == DONE


def test_work_that_talks_all_the_time_is_killed_too() -> None:
    worker, job = Worker(), Job(chatter)
    job.pause = 0.001  # there is always one more to be received
    worker.submit(job)
    job.wait_for_message()
    try:
        worker.stop(job)
        assert job.ended.wait(GRACE + 2)
        assert job.state == STOPPED
    finally:
        with suppress(ProcessLookupError):
            os.kill(job.received[0], signal.SIGKILL)
        worker.close()


def test_the_next_work_is_done_whenever_a_process_was_killed() -> None:
    worker = Worker()
    assert do(worker, die_asking).error == KILLED
    job = Job(whose)
    worker.submit(job)
    assert job.ended.wait(2)  # otherwise the worker waits for ever, and can't be closed either
    worker.close()


# --- the end of it all ---------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_closing_leaves_no_process(busy: bool) -> None:
    before = running_processes()
    worker = Worker()
    jobs = [begin(worker, sleep), *(Job(count, n=1) for _ in range(2))] if busy else []
    for job in jobs[1:]:
        worker.submit(job)
    if not busy:
        assert do(worker, count, n=1).state == DONE
    assert running_processes() > before
    start = time.monotonic()
    worker.close()
    assert time.monotonic() - start < GRACE + 2
    assert running_processes() == before
    assert [job.wait().state for job in jobs] == [STOPPED for _ in jobs]
    worker.close()


def test_the_process_ends_when_its_other_end_goes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "loaded_by_nital.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    heeded: list[Any] = []
    monkeypatch.setattr(signal, "signal", lambda *how: heeded.append(how))
    ours, theirs = multiprocessing.Pipe()
    ours.send((count, {"n": 1}))
    stop = multiprocessing.Event()
    stop.set()
    ours.close()
    with theirs, pytest.raises(BrokenPipeError):  # nobody receives it
        worker_module._serve(theirs, stop, "loaded_by_nital")
    assert "loaded_by_nital" in sys.modules
    assert heeded == [(signal.SIGINT, signal.SIG_IGN)]
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    with theirs:
        worker_module._serve(theirs, stop, None)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_message_is_sent_before_it_is_stopped(stopped: bool) -> None:
    sent: list[str] = []
    report = Reporter(sent.append, lambda: stopped)
    for act in (lambda: report("word"), report.check):
        if stopped:
            with pytest.raises(Stopped):
                act()
        else:
            act()
    assert sent == ["word"]
