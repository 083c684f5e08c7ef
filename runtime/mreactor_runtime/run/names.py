"""Clips whose results could not be written under their names: they are refused before any work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from mreactor_ref.data.clips import BadClip, ClipFiles
from mreactor_ref.errors import ClipError
from mreactor_ref.printable import printable
from mreactor_runtime.forms import RESULT
from mreactor_runtime.run.extras import PICTURE, PRIORS
from mreactor_runtime.run.shard import ERRORS, MANIFEST, RUN

# A file is first written under another name beside its own: `.NAME.PROCESS-THREAD.partial`.
LONGEST_PARTIAL = len("..4194304-4194304.partial")
USUAL_NAME_MAX, USUAL_PATH_MAX = 255, 4096  # bytes, where the file system does not tell


def check_names(
    clips: Sequence[ClipFiles | BadClip], output: Path, beside_results: Sequence[str] = ()
) -> tuple[ClipFiles | BadClip, ...]:
    """The clips, with a `BadClip` for each whose result has no place in the output.

    Args:
        beside_results: suffixes of what this run writes beside each.
    """
    suffixes = (RESULT, PRIORS, PICTURE, *beside_results)
    addition = max(map(len, suffixes)) + LONGEST_PARTIAL
    longest = _limit(output, "PC_NAME_MAX", USUAL_NAME_MAX) - addition
    deepest = _limit(output, "PC_PATH_MAX", USUAL_PATH_MAX) - addition
    room = deepest - len(os.fsencode(output.absolute())) - 1
    taken = {RUN: "the record of the run", MANIFEST: "the manifest", ERRORS: "the list of errors"}
    for clip in clips:
        for suffix in suffixes:
            taken[clip.id + suffix] = f"a result of {clip.id}"
    return tuple(_checked(clip, longest, room, taken) for clip in clips)


def _checked(
    clip: ClipFiles | BadClip, longest: int, room: int, taken: dict[str, str]
) -> ClipFiles | BadClip:
    name = PurePosixPath(clip.id).name
    size, fix = len(os.fsencode(name)), "rename it"
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in clip.id):
        problem = "its name is not in UTF-8"
    elif not clip.id.isprintable():
        problem = "its name has characters that cannot be printed"
    elif size > longest:
        problem = f"its name is too long for its results: {size} bytes, at most {longest}"
    elif len(os.fsencode(clip.id)) > room:
        problem = f"its path is too long for its results: at most {room} bytes"
    elif (folder := _first_in(_folders(clip.id), taken)) is not None:
        problem = f"its result would lie below {folder}, which is {taken[folder]}"
        fix = "rename the folder"
    else:
        return clip
    return BadClip(clip.id, ClipError(problem, printable(clip.id), fix))


def _folders(clip_id: str) -> list[str]:
    return [folder.as_posix() for folder in PurePosixPath(clip_id).parents]


def _first_in(names: Iterable[str], taken: dict[str, str]) -> str | None:
    return next((name for name in names if name in taken), None)


def _limit(output: Path, name: str, usual: int) -> int:
    """A limit of the file system that the output lies on, or is to lie on."""
    there = next(place for place in (output, *output.absolute().parents) if place.exists())
    try:
        return os.pathconf(there, name)
    except (OSError, ValueError, AttributeError):
        return usual
