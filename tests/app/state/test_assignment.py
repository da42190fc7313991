"""The assignment: a key puts a fine class into a phase, and every fine class is always in one."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from helpers.benches import make_samples_small
from nital.app.state.assignment import Assignment
from nital.errors import InputError
from nital.image.micrograph import Micrograph
from nital.image.synthetic import synthesize
from nital.output.render import PALETTE, colours_of, hex_of
from nital.result.grouping import ClassName
from nital.series.fitting import fit_model
from nital.series.model import Model
from nital.settings import Settings


@pytest.fixture(scope="module")
def model() -> Model:
    """Of three classes, the darkest and the brightest of them named."""
    image = synthesize((64, 80), {"ferrite": 1, "pearlite": 1}, grain_size=16, seed=0).image
    with pytest.MonkeyPatch.context() as patch:
        make_samples_small(patch)
        found = fit_model([partial(Micrograph.from_array, image)], Settings(), exposure="same")
    return found.named({1: ClassName("pearlite"), 3: ClassName("ferrite", "#123456")})


def fractions_of(model: Model) -> NDArray[np.float64]:
    """Of its fine classes, in what it was fitted to; the first two are equal."""
    areas = model.tree.statistics.areas.copy()
    areas[:2] = areas[0]
    return areas / areas.sum()


@pytest.fixture
def dealt(model: Model) -> Assignment:
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


def test_the_first_phases_are_the_classes(dealt: Assignment, model: Model) -> None:
    assert [slot.name for slot in dealt.slots] == [
        ClassName("pearlite", PALETTE[0]),
        ClassName(None, PALETTE[1]),
        ClassName("ferrite", "#123456"),
    ]
    assert members(dealt) == [set(model.members(number)) for number in (1, 2, 3)]
    assert (dealt.model.class_of == model.class_of).all()


def test_the_largest_comes_first(dealt: Assignment, model: Model) -> None:
    fractions = fractions_of(model)
    n = len(model.class_of)
    assert sorted(dealt.order) == list(range(1, n + 1))
    assert dealt.order == sorted(range(1, n + 1), key=lambda fine: (-fractions[fine - 1], fine))
    shown = []
    while dealt.fine is not None:
        assert dealt.slot == by_class(model, dealt.fine)
        shown.append(dealt.fine)
        dealt.skip()
    assert shown == dealt.order
    assert dealt.slot is None


def test_the_one_before_is_shown_again(dealt: Assignment) -> None:
    dealt.back()
    assert dealt.place == 0
    dealt.skip()
    dealt.put(1)
    assert dealt.place == 2
    dealt.back()
    assert dealt.fine == dealt.order[1]
    assert dealt.slot == 1
    for _ in dealt.order:
        dealt.skip()
    dealt.skip()
    assert dealt.place == len(dealt.order)
    dealt.back()
    assert dealt.fine == dealt.order[-1]


# --- what a key does -----------------------------------------------------------------------------


def test_a_key_puts_it_into_a_phase_and_shows_the_next(dealt: Assignment, model: Model) -> None:
    fine = dealt.fine
    assert fine is not None
    other = 1 + by_class(model, fine) % 3
    before = members(dealt)
    found = dealt.put(other)
    assert dealt.place == 1
    assert [fine in own for own in members(dealt)] == [i == other for i in (1, 2, 3)]
    assert [own - {fine} for own in members(dealt)] == [own - {fine} for own in before]
    assert (found.class_of == dealt.model.class_of).all()
    expected = model.moved(fine, other)
    assert (found.class_of == expected.class_of).all()
    assert {name.name for name in found.names.values()} == {None, "pearlite", "ferrite"}


def test_a_phase_that_was_made_goes_when_that_is_taken_back(dealt: Assignment) -> None:
    before = members(dealt)
    dealt.put(4)
    dealt.put(5)
    dealt.put(1)
    for n_left in (5, 4, 3):
        assert dealt.take_back()
        assert len(dealt.slots) == n_left
    assert members(dealt) == before
    assert not dealt.take_back()


def test_it_may_stay_where_it_is(dealt: Assignment, model: Model) -> None:
    here = dealt.slot
    assert here is not None
    found = dealt.put(here)
    assert (found.class_of == model.class_of).all()
    assert dealt.place == 1


def test_one_more_key_makes_a_new_phase(dealt: Assignment, model: Model) -> None:
    first, second = dealt.order[:2]
    dealt.put(4)
    assert members(dealt)[3] == {first}
    new = dealt.slots[3].name
    assert new.name is None
    assert new.colour not in colours(dealt)[:3]
    dealt.put(4)
    assert members(dealt)[3] == {first, second}
    dealt.put(5)
    assert len(set(colours(dealt))) == 5
    found = dealt.model
    assert by_class(found, first) == by_class(found, second)
    assert found.names[by_class(found, first)] == new


@pytest.mark.parametrize("key", [0, -1, 5])
def test_a_key_of_no_phase_changes_nothing(dealt: Assignment, key: int) -> None:
    before = members(dealt)
    with pytest.raises(InputError, match=rf"^phase {key}: there are 3; use 1 to 4"):
        dealt.put(key)
    assert (members(dealt), dealt.place) == (before, 0)


def test_after_the_last_there_is_nothing_to_put(dealt: Assignment) -> None:
    for _ in dealt.order:
        dealt.skip()
    before = members(dealt)
    for key in (1, 4):
        with pytest.raises(InputError, match="all fine classes were shown; go back, or end"):
            dealt.put(key)
    assert members(dealt) == before


def test_a_single_phase_is_refused_and_nothing_changes(dealt: Assignment, model: Model) -> None:
    last = dealt.order[5]
    for fine in dealt.order:
        show(dealt, fine)
        dealt.put(2 if fine == last else 1)
    show(dealt, last)
    everything = set(dealt.order)
    assert members(dealt) == [everything - {last}, {last}, set()]
    for key in (1, 2, 3, 1):
        show(dealt, last)
        if key == 1:
            with pytest.raises(InputError, match="a single class would be left"):
                dealt.put(key)
            assert dealt.fine == last
        else:
            dealt.put(key)
            assert dealt.place == 6
        assert members(dealt)[0] == everything - {last}
        assert by_class(dealt.model, last) != by_class(dealt.model, dealt.order[0])
    assert members(dealt) == [everything - {last}, set(), {last}]
    assert dealt.model.settings.n_classes == 2


def test_keys_and_colours_stay_though_numbers_change(dealt: Assignment, model: Model) -> None:
    """The darkest phase gets all that is bright: it is the brightest then."""
    before = colours(dealt)
    for fine in dealt.order:
        show(dealt, fine)
        dealt.put({1: 3, 2: 2, 3: 1}[by_class(model, fine)])
    assert colours(dealt) == before
    assert members(dealt) == [set(model.members(number)) for number in (3, 2, 1)]
    found = dealt.model
    assert (found.class_of == model.class_of).all()
    assert [row.name for row in found.classes] == ["ferrite", None, "pearlite"]
    assert [hex_of(colour) for colour in colours_of(found.classes)] == before[::-1]


def test_a_phase_that_is_empty_keeps_its_key(dealt: Assignment, model: Model) -> None:
    for fine in model.members(2):
        show(dealt, fine)
        dealt.put(1)
    assert (len(dealt.slots), dealt.model.settings.n_classes) == (3, 2)
    assert [row.name for row in dealt.model.classes] == ["pearlite", "ferrite"]
    show(dealt, model.members(2)[0])
    assert dealt.put(2).settings.n_classes == 3
    assert members(dealt)[1] == {model.members(2)[0]}


KEYS = st.lists(st.one_of(st.integers(-1, 8), st.sampled_from(["skip", "back"])), max_size=60)


@given(KEYS)
@settings(deadline=None, max_examples=60)
def test_every_fine_class_is_in_one_phase_whatever_is_pressed(
    model: Model, keys: list[int | str]
) -> None:
    dealt = Assignment(model, fractions_of(model))
    everything = list(range(1, len(model.class_of) + 1))
    for key in keys:
        before, place, seen = members(dealt), dealt.place, colours(dealt)
        if isinstance(key, str):
            getattr(dealt, key)()
            assert members(dealt) == before
        else:
            try:
                found = dealt.put(key)
            except InputError:
                assert (members(dealt), dealt.place) == (before, place)
            else:
                assert dealt.place == place + 1
                assert (found.class_of == dealt.model.class_of).all()
        assert sorted(fine for own in members(dealt) for fine in own) == everything
        assert colours(dealt)[: len(seen)] == seen
        assert len(set(colours(dealt))) == len(dealt.slots)
        shown = dealt.model
        filled = [(slot, own) for slot, own in zip(dealt.slots, members(dealt), strict=True) if own]
        assert shown.settings.n_classes == len(filled) == shown.class_of.max() >= 2
        for slot, own in filled:
            (number,) = {by_class(shown, fine) for fine in own}
            assert set(shown.members(number)) == own
            assert shown.names[number] == slot.name
