"""The progress: how long a stage will still take, in words."""

import pytest

from nital.app.page.progress import time_left
from nital.app.work.live import Stage


@pytest.mark.parametrize(
    ("done", "spent", "text"),
    [
        (None, 10, ""),
        (0, 10, ""),
        (0.5, 0.9, ""),
        (0.25, 10, "25 %, 30 s left"),
        (0.1, 9.9, "10 %, 89 s left"),
        (0.1, 60, "10 %, 9 min left"),
        (1, 10, "100 %, 0 s left"),
    ],
)
def test_time_left_is_shown_once_it_can_be_estimated(
    done: float | None, spent: float, text: str
) -> None:
    assert time_left(Stage("labelling", done), spent) == text


def test_what_may_end_early_has_an_upper_limit() -> None:
    assert time_left(Stage("training", 0.5, may_end_early=True), 20) == "at most 20 s left"
