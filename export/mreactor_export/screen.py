"""The command's screen: tables of a bundle's files, its plans, and its figures of parity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from mreactor_export.parity.figures import Report, Row, rows
from mreactor_ref.files import shown_hash

if TYPE_CHECKING:
    from mreactor_export.plans import ShippedPlan
    from mreactor_runtime.bundle import Bundle

MIB = 2**20


def print_files(console: Console, bundle: Bundle) -> None:
    """A table of the files that were written."""
    table = Table(title="Bundle")
    for column in ("file", "MiB", "SHA-256"):
        table.add_column(column, justify="left" if column == "file" else "right", no_wrap=True)
    for name, sha256 in bundle.files.items():
        size = (bundle.folder / name).stat().st_size / MIB
        table.add_row(name, f"{size:.1f}", shown_hash(sha256))
    console.print(table)


def print_plans(console: Console, plans: Sequence[ShippedPlan]) -> None:
    """A table of the plans that were built, and which attentions became one kernel."""
    if not plans:
        return
    table = Table(title="Plans")
    for column in ("package", "graph", "MiB", "s", "layers"):
        table.add_column(column, justify="right" if column in "MiBs" else "left", no_wrap=True)
    for plan in plans:
        size = f"{plan.bytes / MIB:.1f}"
        table.add_row(plan.package, plan.graph, size, f"{plan.seconds:.0f}", plan.summary)
    console.print(table)
    for plan in plans:
        if plan.fused:
            fused = ", ".join(name.rpartition("/")[0] or name for name in plan.fused)
            console.print(
                f"fused by {plan.package} in the {plan.graph}: {fused}",
                soft_wrap=True,
                highlight=False,
            )


def print_parity(console: Console, report: Report) -> None:
    """A table an engine, each row with its worst figure, narrow enough for 80 columns."""
    tables: dict[str, list[Row]] = {}
    for row in rows(report):
        tables.setdefault(row.engine, []).append(row)
    for engine, some in tables.items():
        console.print(_parity_table(engine, report.dtype, some))
    console.print(
        "n: figures, of which the row shows the worst; size: clips x reactions x frames;\n"
        "g: guidance; L2: of the error over that of the reference, in float64 or float32,\n"
        "whichever is more, which the bound is for; largest: absolute error, for information."
    )
    for note in report.notes:
        console.print(f"- {note}", soft_wrap=True, markup=False)
    console.print(f"Reproduce: {report.command}", soft_wrap=True, markup=False, highlight=False)


def _parity_table(engine: str, dtype: str, some: list[Row]) -> Table:
    table = Table(
        title=f"Parity of {engine} with the PyTorch reference, {dtype}",
        box=SIMPLE,
        padding=(0, 0),
    )
    for column in ("what", "n", "size", "g", "largest", "L2", "bound", ""):
        table.add_column(column, justify="left" if column == "what" else "right", no_wrap=True)
    for row in some:
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
