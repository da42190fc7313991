"""Sessions of the page without a page, with micrographs of a few pixels in them."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nital.app.state.desk import Desk
from nital.app.state.session import Session
from nital.app.work.worker import Reporter

PATIENCE = 60
"""Seconds; whatever takes so long will never happen."""

SHAPES = {1: (48, 60), 2: (56, 72), 3: (40, 90), 4: (63, 4161)}
"""The view of the fourth has the same shape, and three blocks."""


@dataclass(frozen=True)
class Known:
    """A desk with a session, and the titles of the work submitted since."""

    desk: Desk
    session: Session
    asked: list[str]


def grains(number: int) -> NDArray[np.uint8]:
    """Dark, grey and bright squares with noise; each number is another picture."""
    rows, cols = np.indices(SHAPES[number]) // 12
    noise = np.random.default_rng(number).integers(0, 30, SHAPES[number])
    return (np.array([40, 120, 200])[(rows * number + cols) % 3] + noise).astype(np.uint8)


def picture(folder: Path, number: int) -> Path:
    """A file of `grains`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:03}.png"
    Image.fromarray(grains(number)).save(path)
    return path


async def opened(session: Session, *numbers: int) -> None:
    """Opens micrographs, as if they were dropped on the page."""
    for number in numbers:
        await session.open(picture(session.folder / "uploads", number), f"field {number}.png")


def run(story: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns, in an event loop of its own."""

    async def soon() -> Any:
        return await asyncio.wait_for(story, PATIENCE)

    return asyncio.run(soon())


async def until(is_so: Callable[[], Any]) -> None:
    """Waits until a condition holds."""
    while not is_so():
        await asyncio.sleep(0.005)


def hold(report: Reporter, path: Path) -> None:
    """Work that ends when there is a file of this path, or when it is stopped."""
    while not path.exists():
        report.check()
        time.sleep(0.005)
