"""Scores the filters of expressive recovery on judged pairs of utterance and subject.

The pairs of `judged.csv` share no utterance with those that the similarity was calibrated on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.data.simulated.sentences import POLARITIES, compose
from mreactor_ref.emotion.calibration import Judged, read_judged
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.emotion.semantics import SentenceEncoder
from mreactor_ref.emotion.subjects import MOST_PROPOSED, GivenSubjects

if TYPE_CHECKING:
    from matplotlib.axes import Axes

JUDGED = Path(__file__).with_name("judged.csv")
BINS = 10


@dataclass(frozen=True)
class Filtered:
    """The scores of each judged pair, (N,) each.

    Attributes:
        cosine: eq. 2 as printed: of the embeddings of subject and utterance alone.
        similarity: calibrated.
        related, fitting: as judged.
        semantic, affective, polarity: what passes eq. 2, what eq. 3, and what its first half.
    """

    cosine: NDArray[np.float64]
    similarity: NDArray[np.float64]
    related: NDArray[np.bool_]
    fitting: NDArray[np.bool_]
    semantic: NDArray[np.bool_]
    affective: NDArray[np.bool_]
    polarity: NDArray[np.bool_]


def filter_pairs(pairs: tuple[Judged, ...], encoder: SentenceEncoder) -> Filtered:
    """Run the filters, with the paper's thresholds, over judged pairs."""
    by_utterance: dict[str, list[Judged]] = {}
    for pair in pairs:
        by_utterance.setdefault(pair.utterance, []).append(pair)
    recovery = ExpressiveRecovery(GivenSubjects(()))
    thresholds, rows = recovery.thresholds, []
    for utterance, group in by_utterance.items():
        assert len(group) <= MOST_PROPOSED
        recovery.source = GivenSubjects(tuple(pair.subject for pair in group))
        (explanation,) = recovery.explain([utterance])
        candidates = {candidate.subject: candidate for candidate in explanation.candidates}
        vectors = encoder([utterance, *(pair.subject for pair in group)]).astype(np.float64)
        for pair, cosine in zip(group, vectors[1:] @ vectors[0], strict=True):
            candidate = candidates[pair.subject]
            near = candidate.gap is not None and candidate.gap <= thresholds.polarity
            prior = candidate.prior
            strong = prior is not None and prior.intensity >= thresholds.intensity
            semantic = candidate.similarity >= thresholds.semantic
            judged = pair.related, pair.fitting
            rows.append((cosine, candidate.similarity, *judged, semantic, near and strong, near))
    cosine, similarity, *flags = (np.array(column) for column in zip(*rows, strict=True))
    return Filtered(cosine, similarity, *flags)


def measure_filters(path: Path = JUDGED) -> tuple[dict[str, dict[str, float]], Filtered]:
    """Precision, recall and F1 of each filter on judged pairs, and what each pair came to.

    The raw cosine is shown at the paper's 0.5, and at the threshold that is best for it on the
    pairs of the calibration.

    Raises: UsageError for a file that cannot be read or is of another form.
    """
    encoder = SentenceEncoder()
    learned = filter_pairs(read_judged(), encoder)
    best = best_threshold(learned.cosine, learned.related)
    tested = filter_pairs(read_judged(path), encoder)
    right = tested.related & tested.fitting
    rows = {
        "related: raw cosine >= 0.5": scores(tested.cosine >= 0.5, tested.related),
        f"related: raw cosine >= {best:.2f}": scores(tested.cosine >= best, tested.related),
        "related: calibrated >= 0.5 (eq. 2)": scores(tested.semantic, tested.related),
        "fitting: polarity alone": scores(tested.polarity, tested.fitting),
        "fitting: polarity and intensity (eq. 3)": scores(tested.affective, tested.fitting),
        "both: raw cosine >= 0.5, eq. 3": scores((tested.cosine >= 0.5) & tested.affective, right),
        f"both: raw cosine >= {best:.2f}, eq. 3": scores(
            (tested.cosine >= best) & tested.affective, right
        ),
        "both: eqs. 2 and 3": scores(tested.semantic & tested.affective, right),
    }
    return rows, tested


def seconds_for(utterances: int = 1000, seed: int = 0) -> float:
    """How long all stages take, offline, for so many utterances at once; loading apart."""
    rng = np.random.default_rng(seed)
    texts = [compose(rng, int(rng.choice(POLARITIES))) for _ in range(utterances)]
    recovery = ExpressiveRecovery()
    recovery.priors(["Hello there."])
    started = time.perf_counter()
    recovery.priors(texts)
    return time.perf_counter() - started


def scores(kept: NDArray[np.bool_], right: NDArray[np.bool_]) -> dict[str, float]:
    """Precision, recall, F1 of what is kept (N,) against what is right (N,); 0 where none is."""
    hits = int((kept & right).sum())
    precision, recall = hits / max(int(kept.sum()), 1), hits / max(int(right.sum()), 1)
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": precision, "recall": recall, "F1": f1, "kept": int(kept.sum())}


def best_threshold(values: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Of the values (N,), the one from which on the F1 is the best."""
    return float(max(values, key=lambda value: scores(values >= value, right)["F1"]))


def plot_calibration(tested: Filtered, path: Path) -> None:
    """Draw what the calibration changes. Raises UsageError without matplotlib."""
    from mreactor_runtime.report.timeline import require_matplotlib

    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    raw, calibrated, reliable = figure.subplots(1, 3)
    _histogram(raw, tested.cosine, tested.related, "raw cosine")
    _histogram(calibrated, tested.similarity, tested.related, "calibrated similarity")
    edges = np.linspace(0, 1, BINS + 1)
    places = np.clip(np.digitize(tested.similarity, edges) - 1, 0, BINS - 1)
    filled = [i for i in range(BINS) if (places == i).any()]
    mean = [tested.similarity[places == i].mean() for i in filled]
    share = [tested.related[places == i].mean() for i in filled]
    reliable.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    reliable.plot(mean, share, "o-", color="tab:blue")
    reliable.set(xlabel="calibrated similarity", ylabel="share judged related", xlim=(0, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _histogram(
    axes: Axes, values: NDArray[np.float64], related: NDArray[np.bool_], name: str
) -> None:
    edges = np.linspace(min(0.0, float(values.min())), 1, 26).tolist()
    axes.hist(values[related], edges, alpha=0.6, color="tab:blue", label="judged related")
    axes.hist(values[~related], edges, alpha=0.6, color="tab:orange", label="judged unrelated")
    axes.axvline(0.5, color="black", linewidth=1, linestyle="--", label="tau 1 = 0.5")
    axes.set(xlabel=name, ylabel="pairs")
    axes.legend(frameon=False)
