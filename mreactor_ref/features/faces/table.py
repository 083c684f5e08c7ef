"""Tables of faces: the text of a csv, whatever its delimiter, as named columns."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import ClipError
from mreactor_ref.features.faces.track import MAX_ROWS

DELIMITERS = ",;\t"
REMARK = "#"  # begins a line for people above the header
LARGEST = float(np.finfo(np.float32).max)
MAX_LINE = 1 << 18  # characters of a line


@dataclass(frozen=True)
class Table:
    """Some columns of a csv.

    Attributes:
        path: the file.
        names: of all its columns, in small letters.
        columns: name -> (T',) numbers; NaN where a cell is empty.
        texts: name -> the cells of columns that are no numbers.
        warnings: one line for each thing that was handled but should be known.
    """

    path: Path
    names: tuple[str, ...]
    columns: dict[str, NDArray[np.float64]]
    texts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    warnings: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return max(len(values) for values in (*self.columns.values(), *self.texts.values()))

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp], *warnings: str) -> Table:
        """Some of the rows, and lines that say why."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        texts = {name: np.array(cells)[rows].tolist() for name, cells in self.texts.items()}
        return Table(self.path, self.names, columns, texts, (*self.warnings, *warnings))


def read_names(path: Path) -> tuple[str, ...]:
    """The columns of a csv in small letters, empty for an empty file.

    Raises:
        ClipError: not text.
    """
    with _Csv(path) as file:
        return file.head()[0]


def read_table(
    path: Path, numbers: Iterable[str], texts: Iterable[str] = (), most: int = MAX_ROWS
) -> Table:
    """The columns of these names that the file has.

    The delimiter is a comma, a semicolon or a tab, whichever the header has most of; with the last
    two a number may have a decimal comma. Spaces around a cell, a mark at the start of the file and
    empty cells at the end of a line do not matter. A last line that was cut off is left out.

    Args:
        numbers, texts: names of columns.
        most: rows of a file that is not refused.

    Raises:
        ClipError: not text, empty, without rows or with more than `most`, a line of another length
            than the header, or a cell that is no number.
    """
    with _Csv(path) as file:
        names, rows = file.head()
        if not names:
            raise ClipError("is empty", path, "extract the face again")
        wanted = [name for name in numbers if name in names]
        worded = [name for name in texts if name in names]
        places = [names.index(name) for name in (*wanted, *worded)]
        count, values, cells = 0, array("d"), [list[str]() for _ in worded]
        warnings: list[str] = []
        for i, row in enumerate(_rows(path, rows, names, most, warnings)):
            row = [row[place].strip() for place in places]
            try:
                values.extend(file.number(cell) for cell in row[: len(wanted)])
            except ValueError as error:
                raise ClipError(
                    f"frame {i} has a cell that is no number", path, "fill or cut that frame"
                ) from error
            for column, cell in zip(cells, row[len(wanted) :], strict=True):
                column.append(cell)
            count = i + 1
    if not count:
        raise ClipError("has a header but no frames", path, "extract the face again")
    columns = dict(zip(wanted, np.array(values).reshape(count, -1).T, strict=True))
    return Table(path, names, columns, dict(zip(worded, cells, strict=True)), tuple(warnings))


def _rows(
    path: Path,
    rows: Iterator[list[str]],
    names: tuple[str, ...],
    most: int,
    warnings: list[str],
) -> Iterator[list[str]]:
    """The rows that are whole; adds a line where the last one is not."""
    before = False
    for i, row in enumerate(rows):
        while len(row) > len(names) and not row[-1].strip():
            row.pop()
        if len(row) != len(names):
            if before and len(row) < len(names) and next(rows, None) is None:
                warnings.append(f"its last line is cut off after {len(row)} cells: left out")
                return
            raise ClipError(
                f"frame {i} has {len(row)} cells, the header {len(names)}", path, "save it again"
            )
        if i >= most:
            raise ClipError(f"has more than {most} rows", path, "cut it to the clip")
        before = True
        yield row


class _Csv:
    """A csv file that is open for reading."""

    def __init__(self, path: Path):
        self._path = path
        self._decimal_comma = False

    def __enter__(self) -> _Csv:
        self._file = self._path.open(newline="", encoding="utf-8-sig")
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        if isinstance(error[1], UnicodeDecodeError | csv.Error):
            raise ClipError("is not a csv file in UTF-8", self._path, "save it again") from error[1]

    def head(self) -> tuple[tuple[str, ...], Iterator[list[str]]]:
        """The names of the columns, and the rows below them."""
        lines = self._lines()
        first = next(lines, "")
        while first and (not first.strip() or first.lower().startswith(("sep=", REMARK))):
            first = next(lines, "")
        delimiter = max(DELIMITERS, key=first.count)
        self._decimal_comma = delimiter != ","
        head = next(csv.reader([first], delimiter=delimiter), [])
        while head and not head[-1].strip():
            head.pop()
        names = tuple(name.strip().lower() for name in head)
        return names, (row for row in csv.reader(lines, delimiter=delimiter) if row)

    def _lines(self) -> Iterator[str]:
        """Its lines, none of which fills the memory."""
        while line := self._file.readline(MAX_LINE):
            if len(line) == MAX_LINE:
                raise ClipError("has a line that never ends", self._path, "is it a csv?")
            yield line

    def number(self, cell: str) -> float:
        """NaN for an empty cell. Raises ValueError, also where a float32 is too small for it."""
        if not cell:
            return np.nan
        value = float(cell.replace(",", ".") if self._decimal_comma else cell)
        if LARGEST < abs(value) < np.inf:
            raise ValueError(cell)
        return value
