"""The assignment: a key assigns a fine class to a phase, and each is always in one."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from helpers.benches import make_samples_small
from nital.app.state.assignment import Assignment
from nital.errors import InputError
from nital.fast.settings import FastSettings
from nital.image.micrograph import Micrograph
from nital.image.synthetic import synthesize
from nital.output.render import PALETTE, colours_of, hex_of
from nital.result.grouping import ClassName
from nital.series.fitting import fit_model
from nital.series.model import Model


@pytest.fixture(scope="module")
def model() -> Model:
    """Of three classes, the darkest and the brightest of them named."""
    image = synthesize((64, 80), {"ferrite": 1, "pearlite": 1}, grain_size=16, seed=0).image
    with pytest.MonkeyPatch.context() as patch:
        make_samples_small(patch)
        found = fit_model([partial(Micrograph.from_array, image)], FastSettings(), exposure="same")
    return found.named({1: ClassName("pearlite"), 3: ClassName("ferrite", "#123456")})


def fractions_of(model: Model) -> NDArray[np.float64]:
    """Of its fine classes, in what it was fitted to; the first two are equal."""
    areas = model.joining.statistics.areas.copy()
    areas[:2] = areas[0]
    return areas / areas.sum()


@pytest.fixture
def assignment(model: Model) -> Assignment:
    return Assignment(model, fractions_of(model))


def by_class(model: Model, fine: int) -> int:
    """The class of a fine class."""
    return int(model.class_of[fine - 1])


def members(assignment: Assignment) -> list[set[int]]:
    return [set(slot.members) for slot in assignment.slots]


def colours(assignment: Assignment) -> list[str | None]:
    return [slot.name.colour for slot in assignment.slots]


def show(assignment: Assignment, fine: int) -> None:
    assignment.place = assignment.order.index(fine)


# --- what is shown -------------------------------------------------------------------------------


def test_the_first_phases_are_the_classes(assignment: Assignment, model: Model) -> None:
    assert [slot.name for slot in assignment.slots] == [
        ClassName("pearlite", PALETTE[0]),
        ClassName(None, PALETTE[1]),
        ClassName("ferrite", "#123456"),
    ]
    assert members(assignment) == [set(model.members(number)) for number in (1, 2, 3)]
    assert (assignment.model.class_of == model.class_of).all()


def test_the_largest_comes_first(assignment: Assignment, model: Model) -> None:
    fractions = fractions_of(model)
    n = len(model.class_of)
    assert sorted(assignment.order) == list(range(1, n + 1))
    assert assignment.order == sorted(
        range(1, n + 1), key=lambda fine: (-fractions[fine - 1], fine)
    )
    shown = []
    while assignment.fine is not None:
        assert assignment.slot == by_class(model, assignment.fine)
        shown.append(assignment.fine)
        assignment.skip()
    assert shown == assignment.order
    assert assignment.slot is None


def test_the_one_before_is_shown_again(assignment: Assignment) -> None:
    assignment.back()
    assert assignment.place == 0
    assignment.skip()
    assignment.put(1)
    assert assignment.place == 2
    assignment.back()
    assert assignment.fine == assignment.order[1]
    assert assignment.slot == 1
    for _ in assignment.order:
        assignment.skip()
    assignment.skip()
    assert assignment.place == len(assignment.order)
    assignment.back()
    assert assignment.fine == assignment.order[-1]


# --- what a key does -----------------------------------------------------------------------------


def test_a_key_puts_it_into_a_phase_and_shows_the_next(
    assignment: Assignment, model: Model
) -> None:
    fine = assignment.fine
    assert fine is not None
    other = 1 + by_class(model, fine) % 3
    before = members(assignment)
    found = assignment.put(other)
    assert assignment.place == 1
    assert [fine in own for own in members(assignment)] == [i == other for i in (1, 2, 3)]
    assert [own - {fine} for own in members(assignment)] == [own - {fine} for own in before]
    assert (found.class_of == assignment.model.class_of).all()
    expected = model.moved(fine, other)
    assert (found.class_of == expected.class_of).all()
    assert {name.name for name in found.names.values()} == {None, "pearlite", "ferrite"}


def test_a_phase_that_was_made_is_removed_by_undo(assignment: Assignment) -> None:
    before = members(assignment)
    assignment.put(4)
    assignment.put(5)
    assignment.put(1)
    for n_left in (5, 4, 3):
        assert assignment.undo()
        assert len(assignment.slots) == n_left
    assert members(assignment) == before
    assert not assignment.undo()


def test_it_may_stay_where_it_is(assignment: Assignment, model: Model) -> None:
    here = assignment.slot
    assert here is not None
    found = assignment.put(here)
    assert (found.class_of == model.class_of).all()
    assert assignment.place == 1


def test_one_more_key_makes_a_new_phase(assignment: Assignment, model: Model) -> None:
    first, second = assignment.order[:2]
    assignment.put(4)
    assert members(assignment)[3] == {first}
    new = assignment.slots[3].name
    assert new.name is None
    assert new.colour not in colours(assignment)[:3]
    assignment.put(4)
    assert members(assignment)[3] == {first, second}
    assignment.put(5)
    assert len(set(colours(assignment))) == 5
    found = assignment.model
    assert by_class(found, first) == by_class(found, second)
    assert found.names[by_class(found, first)] == new


@pytest.mark.parametrize("key", [0, -1, 5])
def test_a_key_of_no_phase_changes_nothing(assignment: Assignment, key: int) -> None:
    before = members(assignment)
    with pytest.raises(InputError, match=rf"^phase {key}: there are 3; use 1 to 4"):
        assignment.put(key)
    assert (members(assignment), assignment.place) == (before, 0)


def test_after_the_last_there_is_nothing_to_put(assignment: Assignment) -> None:
    for _ in assignment.order:
        assignment.skip()
    before = members(assignment)
    for key in (1, 4):
        with pytest.raises(InputError, match="all fine classes were shown; go back, or end"):
            assignment.put(key)
    assert members(assignment) == before


def test_a_single_phase_is_refused_and_nothing_changes(
    assignment: Assignment, model: Model
) -> None:
    last = assignment.order[5]
    for fine in assignment.order:
        show(assignment, fine)
        assignment.put(2 if fine == last else 1)
    show(assignment, last)
    everything = set(assignment.order)
    assert members(assignment) == [everything - {last}, {last}, set()]
    for key in (1, 2, 3, 1):
        show(assignment, last)
        if key == 1:
            with pytest.raises(InputError, match="a single class would be left"):
                assignment.put(key)
            assert assignment.fine == last
        else:
            assignment.put(key)
            assert assignment.place == 6
        assert members(assignment)[0] == everything - {last}
        assert by_class(assignment.model, last) != by_class(assignment.model, assignment.order[0])
    assert members(assignment) == [everything - {last}, set(), {last}]
    assert assignment.model.settings.n_classes == 2


def test_keys_and_colours_stay_though_numbers_change(assignment: Assignment, model: Model) -> None:
    """The darkest phase gets all that is bright: it is the brightest then."""
    before = colours(assignment)
    for fine in assignment.order:
        show(assignment, fine)
        assignment.put({1: 3, 2: 2, 3: 1}[by_class(model, fine)])
    assert colours(assignment) == before
    assert members(assignment) == [set(model.members(number)) for number in (3, 2, 1)]
    found = assignment.model
    assert (found.class_of == model.class_of).all()
    assert [row.name for row in found.classes] == ["ferrite", None, "pearlite"]
    assert [hex_of(colour) for colour in colours_of(found.classes)] == before[::-1]


def test_a_phase_that_is_empty_keeps_its_key(assignment: Assignment, model: Model) -> None:
    for fine in model.members(2):
        show(assignment, fine)
        assignment.put(1)
    assert (len(assignment.slots), assignment.model.settings.n_classes) == (3, 2)
    assert [row.name for row in assignment.model.classes] == ["pearlite", "ferrite"]
    show(assignment, model.members(2)[0])
    assert assignment.put(2).settings.n_classes == 3
    assert members(assignment)[1] == {model.members(2)[0]}


KEYS = st.lists(st.one_of(st.integers(-1, 8), st.sampled_from(["skip", "back"])), max_size=60)


@given(KEYS)
@settings(deadline=None, max_examples=60)
def test_every_fine_class_is_in_one_phase_whatever_is_pressed(
    model: Model, keys: list[int | str]
) -> None:
    assignment = Assignment(model, fractions_of(model))
    everything = list(range(1, len(model.class_of) + 1))
    for key in keys:
        before, place, seen = members(assignment), assignment.place, colours(assignment)
        if isinstance(key, str):
            getattr(assignment, key)()
            assert members(assignment) == before
        else:
            try:
                found = assignment.put(key)
            except InputError:
                assert (members(assignment), assignment.place) == (before, place)
            else:
                assert assignment.place == place + 1
                assert (found.class_of == assignment.model.class_of).all()
        assert sorted(fine for own in members(assignment) for fine in own) == everything
        assert colours(assignment)[: len(seen)] == seen
        assert len(set(colours(assignment))) == len(assignment.slots)
        shown = assignment.model
        filled = [
            (slot, own)
            for slot, own in zip(assignment.slots, members(assignment), strict=True)
            if own
        ]
        assert shown.settings.n_classes == len(filled) == shown.class_of.max() >= 2
        for slot, own in filled:
            (number,) = {by_class(shown, fine) for fine in own}
            assert set(shown.members(number)) == own
            assert shown.names[number] == slot.name
