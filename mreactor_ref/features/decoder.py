"""Decodes sound and video in a process of its own, so that a file which breaks the decoder costs
no more than its clip.

    with Decoder() as decoder:
        sound = decoder.read_sound(Path("talk.flac"))

The answers are those of `read_sound` and `read_frames`. A process is started once and decodes clip
after clip; one that crashes, takes too much memory or gives no sign of life is ended, its clip has
a `ClipError`, and the next clip has a new process. Numbers and JSON go through the pipes, never
pickles: what a broken process says cannot run here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import numpy as np

from mreactor_ref.errors import ClipError, MReactorError
from mreactor_ref.features.sound import Sound
from mreactor_ref.features.video.frames import Frame
from mreactor_ref.stages import reached

MAX_MEMORY = 4 << 30  # bytes of address space; two hours of stereo need half of it
PATIENCE = 120.0  # seconds without a sign of life, after which a decoder hangs
MODULE = "mreactor_ref.features.decoder_process"
FIX = "check that it plays, or convert it"


class Decoder:
    """Decodes files in processes, one for each thread that asks at once.

    Args:
        max_memory: bytes of a process's address space.
        patience: seconds that it may give no sign of life.
    """

    def __init__(self, max_memory: int = MAX_MEMORY, patience: float = PATIENCE):
        self._max_memory, self._patience = max_memory, patience
        self._idle: list[_Process] = []  # those that nobody asks
        self._lock = threading.Lock()
        self._running: set[_Process] = set()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            running = list(self._running)
        for process in running:
            self._end(process)

    def read_sound(self, path: str | Path) -> Sound:
        """As `sound.read_sound`.

        Raises:
            ClipError: likewise, or the decoder broke over it.
        """
        path = Path(path)
        with self._asked("sound", path) as process:
            answer = self._answer(process, path)
            wave = np.empty(answer["samples"], np.float32)
            self._fill(process, path, wave)
        return Sound(wave, tuple(answer["warnings"]))

    def read_frames(self, path: str | Path) -> Iterator[Frame]:
        """As `video.frames.read_frames`.

        Raises:
            ClipError: likewise, or the decoder broke over it.
        """
        path = Path(path)
        with self._asked("frames", path) as process:
            while "end" not in (answer := self._answer(process, path)):
                pixels = np.empty(answer["shape"], np.uint8)
                self._fill(process, path, pixels)
                if answer["at"]:
                    reached(*answer["at"])
                yield Frame(answer["time"], pixels)

    @contextmanager
    def _asked(self, what: str, path: Path) -> Generator[_Process]:
        """A process of our own, with a question; ended where its answer is not read to the end."""
        process = self._process()
        try:
            with _broken(process, path):
                process.ask({"what": what, "path": os.fspath(path)})
            yield process
            self._idle.append(process)
        except _Refused as refused:  # by a process that is well
            self._idle.append(process)
            raise ClipError(refused.problem, path, refused.fix) from None
        except BaseException:
            self._end(process)
            raise

    def _process(self) -> _Process:
        with self._lock:
            if self._closed:
                raise RuntimeError("this decoder is closed")
            while self._idle:
                process = self._idle.pop()
                if process.is_alive():
                    return process
                self._running.discard(process)
                process.end()
            process = _Process(self._max_memory)
            self._running.add(process)
        return process

    def _end(self, process: _Process) -> None:
        with self._lock:
            self._running.discard(process)
        process.end()

    def _answer(self, process: _Process, path: Path) -> dict[str, Any]:
        """The next answer that is no mere sign of life. Raises ClipError, _Refused."""
        with _broken(process, path):
            while True:
                self._wait(process, path)
                answer = json.loads(process.answers.recv_bytes())
                if "problem" in answer:
                    raise _Refused(answer["problem"], answer["fix"])
                if "reached" not in answer:
                    return answer
                reached(*answer["reached"])

    def _fill(self, process: _Process, path: Path, values: np.ndarray[Any, Any]) -> None:
        """Take the numbers that follow an answer. Raises ClipError."""
        if values.size:
            with _broken(process, path):
                self._wait(process, path)
                process.answers.recv_bytes_into(values.reshape(-1).view(np.uint8))

    def _wait(self, process: _Process, path: Path) -> None:
        if not process.answers.poll(self._patience):
            problem = f"its decoder hangs: no sign of life for {self._patience:g} s"
            raise ClipError(problem, path, FIX)


class _Refused(Exception):
    """What a process says is wrong with a file."""

    def __init__(self, problem: str, fix: str | None):
        super().__init__(problem)
        self.problem, self.fix = problem, fix


class _Process:
    """A process that decodes, with our ends of its pipes."""

    def __init__(self, max_memory: int):
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        paths = os.pathsep.join(path for path in sys.path if path)
        try:
            self._process = subprocess.Popen(
                # -P: no module is taken from the folder where it happens to start
                [
                    sys.executable,
                    "-P",
                    "-m",
                    MODULE,
                    *map(str, (theirs_in, theirs_out, max_memory)),
                ],
                env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs_in, theirs_out),
                start_new_session=True,  # Ctrl-C in a terminal is for the run alone
            )
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._questions = Connection(ours_out, readable=False)
        self.answers = Connection(ours_in, writable=False)
        try:
            self.answers.recv_bytes()
        except EOFError:
            raise MReactorError(
                f"the process that decodes does not start: it {self.death()}",
                fix=f"python -m {MODULE} shows why",
            ) from None

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: dict[str, Any]) -> None:
        self._questions.send_bytes(json.dumps(question).encode())

    def end(self) -> int:
        """Kill it; how it ended."""
        self._process.kill()
        self._questions.close()
        self.answers.close()
        return self._process.wait()

    def death(self) -> str:
        """How it ended by itself."""
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


@contextmanager
def _broken(process: _Process, path: Path) -> Generator[None]:
    """Turn the end of a process, or an answer that makes no sense, into a ClipError."""
    try:
        yield
    except (EOFError, ConnectionError):
        raise ClipError(f"its decoder crashed: it {process.death()}", path, FIX) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ClipError(f"its decoder went wrong: {error!r}", path, FIX) from error
