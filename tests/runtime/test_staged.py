"""Clips and results at URLs: the bytes and the lines of a run over folders."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fakes.jobs import Heard, files_in, lines_of, reactor, results_of, run_options, write_faces

from mreactor_ref.errors import UsageError
from mreactor_runtime.run import stage
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.shard import Shard
from mreactor_runtime.run.staged import run_staged
from mreactor_runtime.run.stores import Mirror

OPTIONS = run_options(samples=2, steps=1)
CLIPS = {"a": 40, "deep/b": 70, "c": 30}


@pytest.fixture
def clips(tmp_path) -> Path:
    write_faces(tmp_path / "clips", CLIPS)
    (tmp_path / "clips" / "bad.npy").write_bytes(b"no array")
    (tmp_path / "clips" / "settings.json").write_text("{}")
    return tmp_path / "clips"


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path) -> Iterator[str]:
    """The URL of an empty folder."""
    if request.param == "file":
        yield (tmp_path / "store").as_uri()
        return
    yield "memory://store"
    fsspec.filesystem("memory").store.clear()


def upload(folder: Path, url: str) -> None:
    files, root = fsspec.url_to_fs(url)
    for name in files_in(folder):
        files.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
        files.put_file(str(folder / name), f"{root}/{name}")


def download(url: str, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    files, root = fsspec.url_to_fs(url)
    for name in files.find(root):
        path = folder / name[len(root) :].lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        files.get_file(name, str(path))
    return folder


def told(path: Path, *changing: str):
    return [{k: v for k, v in line.items() if k not in changing} for line in lines_of(path)]


def test_a_run_over_urls_leaves_what_one_over_folders_leaves(clips, store, tmp_path):
    upload(clips, f"{store}/clips")
    run_job(clips, tmp_path / "one", reactor(), OPTIONS)
    heard = Heard()
    summary = run_staged([f"{store}/clips"], f"{store}/out", reactor(), OPTIONS, heard)
    out = download(f"{store}/out", tmp_path / "out")
    assert files_in(out) == files_in(tmp_path / "one")
    assert results_of(out) == results_of(tmp_path / "one")
    changing = ("milliseconds", "files", "error")  # of other times; of another place
    assert told(out / "manifest.jsonl", *changing) == told(
        tmp_path / "one" / "manifest.jsonl", *changing
    )
    [failure] = lines_of(out / "errors.jsonl")
    assert failure["path"] == f"{store}/clips/bad.npy"
    assert heard.outcomes[-1].error is None or "/tmp/" not in heard.outcomes[-1].error
    assert (summary.done, list(summary.failed)) == (3, ["bad"])
    assert json.loads((out / "run.json").read_text())["arguments"]["input"] == f"{store}/clips"


def test_it_goes_on_and_does_again_what_has_changed(clips, store, tmp_path):
    upload(clips, f"{store}/clips")
    run_staged([f"{store}/clips"], f"{store}/out", reactor(), OPTIONS)
    files, root = fsspec.url_to_fs(store)
    files.rm_file(f"{root}/out/c.npz")
    write_faces(tmp_path / "more", {"a": 60, "z": 20})
    upload(tmp_path / "more", f"{store}/clips")
    summary = run_staged([f"{store}/clips"], f"{store}/out", reactor(), OPTIONS)
    assert (summary.kept, summary.done) == (1, 3)
    assert len(results_of(download(f"{store}/out", tmp_path / "out"))) == 4


def test_nothing_stays_here_and_one_end_may_be_a_folder(clips, store, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    upload(clips, f"{store}/clips")
    run_staged([f"{store}/clips"], tmp_path / "here", reactor(), OPTIONS)
    assert lines_of(tmp_path / "here" / "errors.jsonl")[0]["path"] == f"{store}/clips/bad.npy"
    run_staged([str(clips)], f"{store}/there", reactor(), OPTIONS)
    there = download(f"{store}/there", tmp_path / "there")
    assert results_of(there) == results_of(tmp_path / "here")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_run_that_is_killed_has_uploaded_its_manifest_now_and_then(clips, store, monkeypatch):
    upload(clips, f"{store}/clips")
    monkeypatch.setattr(stage, "RECORDS_SECONDS", 0.0)

    class Stops(Heard):
        def finished(self, outcome):
            super().finished(outcome)
            if len(self.outcomes) == 3:
                raise OSError("the cable is out")

    with pytest.raises(OSError, match="cable"):
        run_staged([f"{store}/clips"], f"{store}/out", reactor(), OPTIONS, Stops())
    summary = run_staged([f"{store}/clips"], f"{store}/out", reactor(), OPTIONS)
    assert summary.kept >= 1
    assert summary.kept + summary.done == 3


def test_shards_at_a_url_come_together(clips, store, tmp_path):
    upload(clips, f"{store}/clips")
    for index in (1, 2):
        options = run_options(samples=2, steps=1, shard=Shard(index, 2))
        run_staged([f"{store}/clips"], f"{store}/out", reactor(), options)
    assert run_staged([f"{store}/clips"], f"{store}/out", reactor(), OPTIONS).kept == 3
    run_job(clips, tmp_path / "one", reactor(), OPTIONS)
    assert files_in(download(f"{store}/out", tmp_path / "out")) == files_in(tmp_path / "one")


def test_what_a_killed_run_left_half_written_goes(clips, tmp_path):
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    for name in ("deep/.b.npz.host-7.partial", ".manifest.jsonl.host-7.partial"):
        (out / name).write_bytes(b"half")
    others = out / ".other.npz.host-7.partial"  # of another shard, say
    others.write_bytes(b"half")
    run_staged([clips.as_uri()], out.as_uri(), reactor(), OPTIONS)
    assert list(out.rglob(".*")) == [others]


def test_a_store_without_clips_is_named_by_its_url(store, tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "readme.md").write_text("none")
    upload(tmp_path / "clips", f"{store}/clips")
    with pytest.raises(UsageError, match=f"^{store}/clips: no clips found"):
        run_staged([f"{store}/clips"], tmp_path / "out", reactor(), OPTIONS)


def test_a_store_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(UsageError, match="cannot be reached"):
        Mirror("nonesuch://bucket/clips", tmp_path / "mirror")
