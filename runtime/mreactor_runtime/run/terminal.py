"""The output of `mreactor-infer`: a bar, lines of text, and a last line of what was done."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from mreactor_ref.printable import printable

if TYPE_CHECKING:
    from mreactor_runtime.run.summary import Outcome, Progress, Summary

MOST_NAME = 24  # characters of a clip's id on the bar
LEAST_SECONDS = 1.0  # after which a stage's time left is more than a guess


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
        TextColumn("clips, {task.fields[rate]} reactions/s,"),
        TimeRemainingColumn(),
        TextColumn("left{task.fields[stage]}"),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )

    class Shown:
        """Passes what happens on to the bar."""

        def begin(self, clips: int) -> None:
            self.task = bar.add_task("", total=clips, rate="-", stage="")
            self.started, self.reactions = time.perf_counter(), 0
            self.stage, self.stage_started = ("", ""), self.started

        def say(self, text: str) -> None:
            if not quiet:
                console.print(f"Note: {printable(text)}", markup=False)

        def reached(self, clip_id: str, stage: str, part: float) -> None:
            if (clip_id, stage) != self.stage:
                self.stage, self.stage_started = (clip_id, stage), time.perf_counter()
            spent = time.perf_counter() - self.stage_started
            bar.update(self.task, stage=stage_text(clip_id, stage, part, spent))

        def finished(self, outcome: Outcome) -> None:
            if outcome.error:
                console.print(f"Failed: {printable(outcome.error)}", markup=False)
            self.reactions += outcome.reactions
            rate = self.reactions / (time.perf_counter() - self.started)
            bar.update(self.task, advance=1, rate=f"{rate:.2f}", stage="")

    with bar:
        yield Shown()


def stage_text(clip_id: str, stage: str, part: float, seconds: float) -> str:
    """How far a stage is that has taken so many seconds; how long it will take, once that shows."""
    name = printable(clip_id)
    name = name if len(name) <= MOST_NAME else "..." + name[-MOST_NAME:]
    text = f"; {stage} of {name}: {part:.0%}"
    if part == 0 or seconds < LEAST_SECONDS:
        return text
    left = timedelta(seconds=round(seconds * (1 - part) / part))
    return f"{text}, {left} left"


def last_line(summary: Summary) -> str:
    """The closing line: what was done, how fast, where it is."""
    output = printable(str(summary.output))
    if summary.kept == summary.clips > 0:
        again = "(--no-resume does them again)"
        return f"All {summary.clips} clips were done before {again}; results in {output}"
    parts = [f"{summary.done + summary.kept} of {summary.clips} clips done"]
    if summary.kept:
        parts.append(f"{summary.kept} of them before (--no-resume does them again)")
    if summary.failed:
        parts.append(f"{len(summary.failed)} failed")
    if summary.left:
        parts.append(f"{summary.left} not tried")
    seconds, working = summary.seconds, summary.working_seconds
    rate = summary.reactions / working if working > 0 else 0.0
    prepared = f" after {seconds - working:.1f} s of preparing" if seconds - working >= 0.1 else ""
    rate_text = f"{rate:.2f} a second{prepared}"
    parts.append(f"{summary.reactions} reactions in {seconds:.1f} s ({rate_text})")
    parts += [f"{count} without {name}" for name, count in summary.missing.items()]
    return f"{', '.join(parts)}; results in {output}"
