"""Messages: notices and questions on one tab of the browser, and work that may fail."""

from collections.abc import Callable, Coroutine
from typing import Any, Literal

from nicegui import background_tasks, ui

from nital.errors import NitalError


class Messages:
    """Shows notices, questions and errors of nital on the tab that is being built."""

    def __init__(self) -> None:
        self._client = ui.context.client

    def say(self, text: str, kind: Literal["negative", "positive"] = "negative") -> None:
        """Show a message: what went wrong until it is closed, what went well for a moment."""
        if self._client.is_deleted:
            return
        with self._client:
            lasting = kind == "negative"
            ui.notify(
                text,
                type=kind,
                multi_line=True,
                timeout=0 if lasting else 4000,
                close_button="Close" if lasting else False,
                position="top",
            )

    def ask(self, question: str, no: str, yes: str, then: Callable[[], Any]) -> None:
        """Ask before work that was done is thrown away; after a yes, attempt it."""

        def do() -> None:
            dialog.close()
            self.attempt(then)

        # Not where the button is: in a list, the dialog would be removed with it.
        with self._client.content, ui.dialog() as dialog, ui.card():
            ui.label(question)
            with ui.row().classes("w-full justify-end"):
                ui.button(no, on_click=dialog.close).props("flat no-caps")
                ui.button(yes, on_click=do).props("no-caps color=negative")
        dialog.on("hide", dialog.delete)
        dialog.open()

    def attempt(self, change: Callable[[], Any]) -> bool:
        """Make a change that may be refused, and show why it was; whether it was made."""
        try:
            change()
        except NitalError as error:
            self.say(str(error))
            return False
        return True

    def start(self, work: Coroutine[Any, Any, Any], then: Callable[[], None] | None = None) -> None:
        """Start work without waiting for it; show what went wrong, or do the rest."""

        async def run() -> None:
            try:
                await work
            except NitalError as error:
                self.say(str(error))
                return
            if then is not None and not self._client.is_deleted:
                with self._client:
                    then()

        background_tasks.create(run())
