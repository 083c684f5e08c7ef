"""`mreactor-bench`: parses, measures, prints tables, writes reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mreactor_bench.attention.command import attention_command
from mreactor_bench.depth.command import depth_command
from mreactor_bench.eval_cli import SETTINGS, with_options
from mreactor_bench.faces_command import face_command
from mreactor_bench.kernels.command import kernels_command
from mreactor_bench.metrics.command import metrics_command
from mreactor_bench.pipeline.command import pipeline_command
from mreactor_bench.reading.command import reading_command
from mreactor_bench.solvers.command import solvers_command
from mreactor_bench.targets.command import targets_command
from mreactor_bench.throughput.setting import PEERS
from mreactor_ref.command import one_line_errors, typed_command
from mreactor_ref.config import CONFIGS
from mreactor_ref.errors import UsageError
from mreactor_ref.files import check_writable
from mreactor_ref.schedule import Solver
from mreactor_runtime.engines.names import AUTO, BF16, DEVICES, DTYPES, ENGINES, FP16, FP32
from mreactor_runtime.sampling_options import solver_options

if TYPE_CHECKING:
    from mreactor_ref.model import MReactor

HALF_TYPES = (FP16, BF16)
MINI = "mini"
MODEL = (
    click.option("--model", show_default="mini", help="A shipped name, a checkpoint, or a bundle."),
    click.option(
        "--random-weights",
        type=click.Choice(sorted(CONFIGS)),
        help="In place of --model: random weights of a config; time does not depend on them.",
    ),
)
DEBUG = click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
JSON = click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON."
)
WHAT = (
    click.option(
        "--engine", "engines", type=click.Choice(ENGINES), multiple=True, help="May be repeated."
    ),
    click.option(
        "--peer",
        "peers",
        type=click.Choice(list(PEERS)),
        multiple=True,
        help="Another way to run the same weights; may be repeated.",
    ),
    click.option(
        "--dtype",
        "dtypes",
        type=click.Choice(DTYPES),
        multiple=True,
        default=(FP32,),
        help="May be repeated.",
    ),
    click.option("--device", type=click.Choice(DEVICES), default=AUTO, help="Where it runs."),
    click.option(
        "--frames",
        type=click.IntRange(1, 100_000),
        multiple=True,
        default=(750,),
        help="Length of a clip; may be repeated.",
    ),
    click.option(
        "--batch-size",
        "batch_sizes",
        type=click.IntRange(1, 1024),
        multiple=True,
        default=(1,),
        help="Clips in a call; may be repeated.",
    ),
    click.option("--samples", type=click.IntRange(1, 1000), default=10, help="Reactions a clip."),
)
REPEAT_OPTIONS = (
    click.option("--repeats", type=click.IntRange(1), default=5, help="Timed calls at least."),
    click.option(
        "--duration", type=click.FloatRange(0), default=3.0, help="Seconds of timing at least."
    ),
    click.option(
        "--warm-up", type=click.IntRange(0), default=1, help="Calls before, beside the first."
    ),
    click.option("--threads", type=click.IntRange(1), help="Of the CPU."),
)


@click.group(context_settings=SETTINGS)
@click.version_option(package_name="mreactor")
def main() -> None:
    """Measure how fast models run, and what our choices of solver and graphs rest on."""


main.add_command(attention_command)
main.add_command(depth_command)
main.add_command(face_command)
main.add_command(kernels_command)
main.add_command(metrics_command)
main.add_command(reading_command)
main.add_command(pipeline_command)
main.add_command(solvers_command)
main.add_command(targets_command)


@main.command(context_settings=SETTINGS)
@with_options(*MODEL, *WHAT, solver_options(Solver(), repeated=("steps",)), *REPEAT_OPTIONS)
@click.option(
    "--compare",
    "pair",
    nargs=2,
    metavar="A B",
    help="Two settings in turns, such as: peer=eager engine=torch,steps=20",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for throughput.json, .md and .html.",
)
@DEBUG
def throughput(
    engines: tuple[str, ...],
    peers: tuple[str, ...],
    repeats: int,
    duration: float,
    warm_up: int,
    model: str | None,
    random_weights: str | None,
    output: Path | None,
    debug: bool,
    **options: Any,
) -> None:
    """Time engines and peers, against the limit of the machine and against each other.

    First the ceiling: operations and bytes by formula, the machine's measured rates, and the least
    time that follows. Then each engine and peer at each size, in a process of its own, once its
    reactions are those of the torch engine. With --compare only two settings, in turns: where a
    machine does other work, too, only these ratios can be trusted.
    """
    with one_line_errors(debug):
        from mreactor_bench.throughput.page import write_reports
        from mreactor_bench.throughput.run import Request, run
        from mreactor_bench.throughput.setting import TimingPlan

        if output is not None:
            check_writable(output)
        request = Request(
            model=_one_model(model, random_weights),
            random=random_weights,
            runners=(*engines, *peers),
            plan=TimingPlan(repeats, duration, warm_up),
            command=typed_command(),
            **options,
        )
        report, failure = run(request, _say, click.echo)
        click.echo(report.to_markdown())
        if output is not None:
            for path in write_reports(report, output):
                click.echo(f"Wrote {path}")
        if failure is not None:
            raise failure


@main.command(context_settings=SETTINGS)
@with_options(*MODEL)
@click.option(
    "--frames", type=click.IntRange(1), default=750, help="Of the reaction that is denoised."
)
@click.option(
    "--dtype",
    "dtypes",
    type=click.Choice(HALF_TYPES),
    multiple=True,
    default=("fp16", "bf16"),
    help="May be repeated.",
)
@click.option(
    "--sensitivity/--no-sensitivity",
    default=True,
    help="Also each class of operators alone in the half type, and alone spared.",
)
@JSON
@DEBUG
def precision(
    model: str | None,
    random_weights: str | None,
    frames: int,
    dtypes: tuple[str, ...],
    sensitivity: bool,
    output: Path | None,
    debug: bool,
) -> None:
    """Measure what half types lose, and which operators must stay in fp32.

    The figures behind the exporter's table of what it keeps in fp32.
    """
    with one_line_errors(debug):
        from mreactor_bench.precision.export_tables import precision_tables

        network = _network(model, random_weights)
        figures = precision_tables(network, frames, dtypes, click.echo, sensitivity)
        about = {"model": random_weights or model or MINI, "frames": frames}
        _write(output, "precision", {**about, "command": typed_command(), "dtypes": figures})


@main.command(context_settings=SETTINGS)
@with_options(*MODEL)
@click.option("--frames", type=click.IntRange(1), multiple=True, default=(256, 768), help="Sizes.")
@click.option("--samples", type=click.IntRange(1), multiple=True, default=(1, 3), help="Sizes.")
@click.option("--pairs", type=click.IntRange(1), default=9, help="Of calls, in turns.")
@JSON
@DEBUG
def forms(
    model: str | None,
    random_weights: str | None,
    frames: tuple[int, ...],
    samples: tuple[int, ...],
    pairs: int,
    output: Path | None,
    debug: bool,
) -> None:
    """Forms of the exported denoiser in ONNX Runtime on a CPU: which is the faster."""
    with one_line_errors(debug):
        from mreactor_bench.precision.export_tables import forms_table

        figures = forms_table(_network(model, random_weights), frames, samples, pairs, click.echo)
        about = {"model": random_weights or model or MINI, "command": typed_command()}
        _write(output, "forms", {**about, "forms": figures})


def _one_model(model: str | None, random_weights: str | None) -> str:
    """The model by name or path. Raises: UsageError where random weights are asked for, too."""
    if model is not None and random_weights is not None:
        raise UsageError("--model and --random-weights: give one of them")
    return model or MINI


def _network(model: str | None, random_weights: str | None) -> MReactor:
    from mreactor_bench.throughput.weights import random_model
    from mreactor_ref.checkpoint import find_checkpoint, load_checkpoint

    name = _one_model(model, random_weights)
    if random_weights:
        return random_model(CONFIGS[random_weights])
    return load_checkpoint(find_checkpoint(name))


def _say(text: str) -> None:
    click.echo(text, err=True)


def _write(output: Path | None, kind: str, values: dict[str, Any]) -> None:
    from mreactor_bench.report import write_report

    if output is not None:
        write_report(output, kind, values)
        click.echo(f"Wrote {output}")
