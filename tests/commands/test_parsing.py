"""Arguments: option values are parsed, and invalid ones refused."""

from pathlib import Path

import pytest

from nital.commands.parsing import (
    check_names,
    parse_colours,
    parse_fractions,
    parse_names,
    parse_numbers,
    parse_phases,
    parse_range,
    parse_size,
    superpixel_numbers,
)
from nital.errors import InputError, SettingError
from nital.paper.superpixels import preset_n_superpixels


def test_range() -> None:
    assert parse_range("2:10") == range(2, 11)
    assert list(parse_range("3:3")) == [3]


@pytest.mark.parametrize(
    "text", ["", "2", "2:", ":3", "2:3:4", "a:b", "2-3", "1:3", "4:3", "2.5:3"]
)
def test_bad_range(text: str) -> None:
    with pytest.raises(SettingError, match="--range"):
        parse_range(text)


def test_numbers_are_sorted_and_come_once() -> None:
    assert parse_numbers("compactness", "20, 5,80,5", float) == [5.0, 20.0, 80.0]
    assert parse_numbers("superpixels", "500,50", int) == [50, 500]


@pytest.mark.parametrize(
    "text", ["", ",", "5,,20", "5;20", "a", "0", "-1,5", "nan", "inf", "5,inf"]
)
def test_bad_numbers(text: str) -> None:
    with pytest.raises(SettingError, match="--compactness"):
        parse_numbers("compactness", text, float)


@pytest.mark.parametrize("text", ["1.5", "1e3", "0", "-4"])
def test_bad_whole_numbers(text: str) -> None:
    with pytest.raises(SettingError, match="--superpixels"):
        superpixel_numbers(text, (100, 100), shares=(1,))


def test_numbers_of_superpixels_are_shares_of_the_preset() -> None:
    preset = preset_n_superpixels((400, 400))
    assert superpixel_numbers(None, (400, 400), shares=(1, 1 / 4)) == [preset // 4, preset]
    assert superpixel_numbers(None, (1440, 1920), shares=(1,)) == [50_000]
    assert superpixel_numbers(None, (5, 5), shares=(1 / 8, 1)) == [1]


def test_numbers_of_superpixels_may_be_named() -> None:
    assert superpixel_numbers("70,7", (5, 5), shares=()) == [7, 70]


def test_size() -> None:
    assert parse_size("64x96") == (64, 96)
    assert parse_size("64X96") == (64, 96)


@pytest.mark.parametrize("text", ["", "64", "64x", "64x64x3", "64*64", "axb", "6.4x64"])
def test_bad_size(text: str) -> None:
    with pytest.raises(SettingError, match="--size"):
        parse_size(text)


def test_fractions() -> None:
    assert parse_fractions(["ferrite=0.65", "pearlite=.35"]) == {"ferrite": 0.65, "pearlite": 0.35}


@pytest.mark.parametrize("text", ["ferrite", "ferrite=", "ferrite:0.5", "ferrite=half"])
def test_bad_fractions(text: str) -> None:
    with pytest.raises(SettingError, match=r"e\.g\. ferrite=0\.65"):
        parse_fractions([text])


def test_a_constituent_named_twice() -> None:
    with pytest.raises(SettingError, match="ferrite"):
        parse_fractions(["ferrite=0.5", "ferrite=0.2", "pearlite=0.3"])


def test_two_images_must_not_share_a_folder() -> None:
    check_names([Path("a/x.png"), Path("a/y.png")])
    with pytest.raises(InputError, match=r"b/x\.tif.*a/x\.png"):
        check_names([Path("a/x.png"), Path("b/x.tif")])


def test_phases() -> None:
    assert parse_phases("ferrite=1,4-6 pearlite=2,3", 6) == {
        "ferrite": [1, 4, 5, 6],
        "pearlite": [2, 3],
    }
    assert parse_phases(" pearlite=2   ferrite=rest ", 4) == {"pearlite": [2], "ferrite": [1, 3, 4]}
    assert parse_phases("ferrite=rest pearlite=2", 2) == {"ferrite": [1], "pearlite": [2]}
    assert parse_phases("Fe3C=7-7", 9) == {"Fe3C": [7]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no phase"),
        ("ferrite", "not PHASE=NUMBERS"),
        ("=1", "not PHASE=NUMBERS"),
        ("ferrite=", "not PHASE=NUMBERS"),
        ("ferrite=1 ferrite=2", "named twice"),
        ("a=rest b=rest", "the rest already goes to a"),
        ("ferrite=1,x", "'x' is not a number or a range"),
        ("ferrite=1,,2", "'' is not a number"),
        ("ferrite=0", "use fine classes from 1 to 6"),
        ("ferrite=5-7", "5-7: use fine classes from 1 to 6"),
        ("ferrite=4-2", "4-2: use fine classes"),
        ("ferrite=-1", "is not a number or a range"),
    ],
)
def test_bad_phases(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=f"--merge.*{said}"):
        parse_phases(text, 6)


def test_names_of_classes() -> None:
    assert parse_names(["1=pearlite", " 12 = retained austenite "]) == {
        1: "pearlite",
        12: "retained austenite",
    }
    assert parse_names(["1=a=b", "0=c"]) == {1: "a=b", 0: "c"}
    assert parse_names([]) == {}


@pytest.mark.parametrize("text", ["", "1", "1=", "1= ", "=a", "x=y", "-1=a", "1.5=a", "²=a"])
def test_bad_names_of_classes(text: str) -> None:
    with pytest.raises(SettingError, match=r"not CLASS=NAME, e\.g\. 1=pearlite"):
        parse_names([text])


def test_a_class_named_twice() -> None:
    with pytest.raises(SettingError, match="01=b: class 01 is named twice"):
        parse_names(["1=a", "01=b"])


def test_colours_of_names() -> None:
    assert parse_colours(["pearlite=#0072B2", "a=b=#ffffff"]) == {
        "pearlite": "#0072b2",
        "a=b": "#ffffff",
    }
    assert parse_colours([]) == {}


@pytest.mark.parametrize(
    "text", ["", "a", "a=", "=#0072b2", "a=red", "a=0072b2", "a=#07b", "a=#0072b2ff", "a=#0072bg"]
)
def test_bad_colours_of_names(text: str) -> None:
    with pytest.raises(SettingError, match=r"--colour .*not NAME=#RRGGBB, e.g. pearlite=#0072b2"):
        parse_colours([text])


def test_a_name_with_two_colours() -> None:
    with pytest.raises(SettingError, match="--colour a=#000002: a has two colours; choose one"):
        parse_colours(["a=#000001", "a=#000002"])
