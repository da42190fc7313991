"""Sessions: each has its own work done, and what was done once is not done again."""

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.sessions import PATIENCE, SHAPES, Known, grains, hold, opened, picture, run, until
from nital.app.state.desk import Desk
from nital.app.state.session import Session
from nital.app.state.workers import WorkError
from nital.app.work import tasks
from nital.app.work.fields import result_in, shown_in
from nital.app.work.live import Stage
from nital.app.work.worker import Reporter
from nital.errors import InputError
from nital.fast.settings import FastSettings
from nital.image.labels import read_labels
from nital.paper.settings import PaperSettings
from nital.settings import Settings

# --- what is done in the process -----------------------------------------------------------------


def segment_first(
    report: Reporter,
    session: Path,
    fields: list[tasks.FieldFile],
    settings: Settings,
    exposure: str,
) -> None:
    """As `segment_fields`, but it never comes to the second."""
    tasks.segment_fields(report, session, fields[:1], settings, exposure)
    while True:
        report.check()
        time.sleep(0.01)


def hang(
    report: Reporter,
    session: Path,
    fields: list[tasks.FieldFile],
    settings: Settings,
    exposure: str,
) -> None:
    """As `segment_fields`, but it takes very long after the second block."""

    def say(message: Any) -> None:
        report(message)
        if isinstance(message, Stage) and message.live and message.live.n_done == 2:
            time.sleep(10 * PATIENCE)

    tasks.segment_fields(Reporter(say, lambda: False), session, fields, settings, exposure)


def learn_slowly(
    report: Reporter, session: Path, fields: list[tasks.FieldFile], settings: Settings
) -> int:
    """As `train_field`, but it takes very long after the second iteration."""

    def say(message: Any) -> None:
        report(message)
        if isinstance(message, Stage) and message.live and message.live.n_done == 2:
            time.sleep(10 * PATIENCE)

    tasks.DRAWING_PAUSE = 0  # in the process that computes
    return tasks.train_field(Reporter(say, lambda: False), session, fields, settings)


def make_small(report: Reporter, path: Path) -> None:
    path.parent.mkdir(parents=True)
    Image.fromarray(grains(1)).save(path)


# --- micrographs ---------------------------------------------------------------------------------


def test_an_error_of_one_file_is_stored_with_it_and_the_others_open(desk: Desk) -> None:
    session = desk.new()

    async def story() -> None:
        letter = picture(session.folder / "uploads", 3)
        letter.write_text("Dear Sir")
        await asyncio.gather(
            opened(session, 1), session.open(letter, "letter.png"), opened(session, 2)
        )

    run(story())
    assert [field.name for field in session.bench.usable] == ["field 1.png", "field 2.png"]
    (bad,) = (field for field in session.bench.fields.values() if field.error)
    assert bad.error is not None
    assert bad.error.startswith("letter.png: not an image of a known kind")
    assert bad.opened is None
    for field in session.bench.usable:
        assert field.opened is not None
        number = int(field.name[6])
        assert field.opened.shape == SHAPES[number]
        shown = np.load(shown_in(session.folder, field.number) / "micrograph-0.npy")
        np.testing.assert_array_equal(shown, grains(number))


def test_a_file_is_read_again_after_its_pixel_size_was_typed(desk: Desk) -> None:
    session = desk.new()

    async def story() -> None:
        await opened(session, 1)
        session.bench.set_pixel_size(1, 0.25)
        await session.reopen(1)

    run(story())
    field = session.bench.fields[1]
    assert field.opened is not None
    assert (field.opened.pixel_size, field.error) == (0.25, None)


def test_a_synthetic_micrograph_is_opened(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "make_synthetic", make_small)
    session = desk.new()
    field = run(session.make_synthetic())
    assert field.name == "synthetic ferrite-pearlite.png"
    assert field.opened is not None
    assert field.opened.shape == SHAPES[1]
    assert field.file.path.parent == session.folder / "uploads"


@pytest.mark.parametrize("uploaded", [True, False], ids=["uploaded", "in a folder"])
def test_only_files_of_the_session_are_removed(desk: Desk, tmp_path: Path, uploaded: bool) -> None:
    session = desk.new()
    folder = session.folder / "uploads" if uploaded else tmp_path / "steel"
    paths = [picture(folder, number) for number in (1, 2)]
    for number, path in enumerate(paths, start=1):
        session.bench.add(path, path.name)
        for own in (shown_in, result_in):
            picture(own(session.folder, number), 1)
    session.remove(1)
    assert list(session.bench.fields) == [2]
    assert [path.exists() for path in paths] == [not uploaded, True]
    assert [shown_in(session.folder, number).exists() for number in (1, 2)] == [False, True]
    assert [result_in(session.folder, number).exists() for number in (1, 2)] == [False, True]
    paths[1].unlink()
    session.remove(2)
    assert session.bench.fields == {}


@pytest.mark.parametrize(
    "again",
    [
        True,
        False,
    ],
)
def test_a_micrograph_may_be_removed_while_it_is_opened(desk: Desk, again: bool) -> None:
    session = desk.new()

    async def story() -> None:
        path = picture(session.folder / "uploads", 1)
        if again:
            await session.open(path, "a.png")
        opening = asyncio.create_task(session.reopen(1) if again else session.open(path, "a.png"))
        await asyncio.sleep(0)
        session.remove(1)
        await opening

    run(story())
    assert session.bench.fields == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session.remove(1),
        lambda session: session.crop(1, 20),
        lambda session: session.set_page(1, 1),
    ],
    ids=["remove", "crop", "page"],
)
def test_what_is_under_work_does_not_change(desk: Desk, change: Callable[[Session], None]) -> None:
    session = desk.new()

    async def story() -> None:
        await opened(session, 1)
        work = asyncio.create_task(session.segment())
        await until(lambda: session.work is not None)
        with pytest.raises(InputError, match="segmenting is under way; wait for it, or stop it"):
            change(session)
        await work

    run(story())
    (field,) = session.bench.labelled
    assert field.file.crop_bottom is None
    change(session)
    assert session.bench.labelled == []


# --- segmentation --------------------------------------------------------------------------------


def test_work_of_two_sessions_is_queued_and_not_mixed(desk: Desk) -> None:
    one, two = desk.new(), desk.new()
    before = []

    async def story() -> None:
        await asyncio.gather(opened(one, 1), opened(two, 2, 3))
        one.bench.set_settings(FastSettings(n_classes=2), "same")
        two.bench.set_settings(FastSettings(n_classes=3), "same")
        first, second = (asyncio.create_task(each.segment()) for each in (one, two))
        await until(lambda: one.work is not None and two.work is not None)
        before.extend([one.n_before, two.n_before])
        assert two.work is not None
        assert two.stage is None
        for session in (one, two):
            with pytest.raises(InputError, match="segmenting is under way; wait for it, or stop"):
                await session.segment()
        await first
        assert (one.work, one.n_before) == (None, 0)
        assert len(one.bench.labelled) == 1
        assert not two.bench.labelled or two.work is None
        await second

    run(story())
    assert before == [0, 1]
    for session, numbers, k in ((one, (1,), 2), (two, (2, 3), 3)):
        assert (session.work, session.stage) == (None, None)
        assert [field.name for field in session.bench.labelled] == [
            f"field {number}.png" for number in numbers
        ]
        for field, number in zip(session.bench.labelled, numbers, strict=True):
            assert field.labelled is not None
            labels = np.load(shown_in(session.folder, field.number) / "labels.npy")
            assert labels.shape == SHAPES[number]
            counts = np.bincount(labels.ravel(), minlength=session.bench.n_fine + 1)[1:]
            assert field.labelled.areas == tuple(counts)
        model = session.bench.model
        assert model is not None
        assert len(model.classes) == k
        assert [name for name, _ in model.images] == [f"field {number}.png" for number in numbers]


def test_what_is_done_when_it_is_stopped_stays_and_the_rest_can_be_labelled(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, other = desk.new(), desk.new()
    session.stop()  # nothing is under way

    async def story() -> None:
        await asyncio.gather(opened(session, 1, 2), opened(other, 3))
        monkeypatch.setattr(tasks, "segment_fields", segment_first)
        work = asyncio.create_task(session.segment())
        await until(lambda: session.bench.labelled)
        waiting = asyncio.create_task(other.segment())
        await until(lambda: other.work is not None)
        other.stop()
        await waiting
        assert not work.done()
        session.stop()
        await work

    run(story())
    assert [field.number for field in session.bench.labelled] == [1]
    assert (session.work, session.stage, other.work) == (None, None, None)
    assert (other.bench.model, other.bench.labelled) == (None, [])
    before, model = session.bench.fields[1], session.bench.model
    run(session.apply())
    assert [field.number for field in session.bench.labelled] == [1, 2]
    assert session.bench.fields[1] == before
    assert session.bench.model is model
    with pytest.raises(InputError, match="nothing to label; open more micrographs"):
        run(session.apply())
    with pytest.raises(InputError, match=r"nothing to label; .* or segment first"):
        run(other.apply())


def test_what_was_done_when_it_had_to_be_killed_stays(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = desk.new()
    monkeypatch.setattr(tasks, "segment_fields", hang)

    async def story() -> None:
        await opened(session, 4)  # three blocks of 1387 columns
        work = asyncio.create_task(session.segment())
        await until(lambda: (stage := session.stage) and stage.live and stage.live.n_done == 2)
        session.stop()
        await work

    run(story())
    assert (session.work, session.stage) == (None, None)
    (field,) = session.bench.labelled
    assert field.labelled is not None
    assert field.labelled.stopped
    labels = np.load(shown_in(session.folder, 1) / "labels.npy")
    done = np.indices(SHAPES[4])[1] < 2 * 1387
    np.testing.assert_array_equal(labels > 0, done)
    assert field.labelled.areas == tuple(
        np.bincount(labels.ravel(), minlength=session.bench.n_fine + 1)[1:]
    )
    assert run(session.keep()).fields[0].n_pixels == 63 * 2 * 1387


def test_why_it_failed_is_reported(desk: Desk) -> None:
    session = desk.new()
    with pytest.raises(InputError, match="no micrograph is open; open one first"):
        run(session.segment())
    run(opened(session, 1))
    session.bench.fields[1].file.path.unlink()
    with pytest.raises(WorkError, match=r"^field 1\.png: no such file"):
        run(session.segment())
    assert (session.work, session.stage, session.bench.model) == (None, None, None)
    picture(session.folder / "uploads", 1)
    run(session.segment())
    assert len(session.bench.labelled) == 1


def test_what_is_under_way_is_known_with_its_beginning(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = desk.new()
    clock = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    for text, done, since in (("a", 0.1, 0), ("a", 0.5, 0), ("b", 0.0, 2), ("a", 0.6, 3)):
        session._on_message(Stage(text, done))
        assert session.stage == Stage(text, done)
        assert session.stage_since == since


# --- what is kept --------------------------------------------------------------------------------


def test_what_was_not_changed_is_kept_once(known: Known) -> None:
    session, asked = known.session, known.asked
    assert not session.is_kept

    async def story() -> None:
        first, second = await asyncio.gather(session.keep(), session.keep())
        assert first is second is session.specimen
        assert await session.keep() is first
        assert session.is_kept
        assert asked == ["measuring"]
        assert first.phases == ("class 1", "class 2", "class 3")
        session.bench.rename(1, "pearlite")
        assert not session.is_kept
        changed = await session.keep()
        assert changed.phases == ("pearlite", "class 2", "class 3")
        assert asked == ["measuring"] * 2
        session.bench.set_settings(FastSettings(n_classes=9), "same")  # of the next segmentation
        assert session.is_kept
        report = await session.report()
        assert report == session.folder / "results" / "report.html"
        assert asked[2:] == ["writing the report"]
        session.remove(2)
        assert len((await session.keep()).fields) == 1
        assert asked[3:] == ["measuring"]

    run(story())
    labels = read_labels(result_in(session.folder, 1) / "labels.tif")
    counts = np.bincount(labels.ravel(), minlength=4)[1:]
    assert session.bench.fractions(1) == pytest.approx(counts / counts.sum())


def test_there_is_nothing_to_keep_before_it_is_segmented(desk: Desk) -> None:
    session = desk.new()
    run(opened(session, 1))
    for story in (session.keep(), session.report(), session.score(1, Path("a.png"), "a.png")):
        with pytest.raises(InputError, match="nothing is segmented yet; press Segment first"):
            run(story)
    assert not session.is_kept


def test_a_drawn_map_is_compared_with_what_is_decided(known: Known, tmp_path: Path) -> None:
    session = known.session
    run(session.keep())
    labels = read_labels(result_in(session.folder, 1) / "labels.tif")
    path = tmp_path / "drawn.png"
    Image.fromarray(np.where(labels == 3, 1, labels).astype(np.uint8)).save(path)
    found = run(session.score(1, path, "drawn.png"))
    assert found.mean_iou < 1
    session.bench.decide(lambda model: model.joined(1, 3))
    version = session.bench.version
    found = run(session.score(1, path, "drawn.png"))
    assert (found.mean_iou, found.accuracy) == (1, 1)
    assert session.agreement(1) == ("drawn.png", found)
    assert session.agreement(2) is None
    session.bench.rename(1, "martensite")
    assert session.agreement(1) is None
    session.bench.undo()
    assert session.agreement(1) == ("drawn.png", found)
    assert session.bench.version > version
    with pytest.raises(WorkError, match=r"the reference has shape"):
        run(session.score(2, path, "drawn.png"))


def test_how_sure_the_classes_are_is_found_once(known: Known) -> None:
    session, asked = known.session, known.asked
    assert session.sure(1) is None

    async def story() -> None:
        version = session.bench.version
        mean = await session.find_silhouette(1)
        first = session.sure(1)
        assert first is not None
        assert first[1] == mean
        assert session.sure(2) is None
        assert session.bench.version > version
        assert await session.find_silhouette(1) == mean
        assert asked == ["how sure"]
        session.bench.decide(lambda model: model.joined(1, 2))
        assert session.sure(1) is None
        other = await session.find_silhouette(1)
        assert other != mean
        second = session.sure(1)
        assert second is not None
        assert second[0] > first[0]
        assert second[1] == other
        assert asked == ["how sure"] * 2

    run(story())


def test_another_map_of_how_sure_has_another_version(known: Known) -> None:
    run(known.session.find_silhouette(1))
    seen = known.session.sure(1)
    again = Desk(known.desk.root).find(known.session.identifier)
    assert seen is not None
    assert again is not None
    again.bench.decide(lambda model: model.joined(1, 2))
    run(again.find_silhouette(1))
    found = again.sure(1)
    assert found is not None
    assert found[1] != seen[1]
    assert found[0] != seen[0]


def test_what_was_decided_meanwhile_is_not_in_what_is_kept(known: Known, tmp_path: Path) -> None:
    session = known.session

    async def story() -> None:
        known.desk.workers.submit(
            known.desk.workers.helper, "hold", hold, {"path": tmp_path / "go"}, lambda _: None
        )
        keeping = asyncio.create_task(session.keep())
        await asyncio.sleep(0)
        session.bench.rename(1, "pearlite")
        looking = asyncio.create_task(session.find_silhouette(1))
        await asyncio.sleep(0)
        (tmp_path / "go").touch()
        await asyncio.gather(keeping, looking)
        session.bench.undo()
        assert (await session.keep()).phases == ("class 1", "class 2", "class 3")

    run(story())


# --- paper mode ----------------------------------------------------------------------------------

PAPER = PaperSettings(n_classes=2, n_filters=8, n_responses=6, max_iterations=4)


def test_paper_mode_segments_the_micrograph_that_is_looked_at(desk: Desk) -> None:
    session = desk.new()

    async def story() -> None:
        await opened(session, 1, 2)
        session.bench.set_settings(PAPER, "auto")
        await session.segment(2)

    run(story())
    (field,) = session.bench.labelled
    assert field.number == 2
    assert not session.bench.is_fitted
    with pytest.raises(InputError, match=r"nothing to label; .* in fast mode"):
        run(session.apply())
    k = len(session.bench.phases())
    specimen = run(session.keep())
    assert len(specimen.phases) == k
    again = Session(session.identifier, session.folder, desk.workers)
    assert again.bench.phases() == session.bench.phases()
    again.bench.rename(1, "ferrite")
    assert "ferrite" in run(again.keep()).phases
    session.bench.set_settings(FastSettings(n_classes=2), "auto")
    run(session.segment())
    assert [each.number for each in session.bench.labelled] == [1, 2]
    assert session.bench.is_fitted


def test_a_training_that_had_to_be_killed_leaves_its_map(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = desk.new()
    monkeypatch.setattr(tasks, "train_field", learn_slowly)

    async def story() -> None:
        await opened(session, 1)
        await session.segment()
        session.bench.set_settings(PAPER, "auto")
        work = asyncio.create_task(session.segment(1))
        await until(lambda: (stage := session.stage) and stage.live and stage.live.n_done == 2)
        session.stop()
        await work

    run(story())
    (field,) = session.bench.labelled
    assert field.labelled is not None
    assert field.labelled.stopped
    assert not session.bench.is_fitted
    labels = np.load(shown_in(session.folder, 1) / "labels.npy")
    assert labels.max() == len(session.bench.phases())


def test_paper_mode_takes_no_other_micrograph_than_is_shown(desk: Desk) -> None:
    session = desk.new()

    async def story() -> None:
        await opened(session, 1, 2)
        session.bench.set_error(2, "field 2.png: damaged")
        session.bench.set_settings(PAPER, "auto")
        with pytest.raises(InputError, match="the micrograph that is shown is not open"):
            await session.segment(2)
        await session.segment()

    run(story())
    assert [field.number for field in session.bench.labelled] == [1]
