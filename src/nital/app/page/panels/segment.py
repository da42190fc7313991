"""Segment: how many classes, at which scale, and one button."""

from collections.abc import Callable
from dataclasses import replace

from nicegui import ui

from nital.app.page.messages import Messages
from nital.app.page.panels.panel import Panel, count_of
from nital.app.page.view import View
from nital.app.state.session import Session
from nital.errors import InputError
from nital.fast.settings import (
    CORRECTED,
    FAST,
    KEPT,
    MAX_CLASSES,
    SCALES,
    FastSettings,
)
from nital.paper.settings import PAPER, PRESETS, PaperSettings
from nital.settings import AUTO, Settings

_SCALES = {
    "fine": "fine: particles, films, grains",
    "medium": "medium: areas of one texture",
    "coarse": "coarse: large areas of one texture",
}


_MODES = {
    "fast": "fast: seconds, the same classes for all",
    "paper": "paper: Kim et al. 2020, minutes for each",
}


class SegmentPanel(Panel):
    """How many classes, at which scale; one button.

    Parameters
    ----------
    session, view, messages
        As of any panel.
    on_done : callable
        Called when there are classes to decide on.
    """

    def __init__(
        self, session: Session, view: View, messages: Messages, on_done: Callable[[], object]
    ) -> None:
        super().__init__(session, view, messages)
        self._on_done = on_done
        settings = self._bench.settings
        fast = settings if isinstance(settings, FastSettings) else FAST
        paper = settings if isinstance(settings, PaperSettings) else PAPER
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
        self._hint = ui.label("You can change the number afterwards, at once.")
        self._hint.classes("nital-note")
        self._scale = (
            ui.select({each: _SCALES[each] for each in SCALES}, value=fast.scale, label="Scale")
            .props("dense outlined")
            .classes("w-full")
        )
        with ui.expansion("More settings").classes("w-full"):
            self._mode = (
                ui.select(_MODES, value=settings.mode, label="Mode")
                .props("dense outlined")
                .classes("w-full")
            )
            self._preset = (
                ui.select(
                    {
                        "paper": "the text of the paper",
                        "notebook": "the notebook that its authors released",
                        "script": "the script that its authors released",
                    },
                    value="paper",
                    label="Settings of",
                )
                .props("dense outlined")
                .classes("w-full")
            )
            self._seed = ui.number("Seed", value=paper.seed, min=0, precision=0).props(
                "dense outlined"
            )
            self._superpixels = (
                ui.number(
                    "Superpixels (empty: by size)",
                    value=paper.n_superpixels,
                    min=1,
                    precision=0,
                )
                .props("dense outlined")
                .classes("w-full")
            )
            self._compactness = (
                ui.number("Compactness of superpixels", value=paper.compactness, min=0)
                .props("dense outlined")
                .classes("w-full")
            )
            self._light = (
                ui.select(
                    {
                        CORRECTED: "corrected: uneven light is removed first",
                        KEPT: "kept: grey levels as they are",
                    },
                    value=fast.light,
                    label="Light",
                )
                .props("dense outlined")
                .classes("w-full")
            )
            self._exposure = (
                ui.select(
                    {
                        "auto": "auto: whatever makes the micrographs more alike",
                        "same": "same: a grey level means the same in all",
                        "each": "each: bring brightness and contrast in line",
                    },
                    value=self._bench.exposure,
                    label="Exposure",
                )
                .props("dense outlined")
                .classes("w-full")
            )
        self._button = (
            ui.button("Segment", on_click=self._segment).props("no-caps size=lg").classes("w-full")
        )
        self._apply = (
            ui.button(on_click=lambda: messages.start(session.apply(), self._show_result))
            .props("no-caps outline")
            .classes("w-full")
        )
        self._note = ui.label().classes("nital-note")
        self._mode.on_value_change(self._show_settings)
        self._preset.on_value_change(self._show_preset)
        self._show_settings()

    def _show_settings(self) -> None:
        """Only those that the mode has."""
        paper = self._mode.value == "paper"
        for fast in (self._auto, self._hint, self._scale, self._light, self._exposure):
            fast.set_visibility(not paper)
        for own in (self._preset, self._seed, self._superpixels, self._compactness):
            own.set_visibility(paper)
        if paper:
            self._auto.set_value(False)
        self.refresh()

    def _show_preset(self) -> None:
        preset = PRESETS[self._preset.value]
        self._superpixels.set_value(preset.n_superpixels)
        self._compactness.set_value(preset.compactness)

    def refresh(self) -> None:
        """Show what there is to segment."""
        usable, idle = self._bench.usable, self._session.work is None
        waiting = [each for each in usable if each.labelled is None]
        self._button.set_enabled(bool(usable) and idle)
        self._apply.set_visibility(bool(self._bench.labelled and waiting and self._bench.is_fitted))
        self._apply.set_text(f"Apply these classes to {count_of(waiting)} more")
        self._apply.set_enabled(idle)
        count = count_of(usable)
        if not usable:
            text = "Open a micrograph first."
        elif self._mode.value == "paper":
            text = "Only the micrograph that is shown is segmented: in paper mode each has classes"
            text += " of its own. Stop keeps the map as it is then."
        else:
            text = f"{count}; one set of classes for all."
        self._note.set_text(text)

    def _segment(self) -> None:
        def begin() -> None:
            self._bench.set_settings(self._settings(), self._exposure.value)
            self._view.select(None)
            self._messages.start(self._session.segment(self._view.number), self._show_result)

        if not (self._bench.model and self._bench.model.names):
            self._messages.attempt(begin)
            return
        self._messages.ask(
            "Segmenting again makes new classes: the names you gave are lost.",
            "Cancel",
            "Segment again",
            begin,
        )

    def _settings(self) -> Settings:
        auto, paper = self._auto.value, self._mode.value == "paper"
        for field in (self._number, *([self._compactness] if paper else [])):
            if field.value is None and not (auto and field is self._number):
                raise InputError(f"{field.label}: empty; type a number")
        number = int(self._number.value or 0)
        if paper:
            wanted = self._superpixels.value
            return replace(
                PRESETS[self._preset.value],
                n_classes=number,
                seed=int(self._seed.value or 0),
                n_superpixels=None if wanted is None else int(wanted),
                compactness=float(self._compactness.value),
            )
        n_classes = AUTO if auto else number
        return FastSettings(n_classes=n_classes, scale=self._scale.value, light=self._light.value)

    def _show_result(self) -> None:
        labelled = [field.number for field in self._bench.labelled]
        if labelled:
            if self._view.number not in labelled:
                self._view.show(labelled[0])
            self._on_done()
