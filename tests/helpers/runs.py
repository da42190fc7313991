"""Finished runs, with figures that are easy to add up."""

from dataclasses import replace

from nital.work.runs import Run


def run(n_classes: int = 2, seed: int = 0, f: float = 1.0, **change: object) -> Run:
    made = Run(n_classes, 20.0, 100, seed, n_classes, 5, "n_classes", f, 2 * f, 3 * f, 0.1)
    return replace(made, **change)  # type: ignore[arg-type]
