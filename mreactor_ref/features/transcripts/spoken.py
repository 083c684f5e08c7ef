"""Leaves out what nobody says: names of speakers, remarks such as [APPLAUSE], and signs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mreactor_ref.features.transcripts.word import SENTENCE_END, Cue, Piece

BRACKETS = re.compile(r"\[[^\[\]]{0,200}\]|\u3010[^\u3010\u3011]{0,200}\u3011")
# (laughs) and *sighs* are remarks; (with my brother) is said
ASIDE = re.compile(r"\(([^()]{0,200})\)|\uff08([^\uff08\uff09]{0,200})\uff09|\*([^*\n]{1,60})\*")
SOUNDS = re.compile(
    r"\b(?:laugh|chuckl|giggl|appla|cheer|clap|music|sing|song|hum|sigh|cough|sniff|cry|cries|sob"
    r"|gasp|groan|grunt|moan|scream|shout|yell|whisper|mumbl|mutter|inaudibl|unintelligibl"
    r"|indistinct|unclear|crosstalk|cross talk|overlap|speak|foreign|nois|silen|paus|background"
    r"|phone|door|bell|beep|ring|knock|footstep|breath|inhal|exhal|throat|yawn|whistl|buzz|click"
    r"|static|engine|bark|thunder|wind|instrumental|upbeat|theme)",
    re.IGNORECASE,
)
CLOCK_ALONE = re.compile(r"[\d:.,]+")
MUSIC = re.compile(r"[\u2669-\u266c\U0001f3b5\U0001f3b6\U0001f3bc]")

_NAME = r"[^\W\d_a-z][\w.'\u2019-]*"
LABEL = re.compile(
    rf"""^[ \t]*(?:(?:>>+|[-\u2013\u2014](?=\s*\S))[ \t]*)?
    (?:(?P<name>
        [\[(<]?(?:SPEAKER|Speaker|speaker|spk)[ _]?[\dA-Z]{{0,3}}[\])>]?   # SPEAKER_00, Speaker A
        | \[[^\[\]]{{1,40}}\]                                              # [John]
        | {_NAME}(?:[ ]{_NAME}){{0,3}}(?:[ ]\#?\d{{1,2}})?                 # John, MARY ANN, Host 2
    )[ \t]*:(?=\s|$)[ \t]*)?""",
    re.VERBOSE | re.MULTILINE,
)
# Words that open a sentence and stand before a colon; names do not look like them.
OPENERS = frozenset(
    (
        *("also", "and", "answer", "because", "but", "conclusion", "example", "fact", "finally"),
        *("first", "here", "hey", "honestly", "imagine", "listen", "look", "meaning", "namely"),
        *("next", "no", "note", "now", "oh", "ok", "okay", "or", "please", "point", "problem"),
        *("question", "really", "remember", "reminder", "result", "right", "second", "see", "so"),
        *("still", "sure", "then", "therefore", "think", "third", "thus", "tip", "true", "wait"),
        *("warning", "well", "what", "yeah", "yes"),
    )
)
SAID_SIGNS = frozenset("&+%=@$\u20ac\u00a3")


def leave_out(cues: Sequence[Cue]) -> tuple[list[Cue], list[str]]:
    """The cues without what nobody says.

    Left out are names before a colon, remarks in brackets, in parentheses and between asterisks
    where they name a sound or stand alone, signs of music, and dashes. Punctuation that stands
    alone joins the word before it.

    Returns:
        The cues in which something is said, and one line for each thing that should be known.
    """
    kept: list[Cue] = []
    unsaid: list[str] = []
    speakers: dict[str, None] = {}
    for cue in cues:
        texts = [piece.text for piece in cue.pieces]
        joined = " ".join(texts)
        cuts = list(_cuts(joined))
        for first, last, what in cuts:
            unsaid += [joined[first:last].strip()] if what else []
            if what == "name":
                speakers.setdefault(joined[first:last].strip(" \t>-[]():"))
        pieces = _rest(cue.pieces, joined, cuts)
        if pieces:
            kept.append(replace(cue, pieces=pieces))
            if cue.speaker:
                speakers.setdefault(cue.speaker)
    lines: list[str] = []
    if unsaid:
        more = f" and {len(unsaid) - 1} more" if len(unsaid) > 1 else ""
        lines.append(f"left out what nobody says: {unsaid[0][:60]!r}{more}")
    if len(speakers) > 1:
        named = ", ".join([*speakers][:4]) + (", ..." if len(speakers) > 4 else "")
        lines.append(f"{len(speakers)} speakers speak in it ({named}): the words of all are taken")
    return kept, lines


def _cuts(text: str) -> Iterator[tuple[int, int, str]]:
    """(first, last, kind) of each stretch that nobody says; kind is "" for mere signs."""
    for label in LABEL.finditer(text):
        name = label["name"]
        if name and name.lower() not in OPENERS:
            yield *label.span(), "name"
        elif ">>" in label[0]:
            yield label.start(), label.start() + label[0].rindex(">") + 1, ""
    for remark in BRACKETS.finditer(text):
        yield *remark.span(), "remark"
    alone = text.strip(" \t\n-\u2669\u266a\u266b\u266c")
    for aside in ASIDE.finditer(text):
        inside = (aside[1] or aside[2] or aside[3] or "").strip()
        if (
            aside[0] == alone
            or CLOCK_ALONE.fullmatch(inside)
            or SOUNDS.search(inside)
            or (inside.isupper() and len(inside) > 1 and aside[3] is None)
        ):
            yield *aside.span(), "remark"
    yield from ((*sign.span(), "") for sign in MUSIC.finditer(text))


def _rest(
    pieces: Sequence[Piece], joined: str, cuts: Sequence[tuple[int, int, str]]
) -> tuple[Piece, ...]:
    """The pieces without what was cut from their text, joined with a space."""
    said = bytearray(b"\1") * len(joined)
    for first, last, _ in cuts:
        said[first:last] = bytes(last - first)
    rest: list[Piece] = []
    first = 0
    for piece in pieces:
        last = first + len(piece.text)
        text = "".join(
            letter if keep else " " if letter.isspace() else ""
            for letter, keep in zip(joined[first:last], said[first:last], strict=True)
        )
        first = last + 1
        words = _words(text)
        if words and not _is_said(words):  # punctuation alone
            if rest:
                rest[-1] = replace(rest[-1], text=rest[-1].text + words)
        elif words:
            rest.append(replace(piece, text=words))
    return tuple(rest)


def _is_said(token: str) -> bool:
    return any(letter.isalnum() or letter in SAID_SIGNS for letter in token)


def _words(text: str) -> str:
    """The text with punctuation joined to words, and lines kept apart."""
    lines: list[str] = []
    for line in text.split("\n"):
        words: list[str] = []
        for token in line.split():
            if _is_said(token):
                words.append(token)
            elif words and token[0] in SENTENCE_END + ",;:":
                words[-1] += token
            elif not words and not lines and token[0] in SENTENCE_END:
                words.append(token)
        if words:
            lines.append(" ".join(words))
    return "\n".join(lines)
