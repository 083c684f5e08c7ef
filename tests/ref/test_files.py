"""Files that are written whole or not at all, and their hashes."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest
from fakes.disk import FULL, fail_writing

from mreactor_ref import files
from mreactor_ref.errors import UsageError
from mreactor_ref.files import (
    check_writable,
    in_place_of,
    is_disk_full,
    open_whole,
    remove_partials,
    sha256_of,
    shown_hash,
    unwritable,
    write_whole,
)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_file_is_written_with_its_folder(tmp_path):
    write_whole(tmp_path / "a" / "b" / "c.txt", b"content")
    assert names(tmp_path) == ["a", "a/b", "a/b/c.txt"]
    assert (tmp_path / "a/b/c.txt").read_bytes() == b"content"


def test_until_the_end_the_older_file_is_there(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, b"older")
    with open_whole(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"older"
        file.write(b"er")
    assert path.read_bytes() == b"newer"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full", "interrupted"])
def test_a_failure_leaves_the_older_file_and_nothing_else(tmp_path, monkeypatch, error):
    path = tmp_path / "a.txt"
    write_whole(path, b"older")
    fail_writing(monkeypatch, error=error)
    with pytest.raises(type(error)):
        write_whole(path, b"newer and longer")
    assert path.read_bytes() == b"older"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    """The content first, then the name: a power cut in between leaves the older file."""
    steps: list[str] = []
    replace = Path.replace

    def synced(path: Path) -> None:
        steps.append("sync folder" if path.is_dir() else f"sync {path.stat().st_size} bytes")

    def renamed(self: Path, target: Path) -> Path:
        steps.append(f"rename to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(files, "sync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_whole(tmp_path / "a.txt", b"12345")
    assert steps == ["sync 5 bytes", "rename to a.txt", "sync folder"]


def test_a_file_system_that_cannot_sync_a_folder_is_no_failure(tmp_path, monkeypatch):
    def invalid(handle: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", invalid)
    write_whole(tmp_path / "a.txt", b"content")
    assert names(tmp_path) == ["a.txt"]


def test_a_disk_that_fails_is_a_failure(tmp_path, monkeypatch):
    def broken(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        write_whole(tmp_path / "a.txt", b"content")
    assert names(tmp_path) == []


def test_threads_that_write_one_file_do_not_meet(tmp_path):
    path, others = tmp_path / "a.txt", []
    with in_place_of(path) as mine:
        mine.write_bytes(b"mine")

        def write() -> None:
            with in_place_of(path) as theirs:
                others.append(theirs)
                theirs.write_bytes(b"theirs")

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        assert others != [mine]
        assert path.read_bytes() == b"theirs"
    assert path.read_bytes() == b"mine"
    assert names(tmp_path) == ["a.txt"]


def test_processes_that_write_one_file_do_not_meet(tmp_path, monkeypatch):
    with in_place_of(tmp_path / "a.txt") as mine:
        mine.write_bytes(b"mine")
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with in_place_of(tmp_path / "a.txt") as theirs:
            theirs.write_bytes(b"theirs")
        assert mine.name != theirs.name


def test_what_a_killed_process_left_is_removed_by_name(tmp_path):
    with in_place_of(tmp_path / "deep" / "b.5.npz") as partial:
        partial.touch()
    kept = [".hidden.1-1.partial", "deep/.c.npz.12-34.partial", "deep/.x/.b.5.npz.1-2.partial"]
    for name in (*kept, f"deep/{partial.name}", ".a.npz.12-34.partial"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    remove_partials(tmp_path, {"a.npz", "deep/b.5.npz"})
    assert [name for name in names(tmp_path) if name.endswith("partial")] == sorted(kept)


def test_what_cannot_be_written_is_said_with_its_path(tmp_path):
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "a.txt"
    with pytest.raises(UsageError) as error, unwritable(path, "move it"):
        write_whole(path, b"")
    assert str(error.value) == f"{path}: cannot be written: File exists (move it)"


def test_a_look_whether_a_place_can_be_written_leaves_nothing(tmp_path):
    check_writable(tmp_path / "deep" / "out")
    assert names(tmp_path) == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="cannot be written: Not a directory"):
        check_writable(tmp_path / "file" / "out")


def test_a_full_disk_is_told_from_other_errors():
    assert is_disk_full(OSError(errno.ENOSPC, "full"))
    assert is_disk_full(OSError(errno.EDQUOT, "quota"))
    assert not is_disk_full(OSError(errno.EACCES, "denied"))
    assert not is_disk_full(ValueError(errno.ENOSPC))


def test_a_hash_is_of_the_content_and_shown_by_twelve_digits(tmp_path):
    content = b"abc" * 1_000_000
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    assert shown_hash("0123456789abcdef") == "0123456789ab..."
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "none")
