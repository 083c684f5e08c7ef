"""The files of a clip as they come in a form: into a folder of their own, under names of ours."""

from __future__ import annotations

import shutil
import tempfile
import wave
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from mreactor_ref.data.layout import AUDIO, FACE, VIDEO, WORDS
from mreactor_ref.signals import SAMPLE_RATE
from mreactor_runtime.serve.problems import REQUEST, Refused, refused

# What a form may have, in the order in which a file names the clip; the suffixes of each.
PARTS = {"sound": (*AUDIO, *VIDEO), "video": VIDEO, "words": WORDS, "face": FACE}
MOST_FACES = 2  # coefficients and attributes
MOST_FILES = len(PARTS) + 1
MOST_FIELDS, MOST_LETTERS = 50, 4096  # which are refused with a word
STEM, SECOND_FACE = "clip", "clip.face"
EXPECTED = f"send multipart/form-data with files named {', '.join(PARTS)}"


@dataclass(frozen=True)
class Upload:
    """The files of a clip. folder: theirs alone. name: of the clip, as its first file has it."""

    folder: Path
    name: str

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def silence(parent: Path) -> Upload:
    """A clip to try everything with: a second of silence, and a word."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    with wave.open(str(folder / f"{STEM}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(bytes(2 * SAMPLE_RATE))
    (folder / f"{STEM}.txt").write_text("Hello.")
    return Upload(folder, STEM)


async def receive(headers: Headers, body: AsyncGenerator[bytes], parent: Path) -> Upload:
    """Read a form into a new folder.

    Args:
        body: bounded, see `bounded`. parent: of the folder.

    Raises:
        Refused: it is no form, or one that holds something else than a clip's files.
    """
    limits = {"max_files": MOST_FILES, "max_fields": MOST_FIELDS, "max_part_size": MOST_LETTERS}
    try:
        form = await MultiPartParser(headers, body, **limits).parse()
    except MultiPartException as error:
        message = f"the form cannot be read: {error.message}"
        raise refused(HTTPStatus.BAD_REQUEST, REQUEST, message, EXPECTED) from None
    try:
        return await run_in_threadpool(_keep, form, parent)
    finally:
        await form.close()


def _keep(form: FormData, parent: Path) -> Upload:
    """Copy the files of a form into a folder. Raises Refused."""
    parts = [(name, _uploaded(name, part)) for name, part in form.multi_items()]
    named = _named(parts)
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        for path, part in named.items():
            with (folder / path).open("xb") as file:
                shutil.copyfileobj(part.file, file)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    first = min(parts, key=lambda part: [*PARTS].index(part[0]))[1]
    name = PurePosixPath((first.filename or "").replace("\\", "/")).stem
    return Upload(folder, name or STEM)


async def bounded(body: AsyncIterable[bytes], most: int) -> AsyncGenerator[bytes]:
    """The body of a request up to a size.

    Raises:
        Refused: it is larger.
    """
    size = 0
    async for chunk in body:
        size += len(chunk)
        if size > most:
            raise too_large(most)
        yield chunk


def too_large(most: int) -> Refused:
    message = f"the request is larger than {most} bytes"
    fix = "send less, such as the sound alone or a shorter clip"
    return refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, REQUEST, message, fix)


def _uploaded(name: str, part: UploadFile | str) -> UploadFile:
    """A part that is a file. Raises Refused."""
    if name not in PARTS or not isinstance(part, UploadFile):
        message = "the form holds something else than files named " + ", ".join(PARTS)
        fix = "options stand in the address: ?samples=3&seed=1"
        raise refused(HTTPStatus.UNPROCESSABLE_ENTITY, REQUEST, message, fix)
    return part


def _named(parts: list[tuple[str, UploadFile]]) -> dict[str, UploadFile]:
    """The files by names of ours. Raises Refused."""
    if not parts:
        message = "the form has no file"
        raise refused(HTTPStatus.UNPROCESSABLE_ENTITY, REQUEST, message, EXPECTED)
    named: dict[str, UploadFile] = {}
    for kind, part in parts:
        theirs = PurePosixPath(part.filename or "").suffix.lower()
        suffix = next((one for one in PARTS[kind] if one == theirs), None)
        if suffix is None:
            message = f"the name of the {kind} has no suffix that is known"
            fix = f"it may be {' '.join(PARTS[kind])}"
            raise refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, REQUEST, message, fix, kind)
        free = [name for name in (STEM + suffix, SECOND_FACE + suffix) if name not in named]
        others = [one for one, _ in parts if one == kind]
        if not free or len(others) > (MOST_FACES if kind == "face" else 1):
            message = f"there are more files of a {kind} than a clip has"
            fix = "send one; of a face one with coefficients and one with attributes"
            raise refused(HTTPStatus.UNPROCESSABLE_ENTITY, REQUEST, message, fix, kind)
        named[free[0]] = part
    return named
