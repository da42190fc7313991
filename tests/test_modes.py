"""Modes: each has its method, and a third one needs a folder and a line."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import nital
from helpers.pictures import halves
from nital.errors import SettingError
from nital.image.micrograph import Micrograph
from nital.methods import method_of, segment_each
from nital.modes import MODES, settings_of
from nital.result.classes import from_dark_to_bright, tabulate_classes
from nital.result.criteria import criteria_of, measure_regions
from nital.result.fine import renumber
from nital.result.segmentation import Segmentation
from nital.settings import Settings
from nital.work.runs import execute, plan


@dataclass(frozen=True, kw_only=True)
class StepSettings(Settings):
    """Grey levels that are parted at equal steps, after an offset is added."""

    mode: ClassVar[str] = "step"
    about: ClassVar[str] = "equal steps"
    offset: int = 0


class StepMethod:
    """What a method has to bring, and no more."""

    settings = StepSettings

    def resolve(self, settings: StepSettings, micrograph: Micrograph) -> StepSettings:
        return replace(settings, offset=settings.offset % 256)

    def prepare(self, source: Micrograph, settings: StepSettings) -> NDArray[np.float32]:
        return source.grey

    def check_prepared(self, prepared: object, settings: StepSettings) -> None:
        assert isinstance(prepared, np.ndarray)

    def segment(
        self,
        micrograph: Micrograph,
        settings: StepSettings,
        prepared: NDArray[np.float32],
        **callbacks: object,
    ) -> Segmentation:
        grey = np.clip(prepared + settings.offset / 255, 0, 0.999)
        raw = (grey * int(settings.n_classes)).astype(np.int64)
        labels = (raw + 1).astype(np.uint8)
        renumber(labels, from_dark_to_bright(measure_regions(micrograph.pixels, labels)), labels)
        classes = measure_regions(micrograph.pixels, labels)
        return Segmentation(
            labels, tabulate_classes(classes), criteria_of(classes), settings, {"labels": 0.0}
        )

    def segment_each(
        self,
        micrograph: Micrograph,
        wanted: Sequence[StepSettings],
        prepared: NDArray[np.float32],
    ) -> Iterator[Segmentation]:
        for settings in wanted:
            yield self.segment(micrograph, self.resolve(settings, micrograph), prepared)

    def group(
        self, wanted: Sequence[StepSettings], prepared: NDArray[np.float32]
    ) -> list[list[StepSettings]]:
        return [list(wanted)]


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method `step`, in a folder and a line of its own."""
    module = ModuleType("nital.step.method")
    module.METHOD = StepMethod()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nital.step", ModuleType("nital.step"))
    monkeypatch.setitem(sys.modules, "nital.step.method", module)
    monkeypatch.setitem(MODES, "step", StepSettings)


@pytest.mark.parametrize("mode", ["fast", "paper"])
def test_a_mode_has_its_method(mode: str) -> None:
    assert method_of(mode).settings is MODES[mode]
    assert MODES[mode].mode == mode


@pytest.mark.parametrize("settings", ["swift", None, Settings(n_classes=2)])
def test_settings_of_no_method_are_refused(settings: Any) -> None:
    with pytest.raises(SettingError, match="unknown; use one of fast, paper"):
        nital.segment(halves(), settings=settings)


@pytest.mark.usefixtures("third")
def test_a_third_method_segments() -> None:
    found = nital.segment(halves(), 2, settings=settings_of("step", offset=3))
    assert [row.area_fraction for row in found.classes] == [0.5, 0.5]
    assert found.settings.as_dict()["offset"] == 3
    assert set(found.seconds) == {"preparation", "labels"}


@pytest.mark.usefixtures("third")
def test_a_third_method_has_settings_of_its_own() -> None:
    with pytest.raises(SettingError, match=r"offset 3: fast mode .* or use mode step"):
        settings_of("fast", offset=3)
    with pytest.raises(SettingError, match=r"scale 'fine': step mode .* or use mode fast"):
        settings_of("step", scale="fine")


@pytest.mark.usefixtures("third")
def test_a_third_method_is_studied() -> None:
    micrograph = Micrograph.from_array(halves())
    runs = plan(settings_of("step"), repeats=4, n_classes=[2, 3])  # it has no seed to repeat
    assert [run.n_classes for run in execute(micrograph, runs)] == [2, 3]
    each = segment_each(micrograph, runs, prepared=micrograph.grey)
    assert [result.settings.n_classes for result in each] == [2, 3]
