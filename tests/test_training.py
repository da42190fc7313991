"""The loop: the refinement against a plain one, the stop rule, exclusion, repeatability."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nital.errors import SettingError
from nital.network import Network
from nital.training import Batch, Step, refine, train, whole_image

CPU = torch.device("cpu")
N_RESPONSES = 5


def small_network(seed: int = 0) -> Network:
    return Network(n_filters=6, n_responses=N_RESPONSES, seed=seed)


def small_batch() -> Batch:
    pixels = torch.from_numpy(np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32))
    return Batch(pixels, torch.arange(64) // 8, 8)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, N_RESPONSES - 1)), min_size=1, max_size=40)
)
def test_refinement_is_the_majority_with_ties_to_the_lowest(
    pixels: list[tuple[int, int]],
) -> None:
    superpixel = torch.tensor([s for s, _ in pixels])
    labels = torch.tensor([label for _, label in pixels])
    refined, n_classes = refine(labels, superpixel, 4, N_RESPONSES)
    for (s, _), found in zip(pixels, refined.tolist(), strict=True):
        votes = Counter(label for other, label in pixels if other == s)
        assert found == min(votes, key=lambda label: (-votes[label], label))
    assert n_classes == len({label for _, label in pixels})


def test_it_stops_at_the_count_and_reports_every_step() -> None:
    seen: list[Step] = []
    training = train(
        small_network(),
        [small_batch()] * 9,
        n_classes=N_RESPONSES,
        max_iterations=9,
        learning_rate=0.1,
        momentum=0.9,
        on_step=seen.append,
    )
    assert training.stop_reason == "n_classes"
    assert [step.iteration for step in seen] == [1]
    assert tuple(seen) == training.steps


def test_it_stops_at_the_limit() -> None:
    training = train(
        small_network(),
        iter([small_batch()] * 9),
        n_classes=0,
        max_iterations=3,
        learning_rate=0.01,
        momentum=0.0,
    )
    assert training.stop_reason == "max_iterations"
    assert len(training.steps) == 3


def test_the_last_update_is_made_before_the_stop() -> None:
    network = small_network()
    before = [weight.clone() for weight in network.parameters()]
    train(
        network,
        [small_batch()],
        n_classes=N_RESPONSES,
        max_iterations=1,
        learning_rate=0.1,
        momentum=0.9,
    )
    assert any(
        not torch.equal(was, now) for was, now in zip(before, network.parameters(), strict=True)
    )


def test_a_diverging_loss_is_an_error_that_names_the_remedy() -> None:
    with pytest.raises(SettingError, match=r"learning_rate 1e\+38.*lower"):
        train(
            small_network(),
            [small_batch()] * 50,
            n_classes=0,
            max_iterations=50,
            learning_rate=1e38,
            momentum=0.9,
        )


def test_whole_image_leaves_out_the_excluded() -> None:
    pixels = np.zeros((2, 3, 3), np.float32)
    excluded = np.array([[False, True, False], [True, False, False]])
    superpixels = np.array([[0, 0, 1], [2, 2, 1]])
    batch = next(whole_image(pixels, superpixels, excluded, CPU))
    assert batch.included is not None
    assert batch.included.tolist() == [0, 2, 4, 5]
    assert batch.superpixel.tolist() == [0, 1, 2, 1]
    assert batch.n_superpixels == 3


def test_whole_image_gives_the_same_batch_without_end() -> None:
    pixels = np.random.default_rng(0).random((4, 5, 3), dtype=np.float32)
    batches = whole_image(pixels, np.zeros((4, 5), np.int64), np.zeros((4, 5), bool), CPU)
    first, second = next(batches), next(batches)
    assert first is second
    assert first.included is None
    assert torch.equal(first.pixels[0, :, 2, 3], torch.from_numpy(pixels[2, 3]))


def test_excluded_pixels_do_not_vote() -> None:
    batch = small_batch()
    kept = torch.arange(8, 64)
    masked = Batch(batch.pixels, batch.superpixel[kept], 8, kept)
    training = train(
        small_network(),
        [masked],
        n_classes=0,
        max_iterations=1,
        learning_rate=0.1,
        momentum=0.9,
    )
    with torch.no_grad():
        labels = small_network()(batch.pixels).argmax(dim=1).ravel()[8:]
    assert training.steps[0].n_classes == len(labels.unique())
