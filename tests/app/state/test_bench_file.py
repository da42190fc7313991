"""The bench file: what is damaged is an error, and a file is written whole or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.benches import history, summary, trained
from nital.app.state.bench import Bench
from nital.app.state.bench_file import FILE, MODEL
from nital.errors import InputError, OutputError


def spoilt(**changes: Any) -> Callable[[str], str]:
    """Other values in what a bench has written; None takes one away."""

    def change(text: str) -> str:
        value = json.loads(text) | changes
        return json.dumps({key: each for key, each in value.items() if each is not None})

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "\0",
        lambda text: "{}",
        spoilt(version=2),
        spoilt(version=None),
        spoilt(settings=None),
        spoilt(settings={"magic": 1}),
        spoilt(exposure=None),
        spoilt(next=None),
        spoilt(fields=None),
        spoilt(fields=[1]),
        spoilt(fields=[{}]),
        spoilt(decisions=[{}]),
        spoilt(decisions=[{"class_of": [1], "names": {}}]),
        spoilt(decisions=[{"class_of": [-1] * 24, "names": {}}]),
        spoilt(decisions=[{"class_of": ["a"] * 24, "names": {}}]),
        spoilt(place="first"),
    ],
)
def test_a_file_that_is_damaged_or_of_another_nital_is_an_error(
    bench: Bench, change: Callable[[str], str]
) -> None:
    path = bench.folder / FILE
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=r"; (start a new session|create it again|copy or export)"):
        Bench(bench.folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "[]",
        lambda text: "null",
        spoilt(decisions=[{"class_of": [1, 2] * 12, "names": [1]}]),
        spoilt(decisions=[{"class_of": [10**30] * 24, "names": {}}]),
        spoilt(decisions=[{"class_of": [1, 2] * 12, "names": {"1": {"name": 3}}}]),
        spoilt(settings={"mode": "slow"}),
    ],
)
def test_a_file_that_is_damaged_in_other_ways_is_an_error(
    bench: Bench, change: Callable[[str], str]
) -> None:
    path = bench.folder / FILE
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=FILE):
        Bench(bench.folder)


def test_a_missing_model_is_an_error(bench: Bench) -> None:
    (bench.folder / MODEL).unlink()
    with pytest.raises(InputError, match=r"model\.nital: no such file"):
        Bench(bench.folder)


def refuse(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_change_is_written_whole_or_not_at_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = summary(Bench(bench.folder))
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OutputError, match=r"can't be written \(No space left on device\)"):
        bench.set_pixel_size(1, 3.0)
    assert summary(Bench(bench.folder)) == before
    assert not list(bench.folder.glob(".*"))


@pytest.mark.parametrize("areas", [(300, 500, 400), (1200,)])
def test_classes_of_paper_mode_are_read_back(bench: Bench, areas: tuple[float, ...]) -> None:
    bench.set_trained(trained(1, *areas))
    bench.rename(1, "ferrite")
    if len(areas) > 1:
        bench.join(2, 3)
        bench.undo()
    again = Bench(bench.folder)
    assert summary(again) == summary(bench)
    assert history(again) == history(bench)
    assert not again.is_fitted
    assert again.base is not None
    assert again.base.joining.statistics.errors.tolist() == [i / 7 for i in range(len(areas))]
