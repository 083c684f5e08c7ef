"""`mreactor-bench targets`: which real reactions a model should be trained on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from mreactor_bench.eval_cli import SETTINGS
from mreactor_ref.command import one_line_errors, progress_bar, typed_command
from mreactor_ref.tree_options import tree_options

NAMES = ("one", "aligned", "appropriate")
EMA_DECAY = 0.99  # of trainings too short for the usual average


@click.command("targets", context_settings=SETTINGS)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="A tree with train, val and test.",
)
@tree_options
@click.option(
    "--targets", type=click.Choice(NAMES), multiple=True, default=NAMES, help="May be repeated."
)
@click.option("--config", default="mini", help="Sizes of the models.")
@click.option("--layers", type=click.IntRange(1, 9), help="Another number of layers.")
@click.option("--steps", type=click.IntRange(1), default=600, help="Of each training.")
@click.option("--samples", type=click.IntRange(2), default=5, help="Reactions to each clip.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of everything.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON."
)
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def targets_command(
    data: Path,
    targets: tuple[str, ...],
    config: str,
    layers: int | None,
    steps: int,
    samples: int,
    seed: int,
    output: Path | None,
    debug: bool,
    **tree: Any,
) -> None:
    """Train on one aligned reaction, on all of them, and on all that count as appropriate.

    The same model, seed and steps; scores of the split `test`, against all appropriate reactions
    and against the aligned ones alone.
    """
    with one_line_errors(debug):
        from mreactor_bench.report import markdown, write_report
        from mreactor_bench.targets.study import TARGETS, Study
        from mreactor_ref.train_options import TrainOptions, choose_config

        with tempfile.TemporaryDirectory(prefix="mreactor-targets-") as runs, progress_bar() as bar:
            options = TrainOptions(
                **{"data": data, "output": Path(runs), "steps": steps, "seed": seed},
                validate_every=steps,
                ema_decay=EMA_DECAY,
                **tree,
            )
            study = Study(choose_config(config, layers=layers), options, samples)
            rows = study.run(targets, bar)
        for name in targets:
            click.echo(f"{name}: {TARGETS[name]}")
        click.echo(markdown(rows, "targets"))
        if output is not None:
            about = {"command": typed_command(), "steps": steps, "samples": samples, "seed": seed}
            write_report(output, "targets", about | {"rows": rows})
            click.echo(f"Wrote {output}")
