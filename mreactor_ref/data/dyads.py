"""Dyads: a speaker, the listeners who heard it, and what they show; read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np

from mreactor_ref.config import ModelConfig
from mreactor_ref.data.layout import MARS_SPEAKER
from mreactor_ref.data.pairs import Pair, ReactionFiles, Tree
from mreactor_ref.data.prepared import Prepared, PreparedClip, map_array
from mreactor_ref.data.react import matrix_path
from mreactor_ref.data.trees import read_tree
from mreactor_ref.emotion.priors import Prior, PriorSource, reaction_prior
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.signals import REACTION_ATTRIBUTES, Array, SpeakerClip, Utterance

LEAST_SPAN = 5  # frames of an utterance from which a prior can be read
# A listener's clip may end this much before or after its speaker's; both are cut to the shorter.
LENGTH_TOLERANCE = 0.4  # seconds
WORDLESS = (
    "no clip has words, so expressive recovery has nothing to work on; the priors of training are "
    "what the reactions show (`mreactor-data transcribe` finds the words)"
)
CHECK = "see all such clips with `mreactor-data check`"


@dataclass(frozen=True)
class Dyad:
    """A speaker's clip with the R reactions of the listeners who heard it.

    Attributes:
        clip: the speaker.
        reactions: R arrays (T', 83), attributes then coefficients, natural units, on the clip's
            grid; T' is `frames` or a few frames more.
        spoken: the U utterances of the clip, or one as long as the clip where there are none.
        shown: (R, U, 2), polarity and intensity that each reaction shows from the start of an
            utterance to that of the next.
        subjects: of each utterance, the priors that a run would choose from; empty where they are
            not known (`Dyads.explained` finds them).
        appropriate: all reactions that count in scoring, each (T', 83) at its own length; empty
            where the tree does not tell them.
    """

    clip: SpeakerClip
    reactions: Sequence[Array]
    spoken: tuple[Utterance, ...]
    shown: Array
    subjects: tuple[tuple[Prior, ...], ...] = ()
    appropriate: Sequence[Array] = ()

    @property
    def frames(self) -> int:
        """T, the frames that the speaker and all its listeners have."""
        return min(self.clip.frames, *(len(reaction) for reaction in self.reactions))


class Reactions(Sequence[Array]):
    """Real reactions (T', 83) that are mapped one by one, when they are asked for."""

    def __init__(self, prepared: Prepared, files: Sequence[ReactionFiles], fps: float):
        self._prepared, self.files, self._fps = prepared, files, fps

    def __len__(self) -> int:
        return len(self.files)

    def of(self, files: Sequence[ReactionFiles]) -> Reactions:
        """Other reactions, of the same tree."""
        return Reactions(self._prepared, files, self._fps)

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> Reactions: ...
    def __getitem__(self, index: int | slice) -> Array | Reactions:
        if isinstance(index, slice):
            return self.of(self.files[index])
        return map_array(self._prepared.reaction(self.files[index], self._fps))


@dataclass(frozen=True)
class Entry:
    """What is kept in memory of a dyad: all but its arrays."""

    clip: PreparedClip
    reactions: tuple[Path, ...]
    appropriate: Reactions
    spoken: tuple[Utterance, ...]
    shown: Array
    subjects: tuple[tuple[Prior, ...], ...] = ()


class Dyads(Sequence[Dyad]):
    """The dyads of a split. Their arrays are mapped from prepared files, each time anew.

    Attributes:
        tree: where they come from.
        entries: what is kept in memory of each.
        left_out: of the split, a problem for each clip that is not among them.
        notes: what was handled but should be known.
    """

    def __init__(
        self,
        tree: Tree,
        entries: Sequence[Entry],
        left_out: Sequence[ClipError],
        notes: Sequence[str],
    ):
        self.tree, self.left_out, self.notes = tree, tuple(left_out), tuple(notes)
        self.entries = tuple(entries)

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Dyad: ...
    @overload
    def __getitem__(self, index: slice) -> Dyads: ...
    def __getitem__(self, index: int | slice) -> Dyad | Dyads:
        if isinstance(index, slice):
            return Dyads(self.tree, self.entries[index], self.left_out, self.notes)
        entry = self.entries[index]
        reactions = tuple(map_array(path) for path in entry.reactions)
        return Dyad(
            entry.clip.open(),
            reactions,
            entry.spoken,
            entry.shown,
            entry.subjects,
            entry.appropriate,
        )

    @property
    def frames(self) -> int:
        """Of all speakers' clips together."""
        return sum(entry.clip.frames for entry in self.entries)

    @property
    def reactions(self) -> int:
        """How many are aligned with the clips."""
        return sum(len(entry.reactions) for entry in self.entries)

    @property
    def has_words(self) -> bool:
        """Whether any clip has words."""
        return any(entry.clip.utterances for entry in self.entries)

    def ids(self) -> list[str]:
        """The clips' ids, in order."""
        return [entry.clip.id for entry in self.entries]

    def appropriate_attributes(self) -> list[list[Array]]:
        """Of each dyad the attributes (T', 25) of all that count in scoring, each at its length.

        Dyads share reactions: each is read once, into memory.

        Raises:
            UsageError: the tree does not tell which reactions are appropriate.
            ClipError: one cannot be read.
        """
        read: dict[ReactionFiles, Array] = {}
        everything: list[list[Array]] = []
        for entry in self.entries:
            if not entry.appropriate:
                raise UsageError(
                    "the tree does not tell which reactions are appropriate",
                    matrix_path(self.tree.root, self.tree.split),
                    "put the matrix of the challenge there",
                )
            for number, files in enumerate(entry.appropriate.files):
                if files not in read:
                    read[files] = np.array(entry.appropriate[number][:, REACTION_ATTRIBUTES])
            everything.append([read[files] for files in entry.appropriate.files])
        return everything

    def explained(self, source: PriorSource) -> Dyads:
        """The dyads, knowing of each utterance the subjects that a run would choose from.

        Raises:
            UsageError: the source cannot be used.
        """
        entries = [
            replace(entry, subjects=subjects_of(entry.clip.utterances, source))
            for entry in self.entries
        ]
        return Dyads(self.tree, entries, self.left_out, self.notes)

    def lines(self) -> Iterator[str]:
        """What a user should be told of the split, in a few lines."""
        split = self.tree.split
        if self.left_out:
            total = len(self) + len(self.left_out)
            yield f"{split}: left out {len(self.left_out)} of {total}; {CHECK}:"
            yield from (f"  {error}" for error in islice(self.left_out, 3))
        yield from (f"{split}: {note}" for note in self.notes)


def load_dyads(
    root: Path,
    split: str,
    config: ModelConfig,
    progress: Callable[[int, int], None] | None = None,
    *,
    roles: Sequence[str] = (MARS_SPEAKER,),
    fps: float | None = None,
    features: Path | None = None,
) -> Dyads:
    """Prepare a split of a tree: features of the speakers, reactions of the listeners.

    Args:
        root, split, roles, fps: see `read_tree`.
        config: the model.
        progress: called with the number of pairs prepared and their total.
        features: the folder of prepared features; in the user's cache if None.

    Raises:
        UsageError: the tree cannot be used, or none of its pairs can be read.
    """
    tree = read_tree(root, split, roles, fps)
    prepared = Prepared(config, features)
    left_out, entries = list(tree.problems), list[tuple[Pair, Entry]]()
    cut: list[tuple[str, int]] = []
    for number, pair in enumerate(tree.pairs, start=1):
        try:
            entry, difference = prepare_pair(pair, prepared, tree.fps)
            entries.append((pair, entry))
            if difference:
                cut.append((pair.id, difference))
        except ClipError as error:
            left_out.append(error)
        if progress is not None:
            progress(number, len(tree.pairs))
    if not entries:
        raise UsageError(
            f"none of its {len(tree.pairs)} pairs can be read; the first problem: {left_out[0]}",
            root / split,
            f"give --fps where the faces are not at {tree.fps:g}; {CHECK}",
        )
    return Dyads(tree, tuple(_without_broken(entries, tree)), left_out, _length_notes(cut))


def prepare_pair(pair: Pair, prepared: Prepared, fps: float) -> tuple[Entry, int]:
    """Prepare the files of a pair.

    Returns:
        What is kept in memory of it, and by how many frames its lengths differ.

    Raises:
        ClipError: a file cannot be read, or speaker and listener differ too much in length.
    """
    clip = prepared.clip(pair.speaker)
    reactions = tuple(prepared.reaction(files, fps) for files in pair.reactions)
    maps = [map_array(path) for path in reactions]
    lengths = [len(values) for values in maps]
    for files, length in zip(pair.reactions, lengths, strict=True):
        if abs(length - clip.frames) > LENGTH_TOLERANCE * clip.fps:
            speaker = next(iter((pair.speaker.sound, *pair.speaker.faces)), None) or pair.id
            raise ClipError(
                f"the listener has {length} frames, and its speaker {speaker} {clip.frames}",
                files.attributes,
                "cut both to the same stretch of time, or remove the pair",
            )
    frames = min(clip.frames, *lengths)
    spoken = clip.utterances or (Utterance(0.0, frames / clip.fps, ""),)
    shown = [
        shown_priors(values[:frames, REACTION_ATTRIBUTES], spoken, clip.fps) for values in maps
    ]
    appropriate = Reactions(prepared, pair.appropriate, fps)
    entry = Entry(clip, reactions, appropriate, spoken, np.array(shown, np.float32))
    return entry, max(clip.frames, *lengths) - frames


def subjects_of(
    utterances: Sequence[Utterance], source: PriorSource
) -> tuple[tuple[Prior, ...], ...]:
    """Of each utterance the subjects that a run would choose from.

    Raises:
        UsageError: the source cannot be used.
    """
    return tuple(source.priors([u.text for u in utterances])) if utterances else ()


def _without_broken(entries: Sequence[tuple[Pair, Entry]], tree: Tree) -> Iterator[Entry]:
    """The entries without appropriate reactions of clips that could not be read."""
    read = {files for pair, _ in entries for files in pair.reactions}
    broken = {files for pair in tree.pairs for files in pair.reactions} - read
    for pair, entry in entries:
        if broken.isdisjoint(pair.appropriate):
            yield entry
            continue
        whole = [files for files in pair.appropriate if files not in broken]
        yield replace(entry, appropriate=entry.appropriate.of(whole))


def _length_notes(cut: Sequence[tuple[str, int]]) -> list[str]:
    if not cut:
        return []
    worst, most = max(cut, key=lambda each: each[1])
    return [
        f"{len(cut)} pairs differ in length and are cut to the shorter, "
        f"by {most} frames at most ({worst})"
    ]


def shown_priors(
    attributes: Array, spoken: Sequence[Utterance], fps: float
) -> list[tuple[float, float]]:
    """Polarity and intensity a reaction shows from each utterance's start to that of the next."""
    frames = len(attributes)
    starts = [round(u.start * fps) for u in spoken]
    ends = [*starts[1:], frames]
    shown: list[tuple[float, float]] = []
    for start, end in zip(starts, ends, strict=True):
        first = max(0, min(start, frames - LEAST_SPAN))
        prior = reaction_prior(attributes[first : max(end, first + LEAST_SPAN)])
        shown.append((prior.polarity, prior.intensity))
    return shown


def stream(clip: SpeakerClip, name: str) -> Array | None:
    """A stream of a clip by its name in STREAMS, (T, width), or None."""
    return getattr(clip, name)
