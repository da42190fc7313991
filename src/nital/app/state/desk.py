"""The desk: all sessions, new and earlier ones, in a folder on the disk."""

import contextlib
import json
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from nital.app.state.bench_file import FILE
from nital.app.state.session import Session
from nital.app.state.workers import Workers
from nital.errors import NitalError
from nital.storage.tables import read_json
from nital.storage.writing import writing

KEPT_DAYS = 30
"""Days after which a session that was not changed is removed when the server starts."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True)
class Earlier:
    """An earlier session."""

    identifier: str
    names: tuple[str, ...]
    """Of its micrographs."""

    used: float
    """When it was changed last, in seconds since 1970."""


class Desk:
    """All sessions, and the workers that they share.

    Parameters
    ----------
    root : Path
        Holds a folder for each session; made if it is missing.

    Raises
    ------
    OutputError
        If it can't be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        with writing(root):
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clean()
        self._sessions: dict[str, Session] = {}
        self.workers = Workers()

    def new(self) -> Session:
        """A session with an empty bench."""
        identifier = secrets.token_urlsafe(16)
        return self._open(identifier)

    def find(self, identifier: str) -> Session | None:
        """The session of this identifier, if there is one.

        Raises
        ------
        InputError
            If it is there, and can't be read.
        """
        if identifier in self._sessions:
            return self._sessions[identifier]
        if _IDENTIFIER.fullmatch(identifier) and (self.root / identifier).is_dir():
            return self._open(identifier)
        return None

    def earlier(self) -> list[Earlier]:
        """Sessions that hold a micrograph, the last first."""
        found = []
        for path in self.root.glob(f"*/{FILE}"):
            with contextlib.suppress(NitalError, KeyError, TypeError, OSError):
                names = tuple(each["file"]["name"] for each in read_json(path)["fields"])
                if names and _IDENTIFIER.fullmatch(path.parent.name):
                    found.append(Earlier(path.parent.name, names, path.stat().st_mtime))
        return sorted(found, key=lambda each: -each.used)

    def close(self) -> None:
        """End all work."""
        self.workers.close()

    def _open(self, identifier: str) -> Session:
        session = Session(identifier, self.root / identifier, self.workers)
        self._sessions[identifier] = session
        return session

    def _clean(self) -> None:
        """Remove sessions that are old or empty, and files that were left half-written."""
        for folder in self.root.iterdir():
            if not _IDENTIFIER.fullmatch(folder.name):
                continue
            described = folder / FILE
            old = time.time() - KEPT_DAYS * 24 * 3600
            used = described.stat().st_mtime if described.is_file() else 0
            empty = False
            with contextlib.suppress(NitalError, KeyError, TypeError, json.JSONDecodeError):
                empty = not read_json(described)["fields"]
            if used < old or empty:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for part in folder.rglob("*.part*"):
                if part.is_file():
                    part.unlink(missing_ok=True)
                else:
                    shutil.rmtree(part, ignore_errors=True)
