"""`mreactor-convert`: parses, calls `convert_all`, and ends with a summary and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mreactor_ref.command import one_line_errors, orderly_end
from mreactor_ref.errors import UsageError
from mreactor_ref.printable import printable
from mreactor_runtime.convert.options import FACEVERSE, MEANINGS, Conversion
from mreactor_runtime.forms import PACKED, SUFFIXES, named_formats

SOME_FAILED = 3  # exit code


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="mreactor")
@click.argument("result", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--to",
    "formats",
    required=True,
    metavar=f"{','.join(SUFFIXES)} | {','.join(PACKED)}",
    help="One form or several, of reactions or of the whole run.",
)
@click.option(
    "--fps",
    type=float,
    show_default="the result's own",
    help="Frames a second of what is written: the reaction is read at other times, linearly.",
)
@click.option(
    "--reaction", type=int, show_default="all", help="One reaction, from 0 as in the arrays."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("converted"),
    help="Folder for the files.",
)
@click.option(
    "--smooth",
    type=float,
    default=0.0,
    metavar="SECONDS",
    help="Of a Gaussian over time, its standard deviation; 0 for none.",
)
@click.option(
    "--coefficients",
    type=click.Choice(MEANINGS),
    default=FACEVERSE,
    help="What the 52 expression coefficients of the model are: with arkit they are the face's "
    "shapes, else the shapes come from the action units.",
)
@click.option(
    "--source-fps",
    type=float,
    show_default="what its run says",
    help="Frames a second of the result.",
)
@click.option(
    "--shard-size",
    type=click.IntRange(1),
    default=256,
    metavar="MB",
    help="Of the results in a file of webdataset or parquet.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(
    result: Path,
    formats: str,
    fps: float | None,
    reaction: int | None,
    output: Path,
    smooth: float,
    coefficients: str,
    source_fps: float | None,
    shard_size: int,
    overwrite: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Write generated reactions in forms that engines read.

    RESULT is the npz of a clip, or the folder of a run of mreactor-infer. A clip's reaction 0
    becomes OUTPUT/<clip>.reaction0.glb and so on; with --to webdataset or parquet a whole run
    becomes OUTPUT/reactions-000000.tar and so on, results as they are. Each file says that it is
    AI-generated; for a csv, which cannot, an .about.json beside it does.

    Exit codes: 0 done; 2 usage; 3 some results failed; 130 interrupted (Ctrl-C); 1 anything else.
    """
    names = [name.strip() for name in formats.split(",")]
    if any(name in PACKED for name in names):
        changes = (reaction, fps, source_fps, smooth or None)
        if any(value is not None for value in changes) or coefficients != FACEVERSE:
            raise click.UsageError("webdataset and parquet hold results as they are")
        return _pack(result, names, output, shard_size, overwrite, quiet, debug)
    with one_line_errors(debug):
        options = (reaction, fps, source_fps, smooth, coefficients)
        conversion = Conversion(named_formats(formats), *options)
        from mreactor_runtime.convert.convert import convert_all

        def tell(line: str) -> None:
            click.echo(line, err=True)

        summary = convert_all(result, output, conversion, tell, overwrite, debug)
    if not quiet:
        failed = f", {len(summary.failed)} failed" if summary.failed else ""
        total = summary.results + len(summary.failed)
        click.echo(
            f"{summary.results} of {total} results converted{failed}: {summary.reactions} "
            f"reactions, {summary.files} files in {output}"
        )
    if summary.failed:
        raise click.exceptions.Exit(SOME_FAILED)


def _pack(
    source: Path,
    names: Sequence[str],
    output: Path,
    size: int,
    overwrite: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Forms of a whole run."""
    with one_line_errors(debug), orderly_end():
        if others := [name for name in names if name not in PACKED]:
            raise UsageError(
                f"{others[0]!r} is no form of a whole run",
                fix=f"{', '.join(PACKED)} go together, and the others",
            )
        from mreactor_runtime.pack.pack import pack_all

        def tell(line: str) -> None:
            click.echo(printable(line), err=True)

        summary = pack_all(source, output, names, tell, size, overwrite)
    if not quiet:
        kept = f", {summary.kept} of them before" if summary.kept else ""
        failed = f", {len(summary.failed)} left out" if summary.failed else ""
        click.echo(
            f"{summary.results} results packed{failed}: {summary.files} files in {output}{kept}"
        )
    if summary.failed:
        raise click.exceptions.Exit(SOME_FAILED)
