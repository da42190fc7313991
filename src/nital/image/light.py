"""Light: the illumination field of a micrograph, and evenly lit grey levels.

An uneven light spreads the grey levels of each constituent, so that of all smooth fields the one
whose removal leaves the histogram with the least entropy is taken (as for the flat field of a
microscope and the bias field of magnetic resonance: Likar et al., J. Microsc. 197, 285-295 (2000);
Mangin, Proc. MMBIA 2000, 162-169). Constituents whose proportions change across the picture mislead
it little: their peaks stay where they are.

If the picture is multiplied by a further smooth field, the field that is found gains just that
factor, whatever the picture shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy import ndimage, optimize

from nital.image.micrograph import spread_over

ORDERS = ((0, 1), (1, 0), (0, 2), (1, 1), (2, 0))
"""Orders in rows and columns of the Legendre polynomials whose sum is the log of the field."""

SIDE = 128
"""The field is found in a copy of the picture reduced to about this many rows and columns."""

SMOOTHING = 0.4
"""Standard deviation in pixels of that copy of the Gaussian that first removes noise. A wider one
mixes constituents, and takes their proportions for light."""

BANDWIDTHS = (0.5, 0.25, 0.12)
"""Standard deviations of the Gaussians that smooth the histogram, one after the other, relative to
the spread of the logs of the grey levels: wide ones find the field from far away, narrow ones find
it exactly."""

DEEPEST = 0.4
"""Logs of the field beyond this, about a third lighter or darker than the mean, are penalised:
darkness so deep is rather another material, such as the mount."""

PENALTY = 4.0
STEEPEST = 5.0
"""No coefficient of any light is larger: the penalty leaves none half as large."""

LEAST_SPREAD = 0.02
STEP = 1e-3
"""The log of the field is rounded to steps of this, so that the order of sums does not matter."""

NOTABLE_DEPTH = 0.1
"""Light that is less uneven goes without saying: what is found on an evenly lit micrograph may have
half of this depth."""

LEAST_GAIN = 0.1
"""A micrograph of a series is taken to have a light of its own if its entropy is lower by this, in
nats, than under the light of the series. Composition that is taken for light seldom gains so much;
light that falls by 30 % gains 0.1 to 1."""

_N_BINS = 256
_LEAST = 1e-3
_CLIPPED = 0.995
_TINY = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Light:
    """The light on a picture: the exponential of a quadratic polynomial, with geometric mean 1."""

    coefficients: tuple[float, ...]
    """Those of the Legendre polynomials of `ORDERS`."""

    def field(
        self, shape: tuple[int, int], window: tuple[slice, slice] | None = None
    ) -> NDArray[np.float32]:
        """The field over a picture of this shape, or in a window of it: what even light is
        multiplied by."""
        places = [np.arange(length) for length in shape]
        if window is not None:
            places = [each[part] for each, part in zip(places, window, strict=True)]
        down, along = (
            legendre.legvander(np.linspace(-1, 1, length)[each], 2)
            for length, each in zip(shape, places, strict=True)
        )
        weights = np.zeros((3, 3))
        weights[tuple(zip(*ORDERS, strict=True))] = self.coefficients
        return np.exp((down @ weights @ along.T).astype(np.float32))

    @property
    def depth(self) -> float:
        """How much darker the darkest place is than the lightest, 0 to 1."""
        field = self.field((33, 33))
        return float(1 - field.min() / field.max())


EVEN = Light((0.0,) * len(ORDERS))


def common_light(lights: Sequence[Light]) -> Light:
    """The light of a series: the median of each coefficient; of two lights, the more even one.

    What is composition, and not light, differs from micrograph to micrograph.
    """
    if len(lights) == 2:
        return min(lights, key=lambda each: (each.depth, each.coefficients))
    return _rounded(np.median([each.coefficients for each in lights], axis=0))


def find_light(
    grey: NDArray[np.float32],
    included: NDArray[np.bool_] | None = None,
    usual: Light | None = None,
    own: Light | None = None,
) -> Light:
    """Find the light on a picture.

    Parameters
    ----------
    grey : (rows, cols), float, 0 or more
        In proportion to the light, with black at 0.
    included : (rows, cols), bool, optional
        Pixels to find it from; default: all.
    usual : Light, optional
        That of the series of which this is a micrograph: returned unless another is clearly better
        (`LEAST_GAIN`).
    own : Light, optional
        What was found on it without `usual`.
    """
    seen = _reduced(grey, included)
    if seen is None:
        return EVEN if usual is None else usual
    own = seen.evenest() if own is None else own
    if usual is None or seen.entropy(own) < seen.entropy(usual) - LEAST_GAIN:
        return own
    return usual


@dataclass(frozen=True)
class _Reduced:
    """The usable pixels of a reduced picture."""

    shapes: Floats
    """(n, 5): the polynomials of `ORDERS` there."""

    logs: Floats
    """(n,): of their grey levels."""

    spread: float
    """Of the logs: half of what lies between the percentiles 16 and 84."""

    def evenest(self) -> Light:
        """The light whose removal leaves the least entropy."""
        # A wide histogram takes a dark half of a picture for light: even light is another start.
        tried = []
        for bandwidths in (BANDWIDTHS, BANDWIDTHS[-1:]):
            found = np.zeros(len(ORDERS))
            for bandwidth in bandwidths:
                aim = self._aim(found, bandwidth)
                found = optimize.minimize(aim, found, jac=True, method="L-BFGS-B", tol=1e-9).x
            tried.append((aim(found)[0], found))
        return _rounded(min(tried, key=lambda each: each[0])[1])

    def entropy(self, light: Light) -> float:
        """The entropy that is left if this light is removed, in nats."""
        field = np.array(light.coefficients)
        return self._aim(field, BANDWIDTHS[-1])(field)[0]

    def _aim(self, start: Floats, bandwidth: float) -> "_Entropy":
        return _Entropy(self.shapes, self.logs, start, bandwidth * max(self.spread, LEAST_SPREAD))


def _reduced(grey: NDArray[np.float32], included: NDArray[np.bool_] | None) -> _Reduced | None:
    """Reduce a picture; None if it does not say how much light there is."""
    step = max(1, round(max(grey.shape) / SIDE))
    rows, cols = (spread_over(length, step) for length in grey.shape)

    def blurred(image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The blurred image at these places; only they are blurred along the second axis."""
        half = ndimage.gaussian_filter1d(image, SMOOTHING * step, axis=0)[rows]
        found: NDArray[np.float32] = ndimage.gaussian_filter1d(half, SMOOTHING * step)[:, cols]
        return found

    if included is None or included.all():
        smoothed, usable = blurred(grey), np.ones((len(rows), len(cols)), bool)
    else:  # a mean of the included pixels alone
        smoothed = blurred(np.where(included, grey, 0).astype(np.float32))
        smoothed /= np.maximum(blurred(included.astype(np.float32)), _TINY)
        usable = included[np.ix_(rows, cols)]
    if not usable.any():
        return None
    seen = smoothed.astype(np.float64)
    # What is black or clipped does not say how much light there is.
    known = seen[usable]
    usable &= (seen > 0.02 * np.median(known)) & (seen < _CLIPPED * known.max())
    if np.count_nonzero(usable) < 2 * len(ORDERS):
        return None
    logs = np.log(np.maximum(seen[usable], _LEAST))
    spread = float(np.subtract(*np.percentile(logs, (84, 16)))) / 2
    shapes = _polynomials(grey.shape, rows, cols)[usable]
    return None if spread < STEP else _Reduced(shapes, logs, spread)


def _rounded(coefficients: Floats) -> Light:
    return Light(tuple((np.round(coefficients / STEP) * STEP).tolist()))


def _polynomials(
    shape: tuple[int, ...],
    rows: NDArray[np.int64] | None = None,
    cols: NDArray[np.int64] | None = None,
) -> Floats:
    """(rows, cols, 5): the polynomials of `ORDERS` over a picture, or at some of its places."""
    down, along = (
        np.linspace(-1, 1, length)[slice(None) if places is None else places]
        for length, places in zip(shape, (rows, cols), strict=True)
    )
    parts = [legendre.legvander(each, 2) for each in (down, along)]
    return np.stack([np.multiply.outer(parts[0][:, i], parts[1][:, j]) for i, j in ORDERS], axis=-1)


class _Entropy:
    """Entropy of the histogram of evenly lit logs, and its gradient, as a function of the field.

    Bright pixels weigh more: the noise of dark ones is large in the log.
    """

    def __init__(self, shapes: Floats, logs: Floats, start: Floats, bandwidth: float) -> None:
        self._shapes, self._logs = shapes, logs
        self._all_over = _polynomials((17, 17)).reshape(-1, len(ORDERS))
        flat = logs - shapes @ start
        self._weights = np.exp(np.minimum(flat - np.median(flat), 1))
        self._weights /= self._weights.sum()
        self._low = float(logs.min()) - 1
        self._per_bin = (float(logs.max()) + 1 - self._low) / (_N_BINS - 1)
        self._blur = bandwidth / self._per_bin

    def __call__(self, coefficients: Floats) -> tuple[float, Floats]:
        place = (self._logs - self._shapes @ coefficients - self._low) / self._per_bin
        place = np.clip(place, 0, _N_BINS - 1.001)
        below = place.astype(np.int64)
        upper = place - below

        counts: Floats = np.bincount(below, self._weights * (1 - upper), _N_BINS).astype(float)
        counts += np.bincount(below + 1, self._weights * upper, _N_BINS)
        density = _smoothed(counts, self._blur) + 1e-12
        log_density = np.log(density)
        # A pixel that moves changes its own density, and the density at all others.
        rise = np.diff(log_density + _smoothed(counts / density, self._blur)) / self._per_bin
        beyond = np.abs(height := self._all_over @ coefficients) - DEEPEST
        beyond = np.maximum(beyond, 0) * np.sign(height)
        entropy = -counts @ log_density + PENALTY * np.mean(beyond**2)
        gradient = (rise[below] * self._weights) @ self._shapes
        gradient += 2 * PENALTY * (beyond @ self._all_over) / len(beyond)
        return float(entropy), gradient


def _smoothed(values: Floats, blur: float) -> Floats:
    found: Floats = ndimage.gaussian_filter1d(values, blur, mode="constant")
    return found
