"""`mreactor-export`: parses, calls `export_bundle` or `verify_bundle`, prints every figure."""

from __future__ import annotations

import itertools
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mreactor_export.flags import plan_flags, read_plan_flags
from mreactor_export.names import FORMATS, OPSETS, TRITON
from mreactor_ref.command import line_now_and_then, one_line_errors
from mreactor_ref.errors import UsageError
from mreactor_ref.files import check_writable, write_whole
from mreactor_runtime.engines.names import CPU, CUDA, DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.status import Status

    from mreactor_export.options import ExportOptions
    from mreactor_export.parity import Figure
    from mreactor_runtime.bundle import Bundle

VERIFY_OPTIONS = ("verify", "thorough", "model", "output", "debug")  # options that --verify takes


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="mreactor")
@click.option("--model", default="mini", help="A shipped name, or a checkpoint.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    show_default="the user's cache, where mreactor-infer looks",
    help="Folder of the bundle; with --verify, of the report.",
)
@click.option(
    "--format",
    "format_",
    default=FORMATS[0],
    metavar="|".join(FORMATS),
    help="What to make, with commas; onnx is always made.",
)
@click.option("--dtype", type=click.Choice(DTYPES), default=DTYPES[0], help="Of the graphs.")
@click.option(
    "--opset",
    type=int,
    metavar=f"{OPSETS[0]}-{OPSETS[-1]}",
    show_default="20, or 23 where a TensorRT fuses more with it",
    help="ONNX operator set.",
)
@click.option(
    "--model-repository",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("model_repository"),
    help="Folder that --format triton writes.",
)
@click.option(
    "--device",
    type=click.Choice((CPU, CUDA)),
    default=CPU,
    help="Where the Triton server will run the graphs.",
)
@click.option(
    "--verify",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="BUNDLE",
    help="Export nothing: take the parity figures of a bundle.",
)
@click.option("--thorough", is_flag=True, help="With --verify: every case there is; an hour.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    show_default="one a core, at most 3",
    help="Processes that trace graphs.",
)
@click.option("--force", is_flag=True, help="Export again what has not changed.")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
@plan_flags
@click.pass_context
def main(
    context: click.Context,
    model: str,
    output: Path | None,
    format_: str,
    dtype: str,
    opset: int | None,
    model_repository: Path,
    device: str,
    verify: Path | None,
    thorough: bool,
    workers: int | None,
    force: bool,
    debug: bool,
    plans: dict[str, Any],
) -> None:
    """Export a model to graphs and plans that are checked against the reference.

    Writes a bundle: encoder.onnx (once a clip), modulator.onnx (once a run), conditional.onnx and
    denoiser.onnx (once a step, without guidance and with it), plans of TensorRT and TensorRT-RTX,
    the parity report, and bundle.json. It ends with the table of parity, or fails and leaves no
    bundle. Options of plans are named as trtexec names them.
    """
    with one_line_errors(debug):
        from rich.console import Console

        console, given = Console(), _given(context)
        if verify is not None:
            _refuse(given, given.keys() - set(VERIFY_OPTIONS), "--verify takes no")
            _verify(console, verify, model if "model" in given else None, output, thorough)
            return
        _refuse(given, {"thorough"}, "without --verify there is no")
        from mreactor_export.options import ExportOptions, parse_formats

        build, buckets = read_plan_flags(plans)
        options = ExportOptions(parse_formats(format_), dtype, opset, build, buckets)
        repository = model_repository if TRITON in options.formats else None
        if repository is None:
            _refuse(given, {"model_repository", "device"}, "only --format triton takes")
        else:
            _check_repository(repository, output, options, device)
        bundle = _export(console, model, output, options, workers, force)
        if repository is not None:
            _write_repository(console, bundle, repository, device)


def _export(
    console: Console,
    model: str,
    output: Path | None,
    options: ExportOptions,
    workers: int | None,
    force: bool,
) -> Bundle:
    """Export what has changed, or say that nothing has."""
    from mreactor_export.export import current_bundle, export_bundle

    started = time.perf_counter()
    if not force and (bundle := current_bundle(model, output, options)):
        console.print(
            f"Nothing to do: {bundle.folder} is the export of this {model} (--force to redo).",
            soft_wrap=True,
        )
        return bundle
    from mreactor_export.parity import ParityError
    from mreactor_export.screen import print_files, print_parity, print_plans
    from mreactor_export.tracing import usual_workers

    with console.status("loading") as status:
        try:
            exported = export_bundle(
                model,
                output,
                options,
                workers=workers or usual_workers(),
                report=status.update,
                figure=_heard(console, status),
            )
        except ParityError as error:
            if error.report is not None:  # there is no bundle to take the figures of afterwards
                typed = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
                print_parity(console, replace(error.report, command=typed))
            raise
    seconds = time.perf_counter() - started
    print_plans(console, exported.plans)
    print_parity(console, exported.report)
    print_files(console, exported.bundle)
    console.print(
        f"Exported {model} in {options.dtype} to {exported.bundle.folder} in {seconds:.0f} s; "
        f"all {len(exported.report.figures)} parity figures are within their bounds.",
        soft_wrap=True,
    )
    return exported.bundle


def _verify(
    console: Console, folder: Path, model: str | None, output: Path | None, thorough: bool
) -> None:
    """Take the figures of a bundle, print them, and write them where `output` says."""
    from mreactor_runtime.bundle import open_bundle

    bundle = open_bundle(folder)
    if output is not None:
        check_writable(output)
    from mreactor_export.export import report_files
    from mreactor_export.parity import ParityError, verify_bundle
    from mreactor_export.screen import print_parity

    failure = None
    with console.status("loading") as status:
        try:
            proof = verify_bundle(
                bundle,
                model,
                thorough=thorough,
                report=_heard(console, status),
            )
        except ParityError as error:
            if error.report is None:
                raise
            proof, failure = error.report, error
    print_parity(console, proof)
    if output is not None:
        for name, content in report_files(proof).items():
            write_whole(output / name, content)
    if failure is not None:
        raise failure
    console.print(
        f"All {len(proof.figures)} parity figures of {folder} are within their bounds.",
        soft_wrap=True,
    )


def _heard(console: Console, status: Status) -> Callable[[Figure], None]:
    """Shows each figure as it comes; without a terminal, one now and then."""
    taken, say = itertools.count(1), line_now_and_then()

    def hear(figure: Figure) -> None:
        at = f"{next(taken)}, {figure.engine}: {figure.what}, {figure.size}"
        status.update(f"checking parity, figure {at}")
        if not console.is_terminal:
            say(f"checking parity, figure {at}")

    return hear


def _check_repository(
    repository: Path, output: Path | None, options: ExportOptions, device: str
) -> None:
    """Say now what `_write_repository` would say after minutes of work. Raises: UsageError."""
    from mreactor_export.precision import BF16
    from mreactor_export.triton_server import check_repository

    if options.dtype == BF16 and device == CPU:
        raise UsageError("ONNX Runtime has no bf16 on a CPU", fix="use --device cuda")
    inside = output is not None and repository.resolve().is_relative_to(output.resolve())
    if inside:
        raise UsageError("is in the bundle's folder", repository, "give --model-repository")
    check_repository(repository)


def _write_repository(console: Console, bundle: Bundle, repository: Path, device: str) -> None:
    from mreactor_export.triton_server import write_bundle_repository

    names = write_bundle_repository(bundle.folder, repository, device=device)
    console.print(
        f"Wrote {', '.join(names)} to {repository} for a Triton server's {device}: "
        f"tritonserver --model-repository={repository}",
        soft_wrap=True,
        highlight=False,
    )


def _given(context: click.Context) -> dict[str, str]:
    """The options that stand on the command line: parameter -> option."""
    line = click.core.ParameterSource.COMMANDLINE
    return {
        str(parameter.name): parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(str(parameter.name)) == line
    }


def _refuse(given: dict[str, str], names: set[str], why: str) -> None:
    """Raises: UsageError for options that were given and would do nothing."""
    if wrong := [given[name] for name in sorted(names & given.keys())]:
        raise UsageError(f"{why} {', '.join(wrong)}", fix="leave it out")
