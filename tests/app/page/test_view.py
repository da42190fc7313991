"""The view: it follows its session, and every change is reported once."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from nital.app.page.view import View
from nital.app.state.session import Session
from nital.app.state.workers import Workers
from nital.app.work.fields import Labelled, Opened, Trained
from nital.app.work.worker import Work
from nital.paper.settings import PaperSettings
from nital.result.criteria import RegionStatistics


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Two micrographs that are open."""
    session = Session("a" * 22, tmp_path, cast(Workers, None))  # no work is submitted
    for number in (1, 2):
        session.bench.add(tmp_path / f"{number}.tif", f"{number}.tif")
        session.bench.set_opened(Opened(number, (30, 40), 0, None))
    return session


@pytest.fixture
def view(session: Session) -> View:
    """It has shown the first of them."""
    view = View(session)
    view.update()
    return view


def train(session: Session, number: int, n_classes: int) -> None:
    """Gives a micrograph so many classes."""
    areas = (100.0,) * n_classes
    means = np.repeat(20.0 * np.arange(1, n_classes + 1)[:, np.newaxis], 3, axis=1)
    statistics = RegionStatistics(np.array(areas), means, np.zeros(n_classes))
    settings = PaperSettings(n_classes=2, n_superpixels=60)
    labelled = Labelled(number, areas, 0.0, False, False)
    session.bench.set_trained(Trained(settings, statistics, labelled))


def test_an_empty_session_shows_nothing(tmp_path: Path) -> None:
    view = View(Session("a" * 22, tmp_path, cast(Workers, None)))
    assert view.update()
    assert (view.number, view.field, view.model) == (None, None, None)


def test_the_first_micrograph_that_can_be_used_is_shown(session: Session) -> None:
    session.bench.set_error(1, "1.tif: damaged")
    view = View(session)
    view.update()
    assert (view.number, view.field) == (2, session.bench.fields[2])
    train(session, 1, 3)
    session.bench.set_opened(Opened(1, (30, 40), 0, None))
    view.update()
    assert view.number == 2  # it stays


def test_what_was_chosen_is_shown_though_it_can_not_be_used(session: Session, view: View) -> None:
    view.show(2)
    session.bench.set_error(2, "2.tif: damaged")
    view.update()
    assert view.number == 2
    session.bench.remove(2)
    view.update()
    assert view.number == 1


def test_another_micrograph_ends_cropping(view: View) -> None:
    view.cropping = True
    view.show(1)
    assert view.cropping
    view.show(2)
    assert not view.cropping


def test_changes_are_reported_once(session: Session, view: View) -> None:
    assert not view.update()
    changes: list[Any] = [
        view.forget,
        lambda: view.show(2),
        lambda: view.set_mode("classes"),
        lambda: view.select(None),
        session.bench.touch,
        lambda: setattr(session, "work", Work("a", print, {}, print, print)),
        lambda: setattr(session, "work", None),
    ]
    for change in changes:
        change()
        assert view.update()
        assert not view.update()


def test_a_class_that_is_gone_is_not_selected(session: Session, view: View) -> None:
    train(session, 1, 3)
    view.select(3)
    view.update()
    assert view.selected == 3
    session.bench.join(1, 2)
    view.update()
    assert view.selected is None


def test_a_preview_is_shown_instead_of_what_was_decided(session: Session, view: View) -> None:
    train(session, 1, 3)
    decided = session.bench.model
    assert decided is not None
    assert view.model is decided
    view.preview = decided.joined(1, 2)
    assert view.model is view.preview
