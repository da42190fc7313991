"""Constituents: the appearance of each in a synthetic micrograph."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

CONSTITUENTS: tuple[str, ...] = ("ferrite", "pearlite", "bainite", "side_plates", "martensite")
_DRAWS = 4099  # random draws for colonies, packets and grains; sharing one does no harm

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def smooth_noise(y: Floats, x: Floats, rng: Generator) -> Floats:
    """Smooth noise of unit variance at any points; it changes sign about once per unit."""
    samples, period = 6, 64  # samples per unit; period in units
    table = rng.standard_normal((samples * period,) * 2)
    table = ndimage.gaussian_filter(table, samples / (np.pi * np.sqrt(2)), mode="wrap")
    at = np.stack([y, x]) * samples
    found: Floats = ndimage.map_coordinates(table / table.std(), at, order=1, mode="grid-wrap")
    return found


# The painters below take, for all pixels of one constituent, the positions y and x in units of a
# 40th of a grain, the distance to the grain boundary in pixels (a boundary is as thin as the
# microscope shows it) and the number of the grain. They return the grey level up to a constant.


def _each(group: Ints, low: float, high: float, rng: Generator) -> Floats:
    """One uniform random number per grain or packet, at each of its pixels."""
    return rng.uniform(low, high, _DRAWS)[group % _DRAWS]


def _orient(
    y: Floats, x: Floats, grain: Ints, size: float, sway: float, rng: Generator
) -> tuple[Ints, Floats, Floats]:
    """Split grains into packets of about `size`, each with a direction bent by `sway` radians.

    Returns the number of the packet and the positions along and across its direction.
    """
    points = np.stack(
        [axis / size + 0.15 * smooth_noise(y / size, x / size, rng) for axis in (y, x)], 1
    )
    low, high = points.min(axis=0), points.max(axis=0)
    seeds = rng.uniform(low, high, (1 + int(np.prod(high - low)), 2))
    packet = (613 * grain + cKDTree(seeds).query(points)[1]) % _DRAWS
    y, x = (axis + 11 * sway * smooth_noise(y / 36, x / 36, rng) for axis in (y, x))
    angle = _each(packet, 0, np.pi, rng)
    sin, cos = np.sin(angle), np.cos(angle)
    return packet, x * cos + y * sin, y * cos - x * sin


def _line(distance: Floats, width: float) -> Floats:
    """1 on a line, 0 away from it."""
    return np.asarray(np.exp(-np.square(distance / width)))


def _dots(u: Floats, v: Floats, share: Floats | float, flat: float, rng: Generator) -> Floats:
    """Dots in a `share` of the unit cells, `flat` wide along v and 1.7 times that along u."""
    shift_u, shift_v, size, luck = rng.random((4, 64, 64))
    cell = np.floor(u).astype(np.intp) % 64, np.floor(v).astype(np.intp) % 64
    du, dv = u % 1 - 0.3 - 0.4 * shift_u[cell], v % 1 - 0.3 - 0.4 * shift_v[cell]
    strength: Floats = np.where(luck[cell] < share, 0.6 + 0.6 * size[cell], 0)
    return strength * _line(np.hypot(du / 1.7, dv), flat)


def _ferrite(y: Floats, x: Floats, edge: Floats, grain: Ints, rng: Generator) -> Floats:
    """Bright grains, thin dark boundaries etched unevenly, occasional inclusions."""
    etch = 0.3 + 0.1 * smooth_noise(y / 12, x / 12, rng)
    haze = 0.008 * smooth_noise(y / 5, x / 5, rng)
    inclusions = _dots(x / 24, y / 24, 0.12, 0.04, rng)
    return _each(grain, -0.035, 0.035, rng) + haze - etch * _line(edge, 1.0) - 0.5 * inclusions


def _pearlite(y: Floats, x: Floats, edge: Floats, grain: Ints, rng: Generator) -> Floats:
    """Colonies of wavy lamellae, some of them too fine to resolve."""
    colony, u, v = _orient(y, x, grain, 24, 0.15, rng)
    kinks = smooth_noise(u / 20 + colony, v / 5, rng)
    lamellae = np.sin(2 * np.pi * v / _each(colony, 3.0, 5.5, rng) + kinks)
    resolved = np.clip(_each(colony, -0.5, 1.1, rng) + 0.3 * smooth_noise(u / 9, v / 9, rng), 0, 1)
    return _each(colony, -0.06, 0.06, rng) + resolved * (0.2 * lamellae + 0.05)


def _bainite(y: Floats, x: Floats, edge: Floats, grain: Ints, rng: Generator) -> Floats:
    """As bright as ferrite, with fine carbides in short rows along one direction per sheaf."""
    sheaf, u, v = _orient(y, x, grain, 45, 0.1, rng)
    crowd = 0.5 + 0.3 * smooth_noise(u / 24 + sheaf, v / 7, rng)
    rows = v / 4 + 0.25 * smooth_noise(u / 14, v / 14 + sheaf, rng)
    carbides = _dots(u / 3.4, rows, crowd, 0.22, rng)
    laths = 0.02 * smooth_noise(u / 25 + sheaf, v / 3, rng)
    return _each(sheaf, -0.025, 0.025, rng) + laths - 0.4 * carbides - 0.2 * _line(edge, 1.0)


def _side_plates(y: Floats, x: Floats, edge: Floats, grain: Ints, rng: Generator) -> Floats:
    """Bright plates that taper from a bright boundary film, with thin dark rows between them."""
    colony, u, v = _orient(y, x, grain, 60, 0.08, rng)
    plates = v / 8 + 0.3 * smooth_noise(u / 40 + colony, v / 12, rng)
    broken = np.clip(0.8 + 0.5 * smooth_noise(u / 10, v / 8, rng), 0, 1)
    rows = (1 - _line(edge, 2.0)) * broken * _line(plates - np.round(plates), 0.13)
    return _each(colony, -0.02, 0.02, rng) - 0.45 * rows - 0.25 * _line(edge, 0.8)


def _martensite(y: Floats, x: Floats, edge: Floats, grain: Ints, rng: Generator) -> Floats:
    """Packets of parallel laths in blocks of differing grey, several packets per grain."""
    packet, u, v = _orient(y, x, grain, 26, 0.1, rng)
    blocks = 0.05 * np.tanh(3 * smooth_noise(u / 60 + packet, v / 6, rng))
    laths = 0.055 * smooth_noise(u / 18 + packet, v / 1.8, rng)
    needles = 0.1 * _line(smooth_noise(u / 30, v / 5 + packet, rng), 0.2)
    return _each(packet, -0.06, 0.06, rng) + blocks + laths - needles - 0.08 * _line(edge, 1.0)


# Mean grey level before imaging, slowness of the growth front, painter. Ferrite and bainite have
# the same mean, which makes them hard to tell apart. A constituent that transforms early is slow
# and becomes rounded; one that takes the remaining space is fast and gets concave sides.
Painter = Callable[[Floats, Floats, Floats, Ints, Generator], Floats]
NATURE: dict[str, tuple[float, float, Painter]] = {
    "ferrite": (0.76, 1.0, _ferrite),
    "pearlite": (0.33, 0.7, _pearlite),
    "bainite": (0.76, 0.85, _bainite),
    "side_plates": (0.74, 0.95, _side_plates),
    "martensite": (0.48, 0.75, _martensite),
}
