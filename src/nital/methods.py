"""The methods, and the entry point that segments a micrograph with any of them.

A method is a folder named after its mode. It holds the settings and, in its module `method`, the
object `METHOD`, which implements `Method`. A third method takes such a folder and a line in
`modes`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nital.errors import InputError
from nital.fast.settings import FAST
from nital.image.micrograph import LargeMicrograph, Micrograph, Source
from nital.modes import MODES
from nital.result.clock import Clock
from nital.result.segmentation import Segmentation
from nital.settings import AUTO, Settings, check_choice

S = TypeVar("S", bound=Settings)
"""Settings of a method."""

P = TypeVar("P")
"""The result of a method's `prepare`."""


class Method(Protocol[S, P]):
    """Interface of a method. Errors are those of `segment`."""

    settings: type[S]

    def resolve(self, settings: S, micrograph: Micrograph | LargeMicrograph) -> S:
        """Fill in the settings whose defaults depend on the image.

        Refuse whatever the method can't do; nothing else is checked before the work starts.
        """

    def prepare(self, source: Source, settings: S) -> P:
        """Compute what depends on neither seed nor number of classes; it has a `shape`."""

    def check_prepared(self, prepared: object, settings: S) -> None:
        """Refuse what was prepared by another method or with other settings."""

    def segment(
        self,
        micrograph: Any,
        settings: S,
        prepared: P,
        *,
        out: NDArray[np.uint8] | None,
        on_rows: Callable[..., None] | None,
        on_step: Callable[..., None] | None,
    ) -> Segmentation:
        """Segment a micrograph; `settings` are resolved, `prepared` is checked."""

    def segment_each(
        self, micrograph: Micrograph, wanted: Sequence[S], prepared: P
    ) -> Iterator[Segmentation]:
        """Segment with several settings that differ only in seed and number of classes."""

    def group(self, wanted: Sequence[S], prepared: P) -> list[list[S]]:
        """Group such settings by the work that they share, for `segment_each`."""


def method_of(mode: str) -> Method[Any, Any]:
    """The method of a mode: `METHOD` in the module `method` of the folder of that name.

    Raises
    ------
    SettingError
        If there is no such mode.
    """
    check_choice("mode", mode, MODES)
    found: Method[Any, Any] = import_module(f"nital.{mode}.method").METHOD
    return found


def segment(
    image: ArrayLike | Micrograph | LargeMicrograph,
    n_classes: int | str | None = None,
    *,
    settings: Settings = FAST,
    excluded: ArrayLike | None = None,
    prepared: Any = None,
    out: NDArray[np.uint8] | None = None,
    on_step: Callable[..., None] | None = None,
    on_rows: Callable[..., None] | None = None,
) -> Segmentation:
    """Segment one micrograph into its constituents, without labelled data.

    Parameters
    ----------
    image : (rows, cols) or (rows, cols, channels), a Micrograph, or a LargeMicrograph
        Grey, grey with alpha, RGB or RGBA; bool, integer or float (`Micrograph.from_array`).
    n_classes : int or "auto", optional
        Replaces that in `settings` (3 there).
    settings : FastSettings or PaperSettings
        Everything else that can alter the result; its type selects the method.
    excluded : (rows, cols) of bool, optional
        Pixels that belong to no class; they get the label 0.
    prepared : optional
        Result of `prepare` for this image and these settings, if available; other numbers of
        classes, and in paper mode other seeds, can share it.
    out : (rows, cols), optional
        Array that the labels are written to, such as a `numpy.memmap` if they do not fit into
        memory.
    on_step, on_rows : callable, optional
        `on_step` is called by paper mode after each iteration, with a `paper.course.Step`;
        `on_rows` with the number of labelled rows and the map so far. They can't alter the result,
        but can end the work by raising `nital.errors.Stopped`: the result is then what is done so
        far, and its `notes` say so.

    Raises
    ------
    InputError
        If the image can't be segmented: of an unsupported kind, constant, not finite or too small.
    SettingError
        If a setting is out of its range or the device is not available.

    Notes
    -----
    The same image and settings give the same labels, byte for byte, with the same versions of
    numpy and scipy; in paper mode on the same device with the same number of threads and the same
    versions of torch and scikit-image. In fast mode a mirrored image has the mirrored labels.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = np.repeat([[0.2, 0.8]], 16, axis=1).repeat(32, axis=0)
    >>> image += 0.05 * rng.random(image.shape)
    >>> [row.area_fraction for row in segment(image, n_classes=2).classes]
    [0.5, 0.5]
    """
    method = method_of(getattr(settings, "mode", str(settings)))
    if n_classes is not None:
        settings = replace(settings, n_classes=n_classes)
    clock = Clock()
    micrograph = _as_micrograph(image, excluded)
    settings = method.resolve(settings, micrograph)
    if prepared is None:
        prepared = method.prepare(micrograph, settings)
    _check_prepared(prepared, micrograph, settings)
    if out is not None:
        _check_out(out, micrograph, settings)
    clock.lap("preparation")
    found = method.segment(
        micrograph, settings, prepared, out=out, on_rows=on_rows, on_step=on_step
    )
    return replace(found, seconds=clock.seconds | found.seconds)


def segment_each(
    micrograph: Micrograph, wanted: Sequence[Settings], *, prepared: Any
) -> Iterator[Segmentation]:
    """Segment one micrograph with several settings that differ only in seed and `n_classes`.

    The results are those of `segment`, in an order that the method chooses; shared work is done
    once, and counted in `seconds` of the first.

    Parameters and errors are those of `segment`.
    """
    _check_prepared(prepared, micrograph, wanted[0])
    yield from method_of(wanted[0].mode).segment_each(micrograph, wanted, prepared)


def prepare(source: Source, settings: Settings) -> Any:
    """Compute what depends on neither seed nor number of classes, for repeats to share.

    Parameters
    ----------
    source : Source
        A micrograph.
    settings : Settings
        Fast mode uses scale and light; paper mode the superpixels, and whether training is exact.

    Returns
    -------
    In paper mode `paper.superpixels.Superpixels`; in fast mode the sample.
    """
    return method_of(settings.mode).prepare(source, settings)


def resolve(settings: S, micrograph: Micrograph | LargeMicrograph) -> S:
    """Resolve settings for this micrograph: fill in defaults, presets and the `auto` device.

    Raises
    ------
    InputError, SettingError
        If `segment` would refuse them; it checks nothing else before it starts to work.
    """
    found: S = method_of(settings.mode).resolve(settings, micrograph)
    return found


def _check_prepared(
    prepared: Any, micrograph: Micrograph | LargeMicrograph, settings: Settings
) -> None:
    method_of(settings.mode).check_prepared(prepared, settings)
    if prepared.shape != micrograph.shape:
        raise InputError(
            f"prepared on an image of shape {prepared.shape}, not {micrograph.shape}; prepare this"
            " image"
        )


def _check_out(
    out: NDArray[np.uint8], micrograph: Micrograph | LargeMicrograph, settings: Settings
) -> None:
    if settings.n_classes == AUTO or settings.regions != "classes":
        raise InputError(
            f"out: only for a number of classes with regions 'classes', not {settings}"
        )
    if out.shape != micrograph.shape or out.dtype != np.uint8:
        raise InputError(
            f"out: shape {out.shape}, kind {out.dtype}; needs {micrograph.shape} and uint8"
        )


def _as_micrograph(
    image: ArrayLike | Micrograph | LargeMicrograph, excluded: ArrayLike | None
) -> Micrograph | LargeMicrograph:
    if not isinstance(image, Micrograph | LargeMicrograph):
        return Micrograph.from_array(image, excluded=excluded)
    if excluded is not None:
        raise InputError("excluded: the micrograph has an excluded area of its own; set it there")
    return image
