"""How far a long piece of work on a clip is: who works says so, whoever listens hears it.

A video of an hour takes minutes to read, deep inside the readers. Who waits for it listens in the
thread that works, so that nothing in between passes a callback on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

SOUND, FACE, WORDS = "sound", "face", "words"
ENCODING, SAMPLING = "encoding", "sampling"

# Called with the stage and the part of it that is done, from 0 to 1; often, so it must be quick.
Listener = Callable[[str, float], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def reached(stage: str, part: float) -> None:
    """Say that so much of a stage is done. Costs nothing to speak of where nobody listens."""
    listener = _listener.get()
    if listener is not None:
        listener(stage, min(max(part, 0.0), 1.0))


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Within the block, `listener` hears of the work of this thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
