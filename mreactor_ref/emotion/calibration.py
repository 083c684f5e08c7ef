"""Calibrates similarity: judged pairs of utterance and subject, and the curve fitted to them.

`calibration.csv` was written and judged for this, as `judged.csv` of the benchmarks was, which
tests the filters; they share no utterance. One annotator, a language model, judged by meaning.

- `related`: the subject is part of what is said, or its direct cause, consequence or opposite; for
  an utterance without a topic, a typical cause of its feeling.
- `fitting`: the feeling that the subject usually evokes has the sign of the utterance's, and is not
  plainly too flat for it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import UsageError

CALIBRATION = Path(__file__).with_name("calibration.csv")
COLUMNS = ["utterance", "subject", "related", "fitting"]
ANSWERS = {"yes": True, "no": False}

STEPS, TOLERANCE = 50, 1e-10  # of Newton's method; it takes about ten
RIDGE = 1e-3  # keeps the curve finite where the pairs can be told apart without error


@dataclass(frozen=True)
class Judged:
    """A pair of an utterance and a subject, and what someone thinks of it."""

    utterance: str
    subject: str
    related: bool
    fitting: bool


def read_judged(path: Path = CALIBRATION) -> tuple[Judged, ...]:
    """The rows of a csv file with the header utterance,subject,related,fitting (yes or no).

    Raises: UsageError: the file is missing or not of this form; the message names the line.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            if next(rows, None) != COLUMNS:
                raise UsageError("line 1 is not the header", path, f"write {','.join(COLUMNS)}")
            pairs = [_judged(row, rows.line_num, path) for row in rows if row]
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", path) from error
    except UnicodeDecodeError as error:
        raise UsageError("is not UTF-8 text", path) from error
    except csv.Error as error:
        raise UsageError(f"is not csv: {error}", path) from error
    if not pairs:
        raise UsageError("has no rows", path)
    return tuple(pairs)


def _judged(row: list[str], line: int, path: Path) -> Judged:
    if len(row) != len(COLUMNS) or not {*row[2:]} <= {*ANSWERS}:
        raise UsageError(f"line {line} is not utterance,subject,yes|no,yes|no", path)
    return Judged(row[0], row[1], ANSWERS[row[2]], ANSWERS[row[3]])


def fit_curve(features: NDArray[np.float64], related: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights (F + 1) of the logistic curve that fits the judgements best, the last the offset.

    Maximum likelihood by Newton's method (Platt 1999), with a light ridge.

    Args:
        features: (N, F). related: (N,).
    """
    design = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    ridge = RIDGE * np.eye(design.shape[1])
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        chance = probability(features, weights)
        slope = design.T @ (related - chance) - ridge @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, slope)
        weights = weights + step
        if np.abs(step).max() < TOLERANCE:
            break
    return weights


def probability(features: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The curve at features (..., F): the probability (...) of being judged related."""
    logit = features @ weights[:-1] + weights[-1]
    return 0.5 * (1 + np.tanh(logit / 2))  # the logistic function, which never overflows so
