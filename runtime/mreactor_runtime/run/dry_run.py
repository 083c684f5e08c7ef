"""Prints what a run would use of each clip, and what it would leave, and why."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mreactor_ref.data.clips import BadClip, ClipFiles, Found
from mreactor_ref.data.reading import ReadOptions
from mreactor_ref.printable import printable
from mreactor_runtime.run.names import check_names

NONE = "[dim]-[/dim]"


def print_clips(found: Found, output: Path, options: ReadOptions, console: Console) -> None:
    """A row a clip with the files of its streams, then a line for each reason to leave a file.

    Args: output: of the run, whose names the clips' own must fit.
    """
    clips = check_names(found.clips, output)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("clip", "sound", "words", "face", "beside it, not read"):
        table.add_column(column, overflow="fold")
    for clip in clips:
        table.add_row(*_cells(clip, options))
    console.print(table)
    for note in found.notes:
        console.print(_text(f"Note: {note}"))
    missing = [clip for clip in clips if isinstance(clip, ClipFiles) and clip.missing]
    bad = sum(isinstance(clip, BadClip) for clip in clips)
    count = len(clips)
    console.print(
        f"{count} clip{'s' * (count != 1)}; {len(missing)} without a stream, {bad} cannot be done. "
        "Nothing was read or written."
    )


def _cells(clip: ClipFiles | BadClip, options: ReadOptions) -> tuple[str, ...]:
    if isinstance(clip, BadClip):
        return _text(clip.id), f"[red]{_text(str(clip.error))}[/red]", NONE, NONE, NONE
    words = _name(clip.words)
    if clip.words is None and clip.sound and options.transcribe.model:
        words = f"heard by {_text(options.transcribe.model)}"
    faces = ", ".join(_name(path) for path in clip.faces)
    if not faces and clip.video and options.video_faces:
        faces = f"out of {_name(clip.video)}"
    ignored = "; ".join(f"{_name(entry.path)}: {_text(entry.reason)}" for entry in clip.ignored)
    return _text(clip.id), _name(clip.sound), words, faces or NONE, ignored or NONE


def _name(path: Path | None) -> str:
    return NONE if path is None else _text(path.name)


def _text(text: str) -> str:
    """Neither obeyed by the terminal nor taken for markup."""
    return escape(printable(text))
