"""Studies: means and ranks compared with hand calculations."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.runs import run
from nital.errors import InputError
from nital.work.studies import normalise, study_classes, study_superpixels


def test_means_spreads_and_ranks_by_hand() -> None:
    study = study_classes(
        [
            run(2, 0, 4.0),
            run(2, 1, 6.0),
            run(3, 0, 1.0, Q=9.0, n_found=2),
            run(3, 1, 3.0, Q=11.0, n_found=3),
            run(4, 0, 3.0, Q=5.0),
            run(4, 1, 3.0, Q=5.0),
        ]
    )
    assert study.n_classes == (2, 3, 4)
    assert study.mean["F"] == (5, 2, 3)
    assert study.mean["F'"] == (10, 4, 6)
    assert study.spread["F"] == pytest.approx((math.sqrt(2), math.sqrt(2), 0))
    assert study.normalised["F"] == pytest.approx((1, 0, 1 / 3))
    assert study.ranking == {"F": (3, 4, 2), "F'": (3, 4, 2), "Q": (4, 3, 2)}
    assert study.best == 3
    assert study.mean_found == (2, 2.5, 4)
    assert study.repeats == (2, 2, 2)


def test_one_repeat_has_no_spread() -> None:
    assert math.isnan(study_classes([run()]).spread["F"][0])


def test_equal_means_rank_by_the_lower_number() -> None:
    assert study_classes([run(4), run(2), run(3)]).ranking["F"] == (2, 3, 4)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=9))
def test_normalised_values_keep_their_order(values: list[float]) -> None:
    found = normalise(values)
    assert min(found) == 0
    assert max(found) in (0, 1)
    assert all(
        a <= b
        for (x, a) in zip(values, found, strict=True)
        for (y, b) in zip(values, found, strict=True)
        if x <= y
    )


def test_the_map_by_hand() -> None:
    grid = {(5.0, 10): [4.0, 2.0], (5.0, 20): [1.0, 2.0], (9.0, 10): [7.0], (9.0, 20): [2.0]}
    study = study_superpixels(
        run(2, seed, f, compactness=m, n_superpixels=n)
        for (m, n), values in grid.items()
        for seed, f in enumerate(values)
    )
    assert study.compactness == (5, 9)
    assert study.n_superpixels == (10, 20)
    assert study.mean_f.tolist() == [[3, 1.5], [7, 2]]
    assert study.repeats.tolist() == [[2, 2], [1, 1]]
    assert study.best == (5, 20)


def test_a_map_with_holes() -> None:
    runs = [run(compactness=5.0, n_superpixels=10), run(compactness=9.0, n_superpixels=20)]
    with pytest.raises(InputError, match="finish the study"):
        study_superpixels(runs)
