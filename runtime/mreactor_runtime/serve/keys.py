"""The key that requests must show, where the service has one."""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from mreactor_ref.errors import UsageError
from mreactor_runtime.serve.problems import REQUEST, refused

VARIABLE = "MREACTOR_API_KEY"
SHORTEST = 16  # letters

_bearer = HTTPBearer(auto_error=False, description="The service's key, where it has one.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="Or here.")


def find_key(file: Path | None) -> str | None:
    """The key of a file's first line, or of the environment; None where there is neither.

    Raises:
        UsageError: it cannot be read, or is no key.
    """
    if file is None:
        key, where = os.environ.get(VARIABLE), f"${VARIABLE}"
        if key is None:
            return None
    else:
        where = str(file)
        try:
            key = next(iter(file.read_text(encoding="utf-8").splitlines()), "").strip()
        except (OSError, ValueError):
            raise UsageError("the key cannot be read", file) from None
    if len(key) < SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
        problem = f"holds no key of at least {SHORTEST} ASCII letters without spaces"
        raise UsageError(problem, where, "openssl rand -hex 32")
    return key


def check_key(key: str | None) -> Callable[..., Awaitable[None]]:
    """A dependency that raises Refused where a request does not show the key."""
    wanted = None if key is None else sha256(key.encode()).digest()

    async def check(
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
        header: Annotated[str | None, Security(_header)],
    ) -> None:
        given = bearer.credentials if bearer else header or ""
        # Digests are of one length, and comparing them tells nothing by its time.
        if wanted is None or hmac.compare_digest(sha256(given.encode()).digest(), wanted):
            return
        message, fix = "the key is missing or wrong", "send it as: Authorization: Bearer KEY"
        raise refused(
            *(HTTPStatus.UNAUTHORIZED, REQUEST, message, fix, None),
            headers={"WWW-Authenticate": "Bearer"},
        )

    return check
