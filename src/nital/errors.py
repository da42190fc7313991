"""What can go wrong in a way that the user can put right.

Every message names the value, the problem and the remedy. The command line prints it without a
traceback and exits with 2.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class NitalError(Exception):
    """Something that the user can put right; the parent of all errors that nital raises itself."""


class InputError(NitalError, ValueError):
    """A file, an array or a reference that can't be used."""


class NotFittedError(NitalError, ValueError, AttributeError):
    """A segmenter that was asked to predict before it was fitted."""


class SettingError(NitalError, ValueError):
    """A setting out of its range, or settings that contradict each other."""


class OutputError(NitalError, OSError):
    """A result that can't be written, or that would overwrite another."""


class Stopped(NitalError):  # noqa: N818 - like StopIteration
    """Raised by a callback to end the work under way; what there is by then becomes the result."""


@contextmanager
def damage_told(path: object, rows: slice) -> Iterator[None]:
    """Turn whatever a decoder raises on damaged rows of a file into an InputError."""
    try:
        yield
    except Exception as error:
        raise InputError(
            f"{path}: damaged, rows {rows.start} to {rows.stop} can't be read ({reason_of(error)});"
            " export it again"
        ) from error


def reason_of(error: Exception) -> str:
    """The first line of what an error says, or its name."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
