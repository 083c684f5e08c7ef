"""What the code of each challenge does where it departs from the measures' definitions.

| edition | FRSyn | FRDvs | random predictor | means from | mean sequence | source |
|---|---|---|---|---|---|---|
| react2023 | all reactions | yes | uniform in [0, 1) | speakers and listeners | yes | baseline_react2023: evaluate.py, run_baselines.py, metric/*.py |
| react2024 | the first reaction of a clip | yes | as 2023 | as 2023 | yes | baseline_react2024: evaluate.py, regnn/evaluation.py, regnn/metric/*.py |
| react2025 | the first reaction of a clip | no | see trivial.py | listeners | no | baseline_react2025: framework/utils/compute_metrics.py; baseline_react2026: framework/metrics/TLCC.py, framework/utils/baseline_reaction_metrics.py |

All of them take NaN for the largest correlation in FRSyn (synchrony.py), which has 25 frames a
second, and compute FRDiv, FRVar, FRDvs and the means and variances of FRCorr in single precision.

Not of the measures, and so not here: evaluate.py of 2023 hands the *predictions* of other clips to
FRCorr and FRDist as the real reactions; 2025 and 2026 score against ten real reactions, the
listener's own and nine drawn of the session (dataset/react_2025.py), we against all.
"""  # noqa: E501

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edition:
    """One challenge's code.

    Attributes:
        first_reaction_only: FRSyn counts a clip's first reaction alone.
        across_clips: FRDvs is computed.
        uniform_random: the random predictor is uniform in all channels.
        means_of_both: the mean predictors learn from speakers, too.
        mean_sequence: it has the predictor of the mean sequence.
    """

    name: str
    first_reaction_only: bool
    across_clips: bool
    uniform_random: bool
    means_of_both: bool
    mean_sequence: bool


EDITIONS = {
    edition.name: edition
    for edition in (
        Edition("react2023", False, True, True, True, True),
        Edition("react2024", True, True, True, True, True),
        Edition("react2025", True, False, False, False, False),
    )
}
