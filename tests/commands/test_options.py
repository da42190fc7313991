"""Options: they follow from the settings, and no value is altered on the way."""

from dataclasses import MISSING, Field, fields, replace
from typing import Any

import pytest

from helpers.terminal import Nital
from nital.commands.cli import app
from nital.commands.options import AnySettings, FitSettings, MapSettings, options_of
from nital.fast.settings import FastSettings
from nital.modes import MODES, settings_of
from nital.paper.settings import NOTEBOOK, PaperSettings
from nital.settings import Settings

EVERY = [
    pytest.param(kind, field, id=f"{kind.mode}-{field.name}")
    for kind in MODES.values()
    for field in fields(kind)
]
OTHER_THAN_DEFAULT = {
    "n_classes": 5,
    "repeats": 2,
    "seed": 3,
    "regions": "components",
    "scale": "coarse",
    "light": "kept",
    "n_superpixels": 77,
    "compactness": 3.5,
    "n_layers": 3,
    "n_filters": 7,
    "n_responses": 9,
    "learning_rate": 0.25,
    "momentum": 0.5,
    "max_iterations": 4,
    "device": "cpu",
    "threads": 1,
    "exact": True,
    "join_from": 8,
}


def flag_of(field: "Field[Any]") -> str:
    return "--" + str(field.metadata.get("flag", field.name)).replace("_", "-")


@pytest.mark.parametrize(("kind", "field"), EVERY)
def test_every_setting_is_an_option_with_its_text_and_default(
    kind: type[Settings], field: "Field[Any]", nital: Nital
) -> None:
    (argument,) = (
        each
        for each in app["segment"].assemble_argument_collection()
        if flag_of(field) in each.names
    )
    assert argument.parameter.help
    default = field.default
    if default not in (None, MISSING) and default is not False:
        text = " ".join(nital("segment", "--help").out.replace("│", " ").split())
        assert f"[default: {default}]" in text


@pytest.mark.parametrize(("kind", "field"), EVERY)
def test_what_is_given_arrives(kind: type[Settings], field: "Field[Any]") -> None:
    value = OTHER_THAN_DEFAULT[field.name]
    texts = [] if value is True else [str(value)]
    _, bound, _ = app.parse_args(
        ["segment", "a.png", "--mode", kind.mode, flag_of(field), *texts],
        exit_on_error=False,
        print_error=False,
    )
    given = bound.arguments["given"].values
    assert given == {field.name: value}
    assert type(given[field.name]) is type(value)
    assert getattr(settings_of(kind.mode, **given), field.name) == value


def test_nothing_that_is_not_given_arrives() -> None:
    assert AnySettings().values == {}


def test_groups_have_the_fields_that_were_asked_for() -> None:
    every = {field.name for kind in MODES.values() for field in fields(kind)}
    assert {each.name for each in fields(AnySettings)} == every | {"preset"}  # type: ignore[arg-type]
    assert {each.name for each in fields(FitSettings)} == {  # type: ignore[arg-type]
        "n_classes",
        "scale",
        "light",
    }
    left_out = {"repeats", "compactness", "n_superpixels"}
    own = {field.name for field in fields(PaperSettings)}
    expected = own - left_out | {"preset"}
    assert {each.name for each in fields(MapSettings)} == expected  # type: ignore[arg-type]


def test_a_preset_is_where_settings_start_from() -> None:
    _, bound, _ = app.parse_args(
        ["segment", "a.png", "--mode", "paper", "--preset", "notebook", "--n-layers", "3"],
        exit_on_error=False,
        print_error=False,
    )
    settings = settings_of("paper", **bound.arguments["given"].values)
    assert settings == replace(NOTEBOOK, n_layers=3)


def test_a_group_is_made_of_any_settings() -> None:
    @options_of([FastSettings], names=("scale",))
    class Scale(AnySettings.__mro__[1]):  # type: ignore[misc]
        """A single option."""

    assert Scale(scale="medium").values == {"scale": "medium"}


@pytest.mark.parametrize(
    "options",
    [
        ("--seed", "1.5"),
        ("--seed", "0x10"),
        ("--repeats", "2.0"),
        ("--superpixels", "1e3"),
        ("--page", "1.0"),
        ("--crop-bottom", "3.7"),
        ("--ignore", "a"),
        ("--threads", "1,5"),
    ],
)
def test_whole_numbers_are_never_rounded(options: tuple[str, str], nital: Nital) -> None:
    done = nital("segment", "none.png", *options)
    assert done.code == 2
    assert f"{options[0]}: {options[1]!r} is not a whole number" in done.err
    assert done.err.count("\n") == 1


def test_the_last_of_several_values_counts(nital: Nital) -> None:
    _, bound, _ = app.parse_args(["segment", "a.png", "--seed", "1", "--seed", "2"])
    assert bound.arguments["given"].values == {"seed": 2}


def test_images_may_stand_between_options() -> None:
    _, bound, _ = app.parse_args(["segment", "a.png", "--json", "b.png", "--seed", "2", "c.png"])
    assert [path.name for path in bound.arguments["images"]] == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("name", ['["a.png"]', '{"a": 1}', "[1].png"])
def test_brackets_in_a_name_are_part_of_it(name: str) -> None:
    _, bound, _ = app.parse_args(["segment", name, "b.png"])
    assert [str(path) for path in bound.arguments["images"]] == [name, "b.png"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["segment"], "IMAGE requires an argument. (nital segment --help)"),
        (["segmant"], 'Unknown command "segmant"'),
        (["classes", "a.png", "b.png"], "unexpected argument 'b.png' (nital classes --help)"),
        (["superpixels", "a.png", "--compactness", "-5,10"], "every value must be above 0"),
        (["export", ".", "--to", "-csv"], "'-csv' is unknown"),
        (["synth", "--size", "-5x5"], "-5"),
        (["segment", "a.png", "--sed", "1"], "Unknown option: --sed"),
        (["segment", "a.png", "--seed"], "--seed requires an argument"),
    ],
)
def test_what_can_not_be_parsed_is_one_line(arguments: list[str], says: str, nital: Nital) -> None:
    done = nital(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert says in done.err
