"""`mreactor-bench reading`: how fast training reads prepared features, and its memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mreactor_bench.eval_cli import SETTINGS
from mreactor_ref.command import one_line_errors, typed_command

if TYPE_CHECKING:
    from mreactor_bench.reading.measure import Reading

MEBIBYTE = 2**20


@click.command("reading", context_settings=SETTINGS)
@click.option("--clips", type=click.IntRange(2), default=200, help="Speakers with one listener.")
@click.option("--frames", type=click.IntRange(1), default=1000, help="Of each clip.")
@click.option("--width", type=click.IntRange(1), default=768, help="Of the sound's features.")
@click.option(
    "--dtype", type=click.Choice(["float32", "float16"]), default="float32", help="Of these."
)
@click.option("--window", type=click.IntRange(8), default=128, help="Frames of a window.")
@click.option("--epochs", type=click.IntRange(1), default=2, help="Windows of each clip.")
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the tree and its features, removed at the end; else a temporary one.",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON."
)
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def reading_command(
    clips: int,
    frames: int,
    width: int,
    dtype: str,
    window: int,
    epochs: int,
    work: Path | None,
    output: Path | None,
    debug: bool,
) -> None:
    """Write a tree of so many clips, prepare its features, and read them as training does.

    On one thread. Frames are those of speakers; each window also brings two reactions. The memory
    is what the process itself holds, without pages of files that are mapped.
    """
    with one_line_errors(debug):
        from dataclasses import asdict

        from mreactor_bench.reading.long_tree import TreeSize, write_long_tree
        from mreactor_bench.reading.measure import measure_reading
        from mreactor_bench.report import text_table, write_report
        from mreactor_ref.files import unwritable

        size = TreeSize(clips, frames, width)
        with tempfile.TemporaryDirectory(prefix="mreactor-reading-", dir=work) as folder:
            with unwritable(Path(folder), "give another --work"):
                write_long_tree(Path(folder, "tree"), size)
            times = measure_reading(
                *(Path(folder, "tree"), size, Path(folder, "features")),
                dtype="float16" if dtype == "float16" else "float32",
                window=window,
                epochs=epochs,
                say=lambda text: click.echo(text, err=True),
            )
        click.echo(f"{clips:,} clips of {frames:,} frames, {times.features / MEBIBYTE:,.0f} MiB")
        click.echo(text_table(_rows(times), "pass"))
        if output is not None:
            about = {"command": typed_command(), **asdict(size), "dtype": dtype, "window": window}
            write_report(output, "reading", about | asdict(times))
            click.echo(f"Wrote {output}")


def _rows(reading: Reading) -> dict[str, dict[str, str]]:
    return {
        name: {
            "frames a second": f"{of_pass.frames_per_second:,.0f}",
            "a core-second": f"{of_pass.frames / max(of_pass.core_seconds, 1e-9):,.0f}",
            "seconds": f"{of_pass.seconds:.2f}",
            "own memory, MiB": _from_to(of_pass.memory),
        }
        for name, of_pass in reading.passes.items()
    }


def _from_to(memory: tuple[int, ...]) -> str:
    """The memory at the first and at the last look."""
    shown = [f"{memory[i] / MEBIBYTE:,.0f}" for i in (0, -1)] if memory else ["-"]
    return " to ".join(dict.fromkeys(shown))
