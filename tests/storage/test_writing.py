"""Storage: results appear whole or not at all, and a journal loses no finished run."""

import errno
from pathlib import Path
from typing import Any

import pytest

from nital.errors import InputError, OutputError
from nital.storage.journal import Journal
from nital.storage.writing import staged, write_whole, writing

OWNED = ("a.txt", "b.txt")
FIELDS = ("key", "value")


def put(
    folder: Path,
    *names: str,
    text: str = "new",
    force: bool = False,
    then: BaseException | None = None,
) -> None:
    """Write the files of a result, `then` fail."""
    with staged(folder, OWNED, force=force) as aside:
        for name in names:
            (aside / name).write_text(text)
        if then is not None:
            raise then


def tree(folder: Path) -> dict[str, str]:
    """All files below a folder, including hidden ones."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- staged -------------------------------------------------------------------------------------


def test_a_new_folder_appears_with_its_files(tmp_path: Path) -> None:
    put(tmp_path / "deep" / "result", *OWNED)
    assert tree(tmp_path) == {"deep/result/a.txt": "new", "deep/result/b.txt": "new"}
    assert (tmp_path / "deep/result").stat().st_mode == (tmp_path / "deep").stat().st_mode


def test_nothing_is_seen_before_all_is_done(tmp_path: Path) -> None:
    with staged(tmp_path / "result", OWNED, force=False) as aside:
        (aside / "a.txt").write_text("new")
        assert not (tmp_path / "result").exists()


@pytest.mark.parametrize("mistake", [InputError("no"), KeyboardInterrupt(), SystemExit(130)])
def test_nothing_stays_of_a_result_that_failed(tmp_path: Path, mistake: BaseException) -> None:
    with pytest.raises(type(mistake)):
        put(tmp_path / "result", "a.txt", then=mistake)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_result_is_not_overwritten(tmp_path: Path) -> None:
    put(tmp_path / "result", "a.txt", text="old")
    with pytest.raises(OutputError, match=r"a\.txt: already exists; use --force"):
        put(tmp_path / "result", "a.txt")
    assert tree(tmp_path) == {"result/a.txt": "old"}


def test_a_result_that_appeared_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "result"
    late = staged(folder, OWNED, force=False)
    (late.__enter__() / "a.txt").write_text("late")
    put(folder, "a.txt", text="early")  # another run into the same folder
    with pytest.raises(OutputError):
        late.__exit__(None, None, None)
    assert tree(tmp_path) == {"result/a.txt": "early"}


def test_force_replaces_what_it_owns_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path / "result", *OWNED, text="old")
    (tmp_path / "result" / "notes.txt").write_text("mine")
    put(tmp_path / "result", "a.txt", force=True)
    assert tree(tmp_path) == {"result/a.txt": "new", "result/notes.txt": "mine"}


def test_a_folder_with_foreign_files_needs_no_force(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    put(tmp_path, "a.txt")
    assert tree(tmp_path) == {"notes.txt": "mine", "a.txt": "new"}


def test_a_failure_under_force_leaves_the_old_result(tmp_path: Path) -> None:
    put(tmp_path / "result", *OWNED, text="old")
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OutputError, match="No space left"):
        put(tmp_path / "result", "a.txt", force=True, then=full)
    assert tree(tmp_path) == {"result/a.txt": "old", "result/b.txt": "old"}


def test_force_replaces_all_or_nothing(tmp_path: Path) -> None:
    put(tmp_path / "result", "a.txt", text="old")
    (tmp_path / "result" / "b.txt").mkdir()  # b.txt can't be replaced by a file
    with pytest.raises(OutputError):
        put(tmp_path / "result", *OWNED, force=True)
    assert tree(tmp_path) == {"result/a.txt": "old"}


@pytest.mark.parametrize("below", ["file", "file/deeper", "file/deeper/still"])
def test_a_file_in_the_way_is_told_before_the_work(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    worked = False
    with pytest.raises(OutputError), staged(tmp_path / below, OWNED, force=False):
        worked = True
    assert not worked
    assert tree(tmp_path) == {"file": "mine"}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_folder_that_takes_no_files() -> None:
    with pytest.raises(OutputError, match="/proc/x"):
        put(Path("/proc/x"), "a.txt")


def test_the_reason_of_the_system_is_told() -> None:
    with (
        pytest.raises(OutputError, match=r"here: can't be written \(No space left"),
        writing(Path("here")),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(InputError), writing(Path("here")):
        raise InputError("of the user")


def test_write_whole_replaces_and_leaves_nothing_aside(tmp_path: Path) -> None:
    for text in ("one", "zwölf µ"):
        write_whole(tmp_path / "a.json", text)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "zwölf µ"


# --- journals -----------------------------------------------------------------------------------


def filled(path: Path, n: int) -> Path:
    """A journal with n lines."""
    journal = Journal(path, FIELDS)
    for i in range(n):
        journal.append({"key": i, "value": i / 3})
    return path


def test_a_line_is_on_the_disk_when_append_returns(tmp_path: Path) -> None:
    path = filled(tmp_path / "runs.csv", 2)
    assert path.read_text() == "key,value\n0,0.0\n1,0.3333333333333333\n"
    assert Journal(path, FIELDS).rows == [
        {"key": "0", "value": "0.0"},
        {"key": "1", "value": "0.3333333333333333"},
    ]


def test_a_journal_cut_anywhere_keeps_its_whole_lines(tmp_path: Path) -> None:
    whole = filled(tmp_path / "whole.csv", 3).read_bytes()
    path = tmp_path / "runs.csv"
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        journal = Journal(path, FIELDS)
        before = journal.rows
        assert len(before) == max(0, whole[:length].count(b"\n") - 1)
        journal.append({"key": "next", "value": 'µ, "quoted"'})
        again = Journal(path, FIELDS)
        assert again.rows[:-1] == before
        assert again.rows[-1] == {"key": "next", "value": 'µ, "quoted"'}


def test_a_journal_is_locked_against_others(tmp_path: Path) -> None:
    first, second = (Journal(tmp_path / "runs.csv", FIELDS) for _ in range(2))
    with first.locked():
        with pytest.raises(OutputError, match="another process"), second.locked():
            pass
        first.append({"key": "1", "value": "2"})
    with second.locked():
        assert second.rows == first.rows == [{"key": "1", "value": "2"}]


def test_files_are_written_where_only_the_folder_takes_them(tmp_path: Path) -> None:
    (tmp_path / "result").mkdir()
    seen = []
    with staged(tmp_path / "result", OWNED, force=False) as aside:
        (aside / "a.txt").write_text("new")
        seen.append(aside.parent)
    assert seen == [tmp_path / "result"]  # the parent may be read-only, or on another disk
    assert tree(tmp_path) == {"result/a.txt": "new"}


def test_a_torn_line_of_garbage_is_dropped(tmp_path: Path) -> None:
    path = filled(tmp_path / "runs.csv", 2)
    with path.open("ab") as file:
        file.write(b"2,\xff\xfe\0\0")
    assert len(Journal(path, FIELDS).rows) == 2


@pytest.mark.parametrize("text", ["other,columns\n", "key,value\n1\n", "key,value\n1,2,3\n", "\n"])
def test_another_file_is_no_journal(tmp_path: Path, text: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(OutputError, match="not a journal"):
        Journal(path, FIELDS)
    assert path.read_text() == text


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        Journal(tmp_path / "none" / "runs.csv", FIELDS)


# --- journals of studies ------------------------------------------------------------------------


def study(folder: Path, force: bool = False, **identity: Any) -> Journal:
    """The journal of a study, identified by one value."""
    return Journal.of_study(folder, FIELDS, identity or {"seed": 1}, force=force)


def test_a_study_goes_on(tmp_path: Path) -> None:
    study(tmp_path / "s").append({"key": 1, "value": 2})
    assert study(tmp_path / "s").rows == [{"key": "1", "value": "2"}]


def test_what_json_alters_is_still_the_same_study(tmp_path: Path) -> None:
    study(tmp_path, pair=(1, 2), number=0.1)
    study(tmp_path, pair=(1, 2), number=0.1)


@pytest.mark.parametrize("other", [{"seed": 2}, {"seed": 1, "more": 0}, {"sha256": "x"}])
def test_another_study_in_the_folder_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    study(tmp_path).append({"key": 1, "value": 2})
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"another study.*--force"):
        study(tmp_path, **other)
    assert tree(tmp_path) == before


def test_a_journal_without_its_description_is_refused(tmp_path: Path) -> None:
    study(tmp_path).append({"key": 1, "value": 2})
    for text in (None, "{torn"):
        (tmp_path / "study.json").unlink(missing_ok=True)
        if text is not None:
            (tmp_path / "study.json").write_text(text)
        with pytest.raises(OutputError, match="another study"):
            study(tmp_path)


def test_force_starts_a_study_anew(tmp_path: Path) -> None:
    study(tmp_path).append({"key": 1, "value": 2})
    (tmp_path / "notes.txt").write_text("mine")
    assert study(tmp_path, force=True, seed=2).rows == []
    assert study(tmp_path, seed=2).rows == []
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_study_stopped_before_its_journal_was_made_can_start(tmp_path: Path) -> None:
    study(tmp_path)
    (tmp_path / "runs.csv").unlink()
    assert study(tmp_path, seed=2).rows == []


def test_a_study_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError):
        study(tmp_path / "file" / "classes")
