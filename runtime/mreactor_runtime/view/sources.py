"""The clips' own files: what the speaker said, and the sound or video that the page plays."""

from __future__ import annotations

import os
import shutil
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from mreactor_ref.data.clips import ClipFiles, find_clips
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.sound import read_sound
from mreactor_ref.features.words import read_words
from mreactor_ref.files import in_place_of
from mreactor_ref.json_text import parse_json
from mreactor_ref.signals import SAMPLE_RATE
from mreactor_runtime.forms import beside
from mreactor_runtime.run.extras import PRIORS
from mreactor_runtime.view.folder import RunFolder
from mreactor_runtime.view.options import COPY, NONE

PLAYED = (".wav", ".flac", ".m4a", ".aac", ".opus", ".ogg", ".oga", ".mp3")  # by browsers
SEEN = (".mp4", ".m4v", ".mov", ".webm")
HELD_16_BITS = 32767


@dataclass(frozen=True)
class Media:
    """What a page plays: an address relative to the page, and whether there is a picture."""

    address: str
    is_video: bool


def find_sources(folder: RunFolder, inputs: Sequence[str]) -> tuple[dict[str, ClipFiles], str]:
    """The files of each clip of a run by its id, and a note where they cannot be found.

    Args:
        inputs: where the clips are; if empty, where the run file says, seen from here.
    """
    asked = list(inputs)
    arguments = folder.record.get("arguments")
    if not asked and isinstance(arguments, dict) and isinstance(arguments.get("input"), str):
        asked = arguments["input"].split(", ")
    if not asked:
        return {}, "Where the clips are is not known: `--input` says it, for their sound and words."
    try:
        clips = find_clips(asked).clips
    except UsageError as error:
        return {}, f"The clips were not found ({error.problem}): `--input` says where they are."
    return {clip.id: clip for clip in clips if isinstance(clip, ClipFiles)}, ""


def media_of(clip: ClipFiles | None, page: Path, media: str) -> tuple[Media | None, str]:
    """What the page of a clip plays, and a note where that is nothing.

    A sound that no browser plays is written beside the page as wav.

    Args:
        page: the file of the page. media: LINK, COPY or NONE.
    """
    source = None if clip is None else clip.sound or clip.video
    if media == NONE or source is None:
        lacking = "there is no sound of the speaker" if media != NONE else "sound was left out"
        return None, f"{lacking}: the heads move in step with a silent clock"
    if not source.is_file():
        return None, f"{source.name} is no longer there: the heads move with a silent clock"
    suffix = source.suffix.lower()
    if suffix not in (*PLAYED, *SEEN):
        target = page.with_suffix(".wav")
        try:
            _write_wav(source, target)
        except ClipError as error:
            return None, f"its sound cannot be played: {error.problem}"
        return Media(quote(target.name), False), ""
    if media == COPY:
        target = page.with_name(page.stem + suffix)
        with in_place_of(target) as partial:
            shutil.copyfile(source, partial)
        return Media(quote(target.name), suffix in SEEN), ""
    return Media(address(source, page.parent), suffix in SEEN), ""


def address(path: Path, start: Path) -> str:
    """The relative address of a file in a page of the folder `start`."""
    try:
        relative = os.path.relpath(path.absolute(), start.absolute())
    except ValueError:  # another drive
        return path.absolute().as_uri()
    return quote(Path(relative).as_posix())


def _write_wav(source: Path, target: Path) -> None:
    samples = np.rint(HELD_16_BITS * np.clip(read_sound(source).wave, -1, 1)).astype("<i2")
    with in_place_of(target) as partial, wave.open(str(partial), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())


def utterances_of(
    clip: ClipFiles | None, result: Path, seconds: float
) -> tuple[list[dict[str, Any]], str]:
    """What the speaker said, each utterance with the times of its words, and a note if it lacks.

    From the clip's own words, or else what was explained of its priors beside the result.
    """
    note = "what was said is not known"
    if clip is not None and clip.words is not None:
        try:
            words = read_words(clip.words, seconds).words
            return [
                {"words": [[round(w.start, 3), round(w.end, 3), w.text] for w in spoken]}
                for spoken in words
            ], ""
        except ClipError as error:
            note = f"what was said cannot be read: {error.problem}"
    explained = _explained(beside(result, PRIORS))
    return explained, "" if explained else note


def _explained(path: Path) -> list[dict[str, Any]]:
    """Utterances as `--explain-priors` writes them; none where there is no such file of ours."""
    try:
        return [
            {"words": [[float(row["start"]), float(row["end"]), str(row["utterance"])]]}
            for row in parse_json(path.read_bytes())
        ]
    except (OSError, ValueError, TypeError, KeyError):
        return []
