"""The command app, which opens the local page."""

import importlib.util
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nital.commands import options as opt
from nital.errors import SettingError


def app(
    *,
    port: Annotated[
        int | None,
        opt.WHOLE,
        Parameter(help="Port to listen on. Default: 7330, or a free one."),
    ] = None,
    no_browser: Annotated[
        bool, opt.flag("Only print the address; don't open the browser.")
    ] = False,
    folder: Annotated[
        Path | None, Parameter(help="Folder of micrographs to choose from on the page.")
    ] = None,
) -> None:
    """Open the bench: a local page in the browser to segment, name and measure.

    Needs the extra nital[app]. Sessions are stored on disk; runs until Ctrl-C.
    """
    if importlib.util.find_spec("nicegui") is None:
        raise SettingError("nital app: NiceGUI is not installed; pip install 'nital[app]'")
    import os

    from platformdirs import user_state_path

    from nital.app.server.server import serve

    root = Path(os.environ.get("NITAL_SESSIONS") or user_state_path("nital") / "sessions")
    serve(root=root, port=port, folder=folder, show=not no_browser)
