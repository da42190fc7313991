"""The estimator: fit classes to many micrographs, predict them in others, save and load.

It follows scikit-learn's conventions: `__init__` only stores its arguments, fitted attributes end
in an underscore, and `get_params`, `set_params` and `sklearn.base.clone` work.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError, NotFittedError, SettingError
from nital.fast.settings import FAST, FastSettings
from nital.image.large import open_micrograph
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.result.segmentation import Segmentation
from nital.series.fitting import fit_model
from nital.series.model import Model
from nital.series.model_files import read_model, write_model
from nital.series.sampling import Opener
from nital.storage.versions import versions

Image = NDArray[Any] | Micrograph | LargeMicrograph | Path | str | Opener
"""An array as for `nital.segment`, a micrograph, its path, or a callable that opens one."""


_CHANNELS = ((1,), (2,), (3,), (4,))
"""Trailing shapes of a single image in colour; no stack of micrographs is this narrow."""


class Segmenter:
    """One set of classes for many micrographs.

    Parameters
    ----------
    n_classes : int or "auto"
        Number of classes, 2 to 24; auto: the number with the lowest mean F.
    scale : {"fine", "medium", "coarse"}
    light : {"corrected", "kept"}
        As in `nital.FastSettings`.
    exposure : {"auto", "same", "each"}
        Whether all micrographs share one exposure, or brightness and contrast of each are
        normalised first (`nital.series.fitting.fit_model`).

    Attributes
    ----------
    model_ : nital.series.model.Model
        The fitted model: `model_.classes` is the table of classes, `model_.named` names them.

    Examples
    --------
    >>> dark, bright = np.repeat([[0.1, 0.5]], 40, 1), np.repeat([[0.5, 0.9]], 40, 1)
    >>> series = [each.repeat(80, axis=0) for each in (dark, bright)]
    >>> segmenter = Segmenter(n_classes=3, exposure="same").fit(series)
    >>> [sorted(set(segmenter.predict(each).ravel().tolist())) for each in series]
    [[1, 2], [2, 3]]
    """

    _PARAMETERS = ("n_classes", "scale", "light", "exposure")

    def __init__(
        self,
        n_classes: int | str = 3,
        *,
        scale: str = FAST.scale,
        light: str = FAST.light,
        exposure: str = "auto",
    ) -> None:
        self.n_classes = n_classes
        self.scale = scale
        self.light = light
        self.exposure = exposure

    def fit(
        self, images: Sequence[Image], y: None = None, *, executor: Executor | None = None
    ) -> "Segmenter":
        """Fit classes that these micrographs share; memory use does not grow with their number.

        Parameters
        ----------
        images : sequence
            One or more arrays, micrographs or paths. Paths are opened when they are needed.
        y : None
            Ignored; scikit-learn's pipelines pass it.
        executor : Executor, optional
            Where the micrographs are read: in its processes or on its machines. The result is the
            same.

        Raises
        ------
        InputError, SettingError
            If an image can't be used, or a parameter is out of range.
        """
        settings = FastSettings(n_classes=self.n_classes, scale=self.scale, light=self.light)
        run_all = map if executor is None else executor.map
        openers = [opener(each) for each in _listed(images)]
        self.model_ = fit_model(openers, settings, exposure=self.exposure, run_all=run_all)
        return self

    def predict(self, image: Image) -> NDArray[np.uint8]:
        """Label one micrograph: (rows, cols), 1..k, 0 = excluded.

        Raises
        ------
        NotFittedError
            If no model was fitted or loaded.
        InputError
            If the image can't be used.
        """
        return np.asarray(self.segment(image).labels, np.uint8)

    def fit_predict(self, images: Sequence[Image], y: None = None) -> list[NDArray[np.uint8]]:
        """Fit, and return the label map of each micrograph."""
        images = _listed(images)
        self.fit(images)
        return [self.predict(each) for each in images]

    def segment(self, image: Image) -> Segmentation:
        """Segment one micrograph with the fitted classes; raises the errors of `predict`."""
        return self._fitted().segment(opener(image)())

    def save(self, path: Path | str, *, force: bool = False) -> None:
        """Write the model to a file; `force` replaces an existing one."""
        write_model(Path(path), self._fitted(), versions=versions(), force=force)

    @classmethod
    def load(cls, path: Path | str) -> "Segmenter":
        """Load a fitted segmenter from a file written by `save` or `nital fit`.

        Raises
        ------
        InputError
            If the file is damaged, not a nital model, or from a newer nital.
        """
        model = read_model(Path(path))
        settings = model.settings
        # `read_model` refuses anything else.
        assert isinstance(settings, FastSettings)
        assert isinstance(settings.n_classes, int)
        segmenter = cls(
            settings.n_classes,
            scale=settings.scale,
            light=settings.light,
            exposure=model.exposure,
        )
        segmenter.model_ = model
        return segmenter

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name."""
        return {name: getattr(self, name) for name in self._PARAMETERS}

    def set_params(self, **changes: Any) -> "Segmenter":
        """Change parameters; the fitted model stays until `fit` is called again.

        Raises
        ------
        SettingError
            If there is no parameter of that name.
        """
        for name, value in changes.items():
            if name not in self._PARAMETERS:
                known = ", ".join(self._PARAMETERS)
                raise SettingError(f"{name} {value!r}: not a parameter of Segmenter; use {known}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"Segmenter({given})"

    def _fitted(self) -> Model:
        model: Model | None = getattr(self, "model_", None)
        if model is None:
            raise NotFittedError(f"{self!r}: not fitted; call fit or load first")
        return model


def opener(image: Image, **how: Any) -> Opener:
    """Return a callable that opens an image; for a path, other processes can call it.

    `how`: keywords of `open_micrograph`.
    """
    if isinstance(image, Path | str):
        return partial(open_micrograph, Path(image), **how)
    if callable(image):
        return image
    if isinstance(image, Micrograph | LargeMicrograph):
        return partial(_given, image)
    return partial(Micrograph.from_array, image)


def _given(image: Micrograph | LargeMicrograph) -> Micrograph | LargeMicrograph:
    return image


def _listed(images: Iterable[Image]) -> list[Image]:
    if (
        isinstance(images, Path | str | Micrograph | LargeMicrograph)
        or callable(images)
        or (isinstance(images, np.ndarray) and (images.ndim == 2 or images.shape[2:] in _CHANNELS))
    ):
        raise InputError("images: a single micrograph; pass it in a list")
    return list(images)
