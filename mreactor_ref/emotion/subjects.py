"""Stage 1 of expressive recovery: where the subjects of an utterance come from (C.3, eq. 1).

A `SubjectSource` proposes; the filters of stage 2 decide. So a source may propose too much, and
nothing that it says can become more than subjects of bounded length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mreactor_ref.emotion.lexicon_terms import Affect, Lexicon, tidy
from mreactor_ref.emotion.priors import Prior
from mreactor_ref.emotion.semantics import Similarity
from mreactor_ref.errors import UsageError
from mreactor_ref.json_text import NotJSON, parse_json

MOST_PROPOSED = 24  # subjects of an utterance that go on to the filters
LONGEST_SUBJECT = 48  # characters
LEXICON = "lexicon"  # the source that needs no network
FORM = 'an object of utterances, each with a list of subjects: {"I won!": ["Success", "Luck"]}'


@dataclass(frozen=True)
class Proposal:
    """The subjects proposed for one utterance, T of eq. 1.

    Attributes:
        subjects: at most MOST_PROPOSED, none twice, each of 1 to LONGEST_SUBJECT characters.
        source: the name of who proposed them.
    """

    subjects: tuple[str, ...]
    source: str


class SubjectSource(Protocol):
    """Proposes subjects for utterances."""

    @property
    def notes(self) -> Sequence[str]:
        """Lines that the user should read, each once; may grow while it works."""
        ...

    def propose(self, utterances: Sequence[str]) -> list[Proposal]:
        """A proposal for each utterance, in their order; an empty one where nothing comes."""
        ...


@dataclass
class TableSubjects:
    """The subjects of the table that are nearest in meaning to the utterance (eq. 2)."""

    similarity: Similarity
    notes: list[str] = field(default_factory=list)

    def propose(self, utterances: Sequence[str]) -> list[Proposal]:
        """See `SubjectSource`; the nearest first."""
        table = self.similarity.table
        if not utterances or not table:
            return [Proposal((), LEXICON) for _ in utterances]
        score = self.similarity.relate(utterances, table).score
        nearest = np.argsort(-score, axis=1, kind="stable")[:, :MOST_PROPOSED]
        return [Proposal(tuple(table[i] for i in row), LEXICON) for row in nearest]


@dataclass
class GivenSubjects:
    """Subjects that the user gives: the same for every utterance."""

    subjects: tuple[str, ...]
    notes: list[str] = field(default_factory=list)

    def propose(self, utterances: Sequence[str]) -> list[Proposal]:
        """See `SubjectSource`."""
        return [Proposal(self.subjects, "given") for _ in utterances]


class FileSubjects:
    """Subjects from a JSON file of the user's own; others propose for utterances it has not.

    The file is an object: an utterance (case and spaces do not count) to a list of subjects. A
    subject is a string, or an object with the prior that it shall have, which goes before every
    lexicon: {"subject": "Promotion", "emotion": "pride", "polarity": 0.8, "intensity": 0.7}.

    Args:
        path: of the file.
        fallback: for utterances that are not in it.

    Raises:
        UsageError: the file cannot be read or is not of this form; the message names the utterance.
    """

    def __init__(self, path: Path, fallback: SubjectSource):
        self.path, self.fallback = path, fallback
        self._subjects, priors = _read_file(path)
        self.lexicon = Lexicon(
            path.name,
            {tidy(p.subject): Affect(p.emotion, p.polarity, p.intensity) for p in priors},
        )
        self._own_notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        return [*self._own_notes, *self.fallback.notes]

    def propose(self, utterances: Sequence[str]) -> list[Proposal]:
        """See `SubjectSource`."""
        missing = [text for text in utterances if tidy(text) not in self._subjects]
        if missing and not self._own_notes:
            self._own_notes.append(
                f"{self.path.name} does not have every utterance: the lexicon proposes for others"
            )
        others = iter(self.fallback.propose(missing) if missing else ())
        return [
            Proposal(self._subjects[tidy(text)], self.path.name)
            if tidy(text) in self._subjects
            else next(others)
            for text in utterances
        ]


def check_subjects(subjects: Sequence[str]) -> tuple[str, ...]:
    """The subjects without those that came before, when they are few and short enough.

    Raises: UsageError.
    """
    subjects_by_tidy: dict[str, str] = {}
    for subject in subjects:
        subjects_by_tidy.setdefault(tidy(subject), " ".join(subject.split()))
    kept = tuple(subjects_by_tidy.values())
    for subject in kept:
        if not subject or len(subject) > LONGEST_SUBJECT:
            raise UsageError(f"subject {subject!r} does not have 1 to {LONGEST_SUBJECT} characters")
    if len(kept) > MOST_PROPOSED:
        raise UsageError(f"{len(kept)} subjects are more than {MOST_PROPOSED}")
    return kept


def _read_file(path: Path) -> tuple[dict[str, tuple[str, ...]], list[Prior]]:
    """Subjects by tidy utterance, and the priors that the file gives some of them."""
    try:
        content = parse_json(path.read_bytes())
    except OSError as error:
        fix = "a source of subjects is lexicon, llm or a JSON file"
        raise UsageError(f"cannot be read: {error.strerror}", path, fix) from error
    except NotJSON as error:
        raise UsageError(f"is not JSON: {error}", path) from error
    if not isinstance(content, dict) or not content:
        raise UsageError("is not as it should be", path, FORM)
    subjects: dict[str, tuple[str, ...]] = {}
    priors: list[Prior] = []
    for utterance, entries in content.items():
        try:
            if not isinstance(entries, list):
                raise UsageError("does not have a list", fix=FORM)
            names = [_entry(entry, priors) for entry in entries]
            subjects[tidy(utterance)] = check_subjects(names)
        except UsageError as error:
            raise UsageError(f"{utterance!r}: {error.problem}", path, error.fix) from error
    return subjects, priors


def _entry(entry: Any, priors: list[Prior]) -> str:
    """The subject of an entry; a prior that comes with it is added to `priors`."""
    if isinstance(entry, str):
        return entry
    if not isinstance(entry, Mapping) or set(entry) != {*Prior.__dataclass_fields__}:
        raise UsageError(
            f"{entry!r} is no subject",
            fix=f"a string, or an object with {', '.join(Prior.__dataclass_fields__)}",
        )
    subject, emotion, polarity, intensity = (entry[name] for name in Prior.__dataclass_fields__)
    if not isinstance(subject, str) or not isinstance(emotion, str):
        raise UsageError(f"{entry!r} has a subject or an emotion that is no string")
    if not {type(polarity), type(intensity)} <= {int, float}:  # True would count as 1
        raise UsageError(f"{entry!r} has a polarity or an intensity that is no number")
    prior = Prior(subject, emotion.lower(), polarity, intensity)
    if any(tidy(p.subject) == tidy(subject) and p != prior for p in priors):
        raise UsageError(f"{subject!r} has another prior elsewhere in the file")
    priors.append(prior)
    return prior.subject
