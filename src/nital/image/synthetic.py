"""Synthetic light micrographs of nital-etched low-carbon steel, with an exact ground truth.

There are three steps, each with its own random numbers, so that a change to one leaves the others
unchanged: grains divide the field (`_grow`), each constituent paints the pixels of its grains
(`NATURE`), and the microscope adds blur, shading and noise (`_expose`). The first step gives the
ground truth; no later one moves a boundary.

The grain size sets the magnification: lamellae, laths, plates and carbides scale with it. With
grains of 15 pixels most pearlite is unresolved and dark, as under a weak objective.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from nital.errors import SettingError
from nital.image.constituents import CONSTITUENTS, NATURE, Floats, Ints, smooth_noise

LAYOUTS: tuple[str, ...] = ("voronoi", "banded")

_MILD_STEEL: Mapping[str, float] = MappingProxyType({"ferrite": 0.65, "pearlite": 0.35})
_MIN_SIDE, _MIN_GRAIN = 64, 8
_DRAWN_AT = 40  # grain size in pixels that the lengths in the painters refer to
_BLOCK, _RIVALS = 4, 8  # side of pixel blocks that share a list of near sites, and its length
_BLUR = 0.7  # standard deviation of the optical blur in pixels


@dataclass(frozen=True)
class SyntheticMicrograph:
    """A synthetic micrograph and its ground truth.

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
        The seed that reproduces it.
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
    """Generate an optical micrograph of nital-etched low-carbon steel with known ground truth.

    Grain sites compete for each pixel by distance times slowness plus a handicap. The handicap of
    each constituent is adjusted until its area is the wanted one, so that fractions are met even if
    whole grains would be too coarse.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns, each at least 64.
    fractions : mapping of str to float
        Wanted area fraction of each of the `CONSTITUENTS` named; positive, divided by their sum.
    layout : {"voronoi", "banded"}
        Grains mixed in clusters, or in wavy horizontal bands as in hot-rolled plate.
    grain_size : float
        Mean grain diameter in pixels, from 8 to the shorter side.
    shading : float
        Fraction of the brightness lost between the best and the worst lit point, in [0, 1].
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
        If a setting is out of its range, a constituent or layout is unknown, or a constituent would
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
        mean, _, paint = NATURE[names[which]]
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
        y, x = (axis + sway * grain_size * smooth_noise(*at, rng) for axis in (y, x))

    middles = (np.minimum(np.arange(_BLOCK // 2, n + _BLOCK // 2, _BLOCK), n - 1) for n in shape)
    block = np.ix_(*middles)
    distance, rivals = cKDTree(sites).query(np.stack([y[block], x[block]], axis=-1), k=_RIVALS)
    cells = np.bincount(rivals[..., 0].ravel(), minlength=len(sites))
    owner = _assign_constituents(
        cells, wanted, _suitability(sites, len(names), layout, grain_size, rng)
    )
    slowness = np.array([NATURE[name][1] for name in names])[owner]
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
    """Sites of grains over the field and a margin, slightly evened out (Lloyd)."""
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


def _suitability(sites: Floats, k: int, layout: str, grain_size: float, rng: Generator) -> Floats:
    """Suitability of each site for each constituent, shape (k, sites)."""
    y, x = (sites / grain_size).T
    chance = rng.standard_normal((k, len(sites)))
    if layout == "voronoi":
        return chance + 0.7 * np.stack([smooth_noise(y / 3, x / 3, rng) for _ in range(k)])
    turns = y / 3.5 + 0.18 * smooth_noise(y / 4, x / 5, rng) + np.arange(k)[:, None] / k
    bands: Floats = np.cos(2 * np.pi * turns)
    return 0.25 * chance + bands


def _assign_constituents(cells: Ints, wanted: Floats, suitability: Floats) -> Ints:
    """Assign a constituent to each site: the rarest chooses first, the commonest takes the rest."""
    rarest_first = np.argsort(wanted, kind="stable")
    owner, free = np.full(len(cells), rarest_first[-1]), cells > 0
    for turn, which in enumerate(rarest_first[:-1], start=1):
        ranked = np.flatnonzero(free)[np.argsort(-suitability[which][free], kind="stable")]
        enough = 1 + np.searchsorted(np.cumsum(cells[ranked]), wanted[which] * cells.sum())
        spare = len(ranked) - (len(wanted) - turn)  # leaves a grain for each still to choose
        mine = ranked[: min(enough, max(spare, 0))]
        owner[mine], free[mine] = which, False
    return owner


def _handicap(reach: Floats, owner: Ints, wanted: Floats, grain_size: float) -> Floats:
    """Handicap that gives each constituent its wanted area, shape (k,)."""
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
    # Each of these holds the time of arrival and its gradient along y and x.
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


def _expose(image: Floats, shading: float, noise: float, rng: Generator) -> NDArray[np.float32]:
    """Add blur, uneven illumination and sensor noise, in the order of the light path."""
    tilt, centre = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.7, 2)
    y, x = np.ogrid[0 : 1 : image.shape[0] * 1j, 0 : 1 : image.shape[1] * 1j]
    loss = np.hypot(y - centre[0], x - centre[1]) ** 2 + (np.sin(tilt) * y + np.cos(tilt) * x) / 2
    loss = (loss - loss.min()) / np.ptp(loss)
    lit = ndimage.gaussian_filter(image, _BLUR, mode="nearest") * (1 - shading * loss)
    seen = np.clip(lit + noise * rng.standard_normal(image.shape), 0, 1)
    return np.asarray(seen, dtype=np.float32)
