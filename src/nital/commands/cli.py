"""The command line: its commands, and the handling of errors and signals."""

import io
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from nital import __version__
from nital.commands import app as page
from nital.commands import batch, results, segment, series, specimen, studies, synthetic
from nital.errors import NitalError

# Modules that load numpy, torch, scikit-image or matplotlib are imported where they are used, so
# that help and usage errors appear at once.

app = App(
    name="nital",
    help="Tells the constituents of a steel's microstructure apart, without labelled images.",
    help_epilogue="--debug, anywhere, shows the traceback of an error.",
    help_format="plaintext",
    version=f"nital {__version__}",
    version_flags=["--version"],
    default_parameter=Parameter(
        negative=(), allow_repeating=True, json_list=False, json_dict=False
    ),
    result_action="return_none",
)

for command in (
    segment.segment,
    segment.predict,
    series.fit,
    series.name,
    results.score,
    results.fine,
    studies.superpixels,
    studies.classes,
    studies.map_,
    batch.batch,
    specimen.phases,
    specimen.report,
    specimen.export,
    page.app,
    synthetic.synth,
    synthetic.demo,
):
    app.command(command, name=command.__name__.rstrip("_"), sort_key=len(list(app)))


@contextmanager
def _errors_told(debug: bool) -> Iterator[None]:
    """Report errors that the user can fix in one line without traceback, with exit code 2."""
    try:
        yield
    except CycloptsError as error:
        from nital.commands.console import say_error

        text = " ".join(str(error).split())
        if isinstance(error, UnusedCliTokensError):
            text = f"unexpected argument {(error.unused_tokens or [''])[0]!r}"
        named = " ".join(["nital", *(error.command_chain or ())])
        say_error(f"{text} ({named} --help)")
        sys.exit(2)
    except NitalError as error:
        if debug:
            raise
        from nital.commands.console import say_error

        say_error(str(error))
        sys.exit(2)
    except Exception as error:
        if debug:
            raise
        from nital.commands.console import say_error

        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            say_error("not enough memory; use a smaller image or lower settings")
            sys.exit(2)
        say_error(
            f"unexpected: {type(error).__name__}: {error}; please report it, with the output of"
            " --debug"
        )
        sys.exit(1)


def _stop(signum: int, frame: object) -> NoReturn:
    """Exit through every `finally`, so that nothing half-written stays."""
    print("\nstopped; finished results and runs are kept", file=sys.stderr)
    sys.exit(128 + signum)


def main() -> None:
    """The command `nital`."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), _stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # print tables even on a terminal without "±"
            stream.reconfigure(errors="replace")
    # tifffile logs damaged files; the error raised for them is enough.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    with _errors_told(debug=len(arguments) < len(sys.argv) - 1):
        app(arguments, exit_on_error=False, print_error=False)
