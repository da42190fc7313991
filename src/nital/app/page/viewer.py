"""The viewer: one micrograph as tiles, and over it a map that the browser colours.

Colours, opacity and what is lit up are look-up tables in the browser (`viewer.js`, which imports
`viewer-*.js`): changing them moves no pixels. The server sends pixels at four kinds of address
below a source's `url`:

- `/micrograph/LEVEL/ROW/COL?v=VERSION`: a tile as PNG or JPEG
- `/labels/LEVEL/ROW/COL?v=VERSION`: its fine classes, one byte a pixel, 0 = excluded
- `/sure/LEVEL/ROW/COL?v=VERSION`: how sure they are, one byte a pixel, 0 to 100 %; 255 = excluded
- a live map's own `url`: one byte a cell

Level l holds every 2^l-th row and column from the first on; a tile has 512 of them a side, fewer at
the end. The first level that is a single tile is the last.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments, Handler, UiEventArguments, handle_event

Mode = Literal["original", "overlay", "classes", "sure"]
"""The micrograph, tinted by class, the classes alone, or how sure they are."""


@dataclass(frozen=True)
class Source:
    """A micrograph and its maps; the browser asks for a layer again when its version changes."""

    url: str  # tiles are below it
    rows: int
    cols: int
    pixel_size: float | None  # µm
    name: str
    micrograph: int  # the version
    labels: int | None = None  # None: there is no such layer
    sure: int | None = None


@dataclass(frozen=True)
class Shown:
    """How a fine class is shown."""

    colour: str  # "#rrggbb"
    title: str  # what the pointer tells, as "pearlite, 24.40 %"
    phase: int


@dataclass(frozen=True)
class Live:
    """A small map that is stretched over the micrograph while work is under way."""

    url: str  # another one for each frame
    rows: int
    cols: int
    colours: Sequence[str]  # "#rrggbb" of 1, 2, ...; 0 is see-through


@dataclass(kw_only=True, slots=True)
class Pick(UiEventArguments):
    """A pixel was clicked, tapped, or chosen with the keyboard."""

    label: int | None  # 0: excluded; None: there is no map, or it is not loaded yet
    phase: int | None
    row: int
    col: int
    shift: bool
    ctrl: bool  # or the command key


@dataclass(kw_only=True, slots=True)
class Wiped(UiEventArguments):
    """The line between the original and what is shown was let go at this share of the width."""

    share: float


@dataclass(kw_only=True, slots=True)
class Cropped(UiEventArguments):
    """The line below which all is cut off was let go: so many rows are kept."""

    rows: int


# In the head of every page, so that nothing is seen without its looks.
ui.add_css(Path(__file__).with_name("viewer.css"), shared=True)


# The address of the dependencies tells when the newest was changed: no browser keeps an older one.
class Viewer(Element, component="viewer.js", dependencies=["viewer-*.js"]):
    """Shows a micrograph and its classes; fills its parent, at least 320 px high.

    Parameters
    ----------
    on_pick, on_wipe, on_crop : callable, optional
        Called with a `Pick`, a `Wiped`, a `Cropped`.
    """

    def __init__(
        self,
        *,
        on_pick: Handler[Pick] | None = None,
        on_wipe: Handler[Wiped] | None = None,
        on_crop: Handler[Cropped] | None = None,
    ) -> None:
        super().__init__()
        self._handlers = (on_pick, on_wipe, on_crop)
        self._props.update(
            {"source": None, "classes": [], "mode": "overlay", "opacity": 0.5, "digits": True}
            | dict.fromkeys(("wipe", "lit", "crop", "live"))
        )
        self.on("pick", self._picked)
        self.on("wipe", self._wiped)
        self.on("crop", self._cropped)

    def show(self, source: Source | None) -> Self:
        """Shows a micrograph; the view stays where it is unless `url` or the size is another."""
        return self._set("source", source and asdict(source))

    def set_classes(self, classes: Sequence[Shown]) -> Self:
        """Sets how labels 1, 2, ... are shown."""
        return self._set("classes", [asdict(each) for each in classes])

    def set_mode(self, mode: Mode) -> Self:
        """Sets what is shown."""
        return self._set("mode", mode)

    def set_opacity(self, opacity: float) -> Self:
        """Sets the opacity of the tint in mode "overlay", 0 to 1."""
        return self._set("opacity", opacity)

    def set_wipe(self, share: float | None) -> Self:
        """Shows the original in the left share of the width, 0 to 1; None takes the line away."""
        return self._set("wipe", share)

    def set_digits(self, on: bool) -> Self:
        """Sets whether the keys 0 and 1 zoom; not where the page has another use for them."""
        return self._set("digits", on)

    def set_lit(self, labels: Sequence[int] | None) -> Self:
        """Lights up these labels and dims all others; None lights up nothing."""
        return self._set("lit", labels if labels is None else list(labels))

    def set_crop(self, rows: int | None) -> Self:
        """Shows a line below the rows to keep; None takes it away."""
        return self._set("crop", rows)

    def put_back(self, rows: int) -> Self:
        """Moves the line of `set_crop` back, after it was let go elsewhere."""
        self._keep("crop", rows)
        self.run_method("placeLines")
        return self

    def set_live(self, live: Live | None) -> Self:
        """Shows a frame of a live map instead of the classes; None ends it."""
        return self._set("live", live and {**asdict(live), "colours": list(live.colours)})

    def _set(self, name: str, value: object) -> Self:
        if self._props.get(name) != value:
            self._props[name] = value  # which sends it
        return self

    def _keep(self, name: str, value: object) -> None:
        """Remembers what the browser shows already."""
        with self._props.suspend_updates():
            self._props[name] = value

    def _picked(self, event: GenericEventArguments) -> None:
        names = ("label", "phase", "row", "col", "shift", "ctrl")
        found: dict[str, Any] = {name: event.args[name] for name in names}
        handle_event(self._handlers[0], Pick(sender=self, client=event.client, **found))

    def _wiped(self, event: GenericEventArguments) -> None:
        self._keep("wipe", event.args)
        share = Wiped(sender=self, client=event.client, share=event.args)
        handle_event(self._handlers[1], share)

    def _cropped(self, event: GenericEventArguments) -> None:
        self._keep("crop", event.args)
        rows = Cropped(sender=self, client=event.client, rows=event.args)
        handle_event(self._handlers[2], rows)
