"""Decide: how many classes, by a slider; their names and colours; joined and split."""

from collections.abc import Callable

from nicegui import ui

from nital.app.page.messages import Messages
from nital.app.page.panels.class_row import ClassRow
from nital.app.page.panels.panel import Panel
from nital.app.page.view import View
from nital.app.state.decisions import most_classes
from nital.app.state.session import Session
from nital.fast.settings import MAX_CLASSES
from nital.output.numbers import percent
from nital.result.grouping import Grouping


class DecidePanel(Panel):
    """How the fine classes become phases: a slider, joining, splitting, names, colours.

    Parameters
    ----------
    session, view, messages
        As of any panel.
    draw : callable
        Draws the picture at once.
    assign : callable
        Begins to assign fine classes one by one.
    """

    def __init__(
        self,
        session: Session,
        view: View,
        messages: Messages,
        draw: Callable[[], None],
        assign: Callable[[], None],
    ) -> None:
        super().__init__(session, view, messages)
        self._draw = draw
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
            self._other = ui.label().classes("nital-note")
            self._list = ui.column().classes("w-full q-gutter-y-sm")
            ui.label(
                "Click a region in the picture to light up its class everywhere; click another to"
                " join that to it."
            ).classes("nital-note")
            ui.button("Assign fine classes one by one", on_click=assign).props(
                "no-caps outline"
            ).classes("w-full")
        self._rows: list[ClassRow] = []

    def refresh(self) -> None:
        """Show the classes as they are."""
        model = self._bench.model
        ready = model is not None and bool(self._bench.labelled)
        self._none.set_visibility(not ready)
        self._all.set_visibility(ready and self._view.assignment is None)
        if model is None or not ready:
            return
        k = len(model.classes)
        self._k.set_text(f"{k} classes")
        if self._view.preview is None:
            self._slider.props(f"max={max(most_classes(self._bench.base), k)}")
            self._slider.set_value(k)
        here, other = self._view.field, None
        if here is not None and here.labelled is not None and self._view.preview is None:
            other = model.other_fractions(here.labelled.areas)
        self._other.set_visibility(other is not None)
        if other is not None:
            shares = ", ".join(percent(each) for each in other)
            self._other.set_text(
                f"It can be divided into {k} classes in another way that is nearly as good, with"
                f" {shares} from dark to bright. Compare other numbers of classes, or assign fine"
                " classes."
            )
        for row in self._rows[k:]:
            row.delete()
        del self._rows[k:]
        with self._list:
            for number in range(len(self._rows) + 1, k + 1):
                self._rows.append(
                    ClassRow(
                        self._bench, self._view, self._messages, number, self.join, self._split
                    )
                )
        for row in self._rows:
            row.refresh(model)

    def join(self, number: int, other: int) -> None:
        """Join class `other` to `number`, whose name stays."""
        names = self._bench.phases()

        def change() -> None:
            self._bench.join(number, other)
            self._messages.say(f"{names[other - 1]} joined to {names[number - 1]}", "positive")

        self._view.select(None)
        self._messages.attempt(change)

    def _split(self, number: int) -> None:
        """Divide a class in two."""
        self._view.select(None)
        self._messages.attempt(lambda: self._bench.split(number))

    def _cut_at(self, k: int) -> Grouping | None:
        """The classes joined to another number; None where there are so many."""
        model = self._bench.model
        if model is None or k == len(model.classes):
            return None
        return model.at(min(k, most_classes(self._bench.base)))

    def _preview(self, k: int) -> None:
        self._view.preview, self._view.selected = self._cut_at(int(k)), None
        self._k.set_text(f"{int(k)} classes")
        self._draw()

    def _cut(self, k: int) -> None:
        self._view.preview = self._view.selected = None
        cut = self._cut_at(int(k))
        if cut is not None:
            self._messages.attempt(lambda: self._bench.decide(lambda _: cut))
        self._view.forget()
