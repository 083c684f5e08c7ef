"""Faces of many videos, written beside them as tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mreactor_ref.data.layout import VIDEO
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.video import FaceReader, read_video_face
from mreactor_ref.features.video.networks import check_runtime
from mreactor_ref.features.video.table import SUFFIX, write_table


@dataclass(frozen=True)
class Outcome:
    """What became of the videos: how many tables were written or were there already, and a line
    for each video without a face (`faceless`) and for each that cannot be read (`failed`)."""

    written: int
    kept: int
    faceless: tuple[str, ...]
    failed: tuple[str, ...]


def find_videos(path: Path) -> list[Path]:
    """The video itself, or all videos below a folder, sorted, without hidden ones.

    Raises:
        UsageError: there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError("there is no such file or folder", path, "give a video or a folder")
    videos = sorted(
        video
        for video in path.rglob("*")
        if video.suffix.lower() in VIDEO
        and video.is_file()
        and not any(part.startswith(".") for part in video.relative_to(path).parts)
    )
    if not videos:
        raise UsageError(f"no videos found (looked for {' '.join(VIDEO)})", path)
    return videos


def write_faces(
    path: Path,
    output: Path | None = None,
    again: bool = False,
    reader: FaceReader | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Outcome:
    """Write `<video>.face.csv` for a video or each video of a folder.

    A table that is there is left as it is, so a run that was stopped goes on where it was. A
    video that cannot be read does not stop the others.

    Args:
        path: a video, or a folder of videos.
        output: a folder for the tables, laid out as the videos are; None is beside the videos.
        again: write tables that are there already once more.
        reader: how faces are read; the default is the one that comes with the package.
        progress: called with how many videos are done, of how many.

    Raises:
        UsageError: there is no video, or onnxruntime is not installed.
    """
    if reader is None:
        check_runtime()
    videos, root = find_videos(path), path if path.is_dir() else path.parent
    written = kept = 0
    faceless: list[str] = []
    failed: list[str] = []
    for done, video in enumerate(videos):
        progress(done, len(videos))
        table = (output or root) / video.relative_to(root).with_suffix(SUFFIX)
        if table.exists() and not again:
            kept += 1
            continue
        try:
            face = read_video_face(video, reader)
        except ClipError as error:
            failed.append(str(error))
            continue
        if face.face is None:
            faceless.append(f"{video}: {face.warnings[0]}")
            continue
        table.parent.mkdir(parents=True, exist_ok=True)
        write_table(table, face)
        written += 1
    progress(len(videos), len(videos))
    return Outcome(written, kept, tuple(faceless), tuple(failed))
