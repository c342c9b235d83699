from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gad_bench.base.files import whole_file, whole_folder, write_text


def test_a_file_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "metrics.json", "größer")
    assert (tmp_path / "new" / "metrics.json").read_text(encoding="utf-8") == "größer"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["metrics.json"]


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"


def test_others_may_read_it(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_an_error_keeps_what_was_there_and_leaves_nothing(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(TypeError), whole_file(tmp_path / "a") as draft:
        draft.write_text(b"no text")  # type: ignore[arg-type]
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_draft_has_the_files_suffix_for_writers_that_go_by_it(tmp_path: Path) -> None:
    with whole_file(tmp_path / "figure.png") as draft:
        assert draft.suffix == ".png"


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    program = (
        "import os, sys; from pathlib import Path; from gad_bench.base.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as draft:\n"
        "    draft.write_text('half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], check=False)
    assert (tmp_path / "a").read_text() == "old"


def test_content_and_name_are_on_the_disk_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []

    def fsync(handle: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").readlink())

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a", "")
    assert [path.is_dir() for path in flushed] == [False, True]
    assert flushed[1] == tmp_path


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_what_cannot_be_written_is_named_as_the_user_knows_it(whole: Any, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device") as error, whole(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.filename == str(tmp_path / "a")


def test_another_files_error_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error, whole_file(tmp_path / "a"):
        (tmp_path / "input").read_text()
    assert error.value.filename == str(tmp_path / "input")


def test_a_folder_that_another_process_has_put_there_is_kept(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), whole_folder(tmp_path / "f"):
        write_text(tmp_path / "f" / "theirs", "")
    assert [path.name for path in tmp_path.rglob("*")] == ["f", "theirs"]
