"""`mreactor-bench pipeline`: how busy a device of known speed is kept, and what it waits for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mreactor_bench.eval_cli import SETTINGS
from mreactor_ref.command import one_line_errors, typed_command


@click.command("pipeline", context_settings=SETTINGS)
@click.option("--clips", type=click.IntRange(1), default=200, help="That are run.")
@click.option("--frames", type=click.IntRange(1), default=750, help="Of each clip.")
@click.option("--samples", type=click.IntRange(1), default=10, help="Reactions a clip.")
@click.option("--milliseconds", type=click.FloatRange(0), default=9.0, help="Of the device a clip.")
@click.option("--readers", type=click.IntRange(1), multiple=True, default=(1, 4), help="Threads.")
@click.option("--words/--no-words", default=True, help="Whether clips have subtitles.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON."
)
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def pipeline_command(
    clips: int,
    frames: int,
    samples: int,
    milliseconds: float,
    readers: tuple[int, ...],
    words: bool,
    output: Path | None,
    debug: bool,
) -> None:
    """Run clips with prepared features from files to files on a stand-in that sleeps for each.

    The share in which it is busy is by its own clock. Beside it stand the core time of the host,
    and how fast clips are read by threads and by processes: what limits is the least of these.
    """
    with one_line_errors(debug):
        import os

        from mreactor_bench.pipeline.measure import (
            BUSY,
            core_milliseconds,
            prepared,
            reading_rate,
            run_once,
            temporary,
        )
        from mreactor_bench.report import text_table, write_report

        seconds = milliseconds / 1000
        with temporary() as folder:
            given = prepared(Path(folder, "clips"), clips, frames, samples, words)
            runs = [run_once(given, seconds, n, Path(folder, f"out{n}")) for n in readers]
            parts = core_milliseconds(given)
            rates = {
                f"{n} {'processes' if apart else 'threads'}": reading_rate(given, n, apart)
                for n in readers
                for apart in (False, True)
            }
        rows = {
            f"{run.readers} readers": {
                "busy": f"{run.busy_share:.0%}",
                "clips a second": f"{run.clips / run.seconds:.1f}",
                "core ms a clip": f"{1000 * run.core_seconds / run.clips:.1f}",
                f"cores for {BUSY:.0%}": f"{run.cores_for(seconds):.1f}" if seconds else "-",
            }
            for run in runs
        }
        click.echo(f"{clips} clips, {milliseconds:g} ms of the device each, {os.cpu_count()} cores")
        click.echo(text_table(rows, "run"))
        told = ", ".join(f"{name} {value:.1f}" for name, value in parts.items())
        click.echo(f"Core ms a clip of the parts: {told}")
        told = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
        click.echo(f"Clips read a second: {told}")
        if output is not None:
            figures: dict[str, Any] = {"command": typed_command(), "cores": os.cpu_count()}
            figures |= {"clips": clips, "frames": frames, "samples": samples, "words": words}
            figures |= {"milliseconds": milliseconds, "parts": parts, "reading": rates}
            figures["runs"] = [vars(run) | {"busy_share": run.busy_share} for run in runs]
            write_report(output, "pipeline", figures)
            click.echo(f"Wrote {output}")
