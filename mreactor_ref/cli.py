"""`mreactor-data` and `mreactor-priors`: they parse and call."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mreactor_ref.command import one_line_errors, progress_bar
from mreactor_ref.emotion.options import RecoveryOptions, recovery_options

SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(context_settings=SETTINGS)
@click.version_option(package_name="mreactor")
def data() -> None:
    """Make and look at data sets."""


@data.command(context_settings=SETTINGS)
@click.option("--output", type=FOLDER, required=True, help="A folder that is empty or new.")
@click.option("--train", type=click.IntRange(0), default=480, help="Sessions to train on.")
@click.option("--val", type=click.IntRange(0), default=48, help="Sessions to validate on.")
@click.option("--test", type=click.IntRange(0), default=48, help="Sessions to test on.")
@click.option("--listeners", type=click.IntRange(1), default=5, help="Reactions to each speaker.")
@click.option("--fps", type=click.FloatRange(1, 120), default=25.0, help="Frames a second.")
@click.option("--seed", type=click.IntRange(0), default=0, help="The same seed, the same bytes.")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def simulate(
    output: Path,
    train: int,
    val: int,
    test: int,
    listeners: int,
    fps: float,
    seed: int,
    debug: bool,
) -> None:
    """Write simulated dyads in the MARS layout: speakers, and several listeners to each.

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
            progress=lambda done, of: report("simulate", done, of),
        )
    click.echo(f"Wrote {sum(sizes.values())} sessions to {output}")


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
