"""Words files for sounds: beside the clips of a folder, or in the words folders of a known tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePath

from mreactor_ref.data.layout import AUDIO, MARS_SPEAKER, REACT_SETS, VIDEO, WORDS
from mreactor_ref.data.mars import OTHER_ROLE
from mreactor_ref.errors import ClipError, MReactorError, UsageError
from mreactor_ref.features.sound import load_sound
from mreactor_ref.features.words import Transcript, write_words
from mreactor_ref.signals import Array

# The folder of sounds in a known tree, the folder of words beside it, and what follows both.
TREES = (
    ("audio", "words", (MARS_SPEAKER, OTHER_ROLE[MARS_SPEAKER])),
    ("Audio_files", "Words_files", REACT_SETS),
)


@dataclass(frozen=True)
class SoundFile:
    """A sound, and where its words belong."""

    sound: Path
    words: Path


@dataclass(frozen=True)
class Outcome:
    """What became of one sound: its words were written, were there before, or could not be had."""

    file: SoundFile
    transcript: Transcript | None = None
    error: MReactorError | None = None


def find_sounds(paths: Iterable[str | Path]) -> list[SoundFile]:
    """The sounds of files and folders, sorted by path, each once.

    The words of a sound belong beside it, with the suffix .json. In a MARS tree those of
    `<split>/audio/<role>/<session>/<clip>.wav` belong to `<split>/words/<role>/<session>/`, in a
    REACT tree those of `Audio_files/NoXI/...` to `Words_files/NoXI/...`; every role is found, and
    other files of such a tree are left out. A sound file comes before the sound of a video.

    Raises:
        UsageError: no such file or folder, or no sound in it.
    """
    sounds: dict[Path, SoundFile] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise UsageError("there is no such file or folder", path)
        files = list(_sounds_below(path)) if path.is_dir() else [path]
        if not files:
            looked = " ".join(AUDIO + VIDEO)
            raise UsageError(f"no sound found (looked for {looked})", path)
        in_tree = [SoundFile(file, place) for file in files if (place := _tree_place(file))]
        for file in in_tree or [SoundFile(f, f.with_suffix(".json")) for f in files]:
            sounds.setdefault(file.sound, file)
    return sorted(sounds.values(), key=lambda file: file.sound)


def transcribe_sounds(
    files: Iterable[SoundFile], transcriber: Callable[[Array], Transcript]
) -> Iterator[Outcome]:
    """Write the words of each sound that has none. One bad clip never stops the others.

    Args:
        files: from `find_sounds`.
        transcriber: (N,) samples -> their words.

    Yields:
        The outcome of each file, in their order.

    Raises:
        UsageError: the transcriber cannot work at all.
    """
    owners: dict[Path, Path] = {}
    folders: dict[Path, set[str]] = {}
    for file in files:
        owner = owners.setdefault(file.words, file.sound)
        if owner != file.sound:
            error = ClipError(f"is a second sound for one clip, beside {owner.name}", file.sound)
            yield Outcome(file, error=error)
        elif file.words.stem in _stems_with_words(file.words.parent, folders):
            yield Outcome(file)
        else:
            yield _transcribe(file, transcriber)


def _stems_with_words(folder: Path, folders: dict[Path, set[str]]) -> set[str]:
    """The stems of the files of words that lay in a folder when it was first looked into."""
    if folder not in folders:
        names = folder.iterdir() if folder.is_dir() else ()
        folders[folder] = {path.stem for path in names if path.suffix.lower() in WORDS}
    return folders[folder]


def _transcribe(file: SoundFile, transcriber: Callable[[Array], Transcript]) -> Outcome:
    try:
        transcript = transcriber(load_sound(file.sound))
        write_words(file.words, transcript)
    except ClipError as error:
        named = error if error.path else ClipError(error.problem, file.sound, error.fix)
        return Outcome(file, error=named)
    except OSError as error:
        reason = error.strerror or str(error)
        return Outcome(file, error=ClipError(f"cannot be written: {reason}", file.words))
    return Outcome(file, transcript)


def _sounds_below(folder: Path) -> Iterator[Path]:
    """Sounds in depth without what is hidden, and videos where no sound has their stem."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files = [Path(root, name) for name in names if not name.startswith(".")]
        sounds = [file for file in files if file.suffix.lower() in AUDIO]
        stems = {sound.stem for sound in sounds}
        yield from sounds
        yield from (
            file for file in files if file.suffix.lower() in VIDEO and file.stem not in stems
        )


def _tree_place(sound: Path) -> Path | None:
    """Where the words of a sound in a known tree belong, or None for a sound in none."""
    parts = PurePath(sound).parts
    for i, (part, following) in reversed([*enumerate(pairwise(parts[:-1]))]):
        for sounds, words, follow in TREES:
            if part == sounds and following in follow and sound.suffix.lower() in AUDIO:
                return Path(*parts[:i], words, *parts[i + 1 :]).with_suffix(".json")
    return None
