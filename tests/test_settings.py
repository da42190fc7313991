"""Settings: the presets of the modes, and an error for everything out of range."""

from dataclasses import FrozenInstanceError, asdict, replace
from typing import Any

import pytest

from nital.errors import SettingError
from nital.settings import FAST, PAPER, PRESETS, Settings


def test_the_papers_values() -> None:
    assert (PAPER.n_layers, PAPER.n_filters, PAPER.n_responses) == (2, 100, 50)
    assert (PAPER.compactness, PAPER.learning_rate, PAPER.momentum) == (20, 0.1, 0.9)
    assert PAPER.mode == "paper"


def test_fast_mode_is_the_default() -> None:
    assert Settings() == FAST
    assert FAST.mode == "fast"
    assert {mode: preset.mode for mode, preset in PRESETS.items()} == {
        "fast": "fast",
        "paper": "paper",
    }


@pytest.mark.parametrize("mode", ["fast", "paper"])
def test_a_mode_brings_its_preset(mode: str) -> None:
    assert Settings.of(mode) == PRESETS[mode]
    nothing = dict.fromkeys(set(asdict(FAST)) - {"mode"})
    assert Settings.of(mode, **nothing) == PRESETS[mode]
    assert Settings.of(mode, seed=0, n_filters=5) == replace(PRESETS[mode], n_filters=5)


def test_an_unknown_mode_has_no_preset() -> None:
    with pytest.raises(SettingError, match="mode 'swift': unknown; use one of fast, paper"):
        Settings.of("swift", n_classes=2)


def test_changes_of_a_preset_are_checked() -> None:
    assert Settings.of("paper", n_classes=50).n_classes == 50
    with pytest.raises(SettingError, match="n_classes 50: more than the network's 24 responses"):
        Settings.of("fast", n_classes=50)


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PAPER.n_classes = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [
        {"n_classes": 2},
        {"n_classes": 50},
        {"n_classes": 60, "n_responses": 60},
        {"n_superpixels": 1},
        {"seed": 2**32 - 1},
        {"momentum": 0},
        {"threads": 1, "device": "cpu", "regions": "components"},
    ],
)
def test_values_at_the_edge_are_taken(change: dict[str, Any]) -> None:
    assert replace(PAPER, **change) != PAPER


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": "swift"}, "mode 'swift': unknown; use one of fast, paper"),
        ({"regions": "grains"}, "'grains': unknown; use one of classes, components"),
        ({"device": "tpu"}, "device 'tpu': unknown; use one of auto, cpu, cuda, mps"),
        ({"n_classes": 1}, "n_classes 1: too small; use 2 or more"),
        ({"n_classes": -3}, "n_classes -3: too small"),
        ({"n_classes": 25}, "n_classes 25: more than the network's 24 responses"),
        ({"n_classes": 2.0}, "n_classes 2.0: not a whole number"),
        ({"n_classes": True}, "n_classes True: not a whole number"),
        ({"n_superpixels": 0}, "n_superpixels 0: too small"),
        ({"n_layers": 0}, "n_layers 0"),
        ({"n_filters": 0}, "n_filters 0"),
        ({"n_responses": 1}, "n_responses 1"),
        ({"max_iterations": 0}, "max_iterations 0"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**32}, "seed 4294967296: too large"),
        ({"threads": 0}, "threads 0"),
        ({"threads": 1025}, "threads 1025: too many"),
        ({"compactness": 0.0}, "compactness 0.0"),
        ({"compactness": float("nan")}, "compactness nan"),
        ({"learning_rate": -0.1}, "learning_rate -0.1"),
        ({"learning_rate": float("inf")}, "learning_rate inf"),
        ({"momentum": 1.0}, "momentum 1.0"),
        ({"momentum": float("nan")}, "momentum nan"),
    ],
)
def test_values_out_of_range(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings(**change)
    assert said in str(caught.value)


def test_papers_responses_bound_its_classes() -> None:
    with pytest.raises(SettingError, match="n_classes 51: more than the network's 50 responses"):
        replace(PAPER, n_classes=51)
