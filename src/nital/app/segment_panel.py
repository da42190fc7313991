"""Segment: how many classes, at which scale, and one button."""

from typing import TYPE_CHECKING

from nicegui import ui

from nital.app.panel import Panel, count_of
from nital.settings import AUTO, MAX_CLASSES, SCALES, Settings

if TYPE_CHECKING:
    from nital.app.page import Page


_SCALES = {
    "fine": "fine: particles, films, grains",
    "medium": "medium: areas of one texture",
    "coarse": "coarse: large areas of one texture",
}


class SegmentPanel(Panel):
    """How many classes, at which scale; one button."""

    def __init__(self, page: "Page") -> None:
        super().__init__(page)
        settings = self.bench.settings
        auto = settings.n_classes == AUTO
        with ui.row().classes("items-center w-full"):
            self._number = (
                ui.number(
                    "Number of classes",
                    value=3 if isinstance(settings.n_classes, str) else settings.n_classes,
                    min=2,
                    max=MAX_CLASSES,
                    precision=0,
                )
                .props("dense outlined")
                .style("width: 150px")
            )
            self._auto = ui.checkbox("auto: as many as F prefers", value=auto)
            self._number.bind_enabled_from(self._auto, "value", backward=lambda on: not on)
        ui.label("You can change the number afterwards, at once.").classes("nital-note")
        self._scale = (
            ui.select({each: _SCALES[each] for each in SCALES}, value=settings.scale, label="Scale")
            .props("dense outlined")
            .classes("w-full")
        )
        with ui.expansion("More settings").classes("w-full"):
            self._seed = ui.number("Seed", value=settings.seed, min=0, precision=0).props(
                "dense outlined"
            )
            self._exposure = (
                ui.select(
                    {
                        "auto": "auto: whatever makes the micrographs more alike",
                        "same": "same: a grey level means the same in all",
                        "each": "each: bring brightness and contrast in line",
                    },
                    value=self.bench.exposure,
                    label="Exposure",
                )
                .props("dense outlined")
                .classes("w-full")
            )
        self._button = (
            ui.button("Segment", on_click=self._segment).props("no-caps size=lg").classes("w-full")
        )
        self._apply = (
            ui.button(on_click=lambda: page.start(self.session.apply(), self._decide))
            .props("no-caps outline")
            .classes("w-full")
        )
        self._told = ui.label().classes("nital-note")

    def refresh(self) -> None:
        """Show what there is to segment."""
        usable, idle = self.bench.usable, self.session.work is None
        waiting = [each for each in usable if each.labelled is None]
        self._button.set_enabled(bool(usable) and idle)
        self._apply.set_visibility(bool(self.bench.labelled and waiting))
        self._apply.set_text(f"Apply these classes to {count_of(waiting)} more")
        self._apply.set_enabled(idle)
        count = count_of(usable)
        self._told.set_text(
            "Open a micrograph first." if not usable else f"{count}; one set of classes for all."
        )

    def _segment(self) -> None:
        def begin() -> None:
            settings = Settings(
                n_classes=AUTO if self._auto.value else int(self._number.value or 0),
                scale=self._scale.value,
                seed=int(self._seed.value or 0),
            )
            self.bench.set_settings(settings, self._exposure.value)
            self.page.select(None)
            self.page.start(self.session.segment(), self._decide)

        if not (self.bench.model and self.bench.model.names):
            self.page.attempt(begin)
            return
        with ui.dialog() as dialog, ui.card():
            ui.label("Segmenting again makes new classes: the names you gave go.")
            with ui.row().classes("w-full justify-end"):
                ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
                ui.button(
                    "Segment again", on_click=lambda: (dialog.close(), self.page.attempt(begin))
                ).props("no-caps")
        dialog.open()

    def _decide(self) -> None:
        if self.bench.labelled:
            self.page.tabs.set_value("decide")
