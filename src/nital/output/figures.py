"""Figures: contact sheets, comparisons, and the paper's figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nital.image.micrograph import LUMINANCE

if TYPE_CHECKING:  # matplotlib is loaded only to draw a figure
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


from nital.output.render import class_colours

_DIMMED = 0.6


def contact_sheet(
    pixels: NDArray[np.float32], labels: NDArray[np.integer], titles: Sequence[str]
) -> "Figure":
    """Draw each class highlighted on the whole micrograph, one picture per class.

    Parameters: (rows, cols, 3) in [0, 1]; (rows, cols), 0..k; k titles.
    """
    n_cols = min(len(titles), 4)
    n_rows = -(-len(titles) // n_cols)
    aspect = pixels.shape[0] / pixels.shape[1]
    width = 3.4
    figure = _figure(width * n_cols, (width * aspect + 0.3) * n_rows)
    axes = figure.subplots(n_rows, n_cols, squeeze=False)
    dimmed = np.repeat(_DIMMED * (pixels @ LUMINANCE)[..., np.newaxis], 3, axis=2)
    dimmed = np.round(255 * dimmed).astype(np.uint8)  # the figure holds a copy for each class
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
    """Draw original, reference, result and bars of area fractions, like the paper's Fig. 9.

    Parameters
    ----------
    pixels : (rows, cols, 3) in [0, 1]
    labels, reference : (rows, cols)
        0..k, numbered alike: matching classes have the same number, and so the same colour.
    fractions : sequence of (name, fraction in the reference, fraction in the result)
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
    """Draw superpixels over compactness (down) and number (across), like the paper's Fig. 4.

    Parameters
    ----------
    pixels : (rows, cols, 3) in [0, 1]
        The part of the micrograph that is shown.
    maps : maps[i][j] of (rows, cols)
        The same part of the superpixel map for `compactness[i]` and `n_superpixels[j]`.
    found : found[i][j]
        Number of superpixels that SLIC found in the whole micrograph.
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
    """Plot F, F' and Q over the number of classes, raw and normalised, like the paper's Fig. 10.

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
    """Plot contours of F over compactness and number of superpixels, like the paper's Fig. 11.

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
    """Make an axis logarithmic, with ticks at the measured values only."""
    from matplotlib.ticker import NullLocator

    scale, ticks = (
        (axis.set_xscale, axis.set_xticks) if which == "x" else (axis.set_yscale, axis.set_yticks)
    )
    scale("log")
    ticks(list(values), [f"{value:,g}" for value in values])
    (axis.xaxis if which == "x" else axis.yaxis).set_minor_locator(NullLocator())
