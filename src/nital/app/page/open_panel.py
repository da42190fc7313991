"""Open: micrographs that are dropped, from a folder, or made; pixel size and info bar."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nicegui import ui

from nital.app.page.panel import Panel, quoted
from nital.app.page.uploader import Uploader
from nital.app.state.bench import Field
from nital.image.micrograph import parse_length

if TYPE_CHECKING:
    from nital.app.page.page import Page


class OpenPanel(Panel):
    """Micrographs: dropped, from a folder, or made; their pixel size and info bar."""

    def __init__(self, page: "Page", folder: Path | None, images: Sequence[Path]) -> None:
        super().__init__(page)
        base = f"/bench/{self.session.identifier}"
        Uploader(f"{base}/upload", "Choose micrographs, or drop them here", on_refused=page.say)
        if folder is not None:
            self._offer_folder(folder, images)
        ui.button("Try a synthetic micrograph", on_click=self._make).props("flat no-caps dense")
        self._list = ui.element("div").classes("w-full")
        with ui.column().classes("w-full q-gutter-y-xs") as self._about:
            self._size = (
                ui.input("Pixel size, as 0.25 um").props("dense outlined").classes("w-full")
            )
            self._size.on("change", lambda: page.attempt(self._set_size))
            self._same = ui.button("The same for all", on_click=lambda: page.attempt(self._set_all))
            self._same.props("flat dense no-caps")
            self._page = ui.number("Page of the file", min=1, precision=0).props("dense outlined")
            self._page.on("change", lambda: page.attempt(self._set_page))
            self._told = ui.label().classes("nital-note")
            self._crop = ui.switch(
                "Cut off the info bar: drag the line", on_change=lambda e: self._show_crop(e.value)
            ).props("dense")
        self._earlier = ui.column().classes("w-full q-gutter-y-xs")
        self._shown: object = None
        self._told_size: object = None

    def refresh(self) -> None:
        """Show the micrographs that are open."""
        fields = list(self.bench.fields.values())
        shown = [(each, each.number == self.page.number) for each in fields]
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
        chosen = field.number == self.page.number
        with ui.row().classes("w-full items-center no-wrap q-gutter-x-xs"):
            ui.button(field.name, on_click=lambda: self.page.show(field.number)).props(
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
            part = "it was done: a part is labelled" if self.bench.is_fitted else "training ended"
            ui.label(f"stopped before {part}").classes("nital-note")
        elif field.labelled is not None and field.labelled.is_far:
            ui.label(
                "unlike the others: check exposure and magnification, or segment all again"
            ).classes("nital-warning")

    def _show_about(self) -> None:
        field = self.bench.fields.get(self.page.number or 0)
        self._about.set_visibility(field is not None)
        if field is None:
            return
        opened = field.opened
        size = opened.pixel_size if opened else field.file.pixel_size
        if (field.number, size) != self._told_size:  # else somebody may be typing
            self._told_size = field.number, size
            self._size.set_value("" if size is None else f"{size:g} um")
        self._same.set_visibility(size is not None and len(self.bench.fields) > 1)
        self._page.set_value(field.file.page)
        has_pages = field.file.page is not None or "pages; choose" in (field.error or "")
        self._page.set_visibility(has_pages)
        self._crop.set_visibility(opened is not None)
        cut = opened.cropped_bottom if opened else 0
        self._told.set_text(
            ("lengths are in pixels" if size is None else f"1 pixel is {size:g} µm")
            + (" (typed)" if field.file.pixel_size is not None else "")
            + (f"; {cut:,} rows cut off" if cut else "")
        )
        self._crop.set_value(self.page.cropping)

    def _set_size(self) -> None:
        text, number = str(self._size.value or "").strip(), self.page.number
        if number is None:
            return
        self.bench.set_pixel_size(number, parse_length(text) if text else None)
        self.page.start(self.session.reopen(number))

    def _set_all(self) -> None:
        size = parse_length(str(self._size.value))
        for number, field in self.bench.fields.items():
            if field.file.pixel_size != size:
                self.bench.set_pixel_size(number, size)
                self.page.start(self.session.reopen(number))

    def _set_page(self) -> None:
        number, page = self.page.number, self._page.value
        if number is not None:
            self.session.set_page(number, int(page) if page else None)
            self.page.start(self.session.reopen(number))

    def _show_crop(self, cropping: bool) -> None:
        if cropping != self.page.cropping:
            self.page.cropping = cropping
            self.page.forget()

    def _remove(self, field: Field) -> None:
        self.page.ask(
            f"Take {field.name} off the bench? What was measured of it goes too.",
            "Keep it",
            "Take it off",
            lambda: self.session.remove(field.number),
        )

    def _make(self) -> None:
        self.page.start(self.session.make_synthetic())

    def _offer_folder(self, folder: Path, images: Sequence[Path]) -> None:
        names = {i: str(path.relative_to(folder)) for i, path in enumerate(images)}
        chosen = (
            ui.select(names, multiple=True, label=f"From {folder.name}: {len(images)} micrographs")
            .props("dense outlined use-chips")
            .classes("w-full")
        )

        def open_chosen(numbers: Sequence[int]) -> None:
            known = {field.file.path for field in self.bench.fields.values()}
            for i in numbers:
                if images[i] not in known:
                    self.page.start(self.session.open(images[i], names[i]))
            chosen.set_value([])

        with ui.row():
            ui.button("Open these", on_click=lambda: open_chosen(chosen.value)).props(
                "dense no-caps"
            )
            ui.button("Open all", on_click=lambda: open_chosen(list(names))).props(
                "flat dense no-caps"
            )

    def _offer_earlier(self) -> None:
        earlier = self.page.desk.earlier()[:8]
        if earlier:
            ui.label("Earlier sessions").classes("text-subtitle2 q-mt-md")
        for each in earlier:
            day = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.used))
            more = f" and {len(each.names) - 1} more" if len(each.names) > 1 else ""
            ui.link(f"{each.names[0]}{more}, {day}", f"/bench/{each.identifier}")
