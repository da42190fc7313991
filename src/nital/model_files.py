"""Model files: a model on the disk. Arrays as safetensors, all else as JSON in its header.

Reading a file runs no code of its own; what it holds is checked before it is used.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.classes import ClassTree
from nital.criteria import RegionStatistics
from nital.errors import InputError, OutputError
from nital.features import CHANNELS, GreyLevels
from nital.model import ClassName, Model
from nital.sampling import Exposure, FeatureSpace
from nital.settings import Settings
from nital.storage import write_whole, writing

FORMAT = "nital model"
VERSION = 1
"""Raised by every change that an older nital would misread."""

_KEY = "nital"


def write_model(path: Path, model: Model, *, versions: dict[str, str], force: bool = False) -> None:
    """Write a model; a file that is there is replaced as a whole, or not at all.

    Parameters
    ----------
    versions : dict
        Of what the model was made with; for the record.
    force : bool
        Whether a file of this name may be replaced.

    Raises
    ------
    OutputError
        If there is one already, or the disk refuses.
    """
    from safetensors.numpy import save

    if path.exists() and not force:
        raise OutputError(f"{path}: is there already; use --force to replace it, or another --out")
    described = {
        "format": FORMAT,
        "version": VERSION,
        "settings": model.settings.in_use,
        "levels": asdict(model.space.levels),
        "exposure": model.space.exposure and asdict(model.space.exposure),
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
        "fine_of": model.fine_of,
        "class_of": model.class_of,
        "tree_centres": model.tree.centres,
        "tree_areas": model.tree.statistics.areas,
        "tree_means": model.tree.statistics.means,
        "tree_errors": model.tree.statistics.errors,
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
        If the file is missing, damaged, of another program, or of a newer nital.
    """
    described, arrays = _read(path)
    try:
        return _model_of(described, arrays)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"{path}: damaged, or changed by hand ({error}); fit the model again, or use a copy"
        ) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What the header says, and the arrays."""
    from safetensors import SafetensorError, safe_open

    foreign = InputError(f"{path}: no model of nital; name a file that `nital fit` has written")
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a model that `nital fit` has written")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error}); check the file") from error
    except SafetensorError as error:
        raise InputError(
            f"{path}: damaged, or no model of nital ({error}); use a copy, or fit it again"
        ) from error
    try:
        described = json.loads(text or "")
    except ValueError:
        raise foreign from None
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise foreign
    if described.get("version") != VERSION or described.get("channels") != list(CHANNELS):
        made_with = described.get("versions", {}).get("nital", "another version")
        raise InputError(
            f"{path}: made with nital {made_with}, in a format (version"
            f" {described.get('version')}) that this nital does not read; use that version, or fit"
            " the model again"
        )
    return described, arrays


def _model_of(described: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Model:
    """The model; whatever does not fit together raises ValueError or KeyError."""
    n_channels, n_clusters = len(CHANNELS), len(arrays["centres"])
    n_fine = len(arrays["class_of"])
    settings = Settings(**described["settings"])

    def checked(name: str, shape: tuple[int, ...], kind: type) -> NDArray[Any]:
        array = arrays[name]
        if array.shape != shape or array.dtype != kind or not np.isfinite(array).all():
            raise ValueError(f"{name} of shape {array.shape} and kind {array.dtype}")
        return array

    def numbers(name: str, length: int, most: int) -> NDArray[np.int64]:
        array = checked(name, (length,), np.int64)
        if not np.array_equal(np.unique(array), np.arange(1, most + 1)):
            raise ValueError(f"{name} does not hold 1 to {most}")
        return array

    levels, exposure = described["levels"], described["exposure"]
    statistics = RegionStatistics(
        checked("tree_areas", (n_fine,), np.float64),
        checked("tree_means", (n_fine, 3), np.float64),
        checked("tree_errors", (n_fine,), np.float64),
    )
    if not isinstance(settings.n_classes, int):
        raise ValueError(f"n_classes {settings.n_classes}")
    modes, cuts = (tuple(map(float, levels[name])) for name in ("modes", "cuts"))
    if len(modes) != len(cuts) + 1:
        raise ValueError(f"{len(modes)} groups of grey with {len(cuts)} cuts")
    novelty, shift = map(float, described["usual"])
    model = Model(
        settings=settings,
        space=FeatureSpace(
            GreyLevels(float(levels["low"]), float(levels["high"]), modes, cuts),
            checked("weights", (n_channels,), np.float32),
            settings.scale,
            Exposure(float(exposure["mean"]), float(exposure["std"])) if exposure else None,
        ),
        centres=checked("centres", (n_clusters, n_channels), np.float32),
        shares=checked("shares", (n_clusters,), np.float64),
        spread=float(described["spread"]),
        fine_of=numbers("fine_of", n_clusters, n_fine),
        tree=ClassTree(checked("tree_centres", (n_fine, 2 * n_channels), np.float64), statistics),
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
