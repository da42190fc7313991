"""Class colours and overlays."""

import colorsys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # matplotlib is loaded by the figures only: colours and overlays do without
    from nital.result.classes import ClassRow


OVERLAY_OPACITY = 0.5

# Okabe & Ito (2008): distinguishable with any colour vision.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#56b4e9", "#d55e00")
_GOLDEN_RATIO = 0.618034


def class_colours(n_classes: int) -> NDArray[np.uint8]:
    """Return colours for the labels 1..k: (k, 3), uint8. The first seven suit any colour vision."""
    colours = [tuple(bytes.fromhex(name[1:])) for name in PALETTE[:n_classes]]
    for i in range(n_classes - len(colours)):
        # Hues spaced by the golden ratio stay apart, however many there are.
        rgb = colorsys.hsv_to_rgb(
            i * _GOLDEN_RATIO % 1, (0.55, 0.9)[i % 2], (0.9, 0.65)[i // 2 % 2]
        )
        colours.append(tuple(round(255 * value) for value in rgb))
    return np.array(colours, np.uint8).reshape(-1, 3)


def colours_of(classes: "Sequence[ClassRow]") -> NDArray[np.uint8]:
    """Return colours for the rows of a table of classes: (k, 3), uint8.

    A row has the colour a person chose; else that of the first class with its name; else that of
    its number, or an unused one if that was chosen for another class.
    """
    palette = [
        hex_of(colour) for colour in class_colours(max((r.label for r in classes), default=0))
    ]
    found: dict[str | int, str] = {}
    for row in sorted(classes, key=lambda row: row.colour is None):  # chosen colours first
        key = row.label if row.name is None else row.name
        if key not in found:
            own = row.colour or palette[row.label - 1]
            if row.colour is None and own in found.values():
                own = spare_colours([*found.values(), *palette])[0]
            found[key] = own.lower()
    colours = [found[row.label if row.name is None else row.name] for row in classes]
    return np.array([tuple(bytes.fromhex(c[1:])) for c in colours], np.uint8).reshape(-1, 3)


def hex_of(colour: NDArray[np.uint8]) -> str:
    """Format a colour, (3,), as `#0072b2`."""
    return f"#{bytes(colour).hex()}"


def spare_colours(taken: Collection[str | None]) -> list[str]:
    """Return unused colours, as `#0072b2`; those of the palette first."""
    colours = map(hex_of, class_colours(len(taken) + len(PALETTE)))
    return [colour for colour in colours if colour not in taken]


def overlay(
    pixels: NDArray[np.float32],
    labels: NDArray[np.integer],
    colours: NDArray[np.uint8],
    agreement: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Tint the micrograph with the colours of its classes; excluded pixels keep their own.

    The tint fades where views, or repeats, disagree, and vanishes where only half of them agree.

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
