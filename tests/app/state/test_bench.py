"""The bench: what is read back is what was there, and every decision can be taken back."""

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.benches import make_samples_small
from nital.app.state import bench as bench_module
from nital.app.state.bench import FILE, MODEL, Bench, Field, most_classes
from nital.app.work.fields import FieldFile, Labelled, Opened, Trained
from nital.app.work.tasks import FITTED
from nital.errors import InputError, OutputError
from nital.image.micrograph import Micrograph
from nital.image.synthetic import synthesize
from nital.measure.stereology import over_fields
from nital.output.render import colours_of, hex_of
from nital.output.results import versions
from nital.result.criteria import RegionStatistics
from nital.result.grouping import ClassName, Grouping
from nital.series.fitting import EXPOSURES, fit_model
from nital.series.model import Model
from nital.series.model_files import read_model, write_model
from nital.settings import FAST, MAX_CLASSES, Settings

AREA = 1200


@pytest.fixture(scope="module")
def models() -> tuple[Model, Model]:
    """Two of four classes, of micrographs that show other constituents."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        make_samples_small(patch)
        for seed, other in enumerate(("pearlite", "martensite")):
            image = synthesize((64, 80), {"ferrite": 1, other: 1}, grain_size=16, seed=seed).image
            opener = partial(Micrograph.from_array, image, name=other)
            found.append(fit_model([opener], Settings(n_classes=4), exposure="same"))
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
        bench.opened(Opened(number, (30, 40), 0, None))
    fit(bench, model)
    for number in (1, 2):
        bench.has_labelled(labelled(number, len(model.class_of), seed=number))
    return bench


def fit(bench: Bench, model: Model) -> None:
    write_model(bench.folder / FITTED, model, versions=versions(), force=True)
    bench.fitted()


def labelled(number: int, n: int, *, seed: int) -> Labelled:
    areas = np.random.default_rng(seed).multinomial(AREA, np.ones(n) / n).astype(float)
    return Labelled(number, tuple(areas.tolist()), seed / 100, bool(seed % 2), bool(seed % 3))


def told(bench: Bench) -> tuple[Any, ...]:
    """All that a bench says."""
    model = bench.model
    return (
        bench.fields,
        [field.name for field in bench.usable],
        [field.name for field in bench.labelled],
        (bench.settings, bench.exposure, bench.n_fine, bench.can_undo, bench.can_redo),
        bench.state(),
        described(model) if model is not None else None,
        [bench.fractions(field.number).tolist() for field in bench.labelled],
    )


def described(model: Grouping) -> tuple[Any, ...]:
    images = model.images if isinstance(model, Model) else ()
    return (model.class_of.tolist(), model.names, model.classes, model.settings, images)


def history(bench: Bench) -> list[tuple[Any, ...]]:
    """All models that it can go back to, and on to; it is then at the last of them."""
    while bench.can_undo:
        bench.undo()
    found = [] if bench.model is None else [described(bench.model)]
    while bench.can_redo:
        bench.redo()
        assert bench.model is not None
        found.append(described(bench.model))
    return found


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
        lambda bench, number, a, b: bench.opened(
            Opened(number, (20 + a, 40), b, (None, 0.1, 1 / 3)[a % 3])
        )
    ),
    "failed": on_field(lambda bench, number, a, b: bench.failed(number, f"damaged: {a}")),
    "pixel size": on_field(
        lambda bench, number, a, b: bench.set_pixel_size(number, (None, 0.1, 1 / 3)[b % 3])
    ),
    "page": on_field(lambda bench, number, a, b: bench.set_page(number, b or None)),
    "crop": on_field(lambda bench, number, a, b: bench.crop(number, 5 * b + a % 5)),
    "label": on_field(
        lambda bench, number, a, b: (
            bench.has_labelled(labelled(number, bench.n_fine, seed=10 * a + b))
            if bench.n_fine
            else None
        )
    ),
    "settings": lambda bench, a, b: bench.set_settings(
        Settings(n_classes=2 + a if a % 2 else "auto", seed=b), EXPOSURES[b % 3]
    ),
    "cut": lambda bench, a, b: bench.decide(lambda model: model.at(2 + b)),
    "join": lambda bench, a, b: bench.decide(
        lambda model: model.joined(class_at(bench, a), class_at(bench, b))
    ),
    "split": lambda bench, a, b: bench.decide(lambda model: model.split(class_at(bench, a))),
    "move": lambda bench, a, b: bench.decide(
        lambda model: model.moved(1 + a % bench.n_fine, class_at(bench, b) if b else None)
    ),
    "call": lambda bench, a, b: bench.call(class_at(bench, a), NAMES[b % len(NAMES)]),
    "colour": lambda bench, a, b: bench.colour(class_at(bench, a), ("#0072b2", "#ABCDEF")[b % 2]),
    "undo": lambda bench, a, b: bench.undo(),
    "redo": lambda bench, a, b: bench.redo(),
    "fit": lambda bench, a, b: bench.fitted(),
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
                bench.opened(Opened(number, (30, 40), 0, None))
            bench.fitted()
        for name, a, b in steps:
            before, version = told(bench), bench.version
            try:
                CHANGES[name](bench, a, b)
            except InputError:
                assert told(bench) == before
                assert bench.version == version
            else:
                assert bench.version > version or told(bench) == before
            assert told(Bench(bench.folder)) == told(bench)
            assert len({field.name for field in bench.fields.values()}) == len(bench.fields)
            if name in DECISIONS:  # it does not touch the micrographs
                assert told(bench)[:3] == before[:3]
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
    bench.failed(1, "field 1.tif: damaged; export it again")
    assert bench.fields[1].error == "field 1.tif: damaged; export it again"
    assert [field.number for field in bench.usable] == [2, 3]
    assert [field.number for field in bench.labelled] == [2]
    bench.opened(Opened(1, (30, 40), 0, 0.5))
    assert bench.fields[1].error is None
    assert [field.number for field in bench.labelled] == [1, 2]
    added = bench.add(Path("4.tif"), "4.tif")
    assert added == Field(FieldFile(4, "4.tif", Path("4.tif"), None, None))
    assert (added.n_rows, added.name) == (0, "4.tif")
    assert [field.number for field in bench.usable] == [1, 2, 3]


def test_what_is_shown_anew_has_another_version(bench: Bench) -> None:
    before = bench.fields[1]
    bench.opened(Opened(1, (30, 40), 0, 0.5))
    assert bench.fields[1].picture > before.picture
    for seed in (7, 8):
        before = bench.fields[1]
        bench.has_labelled(labelled(1, bench.n_fine, seed=seed))
        assert bench.fields[1].version > before.version
        assert bench.fields[1].picture == before.picture


def test_rows_that_are_cut_off_have_to_be_labelled_again(bench: Bench) -> None:
    bench.crop(1, 25)
    field = bench.fields[1]
    assert (field.n_rows, field.file.crop_bottom, field.labelled) == (25, 5, None)
    assert field.opened == Opened(1, (30, 40), 5, None)
    bench.has_labelled(labelled(1, bench.n_fine, seed=3))
    before, version = bench.fields[1], bench.version
    bench.crop(1, 25)  # they are cut off already
    assert (bench.fields[1], bench.version) == (before, version)
    bench.crop(1, 30)
    field = bench.fields[1]
    assert (field.n_rows, field.file.crop_bottom, field.labelled) == (30, 0, None)
    assert bench.fields[2].labelled is not None
    assert [each.number for each in bench.labelled] == [2]


def test_what_a_file_says_of_its_bar_is_kept_unless_another_line_is_drawn(bench: Bench) -> None:
    bench.opened(Opened(3, (30, 40), 4, None))
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
    bench.failed(1, "a stack")
    bench.set_page(1, 2)
    field = bench.fields[1]
    assert (field.opened, field.labelled, field.error) == (None, None, None)
    assert (field.file.page, field.file.crop_bottom, field.file.pixel_size) == (2, None, 0.5)


def test_labels_of_what_was_taken_off_are_passed_over(bench: Bench) -> None:
    bench.remove(2)
    version = bench.version
    bench.has_labelled(labelled(2, bench.n_fine, seed=1))
    assert list(bench.fields) == [1, 3]
    assert bench.version == version


def test_another_model_has_labels_to_come(bench: Bench, models: tuple[Model, Model]) -> None:
    bench.call(1, "pearlite")
    fit(bench, models[1])
    assert bench.model is bench.base is not None
    assert described(bench.model) == described(models[1])
    assert (bench.can_undo, bench.can_redo, bench.labelled) == (False, False, [])
    assert [field.number for field in bench.usable] == [1, 2, 3]


# --- decisions -----------------------------------------------------------------------------------


def classes_of(bench: Bench) -> int:
    assert bench.model is not None
    return len(bench.model.classes)


def names_of(bench: Bench) -> dict[int, ClassName]:
    assert bench.model is not None
    return dict(bench.model.names)


def test_decisions_are_taken_back_and_made_again(bench: Bench, model: Model) -> None:
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
        assert told(Bench(bench.folder)) == told(bench)
    assert seen == [5, 7, 5, 7, 4, 4]
    assert (bench.can_undo, bench.can_redo) == (False, True)
    bench.redo()
    bench.decide(lambda model: model.at(3))
    assert (classes_of(bench), bench.can_redo) == (3, False)  # what was taken back is forgotten
    assert [len(each[2]) for each in history(bench)] == [4, 7, 3]
    assert bench.base is not None
    assert described(bench.base) == described(model)


def test_a_decision_that_can_not_be_made_changes_nothing(bench: Bench) -> None:
    bench.decide(lambda model: model.at(2))
    bench.undo()
    before, version = told(bench), bench.version
    with pytest.raises(InputError, match="a single class would be left"):
        bench.decide(lambda model: model.at(2).joined(1, 2))
    assert (told(bench), bench.version) == (before, version)
    assert bench.can_redo


def test_as_many_decisions_are_taken_back_as_is_said(
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
    assert told(again) == told(bench)
    assert history(again) == history(bench)
    assert 5 <= len(history(bench)) <= 6


def test_a_class_is_called_by_a_name(bench: Bench) -> None:
    bench.call(2, "  ferrite ")
    assert names_of(bench) == {2: ClassName("ferrite")}
    assert bench.phases() == ["class 1", "ferrite", "class 3", "class 4"]
    assert bench.phases(bench.base) == ["class 1", "class 2", "class 3", "class 4"]
    bench.call(2, "pearlite")
    bench.call(1, "ferrite")
    assert bench.phases() == ["ferrite", "pearlite", "class 3", "class 4"]
    assert classes_of(bench) == 4


def test_classes_of_one_name_become_one(bench: Bench) -> None:
    bench.call(3, "ferrite")
    bench.colour(3, "#0072b2")
    bench.call(1, "pearlite")
    bench.colour(1, "#d55e00")
    assert bench.model is not None
    members = {*bench.model.members(1), *bench.model.members(3)}
    bench.call(1, " ferrite ")
    assert classes_of(bench) == 3
    ((number, name),) = names_of(bench).items()
    assert name == ClassName("ferrite", "#0072b2")
    assert set(bench.model.members(number)) == members
    bench.undo()
    assert [row.name for row in bench.model.classes] == ["pearlite", None, "ferrite", None]


def test_two_classes_do_not_become_one(bench: Bench) -> None:
    bench.decide(lambda model: model.at(2))
    bench.call(1, "ferrite")
    with pytest.raises(InputError, match="a single class would be left"):
        bench.call(2, "ferrite")
    assert names_of(bench) == {1: ClassName("ferrite")}


def test_an_empty_name_takes_the_name_away_and_keeps_the_colour(bench: Bench) -> None:
    bench.call(1, "pearlite")
    bench.call(2, "ferrite")
    bench.colour(2, "#009e73")
    bench.call(1, "")
    assert names_of(bench) == {2: ClassName("ferrite", "#009e73")}
    bench.call(2, "  ")
    assert names_of(bench) == {2: ClassName(None, "#009e73")}
    bench.call(2, "bainite")
    assert names_of(bench) == {2: ClassName("bainite", "#009e73")}


def test_a_class_has_a_colour(bench: Bench) -> None:
    bench.colour(3, "#009e73")
    assert names_of(bench) == {3: ClassName(None, "#009e73")}
    bench.call(3, "ferrite")
    bench.colour(3, "#0072B2")
    assert names_of(bench) == {3: ClassName("ferrite", "#0072B2")}
    for number, colour in ((3, "blue"), (5, "#0072b2"), (0, "#0072b2")):
        with pytest.raises(InputError):
            bench.colour(number, colour)
    assert names_of(bench) == {3: ClassName("ferrite", "#0072B2")}


def test_a_colour_is_that_of_one_class(bench: Bench) -> None:
    bench.call(1, "ferrite")
    bench.colour(1, "#d55e00")
    bench.colour(2, "#0072b2")
    bench.colour(3, "#d55e00")
    bench.colour(4, "#0072b2")
    assert bench.model is not None
    assert bench.model.names == {
        1: ClassName("ferrite"),
        3: ClassName(None, "#d55e00"),
        4: ClassName(None, "#0072b2"),
    }
    assert len({hex_of(colour) for colour in colours_of(bench.model.classes)}) == 4
    bench.undo()
    assert bench.model.names[2] == ClassName(None, "#0072b2")


def test_what_was_decided_is_written_for_what_is_kept(bench: Bench) -> None:
    bench.decide(lambda model: model.joined(2, 4))
    bench.call(1, "pearlite")
    path = bench.write_decided()
    assert path == bench.folder / "decided.nital"
    assert bench.model is not None
    assert described(read_model(path)) == described(bench.model)
    bench.undo()
    assert described(read_model(bench.write_decided())) == described(bench.model)


def test_no_tree_is_cut_at_more_classes_than_it_has(bench: Bench) -> None:
    assert most_classes(None) == MAX_CLASSES
    assert bench.base is not None
    most = most_classes(bench.base)
    assert bench.base.at(most).settings.n_classes == most
    if most < MAX_CLASSES:
        with pytest.raises(InputError):
            bench.base.at(most + 1)
    for k in (2, most):
        bench.decide(lambda model, k=k: model.at(k))
        assert most_classes(bench.model) == most


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
            bench.opened(Opened(number, (30, 40), 0, None))
        fit(bench, model)
        for number in (1, 2):
            bench.has_labelled(labelled(number, n, seed=seed + number))
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
    bench.has_labelled(labelled(3, bench.n_fine, seed=3))
    assert {over.n for over in bench.statistics()} == {3}
    bench.remove(1)
    bench.failed(2, "gone")
    found = bench.statistics()
    assert [over.mean for over in found] == bench.fractions(3).tolist()
    assert {(over.n, over.ci95) for over in found} == {(1, None)}


def test_the_state_is_what_decides_on_results(bench: Bench) -> None:
    seen = {bench.state()}
    for change in (
        lambda: bench.call(1, "pearlite"),
        lambda: bench.colour(1, "#0072b2"),
        lambda: bench.decide(lambda model: model.joined(2, 3)),
        lambda: bench.has_labelled(labelled(1, bench.n_fine, seed=1)),
        lambda: bench.set_pixel_size(1, 0.25),
        lambda: bench.has_labelled(labelled(3, bench.n_fine, seed=3)),
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
        lambda: bench.opened(Opened(2, (30, 40), 0, None)),
        lambda: bench.set_settings(Settings(n_classes=7), "each"),
        bench.touch,
    ):
        version = bench.version
        change()
        assert bench.state() == state
        assert bench.version > version


# --- what can't be read --------------------------------------------------------------------------


def spoilt(**changes: Any) -> Callable[[str], str]:
    """Other values in what a bench has written; None takes one away."""

    def change(text: str) -> str:
        value = json.loads(text) | changes
        return json.dumps({key: each for key, each in value.items() if each is not None})

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "\0",
        lambda text: "{}",
        spoilt(version=2),
        spoilt(version=None),
        spoilt(settings=None),
        spoilt(settings={"magic": 1}),
        spoilt(exposure=None),
        spoilt(next=None),
        spoilt(fields=None),
        spoilt(fields=[1]),
        spoilt(fields=[{}]),
        spoilt(decisions=[{}]),
        spoilt(decisions=[{"class_of": [1], "names": {}}]),
        spoilt(decisions=[{"class_of": [-1] * 24, "names": {}}]),
        spoilt(decisions=[{"class_of": ["a"] * 24, "names": {}}]),
        spoilt(place="first"),
    ],
)
def test_what_is_damaged_or_of_another_nital_is_told(
    bench: Bench, change: Callable[[str], str]
) -> None:
    path = bench.folder / FILE
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=r"; (start a new session|make it again|copy or export)"):
        Bench(bench.folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "[]",
        lambda text: "null",
        spoilt(decisions=[{"class_of": [1, 2] * 12, "names": [1]}]),
        spoilt(decisions=[{"class_of": [10**30] * 24, "names": {}}]),
        spoilt(decisions=[{"class_of": [1, 2] * 12, "names": {"1": {"name": 3}}}]),
        spoilt(settings={"mode": "slow"}),
    ],
)
def test_what_is_damaged_in_other_ways_is_told(bench: Bench, change: Callable[[str], str]) -> None:
    path = bench.folder / FILE
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=FILE):
        Bench(bench.folder)


def test_a_model_that_is_missing_is_told(bench: Bench) -> None:
    (bench.folder / MODEL).unlink()
    with pytest.raises(InputError, match=r"model\.nital: no such file"):
        Bench(bench.folder)


def refuse(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_change_is_written_whole_or_not_at_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = told(Bench(bench.folder))
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OutputError, match=r"can't be written \(No space left on device\)"):
        bench.set_pixel_size(1, 3.0)
    assert told(Bench(bench.folder)) == before
    assert not list(bench.folder.glob(".*"))


# --- paper mode ----------------------------------------------------------------------------------


def trained(number: int, *areas: float) -> Trained:
    """Classes of rising grey levels."""
    means = np.repeat(20.0 * np.arange(1, len(areas) + 1)[:, np.newaxis], 3, axis=1)
    statistics = RegionStatistics(np.array(areas), means, np.arange(len(areas)) / 7)
    labelled = Labelled(number, areas, 0.0, False, False)
    return Trained(Settings(mode="paper", n_classes=2, n_superpixels=60), statistics, labelled)


def test_classes_of_paper_mode_take_the_place_of_a_model(bench: Bench, model: Model) -> None:
    bench.join(1, 2)
    bench.trained(trained(2, 300, 500, 400))
    assert [field.number for field in bench.labelled] == [2]
    assert (bench.is_fitted, bench.n_fine, bench.can_undo) == (False, 3, False)
    assert bench.fractions(2).tolist() == [0.25, 500 / 1200, 400 / 1200]
    with pytest.raises(InputError, match="paper mode leaves no model"):
        bench.write_decided()
    fit(bench, model)
    assert bench.is_fitted
    assert bench.labelled == []


@pytest.mark.parametrize("areas", [(300, 500, 400), (1200,)])
def test_classes_of_paper_mode_are_read_back(bench: Bench, areas: tuple[float, ...]) -> None:
    bench.trained(trained(1, *areas))
    bench.call(1, "ferrite")
    if len(areas) > 1:
        bench.join(2, 3)
        bench.undo()
    again = Bench(bench.folder)
    assert told(again) == told(bench)
    assert history(again) == history(bench)
    assert not again.is_fitted
    assert again.base is not None
    assert again.base.tree.statistics.errors.tolist() == [i / 7 for i in range(len(areas))]


def test_paper_mode_came_too_late(bench: Bench, model: Model) -> None:
    before = told(bench)
    bench.trained(trained(99, 300, 500))
    assert told(bench) == before


def test_classes_of_another_time_are_not_decided(bench: Bench, model: Model) -> None:
    bench.trained(trained(1, 300, 500))
    before = told(bench)
    with pytest.raises(InputError, match="other classes by now"):
        bench.decide(lambda _: model)
    assert told(bench) == before


def test_a_tree_of_many_classes_is_cut_at_all_of_them(bench: Bench) -> None:
    bench.trained(trained(1, *[100.0] * 40))
    assert most_classes(bench.base) == 40
