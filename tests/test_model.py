"""The model: a class is the same constituent in every micrograph, and what is unlike is told."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from fields import (
    BRIGHT,
    DARK,
    MID,
    SIDE,
    STEEL_SIDE,
    field,
    fitted,
    inside,
    is_same,
    labels_of,
    of_steel,
    opened,
    steel,
    three_greys,
)
from nital import fast, sampling
from nital.criteria import evaluate
from nital.errors import InputError, SettingError, Stopped
from nital.fitting import fit_model
from nital.micrograph import LargeMicrograph, Micrograph
from nital.model import ClassName, Model
from nital.segmentation import FAR, LEAST_SHIFT, Likeness
from nital.settings import Settings

pytestmark = pytest.mark.usefixtures("small_samples")


# --- one class, one constituent -----------------------------------------------------------------


def test_a_class_is_the_same_grey_in_every_micrograph() -> None:
    model = three_greys()
    for greys in ((DARK, MID), (BRIGHT, MID, DARK), (MID, BRIGHT), (DARK, BRIGHT)):
        labels = labels_of(model, field(*greys, seed=9))
        for place, grey in enumerate(greys):
            expected = 1 + (DARK, MID, BRIGHT).index(grey)
            assert (inside(labels, place, len(greys)) == expected).mean() > 0.99


def test_a_class_is_the_same_texture_in_every_micrograph() -> None:
    """Lamellae, spots and a plain matrix of one mean grey level; each field shows two of them."""
    rows, cols = np.mgrid[:SIDE, : SIDE // 2]
    lamellae = 0.5 + 0.25 * np.where(rows % 6 < 3, 1, -1)
    spots = 0.4 + 0.5 * ((rows % 12 < 5) & (cols % 12 < 5))
    textures = {"lamellae": lamellae, "spots": spots, "plain": np.full(rows.shape, 0.5)}
    noise = np.random.default_rng(0).normal(0, 0.015, (SIDE, SIDE))
    pairs = (("lamellae", "spots"), ("plain", "lamellae"), ("spots", "plain"))
    images = [np.hstack([textures[name] for name in pair]) + noise for pair in pairs]
    model = fit_model(opened(images), Settings(n_classes=3, scale="medium"), exposure="same")
    found: dict[str, set[int]] = {}
    for pair, image in zip(pairs, images, strict=True):
        labels = labels_of(model, image)
        for place, name in enumerate(pair):
            part = labels[8:-8, place * SIDE // 2 + 12 : (place + 1) * SIDE // 2 - 12]
            number = int(np.bincount(part.ravel()).argmax())
            assert (part == number).mean() > 0.95
            found.setdefault(name, set()).add(number)
    assert sorted(map(sorted, found.values())) == [[1], [2], [3]]


def test_a_class_that_is_not_there_has_a_row_without_a_pixel() -> None:
    model = fitted([field(DARK, MID), field(DARK, MID, seed=1), field(BRIGHT, BRIGHT, seed=2)])
    found = model.segment(Micrograph.from_array(field(BRIGHT, BRIGHT, seed=3)))
    assert [row.label for row in found.classes] == [1, 2, 3]
    for row in found.classes[:2]:
        assert (row.n_pixels, row.area_fraction, row.mean_grey) == (0, 0.0, None)
    assert found.classes[2].area_fraction == 1
    assert found.n_classes == 3
    assert not any("classes instead of" in note or "only" in note for note in found.notes)


def test_classes_rise_from_dark_to_bright() -> None:
    expected = 255 * np.array([DARK, MID, BRIGHT])
    assert [row.mean_grey for row in three_greys().classes] == pytest.approx(expected, abs=5)


def test_the_table_is_that_of_the_label_map() -> None:
    image = Micrograph.from_array(steel(5))
    found = of_steel().segment(image)
    for row in found.classes:
        assert row.n_pixels == (found.labels == row.label).sum()
        assert row.mean_grey == pytest.approx(255 * image.grey[found.labels == row.label].mean())
    assert sum(row.area_fraction for row in found.classes) == pytest.approx(1)


def test_fine_classes_add_up_to_classes() -> None:
    model = of_steel()
    found = model.segment(Micrograph.from_array(steel(5)))
    assert found.fine is not None
    assert (np.append(0, model.class_of)[found.fine.labels] == found.labels).all()
    assert len(found.fine.classes) == len(model.class_of)


def test_excluded_pixels_are_in_no_class() -> None:
    excluded = np.zeros((STEEL_SIDE, STEEL_SIDE), bool)
    excluded[:30, 10:] = True
    images = [steel(seed) for seed in range(2)]
    openers = [partial(Micrograph.from_array, image, excluded=excluded) for image in images]
    for exposure in ("same", "each"):
        model = fit_model(openers, Settings(n_classes=2), exposure=exposure)
        labels = model.segment(openers[0]()).labels
        assert ((labels == 0) == excluded).all()


@pytest.mark.parametrize("exposure", ["same", "each"])
def test_what_excluded_pixels_show_has_no_say(exposure: str) -> None:
    excluded = np.zeros((STEEL_SIDE, STEEL_SIDE), bool)
    excluded[60:] = True
    images = [steel(seed) for seed in range(2)]
    models = []
    for shown in (0.0, 1.0):
        pixels = [np.where(excluded, shown, image) for image in images]
        openers = [partial(Micrograph.from_array, each, excluded=excluded) for each in pixels]
        models.append(fit_model(openers, Settings(n_classes=2), exposure=exposure))
    assert (models[0].class_of == models[1].class_of).all()
    assert models[0].centres == pytest.approx(models[1].centres)


def test_a_large_micrograph_gives_the_labels_of_a_small_one() -> None:
    values = (255 * steel(5)).round().astype(np.uint8)
    large = LargeMicrograph.scan(lambda rows, cols: values[rows, cols], values.shape)
    out, rows = np.zeros(values.shape, np.uint8), []
    found = of_steel().segment(large, out=out, on_rows=lambda done, _: rows.append(done))
    assert found.labels is out
    assert (found.fine, found.pixels, rows) == (None, None, [STEEL_SIDE])
    assert (out == labels_of(of_steel(), values)).all()


def test_another_number_of_classes_is_a_cut_of_the_same_tree() -> None:
    model = of_steel()
    found = model.segment(Micrograph.from_array(steel(5)))
    assert (found.at(2).labels == found.labels).all()
    finer = found.at(5)
    assert finer.likeness == found.likeness
    pairs = np.unique(np.stack([finer.labels.ravel(), found.labels.ravel()]), axis=1)
    assert pairs.shape[1] <= 5


def test_a_prediction_does_not_depend_on_those_before_it() -> None:
    model = of_steel("each")
    images = [steel(5), steel(6) * 0.5, field(DARK, BRIGHT)]
    there = [labels_of(model, image) for image in images]
    back = [labels_of(model, image) for image in reversed(images)]
    for one, other in zip(there, reversed(back), strict=True):
        assert (one == other).all()


# --- watched, and stopped -----------------------------------------------------------------------


def stop(done: int, labels: NDArray[np.uint8]) -> None:
    raise Stopped


@pytest.mark.parametrize("way", ["in memory", "out", "large"])
def test_a_prediction_that_is_stopped_keeps_what_is_labelled(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    model, values = of_steel(), (255 * steel(5)).round().astype(np.uint8)
    monkeypatch.setattr(sampling, "BLOCK_SIDE", 64)
    image: Micrograph | LargeMicrograph = Micrograph.from_array(values)
    if way == "large":
        image = LargeMicrograph.scan(lambda rows, cols: values[rows, cols], values.shape)
    whole = model.segment(image)
    out = np.zeros(values.shape, np.uint8) if way == "out" else None
    found = model.segment(image, out=out, on_rows=stop)
    assert out is None or found.labels is out
    done = np.indices(values.shape).max(axis=0) < 64
    assert (found.labels == np.where(done, whole.labels, 0)).all()
    assert [row.label for row in found.classes] == [1, 2]
    for row in found.classes:
        assert row.n_pixels == (whole.labels[:64, :64] == row.label).sum()
        assert row.area_fraction == row.n_pixels / 64**2
    assert (found.stopped, whole.stopped) == (True, False)
    said = (
        "stopped before it was done: the figures are those of the 25.0 % of the pixels that have"
        " a class"
    )
    assert said in found.notes
    assert said not in whole.notes
    (clusters,) = fast.find_clusters(image, model.space, [model.centres], None, stop)
    shares = clusters.statistics.areas / 64**2
    assert found.likeness is not None
    assert found.likeness.shift == pytest.approx(np.maximum(shares - model.shares, 0).sum())


# --- likeness -----------------------------------------------------------------------------------


def likeness(image: NDArray[Any], exposure: str = "same") -> Likeness:
    found = of_steel(exposure).segment(Micrograph.from_array(np.clip(image, 0, 1)))
    assert found.likeness is not None
    assert found.likeness.is_far == any("unlike the micrographs" in note for note in found.notes)
    return found.likeness


@pytest.mark.parametrize("exposure", ["same", "each"])
@pytest.mark.parametrize("seed", [7, 8, 9])
def test_another_field_of_the_same_steel_is_not_far(exposure: str, seed: int) -> None:
    assert not likeness(steel(seed), exposure).is_far


@pytest.mark.parametrize(("gain", "offset"), [(0.6, 0), (0.5, 0.5)])
def test_another_brightness_is_far_where_all_should_have_the_same(
    gain: float, offset: float
) -> None:
    image = gain * steel(7) + offset
    assert likeness(image, "same").is_far
    assert not likeness(image, "each").is_far


@pytest.mark.parametrize("exposure", ["same", "each"])
def test_another_magnification_is_far(exposure: str) -> None:
    assert likeness(ndimage.zoom(steel(7), 3, order=1)[:128, :128], exposure).is_far
    assert likeness(steel(7, side=3 * STEEL_SIDE)[::3, ::3], exposure).is_far


@pytest.mark.parametrize("exposure", ["same", "each"])
def test_noise_is_far(exposure: str) -> None:
    assert likeness(np.random.default_rng(0).random((SIDE, SIDE)), exposure).is_far


def test_likeness_by_hand() -> None:
    """Pixel by pixel: the distance from the nearest centre in every eighth row, and the shift."""
    model, image = of_steel(), Micrograph.from_array(steel(5))
    features = model.space.features(image, np.s_[0:STEEL_SIDE, 0:STEEL_SIDE])
    distance = ((features[..., np.newaxis, :] - model.centres) ** 2).sum(axis=-1, dtype=np.float64)
    counts = np.bincount(distance.argmin(axis=-1).ravel(), minlength=len(model.centres))
    shares = counts / counts.sum()
    found = likeness(steel(5))
    expected = distance[::8].min(axis=-1).mean() / model.spread
    assert found.novelty == pytest.approx(expected, rel=1e-3)
    assert found.shift == pytest.approx(np.maximum(shares - model.shares, 0).sum(), abs=1e-3)
    assert (found.usual_novelty, found.usual_shift) == model.usual


def test_usual_is_the_largest_of_those_fitted_to() -> None:
    found = [likeness(steel(seed)) for seed in range(4)]
    expected = max(each.novelty for each in found), max(each.shift for each in found)
    assert of_steel().usual == pytest.approx(expected)


def test_far_is_twice_as_far_as_usual_and_small_shifts_never_are() -> None:
    assert not Likeness(FAR * 1.5, 0.1, 1.5, 0.05).is_far
    assert Likeness(FAR * 1.5 + 0.01, 0.1, 1.5, 0.05).is_far
    assert not Likeness(1.0, LEAST_SHIFT, 1.5, 0.05).is_far
    assert Likeness(1.0, LEAST_SHIFT + 0.01, 1.5, 0.05).is_far
    assert not Likeness(1.0, 0.59, 1.5, 0.3).is_far


def test_the_note_tells_both_figures_and_what_to_do() -> None:
    found = of_steel().segment(Micrograph.from_array(0.5 * steel(5)))
    assert found.likeness is not None
    (note,) = found.notes
    assert f"{found.likeness.novelty:.1f} times as far" in note
    assert f"{100 * found.likeness.shift:.0f} % of the area elsewhere" in note
    assert "check exposure and magnification, or fit a model" in note


# --- names --------------------------------------------------------------------------------------


def test_names_follow_into_results() -> None:
    model = three_greys().named({3: ClassName("ferrite"), 1: ClassName("pearlite", "#0072b2")})
    for rows in (model.classes, model.segment(Micrograph.from_array(field(MID, BRIGHT))).classes):
        found = [(row.label, row.name, row.colour) for row in rows]
        assert found == [(1, "pearlite", "#0072b2"), (2, None, None), (3, "ferrite", None)]
    assert list(model.names) == [1, 3]
    assert not three_greys().names


def test_other_names_are_kept() -> None:
    model = three_greys().named({1: ClassName("a"), 2: ClassName("b")}).named({2: ClassName("c")})
    assert model.names == {1: ClassName("a"), 2: ClassName("c")}


@pytest.mark.parametrize("number", [0, 4, -1])
def test_a_class_that_is_not_there_has_no_name(number: int) -> None:
    with pytest.raises(InputError, match=f"class {number}: the model has classes 1 to 3"):
        three_greys().named({number: ClassName("ferrite")})


def test_one_name_has_one_colour() -> None:
    model = three_greys().named({1: ClassName("ferrite", "#000001"), 2: ClassName("ferrite")})
    assert model.named({2: ClassName("ferrite", "#000001")})
    with pytest.raises(InputError, match="ferrite: has the colours #000001, #000002; choose one"):
        model.named({2: ClassName("ferrite", "#000002")})


@pytest.mark.parametrize("name", ["", "  ", 5, None])
def test_a_name_is_a_text(name: Any) -> None:
    with pytest.raises(InputError, match="not a name; use a text"):
        ClassName(name)


@pytest.mark.parametrize("name", ["ferrite", None])
@pytest.mark.parametrize("colour", ["red", "#12345", "#1234567", "0072b2", "#00zzb2", "", 7])
def test_a_colour_is_a_number(colour: Any, name: str | None) -> None:
    with pytest.raises(InputError, match="not #RRGGBB, as #0072b2"):
        ClassName(name, colour)


@pytest.mark.parametrize("name", ["", "  ", 5])
def test_a_colour_is_no_excuse_for_a_name_that_is_none(name: Any) -> None:
    with pytest.raises(InputError, match="not a name; use a text"):
        ClassName(name, "#000001")


def test_classes_may_have_colours_and_no_names() -> None:
    """And, having no name in common, need no colour in common."""
    model = three_greys().named({1: ClassName(None, "#000001"), 2: ClassName(None, "#0072B2")})
    for rows in (model.classes, model.segment(Micrograph.from_array(field(MID, BRIGHT))).classes):
        found = [(row.label, row.name, row.colour) for row in rows]
        assert found == [(1, None, "#000001"), (2, None, "#0072B2"), (3, None, None)]
    assert model.named({1: ClassName("ferrite", "#000003")}).names == {
        1: ClassName("ferrite", "#000003"),
        2: ClassName(None, "#0072B2"),
    }


# --- regrouped ----------------------------------------------------------------------------------


def groupings(n: int) -> st.SearchStrategy[dict[str, list[int]]]:
    """Every one of n fine classes in one of 2 to 4 phases, none of them empty."""

    def phases(names: list[str]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for member, name in enumerate(names, start=1):
            found.setdefault(name, []).append(member)
        return found

    drawn = st.lists(st.sampled_from("abcd"), min_size=n, max_size=n)
    return drawn.map(phases).filter(lambda found: len(found) > 1)


@settings(deadline=None)
@given(groupings(24))
def test_regrouped_classes_are_unions_of_fine_classes(phases: dict[str, list[int]]) -> None:
    model = of_steel()
    found = model.regrouped(phases)
    number_of = {each.name: number for number, each in found.names.items()}
    for name, members in phases.items():
        assert set(found.class_of[np.array(members) - 1]) == {number_of[name]}
    assert sorted(number_of.values()) == list(range(1, len(phases) + 1))
    greys = [row.mean_grey for row in found.classes]
    assert greys == sorted(greys)
    assert found.settings.n_classes == len(found.classes) == len(phases)


def test_a_regrouped_model_labels_by_phases() -> None:
    model, image = of_steel(), Micrograph.from_array(steel(5))
    fine = model.segment(image).fine
    assert fine is not None
    found = model.regrouped({"bright": range(11, 25), "dark": range(1, 11)}).segment(image)
    assert ((found.labels == 1) == (fine.labels <= 10)).all()
    assert [row.name for row in found.classes] == ["dark", "bright"]
    assert not [note for note in found.notes if "classes instead of" in note]


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ({"all": range(1, 25)}, "all: a single phase; name two or more"),
        ({}, "a single phase"),
        ({"a": range(1, 24), "b": [1, 24]}, "fine class 1: in a and in b"),
        ({"a": range(1, 20), "b": range(20, 24)}, "fine classes 24: in no phase"),
        ({"a": range(1, 25), "b": []}, "b: has no fine class"),
        ({"a": range(1, 25), "b": [25]}, "there is no fine class 25; use 1 to 24"),
    ],
)
def test_phases_that_can_not_be(phases: dict[str, Sequence[int]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        of_steel().regrouped(phases)


# --- decided by a person ------------------------------------------------------------------------

Parts = dict[frozenset[int], ClassName | None]
"""The fine classes of each class, and what it is called."""

N_FINE = 24
FINE = st.integers(1, N_FINE)
CLASS = st.integers(1, N_FINE)
DECISIONS = st.lists(
    st.one_of(
        st.tuples(st.just("at"), st.integers(2, N_FINE)),
        st.tuples(st.just("joined"), CLASS, CLASS),
        st.tuples(st.just("split"), CLASS),
        st.tuples(st.just("moved"), FINE, st.none() | CLASS),
        st.tuples(st.just("named"), CLASS),
    ),
    max_size=12,
)


def parts_of(model: Model) -> Parts:
    names = dict(model.names)
    found = {
        frozenset(model.members(number)): names.pop(number, None)
        for number in range(1, len(model.classes) + 1)
    }
    assert not names  # of classes that are not there
    return found


def decided(parts: Parts, model: Model, decision: tuple[Any, ...]) -> Parts:
    """What a decision makes of the parts; `model` has them, and tells their numbers."""
    kind, *arguments = decision
    own = [frozenset(model.members(number)) for number in range(1, len(parts) + 1)]
    if kind == "at":
        number = model.tree.numbers(arguments[0])
        cut = [frozenset((np.flatnonzero(number == i) + 1).tolist()) for i in set(number.tolist())]
        return {members: parts.get(members) for members in cut}
    if kind == "named":
        return parts | {own[arguments[0] - 1]: ClassName(f"name {arguments[0]}")}
    if kind == "joined":
        one, other = (own[number - 1] for number in arguments)
        rest = {members: name for members, name in parts.items() if members not in (one, other)}
        return rest | {one | other: parts[one]}
    if kind == "split":
        members = own[arguments[0] - 1]
        half = model.tree.halves(sorted(members))
        halves = [frozenset(np.array(sorted(members))[half == i].tolist()) for i in (1, 2)]
        areas = model.tree.statistics.areas
        smaller, larger = sorted(halves, key=lambda each: sum(areas[i - 1] for i in each))
        rest = {other: name for other, name in parts.items() if other != members}
        return rest | {larger: parts[members], smaller: None}
    fine, number = arguments
    target = frozenset() if number is None else own[number - 1]
    found: Parts = {}
    for members, name in parts.items():
        changed = members | {fine} if members == target else members - {fine}
        if changed:
            found[changed] = name
    return found if number is not None else found | {frozenset({fine}): None}


def fitting(model: Model, decision: tuple[Any, ...]) -> tuple[Any, ...]:
    """The decision with numbers of classes that there are."""
    k = len(model.classes)
    kind, *arguments = decision
    if kind == "at":
        return decision
    if kind == "moved":
        fine, number = arguments
        return kind, fine, None if number is None else 1 + number % k
    return kind, *(1 + number % k for number in arguments)


def has_its_own(model: Model, fine: int) -> bool:
    """Whether the class of a fine class has no other."""
    return model.members(int(model.class_of[fine - 1])) == (fine,)


def carried_out(model: Model, decision: tuple[Any, ...]) -> Model:
    kind, *arguments = decision
    if kind == "named":
        return model.named({arguments[0]: ClassName(f"name {arguments[0]}")})
    changed: Model = getattr(model, kind)(*arguments)
    return changed


@settings(deadline=None, max_examples=60)
@given(DECISIONS)
def test_whatever_is_decided_is_a_model_with_these_classes(
    decisions: list[tuple[Any, ...]],
) -> None:
    first = model = of_steel()
    for each in decisions:
        decision = fitting(model, each)
        kind, *arguments = decision
        if kind == "split" and len(model.members(arguments[0])) == 1:
            with pytest.raises(InputError, match="a single fine class; it can't be divided"):
                carried_out(model, decision)
            continue
        if kind == "moved" and arguments[1] is None and has_its_own(model, arguments[0]):
            continue
        expected = decided(parts_of(model), model, decision)
        if len(expected) < 2:
            with pytest.raises(InputError, match="a single class would be left"):
                carried_out(model, decision)
            continue
        changed = carried_out(model, decision)
        assert parts_of(changed) == expected
        k = len(expected)
        assert np.unique(changed.class_of).tolist() == list(range(1, k + 1))
        assert changed.settings == replace(first.settings, n_classes=k)
        assert list(changed.names) == sorted(changed.names)
        greys = [row.mean_grey for row in changed.classes]
        assert greys == sorted(greys)
        assert sum(row.area_fraction for row in changed.classes) == pytest.approx(1)
        model = changed
    kept = replace(model, class_of=first.class_of, settings=first.settings, names=first.names)
    assert is_same(kept, first)  # and nothing else is another
    assert not first.names


def named_all(model: Model) -> Model:
    numbers = range(1, len(model.classes) + 1)
    return model.named({number: ClassName(f"name {number}", "#000001") for number in numbers})


@pytest.mark.parametrize("k", [2, 5, 11])
def test_a_class_that_is_split_and_joined_again_is_the_same(k: int) -> None:
    model = named_all(of_steel().at(k))
    for number in range(1, k + 1):
        members = model.members(number)
        if len(members) == 1:
            continue
        halves = model.split(number)
        assert len(halves.classes) == k + 1
        one, other = {int(halves.class_of[fine - 1]) for fine in members}
        larger, smaller = sorted(
            (one, other), key=lambda each: halves.classes[each - 1].area_fraction, reverse=True
        )
        assert halves.names[larger] == model.names[number]
        assert smaller not in halves.names
        assert is_same(halves.joined(larger, smaller), model)
        nameless = {each: name for each, name in model.names.items() if each != number}
        assert is_same(halves.joined(smaller, larger), replace(model, names=nameless))


def number_of(model: Model, members: Sequence[int]) -> int:
    """The class that is made of these fine classes."""
    (found,) = {int(model.class_of[fine - 1]) for fine in members}
    assert model.members(found) == tuple(members)
    return found


def test_neighbouring_cuts_are_a_split_and_a_join_apart() -> None:
    model = of_steel()
    for k in range(2, N_FINE):
        coarse, finer = model.at(k), model.at(k + 1)
        (divided,) = (
            number
            for number in range(1, k + 1)
            if len(np.unique(finer.class_of[coarse.class_of == number])) == 2
        )
        one, other = np.unique(finer.class_of[coarse.class_of == divided]).tolist()
        assert is_same(coarse.split(divided), finer)
        assert is_same(finer.joined(one, other), coarse)
        assert is_same(finer.joined(other, one), coarse)


@settings(deadline=None, max_examples=20)
@given(DECISIONS, st.integers(2, N_FINE))
def test_a_cut_does_not_depend_on_what_was_decided_before(
    decisions: list[tuple[Any, ...]], k: int
) -> None:
    model = of_steel()
    for each in decisions:
        try:
            model = carried_out(model, fitting(model, each))
        except InputError:
            continue
    assert is_same(replace(model.at(k), names={}), of_steel().at(k))


def test_the_fine_classes_of_a_class_are_its_members() -> None:
    model = of_steel()
    for number in (1, 2):
        assert model.members(number) == tuple(
            i for i, label in enumerate(model.class_of.tolist(), start=1) if label == number
        )
    assert all(type(i) is int for i in model.members(1))
    assert model.members(3) == ()


def test_a_cut_keeps_the_names_of_classes_that_it_leaves_alone() -> None:
    model = named_all(of_steel().at(6))
    fewer = model.at(5)
    old = {model.members(number): name for number, name in model.names.items()}
    kept = {number: old.get(fewer.members(number)) for number in range(1, 6)}
    assert fewer.names == {number: name for number, name in kept.items() if name is not None}
    assert len(fewer.names) == 4
    assert len(fewer.at(6).names) == 4


@pytest.mark.parametrize(
    ("k", "said"),
    [
        (1, "n_classes 1: too small; use 2 or more"),
        (25, "n_classes 25: ask for at most 24"),
    ],
)
def test_a_cut_that_can_not_be(k: int, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        of_steel().at(k)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda model: model.moved(0, 1), "fine class 0: there is none"),
        (lambda model: model.moved(99, 1), "fine class 99: there is none"),
        (lambda model: model.moved(1, 99), "class 99: the model has classes 1 to"),
        (lambda model: model.joined(1, 99), "class 99: the model has classes 1 to"),
        (lambda model: model.joined(99, 1), "class 99: the model has classes 1 to"),
        (lambda model: model.split(99), "class 99: the model has classes 1 to"),
    ],
)
def test_numbers_that_are_not_there(change: Callable[[Model], Model], said: str) -> None:
    with pytest.raises(InputError, match=said):
        change(of_steel())


def test_a_fine_class_that_is_alone_already_keeps_its_name() -> None:
    model = of_steel().moved(1, None).named({1: ClassName("film")})
    assert model.moved(1, None).names == model.names


def test_stopped_before_any_pixel_has_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "BLOCK_SIDE", 64)
    upper = np.arange(STEEL_SIDE)[:, np.newaxis] < np.full(STEEL_SIDE, STEEL_SIDE // 2)
    micrograph = Micrograph.from_array(steel(0), excluded=upper)

    def stop(done: int, labels: NDArray[np.uint8]) -> None:
        raise Stopped("stopped")

    with pytest.raises(Stopped):
        of_steel().segment(micrograph, on_rows=stop)


def test_two_classes_are_not_joined_and_a_fine_class_is_not_split() -> None:
    with pytest.raises(InputError, match="a single class would be left"):
        of_steel().joined(2, 1)
    model = of_steel().moved(3, None)
    with pytest.raises(InputError, match=r"class \d+: a single fine class; it can't be divided"):
        model.split(number_of(model, [3]))


def test_the_last_fine_class_of_one_of_two_can_not_be_moved() -> None:
    class_of = np.repeat([1, 2], [23, 1])
    model = of_steel().grouped(class_of, {})
    alone = number_of(model, [24])
    with pytest.raises(InputError, match="a single class would be left"):
        model.moved(24, 3 - alone)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=N_FINE, max_size=N_FINE).filter(
        lambda numbers: len(set(numbers)) > 1
    ),
    st.permutations(range(1, 61)),
)
def test_classes_are_numbered_anew_whatever_they_were(numbers: list[int], order: list[int]) -> None:
    class_of, model = np.array(numbers), of_steel()
    names = {number: ClassName(f"name {number}") for number in range(1, 61)}
    found = model.grouped(class_of, names)
    for number in set(numbers):
        members = [fine for fine, each in enumerate(numbers, start=1) if each == number]
        assert found.names[number_of(found, members)] == names[number]
    assert list(found.names) == list(range(1, 1 + len(set(numbers))))
    assert len(found.classes) == len(set(numbers))
    other = np.array(order)[class_of - 1]
    others = {order[number - 1]: name for number, name in names.items()}
    assert is_same(model.grouped(other, others), found)


# --- labels of what was decided -----------------------------------------------------------------


def changed_model() -> Model:
    """Five classes with names, colours or neither."""
    model = of_steel().at(4).split(2).moved(9, 1)
    return model.named({1: ClassName("pearlite", "#000001"), 3: ClassName(None, "#0072b2")})


@pytest.mark.parametrize("regions", ["classes", "components"])
@pytest.mark.parametrize("way", ["in memory", "out", "large"])
def test_segment_is_to_find_fine_classes_and_to_join_them(way: str, regions: str) -> None:
    model = changed_model()
    model = replace(model, settings=replace(model.settings, regions=regions))
    values = (255 * steel(5)).round().astype(np.uint8)
    image: Micrograph | LargeMicrograph = Micrograph.from_array(values)
    if way == "large":
        image = LargeMicrograph.scan(lambda rows, cols: values[rows, cols], values.shape)
    rooms = [np.full(values.shape, 77, np.uint8) if way == "out" else None for _ in range(2)]
    expected = model.segment(image, out=rooms[0])
    fine, likeness = model.find_fine_classes(image, out=rooms[1])
    before = fine.labels.copy()
    found = model.join(image, fine, likeness, out=rooms[1])
    assert found.labels.tobytes() == expected.labels.tobytes()
    assert found == replace(expected, labels=found.labels)
    assert found.labels.dtype == expected.labels.dtype == np.uint8
    assert len(found.members) == len(expected.members) == (way == "in memory")
    assert (found.labels == np.append(0, model.class_of)[before]).all()
    if isinstance(image, Micrograph):
        criteria = evaluate(image.pixels, found.labels, regions=regions)
        assert found.criteria.F == pytest.approx(criteria.F)
    if way == "out":
        assert found.labels is fine.labels is rooms[1]
    else:
        assert (fine.labels == before).all()
    if found.fine is not None and expected.fine is not None:
        assert found.fine is fine
        assert (expected.fine.labels == fine.labels).all()


def test_fine_classes_once_found_are_joined_as_is_decided_later() -> None:
    image, changed = Micrograph.from_array(steel(5)), changed_model()
    fine, likeness = of_steel().find_fine_classes(image)
    found, expected = changed.join(image, fine, likeness), changed.segment(image)
    assert found.labels.tobytes() == expected.labels.tobytes()
    assert found == replace(expected, labels=found.labels)
    assert [row.name for row in found.classes] == ["pearlite", None, None, None, None]
    assert [row.colour for row in found.classes] == ["#000001", None, "#0072b2", None, None]


# --- silhouette ---------------------------------------------------------------------------------


def silhouette(model: Model, image: Micrograph | LargeMicrograph) -> NDArray[np.uint8]:
    out = np.full(image.shape, 77, np.uint8)
    model.silhouette(image, out=out)
    return out


def silhouette_by_hand(model: Model, image: Micrograph) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixel by pixel, in per cent and not rounded; and the class of the nearest centre."""
    rows, cols = image.shape
    features = model.space.features(model.space.view(image), np.s_[0:rows, 0:cols])
    class_of = model.class_of[model.fine_of - 1]
    expected, nearest = np.zeros(image.shape), np.zeros(image.shape, int)
    for place in zip(*np.nonzero(~image.excluded), strict=True):
        apart = features[place].astype(np.float64) - model.centres
        distance = np.sqrt((apart**2).sum(axis=1))
        nearest[place] = class_of[distance.argmin()]
        other = distance[class_of != nearest[place]].min()
        expected[place] = 100 * (1 - distance.min() / other)
    return expected, nearest


@pytest.mark.parametrize("exposure", ["same", "each"])
@pytest.mark.parametrize("k", [2, 7])
def test_the_silhouette_by_hand(exposure: str, k: int) -> None:
    excluded = np.zeros((30, 40), bool)
    excluded[:, :7] = True
    image = Micrograph.from_array(steel(5)[-30:, -40:], excluded=excluded)
    model = of_steel(exposure).at(k)
    expected, nearest = silhouette_by_hand(model, image)
    found = silhouette(model, image)
    assert (model.segment(image).labels == nearest).mean() > 0.999
    assert np.abs(found - expected).max() < 0.6  # rounded, and of single precision
    assert (found[excluded] == 0).all()
    assert np.ptp(found[~excluded]) > 30


def test_a_pixel_on_a_centre_is_sure_and_one_between_two_is_not() -> None:
    image = Micrograph.from_array(steel(5)[:20, :20])
    model = of_steel()
    features = model.space.features(image, np.s_[0:20, 0:20])
    first, last = features[0, 0], features[-1, -1]
    for centres, value in (((first, last), 100), ((first + 1, first - 1), 0)):
        two = replace(
            model,
            centres=np.stack(centres),
            fine_of=np.array([1, N_FINE]),
            class_of=np.repeat([1, 2], 12),
        )
        assert silhouette(two, image)[0, 0] == pytest.approx(value, abs=1)


def test_who_joins_classes_makes_no_pixel_less_sure() -> None:
    image, model = Micrograph.from_array(steel(5)[:64, :64]), of_steel().at(8)
    before, surer = silhouette(model, image), 0
    for one, other in pairwise(range(1, 9)):
        joined = silhouette(model.joined(one, other), image)
        assert (joined >= before).all()
        surer += (joined > before).sum()
    assert surer


def test_the_silhouette_of_several_blocks_and_of_a_large_micrograph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = (255 * steel(5)).round().astype(np.uint8)
    image, model = Micrograph.from_array(values), of_steel()
    large = LargeMicrograph.scan(lambda rows, cols: values[rows, cols], values.shape)
    whole = silhouette(model, image)
    assert (silhouette(model, large) == whole).all()
    monkeypatch.setattr(sampling, "BLOCK_SIDE", 64)
    for source in (image, large):
        assert np.abs(silhouette(model, source).astype(int) - whole).mean() < 0.5


@pytest.mark.parametrize("n_blocks", [1, 2, 3])
def test_what_was_done_when_the_process_was_killed_is_recovered(
    n_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "BLOCK_SIDE", 64)  # four blocks
    model, micrograph = of_steel(), Micrograph.from_array(steel(1))
    left, calls = np.zeros(micrograph.shape, np.uint8), 0

    def stop(done: int, labels: NDArray[np.uint8]) -> None:
        nonlocal calls
        calls += 1
        if calls == n_blocks:
            left[:] = labels  # as they lay on the disk
            raise Stopped("stopped")

    stopped, known = model.find_fine_classes(micrograph, on_rows=stop)
    left[100:, 100:] = 1  # a block that was under way
    found, likeness = model.recover_fine_classes(micrograph, left, n_blocks, np.empty_like(left))
    assert np.array_equal(found.labels, stopped.labels)
    assert found.statistics.areas == pytest.approx(stopped.statistics.areas)
    assert found.statistics.means == pytest.approx(stopped.statistics.means)
    assert found.stopped
    assert likeness.shift == pytest.approx(known.shift)
    assert likeness.novelty == pytest.approx(known.novelty, rel=0.5)
