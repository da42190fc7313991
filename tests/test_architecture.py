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
    "grouping",
    "model",
    "fitting",
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
    "app_commands",
    "cli",
    "__main__",
)
SCIENCE = ORDER[: ORDER.index("storage")]

# The local page, below all that computes and beside the commands.
APP = (
    "worker",
    "tiles",
    "fields",
    "live",
    "tasks",
    "keeping",
    "bench",
    "assignment",
    "sessions",
    "guard",
    "uploads",
    "uploader",
    "viewer",
    "panel",
    "open_panel",
    "segment_panel",
    "decide_panel",
    "measure_panel",
    "keep_panel",
    "page",
    "server",
)
WITHOUT_WINDOW = APP[: APP.index("guard")]


def imported(module: str) -> set[str]:
    """Modules of nital and others that a module imports, anywhere but for type checking."""
    names = set()
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "nital.app":
            names |= {f"nital.app.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "nital":
            names |= {f"nital.{alias.name}" for alias in node.names if alias.name in ORDER}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_every_module_has_its_place() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == {*ORDER, "__init__"}
    assert {path.stem for path in (PACKAGE / "app").glob("*.py")} == {*APP, "__init__"}


def test_imports_run_one_way() -> None:
    for place, module in enumerate(ORDER):
        above = {f"nital.{name}" for name in ORDER[:place]}
        if module == "app_commands":
            above.add("nital.app.server.server")
        own = {name for name in imported(module) if name.startswith("nital.")}
        assert own <= above, f"{module} imports {sorted(own - above)} from below"


def test_the_page_imports_one_way_and_no_command() -> None:
    below = {f"nital.{name}" for name in ORDER[: ORDER.index("cluster")]}
    for place, module in enumerate(APP):
        above = below | {f"nital.app.{name}" for name in APP[:place]}
        own = {name for name in imported(f"app/{module}") if name.startswith("nital.")}
        assert own <= above, f"app.{module} imports {sorted(own - above)}"


def test_only_the_page_knows_a_web_server() -> None:
    web = {"nicegui", "fastapi", "starlette", "uvicorn"}
    for module in (*ORDER, *(f"app/{name}" for name in WITHOUT_WINDOW)):
        roots = {name.partition(".")[0] for name in imported(module)}
        assert not roots & web, f"{module} imports {sorted(roots & web)}"


def test_the_page_holds_no_science() -> None:
    for module in APP[APP.index("guard") :]:
        foreign = imported(f"app/{module}") & {"numpy", "scipy", "skimage", "torch"}
        assert not foreign, f"app.{module} imports {sorted(foreign)}"


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
    assert not loaded_after("import nital.commands.cli") & {
        "torch",
        "skimage",
        "scipy",
        "matplotlib",
    }


def test_fast_mode_loads_no_torch() -> None:
    statement = "import numpy, nital; nital.segment(numpy.arange(64.0).reshape(8, 8))"
    assert not loaded_after(statement) & {"torch", "skimage", "matplotlib"}
    assert not loaded_after("import nital.console, nital.work.jobs") & {"torch", "skimage"}
