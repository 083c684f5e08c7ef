"""Copies the files of each clip here when it is read, and its results to their URL when it is done.

A ferry stands between a loop and those who are told of it, on the machine that does the clips: in a
run of one process, or in a worker elsewhere, to which clips come as parcels. The loop knows nothing
of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import overload

from mreactor_ref.data.clips import BadClip, ClipFiles
from mreactor_ref.errors import ClipError
from mreactor_ref.features.video.table import SUFFIX as FACE_TABLE
from mreactor_runtime.forms import RESULT
from mreactor_runtime.run.extras import PICTURE, PRIORS
from mreactor_runtime.run.stores import Mirrors, Stored
from mreactor_runtime.run.summary import Outcome, Progress

Clip = ClipFiles | BadClip


@dataclass(frozen=True)
class Parcel:
    """A clip on its way to a worker; it is pickled.

    Attributes:
        clip: as the machine that found it sees it.
        files: what stores say of its files and of its older results, by their places there.
    """

    clip: Clip
    files: Mapping[Path, Stored]


def packed(clip: Clip, mirrors: Mirrors) -> Parcel:
    """A clip that was found in mirrors."""
    files = {path: mirror.files()[path] for mirror, path in mirrors.holding(_paths(clip))}
    if mirrors.results is not None:
        stored = mirrors.results.files()
        files |= {path: stored[path] for path in mirrors.results.of(mirrors.output / clip.id)}
    return Parcel(clip, files)


class Ferry:
    """The copies of a loop's clips, and a progress that makes those of what is finished.

    Args:
        mirrors: of the inputs and the output.
        beside: suffixes of what a result has beside it.
        progress: told what the ferry is told, with URLs in place of copies.
    """

    def __init__(self, mirrors: Mirrors, beside: Sequence[str], progress: Progress):
        self._mirrors, self._progress = mirrors, progress
        self._suffixes = (RESULT, PRIORS, PICTURE, FACE_TABLE, *beside)
        self._clips: dict[str, Clip] = {}

    def fetching(self, clips: Sequence[Clip]) -> Sequence[Clip]:
        """The clips, whose files are here when each is taken."""
        self._clips = {clip.id: clip for clip in clips}
        return _Fetched(clips, self._fetched)

    @contextmanager
    def unpacked(self, parcels: Sequence[Parcel], origin: Path) -> Generator[Sequence[Clip]]:
        """Likewise the clips of parcels; within the block.

        Args: origin: where the machine that packed them has its mirrors.
        """
        here = partial(moved, origin=origin, folder=self._mirrors.folder)
        try:
            for parcel in parcels:
                for path, stored in parcel.files.items():
                    self._mirrors.around(here(path)).expect(here(path), stored)
            clips = [parcel.clip for parcel in parcels]
            yield self.fetching([c.at(here) if isinstance(c, ClipFiles) else c for c in clips])
        finally:
            for mirror in self._mirrors.all:
                mirror.forget()

    def _fetched(self, clip: Clip) -> Clip:
        """A clip whose files are here; a `BadClip` where they cannot be had."""
        for mirror, path in self._mirrors.holding(_paths(clip)):
            try:
                mirror.fill(path)
            except Exception as problem:  # whatever a store raises costs this clip alone
                what = f"cannot be copied: {type(problem).__name__}: {problem}"
                return BadClip(clip.id, ClipError(what, mirror.url_of(path), "run it again"))
        return clip

    def begin(self, clips: int) -> None:
        self._progress.begin(clips)

    def say(self, text: str) -> None:
        self._progress.say(self._mirrors.with_urls(text))

    def reached(self, clip_id: str, stage: str, part: float) -> None:
        self._progress.reached(clip_id, stage, part)

    def finished(self, outcome: Outcome) -> None:
        """A clip is done: its results go to the store, and its files from here."""
        results = self._mirrors.results
        if results is not None:
            place = self._mirrors.output / outcome.clip_id
            results.remove_gone(results.of(place))
            for suffix in self._suffixes:
                path = place.with_name(place.name + suffix)
                if path.is_file():
                    results.put(path, path.read_bytes())
                    results.empty(path)
        for mirror, path in self._mirrors.holding(_paths(self._clips.get(outcome.clip_id))):
            mirror.empty(path)
        error = outcome.error and self._mirrors.with_urls(outcome.error)
        self._progress.finished(replace(outcome, error=error))


def moved(path: Path, origin: Path, folder: Path) -> Path:
    """The place of a path below `origin`, below another folder; other paths stay."""
    return folder / path.relative_to(origin) if path.is_relative_to(origin) else path


def _paths(clip: Clip | None) -> tuple[Path, ...]:
    return clip.paths if isinstance(clip, ClipFiles) else ()


class _Fetched(Sequence[Clip]):
    """Clips that are copied here when they are taken, by the thread that reads them."""

    def __init__(self, clips: Sequence[Clip], fetch: Callable[[Clip], Clip]):
        self._clips, self._fetch = clips, fetch

    def __len__(self) -> int:
        return len(self._clips)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Clip]: ...
    def __getitem__(self, index: int | slice) -> Clip | Sequence[Clip]:
        if isinstance(index, slice):
            return _Fetched(self._clips[index], self._fetch)
        return self._fetch(self._clips[index])
