"""Priors without a language model: VADER's sentiment and a small table of subjects (C.3).

The table `subjects.csv` was made by hand; its first three rows are the paper's. Of its subjects
those pass that agree with the utterance in polarity and are intense enough (eq. 3).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TextIO

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from mreactor_ref.emotion.priors import LEAST_INTENSITY, Prior, nearest_emotion
from mreactor_ref.errors import UsageError

SUBJECTS = Path(__file__).with_name("subjects.csv")
COLUMNS = ["subject", "emotion", "polarity", "intensity"]

POLARITY_GAP = 0.5  # tau_2 of eq. 3
MOST_SUBJECTS = 10  # as many as the challenge's reactions of a clip

OWN_SENTIMENT = "own sentiment"
CACHED_UTTERANCES = 4096


class VaderSource:
    """A `PriorSource` of subjects from a table, chosen by VADER's sentiment of the utterance.

    Args:
        subjects: what `read_subjects` gives; the package's own table where left out.
        most: how many subjects an utterance has at most.
    """

    def __init__(self, subjects: Sequence[Prior] | None = None, most: int = MOST_SUBJECTS):
        self.subjects = tuple(read_subjects() if subjects is None else subjects)
        self.most = most
        self._cached = lru_cache(CACHED_UTTERANCES)(self._find)

    def priors(self, utterance: str) -> tuple[Prior, ...]:
        """Subjects that pass eq. 3: those that the utterance names first, then by closeness.

        A subject is named when all of its words are among those of the utterance. Without any
        subject, or any word: the utterance's own sentiment, as intense as its polarity is large.
        """
        return self._cached(utterance)

    def _find(self, utterance: str) -> tuple[Prior, ...]:
        polarity = sentiment(utterance)
        words = set(_words(utterance))
        if not words:
            return (own_sentiment(polarity),)

        def rank(prior: Prior) -> tuple[bool, float]:
            named = words.issuperset(_words(prior.subject))
            return not named, round(abs(prior.polarity - polarity), 6)

        found = sorted(affective_filter(self.subjects, polarity), key=rank)[: self.most]
        return tuple(found) or (own_sentiment(polarity),)


def affective_filter(subjects: Sequence[Prior], text_polarity: float) -> list[Prior]:
    """The subjects with |s - s_text| <= 0.5 and phi >= 0.5, in their order (eq. 3)."""
    # The margin takes 0.8 - 0.3 for 0.5, which floating point does not.
    return [
        prior
        for prior in subjects
        if abs(prior.polarity - text_polarity) <= POLARITY_GAP + 1e-9
        and prior.intensity >= LEAST_INTENSITY
    ]


def sentiment(text: str) -> float:
    """VADER's compound score, s_text of eq. 3, in [-1, 1]; 0 for a text without words."""
    return float(_analyzer().polarity_scores(text)["compound"])


def own_sentiment(polarity: float) -> Prior:
    """The prior of an utterance that has no subject."""
    intensity = abs(polarity)
    return Prior(OWN_SENTIMENT, nearest_emotion(polarity, intensity), polarity, intensity)


def read_subjects(path: Path = SUBJECTS) -> tuple[Prior, ...]:
    """The rows of a table of subjects: a csv file with a header subject,emotion,polarity,intensity.

    Raises:
        UsageError: the file is missing, is not UTF-8 text or has another header, no rows, a row
            that is not a prior or a subject that came before; the message names the line.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return _parse(file, path)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", path) from error
    except UnicodeDecodeError as error:
        raise UsageError("is not UTF-8 text", path) from error


def _parse(file: TextIO, path: Path) -> tuple[Prior, ...]:
    rows = csv.reader(file)
    if next(rows, None) != COLUMNS:
        raise UsageError("line 1 is not the header", path, f"write {','.join(COLUMNS)}")
    found: dict[str, Prior] = {}
    for row in rows:
        if not row:  # a blank line
            continue
        line = f"line {rows.line_num}"
        if len(row) != len(COLUMNS):
            raise UsageError(f"{line} has {len(row)} columns, not {len(COLUMNS)}", path)
        subject, emotion, polarity, intensity = (cell.strip() for cell in row)
        if not subject or subject.lower() in found:
            raise UsageError(f"{line}: subject {subject!r} is empty or came before", path)
        try:
            prior = Prior(subject, emotion.lower(), float(polarity), float(intensity))
        except ValueError as error:
            raise UsageError(f"{line}: {error}", path) from error
        except UsageError as error:
            raise UsageError(f"{line}: {error.problem}", path) from error
        found[subject.lower()] = prior
    if not found:
        raise UsageError("has no subjects", path)
    return tuple(found.values())


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()
