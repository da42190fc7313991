"""The tree tells the story: imports run one way, and importing nital is light."""

import ast
import subprocess
import sys
from pathlib import Path

import nital

PACKAGE = Path(nital.__file__).parent

# In the order in which data flows; a module imports from those above it only.
ORDER = (
    "errors",
    "settings",
    "device",
    "micrograph",
    "synthetic",
    "superpixels",
    "network",
    "training",
    "paper",
    "criteria",
    "classes",
    "agreement",
    "consensus",
    "features",
    "sampling",
    "clustering",
    "segmentation",
    "phases",
    "stereology",
    "regions",
    "specimen",
    "fast",
    "segmenter",
    "model",
    "studies",
    "storage",
    "ome_zarr",
    "metadata",
    "files",
    "large",
    "render",
    "exports",
    "results",
    "model_files",
    "estimator",
    "folders",
    "report",
    "jobs",
    "batch",
    "cluster",
    "console",
    "arguments",
    "segment_commands",
    "study_commands",
    "model_commands",
    "batch_commands",
    "specimen_commands",
    "cli",
    "__main__",
)
SCIENCE = ORDER[: ORDER.index("storage")]


def imported(module: str) -> set[str]:
    """Modules of nital and others that a module imports, anywhere but for type checking."""
    names = set()
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "nital":
            names |= {f"nital.{alias.name}" for alias in node.names if alias.name in ORDER}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_every_module_has_its_place() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == {*ORDER, "__init__"}


def test_imports_run_one_way() -> None:
    for place, module in enumerate(ORDER):
        above = {f"nital.{name}" for name in ORDER[:place]}
        own = {name for name in imported(module) if name.startswith("nital.")}
        assert own <= above, f"{module} imports {sorted(own - above)} from below"


def test_science_knows_no_files_and_no_terminal() -> None:
    for module in SCIENCE:
        foreign = imported(module) & {"pathlib", "os", "io", "rich", "typer", "PIL", "tifffile"}
        assert not foreign, f"{module} imports {sorted(foreign)}"


def test_only_the_cluster_knows_dask() -> None:
    for module in (*ORDER, "__init__"):
        roots = {name.partition(".")[0] for name in imported(module)}
        assert module == "cluster" or not roots & {"dask", "distributed"}, module


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_nital_is_light() -> None:
    heavy = {"torch", "skimage", "scipy", "matplotlib", "numpy", "PIL", "tifffile"}
    assert not loaded_after("import nital") & heavy


def test_help_loads_no_torch() -> None:
    assert not loaded_after("import nital.cli") & {"torch", "skimage", "scipy", "matplotlib"}


def test_fast_mode_loads_no_torch() -> None:
    statement = "import numpy, nital; nital.segment(numpy.arange(64.0).reshape(8, 8))"
    assert not loaded_after(statement) & {"torch", "skimage", "matplotlib"}
    assert not loaded_after("import nital.console, nital.jobs") & {"torch", "skimage"}
