"""`mreactor-infer`: parses, calls `job.run_job`, and ends with a summary and an exit code."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mreactor_ref.command import one_line_errors
from mreactor_ref.emotion.options import RecoveryOptions, recovery_options
from mreactor_ref.schedule import SCHEDULERS, SPACINGS
from mreactor_runtime.bundle import SolverDefaults
from mreactor_runtime.engines.names import AUTO, DEVICES, ENGINES

if TYPE_CHECKING:
    from mreactor_runtime.job import Outcome, Progress, Summary

SOME_FAILED, TOO_MANY_FAILED = 3, 4  # exit codes
DEFAULTS = SolverDefaults()


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="mreactor")
@click.option(
    "--input",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of clips, searched in depth: files that share a stem are a clip.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reactions"),
    help="Folder for the results.",
)
@click.option("--samples", type=click.IntRange(1, 1000), default=10, help="Reactions to each clip.")
@click.option("--model", default="mini", help="A shipped name, a checkpoint, or a bundle's folder.")
@click.option("--engine", type=click.Choice(ENGINES), default=AUTO, help="What runs the model.")
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    default=AUTO,
    help="Where the engine runs; auto is CUDA where there is one.",
)
@click.option("--seed", type=int, default=0, help="The same seed gives the same reactions.")
@click.option(
    "--scheduler",
    type=click.Choice(SCHEDULERS),
    show_default=f"the bundle's, else {DEFAULTS.scheduler}",
    help="The solver of the reverse diffusion.",
)
@click.option(
    "--steps",
    type=click.IntRange(1, 1000),
    show_default=f"the bundle's, else {DEFAULTS.steps}",
    help="Steps of the solver.",
)
@click.option(
    "--timestep-spacing",
    type=click.Choice(list(SPACINGS)),
    show_default=f"the bundle's, else {DEFAULTS.timestep_spacing}",
    help="How the steps are spread over the noise schedule.",
)
@click.option(
    "--guidance-scale",
    type=click.FloatRange(0, 20),
    show_default=f"the bundle's, else {DEFAULTS.guidance_scale:g}",
    help="0 ignores the speaker, 1 is no guidance, more follows the speaker more.",
)
@click.option(
    "--smoothness",
    type=click.FloatRange(-3, 3),
    default=0.0,
    help="Of the motion, in deviations from the average of the training data.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    show_default="the engine's choice",
    help="CPU threads of the engine.",
)
@recovery_options
@click.option(
    "--explain-priors",
    is_flag=True,
    help="Write how the priors of each clip came about beside its result.",
)
@click.option("--plot", is_flag=True, help="Draw a timeline of each clip beside its result.")
@click.option(
    "--max-errors",
    type=click.IntRange(0),
    show_default="no limit",
    help="Stop when more clips than this have failed.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(
    input: Path,
    output: Path,
    samples: int,
    model: str,
    engine: str,
    device: str,
    seed: int,
    scheduler: str | None,
    steps: int | None,
    timestep_spacing: str | None,
    guidance_scale: float | None,
    smoothness: float,
    threads: int | None,
    recovery: RecoveryOptions,
    explain_priors: bool,
    plot: bool,
    max_errors: int | None,
    quiet: bool,
    debug: bool,
) -> None:
    """Generate reactions of a listener's face to every clip of a folder.

    A clip is the set of files that share a stem: sound (wav, flac, mp3, ogg, or that of an mp4 or
    mkv), words (txt, srt, vtt, json) and face (npy, csv). Each gives OUTPUT/<clip>.npz with
    `attributes` (samples, frames, 25) and `coefficients` (samples, frames, 58), and a line of
    OUTPUT/manifest.jsonl; OUTPUT/run.json says how it was made.

    Exit codes: 0 done; 2 usage; 3 some clips failed; 4 more than --max-errors failed; 5 a model's
    file is damaged; 1 anything else.
    """
    for name, value in (("--guidance-scale", guidance_scale), ("--smoothness", smoothness)):
        if value is not None and math.isnan(value):
            raise click.BadParameter("is not a number", param_hint=name)
    with one_line_errors(debug):
        from mreactor_ref.emotion.options import open_recovery
        from mreactor_runtime.job import Options, explain_with, run_job
        from mreactor_runtime.outputs import check_writable
        from mreactor_runtime.reactor import Reactor

        draw = None
        if plot:
            from mreactor_runtime.report.timeline import plot_timeline, require_matplotlib

            require_matplotlib()
            draw = plot_timeline
        check_writable(output)
        options = Options(
            samples=samples,
            seed=seed,
            scheduler=scheduler,
            steps=steps,
            guidance_scale=guidance_scale,
            smoothness=smoothness,
            max_errors=max_errors,
            debug=debug,
            timestep_spacing=timestep_spacing,
            recovery=recovery,
        )
        source = open_recovery(recovery)
        reactor = Reactor.open(model, engine, threads, device, source)
        explain = explain_with(source) if explain_priors else None
        with _progress(samples, quiet) as progress:
            summary = run_job(input, output, reactor, options, progress, draw, explain)
    _report(summary, quiet)
    if summary.stopped:
        raise click.exceptions.Exit(TOO_MANY_FAILED)
    if summary.failed:
        raise click.exceptions.Exit(SOME_FAILED)


@contextmanager
def _progress(samples: int, quiet: bool) -> Iterator[Progress]:
    """A bar on stderr where that is a terminal; only its lines of text where it is not."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    bar = Bar(
        TextColumn("Reacting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("clips, {task.fields[rate]} reactions/s, time left"),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )

    class Shown:
        """Passes what happens on to the bar."""

        def begin(self, clips: int) -> None:
            self.task = bar.add_task("", total=clips, rate="-")
            self.seconds, self.reactions = 0.0, 0

        def say(self, text: str) -> None:
            if not quiet:
                console.print(f"Note: {text}", markup=False)

        def finished(self, outcome: Outcome) -> None:
            if outcome.error:
                console.print(f"Failed: {outcome.error}", markup=False)
            self.seconds += outcome.milliseconds / 1000
            self.reactions += outcome.reactions
            rate = f"{self.reactions / self.seconds:.2f}" if self.seconds else "-"
            bar.update(self.task, advance=1, rate=rate)

    with bar:
        yield Shown()


def _report(summary: Summary, quiet: bool) -> None:
    """The last line: what was done, how fast, where it is."""
    if quiet:
        return
    parts = [f"{summary.done} of {summary.clips} clips done"]
    if summary.failed:
        parts.append(f"{len(summary.failed)} failed")
    left = summary.clips - summary.done - len(summary.failed)
    if left:
        parts.append(f"{left} not tried")
    rate = summary.reactions / summary.seconds if summary.seconds else 0.0
    parts.append(f"{summary.reactions} reactions in {summary.seconds:.1f} s ({rate:.2f} a second)")
    parts += [f"{count} without {name}" for name, count in summary.missing.items()]
    click.echo(f"{', '.join(parts)}; results in {summary.output}")
