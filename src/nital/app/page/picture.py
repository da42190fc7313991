"""The picture: the viewer with the progress of work over it, and the bar below."""

from collections.abc import Callable

from nicegui import ui

from nital.app.page.messages import Messages
from nital.app.page.progress import Progress
from nital.app.page.view import View
from nital.app.page.viewer import Cropped, Live, Mode, Pick, Shown, Source, Viewer
from nital.app.state.field import Field
from nital.app.state.session import Session
from nital.output.numbers import percent
from nital.output.render import class_colours, colours_of, hex_of

MODES: dict[Mode, str] = {
    "original": "Original",
    "overlay": "Overlay",
    "classes": "Classes",
    "sure": "How sure",
}


class Picture:
    """The micrograph that is shown, with its classes.

    Parameters
    ----------
    on_pick : callable
        Called with a `Pick` when a pixel is chosen.
    """

    def __init__(
        self,
        session: Session,
        view: View,
        messages: Messages,
        on_pick: Callable[[Pick], None],
    ) -> None:
        self._session, self._view, self._messages = session, view, messages
        self._bench = session.bench
        with ui.element("div").classes("nital-picture"):
            self._viewer = Viewer(on_pick=on_pick, on_crop=self._crop)
            self._progress = Progress(session)
        self._build_bar()

    def _build_bar(self) -> None:
        with ui.element("div").classes("nital-bar w-full"):
            ui.toggle(
                MODES, value=self._view.mode, on_change=lambda e: self._view.set_mode(e.value)
            ).props('dense no-caps aria-label="What is shown"')
            ui.label("Tint").classes("nital-note")
            ui.slider(
                min=0,
                max=1,
                step=0.05,
                value=0.5,
                on_change=lambda e: self._viewer.set_opacity(e.value),
            ).props('aria-label="Opacity of the tint"').style("width: 110px")
            ui.switch(
                "Wipe", on_change=lambda e: self._viewer.set_wipe(0.5 if e.value else None)
            ).props("dense")
            self._hint = ui.label().classes("nital-note col")

    def refresh_progress(self) -> None:
        """Show how far the work under way is, and the map as far as it is made."""
        self._progress.refresh()
        stage = self._session.stage
        live = None if stage is None or stage.field != self._view.number else stage.live
        if self._session.work is None or live is None:
            self._viewer.set_live(None)
            return
        colours = [hex_of(colour) for colour in class_colours(live.n_classes)]
        url = f"/bench/{self._session.identifier}/live?v={live.number}"
        self._viewer.set_live(Live(url, live.rows, live.cols, colours))

    def draw(self) -> None:
        """Show the micrograph and its classes as they are now."""
        field = self._view.field
        if field is None or field.opened is None:
            self._viewer.show(None)
            is_opening = field is not None and field.error is None
            self._hint.set_text(f"opening {field.name} …" if field and is_opening else "")
            return
        rows, cols = field.opened.shape
        cropping, mode, work = self._view.cropping, self._view.mode, self._session.work
        if mode == "sure" and field.labelled and work is None:
            self._find_sure(field.number)
        sure = self._session.sure(field.number) if field.labelled else None
        self._viewer.show(
            Source(
                f"/bench/{self._session.identifier}/fields/{field.number}",
                rows if cropping else field.n_rows,
                cols,
                field.opened.pixel_size,
                field.name,
                field.picture,
                field.version if field.labelled and not cropping else None,
                sure[0] if sure else None,
            )
        )
        self._viewer.set_digits(self._view.assignment is None)
        self._viewer.set_crop(field.n_rows if cropping else None)
        self._viewer.set_mode(mode if field.labelled or work else "original")
        self._draw_classes(field)
        self._hint.set_text(self._hint_of(field, sure[1] if sure else None))

    def _draw_classes(self, field: Field) -> None:
        view, model = self._view, self._view.model
        if model is None or field.labelled is None:
            self._viewer.set_classes([]).set_lit(None)
            return
        colours = [hex_of(colour) for colour in colours_of(model.classes)]
        names = self._bench.phases(model)
        shares = self._bench.fractions(field.number, model)
        titles = [f"{name}, {percent(share)}" for name, share in zip(names, shares, strict=True)]
        self._viewer.set_classes(
            [Shown(colours[i - 1], titles[i - 1], i) for i in model.class_of.tolist()]
        )
        lit = view.lit
        if lit is None and view.selected is not None:
            lit = list(model.members(view.selected))
        self._viewer.set_lit(lit)

    def _hint_of(self, field: Field, sure: float | None) -> str:
        """What stands below the picture; `sure` is the mean of how sure the classes are."""
        view, is_fitted = self._view, self._bench.is_fitted
        if view.selected is not None and view.model is not None:
            name = self._bench.phases(view.model)[view.selected - 1]
            return f"{name} is lit up: click another class to join it to this one, Esc to end"
        if view.mode == "sure" and not is_fitted:
            return "paper mode does not tell how sure it is; fast mode does"
        if view.mode == "sure":
            return "finding out …" if sure is None else f"mean {100 * sure:.0f} %"
        if field.labelled is not None and field.labelled.stopped:
            return "stopped before " + (
                "it was done: the figures are those of the part that has classes"
                if is_fitted
                else "training had ended"
            )
        return ""

    def _find_sure(self, number: int) -> None:
        if self._session.sure(number) is None and self._bench.is_fitted:
            self._messages.start(self._session.find_silhouette(number))

    def _crop(self, cropped: Cropped) -> None:
        field = self._view.field
        if field is None:
            return

        def crop() -> None:
            self._session.crop(field.number, cropped.rows)

        if field.labelled is not None and not self._bench.is_fitted:
            self._viewer.put_back(field.n_rows)
            question = "The classes of this micrograph would be lost, and have to be trained again."
            self._messages.ask(question, "Keep them", "Cut it off", crop)
        elif not self._messages.attempt(crop):
            self._viewer.put_back(field.n_rows)
