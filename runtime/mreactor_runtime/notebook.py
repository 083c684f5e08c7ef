"""Calls for a notebook: the clips of a folder, and reactions to a file or a folder.

    reactions = react("talk.wav", samples=10)

For many clips, `run_job` keeps what is done on disk, and reads, samples and writes at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mreactor_ref.config import ModelConfig
from mreactor_ref.data.clips import BadClip, ClipFiles, FeatureReader, find_clips
from mreactor_ref.data.reading import open_reader
from mreactor_ref.errors import ClipError, ClipWarning
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.reactor import ClipReactions, Reactor


def read_clips(folder: str | Path, config: ModelConfig) -> Iterator[SpeakerClip]:
    """Yields the clips of a folder, by their ids.

    A clip that cannot be read is left out, with a `ClipWarning`; so comes what else should be known
    of a clip.

    Args:
        folder: searched in depth, as `find_clips` does it.
        config: of the model that the clips are for, such as `reactor.config`.

    Raises:
        UsageError: no such folder, no clip in it, or an encoder of the model cannot be loaded.
    """
    return _read_all(find_clips(folder).clips, open_reader(config))


def react(
    source: str | Path, model: str | Path | Reactor = "mini", **changes: Any
) -> ClipReactions | list[ClipReactions]:
    """Reactions to one clip, or to each clip of a folder: those of `mreactor-infer` on the folder.

    Args:
        source: a folder of clips, or a file of one clip, whose other files are found beside it by
            their stem: the words and the face of a sound.
        model: as `Reactor.open` takes it, or an opened reactor, which saves opening it again.
        changes: of the reactor's sampling, by name, such as `samples=3, seed=1, steps=5`.

    Returns:
        The reactions to a file's clip. Of a folder, the reactions to each clip; one that cannot be
        done is left out, with a `ClipWarning`.

    Raises:
        UsageError: no such file, folder or model, no clip there, or an option out of range.
        ClipError: the file's clip cannot be read, or does not fit the model.
    """
    is_folder = Path(source).is_dir()
    clips = find_clips(source).clips
    reactor = model if isinstance(model, Reactor) else Reactor.open(model)
    reader = open_reader(reactor.config)
    if not is_folder:
        return reactor.generate(_read(clips[0], reader), **changes)
    reactions = []
    for clip in _read_all(clips, reader):
        try:
            reactions.append(reactor.generate(clip, **changes))
        except ClipError as error:
            warnings.warn(str(error), ClipWarning, stacklevel=2)
    return reactions


def _read_all(clips: Sequence[ClipFiles | BadClip], reader: FeatureReader) -> Iterator[SpeakerClip]:
    for files in clips:
        try:
            clip = _read(files, reader)
        except ClipError as error:
            warnings.warn(str(error), ClipWarning, stacklevel=2)
        else:
            yield clip


def _read(files: ClipFiles | BadClip, reader: FeatureReader) -> SpeakerClip:
    """One clip. Raises ClipError where it cannot be read."""
    if isinstance(files, BadClip):
        raise files.error
    clip, lines = reader.read(files)
    for line in lines:
        warnings.warn(f"{clip.id}: {line}", ClipWarning, stacklevel=2)
    return clip
