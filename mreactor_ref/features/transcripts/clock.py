"""Times as people and programs write them: 1:02:03.4, 00:01,250, "1.300s", {"seconds": "1"}."""

from __future__ import annotations

import math
import re
from typing import Any, cast

CLOCK = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})(?:[.,]\s?(\d{1,9}))?"


def clock_seconds(hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    """Seconds of the four groups of CLOCK."""
    whole = 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds)
    return whole + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)


def seconds(value: object, unit: float = 1.0) -> float | None:
    """A time of a json file in seconds; None where it is missing or no time.

    Args:
        value: a number, a number in a string, with or without "s", a clock, or a mapping of
            "seconds" and "nanos".
        unit: of a number, in seconds.
    """
    if isinstance(value, dict):
        parts = cast("dict[str, Any]", value)
        whole, nanos = seconds(parts.get("seconds", 0)), seconds(parts.get("nanos", 0))
        return None if whole is None or nanos is None else whole + nanos / 1e9
    if isinstance(value, str):
        if match := re.fullmatch(CLOCK, value.strip()):
            return clock_seconds(*match.groups())
        value = value.strip().removesuffix("s")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        time = float(value) * unit
    except (ValueError, OverflowError):
        return None
    return time if math.isfinite(time) else None
