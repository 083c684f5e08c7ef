"""How the code of each challenge departs from the measures' definitions.

|                   | react2023     | react2024     | react2025    |
|-------------------|---------------|---------------|--------------|
| FRSyn counts      | all reactions | the first (a) | the first (b)|
| FRSyn, NaN        | is the largest correlation in all three (a, b)|
| FRSyn, fps        | 25, whatever the data have (a, b)            |
| FRDvs             | yes           | yes           | no (c)       |
| single precision  | FRDiv, FRVar, FRDvs; means and variances of FRCorr (d) |
| random predictor  | uniform in [0, 1) (e)         | see trivial.py (f) |
| means come from   | speakers and listeners (e)    | listeners (f)|
| mean sequence     | yes (e)       | yes (e)       | no (f)       |

Sources: (a) baseline_react2023 and baseline_react2024: metric/TLCC.py, evaluate.py;
(b) baseline_react2026: framework/metrics/TLCC.py; (c) baseline_react2025:
framework/utils/compute_metrics.py; (d) baseline_react2023: metric/S_MSE.py, FRVar.py, FRDvs.py,
FRC.py; (e) baseline_react2023: run_baselines.py; (f) baseline_react2026:
framework/utils/baseline_reaction_metrics.py. The edition of 2026 scores as that of 2025.

Not of the measures, and so not here: evaluate.py of 2023 hands *predictions* for other clips to
FRCorr and FRDist in place of the real reactions; 2025 and 2026 score against ten real reactions,
the listener's own and nine drawn from the session (dataset/react_2025.py), we against all.
"""

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
