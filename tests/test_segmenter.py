"""The front door: any array in, numbered classes out, the same from the same seed."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nital import fast, sampling
from nital.agreement import compare
from nital.classes import tabulate_classes
from nital.criteria import evaluate, measure_regions
from nital.errors import InputError, SettingError
from nital.micrograph import LargeMicrograph, Micrograph
from nital.sampling import Sample
from nital.segmentation import Segmentation
from nital.segmenter import prepare, segment
from nital.settings import FAST, PAPER, Settings
from nital.superpixels import find_superpixels
from nital.synthetic import SyntheticMicrograph, synthesize
from nital.training import Batch, Step

SMALL = replace(PAPER, n_classes=2, n_filters=12, n_responses=8, max_iterations=30, device="cpu")
QUICK = replace(FAST, n_classes=2, n_filters=8, n_responses=8, device="cpu")
COMPONENTS = replace(QUICK, regions="components", max_iterations=5)


def stripes(seed: int = 0) -> NDArray[np.uint8]:
    """Dark and bright stripes of 8 pixels with noise: 32 x 40, RGB."""
    rng = np.random.default_rng(seed)
    level = np.where(np.arange(40) // 8 % 2, 190, 60)[np.newaxis, :, np.newaxis]
    return (level + rng.normal(0, 12, (32, 40, 3))).clip(0, 255).astype(np.uint8)


def test_two_constituents_are_told_apart() -> None:
    result = segment(stripes(), settings=SMALL)
    bright = stripes().mean(axis=2) > 125
    found = result.labels == result.labels.max()
    assert result.labels.shape == (32, 40)
    assert result.labels.dtype == np.uint8
    assert (found == bright).mean() > 0.85
    assert result.stop_reason == "n_classes"


def test_the_result_is_consistent() -> None:
    result = segment(stripes(), settings=SMALL)
    assert [row.label for row in result.classes] == list(range(1, result.n_classes + 1))
    assert set(np.unique(result.labels)) == {row.label for row in result.classes}
    assert sum(row.area_fraction for row in result.classes) == pytest.approx(1)
    greys = [row.mean_grey for row in result.classes]
    assert greys == sorted(greys)
    assert result.criteria == evaluate(Micrograph.from_array(stripes()).pixels, result.labels)
    assert [step.iteration for step in result.history] == list(range(1, len(result.history) + 1))
    assert result.settings.n_superpixels == 64
    assert set(result.seconds) >= {"superpixels", "training", "prediction", "criteria"}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    first, again = (segment(stripes(), settings=SMALL, seed=3) for _ in range(2))
    other = segment(stripes(), settings=SMALL, seed=4)
    assert first.labels.tobytes() == again.labels.tobytes()
    assert first == replace(again, labels=first.labels)
    assert [step.loss for step in first.history] != [step.loss for step in other.history]


def test_threads_side_by_side_do_not_disturb_each_other() -> None:
    expected = segment(stripes(), settings=replace(SMALL, threads=1)).labels
    found: list[NDArray[np.generic]] = []

    def run() -> None:
        found.append(segment(stripes(), settings=replace(SMALL, threads=1)).labels)

    workers = [threading.Thread(target=run) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 3
    assert all((labels == expected).all() for labels in found)


def test_watching_does_not_alter_the_result() -> None:
    seen: list[Step] = []
    watched = segment(stripes(), settings=SMALL, on_step=seen.append)
    assert tuple(seen) == watched.history
    assert (watched.labels == segment(stripes(), settings=SMALL).labels).all()


def test_nothing_global_is_changed() -> None:
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    for settings in (SMALL, QUICK):
        settings = replace(settings, threads=threads + 1, max_iterations=2)
        used = segment(stripes(), settings=settings)
        assert used.settings.threads == threads + 1
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_num_threads() == threads


def test_excluded_pixels_get_label_0_and_count_nowhere() -> None:
    image = stripes()
    image[:, -8:] = 255
    excluded = np.zeros((32, 40), bool)
    excluded[:, -8:] = True
    result = segment(image, settings=SMALL, excluded=excluded)
    assert ((result.labels == 0) == excluded).all()
    assert sum(row.n_pixels for row in result.classes) == 32 * 32
    assert sum(row.area_fraction for row in result.classes) == pytest.approx(1)


def test_superpixels_at_hand_are_used() -> None:
    pixels = Micrograph.from_array(stripes()).pixels
    superpixels = find_superpixels(pixels, n_superpixels=64)
    expected = segment(stripes(), settings=replace(SMALL, n_superpixels=64))
    found = segment(stripes(), settings=replace(SMALL, n_superpixels=64), prepared=superpixels)
    assert (found.labels == expected.labels).all()
    prepared = prepare(Micrograph.from_array(stripes()), SMALL)
    assert isinstance(prepared, np.ndarray)
    assert (prepared == superpixels).all()


KINDS = ("grey", "alpha", "uint16", "float", "micrograph")


def stripes_as(kind: str) -> NDArray[np.generic] | Micrograph:
    """The same stripes, as another kind of image."""
    image = stripes()
    opaque = np.full((32, 40, 1), 255, np.uint8)
    return {
        "grey": image[..., 0],
        "alpha": np.dstack([image, opaque]),
        "uint16": image.astype(np.uint16) * 257,
        "float": image / 255,
        "micrograph": Micrograph.from_array(image),
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_image(kind: str) -> None:
    image, made = stripes(), stripes_as(kind)
    result = segment(made, settings=SMALL)
    assert 1 <= result.n_classes <= 8
    if kind in ("alpha", "micrograph"):
        assert (result.labels == segment(image, settings=SMALL).labels).all()


def result_with(labels: NDArray[np.uint8], **change: object) -> Segmentation:
    """A result of the stripes with another label map."""
    result = segment(stripes(), settings=SMALL)
    classes = tabulate_classes(measure_regions(Micrograph.from_array(stripes()).pixels, labels))
    return replace(result, labels=labels, classes=classes, **change)  # type: ignore[arg-type]


def test_notes_say_what_disappoints() -> None:
    one = np.ones((32, 40), np.uint8)
    assert any("1 classes instead of the 2 asked for" in note for note in result_with(one).notes)

    three = one.copy()
    three[0], three[1] = 2, 3
    notes = result_with(three).notes
    assert any("3 classes instead of the 2" in n and "updated" in n for n in notes)
    notes = result_with(three, stop_reason="max_iterations").notes
    assert any("3 classes instead of the 2" in n and "limit of 30 iterations" in n for n in notes)

    tiny = one.copy()
    tiny[0, 0] = 2
    (note,) = result_with(tiny).notes
    assert note.startswith("class 2 has only 1 of 1280 pixels")

    (note,) = result_with(np.repeat(three[:2], 16, axis=0).clip(2) - 1, n_superpixels=1000).notes
    assert note.startswith("superpixels of 1.3 pixels")

    (note,) = result_with(np.repeat(three[:2], 16, axis=0).clip(2) - 1, n_superpixels=31).notes
    assert note.startswith("SLIC gave 31 superpixels instead of the 64 asked for")


def test_errors() -> None:
    with pytest.raises(InputError, match=r"4 x 40 pixels.*5 x 5"):
        segment(stripes()[:4], settings=SMALL)
    with pytest.raises(SettingError, match="n_classes 9"):
        segment(stripes(), n_classes=9, settings=SMALL)
    with pytest.raises(SettingError, match="n_superpixels 2000"):
        segment(stripes(), settings=replace(SMALL, n_superpixels=2000))
    with pytest.raises(InputError, match=r"\(3, 3\).*\(32, 40\)"):
        segment(stripes(), settings=SMALL, prepared=np.zeros((3, 3), np.int64))
    with pytest.raises(InputError, match="excluded area of its own"):
        segment(Micrograph.from_array(stripes()), excluded=np.zeros((32, 40), bool))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("settings", [SMALL, QUICK], ids=["paper", "fast"])
def test_cuda_repeats_itself(settings: Settings) -> None:
    settings = replace(settings, device="cuda")
    first, again = (segment(stripes(), settings=settings) for _ in range(2))
    assert first.labels.tobytes() == again.labels.tobytes()


# --- fast mode ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steel() -> SyntheticMicrograph:
    return synthesize((96, 96), {"ferrite": 0.65, "pearlite": 0.35}, grain_size=24, seed=1)


@pytest.fixture(scope="module")
def result(steel: SyntheticMicrograph) -> Segmentation:
    return segment(steel.image, settings=QUICK)


def same_result(first: Segmentation, second: Segmentation) -> bool:
    """The same labels, byte for byte, and all else the same."""
    bytes_alike = first.labels.tobytes() == second.labels.tobytes()
    return bytes_alike and first == replace(second, labels=first.labels)


def test_fast_mode_is_the_default(steel: SyntheticMicrograph) -> None:
    first = segment(steel.image[:64, :64], 2, seed=3)
    assert first.settings.mode == "fast"
    assert same_result(
        first, segment(steel.image[:64, :64], settings=replace(FAST, n_classes=2, seed=3))
    )


def test_pearlite_is_told_from_ferrite(steel: SyntheticMicrograph, result: Segmentation) -> None:
    assert result.stop_reason == "settled"
    assert compare(result.labels, steel.truth).mean_iou > 0.85


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
    assert [step.iteration for step in result.history] == list(range(1, len(result.history) + 1))
    assert result.settings.n_superpixels == 96 * 96 // 20
    assert result.sampled_fraction == 1
    assert result.notes == ()
    assert set(result.seconds) >= {"superpixels", "training", "prediction", "classes", "criteria"}


@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_exactly_as_many_classes_as_asked_for(steel: SyntheticMicrograph, k: int) -> None:
    found = segment(steel.image, k, settings=replace(QUICK, max_iterations=20))
    assert found.n_classes == k
    assert found.stop_reason == "max_iterations"  # not the paper's, on counting k
    assert np.unique(found.labels).tolist() == list(range(1, k + 1))


def test_balanced_targets_keep_the_fine_classes_apart(steel: SyntheticMicrograph) -> None:
    # The majority rule has left 6 of the 24 by then.
    found = segment(steel.image, settings=replace(QUICK, n_responses=24, max_iterations=100))
    assert found.history[-1].n_classes > 12


def test_the_seed_sets_first_weights_and_what_is_drawn(steel: SyntheticMicrograph) -> None:
    seeds: list[int] = []

    class Watched(Sample):
        def batches(self, seed: int, device: torch.device) -> Iterator[Batch]:
            seeds.append(seed)
            return super().batches(5, device)

    prepared = Watched(**vars(prepare(Micrograph.from_array(steel.image), QUICK)))
    settings = replace(QUICK, max_iterations=1)
    first, other = (
        segment(steel.image, settings=settings, seed=s, prepared=prepared) for s in (5, 6)
    )
    assert seeds == [5, 6]
    assert first.history == segment(steel.image, settings=settings, seed=5).history
    assert first.history != other.history  # of the same batch: the weights differ


def test_classes_differ_in_number_only_where_they_are_joined(steel: SyntheticMicrograph) -> None:
    few, more = (
        segment(steel.image, k, settings=replace(QUICK, max_iterations=20)) for k in (2, 4)
    )
    assert few.history == more.history
    pairs = set(zip(more.labels.flat, few.labels.flat, strict=True))
    assert len(pairs) == 4  # each of the four lies in one of the two


def test_the_same_seed_gives_the_same_bytes_in_fast_mode(
    steel: SyntheticMicrograph, result: Segmentation
) -> None:
    assert same_result(result, segment(steel.image, settings=QUICK))
    other = segment(steel.image, settings=QUICK, seed=1)
    assert [step.loss for step in other.history] != [step.loss for step in result.history]
    assert not (other.labels == result.labels).all()


def test_seeds_agree_on_what_is_there(steel: SyntheticMicrograph, result: Segmentation) -> None:
    other = segment(steel.image, settings=QUICK, seed=1)
    assert (other.labels == result.labels).mean() > 0.9


def test_more_training_than_until_settled_changes_next_to_nothing(
    steel: SyntheticMicrograph, result: Segmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "TOLERANCE", -1)
    n_steps = len(result.history) + 50
    longer = segment(steel.image, settings=replace(QUICK, max_iterations=n_steps))
    assert (len(longer.history), longer.stop_reason) == (n_steps, "max_iterations")
    assert longer.history[: len(result.history)] == result.history
    assert (longer.labels != result.labels).mean() < 0.01


def test_fast_mode_gives_excluded_pixels_label_0(steel: SyntheticMicrograph) -> None:
    excluded = np.zeros((96, 96), bool)
    excluded[:, 60:] = True
    image = np.where(excluded, 1, steel.image)
    found = segment(image, settings=QUICK, excluded=excluded)
    assert ((found.labels == 0) == excluded).all()
    assert found.n_classes == 2
    assert sum(row.n_pixels for row in found.classes) == 96 * 60
    assert sum(row.area_fraction for row in found.classes) == pytest.approx(1)
    assert found.excluded_fraction == pytest.approx(36 / 96)
    assert found.sampled_fraction == 1


def test_what_excluded_pixels_show_out_of_sight_has_no_say(
    steel: SyntheticMicrograph,
) -> None:
    # SLIC sees what is excluded, so superpixels are found once.
    excluded = np.zeros((96, 96), bool)
    excluded[:, 60:] = True
    settings = replace(QUICK, max_iterations=20)
    first = Micrograph.from_array(steel.image, excluded=excluded)
    prepared = prepare(first, settings)
    changed = steel.image.copy()
    changed[:, 62:] = 0.5
    other = Micrograph.from_array(changed, excluded=excluded)
    found = [segment(each, settings=settings, prepared=prepared) for each in (first, other)]
    assert same_result(*found)


def test_fast_labels_do_not_depend_on_the_number_of_threads(
    steel: SyntheticMicrograph, result: Segmentation
) -> None:
    found = [segment(steel.image, settings=replace(QUICK, threads=n)) for n in (1, 2, 5)]
    assert all((each.labels == result.labels).all() for each in found)
    assert all(each.history == result.history for each in found)


def test_labels_are_written_where_they_are_wanted(
    steel: SyntheticMicrograph, result: Segmentation, tmp_path: Path
) -> None:
    room = np.full((96, 96), 77, np.uint8)
    found = segment(steel.image, settings=QUICK, out=room)
    assert found.labels is room
    assert same_result(found, result)
    mapped = np.memmap(tmp_path / "labels", np.uint8, "w+", shape=(96, 96))
    found = segment(steel.image, settings=QUICK, out=mapped)
    assert found.labels is mapped
    assert (np.fromfile(tmp_path / "labels", np.uint8) == result.labels.ravel()).all()


def test_many_responses_need_larger_labels(steel: SyntheticMicrograph) -> None:
    settings = replace(QUICK, n_filters=4, max_iterations=2)
    for n_responses, kind in ((255, np.uint8), (256, np.uint16)):
        found = segment(steel.image, settings=replace(settings, n_responses=n_responses))
        assert found.labels.dtype == kind
        assert found.n_classes == 2


def test_what_is_prepared_is_shared(steel: SyntheticMicrograph, result: Segmentation) -> None:
    sample = prepare(Micrograph.from_array(steel.image), QUICK)
    assert isinstance(sample, Sample)
    shared = segment(steel.image, settings=QUICK, prepared=sample)
    assert same_result(shared, result)
    again = segment(steel.image, 3, seed=1, settings=QUICK, prepared=sample)
    assert same_result(again, segment(steel.image, 3, seed=1, settings=QUICK))


def test_what_is_prepared_for_the_other_mode_is_refused() -> None:
    micrograph = Micrograph.from_array(stripes())
    for settings, other in ((SMALL, QUICK), (QUICK, SMALL)):
        with pytest.raises(InputError, match=f"prepared: not for mode {settings.mode}"):
            segment(micrograph, settings=settings, prepared=prepare(micrograph, other))


@pytest.mark.parametrize("settings", [SMALL, QUICK], ids=["paper", "fast"])
def test_what_is_prepared_on_another_image_is_refused(settings: Settings) -> None:
    prepared = prepare(Micrograph.from_array(stripes()), settings)
    with pytest.raises(InputError, match=r"on an image of shape \(32, 40\), not \(30, 40\)"):
        segment(stripes()[:30], settings=settings, prepared=prepared)


def test_what_is_prepared_for_another_number_of_layers_is_refused() -> None:
    micrograph = Micrograph.from_array(stripes())
    prepared = prepare(micrograph, replace(QUICK, n_layers=3))
    with pytest.raises(InputError, match="patches of 7 x 7 pixels, not for 2 layers"):
        segment(micrograph, settings=QUICK, prepared=prepared)


@pytest.mark.parametrize(
    ("shape", "kind", "settings", "said"),
    [
        ((32, 41), np.uint8, QUICK, r"shape \(32, 41\), kind uint8; needs \(32, 40\) and uint8"),
        ((32, 40), np.int64, QUICK, "kind int64; needs"),
        ((32, 40), np.uint8, SMALL, "mode paper makes an array of its own"),
    ],
)
def test_a_place_for_labels_that_does_not_fit_is_refused(
    shape: tuple[int, int], kind: type, settings: Settings, said: str
) -> None:
    steps: list[Step] = []
    with pytest.raises(InputError, match=said):
        segment(stripes(), settings=settings, out=np.zeros(shape, kind), on_step=steps.append)
    assert not steps


def test_bands_give_the_labels_of_the_whole(
    result: Segmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(0).random((300, 40)) + np.linspace(0, 2, 40).round()
    settings = replace(QUICK, max_iterations=10)
    rows: list[int] = []
    whole = segment(image, settings=settings, on_rows=rows.append)
    assert rows == [300]
    monkeypatch.setattr(fast, "BAND_PIXELS", 1)
    banded = segment(image, settings=settings, on_rows=rows.append)
    assert rows[1:] == [128, 256, 300]
    assert (banded.labels == whole.labels).all()
    assert banded.criteria.F == pytest.approx(whole.criteria.F)
    for row, other in zip(banded.classes, whole.classes, strict=True):
        assert row.n_pixels == other.n_pixels
        assert row.mean_grey == pytest.approx(other.mean_grey)


def test_watching_does_not_alter_a_fast_result(
    steel: SyntheticMicrograph, result: Segmentation
) -> None:
    steps: list[Step] = []
    rows: list[int] = []
    watched = segment(steel.image, settings=QUICK, on_step=steps.append, on_rows=rows.append)
    assert tuple(steps) == watched.history
    assert rows == [96]
    assert same_result(watched, result)


def test_components_are_measured_on_the_whole_map(steel: SyntheticMicrograph) -> None:
    found = segment(steel.image, settings=COMPONENTS)
    pixels = Micrograph.from_array(steel.image).pixels
    assert found.criteria == evaluate(pixels, found.labels, regions="components")


@pytest.mark.parametrize("kind", KINDS)
def test_fast_mode_takes_any_kind_of_image(kind: str) -> None:
    image, made = stripes(), stripes_as(kind)
    settings = replace(QUICK, max_iterations=10)
    found = segment(made, settings=settings)
    assert found.n_classes == 2
    if kind in ("alpha", "micrograph"):
        assert (found.labels == segment(image, settings=settings).labels).all()


def test_threads_side_by_side_do_not_disturb_each_other_in_fast_mode() -> None:
    settings = replace(QUICK, threads=1, max_iterations=10)
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


def test_a_limit_of_iterations_ends_fast_mode_as_well(steel: SyntheticMicrograph) -> None:
    found = segment(steel.image, settings=replace(QUICK, max_iterations=7))
    assert (len(found.history), found.stop_reason) == (7, "max_iterations")


def test_nothing_but_the_excluded(steel: SyntheticMicrograph) -> None:
    image = np.dstack([stripes(), np.zeros((32, 40), np.uint8)])
    large = LargeMicrograph.scan(lambda rows, cols: image[rows, cols], (32, 40))
    with pytest.raises(InputError, match="every pixel is excluded"):
        segment(large, settings=QUICK)


# --- notes of fast mode -------------------------------------------------------------------------


def test_fewer_classes_than_asked_for_are_told() -> None:
    flat = np.zeros((20, 24), np.uint8)
    flat[:, 12:] = 200
    found = segment(flat, settings=replace(QUICK, n_classes=8, max_iterations=30))
    assert 2 <= found.n_classes < 8
    said = f"{found.n_classes} classes instead of the 8 asked for: nothing else could be told apart"
    assert said in found.notes


def test_fast_notes_speak_of_the_sample(result: Segmentation) -> None:
    tenth = replace(result, sampled_fraction=0.1, n_superpixels=46)  # of 460 asked for
    assert tenth.notes == ()
    (note,) = replace(tenth, n_superpixels=22).notes
    assert note.startswith("SLIC gave 22 superpixels instead of the 46 asked for")
    (note,) = replace(tenth, n_superpixels=400).notes
    assert note.startswith("superpixels of 2.3 pixels on average")


def test_an_excluded_area_gives_no_note(steel: SyntheticMicrograph) -> None:
    excluded = np.zeros((96, 96), bool)
    excluded[:64] = True
    found = segment(steel.image, settings=QUICK, excluded=excluded)
    assert found.notes == ()


# --- large micrographs --------------------------------------------------------------------------


def where_it_lies(image: NDArray[np.generic]) -> LargeMicrograph:
    return LargeMicrograph.scan(lambda rows, cols: image[rows, cols], image.shape[:2], name="x")


@pytest.mark.parametrize("sample_pixels", [2**18, 2**13])
@pytest.mark.parametrize("kind", ["grey", "uint16", "transparent"])
def test_a_large_micrograph_gives_the_labels_of_its_pixels(
    kind: str, sample_pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_PIXELS", sample_pixels)
    monkeypatch.setattr(fast, "BAND_PIXELS", 1)
    grey = np.round(255 * synthesize((150, 140), grain_size=24, seed=2).image).astype(np.uint8)
    image: NDArray[np.generic] = grey
    if kind == "uint16":
        image = grey.astype(np.uint16) * 16
    elif kind == "transparent":
        image = np.dstack(
            [grey, np.where(np.arange(140) < 100, 255, 0).repeat(150).reshape(140, 150).T]
        )
        image = image.astype(np.uint8)
    settings = replace(QUICK, max_iterations=20)
    found = segment(where_it_lies(image), settings=settings)
    expected = segment(Micrograph.from_array(image), settings=settings)
    assert same_result(found, expected)
    assert found.sampled_fraction == 1 if sample_pixels == 2**18 else found.sampled_fraction < 0.6


@pytest.mark.parametrize(
    ("settings", "value", "needed"),
    [(SMALL, "mode 'paper'", "fast"), (COMPONENTS, "regions 'components'", "classes")],
)
def test_what_needs_the_whole_image_is_refused_of_a_large_one(
    settings: Settings, value: str, needed: str
) -> None:
    said = rf"^{value}: needs the whole of x \(32 x 40 pixels\) in memory; use '{needed}'"
    with pytest.raises(SettingError, match=said):
        segment(where_it_lies(stripes()), settings=settings)


def test_other_checks_are_made_of_a_large_one_too() -> None:
    with pytest.raises(InputError, match=r"^x: 4 x 40 pixels.*5 x 5"):
        segment(where_it_lies(stripes()[:4]), settings=QUICK)
    with pytest.raises(SettingError, match="n_superpixels 2000"):
        segment(where_it_lies(stripes()), settings=replace(QUICK, n_superpixels=2000))
    with pytest.raises(InputError, match="excluded area of its own"):
        segment(where_it_lies(stripes()), excluded=np.zeros((32, 40), bool))
