"""Folders of studies: runs recorded as they finish, tables and plots."""

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from nital.image.micrograph import Micrograph
from nital.methods import resolve
from nital.output.figures import (
    contour_figure,
    criteria_figure,
    save_figure,
    superpixel_figure,
)
from nital.settings import Settings
from nital.storage.journal import Journal
from nital.storage.tables import write_json, write_table
from nital.storage.versions import versions
from nital.storage.writing import staged
from nital.work.runs import (
    RUN_FIELDS,
    Key,
    Run,
    execute,
    go_side_by_side,
    key_of,
    plan,
    seed_of,
)
from nital.work.studies import ClassStudy, SuperpixelStudy


def class_study_summary(study: ClassStudy) -> dict[str, Any]:
    """Return a study of the number of classes, ready for JSON."""
    names = {"F": "F", "F'": "F_prime", "Q": "Q"}
    numbers = []
    for i, k in enumerate(study.n_classes):
        row: dict[str, Any] = {
            "n_classes": k,
            "mean_found": study.mean_found[i],
            "runs": study.repeats[i],
        }
        for criterion, key in names.items():
            spread = study.spread[criterion][i]
            row[key] = study.mean[criterion][i]
            row[f"{key}_std"] = None if math.isnan(spread) else spread
            row[f"{key}_normalised"] = study.normalised[criterion][i]
        numbers.append(row)
    return {
        "best": study.best,
        "ranking": {names[criterion]: list(order) for criterion, order in study.ranking.items()},
        "numbers": numbers,
    }


def superpixel_study_summary(study: SuperpixelStudy) -> dict[str, Any]:
    """Return a map of F over compactness and number of superpixels, ready for JSON."""
    return {
        "best": {"compactness": study.best[0], "n_superpixels": study.best[1]},
        "pairs": [
            {
                "compactness": m,
                "n_superpixels": n,
                "F": float(study.mean_f[i, j]),
                "runs": int(study.repeats[i, j]),
            }
            for i, m in enumerate(study.compactness)
            for j, n in enumerate(study.n_superpixels)
        ],
    }


def write_class_study(folder: Path, study: ClassStudy) -> None:
    """Write plot, table and summary of a study of the number of classes, beside its journal."""
    summary = class_study_summary(study)
    with staged(folder, ("criteria.png", "criteria.csv", "summary.json"), force=True) as aside:
        figure = criteria_figure(study.n_classes, study.mean, study.spread, study.normalised)
        save_figure(figure, aside / "criteria.png")
        write_table(aside / "criteria.csv", summary["numbers"])
        write_json(aside / "summary.json", summary)


def write_superpixel_study(folder: Path, study: SuperpixelStudy) -> None:
    """Write plot, table and summary of a map of F, beside its journal."""
    summary = superpixel_study_summary(study)
    with staged(folder, ("map.png", "map.csv", "summary.json"), force=True) as aside:
        figure = contour_figure(study.compactness, study.n_superpixels, study.mean_f)
        save_figure(figure, aside / "map.png")
        write_table(aside / "map.csv", summary["pairs"])
        write_json(aside / "summary.json", summary)


VARIED = ("n_classes", "n_superpixels", "compactness", "seed")
"""Settings that differ between the runs of a study."""

SHOWN_SIDE = 160
"""A grid of superpixels shows the centre of the micrograph, this many pixels wide and high: in the
whole of a large one no outline would be visible."""


def draw_superpixels(
    micrograph: Micrograph,
    folder: Path,
    *,
    compactness: Sequence[float],
    n_superpixels: Sequence[int],
    force: bool = False,
) -> None:
    """Draw superpixels over compactness and number, with a table of how many SLIC found."""
    from nital.paper.superpixels import check_n_superpixels, find_superpixels

    window = tuple(
        slice(start, start + SHOWN_SIDE)
        for start in (max(0, (length - SHOWN_SIDE) // 2) for length in micrograph.shape)
    )
    for n in n_superpixels:
        check_n_superpixels(n, micrograph.shape)
    with staged(folder, ("grid.png", "grid.csv"), force=force) as aside:
        maps = [
            [
                find_superpixels(micrograph.pixels, n_superpixels=n, compactness=m)
                for n in n_superpixels
            ]
            for m in compactness
        ]
        given = [[int(each.max()) + 1 for each in row] for row in maps]
        figure = superpixel_figure(
            micrograph.pixels[window],
            [[each[window] for each in row] for row in maps],
            compactness,
            n_superpixels,
            given,
        )
        save_figure(figure, aside / "grid.png")
        rows = [
            {
                "compactness": m,
                "n_superpixels": n,
                "given": count,
                "mean_pixels": round(micrograph.excluded.size / count, 2),
            }
            for m, counts in zip(compactness, given, strict=True)
            for n, count in zip(n_superpixels, counts, strict=True)
        ]
        write_table(aside / "grid.csv", rows)


class Study:
    """A study of one file that records every finished run at once, and resumes where it stopped.

    Parameters
    ----------
    kind : {"classes", "map"}
        Name of the study.
    micrograph : Micrograph
    folder : Path
        Folder of the journal.
    settings : Settings
        Settings common to all runs; `settings.seed`, if any, is the seed of the first repeat.
    varied : mapping of name to values
        The settings varied between runs; each combination is run `repeats` times, with other
        seeds, or once if the method has none.
    force : bool
        Whether to discard existing runs in `folder`.

    Raises
    ------
    SettingError, OutputError
        If a setting is out of range, or `folder` holds another study or can't be written.
    """

    def __init__(
        self,
        kind: str,
        micrograph: Micrograph,
        folder: Path,
        settings: Settings,
        *,
        varied: Mapping[str, Sequence[Any]],
        repeats: int,
        force: bool = False,
    ) -> None:
        self._micrograph = micrograph
        runs = plan(settings, repeats=repeats, **varied)
        self._wanted = [resolve(each, micrograph) for each in runs]
        used = self._wanted[0].as_dict()
        common = {key: value for key, value in used.items() if key not in VARIED}
        pixels = hashlib.sha256(micrograph.pixels.tobytes() + micrograph.excluded.tobytes())
        identity = {
            "study": kind,
            "sha256": micrograph.sha256,
            "pixels_sha256": pixels.hexdigest(),  # another page of the file is another study
            **common,
            **versions(),
        }
        columns = [field.name for field in RUN_FIELDS]
        self._journal = Journal.of_study(folder, columns, identity, force=force)
        self._finished = self._read()

    @property
    def n_runs(self) -> int:
        """Number of runs in the study, finished or not."""
        return len(self._wanted)

    @property
    def n_workers(self) -> int:
        """Number of processes that can share the work on this machine, one a core."""
        together = {seed_of(each) for each in self._wanted if go_side_by_side(each)}
        return max(1, min(os.cpu_count() or 1, len(together)))

    @property
    def missing(self) -> list[Settings]:
        """Settings of the runs still to do."""
        return [each for each in self._wanted if key_of(each) not in self._finished]

    def finish(
        self, *, executor: Executor | None = None, on_run: Callable[[Run], None] | None = None
    ) -> list[Run]:
        """Do the missing runs on any executor; return all runs of the study.

        Raises
        ------
        OutputError
            If another process is working on this study, or the journal can't be written.
        """
        with self._journal.locked():
            self._finished = self._read()  # another process may have added runs
            for run in execute(self._micrograph, self.missing, executor=executor):
                self._journal.append(run.as_row())
                self._finished[run.key] = run
                if on_run is not None:
                    on_run(run)
        return [self._finished[key_of(each)] for each in self._wanted]

    def _read(self) -> dict[Key, Run]:
        return {run.key: run for run in map(Run.from_row, self._journal.rows)}
