"""Journals: finished runs, one line each, that survive a crash."""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nital.errors import OutputError
from nital.storage.writing import write_whole, writing

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]


class Journal:
    """A CSV file of finished runs, one line each, that survives being killed at any moment.

    A line is on the disk before `append` returns. A last line that a crash cut short is dropped
    when the journal is opened again.

    Parameters
    ----------
    path : Path
        Created, with its header, if it is missing.
    fields : sequence of str
        The columns.

    Raises
    ------
    OutputError
        If the file is not a journal with these columns, or can't be written.
    """

    def __init__(self, path: Path, fields: Sequence[str]) -> None:
        self.path = path
        self.fields = tuple(fields)
        with writing(path):
            data = path.read_bytes() if path.exists() else b""
            whole = data[: data.rfind(b"\n") + 1]
            if not whole:
                self._write("w", self.fields)
            elif whole != data:
                os.truncate(path, len(whole))
        _ = self.rows  # raises if it is not a journal

    @property
    def rows(self) -> list[dict[str, str]]:
        """The lines on the disk."""
        with writing(self.path):
            text = self.path.read_bytes().decode(errors="replace")
        header, *lines = csv.reader(io.StringIO(text))
        if tuple(header) != self.fields or any(len(line) != len(header) for line in lines):
            raise OutputError(
                f"{self.path}: not a journal with the columns {', '.join(self.fields)}; move it"
                " away, or name another --out"
            )
        return [dict(zip(header, line, strict=True)) for line in lines]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from working on the same journal.

        The system releases the lock when the process ends, however it ends.

        Raises
        ------
        OutputError
            If another process holds it.
        """
        with writing(self.path), self.path.open("rb") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise OutputError(
                        f"{self.path}: another process is using it; wait for it to end, or name"
                        " another --out"
                    ) from error
            yield

    @classmethod
    def of_study(
        cls, folder: Path, fields: Sequence[str], identity: dict[str, Any], *, force: bool
    ) -> "Journal":
        """Open the journal of a study in `folder`; create it if it is missing.

        Parameters
        ----------
        identity : dict
            What all runs of the study have in common (input, settings, versions), ready for JSON.
            It is stored in `study.json`, so that runs of two studies are never mixed.
        force : bool
            Whether to discard an existing journal and start again.

        Raises
        ------
        OutputError
            If the folder holds another study, or can't be written.
        """
        path, described = folder / "runs.csv", folder / "study.json"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if force:
                path.unlink(missing_ok=True)
            if path.exists():
                _check_same_study(described, identity)
            else:
                write_whole(described, json.dumps(identity, indent=2) + "\n")
        return cls(path, fields)

    def append(self, row: dict[str, object]) -> None:
        """Append one line, and sync it to the disk."""
        with writing(self.path):
            self._write("a", [row[name] for name in self.fields])

    def _write(self, mode: str, values: Sequence[object]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        with self.path.open(mode, encoding="utf-8", newline="") as file:
            file.write(line.getvalue())
            file.flush()
            os.fsync(file.fileno())


def _check_same_study(described: Path, identity: dict[str, Any]) -> None:
    try:
        known = json.loads(described.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    wanted = json.loads(json.dumps(identity))  # as it would be read back
    differing = [key for key in {**known, **wanted} if known.get(key) != wanted.get(key)]
    if differing:
        key = differing[0]
        raise OutputError(
            f"{described.parent}: holds another study ({key} {known.get(key)} there,"
            f" {wanted.get(key)} now); name another --out, or start again with --force"
        )
