"""Pictures: colours of the classes, overlays, and the figures of the paper."""

import colorsys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nital.image.micrograph import LUMINANCE

if TYPE_CHECKING:  # matplotlib is loaded by the figures only: colours and overlays do without
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nital.result.classes import ClassRow

OVERLAY_OPACITY = 0.5
_DIMMED = 0.6

# Okabe & Ito (2008): told apart by readers with any colour vision.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#56b4e9", "#d55e00")
_GOLDEN_RATIO = 0.618034


def class_colours(n_classes: int) -> NDArray[np.uint8]:
    """Colours of the labels 1..k: (k, 3), uint8. The first seven suit any colour vision."""
    colours = [tuple(bytes.fromhex(name[1:])) for name in PALETTE[:n_classes]]
    for i in range(n_classes - len(colours)):
        # Hues spread by the golden ratio stay apart, however many there are.
        rgb = colorsys.hsv_to_rgb(
            i * _GOLDEN_RATIO % 1, (0.55, 0.9)[i % 2], (0.9, 0.65)[i // 2 % 2]
        )
        colours.append(tuple(round(255 * value) for value in rgb))
    return np.array(colours, np.uint8).reshape(-1, 3)


def colours_of(classes: "Sequence[ClassRow]") -> NDArray[np.uint8]:
    """Colours of the rows of a table of classes: (k, 3), uint8.

    Those that a person chose; else that of the first class of the same name, of the number, or, if
    that was chosen for another class, one that is not in use.
    """
    palette = [
        hex_of(colour) for colour in class_colours(max((r.label for r in classes), default=0))
    ]
    found: dict[str | int, str] = {}
    for row in sorted(classes, key=lambda row: row.colour is None):  # what was chosen comes first
        key = row.label if row.name is None else row.name
        if key not in found:
            own = row.colour or palette[row.label - 1]
            if row.colour is None and own in found.values():
                own = spare_colours([*found.values(), *palette])[0]
            found[key] = own.lower()
    colours = [found[row.label if row.name is None else row.name] for row in classes]
    return np.array([tuple(bytes.fromhex(c[1:])) for c in colours], np.uint8).reshape(-1, 3)


def hex_of(colour: NDArray[np.uint8]) -> str:
    """(3,) -> `#0072b2`."""
    return f"#{bytes(colour).hex()}"


def spare_colours(taken: Collection[str | None]) -> list[str]:
    """Colours, as `#0072b2`, that are not taken; those of the palette first."""
    colours = map(hex_of, class_colours(len(taken) + len(PALETTE)))
    return [colour for colour in colours if colour not in taken]


def percent(share: float) -> str:
    """A share of 1 in percent; a tiny one is never rounded to none."""
    return "<0.01 %" if 0 < share < 0.00005 else f"{100 * share:.2f} %"


def overlay(
    pixels: NDArray[np.float32],
    labels: NDArray[np.integer],
    colours: NDArray[np.uint8],
    agreement: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """The micrograph, tinted with the colours of its classes; excluded pixels keep their own.

    Where repeats do not agree the tint fades: half of them leave none of it.

    Parameters: (rows, cols, 3) in [0, 1]; (rows, cols), 0..k; (k, 3), uint8; (rows, cols) in
    [0, 1]. Returns (rows, cols, 3), uint8.
    """
    shades = np.vstack([np.zeros((1, 3)), colours / 255])
    tinted = np.empty(pixels.shape, np.uint8)
    for i, (picture, row, of_row) in enumerate(zip(tinted, pixels, labels, strict=True)):
        opacity = np.where(of_row > 0, OVERLAY_OPACITY, 0)[:, np.newaxis]
        if agreement is not None:
            opacity = opacity * np.clip(2 * agreement[i] - 1, 0, 1)[:, np.newaxis]
        blended: NDArray[np.float64] = (1 - opacity) * row + opacity * shades[of_row]
        picture[:] = np.round(255 * blended)
    return tinted


def contact_sheet(
    pixels: NDArray[np.float32], labels: NDArray[np.integer], titles: Sequence[str]
) -> "Figure":
    """Every class lit up over the whole micrograph, one picture a class.

    Parameters: (rows, cols, 3) in [0, 1]; (rows, cols), 0..k; k titles.
    """
    n_cols = min(len(titles), 4)
    n_rows = -(-len(titles) // n_cols)
    aspect = pixels.shape[0] / pixels.shape[1]
    width = 3.4
    figure = _figure(width * n_cols, (width * aspect + 0.3) * n_rows)
    axes = figure.subplots(n_rows, n_cols, squeeze=False)
    dimmed = np.repeat(_DIMMED * (pixels @ LUMINANCE)[..., np.newaxis], 3, axis=2)
    dimmed = np.round(255 * dimmed).astype(np.uint8)  # the figure keeps one for each class
    lit = class_colours(2)[1]
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (axis, title) in enumerate(zip(axes.flat, titles, strict=False), start=1):
        inside = (labels == number)[..., np.newaxis]
        axis.imshow(np.where(inside, lit, dimmed), interpolation="antialiased")
        axis.set_title(title, fontsize=9)
    return figure


def comparison_figure(
    pixels: NDArray[np.float32],
    labels: NDArray[np.integer],
    reference: NDArray[np.integer],
    fractions: Sequence[tuple[str, float, float]],
) -> "Figure":
    """Original, reference, result and a bar of area fractions side by side, as the paper's Fig. 9.

    Parameters
    ----------
    pixels : (rows, cols, 3) in [0, 1]
    labels, reference : (rows, cols)
        0..k, in one numbering: what is the same class has the same number, and so colour.
    fractions : sequence of (name, fraction in the reference, fraction found)
        One for each number, from 1.
    """
    k = len(fractions)
    colours = np.vstack([np.zeros((1, 3), np.uint8), class_colours(k)])
    aspect = pixels.shape[1] / pixels.shape[0]
    figure = _figure(3 * 3.6 * aspect + 3.4, 4.3)
    axes = figure.subplots(1, 4, width_ratios=[aspect, aspect, aspect, 0.85])
    for axis, title, picture in zip(
        axes[:3],
        ("Original", "Reference", "Result"),
        (pixels, colours[reference], colours[labels]),
        strict=True,
    ):
        axis.imshow(picture, interpolation="none")
        axis.set_title(title)
        axis.set_axis_off()
    bars = axes[3]
    for column in (0, 1):
        bottom = 0.0
        for number, (_, wanted, found) in enumerate(fractions, start=1):
            share = 100 * (wanted, found)[column]
            bars.bar(column, share, bottom=bottom, color=colours[number] / 255, width=0.75)
            if share >= 4:
                ink = "black" if colours[number] @ LUMINANCE > 128 else "white"
                bars.text(
                    column, bottom + share / 2, f"{share:.1f}", ha="center", va="center", color=ink
                )
            bottom += share
    bars.set_xticks([0, 1], ["Reference", "Result"])
    bars.set_ylabel("Area fraction (%)")
    bars.set_ylim(0, 100)
    bars.spines[["top", "right"]].set_visible(False)
    handles = [_patch(colours[i], fractions[i - 1][0]) for i in range(1, k + 1)]
    bars.legend(
        handles=handles,
        title="reference: result",
        loc="upper left",
        bbox_to_anchor=(1, 1),
        frameon=False,
    )
    return figure


def superpixel_figure(
    pixels: NDArray[np.float32],
    maps: Sequence[Sequence[NDArray[np.int64]]],
    compactness: Sequence[float],
    n_superpixels: Sequence[int],
    found: Sequence[Sequence[int]],
) -> "Figure":
    """Grid of superpixel maps over compactness (down) and number (across), as the paper's Fig. 4.

    Parameters
    ----------
    pixels : (rows, cols, 3) in [0, 1]
        The part of the micrograph that is shown.
    maps : maps[i][j] of (rows, cols)
        The same part of the superpixel map for `compactness[i]` and `n_superpixels[j]`.
    found : found[i][j]
        How many superpixels SLIC gave on the whole micrograph.
    """
    from skimage.segmentation import mark_boundaries

    aspect = pixels.shape[0] / pixels.shape[1]
    figure = _figure(3.4 * len(n_superpixels) + 0.6, (3.4 * aspect + 0.35) * len(compactness) + 0.4)
    axes = figure.subplots(len(compactness), len(n_superpixels), squeeze=False)
    for i, m in enumerate(compactness):
        for j, n in enumerate(n_superpixels):
            large = np.kron(pixels, np.ones((3, 3, 1), np.float32))  # room for thin outlines
            outlined = mark_boundaries(
                large, np.kron(maps[i][j], np.ones((3, 3), int)), color=(1, 0.85, 0), mode="inner"
            )
            axes[i, j].imshow(outlined, interpolation="none")
            axes[i, j].set_title(f"m = {m:g}, n = {n:,} (given {found[i][j]:,})", fontsize=9)
            axes[i, j].set_axis_off()
    return figure


def criteria_figure(
    n_classes: Sequence[int],
    mean: Mapping[str, Sequence[float]],
    spread: Mapping[str, Sequence[float]],
    normalised: Mapping[str, Sequence[float]],
) -> "Figure":
    """F, F' and Q over the number of classes, raw and normalised, as the paper's Fig. 10.

    Parameters: numbers of classes; mean, standard deviation and normalised mean by criterion.
    """
    figure = _figure(11, 4.2)
    raw, unit = figure.subplots(1, 2)
    ranks = raw.twinx()  # Q lives on another scale than F and F'
    looks = {
        "F": {"marker": "o", "color": "#0072B2", "markersize": 9, "linewidth": 3},
        # F' is often equal to F: drawn thin and dashed, it leaves F to be seen below it.
        "F'": {"marker": "s", "color": "#E69F00", "markersize": 4, "linestyle": "--"},
        "Q": {"marker": "D", "color": "#009E73", "markersize": 5},
    }
    for shift, (criterion, look) in zip((-0.04, 0, 0.04), looks.items(), strict=True):
        axis = ranks if criterion == "Q" else raw
        axis.errorbar(
            [k + shift for k in n_classes],
            mean[criterion],
            yerr=np.nan_to_num(spread[criterion]),
            capsize=3,
            elinewidth=1,
            label=criterion,
            **look,
        )
        unit.plot(n_classes, normalised[criterion], label=criterion, **look)
    raw.set_ylabel("F, F'")
    ranks.set_ylabel("Q")
    raw.set_title("(a) mean and standard deviation over repeats")
    unit.set_ylabel("normalised to [0, 1]")
    unit.set_title("(b) normalised mean")
    lines = [axis.get_legend_handles_labels() for axis in (raw, ranks)]
    raw.legend(lines[0][0] + lines[1][0], lines[0][1] + lines[1][1], frameon=False)
    unit.legend(frameon=False)
    for axis in (raw, unit):
        axis.set_xlabel("Number of classes")
        axis.set_xticks(list(n_classes))
    return figure


def contour_figure(
    compactness: Sequence[float], n_superpixels: Sequence[int], mean_f: NDArray[np.float64]
) -> "Figure":
    """Contour map of F over compactness and number of superpixels, as the paper's Fig. 11.

    Parameters: m of (rows), n of (cols), mean F of (rows, cols); at least 2 x 2.
    """
    figure = _figure(6.4, 4.8)
    axis = figure.subplots()
    filled = axis.contourf(n_superpixels, compactness, mean_f, levels=12, cmap="viridis")
    grid_n, grid_m = np.meshgrid(n_superpixels, compactness)
    axis.plot(grid_n.ravel(), grid_m.ravel(), ".", color="white", markersize=4)
    row, col = divmod(int(np.argmin(mean_f)), mean_f.shape[1])
    axis.plot(n_superpixels[col], compactness[row], "*", color="#D55E00", markersize=16)
    axis.set_title(f"Lowest F at m = {compactness[row]:g}, n = {n_superpixels[col]:,} (star)")
    _logarithmic(axis, "x", n_superpixels)
    _logarithmic(axis, "y", compactness)
    axis.set_xlabel("Number of superpixels")
    axis.set_ylabel("Compactness")
    figure.colorbar(filled, ax=axis, label="mean F")
    return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=150)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _patch(colour: NDArray[np.uint8], name: str) -> object:
    from matplotlib.patches import Patch

    return Patch(color=tuple(colour / 255), label=name)


def _logarithmic(axis: "Axes", which: str, values: Sequence[float]) -> None:
    """A logarithmic axis that is labelled at the values that were measured, and only there."""
    from matplotlib.ticker import NullLocator

    scale, ticks = (
        (axis.set_xscale, axis.set_xticks) if which == "x" else (axis.set_yscale, axis.set_yticks)
    )
    scale("log")
    ticks(list(values), [f"{value:,g}" for value in values])
    (axis.xaxis if which == "x" else axis.yaxis).set_minor_locator(NullLocator())
