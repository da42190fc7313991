"""A micrograph of a session, with what is known of it."""

from dataclasses import dataclass

from nital.app.work.fields import FieldFile, Labelled, Opened


@dataclass(frozen=True)
class Field:
    """A micrograph on the bench."""

    file: FieldFile
    opened: Opened | None = None
    labelled: Labelled | None = None
    error: str | None = None
    """Why it can't be used, in words."""

    picture: int = 0
    """Rises with each change of what is shown of the micrograph."""

    version: int = 0
    """Rises with each change of its classes."""

    @property
    def number(self) -> int:
        """Its number on this bench; it is never given to another."""
        return self.file.number

    @property
    def name(self) -> str:
        """The name that it is shown under."""
        return self.file.name

    @property
    def n_rows(self) -> int:
        """Rows that are not cut off; 0 if it is not open."""
        return 0 if self.opened is None else self.opened.shape[0] - self.opened.cropped_bottom
