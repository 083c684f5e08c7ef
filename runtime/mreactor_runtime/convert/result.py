"""The result of a clip as `mreactor-infer` writes it, and where it came from."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.faces.npy import HEADER_ERRORS
from mreactor_ref.files import sha256_of
from mreactor_ref.signals import ATTRIBUTES, COEFFICIENTS, Array
from mreactor_runtime.forms import RESULT
from mreactor_runtime.provenance import Provenance
from mreactor_runtime.run.manifest import DONE, Line, read_lines
from mreactor_runtime.run.outputs import PROVENANCE, read_json
from mreactor_runtime.run.shard import MANIFEST, RUN, shard_files

AGAIN = "make it again with mreactor-infer"
# What numpy's reading of an archive is known to raise.
# RuntimeError: encrypted, or packed in a way that zipfile does not know.
ARCHIVE_ERRORS = (*HEADER_ERRORS, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Result:
    """The reactions to a clip: attributes (S, T, 25) and coefficients (S, T, 58), float32."""

    path: Path
    attributes: Array
    coefficients: Array
    provenance: Provenance


@dataclass(frozen=True)
class Told:
    """What a run says of a result. sha256: of the npz, where it does."""

    provenance: Provenance
    sha256: str | None = None


def find_results(folder: Path) -> list[Path]:
    """The results of a run, as its manifest names them, in order.

    Raises:
        UsageError: the folder is no run's, or its run has no result.
    """
    manifests = _manifests(folder)
    if not manifests:
        fix = "give the folder that mreactor-infer wrote, or the npz of a clip"
        raise UsageError(f"is no run's folder: it has no {MANIFEST}", folder, fix)
    clips = {clip for manifest in manifests for clip in _done(*manifest)}
    if not clips:
        raise UsageError("its run has no clip that is done", folder, "see its manifest.jsonl")
    return [folder / f"{clip}{RESULT}" for clip in sorted(clips)]


def read_result(path: Path) -> Result:
    """Read one result.

    Raises:
        ClipError: it cannot be read, is no result, has values that are not finite, or is not as
            its run wrote it.
    """
    attributes, coefficients, own = _read_members(path)
    for name, values, width in (
        ("attributes", attributes, ATTRIBUTES),
        ("coefficients", coefficients, COEFFICIENTS),
    ):
        if values.ndim != 3 or values.shape[2] != width or 0 in values.shape:
            problem = f"its {name} have shape {values.shape}, not (reactions, frames, {width})"
            raise ClipError(problem, path, AGAIN)
        if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise ClipError(f"its {name} have values that are no finite numbers", path, AGAIN)
    if attributes.shape[:2] != coefficients.shape[:2]:
        problem = f"has {attributes.shape[:2]} attributes, {coefficients.shape[:2]} coefficients"
        raise ClipError(problem, path, AGAIN)
    told = what_run_tells(path)
    if told.sha256 is not None and told.sha256 != sha256_of(path):
        fix = f"{AGAIN}, or move it out of the run's folder"
        raise ClipError("is not as its run wrote it", path, fix)
    return Result(
        path,
        attributes.astype(np.float32, copy=False),
        coefficients.astype(np.float32, copy=False),
        own or told.provenance,
    )


def _read_members(path: Path) -> tuple[np.ndarray, np.ndarray, Provenance | None]:
    """The arrays, and what the file says of itself; older ones say nothing."""
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ClipError("is no npz archive", path, AGAIN)
            lacking = [n for n in ("attributes", "coefficients") if n not in archive]
            if lacking:
                held = ", ".join(archive.files) or "nothing"
                raise ClipError(f"has no {lacking[0]}, but {held}", path, "give a result")
            own = Provenance.from_json(str(archive[PROVENANCE])) if PROVENANCE in archive else None
            return archive["attributes"], archive["coefficients"], own
    except OSError as error:
        raise ClipError(f"cannot be read: {error.strerror or error}", path, AGAIN) from error
    except ARCHIVE_ERRORS as error:
        raise ClipError("is not a complete npz archive", path, AGAIN) from error


def what_run_tells(path: Path) -> Told:
    """What the nearest folder above a result that is a run's says of it."""
    path = path.absolute()
    for folder in path.parents:
        manifests = _manifests(folder)
        if not manifests:
            continue
        clip = path.relative_to(folder).as_posix().removesuffix(RESULT)
        lines = (_done(*manifest).get(clip) for manifest in manifests)
        line = next((line for line in lines if line is not None), None)
        if line is None:
            return Told(Provenance(clip))  # it lies among the results of a run that did not make it
        runs = (read_json(p) for p in (folder / RUN, *shard_files(folder, RUN)))
        return _told(line, next((run for run in runs if run is not None), {}))
    return Told(Provenance(path.name.removesuffix(RESULT)))


def _told(line: Line, run: dict[str, Any]) -> Told:
    """What a clip's line of a manifest and the record of its run say; what they lack is None."""
    return Told(Provenance.of_run(line, run), line.get("sha256"))


def _manifests(folder: Path) -> list[tuple[Path, int]]:
    """The manifests of a folder, the whole run's first, each with its time of change."""
    paths = (folder / MANIFEST, *shard_files(folder, MANIFEST))
    return [(path, path.stat().st_mtime_ns) for path in paths if path.is_file()]


@lru_cache(maxsize=16)
def _done(manifest: Path, changed: int) -> dict[str, Line]:
    """Clip -> what is needed of its line, of the clips that are done; as `changed` then."""
    needed = ("id", "fps", "seed", "sha256")
    return {
        line["id"]: {name: line.get(name) for name in needed}
        for line in read_lines(manifest)
        if line.get("status") == DONE
    }
