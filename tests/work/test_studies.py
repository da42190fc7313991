"""Studies: the plan, any executor, means and ranks by hand."""

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nital import methods as segmenter
from nital.errors import InputError, SettingError
from nital.fast import sampling
from nital.fast.labelling import find_fine_classes
from nital.fast.sampling import Sample
from nital.image.micrograph import Micrograph
from nital.methods import prepare, segment
from nital.result.segmentation import FineClasses
from nital.settings import FAST, PAPER, Settings
from nital.work import studies
from nital.work.studies import (
    Run,
    execute,
    key_of,
    normalise,
    plan,
    study_classes,
    study_superpixels,
)

SMALL = replace(
    PAPER, n_filters=6, n_responses=5, max_iterations=3, device="cpu", threads=1, n_superpixels=20
)
MODES = pytest.mark.parametrize("settings", [SMALL, FAST], ids=["paper", "fast"])


def micrograph() -> Micrograph:
    rng = np.random.default_rng(0)
    return Micrograph.from_array(rng.random((16, 18)) + np.linspace(0, 2, 18).round())


def run(n_classes: int = 2, seed: int = 0, f: float = 1.0, **change: object) -> Run:
    made = Run(n_classes, 20.0, 100, seed, n_classes, 5, "n_classes", f, 2 * f, 3 * f, 0.1)
    return replace(made, **change)  # type: ignore[arg-type]


def plan_of(settings: Settings, n_classes: Sequence[int], repeats: int) -> list[Settings]:
    """A plan for either mode; in paper mode with superpixels of two kinds."""
    paper = settings.mode == "paper"
    return plan(
        settings,
        n_classes=n_classes,
        compactness=[5.0, 9.0] if paper else [settings.compactness],
        n_superpixels=[20 if paper else None],
        repeats=repeats,
    )


def untimed(runs: Iterable[Run]) -> dict[studies.Key, Run]:
    """Runs by their keys, without the seconds that they took."""
    return {each.key: replace(each, seconds=0) for each in runs}


def test_the_plan_has_every_combination_and_seed_once() -> None:
    runs = plan(
        replace(SMALL, seed=7),
        n_classes=[2, 3],
        compactness=[5.0, 20.0],
        n_superpixels=[10, 20, 30],
        repeats=4,
    )
    keys = {key_of(each) for each in runs}
    assert len(runs) == len(keys) == 2 * 2 * 3 * 4
    assert {key[3] for key in keys} == {7, 8, 9, 10}
    together = [
        pair for pair, _ in groupby((each.compactness, each.n_superpixels) for each in runs)
    ]
    assert len(together) == len(set(together)) == 6  # superpixels are found once for each pair


def test_a_plan_of_fast_mode_has_numbers_of_classes_and_seeds() -> None:
    runs = plan_of(replace(FAST, seed=7, scale="coarse"), [2, 3], repeats=3)
    assert [key_of(each) for each in runs] == [
        (k, 20.0, 0, seed) for k in (2, 3) for seed in (7, 8, 9)
    ]
    assert {each.scale for each in runs} == {"coarse"}


@pytest.mark.parametrize(("compactness", "n_superpixels"), [(5.0, None), (20.0, 10)])
def test_fast_mode_has_no_superpixels_to_plan(
    compactness: float, n_superpixels: int | None
) -> None:
    with pytest.raises(SettingError, match="fast mode has no such setting"):
        plan(
            FAST,
            n_classes=[2],
            compactness=[compactness],
            n_superpixels=[n_superpixels],
            repeats=1,
        )


@pytest.mark.parametrize(
    ("repeats", "seed", "said"),
    [(0, 0, "repeats 0"), (10**9, 0, "use 1 to 1000"), (2, 2**32 - 1, "leaves no room")],
)
def test_plans_that_can_not_be(repeats: int, seed: int, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        plan(
            replace(SMALL, seed=seed),
            n_classes=[2],
            compactness=[20.0],
            n_superpixels=[10],
            repeats=repeats,
        )


def spawned() -> Executor:
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))


@MODES
@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(2), spawned])
def test_any_executor_gives_the_same_runs(make: Callable[[], Executor], settings: Settings) -> None:
    runs = plan_of(settings, [2, 3], repeats=2)
    here = untimed(execute(micrograph(), runs))
    with make() as executor:
        there = untimed(execute(micrograph(), runs, executor=executor))
    assert here.keys() == {key_of(each) for each in runs}
    assert there == here


def test_a_run_of_paper_mode_is_the_segmentation_with_its_settings() -> None:
    (settings,) = plan(SMALL, n_classes=[3], compactness=[9.0], n_superpixels=[20], repeats=1)
    (found,) = execute(micrograph(), [settings])
    result = segment(micrograph(), settings=settings)
    assert found.key == key_of(settings) == (3, 9, 20, 0)
    assert found.n_found == result.n_classes
    assert result.training is not None
    assert found.iterations == len(result.training.steps)
    assert found.stop_reason == result.training.stop_reason
    assert (found.F, found.F_prime, found.Q) == (
        result.criteria.F,
        result.criteria.F_prime,
        result.criteria.Q,
    )


@pytest.mark.parametrize("regions", ["classes", "components"])
def test_a_run_of_fast_mode_has_neither_superpixels_nor_iterations(regions: str) -> None:
    (settings,) = plan_of(replace(FAST, seed=3, regions=regions), [4], repeats=1)
    (found,) = execute(micrograph(), [settings])
    result = segment(micrograph(), settings=settings)
    assert found.key == key_of(settings) == (4, 20, 0, 3)
    assert (found.n_superpixels, found.iterations, found.stop_reason) == (0, 0, "")
    assert found.n_found == result.n_classes
    assert (found.F, found.F_prime, found.Q) == (
        result.criteria.F,
        result.criteria.F_prime,
        result.criteria.Q,
    )


@MODES
def test_what_repeats_can_share_is_found_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []

    def counted(micrograph: Micrograph, settings: Settings) -> object:
        found.append(prepare(micrograph, settings))
        return found[-1]

    monkeypatch.setattr(studies, "prepare", counted)
    runs = plan_of(settings, [2, 3], repeats=2)
    together = list(execute(micrograph(), runs))
    pairs = {(each.compactness, each.n_superpixels) for each in runs}
    assert len(found) == len(pairs) == (1 if settings.mode == "fast" else 2)
    assert all(isinstance(each, Sample) == (settings.mode == "fast") for each in found)
    alone = [run for one in runs for run in execute(micrograph(), [one])]
    assert untimed(together) == untimed(alone)
    assert len(together) == len(alone) == len(runs)


# --- what is done together ----------------------------------------------------------------------


def labelled_together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many seeds each labelling of fast mode is for, from now on."""
    numbers: list[int] = []

    def counted(
        source: Micrograph, sample: Sample, centres: Sequence[NDArray[np.float32]], *rest: None
    ) -> list[FineClasses]:
        numbers.append(len(centres))
        return find_fine_classes(source, sample, centres, *rest)

    monkeypatch.setattr(segmenter, "find_fine_classes", counted)
    return numbers


def test_fast_mode_clusters_once_for_all_numbers_of_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = labelled_together(monkeypatch)
    found = list(execute(micrograph(), plan_of(FAST, [2, 3, 5], repeats=2)))
    assert numbers == [1, 1]
    assert [(each.seed, each.n_classes) for each in found] == [
        (seed, k) for seed in (0, 1) for k in (2, 3, 5)
    ]


def test_features_that_are_not_kept_are_found_once_for_several_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampling, "BLOCK_SIDE", 10)  # so the image has several blocks
    monkeypatch.setattr(studies, "SEEDS_AT_ONCE", 3)
    numbers = labelled_together(monkeypatch)
    runs = plan_of(replace(FAST, seed=4), [2, 5], repeats=5)
    together = list(execute(micrograph(), runs))
    assert numbers == [3, 2]
    assert [(each.seed, each.n_classes) for each in together] == [
        (seed, k) for seed in range(4, 9) for k in (2, 5)
    ]
    alone = [run for one in runs for run in execute(micrograph(), [one])]
    assert untimed(together) == untimed(alone)


def test_groups_of_runs_are_all_runs_of_a_seed_or_of_several() -> None:
    runs = plan_of(FAST, [2, 3], repeats=12)
    sample = prepare(micrograph(), FAST)
    assert isinstance(sample, Sample)
    kept, not_kept = (
        [[(each.seed, each.n_classes) for each in group] for group in groups]
        for groups in (
            studies._done_together(runs, sample),
            studies._done_together(runs, replace(sample, whole=None)),
        )
    )
    assert kept == [[(seed, 2), (seed, 3)] for seed in range(12)]
    assert [{seed for seed, _ in group} for group in not_kept] == [{*range(10)}, {10, 11}]
    assert sorted(run for group in not_kept for run in group) == sorted(
        run for group in kept for run in group
    )


def test_a_group_of_paper_mode_is_a_single_run() -> None:
    runs = plan(SMALL, n_classes=[2, 3], compactness=[5.0], n_superpixels=[20], repeats=2)
    assert studies._done_together(runs, prepare(micrograph(), SMALL)) == [[each] for each in runs]


def test_runs_come_one_by_one() -> None:
    runs = plan(SMALL, n_classes=[2], compactness=[20.0], n_superpixels=[20], repeats=3)
    arriving = execute(micrograph(), runs)
    assert next(arriving).seed == 0
    assert [each.seed for each in arriving] == [1, 2]


@given(
    st.builds(
        Run,
        n_classes=st.integers(2, 50),
        compactness=st.floats(0.001, 1000),
        n_superpixels=st.integers(0, 10**6),
        seed=st.integers(0, 2**32 - 1),
        n_found=st.integers(1, 50),
        iterations=st.integers(0, 500),
        stop_reason=st.sampled_from(["n_classes", "max_iterations", ""]),
        F=st.floats(0, 1e9),
        F_prime=st.floats(0, 1e9),
        Q=st.floats(0, 1e9),
        seconds=st.floats(0, 1e6),
    )
)
def test_a_journal_line_loses_nothing(each: Run) -> None:
    assert Run.from_row({key: str(value) for key, value in each.as_row().items()}) == each


def test_a_journal_line_that_is_none() -> None:
    row = {key: str(value) for key, value in run().as_row().items()}
    with pytest.raises(InputError, match="many"):
        Run.from_row(row | {"n_classes": "many"})


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
