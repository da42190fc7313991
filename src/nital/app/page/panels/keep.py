"""Keep: maps, tables, the report, the model."""

from collections.abc import Callable, Coroutine
from typing import Any

from nicegui import ui

from nital.app.page.messages import Messages
from nital.app.page.panels.panel import Panel
from nital.app.page.view import View
from nital.app.state.bench import DECIDED
from nital.app.state.session import Session
from nital.output.names import REPORT_FILE


class KeepPanel(Panel):
    """What can be downloaded: maps, tables, the report, the model."""

    def __init__(self, session: Session, view: View, messages: Messages) -> None:
        super().__init__(session, view, messages)
        self._none = ui.label("Segment a micrograph first.").classes("nital-note")
        with ui.column().classes("w-full q-gutter-y-xs") as self._all:
            self._add("Report (HTML), to read and to sign", REPORT_FILE, self._session.report)
            self._add("Everything (ZIP)", "results.zip", self._session.report)
            ui.label("Of the micrograph that is shown").classes("text-subtitle2 q-mt-sm")
            self._add(
                "Label map (TIFF, opens in ImageJ)", "labels.tif", self._session.keep, field=True
            )
            self._add("Overlay (PNG)", "overlay.png", self._session.keep, field=True)
            self._add("Table of phases (CSV)", "classes.csv", self._session.keep, field=True)
            ui.label("Of all").classes("text-subtitle2 q-mt-sm")
            self._add("Phases, field by field (CSV)", "fields.csv", self._session.keep)
            with ui.column().classes("w-full q-gutter-y-xs") as self._model:
                self._add("Model, for the next micrographs", DECIDED, self._session.keep)
                ui.label(
                    "The model works with the command too: nital predict --model steel.nital"
                    " IMAGE..."
                ).classes("nital-note")

    def refresh(self) -> None:
        """Show whether there is anything to keep."""
        ready = bool(self._bench.labelled)
        self._none.set_visibility(not ready)
        self._all.set_visibility(ready)
        self._model.set_visibility(self._bench.is_fitted)

    def _add(
        self,
        title: str,
        name: str,
        make: Callable[[], Coroutine[Any, Any, Any]],
        *,
        field: bool = False,
    ) -> None:
        """Add a button that downloads a result, of the micrograph that is shown or of all.

        Parameters
        ----------
        name : str
            Of the file.
        make : callable
            Returns the work that has to be done before.
        field : bool
            Whether there is one for each micrograph.
        """

        def download() -> None:
            results = f"/bench/{self._session.identifier}/results"
            place = f"{results}/{self._view.number}" if field else results
            ui.download.from_url(f"{place}/{name}")

        def make_and_download() -> None:
            if field and not any(each.number == self._view.number for each in self._bench.labelled):
                self._messages.say("this micrograph has no classes yet; segment it first")
                return
            self._messages.start(make(), download)

        ui.button(title, icon="download", on_click=make_and_download).props(
            "no-caps flat align=left dense"
        ).classes("w-full")
