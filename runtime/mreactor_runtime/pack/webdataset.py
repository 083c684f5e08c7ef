"""Shards of results as tar files that WebDataset reads: of each clip an npz and a json."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from mreactor_ref.files import open_whole
from mreactor_runtime.pack.packed import Packed


def write_tar(path: Path, results: Iterable[Packed]) -> None:
    """Write a shard whole or not at all; the same bytes for the same results."""
    with open_whole(path) as file, tarfile.open(fileobj=file, mode="w") as archive:
        for result in results:
            key = key_of(result.clip)
            about = json.dumps(result.about, separators=(",", ":")).encode()
            _add(archive, f"{key}.json", about)
            _add(archive, f"{key}.npz", result.content)


def key_of(clip: str) -> str:
    """The name of a sample, in which no dot may stand: it ends at the first one."""
    return quote(clip, safe="/ ").replace(".", "%2E")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # of nobody, of 1970
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
