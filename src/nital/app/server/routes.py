"""The routes: what the browser requests beside the page: tiles, uploads and results."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from fastapi import HTTPException, Request, Response
from fastapi.responses import PlainTextResponse
from nicegui import app, background_tasks

from nital.app.server.downloads import NO_STORE, download, zipped
from nital.app.server.uploads import check_pixels, receive
from nital.app.state.bench import DECIDED
from nital.app.state.desk import Desk
from nital.app.state.session import Session
from nital.app.work.fields import result_in, shown_in
from nital.app.work.live import LIVE
from nital.app.work.tiles import map_tile, micrograph_tile
from nital.errors import InputError, NitalError
from nital.output.names import REPORT_FILE, SPECIMEN_FILES

MAX_BYTES = 2 * 2**30
"""Of an uploaded file."""

MAX_PIXELS = 400_000_000
"""Of a micrograph."""

_FIELD_FILES = ("labels.tif", "labels.zarr", "overlay.png", "classes.csv", "summary.json")
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


def add_routes(desk: Desk) -> None:
    """Add the addresses below `/bench/SESSION`."""

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
        return Response(content, media_type="application/octet-stream", headers=NO_STORE)

    @app.post("/bench/{identifier}/upload")
    async def upload(identifier: str, request: Request) -> Response:
        session = session_of(identifier)
        try:
            path, name = await _receive(request, session.folder / "uploads")
        except NitalError as error:
            return PlainTextResponse(str(error), 422)
        background_tasks.create(session.open(path, name))
        return PlainTextResponse("stored")

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
        return download(path, f"{stem}-{name}")

    @app.get("/bench/{identifier}/results/{name}")
    def summary(identifier: str, name: str) -> Response:
        session = session_of(identifier)
        if name == DECIDED and session.bench.is_fitted:
            return download(session.folder / DECIDED, "steel.nital")
        kept = session.folder / (DECIDED if session.bench.is_fitted else f"results/{REPORT_FILE}")
        if name == "results.zip" and kept.is_file():
            return zipped(session)
        if name not in (REPORT_FILE, *SPECIMEN_FILES):
            raise HTTPException(404, "no such result")
        return download(session.folder / "results" / name, name)


async def _receive(request: Request, folder: Path) -> tuple[Path, str]:
    """Where an uploaded file is stored, and the name that its owner gave it."""
    folder.mkdir(parents=True, exist_ok=True)
    given = request.headers.get("x-file-name", "")
    found = await receive(request.stream(), folder, given, max_bytes=MAX_BYTES)
    try:
        check_pixels(found.path, max_pixels=MAX_PIXELS, name=found.name)
    except InputError:
        found.path.unlink(missing_ok=True)
        raise
    return found.path, found.name
