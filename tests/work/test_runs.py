"""Runs: the plan, executors, shared work, rows of the journal."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from helpers.runs import run
from nital.errors import InputError, SettingError
from nital.fast import method
from nital.fast.clustering import find_centres
from nital.fast.disturbances import DISTURBANCES
from nital.fast.labelling import find_fine_classes
from nital.fast.sampling import Sample
from nital.fast.settings import FAST
from nital.image import windows
from nital.image.micrograph import Micrograph
from nital.methods import method_of, prepare, segment
from nital.paper.settings import PAPER
from nital.result.fine import FineClasses
from nital.settings import Settings
from nital.work import runs as runs_module
from nital.work.runs import Key, Run, execute, key_of, plan, seed_of

pytestmark = pytest.mark.usefixtures("small_views")

SMALL = replace(
    PAPER, n_filters=6, n_responses=5, max_iterations=3, device="cpu", threads=1, n_superpixels=20
)
MODES = pytest.mark.parametrize("settings", [SMALL, FAST], ids=["paper", "fast"])


def micrograph() -> Micrograph:
    rng = np.random.default_rng(0)
    return Micrograph.from_array(rng.random((16, 18)) + np.linspace(0, 2, 18).round())


def plan_of(settings: Settings, n_classes: Sequence[int], repeats: int) -> list[Settings]:
    """A plan for either mode; in paper mode with two kinds of superpixels."""
    superpixels = {"compactness": [5.0, 9.0], "n_superpixels": [20]}
    varied = superpixels if settings.mode == "paper" else {}
    return plan(settings, repeats=repeats, **varied, n_classes=n_classes)


def untimed(runs: Iterable[Run]) -> dict[Key, Run]:
    """Runs by key, without their durations."""
    return {each.key: replace(each, seconds=0) for each in runs}


def test_the_plan_has_every_combination_and_seed_once() -> None:
    runs = plan(
        replace(SMALL, seed=7),
        repeats=4,
        compactness=[5.0, 20.0],
        n_superpixels=[10, 20, 30],
        n_classes=[2, 3],
    )
    keys = {key_of(each) for each in runs}
    assert len(runs) == len(keys) == 2 * 2 * 3 * 4
    assert {key[3] for key in keys} == {7, 8, 9, 10}
    together = [
        pair for pair, _ in groupby((each.compactness, each.n_superpixels) for each in runs)
    ]
    assert len(together) == len(set(together)) == 6  # superpixels are computed once for each pair


def test_a_plan_of_fast_mode_has_each_number_of_classes_once() -> None:
    runs = plan_of(replace(FAST, scale="coarse"), [2, 3], repeats=3)
    assert [key_of(each) for each in runs] == [(2, 20.0, 0, 0), (3, 20.0, 0, 0)]
    assert {each.scale for each in runs} == {"coarse"}


@pytest.mark.parametrize("varied", [{"compactness": [5.0]}, {"n_superpixels": [10, 20]}])
def test_fast_mode_has_no_superpixels_to_plan(varied: dict[str, list[float]]) -> None:
    with pytest.raises(SettingError, match="fast mode has no such setting"):
        plan(FAST, repeats=1, **varied)


@pytest.mark.parametrize(
    ("repeats", "seed", "said"),
    [(0, 0, "repeats 0"), (10**9, 0, "use 1 to 1000"), (2, 2**32 - 1, "too large for 2")],
)
def test_plans_that_can_not_be(repeats: int, seed: int, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        plan(replace(SMALL, seed=seed), repeats=repeats, n_classes=[2])


@pytest.mark.parametrize("repeats", [0, 10**9])
def test_repeats_of_fast_mode_are_checked_though_there_are_none(repeats: int) -> None:
    with pytest.raises(SettingError, match=f"repeats {repeats}: use 1 to 1000"):
        plan(FAST, repeats=repeats, n_classes=[2])


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
    (settings,) = plan(SMALL, n_classes=[3], compactness=[9.0], repeats=1)
    (found,) = execute(micrograph(), [settings])
    result = segment(micrograph(), settings=settings)
    assert found.key == key_of(settings) == (3, 9, 20, 0)
    assert found.n_found == result.n_classes
    assert found.iterations == result.details.summary()["iterations"]
    assert found.stop_reason == result.details.summary()["stop_reason"]
    assert (found.F, found.F_prime, found.Q) == (
        result.criteria.F,
        result.criteria.F_prime,
        result.criteria.Q,
    )


@pytest.mark.parametrize("regions", ["classes", "components"])
def test_a_run_of_fast_mode_has_neither_superpixels_nor_iterations(regions: str) -> None:
    (settings,) = plan_of(replace(FAST, regions=regions), [4], repeats=1)
    (found,) = execute(micrograph(), [settings])
    result = segment(micrograph(), settings=settings)
    assert found.key == key_of(settings) == (4, 20, 0, 0)
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

    monkeypatch.setattr(runs_module, "prepare", counted)
    runs = plan_of(settings, [2, 3], repeats=2)
    together = list(execute(micrograph(), runs))
    assert len(found) == len({key_of(each)[1:3] for each in runs})
    assert len(found) == (1 if settings.mode == "fast" else 2)
    assert all(isinstance(each, Sample) == (settings.mode == "fast") for each in found)
    alone = [run for one in runs for run in execute(micrograph(), [one])]
    assert untimed(together) == untimed(alone)
    assert len(together) == len(alone) == len(runs)


# --- what is done together ----------------------------------------------------------------------


def test_fast_mode_clusters_once_for_all_numbers_of_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clustered, labelled = [], []

    def cluster(values: NDArray[np.float32]) -> NDArray[np.float32]:
        clustered.append(len(values))
        return find_centres(values)

    def label(*given: Any) -> FineClasses:
        labelled.append(given)
        return find_fine_classes(*given)

    monkeypatch.setattr(method, "find_centres", cluster)
    monkeypatch.setattr(method, "find_fine_classes", label)
    found = list(execute(micrograph(), plan_of(FAST, [2, 3, 5], repeats=2)))
    assert len(labelled) == 1
    assert len(clustered) == len(DISTURBANCES)  # each view has its own
    assert [(each.seed, each.n_classes) for each in found] == [(0, 2), (0, 3), (0, 5)]


def test_fast_mode_runs_all_numbers_of_classes_as_one_group() -> None:
    runs = plan_of(FAST, [2, 3, 7], repeats=1)
    assert method_of("fast").group(runs, prepare(micrograph(), FAST)) == [runs]


def test_fast_mode_may_see_the_image_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 50)
    runs = plan_of(FAST, [2, 5], repeats=1)
    sample = prepare(micrograph(), FAST)
    assert isinstance(sample, Sample)
    assert sample.whole is None  # features are not kept
    together = list(execute(micrograph(), runs))
    alone = [run for one in runs for run in execute(micrograph(), [one])]
    assert untimed(together) == untimed(alone)


def test_a_group_of_paper_mode_is_a_training() -> None:
    runs = plan(SMALL, n_classes=[2, 3], repeats=2)
    groups = method_of("paper").group(runs, prepare(micrograph(), SMALL))
    assert [[key_of(each)[0] for each in group] for group in groups] == [[2, 3], [2, 3]]
    assert [{seed_of(each) for each in group} for group in groups] == [{0}, {1}]


def test_runs_come_one_by_one() -> None:
    runs = plan(SMALL, n_classes=[2], repeats=3)
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
