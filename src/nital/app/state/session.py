"""A session: a bench on the disk, the work that is done for it, and its results."""

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nital.app.state.bench import Bench
from nital.app.state.bench_file import MODEL
from nital.app.state.field import Field
from nital.app.state.workers import WorkError, Workers
from nital.app.work import keeping, tasks
from nital.app.work.fields import FieldFile, Labelled, Opened, Trained, result_in, shown_in
from nital.app.work.live import Stage
from nital.app.work.worker import FAILED, STOPPED, Work
from nital.errors import InputError, NitalError
from nital.measure.specimen import Specimen
from nital.result.agreement import Agreement
from nital.settings import Settings

TRAINING_GRACE = 0.1
"""Seconds that a training has to end by itself when it is stopped: an iteration takes longer, and
each is on the disk; and a process that holds gigabytes is slow to end."""


class Session:
    """A bench, and the work that is done for it.

    Parameters
    ----------
    identifier : str
        Whoever knows it may use the session.
    folder : Path
        Where it is on the disk (`tasks`).
    workers : Workers
        Shared with other sessions.
    """

    def __init__(self, identifier: str, folder: Path, workers: Workers) -> None:
        self.identifier = identifier
        self.bench = Bench(folder)
        self.work: Work | None = None
        """The segmentation that waits or runs."""

        self.stage: Stage | None = None
        """What it is doing."""

        self.stage_since = self.stage_reported = 0.0
        """When this kind of stage began and was reported last, as of `time.monotonic`."""

        self._unfinished: Stage | None = None
        """The last stage with something that can be kept if the work is killed."""

        self.specimen: Specimen | None = None
        """What was measured last: of the classes as they are now where `is_kept`."""

        self._agreement: tuple[tuple[int, str], str, Agreement] | None = None
        self._workers = workers
        self._kept: str | None = None
        self._sure: dict[int, tuple[str, int, float]] = {}
        self._keeping, self._looking, self._computing = (asyncio.Lock() for _ in range(3))

    @property
    def folder(self) -> Path:
        """Where it is on the disk (`tasks`)."""
        return self.bench.folder

    @property
    def n_before(self) -> int:
        """How many pieces of other work come before its own."""
        return 0 if self.work is None else self._workers.computer.place(self.work)

    # --- micrographs -----------------------------------------------------------------------------

    async def open(self, path: Path, name: str) -> Field:
        """Add a micrograph, and open it; `Field.error` says why it could not be opened."""
        field = self.bench.add(path, name)
        await self.reopen(field.number)
        return self.bench.fields.get(field.number, field)  # it may have been removed

    async def make_synthetic(self) -> Field:
        """Add a synthetic micrograph."""
        path = self.folder / "uploads" / f"synthetic-{secrets.token_hex(4)}.png"
        await self._workers.help("making a micrograph", tasks.make_synthetic, {"path": path})
        return await self.open(path, "synthetic ferrite-pearlite.png")

    async def reopen(self, number: int) -> None:
        """Read a file again, as after its pixel size was typed."""
        file = self.bench.fields[number].file
        arguments = {"session": self.folder, "field": file}
        try:
            found: Opened = await self._workers.help(
                f"opening {file.name}", tasks.open_field, arguments
            )
        except NitalError as error:
            if number in self.bench.fields:
                self.bench.set_error(number, str(error))
        else:
            if number in self.bench.fields:
                self.bench.set_opened(found)

    def set_page(self, number: int, page: int | None) -> None:
        """As `Bench.set_page`; not while there is work under way."""
        self._check_idle()
        self.bench.set_page(number, page)

    def crop(self, number: int, n_rows: int) -> None:
        """As `Bench.crop`; not while there is work under way."""
        self._check_idle()
        self.bench.crop(number, n_rows)

    def remove(self, number: int) -> None:
        """Remove a micrograph from the bench, and its files from the disk.

        Raises
        ------
        InputError
            If there is work under way.
        """
        self._check_idle()
        path = self.bench.fields[number].file.path
        self.bench.remove(number)
        for folder in (shown_in, result_in):
            shutil.rmtree(folder(self.folder, number), ignore_errors=True)
        if path.is_relative_to(self.folder):
            path.unlink(missing_ok=True)

    # --- classes ---------------------------------------------------------------------------------

    async def segment(self, number: int | None = None) -> None:
        """Find classes that all open micrographs share, and label each.

        In paper mode, find those of a single one: of this number, or of the first that is open.

        Raises
        ------
        InputError, WorkError
            If there is nothing to segment, or it failed.
        """
        fields = [each.file for each in self.bench.usable]
        if not fields:
            raise InputError("no micrograph is open; open one first")
        settings = self.bench.settings
        if settings.mode == "paper":
            if number is not None:
                fields = [each for each in fields if each.number == number]
            if not fields:
                raise InputError("the micrograph that is shown is not open; show another one")
            await self._compute("training", tasks.train_field, fields[:1], {"settings": settings})
        else:
            given = {"settings": settings, "exposure": self.bench.exposure}
            await self._compute("segmenting", tasks.segment_fields, fields, given)

    async def apply(self) -> None:
        """Label the micrographs that have no classes yet with the model; errors as of `segment`."""
        fields = [each.file for each in self.bench.usable if each.labelled is None]
        if not self.bench.is_fitted or not fields:
            raise InputError(
                "nothing to label; open more micrographs, or segment first, in fast mode"
            )
        path = {"path": self.folder / MODEL}
        await self._compute("labelling", tasks.label_fields, fields, path)

    def stop(self) -> None:
        """Stop what is under way; what is done by then is kept."""
        if self.work is not None:
            self._workers.computer.stop(self.work)

    # --- what is kept ----------------------------------------------------------------------------

    async def keep(self) -> Specimen:
        """Write folders of results of all labelled micrographs, as decided, and measure them.

        Raises
        ------
        InputError, WorkError
            If there is nothing to keep, or it failed.
        """
        async with self._keeping:
            state = self._state()
            if self.specimen is not None and self._kept == state:
                return self.specimen
            fields = [each.file for each in self.bench.labelled]
            if not fields:
                raise InputError("nothing is segmented yet; press Segment first")
            arguments = {
                "session": self.folder,
                "fields": fields,
                "decided": self.bench.write_decided() if self.bench.is_fitted else self.bench.model,
            }
            found: Specimen = await self._workers.help("measuring", keeping.keep_fields, arguments)
            self.specimen, self._kept = found, state
            return found

    @property
    def is_kept(self) -> bool:
        """Whether the results that were written last are those of the bench as it is now."""
        return self.specimen is not None and self._kept == self._state()

    async def report(self, numbers: Sequence[int] | None = None) -> Path:
        """The report of these micrographs, or of all; errors as of `keep`."""
        await self.keep()
        numbers = numbers or [each.number for each in self.bench.labelled]
        arguments = {"session": self.folder, "numbers": numbers}
        path: Path = await self._workers.help(
            "writing the report", keeping.report_fields, arguments
        )
        return path

    async def score(self, number: int, reference: Path, name: str) -> Agreement:
        """Compare a micrograph with a reference map; errors as of `keep`."""
        await self.keep()
        arguments = {
            "session": self.folder,
            "number": number,
            "reference": reference,
            "name": name,
        }
        found: Agreement = await self._workers.help("comparing", keeping.score_field, arguments)
        self._agreement = (number, self._state()), name, found
        self.bench.touch()
        return found

    def agreement(self, number: int) -> tuple[str, Agreement] | None:
        """The name of the reference that a micrograph was compared with last, and the agreement.

        None where classes have changed since.
        """
        if self._agreement is None or self._agreement[0] != (number, self._state()):
            return None
        return self._agreement[1:]

    async def find_silhouette(self, number: int) -> float:
        """How sure the classes of a micrograph are, 0 to 1; the map of it can be shown then."""
        async with self._looking:
            state = self._state()
            known = self._sure.get(number)
            if known is None or known[0] != state:
                arguments = {
                    "session": self.folder,
                    "field": self.bench.fields[number].file,
                    "path": self.bench.write_decided("sure.nital"),
                }
                mean: float = await self._workers.help(
                    "how sure", keeping.find_silhouette, arguments
                )
                # Browsers cache a version for ever.
                self._sure[number] = known = state, time.time_ns() // 1_000_000, mean
                self.bench.touch()
            return known[2]

    def sure(self, number: int) -> tuple[int, float] | None:
        """Version of the map of how sure a micrograph's classes are, and its mean."""
        known = self._sure.get(number)
        return None if known is None or known[0] != self._state() else known[1:]

    def _state(self) -> str:
        """What results depend on: classes, names, and the micrographs that have them."""
        return self.bench.state()

    # --- work ------------------------------------------------------------------------------------

    def _check_idle(self) -> None:
        if self.work is not None:
            raise InputError(f"{self.work.title} is under way; wait for it, or stop it")
        if self._computing.locked():
            raise InputError("what was stopped is being kept; wait a moment")

    async def _compute(
        self,
        title: str,
        function: Callable[..., Any],
        fields: Sequence[FieldFile],
        arguments: dict[str, Any],
    ) -> None:
        self._check_idle()
        arguments = {"session": self.folder, "fields": fields, **arguments}
        async with self._computing:  # until what was stopped is kept
            work, ended = self._workers.submit(
                self._workers.computer, title, function, arguments, self._on_message
            )
            if function is tasks.train_field:
                work.grace = TRAINING_GRACE
            self.work, self.stage, self.stage_since = work, None, time.monotonic()
            self._unfinished = None
            try:
                await ended
            finally:
                self.work = self.stage = None
                self.bench.touch()
            if work.state == FAILED:
                raise WorkError(work.error or "")
            if work.state == STOPPED and self._unfinished is not None:
                await self._recover(self._unfinished, function)

    async def _recover(self, last: Stage, function: Callable[..., Any]) -> None:
        """Keep what was done of the micrograph that was under way."""
        field = self.bench.fields.get(last.field or 0)
        if field is None or last.live is None:
            return
        title, arguments = f"keeping {field.name}", {"session": self.folder, "field": field.file}
        if function is tasks.train_field:
            self._on_message(await self._workers.help(title, tasks.recover_training, arguments))
        else:
            arguments |= {"path": self.folder / MODEL, "n_blocks": last.live.n_done}
            self._on_message(await self._workers.help(title, tasks.recover_field, arguments))

    def _on_message(self, message: Any) -> None:
        """Store what the work reports."""
        if isinstance(message, Stage):
            self.stage_reported = time.monotonic()
            if self.stage is None or self.stage.text != message.text:
                self.stage_since = self.stage_reported
            self.stage = message
            if message.live is not None and message.live.n_done:
                self._unfinished = message
        elif isinstance(message, Labelled | Trained):
            self._unfinished = None
            if isinstance(message, Trained):
                self.bench.set_trained(message)
            else:
                self.bench.set_labelled(message)
        elif isinstance(message, Settings):
            self.bench.adopt_fitted()
