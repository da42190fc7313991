"""Throughput of a batch on a Dask cluster of one and two workers, and what a task costs by itself.

    python benchmarks/cluster.py [--micrographs 200] [--side 256]

Scheduler and workers run on this machine, as processes of their own with one thread each. The model
is fitted beforehand, and a few micrographs are labelled first, so that the workers have loaded what
they need. `empty` is the time of a task that does nothing, of 2000. docs/cluster.md has the table.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from rich.console import Console
from rich.table import Table

from nital.fast.settings import FastSettings
from nital.image.synthetic import synthesize
from nital.work.batch import Batch, find_images, fit_batch, plan_tasks
from nital.work.cluster import executor_of
from nital.work.jobs import KnownModel

HOW = {"page": None, "pixel_size": None, "crop_bottom": None}
N_MADE, N_EMPTY, N_FITTED = 10, 2000, 10


@contextmanager
def cluster(n_workers: int, folder: Path) -> Iterator[str]:
    """The address of a scheduler whose workers have joined."""
    known = folder / f"scheduler-{n_workers}.json"
    local = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(known)]
    with open(folder / "log", "ab") as log:

        def start(*what: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "dask", *what, *local]
            return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

        os.environ["DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION"] = "1.0"
        started = [start("scheduler", "--port", "0")]
        alone = ("--nthreads", "1", "--nworkers", "1")
        started += [start("worker", *alone) for _ in range(n_workers)]
        try:
            while not known.exists():
                time.sleep(0.1)
            address = json.loads(known.read_text())["address"]
            with executor_of(1, address) as executor:
                executor._client.wait_for_workers(n_workers)
            yield address
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()


def label(folder: Path, out: Path, model: KnownModel, executor: Executor | None) -> float:
    """Seconds for all micrographs but the first few, which are done before."""
    images = find_images(folder, out)
    tasks = plan_tasks(folder, out, images)
    Batch(tasks[:N_MADE], out, model, HOW).finish(executor=executor)
    start = time.perf_counter()
    Batch(tasks, out, model, HOW).finish(executor=executor)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--micrographs", type=int, default=200)
    parser.add_argument("--side", type=int, default=256)
    given = parser.parse_args()
    table = Table("who works", "whole, s", "micrographs/s", "ms a micrograph", "empty, ms a task")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        folder = root / "in"
        folder.mkdir()
        for seed in range(N_MADE):
            made = synthesize((given.side, given.side), grain_size=28, seed=seed)
            grey = np.round(255 * np.clip(made.image, 0, 1)).astype(np.uint8)
            for i in range(seed, given.micrographs + N_MADE, N_MADE):
                tifffile.imwrite(folder / f"{i:05}.tif", np.roll(grey, i, axis=1))
        images = find_images(folder, root / "out")[:N_FITTED]
        settings = FastSettings(n_classes=2)
        model = fit_batch(images, root / "model", settings, exposure="same")

        def add(name: str, seconds: float, empty: float | None) -> None:
            each = seconds / given.micrographs
            cost = "" if empty is None else f"{1000 * empty:.1f}"
            table.add_row(name, f"{seconds:.1f}", f"{1 / each:.1f}", f"{1000 * each:.0f}", cost)

        add("this process, no dask", label(folder, root / "0", model, None), None)
        for n_workers in (1, 2):
            with cluster(n_workers, root) as address, executor_of(1, address) as executor:
                seconds = label(folder, root / str(n_workers), model, executor)
                start = time.perf_counter()
                assert sum(executor.map(abs, range(N_EMPTY))) == N_EMPTY * (N_EMPTY - 1) // 2
                empty = (time.perf_counter() - start) / N_EMPTY
            add(f"{n_workers} worker{'s'[: n_workers - 1]}", seconds, empty)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
