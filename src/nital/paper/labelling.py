"""Labelling: every pixel of an image gets the label of its strongest response."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from nital.errors import Stopped
from nital.image.micrograph import Source
from nital.image.windows import blocks, divide, shifted, widened
from nital.paper.network import Network, Statistics, to_tensor
from nital.result.criteria import RegionStatistics, measure_regions

TILE_SIDE = 256
"""Pixels are labelled in tiles of so many rows and columns."""

Labels = NDArray[np.unsignedinteger]
OnRows = Callable[[int, Labels], None]


def predict(
    network: Network, pixels: NDArray[np.float32], statistics: Statistics | None = None
) -> NDArray[np.int64]:
    """The strongest response at every pixel of an image.

    What is beyond the border counts as zero.

    Parameters
    ----------
    pixels : (rows, cols, channels), float32 in [0, 1]
    statistics : Statistics, optional
        For batch normalisation; default: those of the image.

    Returns
    -------
    (rows, cols), int64
        0 to `n_responses` - 1; ties go to the lowest.
    """
    device = next(network.parameters()).device
    with torch.inference_mode():
        responses = network(to_tensor(pixels, device), statistics)  # (1, q, rows, cols)
        labels: NDArray[np.int64] = responses.argmax(dim=1)[0].cpu().numpy()
    return labels


def label(
    network: Network,
    source: Source,
    statistics: Statistics | None,
    out: Labels,
    on_rows: OnRows | None = None,
) -> tuple[RegionStatistics, bool]:
    """Label an image with the strongest response of each pixel.

    Parameters
    ----------
    statistics : Statistics or None
        For batch normalisation. With them it is labelled in tiles: in little memory, however large.
        None: those of the image, which is labelled as a whole.
    out : (rows, cols)
        Array to write the labels to: 1 to `n_responses`, 0 = excluded.
    on_rows : callable, optional
        Called with the number of rows done and the map so far. It can raise `Stopped` to end the
        work: pixels not labelled by then are 0.

    Returns
    -------
    Statistics of the labels 1 to `n_responses`, and whether it was stopped.

    Raises
    ------
    Stopped
        If it is stopped before any pixel has a label.
    """
    n = network.n_responses
    measured = RegionStatistics.empty(n)
    out[:] = 0
    seen = out.view()
    seen.flags.writeable = False
    whole = (slice(0, source.shape[0]), slice(0, source.shape[1]))
    for block in [whole] if statistics is None else blocks(source.shape):
        around, inside = widened(block, network.n_layers, source.shape)
        pixels, excluded = source.read(*around), source.read_excluded(*block)
        side = max(source.shape) if statistics is None else TILE_SIDE
        for tile in divide(excluded.shape, side):
            there, own = shifted(tile, block), shifted(tile, inside)
            wide, within = widened(own, network.n_layers, pixels.shape[:2])
            labels = predict(network, pixels[wide], statistics)[within] + 1
            labels[excluded[tile]] = 0
            out[there] = labels
            measured += measure_regions(pixels[own], labels, n)
            if on_rows is None or there[1].stop != block[1].stop:
                continue
            try:
                on_rows(there[0].stop, seen)
            except Stopped:
                if not measured.areas.any():
                    raise
                return measured, (there[0].stop, there[1].stop) != source.shape
    return measured, False
