"""A run over a Ray cluster of this machine: the tree of one process, whoever dies."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path

import pytest
from fakes.jobs import (
    Heard,
    files_in,
    lines_of,
    open_marked,
    reactor,
    results_of,
    run_options,
    terminated,
    write_faces,
)

from mreactor_ref.command import TERMINATED
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.on_ray.options import RayOptions
from mreactor_runtime.run.on_ray.pool import Pool, pool_of, ray_pool
from mreactor_runtime.run.on_ray.run import run_on_ray
from mreactor_runtime.run.staged import run_staged

OPTIONS = run_options(samples=2, steps=1)
TWO = RayOptions(concurrency=2)
# Those of Ray's own modules, when they are imported and started; ours stay errors.
RAYS_OWN = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:ray", "ignore::ResourceWarning", "ignore::FutureWarning:ray"
)


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, two CPUs, whose workers find the fakes."""
    ray = pytest.importorskip("ray")
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    from mreactor_runtime.run.on_ray import pool

    pool._start(pool._ray(False), "local", False)
    os.environ["PYTHONPATH"] = before
    yield
    ray.shutdown()


def untimed(path: Path) -> list[dict[str, object]]:
    return [line | {"milliseconds": 0} for line in lines_of(path)]


class Killer(threading.Thread):
    """Kills workers at random moments, until it has killed so many, or the run has ended."""

    def __init__(self, folder: Path, times: int):
        super().__init__()
        self.folder, self.times, self.killed = folder, times, 0
        self.ended = threading.Event()

    def run(self):
        drawn = random.Random(0)
        while self.killed < self.times and not self.ended.wait(drawn.uniform(0.3, 1.5)):
            for path in drawn.sample(marks := sorted(self.folder.iterdir()), len(marks)):
                path.unlink()
                try:
                    os.kill(int(path.name), signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.killed += 1
                break


@RAYS_OWN
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_workers_that_are_killed_leave_the_tree_of_one_process(tmp_path):
    lengths = {f"{'deep/' * (i % 2)}{i:02}": 20 + 5 * i for i in range(40)}
    write_faces(tmp_path / "clips", lengths)
    for name in ("00bad", "zbad"):
        (tmp_path / "clips" / f"{name}.npy").write_bytes(b"no array")
    one, two = tmp_path / "one", tmp_path / "two"
    run_job(tmp_path / "clips", one, reactor(), OPTIONS)
    marks = tmp_path / "marks"
    marks.mkdir()
    heard, killer = Heard(), Killer(marks, 3)
    killer.start()
    try:
        opens = partial(open_marked, marks, 0.3)
        summary = run_on_ray(tmp_path / "clips", two, opens, TWO, OPTIONS, heard)
    finally:
        killer.ended.set()
        killer.join()
    assert killer.killed >= 2
    assert results_of(two) == results_of(one)
    assert files_in(two) == files_in(one)
    assert untimed(two / "manifest.jsonl") == untimed(one / "manifest.jsonl")
    assert lines_of(two / "errors.jsonl") == lines_of(one / "errors.jsonl")
    assert (summary.clips, summary.done, summary.reactions) == (42, 40, 80)
    assert sorted(summary.failed) == ["00bad", "zbad"]
    assert heard.clips == 42
    assert sorted(heard.ids) == sorted([*lengths, "00bad", "zbad"])
    told = [json.loads((folder / "run.json").read_text()) for folder in (one, two)]
    for run in told:
        for changing in (
            "started",
            "seconds",
            "stages",
            "device_seconds",
            "sampler_busy",
            "devices",
            "notes",
        ):
            run.pop(changing, None)
    assert told[0] == told[1]


@RAYS_OWN
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_run_goes_on_over_workers_and_ends_with_their_error(tmp_path):
    clips, out = tmp_path / "clips", tmp_path / "out"
    write_faces(clips, {"a": 40, "b": 50})
    run_job(clips, out, reactor(), OPTIONS)
    write_faces(clips, {"c": 30, "d": 60})
    summary = run_on_ray(clips, out, partial(open_marked, tmp_path, 0), TWO, OPTIONS)
    assert (summary.kept, summary.done) == (2, 2)
    assert run_job(clips, out, reactor(), OPTIONS).kept == 4
    with pytest.raises(IntegrityError, match=r"^model.bin: is damaged"):
        run_on_ray(clips, tmp_path / "other", refused, TWO, OPTIONS)
    assert files_in(tmp_path / "other") == set()


@RAYS_OWN
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_over_urls_workers_that_are_killed_leave_what_one_process_leaves(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    write_faces(tmp_path / "clips", {f"{'deep/' * (i % 2)}{i:02}": 20 + 5 * i for i in range(24)})
    (tmp_path / "clips" / "00bad.npy").write_bytes(b"no array")
    (tmp_path / "marks").mkdir()
    clips, one, two = ((tmp_path / name).as_uri() for name in ("clips", "one", "two"))
    scratch = set(Path("/tmp").glob("mreactor-*"))
    run_staged([clips], one, reactor(), OPTIONS)
    killer = Killer(tmp_path / "marks", 2)
    killer.start()
    try:
        opens = partial(open_marked, tmp_path / "marks", 0.3)
        summary = run_on_ray([clips], two, opens, TWO, OPTIONS)
    finally:
        killer.ended.set()
        killer.join()
    assert killer.killed >= 1
    assert (summary.output, summary.done, list(summary.failed)) == (two, 24, ["00bad"])
    assert results_of(tmp_path / "two") == results_of(tmp_path / "one")
    assert files_in(tmp_path / "two") == files_in(tmp_path / "one")
    for name in ("manifest.jsonl", "errors.jsonl"):
        assert untimed(tmp_path / "two" / name) == untimed(tmp_path / "one" / name)
    assert lines_of(tmp_path / "two" / "errors.jsonl")[0]["path"] == f"{clips}/00bad.npy"
    assert list((tmp_path / "temporary").iterdir()) == []
    assert set(Path("/tmp").glob("mreactor-*")) <= scratch


@RAYS_OWN
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_over_urls_a_run_goes_on_and_replaces_older_results(tmp_path):
    write_faces(tmp_path / "clips", {"a": 40, "b": 50, "c": 60})
    clips, out = (tmp_path / "clips").as_uri(), (tmp_path / "out").as_uri()
    run_staged([clips], out, reactor(), OPTIONS)
    write_faces(tmp_path / "clips", {"b": 70, "d": 30})
    (tmp_path / "clips" / "c.npy").write_bytes(b"no array")
    opens = partial(open_marked, tmp_path, 0)
    summary = run_on_ray([clips], out, opens, TWO, OPTIONS)
    assert (summary.kept, summary.done, list(summary.failed)) == (1, 2, ["c"])
    assert results_of(tmp_path / "out").keys() == {"a.npz", "b.npz", "d.npz"}
    run_job(tmp_path / "clips", tmp_path / "here", reactor(), OPTIONS)
    assert results_of(tmp_path / "out") == results_of(tmp_path / "here")
    assert run_staged([clips], out, reactor(), OPTIONS).kept == 3
    run_on_ray([clips], tmp_path / "folder", opens, TWO, OPTIONS)
    run_on_ray(tmp_path / "clips", (tmp_path / "store").as_uri(), opens, TWO, OPTIONS)
    for name in ("folder", "store"):
        assert results_of(tmp_path / name) == results_of(tmp_path / "here")


def test_a_store_of_one_process_is_refused(tmp_path):
    for clips, out in (("memory://clips", tmp_path / "out"), (tmp_path, "memory://out")):
        with pytest.raises(UsageError, match="workers of a cluster do not see it"):
            run_on_ray(clips, out, refused, TWO, OPTIONS)


def refused(device: str, threads: int | None):
    raise IntegrityError("is damaged", "model.bin", "export it again")


def test_the_pool_fits_into_the_cluster():
    cpus = {"CPU": 16.0}
    gpus = cpus | {"GPU": 2.0}
    for resources, options, device, pool in (
        (cpus, RayOptions(), "auto", Pool(4, 4, 0, "cpu")),
        (cpus, RayOptions(concurrency=8), "auto", Pool(8, 2, 0, "cpu")),
        (cpus, RayOptions(num_cpus=1), "auto", Pool(16, 1, 0, "cpu")),
        ({"CPU": 2.0}, RayOptions(), "auto", Pool(1, 2, 0, "cpu")),
        (gpus, RayOptions(), "auto", Pool(2, 4, 1, "cuda")),
        (gpus, RayOptions(num_gpus=0.5), "auto", Pool(4, 4, 0.5, "cuda")),
        (gpus, RayOptions(), "cpu", Pool(4, 4, 0, "cpu")),
        (gpus, RayOptions(num_gpus=0), "auto", Pool(4, 4, 0, "cpu")),
    ):
        assert pool_of(resources, options, device) == pool


@pytest.mark.parametrize(
    ("options", "device"),
    [
        (RayOptions(concurrency=9, num_cpus=2), "auto"),
        (RayOptions(num_gpus=1), "auto"),
        (RayOptions(), "cuda"),
    ],
)
def test_a_pool_that_does_not_fit_is_one_clear_line(options, device):
    with pytest.raises(UsageError, match="cluster has 16 CPUs and 0 GPUs: no room for"):
        pool_of({"CPU": 16.0}, options, device)


def test_without_ray_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UsageError, match=r'pip install "mreactor\[ray\]"'),
        ray_pool(RayOptions()),
    ):
        pass


@RAYS_OWN
@pytest.mark.slow
def test_sigterm_ends_the_command_and_the_next_goes_on(tmp_path):
    pytest.importorskip("ray")
    write_faces(tmp_path / "clips", {f"{i:03}": 20 for i in range(60)})
    code = (
        "import sys; from functools import partial; from pathlib import Path;"
        "import mreactor_runtime.cli as cli; from fakes.jobs import open_marked;"
        f"cli.RunParts = lambda *a: partial(open_marked, Path({str(tmp_path)!r}), 0.2);"
        "cli.main(sys.argv[1:])"
    )
    command = ["--ray", "-i", str(tmp_path / "clips"), "-o", str(tmp_path / "out"), "--steps", "1"]
    exit_code, output, errors = terminated(code, command, tmp_path / "out")
    assert exit_code == TERMINATED, errors
    assert output == ""
    assert errors.splitlines()[-1].startswith("Interrupted: what is done is kept")
    lines = lines_of(tmp_path / "out" / "manifest.jsonl")
    assert 3 <= len(lines) < 60
    assert {f"{line['id']}.npz" for line in lines} <= results_of(tmp_path / "out").keys()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["finished"] is False
    run_job(tmp_path / "clips", tmp_path / "out", reactor(), run_options(steps=1))
    run_job(tmp_path / "clips", tmp_path / "one", reactor(), run_options(steps=1))
    assert results_of(tmp_path / "out") == results_of(tmp_path / "one")
    assert files_in(tmp_path / "out") == files_in(tmp_path / "one")
