"""Errors that the user can correct.

Every message names the value, the problem and the remedy. The command line prints it without a
traceback and exits with 2.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class NitalError(Exception):
    """Base class of the errors that nital raises; each is one that the user can correct."""


class InputError(NitalError, ValueError):
    """A file, an array or a reference that can't be used."""


class NotFittedError(NitalError, ValueError, AttributeError):
    """A prediction was requested from a segmenter that has not been fitted."""


class SettingError(NitalError, ValueError):
    """A setting out of its range, or settings that contradict each other."""


class OutputError(NitalError, OSError):
    """A result that can't be written, or that would overwrite another."""


class Stopped(NitalError):  # noqa: N818 - like StopIteration
    """Raised by a callback to end the work in progress; the result is what is done by then."""


@contextmanager
def reading_rows(path: object, rows: slice) -> Iterator[None]:
    """Convert whatever a decoder raises on damaged rows of a file to an InputError."""
    try:
        yield
    except Exception as error:
        raise InputError(
            f"{path}: damaged, rows {rows.start} to {rows.stop} can't be read ({reason_of(error)});"
            " export it again"
        ) from error


def reason_of(error: Exception) -> str:
    """The first line of an error's message, or its name if it has none."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
