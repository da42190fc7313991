"""The commands for a label map or a result: score, fine."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from nital.commands import options as opt
from nital.commands.parsing import parse_phases
from nital.errors import InputError


def score(
    labels: Annotated[Path, Parameter(help="A label map.")],
    /,
    *,
    image: Annotated[Path, Parameter(help="The micrograph it belongs to.")],
    reference: opt.Reference = None,
    ignore: opt.Ignore = None,
    regions: opt.Regions = "classes",
    include_zero: Annotated[bool, opt.flag("Treat label 0 as a class, not as excluded.")] = False,
    page: opt.Page = None,
    as_json: opt.Json = False,
) -> None:
    """Score any label map: F, F' and Q, and the agreement with a reference."""
    import numpy as np

    from nital.commands import tables
    from nital.image.files import read_micrograph
    from nital.image.labels import read_labels
    from nital.output.summary import agreement_summary, class_summary
    from nital.result.agreement import compare
    from nital.result.classes import tabulate_classes
    from nital.result.criteria import evaluate, measure_regions

    micrograph = read_micrograph(image, page=page)
    found = read_labels(labels)
    if found.min() < 0:
        raise InputError(f"{labels}: label {found.min()} is negative; use 0 or more")
    found += include_zero
    criteria = evaluate(micrograph.pixels, found, regions=regions)
    classes = tuple(
        replace(row, label=row.label - include_zero)
        for row in tabulate_classes(measure_regions(micrograph.pixels, found))
    )
    summary: dict[str, Any] = {
        "labels": str(labels),
        "image": str(image),
        "n_classes": len(classes),
        "excluded_fraction": float(np.mean(found == 0)),
        "classes": class_summary(classes),
        "criteria": asdict(criteria),
        "regions": regions,
    }
    agreement = None
    if reference is not None:
        agreement = compare(found, read_labels(reference), ignore=ignore)
        summary["agreement"] = agreement_summary(agreement)
    if as_json:
        print(json.dumps(summary))
        return
    tables.print_classes(classes, summary["excluded_fraction"])
    tables.print_criteria(criteria, regions)
    if agreement is not None:
        tables.print_agreement(agreement)


def fine(
    result: Annotated[Path, Parameter(help="A folder of results.")],
    /,
    *,
    merge: Annotated[
        str | None,
        Parameter(help='Phases, e.g. "ferrite=1,4-6 pearlite=2,3" or "pearlite=2 ferrite=rest".'),
    ] = None,
    image: Annotated[
        Path | None,
        Parameter(help="The micrograph. Default: where it was when it was segmented."),
    ] = None,
    as_json: opt.Json = False,
    force: opt.Force = False,
) -> None:
    """Show the fine classes of a result, or assign them to phases.

    Without --merge: a contact sheet that highlights each on the whole micrograph.
    """
    from nital.commands import tables
    from nital.fast.method import with_shares
    from nital.fast.sampling import Sample
    from nital.methods import prepare
    from nital.modes import settings_of
    from nital.output.folders import open_result
    from nital.output.results import write_contact_sheet, write_phases
    from nital.output.summary import class_summary, phase_summary
    from nital.result.phases import name_phases

    opened = open_result(result, image=image)
    classes = opened.fine.classes
    if merge is None:
        write_contact_sheet(result, opened.micrograph, opened.fine, opened.labels)
        if as_json:
            print(json.dumps({"fine_classes": class_summary(classes)}))
            return
        tables.print_classes(classes, float((opened.fine.labels == 0).mean()))
        tables.print_files(result, ["fine.png"])
        return
    assigned, found = parse_phases(merge, len(classes)), opened.fine
    if opened.settings is not None:
        sample = prepare(opened.micrograph, settings_of(**opened.settings))
        assert isinstance(sample, Sample)  # paper mode has no fine classes
        found = with_shares(found, sample)
    phases = name_phases(found, assigned)
    write_phases(result, opened.micrograph, phases, force=force)
    if as_json:
        print(json.dumps(phase_summary(phases, opened.micrograph)))
        return
    tables.print_phases(phases)
    tables.print_criteria(phases.criteria, "phases")
    tables.print_files(result, ["phases.png", "phases.tif", "phases.csv"])
