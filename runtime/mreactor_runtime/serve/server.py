"""Listens at an address until SIGTERM or Ctrl-C, and then ends in order.

uvicorn answers requests in a thread of its own, where it leaves signals alone: `orderly_end` turns
them into exceptions of the main thread, as for every command.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from mreactor_ref.errors import MReactorError, UsageError
from mreactor_runtime.serve.service import Service

BACKLOG = 512  # connections that wait to be taken
KEEP_ALIVE_SECONDS = 20
ENDING_SECONDS = 10.0  # for answers that are being sent


def listen(host: str, port: int) -> socket.socket:
    """A socket at an address. Port 0 is one that is free.

    Raises:
        UsageError: it cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        fix = "give another --host or --port"
        raise UsageError(
            f"cannot listen: {error.strerror or error}", f"{host}:{port}", fix
        ) from None


class Server:
    """Answers requests at a socket, in a thread, while its block lasts."""

    def __init__(self, app: FastAPI, listener: socket.socket):
        self._listener = listener
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,  # names of clips stand in addresses
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(ENDING_SECONDS),
        )
        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # of bodies that are none
        self._server = uvicorn.Server(config)
        run = self._server.run
        self._thread = threading.Thread(target=run, args=([listener],), name="answers", daemon=True)

    @property
    def address(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(2 * ENDING_SECONDS)

    def wait(self) -> None:
        """Wait for a signal.

        Raises: MReactorError: it has stopped by itself.
        """
        self._thread.join()
        raise MReactorError("the server has stopped", fix="its log says why")


def serve_until_signal(
    app: FastAPI, service: Service, listener: socket.socket, say: Callable[[str], None]
) -> None:
    """Serve until a signal, then take no more clips and answer those that were taken.

    A second signal, or `drain_seconds`, ends it at once.

    Raises:
        KeyboardInterrupt: some of them are not answered.
    """
    with Server(app, listener) as server:
        say(f"Listening at {server.address}, explained at {server.address}/docs")
        try:
            server.wait()
        except KeyboardInterrupt:
            say(f"Ending: {service.places.taken} clips are at work (again to stop at once)")
            if not service.drain(service.limits.drain_seconds):
                left = service.places.taken + service.jobs.unfetched
                say(f"{left} clips were not answered or fetched in time")
                raise
    say("Ended in order")
