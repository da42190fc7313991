"""OME-Zarr: reading images written by other programs, and a round trip of label maps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from nital.errors import InputError
from nital.image.files import read_micrograph
from nital.image.labels import read_labels
from nital.image.large import open_micrograph
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.image.ome_zarr import METADATA, open_ome_zarr, write_ome_zarr_labels
from nital.output.render import class_colours

SHAPE = (70, 90)
GREY = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
PLANES = np.moveaxis(RGB, 2, 0)
LABELS = np.random.default_rng(2).integers(0, 4, (700, 1100)).astype(np.uint8)


def axes(names: str, unit: str | None = None) -> list[dict[str, str]]:
    kinds = {"t": "time", "c": "channel"}
    more = {} if unit is None else {"unit": unit}
    return [
        {"name": name, "type": kinds[name]}
        if name in kinds
        else {"name": name, "type": "space", **more}
        for name in names
    ]


def ome_zarr(
    path: Path,
    array: NDArray[Any],
    names: str,
    *,
    version: int = 3,
    unit: str | None = None,
    scale: list[float] | None = None,
) -> Path:
    """An image as written by other programs: OME-Zarr 0.5 on Zarr 3, or 0.4 on Zarr 2."""
    group = zarr.open_group(path, mode="w", zarr_format=version)  # type: ignore[arg-type]
    chunks = (1,) * (array.ndim - 2) + (32, 32)
    made = group.create_array("s0", shape=array.shape, dtype=array.dtype, chunks=chunks)
    made[:] = array
    level: dict[str, Any] = {
        "path": "s0",
        "coordinateTransformations": [{"type": "scale", "scale": scale or [1.0] * array.ndim}],
    }
    described: dict[str, Any] = {"axes": axes(names, unit), "datasets": [level]}
    if version == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [described]}
    else:
        group.attrs["multiscales"] = [described | {"version": "0.4"}]
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("names", "array", "image"),
    [
        ("yx", GREY, GREY),
        ("cyx", PLANES, RGB),
        ("cyx", GREY[np.newaxis], GREY),
        ("tczyx", PLANES[np.newaxis, :, np.newaxis], RGB),
        ("zyx", GREY[np.newaxis].astype(np.uint16) * 16, GREY.astype(np.uint16) * 16),
    ],
)
def test_an_ome_zarr_is_the_image_in_it(
    tmp_path: Path, version: int, names: str, array: NDArray[Any], image: NDArray[Any]
) -> None:
    path = ome_zarr(tmp_path / "a.zarr", array, names, version=version)
    found, expected = read_micrograph(path), Micrograph.from_array(image)
    assert (found.pixels == expected.pixels).all()
    assert found.full_scale == expected.full_scale
    assert (found.name, found.sha256, found.pixel_size) == ("a.zarr", None, None)
    rows, cols = slice(3, 50), slice(31, 66)
    assert (np.squeeze(open_ome_zarr(path).read(0, rows, cols)) == image[rows, cols]).all()


def test_a_small_ome_zarr_is_read_as_a_whole(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = ome_zarr(tmp_path / "a.zarr", PLANES, "cyx", unit="micrometer", scale=[1.0, 0.5, 0.5])
    small = open_micrograph(str(path))
    assert isinstance(small, Micrograph)
    request.getfixturevalue("everything_is_large")
    for size in (None, 3.0):
        large = open_micrograph(path, pixel_size=size)
        assert isinstance(large, LargeMicrograph)
        assert large.pixel_size == (size or small.pixel_size) == (size or 0.5)
        assert (large.read(slice(5, 70), slice(0, 9)) == small.pixels[5:, :9]).all()


def test_a_plane_of_an_ome_zarr_stack(tmp_path: Path) -> None:
    stack = np.random.default_rng(3).integers(0, 256, (2, 3, 2, 30, 40), dtype=np.uint8)
    path = ome_zarr(tmp_path / "a.zarr", stack, "tczyx")
    for page in range(1, 5):
        image = np.moveaxis(stack[(page - 1) // 2, :, (page - 1) % 2], 0, 2)
        expected = Micrograph.from_array(image, name="a.zarr")
        assert (read_micrograph(path, page=page).pixels == expected.pixels).all()
    with pytest.raises(InputError, match=r"stack of 4 pages; choose one with --page 1\.\.4"):
        open_micrograph(path)
    with pytest.raises(InputError, match="page 5 of 4"):
        open_micrograph(path, page=5)
    with pytest.raises(InputError, match="page 0; pages are counted from 1"):
        open_micrograph(path, page=0)


@pytest.mark.parametrize(
    ("unit", "scale", "size"),
    [
        ("nanometer", [1.0, 250.0, 250.0], 0.25),
        ("micrometer", [1.0, 0.5, 0.5], 0.5),
        ("millimeter", [1.0, 0.002, 0.002], 2.0),
        ("micrometer", [1.0, 0.5, 0.7], None),
        ("parsec", [1.0, 0.5, 0.5], None),
        (None, [1.0, 0.5, 0.5], None),
    ],
)
def test_the_pixel_size_of_an_ome_zarr(
    tmp_path: Path, unit: str | None, scale: list[float], size: float | None
) -> None:
    path = ome_zarr(tmp_path / "a.zarr", PLANES, "cyx", unit=unit, scale=scale)
    assert read_micrograph(path).pixel_size == (None if size is None else pytest.approx(size))
    assert read_micrograph(path, pixel_size=9.0).pixel_size == 9


def test_a_scale_of_all_levels_comes_on_top(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path / "a.zarr", GREY, "yx", unit="micrometer", scale=[0.5, 0.5])
    group = zarr.open_group(path, mode="a")
    described: Any = group.attrs["ome"]
    of_all = [{"type": "scale", "scale": [3.0, 3.0]}]
    described["multiscales"][0]["coordinateTransformations"] = of_all
    group.attrs["ome"] = described
    assert read_micrograph(path).pixel_size == 1.5


@pytest.mark.parametrize("name", METADATA)
def test_a_folder_that_is_no_ome_zarr_image(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match="not an OME-Zarr image"):
        open_micrograph(tmp_path)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"multiscales": []},
        {"multiscales": [{"axes": axes("yx"), "datasets": [{"path": "none"}]}]},
        {"multiscales": [{"axes": axes("cz"), "datasets": [{"path": "s0"}]}]},
        {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "s0"}]}]},
        {"ome": {"version": "0.5"}},
    ],
)
def test_metadata_that_name_no_image(tmp_path: Path, attributes: dict[str, Any]) -> None:
    path = ome_zarr(tmp_path / "a.zarr", GREY, "yx", version=2)
    group = zarr.open_group(path, mode="a")
    group.attrs.clear()
    group.attrs.update(attributes)
    with pytest.raises(InputError, match=r"a\.zarr: not an OME-Zarr image.*multiscales"):
        open_micrograph(path)


@pytest.mark.parametrize("n", [2, 4, 5])
def test_channels_that_are_no_colours(tmp_path: Path, n: int) -> None:
    path = ome_zarr(tmp_path / "a.zarr", np.stack([GREY] * n), "cyx")
    with pytest.raises(InputError, match=f"{n} channels, neither grey nor RGB"):
        open_micrograph(path)


def test_an_ome_zarr_without_rows(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path / "a.zarr", GREY[:0], "yx")
    with pytest.raises(InputError, match="0 x 90 pixels"):
        open_micrograph(path)


def test_damage_in_an_ome_zarr_is_told(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path / "a.zarr", GREY, "yx")
    chunk = path / "s0" / "c" / "1" / "1"
    chunk.write_bytes(bytes(chunk.stat().st_size))
    with pytest.raises(InputError, match=r"a\.zarr: damaged"):
        open_micrograph(path)


@pytest.mark.parametrize("pixel_size", [None, 0.25])
def test_ome_zarr_labels_come_back_as_they_were(tmp_path: Path, pixel_size: float | None) -> None:
    path = tmp_path / "labels.zarr"
    write_ome_zarr_labels(path, LABELS, class_colours(3), pixel_size)
    assert open_ome_zarr(path).pixel_size == pixel_size
    assert (read_labels(path) == LABELS).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_ome_zarr_labels_have_overviews_and_colours(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "labels.zarr"
    write_ome_zarr_labels(path, LABELS.astype(dtype), class_colours(3), 0.25)
    group: Any = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == 2
    (described,) = group.attrs["multiscales"]
    assert described["version"] == "0.4"
    assert [axis["name"] for axis in described["axes"]] == ["y", "x"]
    assert [level["path"] for level in described["datasets"]] == ["0", "1", "2"]
    for number, level in enumerate(described["datasets"]):
        array = group[level["path"]]
        step = 2**number
        assert array.dtype == dtype
        assert (array[:] == LABELS[::step, ::step]).all()
        (transformation,) = level["coordinateTransformations"]
        assert transformation == {"type": "scale", "scale": [0.25 * step] * 2}
    shown = group.attrs["image-label"]["colors"]
    assert [entry["label-value"] for entry in shown] == [1, 2, 3]
    assert [entry["rgba"][:3] for entry in shown] == class_colours(3).tolist()
    assert (path / "0" / "1" / "2").exists()  # a chunk, at its place in 0.4


@pytest.mark.parametrize(
    ("shape", "n_levels"), [((1, 1), 1), ((512, 512), 1), ((513, 7), 2), ((1025, 1030), 3)]
)
def test_levels_are_added_until_one_tile_holds_all(
    tmp_path: Path, shape: tuple[int, int], n_levels: int
) -> None:
    write_ome_zarr_labels(tmp_path / "a.zarr", np.ones(shape, np.uint8), class_colours(1), None)
    group: Any = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert len(group.attrs["multiscales"][0]["datasets"]) == n_levels


def test_labels_in_colour_are_classes(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [9, 200, 30], [250, 3, 3]], np.uint8)
    image = colours[LABELS[:70, :90] % 3]
    path = ome_zarr(tmp_path / "a.zarr", np.moveaxis(image, 2, 0), "cyx")
    assert (read_labels(path) == LABELS[:70, :90] % 3).all()
