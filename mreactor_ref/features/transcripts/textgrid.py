"""TextGrids of Praat and of the Montreal Forced Aligner, in the long and in the short form.

Praat's own rule reads both: only strings, numbers and flags that stand free count, and the names
before them are for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mreactor_ref.features.transcripts.word import Cue, Parsed, Piece, Unreadable, timed_text

TOKEN = re.compile(
    r'"(?:[^"]|"")*"|(?<!\S)(?:<\w+>|-?\d[\d.]*(?:[eE][-+]?\d+)?%?)(?!\S)|(?<!\S)![^\n]*'
)
SILENCE = frozenset(
    ("", "sil", "sp", "spn", "nsn", "<eps>", "<unk>", "<sil>", "{sl}", "{ns}", "#", "_", "xxx")
)
INTERVALS, POINTS = "IntervalTier", "TextTier"
WORDS_TIER = re.compile(r"(?:(.*?)[\s_-]+)?(?:words?|orthography|ort-?mau)$", re.IGNORECASE)
PHONES_TIER = re.compile(
    r"(?:.*?[\s_-]+)?(?:phones?|phonemes?|segments?|mau|syllables?)$", re.IGNORECASE
)
FIX = "save it with Praat, or with the aligner, once more"

Interval = tuple[float, float, str]


def parse_textgrid(text: str) -> Parsed:
    """The words of a TextGrid, from its tiers of words; where none is called so, of utterances.

    A tier called "words" or "Anna - words" holds words, those of phones are left out.

    Raises:
        Unreadable: it is no TextGrid, or holds no tier of words.
    """
    tiers = _tiers(text)
    words = {name: match for name in tiers if (match := WORDS_TIER.fullmatch(name.strip()))}
    if words:
        cues = [
            Cue(tuple(Piece(mark, *span) for *span, mark in _spoken(tiers[name])), speaker=match[1])
            for name, match in words.items()
        ]
        return Parsed([cue for cue in cues if cue.pieces], loose=True)
    named = [name for name in tiers if not PHONES_TIER.fullmatch(name.strip())]
    if not named:
        raise Unreadable(
            f"has no tier of words: {', '.join(tiers) or 'it has no tier of intervals'}",
            'call it "words"',
        )
    several = len(named) > 1
    cues = [
        timed_text(mark, start, end, name if several else None)
        for name in named
        for start, end, mark in _spoken(tiers[name])
    ]
    return Parsed(cues)


def _spoken(intervals: list[Interval]) -> Iterator[Interval]:
    return (x for x in intervals if x[2].strip().lower() not in SILENCE)


def _tiers(text: str) -> dict[str, list[Interval]]:
    """The tiers of intervals by name."""
    tokens = (token for token in TOKEN.findall(text) if not token.startswith("!"))
    tiers: dict[str, list[Interval]] = {}
    if [next(tokens, ""), next(tokens, "")] != ['"ooTextFile"', '"TextGrid"']:
        raise Unreadable("is no TextGrid", FIX)
    try:
        _skip(tokens, 2)  # the times of the whole
        if next(tokens) != "<exists>":
            return {}
        for _ in range(int(_number(tokens))):
            kind, name = _string(next(tokens)), _string(next(tokens))
            _skip(tokens, 2)
            count = int(_number(tokens))
            if kind == INTERVALS:
                tier = tiers.setdefault(name, [])
                for _ in range(count):
                    start, end = _number(tokens), _number(tokens)
                    tier.append((start, end, _string(next(tokens))))
            elif kind == POINTS:
                _skip(tokens, 2 * count)
            else:
                raise Unreadable("has a tier that is neither of intervals nor of points", FIX)
    except (StopIteration, ValueError, OverflowError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("is a TextGrid that is cut off or damaged", FIX) from error
    return tiers


def _number(tokens: Iterator[str]) -> float:
    return float(next(tokens))


def _skip(tokens: Iterator[str], count: int) -> None:
    for _ in range(count):
        next(tokens)


def _string(token: str) -> str:
    if not token.startswith('"'):
        raise ValueError(token)
    return token[1:-1].replace('""', '"')
