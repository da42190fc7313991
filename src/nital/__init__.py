"""nital tells the constituents of a steel's microstructure apart without one labelled image.

    import nital
    result = nital.segment(image, n_classes=3, seed=0)
    result.labels, result.classes, result.criteria

The modules, in the order in which data flows:

    device       what computes, and how            sampling      the pixels that are learned from
    micrograph   one image as nital sees it        clustering    clusters of features
    synthetic    micrographs with an exact truth   segmentation  the result, and its fine classes
    superpixels  SLIC                              phases        named by a person
    network      the paper's network               fast          fast mode
    training     its training                      segmenter     the front door
    paper        paper mode                        studies       of classes and superpixels
    criteria     F, F', Q: no reference needed     storage       whole results, safe journals
    classes      joining, order and table          files         between the disk and arrays
    agreement    against a reference               ome_zarr      chunked images in folders
    consensus    of repeats                        large         images too large for the memory
    features     size bands, contrast, groups      render        overlays and figures

    grouping     fine classes put together, by their tree or by a person
    model        classes that many micrographs share; fitting finds them, model_files keeps them
    estimator    fit, predict, save, load, with the manners of scikit-learn
    stereology   statistics over fields            regions       size, shape, intercepts, contact
    specimen     fields measured together          metadata      what microscopes say in their files

    results and jobs write folders of results, folders reads them back; exports and report are for
    others; batch does all of a folder.

The command line is `cli`, with the modules that end in `_commands`; the local page is `app`.

Importing nital loads none of them; torch and scikit-image load in paper mode only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nital.agreement import Agreement, compare
    from nital.criteria import Criteria, evaluate
    from nital.errors import InputError, NitalError, NotFittedError, OutputError, SettingError
    from nital.estimator import Segmenter
    from nital.files import read_labels, read_micrograph
    from nital.large import open_micrograph
    from nital.micrograph import LargeMicrograph, Micrograph
    from nital.phases import PhaseMap, name_phases
    from nital.segmentation import Segmentation
    from nital.segmenter import segment
    from nital.settings import FAST, PAPER, Settings
    from nital.specimen import Field, Specimen, measure_field, measure_specimen
    from nital.stereology import FieldStatistics, over_fields
    from nital.synthetic import SyntheticMicrograph, synthesize

__version__ = "0.1.0"

__all__ = [
    "FAST",
    "PAPER",
    "Agreement",
    "Criteria",
    "Field",
    "FieldStatistics",
    "InputError",
    "LargeMicrograph",
    "Micrograph",
    "NitalError",
    "NotFittedError",
    "OutputError",
    "PhaseMap",
    "Segmentation",
    "Segmenter",
    "SettingError",
    "Settings",
    "Specimen",
    "SyntheticMicrograph",
    "compare",
    "evaluate",
    "measure_field",
    "measure_specimen",
    "name_phases",
    "open_micrograph",
    "over_fields",
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
    "NotFittedError": "errors",
    "OutputError": "errors",
    "SettingError": "errors",
    "Segmenter": "estimator",
    "read_labels": "files",
    "read_micrograph": "files",
    "open_micrograph": "large",
    "LargeMicrograph": "micrograph",
    "Micrograph": "micrograph",
    "PhaseMap": "phases",
    "name_phases": "phases",
    "Segmentation": "segmentation",
    "segment": "segmenter",
    "FAST": "settings",
    "PAPER": "settings",
    "Settings": "settings",
    "Field": "specimen",
    "Specimen": "specimen",
    "measure_field": "specimen",
    "measure_specimen": "specimen",
    "FieldStatistics": "stereology",
    "over_fields": "stereology",
    "SyntheticMicrograph": "synthetic",
    "synthesize": "synthetic",
}
_MODULES = {*_HOME.values(), "classes", "clustering", "consensus", "features", "network"} | {
    "paper",
    "render",
    "results",
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
