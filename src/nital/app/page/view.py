"""The view: what one tab of the browser shows of a session, and what is picked out in it."""

from nital.app.page.viewer import Mode
from nital.app.state.assignment import Assignment
from nital.app.state.field import Field
from nital.app.state.session import Session
from nital.result.grouping import Grouping


class View:
    """What one tab shows; several tabs may show one session.

    Nothing in it is stored: what has to last is on the session's bench. After changing an attribute
    call `forget`, so that everything is redrawn; the methods do it themselves.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.number: int | None = None
        """The number of the micrograph that is shown."""

        self._is_chosen = False
        """Whether the micrograph that is shown was chosen by hand."""

        self.mode: Mode = "overlay"
        self.selected: int | None = None
        """The class that is lit up, and that a click joins to another."""

        self.lit: list[int] | None = None
        """Fine classes that are lit up for another reason."""

        self.cropping = False
        """Whether the line is shown below which the micrograph is cut off."""

        self.preview: Grouping | None = None
        """Shown while the slider moves, before it is decided."""

        self.assignment: Assignment | None = None
        """Shown while fine classes are assigned to phases one by one."""

        self._seen: object = None

    @property
    def field(self) -> Field | None:
        """The micrograph that is shown."""
        return self._session.bench.fields.get(self.number or 0)

    @property
    def model(self) -> Grouping | None:
        """The classes as they are shown."""
        return self.preview or self._session.bench.model

    def show(self, number: int | None) -> None:
        """Show another micrograph."""
        if number != self.number:
            self.number, self.cropping, self._is_chosen = number, False, True
            self.forget()

    def set_mode(self, mode: Mode) -> None:
        """Show the original, the overlay, the classes, or how sure they are."""
        self.mode = mode
        self.forget()

    def select(self, number: int | None) -> None:
        """Light up a class; a click on another then joins that to it."""
        self.selected = number
        self.forget()

    def forget(self) -> None:
        """Have everything redrawn after the next `update`."""
        self._seen = None

    def update(self) -> bool:
        """Follow the session; whether anything has changed since the last call."""
        bench, field = self._session.bench, self.field
        if field is None or (field.error is not None and not self._is_chosen):
            best = bench.labelled or bench.usable
            self.number = best[0].number if best else next(iter(bench.fields), None)
            self.cropping = False
        is_idle = self._session.work is None
        seen = (bench.version, self.number, self.mode, self.selected, is_idle)
        if seen == self._seen:
            return False
        self._seen = seen
        if self.model is None or (self.selected or 0) > int(self.model.class_of.max()):
            self.selected = None
        return True
