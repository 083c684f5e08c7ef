"""Files that were right before something happened to them, as a strategy for hypothesis."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import strategies as st

TOKEN = re.compile(rb'-?\d[\d.:,]*|"[^"\n]*"|[A-Za-z_]+')
# What stands in the place of a token, or between two.
ODD = (
    *(b"", b"0", b"-1", b"1e999", b"-1e308", b"99999999999999999999", b"0.5", b"NaN", b"inf"),
    *(
        b"null",
        b"true",
        b"[]",
        b"{}",
        b"[[]]",
        b'""',
        b'"a"',
        b"'",
        b'"',
        b"\\",
        b"\n",
        b"\r\n\r\n",
    ),
    *(b",", b"\t", b";", b"-->", b"00:00:01,000", b"99:99:99.999", b"<b>", b"{\\an8}", b"WEBVTT"),
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800", b"\xc2\x85"),
    *(letter.encode() for letter in ("\u0647", "\u0663", "\u00b2", "\u202e", "e\u0301")),
    *(b"[" * 2000, b"{" * 2000, b"9" * 5000, b"a" * 5000),
)
KINDS = ("token", "flip", "cut", "insert", "repeat", "end")


Edit = tuple[str, float, float, bytes]


def mutations(files: int) -> st.SearchStrategy[tuple[int, list[Edit]]]:
    """Which of some files, and up to four edits of it for `mutated`."""
    place = st.floats(0, 1, exclude_max=True)
    edit = st.tuples(st.sampled_from(KINDS), place, place, st.sampled_from(ODD))
    return st.tuples(st.integers(0, files - 1), st.lists(edit, min_size=1, max_size=4))


def mutated(data: bytes, edits: Sequence[Edit]) -> bytes:
    """The file after edits."""
    for kind, first, second, odd in edits:
        start, length = int(first * len(data)), 1 + int(second * 40)
        if kind == "token":
            tokens = list(TOKEN.finditer(data))
            if tokens:
                token = tokens[int(first * len(tokens))]
                data = data[: token.start()] + odd + data[token.end() :]
        elif kind == "flip" and data:
            changed = data[start] ^ (1 << int(second * 8))
            data = data[:start] + bytes([changed]) + data[start + 1 :]
        elif kind == "cut":
            data = data[:start] + data[start + length :]
        elif kind == "insert":
            data = data[:start] + odd + data[start:]
        elif kind == "repeat":
            data = data[:start] + data[start : start + length] * 3 + data[start + length :]
        elif kind == "end":
            data = data[:start]
    return data
