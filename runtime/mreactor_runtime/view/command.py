"""`mreactor-view`: parses, calls `write_view`, and ends with a summary and an exit code."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from mreactor_ref.command import one_line_errors, progress_bar
from mreactor_runtime.convert.options import FACEVERSE, MEANINGS
from mreactor_runtime.view.options import LINK, MEDIA

SOME_FAILED = 3  # exit code


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="mreactor")
@click.argument("run", metavar="OUT", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    show_default="OUT/view",
    help="Folder for the pages.",
)
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="FOLDER|FILE|PATTERN",
    show_default="where the run read them",
    help="Where the clips are, for their sound and words. May be repeated.",
)
@click.option(
    "--media",
    type=click.Choice(MEDIA),
    default=LINK,
    help="Link to the clips' sound and video where they are, copy them beside the pages, or none.",
)
@click.option(
    "--coefficients",
    type=click.Choice(MEANINGS),
    default=FACEVERSE,
    help="What the 52 expression coefficients of the model are: with arkit they move the heads, "
    "else the action units do.",
)
@click.option(
    "--video",
    "videos",
    multiple=True,
    metavar="CLIP",
    help="Draw a video of this clip's listeners, too, by its name in the list: "
    "OUT/view/videos/CLIP.mp4. May be repeated.",
)
@click.option(
    "--c2pa-certificates",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Sign the videos (Content Credentials): PEM of your certificate and those above it.",
)
@click.option(
    "--c2pa-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM of its private key.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(
    run: Path,
    output: Path | None,
    inputs: tuple[str, ...],
    media: str,
    coefficients: str,
    videos: tuple[str, ...],
    c2pa_certificates: Path | None,
    c2pa_key: Path | None,
    quiet: bool,
    debug: bool,
) -> None:
    """See the reactions of a run: pages that open with a double click.

    OUT is the folder that mreactor-infer wrote. OUT/view/index.html lists its clips; the page of a
    clip plays the speaker's sound, and listeners' heads react to it. The pages need neither a
    server nor a network.

    Exit codes: 0 done; 2 usage; 3 some results cannot be read, which the page says too; 130
    interrupted (Ctrl-C); 1 anything else.
    """
    if (c2pa_certificates is None) != (c2pa_key is None):
        raise click.UsageError("--c2pa-certificates and --c2pa-key: give both of them")
    with one_line_errors(debug):
        from mreactor_runtime.view.credentials import Signing
        from mreactor_runtime.view.pages import write_view

        signing = Signing(c2pa_certificates, c2pa_key) if c2pa_certificates and c2pa_key else None
        with nullcontext(None) if quiet else progress_bar() as report:
            written = write_view(run, output, inputs, media, coefficients, videos, report, signing)
    for error in written.unreadable.values():
        click.echo(f"Failed: {error}", err=True)
    if not quiet:
        for note in written.notes:
            click.echo(f"Note: {note}", err=True)
        for path in written.videos:
            click.echo(f"video: {path}")
        click.echo(f"{written.clips} clips to see: open {written.index}")
    if written.unreadable:
        raise click.exceptions.Exit(SOME_FAILED)
