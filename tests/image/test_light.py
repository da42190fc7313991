"""Light: the field on a picture is found, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy import ndimage

from nital.image.light import EVEN, ORDERS, STEP, Light, common_light, find_light
from nital.image.synthetic import synthesize

Floats = NDArray[np.float32]

SHAPE = (240, 320)

FIELDS = st.tuples(*[st.integers(-10, 10)] * len(ORDERS)).map(
    lambda tenths: Light(tuple(each / 100 for each in tenths))
)
"""Up to about a third darker somewhere."""


def two_phases() -> Floats:
    """Dark and bright squares of 20 pixels, in proportions that change across the picture."""
    rows, cols = np.indices(SHAPE) // 20
    drawn = np.random.default_rng(0).random((SHAPE[0] // 20, SHAPE[1] // 20))
    bright = drawn[rows, cols] < 0.2 + 0.6 * np.arange(SHAPE[1]) / SHAPE[1]
    return np.where(bright, 0.5, 0.2).astype(np.float32)


def noisy() -> Floats:
    """Grains of ferrite and pearlite."""
    return synthesize((256, 200), grain_size=24, shading=0).image


def apart(one: Light, other: Light) -> float:
    """The largest difference of the coefficients."""
    return float(np.abs(np.subtract(one.coefficients, other.coefficients)).max())


# --- the field ----------------------------------------------------------------------------------


@given(FIELDS)
def test_a_field_has_the_geometric_mean_1_and_a_quadratic_log(light: Light) -> None:
    log = np.log(light.field((61, 61)).astype(float))
    assert log.mean() == pytest.approx(0, abs=1e-2)
    assert_allclose(np.diff(log, 3, axis=0), 0, rtol=0, atol=1e-5)
    assert_allclose(np.diff(log, 3, axis=1), 0, rtol=0, atol=1e-5)


def test_a_field_by_hand() -> None:
    at = {order: i for i, order in enumerate(ORDERS)}
    along = [0.0] * len(ORDERS)
    along[at[0, 1]] = 0.1
    assert Light(tuple(along)).field((2, 3)) == pytest.approx(np.exp([[-0.1, 0, 0.1]] * 2))
    hollow = [0.0] * len(ORDERS)
    hollow[at[2, 0]] = 0.2  # half of 3 x^2 - 1
    assert Light(tuple(hollow)).field((3, 1))[:, 0] == pytest.approx(np.exp([0.2, -0.1, 0.2]))


@given(FIELDS, st.integers(1, 40), st.integers(1, 40), st.data())
def test_a_window_of_a_field_is_that_of_the_whole(
    light: Light, rows: int, cols: int, data: st.DataObject
) -> None:
    edges = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in (rows, cols)]
    window = slice(*edges[0]), slice(*edges[1])
    assert (light.field((rows, cols), window) == light.field((rows, cols))[window]).all()


def test_even_light_changes_nothing() -> None:
    assert (EVEN.field((7, 9)) == 1).all()
    assert EVEN.depth == 0


def test_the_depth_is_how_much_darker_the_darkest_place_is() -> None:
    along = [0.0] * len(ORDERS)
    along[ORDERS.index((0, 1))] = 0.1
    assert Light(tuple(along)).depth == pytest.approx(1 - np.exp(-0.2))


@given(FIELDS)
def test_the_depth_is_that_of_the_whole_field(light: Light) -> None:
    field = light.field((200, 300))
    assert light.depth == pytest.approx(1 - field.min() / field.max(), abs=2e-3)


# --- finding it ---------------------------------------------------------------------------------


@settings(max_examples=10)
@given(FIELDS)
def test_the_light_on_a_flat_picture_is_found(light: Light) -> None:
    found = find_light(two_phases() * light.field(SHAPE))
    assert apart(found, light) < 0.02
    assert_allclose(found.field(SHAPE) / light.field(SHAPE), 1, rtol=0, atol=0.03)


def test_even_light_is_found_even() -> None:
    assert apart(find_light(two_phases()), EVEN) < 0.01
    assert find_light(two_phases()).depth < 0.04


@settings(max_examples=10)
@given(FIELDS)
def test_more_light_adds_just_itself_to_what_is_found(light: Light) -> None:
    grey = noisy()
    alone, more = find_light(grey), find_light(grey * light.field((256, 200)))
    added = Light(tuple(np.subtract(more.coefficients, alone.coefficients).tolist()))
    # Blurring and then removing the light is not quite removing it and then blurring.
    assert apart(added, light) <= 5.01 * STEP


@pytest.mark.parametrize("factor", [0.25, 0.7])
def test_how_bright_a_picture_is_has_no_part_in_it(factor: float) -> None:
    grey = noisy()
    assert apart(find_light(grey * np.float32(factor)), find_light(grey)) <= 2 * STEP


LIT = Light((0.12, -0.08, 0.05, 0.04, -0.06))


@pytest.mark.parametrize("shape", [(256, 200), (255, 200), (201, 157), (431, 500)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_picture_has_the_mirrored_light(shape: tuple[int, int], axis: int) -> None:
    grey = synthesize(shape, grain_size=24, shading=0).image * LIT.field(shape)
    found, mirrored = find_light(grey), find_light(np.flip(grey, axis))
    signs = [-1 if order[axis] % 2 else 1 for order in ORDERS]
    expected = Light(tuple(np.multiply(signs, found.coefficients).tolist()))
    assert apart(mirrored, expected) <= 1.01 * STEP
    assert found.depth > 0.1


@pytest.mark.parametrize("shape", [(256, 200), (201, 157)])
def test_a_turned_picture_has_the_turned_light(shape: tuple[int, int]) -> None:
    grey = synthesize(shape, grain_size=24, shading=0).image * LIT.field(shape)
    field = find_light(grey).field(shape)
    for n in (1, 2, 3):
        turned = np.rot90(grey, n)
        found = find_light(turned).field((turned.shape[0], turned.shape[1]))
        assert_allclose(found, np.rot90(field, n), rtol=0, atol=3 * STEP)


def test_the_light_is_what_makes_the_histogram_narrow() -> None:
    lit = two_phases() * LIT.field(SHAPE)
    flat = lit / find_light(lit).field(SHAPE)
    dark = flat[two_phases() < 0.3]
    assert dark.std() < 0.1 * lit[two_phases() < 0.3].std()


# --- of a series --------------------------------------------------------------------------------


def test_the_common_light_is_the_median_of_each_coefficient() -> None:
    lights = [Light((a, 0.0, -a, 0.02, 0.5)) for a in (0.1, 0.3, 0.12)]
    assert common_light(lights) == Light((0.12, 0.0, -0.12, 0.02, 0.5))
    assert common_light(lights[:1]) == lights[0]
    assert common_light(lights[:2]) == common_light(lights[1::-1]) == lights[0]


@settings(max_examples=3)
@given(FIELDS)
def test_the_usual_light_is_taken_where_another_is_hardly_better(light: Light) -> None:
    lit = noisy() * light.field((256, 200))
    own = find_light(lit)
    near = Light(tuple((np.array(own.coefficients) + 0.005).tolist()))
    assert find_light(lit, usual=near) == near
    assert find_light(lit, usual=own) == own


@pytest.mark.parametrize("far", [EVEN, Light((-0.12, 0.08, -0.05, -0.04, 0.06))])
def test_another_light_than_the_usual_is_found(far: Light) -> None:
    lit = two_phases() * LIT.field(SHAPE)
    assert find_light(lit, usual=far) == find_light(lit)


def test_a_picture_that_does_not_tell_has_the_usual_light() -> None:
    assert find_light(np.full(SHAPE, 0.5, np.float32), usual=LIT) == LIT


# --- what is no part of it ----------------------------------------------------------------------


def test_what_excluded_pixels_show_has_no_part_in_it() -> None:
    included = np.ones(SHAPE, bool)
    included[-60:] = False
    lit = two_phases() * LIT.field(SHAPE)
    found = [
        find_light(np.where(included, lit, np.float32(shown)), included)
        for shown in (0.0, 0.3, 1.0)
    ]
    assert found[0] == found[1] == found[2]
    assert apart(found[0], LIT) < 0.03


def test_all_included_is_the_default() -> None:
    lit = two_phases() * LIT.field(SHAPE)
    assert find_light(lit, np.ones(SHAPE, bool)) == find_light(lit)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_black_and_clipped_pixels_say_nothing(level: float) -> None:
    lit = (0.9 * two_phases() * LIT.field(SHAPE)).astype(np.float32)
    shown = lit.copy()
    shown[80:160, 40:120] = level
    rim = ndimage.binary_dilation(shown != lit, iterations=8) & (shown == lit)
    assert apart(find_light(shown, ~rim), LIT) < 0.02


@pytest.mark.parametrize("shape", [(5, 5), (5, 400), (400, 5), (1, 1), (1, 50)])
def test_small_and_narrow_pictures_have_some_light(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).uniform(0.4, 0.6, shape).astype(np.float32)
    found = find_light(grey)
    assert np.isfinite(found.coefficients).all()
    assert (found.field(shape) > 0).all()


def test_a_picture_with_too_few_usable_pixels_is_evenly_lit() -> None:
    lit = two_phases() * LIT.field(SHAPE)
    few = np.zeros(SHAPE, bool)
    few[10, 10:15] = True
    assert find_light(lit, few) == EVEN
    assert find_light(lit, np.zeros(SHAPE, bool)) == EVEN
    assert find_light(np.zeros(SHAPE, np.float32)) == EVEN
    assert find_light(np.full(SHAPE, 0.5, np.float32)) == EVEN


def test_what_is_deeply_dark_is_rather_another_material() -> None:
    """A dark mount on one side is not taken for a fall of the light by two thirds."""
    grey = two_phases()
    grey[:, 240:] *= np.float32(0.3)
    assert find_light(grey).depth < 0.7
