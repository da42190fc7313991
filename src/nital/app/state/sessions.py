"""Sessions: benches that live on the disk, the work that is done for them, and who waits for it."""

import asyncio
import contextlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nital.app.state.bench import FILE, MODEL, Bench, Field
from nital.app.work import keeping, tasks
from nital.app.work.fields import FieldFile, Labelled, Opened, Trained, result_in, shown_in
from nital.app.work.live import Stage
from nital.app.work.worker import DONE, FAILED, STOPPED, Work, Worker
from nital.errors import InputError, NitalError
from nital.image.files import read_json
from nital.measure.specimen import Specimen
from nital.result.agreement import Agreement
from nital.settings import Settings
from nital.storage.writing import writing

KEPT_DAYS = 30
"""A session that nobody has changed for so long is removed when the server starts."""

TRAINING_GRACE = 0.1
"""Seconds that a training has to end by itself when it is stopped: an iteration takes longer, and
each is on the disk; and a process that holds gigabytes takes its time to die."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{22}")


class WorkError(NitalError):
    """Work that failed, with the reason in words."""


class Session:
    """A bench, and the work that is done for it."""

    def __init__(self, identifier: str, folder: Path, desk: "Desk") -> None:
        self.identifier = identifier
        self.bench = Bench(folder)
        self.work: Work | None = None
        """Segmentation that waits or runs."""

        self.stage: Stage | None = None
        """What is under way in it."""

        self.stage_since = self.stage_told = 0.0
        """When this kind of stage began, and when it was told of last, as of `time.monotonic`."""

        self._unfinished: Stage | None = None
        """The last that shows something which can be kept if the work is killed."""

        self.specimen: Specimen | None = None
        """What was measured, of the classes as they are now; None where they have changed."""

        self._agreement: tuple[tuple[int, str], str, Agreement] | None = None
        self._desk = desk
        self._kept: str | None = None
        self._sure: dict[int, tuple[str, int, float]] = {}
        self._keeping, self._looking, self._computing = (asyncio.Lock() for _ in range(3))

    @property
    def folder(self) -> Path:
        """Where it is on the disk (`tasks`)."""
        return self.bench.folder

    @property
    def n_before(self) -> int:
        """How much work of others comes before its own."""
        return 0 if self.work is None else self._desk.computer.place(self.work)

    # --- micrographs -----------------------------------------------------------------------------

    async def open(self, path: Path, name: str) -> Field:
        """Put a micrograph on the bench, and open it; `Field.error` says why it could not be."""
        field = self.bench.add(path, name)
        await self.reopen(field.number)
        return self.bench.fields.get(field.number, field)  # it may have been taken off

    async def make_synthetic(self) -> Field:
        """Put a synthetic micrograph on the bench."""
        path = self.folder / "uploads" / f"synthetic-{secrets.token_hex(4)}.png"
        await self._help("making a micrograph", tasks.make_synthetic, {"path": path})
        return await self.open(path, "synthetic ferrite-pearlite.png")

    async def reopen(self, number: int) -> None:
        """Read a file again, as after its pixel size was typed."""
        file = self.bench.fields[number].file
        arguments = {"session": self.folder, "field": file}
        try:
            found: Opened = await self._help(f"opening {file.name}", tasks.open_field, arguments)
        except NitalError as error:
            if number in self.bench.fields:
                self.bench.failed(number, str(error))
        else:
            if number in self.bench.fields:
                self.bench.opened(found)

    def set_page(self, number: int, page: int | None) -> None:
        """As `Bench.set_page`; not while there is work under way."""
        self._check_idle()
        self.bench.set_page(number, page)

    def crop(self, number: int, n_rows: int) -> None:
        """As `Bench.crop`; not while there is work under way."""
        self._check_idle()
        self.bench.crop(number, n_rows)

    def remove(self, number: int) -> None:
        """Take a micrograph off the bench, and its files from the disk.

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
            If there is nothing to segment, or why it failed.
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
        """Stop what is under way; what is done by then stays."""
        if self.work is not None:
            self._desk.computer.stop(self.work)

    # --- what is kept ----------------------------------------------------------------------------

    async def keep(self) -> Specimen:
        """Folders of results of all labelled micrographs, as decided, and what they measure.

        Raises
        ------
        InputError, WorkError
            If there is nothing to keep, or why it failed.
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
            found: Specimen = await self._help("measuring", keeping.keep_fields, arguments)
            self.specimen, self._kept = found, state
            return found

    @property
    def is_kept(self) -> bool:
        """Whether what was kept is what is on the bench now."""
        return self.specimen is not None and self._kept == self._state()

    async def report(self, numbers: Sequence[int] | None = None) -> Path:
        """The report of these micrographs, or of all; errors as of `keep`."""
        await self.keep()
        numbers = numbers or [each.number for each in self.bench.labelled]
        arguments = {"session": self.folder, "numbers": numbers}
        path: Path = await self._help("writing the report", keeping.report_fields, arguments)
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
        found: Agreement = await self._help("comparing", keeping.score_field, arguments)
        self._agreement = (number, self._state()), name, found
        self.bench.touch()
        return found

    def agreement(self, number: int) -> tuple[str, Agreement] | None:
        """The name of the reference that a micrograph was compared with last, and how it agrees.

        None where classes have changed since.
        """
        if self._agreement is None or self._agreement[0] != (number, self._state()):
            return None
        return self._agreement[1:]

    async def find_silhouette(self, number: int) -> float:
        """How sure the classes of a micrograph are, 0 to 1; the map of it is then to be seen."""
        async with self._looking:
            state = self._state()
            known = self._sure.get(number)
            if known is None or known[0] != state:
                arguments = {
                    "session": self.folder,
                    "field": self.bench.fields[number].file,
                    "path": self.bench.write_decided("sure.nital"),
                }
                mean: float = await self._help("how sure", keeping.find_silhouette, arguments)
                # Browsers keep what they have of a version for ever.
                self._sure[number] = known = state, time.time_ns() // 1_000_000, mean
                self.bench.touch()
            return known[2]

    def sure(self, number: int) -> tuple[int, float] | None:
        """Version of the map of how sure a micrograph's classes are, and its mean."""
        known = self._sure.get(number)
        return None if known is None or known[0] != self._state() else known[1:]

    def _state(self) -> str:
        """What decides on results: classes, names, and the micrographs that have them."""
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
            work, ended = self._desk.submit(
                self._desk.computer, title, function, arguments, self._hear
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
            self._hear(await self._help(title, tasks.recover_training, arguments))
        else:
            arguments |= {"path": self.folder / MODEL, "n_blocks": last.live.n_done}
            self._hear(await self._help(title, tasks.recover_field, arguments))

    async def _help(
        self, title: str, function: Callable[..., Any], arguments: dict[str, Any]
    ) -> Any:
        work, ended = self._desk.submit(
            self._desk.helper, title, function, arguments, lambda message: None
        )
        await ended
        if work.state != DONE:
            raise WorkError(work.error or f"{title}: stopped")
        return work.result

    def _hear(self, message: Any) -> None:
        """What the work says of itself."""
        if isinstance(message, Stage):
            self.stage_told = time.monotonic()
            if self.stage is None or self.stage.text != message.text:
                self.stage_since = self.stage_told
            self.stage = message
            if message.live is not None and message.live.n_done:
                self._unfinished = message
        elif isinstance(message, Labelled | Trained):
            self._unfinished = None
            if isinstance(message, Trained):
                self.bench.trained(message)
            else:
                self.bench.has_labelled(message)
        elif isinstance(message, Settings):
            self.bench.fitted()


@dataclass(frozen=True)
class Earlier:
    """A session of before."""

    identifier: str
    names: tuple[str, ...]
    """Of its micrographs."""

    used: float
    """When it was changed last, in seconds since 1970."""


class Desk:
    """All sessions, and the two workers that they share: one computes, one opens and keeps.

    Parameters
    ----------
    root : Path
        Holds a folder for each session; made if it is missing.

    Raises
    ------
    OutputError
        If it can't be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        with writing(root):
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clean()
        self._sessions: dict[str, Session] = {}
        self.computer, self.helper = (Worker(tasks.__name__) for _ in range(2))

    def new(self) -> Session:
        """A session with an empty bench."""
        identifier = secrets.token_urlsafe(16)
        return self._open(identifier)

    def find(self, identifier: str) -> Session | None:
        """The session of this identifier, if there is one.

        Raises
        ------
        InputError
            If it is there, and can't be read.
        """
        if identifier in self._sessions:
            return self._sessions[identifier]
        if _IDENTIFIER.fullmatch(identifier) and (self.root / identifier).is_dir():
            return self._open(identifier)
        return None

    def earlier(self) -> list[Earlier]:
        """Sessions that hold a micrograph, the last first."""
        found = []
        for path in self.root.glob(f"*/{FILE}"):
            with contextlib.suppress(NitalError, KeyError, TypeError, OSError):
                names = tuple(each["file"]["name"] for each in read_json(path)["fields"])
                if names and _IDENTIFIER.fullmatch(path.parent.name):
                    found.append(Earlier(path.parent.name, names, path.stat().st_mtime))
        return sorted(found, key=lambda each: -each.used)

    def submit(
        self,
        worker: Worker,
        title: str,
        function: Callable[..., Any],
        arguments: dict[str, Any],
        hear: Callable[[Any], None],
    ) -> tuple[Work, "asyncio.Future[None]"]:
        """Give work to a worker; `hear` is called, and the future set, in the event loop."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def end(work: Work) -> None:
            if not ended.done():
                ended.set_result(None)

        def post(function: Callable[[Any], None], value: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(function, value)

        work = Work(
            title,
            function,
            arguments,
            on_message=lambda message: post(hear, message),
            on_end=lambda work: post(end, work),
        )
        return worker.submit(work), ended

    def close(self) -> None:
        """End all work."""
        self.computer.close()
        self.helper.close()

    def _open(self, identifier: str) -> Session:
        session = Session(identifier, self.root / identifier, self)
        self._sessions[identifier] = session
        return session

    def _clean(self) -> None:
        """Remove sessions that are old or hold nothing, and what was left half-written."""
        for folder in self.root.iterdir():
            if not _IDENTIFIER.fullmatch(folder.name):
                continue
            described = folder / FILE
            old = time.time() - KEPT_DAYS * 24 * 3600
            used = described.stat().st_mtime if described.is_file() else 0
            empty = False
            with contextlib.suppress(NitalError, KeyError, TypeError, json.JSONDecodeError):
                empty = not read_json(described)["fields"]
            if used < old or empty:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for part in folder.rglob("*.part*"):
                if part.is_file():
                    part.unlink(missing_ok=True)
                else:
                    shutil.rmtree(part, ignore_errors=True)
