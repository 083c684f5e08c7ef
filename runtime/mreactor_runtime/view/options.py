"""What a view is asked for."""

from __future__ import annotations

LINK, COPY, NONE = MEDIA = ("link", "copy", "none")
FOLDER = "view"  # of the pages, in the output folder of a run
