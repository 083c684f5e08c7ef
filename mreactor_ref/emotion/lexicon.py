"""The psychological prior lexicon: what a subject evokes, from several lexicons (C.3, eq. 4).

The lexicons of a `PriorLexicon` are in order, and the first that knows a term answers. By default
these are the package's table of subjects, made by hand with the paper's three rows, and VADER.
Lexicons that the user names come before both, in the order named.

A subject is looked up in this way:

1. The whole of it: in each lexicon as it is, else in another form (`word_forms`) of one word.
2. Else by its words: the longest known parts from left to right, each looked up as in 1. Where a
   preposition follows a telling part, what stands before decides: Fear of Success. Of the parts
   that are left, negative ones decide where there are any: Lost Friendship. Polarity is the mean
   of those that decide, a part weighing by its intensity, so that plain words do not water it
   down; intensity is the largest of all.
3. A negation (VADER's words, and no, lack of, end of and the like) turns the parts after it, and a
   word of relief (over, solved, relief and the like) the negative parts before it: their polarity
   times VADER's constant, -0.74; the intensity stays. Where no part is known beside negations,
   they count as words.

The label is that of the parts that decide, where they have one and the same and were not turned.
Else it is the nearest of `priors.EMOTION_AFFECT`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import Literal

from vaderSentiment.vaderSentiment import N_SCALAR, NEGATE, SentimentIntensityAnalyzer

from mreactor_ref.emotion.lexicon_files import OWN_FILES, read_lexicon
from mreactor_ref.emotion.lexicon_terms import Affect, Lexicon, tidy, word_forms
from mreactor_ref.emotion.priors import Prior, nearest_emotion
from mreactor_ref.packaged import vader_folder

OWN_SENTIMENT = "own sentiment"
CACHED = 4096  # subjects
NEGATIVE = -0.1  # the polarity from which a part is negative
TELLING = 0.25  # how polar a part is that decides before a preposition

NEGATIONS = frozenset({*NEGATE, "no", "non", "anti", "lacking", "nobody"})
NEGATING_NOUNS = frozenset({"lack", "absence", "end", "freedom", "free"})  # of, from
RELIEVING = frozenset(
    {"avoided", "cure", "cured", "defeated", "ended", "free", "gone", "over", "overcome", "passed"}
    | {"recovery", "relief", "resolution", "resolved", "solved", "success", "survived", "survivor"}
    | {"survival", "victory"}
)
LINKS = frozenset(
    {"about", "after", "against", "as", "at", "because", "before", "by", "during", "for", "from"}
    | {"in", "into", "of", "on", "over", "through", "to", "toward", "towards", "under", "with"}
)
FILLERS = frozenset(
    {"a", "am", "an", "and", "are", "be", "been", "being", "he", "her", "his", "i", "is", "it"}
    | {"its", "me", "my", "or", "our", "she", "some", "that", "the", "their", "them", "these"}
    | {"they", "this", "those", "us", "was", "we", "were", "you", "your"}
)

How = Literal["exact", "inflected", "words", "negated"]


@dataclass(frozen=True)
class Found:
    """The values of a subject, and the lexicon that they are from.

    Attributes:
        prior: its subject is as asked for.
        lexicon: the name of the lexicon that answered; of several, with " + " between.
        how: found whole (exact), in another form (inflected), by its words, or with a negation.
    """

    prior: Prior
    lexicon: str
    how: How


@dataclass(frozen=True)
class _Part:
    affect: Affect
    lexicon: str
    how: How
    words: int
    factor: float = 1.0  # of the polarity, by the negations before

    @property
    def polarity(self) -> float:
        return self.affect.polarity * self.factor


class PriorLexicon:
    """Several lexicons as one.

    Args:
        lexicons: the first that knows a term answers.
    """

    def __init__(self, lexicons: Sequence[Lexicon]):
        self.lexicons = tuple(lexicons)
        self._cached = lru_cache(CACHED)(self._find)
        phrases = [key.split(" ") for lex in self.lexicons for key in lex.entries if " " in key]
        self._openers = {words[0] for words in phrases}
        self._longest = max(map(len, phrases), default=1)

    def prior(self, subject: str) -> Prior | None:
        """The values of a subject; None where no word of it is known."""
        entry = self.find(subject)
        return entry.prior if entry else None

    def find(self, subject: str) -> Found | None:
        """The values of a subject and their lexicon; None where no word of it is known."""
        return self._cached(subject)

    @cached_property
    def subjects(self) -> tuple[Prior, ...]:
        """The subjects of all tables, none twice, with the priors that they have here."""
        names: dict[str, str] = {}
        for lexicon in self.lexicons:
            for row in lexicon.subjects:
                names.setdefault(tidy(row.subject), row.subject)
        return tuple(filter(None, map(self.prior, names.values())))

    def _find(self, subject: str) -> Found | None:
        key = tidy(subject)
        whole = self._part(key.split(" "))
        if whole:
            return _found(subject, [whole], whole.how)
        words = re.findall(r"[\w']+", key)
        for negations in (True, False):
            parts, rest = self._parts(words, negations)
            if parts:
                negated = any(part.factor != 1 for part in parts)
                alone = len(parts) == 1 and not rest
                how = "negated" if negated else parts[0].how if alone else "words"
                return _found(subject, parts, how)
        return None

    def _parts(self, words: list[str], negations: bool) -> tuple[list[_Part], list[str]]:
        """The known parts up to a preposition, and the other words."""
        parts: list[_Part] = []
        rest: list[str] = []
        factor = 1.0
        place = 0
        while place < len(words):
            if words[place] in LINKS and any(abs(part.polarity) >= TELLING for part in parts):
                break
            part, size = self._phrase(words, place), 1
            if part:
                size = part.words
            elif negations and _negates(words[place : place + 2]):
                factor *= N_SCALAR
            elif words[place] not in LINKS and words[place] not in FILLERS:
                part = self._part([words[place]])
            if words[place] in RELIEVING:
                parts = [_relieved(part) for part in parts]
            if part:
                parts.append(replace(part, factor=factor))
            elif words[place] not in FILLERS:
                rest.append(words[place])
            place += size
        return parts, rest + words[place:]

    def _phrase(self, words: list[str], place: int) -> _Part | None:
        """The longest known phrase of two or more words at a place."""
        if self._openers.isdisjoint([words[place], *word_forms(words[place])]):
            return None
        most = min(self._longest, len(words) - place)
        phrases = (self._part(words[place : place + size]) for size in range(most, 1, -1))
        return next(filter(None, phrases), None)

    def _part(self, words: list[str]) -> _Part | None:
        """The values of these words in the first lexicon that knows them."""
        phrase = " ".join(words)
        forms: list[str] = []
        if len(words) <= self._longest:
            forms = [
                " ".join([*words[:i], form, *words[i + 1 :]])
                for i in reversed(range(len(words)))
                for form in word_forms(words[i])
            ]
        for lexicon in self.lexicons:
            for term in (phrase, *forms):
                affect = lexicon.lookup(term)
                if affect:
                    how = "exact" if phrase in lexicon.entries else "inflected"
                    return _Part(affect, lexicon.name, how, len(words))
        return None


def _negates(words: list[str]) -> bool:
    """Whether the first of two words is a negation."""
    noun = words[0] in NEGATING_NOUNS and words[1:] in (["of"], ["from"])
    return noun or words[0] in NEGATIONS or words[0].endswith("n't")


def _relieved(part: _Part) -> _Part:
    return replace(part, factor=part.factor * N_SCALAR) if part.polarity <= NEGATIVE else part


def _found(subject: str, parts: list[_Part], how: How) -> Found:
    deciding = [part for part in parts if part.polarity <= NEGATIVE] or parts
    polarity, intensity = deciding[0].polarity, max(part.affect.intensity for part in parts)
    if len(deciding) > 1:
        weights = [part.affect.intensity or 1e-6 for part in deciding]
        weighted = zip(weights, deciding, strict=True)
        polarity = sum(weight * part.polarity for weight, part in weighted) / sum(weights)
    labels = {part.affect.emotion if part.factor == 1 else None for part in deciding}
    label = labels.pop() if len(labels) == 1 else None
    names = " + ".join(dict.fromkeys(part.lexicon for part in parts))
    prior = Prior(subject, label or nearest_emotion(polarity, intensity), polarity, intensity)
    return Found(prior, names, how)


def default_lexicon(extra: Sequence[Lexicon] = ()) -> PriorLexicon:
    """The user's lexicons in their order, then the package's table of subjects, then VADER."""
    return PriorLexicon([*extra, *_own_lexicons()]) if extra else _default()


@cache
def _own_lexicons() -> tuple[Lexicon, ...]:
    return tuple(read_lexicon(path(), format) for format, path in OWN_FILES.items())


@cache
def _default() -> PriorLexicon:
    return PriorLexicon(_own_lexicons())


def sentiment(text: str) -> float:
    """VADER's compound score, s_text of eq. 3, in [-1, 1]; 0 for a text without words."""
    return float(_analyzer().polarity_scores(text)["compound"])


def own_sentiment(polarity: float) -> Prior:
    """The prior of an utterance that has no subject."""
    intensity = abs(polarity)
    return Prior(OWN_SENTIMENT, nearest_emotion(polarity, intensity), polarity, intensity)


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    vader_folder()  # refuses lexicons that were changed
    return SentimentIntensityAnalyzer()
