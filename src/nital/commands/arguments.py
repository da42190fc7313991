"""Arguments: the options that commands share, and what their texts mean."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from nital.errors import InputError, SettingError
from nital.image.micrograph import parse_length
from nital.settings import AUTO

Image = Annotated[Path, typer.Argument(help="A micrograph: TIFF, PNG, JPEG, ...", metavar="IMAGE")]
Out = Annotated[Path, typer.Option(help="Folder for the results; one folder an image.")]
Force = Annotated[bool, typer.Option("--force", help="Replace results that are there already.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON and nothing else.")]
NClasses = Annotated[
    str, typer.Option(help="How many classes to tell apart; auto: as many as F prefers.")
]
Mode = Annotated[
    str, typer.Option(help="fast, or paper: the method as published, on the whole image.")
]
Seed = Annotated[int, typer.Option(help="Source of randomness; same seed, same result.")]
Scale = Annotated[
    str, typer.Option(help="fine: particles, films, grains; medium, coarse: areas of one texture.")
]
Superpixels = Annotated[
    int | None,
    typer.Option(help="Paper: superpixels to ask for.", show_default="1 per 20 pixels, <= 50,000"),
]
Compactness = Annotated[
    float | None,
    typer.Option(help="Paper: nearness in space against likeness in colour.", show_default="20"),
]
MaxIterations = Annotated[
    int | None, typer.Option(help="Paper: training stops here at the latest.", show_default="500")
]
LearningRate = Annotated[
    float | None, typer.Option(help="Paper: learning rate of the training.", show_default="0.1")
]
Momentum = Annotated[
    float | None, typer.Option(help="Paper: momentum of the training.", show_default="0.9")
]
NLayers = Annotated[
    int | None,
    typer.Option(help="Paper: 3 x 3 convolution layers of the network.", show_default="2"),
]
NFilters = Annotated[
    int | None, typer.Option(help="Paper: filters of each layer (p).", show_default="100")
]
NResponses = Annotated[
    int | None,
    typer.Option(help="Paper: classes that training starts with (q).", show_default="50"),
]
Regions = Annotated[str, typer.Option(help="Regions of the criteria: classes or components.")]
Device = Annotated[
    str | None, typer.Option(help="Paper: auto, cpu, cuda or mps.", show_default="auto")
]
Threads = Annotated[
    int | None, typer.Option(help="Paper: CPU threads.", show_default="torch's choice")
]
Page = Annotated[int | None, typer.Option(help="Page of a multi-page stack, from 1.")]
PixelSize = Annotated[
    str | None,
    typer.Option(help="Edge of a pixel, as 0.25um or 250nm.", show_default="as the file says"),
]
CropBottom = Annotated[
    int | None,
    typer.Option(
        help="Rows of the info bar to cut off at the bottom.", show_default="as the file says"
    ),
]
Exposure = Annotated[
    str,
    typer.Option(
        help="same: a grey level means the same in all; each: brightness and contrast of each are"
        " brought in line; auto: whichever makes them more alike."
    ),
]
Workers = Annotated[int, typer.Option(help="Processes that work side by side.")]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Address of a Dask cluster that does the work, as tcp://127.0.0.1:8786."),
]
Reference = Annotated[Path | None, typer.Option(help="Label map made by a person.")]
Ignore = Annotated[int | None, typer.Option(help="Value of reference pixels nobody labelled.")]
Repeats = Annotated[int, typer.Option(help="Runs of each, with seeds SEED, SEED + 1, ...")]
ConsensusRepeats = Annotated[
    int | None,
    typer.Option(
        "--repeats",
        help="Seeds SEED, SEED + 1, ... that are brought to a consensus.",
        show_default="1; of auto: 10",
    ),
]


def check_names(images: list[Path]) -> None:
    """Results go to a folder named after the image: two images must not share it."""
    seen: dict[str, Path] = {}
    for image in images:
        if image.stem in seen:
            raise InputError(
                f"{image}: its results would go to the same folder as those of"
                f" {seen[image.stem]}; segment it in another call with another --out"
            )
        seen[image.stem] = image


def parse_n_classes(text: str) -> int | str:
    if text == AUTO:
        return text
    try:
        return int(text)
    except ValueError as error:
        raise SettingError(f"--n-classes {text}: neither a whole number nor {AUTO}") from error


def parse_pixel_size(text: str | None) -> float | None:
    return None if text is None else parse_length(text)


def parse_numbers(name: str, text: str, kind: type) -> list[Any]:
    try:
        values = sorted({kind(part) for part in text.split(",")})
    except ValueError as error:
        raise SettingError(f"--{name} {text}: not numbers between commas, as 5,20,80") from error
    if not all(0 < value < float("inf") for value in values):
        raise SettingError(f"--{name} {text}: every value must be above 0")
    return values


def superpixel_numbers(
    text: str | None, shape: tuple[int, int], *, shares: tuple[float, ...]
) -> list[int]:
    """The numbers asked for, or shares of the preset."""
    from nital.paper.superpixels import preset_n_superpixels  # loads scikit-image

    if text is not None:
        return parse_numbers("superpixels", text, int)
    return sorted({max(1, round(preset_n_superpixels(shape) * share)) for share in shares})


def parse_range(text: str) -> range:
    try:
        first, last = (int(part) for part in text.split(":"))
    except ValueError as error:
        raise SettingError(f"--range {text}: not two whole numbers, as 2:10") from error
    if not 2 <= first <= last:
        raise SettingError(f"--range {text}: must rise from 2 or more, as 2:10")
    return range(first, last + 1)


def parse_kinds(text: str, known: tuple[str, ...]) -> list[str]:
    kinds = list(dict.fromkeys(part.strip() for part in text.split(",")))
    for kind in kinds:
        if kind not in known:
            raise SettingError(f"--to {text}: {kind!r} is unknown; use {', '.join(known)}")
    return kinds


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    try:
        rows, cols = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise SettingError(f"{option} {text}: not rows x columns, as 20x30") from error
    return rows, cols


def parse_names(texts: list[str]) -> dict[int, str]:
    """Names of classes from texts as 1=pearlite."""
    names: dict[int, str] = {}
    for text in texts:
        number, equals, name = text.partition("=")
        if not (equals and name.strip() and number.strip().isdecimal()):
            raise SettingError(f"{text}: not CLASS=NAME, as 1=pearlite")
        if int(number) in names:
            raise SettingError(f"{text}: class {number} is named twice; name it once")
        names[int(number)] = name.strip()
    return names


def parse_colours(texts: list[str]) -> dict[str, str]:
    """Colours of names from texts as pearlite=#0072b2."""
    colours: dict[str, str] = {}
    for text in texts:
        name, equals, colour = text.rpartition("=")
        if not (equals and name and re.fullmatch("#[0-9a-fA-F]{6}", colour)):
            raise SettingError(f"--colour {text}: not NAME=#RRGGBB, as pearlite=#0072b2")
        if name in colours:
            raise SettingError(f"--colour {text}: {name} has two colours; choose one")
        colours[name] = colour.lower()
    return colours


REST = "rest"
"""In place of numbers: all fine classes that no other phase names."""


def parse_phases(text: str, n_fine: int, option: str = "--merge") -> dict[str, list[int]]:
    """Phases from a text as "ferrite=1,4-6 pearlite=2,3" or "pearlite=2,3 ferrite=rest"."""
    phases: dict[str, list[int]] = {}
    taker = None
    for part in text.split():
        name, equals, numbers = part.partition("=")
        if not (name and equals and numbers):
            raise SettingError(f"{option} {part}: not PHASE=NUMBERS, as ferrite=1,4-6")
        if name in phases:
            raise SettingError(f"{option} {part}: {name} is named twice; put its numbers together")
        if numbers == REST:
            if taker is not None:
                raise SettingError(f"{option} {part}: the rest goes to {taker} already")
            taker, phases[name] = name, []
            continue
        phases[name] = _parse_members(f"{option} {part}", numbers, n_fine)
    if not phases:
        raise SettingError(f"{option}: names no phase; use PHASE=NUMBERS, as ferrite=1,4-6")
    if taker is not None:
        named = {member for members in phases.values() for member in members}
        phases[taker] = [i for i in range(1, n_fine + 1) if i not in named]
    return phases


def _parse_members(given: str, numbers: str, n_fine: int) -> list[int]:
    members: list[int] = []
    for each in numbers.split(","):
        first, dash, last = each.partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError as error:
            raise SettingError(
                f"{given}: {each!r} is no number and no range; use numbers between commas,"
                f" as 1,4-6, or {REST}"
            ) from error
        if not 1 <= low <= high <= n_fine:
            raise SettingError(f"{given}: {each}: use fine classes of 1 to {n_fine}")
        members += range(low, high + 1)
    return members


def parse_fractions(texts: list[str]) -> dict[str, float]:
    fractions: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name in fractions:
            raise SettingError(f"{text}: {name} is named twice; add its fractions up")
        try:
            fractions[name] = float(value)
        except ValueError as error:
            raise SettingError(f"{text}: not CONSTITUENT=FRACTION, as ferrite=0.65") from error
    return fractions
