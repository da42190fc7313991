"""nital tells the constituents of a steel's microstructure apart without one labelled image.

    import nital
    result = nital.segment(image, n_classes=3, seed=0)
    result.labels, result.classes, result.criteria

The modules, in the order in which data flows:

    micrograph   one image as nital sees it        files      between the disk and arrays
    synthetic    micrographs with an exact truth   storage    whole results, crash-proof journals
    superpixels  SLIC                              agreement  against a reference
    network      the convolutional network         segmenter  the front door
    training     the loop                          studies    of classes and superpixels
    sampling     what fast mode learns from        render     overlays and figures
    prediction   network + image -> labels         results    what a segmentation leaves on disk
    criteria     F, F', Q: no reference needed     jobs       from files to folders of results
    classes      joining, order and table          cli        the command line

Importing nital loads none of them; torch loads with the first name that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nital.agreement import Agreement, compare
    from nital.criteria import Criteria, evaluate
    from nital.errors import InputError, NitalError, OutputError, SettingError
    from nital.files import read_labels, read_micrograph
    from nital.micrograph import Micrograph
    from nital.segmenter import Segmentation, segment
    from nital.settings import FAST, PAPER, Settings
    from nital.synthetic import SyntheticMicrograph, synthesize

__version__ = "0.1.0"

__all__ = [
    "FAST",
    "PAPER",
    "Agreement",
    "Criteria",
    "InputError",
    "Micrograph",
    "NitalError",
    "OutputError",
    "Segmentation",
    "SettingError",
    "Settings",
    "SyntheticMicrograph",
    "compare",
    "evaluate",
    "read_labels",
    "read_micrograph",
    "segment",
    "synthesize",
]

_HOME = {
    "Agreement": "agreement",
    "compare": "agreement",
    "Criteria": "criteria",
    "evaluate": "criteria",
    "InputError": "errors",
    "NitalError": "errors",
    "OutputError": "errors",
    "SettingError": "errors",
    "read_labels": "files",
    "read_micrograph": "files",
    "Micrograph": "micrograph",
    "Segmentation": "segmenter",
    "segment": "segmenter",
    "FAST": "settings",
    "PAPER": "settings",
    "Settings": "settings",
    "SyntheticMicrograph": "synthetic",
    "synthesize": "synthetic",
}
_MODULES = {*_HOME.values(), "classes", "network", "prediction", "render", "results"} | {
    "sampling",
    "storage",
    "studies",
    "superpixels",
    "training",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"nital.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"nital.{name}")
    raise AttributeError(f"module 'nital' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, "__version__"})
