"""The bench: every change is stored, and every decision can be undone."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.benches import AREA, described, fit, history, labelled, summary, trained
from nital.app.state import bench as bench_module
from nital.app.state.bench import Bench
from nital.app.state.field import Field
from nital.app.work.fields import FieldFile, Opened
from nital.app.work.tasks import FITTED
from nital.errors import InputError
from nital.fast.settings import FAST, FastSettings
from nital.measure.stereology import over_fields
from nital.series.fitting import EXPOSURES
from nital.series.model import Model
from nital.series.model_files import read_model, write_model
from nital.storage.versions import versions

# --- every change is on the disk -----------------------------------------------------------------


def class_at(bench: Bench, number: int) -> int:
    return 1 + number % (1 if bench.model is None else len(bench.model.classes))


def on_field(change: Callable[[Bench, int, int, int], None]) -> Callable[[Bench, int, int], None]:
    """A change to one of the fields; none where there is none."""

    def changed(bench: Bench, a: int, b: int) -> None:
        if bench.fields:
            change(bench, list(bench.fields)[a % len(bench.fields)], a, b)

    return changed


NAMES = ("ferrite", "pearlite", " ferrite ", "", "Härte “3”")

CHANGES: dict[str, Callable[[Bench, int, int], Any]] = {
    "add": lambda bench, a, b: bench.add(Path(f"/data/{a}.tif"), f"Probe {a} α.tif"),
    "remove": on_field(lambda bench, number, a, b: bench.remove(number)),
    "opened": on_field(
        lambda bench, number, a, b: bench.set_opened(
            Opened(number, (20 + a, 40), b, (None, 0.1, 1 / 3)[a % 3])
        )
    ),
    "failed": on_field(lambda bench, number, a, b: bench.set_error(number, f"damaged: {a}")),
    "pixel size": on_field(
        lambda bench, number, a, b: bench.set_pixel_size(number, (None, 0.1, 1 / 3)[b % 3])
    ),
    "page": on_field(lambda bench, number, a, b: bench.set_page(number, b or None)),
    "crop": on_field(lambda bench, number, a, b: bench.crop(number, 5 * b + a % 5)),
    "label": on_field(
        lambda bench, number, a, b: (
            bench.set_labelled(labelled(number, bench.n_fine, seed=10 * a + b))
            if bench.n_fine
            else None
        )
    ),
    "settings": lambda bench, a, b: bench.set_settings(
        FastSettings(n_classes=2 + a if a % 2 else "auto"), EXPOSURES[b % 3]
    ),
    "cut": lambda bench, a, b: bench.decide(lambda model: model.at(2 + b)),
    "join": lambda bench, a, b: bench.decide(
        lambda model: model.joined(class_at(bench, a), class_at(bench, b))
    ),
    "split": lambda bench, a, b: bench.decide(lambda model: model.split(class_at(bench, a))),
    "move": lambda bench, a, b: bench.decide(
        lambda model: model.moved(1 + a % bench.n_fine, class_at(bench, b) if b else None)
    ),
    "call": lambda bench, a, b: bench.rename(class_at(bench, a), NAMES[b % len(NAMES)]),
    "colour": lambda bench, a, b: bench.recolour(class_at(bench, a), ("#0072b2", "#ABCDEF")[b % 2]),
    "undo": lambda bench, a, b: bench.undo(),
    "redo": lambda bench, a, b: bench.redo(),
    "fit": lambda bench, a, b: bench.adopt_fitted(),
}

STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 20), st.integers(0, 5)), max_size=20
)
DECISIONS = ("call", "colour", "cut", "join", "move", "split", "undo", "redo")


@given(st.booleans(), STEPS)
@example(
    True,
    [(name, 1, 2) for name in ("call", "label", "colour", "split", "undo", "crop", "failed")],
)
@example(
    True,
    [(name, 0, 5) for name in ("label", "crop", "page", "opened", "remove", "add", "opened")],
)
@settings(deadline=None, max_examples=40)
def test_what_is_read_back_is_what_was_there(
    models: tuple[Model, Model], segmented: bool, steps: list[tuple[str, int, int]]
) -> None:
    with tempfile.TemporaryDirectory(prefix="nital") as folder:
        bench = Bench(Path(folder))
        write_model(bench.folder / FITTED, models[0], versions=versions())
        if segmented:
            for number in (1, 2):
                bench.add(Path(f"/{number}.tif"), f"{number}.tif")
                bench.set_opened(Opened(number, (30, 40), 0, None))
            bench.adopt_fitted()
        for name, a, b in steps:
            before, version = summary(bench), bench.version
            try:
                CHANGES[name](bench, a, b)
            except InputError:
                assert summary(bench) == before
                assert bench.version == version
            else:
                assert bench.version > version or summary(bench) == before
            assert summary(Bench(bench.folder)) == summary(bench)
            assert len({field.name for field in bench.fields.values()}) == len(bench.fields)
            if name in DECISIONS:  # it does not touch the micrographs
                assert summary(bench)[:3] == before[:3]
        again = Bench(bench.folder)
        assert history(again) == history(bench)
        number = again.add(Path("/new.tif"), "new.tif").number
        assert number == bench.add(Path("/new.tif"), "new.tif").number


def test_a_new_bench_is_empty(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "a" / "b")
    assert (bench.fields, bench.model, bench.base, bench.n_fine) == ({}, None, None, 0)
    assert (bench.settings, bench.exposure) == (FAST, "auto")
    assert (bench.can_undo, bench.can_redo, bench.labelled, bench.statistics()) == (
        False,
        False,
        [],
        [],
    )
    assert bench.folder.is_dir()
    with pytest.raises(InputError, match="nothing is segmented yet; press Segment first"):
        bench.decide(lambda model: model)


# --- micrographs ---------------------------------------------------------------------------------


def test_a_number_is_never_given_twice(bench: Bench) -> None:
    bench.remove(3)
    bench.remove(1)
    assert list(bench.fields) == [2]
    for each in (bench, Bench(bench.folder)):
        assert [each.add(Path("a.tif"), "a.tif").number for _ in range(2)] == [4, 5]


def test_no_two_micrographs_are_called_the_same(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    given = ("a.tif", "b (2).tif", "a.tif", "b.tif", "a.tif", "b.tif", "x", "x", ".tif", ".tif")
    found = [bench.add(Path("a.tif"), name).name for name in given]
    assert found[:6] == ["a.tif", "b (2).tif", "a (2).tif", "b.tif", "a (3).tif", "b (3).tif"]
    assert found[6:] == ["x", "x (2)", ".tif", ".tif (2)"]
    bench.remove(1)
    assert bench.add(Path("a.tif"), "a.tif").name == "a.tif"


def test_what_can_not_be_used_is_not_used(bench: Bench) -> None:
    assert [field.number for field in bench.usable] == [1, 2, 3]
    assert [field.number for field in bench.labelled] == [1, 2]
    bench.set_error(1, "field 1.tif: damaged; export it again")
    assert bench.fields[1].error == "field 1.tif: damaged; export it again"
    assert [field.number for field in bench.usable] == [2, 3]
    assert [field.number for field in bench.labelled] == [2]
    bench.set_opened(Opened(1, (30, 40), 0, 0.5))
    assert bench.fields[1].error is None
    assert [field.number for field in bench.labelled] == [1, 2]
    added = bench.add(Path("4.tif"), "4.tif")
    assert added == Field(FieldFile(4, "4.tif", Path("4.tif"), None, None))
    assert (added.n_rows, added.name) == (0, "4.tif")
    assert [field.number for field in bench.usable] == [1, 2, 3]


def test_what_has_changed_has_another_version(bench: Bench) -> None:
    before = bench.fields[1]
    bench.set_opened(Opened(1, (30, 40), 0, 0.5))
    assert bench.fields[1].picture > before.picture
    for seed in (7, 8):
        before = bench.fields[1]
        bench.set_labelled(labelled(1, bench.n_fine, seed=seed))
        assert bench.fields[1].version > before.version
        assert bench.fields[1].picture == before.picture


def test_rows_that_are_cut_off_have_to_be_labelled_again(bench: Bench) -> None:
    bench.crop(1, 25)
    field = bench.fields[1]
    assert (field.n_rows, field.file.crop_bottom, field.labelled) == (25, 5, None)
    assert field.opened == Opened(1, (30, 40), 5, None)
    bench.set_labelled(labelled(1, bench.n_fine, seed=3))
    before, version = bench.fields[1], bench.version
    bench.crop(1, 25)  # they are cut off already
    assert (bench.fields[1], bench.version) == (before, version)
    bench.crop(1, 30)
    field = bench.fields[1]
    assert (field.n_rows, field.file.crop_bottom, field.labelled) == (30, 0, None)
    assert bench.fields[2].labelled is not None
    assert [each.number for each in bench.labelled] == [2]


def test_the_bar_of_a_file_is_cut_off_unless_another_line_is_drawn(bench: Bench) -> None:
    bench.set_opened(Opened(3, (30, 40), 4, None))
    bench.crop(3, 26)
    assert bench.fields[3].file.crop_bottom is None
    bench.crop(3, 30)
    assert (bench.fields[3].file.crop_bottom, bench.fields[3].n_rows) == (0, 30)


@pytest.mark.parametrize("n_rows", [0, 31, -1])
def test_rows_that_are_not_there_can_not_be_kept(bench: Bench, n_rows: int) -> None:
    with pytest.raises(
        InputError, match=rf"^field 1\.tif: {n_rows} rows of 30 can't be kept; use 1 to 30"
    ):
        bench.crop(1, n_rows)
    bench.crop(1, 1)
    assert bench.fields[1].n_rows == 1
    bench.add(Path("a.tif"), "a.tif")
    with pytest.raises(InputError, match=r"^a\.tif: is not open yet"):
        bench.crop(4, 10)


def test_another_page_is_another_picture(bench: Bench) -> None:
    bench.crop(1, 20)
    bench.set_pixel_size(1, 0.5)
    bench.set_error(1, "a stack")
    bench.set_page(1, 2)
    field = bench.fields[1]
    assert (field.opened, field.labelled, field.error) == (None, None, None)
    assert (field.file.page, field.file.crop_bottom, field.file.pixel_size) == (2, None, 0.5)


def test_labels_of_a_removed_micrograph_are_ignored(bench: Bench) -> None:
    bench.remove(2)
    version = bench.version
    bench.set_labelled(labelled(2, bench.n_fine, seed=1))
    assert list(bench.fields) == [1, 3]
    assert bench.version == version


def test_another_model_has_labels_to_come(bench: Bench, models: tuple[Model, Model]) -> None:
    bench.rename(1, "pearlite")
    fit(bench, models[1])
    assert bench.model is bench.base is not None
    assert described(bench.model) == described(models[1])
    assert (bench.can_undo, bench.can_redo, bench.labelled) == (False, False, [])
    assert [field.number for field in bench.usable] == [1, 2, 3]


# --- decisions -----------------------------------------------------------------------------------


def classes_of(bench: Bench) -> int:
    assert bench.model is not None
    return len(bench.model.classes)


def test_decisions_are_undone_and_redone(bench: Bench, model: Model) -> None:
    assert (bench.can_undo, bench.can_redo) == (False, False)
    version = bench.version
    bench.undo()
    bench.redo()
    assert (classes_of(bench), bench.version) == (4, version)
    for k in (7, 5, 2):
        changed = bench.decide(lambda model, k=k: model.at(k))
        assert changed is bench.model
    assert (bench.can_undo, bench.can_redo) == (True, False)
    seen = []
    for step in (bench.undo, bench.undo, bench.redo, bench.undo, bench.undo, bench.undo):
        step()
        seen.append(classes_of(bench))
        assert summary(Bench(bench.folder)) == summary(bench)
    assert seen == [5, 7, 5, 7, 4, 4]
    assert (bench.can_undo, bench.can_redo) == (False, True)
    bench.redo()
    bench.decide(lambda model: model.at(3))
    assert (classes_of(bench), bench.can_redo) == (3, False)  # what was undone is forgotten
    assert [len(each[2]) for each in history(bench)] == [4, 7, 3]
    assert bench.base is not None
    assert described(bench.base) == described(model)


def test_a_decision_that_can_not_be_made_changes_nothing(bench: Bench) -> None:
    bench.decide(lambda model: model.at(2))
    bench.undo()
    before, version = summary(bench), bench.version
    with pytest.raises(InputError, match="a single class would be left"):
        bench.decide(lambda model: model.at(2).joined(1, 2))
    assert (summary(bench), bench.version) == (before, version)
    assert bench.can_redo


def test_as_many_decisions_are_undone_as_documented(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_module, "MOST_STEPS", 5)
    for k in range(12, 3, -1):
        bench.decide(lambda model, k=k: model.at(k))
    assert [len(each[2]) for each in history(bench)] == [9, 8, 7, 6, 5, 4]


def test_very_old_decisions_are_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "MOST_STEPS", 5)
    for k in range(12, 3, -1):
        bench.decide(lambda model, k=k: model.at(k))
    again = Bench(bench.folder)
    assert summary(again) == summary(bench)
    assert history(again) == history(bench)
    assert 5 <= len(history(bench)) <= 6


def test_what_was_decided_is_written_for_what_is_kept(bench: Bench) -> None:
    bench.decide(lambda model: model.joined(2, 4))
    bench.rename(1, "pearlite")
    path = bench.write_decided()
    assert path == bench.folder / "decided.nital"
    assert bench.model is not None
    assert described(read_model(path)) == described(bench.model)
    bench.undo()
    assert described(read_model(bench.write_decided())) == described(bench.model)


# --- figures -------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 6), min_size=24, max_size=24), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_fractions_are_shares_of_the_area(
    models: tuple[Model, Model], classes: list[int], seed: int
) -> None:
    model = models[0]
    n = len(model.class_of)
    with tempfile.TemporaryDirectory(prefix="nital") as folder:
        bench = Bench(Path(folder))
        for number in (1, 2, 3):
            bench.add(Path("a.tif"), "a.tif")
            bench.set_opened(Opened(number, (30, 40), 0, None))
        fit(bench, model)
        for number in (1, 2):
            bench.set_labelled(labelled(number, n, seed=seed + number))
        class_of = np.array(classes[:n])
        if len(set(classes[:n])) > 1:
            bench.decide(lambda model: model.grouped(class_of, {}))
        decided = bench.model
        assert decided is not None
        shares = {}
        for number in (1, 2):
            areas = labelled(number, n, seed=seed + number).areas
            shares[number] = [
                sum(areas[fine - 1] for fine in decided.members(row.label)) / AREA
                for row in decided.classes
            ]
            assert bench.fractions(number).tolist() == pytest.approx(shares[number])
            assert bench.fractions(number).sum() == pytest.approx(1)
            assert len(bench.fractions(number, model)) == 4
            assert bench.fractions(number, model).sum() == pytest.approx(1)
        total = np.sum([labelled(i, n, seed=seed + i).areas for i in (1, 2)], axis=0)
        assert bench.fine_fractions() == pytest.approx(total / (2 * AREA))
        expected = [over_fields(list(pair)) for pair in zip(shares[1], shares[2], strict=True)]
        for found, over in zip(bench.statistics(), expected, strict=True):
            assert (found.n, found.mean) == (2, pytest.approx(over.mean))
            assert found.ci95 == pytest.approx(over.ci95)
            assert found.std == pytest.approx(over.std)


def test_statistics_are_over_the_fields_that_are_labelled(bench: Bench) -> None:
    assert {over.n for over in bench.statistics()} == {2}
    bench.set_labelled(labelled(3, bench.n_fine, seed=3))
    assert {over.n for over in bench.statistics()} == {3}
    bench.remove(1)
    bench.set_error(2, "gone")
    found = bench.statistics()
    assert [over.mean for over in found] == bench.fractions(3).tolist()
    assert {(over.n, over.ci95) for over in found} == {(1, None)}


def test_the_state_is_what_decides_on_results(bench: Bench) -> None:
    seen = {bench.state()}
    for change in (
        lambda: bench.rename(1, "pearlite"),
        lambda: bench.recolour(1, "#0072b2"),
        lambda: bench.decide(lambda model: model.joined(2, 3)),
        lambda: bench.set_labelled(labelled(1, bench.n_fine, seed=1)),
        lambda: bench.set_pixel_size(1, 0.25),
        lambda: bench.set_labelled(labelled(3, bench.n_fine, seed=3)),
        lambda: bench.crop(2, 20),
    ):
        change()
        assert bench.state() not in seen
        seen.add(bench.state())
    state = bench.state()
    bench.undo()
    assert bench.state() != state
    bench.redo()
    assert bench.state() == state
    for change in (
        lambda: bench.add(Path("a.tif"), "a.tif"),
        lambda: bench.set_opened(Opened(2, (30, 40), 0, None)),
        lambda: bench.set_settings(FastSettings(n_classes=7), "each"),
        bench.touch,
    ):
        version = bench.version
        change()
        assert bench.state() == state
        assert bench.version > version


# --- paper mode ----------------------------------------------------------------------------------


def test_classes_of_paper_mode_take_the_place_of_a_model(bench: Bench, model: Model) -> None:
    bench.join(1, 2)
    bench.set_trained(trained(2, 300, 500, 400))
    assert [field.number for field in bench.labelled] == [2]
    assert (bench.is_fitted, bench.n_fine, bench.can_undo) == (False, 3, False)
    assert bench.fractions(2).tolist() == [0.25, 500 / 1200, 400 / 1200]
    with pytest.raises(InputError, match="paper mode leaves no model"):
        bench.write_decided()
    fit(bench, model)
    assert bench.is_fitted
    assert bench.labelled == []


def test_paper_mode_came_too_late(bench: Bench, model: Model) -> None:
    before = summary(bench)
    bench.set_trained(trained(99, 300, 500))
    assert summary(bench) == before


def test_classes_of_another_time_are_not_decided(bench: Bench, model: Model) -> None:
    bench.set_trained(trained(1, 300, 500))
    before = summary(bench)
    with pytest.raises(InputError, match="other classes by now"):
        bench.decide(lambda _: model)
    assert summary(bench) == before
