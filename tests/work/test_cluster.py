"""The cluster: killed workers cost only time; invalid options are refused at once."""

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from helpers.pictures import write
from helpers.terminal import Nital, nital_alone
from nital.errors import InputError, SettingError
from nital.storage.journal import Journal
from nital.storage.tables import read_json
from nital.work import batch, cluster
from nital.work.batch import Batch, Outcome, find_images, plan_tasks
from nital.work.cluster import ClusterExecutor, executor_of
from nital.work.jobs import KnownModel

N_IMAGES = 12
LOST = "5.tif"
"""The micrograph that kills its worker."""

MISSING = "dask is not installed: pip install 'nital[dask]'"

Work = Callable[..., Outcome]

HOW: dict[str, Any] = {"page": None, "pixel_size": None, "crop_bottom": None}


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster on this machine: a scheduler, and two workers with their nannies."""
    pytest.importorskip("distributed", reason=MISSING)
    if not hasattr(os, "killpg"):
        pytest.skip("this system has no process groups")
    folder = tmp_path_factory.mktemp("cluster")
    known = folder / "scheduler.json"
    local = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(known)]
    alone = ["--nthreads", "1", "--nworkers", "1", "--local-directory", str(folder)]
    started = [start(folder, "scheduler", *local, "--port", "0")]
    try:
        address = str(soon(lambda: known.exists() and read_json(known))["address"])
        started += [start(folder, "worker", *local, *alone) for _ in range(2)]
        with executor_of(1, address) as executor:
            assert executor is not None
            executor._client.wait_for_workers(2, timeout=40)  # type: ignore[attr-defined]
        yield address
    finally:
        for process in reversed(started):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def start(folder: Path, *what: str) -> subprocess.Popen[bytes]:
    """A dask process in its own process group; a task that kills a second worker has failed."""
    settings = {"WORKER_SATURATION": "1.0", "ALLOWED_FAILURES": "1"}
    of_dask = {f"DASK_DISTRIBUTED__SCHEDULER__{key}": value for key, value in settings.items()}
    command = [sys.executable, "-m", "dask", *what]
    with open(folder / f"{what[0]}.log", "ab") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | of_dask,
            start_new_session=True,
            stdout=log,
            stderr=log,
        )


def soon(look: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    pytest.fail(f"not within {seconds} s")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("micrographs")
    for seed in range(N_IMAGES):
        write(folder / f"{seed}.tif", seed)
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model and labels computed without a cluster."""
    out = tmp_path_factory.mktemp("alone") / "out"
    done = nital_alone("batch", folder, "--n-classes", 2, "--exposure", "same", "--out", out)
    assert done.code == 0, done.err
    return out


def finish(folder: Path, out: Path, model: Path, scheduler: str) -> dict[str, Outcome]:
    tasks = plan_tasks(folder, out, find_images(folder, out))
    with executor_of(1, scheduler) as executor:
        found = Batch(tasks, out, KnownModel.read(model), HOW).finish(executor=executor)
    return {each.image: each for each in found}


def journal(out: Path) -> list[tuple[str, str]]:
    rows = Journal(out / "runs.csv", list(Outcome.__dataclass_fields__)).rows
    return sorted((row["image"], row["status"]) for row in rows)


def test_the_command_gives_the_same_bytes(
    folder: Path, alone: Path, scheduler: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)  # the workers have another working directory
    options = ("--n-classes", 2, "--exposure", "same", "--out", "out", "--scheduler", scheduler)
    done = nital_alone("batch", folder, *options)
    assert (done.code, done.err) == (0, "")
    assert f"{N_IMAGES} done" in done.out
    for name in ("model.nital", *(f"{i}/labels.tif" for i in range(N_IMAGES))):
        assert (tmp_path / "out" / name).read_bytes() == (alone / name).read_bytes()
    assert f"{N_IMAGES} kept" in nital_alone("batch", folder, *options).out


def test_a_micrograph_that_kills_its_workers_fails_alone(
    folder: Path, alone: Path, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(given: Any, *, real: Work = batch.label_one, **how: Any) -> Outcome:
        if given[0].name == LOST:
            os.kill(os.getpid(), signal.SIGKILL)  # the nanny starts another worker
        return real(given, **how)

    monkeypatch.setattr(batch, "label_one", deadly)
    found = finish(folder, tmp_path / "out", alone / batch.MODEL, scheduler)
    assert [name for name, each in found.items() if each.status != "done"] == [LOST]
    assert "a worker was killed" in found[LOST].reason
    rows = journal(tmp_path / "out")
    assert len(rows) == len(set(rows)) == N_IMAGES


def test_what_a_killed_worker_had_is_done_by_another(
    folder: Path, alone: Path, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag, out = tmp_path / "killed", tmp_path / "out"

    def killed_once(given: Any, *, real: Work = batch.label_one, **how: Any) -> Outcome:
        outcome = real(given, **how)
        if given[0].name == LOST and not flag.exists():
            flag.touch()
            os.killpg(0, signal.SIGKILL)  # with its nanny, as if the machine were lost
        return outcome

    monkeypatch.setattr(batch, "label_one", killed_once)
    found = finish(folder, out, alone / batch.MODEL, scheduler)
    assert flag.exists()
    assert {each.status for each in found.values()} == {"done"}
    assert journal(out) == sorted((f"{i}.tif", "done") for i in range(N_IMAGES))
    for i in range(N_IMAGES):
        name = f"{i}/labels.tif"
        assert (out / name).read_bytes() == (alone / name).read_bytes()
    rows = pyarrow.parquet.read_table(out / batch.TABLE).to_pylist()
    expected = sorted((f"{i}.tif", number) for i in range(N_IMAGES) for number in (1, 2))
    assert sorted((row["image"], row["class"]) for row in rows) == expected


def test_errors_of_the_work_come_as_they_are(scheduler: str) -> None:
    with executor_of(1, scheduler) as executor:
        assert executor is not None
        assert list(executor.map(divmod, (7, 8), (2, 3))) == [(3, 1), (2, 2)]
        with pytest.raises(ZeroDivisionError):
            list(executor.map(divmod, (7, 8), (2, 0)))


def test_two_runs_are_never_taken_for_one(scheduler: str, tmp_path: Path) -> None:
    counted = tmp_path / "counted"

    def count(given: str) -> int:
        with open(counted, "a") as file:
            file.write(given)
        return len(counted.read_text())

    for expected in (1, 2):
        with executor_of(1, scheduler) as executor:
            assert executor is not None
            assert executor.submit(count, "x").result(timeout=30) == expected


def test_a_worker_killed_for_good_is_told_without_a_traceback(scheduler: str) -> None:
    def deadly(given: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def use() -> None:
        with executor_of(1, scheduler) as executor:
            assert executor is not None
            list(executor.map(deadly, [1]))

    with pytest.raises(InputError, match="a worker was killed"):
        use()


class Gone:
    """The client of a scheduler that is gone."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.cancel()
        return future


def test_a_scheduler_that_is_gone_stops_the_batch() -> None:
    pytest.importorskip("distributed", reason=MISSING)
    with pytest.raises(InputError, match="the Dask scheduler is gone"):
        ClusterExecutor(Gone()).submit(int).result()


def test_one_worker_is_this_process_and_several_are_processes() -> None:
    with executor_of(1) as executor:
        assert executor is None
    with executor_of(2) as executor:
        assert isinstance(executor, ProcessPoolExecutor)


def test_a_scheduler_that_does_not_answer_is_told_soon(
    nital: Nital, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason=MISSING)
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        start = time.monotonic()
        done = nital("batch", folder, "--out", tmp_path / "out", "--scheduler", address)
    assert time.monotonic() - start < 20
    assert done.code == 2
    assert f"--scheduler {address}: no Dask scheduler answers" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["", "odd://here", "tcp://127.0.0.1", "127.0.0.1:port"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    pytest.importorskip("distributed", reason=MISSING)
    with pytest.raises(InputError, match="check the address"), executor_of(1, address):
        pass
    # A client that never ran waits, when it is collected, for a lock of the one that starts.
    gc.collect()


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(SettingError, match=r"pip install 'nital\[dask\]'"),
        executor_of(1, "tcp://127.0.0.1:8786"),
    ):
        pass


@pytest.mark.parametrize(
    ("workers", "scheduler"), [(0, None), (-1, None), (2, "tcp://127.0.0.1:8786")]
)
def test_what_can_not_be_is_refused(workers: int, scheduler: str | None) -> None:
    with (
        pytest.raises(SettingError, match=f"--workers {workers}: "),
        executor_of(workers, scheduler),
    ):
        pass
