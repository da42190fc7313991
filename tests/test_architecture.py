"""The tree tells the story: imports run down the list of rooms, and importing nital is light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nital

PACKAGE = Path(nital.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"

ROOMS: dict[str, str] = {
    "errors": "",
    "settings": "",
    "storage": "writing tables versions journal",
    "image": "lengths values windows micrograph light tone constituents synthetic metadata ome_zarr"
    " decoding files labels large",
    "result": "agreement criteria classes partitions joining consensus boundaries fine likeness"
    " phases clock segmentation grouping",
    "fast": "settings view disturbances features space sampling clustering labelling method",
    "paper": "settings device superpixels network places batches course training labelling trained"
    " method",
    "modes": "",
    "methods": "",
    "measure": "stereology regions outlines specimen",
    "output": "names numbers render figures summary results folders specimens exports"
    " report.record report.pages report.charts report.document",
    "series": "sampling model fitting model_files estimator",
    "work": "jobs batch runs studies study_folder cluster",
    "app.work": "worker fields tiles live tasks keeping",
    "app.state": "field decisions assignment workers bench_file bench session desk",
    "app.page": "uploader viewer view messages progress picture panels.panel panels.open"
    " panels.segment panels.class_row panels.decide panels.assign panels.measure panels.keep page",
    "app.server": "guard uploads downloads routes server",
    "commands": "parsing options console tables segment series results specimen studies batch"
    " synthetic app cli",
    "__main__": "",
}
"""Rooms in the order in which data flows, and the modules of each: a module imports from those
before it only."""

MODULES = [
    f"nital.{room}" + (f".{module}" if module else "")
    for room, modules in ROOMS.items()
    for module in modules.split() or [""]
]
FILES = {"metadata", "files", "labels", "large", "decoding", "ome_zarr", "model_files", "estimator"}
SCIENCE = [
    module
    for module in MODULES
    if module.split(".")[1] in ("image", "result", "fast", "paper", "methods", "measure", "series")
    and module.split(".")[-1] not in FILES
]


def path_of(module: str) -> Path:
    return PACKAGE.parent / f"{module.replace('.', '/')}.py"


def room_of(module: str) -> str:
    return next(
        room for room in ROOMS if module == f"nital.{room}" or module.startswith(f"nital.{room}.")
    )


def imported(module: str) -> set[str]:
    """Modules of nital and others that a module imports, anywhere, for type checking too."""
    names = set()
    for node in ast.walk(ast.parse(path_of(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & {*MODULES}
            names |= inner or {node.module}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names - {"nital"}  # its version


def foreign(module: str) -> set[str]:
    """Packages that a module imports."""
    return {name.partition(".")[0] for name in imported(module)}


def test_every_module_has_its_place() -> None:
    found = {
        "nital." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert found == {*MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    before = {*MODULES[: MODULES.index(module)]}
    own = {name for name in imported(module) if name.split(".")[0] == "nital"}
    assert own <= before, f"{module} imports {sorted(own - before)}"


def test_faces_of_rooms_import_nothing() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [ast.unparse(node) for node in tree.body if not isinstance(node, ast.Expr)]
        assert path == PACKAGE / "__init__.py" or not names, path


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_no_longer_than_350_lines(module: str) -> None:
    assert len(path_of(module).read_text(encoding="utf-8").splitlines()) <= 350


def test_a_method_knows_no_other() -> None:
    for module in MODULES:
        room = module.split(".")[1]
        other = {"fast": "nital.paper", "paper": "nital.fast"}.get(room, "no other")
        assert not any(name.startswith(other) for name in imported(module)), module


def test_only_paper_mode_knows_torch() -> None:
    for module in MODULES:
        assert "torch" not in foreign(module) or room_of(module) == "paper", module


def test_only_the_cluster_knows_dask() -> None:
    for module in MODULES:
        assert module == "nital.work.cluster" or not foreign(module) & {"dask", "distributed"}


def test_science_knows_no_files_and_no_terminal() -> None:
    for module in SCIENCE:
        found = foreign(module) & {"pathlib", "os", "io", "rich", "cyclopts", "PIL", "tifffile"}
        assert not found, f"{module} imports {sorted(found)}"


def test_only_the_command_line_knows_a_terminal() -> None:
    for module in MODULES:
        assert room_of(module) == "commands" or not foreign(module) & {"rich", "cyclopts"}, module


def test_only_the_page_and_its_server_know_a_web_server() -> None:
    for module in MODULES:
        found = foreign(module) & {"nicegui", "fastapi", "starlette", "uvicorn"}
        assert room_of(module) in ("app.page", "app.server") or not found, module


def test_the_page_computes_nothing() -> None:
    for module in MODULES:
        if room_of(module) in ("app.page", "app.server"):
            assert not foreign(module) & {"numpy", "scipy", "skimage", "torch"}, module


def test_panels_know_neither_the_page_nor_each_other() -> None:
    panels = [module for module in MODULES if module.startswith("nital.app.page.panels.")]
    shared = {"nital.app.page.panels.panel", "nital.app.page.panels.class_row"}
    for module in panels:
        assert not imported(module) & ({"nital.app.page.page", *panels} - shared), module


# --- the page that describes it -----------------------------------------------------------------


def reached(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Pairs of rooms of which the first reaches the second, over others or straight."""
    found = set(arrows)
    while more := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= more
    return found


def test_the_diagram_shows_the_imports() -> None:
    """An arrow that follows from others is left out; all that is drawn is there."""
    imports = {
        (room_of(module), room_of(name))
        for module in MODULES
        for name in imported(module)
        if name in MODULES and room_of(name) != room_of(module)
    }
    text = PAGE.read_text(encoding="utf-8")
    drawn = set(re.findall(r"^    ([\w.]+) --> ([\w.]+)$", text, flags=re.M))
    assert drawn <= imports, f"not in the code: {sorted(drawn - imports)}"
    missing = imports - reached(drawn)
    assert not missing, f"not in the diagram: {sorted(missing)}"


def test_the_page_describes_every_room_in_its_order() -> None:
    text = PAGE.read_text(encoding="utf-8")
    described = re.findall(r"^\| `([\w./]+?)/?` \|", text, flags=re.M)
    names = [room.replace(".", "/") for room in ROOMS if room != "__main__"]
    assert [name.removesuffix(".py") for name in described] == names


# --- what importing costs -----------------------------------------------------------------------


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"torch", "skimage", "scipy", "matplotlib", "numpy", "PIL", "tifffile", "rich"}


def test_importing_nital_is_light() -> None:
    assert not loaded_after("import nital") & HEAVY


def test_help_loads_nothing_that_computes() -> None:
    assert not loaded_after("import nital.commands.cli") & HEAVY


def test_fast_mode_loads_no_torch() -> None:
    statement = "import numpy, nital; nital.segment(numpy.arange(64.0).reshape(8, 8))"
    assert not loaded_after(statement) & {"torch", "skimage", "matplotlib"}
    assert not loaded_after("import nital.commands.tables, nital.work.jobs") & {"torch", "skimage"}
