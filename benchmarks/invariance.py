"""The second yardstick: how far the area fractions of a specimen move with how it was taken.

    python benchmarks/invariance.py FOLDER [--half reporting] [--methods fast,background ...]

FOLDER is as for accuracy.py, and `lom_sae1020_1045` and `lom_kim2020` in it have images alone.
Every picture is segmented as it is, and once more after each of the `CHANGES`: mirrored, unevenly
lit, at another resolution, stored and exposed otherwise, blurred, noisy. The second map is brought
back to the first picture and its classes are matched with those of the first map; `moved` is, in
points, the largest change of the area fraction of a class, `IoU` the mean over the classes.

The `TARGETS` are known exactly: lines, films and discs of a few pixels, two hues of equal
luminance, and pearlite that increases across the picture as no light does. `off` is, in points, the
largest error of the area fraction of a class.

What fast mode states as the uncertainty of each class of the picture as it is stands beside its
changes: how many of the area fractions lie `within` it, and its median beside that of what was
`seen`, twice the root mean square of the changes of a class.

Beside fast mode stands what is used instead: Otsu's thresholds, as they are and after the
background was subtracted; k-means of local means and deviations; and a random forest that was told
20 pixels of each class of the reference or, where there is none, of Otsu's own map of the picture
as it is.

Every run is a line of --out, and is not done again. Needs scikit-learn: pip install
'nital[benchmarks]'.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy import ndimage
from skimage.transform import resize

import nital
from accuracy import (
    Known,
    Labels,
    forest,
    half,
    k_means,
    keep,
    kept,
    labelled,
    multi_otsu,
    segmented,
)

Grey = NDArray[np.float32]

OPTICAL = {"lom_sae1020_1045": 2, "lom_kim2020": 3}
"""Sets without a reference, and their numbers of classes."""

SEM = ("sem_uhcs", "sem_superalloy")

BACKGROUND = 50.0
"""Standard deviation, in pixels, of the Gaussian that is taken for the background."""


# --- changes: the same specimen, taken otherwise -------------------------------------------------


@dataclass(frozen=True)
class Change:
    """What alters a picture, and what moves its pixels to other places."""

    group: str
    name: str
    light: Callable[[Grey, np.random.Generator], Grey] = lambda grey, rng: grey
    there: Callable[[Labels], Labels] = lambda labels: labels
    """Labels of the picture as those of the altered one."""
    back: Callable[[Labels, tuple[int, int]], Labels] = lambda labels, shape: labels
    """Labels of the altered picture as those of the picture of this shape."""


def resized(labels: Labels, shape: tuple[int, int]) -> Labels:
    """Labels of the nearest pixels."""
    rows, cols = (
        np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(int)
        for old, new in zip(labels.shape, shape, strict=True)
    )
    return labels[np.ix_(rows, cols)]


def resolution(factor: float) -> Change:
    def shape_of(shape: tuple[int, ...]) -> tuple[int, int]:
        return round(shape[0] * factor), round(shape[1] * factor)

    def light(grey: Grey, rng: np.random.Generator) -> Grey:
        found = resize(grey, shape_of(grey.shape), order=1 if factor < 1 else 3, anti_aliasing=True)
        return np.clip(found, 0, 1)

    def there(labels: Labels) -> Labels:
        return resized(labels, shape_of(labels.shape))

    return Change("resolution", f"x {factor}", light, there, resized)


def places(grey: Grey) -> tuple[Grey, Grey]:
    """Row and column of each pixel, from -1 to 1."""
    rows, cols = (np.linspace(-1, 1, length, dtype=np.float32) for length in grey.shape)
    return rows[:, np.newaxis], cols[np.newaxis]


def lit(name: str, depth: float, fall: Callable[[Grey, Grey], Grey]) -> Change:
    """Light that falls to 1 - depth; `fall` is from 0 to 1 over rows and columns of -1 to 1."""

    def light(grey: Grey, rng: np.random.Generator) -> Grey:
        return grey * (1 - np.float32(depth) * fall(*places(grey)))

    return Change("illumination", f"{name} {depth:.0%}", light)


def blotches(depth: float) -> Change:
    def light(grey: Grey, rng: np.random.Generator) -> Grey:
        knots = rng.random((4, 4), dtype=np.float32)
        smooth = resize(knots, grey.shape, order=3, mode="edge")
        smooth = (smooth - smooth.min()) / np.ptp(smooth)
        return grey * (1 - np.float32(depth) * smooth)

    return Change("illumination", f"blotches {depth:.0%}", light)


def as_jpeg(quality: int) -> Change:
    def light(grey: Grey, rng: np.random.Generator) -> Grey:
        file = io.BytesIO()
        Image.fromarray(stored(grey, 8)).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file), np.float32) / 255

    return Change("storage", f"JPEG {quality}", light)


def stored(grey: Grey, bits: int) -> NDArray[np.unsignedinteger]:
    kind = np.uint8 if bits == 8 else np.uint16
    return np.round(np.clip(grey, 0, 1) * (2**bits - 1)).astype(kind)


def noise(share: float) -> Change:
    def light(grey: Grey, rng: np.random.Generator) -> Grey:
        return np.clip(grey + rng.normal(0, share, grey.shape).astype(np.float32), 0, 1)

    return Change("noise", f"{share:.0%}", light)


UNCHANGED = Change("", "")

CHANGES = (
    Change("mirror, turn", "mirror", lambda grey, rng: grey[:, ::-1], np.fliplr,
           lambda labels, shape: labels[:, ::-1]),
    Change("mirror, turn", "turn by 90", lambda grey, rng: np.rot90(grey), np.rot90,
           lambda labels, shape: np.rot90(labels, -1)),
    *(resolution(factor) for factor in (0.35, 0.4, 0.6, 1.7, 3)),
    lit("ramp", 0.25, lambda rows, cols: (cols + 1) / 2),
    lit("ramp", 0.4, lambda rows, cols: (rows + 1) / 2),
    lit("vignette", 0.4, lambda rows, cols: (rows**2 + cols**2) / 2),
    lit("corner", 0.35, lambda rows, cols: ((rows + 1) ** 2 + (cols + 1) ** 2) / 8),
    blotches(0.5),
    Change("exposure", "gain 0.7", lambda grey, rng: 0.7 * grey),
    Change("exposure", "contrast 0.5", lambda grey, rng: 0.25 + 0.5 * grey),
    Change("gamma", "0.7", lambda grey, rng: grey ** np.float32(0.7)),
    Change("gamma", "1.4", lambda grey, rng: grey ** np.float32(1.4)),
    Change("storage", "8 bit", lambda grey, rng: stored(grey, 8) / np.float32(255)),
    Change("storage", "16 bit", lambda grey, rng: stored(grey, 16) / np.float32(65535)),
    *(as_jpeg(quality) for quality in (30, 60, 90)),
    *(noise(share) for share in (0.02, 0.04)),
    *(
        Change("defocus", f"{sigma} px",
               lambda grey, rng, sigma=sigma: ndimage.gaussian_filter(grey, sigma))
        for sigma in (0.7, 1.0)
    ),
)  # fmt: skip


# --- pictures ------------------------------------------------------------------------------------


def pictures(data: Path) -> Iterator[tuple[str, Known]]:
    """The kind of each micrograph, and the micrograph."""
    for folder, k in OPTICAL.items():
        for place, path in enumerate(sorted((data / folder / "images").iterdir())):
            micrograph = nital.read_micrograph(path)
            blank = Known(folder, path.stem, half(place), micrograph, np.arange(k) + 1)
            yield "optical", replace(blank, reference=multi_otsu(blank, 0).astype(np.int64) + 1)
    for item in labelled(data, None, []):
        if item.folder in SEM:
            yield "SEM", replace(item, reference=item.reference + 1)
    for seed, pearlite in enumerate((0.15, 0.3, 0.45, 0.6)):
        parts = {"ferrite": 1 - pearlite, "pearlite": pearlite}
        made = nital.synthesize((384, 384), parts, grain_size=30, shading=0, seed=seed)
        micrograph = nital.Micrograph.from_array(made.image, name=f"pearlite {pearlite:.0%}")
        truth = made.truth.astype(np.int64)
        yield "synthetic", Known("synthetic", str(seed), half(seed), micrograph, truth)


# --- targets: exactly known ----------------------------------------------------------------------

SIDE = 300


def taken(dark: NDArray[np.bool_], seed: int) -> nital.Micrograph:
    """Dark on bright, as a microscope shows it: blurred by 0.7 pixels, with 2 % of noise."""
    rng = np.random.default_rng(seed)
    grey = ndimage.gaussian_filter(np.where(dark, 0.3, 0.75), 0.7)
    return nital.Micrograph.from_array(np.clip(grey + rng.normal(0, 0.02, grey.shape), 0, 1))


def lines(width: int, period: int) -> NDArray[np.bool_]:
    return np.broadcast_to(np.arange(SIDE) % period < width, (SIDE, SIDE))


def films(width: int, bright: bool = False) -> NDArray[np.bool_]:
    """Between grains of about 40 pixels; True is dark."""
    rng = np.random.default_rng(width)
    seeds = np.zeros((SIDE, SIDE), np.int64)
    seeds[tuple(rng.integers(SIDE, size=(2, 56)))] = np.arange(56) + 1
    nearest = ndimage.distance_transform_edt(seeds == 0, return_distances=False,
                                             return_indices=True)  # fmt: skip
    grain = seeds[tuple(nearest)]
    inner = np.ones((SIDE, SIDE), bool)
    inner[:, 1:] &= grain[:, 1:] == grain[:, :-1]
    inner[1:] &= grain[1:] == grain[:-1]
    film = ndimage.distance_transform_edt(inner) < max(1, width / 2)
    return film ^ bright


def discs(radius: float) -> NDArray[np.bool_]:
    rows, cols = np.indices((SIDE, SIDE)) % round(5 * radius) - 2.5 * radius
    return rows**2 + cols**2 < radius**2


def hues(seed: int) -> Known:
    """Two constituents of one luminance (Rec. 709, as nital takes it), half of the area each."""
    truth = lines(30, 60).astype(np.int64) + 1
    blue, brown = np.array([0.35, 0.5, 0.75]), np.array([0.65, 0.45, 0.35])
    brown *= (blue @ (0.2126, 0.7152, 0.0722)) / (brown @ (0.2126, 0.7152, 0.0722))
    rng = np.random.default_rng(seed)
    colour = np.where(truth[..., np.newaxis] == 1, brown, blue)
    colour += rng.normal(0, 0.02, colour.shape)
    return Known("targets", "equal luminance", "", nital.Micrograph.from_array(colour), truth)


def increasing(seed: int) -> Known:
    """Pearlite from 10 to 70 %, from left to right, and even light."""
    strips = [
        nital.synthesize((384, 128), {"ferrite": 1 - share, "pearlite": share}, grain_size=24,
                         shading=0, seed=seed + place)
        for place, share in enumerate((0.1, 0.3, 0.5, 0.7))
    ]  # fmt: skip
    image = np.hstack([each.image for each in strips])
    truth = np.hstack([each.truth for each in strips]).astype(np.int64)
    return Known("targets", "pearlite 10 to 70 %", "", nital.Micrograph.from_array(image), truth)


def targets() -> Iterator[Known]:
    shapes = {
        **{f"lines {w} of {p}": lines(w, p)
           for w, p in ((1, 12), (1, 16), (2, 16), (2, 40), (3, 30), (4, 32), (5, 30))},
        **{f"dark films {w}": films(w) for w in (1, 3, 5)},
        **{f"bright films {w}": films(w, bright=True) for w in (1, 3, 5)},
        **{f"discs {r}": discs(r) for r in (2.0, 4.0, 8.0)},
    }  # fmt: skip
    for seed, (name, dark) in enumerate(shapes.items()):
        yield Known("targets", name, "", taken(dark, seed), np.where(dark, 1, 2))
    yield hues(0)
    yield increasing(0)


# --- methods -------------------------------------------------------------------------------------


def background(item: Known, seed: int) -> Labels:
    """Otsu's thresholds after what is wider than `BACKGROUND` was subtracted."""
    grey = item.micrograph.grey
    flat = grey - ndimage.gaussian_filter(grey, BACKGROUND)
    micrograph = nital.Micrograph.from_array((flat - flat.min()) / np.ptp(flat))
    return multi_otsu(replace(item, micrograph=micrograph), seed)


OTHERS: dict[str, Callable[[Known, int], Labels]] = {
    "otsu": multi_otsu,
    "background": background,
    "k-means": k_means,
    "forest": forest,
}
METHODS = (*OTHERS, "fast")


# --- runs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moved:
    """One picture after one change; or one target, which has no change."""

    method: str
    kind: str
    picture: str
    half: str
    group: str
    change: str
    moved: float
    """The largest change of an area fraction, or its error, in points."""
    mean_iou: float
    accuracy: float
    seconds: float
    each: str
    """The change of the area fraction of each class of the picture as it is, in points."""
    stated: str
    """The uncertainty of each that was stated; empty if there was none."""


@dataclass(frozen=True)
class Map:
    """What a method finds in a picture."""

    labels: Labels
    seconds: float
    stated: tuple[float, ...] = ()
    """The uncertainty of the area fraction of each class, in points."""


def map_of(method: str, item: Known) -> Map:
    start = time.perf_counter()
    if method in OTHERS:
        labels = OTHERS[method](item, 0) + 1  # some count from 0
        return Map(labels, time.perf_counter() - start)
    found = segmented(item, 0)
    seconds = time.perf_counter() - start
    stated = (row.uncertainty for row in found.classes)
    return Map(found.labels, seconds, tuple(100 * each for each in stated if each is not None))


def moved(
    names: tuple[str, ...], found: Map, labels: Labels, reference: Labels, stated: tuple[float, ...]
) -> Moved:
    """Compare labels with a reference, the classes being matched."""
    matched = nital.compare(labels, reference)
    each = [100 * row.difference for row in matched.classes]
    points = [" ".join(f"{value:.3f}" for value in values) for values in (each, stated)]
    agreement = matched.mean_iou, matched.accuracy
    return Moved(*names, max(map(abs, each)), *agreement, found.seconds, *points)


def altered(item: Known, change: Change) -> Known:
    light = change.light(item.micrograph.grey, np.random.default_rng(0))
    micrograph = nital.Micrograph.from_array(np.ascontiguousarray(light, np.float32))
    return replace(
        item, micrograph=micrograph, reference=np.ascontiguousarray(change.there(item.reference))
    )


def runs_of_picture(
    method: str, kind: str, item: Known, done: set[tuple[str, ...]]
) -> Iterator[Moved]:
    base: Map | None = None
    picture = f"{item.folder} {item.name}"
    for change in CHANGES:
        if (method, picture, change.group, change.name) in done:
            continue
        if base is None:
            base = map_of(method, altered(item, UNCHANGED))  # in grey, as the others
        found = map_of(method, altered(item, change))
        back = change.back(found.labels, base.labels.shape)
        names = method, kind, picture, item.half, change.group, change.name
        yield moved(names, found, back, base.labels, base.stated)


def calibration(rows: list[dict[str, str]]) -> str:
    """How the stated uncertainties compare with the changes of the area fractions."""
    changes: dict[tuple[str, int], list[float]] = {}
    stated: dict[tuple[str, int], float] = {}
    for row in rows:
        pairs = zip(row["each"].split(), row["stated"].split(), strict=False)
        for place, (change, uncertainty) in enumerate(pairs):
            changes.setdefault((row["picture"], place), []).append(float(change))
            stated[row["picture"], place] = float(uncertainty)
    if not changes:
        return ""
    within = [abs(one) <= stated[key] for key, each in changes.items() for one in each]
    seen = [2 * fmean(one**2 for one in each) ** 0.5 for each in changes.values()]
    return f"{fmean(within):.0%}; {median(stated.values()):.1f}; {median(seen):.1f}"


def tables(rows: list[dict[str, str]]) -> Iterator[Table]:
    methods = [each for each in METHODS if any(row["method"] == each for row in rows)]
    points_moved = Table("kind", "change", *methods, title="points moved, mean / worst; mean IoU")
    for kind in ("optical", "SEM", "synthetic"):
        for group in dict.fromkeys(change.group for change in CHANGES):
            cells = []
            for method in methods:
                chosen = [
                    row for row in rows
                    if (row["method"], row["kind"], row["group"]) == (method, kind, group)
                ]  # fmt: skip
                points = [float(row["moved"]) for row in chosen]
                iou = [float(row["mean_iou"]) for row in chosen]
                cells.append(
                    f"{fmean(points):.1f} / {max(points):.1f}; {fmean(iou):.2f}" if chosen else ""
                )
            if any(cells):
                points_moved.add_row(kind, group, *cells)
    yield points_moved
    honest = Table("method", "kind", "within; stated, seen", title="stated uncertainty, points")
    for method in methods:
        for kind in ("optical", "SEM", "synthetic"):
            found = calibration([r for r in rows if (r["method"], r["kind"]) == (method, kind)])
            if found:
                honest.add_row(method, kind, found)
    yield honest
    known = Table("target", *methods, title="points off; pixel accuracy")
    for name in dict.fromkeys(row["picture"] for row in rows if row["kind"] == "target"):
        cells = {row["method"]: f"{float(row['moved']):.1f}; {float(row['accuracy']):.3f}"
                 for row in rows if row["picture"] == name}  # fmt: skip
        known.add_row(name, *(cells.get(method, "") for method in methods))
    yield known


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--half", choices=("choosing", "reporting"), help="of the pictures")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--out", type=Path, default=Path("invariance.csv"))
    given = parser.parse_args()
    done = {(row["method"], row["picture"], row["group"], row["change"]) for row in kept(given.out)}
    for method in given.methods.split(","):
        for kind, item in pictures(given.data):
            if given.half in (None, item.half):
                for run in runs_of_picture(method, kind, item, done):
                    keep(given.out, run)
        for item in targets():
            if (method, item.name, "", "") not in done:
                found = map_of(method, item)
                names = method, "target", item.name, "", "", ""
                keep(given.out, moved(names, found, found.labels, item.reference, ()))
    rows = kept(given.out)
    for table in tables([row for row in rows if given.half in (None, row["half"] or given.half)]):
        Console(width=160).print(table)


if __name__ == "__main__":
    main()
