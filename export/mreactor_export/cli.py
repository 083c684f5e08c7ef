"""`mreactor-export`: parses, calls `export_bundle`, prints what was written and every figure."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mreactor_ref.command import one_line_errors

if TYPE_CHECKING:
    from rich.console import Console

    from mreactor_export.parity import Figure
    from mreactor_runtime.bundle import Bundle

FORMATS = ("onnx",)
OPSETS = ("18", "19", "20", "21", "22", "23")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="mreactor")
@click.option("--model", default="mini", help="A shipped name, or a checkpoint.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    show_default="the user's cache, where mreactor-infer looks",
    help="Folder of the bundle.",
)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="onnx", help="Of graphs.")
@click.option("--opset", type=click.Choice(OPSETS), default=OPSETS[2], help="ONNX operator set.")
@click.option("--force", is_flag=True, help="Export again what has not changed.")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def main(
    model: str, output: Path | None, format_: str, opset: str, force: bool, debug: bool
) -> None:
    """Export a model to ONNX graphs that are checked against the reference.

    Writes a bundle: encoder.onnx (once a clip), modulator.onnx (once a run), denoiser.onnx (once a
    step) and bundle.json. It ends with the table of parity, or fails and leaves no bundle.
    """
    with one_line_errors(debug):
        from rich.console import Console

        from mreactor_export.export import current_bundle, export_bundle

        console, started = Console(), time.perf_counter()
        if not force and (bundle := current_bundle(model, output, int(opset))):
            console.print(
                f"Nothing to do: {bundle.folder} is the export of this {model} (--force to redo).",
                soft_wrap=True,
            )
            return
        with console.status("loading") as status:
            bundle, figures = export_bundle(
                model,
                output,
                opset=int(opset),
                report=status.update,
                figure=lambda f: status.update(
                    f"checking parity: {f.what}, {f.reactions} reactions, {f.frames} frames"
                ),
            )
        print_parity(console, figures)
        print_files(console, bundle)
        seconds = time.perf_counter() - started
        console.print(
            f"Exported {model} to {bundle.folder} in {seconds:.0f} s; "
            f"all {len(figures)} parity figures are within their bounds (ONNX Runtime on the CPU).",
            soft_wrap=True,
        )


def print_parity(console: Console, figures: list[Figure]) -> None:
    """Every figure, a row each, narrow enough for 80 columns: a cut number is none."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(title="Parity with the PyTorch reference, fp32", box=SIMPLE, padding=(0, 0, 0, 1))
    table.caption = "size: clips x reactions x frames; relative: L2 error over L2 norm"
    for column in ("what", "size", "guidance", "largest", "relative", "bound", ""):
        table.add_column(column, justify="left" if column == "what" else "right", no_wrap=True)
    for f in figures:
        table.add_row(
            f.what,
            f"{f.clips}x{f.reactions}x{f.frames}",
            "" if f.guidance is None else f"{f.guidance:g}",
            f"{f.maximum:.1e}",
            f"{f.relative:.1e}",
            f"{f.bound:.0e}",
            "ok" if f.passed else "FAILED",
        )
    console.print(table)


def print_files(console: Console, bundle: Bundle) -> None:
    """What was written."""
    from rich.table import Table

    table = Table(title="Bundle")
    for column in ("file", "MiB", "SHA-256"):
        table.add_column(column, justify="left" if column == "file" else "right")
    for name, sha256 in bundle.files.items():
        size = (bundle.folder / name).stat().st_size / 2**20
        table.add_row(name, f"{size:.1f}", f"{sha256[:16]}...")
    console.print(table)
