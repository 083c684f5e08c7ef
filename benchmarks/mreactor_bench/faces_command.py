"""`mreactor-bench face`: how fast the face is read out of a video, and in what memory."""

from __future__ import annotations

from pathlib import Path

import click

from mreactor_bench.eval_cli import SETTINGS
from mreactor_ref.command import line_now_and_then, one_line_errors, typed_command


@click.command("face", context_settings=SETTINGS)
@click.option(
    "-i",
    "--input",
    "video",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="A video, taken again and again as one long one.",
)
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), default=1.0, help="Of that long video."
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON."
)
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def face_command(video: Path, minutes: float, output: Path | None, debug: bool) -> None:
    """Read the face out of a video on one core: frames a second, and the memory as it goes on."""
    with one_line_errors(debug):
        from dataclasses import asdict

        from mreactor_bench.faces import measure_faces
        from mreactor_bench.report import text_table, write_report

        say = line_now_and_then()
        reading = measure_faces(video, minutes, lambda part: say(f"{part:.0%} read"))
        (early, first), (late, last) = reading.memory[1], reading.memory[-1]
        row = {
            "pictures": f"{reading.width} x {reading.height}",
            "frames": str(reading.frames),
            "with a face": f"{reading.seen:.1%}",
            "frames a second of one core": f"{reading.rate:.1f}",
            "on the wall": f"{reading.frames / reading.seconds:.1f}",
            f"MiB at {early:.1f} min": f"{first:.0f}",
            f"MiB at {late:.1f} min": f"{last:.0f}",
        }
        click.echo(text_table({video.name: row}, "video"))
        if output is not None:
            figures = asdict(reading) | {"frames_per_core_second": reading.rate}
            write_report(
                output, "face", {"command": typed_command(), "video": video.name, **figures}
            )
            click.echo(f"Wrote {output}")
