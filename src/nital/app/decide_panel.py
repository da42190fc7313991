"""Decide: how fine classes become phases, by a slider, clicks, names and keys."""

from typing import TYPE_CHECKING

from nicegui import ui

from nital.app.assignment import Assignment
from nital.app.bench import most_classes
from nital.app.panel import Panel, quoted
from nital.render import PALETTE, colours_of, hex_of, percent
from nital.settings import MAX_CLASSES

if TYPE_CHECKING:
    from nital.app.page import Page


COLOURS = (*PALETTE, "#999999")
"""To choose from: Okabe & Ito (2008), and grey."""


class DecidePanel(Panel):
    """How the fine classes become phases: a slider, joining, splitting, names, colours."""

    def __init__(self, page: "Page") -> None:
        super().__init__(page)
        self.assignment: Assignment | None = None
        """While fine classes are dealt to phases."""

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
            self._rows = ui.column().classes("w-full q-gutter-y-sm")
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
                ui.button("Back", on_click=lambda: self.assign_by_key("Backspace")).props(
                    "dense flat no-caps"
                )
                ui.button("Leave it", on_click=lambda: self.assign_by_key(" ")).props(
                    "dense flat no-caps"
                )
                ui.button("New phase", on_click=lambda: self.assign_by_key("n")).props(
                    "dense flat no-caps"
                )
                ui.button("End", on_click=lambda: self.assign_by_key("Escape")).props(
                    "dense no-caps"
                )
        self._shown: object = None

    def refresh(self) -> None:
        """Show the classes as they are."""
        model = self.bench.model
        ready = model is not None and bool(self.bench.labelled)
        if not ready:
            self.assignment = self.page.lit = None
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
        shown = (self.bench.version, self.page.number, self.page.selected)
        if shown != self._shown:
            self._shown = shown
            self._rows.clear()
            with self._rows:
                for number in range(1, k + 1):
                    self._add_row(number)
        if self.assignment is not None:
            self._show_dealing(self.assignment)

    def _add_row(self, number: int) -> None:
        model = self.bench.model
        assert model is not None
        row = model.classes[number - 1]
        selected = self.page.selected == number
        called = row.name or f"class {number}"
        with ui.row().classes("w-full items-center no-wrap q-gutter-x-xs"):
            self._add_swatch(number, called, hex_of(colours_of(model.classes)[number - 1]))
            name = ui.input(placeholder=called, value=row.name or "").classes("col")
            name.props(f'dense outlined aria-label="Name of class {number}"')
            name.on("change", lambda: self._call(number, name.value or ""))
            ui.label(self._share(number)).style("min-width: 66px; text-align: right")
            bulb = ui.button(
                icon="lightbulb", on_click=lambda: self.page.select(None if selected else number)
            )
            bulb.props(f"flat dense round size=sm color={'warning' if selected else 'grey'}")
            bulb.props(
                f'aria-pressed={str(selected).lower()} aria-label="Light up {quoted(called)}"'
            )
            self._add_menu(number, called)

    def _add_swatch(self, number: int, called: str, colour: str) -> None:
        """The colour of a class, and others to choose from."""
        button = ui.button().props(f'flat dense aria-label="Colour of {quoted(called)}"')
        button.classes("nital-swatch").style(f"background: {colour} !important")
        with button, ui.menu() as menu, ui.row().classes("q-pa-sm").style("max-width: 170px"):
            for each in COLOURS:

                def choose(each: str = each) -> None:
                    menu.close()
                    self.page.attempt(lambda: self.bench.colour(number, each))

                choice = ui.button(on_click=choose).props(f'flat dense aria-label="{each}"')
                choice.classes("nital-swatch").style(f"background: {each} !important")

    def _add_menu(self, number: int, called: str) -> None:
        """What else can be done with a class."""
        model = self.bench.model
        assert model is not None
        button = ui.button(icon="more_vert")
        button.props(f'flat dense round size=sm color=grey aria-label="More for {quoted(called)}"')
        with button, ui.menu():
            for other, each in enumerate(self.bench.phases(), start=1):
                if other != number:
                    ui.menu_item(f"Join to {each}", lambda other=other: self.join(other, number))
            if len(model.members(number)) > 1:
                ui.menu_item("Split in two", lambda: self._split(number))

    def _call(self, number: int, name: str) -> None:
        self.page.attempt(lambda: self.bench.call(number, name))

    def _share(self, number: int) -> str:
        """Of the micrograph that is shown."""
        field = self.bench.fields.get(self.page.number or 0)
        if field is None or field.labelled is None:
            return ""
        return percent(self.bench.fractions(field.number)[number - 1])

    def join(self, number: int, other: int) -> None:
        """Join a class to another one, whose name stays."""
        names = self.bench.phases()

        def change() -> None:
            self.bench.join(number, other)
            self.page.say(f"{names[other - 1]} joined to {names[number - 1]}", "positive")

        self.page.select(None)
        self.page.attempt(change)

    def _split(self, number: int) -> None:
        self.page.select(None)
        self.page.attempt(lambda: self.bench.split(number))

    def _preview(self, k: int) -> None:
        model = self.bench.model
        if model is not None and int(k) != len(model.classes):
            self.page.preview = model.at(int(k))
        else:
            self.page.preview = None
        self._k.set_text(f"{int(k)} classes")
        self.page.draw()

    def _cut(self, k: int) -> None:
        self.page.preview = None
        self.page.selected = None
        model = self.bench.model
        if model is not None and int(k) != len(model.classes):
            self.page.attempt(lambda: self.bench.decide(lambda model: model.at(int(k))))

    # --- fine classes, one by one ----------------------------------------------------------------

    def _begin(self) -> None:
        assert self.bench.model is not None
        self.assignment = Assignment(self.bench.model, self.bench.fine_fractions())
        self.page.select(None)

    def assign_by_key(self, key: str) -> None:
        """Do what a key says while fine classes are dealt."""
        assignment = self.assignment
        if assignment is None:
            return
        if key == "Escape":
            self._end()
            return
        if key in (" ", "ArrowRight"):
            assignment.skip()
        elif key in ("Backspace", "ArrowLeft"):
            assignment.back()
        elif key.isdigit() or key in ("n", "N"):
            number = int(key) if key.isdigit() else len(assignment.slots) + 1
            self.page.attempt(lambda: self._put(assignment, number))
        if assignment.fine is None:
            self._end()
        self.page.forget()

    def _put(self, assignment: Assignment, key: int) -> None:
        model = assignment.put(key)
        self.bench.decide(lambda _: model)

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
                    ui.button(on_click=lambda key=key: self.assign_by_key(str(key)))
                    .props("flat no-caps dense align=left")
                    .classes("w-full" + (" text-bold" if here else ""))
                ):
                    ui.element("span").classes("nital-swatch q-mr-sm").style(
                        f"background: {slot.name.colour}"
                    )
                    ui.label(
                        f"{key}  {slot.name.name or f'phase {key}'}"
                        + (" (it is here)" if here else "")
                    )
