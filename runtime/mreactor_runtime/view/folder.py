"""The folder of a run as the pages see it: what its manifest and its run file say, or its results
alone where there is neither."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mreactor_ref.errors import UsageError
from mreactor_runtime.forms import RESULT
from mreactor_runtime.run.manifest import DONE, Line, read_lines
from mreactor_runtime.run.outputs import read_json
from mreactor_runtime.run.shard import MANIFEST, RUN, shard_files


@dataclass(frozen=True)
class RunFolder:
    """What a folder of results says of itself.

    Attributes:
        path: the folder.
        lines: of its manifests, by clip id, in order; of a clip without one, its id and status.
        record: its run file; empty where there is none.
        notes: what a reader of the pages should know of it, a line each.
    """

    path: Path
    lines: dict[str, Line]
    record: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: tuple[str, ...] = ()

    def result(self, clip: str) -> Path:
        """The npz of a clip."""
        return self.path / f"{clip}{RESULT}"


def read_folder(path: Path) -> RunFolder:
    """Read what a folder says of its run.

    Raises:
        UsageError: it is no folder, or has neither a manifest nor a result.
    """
    if not path.is_dir():
        raise UsageError("is no folder", path, "give the folder that mreactor-infer wrote")
    manifests = [p for p in (*shard_files(path, MANIFEST), path / MANIFEST) if p.is_file()]
    lines = {line["id"]: line for manifest in manifests for line in read_lines(manifest)}
    records = [read_json(p) for p in (path / RUN, *shard_files(path, RUN)) if p.is_file()]
    record = next((record for record in records if record is not None), {})
    notes: list[str] = []
    if not manifests:
        lines = {clip: {"id": clip, "status": DONE} for clip in _results(path)}
        if not lines:
            fix = "give the folder that mreactor-infer wrote"
            raise UsageError(f"has neither a {MANIFEST} nor a result", path, fix)
        notes.append(
            f"There is no `{MANIFEST}`: shown is every npz of the folder. Frames a second, priors "
            "and warnings are not known."
        )
    if any(record is None for record in records):
        notes.append(f"`{RUN}` is damaged: what the run was is not known.")
    notes += _of_run(record, len(lines))
    return RunFolder(path, dict(sorted(lines.items())), record, tuple(notes))


def _results(path: Path) -> list[str]:
    places = (result.relative_to(path) for result in path.rglob(f"*{RESULT}"))
    shown = (p for p in places if not any(part.startswith(".") for part in p.parts))
    return sorted(place.as_posix().removesuffix(RESULT) for place in shown)


def _of_run(record: dict[str, Any], lines: int) -> list[str]:
    notes: list[str] = []
    if record.get("finished") is False:
        notes.append(
            f"The run has not ended, or was stopped: {lines} clips so far. "
            "`mreactor-view` again shows those that have come."
        )
    versions = record.get("versions")
    theirs = versions.get("mreactor") if isinstance(versions, dict) else None
    try:
        ours = version("mreactor")
    except PackageNotFoundError:  # run from a checkout
        ours = None
    if isinstance(theirs, str) and ours is not None and theirs != ours:
        notes.append(
            f"Made by mreactor {theirs}, shown by {ours}: what they say differently is not shown."
        )
    return notes
