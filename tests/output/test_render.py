"""Pictures: distinct colours, overlays that leave excluded pixels alone, figures."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nital.output.figures import (
    comparison_figure,
    contact_sheet,
    contour_figure,
    criteria_figure,
    save_figure,
    superpixel_figure,
)
from nital.output.numbers import percent
from nital.output.render import class_colours, colours_of, overlay
from nital.result.classes import ClassRow


@pytest.mark.parametrize("k", [0, 1, 7, 8, 50])
def test_colours_differ(k: int) -> None:
    colours = class_colours(k).astype(int)
    assert colours.shape == (k, 3)
    for a, b in itertools.combinations(colours, 2):
        assert np.abs(a - b).sum() > 20


def test_colours_do_not_depend_on_how_many_there_are() -> None:
    assert (class_colours(20)[:9] == class_colours(9)).all()


def row(label: int, name: str | None = None, colour: str | None = None) -> ClassRow:
    return ClassRow(label, 10, 0.1, 100.0, name=name, colour=colour)


def test_classes_without_a_name_have_the_colours_of_their_numbers() -> None:
    palette = class_colours(9)
    assert (colours_of([row(i) for i in range(1, 10)]) == palette).all()
    assert (colours_of([row(9), row(2)]) == palette[[8, 1]]).all()
    assert colours_of([]).shape == (0, 3)


def test_a_chosen_colour_is_taken() -> None:
    found = colours_of([row(1, "a"), row(2, "b", "#0a0b0c")])
    assert found.tolist() == [class_colours(1)[0].tolist(), [10, 11, 12]]


def test_classes_of_one_name_have_the_colour_of_the_first() -> None:
    found = colours_of([row(1, "a"), row(2, "b"), row(3, "a"), row(4)])
    assert (found == class_colours(4)[[0, 1, 0, 3]]).all()


def test_a_chosen_colour_is_that_of_all_classes_of_its_name() -> None:
    for rows in ([row(1, "a"), row(2, "a", "#0a0b0c")], [row(1, "a", "#0a0b0c"), row(2, "a")]):
        assert colours_of(rows).tolist() == [[10, 11, 12]] * 2


def test_a_name_is_not_taken_for_a_number() -> None:
    assert (colours_of([row(1, "2", "#0a0b0c"), row(2)])[1] == class_colours(2)[1]).all()


def test_overlay_tints_classes_and_leaves_the_excluded() -> None:
    pixels = np.full((2, 2, 3), 0.5, np.float32)
    labels = np.array([[0, 1], [2, 2]])
    found = overlay(pixels, labels, class_colours(2))
    colours = class_colours(2)
    assert found.dtype == np.uint8
    assert (found[0, 0] == 128).all()
    assert found[0, 1].tolist() == pytest.approx(127.5 / 2 + colours[0] / 2, abs=0.51)
    assert found[1, 1].tolist() == pytest.approx(127.5 / 2 + colours[1] / 2, abs=0.51)


def test_the_tint_fades_where_repeats_disagree() -> None:
    pixels = np.full((1, 4, 3), 0.5, np.float32)
    labels = np.ones((1, 4), np.uint8)
    plain, full = np.full(3, 128), overlay(pixels, labels, class_colours(2))[0, 0]
    found = overlay(
        pixels, labels, class_colours(2), np.array([[1.0, 0.75, 0.5, 0.3]], np.float32)
    )[0]
    assert found[0].tolist() == full.tolist()
    assert found[1] == pytest.approx((full.astype(float) + plain) / 2, abs=1)
    assert found[2].tolist() == found[3].tolist() == plain.tolist()


def test_overlay_keeps_light_and_dark_apart() -> None:
    pixels = np.zeros((1, 2, 3), np.float32)
    pixels[0, 1] = 1
    dark, light = overlay(pixels, np.ones((1, 2), int), class_colours(1))[0].astype(int)
    assert (light - dark >= 127).all()


def test_figures_are_drawn(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((12, 16, 3), dtype=np.float32)
    labels = np.arange(192).reshape(12, 16) // 100 + 1
    maps = [[labels, labels], [labels, labels]]
    values = {"F": [1.0, 2.0], "F'": [1.0, 2.0], "Q": [9.0, 3.0]}
    figures = {
        "comparison": comparison_figure(
            pixels, labels, labels, [("ferrite", 0.6, 0.5), ("pearlite", 0.4, 0.5)]
        ),
        "superpixels": superpixel_figure(pixels, maps, [1, 20], [5, 9], [[5, 9], [5, 9]]),
        "criteria": criteria_figure([2, 3], values, {n: [0.1, np.nan] for n in values}, values),
        "contour": contour_figure([5, 20], [100, 500], np.array([[3.0, 1.0], [2.0, 4.0]])),
    }
    for name, figure in figures.items():
        save_figure(figure, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            assert np.asarray(image.convert("L")).std() > 5
    assert "m = 5, n = 500" in figures["contour"].axes[0].get_title()


@pytest.mark.parametrize("n", [1, 4, 5, 24])
def test_a_contact_sheet_lights_up_each_class_once(n: int) -> None:
    labels = (np.arange(12 * 30).reshape(12, 30) % (n + 1)).astype(np.uint8)
    pixels = np.full((12, 30, 3), 0.5, np.float32)
    figure = contact_sheet(pixels, labels, [f"class {i}" for i in range(1, n + 1)])
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in shown] == [f"class {i}" for i in range(1, n + 1)]
    for number, axis in enumerate(shown, start=1):
        picture = np.asarray(axis.images[0].get_array())
        lit = (picture != picture[labels == 0][0]).any(axis=2)
        assert (lit == (labels == number)).all()


def test_a_tiny_share_is_not_none() -> None:
    assert percent(0.00001) == "<0.01 %"
    assert percent(0) == "0.00 %"
    assert percent(1) == "100.00 %"
