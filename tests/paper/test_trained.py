"""The trained network: training with the given settings, any number of classes, recovery."""

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from helpers.divided import divided
from nital.errors import SettingError, Stopped
from nital.image.micrograph import Micrograph
from nital.paper import trained as module
from nital.paper.batches import WholeImage
from nital.paper.course import PaperDetails, Step, Training
from nital.paper.device import using_threads
from nital.paper.labelling import label, predict
from nital.paper.network import Network
from nital.paper.settings import PAPER, PaperSettings
from nital.paper.superpixels import Superpixels
from nital.paper.trained import Repeats, TrainedNetwork
from nital.paper.training import Trainer
from nital.result.classes import tabulate_classes
from nital.result.criteria import RegionStatistics, criteria_of, measure_regions
from nital.result.joining import Joining
from nital.result.segmentation import Segmentation

SMALL = replace(
    PAPER, n_filters=6, n_responses=5, max_iterations=4, device="cpu", threads=1, n_superpixels=9
)


def micrograph() -> Micrograph:
    """A dark and a bright half with noise, the first two columns excluded."""
    pixels = np.random.default_rng(0).random((12, 15, 3), dtype=np.float32)
    pixels /= 4
    pixels[:, 8:] += 0.7
    excluded = np.zeros((12, 15), bool)
    excluded[:, :2] = True
    return Micrograph(pixels, excluded, (0.0, 1.0))


def superpixels() -> Superpixels:
    """Squares of 4 x 5 pixels."""
    rows, cols = np.mgrid[:12, :15]
    return divided(rows // 4 * 3 + cols // 5)


def found(settings: PaperSettings, **callbacks: Any) -> Segmentation:
    network = TrainedNetwork(micrograph(), superpixels(), settings)
    return network.segment(int(settings.n_classes), **callbacks)


def training_of(result: Segmentation) -> Training:
    assert isinstance(result.details, PaperDetails)
    assert result.details.training is not None
    return result.details.training


def same(one: Segmentation, other: Segmentation) -> bool:
    return training_of(one) == training_of(other) and (one.labels == other.labels).all()


def by_hand(seed: int) -> tuple[Training, NDArray[np.int64]]:
    """A network of the size in `SMALL`, trained and applied on as many threads."""
    network = Network(n_filters=6, n_layers=2, n_responses=5, seed=seed)
    with using_threads(1):
        batches = WholeImage(micrograph(), superpixels(), torch.device("cpu"))
        trainer = Trainer(network, batches, max_iterations=4, learning_rate=0.1, momentum=0.9)
        return trainer.train_to(3), predict(network, micrograph().pixels)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_a_network_trained_with_the_settings_then_asked(seed: int) -> None:
    result = found(replace(SMALL, seed=seed, exact=True))
    expected, raw = by_hand(seed)
    assert training_of(result) == expected
    included = ~micrograph().excluded
    pairs = np.unique(np.stack([result.labels[included], raw[included]]), axis=1)
    assert len(pairs.T) == len(np.unique(raw[included])) == result.n_classes
    assert by_hand(1 - seed)[0] != expected


def test_classes_are_numbered_from_dark_to_bright_and_excluded_pixels_are_0() -> None:
    result = found(SMALL)
    grey = [row.mean_grey for row in result.classes]
    assert grey == sorted(grey, key=float)  # type: ignore[arg-type]
    assert ((result.labels == 0) == micrograph().excluded).all()
    assert [row.label for row in result.classes] == list(range(1, result.n_classes + 1))
    assert result.labels.dtype == np.uint8


@pytest.mark.parametrize("n_responses", [255, 300])
def test_more_responses_than_bytes(n_responses: int) -> None:
    result = found(replace(SMALL, n_responses=n_responses, max_iterations=1))
    assert result.labels.dtype == np.uint8
    assert result.n_classes == result.labels.max() == len(np.unique(result.labels)) - 1


@pytest.mark.parametrize(
    "change",
    [
        {"n_layers": 1},
        {"n_filters": 5},
        {"n_responses": 6},
        {"learning_rate": 0.2},
        {"momentum": 0.5},
        {"max_iterations": 3},
        {"n_classes": 5},
    ],
    ids=str,
)
def test_every_setting_of_the_training_matters(change: dict[str, Any]) -> None:
    before = training_of(found(replace(SMALL, n_classes=2)))
    assert training_of(found(replace(SMALL, **({"n_classes": 2} | change)))) != before


@pytest.mark.parametrize("exact", [False, True])
def test_it_repeats(exact: bool) -> None:
    assert same(found(replace(SMALL, exact=exact)), found(replace(SMALL, exact=exact)))


def test_the_steps_are_told() -> None:
    told: list[Step] = []
    training = training_of(found(SMALL, on_step=told.append))
    assert [step.iteration for step in told] == [step.iteration for step in training.steps]
    assert [step.loss for step in told] == [step.loss for step in training.steps]


@pytest.mark.parametrize("exact", [True, False])
def test_a_step_can_be_drawn_and_recovered(exact: bool) -> None:
    """As it would be labelled if it were the last."""
    drawn: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []

    def on_step(step: Step) -> None:
        assert step.draw is not None
        assert step.weights is not None
        drawn.append((step.draw(), step.weights()))

    settings = replace(SMALL, n_classes=2, exact=exact)
    training = training_of(found(settings, on_step=on_step))
    assert len(drawn) == len(training.steps) > 1
    outside = micrograph().excluded
    for n, (raw, weights) in enumerate(drawn, start=1):
        expected = found(replace(settings, max_iterations=n))
        network = TrainedNetwork(micrograph(), superpixels(), settings)
        record = Training(training.steps[:n], "stopped")
        again = network.recover(weights, record)
        assert (again.labels == expected.labels).all()
        assert again.stopped
        assert training_of(again) == record
        assert (raw[outside] == -1).all()
        # It has the statistics of the included pixels and those around them.
        shown, labels = raw[~outside], expected.labels[~outside]
        best = sum(np.bincount(labels[shown == i]).max() for i in np.unique(shown))
        assert best > 0.9 * len(labels)


def test_stopped_it_labels_with_what_is_learned() -> None:
    def on_step(step: Step) -> None:
        if step.iteration == 2:
            raise Stopped

    settings, threads = replace(SMALL, n_classes=2), torch.get_num_threads()
    result = found(settings, on_step=on_step)
    expected = found(replace(settings, max_iterations=2))
    assert training_of(result) == Training(training_of(expected).steps, "stopped")
    assert len(training_of(result).steps) == 2
    assert result.stopped
    assert (result.labels == expected.labels).all()
    assert torch.get_num_threads() == threads


def test_stopped_while_it_labels_the_rest_is_excluded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nital.paper.labelling.TILE_SIDE", 5)

    def on_rows(done: int, labels: object) -> None:
        if done == 8:
            raise Stopped

    result, whole = found(SMALL, on_rows=on_rows), found(SMALL)
    assert result.stopped
    assert not result.labels[8:].any()
    assert ((result.labels[:8] > 0) == (whole.labels[:8] > 0)).all()
    assert any("figures are those of the 57.8 % of the pixels" in note for note in result.notes)


def test_labels_are_written_where_they_are_wanted() -> None:
    out = np.full((12, 15), 9, np.uint8)
    result = found(SMALL, out=out)
    assert result.labels is out
    assert (out == found(SMALL).labels).all()


def test_the_cpu_is_read_after_every_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    class Watched(Trainer):
        def __init__(self, *positional: Any, **named: Any) -> None:
            asked.append(named["read_every"])
            super().__init__(*positional, **named)

    monkeypatch.setattr(module, "Trainer", Watched)
    found(SMALL)
    assert asked == [1]


def test_it_runs_on_as_many_threads_as_set_and_puts_the_number_back() -> None:
    threads, seen = torch.get_num_threads(), list[int]()
    settings = replace(SMALL, threads=threads + 1)
    found(settings, on_step=lambda _: seen.append(torch.get_num_threads()))
    assert set(seen) == {threads + 1}
    assert torch.get_num_threads() == threads


def test_divergence_is_told_and_puts_the_threads_back() -> None:
    threads = torch.get_num_threads()
    settings = replace(
        SMALL, learning_rate=1e38, n_classes=2, max_iterations=50, threads=threads + 1
    )
    with pytest.raises(SettingError, match=r"learning_rate 1e\+38.*lower"):
        found(settings)
    assert torch.get_num_threads() == threads


# --- other numbers of classes -------------------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
def test_one_training_gives_every_number_of_classes(exact: bool) -> None:
    settings = replace(SMALL, exact=exact, max_iterations=60)
    network = TrainedNetwork(micrograph(), superpixels(), settings)
    for number in (4, 2, 5, 3):
        assert same(network.segment(number), found(replace(settings, n_classes=number)))


def test_of_equal_weights_it_is_labelled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def watched(*given: Any) -> Any:
        asked.append(given)
        return label(*given)

    monkeypatch.setattr(module, "label", watched)
    settings = replace(SMALL, n_responses=12, max_iterations=60)
    network = TrainedNetwork(micrograph(), superpixels(), settings)
    results = [network.segment(number) for number in range(11, 1, -1)]
    lengths = {len(training_of(each).steps) for each in results}
    assert len(asked) == len(lengths) < len(results)
    for number, result in zip(range(11, 1, -1), results, strict=True):
        assert same(result, found(replace(settings, n_classes=number)))
        assert result.settings.n_classes == number


def test_a_result_can_be_had_with_another_number_of_classes() -> None:
    settings = replace(SMALL, max_iterations=60)
    result = found(replace(settings, n_classes=4))
    for number in (2, 5):
        other = result.at(number)
        assert other.settings.n_classes == number
        assert same(other, found(replace(settings, n_classes=number)))
        assert same(other.at(4), result)
    with pytest.raises(SettingError, match="n_classes 6"):
        result.at(6)


def test_a_result_can_be_sent_to_another_process() -> None:
    result = found(replace(SMALL, max_iterations=60))
    sent = pickle.loads(pickle.dumps(result))
    assert same(sent.at(2), result.at(2))


# --- joining ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_are_joined_to_exactly_the_number_asked_for(n_classes: int) -> None:
    settings = replace(SMALL, n_responses=12, n_classes=n_classes)
    joined, parts = found(replace(settings, join_from=8)), found(replace(settings, n_classes=8))
    assert training_of(joined) == training_of(parts)
    assert joined.n_classes == n_classes < parts.n_classes
    number = Joining(*colours_of(parts)).numbers(n_classes)
    assert (joined.labels == np.append(0, number)[parts.labels]).all()
    measured = measure_regions(micrograph().pixels, joined.labels)
    for row, expected in zip(joined.classes, tabulate_classes(measured), strict=True):
        assert row.n_pixels == expected.n_pixels
        assert row.mean_grey == pytest.approx(expected.mean_grey)
    assert joined.criteria.F == pytest.approx(criteria_of(measured).F)
    assert not any("instead of" in note for note in joined.notes)


def colours_of(result: Segmentation) -> tuple[NDArray[np.float64], RegionStatistics]:
    measured = measure_regions(micrograph().pixels, result.labels)
    return measured.means, measured


def test_too_few_to_join_are_told() -> None:
    flat = Micrograph(np.full((12, 15, 3), 0.5, np.float32), np.zeros((12, 15), bool), (0, 1))
    settings = replace(SMALL, join_from=4, max_iterations=30)
    result = TrainedNetwork(flat, superpixels(), settings).segment(3)
    assert result.n_classes < 3
    assert any("training left no more classes" in note for note in result.notes)


# --- repeats ------------------------------------------------------------------------------------


def test_repeats_are_the_consensus_of_their_seeds() -> None:
    settings = replace(SMALL, repeats=3, seed=4, max_iterations=60)
    several = Repeats(micrograph(), superpixels(), settings)
    for number in (3, 2):
        maps = [found(replace(settings, n_classes=number, seed=seed)).labels for seed in (4, 5, 6)]
        expected = Segmentation.of_maps(maps, micrograph().pixels, settings, {})
        result = several.segment(number)
        assert (result.labels == expected.labels).all()
        assert result.classes == expected.classes
        assert (result.settings.n_classes, result.settings.as_dict()["repeats"]) == (number, 3)
    assert (several.segment(3).at(2).labels == several.segment(2).labels).all()


@pytest.mark.parametrize("n_at_a_time", [1, 3])
def test_stopped_repeats_are_those_that_were_made(
    n_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "n_side_by_side", lambda settings: n_at_a_time)
    settings = replace(SMALL, repeats=6, n_classes=2, max_iterations=4)
    told: list[int] = []

    def on_step(step: Step) -> None:
        told.append(step.iteration)
        if told.count(4) == 2:  # the second is done
            raise Stopped

    out = np.zeros((12, 15), np.uint8)
    result = Repeats(micrograph(), superpixels(), settings).segment(2, out=out, on_step=on_step)
    assert result.stopped
    assert result.labels is out
    assert told.count(4) == 2
    assert len(told) < 6 * 4


def test_repeats_stopped_at_once_are_what_is_under_way() -> None:
    def on_step(step: Step) -> None:
        raise Stopped

    settings = replace(SMALL, repeats=3, n_classes=2)
    result = Repeats(micrograph(), superpixels(), settings).segment(2, on_step=on_step)
    assert result.stopped
    assert result.n_classes >= 1


@pytest.mark.parametrize(
    ("change", "cores", "expected"),
    [
        ({}, 4, 4),
        ({"threads": 2}, 5, 2),
        ({"threads": 8}, 4, 1),
        ({"exact": True}, 4, 1),
        ({"device": "cuda"}, 4, 1),
    ],
)
def test_as_many_are_trained_at_a_time_as_there_are_cores(
    change: dict[str, Any], cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: cores)
    assert module.n_side_by_side(replace(SMALL, **change)) == expected


def test_threads_are_put_back_when_repeats_are_done() -> None:
    threads = torch.get_num_threads()
    Repeats(micrograph(), superpixels(), replace(SMALL, repeats=4)).segment(2)
    assert torch.get_num_threads() == threads
