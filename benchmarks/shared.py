"""One model for many micrographs: fitted to one half of a series, tried on the other.

    python benchmarks/shared.py FOLDER

FOLDER is as for accuracy.py. Both halves take their turn. Each micrograph that was not fitted to is
labelled with the model, and once by itself with as many classes. `agrees` is the share of pixels to
which both give the same number, and is high only where classes by brightness in each micrograph
happen to be the same constituents; `far` counts those that the model finds unlike the others.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.table import Table

import nital
from accuracy import Known, labelled
from nital.series.estimator import Segmenter

FRACTIONS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Series:
    name: str
    items: list[Known]
    n_classes: int


def synthetic(name: str, gains: bool) -> Series:
    """Ferrite with rising pearlite; with `gains` each exposed in its own way."""
    items, rng = [], np.random.default_rng(0)
    for seed, pearlite in enumerate(FRACTIONS):
        parts = {"ferrite": 1 - pearlite, "pearlite": pearlite}
        made = nital.synthesize((512, 512), parts, grain_size=30, seed=seed)
        image = made.image
        if gains:
            image = np.clip(rng.uniform(0.75, 1.1) * image + rng.uniform(-0.05, 0.1), 0, 1)
        micrograph = nital.Micrograph.from_array(image, name=str(seed))
        items.append(Known(name, str(seed), "", micrograph, made.truth.astype(np.int64)))
    return Series(name, items, 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    known = list(labelled(given.data, None, []))
    all_series = [
        synthetic("ferrite, 5 to 50 % pearlite", gains=False),
        synthetic("the same, each its exposure", gains=True),
    ]
    for folder in ("sem_superalloy", "sem_uhcs"):
        items = [item for item in known if item.folder == folder]
        all_series.append(Series(folder, items, max(item.n_classes for item in items)))
    columns = ("exposure", "model, mean IoU / ARI", "by itself", "agrees", "areas, points", "far")
    table = Table("series", *columns)
    for series in all_series:
        rows, exposures = [], []
        for first in (0, 1):
            segmenter = Segmenter(series.n_classes)
            segmenter.fit([item.micrograph for item in series.items[first::2]])
            exposures.append(segmenter.model_.exposure)
            for item in series.items[1 - first :: 2]:
                found = segmenter.segment(item.micrograph)
                own = nital.segment(item.micrograph, series.n_classes).labels
                reference = item.reference + 1
                shared, alone = (nital.compare(each, reference) for each in (found.labels, own))
                assert found.likeness is not None
                rows.append(
                    (
                        shared.mean_iou,
                        shared.ari,
                        alone.mean_iou,
                        alone.ari,
                        float(np.mean(found.labels == own)),
                        100 * fmean(abs(row.difference) for row in shared.classes),
                        float(found.likeness.is_far),
                    )
                )
        means = [fmean(column) for column in zip(*rows, strict=True)]
        table.add_row(
            series.name,
            ", ".join(sorted(set(exposures))),
            "{:.3f} / {:.3f}".format(*means[:2]),
            "{:.3f} / {:.3f}".format(*means[2:4]),
            f"{means[4]:.2f}",
            f"{means[5]:.1f}",
            f"{sum(row[6] for row in rows):.0f} of {len(rows)}",
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
