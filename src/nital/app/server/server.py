"""The server: the start of the page, on this machine alone.

`guard` keeps other pages of the browser out.
"""

import contextlib
import gc
import socket
from pathlib import Path

from nicegui import Client, app, ui

from nital.app.page.page import build_page
from nital.app.server.guard import Guard
from nital.app.server.routes import MAX_BYTES, add_routes
from nital.app.state.desk import Desk
from nital.errors import InputError, reason_of
from nital.work.batch import find_images

HOST = "127.0.0.1"
PORT = 7330
"""Where it listens, if nobody names another port and it is free."""


def serve(*, root: Path, port: int | None, folder: Path | None, show: bool) -> None:
    """Serve the page until the process is stopped.

    Parameters
    ----------
    root : Path
        Where sessions are stored.
    port : int, optional
        None: `PORT`, or any other that is free.
    folder : Path, optional
        Of micrographs to choose from.
    show : bool
        Whether to open the page in the browser.

    Raises
    ------
    InputError
        If the folder holds no micrograph, or the port is taken.
    OutputError
        If `root` can't be written.
    """
    images = [] if folder is None else find_images(folder, root)
    port = _free_port(port)
    desk = Desk(root)
    app.on_startup(_freeze_garbage)
    app.on_shutdown(desk.close)
    app.on_exception(_show_unexpected)
    add_routes(desk)
    build_page(desk, folder, images)
    app.add_middleware(Guard, port=port, max_body=MAX_BYTES)
    print(f"nital is at http://{HOST}:{port}/ on this machine; Ctrl-C ends it", flush=True)
    ui.run(
        host=HOST,
        port=port,
        title="nital",
        favicon=_ICON,
        dark=None,
        language="en-US",
        reload=False,
        show=show,
        show_welcome_message=False,
    )


_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#0072b2"'
    ' d="M0 0h9l-3 6-6 2z"/><path fill="#e69f00" d="M9 0h7v9l-6 1-4-4z"/><path fill="#009e73"'
    ' d="M0 8l6-2 4 4-1 6H0z"/><path fill="#d55e00" d="M16 9v7H9l1-6z"/></svg>'
)


def _freeze_garbage() -> None:
    """Have the garbage collector skip what is loaded by now, which stays.

    Searching all of it took 0.1 s, in which no request was answered.
    """
    gc.collect()
    gc.freeze()


def _show_unexpected(error: Exception) -> None:
    """Show a mistake of nital's own on all pages; its traceback is in the terminal."""
    text = f"unexpected: {type(error).__name__}: {reason_of(error)}; the terminal says where"
    for client in list(Client.instances.values()):
        with client:
            ui.notify(text, type="negative", timeout=0, close_button="Close", position="top")


def _free_port(port: int | None) -> int:
    """The port to listen at; None: `PORT`, or any other that is free."""
    for wanted in (PORT, 0) if port is None else (port,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError, OverflowError):
                probe.bind((HOST, wanted))
                return int(probe.getsockname()[1])
    raise InputError(f"--port {port}: is taken, or not allowed; name another, or leave it out")
