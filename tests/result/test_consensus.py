"""Consensus: the majority vote of aligned maps."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nital.result.consensus import Consensus, find_consensus


def as_map(*rows: str) -> NDArray[np.uint8]:
    return np.array([[int(digit) for digit in row] for row in rows], np.uint8)


def consensus_of(maps: Sequence[NDArray[np.uint8]]) -> Consensus:
    """Excluded is what has no class in the first map."""
    return find_consensus(maps, maps[0] == 0)


def test_votes_by_hand() -> None:
    found = consensus_of([as_map("11223"), as_map("11233"), as_map("12223")])
    assert found.labels.tolist() == [[1, 1, 2, 2, 3]]
    assert found.agreement[0] == pytest.approx([1, 2 / 3, 1, 2 / 3, 1])
    assert found.fractions == pytest.approx(np.array([[2, 2, 1], [2, 1, 2], [1, 3, 1]]) / 5)


def test_numbers_of_other_maps_are_matched_first() -> None:
    found = consensus_of([as_map("1122", "1133"), as_map("3311", "3322"), as_map("2233", "2211")])
    assert (found.agreement == 1).all()
    assert len(np.unique(found.labels)) == 3
    assert (found.fractions == found.fractions[0]).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 5))
def test_renumbered_copies_of_one_map_agree_everywhere(seed: int, k: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.resize(np.arange(1, k + 1), 60)).reshape(6, 10).astype(np.uint8)
    maps = [np.append(0, rng.permutation(k) + 1).astype(np.uint8)[labels] for _ in range(n)]
    found = consensus_of(maps)
    assert (found.agreement == 1).all()
    pairs = set(zip(labels.ravel().tolist(), found.labels.ravel().tolist(), strict=True))
    assert len(pairs) == k


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(2, 6))
def test_agreement_and_fractions_are_those_of_the_aligned_maps(seed: int, k: int, n: int) -> None:
    maps = list(np.random.default_rng(seed).integers(1, k + 1, (n, 7, 9)).astype(np.uint8))
    found = consensus_of(maps)
    assert found.fractions.sum(axis=1) == pytest.approx(np.ones(n))
    assert (found.agreement >= 1 / n - 1e-6).all()
    assert found.agreement * n == pytest.approx(np.round(found.agreement * n), abs=1e-4)
    # Each vote lies in the area of its class in some repeat.
    votes = found.agreement.sum(dtype=float) * n
    assert votes <= n * maps[0].size + 1e-6


def test_excluded_pixels_stay_so() -> None:
    found = consensus_of([as_map("0112", "0222"), as_map("0221", "0111")])
    assert (found.labels[:, 0] == 0).all()
    assert (found.agreement[:, 0] == 0).all()
    assert found.fractions.sum(axis=1) == pytest.approx([1, 1])


def test_a_repeat_with_fewer_classes_has_none_of_one() -> None:
    found = consensus_of([as_map("112233"), as_map("112233"), as_map("111122")])
    assert found.labels.tolist() == [[1, 1, 2, 2, 3, 3]]
    assert sorted(found.fractions[2].tolist()) == pytest.approx([0, 1 / 3, 2 / 3])


def test_equal_votes_go_to_the_lowest_class() -> None:
    found = consensus_of([as_map("1112222"), as_map("1122222")])
    assert found.labels.tolist() in ([[1, 1, 1, 2, 2, 2, 2]], [[1, 1, 2, 2, 2, 2, 2]])
    assert found.labels[0, 2] == 1


def test_the_maps_are_left_as_they_were() -> None:
    maps = [as_map("1122"), as_map("2211")]
    before = [each.copy() for each in maps]
    consensus_of(maps)
    assert all((one == other).all() for one, other in zip(maps, before, strict=True))


def test_what_is_excluded_counts_in_no_area_fraction() -> None:
    """Views have labels of excluded pixels too, which are needed next to them."""
    excluded = np.array([[False, True, False, True]])
    maps = [as_map("1122"), as_map("1221"), as_map("1122")]
    found = find_consensus(maps, excluded)
    assert found.labels.tolist() == [[1, 1, 2, 2]]
    assert found.agreement[0] == pytest.approx([1, 2 / 3, 1, 2 / 3])
    assert found.fractions == pytest.approx(np.full((3, 2), 0.5))


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(2, 6), st.floats(0, 0.9))
def test_fractions_are_those_of_the_included_area(seed: int, k: int, n: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    maps = list(rng.integers(1, k + 1, (n, 7, 9)).astype(np.uint8))
    excluded = rng.random((7, 9)) < share
    if excluded.all():
        return
    found = find_consensus(maps, excluded)
    everywhere = find_consensus(maps, np.zeros((7, 9), bool))
    assert (found.labels == everywhere.labels).all()
    assert (found.agreement == everywhere.agreement).all()
    for fractions, own in zip(found.fractions, maps, strict=True):
        counts = np.bincount(own[~excluded], minlength=k + 1)[1:] / (~excluded).sum()
        assert sorted(fractions) == pytest.approx(sorted(counts[: len(fractions)]))
