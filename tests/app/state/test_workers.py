"""The workers: what they do comes back to the event loop, also what went wrong."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from helpers.sessions import PATIENCE, hold, opened, run, until
from nital.app.state.desk import Desk
from nital.app.state.workers import WorkError
from nital.app.work.worker import DONE, RUNNING, Reporter, Work


def double(report: Reporter, number: int) -> int:
    for i in range(3):
        report(i)
    return 2 * number


def test_messages_are_received_in_the_event_loop(desk: Desk) -> None:
    workers, received = desk.workers, []

    async def story() -> Work:
        loop = asyncio.get_running_loop()

        def on_message(message: Any) -> None:
            assert asyncio.get_running_loop() is loop
            received.append(message)

        work, ended = workers.submit(
            workers.computer, "doubling", double, {"number": 4}, on_message
        )
        await ended
        return work

    work = run(story())
    assert (work.state, work.result, received) == (DONE, 8, [0, 1, 2])


def test_help_returns_what_the_function_returns(desk: Desk) -> None:
    assert run(desk.workers.help("doubling", double, {"number": 21})) == 42


def test_help_that_fails_or_is_stopped_is_an_error(desk: Desk, tmp_path: Path) -> None:
    workers = desk.workers
    with pytest.raises(WorkError, match=r"^unexpected: TypeError"):
        run(workers.help("doubling", double, {"number": None}))

    async def story() -> None:
        waiting = asyncio.create_task(workers.help("hold", hold, {"path": tmp_path / "never"}))
        await until(lambda: workers.helper._pending)
        (work,) = workers.helper._pending
        await until(lambda: work.state == RUNNING)
        workers.helper.stop(work)
        with pytest.raises(WorkError, match=r"^hold: stopped$"):
            await waiting

    run(story())


def test_work_ends_though_its_event_loop_is_closed(desk: Desk, tmp_path: Path) -> None:
    submitted: list[Work] = []

    async def leave() -> None:
        path = {"path": tmp_path / "go"}
        submitted.append(
            desk.workers.submit(desk.workers.helper, "hold", hold, path, submitted.append)[0]
        )

    run(leave())
    (tmp_path / "go").touch()
    assert submitted[0].ended.wait(PATIENCE)
    assert submitted[0].state == DONE
    run(opened(desk.new(), 1))  # the worker is still there
