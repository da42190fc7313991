"""The model: one set of classes for many micrographs, so that a class is the same in all of them.

Nothing is learned from a micrograph that is labelled; a class it does not show has no pixels.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.fast.clustering import squared_distances
from nital.fast.labelling import (
    ClusterMap,
    OnRows,
    find_clusters,
    recover_clusters,
    shares_of_views,
)
from nital.fast.space import FeatureSpace
from nital.image.light import Light
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.image.windows import blocks
from nital.result.fine import FineClasses
from nital.result.grouping import Grouping
from nital.result.likeness import Likeness
from nital.result.segmentation import Segmentation

Floats = NDArray[np.float32]

LEAST_SPREAD = 1e-6
"""Avoids division by 0 for drawn images with a few grey levels, each of them a centre."""


@dataclass(frozen=True)
class Model(Grouping):
    """Classes that many micrographs share, and how to find them; its settings are of fast mode."""

    space: FeatureSpace
    centres: Floats
    """(n, channels): centres of the clusters, weighted, in the order of the fine classes."""

    shares: NDArray[np.float64]
    """(n,): share of the sampled pixels in each, 0 to 1."""

    spread: float
    """Mean squared distance of the sampled pixels from the nearest centre."""

    usual: tuple[float, float]
    """The largest novelty and shift among the fitted micrographs (`Likeness`)."""

    images: tuple[tuple[str, str | None], ...]
    """Name and SHA-256 of each fitted micrograph."""

    @property
    def exposure(self) -> str:
        """`same` or `each`, as for `fit_model`."""
        return "same" if self.space.exposure is None else "each"

    def segment(
        self,
        micrograph: Micrograph | LargeMicrograph,
        *,
        out: NDArray[np.uint8] | None = None,
        on_rows: OnRows | None = None,
    ) -> Segmentation:
        """Label a micrograph with the classes of the model; each keeps its number.

        Parameters
        ----------
        micrograph : Micrograph or LargeMicrograph
        out : (rows, cols), uint8, optional
            Array for the labels; the result then has no fine classes.
        on_rows : callable, optional
            As for `nital.segment`.

        Returns
        -------
        Segmentation
            `classes` has a row for every class of the model; `likeness` says how far the micrograph
            is from those the model was fitted to.
        """
        start = time.perf_counter()
        fine, likeness = self.find_fine_classes(micrograph, out=out, on_rows=on_rows)
        found = self.join(micrograph, fine, likeness, out=out)
        return replace(found, seconds={"labels": time.perf_counter() - start})

    def find_fine_classes(
        self,
        micrograph: Micrograph | LargeMicrograph,
        *,
        out: NDArray[np.uint8] | None = None,
        on_rows: OnRows | None = None,
    ) -> tuple[FineClasses, Likeness]:
        """Find the fine classes of a micrograph, and how far it is from those fitted to.

        Parameters are those of `segment`.
        """
        view = self.space.view(micrograph)
        found = find_clusters(view, self.space, self.centres, out, on_rows)
        shares = None
        if not found.stopped:
            shares = shares_of_views(view, self.space, self.centres)
        return self._fine(micrograph.name, view.light, found, shares)

    def recover_fine_classes(
        self,
        micrograph: Micrograph | LargeMicrograph,
        labels: NDArray[np.uint8],
        n_blocks: int,
    ) -> tuple[FineClasses, Likeness]:
        """Recover the part that `find_fine_classes` had finished when its process was killed.

        Parameters
        ----------
        labels : (rows, cols)
            The `out` it left.
        n_blocks : int
            How often `on_rows` had been called, once or more.
        """
        view = self.space.view(micrograph)
        found = recover_clusters(view, self.space, self.centres, labels, n_blocks)
        return self._fine(micrograph.name, view.light, found, None)

    def _fine(
        self, name: str, light: Light, found: ClusterMap, shares: NDArray[np.float64] | None
    ) -> tuple[FineClasses, Likeness]:
        """The clusters, which are in the order of the fine classes, as these."""
        if not found.statistics.areas.any():
            raise InputError(
                f"{name}: every pixel is excluded or transparent; there is nothing to label"
            )
        fine = FineClasses(
            found.labels, found.statistics, self.joining, found.stopped, shares, light
        )
        return fine, self.likeness(found.counts, found.distance)

    def silhouette(
        self, micrograph: Micrograph | LargeMicrograph, *, out: NDArray[np.uint8]
    ) -> None:
        """Compute how certain the class of each pixel is.

        The silhouette of Rousseeuw (1987), with cluster centres in place of their pixels:
        1 - a / b, where a is the distance from the nearest centre and b that from the nearest
        centre of another class.

        Parameters
        ----------
        micrograph : Micrograph or LargeMicrograph
        out : (rows, cols), uint8
            Array for the silhouette in per cent: 0 (between two classes) to 100 (on a centre); 0
            where a pixel is excluded.
        """
        view, class_of = self.space.view(micrograph), self.class_of
        centres = [self.centres[class_of == number] for number in np.unique(class_of)]
        for window in blocks(view.shape):
            features = self.space.features(view, window)
            certain = np.empty(features.shape[:2], np.uint8)
            for row, values in zip(certain, features, strict=True):
                each = np.sort([squared_distances(values, own) for own in centres], axis=0)
                ratio = np.sqrt(each[0] / np.maximum(each[1], LEAST_SPREAD))
                row[:] = np.round(100 * (1 - np.minimum(ratio, 1)))
            there = view.window_of(window)
            out[there] = view.enlarged(certain, window, there)
            out[there][micrograph.read_excluded(*there)] = 0

    def likeness(self, counts: NDArray[np.int64], distance: float) -> Likeness:
        """How far a micrograph is from those fitted to.

        Parameters
        ----------
        counts : (n,)
            Pixels that are nearest to each centre.
        distance : float
            Their mean squared distance from it.
        """
        shares = counts / max(1, counts.sum())
        shift = 0.5 * float(np.abs(shares - self.shares).sum())
        return Likeness(distance / self.spread, shift, *self.usual)
