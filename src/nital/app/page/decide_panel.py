"""Decide: how fine classes become phases, by a slider, clicks, names and keys."""

from typing import TYPE_CHECKING

from nicegui import ui

from nital.app.page.panel import Panel, quoted
from nital.app.state.assignment import Assignment
from nital.app.state.bench import most_classes
from nital.output.render import PALETTE, colours_of, hex_of, percent
from nital.result.grouping import Grouping
from nital.settings import MAX_CLASSES

if TYPE_CHECKING:
    from nital.app.page.page import Page


COLOURS = (*PALETTE, "#999999")
"""To choose from: Okabe & Ito (2008), and grey."""


class DecidePanel(Panel):
    """How the fine classes become phases: a slider, joining, splitting, names, colours."""

    def __init__(self, page: "Page") -> None:
        super().__init__(page)
        self.assignment: Assignment | None = None
        """While fine classes are dealt to phases."""

        self._dealt: Grouping | None = None
        """The classes as they were dealt last: where there are others, somebody else decided."""

        self._none = ui.label("Segment a micrograph first.").classes("nital-note")
        with ui.column().classes("w-full") as self._all:
            with ui.row().classes("w-full items-center no-wrap"):
                self._k = ui.label().classes("text-subtitle2").style("min-width: 90px")
                self._slider = ui.slider(min=2, max=MAX_CLASSES, step=1).props(
                    'markers snap aria-label="Number of classes"'
                )
                self._slider.on(
                    "update:model-value", lambda e: self._preview(e.args), throttle=0.03
                )
                self._slider.on("change", lambda e: self._cut(e.args))
            self._list = ui.column().classes("w-full q-gutter-y-sm")
            ui.label(
                "Click a region in the picture to light up its class everywhere; click another to"
                " join that to it."
            ).classes("nital-note")
            ui.button("Assign fine classes one by one", on_click=self._begin).props(
                "no-caps outline"
            ).classes("w-full")
        with ui.column().classes("w-full") as self._dealing:
            self._fine = ui.label().classes("text-subtitle1").props("role=status aria-live=polite")
            self._keys = ui.column().classes("w-full q-gutter-y-xs")
            ui.label(
                "Number: into that phase. N: a new phase. Space: leave it where it is. Backspace:"
                " back. Esc: end."
            ).classes("nital-note")
            with ui.row():
                for title, key in (
                    ("Back", "Backspace"),
                    ("Leave it", " "),
                    ("New phase", "n"),
                    ("End", "Escape"),
                ):
                    self._add_key(key).set_text(title)
        self._rows: list[ClassRow] = []

    def refresh(self) -> None:
        """Show the classes as they are."""
        model = self.bench.model
        ready = model is not None and bool(self.bench.labelled)
        if self.assignment is not None and (not ready or model is not self._dealt):
            self._end()
            self.page.say("the classes have changed meanwhile: begin again to assign them")
        self._none.set_visibility(not ready)
        self._all.set_visibility(ready and self.assignment is None)
        self._dealing.set_visibility(self.assignment is not None)
        if model is None or not ready:
            return
        k = len(model.classes)
        self._k.set_text(f"{k} classes")
        if self.page.preview is None:
            self._slider.props(f"max={max(most_classes(self.bench.base), k)}")
            self._slider.set_value(k)
        for row in self._rows[k:]:
            row.delete()
        del self._rows[k:]
        with self._list:
            for number in range(len(self._rows) + 1, k + 1):
                self._rows.append(ClassRow(self, number))
        for row in self._rows:
            row.refresh(model)
        if self.assignment is not None:
            self._show_dealing(self.assignment)

    def join(self, number: int, other: int) -> None:
        """Join a class to another one, whose name stays."""
        names = self.bench.phases()

        def change() -> None:
            self.bench.join(number, other)
            self.page.say(f"{names[other - 1]} joined to {names[number - 1]}", "positive")

        self.page.select(None)
        self.page.attempt(change)

    def split(self, number: int) -> None:
        """Divide a class in two."""
        self.page.select(None)
        self.page.attempt(lambda: self.bench.split(number))

    def _cut_at(self, k: int) -> Grouping | None:
        """The classes with their tree cut at another number; None where there are so many."""
        model = self.bench.model
        if model is None or k == len(model.classes):
            return None
        return model.at(min(k, most_classes(self.bench.base)))

    def _preview(self, k: int) -> None:
        self.page.preview = self._cut_at(int(k))
        self._k.set_text(f"{int(k)} classes")
        self.page.draw()

    def _cut(self, k: int) -> None:
        self.page.preview = self.page.selected = None
        cut = self._cut_at(int(k))
        if cut is not None:
            self.page.attempt(lambda: self.bench.decide(lambda _: cut))
        self.page.forget()

    # --- fine classes, one by one ----------------------------------------------------------------

    def _begin(self) -> None:
        assert self.bench.model is not None
        self._dealt = self.bench.model
        self.assignment = Assignment(self._dealt, self.bench.fine_fractions())
        self.page.select(None)

    def assign_by_key(self, key: str) -> None:
        """Do what a key says while fine classes are dealt."""
        assignment = self.assignment
        if assignment is None:
            return
        if key == "Escape":
            self._end()
            return
        if key == " ":
            assignment.skip()
        elif key == "Backspace":
            assignment.back()
        elif (key.isascii() and key.isdigit()) or key in ("n", "N"):
            number = int(key) if key.isdigit() else len(assignment.slots) + 1
            self.page.attempt(lambda: self._put(assignment, number))
        if assignment.fine is None:
            self._end()
        self.page.forget()

    def _add_key(self, key: str) -> ui.button:
        """A button that does what a key does."""
        return ui.button(on_click=lambda: self.assign_by_key(key)).props("dense flat no-caps")

    def take_back(self) -> bool:
        """Take back the last fine class that was dealt, if one was."""
        if self.assignment is None or not self.assignment.take_back():
            return False
        self.bench.undo()
        self._dealt = self.bench.model
        return True

    def _put(self, assignment: Assignment, key: int) -> None:
        if self.bench.model is not self._dealt:
            return  # `refresh` is about to tell
        model = assignment.put(key)
        self._dealt = self.bench.decide(lambda _: model)

    def _end(self) -> None:
        self.assignment = self.page.lit = None
        self.page.forget()

    def _show_dealing(self, assignment: Assignment) -> None:
        fine = assignment.fine
        if fine is None:
            return
        share = percent(self.bench.fine_fractions()[fine - 1])
        self._fine.set_text(
            f"Fine class {assignment.place + 1} of {len(assignment.order)}, {share}: what is lit up"
        )
        if self.page.lit != [fine]:
            self.page.lit = [fine]
            self.page.draw()
        self._keys.clear()
        with self._keys:
            for key, slot in enumerate(assignment.slots, start=1):
                here = key == assignment.slot
                with (
                    self._add_key(str(key))
                    .props("align=left")
                    .classes("w-full" + (" text-bold" if here else ""))
                ):
                    ui.element("span").classes("nital-swatch q-mr-sm").style(
                        f"background: {slot.name.colour}"
                    )
                    ui.label(
                        f"{key}  {slot.name.name or f'phase {key}'}"
                        + (" (it is here)" if here else "")
                    )


class ClassRow:
    """A class: its colour, name, fraction, and what can be done with it.

    It stays as long as there is a class of this number, so that nobody loses what they type.
    """

    def __init__(self, panel: DecidePanel, number: int) -> None:
        self._panel, self._page, self._bench = panel, panel.page, panel.bench
        self._number = number
        self._called = ""
        with ui.row().classes("w-full items-center no-wrap q-gutter-x-xs") as self._row:
            self._swatch = ui.button().props("flat dense").classes("nital-swatch")
            with self._swatch, ui.menu() as self._palette:
                self._add_palette()
            self._name = ui.input().classes("col")
            self._name.props(f'dense outlined maxlength=60 aria-label="Name of class {number}"')
            self._name.on("change", self._call)
            self._share = ui.label().style("min-width: 66px; text-align: right")
            self._bulb = ui.button(icon="lightbulb", on_click=self._light)
            self._bulb.props("flat dense round size=sm")
            self._more = ui.button(icon="more_vert").props("flat dense round size=sm color=grey")
            with self._more, ui.menu() as self._menu:
                pass
        self._offered: object = None

    def delete(self) -> None:
        """Take it off the page."""
        self._row.delete()

    def refresh(self, model: Grouping) -> None:
        """Show the class as it is."""
        row = model.classes[self._number - 1]
        colour = hex_of(colours_of(model.classes)[self._number - 1])
        called = row.name or f"class {self._number}"
        selected = self._page.selected == self._number
        self._swatch.style(f"background: {colour} !important")
        field = self._bench.fields.get(self._page.number or 0)
        shares = (
            None if field is None or not field.labelled else self._bench.fractions(field.number)
        )
        self._share.set_text("" if shares is None else percent(shares[self._number - 1]))
        self._bulb.props(f"color={'warning' if selected else 'grey'}")
        self._bulb.props(f"aria-pressed={str(selected).lower()}")
        if called != self._called:
            self._called = called
            self._name.set_value(row.name or "")
            self._name.props(f'placeholder="{quoted(called)}"')
            for button, does in (
                (self._swatch, "Colour of"),
                (self._bulb, "Light up"),
                (self._more, "More for"),
            ):
                button.props(f'aria-label="{does} {quoted(called)}"')
        self._offer(model)

    def _offer(self, model: Grouping) -> None:
        """What else can be done with the class."""
        names, several = self._bench.phases(), len(model.members(self._number)) > 1
        if (names, several) == self._offered:
            return
        self._offered = names, several
        self._menu.clear()
        with self._menu:
            # Of more, as a training that was stopped leaves, menus take seconds: clicks join, too.
            for other, each in enumerate(names if len(names) <= MAX_CLASSES else (), start=1):
                if other != self._number:
                    ui.menu_item(
                        f"Join to {each}",
                        lambda other=other: self._panel.join(other, self._number),
                    )
            if several:
                ui.menu_item("Split in two", lambda: self._panel.split(self._number))

    def _add_palette(self) -> None:
        with ui.row().classes("q-pa-sm").style("max-width: 170px"):
            for each in COLOURS:

                def choose(each: str = each) -> None:
                    self._palette.close()
                    self._page.attempt(lambda: self._bench.colour(self._number, each))

                choice = ui.button(on_click=choose).props(f'flat dense aria-label="{each}"')
                choice.classes("nital-swatch").style(f"background: {each} !important")

    def _call(self) -> None:
        name = str(self._name.value or "")
        self._page.attempt(lambda: self._bench.call(self._number, name))
        self._called = ""  # shown anew, as it may have been refused
        self._page.forget()

    def _light(self) -> None:
        self._page.select(None if self._page.selected == self._number else self._number)
