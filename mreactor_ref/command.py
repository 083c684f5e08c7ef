"""What the commands share: a failure becomes one line and an exit code."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click

from mreactor_ref.errors import MReactorError

UNEXPECTED = 1  # exit code of a failure that nobody foresaw


@contextmanager
def one_line_errors(debug: bool = False) -> Iterator[None]:
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
