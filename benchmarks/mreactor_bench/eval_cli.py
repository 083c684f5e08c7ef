"""`mreactor-eval`: parses, measures, prints tables, writes reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from mreactor_ref.command import one_line_errors, progress_bar, typed_command
from mreactor_ref.metrics.compat import EDITIONS
from mreactor_ref.metrics.intervals import RESAMPLES
from mreactor_ref.metrics.lengths import CHALLENGE, LENGTH_RULES
from mreactor_ref.schedule import Solver
from mreactor_ref.tree_options import tree_options
from mreactor_runtime.engines.names import AUTO, DEVICES, ENGINES
from mreactor_runtime.sampling_options import solver_options

SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}
FILE = click.Path(dir_okay=False, path_type=Path)

UTTERANCES = 1000  # whose time is measured

MODEL_OPTIONS = (
    click.option(
        "--data",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        required=True,
        help="A MARS or REACT 2023/2024 tree.",
    ),
    click.option("--split", default="test", help="Of the data."),
    click.option("--model", default="mini", help="A shipped name, a checkpoint, or a bundle."),
    click.option("--engine", type=click.Choice(ENGINES), default=AUTO, help="Runs the model."),
    click.option("--device", type=click.Choice(DEVICES), default=AUTO, help="Where it runs."),
    click.option("--limit", type=click.IntRange(2), help="Only the first so many clips."),
    click.option("--seed", type=int, default=0, help="Of the reactions."),
    solver_options(Solver()),
)
SCORING_OPTIONS = (
    click.option(
        "--compat",
        type=click.Choice(list(EDITIONS)),
        help="Compute what the code of this challenge does, where it departs from the definitions.",
    ),
    click.option(
        "--length-rule",
        type=click.Choice(list(LENGTH_RULES)),
        default=CHALLENGE,
        help="For real reactions of other lengths: cut and hold, or faster and slower.",
    ),
    click.option(
        "--resamples",
        type=click.IntRange(100, 1_000_000),
        default=RESAMPLES,
        help="Of the bootstrap intervals.",
    ),
    click.option("--groups", type=FILE, help="csv with clip,column...: scores by group of clips."),
    click.option(
        "--features",
        type=(FILE, FILE),
        metavar="REAL GENERATED",
        help="Features of video, npy or the npz of pytorch_fid: adds FRRea.",
    ),
)
REPORT_OPTIONS = (
    click.option("--output", type=FILE, help="Write the report as JSON."),
    click.option("--debug", is_flag=True, help="Show the traceback of a failure."),
)


def with_options(*options: Callable[..., Any]) -> Callable[[Any], Any]:
    """Give a command several options, in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group(context_settings=SETTINGS)
@click.version_option(package_name="mreactor")
def evaluate() -> None:
    """Measure reactions, their control by priors, and the filters of subjects."""


@evaluate.command(context_settings=SETTINGS)
@with_options(*MODEL_OPTIONS)
@partial(tree_options, features=("--prepared", "prepared"))
@click.option("--samples", type=click.IntRange(2, 1000), default=10, help="Reactions to each clip.")
@with_options(*SCORING_OPTIONS)
@click.option("--latex", is_flag=True, help="Print the rows for a table of the challenge's form.")
@with_options(*REPORT_OPTIONS)
def reactions(
    data: Path,
    split: str,
    model: str,
    engine: str,
    device: str,
    limit: int | None,
    seed: int,
    samples: int,
    solver: dict[str, Any],
    roles: tuple[str, ...],
    fps: float | None,
    prepared: Path | None,
    latex: bool,
    output: Path | None,
    debug: bool,
    **scoring: Any,
) -> None:
    """Score a model with the challenge's measures, beside its four trivial predictors.

    Higher is better for FRCorr and the diversities (FRDiv, FRVar, FRDvs), lower for FRDist and
    FRSyn. The mean predictors learn from the split `train` of the data.
    """
    with one_line_errors(debug):
        from mreactor_bench.quality import Scoring, beats_trivial, measure
        from mreactor_bench.quality_tables import latex_rows, quality_text
        from mreactor_ref.data.trees import TreeOptions
        from mreactor_runtime.reactor import Reactor

        reactor = Reactor.open(model, engine, device=device, samples=samples, seed=seed, **solver)
        with progress_bar() as progress:
            quality = measure(
                reactor,
                data,
                split=split,
                limit=limit,
                scoring=Scoring(**scoring),
                tree=TreeOptions(roles, fps, prepared),
                progress=progress,
            )
        for text in quality_text(quality):
            click.echo(text)
        if latex:
            click.echo(latex_rows(quality.rows))
        for name, better in beats_trivial(quality, reactor.model.name).items():
            click.echo(
                f"{name}: {'better than' if better else 'NOT better than'} every trivial one"
            )
        _write(output, "quality", asdict(quality))


@evaluate.command(context_settings=SETTINGS)
@with_options(*MODEL_OPTIONS)
@click.option(
    "--listener",
    type=click.IntRange(0),
    help="Code of the listener of all reactions; 0 says nothing.",
    show_default="drawn for each clip",
)
@with_options(*REPORT_OPTIONS)
def control(listener: int | None, **options: Any) -> None:
    """Change nothing but a reaction's prior, and see whether the reaction follows.

    Rank correlations of the reaction's valence with the prior's polarity, and of its motion with
    the prior's intensity.
    """
    from mreactor_bench.control import measure_control

    measure = partial(measure_control, listener=listener)
    more = {} if listener is None else {"listener": listener}
    _study("control", "rank correlation", measure, more, **options)


@evaluate.command(context_settings=SETTINGS)
@with_options(*MODEL_OPTIONS, *REPORT_OPTIONS)
def identity(**options: Any) -> None:
    """Tell whether each reaction stays one listener's, on simulated dyads."""
    from mreactor_bench.identity import measure_identity

    _study("identity", "reactions", measure_identity, **options)


@evaluate.command(context_settings=SETTINGS)
@with_options(*MODEL_OPTIONS, *REPORT_OPTIONS)
def streams(**options: Any) -> None:
    """Remove and shift each of the speaker's streams, and see what it does to the reactions.

    Figures are shares of what another seed does.
    """
    from mreactor_bench.streams import measure_streams

    _study("streams", "stream", measure_streams, **options)


def _study(
    kind: str,
    first: str,
    measure: Callable[..., Any],
    more: dict[str, Any] | None = None,
    *,
    data: Path,
    split: str,
    model: str,
    engine: str,
    device: str,
    limit: int | None,
    seed: int,
    solver: dict[str, Any],
    output: Path | None,
    debug: bool,
) -> None:
    """Measure something of a model on a tree; print its rows, write its report.

    Args:
        more: of the setting that the report tells.
    """
    with one_line_errors(debug):
        from mreactor_bench.report import markdown
        from mreactor_runtime.reactor import Reactor

        reactor = Reactor.open(model, engine, device=device, seed=seed, **solver)
        with progress_bar() as progress:
            figures = measure(reactor, data, split=split, limit=limit, progress=progress)
        click.echo(f"{figures.clips} clips of {split}")
        click.echo(markdown(figures.rows, first))
        setting = {
            "model": model,
            "checkpoint_sha256": reactor.model.sha256,
            **asdict(reactor.sampling.solver),
            "engine": reactor.engine.name,
            "device": reactor.device_name,
            "seed": seed,
            "split": split,
            **(more or {}),
        }
        about = {"command": typed_command(), "setting": setting}
        _write(output, kind, about | asdict(figures))


@evaluate.command(context_settings=SETTINGS)
@click.option(
    "--judged",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Other judged pairs: csv with utterance,subject,related,fitting.",
    show_default="the package's",
)
@click.option("--plot", type=FILE, help="Draw what the calibration changes.")
@with_options(*REPORT_OPTIONS)
def filters(judged: Path | None, plot: Path | None, output: Path | None, debug: bool) -> None:
    """Precision and recall of the filters of subjects, against judged pairs; and their speed."""
    with one_line_errors(debug):
        from mreactor_bench.filters import JUDGED, measure_filters, plot_calibration, seconds_for
        from mreactor_bench.report import markdown

        rows, tested = measure_filters(judged or JUDGED)
        click.echo(
            f"{len(tested.related)} pairs, {int(tested.related.sum())} related, "
            f"{int(tested.fitting.sum())} fitting, "
            f"{int((tested.related & tested.fitting).sum())} both"
        )
        click.echo(markdown(rows, "filter"))
        if plot is not None:
            plot_calibration(tested, plot)
            click.echo(f"Drew {plot}")
        seconds = seconds_for(UTTERANCES)
        click.echo(f"{UTTERANCES:,} utterances through all stages in {seconds:.1f} s")
        speed = {"utterances": UTTERANCES, "seconds": round(seconds, 2)}
        _write(output, "filters", {"pairs": len(tested.related), "rows": rows, "speed": speed})


def _write(output: Path | None, kind: str, values: dict[str, Any]) -> None:
    from mreactor_bench.report import write_report

    if output is not None:
        write_report(output, kind, values)
        click.echo(f"Wrote {output}")
