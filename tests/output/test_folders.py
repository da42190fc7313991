"""Folders of results: phases are read as written; changed or foreign folders are refused."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from helpers.pictures import fine_classes
from helpers.terminal import PAPER, Nital
from nital.errors import InputError
from nital.fast.settings import FastSettings
from nital.image.micrograph import Micrograph
from nital.measure.specimen import measure_field
from nital.output import results
from nital.output.folders import PhaseFolder, find_results, measure_folders, name_of
from nital.output.names import RESULT_FILES
from nital.output.render import class_colours
from nital.output.results import write_phases, write_result
from nital.output.summary import summarise
from nital.result.classes import ClassRow, tabulate_classes
from nital.result.criteria import criteria_of, measure_regions
from nital.result.likeness import Likeness
from nital.result.phases import name_phases
from nital.result.segmentation import Segmentation
from nital.storage.tables import read_json, write_json
from nital.storage.writing import staged

MAP = np.repeat([[1, 1, 2, 3]], 3, axis=1).repeat(15, axis=0).astype(np.uint8)
"""(15, 12): half is class 1, a quarter each class 2 and class 3."""

Names = Mapping[int, str]


def micrograph_of(labels: NDArray[np.integer], size: float | None = None) -> Micrograph:
    """Brighter classes have higher numbers; class 0 is excluded."""
    grey = (20 * labels.astype(int) + 10).astype(np.uint8)
    digest = f"digest {labels.tobytes()!r}"
    found = Micrograph.from_array(grey, excluded=labels == 0, pixel_size=size, name="a.png")
    return replace(found, sha256=digest)


def write(
    folder: Path | str,
    labels: NDArray[np.integer] = MAP,
    names: Names | None = None,
    colours: Names | None = None,
    *,
    size: float | None = None,
    n_classes: int = 3,
    model: bool = False,
    called: str | None = None,
    **how: Any,
) -> Path:
    """A folder of results with this label map, as `nital segment` or `nital predict` writes it."""
    micrograph = micrograph_of(labels, size)
    statistics = measure_regions(micrograph.pixels, labels, n_classes)

    def named(row: ClassRow) -> ClassRow:
        name, colour = ((each or {}).get(row.label) for each in (names, colours))
        return replace(row, name=name, colour=colour)

    result = Segmentation(
        labels=labels.astype(np.uint8),
        classes=tuple(map(named, tabulate_classes(statistics, absent=True))),
        criteria=criteria_of(statistics),
        settings=FastSettings(n_classes=n_classes),
        seconds={},
        likeness=Likeness(1, 0, 1, 0) if model else None,
    )
    told = {"path": "m.nital", "sha256": "abc"} if model else None
    summary = summarise(result, micrograph, source=Path("a.png"), model=told, name=called)
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_result(Path(folder), result, micrograph, summary, **how)
    return Path(folder)


def merge(folder: Path, phases: Mapping[str, Sequence[int]]) -> None:
    """Add the files of `nital fine --merge`; the fine classes are those of the map."""
    micrograph = micrograph_of(MAP)
    write_phases(folder, micrograph, name_phases(fine_classes(micrograph.pixels, MAP), phases))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)


# --- phases -------------------------------------------------------------------------------------


def test_classes_without_a_name_are_called_by_their_number() -> None:
    found = PhaseFolder.read(write("o/a"))
    assert found.phases == ("class 1", "class 2", "class 3")
    np.testing.assert_array_equal(found.labels, MAP)
    np.testing.assert_array_equal(found.colours, class_colours(3))
    assert found.origin is None


def test_classes_of_one_name_are_one_phase() -> None:
    found = PhaseFolder.read(write("a", names={1: "steel", 2: "film", 3: "steel"}))
    assert found.phases == ("steel", "film")
    np.testing.assert_array_equal(found.labels, np.where(MAP == 2, 2, 1))
    assert found.measure().fractions == (0.75, 0.25)


def test_classes_of_one_name_have_one_colour() -> None:
    names = {1: "steel", 2: "film", 3: "steel"}
    found = PhaseFolder.read(write("a", names=names, colours={3: "#0a0b0c"}))
    assert found.colours[0].tolist() == [10, 11, 12]
    np.testing.assert_array_equal(found.colours[1], class_colours(2)[1])


def test_classes_may_have_colours_and_no_names() -> None:
    found = PhaseFolder.read(write("a", colours={1: "#0a0b0c", 3: "#0d0e0f"}, model=True))
    assert found.phases == ("class 1", "class 2", "class 3")
    assert found.colours[[0, 2]].tolist() == [[10, 11, 12], [13, 14, 15]]
    np.testing.assert_array_equal(found.colours[1], class_colours(3)[1])
    assert found.origin == "abc"  # they have no names


def test_a_class_without_a_name_stands_beside_those_with_one() -> None:
    found = PhaseFolder.read(write("a", names={1: "steel", 3: "film"}))
    assert found.phases == ("steel", "class 2", "film")
    assert found.origin is None


@pytest.mark.parametrize("named", [True, False])
def test_classes_of_a_model_are_the_same_in_other_results(named: bool) -> None:
    names = {1: "a", 2: "b", 3: "c"} if named else {}
    assert PhaseFolder.read(write("a", names=names, model=True)).origin == (
        "named" if named else "abc"
    )
    assert PhaseFolder.read(write("b", names=names)).origin == ("named" if named else None)


def test_a_class_of_a_model_that_is_not_there_is_a_phase() -> None:
    names = {1: "a", 2: "b", 3: "c", 4: "d"}
    found = PhaseFolder.read(write("a", names=names, n_classes=4, model=True)).measure()
    assert found.phases == ("a", "b", "c", "d")
    assert found.fractions == (0.5, 0.25, 0.25, 0)


def test_phases_that_a_person_merged_win_over_classes() -> None:
    folder = write("a", names={1: "x", 2: "y", 3: "z"}, colours={1: "#0a0b0c"})
    merge(folder, {"bright": [2, 3], "dark": [1]})
    found = PhaseFolder.read(folder)
    assert found.phases == ("bright", "dark")
    np.testing.assert_array_equal(found.labels, np.where(MAP == 1, 2, 1))
    np.testing.assert_array_equal(found.colours, class_colours(2))
    assert found.origin == "named"


@pytest.mark.parametrize("name", ["lath martensite", "α-Fe, 2 % Si", "Перлит", "a/b", "[red]x"])
def test_names_are_read_as_they_were_given(name: str) -> None:
    folder = write("a", names={1: name, 2: name, 3: "rest of it"})
    assert PhaseFolder.read(folder).phases == (name, "rest of it")
    merge(folder, {name: [1], "others": [2, 3]})
    assert PhaseFolder.read(folder).phases == (name, "others")


@pytest.mark.parametrize("name", ["a b", "Gefüge µ", "试样 1", "[1]", "a.b"])
def test_a_field_is_called_as_its_folder(name: str) -> None:
    (folder,) = find_results([write(Path("ä ö", name)).parent])
    assert PhaseFolder.read(folder).measure().name == name


@pytest.mark.parametrize("called", ["Probe 3, α", "a/b", " "])
def test_a_field_is_called_as_people_call_it(called: str) -> None:
    found = PhaseFolder.read(write("o/a", called=called))
    assert found.name == name_of(found.folder, found.summary) == called
    assert found.measure().name == called
    assert found.measure(name="another").name == "another"


@pytest.mark.parametrize("summary", [{}, {"name": None}, {"name": ""}])
def test_what_has_no_name_is_called_as_its_folder(summary: dict[str, Any]) -> None:
    assert name_of(Path("o/a.b"), summary) == "a.b"
    assert name_of(Path(), summary) == Path.cwd().name


def test_the_working_directory_has_a_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write("o/a"))
    assert PhaseFolder.read(Path()).name == "a"


def test_excluded_area_is_in_no_phase() -> None:
    labels = MAP.copy()
    labels[12:] = 0
    found = PhaseFolder.read(write("a", labels, names={1: "x", 2: "y", 3: "x"}))
    np.testing.assert_array_equal(found.labels == 0, labels == 0)
    field = found.measure()
    assert (field.n_pixels, field.fractions) == (144, (0.75, 0.25))


def test_a_field_is_measured_as_its_map() -> None:
    folder = write("o/a", size=0.5)
    digest = read_json(folder / "summary.json")["sha256"]
    expected = measure_field(
        MAP,
        ("class 1", "class 2", "class 3"),
        name="a",
        sha256=digest,
        pixel_size=0.5,
        points=(3, 4),
        origin=None,
    )
    found = PhaseFolder.read(folder).measure((3, 4))
    np.testing.assert_array_equal(found.contacts, expected.contacts)
    assert replace(found, contacts=expected.contacts) == expected


def test_an_ome_zarr_is_read() -> None:
    found = PhaseFolder.read(write("a", size=0.5, as_zarr=True))
    assert not Path("a/labels.tif").exists()
    np.testing.assert_array_equal(found.labels, MAP)
    assert found.pixel_size == 0.5


def test_a_pyramid_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "LARGE_PIXELS", 1)
    folder = write("a")
    with tifffile.TiffFile(folder / "labels.tif") as file:
        assert file.is_bigtiff
    np.testing.assert_array_equal(PhaseFolder.read(folder).labels, MAP)


@pytest.mark.parametrize("mode", [(), PAPER], ids=["fast", "paper"])
def test_a_result_of_either_mode_is_read(image: Path, nital: Nital, mode: tuple[str, ...]) -> None:
    assert nital("segment", image, *mode, "--n-classes", 2, "--out", "o").code == 0
    told = read_json(Path("o/a/summary.json"))["classes"]
    found = PhaseFolder.read(Path("o/a")).measure()
    assert found.phases == tuple(f"class {row['class']}" for row in told)
    assert found.fractions == pytest.approx([row["area_fraction"] for row in told])


# --- what can't be read -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "empty", "study"])
def test_a_folder_without_a_result(name: str) -> None:
    Path("empty").mkdir()
    Path("study").mkdir()
    Path("study/runs.csv").write_text("n_classes\n")
    with pytest.raises(InputError, match=f"^{name}: no result of `nital segment`"):
        PhaseFolder.read(Path(name))


def swapped(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Classes 1 and 2 exchanged."""
    return np.where((labels == 1) | (labels == 2), 3 - labels, labels).astype(np.uint8)


CHANGES = {
    "one pixel": np.where(np.arange(MAP.size).reshape(MAP.shape) == 0, 2, MAP),
    "classes swapped": swapped(MAP),
    "excluded": np.where(MAP == 3, 0, MAP),
    "one class more": np.where(np.arange(MAP.size).reshape(MAP.shape) == 0, 4, MAP),
    "numbers of 16 bit": np.where(MAP == 3, 60_000, MAP),
    "below 0": np.where(MAP == 3, -1, MAP),
    "turned": MAP.T,
    "cut": MAP[:-1],
    "all excluded": np.zeros_like(MAP),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_label_map_that_was_changed(change: str) -> None:
    folder = write("a")
    labels = CHANGES[change]
    dtype = {"below 0": np.int16, "numbers of 16 bit": np.uint16}.get(change, np.uint8)
    tifffile.imwrite(folder / "labels.tif", labels.astype(dtype))
    with pytest.raises(InputError, match=r"^a/labels\.tif: not the label map of this result"):
        PhaseFolder.read(folder)


def test_a_label_map_of_another_result() -> None:
    other = write("b", MAP[::-1] % 3 + 1)
    shutil.copy(other / "labels.tif", write("a") / "labels.tif")
    with pytest.raises(InputError, match=r"^a/labels\.tif: not the label map"):
        PhaseFolder.read(Path("a"))


@pytest.mark.parametrize(
    ("kind", "said"),
    [("JPEG", "a JPEG file"), ("text", "not an image"), ("cut", "cut short"), ("gone", "no such")],
)
def test_a_label_map_that_is_none(kind: str, said: str) -> None:
    path = write("a") / "labels.tif"
    if kind == "JPEG":
        Image.fromarray(80 * MAP).save(path, "JPEG")
    elif kind == "text":
        path.write_text("not an image")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    else:
        path.unlink()
    with pytest.raises(InputError, match=rf"^a/labels\.tif: .*{said}"):
        PhaseFolder.read(Path("a"))


def test_a_map_of_phases_that_was_changed() -> None:
    folder = write("a")
    merge(folder, {"dark": [1], "bright": [2, 3]})
    tifffile.imwrite(folder / "phases.tif", swapped(np.minimum(MAP, 2)).T)
    with pytest.raises(InputError, match=r"^a/phases\.tif: not the label map of this result"):
        PhaseFolder.read(folder)


def test_a_map_of_phases_that_is_gone() -> None:
    folder = write("a")
    merge(folder, {"dark": [1], "bright": [2, 3]})
    (folder / "phases.tif").unlink()
    with pytest.raises(InputError, match=r"^a/phases\.tif: no such file"):
        PhaseFolder.read(folder)


@pytest.mark.parametrize("name", ["summary.json", "phases.json"])
def test_a_summary_that_is_damaged(name: str) -> None:
    folder = write("a")
    merge(folder, {"dark": [1], "bright": [2, 3]})
    (folder / name).write_text((folder / name).read_text()[:-20])
    with pytest.raises(InputError, match=f"^a/{name}: damaged"):
        PhaseFolder.read(folder)


# --- which folders there are --------------------------------------------------------------------


def make(*folders: str, file: str = "labels.tif") -> None:
    """Folders that look like results from the outside."""
    for folder in map(Path, folders):
        folder.mkdir(parents=True)
        (folder / file).touch()
        write_json(folder / "summary.json", {})


def find(*paths: str) -> list[str]:
    return [str(folder) for folder in find_results(map(Path, paths))]


def test_a_folder_of_results_is_found() -> None:
    make("o/a")
    assert find("o/a") == ["o/a"]


def test_folders_in_a_folder_are_found_in_their_order() -> None:
    make("o/c", "o/a", "o/b b/deep/er", "o/ä")
    assert find("o") == ["o/a", "o/b b/deep/er", "o/c", "o/ä"]


def test_what_was_named_first_comes_first() -> None:
    make("b/x", "a/x", "a/y")
    assert find("b", "a/y", "a/x") == ["b/x", "a/y", "a/x"]


def test_a_result_in_a_named_result_is_not_found() -> None:
    make("o/a", "o/a/older")
    assert find("o/a") == ["o/a"]


@pytest.mark.parametrize("again", ["o", "o/a", "./o/a", "o/../o", "{here}/o", "link"])
def test_a_folder_named_twice_is_found_once(again: str, tmp_path: Path) -> None:
    make("o/a", "o/b")
    Path("link").symlink_to("o")
    assert find("o", again.format(here=tmp_path)) == ["o/a", "o/b"]


def test_the_working_directory_is_searched() -> None:
    make("o/a", "b")
    assert find(".") == ["b", "o/a"]


def test_an_ome_zarr_of_labels_is_a_result() -> None:
    make("o/a", file="labels.zarr")
    assert find("o") == ["o/a"]


def test_studies_are_passed_over() -> None:
    make("o/a")
    make("o/a2/classes", "o/a2/map", file="runs.csv")
    assert find("o") == ["o/a"]


@pytest.mark.parametrize("named", [".", "o"])
@pytest.mark.parametrize("there", [True, False])
def test_results_that_are_being_written_are_passed_over(named: str, there: bool) -> None:
    write("o/a")
    if there:
        write("o/b")
    with staged(Path("o/b"), RESULT_FILES, force=True) as aside:
        write(aside)
        assert find(named) == ["o/a", "o/b"][: 1 + there]
    assert find(named) == ["o/a", "o/b"]


def test_a_result_that_is_being_written_beside_the_named_is_passed_over() -> None:
    make("a")
    with staged(Path("b"), RESULT_FILES, force=False) as aside:
        write(aside)
        assert find(".") == ["a"]


def test_a_hidden_folder_that_is_named_is_searched() -> None:
    make(".work/o/a")
    assert find(".work") == find(".work/o") == find(".work/o/a") == [".work/o/a"]


def test_what_is_no_folder_is_refused() -> None:
    make("a")
    for path in ("none", "a/labels.tif"):
        with pytest.raises(InputError, match=f"^{path}: not a folder"):
            find("a", path)


@pytest.mark.parametrize("name", ["empty", "study"])
def test_a_folder_with_no_result_in_it_is_refused(name: str) -> None:
    make("a")
    make("study", file="runs.csv")
    Path("empty").mkdir()
    with pytest.raises(InputError, match=f"^{name}: no result of `nital segment` or"):
        find("a", name)


# --- the specimen -------------------------------------------------------------------------------


def test_fields_of_a_model_are_a_specimen_without_a_note() -> None:
    for name, labels in (("a", MAP), ("b", MAP[::-1] % 3 + 1)):
        write(f"o/{name}", labels, model=True)
    specimen = measure_folders(find_results([Path("o")]))
    assert [field.name for field in specimen.fields] == ["a", "b"]
    assert [each.mean for each in specimen.areas] == pytest.approx([0.375, 0.375, 0.25])
    assert specimen.notes == ()


def test_fields_segmented_one_by_one_have_a_note() -> None:
    for name, labels in (("a", MAP), ("b", MAP[::-1] % 3 + 1)):
        write(f"o/{name}", labels)
    (note,) = measure_folders(find_results([Path("o")])).notes
    assert "segmented one by one" in note


def test_a_copy_of_a_result_is_no_other_field() -> None:
    shutil.copytree(write("o/a"), "o/b")
    with pytest.raises(InputError, match=r"^b: the same micrograph as a; name each field once"):
        measure_folders(find_results([Path("o")]))


def test_merged_phases_in_another_order_are_the_same() -> None:
    merge(write("o/a"), {"dark": [1], "bright": [2, 3]})
    other = write("o/b", MAP.copy())
    summary = read_json(other / "summary.json")
    write_json(other / "summary.json", summary | {"sha256": "another"})
    merge(other, {"bright": [3], "dark": [1, 2]})
    specimen = measure_folders(find_results([Path("o")]))
    assert specimen.phases == ("dark", "bright")
    assert [each.mean for each in specimen.areas] == pytest.approx([0.625, 0.375])


def test_fields_of_one_name_are_told_apart_by_their_path() -> None:
    for folder, colours in (("p1/s", {1: "#000001"}), ("p2/s", {1: "#000002"})):
        write(folder, colours=colours)
        summary = json.loads(Path(folder, "summary.json").read_text())
        Path(folder, "summary.json").write_text(json.dumps(summary | {"sha256": folder}))
    found = measure_folders(find_results([Path("p1"), Path("p2")]))
    assert [field.name for field in found.fields] == ["p1/s", "p2/s"]


@pytest.mark.parametrize("text", ["{}", '{"classes": 3}', '{"classes": [{"class": 1}]}'])
def test_a_summary_that_is_not_as_it_was_written_is_refused(text: str) -> None:
    folder = write("a")
    (folder / "summary.json").write_text(text)
    with pytest.raises(InputError, match=r"^a: summary\.json .*segment again"):
        PhaseFolder.read(folder)


def test_a_field_is_called_as_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write("o/a", called="Probe 3")
    assert measure_folders([folder]).fields[0].name == "Probe 3"
