"""`mreactor-bench solvers`: error and measures against steps, and the default that follows."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mreactor_bench.eval_cli import SETTINGS, with_options
from mreactor_bench.solvers.rule import STEPS, SolverCase, default_cases
from mreactor_ref.command import one_line_errors, progress_bar, typed_command
from mreactor_ref.files import check_writable
from mreactor_runtime.engines.names import AUTO, DEVICES, ENGINES

if TYPE_CHECKING:
    from mreactor_bench.solvers.measure import Progress
    from mreactor_bench.solvers.page import Solvers
    from mreactor_runtime.reactor import Reactor

OPTIONS = (
    click.option("--model", default="mini", help="A shipped name, a checkpoint, or a bundle."),
    click.option("--engine", type=click.Choice(ENGINES), default=AUTO, help="Runs the model."),
    click.option("--device", type=click.Choice(DEVICES), default=AUTO, help="Where it runs."),
    click.option(
        "--data",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        required=True,
        help="A MARS tree.",
    ),
    click.option("--split", default="val", help="Of the data; one that the model has not seen."),
    click.option("--limit", type=click.IntRange(2), default=12, help="The first so many clips."),
    click.option("--samples", type=click.IntRange(2, 1000), default=4, help="Reactions a clip."),
    click.option("--seed", type=int, default=0, help="Of noise and priors."),
    click.option(
        "--steps",
        type=click.IntRange(2, 999),
        multiple=True,
        default=STEPS,
        help="Of each solver; may be repeated.",
    ),
    click.option(
        "--minutes",
        type=click.FloatRange(0, min_open=True),
        help="Start no other clip after so long, and report what there was time for.",
    ),
    click.option(
        "--guidance-scale",
        type=click.FloatRange(0, 20),
        default=1.5,
        help="Of the settings with guidance; 1 leaves them out.",
    ),
    click.option(
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder for solvers.json, .md, .html and .png.",
    ),
    click.option("--debug", is_flag=True, help="Show the traceback of a failure."),
)


@click.command("solvers", context_settings=SETTINGS)
@with_options(*OPTIONS)
def solvers_command(
    model: str,
    engine: str,
    device: str,
    data: Path,
    split: str,
    limit: int,
    samples: int,
    seed: int,
    steps: tuple[int, ...],
    minutes: float | None,
    guidance_scale: float,
    output: Path | None,
    debug: bool,
) -> None:
    """Hold fewer steps against the converged solution, and say which setting is enough.

    Every solver and spacing, from the same noise: how far its reactions are from those of 1000
    steps, and the challenge's measures on held-out clips. Then the rule: the cheapest setting that
    is no farther than DDIM with 50 steps, and whose measures are not worse.
    """
    with one_line_errors(debug):
        from mreactor_bench.solvers.page import about_text, to_markdown, write_reports
        from mreactor_runtime.reactor import Reactor
        from mreactor_runtime.report.timeline import require_matplotlib

        if output is not None:
            check_writable(output)
            require_matplotlib()
        reactor = Reactor.open(model, engine, device=device)
        cases = default_cases(steps, guidance_scale, reactor.config.train_steps)
        with progress_bar() as progress:
            report = measure(
                reactor,
                data,
                cases,
                split=split,
                limit=limit,
                samples=samples,
                seed=seed,
                seconds=math.inf if minutes is None else 60 * minutes,
                progress=progress,
            )
        click.echo(f"{about_text(report.about)}\n{to_markdown(report)}")
        if output is not None:
            for path in write_reports(report, output):
                click.echo(f"Wrote {path}")


def measure(
    reactor: Reactor,
    data: Path,
    cases: list[SolverCase],
    *,
    split: str,
    limit: int,
    samples: int,
    seed: int,
    seconds: float,
    progress: Progress,
) -> Solvers:
    """The report of cases, of which the published and the converged are two.

    Raises:
        UsageError: the split is missing, or a speaker has no face.
    """
    import torch

    from mreactor_bench.solvers.measure import CaseRunner, measure_cases
    from mreactor_bench.solvers.page import Solvers
    from mreactor_ref.data.dyads import load_dyads

    dyads = load_dyads(data, split, reactor.config, partial(progress, f"read {split}"))[:limit]
    runner = CaseRunner(reactor)
    price = runner.price_of_guidance(runner.encode(dyads[0], samples, seed))
    measured = measure_cases(
        runner, dyads, cases, samples=samples, seed=seed, seconds=seconds, progress=progress
    )
    about = {
        "model": reactor.model.name,
        "checkpoint_sha256": reactor.model.sha256,
        "engine": reactor.engine.name,
        "device": reactor.device_name,
        "threads": torch.get_num_threads(),
        "data": data.name,
        "split": split,
        "clips": measured.clips,
        "samples": samples,
        "seed": seed,
    }
    current = SolverCase(reactor.model.defaults)
    command = typed_command()
    return Solvers(about, command, measured.rows, measured.checks, price, current)
