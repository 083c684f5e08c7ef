"""Errors as answers: JSON with the fields of a line of `errors.jsonl`, and a status that says whose
fault it was."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from mreactor_ref.errors import ClipError, MReactorError
from mreactor_runtime.run.failures import Failure, failure_of
from mreactor_runtime.run.summary import DECODE

REQUEST, QUEUE, JOB = "request", "queue", "job"  # stages beside those of a run

log = logging.getLogger(__name__)


class Refused(Exception):
    """A request whose answer is an error."""

    def __init__(self, status: int, failure: Failure, headers: dict[str, str] | None = None):
        super().__init__(failure.text)
        self.status, self.failure, self.headers = status, failure, headers or {}

    @property
    def content(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": asdict(self.failure)}


def refused(
    status: HTTPStatus,
    stage: str,
    message: str,
    remedy: str | None = None,
    path: str | None = None,
    headers: dict[str, str] | None = None,
) -> Refused:
    """A refusal by the service itself; its kind is the name of the status, such as "Not Found"."""
    return Refused(status, Failure("", stage, status.phrase, path, message, remedy), headers)


def refused_clip(clip_id: str, stage: str, error: BaseException, folder: Path | None) -> Refused:
    """The refusal of a clip that could not be done.

    The client's files and values are its own fault, 422. All else is ours, 500: the log has it, and
    an answer tells nothing of the machine.

    Args: folder: where its files were; no answer names it.
    """
    if stage == DECODE and isinstance(error, ClipError):
        failure = failure_of(clip_id, stage, error)
        path = None if failure.path is None else without(folder, failure.path)
        failure = replace(failure, path=path, message=without(folder, failure.message))
        return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, failure)
    log.error("a clip failed at %s", stage, exc_info=error)
    kind = type(error).__name__
    message = error.problem if isinstance(error, ClipError) else "the service failed"
    remedy = error.fix if isinstance(error, MReactorError) else "the log of the service says why"
    failure = Failure(clip_id, stage, kind, None, message, remedy)
    return Refused(HTTPStatus.INTERNAL_SERVER_ERROR, failure)


def without(folder: Path | None, text: str) -> str:
    """A text in which no file has its folder before it."""
    return text if folder is None else text.replace(f"{folder}/", "").replace(str(folder), "")
