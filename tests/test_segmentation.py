"""The result: one tree of classes, cut at any number without another training."""

from dataclasses import replace

import numpy as np
import pytest

from nital.criteria import evaluate, measure_regions
from nital.errors import InputError, SettingError
from nital.micrograph import LargeMicrograph, Micrograph
from nital.segmentation import Segmentation
from nital.segmenter import segment
from nital.settings import FAST, PAPER
from nital.synthetic import synthesize

QUICK = replace(FAST, n_filters=8, n_responses=8, max_iterations=40, device="cpu")


@pytest.fixture(scope="module")
def micrograph() -> Micrograph:
    fractions = {"ferrite": 0.6, "martensite": 0.4}
    image = synthesize((96, 120), fractions, grain_size=20).image
    excluded = np.zeros(image.shape[:2], bool)
    excluded[:, :9] = True
    return Micrograph.from_array(image, excluded=excluded)


@pytest.fixture(scope="module")
def result(micrograph: Micrograph) -> Segmentation:
    return segment(micrograph, 3, settings=QUICK)


@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_another_number_is_what_segment_gives_for_it(
    micrograph: Micrograph, result: Segmentation, k: int
) -> None:
    found, expected = result.at(k), segment(micrograph, k, settings=QUICK)
    assert (found.labels == expected.labels).all()
    assert found == replace(expected, labels=found.labels)
    assert found.labels is not result.labels


def test_numbers_are_cuts_of_one_tree(result: Segmentation) -> None:
    for k in range(8, 2, -1):
        finer, coarser = result.at(k), result.at(k - 1)
        pairs = np.unique(np.stack([finer.labels.ravel(), coarser.labels.ravel()]), axis=1)
        assert pairs.shape[1] == finer.n_classes + 1  # each of them, and 0, has one parent


def test_fine_classes_are_numbered_and_measured(
    micrograph: Micrograph, result: Segmentation
) -> None:
    assert result.fine is not None
    labels, statistics = result.fine.labels, result.fine.statistics
    n = len(result.fine.classes)
    assert set(np.unique(labels)) == set(range(n + 1))
    assert ((labels == 0) == micrograph.excluded).all()
    expected = measure_regions(micrograph.pixels, labels)
    assert (statistics.areas == expected.areas).all()
    greys = [row.mean_grey for row in result.fine.classes]
    assert greys == sorted(greys)


def test_each_fine_class_is_in_one_class(result: Segmentation) -> None:
    assert result.fine is not None
    for number, label in enumerate(result.fine.classes_in(result.labels), start=1):
        assert set(result.labels[result.fine.labels == number]) == {label}


def test_criteria_of_components_are_those_of_the_map(micrograph: Micrograph) -> None:
    found = segment(micrograph, 3, settings=replace(QUICK, regions="components")).at(2)
    expected = evaluate(micrograph.pixels, found.labels, regions="components")
    assert found.criteria == expected


def test_where_there_are_no_fine_classes(micrograph: Micrograph) -> None:
    paper = segment(micrograph, settings=replace(PAPER, n_filters=6, max_iterations=2))
    image = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    large = LargeMicrograph.scan(lambda rows, cols: image[rows, cols], image.shape)
    out = np.empty(micrograph.shape, np.uint8)
    for found in (
        paper,
        segment(large, settings=QUICK),
        segment(micrograph, settings=QUICK, out=out),
    ):
        assert found.fine is None
        with pytest.raises(InputError, match=r"at\(2\): .*segment again with n_classes=2"):
            found.at(2)


def test_a_number_out_of_range(result: Segmentation) -> None:
    with pytest.raises(SettingError, match="n_classes 9"):
        result.at(9)
    with pytest.raises(SettingError, match="n_classes 1"):
        result.at(1)
