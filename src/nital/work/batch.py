"""The batch: all micrographs of a folder, labelled with one model; it can be killed and resumed.

Every finished micrograph is recorded in a journal at once. A resumed batch labels only what is
missing: micrographs that are new, changed, or failed.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, as_completed
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from nital.errors import InputError, NitalError, OutputError, reason_of
from nital.fast.settings import FastSettings
from nital.image.large import open_micrograph
from nital.output.exports import write_parquet
from nital.series.model_files import read_model
from nital.storage.journal import Journal
from nital.storage.tables import read_json
from nital.storage.versions import versions
from nital.storage.writing import writing
from nital.work.jobs import KnownModel, fit_files, segment_file

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
"""Suffixes of the files taken for micrographs, in lower or upper case."""

MODEL, TABLE = "model.nital", "results.parquet"

DONE, KEPT, FAILED = "done", "kept", "failed"


@dataclass(frozen=True)
class Task:
    """One micrograph, and the folder for its result."""

    image: Path
    folder: Path
    name: str
    """Path of the image within the folder of the batch."""


@dataclass(frozen=True)
class Outcome:
    """The outcome for one micrograph."""

    image: str
    """`Task.name`."""

    sha256: str
    status: str
    """`done`; `kept`, if done by an earlier run; `failed`."""

    reason: str
    """The error, if it failed."""

    seconds: float


def find_images(folder: Path, out: Path, pattern: str = "*") -> list[Path]:
    """Find the micrographs in a folder and its sub-folders, sorted, except those within `out`.

    Raises
    ------
    InputError
        If it is not a folder, or holds no micrograph.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder; name the folder of the micrographs")
    found = [
        path
        for path in sorted(folder.rglob(pattern))
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.resolve().is_relative_to(out.resolve())
    ]
    if not found:
        raise InputError(
            f"{folder}: no micrograph in it ({', '.join(SUFFIXES)}) whose name matches {pattern};"
            " check the folder"
        )
    return found


def plan_tasks(folder: Path, out: Path, images: Sequence[Path]) -> list[Task]:
    """Plan a result folder for each image, in the same sub-folders.

    Images that differ only in their suffix keep it in the name of the folder.
    """
    stems = [image.with_suffix("") for image in images]
    count = Counter(stems)
    return [
        Task(
            image,
            out / (image if count[stem] > 1 else stem).relative_to(folder),
            str(image.relative_to(folder)),
        )
        for image, stem in zip(images, stems, strict=True)
    ]


def fit_batch(
    images: Sequence[Path],
    out: Path,
    settings: FastSettings,
    *,
    exposure: str,
    executor: Executor | None = None,
    force: bool = False,
    **how: Any,
) -> KnownModel:
    """Return the model of a batch in `out`: the existing one, or one fitted to all readable images.

    Parameters
    ----------
    settings, exposure
        As for `fit_model`.
    how : page, crop_bottom
        As for `open_micrograph`.

    Raises
    ------
    OutputError
        If the existing model was fitted with other settings.
    InputError
        If none of the images can be read.
    """
    path = out / MODEL
    if path.exists() and not force:
        known = asdict(read_model(path).settings)
        wanted = asdict(settings)
        if known != wanted:
            others = ", ".join(
                f"{name} {value}, not {wanted[name]}"
                for name, value in known.items()
                if value != wanted[name]
            )
            raise OutputError(
                f"{path}: has {others}; use it with --model {path}, name another --out, or start"
                " again with --force"
            )
        return KnownModel.read(path)
    run_all = map if executor is None else executor.map
    readable = [
        image
        for image, good in zip(images, run_all(partial(_is_readable, **how), images), strict=True)
        if good
    ]
    if not readable:
        open_micrograph(images[0], **how)  # raises the reason
    fit_files(
        readable,
        path,
        settings,
        exposure=exposure,
        force=force,
        executor=executor,
        **how,
    )
    return KnownModel.read(path)


def _is_readable(image: Path, **how: Any) -> bool:
    try:
        open_micrograph(image, **how)
    except NitalError:
        return False
    return True


class Batch:
    """A batch with its journal.

    Parameters
    ----------
    tasks : sequence of Task
    out : Path
        Folder of the journal.
    model : KnownModel
    how : mapping
        `page`, `pixel_size`, `crop_bottom`, as for `segment_file`.
    force : bool
        Whether to discard an existing batch in `out` and start again.

    Raises
    ------
    OutputError
        If `out` holds a batch with another model or other settings, or can't be written.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        out: Path,
        model: KnownModel,
        how: Mapping[str, Any],
        *,
        force: bool = False,
    ) -> None:
        self.tasks, self.out = tasks, out
        self._model, self._how = model, dict(how)
        identity = {"study": "batch", "model": model.sha256, **self._how, **versions()}
        columns = [field.name for field in fields(Outcome)]
        self._journal = Journal.of_study(out, columns, identity, force=force)

    def finish(
        self,
        *,
        executor: Executor | None = None,
        on_outcome: Callable[[Outcome], None] | None = None,
    ) -> list[Outcome]:
        """Do the missing tasks on any executor; return all outcomes in the order of the tasks.

        Raises
        ------
        OutputError
            If another process is working on this batch, or the journal can't be written.
        """
        with self._journal.locked():
            known = {
                row["image"]: row["sha256"] for row in self._journal.rows if row["status"] == DONE
            }
            found: dict[str, Outcome] = {}
            work = partial(label_one, model=self._model, how=self._how)
            given = [(task, known.get(task.name)) for task in self.tasks]
            for outcome in _run(work, given, executor):
                if outcome.status != KEPT:
                    self._journal.append(asdict(outcome))
                found[outcome.image] = outcome
                if on_outcome is not None:
                    on_outcome(outcome)
            outcomes = [found[task.name] for task in self.tasks]
            done = [
                task
                for task, outcome in zip(self.tasks, outcomes, strict=True)
                if outcome.status != FAILED
            ]
            if done:
                _write_table(self.out / TABLE, done)
        return outcomes


def _run(
    work: Callable[[tuple[Task, str | None]], Outcome],
    given: Sequence[tuple[Task, str | None]],
    executor: Executor | None,
) -> Iterator[Outcome]:
    """Yield outcomes as they complete; a task whose worker died has failed."""
    if executor is None:
        yield from map(work, given)
        return
    futures = {executor.submit(work, each): each[0] for each in given}
    try:
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenExecutor:
                reason = "a worker was killed (out of memory?); start the batch again"
                yield Outcome(futures[future].name, "", FAILED, reason, 0.0)
    finally:
        for future in futures:
            future.cancel()


def label_one(
    given: tuple[Task, str | None], *, model: KnownModel, how: Mapping[str, Any]
) -> Outcome:
    """Label one micrograph unless its result exists; a bad file never raises.

    `given`: the task, and the SHA-256 of the file labelled before, if any.
    """
    task, known = given
    start, digest = time.perf_counter(), ""
    try:
        digest = hashlib.sha256(task.image.read_bytes()).hexdigest()
        if digest == known and (task.folder / "summary.json").is_file():
            return Outcome(task.name, digest, KEPT, "", 0.0)
        segment_file(task.image, task.folder, model.model.settings, model=model, force=True, **how)
    except NitalError as error:
        return Outcome(task.name, digest, FAILED, str(error), time.perf_counter() - start)
    except Exception as error:  # one bad file must not stop the rest
        reason = f"unexpected: {type(error).__name__}: {reason_of(error)}"
        return Outcome(task.name, digest, FAILED, reason, time.perf_counter() - start)
    return Outcome(task.name, digest, DONE, "", time.perf_counter() - start)


def _write_table(path: Path, tasks: Iterable[Task]) -> None:
    """Write a row for each class of each micrograph, from their summaries."""
    columns: dict[str, list[Any]] = {}
    for task in tasks:
        summary = read_json(task.folder / "summary.json")
        for row in summary["classes"]:
            values = {
                "image": task.name,
                "folder": str(task.folder.relative_to(path.parent)),
                "sha256": summary["sha256"],
                "class": row["class"],
                "name": row.get("name"),
                "area_fraction": row["area_fraction"],
                "uncertainty": row.get("uncertainty"),
                "n_pixels": row["n_pixels"],
                "mean_grey": row["mean_grey"],
                "pixel_size_um": summary["pixel_size_um"],
                **summary["criteria"],
                "novelty": summary["likeness"]["novelty"],
                "shift": summary["likeness"]["shift"],
            }
            for key, value in values.items():
                columns.setdefault(key, []).append(value)
    aside = path.with_name(f".{path.name}.part")
    with writing(path):
        try:
            write_parquet(aside, columns)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
