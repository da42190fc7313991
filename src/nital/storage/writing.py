"""Atomic writing: a result appears whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nital.errors import NitalError, OutputError

FOLDER = ".zarr"
"""Suffix of results that are folders; all others are files."""


@contextmanager
def staged(folder: Path, owned: Sequence[str], *, force: bool) -> Iterator[Path]:
    """Write the files of a result to a temporary folder, then move them all into `folder`.

    If anything fails, `folder` is left unchanged.

    Parameters
    ----------
    folder : Path
        Destination of the files; created if it is missing.
    owned : sequence of str
        Names that this result may use; those that end with `FOLDER` are folders. Files with other
        names in `folder` are left alone.
    force : bool
        Whether existing files with these names may be replaced.

    Yields
    ------
    Path
        An empty folder to write to.

    Raises
    ------
    OutputError
        If a file exists and `force` is false, or if writing fails.
    """
    _check_free(folder, owned, force)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Inside the folder if it exists: its parent may be read-only, or on another disk.
        beside = folder if folder.is_dir() else folder.parent
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=beside))
    try:
        with writing(folder):
            aside.chmod(0o777 & ~_umask())  # mkdtemp restricts its folder to this user
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
            f"{folder / there[0]}: already exists; use --force to replace it, or another --out"
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
    """Convert an operating system error on writing to an OutputError."""
    try:
        yield
    except NitalError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{target}: can't be written ({reason}); check the path and the free space, or"
            " write somewhere else"
        ) from error


def check_new(path: Path, *, force: bool) -> None:
    """Refuse to replace an existing file unless `force` is true.

    Raises
    ------
    OutputError
        If there is one and `force` is false, or the path is a folder.
    """
    if path.is_dir():
        raise OutputError(f"{path}: a folder is in the way; name another --out")
    if path.exists() and not force:
        raise OutputError(f"{path}: already exists; use --force to replace it, or another --out")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name, then rename it: a reader finds all of it or none."""
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
