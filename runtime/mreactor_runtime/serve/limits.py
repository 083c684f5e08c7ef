"""What the service takes, keeps and waits for, at the most, and the options for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any

import click

from mreactor_ref.errors import UsageError
from mreactor_runtime.sampling_options import not_nan

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What the service takes, keeps and waits for, at the most.

    Attributes:
        queue: clips that are taken in and not answered.
        upload_bytes, upload_seconds: of the body of one request.
        clip_seconds: length of a clip.
        samples, steps: of one request.
        wait_seconds: that a request waits for its reactions before it gets a job.
        kept_jobs, kept_seconds: jobs that are done, and how long each is kept.
        drain_seconds: that the end of the service waits for what was taken in.

    Raises:
        UsageError: one is below what makes sense.
    """

    queue: int = 32
    upload_bytes: int = 64 * MIB
    upload_seconds: float = 60.0
    clip_seconds: float = 300.0
    samples: int = 20
    steps: int = 100
    wait_seconds: float = 60.0
    kept_jobs: int = 64
    kept_seconds: float = 600.0
    drain_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("queue", "upload_bytes", "samples", "steps"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, not at least 1")
        for name in ("wait_seconds", "kept_jobs", "kept_seconds", "drain_seconds"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name)}, not at least 0")
        for name in ("upload_seconds", "clip_seconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}, not above 0")


OF = "most_"  # before a field's name, where click has it among the names of other options

# Field -> the option, its least value, and its help.
OPTIONS = {
    "queue": ("--queue", 1, "Clips that are taken in and not answered; more get 429."),
    "upload_bytes": ("--max-upload", 1, "Bytes of one request."),
    "upload_seconds": ("--upload-seconds", 0.1, "Seconds in which a request must come."),
    "clip_seconds": ("--max-seconds", 0.1, "Length of a clip."),
    "samples": ("--max-samples", 1, "Reactions that one request may ask for."),
    "steps": ("--max-steps", 1, "Steps that one request may ask for."),
    "wait_seconds": ("--wait-seconds", 0, "That a request waits before it gets a job."),
    "kept_jobs": ("--keep-jobs", 0, "Jobs that are done and kept."),
    "kept_seconds": ("--keep-seconds", 0, "Seconds that they are kept."),
    "drain_seconds": ("--drain-seconds", 0, "That the end waits for what was taken in."),
}


def limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each limit, passed on as one argument, `limits`."""

    @wraps(command)
    def gathered(**values: Any) -> None:
        limits = Limits(**{field.name: values.pop(OF + field.name) for field in fields(Limits)})
        command(**values, limits=limits)

    with_options: Callable[..., None] = gathered
    for field in reversed(fields(Limits)):
        flag, least, text = OPTIONS[field.name]
        whole = isinstance(field.default, int)
        kind = click.IntRange(int(least)) if whole else click.FloatRange(least)
        option = click.option(
            flag, OF + field.name, type=kind, default=field.default, callback=not_nan, help=text
        )
        with_options = option(with_options)
    return with_options
