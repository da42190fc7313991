"""Storage: results that appear whole or not at all, and journals that survive any crash."""

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nital.errors import NitalError, OutputError

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]

FOLDER = ".zarr"
"""Results with this ending are folders; all others are files."""


@contextmanager
def staged(folder: Path, owned: Sequence[str], *, force: bool) -> Iterator[Path]:
    """Write the files of a result aside; they move into `folder` together when all are done.

    If anything goes wrong on the way, `folder` stays as it was.

    Parameters
    ----------
    folder : Path
        Where the files shall appear; it is made if it is missing.
    owned : sequence of str
        The names that this result may use; those that end with `FOLDER` are folders. What has
        another name in `folder` is left alone.
    force : bool
        Whether files of these names that are there already may be replaced.

    Yields
    ------
    Path
        An empty folder to write to.

    Raises
    ------
    OutputError
        If a file is there and `force` is false, or if the disk refuses.
    """
    _check_free(folder, owned, force)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Inside the folder where it is there: its parent may be read-only, or another disk.
        beside = folder if folder.is_dir() else folder.parent
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=beside))
    try:
        with writing(folder):
            aside.chmod(0o777 & ~_umask())  # mkdtemp gives its folder to this user alone
            yield aside
            if not folder.exists():
                aside.rename(folder)
                return
            _check_free(folder, owned, force)  # another run may have been quicker
            replaced = Path(tempfile.mkdtemp(dir=aside))
            for name in owned:
                is_folder = name.endswith(FOLDER)
                if is_folder and (folder / name).exists():  # a rename replaces files only
                    (folder / name).rename(replaced / name)
                if (aside / name).exists():
                    (aside / name).replace(folder / name)
                elif not is_folder:
                    (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check_free(folder: Path, owned: Sequence[str], force: bool) -> None:
    with writing(folder):
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: is a file, not a folder; name another --out")
        there = [name for name in owned if (folder / name).exists()]
    if there and not force:
        raise OutputError(
            f"{folder / there[0]}: is there already; use --force to replace it, or another --out"
        )
    for name in there:
        is_folder = (folder / name).is_dir()
        if is_folder != name.endswith(FOLDER):
            raise OutputError(
                f"{folder / name}: a {'folder' if is_folder else 'file'} is in the way; move it, or"
                " name another --out"
            )


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn what the operating system says of a failed write into an OutputError."""
    try:
        yield
    except NitalError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{target}: can't be written ({reason}); check the path and the space there, or"
            " write somewhere else"
        ) from error


def check_new(path: Path, *, force: bool) -> None:
    """Refuse to replace a file without being told to.

    Raises
    ------
    OutputError
        If there is one, and `force` is false.
    """
    if path.is_dir():
        raise OutputError(f"{path}: a folder is in the way; name another --out")
    if path.exists() and not force:
        raise OutputError(f"{path}: is there already; use --force to replace it, or another --out")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file aside, then rename it: a reader finds all of it or none."""
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _check_same_study(described: Path, identity: dict[str, Any]) -> None:
    try:
        known = json.loads(described.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    wanted = json.loads(json.dumps(identity))  # as it would come back from the disk
    differing = [key for key in {**known, **wanted} if known.get(key) != wanted.get(key)]
    if differing:
        key = differing[0]
        raise OutputError(
            f"{described.parent}: holds another study ({key} {known.get(key)} there,"
            f" {wanted.get(key)} now); name another --out, or start it anew with --force"
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class Journal:
    """A CSV file of finished runs, one line each, that survives being killed at any moment.

    A line is on the disk before `append` returns. A last line that a crash cut short is dropped
    when the journal is opened again.

    Parameters
    ----------
    path : Path
        Made, with its header, if it is missing.
    fields : sequence of str
        The columns.

    Raises
    ------
    OutputError
        If the file is no journal with these columns, or can't be written.
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
        _ = self.rows  # is it a journal at all?

    @property
    def rows(self) -> list[dict[str, str]]:
        """The lines that are on the disk."""
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

        The system takes the lock back when a process ends, however it ends.

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
                        f"{self.path}: another process is at work on it; wait for it to end, or"
                        " name another --out"
                    ) from error
            yield

    @classmethod
    def of_study(
        cls, folder: Path, fields: Sequence[str], identity: dict[str, Any], *, force: bool
    ) -> "Journal":
        """The journal of a study in `folder`, made if it is missing.

        Parameters
        ----------
        identity : dict
            What all runs of the study have in common (input, settings, versions), ready for JSON.
            It is kept in `study.json`, so that runs of two studies are never mixed.
        force : bool
            Whether to throw away a journal that is there and start anew.

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
        """Write one line through to the disk."""
        with writing(self.path):
            self._write("a", [row[name] for name in self.fields])

    def _write(self, mode: str, values: Sequence[object]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        with self.path.open(mode, encoding="utf-8", newline="") as file:
            file.write(line.getvalue())
            file.flush()
            os.fsync(file.fileno())
