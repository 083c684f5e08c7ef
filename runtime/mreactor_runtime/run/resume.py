"""Finds which results of an earlier run into the same folder can be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mreactor_ref.data.clips import BadClip, ClipFiles
from mreactor_ref.features.video.table import SUFFIX as FACE_TABLE
from mreactor_ref.files import remove_partials, sha256_of
from mreactor_runtime.forms import RESULT, beside
from mreactor_runtime.run.extras import PICTURE, PRIORS
from mreactor_runtime.run.manifest import DONE, Line, collect, state_of
from mreactor_runtime.run.outputs import read_json
from mreactor_runtime.run.run_json import Record, difference, fingerprint
from mreactor_runtime.run.shard import (
    ERRORS,
    MANIFEST,
    RUN,
    WHOLE,
    Shard,
    errors_path,
    manifest_path,
    run_path,
    shard_files,
)


@dataclass
class Earlier:
    """The results of earlier runs that can be kept.

    Attributes:
        kept: ids of clips that are done.
        reasons: why others that were done are done again, a line each.
    """

    kept: set[str] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)


# Whether a result, at a path and with a SHA-256, is there as it was written.
IsWhole = Callable[[Path, str | None], bool]


def is_as_written(path: Path, sha256: str | None) -> bool:
    """By its content."""
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False


def keep_earlier(
    output: Path,
    clips: Sequence[ClipFiles | BadClip],
    shard: Shard,
    record: Record,
    beside_results: Sequence[str],
    resume: bool,
    is_whole: IsWhole = is_as_written,
) -> Earlier:
    """Begin the manifest of a run with what stays of earlier ones, its own, the whole run's and
    those of shards.

    A clip stays done when the earlier run's results are the same by its fingerprint, the clip's
    files have not changed, its npz `is_whole` by the SHA-256 of its line, and the files
    `beside_results` (suffixes) are there. A whole run takes the place of its shards: their
    manifests go.
    """
    earlier = Earlier()
    files = {clip.id: clip for clip in clips}
    own, shards = manifest_path(output, shard), shard_files(output, MANIFEST)
    sources = dict.fromkeys((*shards, output / MANIFEST, own))
    refused: dict[str, str] = {}  # clip id -> why its last line is not taken

    def keep(line: Line) -> bool:
        clip_id = line["id"]
        if clip_id not in files or line.get("status") != DONE:
            return False
        why = _why_again(output, files[clip_id], line, record, beside_results, is_whole)
        if why:
            refused[clip_id] = why
        return why is None

    kept = collect(own, sources if resume else [], keep)
    earlier.kept = set(kept)
    reasons = {why for clip_id, why in refused.items() if clip_id not in earlier.kept}
    runs = [run_path(output, shard), output / RUN, *shard_files(output, RUN)]
    if OTHERWISE in reasons:
        reasons.remove(OTHERWISE)
        records = [read_json(path) or {} for path in runs if path.is_file()]
        told = [text for old in records if (text := difference(old, record))]
        earlier.reasons.append(OTHERWISE + (told[0] if told else "it is not known how"))
    earlier.reasons += sorted(reasons)
    if shard == WHOLE:
        for path in (*shards, *shard_files(output, RUN), *shard_files(output, ERRORS)):
            path.unlink(missing_ok=True)
    records = (own, run_path(output, shard), errors_path(output, shard))
    remove_partials(output, {*(path.name for path in records), *_results(files, beside_results)})
    return earlier


OTHERWISE = "what is there already is done again, for it was made otherwise: "


def _why_again(
    output: Path,
    files: ClipFiles | BadClip,
    line: Line,
    record: Record,
    beside_results: Sequence[str],
    is_whole: IsWhole,
) -> str | None:
    if line.get("run") != fingerprint(record):
        return OTHERWISE
    if line.get("files") != state_of(files):
        return "clips whose files have changed are done again"
    path = output / f"{files.id}.npz"
    if not is_whole(path, line.get("sha256")):
        return "results that are missing, or not as they were written, are done again"
    for suffix in beside_results:
        if not beside(path, suffix).is_file():
            return f"clips that have no {suffix} yet are done again"
    return None


def _results(ids: Iterable[str], beside_results: Sequence[str]) -> set[str]:
    """The files of clips, below the output."""
    suffixes = {RESULT, PRIORS, PICTURE, FACE_TABLE, *beside_results}
    return {clip_id + suffix for clip_id in ids for suffix in suffixes}
