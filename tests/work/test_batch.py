"""The batch: finished work is kept, missing or changed work is done, batches are never mixed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from helpers.pictures import write
from nital.errors import InputError, OutputError
from nital.fast.settings import FastSettings
from nital.storage.tables import read_json
from nital.work import batch
from nital.work.batch import Batch, Outcome, find_images, fit_batch, plan_tasks
from nital.work.jobs import KnownModel

pytestmark = pytest.mark.usefixtures("two_views")

HOW: dict[str, Any] = {"page": None, "pixel_size": None, "crop_bottom": None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three micrographs, two with the same name, and a file that is not a micrograph."""
    for seed, name in enumerate(("a.tif", "ü b/a.tif", "ü b/c d.tif")):
        write(tmp_path / "in" / name, seed)
    (tmp_path / "in" / "notes.txt").write_text("x")
    return tmp_path / "in"


def fitted(folder: Path, out: Path) -> KnownModel:
    images = find_images(folder, out)
    return fit_batch(images, out, FastSettings(n_classes=2), exposure="same")


def begin(folder: Path, out: Path, **more: Any) -> Batch:
    images = find_images(folder, out)
    return Batch(plan_tasks(folder, out, images), out, fitted(folder, out), HOW, **more)


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {each.image: each.status for each in outcomes}


def test_every_micrograph_gets_a_folder_in_the_same_sub_folders(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = begin(folder, out).finish()
    assert statuses(found) == dict.fromkeys(("a.tif", "ü b/a.tif", "ü b/c d.tif"), "done")
    for name in ("a", "ü b/a", "ü b/c d"):
        assert read_json(out / name / "summary.json")["n_classes"] == 2


def test_twins_are_told_apart_by_their_suffix(tmp_path: Path) -> None:
    images = [tmp_path / name for name in ("a.png", "a.tif", "b.tif")]
    tasks = plan_tasks(tmp_path, tmp_path / "out", images)
    assert [task.folder.name for task in tasks] == ["a.png", "a.tif", "b"]


def test_the_table_has_a_row_for_each_class_of_each_micrograph(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    begin(folder, out).finish()
    rows = pyarrow.parquet.read_table(out / "results.parquet").to_pylist()
    assert len(rows) == 6
    for image in {row["image"] for row in rows}:
        shares = [row["area_fraction"] for row in rows if row["image"] == image]
        assert sum(shares) == pytest.approx(1)
    assert all(0 <= row["uncertainty"] < 0.5 for row in rows)


def test_what_is_done_is_kept(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    begin(folder, out).finish()
    before = (out / "a" / "labels.tif").stat().st_mtime_ns
    found = begin(folder, out).finish()
    assert set(statuses(found).values()) == {"kept"}
    assert (out / "a" / "labels.tif").stat().st_mtime_ns == before


def test_only_what_is_missing_new_or_changed_is_done(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    begin(folder, out).finish()
    write(folder / "ü b" / "a.tif", seed=7)
    write(folder / "new.tif", seed=8)
    (out / "ü b" / "c d" / "summary.json").unlink()
    found = statuses(begin(folder, out).finish())
    assert found.pop("a.tif") == "kept"
    assert set(found.values()) == {"done"}
    summary = read_json(out / "ü b" / "a" / "summary.json")
    assert (
        summary["sha256"]
        == batch.hashlib.sha256((folder / "ü b" / "a.tif").read_bytes()).hexdigest()
    )


def test_a_bad_file_does_not_stop_the_rest_and_is_tried_again(folder: Path, tmp_path: Path) -> None:
    out, bad = tmp_path / "out", folder / "bad.tif"
    bad.write_bytes((folder / "a.tif").read_bytes()[:300])
    found = begin(folder, out).finish()
    assert statuses(found)["bad.tif"] == "failed"
    assert next(each.reason for each in found if each.reason).startswith(str(bad))
    assert list(statuses(found).values()).count("done") == 3
    write(bad, seed=5)
    assert statuses(begin(folder, out).finish())["bad.tif"] == "done"


def test_an_unexpected_error_is_a_failure_of_that_file_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = begin(folder, tmp_path / "out")
    real = batch.segment_file

    def breaking(image: Path, *rest: Any, **how: Any) -> Any:
        if image.name == "c d.tif":
            raise ZeroDivisionError("odd")
        return real(image, *rest, **how)

    monkeypatch.setattr(batch, "segment_file", breaking)
    found = {each.image: each for each in work.finish()}
    assert found["ü b/c d.tif"].reason == "unexpected: ZeroDivisionError: odd"
    assert found["a.tif"].status == "done"


def test_another_model_or_other_settings_are_never_mixed_in(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    begin(folder, out).finish()
    images = find_images(folder, out)
    other = fit_batch(images, tmp_path / "other", FastSettings(n_classes=3), exposure="same")
    tasks = plan_tasks(folder, out, images)
    with pytest.raises(OutputError, match=r"holds another study .model "):
        Batch(tasks, out, other, HOW)
    with pytest.raises(OutputError, match=r"holds another study .pixel_size None there, 0\.5 now"):
        Batch(tasks, out, fitted(folder, out), HOW | {"pixel_size": 0.5})
    with pytest.raises(
        OutputError, match=r"model\.nital: has n_classes 2, not 3; use it with --model "
    ):
        fit_batch(images, out, FastSettings(n_classes=3), exposure="same")
    found = Batch(tasks, out, other, HOW, force=True).finish()
    assert set(statuses(found).values()) == {"done"}


def test_the_model_is_fitted_to_what_can_be_read(folder: Path, tmp_path: Path) -> None:
    (folder / "bad.tif").write_bytes(b"II*\0")
    assert fitted(folder, tmp_path / "out").n_images == 3
    for path in folder.rglob("*.tif"):
        path.write_bytes(b"II*\0")
    with pytest.raises(InputError, match="damaged"):
        fitted(folder, tmp_path / "other")


def test_executors_give_the_same_result(folder: Path, tmp_path: Path) -> None:
    begin(folder, tmp_path / "one").finish()
    with ThreadPoolExecutor(2) as executor:
        begin(folder, tmp_path / "two").finish(executor=executor)
    for name in ("a", "ü b/a", "ü b/c d"):
        one, two = ((tmp_path / each / name / "labels.tif") for each in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


class Dying(Executor):
    """Kills its worker at the second task."""

    def submit(self, work: Any, /, *given: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if given[0][0].name == "a.tif":
            future.set_result(work(*given, **more))
        else:
            future.set_exception(BrokenProcessPool("killed"))
        return future


def test_tasks_of_a_killed_worker_fail_and_are_done_the_next_time(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = begin(folder, out).finish(executor=Dying())
    assert sorted(statuses(found).values()) == ["done", "failed", "failed"]
    assert all("start the batch again" in each.reason for each in found if each.reason)
    assert sorted(statuses(begin(folder, out).finish()).values()) == ["done", "done", "kept"]


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")
def test_killed_in_the_middle_it_goes_on(folder: Path, tmp_path: Path) -> None:
    for seed in range(12):
        write(folder / f"more {seed}.tif", seed + 20)
    out = tmp_path / "out"
    fitted(folder, out)
    command = [sys.executable, "-m", "nital", "batch", str(folder), "--out", str(out)]
    command += ["--model", str(out / "model.nital")]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        for _ in until(60):
            if (out / "runs.csv").exists() and (out / "runs.csv").read_text().count("done") > 1:
                break
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    n_done = (out / "runs.csv").read_text().count("done")
    found = list(statuses(begin(folder, out).finish()).values())
    assert found.count("kept") == n_done
    assert found.count("done") == 15 - n_done
    assert not list(out.rglob("*.part"))[1:]  # at most what the killed process was writing


def until(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        yield
        time.sleep(0.01)
    pytest.fail(f"not within {seconds} s")


def test_a_full_disk_is_a_failure_and_leaves_no_half_result(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    work = begin(folder, out)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nital.output.results.write_json", full)
    found = work.finish()
    assert set(statuses(found).values()) == {"failed"}
    assert "No space left" in found[0].reason
    assert not list(out.rglob("labels.tif"))


def test_folders_without_micrographs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        find_images(tmp_path / "none", tmp_path / "out")
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="no micrograph"):
        find_images(tmp_path / "in", tmp_path / "out")


def test_results_and_hidden_files_are_no_micrographs(folder: Path) -> None:
    write(folder / ".hidden.tif")
    write(folder / "out" / "a" / "labels.tif")
    names = [path.name for path in find_images(folder, folder / "out")]
    assert sorted(names) == ["a.tif", "a.tif", "c d.tif"]
    assert len(find_images(folder, folder / "out", "c*")) == 1
