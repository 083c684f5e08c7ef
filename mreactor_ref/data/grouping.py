"""Which files belong together: by their names, and the better one of those that say the same."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from mreactor_ref.data.contents import is_transcript, why_no_clip
from mreactor_ref.data.inputs import Folder, Ignored
from mreactor_ref.data.layout import (
    AUDIO,
    BEST_WORDS,
    ENGLISH,
    FACE,
    KNOWN,
    PROCESSED,
    VIDEO,
    names_of,
    tree_place,
)
from mreactor_ref.errors import ClipError

MEDIA = (*AUDIO, *VIDEO)
NO_KIND = "it is neither sound nor words nor a face"
LONE_TEXT = "plain text needs a sound or a face to last as long as"
NOT_OF_THE_TREE = "it is not of the tree's speakers"


@dataclass(frozen=True)
class ClipFiles:
    """The files of one clip.

    Attributes:
        id: the path without extension, relative to the input.
        sound: a sound file, or the video.
        words: the transcript.
        faces: may be one for coefficients and one for attributes; where two hold the same, the
            first counts.
        encoded: features of the sound that came with it, a row a frame of the face; taken where
            they are of the model's width.
        face_fps: the rate of faces and features, where a tree tells it.
        video: its face is a source too, where it is read.
        ignored: files beside the clip that are not read.
    """

    id: str
    sound: Path | None = None
    words: Path | None = None
    faces: tuple[Path, ...] = ()
    encoded: Path | None = None
    face_fps: float | None = None
    video: Path | None = field(default=None, kw_only=True)
    ignored: tuple[Ignored, ...] = field(default=(), kw_only=True, compare=False)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that it is read from, each once."""
        paths = (self.sound, self.words, *self.faces, self.video)
        return tuple(dict.fromkeys(path for path in paths if path is not None))

    def at(self, place: Callable[[Path], Path]) -> ClipFiles:
        """The clip, each of its files at another place."""

        def placed(path: Path | None) -> Path | None:
            return None if path is None else place(path)

        return replace(
            self,
            sound=placed(self.sound),
            words=placed(self.words),
            faces=tuple(map(place, self.faces)),
            encoded=placed(self.encoded),
            video=placed(self.video),
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """The streams that it has no file for: of sound, words, face."""
        streams = {"sound": self.sound, "words": self.words, "face": self.faces or self.video}
        return tuple(name for name, files in streams.items() if not files)

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each reason why files beside it are not read."""
        return lines_of(self.ignored)


@dataclass(frozen=True)
class BadClip:
    """A clip that cannot be done, as its files or its name show. The run reports it and goes on."""

    id: str
    error: ClipError


def lines_of(ignored: Iterable[Ignored], most: int = 6) -> tuple[str, ...]:
    """A line for each reason, with the names of its files."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for entry in ignored:
        by_reason[entry.reason].append(entry.path.name)
    lines: list[str] = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - most} more" if len(names) > most else ""
        shown = ", ".join(names[:most])
        lines.append(f"{shown}{more} {'is' if len(names) == 1 else 'are'} not read: {reason}")
    return tuple(lines)


def group(folder: Folder) -> tuple[list[ClipFiles], list[Ignored]]:
    """The clips of a folder, sorted by id, and the files that belong to none."""
    places, ignored = folder.places, list(folder.ignored)
    in_tree = {path: place for path, p in places.items() if (place := tree_place(p)) is not None}
    if in_tree:  # which holds many other files, such as features of another width
        ignored += [Ignored(path, NOT_OF_THE_TREE) for path in places if path not in in_tree]
        places = in_tree
    known = {path: p for path, p in places.items() if p.suffix.lower() in KNOWN}
    media = _Names(_recorded(p for p in known.values() if p.suffix.lower() in MEDIA))
    files: dict[str, list[Path]] = defaultdict(list)
    alone: dict[Path, PurePosixPath] = {}
    for path, place in known.items():
        name = media.owner(place)
        if name is None:
            alone[path] = place
        else:
            files[name].append(path)
    others = _Names(alone.values())
    for path, place in alone.items():
        owner = others.owner(place)
        assert owner is not None
        files[owner].append(path)
    beside: dict[str, list[Ignored]] = defaultdict(list)
    clips: list[ClipFiles] = []
    for name, paths in sorted(files.items()):
        if why := _why_no_clip(paths):
            ignored += [Ignored(path, why) for path in paths]
        else:
            clips.append(_choose(name, paths))
    names = _Names(PurePosixPath(f"{clip.id}.x") for clip in clips)
    for path, place in places.items():
        if path not in known:
            owner = names.owner(place)
            (beside[owner] if owner else ignored).append(Ignored(path, NO_KIND))
    return [_with_ignored(clip, beside[clip.id]) for clip in clips], ignored


def _recorded(media: Iterable[PurePosixPath]) -> Iterator[PurePosixPath]:
    """Sounds and videos without those that OpenFace has written below the one that it read."""
    places = list(media)
    others = _Names(place for place in places if place.parent.name != PROCESSED)
    yield from (p for p in places if p.parent.name != PROCESSED or others.owner(p) is None)


class _Names:
    """The names that clips have, and which of them a file belongs to.

    A file belongs to the clip with its own name, or else with its name without tags, in the folder
    above for OpenFace's. Names that differ in the form of their letters (é may be one or two) are
    one, and so are those that differ in case, where only one clip has that name.
    """

    def __init__(self, places: Iterable[PurePosixPath]):
        self._names: dict[str, str] = {}
        folded: dict[str, set[str]] = defaultdict(set)
        for place in sorted(places):
            own = place.with_suffix("").as_posix()
            name = self._names.setdefault(unicodedata.normalize("NFC", own), own)
            folded[_fold(own)].add(name)
        self._folded = {key: min(names) for key, names in folded.items() if len(names) == 1}

    def owner(self, place: PurePosixPath) -> str | None:
        if place.parent.name == PROCESSED:
            above = self._of(names_of(place.parent.parent / place.name))
            if above is not None:
                return above
        return self._of(names_of(place))

    def _of(self, names: list[PurePosixPath]) -> str | None:
        for name in names:
            key = name.as_posix()
            owner = self._names.get(unicodedata.normalize("NFC", key))
            if owner or (owner := self._folded.get(_fold(key))):
                return owner
        return None


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _why_no_clip(paths: list[Path]) -> str | None:
    """Why files without a sound are no clip: each of them is of another kind."""
    if any(path.suffix.lower() in MEDIA for path in paths):
        return None
    reasons = [LONE_TEXT if path.suffix.lower() == ".txt" else why_no_clip(path) for path in paths]
    return None if None in reasons else reasons[0]


def _choose(name: str, paths: list[Path]) -> ClipFiles:
    """The clip of some files: of those that say the same the better one."""
    own = PurePosixPath(name).parent.name == PROCESSED
    drawn = [p for p in paths if p.parent.name == PROCESSED and _suffix(p) in MEDIA and not own]

    def of(suffixes: tuple[str, ...]) -> list[Path]:
        kind = [path for path in paths if _suffix(path) in suffixes and path not in drawn]
        return sorted(kind, key=lambda path: (*_tags(path, name), suffixes.index(_suffix(path))))

    sounds, videos, words = of(AUDIO), of(VIDEO), of(BEST_WORDS)
    if len(words) > 1:  # a json may be something else
        words.sort(key=lambda path: _suffix(path) == ".json" and not is_transcript(path))
    ignored = [Ignored(path, "OpenFace has drawn on it") for path in drawn]
    for kind, candidates in (("sound is", sounds), ("video is", videos), ("words are", words)):
        reason = f"the {kind} taken from {candidates[0].name}" if candidates else ""
        ignored += [Ignored(path, reason) for path in candidates[1:]]
    return ClipFiles(
        name,
        next(iter(sounds or videos), None),
        next(iter(words), None),
        tuple(of(FACE)),
        video=next(iter(videos), None),
        ignored=tuple(ignored),
    )


def _with_ignored(clip: ClipFiles, more: list[Ignored]) -> ClipFiles:
    return replace(clip, ignored=(*clip.ignored, *more)) if more else clip


def _suffix(path: Path) -> str:
    return path.suffix.lower()


def _tags(path: Path, name: str) -> tuple[int, int]:
    """How far a file's name is from its clip's: its tags, and whether one is a foreign language."""
    tags = path.stem[len(PurePosixPath(name).name) :].split(".")[1:]
    foreign = not any(ENGLISH.fullmatch(tag) for tag in tags)
    return len(tags), int(bool(tags) and foreign)
