"""A clock for the stages of a segmentation."""

import time


class Clock:
    """Wall-clock seconds of the successive stages of a segmentation."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage, which began when the previous one ended."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now
