"""Tables of the tools that measure faces, told apart by their columns.

- Own columns: the 25 attributes by name.
- OpenFace 2: `AU01_c` (occurrence) and `AU01_r` (intensity, 0 to 5); it has no AU24.
- py-feat: `AU01` (probability) and expressions, from 2.0 on also valence and arousal.
- LibreFace: `au_1` (occurrence), `au_1_intensity` (0 to 5) and the name of an expression.
- OpenFace 3: the index of an expression. Its eight numbers of action units have no names
  (CMU-MultiComp-Lab/OpenFace-3.0, issues 1 and 9) and are not used.
- Live Link Face, MediaPipe and others: the 52 shapes of ARKit.

Poses are in other conventions than FaceVerse's angles and are not used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import ClipError
from mreactor_ref.features.action_units import (
    ARKIT_SHAPES,
    HINTS,
    PRESENT_SHAPE,
    TRUSTED,
    unit_levels,
)
from mreactor_ref.features.faces.clocks import FRAMES, TIMECODE, TIMES, frame_numbers, read_clock
from mreactor_ref.features.faces.people import PEOPLE, SUCCESS, one_face
from mreactor_ref.features.faces.table import Table, read_names, read_table
from mreactor_ref.features.faces.track import MAX_ROWS, Face, place, rest_attributes
from mreactor_ref.features.grid import at_times
from mreactor_ref.features.occurrence import THRESHOLD, occurrence
from mreactor_ref.signals import (
    ACTION_UNITS,
    AFFECT_SLICE,
    ATTRIBUTE_NAMES,
    ATTRIBUTES,
    AU_SLICE,
    EXPRESSION_PLACES,
    EXPRESSION_SLICE,
    EXPRESSIONS,
    Array,
)

OWN = tuple(name.lower() for name in ATTRIBUTE_NAMES)
SHAPES = tuple(name.lower() for name in ARKIT_SHAPES)
LEAST_SHAPES = 40  # older recordings lack the tongue
PERCENT = 1.5  # shapes above this are on a scale to 100
PRESENT_INTENSITY = 1.0  # of 0 to 5, which are FACS's A to E: a trace
OTHER_NAMES = {
    "Happy": ("happiness", "joy"),
    "Sad": ("sadness",),
    "Surprise": ("surprised",),
    "Fear": ("afraid", "fearful"),
    "Disgust": ("disgusted",),
    "Anger": ("angry",),
}
AFFECT = ("valence", "arousal")
EXPRESSION_TEXT, EXPRESSION_INDEX, UNNAMED_UNITS = "facial_expression", "emotion", "action_units"
WHEN = (*TIMES, *FRAMES)

Read = Callable[[Table], Array]


def unit_columns(unit: str) -> tuple[tuple[str, float | None], ...]:
    """The columns that tell a unit, best first, each with the level from which it occurs.

    None is a column of 0 and 1.
    """
    n = int(unit.removeprefix("AU"))
    occurrences = (f"au{n:02d}_c", f"au{n}_c", f"au_{n}")
    intensities = (f"au{n:02d}_r", f"au{n}_r", f"au_{n}_intensity")
    return (
        *((name, None) for name in occurrences),
        *((name, THRESHOLD) for name in dict.fromkeys((f"au{n:02d}", f"au{n}"))),
        *((name, PRESENT_INTENSITY) for name in intensities),
    )


def _columns_of(unit: str, names: tuple[str, ...]) -> list[str]:
    return [name for name, _ in unit_columns(unit) if name in names]


def expression_columns(expression: str) -> tuple[str, ...]:
    return (expression.lower(), *OTHER_NAMES.get(expression, ()))


def is_face(names: tuple[str, ...]) -> bool:
    """Whether a table with these columns, in small letters, is of one of the tools."""
    units = sum(bool(_columns_of(unit, names)) for unit in ACTION_UNITS)
    return (
        set(OWN) <= set(names)
        or "au01_c" in names
        or units > len(ACTION_UNITS) // 2
        or sum(name in names for name in SHAPES) >= LEAST_SHAPES
        or {EXPRESSION_INDEX, UNNAMED_UNITS} <= set(names)
    )


def read_csv(path: Path, most: int = MAX_ROWS) -> Face:
    """Read a table of any of these tools.

    Args:
        most: rows of a file that is not refused.

    Raises:
        ClipError: it cannot be read as a table, is none of these, has more rows, or found no face.
    """
    names = read_names(path)
    if names and not is_face(names):
        missing = [name for name in OWN if name not in names]
        raise ClipError(
            f"has no column {missing[0]} ({len(missing)} of {ATTRIBUTES} are missing)",
            path,
            "the header names the 25 attributes, or the columns of OpenFace, py-feat, LibreFace, "
            "Live Link Face or MediaPipe's blendshapes",
        )
    if not names or set(OWN) <= set(names):
        table = read_table(path, (*OWN, *WHEN), most=most)
        return _track(table, [], _own)
    shapes = [name for name in SHAPES if name in names]
    if len(shapes) >= LEAST_SHAPES:
        table = read_table(path, (*shapes, *WHEN, *PEOPLE), (TIMECODE,), most)
        line = (
            f"action units are read from ARKit's shapes: trusted are {' '.join(TRUSTED)}, hints "
            f"are {' '.join(HINTS)}; it tells no expression, valence or arousal"
        )
        return _track(table, shapes, _of_shapes, line)
    if {EXPRESSION_INDEX, UNNAMED_UNITS} <= set(names):
        table = read_table(path, (EXPRESSION_INDEX, *FRAMES, *PEOPLE), most=most)
        line = "OpenFace 3 does not name its action units: they are not used, its expressions are"
        return _track(table, [EXPRESSION_INDEX], _of_measures, line)
    units = [name for unit in ACTION_UNITS for name in _columns_of(unit, names)]
    expressions = [n for e in EXPRESSIONS for n in expression_columns(e) if n in names]
    columns = (*units, *expressions, *AFFECT, *WHEN, *PEOPLE)
    table = read_table(path, columns, (EXPRESSION_TEXT,), most)
    lacks = [unit for unit in ACTION_UNITS if not _columns_of(unit, names)]
    known = "au01_c" in names and lacks == ["AU24"]  # so are all files of OpenFace 2
    line = f"tells nothing of {' '.join(lacks)}: taken as 0" if lacks and not known else None
    return _track(table, units, _of_measures, line)


def _track(table: Table, measured: list[str], read: Read, line: str | None = None) -> Face:
    """The face of a table, without the rows that have none.

    With times the rows stay where they are; without, rows that lack are filled from the others.

    Args:
        table: all of its rows.
        measured: columns that a row with a face has.
        read: makes the attributes.
        line: what should be known of this tool's tables.
    """
    table = one_face(table)
    seen = table.columns.get(SUCCESS, np.ones(table.rows)) > 0.5
    for name in measured:
        seen &= np.isfinite(table.columns[name])
    if not seen.any():
        raise ClipError("found a face in none of its frames", table.path, "remove it")
    warnings = (*table.warnings, line) if line else table.warnings
    attributes = read(table.take(seen))
    if clock := read_clock(table):
        return Face(None, attributes, clock.fps, clock.middles[seen], warnings)
    numbers = frame_numbers(table)
    numbers = np.arange(table.rows) if numbers is None else numbers
    frames = int(numbers[-1]) + 1
    if frames > seen.sum():
        own, wanted = numbers[seen].astype(np.float64), np.arange(frames, dtype=np.float64)
        attributes = place(attributes, lambda x, nearest: at_times(x, own, wanted, nearest))
        count = f"{frames - seen.sum()} of its {frames} frames"
        warnings = (*warnings, f"{count} have no face: taken from their neighbours")
    return Face(attributes=attributes, warnings=warnings)


def _own(table: Table) -> Array:
    return np.stack([table.columns[name] for name in OWN], axis=1).astype(np.float32)


def _of_shapes(table: Table) -> Array:
    """(T', 25) of a table with ARKit's shapes; expressions and affect as of a face at rest."""
    zeros = np.zeros(table.rows)
    shapes = np.stack([table.columns.get(name, zeros) for name in SHAPES], axis=1)
    if shapes.max() > PERCENT:
        shapes = shapes / 100
    attributes = rest_attributes(table.rows)
    levels = unit_levels(shapes.astype(np.float32))
    attributes[:, AU_SLICE] = occurrence(levels * (THRESHOLD / PRESENT_SHAPE))
    return attributes


def _of_measures(table: Table) -> Array:
    """(T', 25) of what a table has; what it lacks is as for a face that shows nothing.

    Where it has expressions and no valence and arousal, these are read off the expressions.
    """
    attributes = rest_attributes(table.rows)
    for channel, unit in enumerate(ACTION_UNITS, AU_SLICE.start):
        columns = unit_columns(unit)
        name, level = next(((n, x) for n, x in columns if n in table.columns), (None, None))
        if name is not None:
            values = table.columns[name][:, None]
            levels = values if level is None else values * (THRESHOLD / level)
            attributes[:, channel] = occurrence(levels.astype(np.float32))[:, 0]
    expressions = _expressions(table)
    if expressions is not None:
        attributes[:, EXPRESSION_SLICE] = expressions
        places = np.array([EXPRESSION_PLACES[name] for name in EXPRESSIONS], np.float32)
        attributes[:, AFFECT_SLICE] = expressions @ places
    for channel, name in enumerate(AFFECT, AFFECT_SLICE.start):
        if name in table.columns:
            attributes[:, channel] = table.columns[name]
    return attributes


def _expressions(table: Table) -> NDArray[np.float32] | None:
    """(T', 8) probabilities that sum to 1, or None where the table tells no expression.

    An empty cell is 0. Rows with a number without end are NaN.
    """
    if EXPRESSION_INDEX in table.columns and EXPRESSION_TEXT not in table.texts:
        places = np.clip(np.rint(table.columns[EXPRESSION_INDEX]), 0, len(EXPRESSIONS) - 1)
        return np.eye(len(EXPRESSIONS), dtype=np.float32)[places.astype(np.intp)]
    if EXPRESSION_TEXT in table.texts:
        known = {name: i for i, e in enumerate(EXPRESSIONS) for name in expression_columns(e)}
        places = [known.get(text.lower(), 0) for text in table.texts[EXPRESSION_TEXT]]
        return np.eye(len(EXPRESSIONS), dtype=np.float32)[places]
    values = np.zeros((table.rows, len(EXPRESSIONS)), np.float32)
    for i, expression in enumerate(EXPRESSIONS):
        for name in expression_columns(expression):
            if name in table.columns:
                values[:, i] = np.nan_to_num(table.columns[name], posinf=np.nan, neginf=np.nan)
    total = values.sum(axis=1, keepdims=True)
    if not total.any():
        return None
    neutral = rest_attributes(table.rows)[:, EXPRESSION_SLICE]
    return np.where(total <= 0, neutral, values / np.where(total > 0, total, 1))
