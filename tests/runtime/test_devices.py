"""One run in several processes: the same bytes, one manifest, clear ends."""

import json
import multiprocessing
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from fakes.jobs import (
    Heard,
    SlowEngine,
    files_in,
    lines_of,
    open_fake,
    reactor,
    results_of,
    run_options,
    write_faces,
)

from mreactor_ref.errors import IntegrityError, MReactorError, UsageError
from mreactor_runtime.run.devices import VISIBLE, devices_of, run_on_devices
from mreactor_runtime.run.job import Options, run_job
from mreactor_runtime.run.shard import Shard

OPTIONS = run_options(samples=2, steps=1)
LENGTHS = {"a": 40, "deep/b": 200, "c": 70, "e": 30, "f": 90}


@pytest.fixture
def clips(tmp_path) -> Path:
    write_faces(tmp_path / "clips", LENGTHS)
    return tmp_path / "clips"


def two_cpus(clips: Path, output: Path, options: Options = OPTIONS, open_run=open_fake):
    heard = Heard()
    return run_on_devices(clips, output, ["cpu", "cpu"], open_run, options, heard), heard


# What processes open, by name, since they find it in this module.


def refused(device: str, threads: int | None):
    raise IntegrityError("is damaged", "model.bin", "export it again")


def killed(marker: Path, device: str, threads: int | None):
    """One of the processes dies at its first clip."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return open_fake(device, threads)

    class Dies(SlowEngine):
        def encoder(self, **inputs):
            os.kill(os.getpid(), signal.SIGKILL)
            return super().encoder(**inputs)

    return reactor(Dies(0)), [], None


def slow(device: str, threads: int | None):
    return reactor(SlowEngine(0.2)), [], None


def test_two_processes_leave_what_one_leaves(clips, tmp_path):
    (clips / "bad.npy").write_bytes(b"no array")
    one, two = tmp_path / "one", tmp_path / "two"
    run_job(clips, one, reactor(), OPTIONS)
    summary, heard = two_cpus(clips, two)
    assert results_of(two) == results_of(one)
    assert files_in(two) == files_in(one)
    assert (summary.clips, summary.done, summary.reactions, summary.kept) == (6, 5, 10, 0)
    assert list(summary.failed) == ["bad"]
    assert heard.clips == 6
    assert sorted(heard.ids) == sorted([*LENGTHS, "bad"])
    assert [line["id"] for line in lines_of(two / "manifest.jsonl")] == sorted([*LENGTHS, "bad"])
    run, alone = (json.loads((path / "run.json").read_text()) for path in (two, one))
    assert run["run"] == alone["run"]
    assert run["arguments"] == alone["arguments"]
    assert run["finished"] is True
    assert run["missing"] == alone["missing"]
    assert [device["device"] for device in run["devices"]] == ["cpu 1", "cpu 2"]
    assert sum(device["done"] for device in run["devices"]) == 5
    assert 0 < run["sampler_busy"] <= 1
    # one process goes on where two ended
    kept = run_job(clips, two, reactor(), OPTIONS)
    assert (kept.kept, kept.done) == (5, 0)


def test_shards_of_a_shard_and_what_an_earlier_run_did(clips, tmp_path):
    run_job(clips, tmp_path / "one", reactor(), OPTIONS)
    output = tmp_path / "out"
    run_job(clips, output, reactor(), OPTIONS)
    (output / "c.npz").unlink()
    half = run_options(samples=2, steps=1, shard=Shard(2, 2))  # c, e
    summary, heard = two_cpus(clips, output, half)
    assert (summary.clips, summary.kept, heard.clips, heard.ids) == (2, 1, 1, ["c"])
    assert {p.name for p in output.glob("*of*")} == {"manifest-2-of-2.jsonl", "run-2-of-2.json"}
    assert run_job(clips, output, reactor(), OPTIONS).kept == 5
    assert results_of(output) == results_of(tmp_path / "one")
    assert files_in(output) == files_in(tmp_path / "one")


def test_what_a_process_cannot_open_ends_the_run_with_its_error(clips, tmp_path):
    run_job(clips, tmp_path / "out", reactor(), OPTIONS)
    before = lines_of(tmp_path / "out" / "manifest.jsonl")
    with pytest.raises(IntegrityError, match=r"^model.bin: is damaged \(export it again\)$"):
        run_on_devices(clips, tmp_path / "out", ["cpu"], refused, OPTIONS)
    assert lines_of(tmp_path / "out" / "manifest.jsonl") == before


def test_a_process_that_dies_is_named_and_the_others_end_their_work(clips, tmp_path):
    output = tmp_path / "out"
    with pytest.raises(MReactorError, match=r"process on cpu [12] has died .*run it again"):
        two_cpus(clips, output, open_run=partial(killed, tmp_path / "marker"))
    done = {line["id"] for line in lines_of(output / "manifest.jsonl")}
    assert len(done) in (2, 3)  # a shard
    assert json.loads((output / "run.json").read_text())["finished"] is False
    summary = run_job(clips, output, reactor(), OPTIONS)
    assert summary.kept == len(done)
    run_job(clips, tmp_path / "one", reactor(), OPTIONS)
    assert results_of(output) == results_of(tmp_path / "one")
    assert files_in(output) == files_in(tmp_path / "one")


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_processes_and_keeps_what_is_done(tmp_path):
    write_faces(tmp_path / "clips", {f"{i:02}": 20 for i in range(40)})
    output = tmp_path / "out"

    class Interrupts(Heard):
        def reached(self, *_): ...

        def finished(self, outcome):
            super().finished(outcome)
            if len(self.outcomes) == 3:
                signal.raise_signal(signal.SIGINT)

    heard = Interrupts()
    with pytest.raises(KeyboardInterrupt):
        run_on_devices(tmp_path / "clips", output, ["cpu", "cpu"], slow, OPTIONS, heard)
    assert not multiprocessing.active_children()
    done = {f"{line['id']}.npz" for line in lines_of(output / "manifest.jsonl")}
    assert 3 <= len(done) < 40
    assert set(results_of(output)) == done
    assert json.loads((output / "run.json").read_text())["finished"] is False
    assert files_in(output) == done | {"manifest.jsonl", "run.json"}


def test_the_run_stops_after_max_errors_of_all_processes(tmp_path):
    write_faces(tmp_path / "clips", {f"{i:02}": 20 for i in range(30)})
    for i in range(6):
        (tmp_path / "clips" / f"{i:02}.npy").write_bytes(b"bad")
    options = run_options(samples=1, steps=1, max_errors=3)
    summary, _ = two_cpus(tmp_path / "clips", tmp_path / "out", options, slow)
    assert summary.stopped
    assert len(summary.failed) > 3
    assert summary.left > 0


def never_ends(device: str, threads: int | None):
    """Something of the process goes on when its work is done."""
    threading.Thread(target=time.sleep, args=(600,)).start()
    return slow(device, threads)


@pytest.mark.parametrize("max_errors", [0, None])
def test_a_process_that_does_not_end_is_ended(tmp_path, monkeypatch, max_errors):
    monkeypatch.setattr("mreactor_runtime.run.worker.PATIENCE", 1.0)
    write_faces(tmp_path / "clips", {f"{i:02}": 20 for i in range(30)})
    (tmp_path / "clips" / "00.npy").write_bytes(b"bad")
    options = run_options(samples=1, steps=1, max_errors=max_errors)
    started = time.monotonic()
    summary, _ = two_cpus(tmp_path / "clips", tmp_path / "out", options, never_ends)
    assert summary.stopped == (max_errors is not None)
    assert len(summary.failed) == 1
    assert time.monotonic() - started < 120
    assert not multiprocessing.active_children()


def test_threads_are_shared_among_cpus(monkeypatch):
    for threads, count, share in ((8, 2, 4), (3, 2, 1), (1, 2, 1)):
        places = devices_of(["cpu"] * count, threads)
        assert [place.threads for place in places] == [share] * count
        assert [place.environment["OMP_NUM_THREADS"] for place in places] == [str(share)] * count
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)))
    assert [place.threads for place in devices_of(["cpu"] * 3)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("visible", "names", "expected"),
    [("", ["0", "1"], ["0", "1"]), ("4,7,5", ["2", "0"], ["5", "4"]), ("GPU-a", ["0"], ["GPU-a"])],
)
def test_a_process_sees_its_own_gpu_alone(monkeypatch, visible, names, expected):
    monkeypatch.setenv(VISIBLE, visible)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    places = devices_of(names)
    assert [place.environment[VISIBLE] for place in places] == expected
    assert {place.device for place in places} == {"cuda"}


@pytest.mark.parametrize(
    ("names", "there", "message"),
    [
        (["0"], 0, r"device 0 does not exist: torch sees no CUDA device .*--devices cpu,cpu"),
        (["0", "1"], 1, r"device 1 does not exist: there is 0 \(--devices 0\)"),
        (["4"], 2, r"device 4 does not exist: there is 0 to 1 \(--devices 0,1\)"),
        (["0", "cpu"], 1, "one kind"),
        (["gpu"], 1, "'gpu' is neither cpu nor the number"),
        (["-1"], 1, "'-1' is neither"),
        ([], 1, "no device is named"),
    ],
)
def test_a_device_that_cannot_be_is_one_clear_line(
    clips, tmp_path, monkeypatch, names, there, message
):
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: there)
    with pytest.raises(UsageError, match=message):
        run_on_devices(clips, tmp_path / "out", names, open_fake, OPTIONS)
    assert not (tmp_path / "out").exists()
