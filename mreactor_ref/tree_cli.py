"""`mreactor-data check` and `features`: they walk trees of pairs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mreactor_ref.command import one_line_errors, progress_bar
from mreactor_ref.errors import ClipError
from mreactor_ref.tree_options import SETTINGS, pair_options, tree_options

if TYPE_CHECKING:
    from mreactor_ref.data.check import SplitCheck

ROOT = click.argument("root", type=click.Path(file_okay=False, path_type=Path))
SPLITS = click.option("--split", "splits", multiple=True, help="Only these; by default all.")
DEBUG = click.option("--debug", is_flag=True, help="Show the traceback of a failure.")


def _shard(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", value)
    first, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= first <= count:
        raise click.BadParameter(f"{value!r} is no part; the first of four is 1/4")
    return first, count


@click.command(context_settings=SETTINGS)
@ROOT
@SPLITS
@click.option("--config", default="base", help="The model that is to be trained: mini or base.")
@pair_options
@DEBUG
def check(
    root: Path,
    splits: tuple[str, ...],
    config: str,
    roles: tuple[str, ...],
    fps: float | None,
    debug: bool,
) -> None:
    """Read every file of a MARS or REACT 2023/2024 tree, and say what is there and what is wrong.

    A line for each problem, with its file and what to do. Exit code 3 where there are any.
    """
    with one_line_errors(debug):
        from mreactor_ref.data.check import check_split, find_splits, missing_splits
        from mreactor_ref.train_options import choose_config

        model = choose_config(config)
        width = model.sound if model.takes_encoded_sound else None
        names = splits or find_splits(root)
        with progress_bar() as report:
            checks = [
                check_split(
                    *(root, name, roles, fps, width),
                    progress=lambda done, of, name=name: report(f"check {name}", done, of),
                )
                for name in names
            ]
        for split in checks:
            _print(split)
        for name in () if splits else missing_splits(names):
            click.echo(f"note: there is no split {name}, which mreactor-train needs")
        problems = sum(len(split.problems) for split in checks)
        click.echo(f"{problems or 'no'} problem{'' if problems == 1 else 's'}")
    if problems:
        raise click.exceptions.Exit(ClipError.exit_code)


def _print(check: SplitCheck) -> None:
    if check.layout:
        least, middle, most = check.frames
        lengths = f"{least} to {most} frames ({middle} in the middle)"
        click.echo(f"{check.split}: {check.layout}, {check.fps:g} fps, {lengths}")
    for name, count in check.counts.items():
        click.echo(f"  {name}: {count}")
    for note in check.notes:
        click.echo(f"  note: {note}")
    for problem in check.problems:
        click.echo(str(problem))


@click.command(context_settings=SETTINGS)
@ROOT
@SPLITS
@click.option("--config", default="mini", help="The model that is to be trained: mini or base.")
@tree_options
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    help="Of sound and words; faces and reactions stay float32.",
)
@click.option(
    "--shard", default="1/1", callback=_shard, help="Part I of N, as I/N; parts share a folder."
)
@click.option(
    "--devices",
    default="auto",
    metavar="auto|cpu|0,1,...",
    help="Of the encoders, a process for each; auto takes every GPU, or the CPU.",
)
@DEBUG
def features(
    root: Path,
    splits: tuple[str, ...],
    config: str,
    features: Path | None,
    dtype: Any,
    devices: str,
    debug: bool,
    **tree: Any,
) -> None:
    """Make the features of a tree ahead, and keep them in --features; run again to go on.

    Training with the same --features and --config reads them from there; mreactor-eval with
    --prepared.
    """
    problems = 0
    with one_line_errors(debug):
        from mreactor_ref.data.check import find_splits
        from mreactor_ref.data.prepare import FeatureOptions, choose_devices, prepare_split
        from mreactor_ref.data.trees import find_layout
        from mreactor_ref.train_options import choose_config

        options = FeatureOptions(choose_config(config), features, dtype)
        chosen, names = choose_devices(devices), splits or find_splits(root)
        for name in names:
            find_layout(root, name)  # says what is missing before hours of work
        for name in names:
            with progress_bar() as report:
                done = prepare_split(
                    *(root, name, options),
                    **tree,
                    devices=chosen,
                    progress=lambda i, of, name=name: report(f"prepare {name}", i, of),
                )
            for problem in done.problems:
                click.echo(str(problem), err=True)
            problems += len(done.problems)
            click.echo(f"{name}: {done.made} clips prepared, {done.kept} were there before")
    if problems:
        raise click.exceptions.Exit(ClipError.exit_code)
