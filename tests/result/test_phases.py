"""Phases: each fine class is in one named phase; areas by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.pictures import fine_classes
from nital.errors import InputError
from nital.result.criteria import evaluate
from nital.result.fine import FineClasses
from nital.result.phases import name_phases


def some_fine_classes() -> tuple[FineClasses, np.ndarray]:
    labels = np.array([[1, 1, 2, 3], [0, 4, 4, 3]], np.uint8)
    pixels = np.repeat(np.array([[0.1, 0.1, 0.4, 0.6], [0, 0.9, 0.9, 0.6]])[..., None], 3, axis=2)
    pixels = pixels.astype(np.float32)
    return fine_classes(pixels, labels), pixels


def test_phases_by_hand() -> None:
    fine, pixels = some_fine_classes()
    found = name_phases(fine, {"carbide": [4], "ferrite": [3, 1], "pearlite": [2]})
    assert found.names == ("carbide", "ferrite", "pearlite")
    assert found.members == ((4,), (1, 3), (2,))
    assert found.labels.tolist() == [[2, 2, 3, 2], [0, 1, 1, 2]]
    assert [row.n_pixels for row in found.classes] == [2, 4, 1]
    assert [row.area_fraction for row in found.classes] == pytest.approx([2 / 7, 4 / 7, 1 / 7])
    assert [row.mean_grey for row in found.classes] == pytest.approx(
        [255 * 0.9, 255 * 0.35, 255 * 0.4]
    )
    assert found.criteria.F == pytest.approx(evaluate(pixels, found.labels).F)


@given(st.lists(st.sampled_from("abc"), min_size=4, max_size=4))
def test_every_pixel_is_in_the_phase_of_its_fine_class(names: list[str]) -> None:
    fine, _ = some_fine_classes()
    phases: dict[str, list[int]] = {}
    for member, name in enumerate(names, start=1):
        phases.setdefault(name, []).append(member)
    found = name_phases(fine, phases)
    for member, name in enumerate(names, start=1):
        assert set(found.labels[fine.labels == member]) == {found.names.index(name) + 1}
    assert (found.labels[fine.labels == 0] == 0).all()
    assert sum(row.n_pixels for row in found.classes) == 7


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ({"a": [1, 2, 3]}, "fine classes 4: in no phase"),
        ({"a": [1, 2], "b": [2, 3, 4]}, "fine class 2: in a and in b"),
        ({"a": [1, 2, 3, 4, 5]}, "there is no fine class 5; use 1 to 4"),
        ({"a": [0, 1, 2, 3, 4]}, "there is no fine class 0"),
        ({"a": [1, 2, 3, 4], "b": []}, "b: has no fine class"),
        ({}, "fine classes 1, 2, 3, 4: in no phase"),
    ],
)
def test_phases_that_can_not_be(phases: dict[str, list[int]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        name_phases(some_fine_classes()[0], phases)


def test_phases_are_as_uncertain_as_their_fine_classes_differ_from_view_to_view() -> None:
    fine, _ = some_fine_classes()
    n = len(fine.statistics.areas)
    phases = {"first": [1, 3], "rest": [i for i in range(1, n + 1) if i not in (1, 3)]}
    assert [row.uncertainty for row in name_phases(fine, phases).classes] == [None, None]
    shares = np.random.default_rng(0).dirichlet(np.ones(n), 5)
    found = name_phases(replace(fine, shares=shares), phases)
    first = shares[:, [0, 2]].sum(axis=1)
    expected = 2 * first.std(ddof=1)
    assert [row.uncertainty for row in found.classes] == pytest.approx([expected, expected])
