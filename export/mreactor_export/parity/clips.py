"""Real features: the example clips of a source checkout, and simulated dyads for the measures."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from mreactor_ref.config import ModelConfig
from mreactor_ref.data.clips import ClipFiles, FeatureReader, find_clips
from mreactor_ref.data.pairs import read_reaction
from mreactor_ref.data.simulated.dataset import write_dataset
from mreactor_ref.data.trees import read_tree
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.signals import Array, SpeakerClip

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "clips"
PACKAGED = ("mfcc", "minilm")  # encoders that come with the installed packages
SPLIT = "test"
SEED = 7
LISTENERS = 3


@dataclass(frozen=True)
class Scored:
    """A simulated speaker and the attributes (T', 25) of the reactions that fit it."""

    clip: SpeakerClip
    appropriate: tuple[Array, ...]


def example_clips(config: ModelConfig, most: int | None = None) -> tuple[list[SpeakerClip], str]:
    """The example clips as a model reads them, those of most streams first.

    Args:
        most: only the first so many.
    Returns: the clips, and why there are none: no source checkout, or encoders that are not on
        this machine. Nothing is downloaded.
    """
    if not EXAMPLES.is_dir():
        return [], "random features only: no example clips, which a source checkout has"
    if missing := _missing(config):
        return [], f"random features only: {', '.join(missing)} is not on this machine"
    files = [entry for entry in find_clips(EXAMPLES).clips if isinstance(entry, ClipFiles)]
    files.sort(key=lambda f: (-_streams(f), f.id))
    reader, clips = FeatureReader(config), []
    for one in files[:most]:
        try:
            clips.append(reader.read(one)[0])
        except (ClipError, UsageError) as error:
            return [], f"random features only: {error}"
    return clips, ""


def dyads(config: ModelConfig, count: int) -> tuple[list[Scored], str]:
    """Simulated speakers and their listeners, always the same, and what they lack: where an
    encoder is not on this machine the speakers have a face alone."""
    missing = _missing(config)
    reader, scored = FeatureReader(config), []
    with tempfile.TemporaryDirectory(prefix="mreactor-parity-") as folder:
        write_dataset(folder, {SPLIT: count}, SEED, config.fps, LISTENERS)
        for pair in read_tree(folder, SPLIT).pairs:
            files = replace(pair.speaker, sound=None, words=None) if missing else pair.speaker
            appropriate = tuple(read_reaction(reaction)[0] for reaction in pair.reactions)
            scored.append(Scored(reader.read(files)[0], appropriate))
    note = f"the measures' speakers have a face alone: no {', '.join(missing)} on this machine"
    return scored, note if missing else ""


def _missing(config: ModelConfig) -> list[str]:
    """The encoders that would have to be downloaded."""
    return [name for name in (config.sound_encoder, config.words_encoder) if not _is_here(name)]


def _is_here(name: str) -> bool:
    if name in PACKAGED or Path(name).expanduser().is_dir():
        return True
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def _streams(files: ClipFiles) -> int:
    return (files.sound is not None) + (files.words is not None) + len(files.faces)
