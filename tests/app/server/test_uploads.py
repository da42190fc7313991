"""Uploads: what a browser sends lands whole under a name of ours, or leaves nothing behind."""

import asyncio
import errno
import io
import struct
import threading
import unicodedata
import warnings
import zlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from nital.app.server import uploads
from nital.app.server.uploads import (
    CHUNK,
    NAME_LENGTH,
    Upload,
    check_pixels,
    display_name,
    receive,
)
from nital.errors import InputError, OutputError


async def pieces(
    data: Iterable[bytes], then: BaseException | None = None, pause: float = 0
) -> AsyncIterator[bytes]:
    for piece in data:
        await asyncio.sleep(pause)
        yield piece
    if then is not None:
        raise then


def send(folder: Path, name: str, *data: bytes, max_bytes: int = 1000, **how: Any) -> Upload:
    return asyncio.run(receive(pieces(data, **how), folder, name, max_bytes=max_bytes))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- what arrives -------------------------------------------------------------------------------


def test_a_file_gets_a_name_of_ours(tmp_path: Path) -> None:
    upload = send(tmp_path, quote("Härteprobe 3.TIF"), b"ab", b"", b"c")
    assert upload == Upload(1, tmp_path / "001.tif", "Härteprobe 3.TIF", 3)
    assert upload.path.read_bytes() == b"abc"
    assert send(tmp_path, "x.png", b"d").path == tmp_path / "002.png"
    assert left(tmp_path) == ["001.tif", "002.png"]


def test_numbers_go_on_from_the_highest(tmp_path: Path) -> None:
    for name in ("003.png", ".006.part", "notes.txt"):
        (tmp_path / name).touch()
    assert send(tmp_path, "a.png", b"x").number == 7
    (tmp_path / "999").mkdir()
    assert send(tmp_path, "a.png", b"x").path.name == "1000.png"


def test_large_files_are_written_piece_by_piece_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int, bool]] = []
    plain = asyncio.to_thread

    async def watched(write: Any) -> None:
        before = next(tmp_path.iterdir()).stat().st_size

        def run() -> None:
            write()
            beside = threading.current_thread() is not threading.main_thread()
            written.append((next(tmp_path.iterdir()).stat().st_size - before, beside))

        await plain(run)

    monkeypatch.setattr(asyncio, "to_thread", watched)
    data = np.random.default_rng(0).bytes(5 * CHUNK // 2)
    step = 100_000
    parts = [data[start : start + step] for start in range(0, len(data), step)]
    upload = send(tmp_path, "a.png", *parts, max_bytes=len(data))
    assert upload.n_bytes == len(data)
    assert upload.path.read_bytes() == data
    assert all(beside for _, beside in written)
    assert [size >= CHUNK for size, _ in written] == [True, True, False]


def test_simultaneous_uploads_share_nothing(tmp_path: Path) -> None:
    async def both() -> list[Upload]:
        streams = [pieces([letter] * 5, pause=0.001) for letter in (b"a", b"b", b"c")]
        names = ("a.png", "b.tif", "c.png")
        sent = zip(streams, names, strict=True)
        return await asyncio.gather(*(receive(s, tmp_path, n, max_bytes=9) for s, n in sent))

    found = asyncio.run(both())
    assert left(tmp_path) == ["001.png", "002.tif", "003.png"]
    assert [upload.path.read_bytes() for upload in found] == [b"aaaaa", b"bbbbb", b"ccccc"]


def test_a_number_taken_since_the_folder_was_listed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("001.tif", ".002.part"):
        (tmp_path / name).touch()
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(()))
    assert send(tmp_path, "a.png", b"x").path.name == "003.png"


# --- what leaves nothing behind -----------------------------------------------------------------


class GoneError(Exception):
    """What a server raises when its client has gone."""


@pytest.mark.parametrize("error", [GoneError(), ConnectionResetError("reset by peer")])
def test_a_client_that_goes_away(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(InputError, match=r"^a\.png: broke off after 2 bytes \(.+\); send it again"):
        send(tmp_path, "a.png", b"ab", then=error)
    assert left(tmp_path) == []


@pytest.mark.parametrize("n_bytes", [1, CHUNK])
def test_an_upload_that_is_cancelled(tmp_path: Path, n_bytes: int) -> None:
    async def cancel() -> None:
        stream = pieces([bytes(n_bytes)] * 1000, pause=0.001)
        task = asyncio.create_task(receive(stream, tmp_path, "a.png", max_bytes=1 << 40))
        while not left(tmp_path):
            await asyncio.sleep(0.001)
        assert left(tmp_path) == [".001.part"]
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert left(tmp_path) == []


def test_too_long_and_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^a\.png: more than the 3 bytes that the page takes"):
        send(tmp_path, "a.png", b"ab", b"cd", max_bytes=3)
    assert send(tmp_path, "a.png", b"ab", b"c", max_bytes=3).n_bytes == 3
    for nothing in ((), (b"",)):
        with pytest.raises(InputError, match=r"^a\.png: an empty file"):
            send(tmp_path, "a.png", *nothing)
    assert left(tmp_path) == ["001.png"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(write: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(asyncio, "to_thread", refuse)
    with pytest.raises(OutputError, match=r"^a\.png: can't be kept \(No space left on device\)"):
        send(tmp_path, "a.png", b"ab")
    assert left(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_disk_that_is_really_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reserve(folder: Path) -> tuple[int, Path, Any]:
        part = folder / ".001.part"
        part.touch()
        return 1, part, Path("/dev/full").open("wb")

    monkeypatch.setattr(uploads, "_reserve", reserve)
    with pytest.raises(OutputError, match=r"No space left"):
        send(tmp_path, "a.png", b"ab")
    assert left(tmp_path) == []


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^a\.png: can't be kept \(No such file"):
        send(tmp_path / "none", "a.png", b"ab")


# --- names --------------------------------------------------------------------------------------

NAMES = [
    ("../../etc/passwd.png", "passwd.png", "001.png"),
    ("..%2f..%2Fetc%2fpasswd.png", "passwd.png", "001.png"),
    ("..%252f..%252fpasswd.png", "passwd.png", "001.png"),
    ("C:\\x\\y.TIF", "y.TIF", "001.tif"),
    ("a\u202egnp.exe.jpeg", "agnp.exe.jpeg", "001.jpeg"),
    ("a\0.png\r\nX-Evil: 1.bmp", "a.pngX-Evil: 1.bmp", "001.bmp"),
    (quote("🔬 Gefüge.Png"), "🔬 Gefüge.Png", "001.png"),
    ("%E4.tiff", "\ufffd.tiff", "001.tiff"),
]


@pytest.mark.parametrize(("given_name", "shown", "kept"), NAMES)
def test_hostile_names(tmp_path: Path, given_name: str, shown: str, kept: str) -> None:
    folder = tmp_path / "session"
    folder.mkdir()
    upload = send(folder, given_name, b"x")
    assert upload.name == shown
    assert upload.path == folder / kept
    assert left(folder) == [kept]
    assert left(tmp_path) == ["session"]


@pytest.mark.parametrize(
    "name", ["a\u202egnp.exe", "a.png/", "png", ".png", "a.tif%00.svg", "..", "", "a.png.zip"]
)
def test_other_kinds_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"not of a kind that is read \(\.tif, \.tiff, \.png"):
        send(tmp_path, name, b"x")
    assert left(tmp_path) == []


def test_long_names_keep_their_ends(tmp_path: Path) -> None:
    name = send(tmp_path, "x" * 396 + ".png", b"x").name
    assert len(name) == NAME_LENGTH
    assert name.startswith("xxx")
    assert name.endswith("x.png")


@given(st.one_of(st.text(), st.text(alphabet="%25ef0./\\ \u202eé\x00", max_size=300)))
@example("%2541%\x0041")
@example("%" + "25" * 40_000)
@example("\ud800")
def test_names_are_harmless(given_name: str) -> None:
    name = display_name(given_name)
    assert 0 < len(name) <= NAME_LENGTH
    assert not set(name) & set("/\\\0")
    assert not {unicodedata.category(c) for c in name} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert name not in (".", "..")
    assert display_name(name) == name


@given(st.from_regex(r"[A-Za-z0-9äöüß_-]{1,40}\.(png|TIF)", fullmatch=True))
def test_everyday_names_stay_as_they_are(name: str) -> None:
    assert display_name(quote(name)) == name


# --- pixels -------------------------------------------------------------------------------------


def png_header(rows: int, cols: int, depth: int) -> bytes:
    """A PNG with a header of any size, and next to no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", cols, rows, depth, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    bomb = tmp_path / "001.png"
    bomb.write_bytes(png_header(60_000, 60_000, 16))
    with pytest.raises(
        InputError, match=r"^a\.png: more than 179 megapixels; the page opens up to 100; save it"
    ):
        check_pixels(bomb, max_pixels=100_000_000, name="a.png")


def test_the_limit_is_the_callers_and_not_pillows(tmp_path: Path) -> None:
    path = tmp_path / "001.png"
    path.write_bytes(png_header(8_000, 15_000, 8))  # Pillow warns from 89 megapixels on
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_pixels(path, max_pixels=120_000_000)
        with pytest.raises(
            InputError,
            match=r"^001\.png: 15,000 x 8,000 pixels, 120 megapixels; the page opens up to 119\.9;"
            " use `nital segment`, or a part of it$",
        ):
            check_pixels(path, max_pixels=119_900_000)


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "tiff"])
def test_every_kind_is_measured_whatever_its_suffix(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "001.png"
    Image.new("L", (30, 20)).save(path, kind)
    check_pixels(path, max_pixels=600)
    with pytest.raises(InputError, match=r"30 x 20 pixels"):
        check_pixels(path, max_pixels=599)


def test_the_largest_page_counts_even_before_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "001.tif"
    stack = io.BytesIO()
    with tifffile.TiffWriter(stack) as tiff:
        for size in (4, 30, 5):
            tiff.write(np.zeros((size, size), np.uint8), contiguous=False)
    path.write_bytes(stack.getvalue())
    with tifffile.TiffFile(path) as read:
        last = read.pages[2].aspage().offset
    check_pixels(path, max_pixels=900)
    for data in (stack.getvalue(), stack.getvalue()[: last + 5]):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"30 x 30 pixels"):
            check_pixels(path, max_pixels=899)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"II*\0\xff\xff\xff\xff", b"\x89PNG\r\n\x1a\n"])
def test_what_has_no_header_passes(
    tmp_path: Path, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "001.tif"
    path.write_bytes(data)
    check_pixels(path, max_pixels=1)
    check_pixels(tmp_path / "none.png", max_pixels=1)
    assert capfd.readouterr().err == ""
