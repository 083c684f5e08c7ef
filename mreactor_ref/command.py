"""Shared by the commands: a failure becomes one line and an exit code; a bar shows progress."""

from __future__ import annotations

import shlex
import sys
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import click

from mreactor_ref.errors import MReactorError

UNEXPECTED = 1  # exit code of a failure that nobody foresaw
INTERRUPTED = 130  # of Ctrl-C, as shells have it
QUIET_SECONDS = 30.0  # between lines of progress where there is no terminal for a bar


@contextmanager
def one_line_errors(debug: bool = False) -> Generator[None]:
    """Turn an exception of the block into one line on stderr and an exit code.

    An `MReactorError` ends with its own exit code, Ctrl-C with 130, anything else with 1. The
    traceback is shown only with `debug`. Click's own exceptions pass through.

    Raises:
        click.exceptions.Exit: always, in place of the exception that was caught.
    """
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except KeyboardInterrupt:
        click.echo("Interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
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
    """A bar on stderr that follows `report(what, done, of)`; each new `what` is a new line.

    Where there is no terminal a line on stderr says now and then how far it is.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {}
        say = line_now_and_then()

        def report(what: str, done: int, of: int) -> None:
            if not console.is_terminal:
                say(f"{what}: {done} of {of}")
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=of)
            progress.update(tasks[what], completed=done)

        yield report


def line_now_and_then() -> Callable[[str], None]:
    """Writes a line to stderr, but none within QUIET_SECONDS of the one before."""
    last = time.monotonic()

    def say(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= QUIET_SECONDS:
            last = time.monotonic()
            click.echo(text, err=True)

    return say


def typed_command() -> str:
    """The line that was typed."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
