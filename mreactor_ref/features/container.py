"""Opens a media file for decoding, and nothing that the file names: no playlist, no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer

LONGEST_SECONDS = 2 * 3600.0  # of a clip; what it needs is bounded by this
LONGEST = f"{LONGEST_SECONDS / 3600:g} hours"


class TooLong(Exception):
    """A sound or video that goes on for more than LONGEST_SECONDS."""


def open_container(path: Path, formats: str) -> InputContainer:
    """Open a file that is there, with one of some of ffmpeg's demuxers.

    Args:
        formats: names of demuxers. Those of playlists and scripts open other files: leave them out.

    Raises:
        FFmpegError, OSError, ValueError: it cannot be opened, or is of another format.
    """
    import av

    # "file:", or a colon in a name would make a network address of it
    options = {"format_whitelist": formats, "protocol_whitelist": "file"}
    return av.open(f"file:{path}", "r", options=options, metadata_errors="ignore")
