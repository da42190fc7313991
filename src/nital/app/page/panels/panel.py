"""A panel: one of the steps beside the picture, and what panels have in common.

`keep` is the smallest of them, to see how one is made. `page` puts them together.
"""

from collections.abc import Iterable, Sequence
from html import escape

from nital.app.page.messages import Messages
from nital.app.page.view import View
from nital.app.state.field import Field
from nital.app.state.session import Session


class Panel:
    """A step beside the picture.

    The constructor of a subclass calls this one, then builds its elements. The page calls `refresh`
    whenever something has changed.

    Parameters
    ----------
    session : Session
        What is done in the panel is done to its `bench`, or is work of the session.
    view : View
        What the tab shows: which micrograph, which class is lit up.
    messages : Messages
        Says what went wrong, asks, and starts work.
    """

    def __init__(self, session: Session, view: View, messages: Messages) -> None:
        self._session, self._view, self._messages = session, view, messages
        self._bench = session.bench

    def refresh(self) -> None:
        """Show what has changed."""


def count_of(fields: Sequence[Field]) -> str:
    """The number of micrographs, in words."""
    return f"{len(fields)} micrograph" + ("" if len(fields) == 1 else "s")


def quoted(text: str) -> str:
    """A text for an attribute in NiceGUI's `props`."""
    return text.replace("\\", "").replace('"', "'")


def table_of(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as HTML, from plain text; all columns but the first are numbers."""

    def cells(kind: str, texts: Sequence[str]) -> str:
        numbers = (f'<{kind} class="number">{escape(text)}</{kind}>' for text in texts[1:])
        return f"<tr><{kind}>{escape(texts[0])}</{kind}>{''.join(numbers)}</tr>"

    body = "".join(cells("td", row) for row in rows)
    return f'<table class="nital-table">{cells("th", head)}{body}</table>'
