"""Uploads: micrographs that a browser sends, stored under names of our own.

A client's name is only shown: no path is ever made of it.
"""

import asyncio
import logging
import unicodedata
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote

import tifffile
from PIL import Image

from nital.errors import InputError, NitalError, OutputError, reason_of
from nital.work.batch import SUFFIXES

CHUNK = 1 << 20
"""Bytes that are written at once."""

NAME_LENGTH = 120
"""Characters of a name that are shown."""

# What tifffile logs about a damaged file is reported when it is opened.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Upload:
    """A micrograph that has arrived."""

    number: int
    """Its place among the uploads of its folder, from 1."""

    path: Path
    name: str
    """What the client calls it, for display only."""

    n_bytes: int


async def receive(
    stream: AsyncIterator[bytes], folder: Path, given_name: str, *, max_bytes: int
) -> Upload:
    """Write what a client sends to a new file; if anything goes wrong, no file is left.

    Parameters
    ----------
    stream : asynchronous iterator of bytes
        The body of the request.
    folder : Path
        Where the file appears when it is complete, as `001.tif`, `002.png` and so on.
    given_name : str
        The client's name of it, percent-encoded or not. Its suffix gives the kind of file.
    max_bytes : int
        The most that is accepted.

    Raises
    ------
    InputError
        If the name is of another kind than `nital.work.batch.SUFFIXES`, or if the stream is empty,
        too long, or breaks off.
    OutputError
        If the disk refuses.
    """
    name = display_name(given_name)
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{name}: not of a kind that is read ({', '.join(SUFFIXES)}); export it as TIFF or PNG"
        )
    with _writing(name, folder):
        number, part, file = _reserve(folder)
        try:
            with file:  # closed before it is renamed or removed, as Windows wants it
                n_bytes = await _pour(stream, file, name, max_bytes)
            path = part.rename(folder / f"{number:03}{suffix}")
        finally:
            part.unlink(missing_ok=True)
    return Upload(number, path, name, n_bytes)


def display_name(given: str) -> str:
    """The last part of a client's name of a file, as a line of harmless text.

    Percent-encoding is undone until nothing is left of it, so that a cleaned name stays as it is.
    Control characters and what turns the direction of writing are left out.

    >>> display_name("..%2F..%2Fetc/passwd.png")
    'passwd.png'
    >>> display_name("C:\\\\steel\\\\A\\u202e 1.TIF")
    'A 1.TIF'
    """
    name, before = given[-4096:], None  # a header may be long, and the kind stands at the end
    while name != before:
        before = name
        last = unquote(name).replace("\\", "/").rpartition("/")[2]
        # Control, format (bidi overrides are), lone surrogate; line and paragraph separators.
        kept = [c for c in last if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")]
        name = _shortened("".join(kept).strip().strip("."))
    return name or "micrograph"


def check_pixels(path: Path, *, max_pixels: int, name: str | None = None) -> None:
    """Refuse an image with too many pixels by its header, before any of them is decoded.

    A file without a readable header passes: opening it reports what is wrong.

    Parameters
    ----------
    max_pixels : int
        Of a page, where there are several.
    name : str, optional
        Its name in messages. None: that of the file.

    Raises
    ------
    InputError
        If it has more.
    """
    name = path.name if name is None else name
    try:
        for rows, cols in _sizes(path):
            if rows * cols > max_pixels:
                raise InputError(
                    f"{name}: {cols:,} x {rows:,} pixels, {_mega(rows * cols)} megapixels; the page"
                    f" opens up to {_mega(max_pixels)}; use `nital segment`, or a part of it"
                )
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise InputError(
            f"{name}: more than {_mega(limit)} megapixels; the page opens up to"
            f" {_mega(min(limit, max_pixels))}; save it as TIFF for `nital segment`, or cut out a"
            " part of it"
        ) from error
    except Exception:  # decoders raise anything on damaged files
        return


def _sizes(path: Path) -> Iterator[tuple[int, int]]:
    """(rows, cols) of each page, whatever the suffix is; no pixel is read."""
    try:
        tiff = tifffile.TiffFile(path)
    except tifffile.TiffFileError:
        with warnings.catch_warnings():
            # Pillow warns of half of what it refuses; here the limit is the caller's.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                size = image.height, image.width
        yield size
        return
    with tiff:
        for each in tiff.pages:
            page = each.aspage()
            yield page.imagelength * page.imagedepth, page.imagewidth


async def _pour(stream: AsyncIterator[bytes], file: BinaryIO, name: str, max_bytes: int) -> int:
    """Write the stream, off the event loop, and count its bytes."""
    n_bytes, waiting = 0, bytearray()
    try:
        async for piece in stream:
            n_bytes += len(piece)
            if n_bytes > max_bytes:
                raise InputError(
                    f"{name}: more than the {max_bytes:,} bytes that the page takes; use"
                    " `nital segment`, or a part of it"
                )
            waiting += piece
            if len(waiting) >= CHUNK:
                await _write(file, waiting, name)
                waiting = bytearray()
    except NitalError:
        raise
    except Exception as error:  # each server has its own errors for a client that has disconnected
        raise InputError(
            f"{name}: broke off after {n_bytes:,} bytes ({reason_of(error)}); send it again"
        ) from error
    if not n_bytes:
        raise InputError(f"{name}: an empty file; copy or export it again")
    await _write(file, waiting, name)
    return n_bytes


async def _write(file: BinaryIO, data: bytearray, name: str) -> None:
    def write() -> None:
        file.write(data)
        file.flush()

    with _writing(name, Path(file.name).parent):
        await asyncio.to_thread(write)


def _reserve(folder: Path) -> tuple[int, Path, BinaryIO]:
    """The next number, and its partial file, which no other upload uses.

    The partial file holds the number: another upload sees it, or the complete one.
    """
    names = [path.name.lstrip(".").partition(".")[0] for path in folder.iterdir()]
    number = max((int(name) for name in names if name.isdecimal()), default=0)
    while True:
        number += 1
        part = folder / f".{number:03}.part"
        try:
            file = part.open("xb")
        except FileExistsError:
            continue
        if not any(folder.glob(f"{number:03}.*")):
            return number, part, file
        file.close()  # another was completed since the folder was listed
        part.unlink()


@contextmanager
def _writing(name: str, folder: Path) -> Iterator[None]:
    """Turn an error of the operating system into an OutputError."""
    try:
        yield
    except NitalError:
        raise
    except OSError as error:
        raise OutputError(
            f"{name}: can't be kept ({error.strerror or error}); check {folder} and the space there"
        ) from error


def _shortened(name: str) -> str:
    """Its beginning and its end, where it is too long."""
    half = NAME_LENGTH // 2
    return name if len(name) <= NAME_LENGTH else f"{name[:half]}…{name[1 - half :]}"


def _mega(pixels: int) -> str:
    return f"{pixels / 1e6:,.1f}".removesuffix(".0")
