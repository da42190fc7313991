"""The page: the picture on the left, five steps on the right, from a micrograph to a report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nicegui import ui
from nicegui.events import KeyEventArguments

from nital.app.page.messages import Messages
from nital.app.page.panels.assign import AssignPanel
from nital.app.page.panels.decide import DecidePanel
from nital.app.page.panels.keep import KeepPanel
from nital.app.page.panels.measure import MeasurePanel
from nital.app.page.panels.open import OpenPanel
from nital.app.page.panels.panel import Panel
from nital.app.page.panels.segment import SegmentPanel
from nital.app.page.picture import Picture
from nital.app.page.uploader import Uploader
from nital.app.page.view import View
from nital.app.page.viewer import Pick
from nital.app.state.desk import Desk
from nital.app.state.session import Session
from nital.errors import NitalError

REFRESH = 0.1
"""Seconds between two looks at what has changed."""

STEPS = {
    "open": "1 Open",
    "segment": "2 Segment",
    "decide": "3 Decide",
    "measure": "4 Measure",
    "keep": "5 Keep",
}

_STYLE = Path(__file__).with_name("style.css")
_SCRIPT = Path(__file__).with_name("focus.js")


def build_page(desk: Desk, folder: Path | None, images: Sequence[Path]) -> None:
    """Add the addresses `/`, which starts a session, and `/bench/SESSION`."""

    @ui.page("/")
    def start() -> None:
        ui.navigate.to(f"/bench/{desk.new().identifier}")

    @ui.page("/bench/{identifier}")
    def bench(identifier: str) -> None:
        try:
            session = desk.find(identifier)
        except NitalError as error:
            _say_gone(str(error))
            return
        if session is None:
            _say_gone("There is no such session; it may have been removed.")
            return
        Page(desk, session, folder, images)


def _say_gone(text: str) -> None:
    with ui.column().classes("absolute-center items-center"):
        ui.label(text)
        ui.link("Start a new session", "/")


class Page:
    """One tab of the browser: puts the picture and the panels together, and follows the keys.

    Parameters
    ----------
    desk : Desk
        Of earlier sessions.
    session : Session
    folder : Path, optional
        Of micrographs to choose from.
    images : sequence of Path
        The micrographs in it.
    """

    def __init__(
        self, desk: Desk, session: Session, folder: Path | None, images: Sequence[Path]
    ) -> None:
        self._session, self._bench = session, session.bench
        self._view, self._messages = View(session), Messages()
        ui.add_css(_STYLE)
        ui.add_body_html(f"<script>{_SCRIPT.read_text(encoding='utf-8')}</script>")
        ui.colors(primary="#1f5f9e")
        self._build_header()
        upload = f"/bench/{session.identifier}/upload"
        Uploader(upload, "Drop micrographs here", on_refused=self._messages.say, anywhere=True)
        with ui.element("main").classes("nital-page"):
            with ui.element("section").classes("nital-stage").props('aria-label="Picture"'):
                self._picture = Picture(session, self._view, self._messages, self._pick)
            with ui.element("section").classes("nital-side").props('aria-label="Steps"'):
                self._build_panels(desk, folder, images)
        ui.keyboard(self._press, ignore=["input", "textarea"])
        ui.timer(REFRESH, self.refresh)
        self.refresh()

    def _build_header(self) -> None:
        with ui.header().classes("items-center q-py-none q-px-md no-wrap").style("height: 52px"):
            ui.label("nital").classes("text-h6")
            self._field = (
                ui.select({}, on_change=lambda e: self._view.show(e.value))
                .props('dense dark options-dense aria-label="Micrograph" borderless')
                .classes("nital-field")
            )
            ui.space()
            self._undo = _icon("undo", "Undo (Ctrl+Z)", self._undo_last)
            self._redo = _icon("redo", "Redo (Ctrl+Y)", self._redo_last)
            self._dark = ui.dark_mode(None)
            _icon("brightness_6", "Light or dark", self._turn_dark)
            ui.link("New session", "/").classes("text-white").props("target=_blank")

    def _build_panels(self, desk: Desk, folder: Path | None, images: Sequence[Path]) -> None:
        with ui.tabs().props("dense no-caps outside-arrows").classes("w-full") as tabs:
            for name, title in STEPS.items():
                ui.tab(name, title)
        bench = self._bench
        start = "open" if not bench.usable else "decide" if bench.labelled else "segment"
        steps = ui.tab_panels(tabs, value=start, animated=False, keep_alive=True).classes("w-full")

        def step(name: str) -> ui.tab_panel:
            with steps:
                return ui.tab_panel(name).classes("q-pa-md column q-gutter-y-sm no-wrap")

        common = self._session, self._view, self._messages
        with step("open"):
            opening = OpenPanel(*common, desk.earlier, folder, images)
        with step("segment"):
            segmenting = SegmentPanel(*common, on_done=lambda: tabs.set_value("decide"))
        with step("decide"):
            self._assigning = AssignPanel(*common, self._picture.draw)
            self._deciding = DecidePanel(*common, self._picture.draw, self._assigning.begin)
        with step("measure"):
            measuring = MeasurePanel(*common)
        with step("keep"):
            keeping = KeepPanel(*common)
        self._panels: list[Panel] = [
            opening,
            segmenting,
            self._assigning,
            self._deciding,
            measuring,
            keeping,
        ]

    def refresh(self) -> None:
        """Show what has changed since the last call."""
        self._picture.refresh_progress()
        if not self._view.update():
            return
        self._undo.set_enabled(self._bench.can_undo)
        self._redo.set_enabled(self._bench.can_redo)
        names = {number: field.name for number, field in self._bench.fields.items()}
        self._field.set_options(names, value=self._view.number)
        self._field.set_visibility(bool(names))
        self._picture.draw()
        for panel in self._panels:
            panel.refresh()

    def _pick(self, pick: Pick) -> None:
        view = self._view
        if view.assignment is not None or self._bench.model is None or not pick.phase:
            return
        if view.selected is None or view.selected == pick.phase:
            view.select(None if view.selected == pick.phase else pick.phase)
        else:
            self._deciding.join(view.selected, pick.phase)

    def _press(self, event: KeyEventArguments) -> None:
        if not event.action.keydown:
            return
        name = event.key.name
        if event.modifiers.ctrl or event.modifiers.meta:
            if name in ("y", "Y") or (name in ("z", "Z") and event.modifiers.shift):
                self._redo_last()
            elif name in ("z", "Z"):
                self._undo_last()
        elif self._view.assignment is not None:
            self._assigning.press(name)
        elif name == "Escape":
            self._view.select(None)

    def _undo_last(self) -> None:
        if self._view.assignment is None:
            self._messages.attempt(self._bench.undo)
        else:  # no further than what was assigned
            self._messages.attempt(self._assigning.undo)
            self._view.forget()

    def _redo_last(self) -> None:
        if self._view.assignment is None:  # an assignment can't be made again
            self._messages.attempt(self._bench.redo)

    async def _turn_dark(self) -> None:
        dark = await ui.run_javascript("document.body.classList.contains('body--dark')")
        self._dark.set_value(not dark)


def _icon(icon: str, text: str, action: Callable[[], Any]) -> ui.button:
    button = ui.button(icon=icon, on_click=action).props(
        f'flat dense color=white aria-label="{text}"'
    )
    return button.tooltip(text)
