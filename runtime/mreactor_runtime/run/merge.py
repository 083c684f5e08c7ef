"""Makes of the manifests of shards the one manifest, run file and list of errors of a whole run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mreactor_ref.errors import UsageError
from mreactor_runtime.run.lock import only_run
from mreactor_runtime.run.manifest import DONE, Line, collect, read_lines
from mreactor_runtime.run.outputs import read_json, write_json
from mreactor_runtime.run.run_json import Record, difference
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
    shard_of_file,
)
from mreactor_runtime.run.summary import PREPARE, STAGES

MOST_PARTS = 1_000_000  # of a run that shards of several counts are seen as
COUNTS = ("clips", "kept", "done", "failed", "reactions")


@dataclass(frozen=True)
class Merged:
    """What a merge has found and written.

    Attributes:
        shards: in order. missing: those that nothing is there of.
        unfinished: whose run goes on, was ended, or has stopped after too many failures.
        duplicate: whose clips other shards have too.
        clips, failed: in the manifest.
    """

    shards: tuple[Shard, ...]
    missing: tuple[Shard, ...]
    unfinished: tuple[Shard, ...]
    duplicate: tuple[Shard, ...]
    clips: int
    failed: int

    @property
    def is_whole(self) -> bool:
        return not self.missing and not self.unfinished


def merge_shards(output: Path) -> Merged:
    """Write manifest.jsonl, run.json and errors.jsonl of shards as one run would have.

    Where shards are missing or unfinished, the files say what there is and `finished` is false, and
    those of the shards stay; else these go. A clip of several shards is done where one has done it.

    Raises:
        UsageError: the folder has no shards, one of them made its results otherwise, or a run is at
            it.
    """
    if not shard_files(output, MANIFEST):
        fix = "give the --output that runs with --shard have written into"
        raise UsageError("has no manifests of shards", output, fix)
    with only_run(output, WHOLE):
        shards = _shards(output)
        records = {shard: read_json(run_path(output, shard)) for shard in shards}
        _check_alike(output, records)
        missing, duplicate = _coverage(shards)
        unfinished = [shard for shard, record in records.items() if not _is_finished(record)]
        is_whole = not missing and not unfinished
        clips, failed = _write_lines(output, shards, is_whole)
        told = [record for record in records.values() if record is not None]
        merged = Merged(
            *(tuple(shards), missing, tuple(unfinished), duplicate), *(len(clips), len(failed))
        )
        write_json(run_path(output), _joined(told, len(clips), len(failed), merged.is_whole))
        if merged.is_whole:
            for name in (MANIFEST, RUN, ERRORS):
                for path in shard_files(output, name):
                    path.unlink(missing_ok=True)
    return merged


def _shards(output: Path) -> list[Shard]:
    files = [path for name in (MANIFEST, RUN) for path in shard_files(output, name)]
    shards = {shard_of_file(path) for path in files}
    return sorted(shards, key=lambda shard: (shard.count, shard.index))


def _check_alike(output: Path, records: dict[Shard, Record | None]) -> None:
    """Raises UsageError where the results of shards were not made in one way."""
    told = [(shard, record) for shard, record in records.items() if record is not None]
    for shard, record in told[1:]:
        if how := difference(told[0][1], record):
            problem = f"shard {shard} was made otherwise than shard {told[0][0]}: {how}"
            raise UsageError(problem, output, "run the older one again with the same options")


def _coverage(shards: Sequence[Shard]) -> tuple[tuple[Shard, ...], tuple[Shard, ...]]:
    """The shards that are missing, and those whose clips others have too."""
    parts = math.lcm(*(shard.count for shard in shards))
    if parts > MOST_PARTS:
        raise UsageError(
            "the shards are of too many different counts",
            fix="remove the manifests of those that are not of this run",
        )
    times = Counter(part for shard in shards for part in shard.of(range(parts)))
    duplicate = [s for s in shards if any(times[part] > 1 for part in s.of(range(parts)))]
    most = max(shard.count for shard in shards)  # the smallest shards, as which gaps are named
    gaps = [Shard(index, most) for index in range(1, most + 1)]
    missing = [s for s in gaps if any(not times[part] for part in s.of(range(parts)))]
    return tuple(missing), tuple(duplicate)


def _is_finished(record: Record | None) -> bool:
    return record is not None and record.get("finished") is True and not record.get("stopped")


def _write_lines(
    output: Path, shards: Sequence[Shard], is_whole: bool
) -> tuple[list[str], list[str]]:
    """Write the manifest and the errors; lines of an older whole run count where shards lack.

    Returns: the ids of clips, and of those that failed.
    """
    parts = shards if is_whole else (WHOLE, *shards)
    sources = [path for part in parts if (path := manifest_path(output, part)).is_file()]
    done = {line["id"] for path in sources for line in read_lines(path) if _is_done(line)}
    clips = collect(
        manifest_path(output), sources, lambda line: _is_done(line) or line["id"] not in done
    )
    failed = set(clips) - done
    if failed:
        errors = [path for part in parts if (path := errors_path(output, part)).is_file()]
        collect(errors_path(output), errors, lambda line: line["id"] in failed)
    else:
        errors_path(output).unlink(missing_ok=True)
    return clips, sorted(failed)


def _is_done(line: Line) -> bool:
    return line.get("status") == DONE


def _joined(records: Sequence[Record], clips: int, failed: int, finished: bool) -> Record:
    """The run file of all shards: times are those of one machine after the other."""
    seconds = sum(record.get("seconds", 0.0) for record in records)
    stages = {
        stage: round(sum(record.get("stages", {}).get(stage, 0.0) for record in records), 3)
        for stage in STAGES
    }
    on_device = sum(record.get("device_seconds", 0.0) for record in records)
    working = seconds - stages[PREPARE]
    missing: Counter[str] = Counter()
    for record in records:
        missing.update(record.get("missing", {}))
    figures: dict[str, Any] = {
        name: sum(record.get(name, 0) for record in records) for name in COUNTS
    }
    figures |= {"clips": clips, "failed": failed} if finished else {}
    first = records[0] if records else {}
    return first | {
        "arguments": first.get("arguments", {}) | {"shard": None},
        "finished": finished,
        **figures,
        "stopped": any(record.get("stopped", False) for record in records),
        "seconds": round(seconds, 3),
        "stages": stages,
        "device_seconds": round(on_device, 3),
        "sampler_busy": round(on_device / working, 4) if working > 0 else 0.0,
        "missing": dict(missing),
        "notes": list(dict.fromkeys(_notes(records))),
    }


def _notes(records: Iterable[Record]) -> Iterable[str]:
    return (note for record in records for note in record.get("notes", []))
