"""What the command prints of a bundle: its files, and its plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from mreactor_ref.files import shown_hash

if TYPE_CHECKING:
    from mreactor_export.plans import ShippedPlan
    from mreactor_runtime.bundle import Bundle

MIB = 2**20


def print_files(console: Console, bundle: Bundle) -> None:
    """What was written."""
    table = Table(title="Bundle")
    for column in ("file", "MiB", "SHA-256"):
        table.add_column(column, justify="left" if column == "file" else "right", no_wrap=True)
    for name, sha256 in bundle.files.items():
        size = (bundle.folder / name).stat().st_size / MIB
        table.add_row(name, f"{size:.1f}", shown_hash(sha256))
    console.print(table)


def print_plans(console: Console, plans: Sequence[ShippedPlan]) -> None:
    """What was built, and which attentions became one kernel."""
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
