"""What a run writes beside each clip's result: pictures, and whatever else is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.forms import beside
from mreactor_runtime.reactor import ClipReactions

PRIORS, PICTURE = ".priors.json", ".png"

# Is called with a clip, the reactions to it, and a path.
Write = Callable[[SpeakerClip, ClipReactions, Path], None]


@dataclass(frozen=True)
class Extra:
    """Something beside each result. Where it cannot be written, the clip is done without it.

    Attributes:
        what: its name, for people.
        suffixes: of its files, after the clip's name; where one is not there, a later run does the
            clip again.
        write: called with the path of the npz, in the thread that writes.
    """

    what: str
    suffixes: tuple[str, ...]
    write: Write


def timelines() -> Extra:
    """The timeline of each clip.

    Raises:
        UsageError: matplotlib is not installed.
    """
    from mreactor_runtime.report.timeline import plot_timeline, require_matplotlib

    require_matplotlib()
    return picture(lambda clip, made, path: plot_timeline(clip, made, path, made.provenance))


def picture(draw: Write) -> Extra:
    """A picture of each clip. `draw` is called with its path."""
    return Extra(
        "picture",
        (PICTURE,),
        lambda clip, reactions, result: draw(clip, reactions, beside(result, PICTURE)),
    )
