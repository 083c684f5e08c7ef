"""Text for a terminal: what a name of a file would make it do is written out instead."""

from __future__ import annotations

BYTES = range(0xDC80, 0xDD00)  # what Python makes of bytes in a name that are not UTF-8


def printable(text: str) -> str:
    """The text on one line, with "\\n", "\\x1b" and the like in place of what is not to be seen.

    Bytes of a name that is not UTF-8 are "\\xff" and the like.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _written_out(sign) for sign in text)


def _written_out(sign: str) -> str:
    if ord(sign) in BYTES:
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode()
