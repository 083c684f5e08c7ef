"""How far each of the 25 channels that come out of a video can be trusted: one table."""

from __future__ import annotations

from mreactor_ref.signals import ACTION_UNITS, EXPRESSIONS

TRUSTED_UNITS = ("AU1", "AU2", "AU4", "AU6", "AU12", "AU25", "AU26")
TRUSTED_EXPRESSIONS = ("Neutral", "Happy", "Sad")
ABSENT = ("Contempt",)  # the network does not know it: always 0

TRUSTED = (*TRUSTED_UNITS, *TRUSTED_EXPRESSIONS)
HINTS = (
    *(name for name in ACTION_UNITS if name not in TRUSTED_UNITS),
    *("valence", "arousal"),  # read off the expressions
    *(name for name in EXPRESSIONS if name not in (*TRUSTED_EXPRESSIONS, *ABSENT)),
)


def summary() -> str:
    """The table in one line."""
    return (
        f"trusted are {' '.join(TRUSTED)}; hints are {' '.join(HINTS)}; "
        f"always 0 is {' '.join(ABSENT)}"
    )
