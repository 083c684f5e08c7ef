"""The options of transcribing that commands share, and the transcriber that they open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # heavy: `--help` must not wait for it
    from mreactor_ref.features.transcriber import Transcriber

AUTO = "auto"
DEFAULT = "default"


@dataclass(frozen=True)
class TranscribeOptions:
    """How words are found in a sound, in the terms of faster-whisper; no model means not at all."""

    model: str | None = None
    language: str = AUTO
    compute_type: str = DEFAULT


def transcribe_options(
    flag: str = "--transcribe", default: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of transcribing, passed on as one argument, `transcribe`.

    Args:
        flag: the option that names the model.
        default: the model where that option is not given; None transcribes nothing.
    """
    options = (
        click.option(
            flag,
            "transcribe_model",
            default=default,
            metavar="NAME|FOLDER",
            help="Whisper model that finds the words of a sound: a name that faster-whisper knows "
            "(small, distil-large-v3), a hub name, or a folder.",
        ),
        click.option(
            "--language",
            "transcribe_language",
            default=AUTO,
            metavar="auto|CODE",
            help="Spoken in the sound, such as en.",
        ),
        click.option(
            "--compute-type",
            "transcribe_compute_type",
            default=DEFAULT,
            help="Of the Whisper model: default, auto, int8, float16, float32 and others.",
        ),
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def gathered(**values: Any) -> None:
            transcribe = TranscribeOptions(
                values.pop("transcribe_model"),
                values.pop("transcribe_language"),
                values.pop("transcribe_compute_type"),
            )
            command(**values, transcribe=transcribe)

        for option in reversed(options):
            gathered = option(gathered)
        return gathered

    return decorate


def open_transcriber(options: TranscribeOptions, device: str = AUTO) -> Transcriber | None:
    """The transcriber that the options ask for, or None where they name no model.

    Args:
        device: auto, cpu, cuda, or one of several such as cuda:1.

    Raises:
        UsageError: faster-whisper is not installed, or the weights are not to be had.
    """
    if options.model is None:
        return None
    from mreactor_ref.features.transcriber import Transcriber

    return Transcriber(options.model, options.language, options.compute_type, device)
