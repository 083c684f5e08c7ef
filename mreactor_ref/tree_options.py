"""How a tree of pairs is read, as options of the commands that read one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}
ROLES = ("speaker", "listener")


def _roles(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    roles = tuple(name.strip() for name in value.split(","))
    if not set(roles) <= set(ROLES) or len(set(roles)) < len(roles):
        raise click.BadParameter(f"{value!r} is not speaker, listener, or both with a comma")
    return roles


def tree_options(
    command: Callable[..., Any], features: tuple[str, ...] = ("--features",)
) -> Callable[..., Any]:
    """Give a command `--roles`, `--fps` and `--features`, as `load_dyads` takes them.

    Args:
        features: another flag, and the name of its argument.
    """
    folder = click.option(
        *features,
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of prepared features; by default in the user's cache.",
    )
    return pair_options(folder(command))


def pair_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--roles` and `--fps`, as `read_tree` takes them."""
    for option in (
        click.option(
            "--fps",
            type=click.FloatRange(1, 120),
            help="Of the tree's faces; by default what the tree says or its layout has.",
        ),
        click.option(
            "--roles",
            default="speaker",
            callback=_roles,
            help="Who is taken as the speaker: speaker, listener, or both with a comma.",
        ),
    ):
        command = option(command)
    return command
