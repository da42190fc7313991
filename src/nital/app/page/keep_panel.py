"""Keep: maps, tables, the report, the model."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nicegui import ui

from nital.app.page.panel import Panel
from nital.app.state.bench import DECIDED
from nital.output.results import REPORT_FILE

if TYPE_CHECKING:
    from nital.app.page.page import Page


class KeepPanel(Panel):
    """What is taken away: maps, tables, the report, the model."""

    def __init__(self, page: "Page") -> None:
        super().__init__(page)
        self._none = ui.label("Segment a micrograph first.").classes("nital-note")
        with ui.column().classes("w-full q-gutter-y-xs") as self._all:
            self._add("Report (HTML), to read and to sign", REPORT_FILE, self.session.report)
            self._add("Everything (ZIP)", "results.zip", self.session.report)
            ui.label("Of the micrograph that is shown").classes("text-subtitle2 q-mt-sm")
            self._add(
                "Label map (TIFF, opens in ImageJ)", "labels.tif", self.session.keep, field=True
            )
            self._add("Overlay (PNG)", "overlay.png", self.session.keep, field=True)
            self._add("Table of phases (CSV)", "classes.csv", self.session.keep, field=True)
            ui.label("Of all").classes("text-subtitle2 q-mt-sm")
            self._add("Phases, field by field (CSV)", "fields.csv", self.session.keep)
            with ui.column().classes("w-full q-gutter-y-xs") as self._model:
                self._add("Model, for the next micrographs", DECIDED, self.session.keep)
                ui.label(
                    "The model works with the command too: nital predict --model steel.nital"
                    " IMAGE..."
                ).classes("nital-note")

    def refresh(self) -> None:
        """Show whether there is anything to keep."""
        ready = bool(self.bench.labelled)
        self._none.set_visibility(not ready)
        self._all.set_visibility(ready)
        self._model.set_visibility(self.bench.is_fitted)

    def _add(self, title: str, name: str, make: Callable[[], Any], *, field: bool = False) -> None:
        def download() -> None:
            base = f"/bench/{self.session.identifier}/results"
            ui.download.from_url(f"{base}/{self.page.number}/{name}" if field else f"{base}/{name}")

        def ask() -> None:
            if field and not any(each.number == self.page.number for each in self.bench.labelled):
                self.page.say("this micrograph has no classes yet; segment it first")
                return
            self.page.start(make(), download)

        ui.button(title, icon="download", on_click=ask).props(
            "no-caps flat align=left dense"
        ).classes("w-full")
