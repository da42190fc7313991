"""The worker: work is done in turn in another process, tells how it stands, and can be stopped."""

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
from nital.app.work.worker import DONE, FAILED, GRACE, QUEUED, RUNNING, STOPPED, Tell, Work, Worker
from nital.errors import InputError, Stopped

PATIENCE = 30
"""Seconds; whatever takes so long will never happen."""

KILLED = "the process that computes was killed; is there too little memory?"

# --- work, done in the process -------------------------------------------------------------------


def count(tell: Tell, n: int) -> int:
    for i in range(n):
        tell(i)
    return n


def whose(tell: Tell) -> int:
    return os.getpid()


def fail(tell: Tell, error: BaseException) -> None:
    tell("begun")
    raise error


def meet(tell: Tell, path: Path) -> bool:
    """Whether somebody has heard this while it was at work."""
    tell("begun")
    return wait_until(path.exists, 5)


def hold(tell: Tell, path: Path) -> None:
    """Until the file is there, or it is stopped."""
    tell("begun")
    while not path.exists():
        tell.check()
        time.sleep(0.005)


def tidy(tell: Tell, path: Path) -> None:
    """Needs a moment when it is stopped."""
    try:
        hold(tell, path.with_name("never"))
    except Stopped:
        time.sleep(0.2)
        path.touch()
        raise


def finish(tell: Tell, path: Path) -> str:
    """Makes the best of it when it is stopped."""
    with suppress(Stopped):
        hold(tell, path)
    return "as far as it was"


def sleep(tell: Tell) -> None:
    tell(os.getpid())
    time.sleep(10 * PATIENCE)


def chatter(tell: Tell) -> None:
    tell(os.getpid())
    while True:
        with suppress(Stopped):
            tell("still here")


def die(tell: Tell) -> None:
    tell("begun")
    os.kill(os.getpid(), signal.SIGKILL)


def die_asking(tell: Tell) -> None:
    """Killed at the moment when it looks whether it shall stop."""
    stop: Any = tell._is_stopped
    with stop.__self__._cond:
        os.kill(os.getpid(), signal.SIGKILL)


def interrupt(tell: Tell) -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return "went on"


# --- and what is heard of it ---------------------------------------------------------------------


class Job(Work):
    """Work that keeps all that is heard of it: messages, then how it ended."""

    def __init__(self, function: Callable[..., Any], **arguments: Any) -> None:
        self.heard: list[Any] = []
        self.on_first: Callable[[], None] | None = None
        self.pause = 0.0
        super().__init__("work", function, arguments, self._hear, self._end)

    def _hear(self, message: Any) -> None:
        assert self.state == RUNNING
        if not self.heard and self.on_first is not None:
            self.on_first()
        self.heard.append(message)
        time.sleep(self.pause)

    def _end(self, work: Work) -> None:
        assert work is self
        assert self.is_over
        assert not self.ended.is_set()
        self.heard.append(self.state)

    def wait(self) -> "Job":
        assert self.ended.wait(PATIENCE)
        return self

    def wait_for_message(self) -> "Job":
        assert wait_until(lambda: bool(self.heard))
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
    assert job.heard == [*range(50), DONE]
    assert (job.state, job.result, job.error, job.is_over) == (DONE, 50, None, True)


def test_messages_come_while_it_is_at_work(worker: Worker, tmp_path: Path) -> None:
    job = Job(meet, path=tmp_path / "heard")
    job.on_first = (tmp_path / "heard").touch
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
    ("error", "said"),
    [
        (InputError("a.png: damaged; export it again"), "a.png: damaged; export it again"),
        (MemoryError(), "not enough memory; use a smaller micrograph, or fewer"),
        (ValueError("no\nsuch luck"), "unexpected: ValueError: no"),
        (KeyError("x"), "unexpected: KeyError: 'x'"),
        (RuntimeError(), "unexpected: RuntimeError: RuntimeError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_told_in_words_and_the_process_stays(
    worker: Worker, error: Exception, said: str
) -> None:
    process = do(worker, whose).result
    job = do(worker, fail, error=error)
    assert (job.heard, job.result, job.error) == (["begun", FAILED], None, said)
    assert do(worker, whose).result == process


@pytest.mark.parametrize("function", [die, fail])
def test_a_process_that_dies_is_told_and_the_next_work_is_done(
    worker: Worker, function: Callable[..., Any]
) -> None:
    arguments = {"error": SystemExit(3)} if function is fail else {}
    before = do(worker, whose).result
    job, after = Job(function, **arguments), Job(whose)
    worker.submit(job)
    worker.submit(after)
    assert (job.wait().heard, job.error) == (["begun", FAILED], KILLED)
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
    assert third.wait().heard == [0, 1, 2, DONE]
    assert first.heard == ["begun", DONE]
    assert (second.heard, second.started, second.result) == ([STOPPED], None, None)


def test_work_that_listens_ends_by_itself(worker: Worker, tmp_path: Path) -> None:
    process = do(worker, whose).result
    job = begin(worker, tidy, path=tmp_path / "tidied")
    worker.stop(job)
    worker.stop(job)
    assert job.wait().heard == ["begun", STOPPED]
    assert (job.result, job.error) == (None, None)
    assert (tmp_path / "tidied").exists()  # it had the time
    assert do(worker, whose).result == process
    assert do(worker, count, n=3).state == DONE  # what comes next shall not stop


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
    assert job.heard == [job.heard[0], STOPPED]
    assert job.heard[0] not in running_processes()
    assert after.wait().state == DONE


def test_what_is_over_can_not_be_stopped(worker: Worker, tmp_path: Path) -> None:
    job = do(worker, count, n=1)
    running = begin(worker, hold, path=tmp_path / "go")
    for _ in range(2):
        worker.stop(job)
        assert (job.state, job.heard) == (DONE, [0, DONE])
    time.sleep(0.1)  # long enough to notice
    (tmp_path / "go").touch()
    assert running.wait().state == DONE


def test_work_that_talks_all_the_time_is_killed_too() -> None:
    worker, job = Worker(), Job(chatter)
    job.pause = 0.001  # there is always one more to be heard
    worker.submit(job)
    job.wait_for_message()
    try:
        worker.stop(job)
        assert job.ended.wait(GRACE + 2)
        assert job.state == STOPPED
    finally:
        with suppress(ProcessLookupError):
            os.kill(job.heard[0], signal.SIGKILL)
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
    with theirs, pytest.raises(BrokenPipeError):  # nobody is there to hear of it
        worker_module._serve(theirs, stop, "loaded_by_nital")
    assert "loaded_by_nital" in sys.modules
    assert heeded == [(signal.SIGINT, signal.SIG_IGN)]
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    with theirs:
        worker_module._serve(theirs, stop, None)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_message_is_sent_before_it_is_stopped(stopped: bool) -> None:
    said: list[str] = []
    tell = Tell(said.append, lambda: stopped)
    for act in (lambda: tell("word"), tell.check):
        if stopped:
            with pytest.raises(Stopped):
                act()
        else:
            act()
    assert said == ["word"]
