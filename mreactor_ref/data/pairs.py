"""Records of a tree: a speaker's clip, the reactions recorded to it, and all that are appropriate.

Two kinds of reactions must not be mixed. What a listener showed to this very clip is aligned with
it, frame by frame: training takes its windows from these alone. What a challenge calls appropriate
besides was shown to another speaker at other times: such a reaction has its own length and its own
clock. It is never a target of frames, and counts in scoring alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mreactor_ref.data.grouping import ClipFiles
from mreactor_ref.data.layout import MARS_SPEAKER
from mreactor_ref.errors import ClipError
from mreactor_ref.features.face import read_face
from mreactor_ref.signals import Array

LISTENER = "listener"
OTHER_ROLE = {MARS_SPEAKER: LISTENER, LISTENER: MARS_SPEAKER}
MARS, REACT = "MARS", "REACT 2023/2024"  # layouts


@dataclass(frozen=True)
class ReactionFiles:
    """The two files of a real reaction.

    Attributes:
        id: where it lies in its tree, such as `<split>/<role>/<session>/<clip>`.
    """

    id: str
    attributes: Path
    coefficients: Path


@dataclass(frozen=True)
class Pair:
    """A speaker's clip with its real reactions.

    Attributes:
        id: of the speaker's clip, as `find_clips` names it below the same root; where the listener
            of a MARS tree is taken as the speaker, `<split>/listener/<session>/<clip>`.
        speaker: its files; what is not there is None.
        reactions: at least one, of listeners who heard this clip; aligned with it.
        appropriate: all that count in scoring, each with a length and a clock of its own. Empty
            where the tree does not tell them.
    """

    id: str
    speaker: ClipFiles
    reactions: tuple[ReactionFiles, ...]
    appropriate: tuple[ReactionFiles, ...]


@dataclass(frozen=True)
class Tree:
    """One split of a tree.

    Attributes:
        root, split: where it lies.
        layout: MARS or REACT.
        fps: frames a second of all faces in it.
        pairs: sorted by role, then as the tree lists them.
        problems: one for each clip or reaction that is left out.
    """

    root: Path
    split: str
    layout: str
    fps: float
    pairs: tuple[Pair, ...]
    problems: tuple[ClipError, ...] = ()

    def reactions(self) -> Iterator[ReactionFiles]:
        """Every reaction of the split that is aligned with a speaker, once."""
        seen: set[ReactionFiles] = set()
        for pair in self.pairs:
            for files in pair.reactions:
                if files not in seen:
                    seen.add(files)
                    yield files


def whole_reaction(
    id: str, attributes: Path | None, coefficients: Path | None, wanted: tuple[Path, Path]
) -> ReactionFiles:
    """The two files of a reaction.

    Args:
        id: see `ReactionFiles`.
        wanted: where they should lie, for the error.

    Raises:
        ClipError: one of them, or both, is missing.
    """
    missing = [
        path
        for path, there in zip(wanted, (attributes, coefficients), strict=True)
        if there is None
    ]
    if attributes is None or coefficients is None:
        half = "half of a reaction is missing" if len(missing) == 1 else "the reaction is missing"
        raise ClipError(half, missing[-1], "add it, or remove the clip of both roles")
    return ReactionFiles(id, attributes, coefficients)


def read_reaction(files: ReactionFiles) -> tuple[Array, Array]:
    """Read a real reaction.

    Returns:
        Attributes (T, 25) and coefficients (T, 58), float32.

    Raises:
        ClipError: a file that cannot be read, of another shape, or not as long as the other.
    """
    attributes = read_face(files.attributes).attributes
    coefficients = read_face(files.coefficients).coefficients
    if attributes is None:
        raise ClipError("holds no attributes", files.attributes, "rows of 25 are attributes")
    if coefficients is None:
        raise ClipError("holds no coefficients", files.coefficients, "rows of 58 are coefficients")
    if len(attributes) != len(coefficients):
        raise ClipError(
            f"has {len(coefficients)} frames, the attributes {len(attributes)}",
            files.coefficients,
            "extract both from the same video",
        )
    return attributes, coefficients
