"""The record of how a result was made, line by line."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from nital.output.numbers import percent, quantity


class Entry(NamedTuple):
    """A line of the record of how a result was made."""

    group: str
    label: str
    text: str


# --- lines ----------------------------------------------------------------------------------------


def record(summary: dict[str, Any], merged: dict[str, Any] | None) -> Iterator[Entry]:
    """Yield the lines of the record."""
    yield from (Entry("Micrograph", *line) for line in _micrograph_lines(summary))
    for name, value in summary["settings"].items():
        yield Entry("Settings", name, "–" if value is None else str(value))
    yield from (Entry("Run", *line) for line in _run_lines(summary))
    if merged is not None:
        for row in merged["phases"]:
            members = ", ".join(map(str, row["fine_classes"]))
            yield Entry("Fine classes assigned by hand", row["phase"], members)
    model = summary.get("model")
    if model is not None:
        yield Entry("Model", "file", model["path"])
        yield Entry("Model", "SHA-256", model["sha256"])
        exposures = {"same": "same for all", "each": "normalised, micrograph by micrograph"}
        yield Entry("Model", "exposure", exposures.get(model["exposure"], model["exposure"]))
        yield Entry("Model", "fitted to", f"{model['n_images']} micrographs")
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    yield Entry("Software", "versions", versions)


def _micrograph_lines(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield label and text of each property of the micrograph."""
    rows, cols = summary["shape"]
    size = summary["pixel_size_um"]
    yield "file", summary["image"]
    if summary["page"] is not None:
        yield "page", str(summary["page"])
    yield "SHA-256", summary["sha256"] or "none: a folder (OME-Zarr), not a single file"
    yield "size", f"{cols:,} × {rows:,} pixels (width × height)"
    yield "pixel size", "unknown: lengths are in pixels (px)" if size is None else f"{size:g} µm"
    yield "rows cropped at the bottom", f"{summary['cropped_bottom']:,}"
    yield "excluded area", percent(summary["excluded_fraction"])
    yield "values of black and white", " and ".join(f"{each:g}" for each in summary["full_scale"])


def _run_lines(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield label and text of each property of the run."""
    yield "classes asked for", str(summary["n_classes_asked"])
    yield "classes found", str(summary["n_classes"])
    for key, label in (
        ("n_superpixels", "superpixels"),
        ("iterations", "iterations"),
        ("stop_reason", "training ended by"),
    ):
        if summary.get(key) is not None:
            yield label, str(summary[key])
    for row in summary.get("n_classes_by_F", ()):
        mean = quantity(row["F"], 4)
        decimals = len(mean.partition(".")[2])
        spread = "" if row["F_std"] is None else f" ± {row['F_std']:,.{decimals}f}"
        yield f"mean F of {row['n_classes']} classes", mean + spread
