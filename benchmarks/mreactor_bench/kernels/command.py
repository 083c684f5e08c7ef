"""`mreactor-bench kernels`: where the time of the fused sampler goes."""

from __future__ import annotations

from pathlib import Path

import click

from mreactor_bench.eval_cli import SETTINGS
from mreactor_ref.command import one_line_errors, typed_command
from mreactor_ref.config import CONFIGS
from mreactor_ref.schedule import Solver
from mreactor_runtime.engines.names import BF16, CPU, CUDA, FP32


@click.command("kernels", context_settings=SETTINGS)
@click.option(
    "--config", type=click.Choice(sorted(CONFIGS)), default="base", help="Random weights."
)
@click.option("--device", type=click.Choice((CUDA, CPU)), default=CUDA, help="Where it runs.")
@click.option("--dtype", type=click.Choice((FP32, BF16)), default=BF16, help="Of whole clips.")
@click.option("--frames", type=click.IntRange(1, 10_000), default=768, help="Of a clip.")
@click.option("--samples", type=click.IntRange(1, 100), default=10, help="Reactions a clip.")
@click.option("--steps", type=click.IntRange(1, 1000), default=Solver().steps, help="Of sampling.")
@click.option("--repeats", type=click.IntRange(1), default=20, help="Timed calls.")
@click.option(
    "--kernels",
    "kernels",
    type=click.Choice(("fused", "compiled", "eager")),
    multiple=True,
    default=("fused", "compiled"),
    show_default=True,
    help="What computes a step; one after the other.",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 16),
    multiple=True,
    default=(1,),
    show_default=True,
    help="Clips side by side.",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON."
)
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def kernels_command(
    config: str,
    device: str,
    dtype: str,
    frames: int,
    samples: int,
    steps: int,
    repeats: int,
    kernels: tuple[str, ...],
    slots: tuple[int, ...],
    output: Path | None,
    debug: bool,
) -> None:
    """Time attention by tile and what it skips, whole clips, and each kernel of one, on a GPU.

    Guidance is 1, then 2. On a CPU the same is done with what runs there in place of the kernels.
    """
    with one_line_errors(debug):
        from itertools import product

        from mreactor_bench.kernels.measure import (
            GUIDANCES,
            Clips,
            Timing,
            attention_times,
            clip_times,
            columns_of,
            kernel_profile,
        )
        from mreactor_bench.report import write_report
        from mreactor_runtime.engines.engine import choose_device

        place, sizes = choose_device(device), CONFIGS[config]
        timing = Timing(place, repeats)
        table = Solver(steps=steps).table(sizes.train_steps)
        figures = {"attention": attention_times(sizes, frames, samples, timing), "clips": []}
        for each, count in product(kernels, slots):
            clips = Clips(sizes, table, frames, samples, dtype, each, place, count)
            figures["clips"] += [
                {"kernels": each} | row for row in clip_times(clips, steps, timing)
            ]
            for guidance in GUIDANCES:
                of = f", {count} slots" if count > 1 else ""
                name = f"{each} kernels at guidance {guidance:g}{of}"
                figures[name] = kernel_profile(clips, guidance, place)
            clips.close()
        for name, rows in figures.items():
            click.echo(f"{name}:  {'  '.join(rows[0]) if rows else 'nothing'}")
            click.echo(columns_of(rows))
        if output is not None:
            about = {"config": config, "device": device, "dtype": dtype, "steps": steps}
            sizes_of = {"frames": frames, "samples": samples, "repeats": repeats}
            record = {"command": typed_command(), **about, **sizes_of, **figures}
            write_report(output, "kernels", record)
            click.echo(f"Wrote {output}")
