"""Versions of everything that can alter a result."""

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Versions of everything that can alter a result."""
    packages = ("nital", "torch", "scikit-image", "numpy", "scipy")
    return {name: version(name) for name in packages} | {"python": platform.python_version()}
