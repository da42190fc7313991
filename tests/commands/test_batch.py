"""The command batch: a folder becomes labelled fields; what is printed."""

import json
from pathlib import Path

import pytest

from helpers.pictures import write
from helpers.terminal import Nital, nital_alone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(2):
        write(tmp_path / "in" / f"{seed}.tif", seed)
    return tmp_path / "in"


def test_a_batch_fits_a_model_and_labels_all(nital: Nital, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = nital("batch", folder, "--n-classes", 2, "--out", out)
    assert done.code == 0
    assert "2 done" in done.out
    assert (out / "model.nital").is_file()
    again = nital("batch", folder, "--n-classes", 2, "--out", out)
    assert again.code == 0
    assert "2 kept" in again.out


def test_processes_side_by_side_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        out = tmp_path / str(workers)
        done = nital_alone("batch", folder, "--n-classes", 2, "--out", out, "--workers", workers)
        assert done.code == 0, done.err
    for name in ("model.nital", "0/labels.tif", "1/overlay.png", "1/fine.csv"):
        one, two = ((tmp_path / str(workers) / name).read_bytes() for workers in (1, 2))
        assert one == two


def test_failures_are_told_at_the_end_with_exit_code_1(
    nital: Nital, folder: Path, tmp_path: Path
) -> None:
    (folder / "bad.png").write_bytes(b"\x89PNG")
    done = nital("batch", folder, "--n-classes", 2, "--out", tmp_path / "out", "--json")
    assert done.code == 1
    assert [each["status"] for each in json.loads(done.out)["images"]] == ["done", "done", "failed"]
    assert "bad.png" in done.err
    assert "1 of 3 images failed" in done.err


def test_of_nothing_but_failures_the_exit_code_is_2(
    nital: Nital, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert nital("batch", folder, "--n-classes", 2, "--out", out).code == 0
    for path in folder.iterdir():
        path.write_bytes(b"II*\0")
    assert nital("batch", folder, "--n-classes", 2, "--out", out).code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--workers", 0), "--workers 0"),
        (("--model", "m.nital", "--n-classes", 2), "--model sets the number"),
        (("--model", "missing.nital"), "no such file"),
        (("--n-classes", 1), "n_classes 1"),
        (("--pattern", "*.none"), "no micrograph"),
        (("--exposure", "odd"), "exposure 'odd'"),
    ],
)
def test_what_can_not_be_is_refused(
    nital: Nital, folder: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    done = nital("batch", folder, "--out", tmp_path / "out", *options)
    assert done.code == 2
    assert message in done.err


def test_other_classes_than_those_there_are_refused(
    nital: Nital, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert nital("batch", folder, "--n-classes", 2, "--out", out).code == 0
    other = nital("batch", folder, "--n-classes", 3, "--out", out)
    assert other.code == 2
    assert "--force" in other.err
    assert nital("batch", folder, "--n-classes", 3, "--out", out, "--force").code == 0


def test_names_given_to_the_model_follow(nital: Nital, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    nital("fit", *sorted(folder.iterdir()), "--n-classes", 2, "--out", tmp_path / "m.nital")
    nital("name", tmp_path / "m.nital", "1=pearlite", "2=ferrite")
    assert nital("batch", folder, "--model", tmp_path / "m.nital", "--out", out).code == 0
    assert "pearlite" in nital("phases", out).out
