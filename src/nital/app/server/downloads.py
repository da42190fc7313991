"""Downloads: results as files that a browser saves under names of their own."""

import re
import tempfile
import zipfile
from pathlib import Path
from urllib.parse import quote

from fastapi import HTTPException, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from nital.app.state.bench import DECIDED
from nital.app.state.session import Session
from nital.app.work.fields import result_in
from nital.output.names import REPORT_FILE, SPECIMEN_FILES

NO_STORE = {"Cache-Control": "no-store"}


def download(path: Path, name: str) -> Response:
    """A file under a name of its own; an answer 404 if it is not there."""
    if not path.is_file():
        raise HTTPException(404, "not there any more; press the button again")
    return FileResponse(path, headers=_attachment(name) | NO_STORE)


def _attachment(name: str) -> dict[str, str]:
    """The header that names a download; what ASCII can't hold is percent-encoded (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    quoted = quote(name, safe="")
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quoted}"}


def zipped(session: Session) -> Response:
    """A ZIP file with all results, in folders that have the names of the micrographs."""
    aside = tempfile.NamedTemporaryFile(  # noqa: SIM115 - removed after it was sent
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
    return FileResponse(path, headers=_attachment("nital-results.zip") | NO_STORE, background=clean)
