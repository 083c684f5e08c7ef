"""MARS trees (REACT 2025/2026), and the simulated trees of the same layout.

`<root>/<split>/{audio,facial-attributes,coefficients,...}/{speaker,listener}/<session>/<clip>.*`.
A session is one prompt, said by many speakers to many listeners, one recording each. So the
reaction that belongs to a clip is the other role's clip of the same name; the other role's clips
of the same session are appropriate too, for scoring, although they answer another recording.

A tree whose `dataset.json` says `"aligned": true` is another case: all listeners of a session heard
its one speaker clip, and all their clips belong to it. The simulated trees are of this kind, also
those that were written before the word was: their record names a generator and no layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mreactor_ref.data.grouping import ClipFiles
from mreactor_ref.data.layout import MARS_FOLDERS, MARS_SPEAKER
from mreactor_ref.data.pairs import OTHER_ROLE, Pair, ReactionFiles, whole_reaction
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.json_text import NotJSON, parse_json

ATTRIBUTES_FOLDER, COEFFICIENTS_FOLDER = "facial-attributes", "coefficients"
SOUND_FEATURES = ("audio-features", "audio2embeddings")  # of wav2vec 2.0; the first is taken
RECORD = "dataset.json"  # what a tree says of itself
REMOVE = "write it again, or remove it"

Clips = dict[str, dict[str, Path]]  # clip -> kind -> file


def tree_record(root: Path) -> dict[str, Any]:
    """What `dataset.json` of a tree says; empty where there is none.

    Raises:
        UsageError: it is no JSON object, or cannot be read.
    """
    path = root / RECORD
    if not path.is_file():
        return {}
    try:
        record = parse_json(path.read_bytes())
    except (OSError, NotJSON) as error:
        raise UsageError(f"is no JSON that can be read: {error}", path, REMOVE) from None
    if not isinstance(record, dict):
        raise UsageError("is no JSON object", path, REMOVE)
    fps = record.get("fps", 1)
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not fps > 0:
        raise UsageError(f"its fps is {fps!r}, no frame rate", path, REMOVE)
    return record


def is_aligned(record: dict[str, Any]) -> bool:
    """Whether all listeners of a session heard its one speaker clip."""
    return bool(record.get("aligned", "generator" in record and "layout" not in record))


class MarsSplit:
    """One split of a MARS tree: the files of both roles, listed once."""

    def __init__(self, folder: Path, aligned: bool):
        self.folder, self.aligned = folder, aligned
        self.problems: list[ClipError] = []
        self._sessions = {role: self._list(role) for role in OTHER_ROLE}
        self._reactions = {
            (role, session): self._whole(role, session, clips)
            for role, sessions in self._sessions.items()
            for session, clips in sessions.items()
        }

    def pairs(self, role: str) -> Iterator[Pair]:
        """The pairs in which this role speaks; what cannot be one is added to `problems`."""
        prefix = self.folder.name if role == MARS_SPEAKER else f"{self.folder.name}/{role}"
        other = OTHER_ROLE[role]
        for session, clips in self._sessions[role].items():
            reactions = self._reactions.get((other, session), {})
            for clip, files in sorted(clips.items()):
                try:
                    own = self._own(role, session, clip, reactions)
                except ClipError as error:
                    self._problem(error)
                    continue
                speaker = _speaker(f"{prefix}/{session}/{clip}", files)
                appropriate = tuple(reactions[name] for name in sorted(reactions))
                yield Pair(speaker.id, speaker, own, appropriate)
        if not self.aligned:
            self._report_unheard(role)

    def _report_unheard(self, role: str) -> None:
        """Add to `problems` the reactions to clips of this role that are not there."""
        for (other, session), reactions in self._reactions.items():
            if other != OTHER_ROLE[role]:
                continue
            for clip in sorted(reactions.keys() - self._sessions[role].get(session, {}).keys()):
                problem = f"the {other}'s clip {clip} answers no clip of the {role}"
                fix = f"add the {role}'s files of that name, or remove the clip"
                self._problem(ClipError(problem, reactions[clip].attributes, fix))

    def _own(
        self, role: str, session: str, clip: str, reactions: dict[str, ReactionFiles]
    ) -> tuple[ReactionFiles, ...]:
        """The reactions to this clip. Raises ClipError where there are none, or too many."""
        other = OTHER_ROLE[role]
        place = self.folder / COEFFICIENTS_FOLDER / other / session
        if not self.aligned:
            if clip not in reactions:
                problem = f"the {role}'s clip {clip} has no whole reaction of the {other}"
                raise ClipError(problem, place / f"{clip}.npy", "add it, or remove the clip")
            return (reactions[clip],)
        speakers = self._sessions[MARS_SPEAKER].get(session, {})
        if len(speakers) != 1:
            raise ClipError(
                f"the session has {len(speakers)} speaker clips, and one that all listeners heard",
                place,
                f'leave "aligned" out of {RECORD} where each listener heard another',
            )
        if not reactions:
            raise ClipError(f"the session has no reaction of the {other}", place, "add one")
        return tuple(reactions[name] for name in sorted(reactions))

    def _list(self, role: str) -> dict[str, Clips]:
        """Session -> clip -> kind -> file, of one role."""
        kinds = MARS_FOLDERS | dict.fromkeys(SOUND_FEATURES, (".npy",))
        sessions: dict[str, Clips] = {}
        for kind, suffixes in kinds.items():
            for session in entries(self.folder / kind / role):
                for path in entries(session):
                    if path.suffix.lower() not in suffixes:
                        continue
                    files = sessions.setdefault(session.name, {}).setdefault(path.stem, {})
                    if kind in files:
                        beside = f"a second file for one clip, beside {files[kind].name}"
                        self._problem(ClipError(beside, path, "keep one"))
                        continue
                    files[kind] = path
        # features alone are no clip: nobody could tell how long it is
        return {
            name: {clip: files for clip, files in clips.items() if files.keys() & MARS_FOLDERS}
            for name, clips in sorted(sessions.items())
        }

    def _whole(self, role: str, session: str, clips: Clips) -> dict[str, ReactionFiles]:
        """The whole reactions of a role in a session; a sound alone is no reaction of a face."""
        reactions: dict[str, ReactionFiles] = {}
        for clip, files in clips.items():
            pair = files.get(ATTRIBUTES_FOLDER), files.get(COEFFICIENTS_FOLDER)
            if pair == (None, None):
                continue
            place = Path(role, session, f"{clip}.npy")
            wanted = (
                self.folder / ATTRIBUTES_FOLDER / place,
                self.folder / COEFFICIENTS_FOLDER / place,
            )
            try:
                id = f"{self.folder.name}/{role}/{session}/{clip}"
                reactions[clip] = whole_reaction(id, *pair, wanted)
            except ClipError as error:
                self._problem(error)
        return reactions

    def _problem(self, error: ClipError) -> None:
        if str(error) not in map(str, self.problems):
            self.problems.append(error)


def read_mars(
    folder: Path, roles: Sequence[str], aligned: bool
) -> tuple[list[Pair], list[ClipError]]:
    """Read one split of a MARS tree.

    Args:
        folder: of the split.
        roles: who is taken as the speaker.
        aligned: see `is_aligned`.

    Returns:
        The pairs, and a problem for each clip or reaction that is left out.
    """
    split = MarsSplit(folder, aligned)
    pairs = [pair for role in roles for pair in split.pairs(role)]
    return pairs, split.problems


def _speaker(id: str, files: dict[str, Path]) -> ClipFiles:
    faces = (files.get(COEFFICIENTS_FOLDER), files.get(ATTRIBUTES_FOLDER))
    present = tuple(path for path in faces if path is not None)
    encoded = next((files[kind] for kind in SOUND_FEATURES if kind in files), None)
    return ClipFiles(id, files.get("audio"), files.get("words"), present, encoded)


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, without what is hidden; nothing where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
