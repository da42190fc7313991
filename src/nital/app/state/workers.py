"""The two workers that all sessions share, as the event loop sees them."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from nital.app.work import tasks
from nital.app.work.worker import DONE, Work, Worker
from nital.errors import NitalError


class WorkError(NitalError):
    """Work that failed, with the reason in words."""


class Workers:
    """Two workers: one computes, the other helps with what is soon done, as to open a file."""

    def __init__(self) -> None:
        self.computer, self.helper = (Worker(tasks.__name__) for _ in range(2))

    def submit(
        self,
        worker: Worker,
        title: str,
        function: Callable[..., Any],
        arguments: dict[str, Any],
        on_message: Callable[[Any], None],
    ) -> tuple[Work, "asyncio.Future[None]"]:
        """Submit work to one of the two.

        Parameters
        ----------
        worker : Worker
        title : str
            What it does, for people to read.
        function : callable
            At the top of a module; called in the process as function(report, **arguments).
        on_message : callable
            Called in the event loop with each message of the work.

        Returns
        -------
        (Work, Future)
            The future is set in the event loop when the work has ended, however it did.
        """
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def end(work: Work) -> None:
            if not ended.done():
                ended.set_result(None)

        def post(function: Callable[[Any], None], value: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(function, value)

        work = Work(
            title,
            function,
            arguments,
            on_message=lambda message: post(on_message, message),
            on_end=lambda work: post(end, work),
        )
        return worker.submit(work), ended

    async def help(
        self, title: str, function: Callable[..., Any], arguments: dict[str, Any]
    ) -> Any:
        """Have the helper call a function, and return what it returns; parameters as of `submit`.

        Raises
        ------
        WorkError
            If it failed or was stopped.
        """
        work, ended = self.submit(self.helper, title, function, arguments, lambda message: None)
        await ended
        if work.state != DONE:
            raise WorkError(work.error or f"{title}: stopped")
        return work.result

    def close(self) -> None:
        """End all work."""
        self.computer.close()
        self.helper.close()
