"""The specimen: fields measured by hand, phases matched by name, and notes for the reader."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from nital.errors import InputError
from nital.measure.regions import contact_lengths, summarise_regions
from nital.measure.specimen import Field, Specimen, measure_field, measure_specimen
from nital.measure.stereology import count_points, over_fields

NAMES = ("ferrite", "pearlite")
SHARES = (20, 24, 18, 22, 26)
"""Per cent of pearlite in five fields, as in the example of `over_fields`."""


def share_of(n: int) -> NDArray[np.uint8]:
    """10 x 10 pixels: the first n are 2, the others 1."""
    return np.where(np.arange(100) < n, 2, 1).astype(np.uint8).reshape(10, 10)


def field_of(n: int, phases: tuple[str, ...] = NAMES, **how: object) -> Field:
    """A field with n per cent of the second phase."""
    told: dict[str, object] = {"name": f"f{n}", "sha256": f"digest {n}", "points": (3, 4)}
    return measure_field(share_of(n), phases, **(told | how))  # type: ignore[arg-type]


def specimen_of(*fields: Field) -> Specimen:
    return measure_specimen(fields)


# --- one field ----------------------------------------------------------------------------------


def test_fractions_by_hand() -> None:
    labels = np.array([[1, 1, 2, 2], [1, 1, 2, 3], [1, 1, 2, 2], [1, 1, 1, 1]], np.uint8)
    found = measure_field(labels, ("a", "b", "c"), name="f", points=(1, 3))
    assert found.fractions == (10 / 16, 5 / 16, 1 / 16)
    # Points on corners (2, 1), (2, 2), (2, 3): in a, between a and b, where b and c meet.
    assert found.point_fractions == pytest.approx((1.5 / 3, 1 / 3, 0.5 / 3))
    assert found.n_pixels == 16


def test_excluded_pixels_are_not_counted() -> None:
    labels = share_of(20)
    labels[5:] = 0
    found = measure_field(labels, NAMES, name="f", points=(9, 9))
    assert found.n_pixels == 50
    assert found.fractions == (0.6, 0.4)
    assert sum(found.point_fractions) == pytest.approx(1)


def test_a_phase_that_is_not_in_the_field_has_0() -> None:
    found = field_of(20, (*NAMES, "graphite"))
    assert found.fractions == (0.8, 0.2, 0)
    assert found.point_fractions[2] == 0
    absent = found.regions[2]
    assert (absent.n_regions, absent.mean_area, absent.intercept_along) == (0, None, None)
    assert not found.contacts[2].any()


@pytest.mark.parametrize("size", [None, 0.5])
def test_a_field_is_what_the_modules_say(size: float | None) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (12, 15), dtype=np.uint8)
    found = measure_field(labels, tuple("abc"), name="f", pixel_size=size)
    assert found.point_fractions == tuple(count_points(labels, 3, points=(10, 10)))
    assert found.regions == summarise_regions(labels, 3, pixel_size=size)
    np.testing.assert_array_equal(found.contacts, contact_lengths(labels, 3, pixel_size=size))


def test_lengths_are_in_pixels_or_in_um() -> None:
    in_pixels, in_um = field_of(20), field_of(20, pixel_size=0.5)
    assert (in_pixels.pixel_size, in_um.pixel_size) == (None, 0.5)
    assert [each.unit for each in in_pixels.regions] == ["px", "px"]
    assert [each.unit for each in in_um.regions] == ["um", "um"]
    assert [each.mean_area for each in in_pixels.regions] == [80, 20]
    assert [each.mean_area for each in in_um.regions] == [20, 5]
    assert in_pixels.contacts[0, 1] == pytest.approx(10 * np.pi / 4)
    assert in_um.contacts[0, 1] == pytest.approx(5 * np.pi / 4)


def test_what_is_told_of_a_field_is_kept() -> None:
    found = field_of(20, name="x", sha256="abc", origin=None)
    assert (found.name, found.sha256, found.phases, found.origin) == ("x", "abc", NAMES, None)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros((10, 10), np.uint8), "excluded area"),
        (np.full((10, 10), 3, np.uint8), "label 3: above the 2 classes"),
        (np.ones((5, 5), np.uint8), "5 x 5 points on 5 x 5 pixels"),
    ],
)
def test_fields_that_can_not_be(labels: NDArray[np.uint8], said: str) -> None:
    with pytest.raises(InputError, match=said):
        measure_field(labels, NAMES, name="f", points=(5, 5))


# --- a specimen ---------------------------------------------------------------------------------


def test_five_fields_by_hand() -> None:
    found = specimen_of(*map(field_of, SHARES))
    pearlite = found.areas[1]
    assert found.phases == NAMES
    assert [field.fractions[1] for field in found.fields] == [n / 100 for n in SHARES]
    assert pearlite.n == 5
    assert pearlite.mean == pytest.approx(0.22)
    assert pearlite.ci95 == pytest.approx(0.0393, abs=5e-5)
    assert pearlite.relative_accuracy == pytest.approx(17.85, abs=5e-3)
    assert found.notes == ()


def test_the_rest_has_the_same_interval() -> None:
    ferrite, pearlite = specimen_of(*map(field_of, SHARES)).areas
    assert ferrite.mean == pytest.approx(0.78)
    assert ferrite.ci95 == pytest.approx(pearlite.ci95)


def test_points_have_statistics_of_their_own() -> None:
    found = specimen_of(*map(field_of, SHARES))
    counted = [count_points(share_of(n), 2, points=(3, 4)) for n in SHARES]
    assert found.points == tuple(over_fields([each[i] for each in counted]) for i in (0, 1))
    assert found.points != found.areas


def test_phases_in_another_order_are_matched_by_name() -> None:
    turned = measure_field(
        3 - share_of(24), NAMES[::-1], name="f24", sha256="digest 24", points=(3, 4)
    )
    found = specimen_of(field_of(20), turned, *map(field_of, SHARES[2:]))
    alike = specimen_of(*map(field_of, SHARES))
    assert found.phases == NAMES
    assert (found.areas, found.points) == (alike.areas, alike.points)


def test_the_first_field_sets_the_order() -> None:
    found = specimen_of(field_of(20, NAMES[::-1]), field_of(30))
    assert found.phases == NAMES[::-1]
    assert [each.mean for each in found.areas] == pytest.approx([(0.8 + 0.3) / 2, (0.2 + 0.7) / 2])


def test_the_order_of_the_fields_does_not_matter() -> None:
    fields = [field_of(n) for n in SHARES]
    assert specimen_of(*fields).areas == specimen_of(*fields[::-1]).areas


@pytest.mark.parametrize(
    "phases",
    [("ferrite", "bainite"), ("ferrite", "pearlite", "graphite"), ("ferrite", "ferrite ")],
)
def test_fields_of_other_phases_are_named_both(phases: tuple[str, ...]) -> None:
    said = f"^odd: has the phases {', '.join(phases)}, but f20 ferrite, pearlite; label"
    with pytest.raises(InputError, match=said):
        specimen_of(field_of(20), field_of(30), field_of(40, phases, name="odd"))


def test_a_micrograph_that_comes_twice_is_refused() -> None:
    again = field_of(24, name="copy", sha256="digest 20")
    with pytest.raises(InputError, match=r"^copy: the same micrograph as f20; name each field"):
        specimen_of(field_of(20), again)


def test_micrographs_without_a_file_may_be_alike() -> None:
    fields = [field_of(20, sha256=None) for _ in range(3)]
    assert specimen_of(*fields).areas[1].ci95 == pytest.approx(0)


def test_no_field_is_refused() -> None:
    with pytest.raises(InputError, match="no field to measure"):
        measure_specimen([])


# --- notes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["named", None])
def test_one_field_has_no_interval_and_a_note(origin: str | None) -> None:
    found = specimen_of(field_of(20, origin=origin))
    for each in (*found.areas, *found.points):
        assert (each.n, each.std, each.ci95, each.relative_accuracy) == (1, None, None, None)
    (note,) = found.notes
    assert note.startswith("one field: no confidence interval")


def test_fields_segmented_one_by_one_have_a_note() -> None:
    fields = [field_of(20), field_of(24, origin=None)]
    (note,) = specimen_of(*fields).notes
    assert note.startswith("fields that were segmented one by one")
    assert "nital predict" in note
    assert specimen_of(*(replace(field, origin="named") for field in fields)).notes == ()


@pytest.mark.parametrize("sizes", [(0.5, 0.25), (0.5, None)])
def test_pixel_sizes_that_differ_have_a_note(sizes: tuple[float | None, ...]) -> None:
    fields = [field_of(20 + i, pixel_size=size) for i, size in enumerate(sizes)]
    (note,) = specimen_of(*fields).notes
    assert note.startswith("the pixel size differs between fields, or is not known")


@pytest.mark.parametrize("size", [0.5, None])
def test_one_pixel_size_has_no_note(size: float | None) -> None:
    assert specimen_of(field_of(20, pixel_size=size), field_of(24, pixel_size=size)).notes == ()


def test_fields_of_two_models_get_a_note() -> None:
    fields = [field_of(20, origin="a"), field_of(24, origin="b")]
    assert "with different models" in specimen_of(*fields).notes[0]
    assert specimen_of(*(replace(field, origin="a") for field in fields)).notes == ()


def test_pages_of_one_file_are_fields_of_their_own() -> None:
    fields = [field_of(20, name=str(page), sha256="abc", page=page) for page in (1, 2)]
    assert len(specimen_of(*fields).fields) == 2


@pytest.mark.parametrize("shape", [(3, 3), (5, 800), (800, 5), (11, 11)])
def test_a_field_may_be_smaller_than_the_grid(shape: tuple[int, int]) -> None:
    labels = np.ones(shape, np.uint8)
    assert measure_field(labels, ["ferrite"], name="small").point_fractions == (1.0,)
    with pytest.raises(InputError, match="fewer than the pixels"):
        measure_field(labels, ["ferrite"], name="small", points=(900, 900))
