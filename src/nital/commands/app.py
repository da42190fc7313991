"""The command that opens the local page: app."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from nital.errors import SettingError


def app(
    port: Annotated[
        int | None,
        typer.Option(help="Where it listens on this machine.", show_default="7330, or a free one"),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Don't open the browser; print the address only.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Micrographs to choose from on the page.")
    ] = None,
) -> None:
    """Open the bench: a page in the browser, on this machine alone, to see, name and measure.

    It needs the extra nital[app]. Sessions are kept on the disk; it runs until Ctrl-C.
    """
    if importlib.util.find_spec("nicegui") is None:
        raise SettingError("nital app: NiceGUI is not installed; pip install 'nital[app]'")
    import os

    from platformdirs import user_state_path

    from nital.app.server.server import serve

    root = Path(os.environ.get("NITAL_SESSIONS") or user_state_path("nital") / "sessions")
    serve(root=root, port=port, folder=folder, show=not no_browser)
