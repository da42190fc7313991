"""A class row: one class in the list of the decide panel."""

from collections.abc import Callable
from functools import partial

from nicegui import ui

from nital.app.page.messages import Messages
from nital.app.page.panels.panel import quoted
from nital.app.page.view import View
from nital.app.state.bench import Bench
from nital.app.state.field import Field
from nital.fast.settings import MAX_CLASSES
from nital.output.numbers import percent
from nital.output.render import PALETTE, colours_of, hex_of
from nital.result.grouping import Grouping

COLOURS = (*PALETTE, "#999999")
"""To choose from: Okabe & Ito (2008), and grey."""


class ClassRow:
    """A class: its colour, name, fraction, and what can be done with it.

    It stays as long as there is a class of this number, so that what is being typed is not lost.

    Parameters
    ----------
    bench : Bench
    view : View
    messages : Messages
    number : int
        Of the class.
    join : callable
        Called with the number of a class and that of another one, which is joined to it.
    split : callable
        Called with the number of a class that is to be divided in two.
    """

    def __init__(
        self,
        bench: Bench,
        view: View,
        messages: Messages,
        number: int,
        join: Callable[[int, int], None],
        split: Callable[[int], None],
    ) -> None:
        self._bench, self._view, self._messages = bench, view, messages
        self._number, self._join, self._split = number, join, split
        self._shown_name = ""
        with ui.row().classes("w-full items-center no-wrap q-gutter-x-xs") as self._row:
            self._swatch = ui.button().props("flat dense").classes("nital-swatch")
            with self._swatch, ui.menu() as self._palette:
                self._add_palette()
            self._name = ui.input().classes("col")
            self._name.props(f'dense outlined maxlength=60 aria-label="Name of class {number}"')
            self._name.on("change", self._rename)
            self._share = ui.label().style("min-width: 66px; text-align: right; line-height: 1.2")
            self._share.style("white-space: pre-line")
            self._bulb = ui.button(icon="lightbulb", on_click=self._light)
            self._bulb.props("flat dense round size=sm")
            self._more = ui.button(icon="more_vert").props("flat dense round size=sm color=grey")
            with self._more, ui.menu() as self._menu:
                pass
        self._offered: object = None

    def delete(self) -> None:
        """Remove it from the page."""
        self._row.delete()

    def refresh(self, model: Grouping) -> None:
        """Show the class as it is."""
        row = model.classes[self._number - 1]
        colour = hex_of(colours_of(model.classes)[self._number - 1])
        name = row.name or f"class {self._number}"
        selected = self._view.selected == self._number
        self._swatch.style(f"background: {colour} !important")
        field = self._view.field
        self._share.set_text("" if field is None or not field.labelled else self._share_in(field))
        self._bulb.props(f"color={'warning' if selected else 'grey'}")
        self._bulb.props(f"aria-pressed={str(selected).lower()}")
        if name != self._shown_name:
            self._shown_name = name
            self._name.set_value(row.name or "")
            self._name.props(f'placeholder="{quoted(name)}"')
            for button, purpose in (
                (self._swatch, "Colour of"),
                (self._bulb, "Light up"),
                (self._more, "More for"),
            ):
                button.props(f'aria-label="{purpose} {quoted(name)}"')
        self._offer(model)

    def _share_in(self, field: Field) -> str:
        share = self._bench.fractions(field.number)[self._number - 1]
        uncertainty = self._bench.uncertainties(field.number)[self._number - 1]
        return percent(share, uncertainty).replace(" ±", "\n±")

    def _offer(self, model: Grouping) -> None:
        """Offer what else can be done with the class."""
        names, several = self._bench.phases(), len(model.members(self._number)) > 1
        if (names, several) == self._offered:
            return
        self._offered = names, several
        self._menu.clear()
        with self._menu:
            # Menus of more, as a stopped training leaves, take seconds; clicks join them too.
            for other, each in enumerate(names if len(names) <= MAX_CLASSES else (), start=1):
                if other != self._number:
                    self._add_item(f"Join to {each}", partial(self._join, other, self._number))
            if several:
                self._add_item("Split in two", partial(self._split, self._number))

    def _add_item(self, text: str, act: Callable[[], None]) -> None:
        def choose() -> None:
            # Not left to the browser: what is done may replace the items before it closes them.
            self._menu.close()
            act()

        ui.menu_item(text, choose, auto_close=False)

    def _add_palette(self) -> None:
        with ui.row().classes("q-pa-sm").style("max-width: 170px"):
            for each in COLOURS:

                def choose(each: str = each) -> None:
                    self._palette.close()
                    self._messages.attempt(lambda: self._bench.recolour(self._number, each))

                choice = ui.button(on_click=choose).props(f'flat dense aria-label="{each}"')
                choice.classes("nital-swatch").style(f"background: {each} !important")

    def _rename(self) -> None:
        name = str(self._name.value or "")
        self._messages.attempt(lambda: self._bench.rename(self._number, name))
        self._shown_name = ""  # to be shown again: the new name may have been refused
        self._view.forget()

    def _light(self) -> None:
        self._view.select(None if self._view.selected == self._number else self._number)
