"""Lengths: numbers with their units, and invalid ones."""

import pytest

from nital.errors import InputError
from nital.image.lengths import parse_length


@pytest.mark.parametrize(
    ("text", "size"),
    [("0.25um", 0.25), ("250nm", 0.25), ("1e-3 mm", 1.0), ("0.5 µm", 0.5), ("0.5μm", 0.5)],
)
def test_pixel_size(text: str, size: float) -> None:
    assert parse_length(text) == pytest.approx(size)


@pytest.mark.parametrize(
    "text",
    ["", "0.25", "um", "-1um", "0um", "1inch", "nanum", "infum", "1e400um", "1,5um", "1 2um"],
)
def test_bad_pixel_size(text: str) -> None:
    with pytest.raises(InputError, match=r"0\.25um or 250nm"):
        parse_length(text)
