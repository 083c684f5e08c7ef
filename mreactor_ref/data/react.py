"""Trees of REACT 2023/2024: NoXI, RECOLA and UDIVA in one layout.

`<root>/<split>/{Video_files,Audio_files,Emotion,3D_FV_files}/<site>/<chat>/<person>/<n>.*`, and
`<root>/<split>.csv` with a header and columns `speaker_path,listener_path` after the number of the
row. Both persons face each other, so either may be the speaker: a list of N rows stands for 2 N
items, the rows as they are and then the rows with both sides exchanged.

`<root>/neighbour_emotion_<split>.npy` is a 2 N x 2 N matrix over these items. Row i holds a 1 in
column j where what the listener of item j showed is appropriate to the speaker of item i. An N x N
matrix is of the rows as they are.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from mreactor_ref.data.grouping import ClipFiles
from mreactor_ref.data.layout import AUDIO, FACE, MARS_SPEAKER, WORDS
from mreactor_ref.data.pairs import Pair, ReactionFiles, whole_reaction
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.faces.npy import HEADER_ERRORS

SOUND, SAID, ATTRIBUTES, COEFFICIENTS = "Audio_files", "Words_files", "Emotion", "3D_FV_files"
SPEAKER_COLUMN, LISTENER_COLUMN = "speaker_path", "listener_path"

Item = tuple[str, str]  # paths of a speaker and a listener, below each folder of the split


def read_react(
    root: Path, split: str, roles: Sequence[str], use_matrix: bool = True
) -> tuple[list[Pair], list[ClipError]]:
    """Read one split of a REACT 2023/2024 tree.

    Args:
        root: the folder that holds the splits and their lists.
        split: such as train, val or test.
        roles: "speaker" for the rows as they are, "listener" for those exchanged.
        use_matrix: whether the matrix is read.

    Returns:
        The pairs, and a problem for each clip or reaction that is left out. Without the matrix of
        a split its pairs have no `appropriate` reactions.

    Raises:
        UsageError: the list is missing or is none, or the matrix does not fit it.
    """
    rows = read_list(root / f"{split}.csv")
    items = [*rows, *((listener, speaker) for speaker, listener in rows)]
    matrix = read_matrix(matrix_path(root, split), len(rows)) if use_matrix else None
    if matrix is not None and len(matrix) < len(items) and any(r != MARS_SPEAKER for r in roles):
        raise UsageError(
            f"is {len(rows)} x {len(rows)}: it says nothing of listeners who speak",
            matrix_path(root, split),
            "leave the roles at speaker, or make the matrix of both",
        )
    files = _Files(root / split)
    problems: dict[str, ClipError] = {}
    pairs: list[Pair] = []
    for role in roles:
        first = 0 if role == MARS_SPEAKER else len(rows)
        for number in range(first, first + len(rows)):
            speaker, listener = items[number]
            try:
                own = files.reaction(listener)
                clip = files.clip(f"{split}/{speaker}", speaker)
                fitting = _fitting(files, items, matrix, number, problems)
            except ClipError as error:
                problems[str(error)] = error
                continue
            pairs.append(Pair(clip.id, clip, (own,), fitting))
    return pairs, list(problems.values())


def matrix_path(root: Path, split: str) -> Path:
    """Where the matrix of a split lies."""
    return root / f"neighbour_emotion_{split}.npy"


def read_list(path: Path) -> list[Item]:
    """The rows of a split's list: paths of a speaker and of who faces them.

    Raises:
        UsageError: it is missing, has no such columns or no rows, or a path leads elsewhere.
    """
    fix = f"its header is ,{SPEAKER_COLUMN},{LISTENER_COLUMN} and a row 0,NoXI/a/b/1,NoXI/a/c/1"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except FileNotFoundError:
        raise UsageError("the list of pairs is missing", path, fix) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot be read: {error}", path, fix) from None
    names = [name.strip() for name in rows[0]] if rows else []
    if SPEAKER_COLUMN not in names or LISTENER_COLUMN not in names:
        raise UsageError("is no list of pairs", path, fix)
    places = names.index(SPEAKER_COLUMN), names.index(LISTENER_COLUMN)
    items: list[Item] = []
    for number, row in enumerate(rows[1:], start=2):
        sides = [row[place].strip() for place in places] if len(row) == len(names) else []
        if not sides or not all(_stays_below(side) for side in sides):
            raise UsageError(f"line {number} is no pair: {','.join(row)[:80]}", path, fix)
        items.append((sides[0], sides[1]))
    if not items:
        raise UsageError("has a header but no pairs", path, fix)
    return items


def read_matrix(path: Path, rows: int) -> NDArray[np.bool_] | None:
    """The matrix of a split as truths, or None where there is none.

    Raises:
        UsageError: it cannot be read, or is not of the list's size.
    """
    if not path.is_file():
        return None
    fix = f"make it again from {path.stem.removeprefix('neighbour_emotion_')}.csv"
    try:
        matrix = open_memmap(path, mode="r")
    except (*HEADER_ERRORS, OSError) as error:
        raise UsageError(f"cannot be read: {error}", path, fix) from None
    if matrix.shape not in ((rows, rows), (2 * rows, 2 * rows)) or matrix.dtype.kind not in "fiub":
        sizes = f"{rows} x {rows} or {2 * rows} x {2 * rows}"
        raise UsageError(f"has shape {matrix.shape}, and the list asks for {sizes}", path, fix)
    ones = np.asarray(matrix == 1)
    if np.count_nonzero(ones) + np.count_nonzero(matrix == 0) < matrix.size:
        raise UsageError("holds other values than 0 and 1", path, fix)
    return ones


def _fitting(
    files: _Files,
    items: Sequence[Item],
    matrix: NDArray[np.bool_] | None,
    number: int,
    problems: dict[str, ClipError],
) -> tuple[ReactionFiles, ...]:
    """What the matrix calls appropriate to an item, without what is not there."""
    if matrix is None:
        return ()
    fitting: list[ReactionFiles] = []
    for column in np.flatnonzero(matrix[number]).tolist():
        try:
            fitting.append(files.reaction(items[column][1]))
        except ClipError as error:
            problems[str(error)] = error
    if not fitting:
        raise ClipError(
            "the matrix names no reaction that is there", items[number][0], "make it again"
        )
    return tuple(fitting)


class _Files:
    """The files of one split by the paths of its list; each is looked for once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._found: dict[tuple[str, str], Path | None] = {}

    def clip(self, id: str, path: str) -> ClipFiles:
        """A speaker's files. Raises ClipError where there is none of them."""
        sound, words = self._file(SOUND, path, AUDIO), self._file(SAID, path, WORDS)
        faces = (self._file(COEFFICIENTS, path, FACE), self._file(ATTRIBUTES, path, FACE))
        present = tuple(face for face in faces if face is not None)
        if sound is None and words is None and not present:
            missing = self.folder / SOUND / f"{path}.wav"
            raise ClipError("the speaker has no file at all", missing, "add the files of the clip")
        return ClipFiles(id, sound, words, present)

    def reaction(self, path: str) -> ReactionFiles:
        """A listener's two files. Raises ClipError where one is missing."""
        pair = self._file(ATTRIBUTES, path, FACE), self._file(COEFFICIENTS, path, FACE)
        wanted = (
            self.folder / ATTRIBUTES / f"{path}.csv",
            self.folder / COEFFICIENTS / f"{path}.npy",
        )
        return whole_reaction(f"{self.folder.name}/{path}", *pair, wanted)

    def _file(self, kind: str, path: str, suffixes: tuple[str, ...]) -> Path | None:
        if (kind, path) not in self._found:
            places = (self.folder / kind / f"{path}{suffix}" for suffix in suffixes)
            self._found[kind, path] = next((place for place in places if place.is_file()), None)
        return self._found[kind, path]


def _stays_below(path: str) -> bool:
    """Whether a path of the list is a place below the split's folders."""
    parts = PurePosixPath(path).parts
    return len(parts) > 1 and ".." not in parts and not PurePosixPath(path).is_absolute()
