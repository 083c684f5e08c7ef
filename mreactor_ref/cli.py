"""`mreactor-priors`, and the group of commands that is `mreactor-data`: they parse and call."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mreactor_ref.command import one_line_errors, progress_bar
from mreactor_ref.emotion.options import RecoveryOptions, recovery_options
from mreactor_ref.errors import ClipError
from mreactor_ref.features.transcribe_options import TranscribeOptions, transcribe_options
from mreactor_ref.tree_cli import check, features
from mreactor_ref.tree_options import SETTINGS

LAYOUTS = ("mars", "mars-dyads", "react2024")
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(context_settings=SETTINGS)
@click.version_option(package_name="mreactor")
def data() -> None:
    """Make and look at data sets."""


data.add_command(check)
data.add_command(features)


@data.command(context_settings=SETTINGS)
@click.option("--output", type=FOLDER, required=True, help="A folder that is empty or new.")
@click.option("--train", type=click.IntRange(0), default=480, help="Sessions to train on.")
@click.option("--val", type=click.IntRange(0), default=48, help="Sessions to validate on.")
@click.option("--test", type=click.IntRange(0), default=48, help="Sessions to test on.")
@click.option("--listeners", type=click.IntRange(1), default=5, help="Reactions in each session.")
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default=LAYOUTS[0],
    help="Several listeners of one clip, or recordings of one listener each as a challenge has.",
)
@click.option("--fps", type=click.FloatRange(1, 120), default=25.0, help="Frames a second.")
@click.option("--min-seconds", type=click.FloatRange(8), default=8.0, help="Of the shortest clip.")
@click.option("--max-seconds", type=click.FloatRange(8), default=16.0, help="Of the longest clip.")
@click.option("--seed", type=click.IntRange(0), default=0, help="The same seed, the same bytes.")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def simulate(
    output: Path,
    train: int,
    val: int,
    test: int,
    listeners: int,
    layout: str,
    fps: float,
    min_seconds: float,
    max_seconds: float,
    seed: int,
    debug: bool,
) -> None:
    """Write simulated dyads: speakers, and several listeners to each.

    They are for trying the tool and its training; nothing in them is a real person.
    """
    sizes = {"train": train, "val": val, "test": test}
    with one_line_errors(debug), progress_bar() as report:
        from mreactor_ref.data.simulated.dataset import write_dataset

        write_dataset(
            output,
            {split: count for split, count in sizes.items() if count},
            seed=seed,
            fps=fps,
            listeners=listeners,
            layout=layout,
            seconds=(min_seconds, max_seconds),
            progress=lambda done, of: report("simulate", done, of),
        )
    click.echo(f"Wrote {sum(sizes.values())} sessions to {output}")


@data.command(context_settings=SETTINGS)
@click.argument(
    "paths",
    metavar="ROOT|FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@transcribe_options("--model", default="small")
@click.option("--device", default="auto", metavar="auto|cpu|cuda|cuda:N", help="Runs the model.")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def transcribe(
    paths: tuple[Path, ...], device: str, debug: bool, transcribe: TranscribeOptions
) -> None:
    """Find the words of sounds, and write them with their times as json.

    They are written beside each sound of a folder; in a MARS tree to words/<role>/<session>, in a
    REACT tree to Words_files. A clip that has words is left as it is, so a run can be repeated.
    """
    with one_line_errors(debug), progress_bar() as report:
        from mreactor_ref.data.transcribe import find_sounds, transcribe_sounds
        from mreactor_ref.features.transcribe_options import open_transcriber

        files = find_sounds(paths)
        transcriber = open_transcriber(transcribe, device)
        assert transcriber is not None
        written = failed = 0
        for done, outcome in enumerate(transcribe_sounds(files, transcriber), 1):
            if outcome.error is not None:
                click.echo(f"Failed: {outcome.error}", err=True)
                failed += 1
            elif outcome.transcript is not None:
                for line in outcome.transcript.warnings:
                    click.echo(f"{outcome.file.sound}: {line}", err=True)
                written += 1
            report("transcribe", done, len(files))
    before = len(files) - written - failed
    click.echo(f"Wrote the words of {written} sounds; {before} had words, {failed} failed")
    if failed:
        raise click.exceptions.Exit(ClipError.exit_code)


@data.command(context_settings=SETTINGS)
@click.argument("videos", metavar="VIDEO|FOLDER", type=click.Path(path_type=Path))
@click.option("--output", type=FOLDER, help="A folder for the tables; else beside the videos.")
@click.option("--overwrite", is_flag=True, help="Write tables that are there once more.")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def face(videos: Path, output: Path | None, overwrite: bool, debug: bool) -> None:
    """Read the faces of videos and write each as a table, <video>.face.csv.

    A row is a frame: its time, the pose of the head, whether the face is seen, and the 25
    attributes. It runs offline, on the CPU. What was read before is taken from the cache folder,
    and tables that are there are left alone.
    """
    with one_line_errors(debug), progress_bar() as report:
        from mreactor_ref.data.video_faces import write_faces

        outcome = write_faces(
            videos,
            output,
            again=overwrite,
            progress=lambda done, of: report("faces", done, of),
        )
    for line in (*outcome.faceless, *outcome.failed):
        click.echo(f"Warning: {line}", err=True)
    kept = f", {outcome.kept} were there already" if outcome.kept else ""
    click.echo(f"Wrote {outcome.written} tables{kept}")
    if outcome.failed:
        raise click.exceptions.Exit(ClipError.exit_code)


@click.command(context_settings=SETTINGS)
@click.version_option(package_name="mreactor")
@click.argument("texts", metavar="TEXT...", nargs=-1, required=True)
@click.option("--subjects", help="Judge these, with commas between, instead of proposed ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
@recovery_options
def priors(
    texts: tuple[str, ...],
    subjects: str | None,
    as_json: bool,
    debug: bool,
    recovery: RecoveryOptions,
) -> None:
    """Show how emotion priors come from what is said, stage by stage.

    Each TEXT is an utterance. For every proposed subject: its similarity to the utterance before
    and after calibration, what the lexicons say of it, and the verdict of the filters.
    """
    for text in texts:
        if not any(letter.isalnum() for letter in text):
            raise click.BadParameter(f"{text!r} has no words", param_hint="TEXT")
    with one_line_errors(debug):
        from mreactor_ref.emotion.explain import as_dict, as_table
        from mreactor_ref.emotion.options import open_recovery

        given = None if subjects is None else tuple(subjects.split(","))
        opened = open_recovery(recovery, given)
        explanations = opened.explain(texts)
        for note in opened.notes:
            click.echo(f"Note: {note}", err=True)
    if as_json:
        click.echo(
            json.dumps(
                [as_dict(e, opened.thresholds) for e in explanations], indent=2, ensure_ascii=False
            )
        )
    else:
        click.echo("\n\n".join(as_table(e, opened.thresholds) for e in explanations))
