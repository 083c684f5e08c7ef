"""Converts results: one of them, or all of a folder, where a bad file does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mreactor_ref.errors import ClipError, MReactorError
from mreactor_ref.files import check_writable, is_disk_full, write_whole
from mreactor_runtime.convert.a2f import a2f_json
from mreactor_runtime.convert.glb import head_glb
from mreactor_runtime.convert.livelink import livelink_table
from mreactor_runtime.convert.options import Conversion
from mreactor_runtime.convert.result import Result, find_results, read_result
from mreactor_runtime.convert.tables import attribute_table, openface_table
from mreactor_runtime.convert.take import Take, make_take
from mreactor_runtime.convert.timing import at_rate, smoothed
from mreactor_runtime.convert.vrma import vrm_animation
from mreactor_runtime.forms import (
    A2F,
    CSV,
    GLB,
    LIVELINK,
    OPENFACE,
    VRMA,
    beside,
    form_suffixes,
)
from mreactor_runtime.provenance import installed_version, program

WRITERS: dict[str, Callable[[Take], bytes]] = {
    CSV: attribute_table,
    OPENFACE: openface_table,
    LIVELINK: livelink_table,
    A2F: a2f_json,
    GLB: head_glb,
    VRMA: vrm_animation,
}


@dataclass
class Summary:
    """What was done: `files` written, `results` and `reactions` converted; `failed` path -> why."""

    files: int = 0
    results: int = 0
    reactions: int = 0
    failed: dict[Path, str] = field(default_factory=dict[Path, str])


def convert(
    path: str | Path,
    formats: Iterable[str],
    output: str | Path = "converted",
    overwrite: bool = False,
    **options: Any,
) -> list[Path]:
    """Write the reactions of one result in forms that engines read.

        convert("reactions/good_news.npz", ["glb", "livelink-csv"], reaction=0, fps=60)

    Args:
        path: the npz of a clip.
        formats: names of `forms.SUFFIXES`.
        output: a folder, which is made.
        overwrite: replace files that are there.
        options: reaction, fps, source_fps, smooth and coefficients, as in `Conversion`.

    Returns:
        The files, in order.

    Raises:
        UsageError: an option that cannot be, or a folder that cannot be written.
        ClipError: the result cannot be read, lacks that reaction, or its rate is not known; or a
            file is there already.
    """
    conversion, output = Conversion(tuple(formats), **options), Path(output)
    check_writable(output)
    result = read_result(Path(path))
    return write_result(result, output / result.path.name, conversion, overwrite)


def convert_all(
    source: Path,
    output: Path,
    conversion: Conversion,
    tell: Callable[[str], None],
    overwrite: bool = False,
    debug: bool = False,
) -> Summary:
    """Convert a result, or all of a run.

    Args:
        source: an npz, or the folder of a run.
        tell: is told of each failure, in one line.
        debug: raise an error that is nobody's file.

    Raises:
        UsageError: the folder is no run's or has no result, or the output cannot be written.
    """
    paths = find_results(source) if source.is_dir() else [source]
    check_writable(output)
    summary, root = Summary(), source if source.is_dir() else source.parent
    for path in paths:
        try:
            result = read_result(path)
            files = write_result(result, output / path.relative_to(root), conversion, overwrite)
        except Exception as problem:
            if is_disk_full(problem) or (debug and not isinstance(problem, MReactorError)):
                raise
            summary.failed[path] = _told(problem, path)
            tell(f"Failed: {summary.failed[path]}")
            continue
        summary.files += len(files)
        summary.results += 1
        summary.reactions += len(_chosen(result, conversion))
    return summary


def _told(problem: Exception, path: Path) -> str:
    if isinstance(problem, ClipError):
        return str(problem)
    return f"{path}: unexpected {type(problem).__name__}: {problem}"


def write_result(
    result: Result, place: Path, conversion: Conversion, overwrite: bool = False
) -> list[Path]:
    """Write the chosen reactions of a result, each form as `<clip>.reaction<k><suffix>`.

    Args:
        place: where the npz would lie.

    Raises:
        ClipError: it lacks the reaction, or its rate is not known; or a file is there already, and
            nothing is written.
    """
    reactions, forms = _chosen(result, conversion), conversion.formats
    suffixes = [s for k in reactions for form in forms for s in form_suffixes(form, k)]
    files = [beside(place, suffix) for suffix in suffixes]
    present = [] if overwrite else [file for file in files if file.exists()]
    if present:
        raise ClipError("is there already", present[0], "give --overwrite or another --output")
    for path, content in converted(result, place, conversion):
        write_whole(path, content)
    return files


def converted(result: Result, place: Path, conversion: Conversion) -> Iterator[tuple[Path, bytes]]:
    """Yields the files that `write_result` writes: where, and what.

    Raises:
        ClipError: it lacks the reaction, or its rate is not known.
    """
    for reaction in _chosen(result, conversion):
        take = take_of(result, reaction, conversion)
        for form in conversion.formats:
            path, *about = (beside(place, suffix) for suffix in form_suffixes(form, reaction))
            yield path, WRITERS[form](take)
            for file in about:  # of a table
                text = json.dumps(take.about | {"file": path.name}, indent=2) + "\n"
                yield file, text.encode()


def take_of(result: Result, reaction: int, conversion: Conversion) -> Take:
    """One reaction at the rate and the smoothness that are asked for.

    Raises:
        ClipError: neither the run nor `source_fps` tells the rate of the result.
    """
    source_fps = conversion.source_fps or result.provenance.fps
    if source_fps is None:
        problem = "neither it nor the manifest.jsonl of its run tells its frames a second"
        raise ClipError(problem, result.path, "give --source-fps, 25 for mini")
    fps = conversion.fps or source_fps
    attributes, coefficients = (
        at_rate(smoothed(values[reaction], source_fps, conversion.smooth), source_fps, fps)
        for values in (result.attributes, result.coefficients)
    )
    about = result.provenance.to_dict() | {
        "reaction": reaction,
        "fps": fps,
        "source_fps": source_fps,
        "smooth_seconds": conversion.smooth,
        "coefficients": conversion.coefficients,
        "converter": program(installed_version()),
    }
    return make_take(attributes, coefficients, conversion.coefficients, fps, about)


def _chosen(result: Result, conversion: Conversion) -> list[int]:
    """The numbers of the reactions that are asked for."""
    count = len(result.attributes)
    if conversion.reaction is None:
        return list(range(count))
    if conversion.reaction >= count:
        known = "it has only reaction 0" if count == 1 else f"it has reactions 0 to {count - 1}"
        raise ClipError(f"has no reaction {conversion.reaction}", result.path, known)
    return [conversion.reaction]
