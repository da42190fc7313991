"""Exports: outlines reproduce the label map; other programs read the files correctly."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import roifile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon2mask

from nital.errors import InputError
from nital.measure.outlines import trace_regions
from nital.output.exports import ROI_SIDE, write_geojson, write_parquet, write_rois
from nital.output.render import class_colours

MAPS = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 3)
)
RING = np.array([[1, 1, 1], [1, 2, 1], [1, 1, 1]], np.uint8)
NAMES = ("α-Fe, proeutectoid", "pearlite/bainite", "Restaustenit µ")


def shoelace(ring: NDArray[np.number]) -> float:
    """Signed area of a ring (n, 2), closed or not."""
    x, y = ring.T.astype(float)
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def inside(shape: tuple[int, ...], rings: Any) -> NDArray[np.bool_]:
    """Pixels whose centre is inside an odd number of rings, each (n, 2) of (x, y)."""
    mask = np.zeros(shape, bool)
    for ring in rings:
        mask ^= polygon2mask(shape, np.asarray(ring)[:, ::-1] - 0.5)
    return mask


def read_rois(path: Path) -> list[roifile.ImagejRoi]:
    """All ROIs of a ZIP file."""
    rois = roifile.roiread(path)
    assert isinstance(rois, list)
    return rois


# --- outlines -----------------------------------------------------------------------------------


@given(MAPS)
def test_outlines_give_the_map_back(labels: NDArray[np.uint8]) -> None:
    found = np.zeros_like(labels)
    for region in trace_regions(labels):
        mask = inside(labels.shape, region.rings)
        assert not found[mask].any()
        found[mask] = region.label
        assert region.n_pixels == mask.sum() == sum(map(shoelace, region.rings))
        assert ndimage.label(mask)[1] == 1
    np.testing.assert_array_equal(found, labels)


@given(MAPS)
def test_regions_are_the_connected_pieces_of_classes(labels: NDArray[np.uint8]) -> None:
    n_regions = sum(ndimage.label(labels == label)[1] for label in (1, 2, 3))
    assert len(trace_regions(labels)) == n_regions


@given(MAPS)
def test_rings_are_simple(labels: NDArray[np.uint8]) -> None:
    for region in trace_regions(labels):
        assert [shoelace(ring) > 0 for ring in region.rings] == [
            place == 0 for place in range(len(region.rings))
        ]
        for ring in region.rings:
            steps = np.roll(ring, -1, axis=0) - ring
            assert ((steps == 0).sum(axis=1) == 1).all()
            assert ((steps == 0) == np.roll(steps != 0, 1, axis=0)).all()  # a turn at every corner
            corners = unit_corners(ring)
            assert len(set(corners)) == len(corners)


def unit_corners(ring: NDArray[np.int64]) -> list[tuple[int, int]]:
    """All pixel corners on a ring."""
    corners = []
    for (x, y), (to_x, to_y) in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
        n = abs(to_x - x) + abs(to_y - y)
        corners += [(x + (to_x - x) * i // n, y + (to_y - y) * i // n) for i in range(n)]
    return corners


def test_holes_that_touch_at_corners_are_holes_of_their_own() -> None:
    labels = np.array([[1, 1, 1, 1], [1, 2, 1, 1], [1, 1, 2, 1], [1, 1, 1, 1]], np.uint8)
    whole, *_ = trace_regions(labels)
    assert [shoelace(ring) for ring in whole.rings] == [16, -1, -1]


def test_a_hole_that_touches_the_outside_at_a_corner_is_a_hole() -> None:
    whole, *_ = trace_regions(np.array([[1, 1, 1], [1, 2, 1], [1, 1, 0]], np.uint8))
    assert [ring.tolist() for ring in whole.rings] == [
        [[0, 0], [3, 0], [3, 2], [2, 2], [2, 3], [0, 3]],
        [[1, 2], [2, 2], [2, 1], [1, 1]],
    ]


def test_regions_come_by_their_first_pixels() -> None:
    labels = np.array([[3, 1, 3], [2, 1, 0], [1, 1, 2]], np.uint8)
    assert [region.label for region in trace_regions(labels)] == [3, 1, 3, 2, 2]


@pytest.mark.parametrize("shape", [(0, 0), (2, 3)])
def test_a_map_without_regions(shape: tuple[int, int]) -> None:
    assert trace_regions(np.zeros(shape, np.uint8)) == []


# --- ROIs ---------------------------------------------------------------------------------------


@given(MAPS)
def test_rois_give_the_map_back(tmp_path_factory: Any, labels: NDArray[np.uint8]) -> None:
    path = tmp_path_factory.mktemp("rois") / "a.zip"
    colours = class_colours(3)
    write_rois(path, labels, NAMES, colours)
    rois, regions = read_rois(path), trace_regions(labels)
    assert len(rois) == len(regions)
    for number, (roi, region) in enumerate(zip(rois, regions, strict=True), start=1):
        assert roi.name == f"{NAMES[region.label - 1]} {number}"
        assert roi.stroke_color == bytes([255, *colours[region.label - 1]])
        mask = inside(labels.shape, roi.coordinates(multi=True))
        np.testing.assert_array_equal(mask, inside(labels.shape, region.rings))
        y, x = np.nonzero(mask)
        box = (roi.left, roi.top, roi.right, roi.bottom)
        assert box == (x.min(), y.min(), x.max() + 1, y.max() + 1)


def test_a_roi_is_what_imagejs_wand_makes_unless_it_has_holes(tmp_path: Path) -> None:
    write_rois(tmp_path / "a.zip", RING, NAMES, class_colours(3))
    around, middle = read_rois(tmp_path / "a.zip")
    assert middle.roitype == roifile.ROI_TYPE.TRACED
    assert middle.integer_coordinates is not None
    assert middle.integer_coordinates.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert (around.roitype, around.composite) == (roifile.ROI_TYPE.RECT, True)
    assert around.multi_coordinates is not None
    assert around.multi_coordinates.tolist() == [
        *(0, 0, 0, 1, 3, 0, 1, 3, 3, 1, 0, 3, 4),
        *(0, 1, 2, 1, 2, 2, 1, 2, 1, 1, 1, 1, 4),
    ]


def test_names_of_rois(tmp_path: Path) -> None:
    labels = np.array([[1, 2, 3]], np.uint8)
    names = ("a/b", "..\\c d", "😀 e")
    write_rois(tmp_path / "a.zip", labels, names, class_colours(3))
    assert [roi.name for roi in read_rois(tmp_path / "a.zip")] == ["a/b 1", "..\\c d 2", "� e 3"]
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert file.namelist() == ["a-b 1.roi", "..-c d 2.roi", "� e 3.roi"]


def test_rois_far_from_the_origin(tmp_path: Path) -> None:
    labels = np.zeros((3, ROI_SIDE), np.uint8)
    labels[:, -3:] = RING
    labels[0, : ROI_SIDE - 4] = 3
    write_rois(tmp_path / "a.zip", labels, NAMES, class_colours(3))
    for roi, region in zip(read_rois(tmp_path / "a.zip"), trace_regions(labels), strict=True):
        assert abs(sum(map(shoelace, roi.coordinates(multi=True)))) == region.n_pixels
        assert (roi.left, roi.right) == (region.rings[0][:, 0].min(), region.rings[0][:, 0].max())


def test_a_map_that_is_too_large_for_rois(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"60536.*GeoJSON"):
        write_rois(tmp_path / "a.zip", np.zeros((1, ROI_SIDE + 1), np.uint8), (), class_colours(0))


# --- GeoJSON ------------------------------------------------------------------------------------


@given(MAPS)
def test_geojson_gives_the_map_back(tmp_path_factory: Any, labels: NDArray[np.uint8]) -> None:
    path = tmp_path_factory.mktemp("geojson") / "a.geojson"
    write_geojson(path, labels, NAMES, class_colours(3), 0.5)
    collection = json.loads(path.read_text(encoding="utf-8"))
    assert collection["type"] == "FeatureCollection"
    found = np.zeros_like(labels)
    for feature in collection["features"]:
        assert (feature["type"], feature["geometry"]["type"]) == ("Feature", "Polygon")
        rings = feature["geometry"]["coordinates"]
        assert all(ring[0] == ring[-1] and len(ring) >= 5 for ring in rings)
        outer, *holes = [shoelace(np.array(ring)) for ring in rings]
        assert outer > 0 > max(holes, default=-1)
        mask = inside(labels.shape, rings)
        assert feature["properties"]["area_px"] == mask.sum()
        assert feature["properties"]["area_um2"] == mask.sum() / 4
        found[mask] = NAMES.index(feature["properties"]["classification"]["name"]) + 1
    np.testing.assert_array_equal(found, labels)


def test_properties_are_those_that_qupath_reads(tmp_path: Path) -> None:
    colours = np.array([[1, 2, 3], [40, 50, 60], [0, 0, 255]], np.uint8)
    write_geojson(tmp_path / "a.geojson", RING, NAMES, colours, None)
    features = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))["features"]
    assert [feature["properties"] for feature in features] == [
        {
            "objectType": "annotation",
            "name": f"{NAMES[label - 1]} {label}",
            "classification": {"name": NAMES[label - 1], "color": colours[label - 1].tolist()},
            "area_px": n_pixels,
        }
        for label, n_pixels in ((1, 8), (2, 1))
    ]


@pytest.mark.parametrize("n_names", [1, 3])
def test_a_class_without_name_or_colour(tmp_path: Path, n_names: int) -> None:
    with pytest.raises(InputError, match=rf"labels from 0 to 2, {n_names} names, 2 colours"):
        write_geojson(tmp_path / "a", RING, NAMES[:n_names], class_colours(2), None)
    with pytest.raises(InputError, match=rf"labels from 0 to 2, {n_names} names, 2 colours"):
        write_rois(tmp_path / "a", RING, NAMES[:n_names], class_colours(2))


def test_a_negative_label(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="labels from -1 to 1"):
        write_geojson(tmp_path / "a", np.array([[-1, 1]]), NAMES, class_colours(3), None)


# --- tables -------------------------------------------------------------------------------------


def test_parquet_keeps_values_and_types(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "class": np.array([1, 2, 3]),
        "area µm²": np.array([0.1, np.nan, np.inf]),
        "touches edge": np.array([True, False, True]),
        "phase": ["α", "", None],
        "n": [1, None, 2**40],
        "mean": [None, 0.5, 1],
        "kept": [None, True, False],
        "small": np.array([1, 2, 255], np.uint8),
    }
    write_parquet(tmp_path / "a.parquet", columns)
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert dict(zip(table.column_names, map(str, table.schema.types), strict=True)) == {
        "class": "int64",
        "area µm²": "double",
        "touches edge": "bool",
        "phase": "string",
        "n": "int64",
        "mean": "double",
        "kept": "bool",
        "small": "uint8",
    }
    for name, values in columns.items():
        expected = values.tolist() if isinstance(values, np.ndarray) else values
        np.testing.assert_equal(table[name].to_pylist(), expected)


@pytest.mark.parametrize(
    "columns",
    [{"a": [1, 2], "b": [1]}, {"a": [1, "x"]}, {"a": ["x", 1]}, {"a": np.zeros((2, 2))}],
)
def test_what_is_no_table(tmp_path: Path, columns: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"columns a.*: not a table .*give all of them"):
        write_parquet(tmp_path / "a.parquet", columns)
