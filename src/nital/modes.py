"""Modes: the methods as users name them, and the settings of each."""

from dataclasses import fields, replace
from typing import Any

from nital.errors import SettingError
from nital.fast.settings import FastSettings
from nital.paper.settings import PaperSettings
from nital.settings import Settings, check_choice

MODES: dict[str, type[Settings]] = {kind.mode: kind for kind in (FastSettings, PaperSettings)}
"""The first is the default. `methods.method_of` finds the method of each."""


def settings_of(mode: str, *, preset: str | None = None, **values: Any) -> Settings:
    """Make the settings of a method from values by name; None keeps the default.

    Parameters
    ----------
    mode : str
    preset : str, optional
        Name of the settings whose values are the defaults (`Settings.presets`).

    Raises
    ------
    SettingError
        If there is no such mode or preset, a value is out of its range, or the mode has no such
        setting.

    Examples
    --------
    >>> settings_of("fast", n_classes=4, scale=None)
    FastSettings(n_classes=4, regions='classes', scale='fine', light='corrected')
    """
    check_choice("mode", mode, MODES)
    kind = MODES[mode]
    given = {name: value for name, value in values.items() if value is not None}
    for name in given:
        with_it = [m for m, each in MODES.items() if name in {field.name for field in fields(each)}]
        if mode not in with_it:
            raise SettingError(
                f"{name} {given[name]!r}: {mode} mode has no such setting; leave it out"
                + "".join(f", or use mode {other}" for other in with_it)
            )
    if preset is None:
        return kind(**given)
    if not kind.presets:
        raise SettingError(f"preset {preset!r}: {mode} mode has none; leave it out")
    check_choice("preset", preset, kind.presets)
    return replace(kind.presets[preset], **given)
