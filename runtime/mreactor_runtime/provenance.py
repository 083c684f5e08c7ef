"""Where reactions came from, and that they are generated: one value that goes into every output.

A `Reactor` makes it; npz, converted files, pictures, videos and pages carry it; and whoever reads
an npz has it again, so that a file made of it names the seed of its source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from mreactor_ref.files import shown_hash
from mreactor_ref.json_text import parse_json
from mreactor_ref.signals import SpeakerClip

T = TypeVar("T")

PACKAGE = "mreactor"
MARK = "AI-generated reactions (mreactor)"  # seen by whoever looks at a picture, video or page
WHAT = "AI-generated reactions of a listener's face, of no real person"
LONGEST = 65_536  # letters, when it is read


@dataclass(frozen=True)
class Provenance:
    """Where the reactions to a clip came from; None is what is not known.

    Attributes:
        clip: its id.
        fps: frames a second.
        seed: of the run.
        model: its name, without the folder it was in.
        model_sha256: of its weights.
        version: of mreactor.
    """

    clip: str
    fps: float | None = None
    seed: int | None = None
    model: str | None = None
    model_sha256: str | None = None
    version: str | None = None

    @classmethod
    def of(cls, clip: SpeakerClip, seed: int, model: str, sha256: str) -> Provenance:
        """Of reactions that are made now.

        Args: model: by name or path. sha256: of its weights.
        """
        return cls(clip.id, clip.fps, seed, Path(model).name, sha256, installed_version())

    @classmethod
    def of_run(cls, line: Mapping[str, Any], run: Mapping[str, Any]) -> Provenance:
        """Of a clip's line of a manifest and the record of its run; what they lack is None."""
        fps, model = line.get("fps"), _part(run, "model", "name")
        return cls(
            clip=line["id"],
            fps=float(fps) if isinstance(fps, int | float) and fps > 0 else None,
            seed=line.get("seed"),
            model=Path(model).name if isinstance(model, str) else None,
            model_sha256=_part(run, "model", "sha256"),
            version=_part(run, "versions", "mreactor"),
        )

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """What `to_json` wrote; of a value of another kind that it is not known.

        Raises: ValueError: it is something else.
        """
        record = parse_json(text, most=LONGEST)
        clip = _of(record, "clip", str)
        if clip is None:
            raise ValueError("no record of a clip's reactions")
        return cls(
            clip=clip,
            fps=_of(record, "fps", float),
            seed=_of(record, "seed", int),
            model=_of(record, "model", str),
            model_sha256=_of(record, "model_sha256", str),
            version=_of(record, "version", str),
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON: that it is generated, by what, and the fields."""
        return {"ai_generated": True, "what": WHAT, "generator": self.generator} | asdict(self)

    def to_json(self) -> str:
        """In ASCII, the same letters for the same value."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @property
    def generator(self) -> str:
        return program(self.version)

    @property
    def line(self) -> str:
        """For people, in one line."""
        model = self.model and f"model {self.model}"
        if model and self.model_sha256:
            model += f" ({shown_hash(self.model_sha256)})"
        seed = None if self.seed is None else f"seed {self.seed}"
        return f"AI-generated reactions: {', '.join(filter(None, (self.generator, model, seed)))}"


def _part(record: Any, *names: str) -> Any:
    for name in names:
        record = record.get(name) if isinstance(record, Mapping) else None
    return record


def _of(record: Any, name: str, kind: type[T]) -> T | None:
    value = record.get(name) if isinstance(record, dict) else None
    return value if isinstance(value, kind) else None


def program(version: str | None) -> str:
    """This program with its version, where that is known."""
    return f"{PACKAGE} {version}" if version else PACKAGE


def installed_version() -> str | None:
    """The version of mreactor; None where a checkout runs that was never installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None
