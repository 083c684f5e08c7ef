"""The report on the screen: a row for each thing that was held against the reference."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from mreactor_export.parity.figures import Report, Row, rows


def print_parity(console: Console, report: Report) -> None:
    """A table an engine, each row with its worst figure, narrow enough for 80 columns."""
    found = rows(report)
    for engine in dict.fromkeys(row.engine for row in found):
        console.print(_table(engine, report.dtype, [row for row in found if row.engine == engine]))
    console.print(
        "n: figures, of which the row shows the worst; size: clips x reactions x frames;\n"
        "g: guidance; L2: of the error over that of the reference, in float64 or float32,\n"
        "whichever is more, which the bound is for; largest: absolute error, for information."
    )
    for note in report.notes:
        console.print(f"- {note}", soft_wrap=True, markup=False)
    console.print(f"Reproduce: {report.command}", soft_wrap=True, markup=False, highlight=False)


def _table(engine: str, dtype: str, found: list[Row]) -> Table:
    table = Table(
        title=f"Parity of {engine} with the PyTorch reference, {dtype}",
        box=SIMPLE,
        padding=(0, 0),
    )
    for column in ("what", "n", "size", "g", "largest", "L2", "bound", ""):
        table.add_column(column, justify="left" if column == "what" else "right", no_wrap=True)
    for row in found:
        worst = row.worst
        table.add_row(
            row.name,
            str(len(row.figures)),
            worst.size,
            "" if worst.guidance is None else f"{worst.guidance:g}",
            "" if worst.fault else f"{worst.maximum:.1e}",
            "" if worst.fault else f"{worst.relative:.1e}",
            f"{worst.bound:.0e}",
            "ok" if worst.passed else "FAILED",
        )
    return table
