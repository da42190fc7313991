"""The commands that make micrographs with exact labels: synth, demo."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nital.commands import options as opt
from nital.commands.parsing import parse_fractions, parse_size
from nital.commands.segment import segment_and_print
from nital.modes import settings_of


def synth(
    *fractions: Annotated[
        str,
        Parameter(
            name="CONSTITUENT=FRACTION",
            help="Area fractions of ferrite, pearlite, bainite, side_plates, martensite. Default:"
            " ferrite=0.65 pearlite=0.35.",
        ),
    ],
    size: Annotated[
        str,
        opt.TEXT,
        Parameter(help="Rows x columns in pixels."),
    ] = "512x512",
    layout: Annotated[str, Parameter(help="voronoi or banded.")] = "voronoi",
    grain_size: Annotated[float, Parameter(help="Mean grain diameter in pixels.")] = 40.0,
    shading: Annotated[
        float, Parameter(help="Share of the illumination lost across the field.")
    ] = 0.1,
    noise: Annotated[float, Parameter(help="Noise, as a share of full scale.")] = 0.02,
    seed: opt.Seed = 0,
    out: Annotated[Path, Parameter(help="Folder for the files.")] = Path("nital-synthetic"),
    force: opt.Force = False,
) -> None:
    """Make a synthetic micrograph with exact labels."""
    from nital.commands.tables import print_files, print_truth
    from nital.image.synthetic import synthesize
    from nital.output.names import SYNTHETIC_FILES
    from nital.output.results import write_synthetic
    from nital.storage.writing import staged

    made = synthesize(
        parse_size(size),
        parse_fractions(fractions or ["ferrite=0.65", "pearlite=0.35"]),
        layout=layout,
        grain_size=grain_size,
        shading=shading,
        noise=noise,
        seed=seed,
    )
    with staged(out, SYNTHETIC_FILES, force=force) as folder:
        write_synthetic(folder, made)
    print_truth(made.fractions)
    print_files(out, ["micrograph.png", "truth.tif", "truth.json"])


def demo(
    *,
    out: Annotated[Path, Parameter(help="Folder for the results.")] = Path("nital-demo"),
    mode: opt.Mode = "fast",
    seed: opt.Seed = 0,
    as_json: opt.Json = False,
    force: opt.Force = False,
) -> None:
    """Segment a synthetic ferrite-pearlite micrograph and compare with its exact labels."""
    from nital.image.synthetic import synthesize
    from nital.output.names import SYNTHETIC_FILES
    from nital.output.results import write_synthetic
    from nital.storage.writing import staged

    made = synthesize((256, 256), {"ferrite": 0.65, "pearlite": 0.35}, grain_size=28, seed=seed)
    with staged(out, SYNTHETIC_FILES, force=force) as folder:
        write_synthetic(folder, made)
    segment_and_print(
        out / "micrograph.png",
        out / "micrograph",
        settings_of(mode, n_classes=len(made.names)),
        reference=out / "truth.tif",
        names=made.names,
        as_json=as_json,
        force=force,
    )
