"""What can go wrong in a way that the user can put right.

Every message names the value, the problem and the remedy. The command line prints it without a
traceback and exits with 2.
"""


class NitalError(Exception):
    """Something that the user can put right; the parent of all errors that nital raises itself."""


class InputError(NitalError, ValueError):
    """A file, an array or a reference that can't be used."""


class SettingError(NitalError, ValueError):
    """A setting out of its range, or settings that contradict each other."""


class OutputError(NitalError, OSError):
    """A result that can't be written, or that would overwrite another."""
