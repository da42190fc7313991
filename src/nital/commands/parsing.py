"""Parsing of options and arguments."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nital.errors import InputError, SettingError


def check_names(images: Sequence[Path]) -> None:
    """Refuse images of the same name: their results would share a folder."""
    seen: dict[str, Path] = {}
    for image in images:
        if image.stem in seen:
            raise InputError(
                f"{image}: its results would go to the same folder as those of"
                f" {seen[image.stem]}; segment it separately with another --out"
            )
        seen[image.stem] = image


def parse_numbers(name: str, text: str, kind: type) -> list[Any]:
    try:
        values = sorted({kind(part) for part in text.split(",")})
    except ValueError as error:
        raise SettingError(f"--{name} {text}: not comma-separated numbers, e.g. 5,20,80") from error
    if not all(0 < value < float("inf") for value in values):
        raise SettingError(f"--{name} {text}: every value must be above 0")
    return values


def superpixel_numbers(
    text: str | None, shape: tuple[int, int], *, shares: tuple[float, ...]
) -> list[int]:
    """Return the numbers asked for, or shares of the preset."""
    from nital.paper.superpixels import preset_n_superpixels  # loads scikit-image

    if text is not None:
        return parse_numbers("superpixels", text, int)
    return sorted({max(1, round(preset_n_superpixels(shape) * share)) for share in shares})


def parse_range(text: str) -> range:
    try:
        first, last = (int(part) for part in text.split(":"))
    except ValueError as error:
        raise SettingError(f"--range {text}: not two whole numbers, e.g. 2:10") from error
    if not 2 <= first <= last:
        raise SettingError(f"--range {text}: must rise from 2 or more, e.g. 2:10")
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
        raise SettingError(f"{option} {text}: not rows x columns, e.g. 20x30") from error
    return rows, cols


def parse_names(texts: Sequence[str]) -> dict[int, str]:
    """Parse names of classes, as in 1=pearlite."""
    names: dict[int, str] = {}
    for text in texts:
        number, equals, name = text.partition("=")
        if not (equals and name.strip() and number.strip().isdecimal()):
            raise SettingError(f"{text}: not CLASS=NAME, e.g. 1=pearlite")
        if int(number) in names:
            raise SettingError(f"{text}: class {number} is named twice; name it once")
        names[int(number)] = name.strip()
    return names


def parse_colours(texts: Sequence[str]) -> dict[str, str]:
    """Parse colours of names, as in pearlite=#0072b2."""
    colours: dict[str, str] = {}
    for text in texts:
        name, equals, colour = text.rpartition("=")
        if not (equals and name and re.fullmatch("#[0-9a-fA-F]{6}", colour)):
            raise SettingError(f"--colour {text}: not NAME=#RRGGBB, e.g. pearlite=#0072b2")
        if name in colours:
            raise SettingError(f"--colour {text}: {name} has two colours; choose one")
        colours[name] = colour.lower()
    return colours


REST = "rest"
"""In place of numbers: all fine classes not assigned to another phase."""


def parse_phases(text: str, n_fine: int, option: str = "--merge") -> dict[str, list[int]]:
    """Parse phases, as in "ferrite=1,4-6 pearlite=2,3" or "pearlite=2,3 ferrite=rest"."""
    phases: dict[str, list[int]] = {}
    taker = None
    for part in text.split():
        name, equals, numbers = part.partition("=")
        if not (name and equals and numbers):
            raise SettingError(f"{option} {part}: not PHASE=NUMBERS, e.g. ferrite=1,4-6")
        if name in phases:
            raise SettingError(f"{option} {part}: {name} is named twice; combine its numbers")
        if numbers == REST:
            if taker is not None:
                raise SettingError(f"{option} {part}: the rest already goes to {taker}")
            taker, phases[name] = name, []
            continue
        phases[name] = _parse_members(f"{option} {part}", numbers, n_fine)
    if not phases:
        raise SettingError(f"{option}: names no phase; use PHASE=NUMBERS, e.g. ferrite=1,4-6")
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
                f"{given}: {each!r} is not a number or a range; use comma-separated numbers,"
                f" e.g. 1,4-6, or {REST}"
            ) from error
        if not 1 <= low <= high <= n_fine:
            raise SettingError(f"{given}: {each}: use fine classes from 1 to {n_fine}")
        members += range(low, high + 1)
    return members


def parse_fractions(texts: Sequence[str]) -> dict[str, float]:
    fractions: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name in fractions:
            raise SettingError(f"{text}: {name} is named twice; add up its fractions")
        try:
            fractions[name] = float(value)
        except ValueError as error:
            raise SettingError(f"{text}: not CONSTITUENT=FRACTION, e.g. ferrite=0.65") from error
    return fractions
