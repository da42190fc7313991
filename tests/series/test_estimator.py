"""The estimator: scikit-learn's conventions; arrays, micrographs and paths as input."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from helpers.steels import is_same
from nital.errors import InputError, NotFittedError, OutputError, SettingError
from nital.fast.settings import FastSettings
from nital.image.large import open_micrograph
from nital.image.micrograph import Micrograph
from nital.series.estimator import Image, Segmenter, opener
from nital.series.fitting import fit_model
from nital.series.model_files import read_model


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Views and samples."""
    patch.setattr("nital.fast.view.VIEW_PIXELS", 2**12)
    patch.setattr("nital.series.sampling.SAMPLE_PIXELS", 2**11)


@pytest.fixture(autouse=True)
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def image(seed: int = 0, side: int = 48) -> NDArray[np.uint8]:
    """Four stripes, dark and bright, with noise."""
    level = np.where(np.arange(side) // (side // 4) % 2 == 0, 60, 180)
    noise = np.random.default_rng(seed).integers(0, 20, (side, side))
    return (level + noise).astype(np.uint8)


IMAGES = [image(0), image(1)]


@pytest.fixture(scope="module")
def fitted() -> Segmenter:
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        return Segmenter(2, exposure="same").fit(IMAGES)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """The images as files."""
    found = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for path, each in zip(found, IMAGES, strict=True):
        tifffile.imwrite(path, each)
    return found


# --- parameters ---------------------------------------------------------------------------------


def test_init_only_stores_its_arguments() -> None:
    """Even invalid values: scikit-learn sets and clones before it fits."""
    segmenter = Segmenter("many", scale="huge", light="dim", exposure="dark")
    assert vars(segmenter) == {
        "n_classes": "many",
        "scale": "huge",
        "light": "dim",
        "exposure": "dark",
    }


def test_parameters_are_read_by_name() -> None:
    expected = {"n_classes": 4, "scale": "coarse", "light": "corrected", "exposure": "auto"}
    assert Segmenter(4, scale="coarse").get_params() == expected
    assert Segmenter(4, scale="coarse").get_params(deep=False) == expected


def test_parameters_are_changed_by_name() -> None:
    segmenter = Segmenter()
    assert segmenter.set_params(n_classes=5, exposure="each") is segmenter
    assert (segmenter.n_classes, segmenter.exposure, segmenter.scale) == (5, "each", "fine")


def test_a_parameter_that_is_none_is_refused() -> None:
    with pytest.raises(SettingError, match="mode 'paper': not a parameter of Segmenter; use n"):
        Segmenter().set_params(mode="paper")


def test_there_is_no_seed() -> None:
    with pytest.raises(TypeError, match="seed"):
        Segmenter(2, seed=1)  # type: ignore[call-arg]
    with pytest.raises(SettingError, match="seed 1: not a parameter of Segmenter"):
        Segmenter(2).set_params(seed=1)


def test_what_was_fitted_stays_when_parameters_change(fitted: Segmenter) -> None:
    segmenter = copy(fitted)
    before = segmenter.predict(IMAGES[0])
    segmenter.set_params(n_classes=3)
    assert (segmenter.predict(IMAGES[0]) == before).all()
    assert segmenter.fit(IMAGES).model_.settings.n_classes == 3


def test_repr_is_how_it_is_made() -> None:
    segmenter = Segmenter(4, scale="medium", light="kept", exposure="each")
    assert (
        repr(segmenter) == "Segmenter(n_classes=4, scale='medium', light='kept', exposure='each')"
    )
    assert eval(repr(segmenter)).get_params() == segmenter.get_params()


def test_scikit_learn_clones_it(fitted: Segmenter) -> None:
    base = pytest.importorskip("sklearn.base")
    clone = base.clone(fitted)
    assert isinstance(clone, Segmenter)
    assert clone.get_params() == fitted.get_params()
    assert not hasattr(clone, "model_")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"n_classes": 1}, "n_classes 1: too small"),
        ({"n_classes": 25}, "ask for at most 24"),
        ({"scale": "huge"}, "scale 'huge': unknown"),
        ({"exposure": "dark"}, "exposure 'dark': unknown"),
    ],
)
def test_fit_refuses_a_parameter_out_of_its_range(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        Segmenter(**parameters).fit(IMAGES)


# --- fit and predict ----------------------------------------------------------------------------


def test_fit_returns_the_segmenter() -> None:
    segmenter = Segmenter(2, exposure="same")
    assert segmenter.fit(IMAGES, None) is segmenter


def test_fit_gives_the_model_of_its_parameters(fitted: Segmenter) -> None:
    openers = [partial(Micrograph.from_array, each) for each in IMAGES]
    expected = fit_model(openers, FastSettings(n_classes=2), exposure="same")
    assert is_same(fitted.model_, expected)


def test_labels_are_small_numbers_of_the_shape_of_the_image(fitted: Segmenter) -> None:
    labels = fitted.predict(image(5, 40))
    assert (labels.dtype, labels.shape) == (np.uint8, (40, 40))
    for stripe in range(4):
        assert (labels[:, 10 * stripe + 3 : 10 * stripe + 7] == 1 + stripe % 2).all()


def test_fit_predict_is_fit_and_then_predict(fitted: Segmenter) -> None:
    found = Segmenter(2, exposure="same").fit_predict(IMAGES)
    for labels, each in zip(found, IMAGES, strict=True):
        assert (labels == fitted.predict(each)).all()


def test_fit_predict_takes_what_comes_one_by_one() -> None:
    found = Segmenter(2, exposure="same").fit_predict(each for each in IMAGES)  # type: ignore[arg-type]
    assert len(found) == 2


def test_segment_says_all_there_is_to_say(fitted: Segmenter) -> None:
    found = fitted.segment(IMAGES[0])
    assert (found.labels == fitted.predict(IMAGES[0])).all()
    assert found.likeness is not None
    assert len(found.classes) == 2


@pytest.mark.parametrize("call", ["predict", "segment", "save"])
def test_nothing_is_predicted_before_it_is_fitted(call: str, tmp_path: Path) -> None:
    argument = tmp_path / "m" if call == "save" else IMAGES[0]
    with pytest.raises(NotFittedError, match="not fitted; call fit or load first"):
        getattr(Segmenter(), call)(argument)
    assert not list(tmp_path.iterdir())


def test_an_executor_gives_the_same_model(paths: list[Path]) -> None:
    alone, together = (Segmenter(2, exposure="each") for _ in range(2))
    alone.fit(paths)
    with ThreadPoolExecutor(2) as executor:
        together.fit(paths, executor=executor)
    assert is_same(together.model_, alone.model_)


# --- images of any kind -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        lambda path: str(path),
        lambda path: path,
        lambda path: tifffile.imread(path),
        lambda path: Micrograph.from_array(tifffile.imread(path)),
        lambda path: partial(open_micrograph, path),
    ],
    ids=["text", "path", "array", "micrograph", "opener"],
)
def test_an_image_may_come_in_any_way(
    kind: Callable[[Path], Image], paths: list[Path], fitted: Segmenter
) -> None:
    found = Segmenter(2, exposure="same").fit([kind(each) for each in paths])
    assert (found.model_.centres == fitted.model_.centres).all()
    assert (found.predict(kind(paths[0])) == fitted.predict(IMAGES[0])).all()


def test_files_are_kept_by_name_and_content(paths: list[Path]) -> None:
    (first, sha256), (second, _) = Segmenter(2, exposure="same").fit(paths).model_.images
    assert (first, second) == ("a.tif", "b.tif")
    assert sha256 == open_micrograph(paths[0]).sha256


@pytest.mark.parametrize(
    "single",
    [
        IMAGES[0],
        np.dstack([IMAGES[0]] * 3),
        IMAGES[0][..., np.newaxis],
        Micrograph.from_array(IMAGES[0]),
        Path("a.tif"),
        "a.tif",
        opener(IMAGES[0]),
    ],
    ids=["grey", "RGB", "1 channel", "micrograph", "path", "text", "opener"],
)
@pytest.mark.parametrize("call", ["fit", "fit_predict"])
def test_a_single_image_in_place_of_a_list_is_refused(single: Any, call: str) -> None:
    with pytest.raises(InputError, match="a single micrograph; pass it in a list"):
        getattr(Segmenter(2), call)(single)


def test_a_stack_is_a_series(fitted: Segmenter) -> None:
    found = Segmenter(2, exposure="same").fit(np.stack(IMAGES))
    assert is_same(found.model_, fitted.model_)


def test_no_image_is_refused() -> None:
    with pytest.raises(InputError, match="name one or more"):
        Segmenter(2).fit([])


def test_an_image_that_can_not_be_read_is_named(paths: list[Path]) -> None:
    with pytest.raises(InputError, match=r"none\.tif: no such file"):
        Segmenter(2).fit([*paths, "none.tif"])


def test_a_fit_that_fails_leaves_what_was_there(fitted: Segmenter) -> None:
    segmenter, model = copy(fitted), fitted.model_
    with pytest.raises(InputError):
        segmenter.fit([np.zeros((9, 9))])
    assert segmenter.model_ is model


# --- save and load ------------------------------------------------------------------------------


def test_what_was_saved_is_loaded(fitted: Segmenter, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    found = Segmenter.load(str(tmp_path / "m"))
    assert found.get_params() == fitted.get_params()
    assert is_same(found.model_, fitted.model_)
    assert (found.predict(IMAGES[1]) == fitted.predict(IMAGES[1])).all()


def test_a_loaded_one_is_fitted_again_as_it_was(fitted: Segmenter, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    assert is_same(Segmenter.load(tmp_path / "m").fit(IMAGES).model_, fitted.model_)


def test_a_file_is_replaced_with_force_only(fitted: Segmenter, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_text("mine")
    with pytest.raises(OutputError, match="--force"):
        fitted.save(path)
    assert path.read_text() == "mine"
    fitted.save(path, force=True)
    assert is_same(read_model(path), fitted.model_)


def test_a_damaged_file_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"no model")
    with pytest.raises(InputError, match="damaged, or not a nital model"):
        Segmenter.load(tmp_path / "m")
