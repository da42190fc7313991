"""Synthetic micrographs: reproducible, with the wanted area fractions and an exact ground truth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from nital.errors import SettingError
from nital.image import synthetic
from nital.image.constituents import CONSTITUENTS
from nital.image.synthetic import LAYOUTS, SyntheticMicrograph, synthesize

ALL = dict.fromkeys(CONSTITUENTS, 1.0)
MIXES = [
    {"ferrite": 0.65, "pearlite": 0.35},
    {"side_plates": 0.45, "pearlite": 0.2, "bainite": 0.35},
    {"martensite": 0.65, "ferrite": 0.32, "pearlite": 0.03},
    dict.fromkeys(CONSTITUENTS, 0.2),
]


def small(fractions=ALL, seed=0, **changes):
    return synthesize((96, 96), fractions, grain_size=12, seed=seed, **changes)


def mask(micrograph, name):
    return micrograph.truth == micrograph.names.index(name) + 1


def assert_sound(micrograph, shape):
    assert isinstance(micrograph, SyntheticMicrograph)
    assert (micrograph.image.shape, micrograph.image.dtype) == (shape, np.float32)
    assert (micrograph.truth.shape, micrograph.truth.dtype) == (shape, np.uint8)
    assert micrograph.image.min() >= 0
    assert micrograph.image.max() <= 1

    labels, counts = np.unique(micrograph.truth, return_counts=True)
    assert labels.tolist() == list(range(1, len(micrograph.names) + 1))
    assert tuple(micrograph.fractions) == micrograph.names
    assert list(micrograph.fractions.values()) == (counts / micrograph.truth.size).tolist()
    assert sum(micrograph.fractions.values()) == pytest.approx(1)

    means = [micrograph.image[mask(micrograph, name)].mean() for name in micrograph.names]
    assert means == sorted(means)


@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(64, 131),
    cols=st.integers(64, 131),
    k=st.integers(1, 5),
    layout=st.sampled_from(LAYOUTS),
    grain_size=st.floats(8, 16),
    shading=st.floats(0, 1),
    noise=st.floats(0, 1),
    seed=st.integers(0, 2**64 - 1),
)
def test_any_setting_in_range_gives_a_sound_micrograph(
    rows, cols, k, layout, grain_size, shading, noise, seed
):
    fractions = dict.fromkeys(CONSTITUENTS[:k], 1)
    micrograph = synthesize(
        (rows, cols),
        fractions,
        layout=layout,
        grain_size=grain_size,
        shading=shading,
        noise=noise,
        seed=seed,
    )
    assert_sound(micrograph, (rows, cols))
    assert set(micrograph.names) == set(fractions)
    assert micrograph.seed == seed


def test_defaults_are_those_of_mild_steel():
    micrograph = synthesize()
    assert_sound(micrograph, (512, 512))
    assert micrograph.names == ("pearlite", "ferrite")
    assert micrograph.fractions["pearlite"] == pytest.approx(0.35, abs=0.02)


def test_same_seed_same_bytes_whatever_the_global_state():
    np.random.seed(1)  # noqa: NPY002
    first = small(seed=5)
    np.random.seed(2)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    second = small(seed=5)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert first.image.tobytes() == second.image.tobytes()
    assert first.truth.tobytes() == second.truth.tobytes()
    assert (first.names, first.fractions) == (second.names, second.fractions)


def test_another_seed_another_micrograph():
    first, second = small(seed=5), small(seed=6)
    assert (first.truth != second.truth).mean() > 0.2
    assert (first.image != second.image).mean() > 0.9


def test_order_of_the_wanted_fractions_changes_nothing():
    backwards = dict(reversed(MIXES[2].items()))
    assert small(MIXES[2]).image.tobytes() == small(backwards).image.tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("wanted", MIXES)
def test_fractions_are_near_the_wanted_ones(wanted, layout):
    got = synthesize((256, 256), wanted, layout=layout, seed=3).fractions
    assert got == pytest.approx(wanted, abs=0.01)


def test_fractions_are_divided_by_their_sum():
    once, tenfold = (
        small({"ferrite": 0.75, "pearlite": 0.25}),
        small({"ferrite": 30, "pearlite": 10}),
    )
    assert once.truth.tobytes() == tenfold.truth.tobytes()


@pytest.mark.parametrize("name", CONSTITUENTS)
def test_one_constituent_alone(name):
    micrograph = small({name: 2})
    assert_sound(micrograph, (96, 96))
    assert micrograph.fractions == {name: 1.0}
    assert small({name: 2}, noise=0).image.std() > 0.02  # drawn, not filled


def test_grain_size_is_the_mean_grain_diameter(monkeypatch):
    sizes = []

    def paint(y, x, edge, grain, rng):
        sizes.append(np.bincount(grain))
        return 0 * edge

    monkeypatch.setitem(synthetic.NATURE, "ferrite", (0.7, 1.0, paint))
    synthesize((600, 600), {"ferrite": 1}, grain_size=30)
    area = math.pi / 4 * 30**2
    # Grains that the frame cuts are counted whole: about half of those along the four sides.
    expected = 600**2 / area + 4 * 600 / math.sqrt(area) / 2
    assert np.count_nonzero(sizes[0]) == pytest.approx(expected, rel=0.08)


def test_bands_lie_horizontally():
    def unevenness(layout, axis):
        micrograph = synthesize((256, 256), grain_size=12, layout=layout, seed=1)
        return mask(micrograph, "pearlite").mean(axis=axis).std()

    assert unevenness("banded", 1) > 2 * unevenness("banded", 0)
    assert unevenness("banded", 1) > 1.5 * unevenness("voronoi", 1)


@pytest.mark.parametrize("shading", [0.1, 0.6])
def test_shading_takes_the_stated_share_of_the_brightness(shading):
    plain = small(shading=0, noise=0)
    shaded = small(shading=shading, noise=0)
    ratio = shaded.image / plain.image
    assert ratio.max() == pytest.approx(1, abs=1e-5)
    assert ratio.min() == pytest.approx(1 - shading, abs=1e-5)
    assert np.abs(np.diff(ratio, axis=0)).max() < 4 * shading / 96  # a gradient, not a step


def test_noise_has_the_stated_deviation():
    clean = small({"martensite": 1}, noise=0)
    noisy = small({"martensite": 1}, noise=0.03)
    added = noisy.image - clean.image
    assert added.std() == pytest.approx(0.03, rel=0.05)
    assert added.mean() == pytest.approx(0, abs=0.002)


def test_the_microscope_moves_no_boundary():
    plain, seen = small(MIXES[0], shading=0, noise=0), small(MIXES[0], shading=0.3, noise=0.1)
    assert plain.truth.tobytes() == seen.truth.tobytes()


@pytest.fixture
def flat(monkeypatch):
    """Paint every constituent in one uniform grey."""
    for name, (mean, slowness, _) in synthetic.NATURE.items():
        paint = lambda y, x, edge, grain, rng: np.zeros_like(edge)  # noqa: E731
        monkeypatch.setitem(synthetic.NATURE, name, (mean, slowness, paint))
    monkeypatch.setitem(synthetic.NATURE, "bainite", (0.9, *synthetic.NATURE["bainite"][1:]))


def test_truth_is_exactly_what_was_painted(flat, monkeypatch):
    monkeypatch.setattr(synthetic, "_BLUR", 0)
    micrograph = small(shading=0, noise=0)
    for name in CONSTITUENTS:
        painted = np.float32(synthetic.NATURE[name][0])
        np.testing.assert_array_equal(micrograph.image == painted, mask(micrograph, name))


def test_blur_touches_the_image_only(flat, monkeypatch):
    blurred = small(shading=0, noise=0)
    monkeypatch.setattr(synthetic, "_BLUR", 0)
    sharp = small(shading=0, noise=0)
    assert blurred.truth.tobytes() == sharp.truth.tobytes()
    expected = ndimage.gaussian_filter(sharp.image, 0.7, mode="nearest")
    np.testing.assert_allclose(blurred.image, expected, atol=1e-5)
    assert np.abs(blurred.image - sharp.image).max() > 0.1


def test_truth_fits_the_textured_image_best_where_it_lies():
    micrograph = synthesize((192, 192), noise=0, shading=0, seed=2)
    bright = mask(micrograph, "ferrite")

    def fit(shift):
        return np.corrcoef(np.roll(bright, shift, (0, 1)).ravel(), micrograph.image.ravel())[0, 1]

    fits = {(dy, dx): fit((dy, dx)) for dy in (-2, -1, 0, 1, 2) for dx in (-2, -1, 0, 1, 2)}
    assert max(fits, key=fits.get) == (0, 0)
    assert fits[0, 0] > 0.9


def test_bainite_is_as_bright_as_ferrite_and_of_finer_texture():
    micrograph = synthesize((256, 256), {"ferrite": 1, "bainite": 1}, shading=0, noise=0, seed=4)
    fine = np.abs(ndimage.laplace(micrograph.image))
    bainite, ferrite = mask(micrograph, "bainite"), mask(micrograph, "ferrite")
    assert micrograph.image[bainite].mean() == pytest.approx(
        micrograph.image[ferrite].mean(), abs=0.01
    )
    assert fine[bainite].mean() > 1.5 * fine[ferrite].mean()


def test_side_plates_are_coarser_than_bainite():
    def kept_by_blur(name):
        y, x = np.indices((128, 128), dtype=float).reshape(2, -1)
        far, one_grain = np.full(y.shape, 99.0), np.zeros(y.shape, dtype=np.intp)
        paint = synthetic.NATURE[name][2]
        grey = paint(y, x, far, one_grain, np.random.default_rng(0)).reshape(128, 128)
        return ndimage.gaussian_filter(grey, 1.5).var() / grey.var()

    assert kept_by_blur("side_plates") > 1.5 * kept_by_blur("bainite")


def test_dark_to_bright_is_the_metallurgists_order():
    names = small().names
    assert names[:2] == ("pearlite", "martensite")
    assert set(names[2:]) == {"ferrite", "bainite", "side_plates"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shape": (63, 200)}, r"shape \(63, 200\).*64"),
        ({"shape": (200, 10)}, r"shape \(200, 10\).*64"),
        ({"shape": (200,)}, r"shape \(200,\)"),
        ({"fractions": {}}, r"fractions \{\}.*ferrite"),
        ({"fractions": {"austenite": 1}}, r"'austenite' is unknown.*ferrite"),
        ({"fractions": {"ferrite": 1, "pearlite": 0}}, r"fraction 0 of pearlite.*above 0"),
        ({"fractions": {"ferrite": -0.2}}, r"fraction -0.2 of ferrite"),
        ({"fractions": {"ferrite": math.nan}}, r"fraction nan of ferrite"),
        ({"fractions": {"ferrite": math.inf}}, r"fraction inf of ferrite"),
        ({"layout": "hexagonal"}, r"'hexagonal' is unknown.*voronoi, banded"),
        ({"grain_size": 7.9}, r"grain_size 7.9.*from 8 to 64"),
        ({"grain_size": 64.1}, r"grain_size 64.1.*from 8 to 64"),
        ({"grain_size": math.nan}, r"grain_size nan"),
        ({"shading": -0.1}, r"shading -0.1.*from 0 to 1"),
        ({"shading": 1.1}, r"shading 1.1.*from 0 to 1"),
        ({"shading": math.nan}, r"shading nan"),
        ({"noise": -0.1}, r"noise -0.1.*from 0 to 1"),
        ({"noise": 1.1}, r"noise 1.1.*from 0 to 1"),
        ({"seed": -1}, r"seed -1 is out of range: give one from 0"),
        ({"fractions": {"ferrite": 1, "pearlite": 1e-6}}, r"1e-06 gives pearlite no pixel.*larger"),
    ],
)
def test_errors_name_value_problem_and_remedy(changes, says):
    with pytest.raises(SettingError, match=says):
        synthesize(**{"shape": (64, 64), "grain_size": 12, **changes})


def test_too_few_grains_for_the_constituents_is_an_error_not_a_gap():
    refusals = []
    for seed in range(12):
        try:
            assert_sound(synthesize((64, 64), ALL, grain_size=64, seed=seed), (64, 64))
        except SettingError as error:
            refusals.append(str(error))
    assert refusals
    assert all("no pixel" in said and "grain_size below 64" in said for said in refusals)
