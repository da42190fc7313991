"""The decide panel in a real browser: the slider, clicks, names, fine classes one by one."""

import re
import time
from typing import TYPE_CHECKING

import pytest

from helpers.browser import SCREEN
from helpers.visitor import Visitor
from nital.output.render import PALETTE

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_the_slider_moves_no_pixels(decider: Visitor) -> None:
    visitor = decider
    visitor.look("Classes")
    before = {3: visitor.rows(3)}
    visitor.sees(before[3])
    asked = visitor.tiles()
    slider = visitor.page.get_by_role("slider", name="Number of classes")
    slider.locator(".q-slider__track-container").focus()
    for key, k in (("ArrowRight", 4), ("ArrowRight", 5), ("ArrowLeft", 4), ("ArrowLeft", 3)):
        visitor.page.keyboard.press(key)
        rows = visitor.rows(k)
        visitor.sees(rows)
        assert rows == before.setdefault(k, rows)
        assert slider.get_attribute("aria-valuenow") == str(k)
    assert len({row.colour for row in before[5]}) == 5
    for key, k in (("z", 4), ("z", 5), ("z", 4), ("y", 5), ("Shift+Z", 4), ("z", 5)):
        visitor.page.keyboard.press(f"Control+{key}")
        visitor.sees(visitor.rows(k))
        assert visitor.rows(k) == before[k]
    for k in (4, 3):
        visitor.button("Undo (Ctrl+Z)").click()
        assert visitor.rows(k) == before[k]
    visitor.page.locator("button[aria-label^=Undo][disabled]").wait_for()
    assert asked == []


def test_clicks_join_and_the_menu_splits(decider: Visitor) -> None:
    visitor = decider
    visitor.look("Classes")
    rows = visitor.rows(3)
    visitor.sees(rows)
    visitor.click_on(rows[0])
    visitor.reads("class 1 is lit up: click another class to join it to this one")
    assert visitor.button("Light up class 1").get_attribute("aria-pressed") == "true"
    other = visitor.page.mouse
    visitor.page.keyboard.press("Escape")
    visitor.page.get_by_role("button", name="Light up class 1", pressed=False).wait_for()
    visitor.sees(rows)

    places = [visitor.point_of(row.colour) for row in rows]
    other.click(*places[0])
    visitor.reads("class 1 is lit up")
    assert {row.colour for row in rows}.isdisjoint(visitor.shares())
    other.click(*places[2])
    visitor.reads("class 3 joined to class 1")
    joined = visitor.rows(2)
    assert sum(float(row.share[:-2]) for row in joined) == pytest.approx(100, abs=0.011)
    assert {rows[0].colour, rows[1].colour} == {row.colour for row in joined}
    visitor.sees(joined)

    (large,) = (i for i, row in enumerate(joined, start=1) if row.colour == rows[0].colour)
    visitor.choose_from_menu(f"class {large}", "Split in two")
    split = visitor.rows(3)
    assert len({row.colour for row in split}) == 3
    visitor.sees(split)

    unused = next(colour for colour in PALETTE if colour not in {row.colour for row in split})
    visitor.button("Colour of class 2").click()
    visitor.button(unused).click()
    visitor.button(unused).wait_for(state="hidden")
    visitor.wait(
        """colour => [...document.querySelectorAll('[aria-label^="Colour of"]')]
            .some(each => getComputedStyle(each).backgroundColor === colour)""",
        "rgb({}, {}, {})".format(*bytes.fromhex(unused[1:])),
    )
    recoloured = visitor.rows(3)
    assert recoloured[1].colour == unused
    visitor.sees(recoloured)


def test_fine_classes_are_assigned_by_keys(decider: Visitor) -> None:
    visitor = decider
    press = visitor.page.keyboard.press
    visitor.assign.click()
    place = visitor.page.get_by_text("what is lit up")
    visitor.reads("Fine class 1 of")
    press("Escape")
    assert len(visitor.rows(3)) == 3
    visitor.assign.click()
    visitor.reads("Fine class 1 of")
    count = int(re.findall(r"of (\d+)", place.inner_text())[0])
    bar = visitor.page.locator(".nital-viewer-scale i")
    zoomed = bar.bounding_box()
    visitor.canvas.click(position={"x": 300, "y": 300})  # it has the focus, and digits of its own
    assigned: dict[str, float] = {}
    start = time.monotonic()
    for i in range(1, count + 1):
        visitor.reads(f"Fine class {i} of {count}")
        key = "n" if i == 1 else "4" if i == 3 else "12"[i % 2]
        share = float(re.findall(r"([\d.]+) %", place.inner_text())[0])
        slot = "4" if key == "n" else key
        assigned[slot] = assigned.get(slot, 0) + share
        press(key)
    rows = visitor.rows(3)  # the third phase was left empty
    took = time.monotonic() - start
    print(f"{count} fine classes assigned in {took:.1f} s")
    assert bar.bounding_box() == zoomed
    assert took < count  # a second each; a person takes two to look
    shares = [float(row.share[:-2]) for row in rows]
    assert sum(shares) == pytest.approx(100, abs=0.016)
    assert sorted(shares) == pytest.approx(sorted(assigned.values()), abs=0.005 * (count + 1))
    visitor.look("Classes")
    visitor.sees(rows)


def test_fine_classes_are_assigned_only_where_nothing_else_has_changed(
    browser: "Browser", decider: Visitor, address: str
) -> None:
    """Another tab, a redo, and a key of a French keyboard come in between."""
    visitor, press = decider, decider.page.keyboard.press
    visitor.assign.click()
    visitor.reads("Fine class 1 of")
    visitor.page.evaluate("window.dispatchEvent(new KeyboardEvent('keydown', {key: '²'}))")
    press("n")
    visitor.reads("Fine class 2 of")
    press("Control+z")
    visitor.reads("Fine class 1 of")
    press("Control+y")  # an assignment can't be made again
    press("1")
    visitor.reads("Fine class 2 of")
    visitor.button("Undo (Ctrl+Z)").click()
    visitor.reads("Fine class 1 of")
    visitor.button("New phase").click()
    visitor.reads("Fine class 2 of")
    press(" ")  # leaves it, and presses no button again
    visitor.reads("Fine class 3 of")
    assert visitor.page.get_by_role("button", name=re.compile(r"^\d ")).count() == 4
    context = browser.new_context(viewport=SCREEN)
    other = Visitor(context.new_page(), visitor.page.url)
    other.assign.wait_for()
    other.call(1, "ferrite")
    visitor.reads("the classes have changed meanwhile")
    context.close()
    visitor.assign.wait_for()
    assert "ferrite" in [row.name for row in visitor.rows(4)]


def test_undo_reverts_an_assignment(decider: Visitor) -> None:
    visitor = decider
    before = visitor.rows(3)
    visitor.assign.click()
    visitor.reads("Fine class 1 of")
    here = visitor.side.get_by_text("(it is here)").inner_text()
    other = next(key for key in "123" if not here.startswith(key))
    visitor.page.keyboard.press(other)
    visitor.reads("Fine class 2 of")
    visitor.page.keyboard.press("Control+z")
    visitor.page.keyboard.press("Backspace")
    visitor.reads("Fine class 1 of")
    assert visitor.side.get_by_text("(it is here)").inner_text() == here
    visitor.page.keyboard.press("Space")
    visitor.page.keyboard.press("Escape")
    assert visitor.rows(3) == before


def test_a_name_that_is_refused_does_not_stay(decider: Visitor) -> None:
    visitor = decider
    visitor.choose_from_menu("class 2", "Join to class 1")
    visitor.rows(2)
    visitor.call(1, "ferrite")
    second = visitor.page.get_by_label("Name of class 2")
    second.fill("ferrite")
    visitor.page.keyboard.press("Enter")
    visitor.reads("a single class would be left")
    visitor.wait("() => document.querySelector('[aria-label=\"Name of class 2\"]').value === ''")
    assert [row.name for row in visitor.rows(2)] == ["ferrite", ""]
