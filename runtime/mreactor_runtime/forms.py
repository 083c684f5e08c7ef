"""The forms in which a reaction can be written, and the names of their files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import count, takewhile
from pathlib import Path

from mreactor_ref.errors import UsageError

RESULT = ".npz"
CSV, OPENFACE, LIVELINK, A2F = "csv", "openface-csv", "livelink-csv", "a2f-json"
GLB, VRMA = "glb", "vrma"
SUFFIXES = {
    CSV: ".csv",
    OPENFACE: ".openface.csv",
    LIVELINK: ".livelink.csv",
    A2F: ".a2f.json",
    GLB: ".glb",
    VRMA: ".vrma",
}
# Forms of a whole run: few large files, which are made of its folder when it has ended.
WEBDATASET, PARQUET = "webdataset", "parquet"
PACKED = {WEBDATASET: ".tar", PARQUET: ".parquet"}
ABOUT = ".about.json"  # after the suffix of a table, which cannot say what it is


def named_formats(text: str) -> tuple[str, ...]:
    """The formats of "glb,vrma", each once.

    Raises:
        UsageError: there is no such format.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    check_formats(names)
    return names


def check_formats(names: Iterable[str]) -> None:
    """Raises UsageError where there is no such format."""
    for name in names:
        if name in PACKED:
            fix = f"mreactor-convert OUTPUT --to {name}, when the run has ended"
            raise UsageError(f"{name} is a form of a whole run", fix=fix)
        if name not in SUFFIXES:
            raise UsageError(f"there is no format {name!r}", fix=f"there are {', '.join(SUFFIXES)}")


def form_suffixes(form: str, reaction: int) -> tuple[str, ...]:
    """What follows a clip's name in the files of one of its reactions in a form of SUFFIXES."""
    suffix = f".reaction{reaction}{SUFFIXES[form]}"
    return (suffix, suffix + ABOUT) if suffix.endswith(".csv") else (suffix,)


def all_suffixes(forms: Iterable[str], reactions: int) -> tuple[str, ...]:
    """Those of all reactions to a clip in several forms."""
    return tuple(s for form in forms for k in range(reactions) for s in form_suffixes(form, k))


def beside(result: Path, suffix: str) -> Path:
    """A file beside a clip's npz. The clip's id may have dots, so no part of it is a suffix."""
    return result.with_name(result.name.removesuffix(RESULT) + suffix)


def forms_beside(result: Path) -> list[Path]:
    """The files beside a clip's npz that are its reactions in other forms, up to a gap.

    A table that no file is about is somebody's own.
    """
    stem = str(result).removesuffix(RESULT)
    of_each = (_forms_of(stem, reaction) for reaction in count())
    return [Path(name) for names in takewhile(bool, of_each) for name in names]


def _forms_of(stem: str, reaction: int) -> list[str]:
    # texts, not paths: with a Path for each name the memory of a long run grows
    groups = ([stem + s for s in form_suffixes(form, reaction)] for form in SUFFIXES)
    return [name for names in groups if all(map(os.path.isfile, names)) for name in names]
