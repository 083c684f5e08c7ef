"""Options of the commands that train variants of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

DATA = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A tree with train, val and test; simulated dyads if left out.",
)
TRAINING = (
    click.option("--steps", type=click.IntRange(1), default=240, help="Of each training."),
    click.option("--batch-size", type=click.IntRange(2), default=4, help="Windows a step."),
    click.option("--frames", type=click.IntRange(8), default=96, help="Of a window."),
    click.option("--learning-rate", type=click.FloatRange(0), default=1e-3, help="At its highest."),
    click.option(
        "--mixed-precision",
        type=click.Choice(["no", "bf16"]),
        default="no",
        help="Of the trainings.",
    ),
    click.option("--seed", type=click.IntRange(0), default=0, help="Of everything."),
)


def study_folder(name: str) -> Callable[[Any], Any]:
    """`--output`, where a study leaves its reports and what it goes on from."""
    return click.option(
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("runs", name),
        help="Folder of the study: its reports and its trainings.",
    )
