"""Writes the pages of a run: one for the run, one for each clip, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mreactor_ref.data.clips import ClipFiles
from mreactor_ref.data.layout import VIEW_DATA
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.files import check_writable, write_whole
from mreactor_runtime.convert.options import FACEVERSE
from mreactor_runtime.run.manifest import DONE, Line
from mreactor_runtime.view.clip_data import show_clip
from mreactor_runtime.view.clip_page import clip_page
from mreactor_runtime.view.credentials import Credentials, Signing
from mreactor_runtime.view.folder import RunFolder, read_folder
from mreactor_runtime.view.frame import STYLE_FILE, asset_scripts, style
from mreactor_runtime.view.mesh import mesh_script
from mreactor_runtime.view.options import FOLDER, LINK
from mreactor_runtime.view.run_page import (
    CLIPS,
    UNREADABLE,
    failed_row,
    run_failed_row,
    run_page,
    run_script,
    shown_row,
)
from mreactor_runtime.view.script import call
from mreactor_runtime.view.sources import find_sources
from mreactor_runtime.view.video import write_video

VIDEOS = "videos"  # folder of them
Report = Callable[[str, int, int], None]  # what, done, of


@dataclass
class Written:
    """What became of a view.

    Attributes:
        index: the page to open.
        clips: pages of clips that were written.
        unreadable: clip -> why its result cannot be shown.
        notes: what is said on the page of the run.
        videos: that were drawn.
    """

    index: Path
    clips: int = 0
    unreadable: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])
    videos: list[Path] = field(default_factory=list[Path])


def write_view(
    run: Path,
    output: Path | None = None,
    inputs: Sequence[str] = (),
    media: str = LINK,
    meaning: str = FACEVERSE,
    videos: Sequence[str] = (),
    report: Report | None = None,
    signing: Signing | None = None,
) -> Written:
    """Write the pages of a run's folder.

    Args:
        run: what `mreactor-infer` wrote.
        output: folder of the pages; None for `view` in the run's folder.
        inputs: where the clips are; if empty, where the run file says.
        media: whether pages LINK to the clips' sound, COPY it, or do without (NONE).
        meaning: FACEVERSE or ARKIT, see `take.make_take`.
        videos: clips of which a video is drawn, too.
        report: is told how far it is.
        signing: who signs the videos.

    Raises:
        UsageError: the folder is none of a run or has none of the videos' clips, or the output
            cannot be written.
        ClipError: what a video is drawn from cannot be read.
    """
    report = report or (lambda what, done, of: None)
    folder = read_folder(run)
    for clip in videos:
        if folder.lines.get(clip, {}).get("status") != DONE:
            raise UsageError(f"has no clip {clip!r} that is done", run, "see its manifest.jsonl")
    credentials = None if signing is None else Credentials(signing)
    output = output or run / FOLDER
    check_writable(output)
    sources, lacking = find_sources(folder, inputs)
    written = Written(output / "index.html", notes=[*folder.notes, *filter(None, [lacking])])
    rows: list[dict[str, Any]] = []
    for number, (clip, line) in enumerate(folder.lines.items()):
        report("pages", number, len(folder.lines))
        if line.get("status") != DONE:
            rows.append(run_failed_row(line))
            continue
        try:
            rows.append(_write_clip(folder, line, sources.get(clip), output, media, meaning))
            written.clips += 1
        except (ClipError, OSError) as error:
            written.unreadable[clip] = str(error)
            rows.append(failed_row(line, UNREADABLE, str(error)))
    report("pages", len(rows), len(rows))
    _write_shared(output)
    write_whole(output / VIEW_DATA, run_script(folder, rows, written.notes))
    write_whole(written.index, run_page())
    for clip in videos:
        written.videos.append(_place(output, clip, VIDEOS, ".mp4"))
        source = sources.get(clip)
        made = folder.result(clip), source, written.videos[-1]
        write_video(*made, meaning, report, credentials)
    return written


def _write_clip(
    folder: RunFolder, line: Line, clip: ClipFiles | None, output: Path, media: str, meaning: str
) -> dict[str, Any]:
    """The page of a clip and its data; its row. Raises ClipError where it cannot be shown."""
    page = _place(output, line["id"])
    shown = show_clip(folder.result(line["id"]), line, clip, page, media, meaning)
    write_whole(page, clip_page(line["id"], shown.mark))
    data = page.with_name(page.name.removesuffix(".html") + ".js")
    write_whole(data, call("clip", shown.data))
    return shown_row(line, shown)


def _place(output: Path, clip: str, folder: str = CLIPS, suffix: str = ".html") -> Path:
    """The page or the video of a clip. Raises ClipError for an id that leads out of the folder."""
    place = PurePosixPath(clip)
    if place.is_absolute() or ".." in place.parts or "\\" in clip or "\0" in clip:
        raise ClipError("its id leads out of the folder", clip, "make the manifest again")
    return output / folder / f"{clip}{suffix}"


def _write_shared(output: Path) -> None:
    assets = output / "assets"
    for name, content in asset_scripts().items():
        write_whole(assets / name, content)
    write_whole(assets / STYLE_FILE, style())
    write_whole(assets / "mesh.js", mesh_script())
