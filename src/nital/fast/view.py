"""Views: a micrograph as its features see it, evenly lit and at a sampling that suits its size.

The features have lengths in pixels. So that they are the same however finely the field was sampled,
they are found in a view, in which a field has about `VIEW_PIXELS` pixels whatever it has in the
micrograph. Labels are brought back to the pixels of the micrograph afterwards.
"""

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nital.image.light import EVEN, Light, find_light
from nital.image.micrograph import Micrograph, Source, luminance, nearest_places, spread_pixels
from nital.image.tone import GREY, Tone, scatter, tone_of
from nital.image.windows import Window, blocks
from nital.result.boundaries import noise_of

VIEW_PIXELS = 2**18
"""Pixels of a view, about: 512 x 512."""

COARSEST, FINEST = 4.0, 1 / 3
"""Largest and smallest step of a view, in pixels of the micrograph: large images are not looked at
as a whole, and a few pixels do not become many."""

KEPT_PIXELS = 2**25
"""A view of no more pixels is kept in memory; of others, windows are read when needed."""

MOST_PIXELS = 2**22
"""Light and tone are found in about as many pixels, spread over the image."""

_N_PARTS, _PART = 4, 256
"""Noise is found in the whole image or, if it is larger, in as many parts along each axis, of so
many pixels."""

_MARGIN = 16
"""Pixels of the micrograph, and of the view, that interpolation needs around a window."""

Floats = NDArray[np.float32]


def step_of(shape: tuple[int, int]) -> float:
    """Pixels of the micrograph, in a row, for each pixel of its view."""
    return float(np.clip(math.sqrt(shape[0] * shape[1] / VIEW_PIXELS), FINEST, COARSEST))


@dataclass(frozen=True)
class View:
    """An image as its features see it."""

    source: Source
    step: float
    """Pixels of the source, in a row, for each pixel of the view."""

    light: Light = EVEN
    tone: Tone = GREY
    gain: float = 1.0
    offset: float = 0.0
    kept: tuple[Floats, NDArray[np.bool_]] | None = None
    """The whole grey level and the excluded pixels, unless there are too many."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of the view."""
        rows, cols = (max(1, round(length / self.step)) for length in self.source.shape)
        return rows, cols

    @property
    def has_excluded(self) -> bool:
        """Whether any pixel may be excluded."""
        return self.source.has_excluded

    def grey(self, window: Window) -> Floats:
        """The evenly lit grey level in a window, (rows, cols); nearest included ones where
        excluded."""
        return self._read(window)[0] if self.kept is None else self.kept[0][window]

    def read_excluded(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """The excluded pixels in a window, (rows, cols)."""
        if self.kept is not None:
            return self.kept[1][rows, cols]
        window = rows, cols
        return self.source.read_excluded(*self._span(window))[self._nearest(window)]

    def pixels(self, window: Window) -> Floats:
        """The colours of the nearest pixels of the source, (rows, cols, 3)."""
        return self.source.read(*self._span(window))[self._nearest(window)]

    def window_of(self, window: Window) -> Window:
        """The pixels of the source that are nearest to those of a window of the view."""
        found = [
            slice(*np.searchsorted(places, (part.start, part.stop)).tolist())
            for part, places in zip(window, self.places(), strict=True)
        ]
        return found[0], found[1]

    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The row of the view nearest to each row of the source, and the column to each column."""
        rows, cols = map(nearest_places, self.source.shape, self.shape)
        return rows, cols

    def enlarged(
        self, labels: NDArray[np.uint8], window: Window, there: Window
    ) -> NDArray[np.uint8]:
        """Labels of a window of the view, (rows, cols), as those of pixels of the source that it
        covers: of the nearest."""
        rows, cols = (
            places[inside] - part.start
            for places, inside, part in zip(self.places(), there, window, strict=True)
        )
        return labels[np.ix_(rows, cols)]

    def lit(self, pixels: Floats, there: Window) -> Floats:
        """The evenly lit grey level of pixels of the source, as they were read from it."""
        return self.tone.grey(pixels, self.light.field(self.source.shape, there))

    def level_of(self, grey: Floats) -> Floats:
        """The evenly lit grey level of the source where that of the view is this."""
        return (grey - np.float32(self.offset)) / np.float32(self.gain or 1)

    def noise(self, reach: int) -> float:
        """Standard deviation of the noise of the source, evenly lit (`boundaries.noise_of`)."""
        rows, cols = (_spread_parts(length) for length in self.source.shape)
        parts = (
            (self.lit(self.source.read(*there), there), ~self.source.read_excluded(*there))
            for there in product(rows, cols)
        )
        return noise_of(parts, reach)

    def exposed(self, gain: float, offset: float) -> Self:
        """The view with other brightness and contrast."""
        kept = self.kept
        if kept is not None:
            kept = kept[0] * np.float32(gain) + np.float32(offset), kept[1]
        return replace(self, gain=self.gain * gain, offset=self.offset * gain + offset, kept=kept)

    def kept_whole(self) -> Self:
        """The view, kept in memory."""
        grey, excluded = np.empty(self.shape, np.float32), np.empty(self.shape, bool)
        for window in blocks(self.shape):
            grey[window], excluded[window] = self._read(window)
        return replace(self, kept=(grey, excluded))

    def part(self, window: Window) -> "View":
        """The pixels of the source that a window covers, evenly lit, as a view of their own."""
        span = self._span(window)
        grey = self.lit(self.source.read(*span), span)
        pixels = np.repeat(grey[..., np.newaxis], 3, axis=2)
        own = Micrograph(pixels, self.source.read_excluded(*span), (0, 1))
        return View(own, self.step, gain=self.gain, offset=self.offset).kept_whole()

    def _span(self, window: Window, margin: int = 0) -> Window:
        """The pixels of the source that a window covers, with a margin."""
        found = []
        for part, n, own in zip(window, self.source.shape, self.shape, strict=True):
            start, stop = (edge * n / own for edge in (part.start, part.stop))
            found.append(
                slice(max(0, math.floor(start) - margin), min(n, math.ceil(stop) + margin))
            )
        return found[0], found[1]

    def _nearest(self, window: Window) -> tuple[NDArray[np.int64], ...]:
        """Index of the nearest pixels of the source, within `_span` of the window."""
        places = map(nearest_places, self.shape, self.source.shape)
        parts = zip(places, window, self._span(window), strict=True)
        return np.ix_(*(each[part] - inside.start for each, part, inside in parts))

    def _read(self, window: Window) -> tuple[Floats, NDArray[np.bool_]]:
        span = self._span(window, math.ceil(_MARGIN * max(1.0, self.step)))
        grey = self.lit(self.source.read(*span), span)
        grey = filled(grey, self.source.read_excluded(*span))
        grey = grey * np.float32(self.gain) + np.float32(self.offset)
        return self._resampled(grey, span, window), self.read_excluded(*window)

    def _resampled(self, grey: Floats, span: Window, window: Window) -> Floats:
        """The grey level of a span of the source, at the pixels of a window of the view."""
        if self.shape == self.source.shape:
            rows, cols = (
                slice(part.start - outer.start, part.stop - outer.start)
                for part, outer in zip(window, span, strict=True)
            )
            return np.ascontiguousarray(grey[rows, cols])
        scales = [n / own for n, own in zip(self.source.shape, self.shape, strict=True)]
        blur = [max(0.0, (scale - 1) / 2) for scale in scales]  # against aliasing
        found: Floats = ndimage.affine_transform(
            ndimage.gaussian_filter(grey, blur),
            scales,
            [
                (part.start + 0.5) * scale - 0.5 - outer.start
                for part, outer, scale in zip(window, span, scales, strict=True)
            ],
            tuple(part.stop - part.start for part in window),
            order=1 if self.step >= 1 else 3,
            mode="mirror",
        )
        return found


def _spread_parts(length: int) -> list[slice]:
    """The whole length, or a few parts of it that are spread over it."""
    if length <= _N_PARTS * _PART:
        return [slice(0, length)]
    starts = np.rint(np.linspace(0, length - _PART, _N_PARTS)).astype(int).tolist()
    return [slice(start, start + _PART) for start in starts]


def light_and_colours(
    source: Source, light: Light | None = None, usual: Light | None = None
) -> tuple[Light, NDArray[np.float64]]:
    """The light on an image, if it is not given, and the scatter of its colours.

    `usual` is as for `find_light`.
    """
    pixels, included = spread_pixels(source, MOST_PIXELS)
    if light is None:
        light = find_light(luminance(pixels), included, usual)
    return light, scatter(pixels[included])


def look_at(
    source: Source,
    step: float | None = None,
    tone: Tone | None = None,
    light: Light | None = None,
    usual: Light | None = None,
) -> View:
    """The view of an image; what is not given is found, the light as by `find_light`."""
    if light is None or tone is None:
        light, colours = light_and_colours(source, light, usual)
        tone = tone_of(colours) if tone is None else tone
    view = View(source, step_of(source.shape) if step is None else step, light, tone)
    return view if math.prod(view.shape) > KEPT_PIXELS else view.kept_whole()


def filled(grey: Floats, excluded: NDArray[np.bool_]) -> Floats:
    """The grey level, with that of the nearest included pixel where excluded."""
    if excluded.any() and not excluded.all():
        nearest = ndimage.distance_transform_edt(
            excluded, return_distances=False, return_indices=True
        )
        grey = grey[tuple(nearest)]
    return grey
