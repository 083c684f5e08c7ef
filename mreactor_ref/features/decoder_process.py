"""The process that decodes for `decoder.Decoder`: answers questions from a pipe until it closes.

    python -m mreactor_ref.features.decoder_process IN OUT MAX_MEMORY

IN and OUT are the numbers of open pipes. A question is `{"what": "sound" or "frames", "path"}`. An
answer is JSON, then the numbers that it announces; `{"reached": [stage, part]}` is a sign of life.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mreactor_ref.errors import ClipError
from mreactor_ref.features.sound import read_sound
from mreactor_ref.features.video.frames import read_frames
from mreactor_ref.stages import listening

SIGN_SECONDS = 0.2  # between signs of life
LOOK_SECONDS = 2.0  # between looks whether the one who asks is there


class _Answers:
    """The pipe to the one who asks."""

    def __init__(self, pipe: Connection):
        self._pipe = pipe
        self._latest = 0.0
        self.place: tuple[str, float] | None = None  # the stage, and how far it is

    def say(self, **answer: Any) -> None:
        self._pipe.send_bytes(json.dumps(answer).encode())

    def numbers(self, values: Any) -> None:
        if values.size:
            self._pipe.send_bytes(memoryview(values).cast("B"))

    def reached(self, stage: str, part: float) -> None:
        self.place = stage, part
        if time.monotonic() - self._latest >= SIGN_SECONDS:
            self._latest = time.monotonic()
            self.say(reached=[stage, part])


def answer(what: str, path: Path, answers: _Answers) -> None:
    """Decode one file."""
    answers.place = None
    try:
        with listening(answers.reached):
            if what == "sound":
                sound = read_sound(path)
                answers.say(samples=len(sound.wave), warnings=sound.warnings)
                answers.numbers(sound.wave)
            else:
                for frame in read_frames(path):
                    at = answers.place
                    answers.say(time=float(frame.time), shape=frame.pixels.shape, at=at)
                    answers.numbers(frame.pixels)
                answers.say(end=True)
    except ClipError as error:
        answers.say(problem=error.problem, fix=error.fix)
    except MemoryError:
        answers.say(problem="needs more memory than a decoder has", fix="cut it into several clips")


def _end_with(parent: int) -> None:
    """End where the one who asks was killed, whatever a broken file keeps this process at."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)


def main(arguments: list[str]) -> None:
    """Answer questions until there are no more."""
    questions_from, answers_to, max_memory = map(int, arguments)
    resource.setrlimit(resource.RLIMIT_AS, (max_memory, max_memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    questions = Connection(questions_from, writable=False)
    answers = _Answers(Connection(answers_to, readable=False))
    answers.say(ready=True)
    try:
        while True:
            question = json.loads(questions.recv_bytes())
            answer(question["what"], Path(question["path"]), answers)
    except (EOFError, BrokenPipeError):
        return  # nobody asks any more


if __name__ == "__main__":
    main(sys.argv[1:])
