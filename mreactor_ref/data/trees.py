"""The one door to trees of pairs: which layout a folder has, and its pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mreactor_ref.data.layout import MARS_FOLDERS, MARS_SPEAKER, REACT_FOLDERS
from mreactor_ref.data.mars import is_aligned, read_mars, tree_record
from mreactor_ref.data.pairs import MARS, OTHER_ROLE, REACT, Tree
from mreactor_ref.data.react import read_react
from mreactor_ref.errors import UsageError

FPS = {MARS: 30.0, REACT: 25.0}  # of the faces, where neither the user nor the tree tells
LAYOUTS = (
    "<split>/{audio,facial-attributes,coefficients}/{speaker,listener}/<session>/<clip> (MARS), or "
    "<split>/{Audio_files,Emotion,3D_FV_files}/NoXI/... with <split>.csv (REACT 2023/2024)"
)


@dataclass(frozen=True)
class TreeOptions:
    """How a tree is read, as `load_dyads` takes it.

    Attributes:
        roles, fps: see `read_tree`.
        features: the folder of prepared features; in the user's cache if None.
    """

    roles: tuple[str, ...] = (MARS_SPEAKER,)
    fps: float | None = None
    features: Path | None = None


def read_tree(
    root: str | Path,
    split: str,
    roles: Sequence[str] = (MARS_SPEAKER,),
    fps: float | None = None,
    *,
    matrix: bool = True,
) -> Tree:
    """Read which clips of a split belong together, in a MARS or a REACT 2023/2024 tree.

    Args:
        root: the folder that holds the splits.
        split: such as train, val or test.
        roles: who is taken as the speaker: "speaker", "listener", or both.
        fps: of the tree's faces; by default what its `dataset.json` says, or what its layout has.
        matrix: whether the matrix of a REACT tree is read, if there is one.

    Returns:
        The pairs; clips that are not whole are left out, with a problem each.

    Raises:
        UsageError: no such folder or role, neither layout or both, a list or a matrix that cannot
            be used, or no pair at all.
    """
    root = Path(root)
    unknown = [role for role in roles if role not in OTHER_ROLE]
    if unknown or not roles or len(set(roles)) < len(roles):
        raise UsageError(f"the roles are {list(roles)}, not speaker, listener, or both")
    layout = find_layout(root, split)
    record = tree_record(root)
    if layout == MARS:
        pairs, problems = read_mars(root / split, roles, is_aligned(record))
    else:
        pairs, problems = read_react(root, split, roles, matrix)
    if not pairs:
        reason = f"; the first of {len(problems)} problems: {problems[0]}" if problems else ""
        raise UsageError(
            f"no clips found that have a reaction{reason}", root / split, f"a tree holds {LAYOUTS}"
        )
    rate = fps or float(record.get("fps", FPS[layout]))
    timed = [replace(p, speaker=replace(p.speaker, face_fps=rate)) for p in pairs]
    return Tree(root, split, layout, rate, tuple(timed), tuple(problems))


def find_layout(root: Path, split: str) -> str:
    """MARS or REACT, by the folders of a split.

    Raises:
        UsageError: no such folder, or it has neither layout, or both.
    """
    folder = root / split
    if not folder.is_dir():
        inside = any((root / kind).is_dir() for kind in (*MARS_FOLDERS, *REACT_FOLDERS))
        above = f"give the folder above: {root} is a split itself" if inside else None
        fix = above or "give the folder that holds train, val and test"
        raise UsageError("there is no such folder", folder, fix)
    mars = any((folder / kind / role).is_dir() for kind in MARS_FOLDERS for role in OTHER_ROLE)
    react = any((folder / kind).is_dir() for kind in REACT_FOLDERS)
    if mars == react:
        problem = "has folders of two layouts" if mars else "no clips found"
        raise UsageError(problem, folder, f"a tree holds {LAYOUTS}")
    return MARS if mars else REACT
