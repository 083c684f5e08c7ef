"""`mreactor-bench attention`: maps of each kind of attention (figure 2 of the supplement)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from mreactor_bench.eval_cli import SETTINGS, with_options
from mreactor_bench.variant_options import DATA, TRAINING, study_folder
from mreactor_ref.command import one_line_errors, progress_bar, typed_command
from mreactor_ref.config import ATTENTIONS, Attention
from mreactor_ref.tree_options import tree_options


@click.command("attention", context_settings=SETTINGS)
@click.option("--model", default="mini", help="A shipped name or a checkpoint.")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(ATTENTIONS),
    multiple=True,
    default=ATTENTIONS,
    help="Of attention, to be trained; may be repeated.",
)
@with_options(DATA)
@tree_options
@click.option("--clip", type=click.IntRange(0), default=0, help="Its number in the split test.")
@with_options(*TRAINING)
@click.option("--samples", type=click.IntRange(1), default=4, help="Reactions to the clip.")
@study_folder("attention")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def attention_command(
    model: str,
    kinds: tuple[str, ...],
    data: Path | None,
    clip: int,
    samples: int,
    output: Path,
    debug: bool,
    **training: Any,
) -> None:
    """Draw where attention looks: in a model, and in each kind trained alike from new weights.

    Beside the maps of one clip their entropy and the mean distance of what is looked at. Trainings
    have the model's sizes. Writes attention.json, .md and .png; the same command again goes on
    where it was stopped.
    """
    with one_line_errors(debug), progress_bar() as progress:
        from mreactor_bench.attention.page import to_markdown, write_reports
        from mreactor_bench.attention.study import AttentionStudy
        from mreactor_runtime.report.timeline import require_matplotlib

        require_matplotlib()
        study = AttentionStudy(output, model, data, clip, training, samples)
        chosen = cast("tuple[Attention, ...]", tuple(dict.fromkeys(kinds)))
        report = study.run(chosen, typed_command(), progress)
        click.echo(to_markdown(report))
        for path in write_reports(report, output):
            click.echo(f"Wrote {path}")
