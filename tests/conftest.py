"""What several tests share: a tiny micrograph, and the command line called in this process."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import tifffile
from PIL import Image

# Before torch is loaded: on cores that others use as well, two threads wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from helpers.benches import (
    Session,
    make_samples_small,
    see_steels_as_they_are,
    segmented,
    uploaded,
    with_glass,
)
from helpers.pictures import halves, make_views_few, make_views_small
from helpers.terminal import Nital, Outcome
from nital.commands.cli import main
from nital.fast import labelling
from nital.image import windows

# How long an example takes says nothing where tests run side by side. Each run has other examples:
# few of them suffice.
hypothesis.settings.register_profile("few", deadline=None, max_examples=30)
hypothesis.settings.load_profile("few")


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny micrograph `a.png` in the working directory, a new one for each test."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(halves()).save("a.png")
    return Path("a.png")


@pytest.fixture
def small_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views in which fast mode takes no time."""
    make_views_small(monkeypatch)


@pytest.fixture
def two_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only two of them, both small."""
    make_views_small(monkeypatch)
    make_views_few(monkeypatch)


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for a few small images, and small views of them."""
    make_samples_small(monkeypatch)


@pytest.fixture
def seen_steels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same; a pixel of the view of a `steel` is one of its own."""
    see_steels_as_they_are(monkeypatch)


@pytest.fixture
def left_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boundaries of fine classes stay where the nearest centres have them."""
    monkeypatch.setattr(labelling, "place_boundaries", lambda labels, *more: labels)


@pytest.fixture
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of more than 64 pixels a side have several blocks, and are learned from in tiles."""
    monkeypatch.setattr(windows, "BLOCK_SIDE", 64)
    monkeypatch.setattr(windows, "TILE_SIDE", 16)
    monkeypatch.setattr(windows, "N_TILES", 6)


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Do not alter it."""
    folder = tmp_path_factory.mktemp("first")
    fields = with_glass(folder, rows=32), uploaded(folder, 2), uploaded(folder, 3)
    with pytest.MonkeyPatch.context() as patch:
        see_steels_as_they_are(patch)
        return Session(folder, fields, segmented(folder, fields))


@pytest.fixture
def session(first: Session, tmp_path: Path) -> Session:
    """Three micrographs that are segmented, the upper half of the first transparent."""
    folder = Path(shutil.copytree(first.folder, tmp_path / "session"))
    fields = [
        replace(each, path=folder / each.path.relative_to(first.folder)) for each in first.fields
    ]
    return Session(folder, tuple(fields), first.model)


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Images of more than 1000 pixels are large."""
    from nital.image import large
    from nital.output import results

    for module in (large, results):
        monkeypatch.setattr(module, "LARGE_PIXELS", 1000)
    # Left to themselves files stay open until they are garbage, in whatever test that may be.
    opened: list[Any] = []
    for module, name in ((tifffile, "imread"), (tempfile, "TemporaryFile")):
        monkeypatch.setattr(module, name, remembering(getattr(module, name), opened))
    yield
    for each in opened:
        if hasattr(each, "close"):
            each.close()


def remembering(function: Callable[..., Any], given: list[Any]) -> Callable[..., Any]:
    """The same function, with all that it has given in a list."""

    def called(*arguments: Any, **named: Any) -> Any:
        given.append(function(*arguments, **named))
        return given[-1]

    return called


@pytest.fixture
def nital(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Nital:
    """The command `nital` in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["nital", *map(str, arguments)])
        handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
        capsys.readouterr()
        try:
            main()
            code: int | str | None = 0
        except SystemExit as stop:
            code = stop.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        said = capsys.readouterr()
        return Outcome(code if isinstance(code, int) else 0, said.out, said.err)

    return run
