"""Failed clips in errors.jsonl; how many may fail; an input that goes; signals."""

import json
import signal
from pathlib import Path

import pytest
from fakes import disk
from fakes.engines import FakeEngine
from fakes.jobs import (
    Heard,
    files_in,
    lines_of,
    open_fake,
    reactor,
    results_of,
    run_options,
    terminated,
    write_faces,
)

from mreactor_ref.command import TERMINATED, Terminated, orderly_end
from mreactor_ref.errors import IntegrityError, MReactorError, UsageError
from mreactor_runtime.run.devices import run_on_devices
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.options import Options

QUICK = {"samples": 1, "steps": 1}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two good clips, and one that fails at each stage."""
    write_faces(tmp_path / "clips", {"good": 20, "x": 22, "sampled": 300, "written": 24})
    (tmp_path / "clips" / "read.npy").write_bytes(b"no array")
    return tmp_path / "clips"


class Breaks(FakeEngine):
    """Long clips break it."""

    def encoder(self, **inputs):  # pyright: ignore
        if inputs["mask"].shape[1] > 100:
            raise ValueError("no luck")
        return super().encoder(**inputs)


def test_each_failed_clip_is_a_line_with_its_stage_and_remedy(clips, tmp_path, monkeypatch):
    disk.fail_writing(monkeypatch, lambda path: path.name == "written.npz", OSError(5, "I/O error"))
    summary = run_job(clips, tmp_path / "out", reactor(Breaks()), run_options(**QUICK))
    assert summary.done == 2
    failed = {line["id"]: line for line in lines_of(tmp_path / "out" / "errors.jsonl")}
    assert failed["read"] == {
        "id": "read",
        "stage": "decode",
        "kind": "ClipError",
        "path": str(clips / "read.npy"),
        "message": "is not an npy array",
        "remedy": "save one array with numpy.save",
    }
    assert [failed[name]["stage"] for name in ("sampled", "written")] == ["sample", "write"]
    assert [failed[name]["kind"] for name in ("sampled", "written")] == ["ValueError", "OSError"]
    assert failed["sampled"]["message"] == "unexpected ValueError: no luck"
    manifest = {line["id"]: line["error"] for line in lines_of(tmp_path / "out" / "manifest.jsonl")}
    assert {clip_id for clip_id, error in manifest.items() if error} == set(failed)


def test_what_failed_once_is_not_told_for_ever(clips, tmp_path):
    for devices in (None, ["cpu", "cpu"]):
        write_faces(clips, {"good": 20})
        (clips / "read.npy").write_bytes(b"no array")
        output = tmp_path / str(devices)
        for bad in (["read"], []):
            if devices:
                run_on_devices(clips, output, devices, open_fake, run_options(**QUICK))
            else:
                run_job(clips, output, reactor(), run_options(**QUICK))
            lines = lines_of(output / "errors.jsonl") if bad else []
            assert [line["id"] for line in lines] == bad
            write_faces(clips, {"read": 20})
        assert "errors.jsonl" not in files_in(output)


@pytest.mark.parametrize(
    ("limit", "clips", "most"), [(3, 10, 3), ("3", 10, 3), ("10%", 39, 3), ("2.5%", 200, 5)]
)
def test_a_share_of_clips_may_fail(limit, clips, most):
    assert Options(max_errors=limit).most_failed(clips) == most


@pytest.mark.parametrize("limit", ["many", "-1", "101%", "2.5", "%", "5 %"])
def test_what_is_no_number_or_share_is_refused(limit):
    with pytest.raises(UsageError, match="neither a number of clips nor a share"):
        Options(max_errors=limit)


@pytest.mark.parametrize("devices", [None, ["cpu", "cpu"]])
def test_the_run_stops_at_a_share_of_all_clips(tmp_path, devices):
    write_faces(tmp_path / "clips", {f"{i:02}": 20 for i in range(20)})
    for i in range(0, 10, 2):  # all in one of two processes
        (tmp_path / "clips" / f"{i:02}.npy").write_bytes(b"bad")
    for limit, stopped in (("20%", True), ("25%", False)):
        options = run_options(**QUICK, max_errors=limit)
        if devices:
            summary = run_on_devices(
                tmp_path / "clips", tmp_path / limit, devices, open_fake, options
            )
        else:
            summary = run_job(tmp_path / "clips", tmp_path / limit, reactor(), options)
        assert summary.stopped is stopped


@pytest.mark.parametrize("left", [False, True])
def test_an_input_that_goes_stops_the_run_and_it_goes_on_later(tmp_path, left):
    """As when its disk is taken away; its folder may stay, empty."""
    clips, output = tmp_path / "clips", tmp_path / "out"
    write_faces(clips, {f"{i:02}": 20 for i in range(12)})
    run_job(clips, tmp_path / "whole", reactor(), run_options(**QUICK))

    class Goes(Heard):
        def finished(self, outcome):
            super().finished(outcome)
            if len(self.outcomes) == 3:
                clips.rename(tmp_path / "away")
                if left:
                    clips.mkdir()

    with pytest.raises(MReactorError, match="the input has gone, or is empty now"):
        run_job(clips, output, reactor(), run_options(**QUICK, overlap=False), Goes())
    lines = lines_of(output / "manifest.jsonl")
    assert len(lines) >= 3
    assert all(line["status"] == "done" for line in lines)
    if left:
        clips.rmdir()
    (tmp_path / "away").rename(clips)
    summary = run_job(clips, output, reactor(), run_options(**QUICK))
    assert (summary.kept, summary.failed) == (len(lines), {})
    assert results_of(output) == results_of(tmp_path / "whole")


def test_a_clip_whose_files_change_while_they_are_read_is_named(tmp_path, monkeypatch):
    from mreactor_ref.data.clips import FeatureReader

    write_faces(tmp_path / "clips", {"a": 20, "b": 20})
    read = FeatureReader.read

    def changes(self, files):
        clip = read(self, files)
        if files.id == "a":
            write_faces(tmp_path / "clips", {"a": 30})
        return clip

    monkeypatch.setattr(FeatureReader, "read", changes)
    summary = run_job(tmp_path / "clips", tmp_path / "out", reactor(), run_options(**QUICK))
    assert summary.failed == {"a": "a: its files changed while they were read (run it again)"}


def test_a_full_disk_stops_cleanly_and_the_run_goes_on_later(tmp_path, monkeypatch):
    write_faces(tmp_path / "clips", {f"{i:02}": 20 for i in range(6)})
    with monkeypatch.context() as patch:
        disk.fail_writing(patch, lambda path: path.name == "03.npz")
        with pytest.raises(MReactorError, match="the disk is full"):
            run_job(tmp_path / "clips", tmp_path / "out", reactor(), run_options(**QUICK))
    assert not [name for name in files_in(tmp_path / "out") if "partial" in name]
    summary = run_job(tmp_path / "clips", tmp_path / "out", reactor(), run_options(**QUICK))
    assert summary.kept >= 3
    assert summary.kept + summary.done == 6


def test_sigterm_ends_in_order_and_later_errors_are_taken_for_it():
    before = signal.getsignal(signal.SIGTERM)

    def ends_as_a_damaged_file():
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise IntegrityError("is damaged", "model.bin") from None

    with pytest.raises(Terminated), orderly_end():
        ends_as_a_damaged_file()
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(IntegrityError), orderly_end():
        raise IntegrityError("is damaged", "model.bin")


def test_a_run_that_gets_sigterm_writes_what_was_sampled_and_exits_143(tmp_path):
    write_faces(tmp_path / "clips", {f"{i:03}": 20 for i in range(200)})
    code = (
        "import sys; import mreactor_runtime.cli as cli; from fakes.jobs import *;"
        "cli.RunParts = lambda *a: lambda *b: (reactor(SlowEngine(0.05)), [], None);"
        "cli.main(sys.argv[1:])"
    )
    command = ["-i", str(tmp_path / "clips"), "-o", str(tmp_path / "out"), "--steps", "1"]
    exit_code, _, errors = terminated(code, command, tmp_path / "out")
    assert exit_code == TERMINATED, errors
    assert "Interrupted: what is done is kept" in errors
    lines = lines_of(tmp_path / "out" / "manifest.jsonl")
    assert 3 <= len(lines) < 200
    assert set(results_of(tmp_path / "out")) == {f"{line['id']}.npz" for line in lines}
    assert files_in(tmp_path / "out") == {
        *results_of(tmp_path / "out"),
        *("manifest.jsonl", "run.json"),
    }
    assert json.loads((tmp_path / "out" / "run.json").read_text())["finished"] is False
