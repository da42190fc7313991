"""Visitors of the page, in a real browser.

With NITAL_SCREENSHOTS set, pictures of the page are left in the folder of that name.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from helpers.browser import SCREEN, free_port, nital_app
from helpers.fields import LARGE, MIDDLE, copy_session, grains, in_bits, write_tiff
from helpers.visitor import Visitor

if TYPE_CHECKING:
    from subprocess import Popen

    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of micrographs, whole and broken."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(1, 5):
        path = folder / f"field {seed}.tif"
        write_tiff(path, in_bits(grains(seed), np.uint8), 0.25)
    Image.fromarray(in_bits(grains(5), np.uint16)).save(folder / "deep.png")
    Image.fromarray(in_bits(grains(6), np.uint8)).save(folder / "photo.jpg", quality=95)
    Image.fromarray(in_bits(grains(7), np.uint8)).save(folder / "plain.bmp")
    Image.fromarray(in_bits(grains(8, 200, 200), np.uint8)).save(folder / "small.png")
    tile = in_bits(grains(9, 500, 500), np.uint8)
    for rows, cols in ((MIDDLE, MIDDLE), (LARGE, 1250)):
        pixels = np.tile(tile, (12, 3))[:rows, :cols]
        write_tiff(folder / f"{rows}.tif", pixels, 0.5)
    return folder


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sessions."""
    return tmp_path_factory.mktemp("sessions")


@pytest.fixture(scope="module")
def served(browser: "Browser", sessions: Path) -> "Iterator[tuple[str, Popen[bytes]]]":
    """Where the page is, and the process that serves it."""
    port = free_port()
    with nital_app(sessions, port) as process:
        yield f"http://127.0.0.1:{port}/", process


@pytest.fixture(scope="module")
def address(served: "tuple[str, Popen[bytes]]") -> str:
    """Where the page is."""
    return served[0]


@pytest.fixture
def visitor(page: "Page", address: str) -> Visitor:
    """Somebody with a session of his own."""
    return Visitor(page, address)


@pytest.fixture(scope="module")
def segmented(browser: "Browser", address: str, pictures: Path, sessions: Path) -> Path:
    """The folder of a session with `field 1.tif` and three classes."""
    context = browser.new_context(viewport=SCREEN)
    visitor = Visitor(context.new_page(), address)
    visitor.open(pictures / "field 1.tif")
    visitor.segment()
    identifier = visitor.page.url.rpartition("/")[2]
    context.close()
    return sessions / identifier


@pytest.fixture
def decider(page: "Page", address: str, segmented: Path) -> Visitor:
    """Somebody who finds three classes in a session of his own."""
    copied = copy_session(segmented, segmented.parent)
    visitor = Visitor(page, f"{address}bench/{copied.name}")
    visitor.assign.wait_for()
    visitor.is_drawn()
    return visitor


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """A folder for pictures of the page."""
    folder = Path(os.environ.get("NITAL_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
