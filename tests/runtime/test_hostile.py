"""Two hundred bad files of many kinds among two hundred good ones: each is named, none costs more
than itself, and nothing is opened, started or written that a run has no use for."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from fakes.engines import write_clips
from fakes.jobs import lines_of, reactor, results_of, write_faces

pytest.importorskip("soundfile")

from fakes.hostile import FAIL, LEFT, write_hostile

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_runtime import cli
from mreactor_runtime.sampling_options import changed

pytestmark = pytest.mark.slow
BAD = GOOD = 200
MEMORY = 1 << 30  # bytes that a run may need beside what it has at its start


def write_good(folder: Path) -> None:
    write_faces(folder, {f"good-{i:03}": 20 + i for i in range(GOOD - 10)})
    write_clips(folder, tuple(f"spoken-{i}" for i in range(10)), 1.0)


def test_each_of_200_bad_files_is_named_and_the_good_ones_are_the_same(tmp_path, monkeypatch):
    quick = reactor()
    quick.sampling = changed(quick.sampling, samples=1, steps=1)
    monkeypatch.setattr(cli.RunParts, "__call__", lambda *_: (quick, [], None))
    for folder in ("alone", "among"):
        write_good(tmp_path / folder)
    fails, left = write_hostile(tmp_path / "among", BAD)
    assert fails + len(left) == BAD
    assert len(FAIL) + len(LEFT) >= 24

    def run(folder: str):
        command = ["-i", str(tmp_path / folder), "-o", str(tmp_path / f"{folder}-out")]
        return CliRunner().invoke(cli.main, command)

    alone = run("alone")
    assert alone.exit_code == 0, alone.output
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    among = run("among")
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY
    assert among.exit_code == 3, among.output
    assert among.output.replace("\n", "").isprintable()
    assert results_of(tmp_path / "among-out") == results_of(tmp_path / "alone-out")
    failed = {line["id"]: line for line in lines_of(tmp_path / "among-out" / "errors.jsonl")}
    assert len(failed) == fails
    assert all("bad-" in clip_id for clip_id in failed)
    assert all(line["kind"] == "ClipError" for line in failed.values()), failed
    assert all(line["message"] and line["remedy"] for line in failed.values())
    lines = among.output.splitlines()
    assert sum(line.startswith("Failed: ") for line in lines) == fails
    notes = [line for line in lines if line.startswith("Note: ")]
    assert all(any(name in note for note in notes) for name in left)


AUDITED = """
import os, sys
from pathlib import Path
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run.job import run_job

clips, output, cache, temporary = map(Path, sys.argv[1:])
ALLOWED = (str(output), str(cache), str(temporary), os.devnull)
STARTS = ("os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system", "pty.spawn")
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate")
seen = []

def inside(path):
    path = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
    return any(os.path.abspath(path).startswith(allowed) for allowed in ALLOWED)

def hook(event, arguments):
    if event == "subprocess.Popen":
        if "mreactor_ref.features.decoder_process" not in arguments[1]:
            seen.append((event, arguments))
    elif event.startswith(("socket.", "urllib.", "http.", "ftplib.")) or event in STARTS:
        if event != "socket.gethostname":
            seen.append((event, arguments))
    elif event == "open":
        path, _, flags = arguments
        writes = (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and isinstance(path, (str, bytes)) and not inside(path):
            seen.append((event, arguments))
    elif event in CHANGES and not inside(arguments[0]):
        seen.append((event, arguments))

reactor = Reactor.open("mini", samples=1)
sys.addaudithook(hook)
summary = run_job(clips, output, reactor)
assert summary.done == 3 and len(summary.failed) == 1, summary
sys.stdout.write("\\n".join(map(repr, seen)))
"""


def test_a_run_opens_no_socket_and_starts_and_writes_nothing_else(tmp_path):
    write_clips(tmp_path / "clips", ("a", "b"), 1.0)
    write_faces(tmp_path / "clips", {"c": 30})
    (tmp_path / "clips" / "bad.wav").write_text("http://127.0.0.1/a.wav")
    for name in ("out", "temporary"):
        (tmp_path / name).mkdir()
    folders = [str(tmp_path / name) for name in ("clips", "out", "cache", "temporary")]
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, *folders],
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONDONTWRITEBYTECODE": "1",
            CACHE_VARIABLE: folders[2],
            "TMPDIR": folders[3],
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    # the model that tells languages unpacks itself into a file without a name
    assert not list((tmp_path / "temporary").iterdir())
