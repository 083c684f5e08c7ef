"""The terms of a lexicon, the forms of English words, and the file that terms are read from."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mreactor_ref.emotion.priors import Prior
from mreactor_ref.errors import UsageError

_JOINED = re.compile(r"[\s_\-\u2010-\u2015]+")
# Both ways between British and American: honour, realise, analyse, defence, theatre, judgement.
_SPELLINGS = [
    (re.compile(pattern), other)
    for pattern, other in (
        ("our", "or"),
        ("or", "our"),
        ("is(?=(?:e|es|ed|er|ers|ing|ation|ations)$)", "iz"),
        ("iz(?=(?:e|es|ed|er|ers|ing|ation|ations)$)", "is"),
        ("ys(?=(?:e|es|ed|ing)$)", "yz"),
        ("yz(?=(?:e|es|ed|ing)$)", "ys"),
        ("ence$", "ense"),
        ("ense$", "ence"),
        ("tre$", "ter"),
        ("ter$", "tre"),
        ("dgement", "dgment"),
        ("dgment", "dgement"),
    )
]
_SHORT_VOWEL = re.compile(r"(?:.*[^aeiou])?[aeiouy][^aeiouwxy]")  # the stem of hoping, not feeling
_DOUBLED = re.compile(r".*([^aeiou])\1")
_SHORTEST = 3  # letters of another form of a word
_ENCLOSING = " .,;:!?\"'()[]{}*\u201c\u201d\u2026"


class Affect(NamedTuple):  # cheaper to make than a dataclass: a lexicon may have 150,000
    """The values of a term: a label of `signals.EMOTIONS` or None, polarity and intensity."""

    emotion: str | None
    polarity: float
    intensity: float


@dataclass(frozen=True, eq=False)
class Lexicon:
    """The terms of one file.

    Attributes:
        name: its format, and the file where it is not the package's own.
        entries: what each term evokes, by `tidy` term.
        stems: the same for every word that begins so.
        subjects: the rows of a table, as written; empty for other formats.
    """

    name: str
    entries: Mapping[str, Affect]
    stems: Mapping[str, Affect] = field(default_factory=dict)
    subjects: tuple[Prior, ...] = ()

    def lookup(self, term: str) -> Affect | None:
        """A term's own entry, else that of the longest stem that its last word begins with."""
        key = tidy(term)
        if key in self.entries or not self.stems:
            return self.entries.get(key)
        least = key.rfind(" ") + 1  # a stem does not stand for whole words
        stems = (self.stems.get(key[:end]) for end in range(len(key), least, -1))
        return next((affect for affect in stems if affect), None)


def tidy(term: str) -> str:
    """A term in lower case, its words parted by single spaces and without what encloses them."""
    return _JOINED.sub(" ", term.lower().replace("\u2019", "'")).strip(_ENCLOSING)


def word_forms(word: str) -> list[str]:
    """Other forms of an English word, the likeliest first; whether they are words is not known.

    Singulars and verbs of -s, -ing and -ed, the other of the British and the American spelling,
    and plurals. Irregular forms are not known.
    """
    spellings = [pattern.sub(other, word, count=1) for pattern, other in _SPELLINGS]
    spellings = list(dict.fromkeys([word, *spellings]))
    forms = [form for spelling in spellings for form in (spelling, *_bases(spelling))]
    forms += [word + "s", word + "es"]
    if word.endswith("y"):
        forms.append(word[:-1] + "ies")
    return [form for form in dict.fromkeys(forms) if form != word and len(form) >= _SHORTEST]


def _bases(word: str) -> list[str]:
    if word.endswith("'s"):
        return [word[:-2]]
    if word.endswith(("ies", "ied")):  # stories, movies; tried, died
        return [word[:-3] + "y", word[:-1]]
    if word.endswith("ves"):  # loves, halves, wives
        return [word[:-1], word[:-3] + "f", word[:-3] + "fe"]
    if word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):  # houses, losses, crises
        return [word[:-1], word[:-2], word[:-2] + "is"]
    if word.endswith("s"):
        return [] if word.endswith(("ss", "us", "is")) else [word[:-1]]
    if word.endswith("ying") and len(word) == 5:  # dying
        return [word[:-4] + "ie"]
    stem = word[:-3] if word.endswith("ing") else word[:-2] if word.endswith("ed") else ""
    if not re.search("[aeiouy]", stem):
        return []
    bases = [stem, stem + "e"]
    if _SHORT_VOWEL.fullmatch(stem):  # hope, for hop would have become hopping
        bases.reverse()
    if _DOUBLED.fullmatch(stem):
        bases.append(stem[:-1])
    return bases


class LexiconFile:
    """The text of a lexicon file; its errors name the file, the line and the format.

    Args:
        path: a UTF-8 text file, with or without a byte order mark.
        expected: what the file should be, in a few words.

    Raises:
        UsageError: the file cannot be read or is not UTF-8 text.
    """

    def __init__(self, path: Path, expected: str):
        self.path, self.expected = Path(path), expected
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot be read: {error.strerror}", path) from error
        try:
            self.text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            fix = f"save it as UTF-8; expected {expected}"
            raise UsageError(f"line {line} is not UTF-8 text", path, fix) from error

    def wrong(self, problem: str) -> UsageError:
        """The error to raise for a problem in this file."""
        return UsageError(problem, self.path, f"expected {self.expected}")

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines that are not blank, with their numbers from 1."""
        for number, line in enumerate(io.StringIO(self.text, newline=None), 1):
            if line.strip():
                yield number, line.rstrip("\n")

    def rows(self, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        """The rows of a csv file that are not blank, with the numbers of their last lines."""
        rows = csv.reader(io.StringIO(self.text, newline=""), delimiter=delimiter)
        try:
            for row in rows:
                if any(cell.strip() for cell in row):
                    yield rows.line_num, row
        except csv.Error as error:
            raise self.wrong(f"line {rows.line_num}: {error}") from error

    def number(self, cell: str, what: str, least: float, most: float, line: int) -> float:
        """A cell as a number within its range."""
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            problem = f"{what} {cell.strip()!r} is not a number from {least} to {most}"
            raise self.wrong(f"line {line}: {problem}")
        return value

    def cells(self, line: int, row: Sequence[str], places: Sequence[int]) -> list[str]:
        """The cells of a row at some places."""
        if len(row) <= max(places):
            least = max(places) + 1
            raise self.wrong(f"line {line} has {len(row)} columns, not {least} or more")
        return [row[place] for place in places]


def devices_of(header: Sequence[str], *columns: set[str]) -> list[int] | None:
    """Where each column is in a header by any of its names, in lower case; None if one is not."""
    cells = [cell.strip().lower() for cell in header]
    places = [next((i for i, cell in enumerate(cells) if cell in names), -1) for names in columns]
    return None if -1 in places else places
