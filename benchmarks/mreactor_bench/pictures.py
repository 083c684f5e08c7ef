"""Pictures of reports as bytes, the same for the same figures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mreactor_bench.report import to_json, write_reports_as

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
# What is not the same in two runs of matplotlib, or would not be text.
SVG_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "mreactor"}


def write_study(
    folder: Path, name: str, values: dict[str, Any], markdown: str, figure: Figure
) -> list[Path]:
    """Write NAME.json, .md and .png into a folder; returns their paths.

    Raises: OSError.
    """
    contents = {
        "json": to_json(name, values).encode(),
        "md": f"{markdown}\n".encode(),
        "png": picture_bytes(figure, "png"),
    }
    return write_reports_as(folder, name, contents)


def picture_bytes(figure: Figure, kind: str) -> bytes:
    """A picture as "png" or "svg"."""
    import matplotlib

    content = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context(SVG_STYLE):
        figure.savefig(content, format=kind, dpi=DPI, metadata=metadata)
    return content.getvalue()
