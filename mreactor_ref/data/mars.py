"""MARS trees (REACT 2025/2026): sessions with a speaker's clips and the reactions that fit them.

`<root>/<split>/{audio,facial-attributes,coefficients,...}/{speaker,listener}/<session>/<clip>.*`.
A clip's appropriate reactions are the other role's clips of the same session; either role can be
the speaker. Clips of one session may differ in length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mreactor_ref.data.grouping import ClipFiles
from mreactor_ref.data.layout import MARS_FOLDERS, MARS_SPEAKER
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.face import read_face
from mreactor_ref.signals import Array

OTHER_ROLE = {MARS_SPEAKER: "listener", "listener": MARS_SPEAKER}
ATTRIBUTES_FOLDER, COEFFICIENTS_FOLDER = "facial-attributes", "coefficients"


@dataclass(frozen=True)
class ReactionFiles:
    """The two files of a real reaction."""

    attributes: Path
    coefficients: Path


@dataclass(frozen=True)
class Session:
    """One speaker clip and the real reactions that are appropriate to it.

    Attributes:
        id: `<split>/<session>/<clip>`, as `find_clips` names it below the same root; where the
            listener is taken as the speaker, `<split>/listener/<session>/<clip>`.
        speaker: its files; what is not there is None.
        reactions: at least one, sorted by name.
    """

    id: str
    speaker: ClipFiles
    reactions: tuple[ReactionFiles, ...]


def read_mars(
    root: str | Path, split: str, roles: Sequence[str] = (MARS_SPEAKER,)
) -> list[Session]:
    """The speaker clips of a split with their appropriate reactions, sorted by role, then id.

    Args:
        root: the folder that holds the splits.
        split: such as train, val or test.
        roles: who is taken as the speaker: "speaker", "listener", or both.

    Raises:
        UsageError: no such folder or role, or no clip in it.
        ClipError: a clip without any reaction, a reaction with only one of its two files, or two
            files for one thing.
    """
    folder = Path(root) / split
    if not folder.is_dir():
        raise UsageError(
            "there is no such folder", folder, "give the folder that holds train, val and test"
        )
    unknown = [role for role in roles if role not in OTHER_ROLE]
    if unknown or not roles:
        raise UsageError(f"the roles are {list(roles)}, not speaker or listener")
    sessions: list[Session] = []
    for role in roles:
        sessions += _read_role(folder, split, role)
    if not sessions:
        layout = f"{COEFFICIENTS_FOLDER}/{roles[0]}/<session>/<clip>.npy"
        raise UsageError("no clips found", folder, f"a MARS tree holds {layout}")
    return sessions


def _read_role(folder: Path, split: str, role: str) -> list[Session]:
    names = {
        path.name
        for kind in MARS_FOLDERS
        for path in _entries(folder / kind / role)
        if path.is_dir()
    }
    prefix = split if role == MARS_SPEAKER else f"{split}/{role}"
    sessions: list[Session] = []
    for name in sorted(names):
        clips = _clips(folder, role, name)
        reactions = _reactions(folder, OTHER_ROLE[role], name) if clips else ()
        for clip, files in sorted(clips.items()):
            id = f"{prefix}/{name}/{clip}"
            faces = (files.get(COEFFICIENTS_FOLDER), files.get(ATTRIBUTES_FOLDER))
            present = tuple(path for path in faces if path is not None)
            speaker = ClipFiles(id, files.get("audio"), files.get("words"), present)
            sessions.append(Session(id, speaker, reactions))
    return sessions


def _clips(folder: Path, role: str, session: str) -> dict[str, dict[str, Path]]:
    """clip -> kind -> file, of one role in one session."""
    clips: dict[str, dict[str, Path]] = {}
    for kind, suffixes in MARS_FOLDERS.items():
        for path in _entries(folder / kind / role / session):
            if path.suffix.lower() not in suffixes:
                continue
            files = clips.setdefault(path.stem, {})
            if kind in files:
                raise ClipError(f"a second file for one clip, beside {files[kind].name}", path)
            files[kind] = path
    return clips


def _reactions(folder: Path, role: str, session: str) -> tuple[ReactionFiles, ...]:
    """The reactions of a session, from the role that reacts."""
    reactions: list[ReactionFiles] = []
    for clip, files in sorted(_clips(folder, role, session).items()):
        pair = [files.get(kind) for kind in (ATTRIBUTES_FOLDER, COEFFICIENTS_FOLDER)]
        if pair == [None, None]:
            continue  # a sound alone is no reaction of a face
        for kind, path in zip((ATTRIBUTES_FOLDER, COEFFICIENTS_FOLDER), pair, strict=True):
            if path is None:
                missing = folder / kind / role / session / f"{clip}.npy"
                raise ClipError("half of a reaction is missing", missing, "add or remove the clip")
        attributes, coefficients = pair
        assert attributes is not None
        assert coefficients is not None
        reactions.append(ReactionFiles(attributes, coefficients))
    if not reactions:
        raise ClipError(
            f"the session has no reaction of the {role}",
            folder / COEFFICIENTS_FOLDER / role / session,
            "add one, or remove the session",
        )
    return tuple(reactions)


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, without what is hidden; nothing where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def read_reaction(files: ReactionFiles) -> tuple[Array, Array]:
    """A real reaction: attributes (T, 25) and coefficients (T, 58), float32.

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
