"""The page: the viewer on the left, five steps on the right, from a micrograph to a report."""

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Literal

from nicegui import background_tasks, ui
from nicegui.events import KeyEventArguments

from nital.app.page.decide_panel import DecidePanel
from nital.app.page.keep_panel import KeepPanel
from nital.app.page.measure_panel import MeasurePanel
from nital.app.page.open_panel import OpenPanel
from nital.app.page.panel import Panel
from nital.app.page.segment_panel import SegmentPanel
from nital.app.page.uploader import Uploader
from nital.app.page.viewer import Cropped, Live, Mode, Pick, Shown, Source, Viewer
from nital.app.state.sessions import Desk, Session
from nital.app.work.live import Stage
from nital.errors import NitalError
from nital.output.render import class_colours, colours_of, hex_of, percent
from nital.result.grouping import Grouping

REFRESH = 0.1
"""Seconds between two looks at what has changed."""

VIEWS: dict[Mode, str] = {
    "original": "Original",
    "overlay": "Overlay",
    "classes": "Classes",
    "sure": "How sure",
}

_STYLE = """
    .nicegui-content { padding: 0; gap: 0 }
    .nital-page { display: flex; flex-wrap: nowrap; width: 100%; height: calc(100dvh - 52px) }
    .nital-stage { flex: 1 1 0; min-width: 0; display: flex; flex-direction: column }
    .nital-side { flex: 0 0 400px; overflow-y: auto; border-left: 1px solid #8884 }
    .nital-side .q-tab { padding: 0 6px; min-width: 0 }
    .nital-field { flex: 1 1 80px; min-width: 0; max-width: 420px }
    .nital-field .q-field__native { flex-wrap: nowrap; overflow: hidden }
    .body--dark .q-btn--flat, .body--dark .q-btn--outline { --q-primary: #8ab8ea }
    .body--dark .nital-note { --q-negative: #ff9a90 }
    .q-notification .q-btn { color: white !important }
    .nicegui-link { color: #1f5f9e }
    .body--dark .nicegui-link { color: #8ab8ea }
    .nital-picture { flex: 1 1 0; min-height: 0; position: relative; width: 100% }
    .nital-progress { position: absolute; left: 12px; right: 12px; bottom: 64px; z-index: 5;
                      display: flex; flex-wrap: wrap; align-items: center; gap: 4px 14px;
                      padding: 8px 12px; border-radius: 8px; color: white;
                      background: rgb(20 24 30 / 88%) }
    .nital-bar { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 14px;
                 padding: 4px 12px; min-height: 46px }
    .nital-table { width: 100%; border-collapse: collapse; font-size: 0.9rem }
    .nital-table th { text-align: left; font-weight: 600 }
    .nital-table td:first-child { overflow-wrap: anywhere }
    .nital-table th, .nital-table td { padding: 3px 6px; border-bottom: 1px solid #8884 }
    .nital-table .number { text-align: right; font-variant-numeric: tabular-nums }
    .nital-swatch { width: 26px; height: 26px; border-radius: 5px; border: 1px solid #8888 }
    .nital-note { font-size: 0.85rem; opacity: 0.8 }
    .nital-warning { font-size: 0.85rem; color: #8a4b00 }
    .body--dark .nital-warning { color: #f2b263 }
    .nital-share { display: flex; height: 18px; border-radius: 4px; overflow: hidden; width: 100% }
    @layer theme {  /* the first: its important rules win over those of Quasar */
        :focus-visible:not(.q-field *), .q-field:has(:focus-visible) .q-field__control,
        .q-slider:has(:focus-visible) {
            outline: 3px solid #2f6fde !important; outline-offset: 1px }
    }
    @media (max-width: 800px) {
        .nital-page { flex-direction: column; height: auto }
        .nital-stage { flex: none; height: 62dvh; width: 100% }
        .nital-side { flex: none; width: 100%; border-left: 0 }
    }
"""


_BLUR = """<script>
    // What was pressed by a mouse lets the focus go: else Space would press it again, which has
    // another meaning while fine classes are dealt.
    addEventListener("click", ({ detail, target }) => {
        const pressed = target.closest("button, [role=switch]");
        if (detail && pressed?.contains(document.activeElement)) document.activeElement.blur();
    });
</script>"""


def build_page(desk: Desk, folder: Path | None, images: Sequence[Path]) -> None:
    """Make the addresses `/`, which starts a session, and `/bench/SESSION`."""

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
    """One tab of the browser; several may show one session.

    It holds what is looked at, and nothing that matters: that is on the session's bench.
    """

    def __init__(
        self, desk: Desk, session: Session, folder: Path | None, images: Sequence[Path]
    ) -> None:
        self.desk, self.session, self.bench = desk, session, session.bench
        self.number: int | None = None
        """Of the micrograph that is shown."""

        self.view: Mode = "overlay"
        self.selected: int | None = None
        """The class that is lit up, and that a click joins to another."""

        self.lit: list[int] | None = None
        """Fine classes that are lit up for another reason."""

        self._chosen = False
        """Whether somebody chose the micrograph that is shown."""

        self.cropping = False
        self.preview: Grouping | None = None
        """Shown while the slider moves, before it is decided."""

        self._seen: object = None
        self._client = ui.context.client
        ui.add_css(_STYLE)
        ui.add_body_html(_BLUR)
        self._build(folder, images)
        ui.keyboard(self._key, ignore=["input", "textarea"])
        ui.timer(REFRESH, self.refresh)
        self.refresh()

    # --- layout ----------------------------------------------------------------------------------

    def _build(self, folder: Path | None, images: Sequence[Path]) -> None:
        ui.colors(primary="#1f5f9e")
        with ui.header().classes("items-center q-py-none q-px-md no-wrap").style("height: 52px"):
            ui.label("nital").classes("text-h6")
            self._field = (
                ui.select({}, on_change=lambda e: self.show(e.value))
                .props('dense dark options-dense aria-label="Micrograph" borderless')
                .classes("nital-field")
            )
            ui.space()
            self._undo = _icon("undo", "Undo (Ctrl+Z)", self._take_back)
            self._redo = _icon("redo", "Redo (Ctrl+Y)", self._redo_last)
            self._dark = ui.dark_mode(None)
            _icon("brightness_6", "Light or dark", self._turn_dark)
            ui.link("New session", "/").classes("text-white").props("target=_blank")
        upload = f"/bench/{self.session.identifier}/upload"
        Uploader(upload, "Drop micrographs here", on_refused=self.say, anywhere=True)
        with ui.element("main").classes("nital-page"):
            with ui.element("section").classes("nital-stage").props('aria-label="Picture"'):
                with ui.element("div").classes("nital-picture"):
                    self._viewer = Viewer(on_pick=self._pick, on_crop=self._cropped)
                    self._build_progress()
                self._build_bar()
            with ui.element("section").classes("nital-side").props('aria-label="Steps"'):
                self._build_panels(folder, images)

    def _build_progress(self) -> None:
        with ui.element("div").classes("nital-progress") as self._progress:
            with ui.element("div").classes("col"):
                self._stage = ui.label().props("role=status")
                self._detail = ui.label()  # it changes too often to be read aloud
            self._done = ui.linear_progress(0, show_value=False).props("instant-feedback")
            self._done.style("flex: 1 1 120px")
            self._stop = ui.button("Stop", on_click=self.session.stop).props(
                "dense color=negative no-caps"
            )

    def _build_bar(self) -> None:
        with ui.element("div").classes("nital-bar w-full"):
            self._views = ui.toggle(
                VIEWS, value=self.view, on_change=lambda e: self.look(e.value)
            ).props('dense no-caps aria-label="What is shown"')
            ui.label("Tint").classes("nital-note")
            ui.slider(
                min=0,
                max=1,
                step=0.05,
                value=0.5,
                on_change=lambda e: self._viewer.set_opacity(e.value),
            ).props('aria-label="Opacity of the tint"').style("width: 110px")
            self._wipe = ui.switch(
                "Wipe", on_change=lambda e: self._viewer.set_wipe(0.5 if e.value else None)
            ).props("dense")
            self._hint = ui.label().classes("nital-note col")

    def _build_panels(self, folder: Path | None, images: Sequence[Path]) -> None:
        kinds: list[tuple[str, str, Callable[[], Panel]]] = [
            ("1 Open", "open", lambda: OpenPanel(self, folder, images)),
            ("2 Segment", "segment", lambda: SegmentPanel(self)),
            ("3 Decide", "decide", lambda: DecidePanel(self)),
            ("4 Measure", "measure", lambda: MeasurePanel(self)),
            ("5 Keep", "keep", lambda: KeepPanel(self)),
        ]
        with ui.tabs().props("dense no-caps outside-arrows").classes("w-full") as self.tabs:
            for title, name, _ in kinds:
                ui.tab(name, title)
        start = "open" if not self.bench.usable else "decide" if self.bench.labelled else "segment"
        self._panels: dict[str, Panel] = {}
        with ui.tab_panels(self.tabs, value=start, animated=False, keep_alive=True).classes(
            "w-full"
        ):
            for _, name, make in kinds:
                with ui.tab_panel(name).classes("q-pa-md column q-gutter-y-sm no-wrap"):
                    self._panels[name] = make()

    # --- what is looked at -----------------------------------------------------------------------

    def show(self, number: int | None) -> None:
        """Show another micrograph."""
        if number != self.number:
            self.number, self.cropping, self._chosen = number, False, True
            self.forget()

    def look(self, view: Mode) -> None:
        """Show the original, the overlay, the classes, or how sure they are."""
        self.view = view
        self.forget()

    def select(self, number: int | None) -> None:
        """Light up a class; a click on another then joins that to it."""
        self.selected = number
        self.forget()

    def forget(self) -> None:
        """Show everything anew at the next look."""
        self._seen = None

    @property
    def model(self) -> Grouping | None:
        """As it is shown."""
        return self.preview or self.bench.model

    @property
    def _decide(self) -> DecidePanel:
        panel = self._panels["decide"]
        assert isinstance(panel, DecidePanel)
        return panel

    def _pick(self, pick: Pick) -> None:
        if self._decide.assignment is not None or self.bench.model is None or not pick.phase:
            return
        if self.selected in (None, pick.phase):
            self.select(None if self.selected == pick.phase else pick.phase)
        else:
            self._decide.join(self.selected, pick.phase)

    def _cropped(self, cropped: Cropped) -> None:
        number = self.number
        if number is None:
            return

        def crop() -> None:
            self.session.crop(number, cropped.rows)

        field = self.bench.fields[number]
        if field.labelled is not None and not self.bench.is_fitted:
            self._viewer.put_back(field.n_rows)
            question = "The classes of this micrograph would go, and have to be trained again."
            self.ask(question, "Keep them", "Cut it off", crop)
        elif not self.attempt(crop):
            self._viewer.put_back(field.n_rows)

    def _key(self, event: KeyEventArguments) -> None:
        if not event.action.keydown:
            return
        name = event.key.name
        if event.modifiers.ctrl or event.modifiers.meta:
            if name in ("y", "Y") or (name in ("z", "Z") and event.modifiers.shift):
                self._redo_last()
            elif name in ("z", "Z"):
                self._take_back()
        elif self._decide.assignment is not None:
            self._decide.assign_by_key(name)
        elif name == "Escape":
            self.select(None)

    def _take_back(self) -> None:
        if self._decide.assignment is None:
            self.attempt(self.bench.undo)
        else:  # no further than what was dealt
            self.attempt(self._decide.take_back)
            self.forget()

    def _redo_last(self) -> None:
        if self._decide.assignment is None:  # what it deals goes one way
            self.attempt(self.bench.redo)

    async def _turn_dark(self) -> None:
        dark = await ui.run_javascript("document.body.classList.contains('body--dark')")
        self._dark.set_value(not dark)

    # --- work ------------------------------------------------------------------------------------

    def attempt(self, change: Callable[[], Any]) -> bool:
        """Do something that may be refused, and say why it was; whether it was done."""
        try:
            change()
        except NitalError as error:
            self.say(str(error))
            return False
        return True

    def start(self, work: Coroutine[Any, Any, Any], then: Callable[[], None] | None = None) -> None:
        """Do work without waiting for it; say what went wrong, or do the rest."""

        async def run() -> None:
            try:
                await work
            except NitalError as error:
                self.say(str(error))
                return
            if then is not None and not self._client.is_deleted:
                with self._client:
                    then()

        background_tasks.create(run())

    def ask(self, question: str, no: str, yes: str, then: Callable[[], Any]) -> None:
        """Do something that takes away work that was done, if that is wanted."""

        def do() -> None:
            dialog.close()
            self.attempt(then)

        with (
            self._client.content,
            ui.dialog() as dialog,
            ui.card(),
        ):  # in a list it would go with it
            ui.label(question)
            with ui.row().classes("w-full justify-end"):
                ui.button(no, on_click=dialog.close).props("flat no-caps")
                ui.button(yes, on_click=do).props("no-caps color=negative")
        dialog.on("hide", dialog.delete)
        dialog.open()

    def say(self, text: str, kind: Literal["negative", "positive"] = "negative") -> None:
        """Tell something that went wrong, until it is read."""
        if self._client.is_deleted:
            return
        with self._client:
            lasting = kind == "negative"
            ui.notify(
                text,
                type=kind,
                multi_line=True,
                timeout=0 if lasting else 4000,
                close_button="Close" if lasting else False,
                position="top",
            )

    # --- showing ---------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show what has changed since the last look."""
        self._show_progress()
        shown = self.bench.fields.get(self.number or 0)
        if shown is None or (shown.error is not None and not self._chosen):
            best = self.bench.labelled or self.bench.usable
            self.number = best[0].number if best else next(iter(self.bench.fields), None)
            self.cropping = False
        seen = (
            self.bench.version,
            self.number,
            self.view,
            self.selected,
            self.session.work is None,
        )
        if seen == self._seen:
            return
        self._seen = seen
        if self.model is None or (self.selected or 0) > int(self.model.class_of.max()):
            self.selected = None
        self._undo.set_enabled(self.bench.can_undo)
        self._redo.set_enabled(self.bench.can_redo)
        names = {number: field.name for number, field in self.bench.fields.items()}
        self._field.set_options(names, value=self.number)
        self._field.set_visibility(bool(names))
        self.draw()
        for panel in self._panels.values():
            panel.refresh()

    def draw(self) -> None:
        """Show the picture and its classes as they are now."""
        field = self.bench.fields.get(self.number or 0)
        if field is None or field.opened is None:
            self._viewer.show(None)
            opening = field is not None and field.error is None
            self._hint.set_text(f"opening {field.name} …" if field and opening else "")
            return
        rows, cols = field.opened.shape
        if self.view == "sure" and field.labelled and self.session.work is None:
            self._find_sure(field.number)
        sure = self.session.sure(field.number) if field.labelled else None
        self._viewer.show(
            Source(
                f"/bench/{self.session.identifier}/fields/{field.number}",
                rows if self.cropping else field.n_rows,
                cols,
                field.opened.pixel_size,
                field.name,
                field.picture,
                field.version if field.labelled and not self.cropping else None,
                sure[0] if sure else None,
            )
        )
        self._viewer.set_digits(self._decide.assignment is None)
        self._viewer.set_crop(field.n_rows if self.cropping else None)
        self._viewer.set_mode(self.view if field.labelled or self.session.work else "original")
        self._draw_classes(field.number)
        self._hint.set_text(self._told(sure[1] if sure else None))

    def _draw_classes(self, number: int) -> None:
        model, field = self.model, self.bench.fields[number]
        if model is None or field.labelled is None:
            self._viewer.set_classes([]).set_lit(None)
            return
        colours = [hex_of(colour) for colour in colours_of(model.classes)]
        names = self.bench.phases(model)
        shares = self.bench.fractions(number, model)
        titles = [f"{name}, {percent(share)}" for name, share in zip(names, shares, strict=True)]
        self._viewer.set_classes(
            [Shown(colours[i - 1], titles[i - 1], i) for i in model.class_of.tolist()]
        )
        lit = self.lit
        if lit is None and self.selected is not None:
            lit = list(model.members(self.selected))
        self._viewer.set_lit(lit)

    def _told(self, sure: float | None) -> str:
        if self.selected is not None and self.model is not None:
            name = self.bench.phases(self.model)[self.selected - 1]
            return f"{name} is lit up: click another class to join it to this one, Esc to end"
        if self.view == "sure" and not self.bench.is_fitted:
            return "paper mode does not tell how sure it is; fast mode does"
        if self.view == "sure":
            return "finding out …" if sure is None else f"mean {100 * sure:.0f} %"
        field = self.bench.fields[self.number or 0]
        if field.labelled is not None and field.labelled.stopped:
            return "stopped before " + (
                "it was done: the figures are those of the part that has classes"
                if self.bench.is_fitted
                else "training had ended"
            )
        return ""

    def _find_sure(self, number: int) -> None:
        if self.session.sure(number) is None and self.bench.is_fitted:
            self.start(self.session.find_silhouette(number))

    def _show_progress(self) -> None:
        work, stage = self.session.work, self.session.stage
        self._progress.set_visibility(work is not None)
        if work is None:
            self._viewer.set_live(None)
            return
        if stage is None:
            before = self.session.n_before
            self._stage.set_text("starting …" if not before else f"waits for {before} other work")
            self._detail.set_text("")
            self._done.set_value(0)
            return
        left = _time_left(stage, self.session.stage_told - self.session.stage_since)
        self._stage.set_text(stage.text)
        self._detail.set_text(", ".join(part for part in (stage.detail, left) if part))
        self._done.set_value(stage.done or 0)
        live = stage.live
        if live is None or stage.field != self.number:
            self._viewer.set_live(None)
            return
        colours = [hex_of(colour) for colour in class_colours(live.n_classes)]
        url = f"/bench/{self.session.identifier}/live?v={live.number}"
        self._viewer.set_live(Live(url, live.rows, live.cols, colours))


def _icon(icon: str, text: str, action: Callable[[], Any]) -> ui.button:
    button = ui.button(icon=icon, on_click=action).props(
        f'flat dense color=white aria-label="{text}"'
    )
    return button.tooltip(text)


def _time_left(stage: Stage, spent: float) -> str:
    """What is left of a stage, in words, once there is something to tell it by."""
    if not stage.done or spent < 1:
        return ""
    left = spent * (1 - stage.done) / stage.done
    told = f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left"
    return f"at most {told}" if stage.may_end_early else f"{100 * stage.done:.0f} %, {told}"
