"""A result that is packed: its bytes, and what its run says of it."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mreactor_ref.errors import ClipError
from mreactor_ref.signals import Array
from mreactor_runtime.forms import RESULT
from mreactor_runtime.provenance import Provenance
from mreactor_runtime.run.manifest import Line
from mreactor_runtime.run.run_json import Record

OF_LINE = ("sha256", "frames", "warnings", "reactions")


@dataclass(frozen=True)
class Packed:
    """The npz of a clip as its run wrote it.

    Attributes:
        clip: its id.
        content: of the npz.
        about: that it is generated, by what, and the manifest's line of it.
    """

    clip: str
    content: bytes
    about: dict[str, Any]

    def arrays(self) -> tuple[Array, Array]:
        """Attributes (S, T, 25) and coefficients (S, T, 58)."""
        with np.load(io.BytesIO(self.content), allow_pickle=False) as file:
            return file["attributes"], file["coefficients"]


def read_packed(folder: Path, line: Line, run: Record) -> Packed:
    """Read the result of a manifest's line.

    Raises:
        ClipError: it is not there, or not as its run wrote it.
    """
    path = folder / f"{line['id']}{RESULT}"
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise ClipError(problem, path, "make it again with mreactor-infer") from None
    if hashlib.sha256(content).hexdigest() != line.get("sha256"):
        raise ClipError("is not as its run wrote it", path, "make it again with mreactor-infer")
    about = Provenance.of_run(line, run).to_dict() | {name: line.get(name) for name in OF_LINE}
    return Packed(line["id"], content, about)
