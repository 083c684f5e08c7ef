"""Groups of clips from a csv file, such as by the speaker's gender: is a model fair to all?

    clip,gender,language
    test/session-0000/clip-0,female,English
    test/session-0001/clip-0,male,

Every column but `clip` divides the clips into groups by its text; an empty cell leaves its clip out
of the column.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mreactor_ref.errors import UsageError

CLIP = "clip"


@dataclass(frozen=True)
class Grouping:
    """One column: group -> the places of its clips, in the order of the groups' names."""

    column: str
    groups: dict[str, tuple[int, ...]]


def read_groupings(
    path: Path, scored: Sequence[str], known: Sequence[str] | None = None
) -> list[Grouping]:
    """The columns of a csv file.

    Args:
        scored: ids of the clips, to whose places the groupings point.
        known: ids that may stand in the file, too, and are left out; None for no other.

    Raises:
        UsageError: a file that cannot be read, a missing column, a clip that is not known, stands
            there twice or is missing, or a row of another length; the message names file and line.
    """
    header, rows = _read(path)
    if CLIP not in header:
        raise UsageError(f"has no column {CLIP}", path, f"its columns are {', '.join(header)}")
    columns = [name for name in header if name != CLIP]
    if not columns:
        raise UsageError("has no column beside clip", path, "add one, such as gender")
    if len(set(header)) < len(header):
        raise UsageError("has two columns of one name", path)
    places, allowed = {clip: i for i, clip in enumerate(scored)}, {*scored, *(known or ())}
    seen: dict[str, dict[str, str]] = {}
    for line, cells in rows:
        if len(cells) != len(header):
            raise UsageError(f"line {line} has {len(cells)} cells, not {len(header)}", path)
        row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        clip = row[CLIP]
        if clip not in allowed:
            raise UsageError(f"line {line}: there is no clip {clip!r}", path, _example(scored))
        if clip in seen:
            raise UsageError(f"line {line}: the clip {clip!r} stands there twice", path)
        seen[clip] = row
    missing = [clip for clip in scored if clip not in seen]
    if missing:
        raise UsageError(
            f"{len(missing)} of {len(scored)} clips have no row, such as {missing[0]!r}",
            path,
            "add them, with empty cells where they belong to no group",
        )
    return [_grouping(column, seen, places, path) for column in columns]


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and the rows that are not empty, each with its line."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", path) from error
    except UnicodeDecodeError as error:
        raise UsageError("is not UTF-8 text", path) from error
    except csv.Error as error:
        raise UsageError(f"is not csv: {error}", path) from error
    if not rows:
        raise UsageError("is empty", path, "its first line is clip,column...")
    return [name.strip() for name in rows[0][1]], rows[1:]


def _grouping(
    column: str, rows: dict[str, dict[str, str]], places: dict[str, int], path: Path
) -> Grouping:
    groups: dict[str, list[int]] = {}
    for clip, place in places.items():
        if group := rows[clip][column]:
            groups.setdefault(group, []).append(place)
    if not groups:
        raise UsageError(f"the column {column} is empty for all clips that are scored", path)
    return Grouping(column, {group: tuple(groups[group]) for group in sorted(groups)})


def _example(scored: Sequence[str]) -> str:
    return f"clips are named like {scored[0]}" if scored else "no clip is scored"
