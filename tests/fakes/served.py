"""A service at a free port of this machine, in this process, and clients for it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from mreactor_runtime.reactor import Reactor
from mreactor_runtime.serve.app import create_app
from mreactor_runtime.serve.limits import Limits
from mreactor_runtime.serve.server import Server, listen
from mreactor_runtime.serve.service import Service

REACTIONS = "/v1/reactions"


@dataclass(frozen=True)
class Served:
    """A service that listens, and a client of it."""

    service: Service
    client: httpx2.Client
    address: str

    def post(self, files: Any, **options: Any) -> httpx2.Response:
        """Send files as (part, (name, content))."""
        return self.client.post(REACTIONS, files=files, params=options)

    def error(self, response: httpx2.Response) -> dict[str, Any]:
        """What an answer says was wrong."""
        assert response.headers["content-type"] == "application/json"
        [(name, error)] = response.json().items()
        assert name == "error"
        assert set(error) == {"id", "stage", "kind", "path", "message", "remedy"}
        return error


@contextmanager
def served(
    reactor: Reactor, key: str | None = None, limits: Limits | None = None, **options: Any
) -> Generator[Served]:
    """Serve while the block lasts, without a warm-up. options: of `Service`."""
    options = {"warm": False} | options
    with (
        listen("127.0.0.1", 0) as listener,
        Service(reactor, limits or Limits(), **options) as service,
        Server(create_app(service, key), listener) as server,
        httpx2.Client(base_url=server.address, timeout=60, trust_env=False) as client,
    ):
        yield Served(service, client, server.address)
