"""How far each of the 25 channels that come out of a video can be trusted: one table."""

from __future__ import annotations

from mreactor_ref.signals import ATTRIBUTE_NAMES

TRUSTED_UNITS = ("AU1", "AU2", "AU4", "AU6", "AU12", "AU25", "AU26")
TRUSTED_EXPRESSIONS = ("Neutral", "Happy", "Sad")
ABSENT = ("Contempt",)  # the package's network does not know it: always 0

TRUSTED = (*TRUSTED_UNITS, *TRUSTED_EXPRESSIONS)


def summary(trusted: tuple[str, ...] = TRUSTED) -> str:
    """The table in one line, with these channels as the trusted ones."""
    absent = tuple(name for name in ABSENT if name not in trusted)
    hints = [name for name in ATTRIBUTE_NAMES if name not in (*trusted, *absent)]
    line = f"trusted are {' '.join(trusted)}; hints are {' '.join(hints)}"
    return f"{line}; always 0 is {' '.join(absent)}" if absent else line
