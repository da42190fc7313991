"""The server: what the browser asks for beside the page, and the start of it all.

It listens on this machine alone, and `guard` keeps other pages of the browser out.
"""

import contextlib
import gc
import re
import socket
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from fastapi import HTTPException, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from nicegui import Client, app, background_tasks, ui
from starlette.background import BackgroundTask

from nital.app.page.page import build_page
from nital.app.server.guard import Guard
from nital.app.server.uploads import check_pixels, receive
from nital.app.state.bench import DECIDED
from nital.app.state.sessions import Desk, Session
from nital.app.work.fields import result_in, shown_in
from nital.app.work.live import LIVE
from nital.app.work.tiles import map_tile, micrograph_tile
from nital.errors import InputError, NitalError, reason_of
from nital.output.results import REPORT_FILE, SPECIMEN_FILES
from nital.work.batch import find_images

HOST = "127.0.0.1"
PORT = 7330
"""Where it listens, if nobody names another port and it is free."""

MAX_BYTES = 2 * 2**30
"""Of an uploaded file."""

MAX_PIXELS = 400_000_000
"""Of a micrograph."""

_FIELD_FILES = ("labels.tif", "labels.zarr", "overlay.png", "classes.csv", "summary.json")
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_NEVER = {"Cache-Control": "no-store"}


def serve(*, root: Path, port: int | None, folder: Path | None, show: bool) -> None:
    """Serve the page until the process is stopped.

    Parameters
    ----------
    root : Path
        Where sessions are kept.
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
    app.on_startup(_spare_collector)
    app.on_shutdown(desk.close)
    app.on_exception(_say_unexpected)
    _serve_files(desk)
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


def _spare_collector() -> None:
    """Have the garbage collector pass over what is loaded by now, which stays.

    To look through all of it took 0.1 s, in which nobody was answered.
    """
    gc.collect()
    gc.freeze()


def _say_unexpected(error: Exception) -> None:
    """A mistake of nital's own is told on the page; its traceback is in the terminal."""
    text = f"unexpected: {type(error).__name__}: {reason_of(error)}; the terminal says where"
    for client in list(Client.instances.values()):
        with client:
            ui.notify(text, type="negative", timeout=0, close_button="Close", position="top")


def _free_port(port: int | None) -> int:
    for wanted in (PORT, 0) if port is None else (port,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError, OverflowError):
                probe.bind((HOST, wanted))
                return int(probe.getsockname()[1])
    raise InputError(f"--port {port}: is taken, or not allowed; name another, or leave it out")


def _serve_files(desk: Desk) -> None:
    """The addresses below `/bench/SESSION`."""

    def session_of(identifier: str) -> Session:
        with contextlib.suppress(NitalError):
            found = desk.find(identifier)
            if found is not None:
                return found
        raise HTTPException(404, "no such session")

    def tile(make: Callable[..., bytes], path: Path, level: int, row: int, col: int) -> bytes:
        if not (0 <= level < 24 and 0 <= row < 2**20 and 0 <= col < 2**20):
            raise HTTPException(404, "no such tile")
        try:
            return make(path, level, row, col)
        except InputError as error:
            raise HTTPException(404, str(error)) from error

    tiles = "/bench/{identifier}/fields/{number}"

    @app.get(tiles + "/micrograph/{level}/{row}/{col}")
    def micrograph(identifier: str, number: int, level: int, row: int, col: int) -> Response:
        folder = shown_in(session_of(identifier).folder, number)
        content = tile(micrograph_tile, folder, level, row, col)
        return Response(content, media_type="image/png", headers=_FOREVER)

    @app.get(tiles + "/{kind}/{level}/{row}/{col}")
    def layer(identifier: str, number: int, kind: str, level: int, row: int, col: int) -> Response:
        if kind not in ("labels", "sure"):
            raise HTTPException(404, "no such layer")
        path = shown_in(session_of(identifier).folder, number) / f"{kind}.npy"
        content = tile(map_tile, path, level, row, col)
        return Response(content, media_type="application/octet-stream", headers=_FOREVER)

    @app.get("/bench/{identifier}/live")
    def live(identifier: str) -> Response:
        path = session_of(identifier).folder / LIVE
        content = path.read_bytes() if path.is_file() else b""
        return Response(content, media_type="application/octet-stream", headers=_NEVER)

    @app.post("/bench/{identifier}/upload")
    async def upload(identifier: str, request: Request) -> Response:
        session = session_of(identifier)
        try:
            path, name = await _receive(request, session.folder / "uploads")
        except NitalError as error:
            return PlainTextResponse(str(error), 422)
        background_tasks.create(session.open(path, name))
        return PlainTextResponse("taken")

    @app.post("/bench/{identifier}/reference/{number}")
    async def reference(identifier: str, number: int, request: Request) -> Response:
        session = session_of(identifier)
        try:
            path, name = await _receive(request, session.folder / "references")
            try:
                await session.score(number, path, name)
            finally:
                path.unlink(missing_ok=True)
        except NitalError as error:
            return PlainTextResponse(str(error), 422)
        return PlainTextResponse("compared")

    @app.get("/bench/{identifier}/results/{number}/{name}")
    def result(identifier: str, number: int, name: str) -> Response:
        session = session_of(identifier)
        if number not in session.bench.fields or name not in _FIELD_FILES:
            raise HTTPException(404, "no such result")
        path = result_in(session.folder, number) / name
        stem = Path(session.bench.fields[number].name).stem
        return _download(path, f"{stem}-{name}")

    @app.get("/bench/{identifier}/results/{name}")
    def summary(identifier: str, name: str) -> Response:
        session = session_of(identifier)
        if name == DECIDED and session.bench.is_fitted:
            return _download(session.folder / DECIDED, "steel.nital")
        kept = session.folder / (DECIDED if session.bench.is_fitted else f"results/{REPORT_FILE}")
        if name == "results.zip" and kept.is_file():
            return _zipped(session)
        if name not in (REPORT_FILE, *SPECIMEN_FILES):
            raise HTTPException(404, "no such result")
        return _download(session.folder / "results" / name, name)


async def _receive(request: Request, folder: Path) -> tuple[Path, str]:
    """What was uploaded, and what its owner calls it."""
    folder.mkdir(parents=True, exist_ok=True)
    given = request.headers.get("x-file-name", "")
    found = await receive(request.stream(), folder, given, max_bytes=MAX_BYTES)
    try:
        check_pixels(found.path, max_pixels=MAX_PIXELS, name=found.name)
    except InputError:
        found.path.unlink(missing_ok=True)
        raise
    return found.path, found.name


def _download(path: Path, name: str) -> Response:
    if not path.is_file():
        raise HTTPException(404, "not there any more; press the button again")
    return FileResponse(path, headers=_attachment(name) | _NEVER)


def _attachment(name: str) -> dict[str, str]:
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    quoted = quote(name, safe="")
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quoted}"}


def _zipped(session: Session) -> Response:
    """All results, in folders that are called as the micrographs."""
    aside = tempfile.NamedTemporaryFile(  # noqa: SIM115 - it goes when it was sent
        dir=session.folder, suffix=".part.zip", delete=False
    )
    path = Path(aside.name)
    with aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        results = session.folder / "results"
        for name in (REPORT_FILE, *SPECIMEN_FILES):
            if (results / name).is_file():
                archive.write(results / name, name)
        if session.bench.is_fitted:
            archive.write(session.folder / DECIDED, "steel.nital")
        for field in session.bench.labelled:
            folder = result_in(session.folder, field.number)
            stem = re.sub(r'[\\/:*?"<>|]', "_", Path(field.name).stem)
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    inside = file.relative_to(folder)
                    archive.write(file, f"{field.number:03} {stem}/{inside}")
    clean = BackgroundTask(path.unlink, missing_ok=True)
    return FileResponse(path, headers=_attachment("nital-results.zip") | _NEVER, background=clean)
