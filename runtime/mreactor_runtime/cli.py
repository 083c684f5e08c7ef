"""`mreactor-infer`: parses, calls `job.run_job`, and ends with a summary and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mreactor_ref.command import INTERRUPTED, TERMINATED, Terminated, one_line_errors, orderly_end
from mreactor_ref.data.reading import ReadOptions, reading_options
from mreactor_ref.emotion.options import RecoveryOptions, recovery_options
from mreactor_ref.files import check_writable
from mreactor_runtime.engines.names import AUTO, DEVICES
from mreactor_runtime.forms import SUFFIXES, named_formats
from mreactor_runtime.merge_cli import merge
from mreactor_runtime.reactor_options import ReactorOptions, reactor_options
from mreactor_runtime.run.on_ray.options import RayOptions, ray_options
from mreactor_runtime.run.stores import is_url
from mreactor_runtime.run_parts import RunParts

if TYPE_CHECKING:
    from mreactor_runtime.run.options import Options
    from mreactor_runtime.run.summary import Progress, Summary

MERGE = "merge"
SOME_FAILED, TOO_MANY_FAILED = 3, 4  # exit codes


def _batch_size(context: click.Context, option: click.Parameter, value: str) -> int | None:
    """None for auto."""
    if value == AUTO:
        return None
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither auto nor a number from 1", context, option)
    return int(value)


def _max_errors(_: click.Context, __: click.Parameter, value: str | None) -> int | str | None:
    return int(value) if value is not None and value.isdecimal() else value  # or a share


class Place(click.Path):
    """A folder, or a URL, which stays as it is."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if is_url(value) else super().convert(value, param, ctx)


class Infer(click.Command):
    """`mreactor-infer`, which is `mreactor-infer merge` where that is its first word."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **more: Any) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        if words[:1] == [MERGE]:
            more["prog_name"] = f"mreactor-infer {MERGE}"
            return merge.main(words[1:], **more)
        return super().main(args, *others, **more)


@click.command(
    cls=Infer,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="mreactor-infer merge OUTPUT puts the manifests of several --shard together.",
)
@click.version_option(package_name="mreactor")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="FOLDER|FILE|PATTERN|URL",
    help="Clips: a folder, searched in depth, where files that share a stem are a clip; a file, "
    "with what lies beside it; a pattern; or a folder at a URL, such as s3://bucket/clips. May be "
    "repeated.",
)
@click.option(
    "-o",
    "--output",
    type=Place(file_okay=False, path_type=Path),
    default=Path("reactions"),
    help="Folder for the results.",
)
@reactor_options
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    default=AUTO,
    help="Where the engine runs; auto is CUDA where there is one.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    show_default="the engine's choice",
    help="CPU threads of the engine; with --devices cpu,cpu of all processes together.",
)
@click.option(
    "--devices",
    metavar="0,1 | cpu,cpu",
    help="Share the clips among devices, a process each: numbers of CUDA devices, or CPUs.",
)
@ray_options
@click.option(
    "--shard",
    metavar="I/N",
    help="Do only the I-th of N parts of the clips; 1/4 is the first of 4.",
)
@click.option(
    "--batch-size",
    default=AUTO,
    metavar="auto|N",
    callback=_batch_size,
    help="Clips in one call of the sampler, halved where memory does not suffice; auto is 1 on a "
    "CPU.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    help="Keep what an earlier run into OUTPUT did, where this one would do the same.",
)
@click.option(
    "--overlap/--no-overlap",
    default=True,
    help="Read, sample and write at once, or one after the other; the results are the same.",
)
@reading_options
@click.option(
    "--dry-run", is_flag=True, help="Print what would be read of each clip, and do nothing."
)
@recovery_options
@click.option(
    "--explain-priors",
    is_flag=True,
    help="Write how the priors of each clip came about beside its result.",
)
@click.option(
    "--output-format",
    metavar=",".join(SUFFIXES),
    default="",
    show_default="none",
    help="Beside each npz its reactions in one or several of these forms, as mreactor-convert.",
)
@click.option("--plot", is_flag=True, help="Draw a timeline of each clip beside its result.")
@click.option(
    "--report", is_flag=True, help="Make the pages of mreactor-view: OUTPUT/view/index.html."
)
@click.option(
    "--max-errors",
    metavar="N|P%",
    callback=_max_errors,
    show_default="no limit",
    help="Stop when more clips than this, or than this share of all, have failed.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(
    inputs: tuple[str, ...],
    output: Path | str,
    reacting: ReactorOptions,
    device: str,
    threads: int | None,
    devices: str | None,
    ray: RayOptions | None,
    shard: str | None,
    batch_size: int | None,
    resume: bool,
    overlap: bool,
    reading: ReadOptions,
    dry_run: bool,
    recovery: RecoveryOptions,
    explain_priors: bool,
    plot: bool,
    report: bool,
    output_format: str,
    max_errors: int | str | None,
    quiet: bool,
    debug: bool,
) -> None:
    """Generate reactions of a listener's face to clips of people who speak.

    A clip is the set of files that share a stem: sound (wav, flac, mp3, ogg), words (txt, srt, vtt,
    json), face (npy, csv), or a video (mp4, mkv) for sound and face. Each gives OUTPUT/<clip>.npz
    with `attributes` (samples, frames, 25) and `coefficients` (samples, frames, 58), and a line of
    OUTPUT/manifest.jsonl; OUTPUT/run.json says how it was made.

    The same command goes on where a run has ended, however it did. Several --shard can write into
    one OUTPUT; mreactor-infer merge, or the same command without --shard, then puts their manifests
    together.

    Exit codes: 0 done; 2 usage; 3 some clips failed; 4 more than --max-errors failed; 5 a model's
    file is damaged; 130 interrupted (Ctrl-C); 143 ended by SIGTERM; 1 anything else.
    """
    if devices is not None and device != AUTO:
        raise click.UsageError("--device and --devices: give one of them")
    at_urls = any(map(is_url, (output, *inputs)))
    if at_urls and (devices is not None or dry_run or report):
        raise click.UsageError(
            "clips or results at a URL go with one process, or with --ray: share them out with "
            "--shard, and make pages of a copy"
        )
    if ray is not None and (devices is not None or threads is not None):
        raise click.UsageError("--ray has --ray-concurrency and --ray-num-cpus in their place")
    seen = ""
    with one_line_errors(debug), orderly_end():
        from rich.console import Console

        from mreactor_ref.data.clips import find_clips
        from mreactor_runtime.run.dry_run import print_clips
        from mreactor_runtime.run.options import Options
        from mreactor_runtime.run.shard import Shard
        from mreactor_runtime.run.terminal import last_line, shown_progress

        if dry_run:
            print_clips(find_clips(inputs), Path(output), reading, Console())
            return
        formats = named_formats(output_format)
        options = Options(
            max_errors=max_errors,
            debug=debug,
            recovery=recovery,
            batch_size=batch_size,
            resume=resume,
            overlap=overlap,
            shard=Shard.parse(shard) if shard else None,
            reading=reading,
        )
        parts = RunParts(reacting, recovery, formats, plot, explain_priors)
        try:
            with shown_progress(quiet) as progress:
                places = (device, threads, devices, ray)
                summary = _run(inputs, output, parts, options, progress, *places)
        except KeyboardInterrupt as stop:
            click.echo("Interrupted: what is done is kept; run it again to go on", err=True)
            sys.exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)
        if report:
            from mreactor_runtime.view.pages import write_view

            seen = f"; to see them open {write_view(Path(output), inputs=inputs).index}"
    if not quiet:
        click.echo(last_line(summary) + seen)
    if summary.stopped:
        raise click.exceptions.Exit(TOO_MANY_FAILED)
    if summary.failed:
        raise click.exceptions.Exit(SOME_FAILED)


def _run(
    inputs: tuple[str, ...],
    output: Path | str,
    parts: RunParts,
    options: Options,
    progress: Progress,
    device: str,
    threads: int | None,
    devices: str | None,
    ray: RayOptions | None,
) -> Summary:
    """The run in this process, or shared out. Raises MReactorError and KeyboardInterrupt."""
    from mreactor_runtime.run.devices import run_on_devices
    from mreactor_runtime.run.job import run_job
    from mreactor_runtime.run.on_ray.run import run_on_ray
    from mreactor_runtime.run.staged import run_staged

    if ray is not None:
        return run_on_ray(inputs, output, parts, ray, options, progress, device)
    if any(map(is_url, (output, *inputs))):
        reactor, extras, explain = parts(device, threads)
        return run_staged(inputs, output, reactor, options, progress, extras, explain)
    output = Path(output)
    check_writable(output)
    if devices is not None:
        names = [name.strip() for name in devices.split(",") if name.strip()]
        return run_on_devices(inputs, output, names, parts, options, progress, threads)
    reactor, extras, explain = parts(device, threads)
    return run_job(inputs, output, reactor, options, progress, extras, explain)
