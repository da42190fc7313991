"""Micrographs with an exact truth: nital-etched low-carbon steel as a light microscope shows it.

Three steps, each with random numbers of its own, so that a change to one leaves the others as they
were: grains share out the field (`_grow`), every constituent paints the pixels that its grains hold
(`_NATURE`), and the microscope blurs, shades and adds noise (`_expose`). The truth is what the
first step says; nothing after it moves a boundary.

The grain size sets the magnification: lamellae, laths, plates and carbides scale with it. At 15
pixels a grain most pearlite is unresolved and dark, as it is under a weak objective.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from nital.errors import SettingError

CONSTITUENTS: tuple[str, ...] = ("ferrite", "pearlite", "bainite", "side_plates", "martensite")
LAYOUTS: tuple[str, ...] = ("voronoi", "banded")

_MILD_STEEL: Mapping[str, float] = MappingProxyType({"ferrite": 0.65, "pearlite": 0.35})
_MIN_SIDE, _MIN_GRAIN = 64, 8
_DRAWN_AT = 40  # the grain size in pixels for which the painters' lengths are written
_BLOCK, _RIVALS = 4, 8  # pixels a side that share a list of near sites, and how many it holds
_DRAWS = 4099  # random draws for colonies, packets and grains; two that share one do no harm
_BLUR = 0.7  # standard deviation of the optical blur in pixels

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class SyntheticMicrograph:
    """A micrograph and the truth about it.

    Attributes
    ----------
    image : ndarray of float32, shape (rows, cols)
        Grey in [0, 1].
    truth : ndarray of uint8, shape (rows, cols)
        Labels 1..k, from the constituent that is darkest on average in `image` to the brightest.
    names : tuple of str
        ``names[i]`` is the constituent with the label ``i + 1``.
    fractions : dict of str to float
        Area fraction of each constituent counted in `truth`, in the order of `names`; sums to 1.
    seed : int
        The seed that makes it again.
    """

    image: NDArray[np.float32]
    truth: NDArray[np.uint8]
    names: tuple[str, ...]
    fractions: dict[str, float]
    seed: int


def synthesize(
    shape: tuple[int, int] = (512, 512),
    fractions: Mapping[str, float] = _MILD_STEEL,
    *,
    layout: str = "voronoi",
    grain_size: float = 40.0,
    shading: float = 0.1,
    noise: float = 0.02,
    seed: int = 0,
) -> SyntheticMicrograph:
    """Draw an optical micrograph of nital-etched low-carbon steel whose truth is known.

    Sites compete for each pixel by distance times slowness plus a handicap. The handicap of each
    constituent is tuned until its area is the wanted one, so that fractions hold even where whole
    grains would be too coarse.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns, each at least 64.
    fractions : mapping of str to float
        Wanted area share of each of the `CONSTITUENTS` named: positive, divided by their sum.
    layout : {"voronoi", "banded"}
        Grains mixed in clusters, or in wavy horizontal bands as in hot-rolled plate.
    grain_size : float
        Mean grain diameter in pixels, from 8 to the shorter side.
    shading : float
        Share of the brightness lost between the best and the worst lit point, in [0, 1].
    noise : float
        Standard deviation of the sensor noise in units of full scale, in [0, 1].
    seed : int
        From 0 to 2**64 - 1. The same seed and settings give the same bytes.

    Returns
    -------
    SyntheticMicrograph
        `image` float32 in [0, 1] and `truth` uint8 in 1..k, both of `shape`.

    Raises
    ------
    SettingError
        A setting out of its range, an unknown constituent or layout, or a constituent that would
        get no pixel.

    Examples
    --------
    >>> micrograph = synthesize((96, 128), {"ferrite": 3, "pearlite": 1}, grain_size=16, seed=7)
    >>> micrograph.image.shape, micrograph.names
    ((96, 128), ('pearlite', 'ferrite'))
    >>> abs(micrograph.fractions["pearlite"] - 0.25) < 0.02
    True
    """
    _check(shape, fractions, layout, grain_size, shading, noise, seed)
    names = [name for name in CONSTITUENTS if name in fractions]
    wanted = np.array([fractions[name] for name in names], dtype=float)
    growing, painting, exposing = np.random.default_rng(seed).spawn(3)

    grain, owner, edge = _grow(shape, names, wanted / wanted.sum(), layout, grain_size, growing)
    constituent = owner[grain]
    drawn = np.empty(shape)
    for which, rng in enumerate(painting.spawn(len(names))):
        mean, _, paint = _NATURE[names[which]]
        here = constituent == which
        y, x = np.array(np.nonzero(here), dtype=float) * (_DRAWN_AT / grain_size)
        grey = paint(y, x, edge[here], grain[here], rng)
        drawn[here] = grey + (mean - grey.mean())
    image = _expose(drawn, shading, noise, exposing)

    area = np.bincount(constituent.ravel(), minlength=len(names))
    order = np.argsort(np.bincount(constituent.ravel(), image.ravel()) / area, kind="stable")
    return SyntheticMicrograph(
        image=image,
        truth=(np.argsort(order) + 1).astype(np.uint8)[constituent],
        names=tuple(names[i] for i in order),
        fractions={names[i]: float(area[i] / image.size) for i in order},
        seed=seed,
    )


def _check(
    shape: tuple[int, int],
    fractions: Mapping[str, float],
    layout: str,
    grain_size: float,
    shading: float,
    noise: float,
    seed: int,
) -> None:
    known = ", ".join(CONSTITUENTS)
    if len(shape) != 2 or min(shape) < _MIN_SIDE:
        raise SettingError(f"shape {shape} is too small: give rows and columns from {_MIN_SIDE} up")
    if not fractions:
        raise SettingError(f"fractions {{}} name no constituent: give one or more of {known}")
    for name, share in fractions.items():
        if name not in CONSTITUENTS:
            raise SettingError(f"constituent {name!r} is unknown: choose from {known}")
        if not 0 < share < np.inf:
            problem = "is not positive and finite: give a number above 0, or leave it out"
            raise SettingError(f"fraction {share} of {name} {problem}")
    if layout not in LAYOUTS:
        raise SettingError(f"layout {layout!r} is unknown: choose from {', '.join(LAYOUTS)}")
    for setting, value, low, high in (
        ("grain_size", grain_size, _MIN_GRAIN, min(shape)),
        ("shading", shading, 0, 1),
        ("noise", noise, 0, 1),
        ("seed", seed, 0, 2**64 - 1),
    ):
        if not low <= value <= high:
            raise SettingError(f"{setting} {value} is out of range: give one from {low} to {high}")


def _noise(y: Floats, x: Floats, rng: Generator) -> Floats:
    """Smooth noise of unit variance that changes sign about once a unit, at any points."""
    samples, period = 6, 64  # samples a unit; units after which it repeats
    table = rng.standard_normal((samples * period,) * 2)
    table = ndimage.gaussian_filter(table, samples / (np.pi * np.sqrt(2)), mode="wrap")
    at = np.stack([y, x]) * samples
    found: Floats = ndimage.map_coordinates(table / table.std(), at, order=1, mode="grid-wrap")
    return found


def _grow(
    shape: tuple[int, int],
    names: list[str],
    wanted: Floats,
    layout: str,
    grain_size: float,
    rng: Generator,
) -> tuple[Ints, Ints, Floats]:
    """The grain at each pixel, the constituent of each grain, and the distance to the boundary."""
    sites = _scatter(shape, grain_size, rng)
    y, x = np.indices(shape, dtype=float)
    for scale, sway in ((0.9, 0.09), (0.25, 0.025)):  # no boundary is straight
        at = y / (scale * grain_size), x / (scale * grain_size)
        y, x = (axis + sway * grain_size * _noise(*at, rng) for axis in (y, x))

    middles = (np.minimum(np.arange(_BLOCK // 2, n + _BLOCK // 2, _BLOCK), n - 1) for n in shape)
    block = np.ix_(*middles)
    distance, rivals = cKDTree(sites).query(np.stack([y[block], x[block]], axis=-1), k=_RIVALS)
    cells = np.bincount(rivals[..., 0].ravel(), minlength=len(sites))
    owner = _share_out(cells, wanted, _richness(sites, len(names), layout, grain_size, rng))
    slowness = np.array([_NATURE[name][1] for name in names])[owner]
    late = rng.normal(0, 0.06 * grain_size, len(sites))  # some grains nucleate before others
    reach = slowness[rivals] * distance + late[rivals]
    late += _handicap(reach, owner[rivals], wanted, grain_size)[owner]
    grain, edge = _compete(y, x, sites, rivals, slowness, late)

    held = np.bincount(owner[grain].ravel(), minlength=len(names))
    for which in np.flatnonzero((held == 0) | (wanted * grain.size < 1)):
        raise SettingError(
            f"fraction {wanted[which]:.2g} gives {names[which]} no pixel in {shape}: give a larger "
            f"fraction or shape, a grain_size below {grain_size}, or leave {names[which]} out"
        )
    return grain, owner, edge


def _scatter(shape: tuple[int, int], grain_size: float, rng: Generator) -> Floats:
    """Sites of grains over the field and a margin, evened out a little (Lloyd)."""
    low, high = np.full(2, -1.5 * grain_size), np.asarray(shape) + 1.5 * grain_size
    count = round(float(np.prod(high - low)) / (np.pi / 4 * grain_size**2))
    sites = rng.uniform(low, high, (count, 2))
    for _ in range(2):
        points = rng.uniform(low, high, (30 * count, 2))
        nearest = cKDTree(sites).query(points)[1]
        hits = np.bincount(nearest, minlength=count)[:, None]
        sums = np.stack([np.bincount(nearest, axis, count) for axis in points.T], axis=1)
        sites = np.where(hits > 0, sums / np.maximum(hits, 1), sites)
    return sites


def _richness(sites: Floats, k: int, layout: str, grain_size: float, rng: Generator) -> Floats:
    """How much each site suits each constituent, shape (k, sites)."""
    y, x = (sites / grain_size).T
    chance = rng.standard_normal((k, len(sites)))
    if layout == "voronoi":
        return chance + 0.7 * np.stack([_noise(y / 3, x / 3, rng) for _ in range(k)])
    turns = y / 3.5 + 0.18 * _noise(y / 4, x / 5, rng) + np.arange(k)[:, None] / k
    bands: Floats = np.cos(2 * np.pi * turns)
    return 0.25 * chance + bands


def _share_out(cells: Ints, wanted: Floats, richness: Floats) -> Ints:
    """The constituent of each site: the rarest chooses first, the commonest takes what is left."""
    rarest_first = np.argsort(wanted, kind="stable")
    owner, free = np.full(len(cells), rarest_first[-1]), cells > 0
    for turn, which in enumerate(rarest_first[:-1], start=1):
        ranked = np.flatnonzero(free)[np.argsort(-richness[which][free], kind="stable")]
        enough = 1 + np.searchsorted(np.cumsum(cells[ranked]), wanted[which] * cells.sum())
        spare = len(ranked) - (len(wanted) - turn)  # leaves a grain for each that is to choose yet
        mine = ranked[: min(enough, max(spare, 0))]
        owner[mine], free[mine] = which, False
    return owner


def _handicap(reach: Floats, owner: Ints, wanted: Floats, grain_size: float) -> Floats:
    """What to add to the reach of each constituent for it to hold the wanted area, shape (k,)."""
    late = np.zeros(len(wanted))
    for turn in range(50):
        winner = np.argmin(reach + late[owner], axis=-1)[..., None]
        held = np.bincount(np.take_along_axis(owner, winner, -1).ravel(), minlength=len(wanted))
        share = np.maximum(held, 0.5) / winner.size
        late += 0.3 * grain_size * 0.95**turn * np.log(share / wanted)
    return late


def _compete(
    y: Floats, x: Floats, sites: Floats, rivals: Ints, slowness: Floats, late: Floats
) -> tuple[Ints, Floats]:
    """Grain and distance to its boundary at each pixel, from the two rivals that reach it first."""
    sy, sx = sites.T
    # Each of these holds the arrival and its gradient along y and x.
    first, second = (np.full((3, *y.shape), np.inf) for _ in range(2))
    grain = np.zeros(y.shape, dtype=np.intp)
    for rank in range(rivals.shape[-1]):
        site = rivals[..., rank].repeat(_BLOCK, 0).repeat(_BLOCK, 1)[: y.shape[0], : y.shape[1]]
        dy, dx, slow = y - sy[site], x - sx[site], slowness[site]
        far = np.maximum(np.hypot(dy, dx), 1e-3)
        entry = slow * far + late[site], slow * dy / far, slow * dx / far
        wins, places = entry[0] < first[0], entry[0] < second[0]
        for one, two, new in zip(first, second, entry, strict=True):
            np.copyto(two, np.where(wins, one, new), where=places)
            np.copyto(one, new, where=wins)
        grain[wins] = site[wins]
    rate = np.hypot(first[1] - second[1], first[2] - second[2])
    return grain, (second[0] - first[0]) / np.maximum(rate, 0.3)


# The painters below take positions y and x in units of a 40th of a grain, the distance to the grain
# boundary in pixels (a boundary is as thin as the microscope shows it) and the grain, all of one
# constituent's pixels, and return their grey up to a constant.


def _each(group: Ints, low: float, high: float, rng: Generator) -> Floats:
    """One uniform draw for each grain or packet, at each of its pixels."""
    return rng.uniform(low, high, _DRAWS)[group % _DRAWS]


def _orient(
    y: Floats, x: Floats, grain: Ints, size: float, sway: float, rng: Generator
) -> tuple[Ints, Floats, Floats]:
    """Split grains into packets of about `size`, each with a direction bent by `sway` radians.

    Returns the number of the packet and the positions along and across its direction.
    """
    points = np.stack([axis / size + 0.15 * _noise(y / size, x / size, rng) for axis in (y, x)], 1)
    low, high = points.min(axis=0), points.max(axis=0)
    seeds = rng.uniform(low, high, (1 + int(np.prod(high - low)), 2))
    packet = (613 * grain + cKDTree(seeds).query(points)[1]) % _DRAWS
    y, x = (axis + 11 * sway * _noise(y / 36, x / 36, rng) for axis in (y, x))
    angle = _each(packet, 0, np.pi, rng)
    sin, cos = np.sin(angle), np.cos(angle)
    return packet, x * cos + y * sin, y * cos - x * sin


def _line(distance: Floats, width: float) -> Floats:
    """1 on a line, 0 away from it."""
    return np.asarray(np.exp(-np.square(distance / width)))


def _dots(u: Floats, v: Floats, share: Floats | float, flat: float, rng: Generator) -> Floats:
    """A dot in a `share` of the unit cells, `flat` wide along v and 1.7 times that along u."""
    shift_u, shift_v, size, luck = rng.random((4, 64, 64))
    cell = np.floor(u).astype(np.intp) % 64, np.floor(v).astype(np.intp) % 64
    du, dv = u % 1 - 0.3 - 0.4 * shift_u[cell], v % 1 - 0.3 - 0.4 * shift_v[cell]
    strength: Floats = np.where(luck[cell] < share, 0.6 + 0.6 * size[cell], 0)
    return strength * _line(np.hypot(du / 1.7, dv), flat)


def _ferrite(y: Floats, x: Floats, edge: Floats, grain: Ints, rng: Generator) -> Floats:
    """Bright grains, thin dark boundaries etched unevenly, now and then an inclusion."""
    etch = 0.3 + 0.1 * _noise(y / 12, x / 12, rng)
    haze = 0.008 * _noise(y / 5, x / 5, rng)
    inclusions = _dots(x / 24, y / 24, 0.12, 0.04, rng)
    return _each(grain, -0.035, 0.035, rng) + haze - etch * _line(edge, 1.0) - 0.5 * inclusions


def _pearlite(y: Floats, x: Floats, edge: Floats, grain: Ints, rng: Generator) -> Floats:
    """Colonies of wavy lamellae; in some of them too fine to resolve."""
    colony, u, v = _orient(y, x, grain, 24, 0.15, rng)
    kinks = _noise(u / 20 + colony, v / 5, rng)
    lamellae = np.sin(2 * np.pi * v / _each(colony, 3.0, 5.5, rng) + kinks)
    resolved = np.clip(_each(colony, -0.5, 1.1, rng) + 0.3 * _noise(u / 9, v / 9, rng), 0, 1)
    return _each(colony, -0.06, 0.06, rng) + resolved * (0.2 * lamellae + 0.05)


def _bainite(y: Floats, x: Floats, edge: Floats, grain: Ints, rng: Generator) -> Floats:
    """White as ferrite, strewn with fine carbides in short rows along one direction a sheaf."""
    sheaf, u, v = _orient(y, x, grain, 45, 0.1, rng)
    crowd = 0.5 + 0.3 * _noise(u / 24 + sheaf, v / 7, rng)
    rows = v / 4 + 0.25 * _noise(u / 14, v / 14 + sheaf, rng)
    carbides = _dots(u / 3.4, rows, crowd, 0.22, rng)
    laths = 0.02 * _noise(u / 25 + sheaf, v / 3, rng)
    return _each(sheaf, -0.025, 0.025, rng) + laths - 0.4 * carbides - 0.2 * _line(edge, 1.0)


def _side_plates(y: Floats, x: Floats, edge: Floats, grain: Ints, rng: Generator) -> Floats:
    """Bright plates that taper from a bright film on the boundary, thin dark rows between them."""
    colony, u, v = _orient(y, x, grain, 60, 0.08, rng)
    plates = v / 8 + 0.3 * _noise(u / 40 + colony, v / 12, rng)
    broken = np.clip(0.8 + 0.5 * _noise(u / 10, v / 8, rng), 0, 1)
    rows = (1 - _line(edge, 2.0)) * broken * _line(plates - np.round(plates), 0.13)
    return _each(colony, -0.02, 0.02, rng) - 0.45 * rows - 0.25 * _line(edge, 0.8)


def _martensite(y: Floats, x: Floats, edge: Floats, grain: Ints, rng: Generator) -> Floats:
    """Packets of parallel laths in blocks of differing grey, several packets a grain."""
    packet, u, v = _orient(y, x, grain, 26, 0.1, rng)
    blocks = 0.05 * np.tanh(3 * _noise(u / 60 + packet, v / 6, rng))
    laths = 0.055 * _noise(u / 18 + packet, v / 1.8, rng)
    needles = 0.1 * _line(_noise(u / 30, v / 5 + packet, rng), 0.2)
    return _each(packet, -0.06, 0.06, rng) + blocks + laths - needles - 0.08 * _line(edge, 1.0)


# Mean grey before the microscope, slowness of the growing front, painter. Ferrite and bainite share
# a mean, which is what makes them hard to tell apart. What transforms first is slow and ends up
# rounded; what takes the rest is fast and reaches in between with hollow sides.
_Painter = Callable[[Floats, Floats, Floats, Ints, Generator], Floats]
_NATURE: dict[str, tuple[float, float, _Painter]] = {
    "ferrite": (0.76, 1.0, _ferrite),
    "pearlite": (0.33, 0.7, _pearlite),
    "bainite": (0.76, 0.85, _bainite),
    "side_plates": (0.74, 0.95, _side_plates),
    "martensite": (0.48, 0.75, _martensite),
}


def _expose(image: Floats, shading: float, noise: float, rng: Generator) -> NDArray[np.float32]:
    """Blur, uneven light and sensor noise, in the order in which light meets them."""
    tilt, centre = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.7, 2)
    y, x = np.ogrid[0 : 1 : image.shape[0] * 1j, 0 : 1 : image.shape[1] * 1j]
    loss = np.hypot(y - centre[0], x - centre[1]) ** 2 + (np.sin(tilt) * y + np.cos(tilt) * x) / 2
    loss = (loss - loss.min()) / np.ptp(loss)
    lit = ndimage.gaussian_filter(image, _BLUR, mode="nearest") * (1 - shading * loss)
    seen = np.clip(lit + noise * rng.standard_normal(image.shape), 0, 1)
    return np.asarray(seen, dtype=np.float32)
