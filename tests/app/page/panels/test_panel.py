"""What panels have in common: counts, and texts that are safe in HTML and in attributes."""

from pathlib import Path

import pytest

from nital.app.page.panels.panel import count_of, quoted, table_of
from nital.app.state.field import Field
from nital.app.work.fields import FieldFile


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 micrographs"), (1, "1 micrograph"), (2, "2 micrographs")]
)
def test_micrographs_are_counted(n: int, text: str) -> None:
    field = Field(FieldFile(1, "a.tif", Path("a.tif"), None, None))
    assert count_of([field] * n) == text


def test_an_attribute_can_not_be_left() -> None:
    assert quoted('a" onclick="b\\"') == "a' onclick='b'"


def test_a_table_shows_texts_as_they_are() -> None:
    found = table_of(("phase", "here"), [("<img>", "50 %")])
    assert "<img>" not in found
    assert found == (
        '<table class="nital-table"><tr><th>phase</th><th class="number">here</th></tr>'
        '<tr><td>&lt;img&gt;</td><td class="number">50 %</td></tr></table>'
    )
