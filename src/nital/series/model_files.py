"""Model files: arrays as safetensors, everything else as JSON in the header.

Reading a file runs no code from it; its contents are checked before use.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.fast.features import CHANNELS, GreyLevels
from nital.fast.settings import KEPT, FastSettings
from nital.fast.space import Exposure, FeatureSpace
from nital.fast.view import COARSEST, FINEST
from nital.image.light import ORDERS, STEEPEST, Light
from nital.image.tone import Tone
from nital.modes import settings_of
from nital.result.criteria import RegionStatistics
from nital.result.grouping import ClassName
from nital.result.joining import Joining
from nital.series.model import Model
from nital.storage.writing import check_new, write_whole, writing

FORMAT = "nital model"
VERSION = 4
"""Increased with every change that an older nital would misread."""

_KEY = "nital"


def write_model(path: Path, model: Model, *, versions: dict[str, str], force: bool = False) -> None:
    """Write a model; an existing file is replaced as a whole or not at all.

    Parameters
    ----------
    versions : dict
        Versions of the software that made the model, stored with it.
    force : bool
        Whether to replace an existing file.

    Raises
    ------
    OutputError
        If the file exists and `force` is false, or it can't be written.
    """
    from safetensors.numpy import save

    check_new(path, force=force)
    described = {
        "format": FORMAT,
        "version": VERSION,
        "settings": model.settings.as_dict(),
        "levels": asdict(model.space.levels),
        "exposure": model.space.exposure and asdict(model.space.exposure),
        "step": model.space.step,
        "tone": model.space.tone.weights,
        "light": model.space.light and model.space.light.coefficients,
        "channels": CHANNELS,
        "spread": model.spread,
        "usual": model.usual,
        "images": [{"name": name, "sha256": sha256} for name, sha256 in model.images],
        "names": {str(number): asdict(each) for number, each in model.names.items()},
        "versions": versions,
    }
    arrays = {
        "weights": model.space.weights,
        "centres": model.centres,
        "shares": model.shares,
        "class_of": model.class_of,
        "joining_centres": model.joining.centres,
        "joining_areas": model.joining.statistics.areas,
        "joining_means": model.joining.statistics.means,
        "joining_errors": model.joining.statistics.errors,
    }
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, save(contiguous, {_KEY: json.dumps(described)}))


def read_model(path: Path) -> Model:
    """Read a model.

    Raises
    ------
    InputError
        If the file is missing, damaged, not a nital model, or from a newer nital.
    """
    described, arrays = _read(path)
    try:
        return _model_of(described, arrays)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path}: damaged, or edited by hand ({error}); fit the model again, or use a copy"
        ) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read the header and the arrays."""
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file; name a model written by `nital fit`")
        with safe_open(path, framework="numpy") as file:
            described = _described(path, (file.metadata() or {}).get(_KEY))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error}); check the file") from error
    except (SafetensorError, TypeError, AttributeError) as error:  # or a dtype numpy lacks
        raise InputError(
            f"{path}: damaged, or not a nital model ({error}); use a copy, or fit it again"
        ) from error
    return described, arrays


def _described(path: Path, text: str | None) -> dict[str, Any]:
    """Parse the header; raise if this nital can't read it."""
    foreign = InputError(f"{path}: not a nital model; name a file written by `nital fit`")
    try:
        described = json.loads(text or "")
    except (ValueError, RecursionError):
        raise foreign from None
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise foreign
    if described.get("version") != VERSION or described.get("channels") != list(CHANNELS):
        versions = described.get("versions")
        known = isinstance(versions, dict) and versions.get("nital")
        made_with = known or "another version"
        raise InputError(
            f"{path}: made with nital {made_with}, in a format (version"
            f" {described.get('version')}) that this nital can't read; use that version, or fit"
            " the model again"
        )
    return described


def _light_of(coefficients: tuple[float, ...]) -> Light:
    if len(coefficients) != len(ORDERS) or max(map(abs, coefficients)) > STEEPEST:
        raise ValueError(f"light {coefficients}")
    return Light(coefficients)


def _model_of(described: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Model:
    """Build the model; inconsistent contents raise one of the errors `read_model` catches."""
    n_channels, n_fine = len(CHANNELS), len(arrays["class_of"])
    settings = settings_of(**described["settings"])

    def checked(name: str, shape: tuple[int, ...], kind: type) -> NDArray[Any]:
        array = arrays[name]
        if array.shape != shape or array.dtype != kind or not np.isfinite(array).all():
            raise ValueError(f"{name} of shape {array.shape} and type {array.dtype}")
        return array

    def numbers(name: str, length: int, most: int) -> NDArray[np.int64]:
        array = checked(name, (length,), np.int64)
        if not np.array_equal(np.unique(array), np.arange(1, most + 1)):
            raise ValueError(f"{name} does not hold 1 to {most}")
        return array

    def reals(values: list[Any]) -> tuple[float, ...]:
        found = tuple(map(float, values))
        if not np.isfinite(found).all():
            raise ValueError(f"{values}: not finite")
        return found

    levels, exposure = described["levels"], described["exposure"]
    statistics = RegionStatistics(
        checked("joining_areas", (n_fine,), np.float64),
        checked("joining_means", (n_fine, 3), np.float64),
        checked("joining_errors", (n_fine,), np.float64),
    )
    if not isinstance(settings, FastSettings) or not isinstance(settings.n_classes, int):
        raise ValueError(f"{settings}: not settings of a model")
    low, high = reals([levels["low"], levels["high"]])
    modes, cuts = reals(levels["modes"]), reals(levels["cuts"])
    if len(modes) != len(cuts) + 1:
        raise ValueError(f"{len(modes)} groups of grey with {len(cuts)} cuts")
    novelty, shift = reals(described["usual"])
    red, green, blue = reals(described["tone"])
    light = described["light"]
    if (light is None) != (settings.light == KEPT):
        raise ValueError(f"light {light}")
    spread, step = reals([described["spread"], described["step"]])
    if spread <= 0 or not FINEST <= step <= COARSEST:
        raise ValueError(f"spread {spread}, step {step}")
    model = Model(
        settings=settings,
        space=FeatureSpace(
            GreyLevels(low, high, modes, cuts),
            checked("weights", (n_channels,), np.float32),
            settings.scale,
            None if exposure is None else Exposure(*reals([exposure["dark"], exposure["bright"]])),
            step,
            Tone((red, green, blue)),
            None if light is None else _light_of(reals(light)),
        ),
        centres=checked("centres", (n_fine, n_channels), np.float32),
        shares=checked("shares", (n_fine,), np.float64),
        spread=spread,
        joining=Joining(
            checked("joining_centres", (n_fine, 2 * n_channels), np.float64), statistics
        ),
        class_of=numbers("class_of", n_fine, settings.n_classes),
        usual=(novelty, shift),
        images=tuple((each["name"], each["sha256"]) for each in described["images"]),
        names={},
    )
    return model.named(
        {
            int(number): ClassName(each["name"], each["colour"])
            for number, each in described["names"].items()
        }
    )
