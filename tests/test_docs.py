"""Documentation that can't drift: commands, keys, links, and the README's example."""

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import nital
from nital.image.synthetic import synthesize
from nital.output.names import RESULT_FILES
from nital.paper.settings import PAPER
from nital.work.jobs import segment_file

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def make_commands() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_commands", ROOT / "docs/make_commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small_micrograph(tmp_path: Path) -> Path:
    path = tmp_path / "nital-demo" / "micrograph.png"
    path.parent.mkdir()
    grey = synthesize((64, 64), grain_size=16, seed=1).image
    Image.fromarray((255 * grey).astype(np.uint8)).save(path)
    return path


def test_the_page_of_commands_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["nital"])  # it stands in the usage
    monkeypatch.setattr("sys.orig_argv", ["nital"])
    made = make_commands()
    said = "run: python docs/make_commands.py"
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), said


def test_the_readme_names_every_command() -> None:
    page = make_commands().page()
    commands = set(re.findall(r"^## nital (\w+)", page, flags=re.M))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `nital (\w+)", readme, flags=re.M)) == commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_example_runs(
    small_micrograph: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(small_micrograph.parent.parent)
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S
    )
    code = "".join(blocks)
    exec(code, {})
    assert "class 1" in capsys.readouterr().out


def test_every_key_of_a_summary_is_explained(small_micrograph: Path, tmp_path: Path) -> None:
    settings = replace(PAPER, n_classes=2, n_filters=8, n_responses=6, max_iterations=2)
    reference = small_micrograph.with_name("reference.png")
    Image.fromarray(np.eye(64, dtype=np.uint8)).save(reference)
    segment_file(small_micrograph, tmp_path / "result", settings, reference=reference)
    summary = json.loads((tmp_path / "result" / "summary.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/files.md").read_text(encoding="utf-8")
    for key in [*summary, *summary["classes"][0], *summary["criteria"], *summary["agreement"]]:
        assert key == "class" or f"`{key}`" in page, key
    for name in RESULT_FILES:
        assert f"`{name}`" in page


def test_the_versions_agree() -> None:
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {nital.__version__}" in cited
    assert f"## {nital.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
