"""Stage 2: which of the proposed subjects make sense, and which feel right (C.3, eqs. 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mreactor_ref.emotion.lexicon import Found
from mreactor_ref.emotion.priors import LEAST_INTENSITY, Prior
from mreactor_ref.errors import UsageError

# floating point does not take 0.8 - 0.5 for 0.3
SLACK = 1e-9

Verdict = Literal["kept", "unknown", "unrelated", "contradicting", "weak"]


@dataclass(frozen=True)
class Thresholds:
    """The paper's tau_1, tau_2 and tau_3, each 0.5.

    Attributes:
        semantic: the least calibrated similarity, 0 to 1.
        polarity: the largest difference of polarity between subject and utterance, 0 to 2.
        intensity: the least intensity, 0 to 1.

    Raises:
        UsageError: one out of its range.
    """

    semantic: float = 0.5
    polarity: float = 0.5
    intensity: float = LEAST_INTENSITY

    def __post_init__(self) -> None:
        for name, most in (("semantic", 1), ("polarity", 2), ("intensity", 1)):
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(f"{name} threshold is {getattr(self, name)}, not 0 to {most}")


@dataclass(frozen=True)
class Candidate:
    """A proposed subject, all that the filters know of it, and what they say.

    Attributes:
        cosine: of the embeddings, before calibration.
        similarity: s_sem of eq. 2, calibrated: the probability of being related.
        found: what the lexicons say; None where they know no word of it.
        gap: |s - s_text| of eq. 3; None where the lexicons know nothing.
        verdict: kept; or unknown to the lexicons, unrelated (eq. 2), contradicting in polarity or
            too weak (eq. 3): the first of these that holds.
    """

    subject: str
    cosine: float
    similarity: float
    found: Found | None
    gap: float | None
    verdict: Verdict

    @property
    def prior(self) -> Prior | None:
        return self.found.prior if self.found else None


def judge(
    subject: str,
    cosine: float,
    similarity: float,
    found: Found | None,
    text_polarity: float,
    thresholds: Thresholds,
) -> Candidate:
    """The filters' verdict on a subject of an utterance with polarity s_text."""
    gap = None if found is None else abs(found.prior.polarity - text_polarity)
    return Candidate(
        subject, cosine, similarity, found, gap, _verdict(similarity, found, gap, thresholds)
    )


def _verdict(
    similarity: float, found: Found | None, gap: float | None, thresholds: Thresholds
) -> Verdict:
    if found is None or gap is None:
        return "unknown"
    if not similarity >= thresholds.semantic:  # so that no number is unrelated
        return "unrelated"
    if gap > thresholds.polarity + SLACK:
        return "contradicting"
    if found.prior.intensity < thresholds.intensity - SLACK:
        return "weak"
    return "kept"
