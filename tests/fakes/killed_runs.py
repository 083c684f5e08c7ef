"""Runs that are killed at chosen moments, each in a fork of a process that has everything loaded.

    cd tests; python -m fakes.killed_runs FOLDER boundaries 1000
    cd tests; python -m fakes.killed_runs FOLDER moments 200

A boundary is the moment before or after a write, a flush, a sync, a rename, a removal, the opening
or the closing of a file. After each kill the run is done again, to its end, and what it leaves is
compared with what an unbroken run leaves. One line of JSON a kill goes to the standard output.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import BuiltinFunctionType
from typing import Any

import torch

from fakes.jobs import files_in, lines_of, reactor, results_of, run_options, write_faces
from mreactor_runtime.run.extras import picture
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.summary import Summary

CLIPS = {"a": 40, "deep/b": 200, "c.d": 70, "e": 30, "f": 260}
FILE_CALLS = ("open", "write", "writelines", "flush", "truncate", "close", "fsync")
FOLDER_CALLS = ("replace", "rename", "unlink", "remove", "mkdir", "rmdir")
BOUNDARIES = frozenset((*FILE_CALLS, *FOLDER_CALLS))
OF_FILES = (os.replace, open, os.fsync)  # of the modules `posix` and `_io`
MODULES = frozenset(function.__module__ for function in OF_FILES)
TIMES = ("milliseconds", "seconds", "finished", "stages", "sampler_busy")


def run(folder: Path, output: Path) -> Summary:
    options = run_options(samples=2, steps=1)
    return run_job(folder / "clips", output, reactor(), options, extras=[picture(draw)])


def draw(_: Any, __: Any, path: Path) -> None:
    path.write_bytes(b"a picture")


class Countdown:
    """Calls of file operations are counted, and at the last one the process is killed."""

    def __init__(self, kill_at: int | None):
        self.count, self._kill_at = 0, kill_at
        self._lock = threading.Lock()

    def watch(self) -> None:
        threading.setprofile(self._look)
        sys.setprofile(self._look)

    def _look(self, _: Any, event: str, function: Any) -> None:
        if event not in ("c_call", "c_return") or function.__name__ not in BOUNDARIES:
            return
        of_file = isinstance(function, BuiltinFunctionType) and (
            function.__module__ in MODULES or type(function.__self__).__module__ == "_io"
        )
        if of_file:
            with self._lock:
                self.count += 1
                if self.count == self._kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)


def in_fork(work: Callable[[], Any], kill_after: float | None = None) -> tuple[int, Any]:
    """How a fork of this process ended that did the work, and what the work gave, if it did."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.close(reads)
        try:
            result = json.dumps(work()).encode()
        except BaseException as error:
            result = json.dumps(repr(error)).encode()
        os.write(writes, result)
        os._exit(0)
    os.close(writes)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reads, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), json.loads(told) if told else None


def contents(output: Path) -> dict[str, Any]:
    """What an output holds, without times."""
    manifest = [
        {name: value for name, value in line.items() if name not in TIMES}
        for line in lines_of(output / "manifest.jsonl")
    ]
    record = json.loads((output / "run.json").read_text())
    return {
        "files": sorted(files_in(output)),
        "results": {name: data.hex() for name, data in results_of(output).items()},
        "manifest": manifest,
        "finished": record["finished"],
        "clips": record["clips"],
    }


def killed(folder: Path, boundary: int | None, moment: float | None) -> dict[str, Any]:
    """Kill a run at a boundary or after some seconds; what it left, and what came of it.

    Returns: `code` of the killed run; files of results that are `torn`; results that were `whole`;
        of the run after it the clips `kept` and `done`; whether its output is the `same`.
    """
    output = folder / "out"
    shutil.rmtree(output, ignore_errors=True)
    code, _ = in_fork(lambda: counted(folder, output, boundary), moment)
    expected = results_of(folder / "unbroken")
    results = results_of(output) if output.exists() else {}
    torn = sorted(name for name, data in results.items() if expected.get(name) != data)
    _, again = in_fork(lambda: finished(run(folder, output)))
    return {
        "at": moment if boundary is None else boundary,
        "code": code,
        "torn": torn,
        "whole": len(results) - len(torn),
        "again": again,
        "same": contents(output) == contents(folder / "unbroken"),
    }


def counted(folder: Path, output: Path, kill_at: int | None = None) -> int:
    """The boundaries of a run."""
    countdown = Countdown(kill_at)
    countdown.watch()
    run(folder, output)
    return countdown.count


def finished(summary: Summary) -> dict[str, int]:
    return {"kept": summary.kept, "done": summary.done}


def kills(folder: Path, kind: str, count: int) -> Iterator[dict[str, Any]]:
    """Kill so many runs, evenly over all boundaries, or at random moments."""
    torch.set_num_threads(1)  # threads do not survive a fork
    write_faces(folder / "clips", CLIPS)
    run(folder, folder / "unbroken")  # also loads everything
    if kind == "moments":
        started = time.perf_counter()
        in_fork(lambda: finished(run(folder, folder / "timed")))
        seconds, chance = time.perf_counter() - started, random.Random(0)
        while count:
            outcome = killed(folder, None, chance.uniform(0, seconds))
            if outcome["code"] == -signal.SIGKILL:  # else the run had ended before
                count -= 1
                yield outcome
    else:
        _, total = in_fork(lambda: counted(folder, folder / "counted"))
        for boundary in range(1, total + 1, max(1, total // count)):
            yield killed(folder, boundary, None)


if __name__ == "__main__":
    for outcome in kills(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])):
        print(json.dumps(outcome), flush=True)
