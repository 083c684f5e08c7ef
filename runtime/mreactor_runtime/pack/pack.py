"""Packs the results of a run into few large files: shards of WebDataset or Parquet.

A shard is written whole or not at all, and then its line of `<form>.jsonl`, so a job that was ended
goes on where it was. Which results lie in which shard depends on their sizes and names alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.files import check_writable, remove_partials, sha256_of
from mreactor_runtime.forms import PACKED, PARQUET, RESULT, WEBDATASET
from mreactor_runtime.pack.packed import Packed, read_packed
from mreactor_runtime.pack.parquet import require_pyarrow, write_parquet
from mreactor_runtime.pack.webdataset import write_tar
from mreactor_runtime.run.lock import only_run
from mreactor_runtime.run.manifest import DONE, Line, Manifest, collect, read_lines
from mreactor_runtime.run.outputs import read_json
from mreactor_runtime.run.run_json import Record
from mreactor_runtime.run.shard import MANIFEST, RUN, WHOLE

MEGABYTE = 1_000_000
USUAL_SIZE = 256  # megabytes of results in a shard
WRITERS = {WEBDATASET: write_tar, PARQUET: write_parquet}


@dataclass
class Summary:
    """What was done: `results` and `files` there now, of which `kept` were there before; `failed`
    clip -> why it is in no shard."""

    results: int = 0
    files: int = 0
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict[str, str])


def pack_all(
    source: Path,
    output: Path,
    formats: Sequence[str],
    tell: Callable[[str], None],
    size: int = USUAL_SIZE,
    overwrite: bool = False,
) -> Summary:
    """Pack the results of a run.

    Args:
        source: its folder.
        formats: names of `forms.PACKED`.
        tell: is told of each result that is left out, in one line.
        size: of the results in a shard, in megabytes.
        overwrite: replace shards of other results.

    Raises:
        UsageError: no such form, the folder is no finished run's, pyarrow is not installed, the
            output cannot be written, or has shards of other results.
    """
    if PARQUET in formats:
        require_pyarrow()
    run = _finished_run(source)
    check_writable(output)
    summary = Summary()
    with only_run(output, WHOLE):
        for form in formats:
            _Packer(source, output, form, run, summary, tell, overwrite).pack(size * MEGABYTE)
    return summary


@dataclass(frozen=True)
class _Packer:
    """Packs a run into one form."""

    source: Path
    output: Path
    form: str
    run: Record
    summary: Summary
    tell: Callable[[str], None]
    overwrite: bool

    def pack(self, size: int) -> None:
        records = self.output / f"{self.form}.jsonl"
        begun = records.is_file()  # else no file of that name is ours
        collect(records, [records])  # without a torn last line
        earlier = {line["id"]: line for line in read_lines(records)}
        number, results, manifest = 0, 0, Manifest(records)
        remove_partials(self.output, {*earlier, *map(self._name, range(len(earlier) + 1))})
        try:
            for number, lines in enumerate(_cut(self.source, size), 1):
                name = self._name(number - 1)
                line = earlier.pop(name, None)
                if (self.output / name).exists() and not (begun or self.overwrite):
                    raise _other(self.output / name)
                results += self._shard(name, lines, line, manifest)
        finally:
            manifest.close(in_order=True)
        for name in earlier:  # of more results than there are now
            if not self.overwrite:
                raise _other(self.output / name)
            (self.output / name).unlink(missing_ok=True)
        if earlier:
            collect(records, [records], lambda line: line["id"] not in earlier)
        self.summary.files += number
        self.summary.results = results

    def _name(self, number: int) -> str:
        return f"reactions-{number:06}{PACKED[self.form]}"

    def _shard(
        self, name: str, lines: Sequence[Line], earlier: Line | None, manifest: Manifest
    ) -> int:
        """One shard, if it is not there. Returns: how many results it has."""
        path, of = self.output / name, _digest(lines)
        if earlier is not None and earlier["of"] != of and not self.overwrite:
            raise _other(path)
        if _is_kept(path, of, earlier):
            self.summary.kept += 1
            return len(lines)
        failed = dict[str, str]()
        WRITERS[self.form](path, self._read(lines, failed))
        told = {"id": name, "of": of, "results": len(lines) - len(failed)}
        told |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        manifest.add(told | {"left_out": sorted(failed)})
        self.summary.failed |= failed
        return len(lines) - len(failed)

    def _read(self, lines: Sequence[Line], failed: dict[str, str]) -> Iterator[Packed]:
        """The results of lines; those that cannot be read are told of, and left out."""
        for line in lines:
            try:
                yield read_packed(self.source, line, self.run)
            except ClipError as problem:
                failed[line["id"]] = str(problem)
                self.tell(f"Failed: {problem}")


def _finished_run(source: Path) -> Record:
    """The record of a run. Raises UsageError where it is not finished."""
    run = read_json(source / RUN)
    if run is None or not (source / MANIFEST).is_file():
        fix = "give the folder that mreactor-infer wrote; mreactor-infer merge joins shards"
        raise UsageError(f"is no run's folder: it has no {MANIFEST} and {RUN}", source, fix)
    if not run.get("finished"):
        raise UsageError("its run has not ended", source, "run it again to go on")
    return run


def _cut(source: Path, size: int) -> Iterator[list[Line]]:
    """The lines of results, shard by shard: as many as fit, and one at least."""
    lines, held = list[Line](), 0
    for line in read_lines(source / MANIFEST):
        if line.get("status") != DONE:
            continue
        path = source / f"{line['id']}{RESULT}"
        own = path.stat().st_size if path.is_file() else 0
        if lines and held + own > size:
            yield lines
            lines, held = [], 0
        lines.append(line)
        held += own
    if lines:
        yield lines


def _is_kept(path: Path, of: str, earlier: Line | None) -> bool:
    """Whether a shard is there as its line has it, of these results, with none left out."""
    if earlier is None or earlier["of"] != of or earlier["left_out"]:
        return False
    return path.is_file() and path.stat().st_size == earlier["bytes"]


def _digest(lines: Sequence[Line]) -> str:
    """Of the results that a shard is made of."""
    told = "\n".join(f"{line['id']} {line.get('sha256')} {line.get('run')}" for line in lines)
    return hashlib.sha256(told.encode()).hexdigest()


def _other(path: Path) -> UsageError:
    return UsageError("is a shard of other results", path, "give --overwrite or another --output")
