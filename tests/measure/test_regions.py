"""Regions: shapes of known size, and random maps against regionprops and pixel by pixel."""

import math
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.measure import label as connected_components
from skimage.measure import regionprops

from nital.errors import InputError
from nital.measure.regions import contact_lengths, summarise_regions, tabulate_regions

MAPS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)
)


def ellipse(
    major: float, minor: float, degrees: float, shape: tuple[int, int] = (121, 141)
) -> NDArray[np.int64]:
    """2 inside, 1 outside; the angle is counterclockwise as seen."""
    down, right = np.mgrid[: shape[0], : shape[1]]
    up, right = shape[0] // 2 - down, right - shape[1] // 2
    turn = math.radians(degrees)
    along = right * math.cos(turn) + up * math.sin(turn)
    across = up * math.cos(turn) - right * math.sin(turn)
    return np.where((along / major) ** 2 + (across / minor) ** 2 <= 1, 2, 1)


def test_rectangles_by_hand() -> None:
    labels = np.ones((12, 20), np.uint8)
    labels[2:5, 3:13] = 2  # 3 x 10
    labels[6:10, 17:19] = 2  # 4 x 2
    found = tabulate_regions(labels, pixel_size=0.5)
    assert found["class"].tolist() == [1, 2, 2]
    assert found["area_um2"] == pytest.approx([202 / 4, 30 / 4, 8 / 4])
    assert found["equivalent_diameter_um"][1] == pytest.approx(math.sqrt(30 / math.pi))
    assert found["aspect_ratio"][1:] == pytest.approx([10 / 3, 2])
    assert found["orientation_deg"][1:] == pytest.approx([0, 90])
    assert found["row"][1:] == pytest.approx([3, 7.5])
    assert found["col"][1:] == pytest.approx([7.5, 17.5])
    assert found["touches_edge"].tolist() == [True, False, False]


def test_units_are_in_the_names() -> None:
    labels = np.ones((2, 3), np.uint8)
    in_pixels, in_um = tabulate_regions(labels), tabulate_regions(labels, pixel_size=2)
    assert {"area_px", "equivalent_diameter_px"} == in_pixels.keys() - in_um.keys()
    assert {"area_um2", "equivalent_diameter_um"} == in_um.keys() - in_pixels.keys()
    assert in_pixels["area_px"].tolist() == [6]
    assert in_um["area_um2"].tolist() == [24]
    assert summarise_regions(labels, 1)[0].unit == "px"
    assert summarise_regions(labels, 1, pixel_size=2)[0].unit == "um"


@pytest.mark.parametrize("degrees", [30, -30, 75, 0, 90])
def test_turned_ellipse(degrees: float) -> None:
    found = tabulate_regions(ellipse(50, 20, degrees))
    assert found["class"].tolist() == [1, 2]
    assert found["aspect_ratio"][1] == pytest.approx(2.5, rel=0.01)
    assert found["orientation_deg"][1] == pytest.approx(degrees, abs=0.5)
    assert found["area_px"][1] == pytest.approx(math.pi * 50 * 20, rel=0.01)


def test_single_pixels_and_lines_have_a_finite_shape() -> None:
    found = tabulate_regions(np.array([[1, 2, 2, 2], [3, 1, 1, 1], [3, 1, 2, 1]]))
    assert found["class"].tolist() == [1, 2, 3, 1, 2]
    assert found["aspect_ratio"][[0, 1, 2, 4]] == pytest.approx([1, 3, 2, 1])
    assert found["orientation_deg"][[1, 2]] == pytest.approx([0, 90])


def test_long_lines_far_from_the_origin() -> None:
    labels = np.zeros((3, 60_000), np.uint8)
    labels[1, 10_001:] = 1
    found = tabulate_regions(labels)
    assert found["aspect_ratio"] == pytest.approx([49_999])
    assert found["orientation_deg"] == pytest.approx([0])


def test_pieces_that_meet_at_a_corner_are_two() -> None:
    assert len(tabulate_regions(np.eye(3, dtype=np.uint8))["class"]) == 3


def test_small_regions_can_be_left_out() -> None:
    labels = np.array([[1, 1, 1, 2, 3, 3]])
    assert tabulate_regions(labels, least_area=2)["class"].tolist() == [1, 3]
    assert tabulate_regions(labels, least_area=7)["class"].tolist() == []


def test_excluded_area_cuts_regions() -> None:
    labels = np.full((9, 9), 1)
    labels[2:7, 2:7] = 2
    labels[4, 4] = 3
    assert tabulate_regions(labels)["touches_edge"].tolist() == [True, False, False]
    labels[2, 2] = 0
    assert tabulate_regions(labels)["touches_edge"].tolist() == [True, True, False]


def test_everything_excluded() -> None:
    labels = np.zeros((3, 4), np.uint8)
    assert {len(column) for column in tabulate_regions(labels).values()} == {0}
    (row,) = summarise_regions(labels, 1)
    assert (row.n_regions, row.mean_area, row.intercept_along) == (0, None, None)


@given(MAPS)
def test_table_agrees_with_regionprops(labels: NDArray[np.uint8]) -> None:
    found = tabulate_regions(labels)
    components = connected_components(labels, background=0, connectivity=1)
    regions = regionprops(components)
    assert len(found["class"]) == len(regions)
    for i, region in enumerate(regions):
        assert set(labels[components == region.label]) == {found["class"][i]}
        assert found["area_px"][i] == region.area
        assert (found["row"][i], found["col"][i]) == pytest.approx(region.centroid)
        diameter = region.equivalent_diameter_area
        assert found["equivalent_diameter_px"][i] == pytest.approx(diameter)
        major, minor = (
            axis**2 / 16 + 1 / 12 for axis in (region.axis_major_length, region.axis_minor_length)
        )
        assert found["aspect_ratio"][i] == pytest.approx(math.sqrt(major / minor))
        if major > 1.001 * minor:  # there from the rows' axis, here from the columns'
            turn = found["orientation_deg"][i] - (math.degrees(region.orientation) - 90)
            assert turn - 180 * round(turn / 180) == pytest.approx(0, abs=1e-6)
        pixels = region.coords
        beside = [
            not (0 <= r < labels.shape[0] and 0 <= c < labels.shape[1]) or labels[r, c] == 0
            for row, col in pixels
            for r, c in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1))
        ]
        assert found["touches_edge"][i] == any(beside)


@given(MAPS)
def test_summary_agrees_with_the_table_and_with_runs(labels: NDArray[np.uint8]) -> None:
    table = tabulate_regions(labels, pixel_size=0.5)
    for row in summarise_regions(labels, 3, pixel_size=0.5):
        own = table["class"] == row.label
        assert row.n_regions == own.sum()
        for mean, column in (
            (row.mean_area, "area_um2"),
            (row.mean_equivalent_diameter, "equivalent_diameter_um"),
            (row.mean_aspect_ratio, "aspect_ratio"),
        ):
            assert mean == (pytest.approx(table[column][own].mean()) if own.any() else None)
        assert row.intercept_along == naive_intercept(labels, row.label, 0.5)
        assert row.intercept_across == naive_intercept(labels.T, row.label, 0.5)


def naive_intercept(labels: NDArray[np.uint8], label: int, pixel_size: float) -> object:
    length, count = 0.0, 0.0
    for line in labels:
        runs = [(0, 0.0)]  # outside the frame counts as excluded area
        runs += [(int(value), pixel_size * len(list(run))) for value, run in groupby(line)]
        runs += [(0, 0.0)]
        for before, run, after in zip(runs, runs[1:], runs[2:], strict=False):
            if run[0] == label:
                length += run[1]
                count += 1 - ((before[0] == 0) + (after[0] == 0)) / 2
    return pytest.approx(length / count) if count else None


def test_intercepts_tell_banding() -> None:
    bands = np.repeat([1, 2, 1, 2, 1], [2, 3, 8, 3, 2])[:, None].repeat(30, axis=1)
    bands[6, 10] = bands[6, 20] = 2  # otherwise no intercept along the bands would end inside
    first, second = summarise_regions(bands, 2, pixel_size=0.1)
    # Columns cross 3 intercepts of class 1, the first and the last cut: 2 a column, and the spots.
    assert second.intercept_across == pytest.approx(0.1 * (6 * 30 + 2) / (2 * 30 + 2))
    assert first.intercept_across == pytest.approx(0.1 * (12 * 30 - 2) / (2 * 30 + 2))
    assert first.intercept_along == pytest.approx(0.1 * (12 * 30 - 2) / 2)
    assert second.intercept_along == pytest.approx(0.1 * (6 * 30 + 2) / 2)
    turned = summarise_regions(bands.T, 2, pixel_size=0.1)
    assert turned[0].intercept_along == first.intercept_across


def test_an_intercept_cut_at_both_ends_does_not_count() -> None:
    (row,) = summarise_regions(np.ones((3, 3), np.uint8), 1)
    assert (row.n_regions, row.mean_area) == (1, 9)
    assert (row.intercept_along, row.intercept_across) == (None, None)


def test_a_class_without_a_region() -> None:
    rows = summarise_regions(np.array([[1, 1, 3]]), 4)
    assert [row.label for row in rows] == [1, 2, 3, 4]
    assert [row.n_regions for row in rows] == [1, 0, 1, 0]
    empty = rows[1]
    assert (empty.mean_area, empty.mean_equivalent_diameter, empty.mean_aspect_ratio) == (None,) * 3
    assert (empty.intercept_along, empty.intercept_across) == (None, None)


def test_contact_of_a_disc() -> None:
    disc = ellipse(60, 60, 0)
    lengths = contact_lengths(disc, 2, pixel_size=0.2)
    assert lengths[0, 1] == pytest.approx(2 * math.pi * 60 * 0.2, rel=0.03)


@given(MAPS)
def test_contact_edge_by_edge(labels: NDArray[np.uint8]) -> None:
    edges = np.zeros((4, 4))
    rows, cols = labels.shape
    for row in range(rows):
        for col in range(cols):
            for r, c in ((row, col + 1), (row + 1, col)):
                if r < rows and c < cols and labels[r, c] != labels[row, col]:
                    edges[labels[r, c], labels[row, col]] += 1
                    edges[labels[row, col], labels[r, c]] += 1
    found = contact_lengths(labels, 3, pixel_size=2)
    assert found == pytest.approx(edges[1:, 1:] * math.pi / 2)
    assert (found == found.T).all()
    assert (found.diagonal() == 0).all()


@pytest.mark.parametrize(
    ("labels", "pixel_size", "said"),
    [
        (np.ones((3, 3), int), 0, "pixel size 0: not above 0"),
        (np.ones((3, 3), int), math.nan, "pixel size nan"),
        (np.full((3, 3), 3), None, "label 3: above the 2 classes"),
        (np.full((3, 3), -1), None, "label -1: negative"),
        (np.ones((3, 3)), None, "float64"),
        (np.ones((0, 3), int), None, r"\(0, 3\)"),
    ],
)
def test_bad_input(labels: NDArray[np.int64], pixel_size: float | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        summarise_regions(labels, 2, pixel_size=pixel_size)
    with pytest.raises(InputError, match=said):
        contact_lengths(labels, 2, pixel_size=pixel_size)
