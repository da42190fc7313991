"""Assign: fine classes are shown one after the other, and keys assign them to phases."""

from collections.abc import Callable

from nicegui import ui

from nital.app.page.messages import Messages
from nital.app.page.panels.panel import Panel
from nital.app.page.view import View
from nital.app.state.assignment import Assignment
from nital.app.state.session import Session
from nital.output.numbers import percent
from nital.result.grouping import Grouping


class AssignPanel(Panel):
    """Takes the place of the decide panel while fine classes are assigned to phases.

    Parameters
    ----------
    session, view, messages
        As of any panel.
    draw : callable
        Draws the picture at once.
    """

    def __init__(
        self, session: Session, view: View, messages: Messages, draw: Callable[[], None]
    ) -> None:
        super().__init__(session, view, messages)
        self._draw = draw
        self._assigned: Grouping | None = None
        """The classes after the last assignment: if they are others, another tab changed them."""

        with ui.column().classes("w-full") as self._all:
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

    def refresh(self) -> None:
        """Show the fine class that is to be assigned, or end where there are other classes."""
        model, assignment = self._bench.model, self._view.assignment
        if assignment is not None and (not self._bench.labelled or model is not self._assigned):
            self._end()
            self._messages.say("the classes have changed meanwhile: begin again to assign them")
            assignment = None
        self._all.set_visibility(assignment is not None)
        if assignment is not None:
            self._show(assignment)

    def begin(self) -> None:
        """Begin with the largest fine class."""
        assert self._bench.model is not None
        self._assigned = self._bench.model
        self._view.assignment = Assignment(self._assigned, self._bench.fine_fractions())
        self._view.select(None)

    def press(self, key: str) -> None:
        """Do what a key stands for."""
        assignment = self._view.assignment
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
            self._messages.attempt(lambda: self._put(assignment, number))
        if assignment.fine is None:
            self._end()
        self._view.forget()

    def undo(self) -> bool:
        """Undo the last assignment; whether there was one."""
        assignment = self._view.assignment
        if assignment is None or not assignment.undo():
            return False
        self._bench.undo()
        self._assigned = self._bench.model
        return True

    def _put(self, assignment: Assignment, phase: int) -> None:
        if self._bench.model is not self._assigned:
            return  # `refresh` will report it
        model = assignment.put(phase)
        self._assigned = self._bench.decide(lambda _: model)

    def _end(self) -> None:
        self._view.assignment = self._view.lit = None
        self._view.forget()

    def _show(self, assignment: Assignment) -> None:
        fine = assignment.fine
        if fine is None:
            return
        share = percent(self._bench.fine_fractions()[fine - 1])
        self._fine.set_text(
            f"Fine class {assignment.place + 1} of {len(assignment.order)}, {share}: what is lit up"
        )
        if self._view.lit != [fine]:
            self._view.lit = [fine]
            self._draw()
        self._keys.clear()
        with self._keys:
            for number, slot in enumerate(assignment.slots, start=1):
                is_here = number == assignment.slot
                with (
                    self._add_key(str(number))
                    .props("align=left")
                    .classes("w-full" + (" text-bold" if is_here else ""))
                ):
                    ui.element("span").classes("nital-swatch q-mr-sm").style(
                        f"background: {slot.name.colour}"
                    )
                    ui.label(
                        f"{number}  {slot.name.name or f'phase {number}'}"
                        + (" (it is here)" if is_here else "")
                    )

    def _add_key(self, key: str) -> ui.button:
        """Add a button that does what a key does."""
        return ui.button(on_click=lambda: self.press(key)).props("dense flat no-caps")
