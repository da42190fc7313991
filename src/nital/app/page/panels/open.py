"""Open: micrographs that are dropped, from a folder, or made; pixel size and info bar."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nicegui import ui

from nital.app.page.messages import Messages
from nital.app.page.panels.panel import Panel, quoted
from nital.app.page.uploader import Uploader
from nital.app.page.view import View
from nital.app.state.desk import Earlier
from nital.app.state.field import Field
from nital.app.state.session import Session
from nital.image.lengths import parse_length


class OpenPanel(Panel):
    """Micrographs: dropped, from a folder, or made; their pixel size and info bar.

    Parameters
    ----------
    session, view, messages
        As of any panel.
    earlier : callable
        Returns the earlier sessions, the last first.
    folder : Path, optional
        Of micrographs to choose from.
    images : sequence of Path
        The micrographs in it.
    """

    def __init__(
        self,
        session: Session,
        view: View,
        messages: Messages,
        earlier: Callable[[], Sequence[Earlier]],
        folder: Path | None,
        images: Sequence[Path],
    ) -> None:
        super().__init__(session, view, messages)
        self._list_earlier = earlier
        upload = f"/bench/{session.identifier}/upload"
        Uploader(upload, "Choose micrographs, or drop them here", on_refused=messages.say)
        if folder is not None:
            self._offer_folder(folder, images)
        ui.button("Try a synthetic micrograph", on_click=self._make).props("flat no-caps dense")
        self._list = ui.element("div").classes("w-full")
        with ui.column().classes("w-full q-gutter-y-xs") as self._about:
            self._size = (
                ui.input("Pixel size, as 0.25 um").props("dense outlined").classes("w-full")
            )
            self._size.on("change", lambda: messages.attempt(self._set_size))
            self._same = ui.button(
                "The same for all", on_click=lambda: messages.attempt(self._set_all)
            ).props("flat dense no-caps")
            self._page = ui.number("Page of the file", min=1, precision=0).props("dense outlined")
            self._page.on("change", lambda: messages.attempt(self._set_page))
            self._about_text = ui.label().classes("nital-note")
            self._crop = ui.switch(
                "Cut off the info bar: drag the line", on_change=lambda e: self._show_crop(e.value)
            ).props("dense")
        self._earlier = ui.column().classes("w-full q-gutter-y-xs")
        self._shown: object = None
        self._shown_size: object = None

    def refresh(self) -> None:
        """Show the micrographs that are open."""
        fields = list(self._bench.fields.values())
        shown = [(each, each.number == self._view.number) for each in fields]
        if shown == self._shown:
            return
        self._shown = shown
        self._list.clear()
        with self._list:
            for field in fields:
                self._add_row(field)
        self._show_about()
        self._earlier.clear()
        if not fields:
            with self._earlier:
                self._offer_earlier()

    def _add_row(self, field: Field) -> None:
        chosen = field.number == self._view.number
        with ui.row().classes("w-full items-center no-wrap q-gutter-x-xs"):
            ui.button(field.name, on_click=lambda: self._view.show(field.number)).props(
                f"flat dense no-caps align=left aria-pressed={str(chosen).lower()}"
            ).classes("col ellipsis" + (" text-bold" if chosen else ""))
            if field.opened is not None:
                ui.label(f"{field.opened.shape[1]:,} × {field.opened.shape[0]:,}").classes(
                    "nital-note"
                )
            ui.button(icon="close", on_click=lambda: self._remove(field)).props(
                f'flat dense round size=sm aria-label="Remove {quoted(field.name)}"'
            )
        if field.error is not None:
            ui.label(field.error).classes("text-negative nital-note").props("role=alert")
        elif field.opened is None:
            ui.label("opening …").classes("nital-note")
        elif field.labelled is not None and field.labelled.stopped:
            part = "it was done: a part is labelled" if self._bench.is_fitted else "training ended"
            ui.label(f"stopped before {part}").classes("nital-note")
        elif field.labelled is not None and field.labelled.is_far:
            ui.label(
                "unlike the others: check exposure and magnification, or segment all again"
            ).classes("nital-warning")

    def _show_about(self) -> None:
        field = self._view.field
        self._about.set_visibility(field is not None)
        if field is None:
            return
        opened = field.opened
        size = opened.pixel_size if opened else field.file.pixel_size
        if (field.number, size) != self._shown_size:  # otherwise somebody may be typing
            self._shown_size = field.number, size
            self._size.set_value("" if size is None else f"{size:g} um")
        self._same.set_visibility(size is not None and len(self._bench.fields) > 1)
        self._page.set_value(field.file.page)
        has_pages = field.file.page is not None or "pages; choose" in (field.error or "")
        self._page.set_visibility(has_pages)
        self._crop.set_visibility(opened is not None)
        cut = opened.cropped_bottom if opened else 0
        self._about_text.set_text(
            ("lengths are in pixels" if size is None else f"1 pixel is {size:g} µm")
            + (" (typed)" if field.file.pixel_size is not None else "")
            + (f"; {cut:,} rows cut off" if cut else "")
        )
        self._crop.set_value(self._view.cropping)

    def _set_size(self) -> None:
        text, number = str(self._size.value or "").strip(), self._view.number
        if number is None:
            return
        self._bench.set_pixel_size(number, parse_length(text) if text else None)
        self._messages.start(self._session.reopen(number))

    def _set_all(self) -> None:
        size = parse_length(str(self._size.value))
        for number, field in self._bench.fields.items():
            if field.file.pixel_size != size:
                self._bench.set_pixel_size(number, size)
                self._messages.start(self._session.reopen(number))

    def _set_page(self) -> None:
        number, page = self._view.number, self._page.value
        if number is not None:
            self._session.set_page(number, int(page) if page else None)
            self._messages.start(self._session.reopen(number))

    def _show_crop(self, cropping: bool) -> None:
        if cropping != self._view.cropping:
            self._view.cropping = cropping
            self._view.forget()

    def _remove(self, field: Field) -> None:
        self._messages.ask(
            f"Remove {field.name}? Its results are removed too.",
            "Keep it",
            "Remove it",
            lambda: self._session.remove(field.number),
        )

    def _make(self) -> None:
        self._messages.start(self._session.make_synthetic())

    def _offer_folder(self, folder: Path, images: Sequence[Path]) -> None:
        names = {i: str(path.relative_to(folder)) for i, path in enumerate(images)}
        chosen = (
            ui.select(names, multiple=True, label=f"From {folder.name}: {len(images)} micrographs")
            .props("dense outlined use-chips")
            .classes("w-full")
        )

        def open_chosen(numbers: Sequence[int]) -> None:
            known = {field.file.path for field in self._bench.fields.values()}
            for i in numbers:
                if images[i] not in known:
                    self._messages.start(self._session.open(images[i], names[i]))
            chosen.set_value([])

        with ui.row():
            ui.button("Open these", on_click=lambda: open_chosen(chosen.value)).props(
                "dense no-caps"
            )
            ui.button("Open all", on_click=lambda: open_chosen(list(names))).props(
                "flat dense no-caps"
            )

    def _offer_earlier(self) -> None:
        earlier = self._list_earlier()[:8]
        if earlier:
            ui.label("Earlier sessions").classes("text-subtitle2 q-mt-md")
        for each in earlier:
            day = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.used))
            more = f" and {len(each.names) - 1} more" if len(each.names) > 1 else ""
            ui.link(f"{each.names[0]}{more}, {day}", f"/bench/{each.identifier}")
