"""The clip in the body of a request: files in a form, or features as JSON, within bounds."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from mreactor_ref.errors import ClipError
from mreactor_runtime.run.summary import DECODE
from mreactor_runtime.serve.features import Features, parse_features
from mreactor_runtime.serve.limits import Limits
from mreactor_runtime.serve.problems import REQUEST, refused, refused_clip
from mreactor_runtime.serve.uploads import EXPECTED, STEM, Upload, bounded, receive, too_large

FORM, JSON = "multipart/form-data", "application/json"


async def read_body(
    request: Request, limits: Limits, folder: Path
) -> tuple[Upload | Features, str]:
    """The clip of a request, and the name that it has where the request gives none.

    Args: folder: for its files.

    Raises:
        Refused: it is too large or too slow, or no clip.
    """
    length = request.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > limits.upload_bytes:
        raise too_large(limits.upload_bytes)
    media = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    body = bounded(request.stream(), limits.upload_bytes)
    try:
        async with asyncio.timeout(limits.upload_seconds):
            if media == FORM:
                upload = await receive(request.headers, body, folder)
                return upload, upload.name
            if media == JSON:
                content = b"".join([chunk async for chunk in body])
                return await run_in_threadpool(parse_features, content), STEM
    except TimeoutError:
        message = f"the request took more than {limits.upload_seconds:g} s to come"
        raise refused(HTTPStatus.REQUEST_TIMEOUT, REQUEST, message) from None
    except ClientDisconnect:
        raise refused(HTTPStatus.BAD_REQUEST, REQUEST, "the request did not come whole") from None
    except ClipError as error:
        raise refused_clip("", DECODE, error, None) from None
    message = f"the body is neither {FORM} nor {JSON}"
    raise refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, REQUEST, message, EXPECTED)
