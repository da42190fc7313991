"""Settings: what each mode knows, and an error for everything out of range."""

from dataclasses import FrozenInstanceError, asdict, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nital.errors import SettingError
from nital.settings import FAST, MAX_CLASSES, PAPER, Settings

PAPER_ONLY: dict[str, Any] = {
    "n_superpixels": 100,
    "compactness": 5.0,
    "n_layers": 3,
    "n_filters": 10,
    "n_responses": 24,
    "learning_rate": 0.05,
    "momentum": 0.5,
    "max_iterations": 64,
    "device": "cpu",
    "threads": 1,
}
"""The settings that paper mode alone knows, with values other than the defaults."""

BOTH: dict[str, Any] = {"n_classes": 4, "repeats": 5, "seed": 7, "regions": "components"}


def test_the_papers_values() -> None:
    assert (PAPER.n_layers, PAPER.n_filters, PAPER.n_responses) == (2, 100, 50)
    assert (PAPER.compactness, PAPER.learning_rate, PAPER.momentum) == (20, 0.1, 0.9)
    assert PAPER.mode == "paper"


def test_fast_mode_is_the_default() -> None:
    assert Settings() == FAST
    assert (FAST.mode, FAST.n_classes, FAST.seed, FAST.scale) == ("fast", 3, 0, "fine")


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PAPER.n_classes = 4  # type: ignore[misc]


# --- what a mode knows --------------------------------------------------------------------------


def test_every_setting_belongs_to_one_mode_or_to_both() -> None:
    assert {f.name for f in fields(Settings)} == {"mode", "scale", *BOTH, *PAPER_ONLY}


@pytest.mark.parametrize("name", PAPER_ONLY)
def test_what_belongs_to_paper_mode_is_refused_in_fast_mode(name: str) -> None:
    value = PAPER_ONLY[name]
    assert getattr(replace(PAPER, **{name: value}), name) == value
    with pytest.raises(SettingError) as caught:
        replace(FAST, **{name: value})
    assert str(caught.value) == (
        f"{name} {value!r}: fast mode has no such setting; leave it out, or use mode paper"
    )


@pytest.mark.parametrize("scale", ["medium", "coarse"])
def test_the_scale_belongs_to_fast_mode(scale: str) -> None:
    assert replace(FAST, scale=scale).scale == scale
    with pytest.raises(SettingError, match=f"scale '{scale}': paper mode has no such.* mode fast"):
        replace(PAPER, scale=scale)


def test_the_defaults_of_the_other_mode_may_be_named() -> None:
    for settings in (FAST, PAPER):
        assert Settings(**asdict(settings)) == settings


@pytest.mark.parametrize("name", BOTH)
def test_what_belongs_to_both_modes(name: str) -> None:
    for settings in (FAST, PAPER):
        assert getattr(replace(settings, **{name: BOTH[name]}), name) == BOTH[name]


def test_the_mode_can_be_changed_where_nothing_is_set_for_one_alone() -> None:
    assert replace(PAPER, mode="fast", **BOTH) == replace(FAST, **BOTH)
    with pytest.raises(SettingError, match="n_filters 10: fast mode has no such setting"):
        replace(replace(PAPER, n_filters=10), mode="fast")


def test_settings_in_use_are_those_that_the_mode_knows() -> None:
    assert FAST.in_use == {
        "mode": "fast",
        "n_classes": 3,
        "repeats": None,
        "seed": 0,
        "regions": "classes",
        "scale": "fine",
    }
    assert set(PAPER.in_use) == {"mode", *BOTH, *PAPER_ONLY}
    everything = Settings(mode="paper", **BOTH, **PAPER_ONLY)
    assert everything.in_use == {"mode": "paper", **BOTH, **PAPER_ONLY}


@pytest.mark.parametrize("settings", [FAST, PAPER, replace(FAST, scale="coarse", n_classes=24)])
def test_settings_are_made_again_from_those_in_use(settings: Settings) -> None:
    assert Settings(**settings.in_use) == settings


# --- changes of the defaults --------------------------------------------------------------------


def test_changes_of_the_defaults() -> None:
    assert Settings.of() == FAST
    assert Settings.of(mode="paper") == PAPER
    assert Settings.of(mode="paper", **PAPER_ONLY) == replace(PAPER, **PAPER_ONLY)
    assert Settings.of(seed=0, n_classes=5) == replace(FAST, n_classes=5)
    assert Settings.of(mode="paper", momentum=0) == replace(PAPER, momentum=0)


@pytest.mark.parametrize("settings", [FAST, PAPER])
def test_a_change_of_none_leaves_the_default(settings: Settings) -> None:
    nothing = dict.fromkeys(set(asdict(settings)) - {"mode"})
    assert Settings.of(mode=settings.mode, **nothing) == settings
    assert Settings.of(**nothing, mode=None) == FAST


def test_changes_are_checked() -> None:
    with pytest.raises(SettingError, match="mode 'swift': unknown; use one of fast, paper"):
        Settings.of(mode="swift", n_classes=2)
    with pytest.raises(SettingError, match=r"compactness 5\.0: fast mode has no such setting"):
        Settings.of(compactness=5.0)
    with pytest.raises(TypeError, match="n_colours"):
        Settings.of(n_colours=3)


# --- how they are shown -------------------------------------------------------------------------


def test_only_settings_in_use_are_shown() -> None:
    assert repr(replace(FAST, scale="medium")) == (
        "Settings(mode='fast', n_classes=3, repeats=None, seed=0, regions='classes',"
        " scale='medium')"
    )
    assert repr(PAPER) == (
        "Settings(mode='paper', n_classes=3, repeats=None, seed=0, regions='classes',"
        " n_superpixels=None, compactness=20.0, n_layers=2, n_filters=100, n_responses=50,"
        " learning_rate=0.1,"
        " momentum=0.9, max_iterations=500, device='auto', threads=None)"
    )


@given(
    st.builds(
        Settings,
        n_classes=st.integers(2, MAX_CLASSES) | st.just("auto"),
        repeats=st.none() | st.integers(1, 255),
        seed=st.integers(0, 2**31),
        regions=st.sampled_from(["classes", "components"]),
        scale=st.sampled_from(["fine", "medium", "coarse"]),
    )
    | st.builds(
        Settings,
        mode=st.just("paper"),
        n_classes=st.integers(2, 50),
        n_superpixels=st.none() | st.integers(1, 10**6),
        compactness=st.floats(0.001, 1000),
        momentum=st.floats(0, 1, exclude_max=True),
        device=st.sampled_from(["auto", "cpu", "cuda", "mps"]),
        threads=st.none() | st.integers(1, 1024),
    )
)
def test_what_is_shown_makes_the_same_settings(settings: Settings) -> None:
    assert eval(repr(settings)) == settings


# --- ranges -------------------------------------------------------------------------------------


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
        {"repeats": 255, "seed": 2**32 - 255},
        {"threads": 1024, "max_iterations": 1, "n_layers": 1, "n_filters": 1},
        {"n_classes": 2, "n_responses": 2},
    ],
)
def test_values_at_the_edge_are_taken_in_paper_mode(change: dict[str, Any]) -> None:
    assert replace(PAPER, **change) != PAPER


@pytest.mark.parametrize(
    "change",
    [
        {"n_classes": 2},
        {"n_classes": 24},
        {"n_classes": "auto"},
        {"seed": 2**32 - 1},
        {"repeats": 255, "seed": 2**32 - 255},
        {"scale": "coarse"},
    ],
)
def test_values_at_the_edge_are_taken_in_fast_mode(change: dict[str, Any]) -> None:
    assert replace(FAST, **change) != FAST


@pytest.mark.parametrize("mode", ["fast", "paper"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": "swift"}, "mode 'swift': unknown; use one of fast, paper"),
        ({"regions": "grains"}, "'grains': unknown; use one of classes, components"),
        ({"scale": "huge"}, "scale 'huge': unknown; use one of fine, medium, coarse"),
        ({"device": "tpu"}, "device 'tpu': unknown; use one of auto, cpu, cuda, mps"),
        ({"n_classes": 1}, "n_classes 1: too small; use 2 or more"),
        ({"n_classes": -3}, "n_classes -3: too small"),
        ({"n_classes": 2.0}, "n_classes 2.0: not a whole number"),
        ({"n_classes": "many"}, "n_classes 'many': not a whole number; use 2 or more, or 'auto'"),
        ({"n_classes": True}, "n_classes True: not a whole number"),
        ({"n_superpixels": 0}, "n_superpixels 0: too small"),
        ({"n_layers": 0}, "n_layers 0"),
        ({"n_filters": 0}, "n_filters 0"),
        ({"n_responses": 1}, "n_responses 1"),
        ({"max_iterations": 0}, "max_iterations 0"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**32}, "seed 4294967296: too large"),
        ({"seed": 2**32 - 254, "repeats": 255}, "seed 4294967042: too large"),
        ({"repeats": 0}, "repeats 0: too small; use 1 or more"),
        ({"repeats": 256}, "repeats 256: too many; use 1 to 255"),
        ({"repeats": 2.5}, "repeats 2.5: not a whole number"),
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
def test_values_out_of_range(change: dict[str, Any], said: str, mode: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings(**{"mode": mode} | change)
    assert said in str(caught.value)


def test_fast_mode_keeps_at_most_24_classes() -> None:
    with pytest.raises(SettingError, match="n_classes 25: ask for at most 24"):
        replace(FAST, n_classes=25)


def test_papers_responses_bound_its_classes() -> None:
    with pytest.raises(SettingError, match="n_classes 51: more than the network's 50 responses"):
        replace(PAPER, n_classes=51)


def test_fast_mode_alone_finds_the_number_of_classes_itself() -> None:
    assert Settings(n_classes="auto").n_classes == "auto"
    with pytest.raises(SettingError, match="n_classes 'auto': paper mode needs a number"):
        replace(PAPER, n_classes="auto")


def test_one_repeat_is_the_default_and_ten_where_the_number_is_found() -> None:
    assert (FAST.n_repeats, PAPER.n_repeats) == (1, 1)
    assert Settings(n_classes="auto").n_repeats == 10
    for settings in (FAST, Settings(n_classes="auto"), PAPER):
        assert replace(settings, repeats=4).n_repeats == 4
    with pytest.raises(SettingError, match=f"seed {2**32 - 9}"):  # no room for ten
        Settings(n_classes="auto", seed=2**32 - 9)
