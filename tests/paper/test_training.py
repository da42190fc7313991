"""The loop: its refinement against a plain one, stopping, exclusion, frequency of reading."""

import ctypes
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from helpers.divided import divided, image_of
from nital.errors import SettingError, Stopped
from nital.paper.batches import Batch, WholeImage
from nital.paper.course import Step, Training
from nital.paper.network import Network, to_tensor
from nital.paper.training import Trainer, keeping_freed_memory, majority

CPU = torch.device("cpu")
N_RESPONSES = 5

ROWS = np.arange(64).reshape(8, 8) // 8
"""Superpixels: each row is one."""

HALVES = ROWS // 4
"""Two large superpixels: the majority rule gradually reduces their classes."""


def small_network(seed: int = 0) -> Network:
    return Network(n_filters=6, n_responses=N_RESPONSES, seed=seed)


def some_pixels() -> NDArray[np.float32]:
    return np.random.default_rng(0).random((8, 8, 3), dtype=np.float32)


def none_excluded() -> NDArray[np.bool_]:
    return np.zeros((8, 8), bool)


def trainer(
    network: Network | None = None, superpixels: NDArray[np.int64] = ROWS, **settings: int
) -> Trainer:
    """One of 18 iterations on the whole image."""
    batches = WholeImage(image_of(some_pixels()), divided(superpixels), CPU)
    given: dict[str, int] = {"max_iterations": 18} | settings
    return Trainer(network or small_network(), batches, learning_rate=0.1, momentum=0.9, **given)


def weights_of(network: Network) -> list[Tensor]:
    return [weight.detach().clone() for weight in network.parameters()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def course(
    superpixels: NDArray[np.int64] = ROWS,
    excluded: NDArray[np.bool_] | None = None,
    pixels: NDArray[np.float32] | None = None,
    *,
    seed: int = 0,
    n_classes: int = 0,
    max_iterations: int = 18,
    learning_rate: float = 0.1,
    read_every: int = 1,
    stop_at: int | None = None,
    watch: Callable[[Step], None] = lambda _: None,
) -> tuple[Training, list[Tensor], list[Step]]:
    """A training, the weights after it, and the steps reported to `on_step`."""
    network, told = small_network(seed), list[Step]()

    def on_step(step: Step) -> None:
        told.append(step)
        watch(step)
        if step.iteration == stop_at:
            raise Stopped

    image = image_of(some_pixels() if pixels is None else pixels, excluded)
    trainer = Trainer(
        network,
        WholeImage(image, divided(superpixels), CPU),
        max_iterations=max_iterations,
        learning_rate=learning_rate,
        momentum=0.9,
        read_every=read_every,
    )
    training = trainer.train_to(n_classes, on_step)
    return training, weights_of(network), told


# --- refinement ---------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, N_RESPONSES - 1)), min_size=1, max_size=40)
)
def test_refinement_is_the_majority_with_ties_to_the_lowest(
    pixels: list[tuple[int, int]],
) -> None:
    superpixel = torch.tensor([s for s, _ in pixels])
    labels = torch.tensor([label for _, label in pixels])
    responses = torch.nn.functional.one_hot(labels, N_RESPONSES).float()
    refined = majority(responses, superpixel, 4)
    for (s, _), found in zip(pixels, refined.tolist(), strict=True):
        votes = Counter(label for other, label in pixels if other == s)
        assert found == min(votes, key=lambda label: (-votes[label], label))


@given(st.integers(0, 2**32 - 1))
def test_a_pixel_votes_for_the_strongest_of_its_responses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    responses = rng.normal(size=(30, N_RESPONSES))
    superpixel = rng.integers(0, 6, 30)
    refined = majority(torch.from_numpy(responses), torch.from_numpy(superpixel), 6).tolist()
    for s in set(superpixel.tolist()):
        votes = Counter(
            max(range(N_RESPONSES), key=values.__getitem__)
            for values, other in zip(responses.tolist(), superpixel, strict=True)
            if other == s
        )
        winner = min(votes, key=lambda label: (-votes[label], label))
        assert {refined[i] for i in np.flatnonzero(superpixel == s)} == {winner}


# --- the loop -----------------------------------------------------------------------------------


def test_the_tensor_of_an_image_lies_as_the_image_does() -> None:
    pixels = np.random.default_rng(0).random((4, 5, 3), dtype=np.float32)
    tensor = to_tensor(pixels, CPU)
    assert tensor.shape == (1, 3, 4, 5)
    assert torch.equal(tensor[0, :, 2, 3], torch.from_numpy(pixels[2, 3]))
    assert tensor.is_contiguous(memory_format=torch.channels_last)


def test_it_stops_at_the_count_and_reports_every_step() -> None:
    training, _, told = course(n_classes=N_RESPONSES)
    assert training.stop_reason == "n_classes"
    assert [step.iteration for step in told] == [1]
    assert tuple(told) == training.steps


def test_it_stops_at_the_limit() -> None:
    training, _, told = course(max_iterations=3)
    assert training.stop_reason == "max_iterations"
    assert [step.iteration for step in training.steps] == [1, 2, 3]
    assert tuple(told) == training.steps


def test_a_count_reached_by_the_last_iteration_is_what_ended_it() -> None:
    training, _, _ = course(n_classes=N_RESPONSES, max_iterations=1)
    assert training.stop_reason == "n_classes"


def test_the_last_update_is_made_before_the_stop() -> None:
    _, weights, _ = course(n_classes=N_RESPONSES)
    assert not same(weights, weights_of(small_network()))
    assert same(weights, course(max_iterations=1)[1])


def test_the_loss_falls() -> None:
    training, _, _ = course()
    assert training.steps[-1].loss < training.steps[0].loss


def test_it_repeats_and_follows_the_first_weights() -> None:
    training, weights, _ = course()
    again, others, _ = course()
    assert again == training
    assert same(weights, others)
    assert course(seed=1)[0] != training


def test_the_image_and_its_superpixels_are_left_as_they_were() -> None:
    pixels, superpixels, excluded = some_pixels(), ROWS.copy(), ROWS == 3
    course(superpixels, excluded, pixels)
    assert (pixels == some_pixels()).all()
    assert (superpixels == ROWS).all()
    assert (excluded == (ROWS == 3)).all()


@pytest.mark.parametrize("read_every", [1, 25])
def test_a_diverging_loss_is_an_error_that_names_the_remedy(read_every: int) -> None:
    with pytest.raises(
        SettingError, match=r"learning_rate 1e\+38: training diverged at iteration \d+,.*lower"
    ):
        course(max_iterations=50, learning_rate=1e38, read_every=read_every)


@pytest.mark.parametrize("stop_at", [1, 3, 18])
def test_who_watches_can_stop_it(stop_at: int) -> None:
    training, weights, told = course(stop_at=stop_at)
    expected, others, _ = course(max_iterations=stop_at)
    assert (training.stop_reason, expected.stop_reason) == ("stopped", "max_iterations")
    assert training.steps == expected.steps == tuple(told)
    assert len(told) == stop_at
    assert same(weights, others)


def test_an_error_of_who_watches_is_not_kept() -> None:
    def on_step(step: Step) -> None:
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        trainer().train_to(2, on_step)


# --- excluded pixels ----------------------------------------------------------------------------


def test_excluded_pixels_neither_vote_nor_count() -> None:
    with torch.no_grad():
        responses = small_network()(to_tensor(some_pixels(), CPU))[0].permute(1, 2, 0)
    strongest = responses.argmax(dim=2).numpy()
    excluded = strongest == 0
    excluded[2] = True  # all of a superpixel
    assert 0 < excluded.sum() < 40
    training, _, _ = course(HALVES, excluded, max_iterations=1)
    (step,) = training.steps
    assert step.n_classes == len(np.unique(strongest[~excluded]))
    assert step.n_classes < len(np.unique(strongest))

    target = np.zeros((8, 8), np.int64)
    for s in (0, 1):
        kept = (HALVES == s) & ~excluded
        target[kept] = np.bincount(strongest[kept]).argmax()
    log_share = torch.log_softmax(responses.double(), dim=2).numpy()
    own = np.take_along_axis(log_share, target[..., np.newaxis], axis=2)[..., 0]
    assert step.loss == pytest.approx(-own[~excluded].mean(), abs=1e-5)


def test_the_superpixels_of_excluded_pixels_do_not_matter() -> None:
    excluded = np.zeros((8, 8), bool)
    excluded[1:4, 2:7] = True
    training, weights, _ = course(ROWS, excluded)
    others = np.where(excluded, 7, ROWS)
    again, same_weights, _ = course(others, excluded)
    assert again == training
    assert same(weights, same_weights)
    assert course(others)[0] != course(ROWS)[0]


def test_a_superpixel_may_be_excluded_as_a_whole() -> None:
    excluded = ROWS == 7  # the last of them
    training, weights, _ = course(ROWS, excluded)
    again, others, _ = course(np.minimum(ROWS, 6), excluded)
    assert again == training
    assert same(weights, others)


def test_the_network_sees_excluded_pixels() -> None:
    pixels = some_pixels()
    pixels[0, 0] = 1 - pixels[0, 0]
    excluded = none_excluded()
    excluded[0, 0] = True
    assert course(ROWS, excluded, pixels)[0] != course(ROWS, excluded)[0]


# --- reading seldom -----------------------------------------------------------------------------


@pytest.mark.parametrize("read_every", [4, 7, 16])
@pytest.mark.parametrize(("n_classes", "reason"), [(0, "max_iterations"), (1, "n_classes")])
def test_reading_seldom_alters_nothing(read_every: int, n_classes: int, reason: str) -> None:
    often, weights, told = course(HALVES, n_classes=n_classes)
    seldom, others, told_late = course(HALVES, n_classes=n_classes, read_every=read_every)
    assert len(often.steps) % read_every  # the end falls inside a window
    assert often.stop_reason == reason
    assert seldom == often
    assert same(weights, others)
    assert told_late == told == list(often.steps)


def test_weights_of_updates_past_the_stop_are_put_back() -> None:
    stopped, weights, _ = course(HALVES, n_classes=2, read_every=16)
    n_steps = len(stopped.steps)
    assert n_steps < 16
    _, there, _ = course(HALVES, max_iterations=n_steps)
    _, beyond, _ = course(HALVES, max_iterations=16)
    assert same(weights, there)
    assert not same(weights, beyond)


@pytest.mark.parametrize("stop_at", [3, 8, 18])
def test_read_seldom_it_is_stopped_at_the_same_step(stop_at: int) -> None:
    often, _, _ = course(stop_at=stop_at)
    seldom, _, told = course(stop_at=stop_at, read_every=8)
    assert seldom == often
    assert tuple(told) == often.steps


def test_the_last_window_may_be_shorter() -> None:
    training, _, told = course(max_iterations=10, read_every=4)
    assert training.stop_reason == "max_iterations"
    assert len(training.steps) == len(told) == 10


def test_a_loss_that_diverges_past_the_stop_is_not_told() -> None:
    often, _, _ = course(n_classes=N_RESPONSES, learning_rate=1e38)
    seldom, _, _ = course(n_classes=N_RESPONSES, learning_rate=1e38, read_every=18)
    assert seldom == often
    assert seldom.stop_reason == "n_classes"
    with pytest.raises(SettingError, match="diverged"):  # without the stop it is
        course(learning_rate=1e38, read_every=18)


# --- memory -------------------------------------------------------------------------------------


class Library:
    """A C library that records its calls."""

    def __init__(self) -> None:
        self.options: dict[int, int] = {}
        self.trimmed = 0

    def mallopt(self, option: int, value: int) -> int:
        self.options[option] = value
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.trimmed += 1
        return 1


def fail() -> None:
    raise ValueError("stop")


def test_freed_memory_is_kept_for_a_while_and_given_back_even_after_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = Library()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    with keeping_freed_memory():
        assert library.options == {-3: 2**31 - 1, -1: -1}
        assert library.trimmed == 0
    assert library.options == {-3: 2**25, -1: 2**26}
    assert library.trimmed == 1
    with pytest.raises(ValueError, match="stop"), keeping_freed_memory():
        fail()
    assert library.options == {-3: 2**25, -1: 2**26}
    assert library.trimmed == 2


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_without_glibc_it_trains_all_the_same(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _, _ = course(max_iterations=2)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert course(max_iterations=2)[0] == expected


def test_stopped_the_weights_are_those_of_that_step_however_seldom_it_is_read() -> None:
    _, weights, _ = course(HALVES, stop_at=3)
    _, others, _ = course(HALVES, stop_at=3, read_every=8)
    assert same(weights, others)


# --- several numbers of classes -----------------------------------------------------------------


@pytest.mark.parametrize("read_every", [1, 5])
@pytest.mark.parametrize("numbers", [[5, 3, 2], [2, 4, 3], [1, 2, 2], [0, 3]])
def test_one_training_has_those_to_all_numbers_of_classes(
    numbers: list[int], read_every: int
) -> None:
    """In whatever order they are asked for."""
    network = small_network()
    once = trainer(network, HALVES, read_every=read_every)
    lengths = []
    for number in numbers:
        expected, weights, _ = course(HALVES, n_classes=number)
        assert once.train_to(number) == expected
        assert same(weights_of(network), weights)
        lengths.append(len(expected.steps))
    assert len(set(lengths)) > 1


def test_iterations_are_told_once() -> None:
    once, told = trainer(superpixels=HALVES), list[int]()
    for number in (4, 2, 3, 0, 2):
        once.train_to(number, lambda step: told.append(step.iteration))
    assert told == list(range(1, 19))


def test_stopped_it_can_be_continued() -> None:
    def stop_at_third(step: Step) -> None:
        if step.iteration == 3:
            raise Stopped

    network = small_network()
    once = trainer(network, HALVES)
    assert len(once.train_to(0, stop_at_third).steps) == 3
    expected, weights, _ = course(HALVES)
    assert once.train_to(0) == expected
    assert same(weights_of(network), weights)


def test_the_weights_are_told_as_one_row_of_numbers() -> None:
    network = small_network()
    once = trainer(network)
    once.train_to(0)
    expected = np.concatenate([each.flatten().numpy() for each in weights_of(network)])
    assert once.weights().tolist() == expected.tolist()


# --- labels that the batch did not show ---------------------------------------------------------


class Blind(WholeImage):
    """Batches in which fewer labels are counted than there are."""

    def __init__(self, n_hidden: int) -> None:
        super().__init__(image_of(some_pixels()), divided(HALVES), CPU)
        self._n_hidden = n_hidden
        self.asked: list[tuple[int, int]] = []

    def next(self, network: Network) -> Batch:
        batch = super().next(network)
        strongest = batch.responses.argmax(dim=1)
        known = strongest < N_RESPONSES - self._n_hidden
        return Batch(batch.responses[known], batch.superpixel[known], batch.n_superpixels)

    def count(self, network: Network, counted: int, most: int) -> int:
        with torch.no_grad():
            n_labels = len(super().next(network).responses.argmax(dim=1).unique())
        self.asked.append((counted, n_labels))
        return n_labels


@pytest.mark.parametrize("read_every", [1, 7])
def test_it_ends_only_when_all_labels_are_counted(read_every: int) -> None:
    batches = Blind(2)
    once = Trainer(
        small_network(),
        batches,
        max_iterations=18,
        learning_rate=0.1,
        momentum=0.9,
        read_every=read_every,
    )
    training = once.train_to(3)
    assert all(counted <= 3 for counted, _ in batches.asked)
    assert all(n_labels > 3 for _, n_labels in batches.asked[:-1])
    assert len(batches.asked) > 1
    assert training.stop_reason == "n_classes"
    assert training.steps[-1].n_classes == batches.asked[-1][1] <= 3
