"""The front door: any array in, numbered classes out, the same from the same seed."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import nital
from nital.criteria import evaluate
from nital.errors import InputError, SettingError
from nital.micrograph import Micrograph
from nital.segmenter import Segmentation, resolve_device, segment
from nital.settings import PAPER
from nital.superpixels import find_superpixels
from nital.training import Step

SMALL = replace(PAPER, n_classes=2, n_filters=12, n_responses=8, max_iterations=30, device="cpu")


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
    segment(stripes(), settings=replace(SMALL, threads=1))
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
    found = segment(stripes(), settings=replace(SMALL, n_superpixels=64), superpixels=superpixels)
    assert (found.labels == expected.labels).all()


@pytest.mark.parametrize("kind", ["grey", "alpha", "uint16", "float", "micrograph"])
def test_any_kind_of_image(kind: str) -> None:
    image = stripes()
    opaque = np.full((32, 40, 1), 255, np.uint8)
    made = {
        "grey": image[..., 0],
        "alpha": np.dstack([image, opaque]),
        "uint16": image.astype(np.uint16) * 257,
        "float": image / 255,
        "micrograph": Micrograph.from_array(image),
    }[kind]
    result = segment(made, settings=SMALL)
    assert 1 <= result.n_classes <= 8
    if kind in ("alpha", "micrograph"):
        assert (result.labels == segment(image, settings=SMALL).labels).all()


def result_with(labels: NDArray[np.uint8], **change: object) -> Segmentation:
    """A result of the stripes with another label map."""
    result = segment(stripes(), settings=SMALL)
    classes = nital.classes.tabulate_classes(labels, Micrograph.from_array(stripes()).grey)
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
        segment(stripes(), settings=SMALL, superpixels=np.zeros((3, 3), np.int64))
    with pytest.raises(InputError, match="excluded area of its own"):
        segment(Micrograph.from_array(stripes()), excluded=np.zeros((32, 40), bool))


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(SettingError, match="'cuda': not on this machine; use one of auto, cpu"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto").type == "cuda"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_cuda_repeats_itself() -> None:
    settings = replace(SMALL, device="cuda")
    first, again = (segment(stripes(), settings=settings) for _ in range(2))
    assert first.labels.tobytes() == again.labels.tobytes()
