"""Reactions as the files that a request asks for: one as it is, several in a zip."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from mreactor_runtime.convert.convert import converted
from mreactor_runtime.convert.result import Result
from mreactor_runtime.forms import RESULT
from mreactor_runtime.provenance import Provenance
from mreactor_runtime.reactor import ClipReactions
from mreactor_runtime.run.outputs import npz_bytes
from mreactor_runtime.serve.options import Asked

ZIP = "application/zip"
MEDIA = {
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".glb": "model/gltf-binary",
    ".vrma": "model/gltf-binary",
}
ANY = "application/octet-stream"
MADE = (1980, 1, 1, 0, 0, 0)  # when, as a zip says: the bytes hold no date
LONGEST_HEADER = 4000  # letters of the warnings
PROVENANCE_HEADER, WARNINGS_HEADER = "Mreactor-Provenance", "Mreactor-Warnings"


@dataclass(frozen=True)
class Answer:
    """A file that answers a request.

    Attributes:
        name: of the file.
        warnings: what should be known of the clip.
    """

    content: bytes
    media: str
    name: str
    provenance: Provenance
    warnings: tuple[str, ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """What comes with it: its name, that it is generated and by what, and the warnings."""
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(self.name, safe='')}",
            PROVENANCE_HEADER: self.provenance.to_json(),
        }
        told = list(self.warnings)
        while told and len(json.dumps(told)) > LONGEST_HEADER:
            told.pop()
        return headers | ({WARNINGS_HEADER: json.dumps(told)} if told else {})


def make_answer(reactions: ClipReactions, asked: Asked, warnings: tuple[str, ...]) -> Answer:
    """The files of a clip's reactions that are asked for.

    Raises:
        ClipError: they cannot be converted.
    """
    files = list(_files(reactions, asked))
    told = reactions.provenance, warnings
    if len(files) == 1:
        [(name, content)] = files
        return Answer(content, MEDIA.get(PurePosixPath(name).suffix, ANY), name, *told)
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                entry = zipfile.ZipInfo(name, MADE)
                archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
        return Answer(buffer.getvalue(), ZIP, f"{_name(asked)}.zip", *told)


def _files(reactions: ClipReactions, asked: Asked) -> Iterator[tuple[str, bytes]]:
    place = Path(_name(asked) + RESULT)
    if asked.npz:
        yield place.name, bytes(npz_bytes(reactions, reactions.provenance))
    if asked.conversion is not None:
        arrays = reactions.attributes, reactions.coefficients
        result = Result(place, *arrays, reactions.provenance)
        for path, content in converted(result, place, asked.conversion):
            yield path.name, content


def _name(asked: Asked) -> str:
    """The last part of the clip's name."""
    return PurePosixPath(asked.clip_id).name
