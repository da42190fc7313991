"""Fast mode: what is trained together is what is trained alone; labels in one pass."""

from dataclasses import replace

import numpy as np
import pytest

from nital import fast
from nital.criteria import measure_regions
from nital.fast import find_fine_classes, train_on_sample
from nital.micrograph import LUMINANCE, Micrograph
from nital.prediction import label_window
from nital.sampling import Sample
from nital.segmenter import prepare, resolve, segment, segment_each
from nital.settings import FAST, Settings
from nital.synthetic import synthesize

SEEDS = [4, 5, 9]


@pytest.fixture(scope="module")
def micrograph() -> Micrograph:
    fractions = {"ferrite": 0.6, "martensite": 0.4}
    return Micrograph.from_array(synthesize((96, 120), fractions, grain_size=20).image)


@pytest.fixture(scope="module")
def settings(micrograph: Micrograph) -> Settings:
    quick = replace(FAST, n_classes=2, n_filters=8, n_responses=8, device="cpu")
    return resolve(replace(quick, max_iterations=40), micrograph)


@pytest.fixture(scope="module")
def sample(micrograph: Micrograph, settings: Settings) -> Sample:
    found = prepare(micrograph, settings)
    assert isinstance(found, Sample)
    return found


def everything(micrograph: Micrograph) -> tuple[slice, slice]:
    return slice(0, micrograph.shape[0]), slice(0, micrograph.shape[1])


def test_seeds_trained_as_one_batch_are_those_trained_alone(
    micrograph: Micrograph, settings: Settings, sample: Sample
) -> None:
    together = train_on_sample(sample, settings, SEEDS)
    for seed, trained in zip(SEEDS, together, strict=True):
        (alone,) = train_on_sample(sample, settings, [seed])
        assert trained.training.stop_reason == alone.training.stop_reason
        losses = ([step.loss for step in each.training.steps[:6]] for each in (trained, alone))
        assert next(losses) == pytest.approx(next(losses), rel=1e-3)
        (_, found), (_, expected) = (
            label_window(each.network, micrograph, *everything(micrograph))
            for each in (trained, alone)
        )
        # Rounding tips a superpixel here and there from one class to another.
        assert np.mean(found != expected) < 0.05


def test_fine_classes_are_measured_as_they_are_labelled(
    micrograph: Micrograph, settings: Settings, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "BAND_PIXELS", 1)
    (trained,) = train_on_sample(sample, settings, [0])
    rows: list[int] = []
    found = find_fine_classes(trained.network, micrograph, settings, on_rows=rows.append)
    assert rows == [96]
    assert found.labels.shape == micrograph.shape
    expected = measure_regions(micrograph.pixels, found.labels)
    assert (expected.areas > 0).all()
    assert (np.diff(expected.means @ LUMINANCE) >= 0).all()  # from dark to bright
    _, raw = label_window(trained.network, micrograph, *everything(micrograph))
    assert len(np.unique(raw)) == len(np.unique(raw + 256 * found.labels.astype(int)))
    assert (found.statistics.areas == expected.areas).all()
    assert np.allclose(found.statistics.means, expected.means)


def test_each_of_several_settings_gives_what_it_gives_alone(
    micrograph: Micrograph, settings: Settings, sample: Sample
) -> None:
    # One seed at a time, where even the rounding is the same.
    for seed in SEEDS:
        wanted = [replace(settings, seed=seed, n_classes=k) for k in (3, 2)]
        for found, own in zip(
            segment_each(micrograph, wanted, prepared=sample), wanted, strict=True
        ):
            expected = segment(micrograph, settings=own, prepared=sample)
            assert found == replace(expected, labels=found.labels)
            assert (found.labels == expected.labels).all()


def test_several_seeds_come_seed_by_seed(
    micrograph: Micrograph, settings: Settings, sample: Sample
) -> None:
    wanted = [replace(settings, seed=seed, n_classes=k) for k in (2, 3) for seed in SEEDS]
    found = list(segment_each(micrograph, wanted, prepared=sample))
    assert [(each.settings.seed, each.settings.n_classes) for each in found] == [
        (seed, k) for seed in SEEDS for k in (2, 3)
    ]
    for each in found:
        alone = segment(micrograph, settings=each.settings, prepared=sample)
        assert np.mean(each.labels != alone.labels) < 0.05
