"""The entry point: any array in, numbered classes out, always the same."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from helpers.benches import make_samples_small
from helpers.divided import divided
from helpers.pictures import make_views_few
from nital.errors import InputError, SettingError, Stopped
from nital.fast.disturbances import DISTURBANCES
from nital.fast.sampling import Sample
from nital.fast.settings import FAST, FastSettings
from nital.image import windows
from nital.image.light import EVEN
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.image.synthetic import SyntheticMicrograph, synthesize
from nital.methods import prepare, segment, segment_each
from nital.paper.course import PaperDetails, Step, Training
from nital.paper.settings import PAPER, PaperSettings
from nital.paper.superpixels import find_superpixels
from nital.result.agreement import compare
from nital.result.classes import tabulate_classes
from nital.result.criteria import evaluate, measure_regions
from nital.result.segmentation import Segmentation
from nital.settings import Settings
from nital.work.runs import seed_of


@pytest.fixture(scope="module", autouse=True)
def small_samples() -> Iterator[None]:
    """Small views, and two of them; for fixtures of the module as well."""
    with pytest.MonkeyPatch.context() as patch:
        make_samples_small(patch)
        make_views_few(patch)
        yield


SMALL = replace(PAPER, n_classes=2, n_filters=12, n_responses=8, max_iterations=30, device="cpu")
TWO = replace(FAST, n_classes=2)
COMPONENTS = replace(TWO, regions="components")
BOTH = pytest.mark.parametrize("settings", [SMALL, TWO], ids=["paper", "fast"])


def stripes(seed: int = 0) -> NDArray[np.uint8]:
    """Dark and bright stripes of 8 pixels with noise: 32 x 40, RGB."""
    rng = np.random.default_rng(seed)
    level = np.where(np.arange(40) // 8 % 2, 190, 60)[np.newaxis, :, np.newaxis]
    return (level + rng.normal(0, 12, (32, 40, 3))).clip(0, 255).astype(np.uint8)


def same_result(first: Segmentation, second: Segmentation) -> bool:
    """Whether the labels are the same, byte for byte, and all else too."""
    bytes_alike = first.labels.tobytes() == second.labels.tobytes()
    return bytes_alike and first == replace(second, labels=first.labels)


def training_of(result: Segmentation) -> Training:
    """The training of a result of paper mode."""
    assert isinstance(result.details, PaperDetails)
    assert result.details.training is not None
    return result.details.training


def steps_of(result: Segmentation) -> tuple[Step, ...]:
    """The steps of a result of paper mode."""
    return training_of(result).steps


# --- both modes ---------------------------------------------------------------------------------


KINDS = ("grey", "alpha", "uint16", "float", "micrograph")


def stripes_as(kind: str) -> NDArray[np.generic] | Micrograph:
    """The same stripes as another kind of image."""
    image = stripes()
    opaque = np.full((32, 40, 1), 255, np.uint8)
    kinds: dict[str, NDArray[np.generic] | Micrograph] = {
        "grey": image[..., 0],
        "alpha": np.dstack([image, opaque]),
        "uint16": image.astype(np.uint16) * 257,
        "float": image / 255,
        "micrograph": Micrograph.from_array(image),
    }
    return kinds[kind]


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_image(kind: str, settings: Settings) -> None:
    image, made = stripes(), stripes_as(kind)
    result = segment(made, settings=settings)
    assert 1 <= result.n_classes <= 8
    if kind in ("alpha", "micrograph"):
        assert (result.labels == segment(image, settings=settings).labels).all()


@BOTH
def test_excluded_pixels_get_label_0_and_count_nowhere(settings: Settings) -> None:
    image = stripes()
    image[:, -8:] = 255
    excluded = np.zeros((32, 40), bool)
    excluded[:, -8:] = True
    result = segment(image, settings=settings, excluded=excluded)
    assert ((result.labels == 0) == excluded).all()
    assert sum(row.n_pixels for row in result.classes) == 32 * 32
    assert sum(row.area_fraction for row in result.classes) == pytest.approx(1)
    assert result.excluded_fraction == pytest.approx(8 / 40)


@BOTH
def test_threads_side_by_side_do_not_disturb_each_other(settings: Settings) -> None:
    if settings.mode == "paper":
        settings = replace(settings, threads=1)
    expected = segment(stripes(), settings=settings).labels
    found: list[NDArray[np.generic]] = []
    workers = [
        threading.Thread(target=lambda: found.append(segment(stripes(), settings=settings).labels))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 3
    assert all((labels == expected).all() for labels in found)


def test_several_settings_at_once_give_what_each_gives_alone() -> None:
    micrograph = Micrograph.from_array(stripes())
    of_paper = [replace(SMALL, n_classes=k, seed=seed) for k in (2, 4) for seed in (5, 3)]
    of_fast = [replace(TWO, n_classes=k) for k in (2, 5, 3)]
    for wanted in (of_paper, of_fast):
        found = segment_each(micrograph, wanted, prepared=prepare(micrograph, wanted[0]))
        results = {(each.settings.n_classes, seed_of(each.settings)): each for each in found}
        assert len(results) == len(wanted)
        for each in wanted:
            alone = segment(micrograph, settings=each)
            assert same_result(results[each.n_classes, seed_of(each)], alone)


@BOTH
def test_an_image_too_small_is_refused(settings: Settings) -> None:
    with pytest.raises(InputError, match=r"4 x 40 pixels; no side may be smaller than 5"):
        segment(stripes()[:4], settings=settings)
    assert segment(stripes()[:5], settings=settings).labels.shape == (5, 40)


@BOTH
def test_an_image_that_is_all_excluded_is_refused(settings: Settings) -> None:
    with pytest.raises(InputError, match="every pixel is excluded"):
        segment(stripes(), settings=settings, excluded=np.ones((32, 40), bool))


def test_a_micrograph_has_an_excluded_area_of_its_own() -> None:
    with pytest.raises(InputError, match="excluded area of its own"):
        segment(Micrograph.from_array(stripes()), excluded=np.zeros((32, 40), bool))


def test_what_is_prepared_for_the_other_mode_is_refused() -> None:
    micrograph = Micrograph.from_array(stripes())
    for settings, other in ((SMALL, TWO), (TWO, SMALL)):
        prepared = prepare(micrograph, other)
        with pytest.raises(InputError, match=f"prepared: not for mode {settings.mode}"):
            segment(micrograph, settings=settings, prepared=prepared)
        with pytest.raises(InputError, match=f"prepared: not for mode {settings.mode}"):
            list(segment_each(micrograph, [settings], prepared=prepared))


@BOTH
def test_what_is_prepared_on_another_image_is_refused(settings: Settings) -> None:
    prepared = prepare(Micrograph.from_array(stripes()), settings)
    with pytest.raises(InputError, match=r"on an image of shape \(32, 40\), not \(30, 40\)"):
        segment(stripes()[:30], settings=settings, prepared=prepared)


@pytest.mark.parametrize(
    ("shape", "kind", "settings", "said"),
    [
        ((32, 41), np.uint8, TWO, r"shape \(32, 41\), kind uint8; needs \(32, 40\) and uint8"),
        ((32, 40), np.uint16, TWO, "kind uint16; needs"),
        ((32, 41), np.uint8, SMALL, r"shape \(32, 41\), kind uint8; needs \(32, 40\) and uint8"),
        ((32, 40), np.uint8, COMPONENTS, "^out: only for a number of classes with regions"),
    ],
)
def test_a_place_for_labels_that_does_not_fit_is_refused(
    shape: tuple[int, int], kind: type, settings: Settings, said: str
) -> None:
    out: NDArray[np.uint8] = np.full(shape, 7, kind)
    steps: list[Step] = []
    with pytest.raises(InputError, match=said):
        segment(stripes(), settings=settings, out=out, on_step=steps.append)
    assert not steps
    assert (out == 7).all()


# --- paper mode ---------------------------------------------------------------------------------


def test_two_constituents_are_told_apart() -> None:
    result = segment(stripes(), settings=SMALL)
    bright = stripes().mean(axis=2) > 125
    found = result.labels == result.labels.max()
    assert result.labels.shape == (32, 40)
    assert result.labels.dtype == np.uint8
    assert (found == bright).mean() > 0.85
    assert training_of(result).stop_reason == "n_classes"


def test_the_result_is_consistent() -> None:
    result = segment(stripes(), settings=SMALL)
    assert [row.label for row in result.classes] == list(range(1, result.n_classes + 1))
    assert set(np.unique(result.labels)) == {row.label for row in result.classes}
    assert sum(row.area_fraction for row in result.classes) == pytest.approx(1)
    greys = [row.mean_grey for row in result.classes]
    assert greys == sorted(greys)
    assert result.criteria == evaluate(Micrograph.from_array(stripes()).pixels, result.labels)
    iterations = [step.iteration for step in steps_of(result)]
    assert iterations == list(range(1, len(iterations) + 1))
    assert result.settings.n_superpixels == 64
    pixels = Micrograph.from_array(stripes()).pixels
    given = find_superpixels(pixels, n_superpixels=64).max() + 1
    assert result.details.summary()["n_superpixels"] == given
    assert set(result.seconds) == {"preparation", "training", "labels"}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    first, again = (segment(stripes(), settings=replace(SMALL, seed=3)) for _ in range(2))
    other = segment(stripes(), settings=replace(SMALL, seed=4))
    assert same_result(first, again)
    assert [step.loss for step in steps_of(first)] != [step.loss for step in steps_of(other)]


def test_watching_does_not_alter_the_result() -> None:
    seen: list[Step] = []
    watched = segment(stripes(), settings=SMALL, on_step=seen.append)
    assert tuple(seen) == steps_of(watched)
    assert (watched.labels == segment(stripes(), settings=SMALL).labels).all()


def test_nothing_global_is_changed() -> None:
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    used = segment(stripes(), settings=replace(SMALL, threads=threads + 1, max_iterations=2))
    assert used.settings.threads == threads + 1
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_superpixels_at_hand_are_used() -> None:
    pixels = Micrograph.from_array(stripes()).pixels
    superpixels = divided(find_superpixels(pixels, n_superpixels=20))
    expected = segment(stripes(), settings=replace(SMALL, n_superpixels=20))
    found = segment(stripes(), settings=SMALL, prepared=superpixels)
    assert (found.labels == expected.labels).all()
    assert (found.labels != segment(stripes(), settings=SMALL).labels).any()
    (prepared,) = prepare(Micrograph.from_array(stripes()), SMALL).maps
    assert (prepared == find_superpixels(pixels, n_superpixels=64)).all()


def test_windows_do_not_do_for_exact_training(small_blocks: None) -> None:
    micrograph = Micrograph.from_array(BLOCKS.image)
    prepared = prepare(micrograph, SMALL)
    assert len(prepared.windows) == 6
    with pytest.raises(InputError, match="prepared: not for exact training"):
        segment(micrograph, settings=replace(SMALL, exact=True), prepared=prepared)


def test_settings_that_paper_mode_can_not_use_are_refused() -> None:
    with pytest.raises(SettingError, match="n_classes 9"):
        segment(stripes(), n_classes=9, settings=SMALL)
    with pytest.raises(SettingError, match="n_superpixels 2000"):
        segment(stripes(), settings=replace(SMALL, n_superpixels=2000))
    with pytest.raises(InputError, match=r"32 x 40 pixels; no side may be smaller than 33"):
        segment(stripes(), settings=replace(SMALL, n_layers=16))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_cuda_repeats_itself() -> None:
    settings = replace(SMALL, device="cuda")
    first, again = (segment(stripes(), settings=settings) for _ in range(2))
    assert first.labels.tobytes() == again.labels.tobytes()


# --- notes of paper mode ------------------------------------------------------------------------

ONE = np.ones((32, 40), np.uint8)
HALF = np.repeat([1, 2], 16).astype(np.uint8).repeat(40).reshape(32, 40)
THREE = ONE.copy()
THREE[0], THREE[1] = 2, 3


@pytest.fixture(scope="module")
def paper_result() -> Segmentation:
    return segment(stripes(), settings=SMALL)


def notes_of(result: Segmentation, labels: NDArray[np.uint8]) -> tuple[str, ...]:
    """The notes of a result of the stripes if it had these labels."""
    classes = tabulate_classes(measure_regions(Micrograph.from_array(stripes()).pixels, labels))
    return replace(result, labels=labels, classes=classes).notes


def test_a_result_as_asked_for_has_no_notes(paper_result: Segmentation) -> None:
    assert notes_of(paper_result, HALF) == ()


def test_notes_tell_of_other_numbers_of_classes(paper_result: Segmentation) -> None:
    assert notes_of(paper_result, ONE) == (
        "1 classes instead of the 2 asked for: the paper's rule stops at that many or fewer",
    )
    (note,) = notes_of(paper_result, THREE)
    assert note.startswith("3 classes instead of the 2 asked for: the paper's rule counted")
    assert "updated the network once more" in note


def test_notes_tell_of_a_training_at_its_limit(paper_result: Segmentation) -> None:
    training = Training(steps_of(paper_result), "max_iterations")
    ended = replace(paper_result, details=PaperDetails(training, 64))
    assert notes_of(ended, THREE) == (
        "3 classes instead of the 2 asked for: training ended at its limit of 30 iterations",
    )


def test_notes_tell_of_tiny_classes(paper_result: Segmentation) -> None:
    tiny = ONE.copy()
    tiny[0, 0] = 2
    (note,) = notes_of(paper_result, tiny)
    assert note.startswith("class 2 has only 1 of 1280 pixels")


def with_superpixels(result: Segmentation, n: int) -> Segmentation:
    """The same result if SLIC had given this many superpixels."""
    return replace(result, details=PaperDetails(training_of(result), n))


def test_notes_tell_of_superpixels_too_small_or_too_few(paper_result: Segmentation) -> None:
    (note,) = notes_of(with_superpixels(paper_result, 1000), HALF)
    assert note.startswith("superpixels of 1.3 pixels")
    (note,) = notes_of(with_superpixels(paper_result, 31), HALF)
    assert note.startswith("SLIC gave 31 superpixels instead of the 64 asked for")


# --- fast mode ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steel() -> SyntheticMicrograph:
    parts = {"ferrite": 0.65, "pearlite": 0.35}
    return synthesize((96, 96), parts, grain_size=24, shading=0, seed=1)


@pytest.fixture(scope="module")
def result(steel: SyntheticMicrograph) -> Segmentation:
    return segment(steel.image, settings=TWO)


def test_fast_mode_is_the_default(steel: SyntheticMicrograph) -> None:
    first = segment(steel.image, 2)
    assert first.settings.mode == "fast"
    assert same_result(first, segment(steel.image, settings=FastSettings(n_classes=2)))


def test_pearlite_is_told_from_ferrite(steel: SyntheticMicrograph, result: Segmentation) -> None:
    assert compare(result.labels, steel.truth).mean_iou > 0.9


def test_a_fast_result_is_consistent(steel: SyntheticMicrograph, result: Segmentation) -> None:
    micrograph = Micrograph.from_array(steel.image)
    assert result.labels.shape == (96, 96)
    assert result.labels.dtype == np.uint8
    expected = tabulate_classes(measure_regions(micrograph.pixels, result.labels))
    assert [(row.label, row.n_pixels, row.area_fraction) for row in result.classes] == [
        (row.label, row.n_pixels, row.area_fraction) for row in expected
    ]
    for row, other in zip(result.classes, expected, strict=True):
        assert row.mean_grey == pytest.approx(other.mean_grey, rel=1e-5)
    greys = [row.mean_grey for row in result.classes]
    assert greys == sorted(greys)
    criteria = evaluate(micrograph.pixels, result.labels)
    for name in ("F", "F_prime", "Q"):
        assert getattr(result.criteria, name) == pytest.approx(getattr(criteria, name), rel=1e-9)
    assert result.notes == ()
    assert set(result.seconds) >= {"preparation", "labels", "classes"}


def test_fast_mode_has_no_training_and_no_superpixels(result: Segmentation) -> None:
    assert result.details.summary() == {}


@pytest.mark.parametrize("k", [2, 3, 5, 12])
def test_exactly_as_many_classes_as_asked_for(steel: SyntheticMicrograph, k: int) -> None:
    found = segment(steel.image, k)
    assert found.n_classes == k
    assert np.unique(found.labels).tolist() == list(range(1, k + 1))


def test_of_as_many_classes_as_there_are_fine_ones_some_may_be_lost(
    steel: SyntheticMicrograph,
) -> None:
    """A tiny fine class is no class, and one may not be what most views agree on."""
    found = segment(steel.image, 24)
    assert 12 <= found.n_classes <= 24
    assert np.unique(found.labels).tolist() == list(range(1, found.n_classes + 1))
    said = f"{found.n_classes} classes instead of the 24 asked for"
    assert any(said in note for note in found.notes) == (found.n_classes < 24)


def test_fast_mode_gives_the_same_bytes_twice(
    steel: SyntheticMicrograph, result: Segmentation
) -> None:
    again = segment(steel.image, settings=TWO)
    assert same_result(result, again)
    assert result.agreement is not None
    assert again.agreement is not None
    assert result.agreement.tobytes() == again.agreement.tobytes()


def test_there_is_no_seed_and_no_repeat(steel: SyntheticMicrograph) -> None:
    with pytest.raises(TypeError, match="seed"):
        segment(steel.image, 2, seed=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("scale", ["fine", "medium"])
@pytest.mark.parametrize("shape", [(96, 128), (150, 101)])
def test_a_mirrored_or_turned_micrograph_has_the_mirrored_or_turned_labels(
    shape: tuple[int, int], scale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all views; only sums in another order may move a pixel."""
    monkeypatch.setattr("nital.fast.disturbances.DISTURBANCES", DISTURBANCES)
    image = synthesize(shape, {"ferrite": 0.5, "pearlite": 0.5}, grain_size=24, seed=3).image
    settings = FastSettings(n_classes=3, scale=scale)
    labels = segment(image, settings=settings).labels
    for change in (np.flipud, np.fliplr, np.rot90, np.transpose):
        found = segment(np.ascontiguousarray(change(image)), settings=settings).labels
        assert found.shape == change(labels).shape
        assert (found != change(labels)).mean() < 1e-3


@pytest.mark.parametrize("scale", ["fine", "medium", "coarse"])
def test_what_is_prepared_is_shared(steel: SyntheticMicrograph, scale: str) -> None:
    settings = replace(TWO, scale=scale)
    sample = prepare(Micrograph.from_array(steel.image), settings)
    for k in (2, 3):
        shared = segment(steel.image, k, settings=settings, prepared=sample)
        assert same_result(shared, segment(steel.image, k, settings=settings))


def test_scales_give_other_classes(steel: SyntheticMicrograph, result: Segmentation) -> None:
    medium = segment(steel.image, settings=replace(TWO, scale="medium"))
    assert (medium.labels != result.labels).any()


def test_what_is_prepared_at_another_scale_is_refused(steel: SyntheticMicrograph) -> None:
    micrograph = Micrograph.from_array(steel.image)
    prepared = prepare(micrograph, replace(TWO, scale="medium"))
    with pytest.raises(InputError, match="prepared with scale medium, not fine; prepare"):
        segment(micrograph, settings=TWO, prepared=prepared)


def test_too_many_classes_are_refused() -> None:
    with pytest.raises(SettingError, match="n_classes 25: ask for at most 24"):
        segment(stripes(), n_classes=25)


def test_labels_are_written_where_they_are_wanted(
    steel: SyntheticMicrograph, result: Segmentation, tmp_path: Path
) -> None:
    """Those of the micrograph alone: there is no room for its disturbed views."""
    room = np.full((96, 96), 77, np.uint8)
    found = segment(steel.image, settings=TWO, out=room)
    assert found.labels is room
    assert result.fine is not None
    expected = np.empty_like(result.fine.labels)
    result.fine.join(2, expected)
    assert (room == expected).all()
    assert (found.fine, found.views, found.agreement) == (None, (), None)
    pixels = Micrograph.from_array(steel.image).pixels
    counts = [row.n_pixels for row in tabulate_classes(measure_regions(pixels, room))]
    assert [row.n_pixels for row in found.classes] == counts
    assert (room == result.labels).mean() > 0.95
    mapped = np.memmap(tmp_path / "labels", np.uint8, "w+", shape=(96, 96))
    found = segment(steel.image, settings=TWO, out=mapped)
    assert found.labels is mapped
    assert (np.fromfile(tmp_path / "labels", np.uint8) == room.ravel()).all()


def test_watching_does_not_alter_a_fast_result(
    steel: SyntheticMicrograph, result: Segmentation
) -> None:
    steps: list[Step] = []
    rows: list[int] = []
    watched = segment(
        steel.image, settings=TWO, on_step=steps.append, on_rows=lambda done, _: rows.append(done)
    )
    assert steps == []
    assert rows == [96]
    assert same_result(watched, result)


def test_components_are_measured_on_the_whole_map(steel: SyntheticMicrograph) -> None:
    found = segment(steel.image, settings=COMPONENTS)
    pixels = Micrograph.from_array(steel.image).pixels
    assert found.criteria == evaluate(pixels, found.labels, regions="components")


def test_fewer_classes_than_asked_for_are_told() -> None:
    columns = np.array([0, 0, 0, 200, 200, 200, 200, 0], np.uint8)
    found = segment(np.tile(columns, (5, 1)), 24)
    assert 2 <= found.n_classes <= 8  # all rows are equal
    said = f"{found.n_classes} classes instead of the 24 asked for"
    why = "the image holds no more that its views agree on, with at least 0.1 % of the area each"
    assert found.notes == (f"{said}: {why}",)


def test_an_excluded_area_gives_no_note(steel: SyntheticMicrograph) -> None:
    excluded = np.zeros((96, 96), bool)
    excluded[:64] = True
    found = segment(steel.image, settings=replace(TWO, light="kept"), excluded=excluded)
    assert found.notes == ()


# --- images of several blocks -------------------------------------------------------------------


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of at most 70 rows and columns, and a sample of six tiles of at most 24; in a view of
    the pixels of the micrograph."""
    monkeypatch.setattr(windows, "N_TILES", 6)
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", 150 * 140)
    monkeypatch.setattr(windows, "BLOCK_SIDE", 70)
    monkeypatch.setattr(windows, "TILE_SIDE", 24)


BLOCKS = synthesize((150, 140), {"ferrite": 0.65, "pearlite": 0.35}, grain_size=24, seed=2)


def test_blocks_give_nearly_the_labels_of_the_whole(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", 150 * 140)
    whole = segment(BLOCKS.image, settings=TWO)
    request.getfixturevalue("small_blocks")
    rows: list[int] = []
    found = segment(BLOCKS.image, settings=TWO, on_rows=lambda done, _: rows.append(done))
    assert rows == [50, 50, 100, 100, 150, 150]
    assert (found.labels == whole.labels).mean() > 0.98
    assert compare(found.labels, BLOCKS.truth).mean_iou > 0.9


@pytest.mark.usefixtures("small_blocks")
def test_labels_of_several_blocks_are_measured_as_a_whole() -> None:
    found = segment(BLOCKS.image, 4)
    pixels = Micrograph.from_array(BLOCKS.image).pixels
    for row, other in zip(
        found.classes, tabulate_classes(measure_regions(pixels, found.labels)), strict=True
    ):
        assert row.n_pixels == other.n_pixels
        assert row.mean_grey == pytest.approx(other.mean_grey, rel=1e-5)
    assert found.criteria.F == pytest.approx(evaluate(pixels, found.labels).F)


@pytest.mark.usefixtures("small_blocks")
def test_several_blocks_give_the_same_bytes_twice() -> None:
    assert same_result(*(segment(BLOCKS.image, settings=TWO) for _ in range(2)))


@pytest.mark.usefixtures("small_blocks")
def test_several_settings_share_the_features_of_several_blocks() -> None:
    micrograph = Micrograph.from_array(BLOCKS.image)
    sample = prepare(micrograph, TWO)
    assert isinstance(sample, Sample)
    assert sample.whole is None
    wanted = [replace(TWO, n_classes=k) for k in (2, 5)]
    found = segment_each(micrograph, wanted, prepared=sample)
    for result, settings in zip(found, wanted, strict=True):
        assert same_result(result, segment(micrograph, settings=settings))


# --- large micrographs --------------------------------------------------------------------------


def where_it_lies(image: NDArray[np.generic]) -> LargeMicrograph:
    rows, cols = image.shape[:2]
    return LargeMicrograph.scan(lambda rows, cols: image[rows, cols], (rows, cols), name="x")


def blocks_as(kind: str) -> NDArray[np.generic]:
    """An image of this kind, as large as the blocks."""
    grey = np.round(255 * BLOCKS.image).astype(np.uint8)
    if kind == "uint16":
        return grey.astype(np.uint16) * 16
    if kind == "transparent":
        alpha = np.where(np.arange(140) < 100, 255, 0).astype(np.uint8)
        return np.dstack([grey, np.tile(alpha, (150, 1))])
    return grey


@pytest.mark.parametrize("n_blocks", ["one block", "several blocks"])
@pytest.mark.parametrize("kind", ["grey", "uint16", "transparent"])
def test_a_large_micrograph_gives_the_labels_of_its_pixels(
    kind: str, n_blocks: str, request: pytest.FixtureRequest
) -> None:
    if n_blocks == "several blocks":
        request.getfixturevalue("small_blocks")
    image = blocks_as(kind)
    found = segment(where_it_lies(image), settings=TWO)
    room = np.empty(image.shape[:2], np.uint8)
    expected = segment(Micrograph.from_array(image), settings=TWO, out=room)
    assert same_result(found, expected)
    assert found.excluded_fraction == (pytest.approx(40 / 140) if kind == "transparent" else 0)
    uncertainty = [row.uncertainty for row in found.classes]
    assert uncertainty == [pytest.approx(0.02, abs=0.02)] * 2
    assert 0 not in uncertainty


@pytest.mark.parametrize("n_blocks", ["one block", "several blocks"])
@pytest.mark.parametrize("kind", ["grey", "transparent"])
def test_of_a_large_micrograph_paper_mode_too_gives_the_labels_of_its_pixels(
    kind: str, n_blocks: str, request: pytest.FixtureRequest
) -> None:
    if n_blocks == "several blocks":
        request.getfixturevalue("small_blocks")
    image, rows = blocks_as(kind), list[int]()
    found = segment(where_it_lies(image), settings=SMALL, on_rows=lambda done, _: rows.append(done))
    expected = segment(Micrograph.from_array(image), settings=SMALL)
    assert same_result(found, expected)
    assert found.excluded_fraction == (pytest.approx(40 / 140) if kind == "transparent" else 0)
    assert rows[-1] == 150
    assert found.n_classes > 1
    with pytest.raises(InputError, match=r"at\(3\): only for a micrograph in memory"):
        found.at(3)


@pytest.mark.parametrize("n_blocks", ["one block", "several blocks"])
@BOTH
def test_nothing_but_the_excluded(
    settings: Settings, n_blocks: str, request: pytest.FixtureRequest
) -> None:
    if n_blocks == "several blocks":
        request.getfixturevalue("small_blocks")
    image = np.dstack([blocks_as("grey"), np.zeros((150, 140), np.uint8)])
    with pytest.raises(InputError, match="every pixel is excluded"):
        segment(where_it_lies(image), settings=settings)


@pytest.mark.parametrize(
    ("settings", "value", "needed"),
    [
        (COMPONENTS, "regions 'components'", "'classes'"),
        (replace(SMALL, regions="components"), "regions 'components'", "'classes'"),
        (replace(SMALL, exact=True), "exact True", "False"),
        (replace(SMALL, repeats=2), "repeats 2", "1"),
        (replace(SMALL, n_responses=256), "n_responses 256", "255 or fewer"),
    ],
)
def test_what_needs_the_whole_image_is_refused_of_a_large_one(
    settings: Settings, value: str, needed: str
) -> None:
    said = rf"^{value}: needs the whole of x \(32 x 40 pixels\) in memory; use {needed}, or"
    with pytest.raises(SettingError, match=said):
        segment(where_it_lies(stripes()), settings=settings)


def test_other_checks_are_made_of_a_large_one_too() -> None:
    with pytest.raises(InputError, match=r"^x: 4 x 40 pixels; no side may be smaller than 5"):
        segment(where_it_lies(stripes()[:4]), settings=TWO)
    with pytest.raises(InputError, match="excluded area of its own"):
        segment(where_it_lies(stripes()), excluded=np.zeros((32, 40), bool))


# --- views, repeats, automatic number, shading ----------------------------------------------------


def drawn(shading: float = 0.1, seed: int = 0) -> SyntheticMicrograph:
    return synthesize((256, 256), {"ferrite": 0.65, "pearlite": 0.35}, shading=shading, seed=seed)


def test_auto_takes_the_number_with_the_lowest_mean_f_over_the_views() -> None:
    found = segment(drawn().image, "auto")
    assert found.curve is not None
    assert len(found.views) == 2
    for k, (mean, spread) in found.curve.items():
        values = [view.joining.criteria(k).F for view in found.views]
        assert mean == pytest.approx(np.mean(values))
        assert spread == pytest.approx(np.std(values, ddof=1))
    assert list(found.curve) == list(range(2, 11))
    assert found.n_classes == min(found.curve, key=lambda k: found.curve[k][0])
    assert found.settings.n_classes == "auto"
    other = found.at(found.n_classes)
    assert (other.labels == found.labels).all()
    assert other.curve == found.curve


def test_the_views_are_those_of_the_disturbances(monkeypatch: pytest.MonkeyPatch) -> None:
    image = drawn().image
    monkeypatch.setattr("nital.fast.disturbances.DISTURBANCES", DISTURBANCES)
    found = segment(image, 2)
    assert found.what_agrees == "8 disturbed views"
    assert found.agreement is not None
    assert found.mean_agreement is not None
    assert 0.5 <= found.agreement.min() < found.mean_agreement < 1
    assert all(row.uncertainty is not None and 0 < row.uncertainty < 0.2 for row in found.classes)


def test_paper_mode_repeats_as_well() -> None:
    settings = PaperSettings(n_classes=2, repeats=2, n_filters=8, n_responses=6, max_iterations=3)
    image = drawn().image[:64, :64]
    found = segment(image, settings=settings)
    alone = [segment(image, settings=replace(settings, repeats=1, seed=i)) for i in (0, 1)]
    assert found.agreement is not None
    assert found.what_agrees == "2 repeats"
    votes = sum((each.labels > 0).astype(int) for each in alone)
    assert (votes == 2).all()
    assert found.details == PaperDetails()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_vignette_is_not_a_phase(seed: int) -> None:
    even, shaded = drawn(0.0, seed), drawn(0.2, seed)
    assert (even.truth == shaded.truth).all()
    found = [compare(segment(made.image, 2).labels, made.truth) for made in (even, shaded)]
    assert found[1].mean_iou > 0.95
    assert found[1].mean_iou > found[0].mean_iou - 0.01
    assert abs(found[1].classes[0].difference) < 0.015


def test_uneven_light_is_told_with_its_depth() -> None:
    found = segment(drawn(0.25).image, 2)
    assert found.light.depth == pytest.approx(0.25, abs=0.05)
    note = f"uneven light was corrected: the darkest place had {100 * found.light.depth:.0f} % less"
    assert any(each.startswith(note) for each in found.notes)


def test_light_may_be_kept() -> None:
    image = drawn(0.4).image
    kept = segment(image, settings=replace(TWO, light="kept"))
    assert kept.light == EVEN
    assert not any("uneven light" in note for note in kept.notes)
    truth = drawn(0.4).truth
    corrected = segment(image, settings=TWO)
    assert compare(corrected.labels, truth).accuracy > compare(kept.labels, truth).accuracy


# --- stopped ------------------------------------------------------------------------------------


class StopAfter:
    """Stop the work at the n-th call, whatever the arguments."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, *_: object) -> None:
        self.left -= 1
        if not self.left:
            raise Stopped


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 48 x 48 pixels, in a view of the pixels of the micrograph."""
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", 96 * 96)
    monkeypatch.setattr(windows, "BLOCK_SIDE", 50)


LABELLED = np.indices((96, 96)).max(axis=0) < 48
"""The first of four blocks."""

QUARTER = (
    "stopped before it was done: the figures are those of the 25.0 % of the pixels that have a"
    " class"
)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("way", ["in memory", "out", "large"])
def test_stopped_in_fast_mode_keeps_what_is_labelled(steel: SyntheticMicrograph, way: str) -> None:
    grey = np.round(255 * steel.image).astype(np.uint8)
    out = np.zeros((96, 96), np.uint8) if way == "out" else None
    image = where_it_lies(grey) if way == "large" else grey
    found = segment(image, settings=TWO, out=out, on_rows=StopAfter(1))
    assert found.stopped
    assert out is None or found.labels is out
    assert ((found.labels > 0) == LABELLED).all()
    assert found.excluded_fraction == 0.75
    pixels = Micrograph.from_array(grey).pixels
    expected = tabulate_classes(measure_regions(pixels, found.labels))
    for row, other in zip(found.classes, expected, strict=True):
        assert (row.label, row.n_pixels) == (other.label, other.n_pixels)
        assert row.area_fraction == other.n_pixels / 48**2
        assert row.mean_grey == pytest.approx(other.mean_grey, rel=1e-5)
    assert found.criteria.F == pytest.approx(evaluate(pixels, found.labels).F)
    assert found.notes == (QUARTER,)


@pytest.mark.usefixtures("quick")
def test_excluded_pixels_are_not_among_those_that_have_a_class(steel: SyntheticMicrograph) -> None:
    excluded = np.zeros((96, 96), bool)
    excluded[:24] = True
    found = segment(steel.image, settings=TWO, excluded=excluded, on_rows=StopAfter(2))
    assert ((found.labels > 0) == (~excluded & (np.arange(96) < 48)[:, np.newaxis])).all()
    assert found.notes == (QUARTER,)


@pytest.mark.usefixtures("quick")
def test_what_was_stopped_has_no_views_to_agree(steel: SyntheticMicrograph) -> None:
    found = segment(steel.image, "auto", on_rows=StopAfter(1))
    assert ((found.labels > 0) == LABELLED).all()
    assert found.stopped
    assert QUARTER in found.notes
    assert (found.views, found.agreement, found.mean_agreement) == ((), None, None)
    assert all(row.uncertainty is None for row in found.classes)


@pytest.mark.usefixtures("quick")
def test_who_does_not_stop_the_work_gets_no_note_of_it(steel: SyntheticMicrograph) -> None:
    found = segment(steel.image, settings=TWO, on_rows=StopAfter(5))  # there are four blocks
    assert not found.stopped
    assert found.notes == ()


def test_stopped_in_paper_mode_labels_with_what_is_learned() -> None:
    found = segment(stripes(), settings=SMALL, on_step=StopAfter(3))
    expected = segment(stripes(), settings=replace(SMALL, max_iterations=3))
    assert (training_of(found).stop_reason, found.stopped) == ("stopped", True)
    assert steps_of(found) == steps_of(expected)
    assert len(steps_of(found)) == 3
    assert found.labels.tobytes() == expected.labels.tobytes()
    assert (found.classes, found.criteria) == (expected.classes, expected.criteria)
    assert "stopped before training had ended" in found.notes
    assert not expected.stopped
    assert not any("stopped before" in note for note in expected.notes)
    assert found.excluded_fraction == 0


def test_paper_repeats_end_with_the_first_that_is_stopped() -> None:
    small = replace(PAPER, n_classes=2, n_filters=6, n_responses=5, max_iterations=5, device="cpu")
    steps = []

    def stop(step: Step) -> None:
        steps.append(step)
        raise Stopped("stopped")

    found = segment(BLOCKS.image[:64, :64], settings=replace(small, repeats=2), on_step=stop)
    assert len(steps) == 1
    assert found.stopped
    assert found.notes[0] == "stopped before training had ended"
