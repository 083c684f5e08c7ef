"""`mreactor-eval`: parses, calls `quality.measure`, prints the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from mreactor_ref.command import one_line_errors, progress_bar
from mreactor_ref.schedule import SCHEDULERS, SPACINGS
from mreactor_runtime.engines.names import AUTO, DEVICES, ENGINES


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="mreactor")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="A MARS tree: the split to score, and train for the mean predictors.",
)
@click.option("--split", default="test", help="What to score.")
@click.option("--model", default="mini", help="A shipped name, a checkpoint, or a bundle's folder.")
@click.option("--engine", type=click.Choice(ENGINES), default=AUTO, help="What runs the model.")
@click.option("--device", type=click.Choice(DEVICES), default=AUTO, help="Where the engine runs.")
@click.option("--samples", type=click.IntRange(2, 1000), default=10, help="Reactions to each clip.")
@click.option("--limit", type=click.IntRange(2), help="Only the first so many clips.")
@click.option("--seed", type=int, default=0, help="Of the reactions and of the random predictor.")
@click.option("--scheduler", type=click.Choice(SCHEDULERS), help="Another solver.")
@click.option("--steps", type=click.IntRange(1, 1000), help="Another number of steps.")
@click.option("--timestep-spacing", type=click.Choice(list(SPACINGS)), help="Of the steps.")
@click.option("--guidance-scale", type=click.FloatRange(0, 20), help="Another guidance.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as JSON."
)
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def evaluate(
    data: Path,
    split: str,
    model: str,
    engine: str,
    device: str,
    samples: int,
    limit: int | None,
    seed: int,
    scheduler: str | None,
    steps: int | None,
    timestep_spacing: str | None,
    guidance_scale: float | None,
    output: Path | None,
    debug: bool,
) -> None:
    """Score a model with the challenge's measures, beside its four trivial predictors.

    Higher is better for FRCorr and the diversities (FRDiv, FRVar, FRDvs), lower for FRDist and
    FRSyn.
    """
    with one_line_errors(debug):
        from mreactor_bench.quality import beats_trivial, markdown, measure
        from mreactor_ref.metrics.table import MEASURES
        from mreactor_runtime.reactor import Reactor

        reactor = Reactor.open(model, engine, device=device)
        given = {
            "scheduler": scheduler,
            "steps": steps,
            "timestep_spacing": timestep_spacing,
            "guidance_scale": guidance_scale,
        }
        changed = {name: value for name, value in given.items() if value is not None}
        with progress_bar() as report:
            quality = measure(
                reactor,
                data,
                split=split,
                samples=samples,
                seed=seed,
                limit=limit,
                solver=replace(reactor.model.defaults, **changed),
                report=report,
            )
        click.echo(f"{quality.clips} clips of {split}, {samples} reactions each")
        click.echo(markdown(quality, MEASURES))
        for name, better in beats_trivial(quality, reactor.model.name).items():
            click.echo(
                f"{name}: {'better than' if better else 'NOT better than'} every trivial one"
            )
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(quality.to_json(), encoding="utf-8")
            click.echo(f"Wrote {output}")
