"""Expressive recovery: from what is said to emotion priors, all three stages (C.3, figure 1).

    ExpressiveRecovery().priors(["I am feeling thrilled!"])

Stage 1 proposes subjects (subjects.py, llm.py), stage 2 filters them (semantics.py, filters.py),
stage 3 looks up what they evoke (lexicon.py). It all runs on this machine, unless a source that
asks a language model is given.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from mreactor_ref.emotion.filters import Candidate, Thresholds, judge
from mreactor_ref.emotion.lexicon import PriorLexicon, default_lexicon, own_sentiment, sentiment
from mreactor_ref.emotion.priors import Prior
from mreactor_ref.emotion.semantics import Similarity
from mreactor_ref.emotion.subjects import (
    GivenSubjects,
    Proposal,
    SubjectSource,
    TableSubjects,
)

# Of an utterance, about what the sentence encoder reads, and no more than VADER hears in a bearable
# time: it grows with their square. Any other sign counts as a word, since for VADER an emoji is.
MOST_WORDS = 200

# A quarter of the words of English speech are among these, and hardly one of other languages, for
# words that are common there too (is, to, was, we, for, my) are left out.
ENGLISH = frozenset(
    {"the", "and", "but", "that", "it", "this", "these", "those", "with", "from", "into", "about"}
    | {"before", "after", "again", "through", "while", "where", "when", "why", "how", "what"}
    | {"which", "who", "if", "then", "than", "because", "there", "not", "never", "always", "every"}
    | {"you", "your", "him", "his", "she", "they", "them", "their", "our", "someone", "everyone"}
    | {"something", "everything", "another", "only", "just", "really", "been", "were", "did"}
    | {"can", "could", "will", "would", "should", "know", "think", "want", "going", "time"}
    | {"it's", "that's", "there's", "i'm", "i've", "he's", "she's", "you're", "we're", "they're"}
    | {"don't", "can't", "didn't"}
)
ENOUGH_WORDS = 12  # to tell whether they are English
LEAST_ENGLISH = 0.08  # of the words

_PIECE = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*|[^\W\d_]")  # other letters one by one, for want of spaces


@dataclass(frozen=True)
class Explanation:
    """All stages of one utterance.

    Attributes:
        polarity: s_text of eq. 3.
        source: who proposed the subjects.
        candidates: every proposed subject with its verdict, the most similar first.
        priors: of the kept ones in that order; of none, the utterance's own sentiment.
    """

    utterance: str
    polarity: float
    source: str
    candidates: tuple[Candidate, ...]
    priors: tuple[Prior, ...]


class ExpressiveRecovery:
    """A `PriorSource`: the subjects of an utterance that pass both filters, and what they evoke.

    What it says of utterances depends on them alone (and, with a language model, on its answers),
    not on what it was asked before.

    Args:
        source: of stage 1; the table's subjects nearest to the utterance where left out.
        lexicon: of stage 3; the package's table, then VADER.
        similarity: of eq. 2; the default encoder, calibrated.
        thresholds: tau_1, tau_2, tau_3.

    Attributes:
        notes: what the user should know, a line each; grows with what is asked.
    """

    def __init__(
        self,
        source: SubjectSource | None = None,
        lexicon: PriorLexicon | None = None,
        similarity: Similarity | None = None,
        thresholds: Thresholds | None = None,
    ):
        self.lexicon = lexicon or default_lexicon()
        table = self.lexicon.subjects or default_lexicon().subjects
        self.similarity = similarity or Similarity([prior.subject for prior in table])
        self.source = source or TableSubjects(self.similarity)
        self.thresholds = thresholds or Thresholds()
        self.notes: list[str] = []
        self._noted: set[str] = set()  # what about
        self._of_source = 0  # how many of the source's notes are among ours
        self._noting = threading.Lock()

    @property
    def is_concurrent(self) -> bool:
        """Whether several threads may ask at once: where no server or file proposes subjects."""
        return isinstance(self.source, (TableSubjects, GivenSubjects))

    def priors(self, utterances: Sequence[str]) -> list[tuple[Prior, ...]]:
        """See `PriorSource`."""
        return [explanation.priors for explanation in self.explain(utterances)]

    def explain(self, utterances: Sequence[str]) -> list[Explanation]:
        """For each utterance every subject, its scores and verdict, and the priors that remain."""
        cut = {text: self._check(text) for text in utterances}
        spoken = list(dict.fromkeys(text for text in cut.values() if text))
        self._check_language(spoken)
        explanations = dict(zip(spoken, self._explain(spoken), strict=True))
        return [
            _as_said(text, explanations[cut[text]]) if cut[text] else _nothing_said(text)
            for text in utterances
        ]

    def _explain(self, spoken: Sequence[str]) -> list[Explanation]:
        """Of different utterances with words."""
        if not spoken:
            return []
        proposals = self.source.propose(spoken)
        with self._noting:
            self.notes += self.source.notes[self._of_source :]
            self._of_source = len(self.source.notes)
        subjects = list(dict.fromkeys(name for p in proposals for name in p.subjects))
        if not subjects:
            return [self._judge(text, p, {}, {}) for text, p in zip(spoken, proposals, strict=True)]
        relatedness = self.similarity.relate(spoken, subjects)
        return [
            self._judge(
                text,
                proposal,
                dict(zip(subjects, relatedness.cosine[i].tolist(), strict=True)),
                dict(zip(subjects, relatedness.score[i].tolist(), strict=True)),
            )
            for i, (text, proposal) in enumerate(zip(spoken, proposals, strict=True))
        ]

    def _judge(
        self,
        text: str,
        proposal: Proposal,
        cosine: dict[str, float],
        similarity: dict[str, float],
    ) -> Explanation:
        polarity = sentiment(text)
        ordered = sorted(proposal.subjects, key=lambda subject: -similarity[subject])
        candidates = tuple(
            judge(
                subject,
                cosine[subject],
                similarity[subject],
                self.lexicon.find(subject),
                polarity,
                self.thresholds,
            )
            for subject in ordered
        )
        kept = tuple(c.found.prior for c in candidates if c.found and c.verdict == "kept")
        return Explanation(
            text, polarity, proposal.source, candidates, kept or (own_sentiment(polarity),)
        )

    def _check(self, text: str) -> str:
        """The part of an utterance that is used, empty without words; notes what is odd."""
        ends = [piece.end() for piece in _PIECE.finditer(text)]
        if len(ends) > MOST_WORDS:
            self._note(
                "long",
                f"an utterance has {len(ends)} words: its prior comes from the first {MOST_WORDS} "
                "(give the words as srt, vtt or json, with a cue a sentence; said once a run)",
            )
            text = text[: ends[MOST_WORDS - 1]]
        return text if re.search(r"[^\W_]", text) else ""

    def _check_language(self, spoken: Sequence[str]) -> None:
        """Note it if these do not look English, all of them together."""
        words = [w for text in spoken for w in _WORD.findall(text.lower().replace("\u2019", "'"))]
        english = sum(word in ENGLISH for word in words)
        if len(words) >= ENOUGH_WORDS and english < LEAST_ENGLISH * len(words):
            self._note(
                "foreign",
                "what is said does not look English, and the lexicons are: priors of other "
                "languages mean little (--sentence-encoder and --lexicon take others; said once a "
                "run)",
            )

    def _note(self, about: str, text: str) -> None:
        with self._noting:
            if about not in self._noted:
                self._noted.add(about)
                self.notes.append(text)


def _as_said(text: str, explanation: Explanation) -> Explanation:
    """The explanation of an utterance that may have been cut, with all of it."""
    return Explanation(
        text,
        explanation.polarity,
        explanation.source,
        explanation.candidates,
        explanation.priors,
    )


def _nothing_said(text: str) -> Explanation:
    return Explanation(text, 0.0, "none", (), (own_sentiment(0.0),))
