"""What the commands share: a failure becomes one line and an exit code; a bar shows progress."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager

import click

from mreactor_ref.errors import MReactorError

UNEXPECTED = 1  # exit code of a failure that nobody foresaw


@contextmanager
def one_line_errors(debug: bool = False) -> Generator[None]:
    """Turn an exception of the block into one line on stderr and an exit code.

    An `MReactorError` ends with its own exit code, anything else with 1. The traceback is shown
    only with `debug`. Click's own exceptions and Ctrl-C pass through: click ends with 2 and 1.

    Raises:
        click.exceptions.Exit: always, in place of the exception that was caught.
    """
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except Exception as error:
        if debug:
            traceback.print_exc()
        expected = isinstance(error, MReactorError)
        text = " ".join(str(error).split())
        if not expected:
            hint = "" if debug else " (run again with --debug to see where)"
            text = f"{type(error).__name__}: {text}{hint}"
        click.echo(f"Error: {text}", err=True)
        code = error.exit_code if isinstance(error, MReactorError) else UNEXPECTED
        raise click.exceptions.Exit(code) from error


@contextmanager
def progress_bar() -> Generator[Callable[[str, int, int], None]]:
    """A bar that follows `report(what, done, of)`; each new `what` is a new line."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        tasks = {}

        def report(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=of)
            progress.update(tasks[what], completed=done)

        yield report
