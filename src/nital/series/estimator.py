"""The estimator: fit classes to many micrographs, predict them in others, save and load.

With the manners of scikit-learn: `__init__` only stores its arguments, what `fit` finds ends in an
underscore, `get_params`, `set_params` and `sklearn.base.clone` work.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError, NotFittedError, SettingError
from nital.fast.sampling import Opener
from nital.image.large import open_micrograph
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.output.results import versions
from nital.result.segmentation import Segmentation
from nital.series.fitting import fit_model
from nital.series.model import Model
from nital.series.model_files import read_model, write_model
from nital.settings import FAST, Settings

Image = NDArray[Any] | Micrograph | LargeMicrograph | Path | str | Opener
"""An array as for `nital.segment`, a micrograph, the path of one, or what opens one."""


_CHANNELS = ((1,), (2,), (3,), (4,))
"""What comes after the rows and columns of a single image: no stack is so narrow."""


class Segmenter:
    """One set of classes for many micrographs.

    Parameters
    ----------
    n_classes : int or "auto"
        2 to 24, or as many as the criterion F prefers.
    seed : int
        Where clustering starts.
    scale : {"fine", "medium", "coarse"}
        As in `nital.Settings`.
    exposure : {"auto", "same", "each"}
        Whether a grey level means the same in all micrographs, or brightness and contrast of each
        are brought in line first (`nital.series.fitting.fit_model`).

    Attributes
    ----------
    model_ : nital.series.model.Model
        What `fit` found: `model_.classes` is the table of classes, `model_.named` names them.

    Examples
    --------
    >>> dark, bright = np.repeat([[0.1, 0.5]], 40, 1), np.repeat([[0.5, 0.9]], 40, 1)
    >>> series = [each.repeat(80, axis=0) for each in (dark, bright)]
    >>> segmenter = Segmenter(n_classes=3, exposure="same").fit(series)
    >>> [sorted(set(segmenter.predict(each).ravel().tolist())) for each in series]
    [[1, 2], [2, 3]]
    """

    _PARAMETERS = ("n_classes", "seed", "scale", "exposure")

    def __init__(
        self,
        n_classes: int | str = 3,
        *,
        seed: int = FAST.seed,
        scale: str = FAST.scale,
        exposure: str = "auto",
    ) -> None:
        self.n_classes = n_classes
        self.seed = seed
        self.scale = scale
        self.exposure = exposure

    def fit(
        self, images: Sequence[Image], y: None = None, *, executor: Executor | None = None
    ) -> "Segmenter":
        """Find the classes that these micrographs share; memory does not grow with their number.

        Parameters
        ----------
        images : sequence
            Arrays, micrographs or paths; one or more. Paths are opened when they are needed.
        y : None
            Ignored; scikit-learn's pipelines pass it.
        executor : Executor, optional
            Reads the micrographs in its processes or on its machines; the result is the same.

        Raises
        ------
        InputError, SettingError
            If an image can't be used, or a parameter is out of its range.
        """
        settings = Settings(n_classes=self.n_classes, seed=self.seed, scale=self.scale)
        run_all = map if executor is None else executor.map
        openers = [opener(each) for each in _listed(images)]
        self.model_ = fit_model(openers, settings, exposure=self.exposure, run_all=run_all)
        return self

    def predict(self, image: Image) -> NDArray[np.uint8]:
        """The label map of one micrograph, (rows, cols): 1..k, 0 = excluded.

        Raises
        ------
        NotFittedError
            If nothing was fitted or loaded.
        InputError
            If the image can't be used.
        """
        return np.asarray(self.segment(image).labels, np.uint8)

    def fit_predict(self, images: Sequence[Image], y: None = None) -> list[NDArray[np.uint8]]:
        """Fit, and the label map of each."""
        images = _listed(images)
        self.fit(images)
        return [self.predict(each) for each in images]

    def segment(self, image: Image) -> Segmentation:
        """All that there is to say of one micrograph; errors as for `predict`."""
        return self._fitted().segment(opener(image)())

    def save(self, path: Path | str, *, force: bool = False) -> None:
        """Write the model to a file; `force` replaces one that is there."""
        write_model(Path(path), self._fitted(), versions=versions(), force=force)

    @classmethod
    def load(cls, path: Path | str) -> "Segmenter":
        """A fitted segmenter from a file that `save` or `nital fit` has written.

        Raises
        ------
        InputError
            If it is damaged, of another program, or of a newer nital.
        """
        model = read_model(Path(path))
        settings = model.settings
        assert isinstance(settings.n_classes, int)  # `read_model` has refused it otherwise
        segmenter = cls(
            settings.n_classes,
            seed=settings.seed,
            scale=settings.scale,
            exposure=model.exposure,
        )
        segmenter.model_ = model
        return segmenter

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name."""
        return {name: getattr(self, name) for name in self._PARAMETERS}

    def set_params(self, **changes: Any) -> "Segmenter":
        """Change parameters; what was fitted stays until `fit` is called again.

        Raises
        ------
        SettingError
            If there is no such parameter.
        """
        for name, value in changes.items():
            if name not in self._PARAMETERS:
                known = ", ".join(self._PARAMETERS)
                raise SettingError(f"{name} {value!r}: no parameter of Segmenter; use {known}")
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
    """What opens an image; that of a path can go to another process. `how`: `open_micrograph`."""
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
        raise InputError("images: a single micrograph; put it into a list")
    return list(images)
