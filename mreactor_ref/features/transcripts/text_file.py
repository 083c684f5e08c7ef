"""The text of a file in UTF-8, UTF-16 or, where it can be nothing else, Windows-1252."""

from __future__ import annotations

import re
from pathlib import Path

from mreactor_ref.errors import ClipError

MAX_BYTES = 32 * 2**20  # a file of words larger than this is something else
NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x19\x1c-\x1f]")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path) -> tuple[str, list[str]]:
    """The text of a file with "\\n" at the ends of its lines, and a line on a guessed encoding.

    Raises:
        ClipError: it cannot be read, is larger than MAX_BYTES, is no text, or is empty.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ClipError(f"is larger than {MAX_BYTES // 2**20} MiB", path, "is it text?")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except OSError as error:
        raise ClipError(f"cannot be read: {error.strerror}", path) from error
    text, warnings = _decode(data, path)
    if NO_TEXT.search(text):
        raise ClipError("is not text", path, "give srt, vtt, json, TextGrid or txt in UTF-8")
    if not text.strip():
        raise ClipError("is empty", path, "transcribe it again, or remove it")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufeff", ""), warnings


def _decode(data: bytes, path: Path) -> tuple[str, list[str]]:
    wide = data.startswith(UTF16_MARKS)
    try:
        return data.decode("utf-16" if wide else "utf-8-sig"), []
    except UnicodeDecodeError as error:
        fix = "save it with the encoding UTF-8"
        if wide:
            raise ClipError(f"is not UTF-16 text (byte {error.start})", path, fix) from error
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError:
            raise ClipError(f"is not UTF-8 text (byte {error.start})", path, fix) from error
    return text, ["is not UTF-8: read as Windows-1252; check its accents, or save it as UTF-8"]
