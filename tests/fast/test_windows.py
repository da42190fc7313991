"""Windows: blocks that cover an image."""

from hypothesis import given
from hypothesis import strategies as st

from nital.fast import windows
from nital.fast.windows import blocks


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_blocks_cover_every_pixel_once_and_are_small(rows: int, cols: int) -> None:
    found = blocks((rows, cols))
    area = 0
    for window in found:
        height, width = (part.stop - part.start for part in window)
        assert 0 < height <= windows.BLOCK_SIDE
        assert 0 < width <= windows.BLOCK_SIDE
        area += height * width
    assert area == rows * cols
    assert len({(window[0].start, window[1].start) for window in found}) == len(found)
