"""`mreactor-bench metrics`: the measures against the straightforward way."""

from __future__ import annotations

from pathlib import Path

import click

from mreactor_bench.eval_cli import SETTINGS
from mreactor_ref.command import one_line_errors, typed_command


@click.command("metrics", context_settings=SETTINGS)
@click.option("--samples", type=click.IntRange(1), default=10, help="Generated reactions.")
@click.option("--frames", type=click.IntRange(200), default=750, help="Of each reaction.")
@click.option("--real", type=click.IntRange(1), default=50, help="Appropriate real reactions.")
@click.option("--pairs", type=click.IntRange(1), default=5, help="Of timed calls, in turns.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the reactions.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON."
)
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def metrics_command(
    samples: int,
    frames: int,
    real: int,
    pairs: int,
    seed: int,
    output: Path | None,
    debug: bool,
) -> None:
    """Time FRCorr, FRDist and FRSyn of one clip in turns with loops over pairs, channels and lags.

    On one thread, on reactions of simulated listeners, and on noise, the worst case for FRDist.
    Needs tslearn, which the challenges warp with.
    """
    with one_line_errors(debug):
        from dataclasses import asdict

        from mreactor_bench.metrics.speed import KINDS, draw_sample, measure_speed, speed_rows
        from mreactor_bench.report import text_table, write_report
        from mreactor_bench.throughput.setting import TimingPlan

        report = {}
        for kind in KINDS:
            sample = draw_sample(kind, samples, frames, real, seed)
            speeds = measure_speed(
                sample, TimingPlan(pairs, 0, 0), lambda text: click.echo(text, err=True)
            )
            click.echo(f"{samples} x {frames} frames, {real} real, {kind}:")
            click.echo(text_table(speed_rows(speeds), "measure"))
            report[kind] = {name: asdict(speed) for name, speed in speeds.items()}
        if output is not None:
            sizes = {"samples": samples, "frames": frames, "real": real, "pairs": pairs}
            write_report(output, "metrics", {"command": typed_command(), **sizes, "speed": report})
            click.echo(f"Wrote {output}")
