"""The desk: sessions are found again, and nothing is removed that is not old or empty."""

import asyncio
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from helpers.sessions import Known, hold, picture, run, until
from nital.app.state import workers
from nital.app.state.bench import Bench
from nital.app.state.bench_file import FILE
from nital.app.state.desk import KEPT_DAYS, Desk
from nital.app.work import tasks
from nital.app.work.worker import RUNNING, STOPPED, Reporter, Worker
from nital.errors import InputError, OutputError
from nital.fast.settings import FastSettings
from nital.settings import Settings

pytestmark = pytest.mark.usefixtures("shared")

DAY = 24 * 3600


def test_a_session_is_found_again(known: Known) -> None:
    bench = known.session.bench
    bench.rename(1, "pearlite")
    assert known.desk.find(known.session.identifier) is known.session
    again = Desk(known.desk.root)
    session = again.find(known.session.identifier)
    assert session is not None
    assert session is not known.session
    assert session is again.find(session.identifier)
    assert session.bench.fields == bench.fields
    assert session.bench.phases() == ["pearlite", "class 2", "class 3"]
    assert [field.number for field in session.bench.labelled] == [1, 2]
    session.bench.undo()
    assert session.bench.phases() == ["class 1", "class 2", "class 3"]
    assert [each.identifier for each in again.earlier()] == [session.identifier]


def test_a_model_that_was_not_adopted_changes_nothing(known: Known) -> None:
    """As where the server ends, or the worker is killed, just when it is written."""
    bench = known.session.bench
    bench.rename(1, "pearlite")

    def die(message: Any) -> None:
        if isinstance(message, Settings):
            raise InterruptedError

    files, report = [field.file for field in bench.usable], Reporter(die, lambda: False)
    with pytest.raises(InterruptedError):
        tasks.segment_fields(report, bench.folder, files, FastSettings(n_classes=4), "same")
    session = Desk(known.desk.root).find(known.session.identifier)
    assert session is not None
    assert session.bench.model is not None
    assert bench.model is not None
    assert session.bench.model.classes == bench.model.classes


def test_every_session_has_its_own_name_and_folder(desk: Desk) -> None:
    made = [desk.new() for _ in range(3)]
    assert len({session.identifier for session in made}) == 3
    for session in made:
        assert session.folder == desk.root / session.identifier
        assert session.folder.is_dir()
        assert desk.find(session.identifier) is session
    again = Desk(desk.root)
    for session in made:  # they are empty
        assert again.find(session.identifier) is None


def test_what_is_no_name_of_a_session_is_not_found(desk: Desk, tmp_path: Path) -> None:
    session = desk.new()
    picture(tmp_path / "outside", 1)
    (desk.root / "notes").mkdir()
    for name in ("a" * 21, "a" * 23, "a" * 21 + "."):
        (desk.root / name).mkdir()
    (desk.root / ("f" * 22)).touch()
    for identifier in (
        "",
        ".",
        "..",
        "/",
        str(desk.root / session.identifier),
        f"{session.identifier}/",
        f"{session.identifier}\n",
        f"../sessions/{session.identifier}",
        "../outside",
        "notes",
        "a" * 21,
        "a" * 23,
        "a" * 21 + ".",
        "a" * 10_000,
        "\0" * 22,
        "b" * 22,
        "f" * 22,
        session.identifier[:-1],
    ):
        assert desk.find(identifier) is None
    assert not (desk.root / ("b" * 22)).exists()


def test_a_session_that_can_not_be_read_is_an_error(known: Known) -> None:
    (known.session.folder / FILE).write_text("{")
    again = Desk(known.desk.root)
    with pytest.raises(InputError, match="damaged"):
        again.find(known.session.identifier)
    assert again.earlier() == []


def bench_of(folder: Path, name: str | None, days: float = 0) -> Path:
    """A session that was changed so many days ago."""
    bench = Bench(folder)
    if name is None:
        bench.set_settings(FastSettings(), "same")
    else:
        bench.add(folder / "uploads" / "001.tif", name)
    used = time.time() - days * DAY
    os.utime(folder / FILE, (used, used))
    return folder


def test_earlier_sessions_come_the_last_first(tmp_path: Path) -> None:
    bench_of(tmp_path / ("a" * 22), "old.tif", days=3)
    bench_of(tmp_path / ("b" * 22), "new.tif", days=1)
    middle = bench_of(tmp_path / ("c" * 22), "middle.tif", days=2)
    Bench(middle).add(Path("b.tif"), "second.tif")
    used = time.time() - 2 * DAY
    os.utime(middle / FILE, (used, used))
    bench_of(tmp_path / ("d" * 22), "damaged.tif", days=1)
    (tmp_path / ("d" * 22) / FILE).write_text("[]")
    desk = Desk(tmp_path)
    desk.new()
    bench_of(tmp_path / ("e" * 22), None)
    found = desk.earlier()
    assert [each.names for each in found] == [
        ("new.tif",),
        ("middle.tif", "second.tif"),
        ("old.tif",),
    ]
    assert [each.identifier for each in found] == ["b" * 22, "c" * 22, "a" * 22]
    assert found[1].used == pytest.approx(used)


def test_what_is_old_or_empty_is_removed_at_the_start_and_nothing_else(tmp_path: Path) -> None:
    young = bench_of(tmp_path / ("y" * 22), "a.tif", days=KEPT_DAYS - 1)
    old = bench_of(tmp_path / ("o" * 22), "a.tif", days=KEPT_DAYS + 1)
    empty = bench_of(tmp_path / ("e" * 22), None)
    bare = tmp_path / ("b" * 22)
    damaged = bench_of(tmp_path / ("-_" * 11), "a.tif")
    (damaged / FILE).write_text("{")
    foreign = bench_of(tmp_path / "notes", None, days=KEPT_DAYS + 1)
    kept = [
        young / "uploads" / "001.tif",
        young / "model.nital",
        young / "shown" / "001" / "labels.npy",
        young / "results" / "001" / "labels.tif",
        young / "results" / "001" / "part.txt",
        damaged / "model.nital",
        foreign / ".bench.json.part",
        tmp_path / "a.part",
    ]
    left = [
        young / ".bench.json.part",
        young / "uploads" / ".002.part",
        young / "shown" / "001" / "labels.part.npy",
        young / "results" / ".001.x7.part" / "labels.tif",
        young / "results" / ".001.x7.part" / "deeper" / "more.part",
        young / "results" / "001" / ".001.x8.part" / "labels.tif",
        young / "tmp3.part.zip",
        old / "uploads" / "001.tif",
        bare / "uploads" / "001.tif",
    ]
    for path in (*kept, *left):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    desk = Desk(tmp_path)
    assert [path for path in kept if not path.exists()] == []
    assert [path for path in left if path.exists()] == []
    assert not list(young.rglob(".*"))
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {young.name, damaged.name, "notes", "a.part"}
    assert desk.find(young.name) is not None
    assert [desk.find(each.name) for each in (old, empty, bare)] == [None] * 3


def test_a_folder_that_can_not_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/sessions: can't be written"):
        Desk(tmp_path / "file" / "sessions")


def test_closing_the_desk_ends_all_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "Worker", Worker)
    before = {process.pid for process in multiprocessing.active_children()}
    desk = Desk(tmp_path)
    submitted = []

    async def story() -> None:
        for worker in (desk.workers.computer, desk.workers.helper):
            path = {"path": tmp_path / "never"}
            submitted.append(desk.workers.submit(worker, "hold", hold, path, lambda _: None))
        await until(lambda: all(work.state == RUNNING for work, _ in submitted))
        await asyncio.to_thread(desk.close)
        await asyncio.gather(*(ended for _, ended in submitted))

    run(story())
    assert [work.state for work, _ in submitted] == [STOPPED] * 2
    assert {process.pid for process in multiprocessing.active_children()} == before
