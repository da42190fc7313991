"""Paper mode: the strongest response of every pixel, and training with the given settings."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from nital.errors import SettingError, Stopped
from nital.image.micrograph import Micrograph
from nital.paper import labelling as paper
from nital.paper.batches import Places, WholeImage
from nital.paper.course import Step, Training
from nital.paper.device import using_threads
from nital.paper.labelling import predict, predict_in_tiles, train_and_label
from nital.paper.network import Network, Statistics
from nital.paper.settings import PAPER
from nital.paper.training import train

SMALL = replace(
    PAPER, n_filters=6, n_responses=5, max_iterations=4, device="cpu", threads=1, n_superpixels=9
)


def some_pixels(rows: int = 7, cols: int = 9) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((rows, cols, 3), dtype=np.float32)


# --- predict ------------------------------------------------------------------------------------


def test_labels_are_the_strongest_responses() -> None:
    network, pixels = Network(n_filters=5, n_responses=4, seed=1), some_pixels()
    labels = predict(network, pixels)
    with torch.no_grad():
        responses = network(torch.from_numpy(pixels.transpose(2, 0, 1)[np.newaxis].copy()))[0]
    assert labels.shape == (7, 9)
    assert labels.dtype == np.int64
    for row in range(7):
        for col in range(9):
            values = responses[:, row, col].tolist()
            assert values[labels[row, col]] >= max(values) - 1e-5


def test_prediction_changes_nothing_and_repeats() -> None:
    network, pixels = Network(n_filters=5, n_responses=4), some_pixels()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    first = predict(network, pixels)
    assert (first == predict(network, pixels)).all()
    assert (pixels == some_pixels()).all()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_of_equal_responses_the_lowest_wins() -> None:
    network = Network(n_filters=5, n_responses=6)
    last = network.layers[-1]
    assert isinstance(last, nn.BatchNorm2d)
    with torch.no_grad():  # the same responses at every pixel
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0, 0, 1, 1, 1, 0]))
    assert (predict(network, some_pixels()) == 2).all()


def test_pixels_with_equal_surroundings_get_the_same_label() -> None:
    network = Network(n_filters=6, n_responses=5, seed=2)
    labels = predict(network, np.tile(some_pixels(4, 5), (4, 4, 1)))[2:-2, 2:-2]
    assert (labels[4:] == labels[:-4]).all()
    assert (labels[:, 5:] == labels[:, :-5]).all()
    assert len(np.unique(labels)) > 1


def statistics_of(network: Network, pixels: NDArray[np.float32]) -> Statistics:
    places = Places(pixels, torch.device("cpu"))
    everywhere = np.arange(pixels.shape[0] * pixels.shape[1])
    return network.statistics(places.around(everywhere, network.n_layers))


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_with_the_statistics_of_all_pixels_it_labels_as_without(n_layers: int) -> None:
    network, pixels = Network(n_filters=6, n_layers=n_layers, n_responses=5), some_pixels(14, 19)
    known = predict(network, pixels, statistics_of(network, pixels))
    assert (known == predict(network, pixels)).mean() > 0.99  # sums have another order
    assert len(np.unique(known)) > 1


@pytest.mark.parametrize("side", [3, 5, 8, 40])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_tiles_are_those_of_the_whole(
    side: int, n_layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper, "TILE_SIDE", side)
    network, pixels = Network(n_filters=6, n_layers=n_layers, n_responses=5), some_pixels(14, 19)
    statistics = statistics_of(network, some_pixels(6, 6))  # whatever they are
    whole = predict(network, pixels, statistics)
    assert (predict_in_tiles(network, pixels, statistics) == whole).all()
    assert len(np.unique(whole)) > 1


# --- training and labels ------------------------------------------------------------------------


def micrograph() -> Micrograph:
    """A dark and a bright half with noise, the first two columns excluded."""
    pixels = some_pixels(12, 15)
    pixels /= 4
    pixels[:, 8:] += 0.7
    excluded = np.zeros((12, 15), bool)
    excluded[:, :2] = True
    return Micrograph(pixels, excluded, (0.0, 1.0))


def superpixels() -> NDArray[np.int64]:
    """Squares of 4 x 5 pixels."""
    rows, cols = np.mgrid[:12, :15]
    squares: NDArray[np.int64] = rows // 4 * 3 + cols // 5
    return squares


def by_hand(seed: int) -> tuple[Training, NDArray[np.int64]]:
    """A network of the size in `SMALL`, trained and applied on as many threads."""
    network = Network(n_filters=6, n_layers=2, n_responses=5, seed=seed)
    with using_threads(1):
        ((_, training),) = train(
            network,
            WholeImage(
                micrograph().pixels, superpixels(), micrograph().excluded, torch.device("cpu")
            ),
            [3],
            max_iterations=4,
            learning_rate=0.1,
            momentum=0.9,
        )
        return training, predict(network, micrograph().pixels)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_a_network_trained_with_the_settings_then_asked(seed: int) -> None:
    settings = replace(SMALL, seed=seed, exact=True)
    training, labels = train_and_label(micrograph(), superpixels(), settings)
    expected, raw = by_hand(seed)
    assert training == expected
    assert (labels == raw).all()
    assert by_hand(1 - seed)[0] != training


def test_every_pixel_gets_a_raw_label_excluded_ones_as_well() -> None:
    _, labels = train_and_label(micrograph(), superpixels(), SMALL)
    assert labels.shape == (12, 15)
    assert labels.dtype == np.int64
    assert labels.min() >= 0
    assert labels.max() < SMALL.n_responses


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
def test_every_setting_of_the_training_matters(change: dict[str, float]) -> None:
    before, _ = train_and_label(micrograph(), superpixels(), replace(SMALL, n_classes=2))
    settings = replace(SMALL, **({"n_classes": 2} | change))  # type: ignore[arg-type]
    assert train_and_label(micrograph(), superpixels(), settings)[0] != before


def test_it_repeats() -> None:
    first, labels = train_and_label(micrograph(), superpixels(), SMALL)
    again, others = train_and_label(micrograph(), superpixels(), SMALL)
    assert first == again
    assert labels.tobytes() == others.tobytes()


def test_the_steps_are_told() -> None:
    told: list[Step] = []
    training, _ = train_and_label(micrograph(), superpixels(), SMALL, told.append)
    assert tuple(told) == training.steps
    assert told


@pytest.mark.parametrize("exact", [True, False])
def test_a_step_can_be_drawn(exact: bool) -> None:
    """As it would be labelled if it were the last."""
    drawn: list[NDArray[np.int64]] = []

    def on_step(step: Step) -> None:
        assert step.draw is not None
        drawn.append(step.draw())

    settings = replace(SMALL, n_classes=2, exact=exact)
    training, _ = train_and_label(micrograph(), superpixels(), settings, on_step)
    assert len(drawn) == len(training.steps) > 1
    outside = micrograph().excluded
    for n, labels in enumerate(drawn, start=1):
        shorter = replace(settings, max_iterations=n)
        _, expected = train_and_label(micrograph(), superpixels(), shorter)
        assert (labels[~outside] == expected[~outside]).all()
        assert (labels[outside] == -1).all()


def test_stopped_it_labels_with_what_is_learned() -> None:
    def on_step(step: Step) -> None:
        if step.iteration == 2:
            raise Stopped

    settings, threads = replace(SMALL, n_classes=2), torch.get_num_threads()
    training, labels = train_and_label(micrograph(), superpixels(), settings, on_step)
    shorter = replace(settings, max_iterations=2)
    expected, others = train_and_label(micrograph(), superpixels(), shorter)
    assert (training.stop_reason, training.steps) == ("stopped", expected.steps)
    assert len(training.steps) == 2
    assert labels.tobytes() == others.tobytes()
    assert torch.get_num_threads() == threads


def test_the_cpu_is_read_after_every_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def watched(*positional: object, **named: object) -> Iterator[tuple[int, Training]]:
        asked.append(named["read_every"])
        return train(*positional, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(paper, "train", watched)
    train_and_label(micrograph(), superpixels(), SMALL)
    assert asked == [1]


def test_it_runs_on_as_many_threads_as_set_and_puts_the_number_back() -> None:
    threads, seen = torch.get_num_threads(), list[int]()
    settings = replace(SMALL, threads=threads + 1)
    train_and_label(
        micrograph(), superpixels(), settings, lambda _: seen.append(torch.get_num_threads())
    )
    assert set(seen) == {threads + 1}
    assert torch.get_num_threads() == threads


def test_divergence_is_told_and_puts_the_threads_back() -> None:
    threads = torch.get_num_threads()
    settings = replace(
        SMALL, learning_rate=1e38, n_classes=2, max_iterations=50, threads=threads + 1
    )
    with pytest.raises(SettingError, match=r"learning_rate 1e\+38.*lower"):
        train_and_label(micrograph(), superpixels(), settings)
    assert torch.get_num_threads() == threads
