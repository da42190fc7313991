"""What tests of the state share: workers that are started once, a session, a bench."""

import itertools
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from helpers.benches import fit, labelled, make_samples_small
from helpers.sessions import Known, opened, run
from nital.app.state import workers as workers_module
from nital.app.state.bench import Bench
from nital.app.state.desk import Desk
from nital.app.state.session import Session
from nital.app.work import tasks
from nital.app.work.fields import Opened
from nital.app.work.worker import Worker
from nital.fast.settings import FastSettings
from nital.image.micrograph import Micrograph
from nital.image.synthetic import synthesize
from nital.series.fitting import fit_model
from nital.series.model import Model


@pytest.fixture(scope="module")
def two_workers() -> Iterator[list[Worker]]:
    """Two that all desks of a module share: starting one takes a second."""
    workers = [Worker(tasks.__name__) for _ in range(2)]
    yield workers
    for worker in workers:
        worker.close()


@pytest.fixture
def shared(two_workers: list[Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    turns = itertools.cycle(two_workers)
    monkeypatch.setattr(workers_module, "Worker", lambda loads: next(turns))


@pytest.fixture
def desk(shared: None, tmp_path: Path) -> Desk:
    return Desk(tmp_path / "sessions")


@pytest.fixture(scope="module")
def segmented_before(
    two_workers: list[Worker], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The root and identifier of a session with two segmented micrographs; do not alter it."""
    root = tmp_path_factory.mktemp("first")

    async def story(session: Session) -> None:
        await opened(session, 1, 2)
        session.bench.set_settings(FastSettings(), "same")
        await session.segment()

    with pytest.MonkeyPatch.context() as patch:
        turns = iter(two_workers)
        patch.setattr(workers_module, "Worker", lambda loads: next(turns))
        session = Desk(root).new()
        run(story(session))
    return root, session.identifier


@pytest.fixture
def known(
    segmented_before: tuple[Path, str],
    shared: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Known:
    """The same on a new desk, as after the server was started again."""
    root, identifier = segmented_before
    desk = Desk(Path(shutil.copytree(root, tmp_path / "sessions")))
    asked: list[str] = []
    submit = desk.workers.submit

    def submitted(worker: Worker, title: str, *rest: Any) -> Any:
        asked.append(title)
        return submit(worker, title, *rest)

    monkeypatch.setattr(desk.workers, "submit", submitted)
    session = desk.find(identifier)
    assert session is not None
    return Known(desk, session, asked)


@pytest.fixture(scope="module")
def models() -> tuple[Model, Model]:
    """Two of four classes, of micrographs that show other constituents."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        make_samples_small(patch)
        for seed, other in enumerate(("pearlite", "martensite")):
            image = synthesize((64, 80), {"ferrite": 1, other: 1}, grain_size=16, seed=seed).image
            opener = partial(Micrograph.from_array, image, name=other)
            found.append(fit_model([opener], FastSettings(n_classes=4), exposure="same"))
    return found[0], found[1]


@pytest.fixture
def model(models: tuple[Model, Model]) -> Model:
    return models[0]


@pytest.fixture
def bench(tmp_path: Path, model: Model) -> Bench:
    """Three micrographs that are open, the first two of them labelled."""
    bench = Bench(tmp_path)
    for number in (1, 2, 3):
        bench.add(tmp_path / "uploads" / f"{number:03}.tif", f"field {number}.tif")
        bench.set_opened(Opened(number, (30, 40), 0, None))
    fit(bench, model)
    for number in (1, 2):
        bench.set_labelled(labelled(number, len(model.class_of), seed=number))
    return bench
