"""Decisions: names and colours are those of one class each; fine classes limit their number."""

import pytest

from helpers.benches import trained
from nital.app.state.bench import Bench
from nital.app.state.decisions import most_classes
from nital.errors import InputError
from nital.fast.settings import MAX_CLASSES
from nital.output.render import colours_of, hex_of
from nital.result.grouping import ClassName


def classes_of(bench: Bench) -> int:
    assert bench.model is not None
    return len(bench.model.classes)


def names_of(bench: Bench) -> dict[int, ClassName]:
    assert bench.model is not None
    return dict(bench.model.names)


def test_a_class_is_called_by_a_name(bench: Bench) -> None:
    bench.rename(2, "  ferrite ")
    assert names_of(bench) == {2: ClassName("ferrite")}
    assert bench.phases() == ["class 1", "ferrite", "class 3", "class 4"]
    assert bench.phases(bench.base) == ["class 1", "class 2", "class 3", "class 4"]
    bench.rename(2, "pearlite")
    bench.rename(1, "ferrite")
    assert bench.phases() == ["ferrite", "pearlite", "class 3", "class 4"]
    assert classes_of(bench) == 4


def test_classes_of_one_name_become_one(bench: Bench) -> None:
    bench.rename(3, "ferrite")
    bench.recolour(3, "#0072b2")
    bench.rename(1, "pearlite")
    bench.recolour(1, "#d55e00")
    assert bench.model is not None
    members = {*bench.model.members(1), *bench.model.members(3)}
    bench.rename(1, " ferrite ")
    assert classes_of(bench) == 3
    ((number, name),) = names_of(bench).items()
    assert name == ClassName("ferrite", "#0072b2")
    assert set(bench.model.members(number)) == members
    bench.undo()
    assert [row.name for row in bench.model.classes] == ["pearlite", None, "ferrite", None]


def test_two_classes_do_not_become_one(bench: Bench) -> None:
    bench.decide(lambda model: model.at(2))
    bench.rename(1, "ferrite")
    with pytest.raises(InputError, match="a single class would be left"):
        bench.rename(2, "ferrite")
    assert names_of(bench) == {1: ClassName("ferrite")}


def test_an_empty_name_takes_the_name_away_and_keeps_the_colour(bench: Bench) -> None:
    bench.rename(1, "pearlite")
    bench.rename(2, "ferrite")
    bench.recolour(2, "#009e73")
    bench.rename(1, "")
    assert names_of(bench) == {2: ClassName("ferrite", "#009e73")}
    bench.rename(2, "  ")
    assert names_of(bench) == {2: ClassName(None, "#009e73")}
    bench.rename(2, "bainite")
    assert names_of(bench) == {2: ClassName("bainite", "#009e73")}


def test_a_class_has_a_colour(bench: Bench) -> None:
    bench.recolour(3, "#009e73")
    assert names_of(bench) == {3: ClassName(None, "#009e73")}
    bench.rename(3, "ferrite")
    bench.recolour(3, "#0072B2")
    assert names_of(bench) == {3: ClassName("ferrite", "#0072B2")}
    for number, colour in ((3, "blue"), (5, "#0072b2"), (0, "#0072b2")):
        with pytest.raises(InputError):
            bench.recolour(number, colour)
    assert names_of(bench) == {3: ClassName("ferrite", "#0072B2")}


def test_a_colour_is_that_of_one_class(bench: Bench) -> None:
    bench.rename(1, "ferrite")
    bench.recolour(1, "#d55e00")
    bench.recolour(2, "#0072b2")
    bench.recolour(3, "#d55e00")
    bench.recolour(4, "#0072b2")
    assert bench.model is not None
    assert bench.model.names == {
        1: ClassName("ferrite"),
        3: ClassName(None, "#d55e00"),
        4: ClassName(None, "#0072b2"),
    }
    assert len({hex_of(colour) for colour in colours_of(bench.model.classes)}) == 4
    bench.undo()
    assert bench.model.names[2] == ClassName(None, "#0072b2")


def test_there_are_no_more_classes_than_fine_ones(bench: Bench) -> None:
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


def test_many_fine_classes_can_all_be_classes(bench: Bench) -> None:
    bench.set_trained(trained(1, *[100.0] * 40))
    assert most_classes(bench.base) == 40
