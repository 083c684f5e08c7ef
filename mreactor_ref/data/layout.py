"""The kinds of files in a folder of clips: by suffix, by place in a known tree, by name."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import PurePosixPath

from mreactor_ref.features.words import WORDS_SUFFIXES

# Of one clip, the first that is there is taken.
AUDIO = (
    *(".wav", ".w64", ".flac", ".aiff", ".aif", ".m4a", ".aac", ".opus", ".ogg", ".oga"),
    *(".mka", ".mp3"),
)
VIDEO = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".3gp")
WORDS = WORDS_SUFFIXES
BEST_WORDS = (".json", ".textgrid", ".vtt", ".srt", ".txt")  # what tells most about time is first
FACE = (".npy", ".csv")
KNOWN = (*AUDIO, *VIDEO, *WORDS, *FACE)

# Folders of the known trees that hold files of a clip, and what is read from each.
MARS_FOLDERS = {
    "audio": AUDIO,
    "words": WORDS,
    "facial-attributes": FACE,
    "coefficients": FACE,
}
MARS_SPEAKER = "speaker"
REACT_FOLDERS = {"Audio_files": AUDIO, "Words_files": WORDS, "Emotion": FACE, "3D_FV_files": FACE}
REACT_SETS = ("NoXI", "RECOLA", "UDIVA")

PROCESSED = "processed"  # where OpenFace writes, below the folder of the video
# Parts of a name that say what a file is, not whose: `a.en.vtt`, `a.face.csv`, `a.wav.srt`.
LANGUAGE = re.compile(
    r"[a-z]{2}(?:[-_](?:[a-z]{2}|[a-z]{4}|\d{3}))?"
    r"|eng|deu|ger|fra|fre|spa|ita|por|rus|jpn|kor|zho|chi|nld|dut|pol|tur|ara|hin",
    re.IGNORECASE,
)
ENGLISH = re.compile(r"en(?:[-_].*)?|eng", re.IGNORECASE)
TAGS = frozenset(
    (
        *("face", "faces", "openface", "pyfeat", "libreface", "aus", "blendshapes", "arkit"),
        *("attributes", "coefficients", "words", "transcript", "subtitles", "captions"),
        *("forced", "sdh", "cc", "auto", "audio", "video"),
        *(suffix.removeprefix(".") for suffix in (*AUDIO, *VIDEO)),
    )
)
MOST_TAGS = 2  # `a.en.forced.srt`

# What a run leaves in its output folder.
RUN_FILES = re.compile(r"run(?:-\d+-of-\d+)?\.json|(?:manifest|errors)(?:-\d+-of-\d+)?\.jsonl")
RUN_PAIR = ("run", "manifest")  # a folder with both is the output of a run
PRIORS_SUFFIX = ".priors.json"
VIEW_DATA = "run_data.js"  # a folder with it holds pages, which may have copies of sounds
# Its reactions in other forms, of those suffixes that a clip's file may have.
CONVERTED = re.compile(
    r".+\.reaction\d+\.(?:a2f\.json|(?:(?:openface|livelink)\.)?csv(?:\.about\.json)?)"
)


def tree_place(path: PurePosixPath) -> PurePosixPath | None:
    """The place of a clip's file of a known tree without that tree's folders; None for others."""
    parts, suffix = path.parts, path.suffix.lower()
    for i, (part, following) in enumerate(pairwise(parts[:-1])):
        if following == MARS_SPEAKER and suffix in MARS_FOLDERS.get(part, ()):
            return PurePosixPath(*parts[:i], *parts[i + 2 :])
        if following in REACT_SETS and suffix in REACT_FOLDERS.get(part, ()):
            return PurePosixPath(*parts[:i], *parts[i + 1 :])
    return None


def names_of(place: PurePosixPath) -> list[PurePosixPath]:
    """The place of a file without its suffix; then without the tags at the end of its name."""
    names = [place.with_suffix("")]
    while len(names) <= MOST_TAGS:
        tag = names[-1].suffix.removeprefix(".")
        if not tag or not (tag.lower() in TAGS or LANGUAGE.fullmatch(tag)):
            break
        names.append(names[-1].with_suffix(""))
    return names


def is_result(name: str) -> bool:
    """Whether a file with this name is one that runs write beside the clips' results."""
    patterns = (RUN_FILES, CONVERTED)
    return name.endswith(PRIORS_SUFFIX) or any(pattern.fullmatch(name) for pattern in patterns)
