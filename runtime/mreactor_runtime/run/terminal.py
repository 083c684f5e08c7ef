"""What `mreactor-infer` shows: a bar, lines of text, and a last line that says what was done."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mreactor_runtime.run.summary import Outcome, Progress, Summary


@contextmanager
def shown_progress(quiet: bool) -> Generator[Progress]:
    """A bar on stderr where that is a terminal; only its lines of text where it is not."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    bar = Bar(
        TextColumn("Reacting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("clips, {task.fields[rate]} reactions/s, time left"),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )

    class Shown:
        """Passes what happens on to the bar."""

        def begin(self, clips: int) -> None:
            self.task = bar.add_task("", total=clips, rate="-")
            self.started, self.reactions = time.perf_counter(), 0

        def say(self, text: str) -> None:
            if not quiet:
                console.print(f"Note: {text}", markup=False)

        def finished(self, outcome: Outcome) -> None:
            if outcome.error:
                console.print(f"Failed: {outcome.error}", markup=False)
            self.reactions += outcome.reactions
            rate = self.reactions / (time.perf_counter() - self.started)
            bar.update(self.task, advance=1, rate=f"{rate:.2f}")

    with bar:
        yield Shown()


def last_line(summary: Summary) -> str:
    """What was done, how fast, where it is."""
    if summary.kept == summary.clips > 0:
        again = "(--no-resume does them again)"
        return f"All {summary.clips} clips were done before {again}; results in {summary.output}"
    parts = [f"{summary.done + summary.kept} of {summary.clips} clips done"]
    if summary.kept:
        parts.append(f"{summary.kept} of them before (--no-resume does them again)")
    if summary.failed:
        parts.append(f"{len(summary.failed)} failed")
    if summary.left:
        parts.append(f"{summary.left} not tried")
    rate = summary.reactions / summary.seconds if summary.seconds else 0.0
    parts.append(f"{summary.reactions} reactions in {summary.seconds:.1f} s ({rate:.2f} a second)")
    parts += [f"{count} without {name}" for name, count in summary.missing.items()]
    return f"{', '.join(parts)}; results in {summary.output}"
