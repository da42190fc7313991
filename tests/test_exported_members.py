"""The public names: all there, all documented, each at home where the package says."""

import inspect

import pytest

import nital


@pytest.mark.parametrize("name", nital.__all__)
def test_public_names_are_there_and_documented(name: str) -> None:
    value = getattr(nital, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__
        assert value.__module__.startswith("nital.")


def test_a_name_is_that_of_its_module() -> None:
    from nital.methods import segment
    from nital.result.criteria import evaluate

    assert nital.segment is segment
    assert nital.evaluate is evaluate


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="attribute quick"):
        _ = nital.quick


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert version("nital") == nital.__version__
