"""A panel: one of the five steps on the page, and what they share."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from nital.app.state.bench import Field

if TYPE_CHECKING:
    from nital.app.page.page import Page


class Panel:
    """A step on the page."""

    def __init__(self, page: "Page") -> None:
        self.page, self.session, self.bench = page, page.session, page.bench

    def refresh(self) -> None:
        """Show what has changed."""


def count_of(fields: Sequence[Field]) -> str:
    return f"{len(fields)} micrograph" + ("" if len(fields) == 1 else "s")


def quoted(text: str) -> str:
    """For an attribute in NiceGUI's `props`."""
    return text.replace("\\", "").replace('"', "'")


def table_of(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as HTML, from plain text; all columns but the first are numbers."""

    def cells(kind: str, texts: Sequence[str]) -> str:
        numbers = (f'<{kind} class="number">{escape(text)}</{kind}>' for text in texts[1:])
        return f"<tr><{kind}>{escape(texts[0])}</{kind}>{''.join(numbers)}</tr>"

    body = "".join(cells("td", row) for row in rows)
    return f'<table class="nital-table">{cells("th", head)}{body}</table>'
