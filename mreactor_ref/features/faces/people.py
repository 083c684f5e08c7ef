"""One face out of a table that has several: the one that is there most, and then the largest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.faces.clocks import FRAMES, TIMES
from mreactor_ref.features.faces.table import Table

FACE_ID = "face_id"
# py-feat tells the sides of a face in pixels, OpenFace 2 how far it is, in millimetres.
WIDTH, HEIGHT, DISTANCE = "facerectwidth", "facerectheight", "pose_tz"
SUCCESS = "success"  # OpenFace 2: 1 where a face was found
PEOPLE = (FACE_ID, WIDTH, HEIGHT, DISTANCE, SUCCESS)
STEADY = 0.9  # of the frames of the face that is there most


def one_face(table: Table) -> Table:
    """The rows of one face, with a line where there were others."""
    ids = table.columns.get(FACE_ID)
    known = None if ids is None else np.unique(ids[np.isfinite(ids)])
    if ids is not None and known is not None and len(known) > 1:
        sizes, seen = _sizes(table), _seen(table)
        if not seen.any():
            return table
        counts = np.array([(seen & (ids == face)).sum() for face in known])
        steady = known[counts >= STEADY * counts.max()]
        size = [np.nan_to_num(sizes[seen & (ids == face)].mean()) for face in steady]
        face = steady[int(np.argmax(size))]
        count = counts[known == face][0]
        table = table.take(
            (ids == face) | ~np.isfinite(ids),
            f"has {len(known)} faces: face {face:.0f} is taken, which is seen {count} times",
        )
    return _one_a_frame(table)


def _one_a_frame(table: Table) -> Table:
    """Of rows that share a frame the largest face."""
    column = next((name for name in (*FRAMES, *TIMES) if name in table.columns), None)
    if column is None:
        return table
    frames, first = np.unique(table.columns[column], return_index=True)
    if len(frames) == table.rows:
        return table
    sizes = np.where(_seen(table), _sizes(table), -np.inf)
    # by frame, in a frame by size, and of equal sizes the first
    order = np.lexsort((np.arange(table.rows), -sizes, table.columns[column]))
    starts = np.searchsorted(table.columns[column][order], frames)
    if len(np.unique(first)) <= 1:  # a column that never changes tells no frames
        return table
    return table.take(
        np.sort(order[starts]), "has frames with several faces: the largest is taken in each"
    )


def _seen(table: Table) -> NDArray[np.bool_]:
    return table.columns.get(SUCCESS, np.ones(table.rows)) > 0.5


def _sizes(table: Table) -> NDArray[np.float64]:
    """(T',) how large a face is in each row, in no unit; 0 where the table does not tell."""
    columns = table.columns
    if WIDTH in columns and HEIGHT in columns:
        return np.nan_to_num(columns[WIDTH] * columns[HEIGHT])
    if DISTANCE in columns:
        return 1 / np.maximum(np.nan_to_num(columns[DISTANCE], nan=np.inf), 1.0)
    return np.zeros(table.rows)
