"""The uploader: a button, and all of the page, that take files and send them as they are."""

from collections.abc import Callable
from pathlib import Path

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from nital.work.batch import SUFFIXES

# In the head of every page, so that nothing is seen without its looks.
ui.add_css(Path(__file__).with_name("uploader.css"), shared=True)


class Uploader(Element, component="uploader.js"):
    """Sends files to an address by POST, with their name in `X-File-Name` (`uploads.receive`).

    Parameters
    ----------
    url : str
    label : str
        What the button says, or, over the page, whoever drags files.
    on_refused : callable
        Called with why the server refused one, in words.
    multiple : bool
        Whether several are taken.
    anywhere : bool
        Whether it takes what is dropped anywhere on the page, and has no button.
    """

    def __init__(
        self,
        url: str,
        label: str,
        *,
        on_refused: Callable[[str], None],
        multiple: bool = True,
        anywhere: bool = False,
    ) -> None:
        super().__init__()
        self._props.update(
            url=url, label=label, accept=",".join(SUFFIXES), multiple=multiple, anywhere=anywhere
        )

        def refused(event: GenericEventArguments) -> None:
            name, reason = str(event.args["name"]), str(event.args["reason"])
            on_refused(reason if name in reason else f"{name}: {reason}")

        self.on("refused", refused)
