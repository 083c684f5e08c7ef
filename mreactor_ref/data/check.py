"""A walk through a tree of pairs: what is there, what is missing, what is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from mreactor_ref.data.layout import MARS_FOLDERS, MARS_SPEAKER, REACT_FOLDERS
from mreactor_ref.data.mars import SOUND_FEATURES, entries
from mreactor_ref.data.pair_check import PairCheck, PairChecker
from mreactor_ref.data.pairs import REACT, Tree
from mreactor_ref.data.react import matrix_path
from mreactor_ref.data.trees import find_layout, read_tree
from mreactor_ref.errors import ClipError, MReactorError, UsageError
from mreactor_ref.signals import WAV2VEC_WIDTH

SPLITS = ("train", "val", "test")  # of the challenges
TRAINED_ON = SPLITS[:2]
FOLDERS = (*MARS_FOLDERS, *SOUND_FEATURES, *REACT_FOLDERS)  # that are read
UNREAD_FOLDERS = ("video-face-crop", "lip-features", "Video_files")  # of the challenges


@dataclass(frozen=True)
class SplitCheck:
    """What is in one split.

    Attributes:
        split, layout, fps: layout is "" where it has none.
        counts: what -> how many.
        frames: of the shortest, the middle and the longest speaker clip.
        problems: what keeps a file or a pair from being used, each with its file and what to do.
        notes: what can be used, but should be known.
    """

    split: str
    layout: str
    fps: float
    counts: dict[str, int]
    frames: tuple[int, int, int]
    problems: tuple[MReactorError, ...]
    notes: tuple[str, ...] = ()


def find_splits(root: Path) -> list[str]:
    """The splits of a tree: folders with a layout, and those of the challenges, also if empty.

    Raises:
        UsageError: no such folder, or none in it.
    """
    if not root.is_dir():
        raise UsageError("there is no such folder", root, "give the folder that holds train")
    listed = {path.stem for path in entries(root) if path.suffix == ".csv"} & set(SPLITS)
    folders = [path.name for path in entries(root) if path.is_dir()]
    splits = [name for name in folders if name in SPLITS or _has_layout(root, name)]
    if not splits:
        find_layout(root, SPLITS[0])  # says what is there in place of it
    return sorted({*splits, *listed})


def missing_splits(splits: Sequence[str]) -> list[str]:
    """The splits that training needs and a tree lacks."""
    return [name for name in TRAINED_ON if name not in splits]


def check_split(
    root: Path,
    split: str,
    roles: Sequence[str] = (MARS_SPEAKER,),
    fps: float | None = None,
    width: int | None = WAV2VEC_WIDTH,
    progress: Callable[[int, int], None] | None = None,
) -> SplitCheck:
    """Read every file of a split, as training would.

    Args:
        root, split, roles, fps: see `read_tree`.
        width: of features that came with the sound, as the model takes them; None if it takes none.
        progress: called with the number of pairs read and their total.
    """
    problems: list[MReactorError] = list(_misnamed(root / split))
    try:
        tree = _read(root, split, roles, fps, problems)
    except UsageError as error:
        return SplitCheck(split, "", 0.0, {}, (0, 0, 0), (*problems, error))
    problems += tree.problems
    checker, checks = PairChecker(tree.fps, width), list[PairCheck]()
    for number, pair in enumerate(tree.pairs, start=1):
        checks.append(checker.check(pair))
        if progress is not None:
            progress(number, len(tree.pairs))
    problems += _of_pairs(checks, tree)
    lengths = [check.frames for check in checks if check.frames]
    spread = (0, 0, 0)
    if lengths:
        spread = (min(lengths), int(np.median(lengths)), max(lengths))
    return SplitCheck(
        *(split, tree.layout, tree.fps, _counts(tree), spread),
        tuple(_once(problems)),
        tuple(_notes(tree, checks)),
    )


def _has_layout(root: Path, name: str) -> bool:
    try:
        find_layout(root, name)
    except UsageError:
        return False
    return True


def _read(
    root: Path,
    split: str,
    roles: Sequence[str],
    fps: float | None,
    problems: list[MReactorError],
) -> Tree:
    """The tree; a matrix that cannot be used is a problem, and the rest is read without it."""
    try:
        return read_tree(root, split, roles, fps)
    except UsageError as error:
        if error.path != matrix_path(root, split):
            raise
        problems.append(error)
        return read_tree(root, split, roles, fps, matrix=False)


def _misnamed(folder: Path) -> Iterator[ClipError]:
    """Folders of a split that are not read, for a letter that is not as the challenges have it."""
    names = {path.name for path in entries(folder) if path.is_dir()}
    for name in sorted(names - {*FOLDERS, *UNREAD_FOLDERS}):
        like = {known.lower(): known for known in FOLDERS if known not in names}
        close = get_close_matches(name.lower(), like, 1, 0.8)
        if close:
            yield ClipError("is not read", folder / name, f"rename it to {like[close[0]]}")


def _of_pairs(checks: Sequence[PairCheck], tree: Tree) -> Iterator[ClipError]:
    """The problems of all pairs; where most are at another rate than the tree's, in one line."""
    rates = Counter(check.rate for check in checks)
    usual, count = rates.most_common(1)[0]
    if usual is not None and count > 1:
        yield ClipError(
            f"{count} of {len(checks)} clips are at {usual:g} fps, and are read at {tree.fps:g}",
            tree.root / tree.split,
            f"give --fps {usual:g}",
        )
        checks = [check for check in checks if check.rate != usual]
    for check in checks:
        yield from check.problems


def _counts(tree: Tree) -> dict[str, int]:
    speakers = [pair.speaker for pair in tree.pairs]
    appropriate = [len(pair.appropriate) for pair in tree.pairs]
    return {
        "pairs": len(tree.pairs),
        "aligned reactions": sum(len(pair.reactions) for pair in tree.pairs),
        "appropriate a clip, least": min(appropriate),
        "appropriate a clip, most": max(appropriate),
        "with sound": sum(files.sound is not None for files in speakers),
        "with words": sum(files.words is not None for files in speakers),
        "with a face": sum(bool(files.faces) for files in speakers),
        "with features of the sound": sum(files.encoded is not None for files in speakers),
    }


def _notes(tree: Tree, checks: Sequence[PairCheck]) -> Iterator[str]:
    if not any(pair.speaker.words for pair in tree.pairs):
        yield "no clip has words: `mreactor-data transcribe` finds them in the sound"
    matrix = matrix_path(tree.root, tree.split)
    if tree.layout == REACT and not matrix.is_file():
        yield f"there is no {matrix.name}: it can be trained on, and not scored"
    own = sum(not set(pair.reactions) <= set(pair.appropriate) for pair in tree.pairs)
    if own and any(pair.appropriate for pair in tree.pairs):
        yield f"the matrix calls the clip's own reaction inappropriate in {own} rows"
    lines = [line for check in checks for line in check.lines]
    if lines:
        yield f"{len(lines)} things were mended in reading, first: {lines[0]}"


def _once(problems: Sequence[MReactorError]) -> Iterator[MReactorError]:
    """The problems in order, each once."""
    yield from {str(error): error for error in problems}.values()
