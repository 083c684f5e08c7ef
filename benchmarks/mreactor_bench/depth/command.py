"""`mreactor-bench depth`: quality against the number of layers (figure 3 of the supplement)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mreactor_bench.eval_cli import SETTINGS, with_options
from mreactor_bench.variant_options import DATA, TRAINING, study_folder
from mreactor_ref.command import one_line_errors, progress_bar, typed_command
from mreactor_ref.config import MAX_LAYERS
from mreactor_ref.tree_options import tree_options

DEPTHS = tuple(range(1, MAX_LAYERS + 1))


@click.command("depth", context_settings=SETTINGS)
@with_options(DATA)
@tree_options
@click.option(
    "--layers",
    "depths",
    type=click.IntRange(1, MAX_LAYERS),
    multiple=True,
    default=DEPTHS,
    help="May be repeated.",
)
@click.option("--config", default="mini", help="All other sizes: mini or base.")
@with_options(*TRAINING)
@click.option(
    "--repeats", type=click.IntRange(1), default=1, help="Trainings of a depth, each of a seed."
)
@click.option("--samples", type=click.IntRange(2), default=5, help="Reactions to each clip.")
@click.option("--limit", type=click.IntRange(2), help="Only the first so many clips of test.")
@study_folder("depth")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def depth_command(
    data: Path | None,
    depths: tuple[int, ...],
    config: str,
    repeats: int,
    samples: int,
    limit: int | None,
    output: Path,
    debug: bool,
    **training: Any,
) -> None:
    """Train models of 1 to 9 layers alike, and score each on clips that none has seen.

    Writes depth.json, .md and .png. Each model's checkpoint and scores are kept in the folder, so
    the same command goes on where it was stopped; other depths may be added to it.
    """
    with one_line_errors(debug), progress_bar() as progress:
        from mreactor_bench.depth.page import to_markdown, write_reports
        from mreactor_bench.depth.study import DepthStudy
        from mreactor_ref.train_options import choose_config
        from mreactor_runtime.report.timeline import require_matplotlib

        require_matplotlib()
        sizes = choose_config(config)
        study = DepthStudy(output, sizes, data, training, samples, limit)
        report = study.run(sorted(set(depths)), repeats, typed_command(), progress)
        click.echo(to_markdown(report))
        for path in write_reports(report, output):
            click.echo(f"Wrote {path}")
