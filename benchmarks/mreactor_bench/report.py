"""Reports of benchmarks: what their JSON begins with, and tables in Markdown."""

from __future__ import annotations

import json
import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mreactor_ref.files import write_whole
from mreactor_runtime.bundle import versions

SCHEMA_VERSION = 1
PACKAGES = (
    *("mreactor", "torch", "numpy", "onnxruntime", "onnxruntime-gpu"),
    *("sentence-transformers", "vaderSentiment"),
)


def to_json(kind: str, values: dict[str, Any]) -> str:
    """A report of this kind, with date, machine and versions."""
    record = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.machine(),
        "versions": versions(*PACKAGES),
        **values,
    }
    return json.dumps(record, indent=2) + "\n"


def write_report(path: Path, kind: str, values: dict[str, Any]) -> None:
    """Write `to_json`, in a folder that is made if need be."""
    write_whole(path, to_json(kind, values).encode())


def write_reports_as(folder: Path, name: str, contents: Mapping[str, bytes]) -> list[Path]:
    """Write a report in several forms, ending -> content, into a folder; returns their paths."""
    paths = [folder / f"{name}.{ending}" for ending in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_whole(path, content)
    return paths


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], words: Collection[int] = (0,)
) -> str:
    """A Markdown table.

    Args:
        rows: cells.
        words: numbers of the columns that stand to the left, as words do; numbers stand right.
    """
    return "\n".join([table_head(columns, words), *map(table_row, rows)])


def table_head(columns: Sequence[str], words: Collection[int] = (0,)) -> str:
    """The first two lines of a `table` whose rows are printed as they are measured."""
    rules = ("---|" if number in words else "---:|" for number in range(len(columns)))
    return f"{table_row(columns)}\n|{''.join(rules)}"


def table_row(cells: Sequence[str]) -> str:
    """One line of a `table`."""
    return f"| {' | '.join(cells)} |"


def markdown(rows: dict[str, dict[str, float]], first: str, digits: str = ".3g") -> str:
    """A table: rows by name, the columns of the first row; `first` is the head of the names."""
    return text_table(
        {name: {key: f"{x:{digits}}" for key, x in row.items()} for name, row in rows.items()},
        first,
    )


def text_table(rows: dict[str, dict[str, str]], first: str) -> str:
    """As `markdown`, with cells that are text; a dash for what a row does not have."""
    columns = list(next(iter(rows.values())))
    cells = ([name, *(row.get(column, "-") for column in columns)] for name, row in rows.items())
    return table((first, *columns), cells)
