"""How the priors of an utterance came about, as a table for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mreactor_ref.emotion.filters import Candidate, Thresholds
from mreactor_ref.emotion.recovery import Explanation

HEADER = ("subject", "cosine", "similarity", "emotion", "polarity", "intensity", "gap", "lexicon")
NUMBERS = {"cosine", "similarity", "polarity", "intensity", "gap"}


def as_dict(explanation: Explanation, thresholds: Thresholds) -> dict[str, Any]:
    """For JSON: the utterance, every candidate with its scores and verdict, and the priors."""
    return {
        "utterance": explanation.utterance,
        "polarity": round(explanation.polarity, 4),
        "source": explanation.source,
        "thresholds": asdict(thresholds),
        "candidates": [_candidate(candidate) for candidate in explanation.candidates],
        "priors": [_rounded(asdict(prior)) for prior in explanation.priors],
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    entry = candidate.found
    known = {} if entry is None else {**asdict(entry.prior), "gap": candidate.gap}
    return _rounded(
        {
            "subject": candidate.subject,
            "cosine": candidate.cosine,
            "similarity": candidate.similarity,
            **known,
            "lexicon": None if entry is None else entry.lexicon,
            "how": None if entry is None else entry.how,
            "verdict": candidate.verdict,
        }
    )


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}


def as_table(explanation: Explanation, thresholds: Thresholds) -> str:
    """Three stages as text: the utterance, its candidates in a table, the priors that remain."""
    lines = [
        f'"{_shortened(explanation.utterance)}"',
        f"polarity {explanation.polarity:+.2f}; subjects proposed by: {explanation.source}; kept "
        f"where similarity >= {thresholds.semantic:g}, gap <= {thresholds.polarity:g}, "
        f"intensity >= {thresholds.intensity:g}",
    ]
    if explanation.candidates:
        rows = [_row(_candidate(candidate)) for candidate in explanation.candidates]
        lines += ["", *_aligned([(*HEADER, "verdict"), *rows])]
    lines += ["", "priors:"]
    lines += [
        f"  {prior.subject}: {prior.emotion}, polarity {prior.polarity:+.2f}, "
        f"intensity {prior.intensity:.2f}"
        for prior in explanation.priors
    ]
    return "\n".join(lines)


def _row(candidate: dict[str, Any]) -> tuple[str, ...]:
    names = (*HEADER, "verdict")
    values = [candidate.get(name) for name in names]
    return tuple(
        "-" if value is None else f"{value:.2f}" if name in NUMBERS else str(value)
        for name, value in zip(names, values, strict=True)
    )


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns of one width: numbers to the right, words to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = [name in NUMBERS for name in rows[0]]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def _shortened(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
