"""Options shared by several commands, each defined once.

Each setting of a method is an option: its name, help, default and check are those of the field in
the settings class. The other shared options are defined here.
"""

from collections.abc import Callable, Collection
from dataclasses import MISSING, Field, dataclass, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from cyclopts import Parameter
from docstring_parser import parse

from nital.fast.settings import FastSettings
from nital.image.lengths import parse_length
from nital.modes import MODES
from nital.paper.settings import PaperSettings
from nital.settings import Settings


def flag(text: str, name: str | None = None) -> Parameter:
    """Define an option without a value."""
    return Parameter(name=name, help=text, show_default=False)


def _whole(kind: Any, tokens: Any) -> int | str:
    """Parse a whole number, or a word if the option takes one too; 1.5 is refused, not rounded."""
    text: str = tokens[0].value
    try:
        return int(text)
    except ValueError:
        if str in get_args(kind):
            return text
        raise ValueError(f"{text!r} is not a whole number") from None


TEXT = Parameter(allow_leading_hyphen=True)
"""For options with a text of numbers, e.g. -5x5: its own check refuses it."""

WHOLE = Parameter(converter=_whole)
"""For options that take a whole number."""

Image = Annotated[Path, Parameter(help="A micrograph: TIFF, PNG, JPEG, ...")]
Images = Annotated[Path, Parameter(name="IMAGE", help="Micrographs.", required=True)]
Out = Annotated[Path, Parameter(help="Folder for the results; one sub-folder per image.")]
Force = Annotated[bool, flag("Replace existing results.")]
Json = Annotated[bool, flag("Print only the summary, as JSON.", "--json")]
Mode = Annotated[
    str,
    Parameter(help="; ".join(f"{mode}: {kind.about}" for mode, kind in MODES.items()) + "."),
]
Seed = Annotated[int, WHOLE, Parameter(help="Random seed; the same seed gives the same result.")]
Repeats = Annotated[
    int, WHOLE, Parameter(help="Runs of each combination, with seeds SEED, SEED + 1, ...")
]
Regions = Annotated[str, Parameter(help="Regions of the criteria: classes or components.")]
Exposure = Annotated[
    str,
    Parameter(
        help="same: all micrographs have one exposure; each: normalise brightness and contrast of"
        " each; auto: whichever makes them more alike."
    ),
]
Workers = Annotated[int, WHOLE, Parameter(help="Number of parallel processes.")]
StudyWorkers = Annotated[
    int | None,
    WHOLE,
    Parameter(help="Number of parallel processes. Default: one a core in paper mode, else 1."),
]
Scheduler = Annotated[
    str | None,
    Parameter(help="Address of a Dask cluster to run on, e.g. tcp://127.0.0.1:8786."),
]
Reference = Annotated[Path | None, Parameter(help="Label map made by a person.")]
Ignore = Annotated[int | None, WHOLE, Parameter(help="Value of unlabelled reference pixels.")]
Page = Annotated[int | None, WHOLE, Parameter(help="Page of a multi-page stack, from 1.")]
CropBottom = Annotated[
    int | None,
    WHOLE,
    Parameter(help="Height of the info bar to crop, in rows. Default: from the file's metadata."),
]


def _length(_: object, tokens: Any) -> float:
    return parse_length(tokens[0].value)


PixelSize = Annotated[
    float | None,
    Parameter(
        converter=_length,
        metavar="LENGTH",
        allow_leading_hyphen=True,  # so that it is refused as a length
        help="Edge length of a pixel, e.g. 0.25um or 250nm. Default: from the file's metadata.",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Reading:
    """How to read files; the fields are those of `open_micrograph`."""

    page: Page = None
    pixel_size: PixelSize = None
    crop_bottom: CropBottom = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Comparing:
    """What results are compared with; the fields are those of `segment_file`."""

    reference: Reference = None
    ignore: Ignore = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Writing:
    """Where results go, and what is printed."""

    out: Out = Path("nital-results")
    as_json: Json = False
    force: Force = False


READING, COMPARING, WRITING = Reading(), Comparing(), Writing()


class Given:
    """Settings given as options, and the preset to start from; the others are None."""

    @property
    def values(self) -> dict[str, Any]:
        """Those that are given, by name, for `settings_of`."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in named.items() if value is not None}


T = TypeVar("T", bound=Given)


def options_of(
    kinds: Collection[type[Settings]], names: Collection[str] = (), without: Collection[str] = ()
) -> Callable[[type[T]], type[T]]:
    """Make a class a group of options, one for each field of these settings.

    Parameters
    ----------
    names : collection of str
        Fields to include; if empty, all.
    without : collection of str
        Fields to leave out.
    """

    def make(group: type[T]) -> type[T]:
        options = {
            field.name: _option(kind, field)
            for kind in kinds
            for field in fields(kind)
            if field.name not in without and (not names or field.name in names)
        }
        for kind in kinds:
            if kind.presets:
                options["preset"] = _preset(kind)
        made = make_dataclass(
            group.__name__,
            options.values(),
            bases=(group,),
            namespace={"__module__": __name__},  # else it would look like a built-in
            frozen=True,
            kw_only=True,
        )
        return Parameter(name="*")(made)

    return make


def _option(kind: type[Settings], field: "Field[Any]") -> tuple[str, Any, Any]:
    """Make one field of a group of options; None if not given, with the default shown in help."""
    owner = next(each for each in kind.__mro__ if field.name in each.__annotations__)
    texts = {each.arg_name: each.description for each in parse(owner.__doc__ or "").params}
    flag = field.metadata.get("flag", field.name).replace("_", "-")
    default = None if field.default is MISSING else field.default
    parameter = Parameter(
        name=f"--{flag}",
        converter=_whole if int in (field.type, *get_args(field.type)) else None,
        negative=() if field.type is bool else None,
        help=" ".join((texts[field.name] or "").split()),
        show_default=False if default is None or default is False else lambda _: str(default),
    )
    if owner is not Settings:
        parameter = Parameter.combine(parameter, Parameter(group=f"{kind.mode.capitalize()} mode"))
    return field.name, Annotated[field.type | None, parameter], None  # type: ignore[operator]


def _preset(kind: type[Settings]) -> tuple[str, Any, Any]:
    """Make the option of the preset of a method."""
    parameter = Parameter(
        help=f"Settings to start from: {', '.join(kind.presets)} (docs/paper.md).",
        group=f"{kind.mode.capitalize()} mode",
        show_default=lambda _: next(iter(kind.presets)),
    )
    return "preset", Annotated[str | None, parameter], None


@options_of(MODES.values())
class AnySettings(Given):
    """All settings of all modes."""


@options_of(MODES.values(), without=("n_classes", "repeats"))
class StudySettings(Given):
    """All settings except those varied by a study of the number of classes."""


@options_of([PaperSettings], without=("repeats", "compactness", "n_superpixels"))
class MapSettings(Given):
    """All settings of paper mode except those varied by a map."""


@options_of([FastSettings], names=("n_classes", "scale", "light"))
class FitSettings(Given):
    """Settings of a model."""


@options_of([FastSettings], names=("scale", "light"))
class SampleSettings(Given):
    """Settings of the model of a batch, without its number of classes."""


ANY_SETTINGS, STUDY_SETTINGS, MAP_SETTINGS = AnySettings(), StudySettings(), MapSettings()
FIT_SETTINGS, SAMPLE_SETTINGS = FitSettings(), SampleSettings()
