"""Speed and memory: fast mode, paper mode and a naive transcription, side by side.

    python benchmarks/speed.py                    some 10 minutes on two cores
    python benchmarks/speed.py --naive-to-its-stop [MICROGRAPH...] [--limit N]
                                                  another 5 to 100 each: the naive loop to its end
    python benchmarks/speed.py --huge             another 15: images of 400 megapixels, once each

Whole runs are processes of their own, from the file to the files, the start of the interpreter
included; the median of three, after one that warms the disk's cache. The micrographs are synthetic:
one of 1000 x 1000 pixels, and tiles of it turned and shifted. docs/performance.md explains the
tables.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from naive import train as train_naively
from nital.image.micrograph import Micrograph
from nital.image.ome_zarr import write_ome_zarr_labels
from nital.image.synthetic import synthesize
from nital.paper.batches import WholeImage
from nital.paper.network import Network
from nital.paper.settings import PAPER
from nital.paper.superpixels import find_superpixels
from nital.paper.training import train
from nital.result.criteria import evaluate

SIDES = (500, 1000, 2000, 4000)
HUGE_SIDE = 20_000
ITERATION_SIDES = (256, 512, 1000)
WARM_UP, ITERATIONS = 2, 3
ROUNDS = 3
STAGES = ("preparation", "clustering", "labels")

console = Console(width=140)


def micrograph(side: int) -> NDArray[np.uint8]:
    """A synthetic steel of three constituents, (side, side)."""
    fractions = {"ferrite": 0.5, "pearlite": 0.3, "martensite": 0.2}
    grey = np.clip(synthesize((1000, 1000), fractions, seed=1).image, 0, 1)
    base = np.round(255 * (grey if grey.ndim == 2 else grey[..., 0])).astype(np.uint8)
    rng = np.random.default_rng(0)
    n = -(-side // 1000)
    rows = [
        [
            np.rot90(np.roll(base, int(rng.integers(1000)), 1), int(rng.integers(4)))
            for _ in range(n)
        ]
        for _ in range(n)
    ]
    return np.ascontiguousarray(np.block(rows)[:side, :side])


LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
used = time.perf_counter() - start, usage.ru_maxrss / 2**20, os.waitstatus_to_exitcode(status)
print(json.dumps(used), file=sys.stderr)
"""


def process(*command: str) -> tuple[float, float, str]:
    """Seconds, peak memory in GB and output of one process.

    Started by a small one in between: the system counts what the parent held as the child's.
    """
    launch = (sys.executable, "-c", LAUNCHER, *command)
    done = subprocess.run(launch, capture_output=True, text=True, check=True)
    taken, peak, code = json.loads(done.stderr)
    if code:
        raise RuntimeError(f"{' '.join(command)}: exit code {code}")
    return taken, peak, done.stdout


def nital(*arguments: str) -> tuple[float, float, dict[str, Any]]:
    seconds, peak, out = process(sys.executable, "-m", "nital", *arguments, "--json", "--force")
    return seconds, peak, json.loads(out)


def sgemm_rate() -> float:
    """GFLOP/s of the machine's own product of two 2048 x 2048 matrices; median of nine."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    taken = [seconds(lambda: a @ b) for _ in range(10)][1:]
    return 2 * 2048**3 / statistics.median(taken) / 1e9


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def side_by_side(calls: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that a busy machine slows them alike."""
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    return {name: statistics.median(values) for name, values in taken.items()}


def whole_runs(folder: Path) -> Table:
    """Fast mode over sizes, in processes of their own."""
    table = Table(
        *("pixels", "whole, s", *STAGES, "peak, GB"),
        title="Fast mode, n_classes = 3, file to files",
    )
    for side in SIDES:
        image = folder / f"{side}.tif"
        tifffile.imwrite(image, micrograph(side))
        command = ("segment", str(image), "--n-classes", "3", "--out", str(folder / "out"))
        nital(*command)
        runs = sorted((nital(*command) for _ in range(ROUNDS)), key=lambda run: run[0])
        whole, peak, summary = runs[ROUNDS // 2]
        stages = (f"{summary['seconds'][name]:.2f}" for name in STAGES)
        table.add_row(f"{side} x {side}", f"{whole:.1f}", *stages, f"{peak:.2f}")
    return table


def naive_iterations(
    image: NDArray[np.float32], superpixels: NDArray[np.int64], on_step: Callable[..., None]
) -> None:
    train_naively(
        image, superpixels, n_classes=0, max_iterations=WARM_UP + ITERATIONS, on_step=on_step
    )


def paper_iterations(
    image: NDArray[np.float32], superpixels: NDArray[np.int64], on_step: Callable[..., None]
) -> None:
    list(
        train(
            Network(n_filters=PAPER.n_filters, n_responses=PAPER.n_responses, seed=0),
            WholeImage(image, superpixels, np.zeros(superpixels.shape, bool), torch.device("cpu")),
            [0],
            max_iterations=WARM_UP + ITERATIONS,
            learning_rate=PAPER.learning_rate,
            momentum=PAPER.momentum,
            on_step=on_step,
        )
    )


def iterations() -> Table:
    """Paper mode's own loop against the naive one, an iteration; the first still fetch memory."""
    table = Table(
        *("image", "superpixels", "naive, s", "paper mode, s", "ratio"),
        title=f"Paper mode, an iteration after the first {WARM_UP}, taking turns in one process",
    )
    for side in ITERATION_SIDES:
        image = Micrograph.from_array(micrograph(side)).pixels
        superpixels = find_superpixels(image)
        taken: list[list[float]] = [[], []]
        for _ in range(ROUNDS):
            for run, own in zip((naive_iterations, paper_iterations), taken, strict=True):
                ends: list[float] = []
                run(image, superpixels, lambda *_, ends=ends: ends.append(time.perf_counter()))
                own += [end - start for start, end in pairwise(ends[WARM_UP - 1 :])]
        slow, quick = map(statistics.median, taken)
        table.add_row(
            f"{side} x {side}",
            f"{superpixels.max() + 1:,}",
            f"{slow:.3f}",
            f"{quick:.3f}",
            f"{slow / quick:.2f}",
        )
    return table


def starts() -> str:
    python = sys.executable
    commands = {
        "python -c pass": (python, "-c", "pass"),
        "import nital": (python, "-c", "import nital"),
        "nital --help": (python, "-m", "nital", "--help"),
    }
    taken = {
        name: statistics.median(process(*command)[0] for _ in range(9))
        for name, command in commands.items()
    }
    return ", ".join(f"{name} {value:.2f} s" for name, value in taken.items())


def criteria() -> Table:
    rng = np.random.default_rng(0)
    colour = rng.random((1000, 1000, 3), dtype=np.float32)
    labels = rng.integers(1, 4, (1000, 1000)).astype(np.uint8)
    taken = side_by_side(
        {
            "colour, 3 classes": lambda: evaluate(colour, labels),
            "grey, 3 classes": lambda: evaluate(colour[..., 0], labels),
            "colour, 600,000 components": lambda: evaluate(colour, labels, regions="components"),
        }
    )
    table = Table("1000 x 1000", "ms", title="F, F' and Q together")
    for name, value in taken.items():
        table.add_row(name, f"{1000 * value:.0f}")
    return table


def to_its_stop(folder: Path, images: list[Path], limit: int) -> Table:
    """Naive loop and fast mode, file to files, each to its own stop, or to the limit."""
    table = Table(
        *("micrograph", "naive, s", "iterations", "peak, GB", "fast mode, s", "ratio"),
        title="Each to its own stop, file to files, n_classes = 3",
    )
    script, out = str(Path(__file__).with_name("naive.py")), str(folder / "out")
    for image in images:
        naive = (script, str(image), str(folder / "naive.png"), "--max-iterations", str(limit))
        slow, peak, told = process(sys.executable, *naive)
        quick = statistics.median(
            nital("segment", str(image), "--n-classes", "3", "--out", out)[0] for _ in range(ROUNDS)
        )
        table.add_row(
            image.stem,
            f"{slow:.0f}",
            "{iterations}, {classes} classes left".format(**json.loads(told)),
            f"{peak:.1f}",
            f"{quick:.1f}",
            f"{slow / quick:.0f}",
        )
    return table


def huge(folder: Path) -> Table:
    """400 megapixels, file to files, once each."""
    table = Table(*("kind", "whole, s", *STAGES, "peak, GB"), title="20,000 x 20,000")
    pixels = micrograph(HUGE_SIDE)
    image = folder / "huge.tif"
    for kind, options in (
        ("tiles of 512, zlib", {"tile": (512, 512), "compression": "zlib"}),
        ("strips, not compressed", {"rowsperstrip": 64}),
        ("strips, LZW", {"rowsperstrip": 64, "compression": "lzw"}),
        ("OME-Zarr", None),
    ):
        if options is None:
            image = folder / "huge.ome.zarr"
            write_ome_zarr_labels(image, pixels, np.zeros((0, 3), np.uint8), None)
        else:
            tifffile.imwrite(image, pixels, bigtiff=True, **options)
        whole, peak, summary = nital("segment", str(image), "--out", str(folder / "out"))
        stage = summary["seconds"]
        table.add_row(
            kind,
            f"{whole:.0f}",
            *(f"{stage[each]:.1f}" for each in STAGES),
            f"{peak:.2f}",
        )
    return table


def processor() -> str:
    """Its name, where the system tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if platform.system() == "Linux" else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--naive-to-its-stop", type=Path, nargs="*", metavar="MICROGRAPH")
    parser.add_argument("--limit", type=int, default=500, help="iterations of the naive loop")
    parser.add_argument("--huge", action="store_true")
    given = parser.parse_args()
    console.print(
        f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads;"
        f" torch {torch.__version__}, numpy {np.__version__}; sgemm {sgemm_rate():.0f} GFLOP/s;"
        f" medians of {ROUNDS}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        console.print(starts())
        console.print(whole_runs(folder))
        console.print(iterations())
        console.print(criteria())
        if given.huge:
            console.print(huge(folder))
        if given.naive_to_its_stop is not None:
            console.print(
                to_its_stop(folder, [folder / "1000.tif", *given.naive_to_its_stop], given.limit)
            )


if __name__ == "__main__":
    main()
