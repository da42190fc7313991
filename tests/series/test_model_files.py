"""Model files: models are read back unchanged, and any damage is reported."""

import errno
import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from helpers.steels import is_same
from nital.errors import InputError, OutputError
from nital.fast.features import CHANNELS, GreyLevels
from nital.fast.settings import FastSettings
from nital.fast.space import Exposure, FeatureSpace
from nital.image.light import Light
from nital.image.micrograph import Micrograph
from nital.image.tone import Tone
from nital.result.criteria import RegionStatistics
from nital.result.grouping import ClassName
from nital.result.joining import Joining
from nital.series.model import Model
from nital.series.model_files import read_model, write_model

VERSIONS = {"nital": "0.1.0", "numpy": "2.4"}
N_FINE = 4


def some_model(exposure: Exposure | None = None) -> Model:
    """A model of random numbers: four fine classes, three classes."""
    rng = np.random.default_rng(0)
    n = len(CHANNELS)
    levels = GreyLevels(0.1, 0.7, (0.2, 1 / 3), (0.3,))
    statistics = RegionStatistics(rng.random(N_FINE), rng.random((N_FINE, 3)), rng.random(N_FINE))
    return Model(
        settings=FastSettings(n_classes=3, scale="medium", light="corrected"),
        space=FeatureSpace(
            levels,
            rng.random(n, np.float32),
            "medium",
            exposure,
            4 / 3,
            Tone((0.5, -0.2, 0.3)),
            Light((0.1, -0.2, 0.003, 0.0, -0.05)),
        ),
        centres=rng.random((N_FINE, n), np.float32),
        shares=rng.dirichlet(np.ones(N_FINE)),
        spread=math.pi,
        joining=Joining(rng.random((N_FINE, 2 * n)), statistics),
        class_of=np.array([1, 2, 2, 3]),
        usual=(1.1, 0.2),
        images=(("a ä.tif", "0" * 64), ("micrograph", None)),
        names={1: ClassName("pearlite", "#0072b2"), 3: ClassName("ferrite α")},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a model."""
    found = tmp_path / "steel.nital"
    write_model(found, some_model(), versions=VERSIONS)
    return found


def parts(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the arrays."""
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return json.loads(file.metadata()["nital"]), arrays


def alter(
    path: Path,
    header: Callable[[dict[str, Any]], object] = lambda described: None,
    arrays: Callable[[dict[str, NDArray[Any]]], object] = lambda arrays: None,
) -> None:
    """Change the contents of a model file."""
    described, found = parts(path)
    header(described)
    arrays(found)
    path.write_bytes(save(found, {"nital": json.dumps(described)}))


def assert_refused(path: Path, said: str | None = None) -> None:
    """An InputError names the path, the problem and the remedy."""
    with pytest.raises(InputError, match=said) as told:
        read_model(path)
    assert str(told.value).startswith(f"{path}: ")
    assert any(word in str(told.value) for word in ("; use ", "; name ", "; fit ", "; check "))


def assert_read_or_refused(path: Path) -> None:
    """Reading succeeds, if the change can't be detected, or raises an InputError."""
    try:
        read_model(path)
        told = f"{path}: "
    except InputError as error:
        told = str(error)
    assert told.startswith(f"{path}: ")


# --- there and back -----------------------------------------------------------------------------


@pytest.mark.parametrize("exposure", [None, Exposure(0.1 + 0.2, 1 / 7)])
def test_what_is_read_is_what_was_written(tmp_path: Path, exposure: Exposure | None) -> None:
    model = some_model(exposure)
    write_model(tmp_path / "m", model, versions=VERSIONS)
    found = read_model(tmp_path / "m")
    assert is_same(found, model)
    for name in ("centres", "shares", "class_of"):
        assert getattr(found, name).dtype == getattr(model, name).dtype


@pytest.mark.parametrize("exposure", [None, Exposure(0.4, 0.2)])
def test_a_model_read_back_predicts_the_same(tmp_path: Path, exposure: Exposure | None) -> None:
    model = some_model(exposure)
    write_model(tmp_path / "m", model, versions=VERSIONS)
    image = Micrograph.from_array(np.random.default_rng(1).random((40, 50)))
    found, expected = read_model(tmp_path / "m").segment(image), model.segment(image)
    assert (found.labels == expected.labels).all()
    assert found.classes == expected.classes
    assert (found.criteria, found.likeness) == (expected.criteria, expected.likeness)


DECISIONS: dict[str, Callable[[Model], Model]] = {
    "a colour without a name": lambda model: model.named({2: ClassName(None, "#0A0b0c")}),
    "at": lambda model: model.at(2),
    "joined": lambda model: model.joined(1, 2),
    "split": lambda model: model.split(int(model.class_of[1])),
    "moved": lambda model: model.moved(2, int(model.class_of[0])),
    "moved out": lambda model: model.moved(3, None),
    "grouped": lambda model: model.grouped(
        np.array([9, 4, 9, 2]), {9: ClassName(None, "#000001"), 2: ClassName("α", "#000001")}
    ),
}


@pytest.mark.parametrize("decision", DECISIONS)
def test_what_a_person_decided_is_read_as_it_was_written(tmp_path: Path, decision: str) -> None:
    model = DECISIONS[decision](some_model().grouped(np.array([1, 2, 2, 3]), some_model().names))
    write_model(tmp_path / "m", model, versions=VERSIONS)
    found = read_model(tmp_path / "m")
    assert is_same(found, model)
    assert found.settings.n_classes == len(found.classes)
    assert [(row.name, row.colour) for row in found.classes] == [
        (row.name, row.colour) for row in model.classes
    ]


def test_a_colour_without_a_name_is_written_as_such(path: Path) -> None:
    model = read_model(path).named({2: ClassName(None, "#0A0b0c")})
    write_model(path, model, versions=VERSIONS, force=True)
    assert parts(path)[0]["names"] == {
        "1": {"name": "pearlite", "colour": "#0072b2"},
        "2": {"name": None, "colour": "#0A0b0c"},
        "3": {"name": "ferrite α", "colour": None},
    }
    assert read_model(path).names[2] == ClassName(None, "#0A0b0c")


def test_the_same_model_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "again", some_model(), versions=VERSIONS)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    write_model(tmp_path / "read", read_model(path), versions=VERSIONS)
    assert (tmp_path / "read").read_bytes() == path.read_bytes()


def test_arrays_need_not_lie_in_one_piece(tmp_path: Path) -> None:
    model = some_model()
    object.__setattr__(model, "centres", np.asfortranarray(model.centres))
    object.__setattr__(model, "shares", np.repeat(model.shares, 2)[::2])
    write_model(tmp_path / "m", model, versions=VERSIONS)
    assert is_same(read_model(tmp_path / "m"), some_model())


def test_the_header_says_what_it_was_made_with(path: Path) -> None:
    described, _ = parts(path)
    assert described["versions"] == VERSIONS
    assert described["format"] == "nital model"
    assert described["channels"] == list(CHANNELS)


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    write_model(tmp_path / "a/b/m", some_model(), versions=VERSIONS)
    assert (tmp_path / "a/b/m").is_file()


# --- writing over -------------------------------------------------------------------------------


def test_a_file_that_is_there_is_replaced_with_force_only(path: Path) -> None:
    before = path.read_bytes()
    other = some_model().named({2: ClassName("bainite")})
    with pytest.raises(OutputError, match=r"steel\.nital: already exists; use --force"):
        write_model(path, other, versions=VERSIONS)
    assert path.read_bytes() == before
    write_model(path, other, versions=VERSIONS, force=True)
    assert read_model(path).names[2].name == "bainite"


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_is_never_replaced(tmp_path: Path, force: bool) -> None:
    (tmp_path / "m/inside").mkdir(parents=True)
    with pytest.raises(OutputError, match="m: a folder is in the way; name another --out"):
        write_model(tmp_path / "m", some_model(), versions=VERSIONS, force=force)
    assert (tmp_path / "m/inside").is_dir()


def test_a_file_in_place_of_a_folder_is_told(path: Path) -> None:
    with pytest.raises(OutputError, match="can't be written"):
        write_model(path / "m", some_model(), versions=VERSIONS)


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = path.read_bytes()

    def refuse(aside: Path, content: bytes | Path) -> None:
        if isinstance(content, bytes):
            with aside.open("wb") as file:
                file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, step, refuse)
    with pytest.raises(OutputError, match=r"steel\.nital: can't be written \(No space left"):
        write_model(path, some_model(), versions=VERSIONS, force=True)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# --- damage -------------------------------------------------------------------------------------


def test_a_file_cut_short_anywhere_is_told(path: Path) -> None:
    whole = path.read_bytes()
    ends = {0, 1, 7, 8, 9, len(whole) - 1, *range(10, len(whole), 37)}
    for end in sorted(ends):
        path.write_bytes(whole[:end])
        assert_refused(path)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_bytes_by_chance_are_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m").write_bytes(data)
    assert_refused(tmp_path / "m")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_byte_changed_anywhere_never_ends_in_another_error(
    path: Path, data: st.DataObject
) -> None:
    """A change within numbers can't be detected; any other is reported."""
    write_model(path, some_model(), versions=VERSIONS, force=True)
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    assert_read_or_refused(path)


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none", "no such file; name a model written by `nital fit`")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    assert_refused(tmp_path, "no such file")


def test_a_path_that_can_not_be_is_told(tmp_path: Path) -> None:
    assert_refused(tmp_path / ("x" * 300), "can't be read")


@pytest.mark.parametrize("said", [None, {}, {"other": "1"}, {"nital": ""}, {"nital": "{}"}])
def test_another_safetensors_file_is_no_model(path: Path, said: dict[str, str] | None) -> None:
    path.write_bytes(save({"weight": np.zeros(3, np.float32)}, said))
    assert_refused(path, "not a nital model")


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3"])
@pytest.mark.parametrize("of_nital", [False, True])
def test_kinds_of_numbers_that_numpy_does_not_know_are_told(
    path: Path, kind: str, of_nital: bool
) -> None:
    """Networks are often stored in these types."""
    header: dict[str, Any] = {"a": {"dtype": kind, "shape": [0], "data_offsets": [0, 0]}}
    if of_nital:
        header["__metadata__"] = {"nital": json.dumps(parts(path)[0])}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    assert_refused(path, "damaged, or not a nital model" if of_nital else "not a nital model")


@pytest.mark.parametrize("text", ["[" * 100_000, "nul", '"nital model"', "[]", "7"])
def test_a_header_that_is_not_one_is_told(path: Path, text: str) -> None:
    path.write_bytes(save(parts(path)[1], {"nital": text}))
    assert_refused(path, "not a nital model")


@pytest.mark.parametrize(
    ("versions", "said"),
    [({"nital": "9.0"}, "9.0"), ({}, "another version"), (None, "another"), ("x", "another")],
)
def test_a_newer_format_is_told_with_what_made_it(path: Path, versions: Any, said: str) -> None:
    alter(path, lambda described: described.update(version=5, versions=versions))
    assert_refused(path, rf"made with nital {said}.*, in a format \(version 5\)")


def test_a_file_of_the_first_nital_is_told(path: Path) -> None:
    """Its clusters were joined to fine classes, and it knew no views."""
    alter(path, lambda described: described.update(version=1, versions={"nital": "0.1"}))
    assert_refused(
        path, r"made with nital 0\.1, in a format \(version 1\) that this nital can't read"
    )


def test_features_of_another_nital_are_told(path: Path) -> None:
    alter(path, lambda described: described["channels"].append("new"))
    assert_refused(path, "in a format .* that this nital can't read; use that version")


HEADER = sorted(
    {"format", "version", "settings", "levels", "exposure", "channels", "spread", "usual"}
    | {"images", "names", "step", "tone", "light"}
)


@pytest.mark.parametrize(
    "light", [None, [], [0.1] * 4, [0.1] * 6, ["x"] * 5, [math.nan] * 5, [1e3] * 5, 7]
)
def test_light_that_can_not_be_is_told(path: Path, light: Any) -> None:
    alter(path, lambda described: described.update(light=light))
    assert_refused(path, "light|finite|float|object")


def test_a_model_of_kept_light_has_none(tmp_path: Path) -> None:
    model = some_model()
    kept = replace(
        model,
        settings=replace(model.settings, light="kept"),
        space=replace(model.space, light=None),
    )
    write_model(tmp_path / "kept.nital", kept, versions=VERSIONS)
    assert read_model(tmp_path / "kept.nital").space.light is None


def test_light_where_it_is_kept_is_told(path: Path) -> None:
    alter(path, lambda described: described["settings"].update(light="kept"))
    assert_refused(path, "light")


@pytest.mark.parametrize("name", HEADER)
def test_a_missing_part_of_the_header_is_told(path: Path, name: str) -> None:
    alter(path, lambda described: described.pop(name))
    assert_refused(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(HEADER), JSON)
def test_a_header_of_anything_never_ends_in_another_error(
    path: Path, name: str, value: Any
) -> None:
    write_model(path, some_model(), versions=VERSIONS, force=True)
    alter(path, lambda described: described.update({name: value}))
    assert_read_or_refused(path)


ARRAYS = (
    *("weights", "centres", "shares", "class_of"),
    *("joining_centres", "joining_areas", "joining_means", "joining_errors"),
)


def changes() -> Iterator[tuple[str, Callable[[NDArray[Any]], NDArray[Any]]]]:
    """Changes that make an array of any type invalid."""
    yield "too short", lambda array: array[:-1].copy()
    yield "empty", lambda array: array[:0].copy()
    yield "a dimension more", lambda array: array[..., np.newaxis]
    yield "a single number", lambda array: np.array(array.flat[0])
    yield "another kind", lambda array: array.astype(np.float16)
    yield "bytes", lambda array: array.astype(np.uint8)


@pytest.mark.parametrize("name", ARRAYS)
def test_a_missing_array_is_told(path: Path, name: str) -> None:
    alter(path, arrays=lambda arrays: arrays.pop(name))
    assert_refused(path, "damaged, or edited by hand")


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("change", [each for _, each in changes()], ids=[i for i, _ in changes()])
def test_an_array_of_another_shape_or_kind_is_told(
    path: Path, name: str, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    alter(path, arrays=lambda arrays: arrays.update({name: change(arrays[name])}))
    assert_refused(path, "damaged, or edited by hand")


@pytest.mark.parametrize("name", [each for each in ARRAYS if not each.endswith("_of")])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_array_that_is_not_finite_is_told(path: Path, name: str, value: float) -> None:
    alter(path, arrays=lambda arrays: np.put(arrays[name], -1, value))
    assert_refused(path, "damaged, or edited by hand")


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("class_of", [1, 2, 2, 4]),
        ("class_of", [0, 1, 2, 3]),
        ("class_of", [1, 1, 2, 2]),
        ("class_of", [1, 2, 3, 2**40]),
    ],
)
def test_numbers_of_classes_that_are_not_there_are_told(
    path: Path, name: str, numbers: list[int]
) -> None:
    alter(path, arrays=lambda arrays: arrays.update({name: np.array(numbers)}))
    assert_refused(path, f"{name} does not hold 1 to")


NOT_NUMBERS = (math.nan, math.inf, -math.inf, 10**400, None, "x", [], {})


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=lambda value: str(value)[:6])
def test_a_figure_that_is_no_finite_number_is_told(path: Path, value: Any) -> None:
    whole = path.read_bytes()

    def exposed(described: dict[str, Any], **wrong: Any) -> None:
        described["exposure"] = {"dark": 0.4, "bright": 0.6} | wrong

    for change in (
        lambda described: described.update(spread=value),
        lambda described: described.update(usual=[1.0, value]),
        lambda described: described.update(step=value),
        lambda described: described.update(tone=[0.2, 0.7, value]),
        lambda described: described["levels"].update(low=value),
        lambda described: described["levels"].update(high=value),
        lambda described: described["levels"].update(modes=[0.1, value]),
        lambda described: described["levels"].update(cuts=[value]),
        lambda described: exposed(described, dark=value),
        lambda described: exposed(described, bright=value),
    ):
        path.write_bytes(whole)
        alter(path, change)
        assert_refused(path, "damaged, or edited by hand")


@pytest.mark.parametrize("spread", [0, -1.0])
def test_a_spread_by_which_nothing_can_be_divided_is_told(path: Path, spread: float) -> None:
    alter(path, lambda described: described.update(spread=spread))
    assert_refused(path, "damaged, or edited by hand")


@pytest.mark.parametrize("step", [0, -1.0, 0.1, 4.5, 1e9])
def test_a_step_that_no_view_has_is_told(path: Path, step: float) -> None:
    alter(path, lambda described: described.update(step=step))
    assert_refused(path, "damaged, or edited by hand")


def test_as_many_cuts_as_part_the_groups_of_grey(path: Path) -> None:
    alter(path, lambda described: described["levels"].update(cuts=[0.2, 0.3]))
    assert_refused(path, "2 groups of grey with 2 cuts")


@pytest.mark.parametrize(
    "change",
    [
        {"n_classes": 2},
        {"n_classes": 4},
        {"n_classes": "auto"},
        {"n_classes": 3.0},
        {"mode": "paper"},
        {"repeats": 1},
        {"seed": 0},
        {"scale": "huge"},
        {"odd": 1},
    ],
    ids=str,
)
def test_settings_that_no_model_has_are_told(path: Path, change: dict[str, Any]) -> None:
    def changed(described: dict[str, Any]) -> None:
        described["settings"].update(change)
        if change.get("mode") == "paper":
            del described["settings"]["scale"]

    alter(path, changed)
    assert_refused(path, "damaged, or edited by hand")


@pytest.mark.parametrize(
    "names",
    [
        {"4": {"name": "bainite", "colour": None}},
        {"0": {"name": "bainite", "colour": None}},
        {"one": {"name": "bainite", "colour": None}},
        {"1": {"name": "bainite"}},
        {"1": {"colour": None}},
        {"1": {"name": 7, "colour": None}},
        {"1": {"name": None, "colour": None}},
        {"1": {"name": "", "colour": None}},
        {"1": {"name": "", "colour": "#000001"}},
        {"1": {"name": None, "colour": "red"}},
        {"1": {"name": ["bainite"], "colour": None}},
        {"1": {"name": "bainite", "colour": 7}},
        {"1": {"name": "bainite", "colour": "red"}},
        {"1": {"name": "a", "colour": "#000001"}, "2": {"name": "a", "colour": "#000002"}},
        {"1": "bainite"},
        ["bainite"],
        None,
    ],
    ids=lambda names: json.dumps(names)[:40],
)
def test_names_that_can_not_be_are_told(path: Path, names: Any) -> None:
    alter(path, lambda described: described.update(names=names))
    assert_refused(path, "damaged, or edited by hand")
