"""`mreactor-convert`: parses, calls `convert_all`, and ends with a summary and an exit code."""

from __future__ import annotations

from pathlib import Path

import click

from mreactor_ref.command import one_line_errors
from mreactor_runtime.convert.options import FACEVERSE, MEANINGS, Conversion
from mreactor_runtime.forms import SUFFIXES, named_formats

SOME_FAILED = 3  # exit code


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="mreactor")
@click.argument("result", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--to",
    "formats",
    required=True,
    metavar=",".join(SUFFIXES),
    help="One form or several.",
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
    overwrite: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Write generated reactions in forms that engines read.

    RESULT is the npz of a clip, or the folder of a run of mreactor-infer. A clip's reaction 0
    becomes OUTPUT/<clip>.reaction0.glb and so on. Each file says that it is AI-generated; for a
    csv, which cannot, an .about.json beside it does.

    Exit codes: 0 done; 2 usage; 3 some results failed; 130 interrupted (Ctrl-C); 1 anything else.
    """
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
