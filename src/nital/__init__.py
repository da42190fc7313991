"""nital tells the constituents of a steel's microstructure apart without one labelled image.

    import nital
    result = nital.segment(image, n_classes=3, seed=0)
    result.labels, result.classes, result.criteria

The public names stand in `__init__.pyi`, and are loaded when they are first used. The rooms, in the
order in which data flows; imports run up this list only (docs/architecture.md):

    errors      what can go wrong          measure     regions, stereology, specimen
    settings    what any method is asked   series      one model for many micrographs
    storage     safe writing, tables       output      results on the disk, pictures, reports
    image       micrographs and files      work        many files, many runs
    result      what a segmentation is     app         the local page
    fast, paper the two methods            commands    the command line
    methods     the front door
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
