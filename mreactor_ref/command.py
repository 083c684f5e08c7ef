"""Shared by the commands: a failure becomes one line and an exit code; a bar shows progress."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import click

from mreactor_ref.errors import MReactorError
from mreactor_ref.printable import printable

UNEXPECTED = 1  # exit code of a failure that nobody foresaw
INTERRUPTED, TERMINATED = 130, 143  # of Ctrl-C and of SIGTERM, as shells have it
QUIET_SECONDS = 30.0  # between lines of progress where there is no terminal for a bar


@contextmanager
def one_line_errors(debug: bool = False) -> Generator[None]:
    """Turn an exception of the block into one line on stderr and an exit code.

    An `MReactorError` ends with its own exit code, Ctrl-C with 130, SIGTERM with 143, anything else
    with 1. The traceback is shown only with `debug`. Click's own exceptions pass through.

    Raises:
        click.exceptions.Exit: always, in place of the exception that was caught.
    """
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except KeyboardInterrupt as stop:
        click.echo("Interrupted", err=True)
        code = TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
        raise click.exceptions.Exit(code) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        expected = isinstance(error, MReactorError)
        text = " ".join(str(error).split())
        if not expected:
            hint = "" if debug else " (run again with --debug to see where)"
            text = f"{type(error).__name__}: {text}{hint}"
        click.echo(f"Error: {printable(text)}", err=True)
        code = error.exit_code if isinstance(error, MReactorError) else UNEXPECTED
        raise click.exceptions.Exit(code) from error


class Terminated(KeyboardInterrupt):
    """SIGTERM: the process ends in order, as with Ctrl-C."""


@contextmanager
def orderly_end() -> Generator[None]:
    """Within the block SIGTERM raises `Terminated`, as Ctrl-C raises KeyboardInterrupt.

    An error that comes after one of them is taken for it: a library that is interrupted in the
    midst of its work may say that a file is damaged.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stops: list[type[KeyboardInterrupt]] = []

    def stop(number: int, _: object) -> None:
        stops.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
        raise stops[0]

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, stop)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        before[signal.SIGINT] = signal.signal(signal.SIGINT, stop)
    try:
        yield
    except Exception as error:
        if stops:
            raise stops[0] from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
                say(printable(f"{what}: {done} of {of}"))
            if what not in tasks:
                tasks[what] = progress.add_task(printable(what), total=of)
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
