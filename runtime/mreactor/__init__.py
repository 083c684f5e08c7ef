"""Reactions of a listener's face to people who speak: what a program or a notebook needs.

    import mreactor

    reactions = mreactor.react("talk.wav", samples=10)

Importing this takes no time: a name brings what it needs when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mreactor_runtime.convert.convert import convert
    from mreactor_runtime.notebook import react, read_clips
    from mreactor_runtime.reactor import Reactor
    from mreactor_runtime.run.job import run_job
    from mreactor_runtime.sampling_options import Sampling

    __version__: str

__all__ = ["Reactor", "Sampling", "__version__", "convert", "react", "read_clips", "run_job"]

HOMES = {
    "Reactor": "mreactor_runtime.reactor",
    "Sampling": "mreactor_runtime.sampling_options",
    "convert": "mreactor_runtime.convert.convert",
    "react": "mreactor_runtime.notebook",
    "read_clips": "mreactor_runtime.notebook",
    "run_job": "mreactor_runtime.run.job",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = import_module("importlib.metadata").version(__name__)
    elif name in HOMES:
        value = getattr(import_module(HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
