"""The device that computes: selection, threads, and reproducible sums."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nital.errors import SettingError


def resolve_device(name: str) -> torch.device:
    """The device of this name; `auto` is the first of cuda, mps and cpu that is available.

    Raises
    ------
    SettingError
        If the device is not available.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, present in there.items() if present)
    if not there.get(name, False):
        present = ", ".join(device for device, present in there.items() if present)
        raise SettingError(f"device {name!r}: not on this machine; use one of auto, {present}")
    return torch.device(name)


@contextmanager
def repeatable(device: str, threads: int | None) -> Iterator[None]:
    """Fix what could alter the order of sums from run to run, and restore it afterwards.

    On CUDA, products may round their inputs to TF32.
    """
    precision = torch.get_float32_matmul_precision()
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        with (
            using_threads(threads or torch.get_num_threads()),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=True
            ),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


@contextmanager
def using_threads(n: int) -> Iterator[None]:
    """Let torch use `n` CPU threads, in the whole process, and restore its number afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
