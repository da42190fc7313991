"""Names of the files in a folder of results."""

RESULT_FILES = (
    "labels.tif",
    "labels.zarr",
    "overlay.png",
    "classes.csv",
    "comparison.png",
    "summary.json",
    "fine.tif",
    "fine.csv",
    "agreement.tif",
    "n_classes.csv",
)
FINE_FILES = ("fine.png",)
PHASE_FILES = ("phases.tif", "phases.png", "phases.csv", "phases.json")

EXPORT_FILES = {
    "csv": "regions.csv",
    "parquet": "regions.parquet",
    "rois": "regions.zip",
    "geojson": "regions.geojson",
}
"""Files of regions for other programs, by the names that `nital export --to` takes."""

REPORT_FILE = "report.html"
DERIVED_FILES = (*EXPORT_FILES.values(), REPORT_FILE)
"""Files derived from the phases of a result; they are deleted when the phases change."""

SPECIMEN_FILES = ("fields.csv", "phases.csv", "contacts.csv")
SYNTHETIC_FILES = ("micrograph.png", "truth.tif", "truth.json")
