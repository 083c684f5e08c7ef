"""Pictures of reports as bytes, the same for the same figures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
# What is not the same in two runs of matplotlib, or would not be text.
SVG_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "mreactor"}


def picture_bytes(figure: Figure, kind: str) -> bytes:
    """A picture as "png" or "svg"."""
    import matplotlib

    content = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context(SVG_STYLE):
        figure.savefig(content, format=kind, dpi=DPI, metadata=metadata)
    return content.getvalue()
