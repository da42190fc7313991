"""Grouping: after any decision each fine class is in one class, and names are kept."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from helpers.steels import (
    BRIGHT,
    MID,
    STEEL_SIDE,
    field,
    is_same,
    of_steel,
    steel,
    three_greys,
)
from nital.errors import InputError, SettingError, Stopped
from nital.fast.settings import FastSettings
from nital.image import windows
from nital.image.micrograph import Micrograph
from nital.paper.settings import PaperSettings
from nital.result.criteria import RegionStatistics, measure_regions
from nital.result.fine import FineClasses
from nital.result.grouping import ClassName, Grouping
from nital.result.joining import Joining
from nital.series.model import Model

pytestmark = pytest.mark.usefixtures("small_samples")


# --- names --------------------------------------------------------------------------------------


def test_names_follow_into_results() -> None:
    model = three_greys().named({3: ClassName("ferrite"), 1: ClassName("pearlite", "#0072b2")})
    for rows in (model.classes, model.segment(Micrograph.from_array(field(MID, BRIGHT))).classes):
        found = [(row.label, row.name, row.colour) for row in rows]
        assert found == [(1, "pearlite", "#0072b2"), (2, None, None), (3, "ferrite", None)]
    assert list(model.names) == [1, 3]
    assert not three_greys().names


def test_other_names_are_kept() -> None:
    model = three_greys().named({1: ClassName("a"), 2: ClassName("b")}).named({2: ClassName("c")})
    assert model.names == {1: ClassName("a"), 2: ClassName("c")}


@pytest.mark.parametrize("number", [0, 4, -1])
def test_a_class_that_is_not_there_has_no_name(number: int) -> None:
    with pytest.raises(InputError, match=f"class {number}: there are classes 1 to 3"):
        three_greys().named({number: ClassName("ferrite")})


def test_one_name_has_one_colour() -> None:
    model = three_greys().named({1: ClassName("ferrite", "#000001"), 2: ClassName("ferrite")})
    assert model.named({2: ClassName("ferrite", "#000001")})
    with pytest.raises(InputError, match="ferrite: has the colours #000001, #000002; choose one"):
        model.named({2: ClassName("ferrite", "#000002")})


@pytest.mark.parametrize("name", ["class 1", "class 12", " class 3 "])
def test_no_name_is_that_of_a_class_without_one(name: str) -> None:
    """When phases are joined by name, two would become one."""
    with pytest.raises(InputError, match="reserved for classes without a name"):
        ClassName(name)
    assert ClassName("class A").name == "class A"


@pytest.mark.parametrize("name", ["", "  ", 5, None])
def test_a_name_is_a_text(name: Any) -> None:
    with pytest.raises(InputError, match="not a name; use a text"):
        ClassName(name)


@pytest.mark.parametrize("name", ["ferrite", None])
@pytest.mark.parametrize("colour", ["red", "#12345", "#1234567", "0072b2", "#00zzb2", "", 7])
def test_a_colour_is_a_number(colour: Any, name: str | None) -> None:
    with pytest.raises(InputError, match="not #RRGGBB, such as #0072b2"):
        ClassName(name, colour)


@pytest.mark.parametrize("name", ["", "  ", 5])
def test_a_colour_is_no_excuse_for_a_name_that_is_none(name: Any) -> None:
    with pytest.raises(InputError, match="not a name; use a text"):
        ClassName(name, "#000001")


def test_classes_may_have_colours_and_no_names() -> None:
    """And, without a common name, they need no common colour."""
    model = three_greys().named({1: ClassName(None, "#000001"), 2: ClassName(None, "#0072B2")})
    for rows in (model.classes, model.segment(Micrograph.from_array(field(MID, BRIGHT))).classes):
        found = [(row.label, row.name, row.colour) for row in rows]
        assert found == [(1, None, "#000001"), (2, None, "#0072B2"), (3, None, None)]
    assert model.named({1: ClassName("ferrite", "#000003")}).names == {
        1: ClassName("ferrite", "#000003"),
        2: ClassName(None, "#0072B2"),
    }


# --- regrouped ----------------------------------------------------------------------------------


def groupings(n: int) -> st.SearchStrategy[dict[str, list[int]]]:
    """Assignments of n fine classes to 2 to 4 phases, none of them empty."""

    def phases(names: list[str]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for member, name in enumerate(names, start=1):
            found.setdefault(name, []).append(member)
        return found

    drawn = st.lists(st.sampled_from("abcd"), min_size=n, max_size=n)
    return drawn.map(phases).filter(lambda found: len(found) > 1)


@settings(deadline=None)
@given(groupings(24))
def test_regrouped_classes_are_unions_of_fine_classes(phases: dict[str, list[int]]) -> None:
    model = of_steel()
    found = model.regrouped(phases)
    number_of = {each.name: number for number, each in found.names.items()}
    for name, members in phases.items():
        assert set(found.class_of[np.array(members) - 1]) == {number_of[name]}
    assert sorted(number_of.values()) == list(range(1, len(phases) + 1))
    greys = [row.mean_grey for row in found.classes]
    assert greys == sorted(greys)
    assert found.settings.n_classes == len(found.classes) == len(phases)


def test_a_regrouped_model_labels_by_phases() -> None:
    model, image = of_steel(), Micrograph.from_array(steel(5))
    fine = model.segment(image).fine
    assert fine is not None
    found = model.regrouped({"bright": range(11, 25), "dark": range(1, 11)}).segment(image)
    assert ((found.labels == 1) == (fine.labels <= 10)).all()
    assert [row.name for row in found.classes] == ["dark", "bright"]
    assert not [note for note in found.notes if "classes instead of" in note]


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ({"all": range(1, 25)}, "all: a single phase; name two or more"),
        ({}, "a single phase"),
        ({"a": range(1, 24), "b": [1, 24]}, "fine class 1: in a and in b"),
        ({"a": range(1, 20), "b": range(20, 24)}, "fine classes 24: in no phase"),
        ({"a": range(1, 25), "b": []}, "b: has no fine class"),
        ({"a": range(1, 25), "b": [25]}, "there is no fine class 25; use 1 to 24"),
    ],
)
def test_phases_that_can_not_be(phases: dict[str, Sequence[int]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        of_steel().regrouped(phases)


# --- decided by a person ------------------------------------------------------------------------

Parts = dict[frozenset[int], ClassName | None]
"""The fine classes of each class, and its name."""

N_FINE = 24
FINE = st.integers(1, N_FINE)
CLASS = st.integers(1, N_FINE)
DECISIONS = st.lists(
    st.one_of(
        st.tuples(st.just("at"), st.integers(2, N_FINE)),
        st.tuples(st.just("joined"), CLASS, CLASS),
        st.tuples(st.just("split"), CLASS),
        st.tuples(st.just("moved"), FINE, st.none() | CLASS),
        st.tuples(st.just("named"), CLASS),
    ),
    max_size=12,
)


def parts_of(model: Model) -> Parts:
    names = dict(model.names)
    found = {
        frozenset(model.members(number)): names.pop(number, None)
        for number in range(1, len(model.classes) + 1)
    }
    assert not names  # of classes that are not there
    return found


def decided(parts: Parts, model: Model, decision: tuple[Any, ...]) -> Parts:
    """The parts after a decision; `model` has the parts before it, and their numbers."""
    kind, *arguments = decision
    own = [frozenset(model.members(number)) for number in range(1, len(parts) + 1)]
    if kind == "at":
        number = model.joining.numbers(arguments[0])
        cut = [frozenset((np.flatnonzero(number == i) + 1).tolist()) for i in set(number.tolist())]
        return {members: parts.get(members) for members in cut}
    if kind == "named":
        return parts | {own[arguments[0] - 1]: ClassName(f"name {arguments[0]}")}
    if kind == "joined":
        one, other = (own[number - 1] for number in arguments)
        rest = {members: name for members, name in parts.items() if members not in (one, other)}
        return rest | {one | other: parts[one]}
    if kind == "split":
        members = own[arguments[0] - 1]
        half = model.joining.halves(sorted(members))
        halves = [frozenset(np.array(sorted(members))[half == i].tolist()) for i in (1, 2)]
        areas = model.joining.statistics.areas
        smaller, larger = sorted(halves, key=lambda each: sum(areas[i - 1] for i in each))
        rest = {other: name for other, name in parts.items() if other != members}
        return rest | {larger: parts[members], smaller: None}
    fine, number = arguments
    target = frozenset() if number is None else own[number - 1]
    found: Parts = {}
    for members, name in parts.items():
        changed = members | {fine} if members == target else members - {fine}
        if changed:
            found[changed] = name
    return found if number is not None else found | {frozenset({fine}): None}


def fitting(model: Model, decision: tuple[Any, ...]) -> tuple[Any, ...]:
    """The decision with numbers of existing classes."""
    k = len(model.classes)
    kind, *arguments = decision
    if kind == "at":
        return decision
    if kind == "moved":
        fine, number = arguments
        return kind, fine, None if number is None else 1 + number % k
    return kind, *(1 + number % k for number in arguments)


def has_its_own(model: Model, fine: int) -> bool:
    """Whether a fine class is alone in its class."""
    return model.members(int(model.class_of[fine - 1])) == (fine,)


def carried_out(model: Model, decision: tuple[Any, ...]) -> Model:
    kind, *arguments = decision
    if kind == "named":
        return model.named({arguments[0]: ClassName(f"name {arguments[0]}")})
    changed: Model = getattr(model, kind)(*arguments)
    return changed


@settings(deadline=None, max_examples=60)
@given(DECISIONS)
def test_whatever_is_decided_is_a_model_with_these_classes(
    decisions: list[tuple[Any, ...]],
) -> None:
    first = model = of_steel()
    for each in decisions:
        decision = fitting(model, each)
        kind, *arguments = decision
        if kind == "split" and len(model.members(arguments[0])) == 1:
            with pytest.raises(InputError, match="a single fine class; it can't be split"):
                carried_out(model, decision)
            continue
        if kind == "moved" and arguments[1] is None and has_its_own(model, arguments[0]):
            continue
        expected = decided(parts_of(model), model, decision)
        if len(expected) < 2:
            with pytest.raises(InputError, match="a single class would be left"):
                carried_out(model, decision)
            continue
        changed = carried_out(model, decision)
        assert parts_of(changed) == expected
        k = len(expected)
        assert np.unique(changed.class_of).tolist() == list(range(1, k + 1))
        assert changed.settings == replace(first.settings, n_classes=k)
        assert list(changed.names) == sorted(changed.names)
        greys = [row.mean_grey for row in changed.classes]
        assert greys == sorted(greys)
        assert sum(row.area_fraction for row in changed.classes) == pytest.approx(1)
        model = changed
    kept = replace(model, class_of=first.class_of, settings=first.settings, names=first.names)
    assert is_same(kept, first)  # and nothing else changes
    assert not first.names


def named_all(model: Model) -> Model:
    numbers = range(1, len(model.classes) + 1)
    return model.named({number: ClassName(f"name {number}", "#000001") for number in numbers})


@pytest.mark.parametrize("k", [2, 5, 11])
def test_a_class_that_is_split_and_joined_again_is_the_same(k: int) -> None:
    model = named_all(of_steel().at(k))
    for number in range(1, k + 1):
        members = model.members(number)
        if len(members) == 1:
            continue
        halves = model.split(number)
        assert len(halves.classes) == k + 1
        one, other = {int(halves.class_of[fine - 1]) for fine in members}
        larger, smaller = sorted(
            (one, other), key=lambda each: halves.classes[each - 1].area_fraction, reverse=True
        )
        assert halves.names[larger] == model.names[number]
        assert smaller not in halves.names
        assert is_same(halves.joined(larger, smaller), model)
        nameless = {each: name for each, name in model.names.items() if each != number}
        assert is_same(halves.joined(smaller, larger), replace(model, names=nameless))


def number_of(model: Model, members: Sequence[int]) -> int:
    """The class that consists of these fine classes."""
    (found,) = {int(model.class_of[fine - 1]) for fine in members}
    assert model.members(found) == tuple(members)
    return found


def test_classes_of_another_number_are_joined_by_features() -> None:
    model = of_steel()
    for k in range(2, N_FINE + 1):
        found = model.at(k)
        assert (found.class_of == model.joining.numbers(k)).all()
        assert len(found.classes) == k


@pytest.mark.parametrize(("middle", "is_told"), [(1.0, True), (1.2, False)])
def test_another_joining_is_told_until_a_person_decides(middle: float, is_told: bool) -> None:
    """The second of three fine classes lies midway between the others."""
    labels = np.repeat([[1, 2, 3]], 8, axis=1).repeat(9, axis=0).astype(np.uint8)
    micrograph = Micrograph.from_array(labels / np.float32(4))
    statistics = measure_regions(micrograph.pixels, labels)
    joining = Joining(np.array([[0.0], [middle], [2.0]]), statistics)
    model = Grouping(FastSettings(n_classes=2), joining, joining.numbers(2), {})
    fine = FineClasses(labels, statistics, joining)
    found = model.join(micrograph, fine, None)
    assert (found.other_fractions is not None) == is_told
    if found.other_fractions is not None:
        both = [found.classes[0].area_fraction, found.other_fractions[0]]
        assert sorted(both) == pytest.approx([1 / 3, 2 / 3])
    decided = model.moved(2, 3 - int(model.class_of[1]))
    assert decided.join(micrograph, fine, None).other_fractions is None


def test_another_joining_is_told_as_it_is_in_the_micrograph_until_a_person_decides() -> None:
    """The second of three fine classes lies midway between the others."""
    areas = np.full(3, 100.0)
    statistics = RegionStatistics(areas, np.repeat([[0.0], [1], [2]], 3, axis=1), 0 * areas)
    joining = Joining(np.array([[0.0], [1.0], [2.0]]), statistics)
    model = Grouping(FastSettings(n_classes=2), joining, joining.numbers(2), {})
    first = int(model.class_of[1])
    expected = [0.2, 0.8] if first == 1 else [0.7, 0.3]
    assert model.other_fractions(np.array([20.0, 50, 30])) == pytest.approx(expected)
    assert model.other_fractions(np.array([20.0, 0, 30])) is None  # nothing of the second is here
    assert model.moved(2, 3 - first).other_fractions(np.array([20.0, 50, 30])) is None


def test_more_classes_than_there_are_can_not_be() -> None:
    """A tiny fine class never is a class of its own, but a person can make it one."""
    model = of_steel()
    statistics = model.joining.statistics
    areas = np.where(np.arange(N_FINE) < 2, 1, statistics.areas)
    model = replace(
        model, joining=replace(model.joining, statistics=replace(statistics, areas=areas))
    )
    with pytest.raises(InputError, match=f"hold no more than {N_FINE - 2} classes; ask for fewer"):
        model.at(N_FINE - 1)
    for fine in range(1, N_FINE + 1):
        model = model.moved(fine, None)
    assert len(model.classes) == N_FINE


@settings(deadline=None, max_examples=20)
@given(DECISIONS, st.integers(2, N_FINE))
def test_a_cut_does_not_depend_on_what_was_decided_before(
    decisions: list[tuple[Any, ...]], k: int
) -> None:
    model = of_steel()
    for each in decisions:
        try:
            model = carried_out(model, fitting(model, each))
        except InputError:
            continue
    assert is_same(replace(model.at(k), names={}), of_steel().at(k))


def test_the_fine_classes_of_a_class_are_its_members() -> None:
    model = of_steel()
    for number in (1, 2):
        assert model.members(number) == tuple(
            i for i, label in enumerate(model.class_of.tolist(), start=1) if label == number
        )
    assert all(type(i) is int for i in model.members(1))
    assert model.members(3) == ()


def test_a_cut_keeps_the_names_of_classes_that_it_leaves_alone() -> None:
    kept = 0
    for k in range(3, N_FINE + 1):
        model = named_all(of_steel().at(k))
        fewer = model.at(k - 1)
        old = {model.members(number): name for number, name in model.names.items()}
        same = {number: old.get(fewer.members(number)) for number in range(1, k)}
        assert fewer.names == {number: name for number, name in same.items() if name is not None}
        kept += len(fewer.names)
    assert kept > 50


@pytest.mark.parametrize(
    ("k", "said"),
    [
        (1, "n_classes 1: too small; use 2 or more"),
        (25, "n_classes 25: ask for at most 24"),
    ],
)
def test_a_cut_that_can_not_be(k: int, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        of_steel().at(k)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda model: model.moved(0, 1), "fine class 0: does not exist"),
        (lambda model: model.moved(99, 1), "fine class 99: does not exist"),
        (lambda model: model.moved(1, 99), "class 99: there are classes 1 to"),
        (lambda model: model.joined(1, 99), "class 99: there are classes 1 to"),
        (lambda model: model.joined(99, 1), "class 99: there are classes 1 to"),
        (lambda model: model.split(99), "class 99: there are classes 1 to"),
    ],
)
def test_numbers_that_are_not_there(change: Callable[[Model], Model], said: str) -> None:
    with pytest.raises(InputError, match=said):
        change(of_steel())


def test_a_fine_class_that_is_alone_already_keeps_its_name() -> None:
    model = of_steel().moved(1, None).named({1: ClassName("film")})
    assert model.moved(1, None).names == model.names


def test_stopped_before_any_pixel_has_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 64)
    upper = np.arange(STEEL_SIDE)[:, np.newaxis] < np.full(STEEL_SIDE, STEEL_SIDE // 2)
    micrograph = Micrograph.from_array(steel(0), excluded=upper)

    def stop(done: int, labels: NDArray[np.uint8]) -> None:
        raise Stopped("stopped")

    with pytest.raises(Stopped):
        of_steel().segment(micrograph, on_rows=stop)


def test_two_classes_are_not_joined_and_a_fine_class_is_not_split() -> None:
    with pytest.raises(InputError, match="a single class would be left"):
        of_steel().joined(2, 1)
    model = of_steel().moved(3, None)
    with pytest.raises(InputError, match=r"class \d+: a single fine class; it can't be split"):
        model.split(number_of(model, [3]))


def test_the_last_fine_class_of_one_of_two_can_not_be_moved() -> None:
    class_of = np.repeat([1, 2], [23, 1])
    model = of_steel().grouped(class_of, {})
    alone = number_of(model, [24])
    with pytest.raises(InputError, match="a single class would be left"):
        model.moved(24, 3 - alone)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=N_FINE, max_size=N_FINE).filter(
        lambda numbers: len(set(numbers)) > 1
    ),
    st.permutations(range(1, 61)),
)
def test_classes_are_numbered_anew_whatever_they_were(numbers: list[int], order: list[int]) -> None:
    class_of, model = np.array(numbers), of_steel()
    names = {number: ClassName(f"name {number}") for number in range(1, 61)}
    found = model.grouped(class_of, names)
    for number in set(numbers):
        members = [fine for fine, each in enumerate(numbers, start=1) if each == number]
        assert found.names[number_of(found, members)] == names[number]
    assert list(found.names) == list(range(1, 1 + len(set(numbers))))
    assert len(found.classes) == len(set(numbers))
    other = np.array(order)[class_of - 1]
    others = {order[number - 1]: name for number, name in names.items()}
    assert is_same(model.grouped(other, others), found)


# --- classes that were found as such -------------------------------------------------------------


def measured(*greys: int) -> RegionStatistics:
    """Classes with these grey levels and 100, 200, ... pixels."""
    means = np.repeat(np.array(greys, float)[:, np.newaxis], 3, axis=1)
    return RegionStatistics(100.0 * np.arange(1, len(greys) + 1), means, np.ones(len(greys)))


def test_classes_that_were_found_are_their_own_fine_classes() -> None:
    paper = PaperSettings(n_classes=3)
    found = Grouping.of_classes(paper, measured(20, 30, 200))
    assert found.class_of.tolist() == [1, 2, 3]
    assert [row.n_pixels for row in found.classes] == [100, 200, 300]
    assert found.settings == paper


def test_classes_that_were_found_are_joined_by_their_colours() -> None:
    found = Grouping.of_classes(PaperSettings(n_classes=4), measured(20, 30, 200, 210))
    two = found.at(2)
    assert [two.members(number) for number in (1, 2)] == [(1, 2), (3, 4)]
    assert two.settings == PaperSettings(n_classes=2)
    joined = found.joined(1, 4)
    assert sorted(joined.members(int(joined.class_of[0]))) == [1, 4]
    assert joined.split(int(joined.class_of[0])).class_of.tolist() == found.class_of.tolist()


def test_a_label_map_is_joined_without_a_model() -> None:
    labels = np.repeat(np.arange(4, dtype=np.uint8)[np.newaxis], 6, axis=0)
    micrograph = Micrograph.from_array(labels * np.uint8(60), excluded=labels == 0)
    statistics = measure_regions(micrograph.pixels, labels)
    found = Grouping.of_classes(PaperSettings(n_classes=3), statistics)
    fine = FineClasses(labels, statistics, found.joining, stopped=True)
    result = found.joined(1, 2).named({2: ClassName("bright")}).join(micrograph, fine, None)
    assert (result.labels == np.array([0, 1, 1, 2])[labels]).all()
    assert [row.name for row in result.classes] == [None, "bright"]
    assert (result.likeness, result.stopped) == (None, True)
