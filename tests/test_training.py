"""The loop: refinements against plain ones, what stops it, exclusion, how often it reads."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from nital.errors import SettingError
from nital.network import Network, Stack
from nital.training import (
    Batch,
    Settled,
    Step,
    Training,
    balanced,
    majority,
    train,
    whole_image,
)

CPU = torch.device("cpu")
N_RESPONSES = 5


def small_network(seed: int = 0) -> Network:
    return Network(n_filters=6, n_responses=N_RESPONSES, seed=seed)


def train_one(network: Network, batches: Iterable[Batch], **how: Any) -> Training:
    (training,) = train([network], batches, **how)
    return training


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
    responses = torch.nn.functional.one_hot(labels, N_RESPONSES).float()
    (refined,) = majority(responses[None], superpixel, 4)
    for (s, _), found in zip(pixels, refined.tolist(), strict=True):
        votes = Counter(label for other, label in pixels if other == s)
        assert found == min(votes, key=lambda label: (-votes[label], label))


@given(st.integers(0, 2**32 - 1))
def test_a_pixel_votes_for_the_strongest_of_its_responses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    responses = rng.normal(size=(30, N_RESPONSES))
    superpixel = rng.integers(0, 6, 30)
    (refined,) = majority(
        torch.from_numpy(responses)[None], torch.from_numpy(superpixel), 6
    ).tolist()
    for s in set(superpixel.tolist()):
        votes = Counter(
            max(range(N_RESPONSES), key=values.__getitem__)
            for values, other in zip(responses.tolist(), superpixel, strict=True)
            if other == s
        )
        winner = min(votes, key=lambda label: (-votes[label], label))
        assert {refined[i] for i in np.flatnonzero(superpixel == s)} == {winner}


# --- balanced targets ---------------------------------------------------------------------------


def sinkhorn(responses: NDArray[np.float64], n_superpixels: int) -> NDArray[np.int64]:
    """Balanced targets of the superpixels, written out: softmax, then columns, rows, thrice."""
    n_pixels = len(responses) // n_superpixels
    share = np.empty((n_superpixels, responses.shape[1]))
    for s in range(n_superpixels):
        mean = responses[s * n_pixels : (s + 1) * n_pixels].mean(axis=0)
        strength = np.exp(mean / 0.5)
        share[s] = strength / strength.sum()
    for _ in range(3):
        for label in range(share.shape[1]):
            share[:, label] /= share[:, label].sum()
        for s in range(n_superpixels):
            share[s] /= share[s].sum()
    return share.argmax(axis=1)


def in_turn(n_superpixels: int, n_pixels: int) -> Tensor:
    """Superpixels of pixels that stand one superpixel after the other."""
    return torch.arange(n_superpixels).repeat_interleave(n_pixels)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 4), st.integers(2, 6))
def test_balanced_targets_are_those_of_a_plain_sinkhorn(
    seed: int, n_superpixels: int, n_pixels: int, q: int
) -> None:
    responses = np.random.default_rng(seed).normal(size=(n_superpixels * n_pixels, q))
    superpixel = in_turn(n_superpixels, n_pixels)
    (found,) = balanced(torch.from_numpy(responses)[None], superpixel, n_superpixels)
    assert (found.numpy() == sinkhorn(responses, n_superpixels).repeat(n_pixels)).all()


def test_balanced_targets_share_where_the_majority_collapses() -> None:
    # One class is far the strongest everywhere; the others differ a little from place to place.
    generator = torch.Generator().manual_seed(0)
    responses = 0.3 * torch.randn(240, 1, 4, generator=generator).repeat(1, 3, 1)
    responses[..., 0] += 5
    responses, superpixel = responses.reshape(-1, 4), in_turn(240, 3)
    assert majority(responses[None], superpixel, 240).unique().tolist() == [0]
    counts = torch.bincount(balanced(responses[None], superpixel, 240)[0], minlength=4) / 3
    assert counts.sum() == 240
    assert ((counts > 45) & (counts < 75)).all()


def test_balanced_targets_follow_responses_that_are_balanced_already() -> None:
    responses = 3 * torch.eye(4).repeat(5, 1)
    assert balanced(responses[None], torch.arange(20), 20).tolist() == [[0, 1, 2, 3] * 5]


def test_a_class_that_answers_nowhere_does_not_take_all() -> None:
    responses = torch.eye(4)[:, :3].repeat(4, 1)  # 0, 1, 2 and neither, in turn
    responses = torch.cat([responses, torch.full((16, 1), -60.0)], dim=1)
    assert balanced(responses[None], torch.arange(16), 16)[0, :3].tolist() == [0, 1, 2]


# --- the loop -----------------------------------------------------------------------------------


def test_it_stops_at_the_count_and_reports_every_step() -> None:
    seen: list[Step] = []
    training = train_one(
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
    training = train_one(
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
    train_one(
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
        train_one(
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
    training = train_one(
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


# --- fast mode ----------------------------------------------------------------------------------


def patch_batch() -> Batch:
    """Patches of 12 superpixels, 3 pixels of each."""
    pixels = torch.rand(1, 36, 5, 5, 3, generator=torch.Generator().manual_seed(0))
    return Batch(pixels, in_turn(12, 3), 12, patches=True)


def weights_of(network: Network) -> list[Tensor]:
    return [weight.detach().clone() for weight in network.parameters()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def course(batch: Batch, **how: object) -> tuple[Training, list[Tensor], list[Step]]:
    """A training, its weights, and the steps that were told."""
    network, told = small_network(), list[Step]()
    options: dict[str, object] = {"n_classes": 0, "learning_rate": 0.1, "momentum": 0.9}
    training = train_one(
        network,
        [batch] * 60,
        on_step=told.append,
        **(options | how),  # type: ignore[arg-type]
    )
    return training, weights_of(network), told


def test_patches_are_trained_on() -> None:
    batch = patch_batch()
    with torch.no_grad():
        labels = small_network().of_patches(batch.pixels[0]).argmax(dim=1)
    training, weights, _ = course(batch, refine=balanced, max_iterations=15)
    assert training.steps[0].n_classes == len(labels.unique())
    assert training.steps[-1].loss < training.steps[0].loss
    assert not same(weights, weights_of(small_network()))


def collapsing_batch() -> Batch:
    """Two large superpixels: the majority rule makes fewer and fewer classes of it."""
    return replace(small_batch(), superpixel=torch.arange(64) // 32, n_superpixels=2)


@pytest.mark.parametrize("read_every", [5, 7, 16])
@pytest.mark.parametrize(("n_classes", "reason"), [(0, "max_iterations"), (1, "n_classes")])
def test_reading_seldom_alters_nothing(read_every: int, n_classes: int, reason: str) -> None:
    often, weights, told = course(collapsing_batch(), n_classes=n_classes, max_iterations=18)
    seldom, others, told_late = course(
        collapsing_batch(), n_classes=n_classes, max_iterations=18, read_every=read_every
    )
    assert len(often.steps) % read_every  # the end falls inside a window
    assert often.stop_reason == reason
    assert seldom == often
    assert same(weights, others)
    assert told_late == told == list(often.steps)


def test_weights_of_updates_past_the_stop_are_put_back() -> None:
    stopped, weights, _ = course(collapsing_batch(), n_classes=2, max_iterations=18, read_every=16)
    n_steps = len(stopped.steps)
    assert n_steps < 16
    _, there, _ = course(collapsing_batch(), max_iterations=n_steps)
    _, beyond, _ = course(collapsing_batch(), max_iterations=16)
    assert same(weights, there)
    assert not same(weights, beyond)


def test_it_stops_when_settled_and_asks_at_readings_only() -> None:
    asked: list[int] = []

    def settled(stack: Stack) -> list[bool]:
        asked.append(len(stack))
        return [len(asked) == 3]

    training, _, told = course(
        patch_batch(), refine=balanced, max_iterations=60, settled=settled, read_every=4
    )
    assert training.stop_reason == "settled"
    assert len(training.steps) == len(told) == 12
    assert len(asked) == 3


def test_the_last_window_may_be_shorter() -> None:
    asked: list[int] = []

    def settled(stack: Stack) -> list[bool]:
        asked.append(len(stack))
        return [False]

    training, _, told = course(
        patch_batch(), refine=balanced, max_iterations=10, settled=settled, read_every=4
    )
    assert training.stop_reason == "max_iterations"
    assert len(training.steps) == len(told) == 10
    assert len(asked) == 3


def test_batches_may_run_out_inside_a_window() -> None:
    seldom, often = (
        train_one(
            small_network(),
            [small_batch()] * 3,
            n_classes=0,
            max_iterations=9,
            learning_rate=0.1,
            momentum=0.9,
            read_every=read_every,
        )
        for read_every in (5, 1)
    )
    assert seldom == often


def test_a_loss_that_diverges_inside_a_window_is_told() -> None:
    with pytest.raises(SettingError, match=r"diverged at iteration \d+,"):
        course(small_batch(), max_iterations=50, learning_rate=1e38, read_every=25)


def test_the_learning_rate_falls_to_half_in_a_half_life() -> None:
    batch, half_life = patch_batch(), 3
    network = small_network()
    for rate in (0.1, 0.1 * 0.5 ** (1 / 3), 0.1 * 0.5 ** (2 / 3), 0.05):
        train_one(network, [batch], n_classes=0, max_iterations=1, learning_rate=rate, momentum=0.0)
    _, weights, _ = course(batch, max_iterations=4, momentum=0.0, half_life=half_life)
    assert same(weights, weights_of(network))


def test_a_learning_rate_that_has_fallen_moves_nothing_more() -> None:
    _, early, _ = course(patch_batch(), max_iterations=1, half_life=1e-3)
    _, late, _ = course(patch_batch(), max_iterations=20, half_life=1e-3)
    _, other, _ = course(patch_batch(), max_iterations=20)
    assert same(early, late)
    assert not same(late, other)


def test_settled_means_no_more_labels_changed_than_tolerated() -> None:
    network = small_network()
    probe = torch.rand(200, 5, 5, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = network.of_patches(probe).argmax(dim=1)
        weights_before = weights_of(network)
        network.layers[-1].bias[int(before[0])] -= 0.1
        after = network.of_patches(probe).argmax(dim=1)
        weights_after = weights_of(network)
    changed = float((before != after).double().mean())
    assert 0 < changed < 0.5

    def put(weights: list[Tensor]) -> None:
        for weight, value in zip(network.parameters(), weights, strict=True):
            weight.data.copy_(value)

    for tolerance, expected in ((changed, True), (changed - 1e-9, False), (0.0, False)):
        put(weights_before)
        settled, stack = Settled(probe, tolerance), Stack([network])
        assert settled(stack) == [False]  # there is nothing to compare with yet
        assert settled(stack) == [True]  # nothing has changed
        put(weights_after)
        assert settled(stack) == [expected]
        assert settled(stack) == [True]  # compared with the call before, not with the first


def test_asking_whether_it_has_settled_changes_nothing() -> None:
    network = small_network()
    before = weights_of(network)
    probe = patch_batch().pixels[0].clone()
    settled, stack = Settled(probe, 0.0), Stack([network])
    settled(stack)
    settled(stack)
    assert same(before, weights_of(network))
    assert torch.equal(probe, patch_batch().pixels[0])


def test_never_settled_below_a_tolerance_of_0() -> None:
    settled, stack = Settled(patch_batch().pixels[0], -1), Stack([small_network()])
    assert [settled(stack) for _ in range(3)] == [[False]] * 3


# --- networks trained together ------------------------------------------------------------------


def several(n: int) -> tuple[list[Network], list[Batch]]:
    """Networks with seeds of their own, and 24 batches for them together."""
    generator = torch.Generator().manual_seed(3)
    batches = [
        replace(patch_batch(), pixels=torch.rand(n, 36, 5, 5, 3, generator=generator))
        for _ in range(24)
    ]
    return [small_network(seed) for seed in range(n)], batches


HOW: dict[str, Any] = {
    "refine": balanced,
    "n_classes": 0,
    "max_iterations": 24,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "half_life": 12,
}


def close(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-4) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("read_every", [1, 7])
def test_networks_trained_together_are_those_trained_alone(read_every: int) -> None:
    together, batches = several(3)
    trainings = train(together, batches, read_every=read_every, **HOW)
    for index, (network, training) in enumerate(zip(together, trainings, strict=True)):
        own = [replace(batch, pixels=batch.pixels[index : index + 1]) for batch in batches]
        alone = small_network(index)
        expected = train_one(alone, own, read_every=read_every, **HOW)
        assert [step.n_classes for step in training.steps] == [
            step.n_classes for step in expected.steps
        ]
        assert [step.loss for step in training.steps] == pytest.approx(
            [step.loss for step in expected.steps], abs=1e-4
        )
        assert training.stop_reason == expected.stop_reason
        assert close(weights_of(network), weights_of(alone))


def test_each_of_several_trainings_ends_on_its_own() -> None:
    asked: list[int] = []

    def settled(stack: Stack) -> list[bool]:
        asked.append(1)
        return [len(asked) == 2, len(asked) >= 4, False]

    networks, batches = several(3)
    trainings = train(networks, batches, settled=settled, read_every=4, **HOW)
    assert [len(training.steps) for training in trainings] == [8, 16, 24]
    assert [training.stop_reason for training in trainings] == [
        "settled",
        "settled",
        "max_iterations",
    ]
    for network, training in zip(networks, trainings, strict=True):
        again, _ = several(3)
        train(again, batches, **HOW | {"max_iterations": len(training.steps)})
        assert same(weights_of(network), weights_of(again[networks.index(network)]))


def test_all_have_ended_before_the_limit() -> None:
    networks, batches = several(2)
    trainings = train(
        networks, batches, settled=lambda stack: [True] * len(stack), read_every=5, **HOW
    )
    assert [len(training.steps) for training in trainings] == [5, 5]


def test_each_of_several_stops_at_its_own_count() -> None:
    networks, batches = several(3)
    counts = [
        [step.n_classes for step in training.steps] for training in train(networks, batches, **HOW)
    ]
    limit = min(map(min, counts))
    often, seldom = (
        train(several(3)[0], batches, read_every=n, **HOW | {"n_classes": limit}) for n in (1, 6)
    )
    assert often == seldom
    for own, training in zip(counts, often, strict=True):
        first = next((i for i, count in enumerate(own, 1) if count <= limit), len(own))
        assert len(training.steps) == first


def test_a_stack_that_settles_says_so_for_each() -> None:
    networks, _ = several(2)
    probe, stack = patch_batch().pixels[0], Stack(networks)
    settled = Settled(probe, 0.0)
    assert settled(stack) == [False, False]
    with torch.no_grad():
        for weight in stack.weights:
            weight[1].copy_(torch.randn(weight[1].shape))
    assert settled(stack) == [True, False]
