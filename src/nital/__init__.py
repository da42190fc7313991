"""nital: unsupervised segmentation of the constituents in micrographs of steel.

    import nital
    result = nital.segment(image, n_classes=3)
    result.labels, result.classes, result.criteria

The public names are listed in `__init__.pyi` and loaded on first use. The subpackages, in the order
of the data flow; a module imports only from those above it:

    errors      error classes              measure     regions, stereology, specimen
    settings    common to all methods      series      one model for many micrographs
    storage     safe writing, tables       output      results on the disk, pictures, reports
    image       micrographs and files      work        many files, many runs
    result      labels, classes, criteria  app         the local page
    fast, paper the two methods            commands    the command line
    methods     the entry point
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
