"""Settings: the fields of each mode, and an error for everything out of range."""

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import docstring_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nital.errors import SettingError
from nital.fast.settings import FAST, MAX_CLASSES, FastSettings
from nital.modes import MODES, settings_of
from nital.paper.settings import PAPER, PaperSettings
from nital.settings import Settings

PAPER_ONLY: dict[str, Any] = {
    "n_superpixels": 100,
    "compactness": 5.0,
    "exact": True,
    "join_from": 9,
    "n_layers": 3,
    "n_filters": 10,
    "n_responses": 24,
    "learning_rate": 0.05,
    "momentum": 0.5,
    "max_iterations": 64,
    "device": "cpu",
    "threads": 1,
    "repeats": 5,
    "seed": 7,
}
"""The settings that only paper mode has, with values other than the defaults."""

BOTH: dict[str, Any] = {"n_classes": 4, "regions": "components"}


def test_the_papers_values() -> None:
    assert (PAPER.n_layers, PAPER.n_filters, PAPER.n_responses) == (2, 100, 50)
    assert (PAPER.compactness, PAPER.learning_rate, PAPER.momentum) == (20, 0.1, 0.9)
    assert PAPER.mode == "paper"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("paper", (2, 50, None, 20, 0.1, 500, 3)),
        ("notebook", (4, 100, 4000, 20, 0.1, 500, 4)),
        ("script", (2, 100, 10_000, 10, 1e-4, 1000, 3)),
    ],
)
def test_presets_by_name(name: str, expected: tuple[object, ...]) -> None:
    found = settings_of("paper", preset=name)
    assert isinstance(found, PaperSettings)
    assert (
        *(found.n_layers, found.n_responses, found.n_superpixels, found.compactness),
        *(found.learning_rate, found.max_iterations, found.n_classes),
    ) == expected
    assert settings_of("paper", preset=name, n_layers=3) == replace(found, n_layers=3)


def test_unknown_presets_are_refused() -> None:
    with pytest.raises(SettingError, match="preset 'x': unknown; use one of paper, notebook"):
        settings_of("paper", preset="x")
    with pytest.raises(SettingError, match="preset 'paper': fast mode has none; leave it out"):
        settings_of("fast", preset="paper")


@pytest.mark.parametrize(
    ("join_from", "said"), [(2, "join_from 2: too small; use 3"), (51, "join_from 51: more than")]
)
def test_it_joins_from_more_classes_than_are_asked_for(join_from: int, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        PaperSettings(n_classes=3, join_from=join_from)


def test_fast_mode_is_the_default() -> None:
    assert FastSettings() == FAST
    assert (FAST.mode, FAST.n_classes, FAST.scale) == ("fast", 3, "fine")


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PAPER.n_classes = 4  # type: ignore[misc]


# --- what a mode knows --------------------------------------------------------------------------


def test_a_method_has_only_its_own_settings() -> None:
    assert {f.name for f in fields(Settings)} == {*BOTH}
    assert {f.name for f in fields(FastSettings)} == {*BOTH, "scale", "light"}
    assert {f.name for f in fields(PaperSettings)} == {*BOTH, *PAPER_ONLY}


@pytest.mark.parametrize("kind", MODES.values())
def test_every_setting_is_described(kind: type[Settings]) -> None:
    described = {
        param.arg_name
        for each in kind.__mro__
        for param in docstring_parser.parse(each.__doc__ or "").params
    }
    assert {f.name for f in fields(kind)} <= described


@pytest.mark.parametrize("settings", [FAST, PAPER, replace(FAST, scale="coarse", n_classes=24)])
def test_settings_are_made_again_from_their_values(settings: Settings) -> None:
    assert settings_of(**settings.as_dict()) == settings
    assert list(settings.as_dict()) == ["mode", *(f.name for f in fields(settings))]


# --- by mode and by name ------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAPER_ONLY)
def test_what_belongs_to_paper_mode_is_refused_in_fast_mode(name: str) -> None:
    value = PAPER_ONLY[name]
    assert settings_of("paper", **{name: value}) == replace(PAPER, **{name: value})
    with pytest.raises(SettingError) as caught:
        settings_of("fast", **{name: value})
    assert str(caught.value) == (
        f"{name} {value!r}: fast mode has no such setting; leave it out, or use mode paper"
    )


@pytest.mark.parametrize("scale", ["fine", "medium", "coarse"])
def test_the_scale_belongs_to_fast_mode(scale: str) -> None:
    assert settings_of("fast", scale=scale) == replace(FAST, scale=scale)
    with pytest.raises(SettingError, match=f"scale '{scale}': paper mode has no such.* mode fast"):
        settings_of("paper", scale=scale)


@pytest.mark.parametrize("name", BOTH)
def test_what_belongs_to_both_modes(name: str) -> None:
    for settings in (FAST, PAPER):
        assert settings_of(settings.mode, **{name: BOTH[name]}) == replace(
            settings, **{name: BOTH[name]}
        )


@pytest.mark.parametrize("settings", [FAST, PAPER])
def test_none_leaves_the_default(settings: Settings) -> None:
    nothing = dict.fromkeys([*BOTH, *PAPER_ONLY, "scale"])
    assert settings_of(settings.mode, **nothing) == settings


def test_modes_and_names_are_checked() -> None:
    with pytest.raises(SettingError, match="mode 'swift': unknown; use one of fast, paper"):
        settings_of("swift", n_classes=2)
    with pytest.raises(SettingError, match="n_colours 3: fast mode has no such setting; leave it"):
        settings_of("fast", n_colours=3)


@given(
    st.builds(
        FastSettings,
        n_classes=st.integers(2, MAX_CLASSES) | st.just("auto"),
        regions=st.sampled_from(["classes", "components"]),
        scale=st.sampled_from(["fine", "medium", "coarse"]),
    )
    | st.builds(
        PaperSettings,
        n_classes=st.integers(2, 50),
        repeats=st.integers(1, 255),
        seed=st.integers(0, 2**31),
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
        {"regions": "components"},
        {"scale": "coarse"},
    ],
)
def test_values_at_the_edge_are_taken_in_fast_mode(change: dict[str, Any]) -> None:
    assert replace(FAST, **change) != FAST


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"regions": "grains"}, "'grains': unknown; use one of classes, components"),
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
def test_values_out_of_range(change: dict[str, Any], said: str) -> None:
    for kind in (PaperSettings, FastSettings)[: 1 if change.keys() & PAPER_ONLY.keys() else 2]:
        with pytest.raises(SettingError) as caught:
            kind(**change)
        assert said in str(caught.value)


def test_scales_that_are_not_there() -> None:
    with pytest.raises(SettingError, match="scale 'huge': unknown; use one of fine, medium, coar"):
        FastSettings(scale="huge")


def test_fast_mode_keeps_at_most_24_classes() -> None:
    with pytest.raises(SettingError, match="n_classes 25: ask for at most 24"):
        replace(FAST, n_classes=25)


def test_papers_responses_bound_its_classes() -> None:
    with pytest.raises(SettingError, match="n_classes 51: more than the network's 50 responses"):
        replace(PAPER, n_classes=51)


def test_fast_mode_alone_finds_the_number_of_classes_itself() -> None:
    assert FastSettings(n_classes="auto").n_classes == "auto"
    with pytest.raises(SettingError, match="n_classes 'auto': paper mode needs a number"):
        replace(PAPER, n_classes="auto")


def test_one_repeat_of_seed_0_is_the_default() -> None:
    assert (PAPER.repeats, PAPER.seed) == (1, 0)
    with pytest.raises(SettingError, match=f"seed {2**32 - 9}: too large for 10 repeats; use 0 to"):
        replace(PAPER, repeats=10, seed=2**32 - 9)  # no room for ten


@pytest.mark.parametrize("name", ["seed", "repeats"])
def test_fast_mode_has_nothing_of_chance(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        FastSettings(**{name: 1})  # type: ignore[arg-type]


@pytest.mark.parametrize("exact", ["yes", 1, None])
def test_exact_is_true_or_false(exact: Any) -> None:
    with pytest.raises(SettingError, match=r"exact .*: must be True or False"):
        PaperSettings(exact=exact)
