"""A server of chat completions on loopback that does as a test says, well or badly."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request that came in. `body` is its JSON; `text` is the utterance in it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        return json.loads(self.body["messages"][-1]["content"])


@dataclass(frozen=True)
class Reply:
    """What goes out: after `delay` seconds, and `pause` seconds after each byte of the body.

    The connection is closed after `close_after` bytes of the body; -1: before any answer.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    pause: float = 0.0
    close_after: int | None = None


def completion(message: dict[str, Any], finish: str = "stop", **how: Any) -> Reply:
    """A chat completion with one choice."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    body = {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return Reply(json.dumps(body).encode(), **how)


def says(content: object, **how: Any) -> Reply:
    """A model that writes a text; what is no text is written as JSON."""
    text = content if isinstance(content, str) else json.dumps(content)
    return completion({"content": text, "refusal": None}, **how)


def subjects(*names: str, **how: Any) -> Reply:
    """A model that does what it should."""
    return says({"subjects": names}, **how)


def error(status: int, message: str = "no", param: str | None = None, **headers: str) -> Reply:
    """An error as OpenAI's API writes it. In names of headers, _ stands for -."""
    body = {"error": {"message": message, "type": "error", "param": param, "code": None}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps(body).encode(), status, named)


class LLMServer:
    """Answers each request with `script(asked)`, or with a list's replies in turn, the last for
    ever. `with` starts and stops it.

    Attributes:
        url: the base URL for a client.
        asked: what came in, in order. most_at_once: how many requests were open together.
    """

    def __init__(self, script: Callable[[Asked], Reply] | list[Reply]):
        self.asked: list[Asked] = []
        self.most_at_once = self._at_once = 0
        self._script = script
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._http = _HTTP(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def texts(self) -> list[str]:
        return [asked.text for asked in self.asked]

    def __enter__(self) -> LLMServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _reply(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            if not callable(self._script):
                return self._script[min(len(self.asked), len(self._script)) - 1]
        return self._script(asked)

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        size = int(request.headers["Content-Length"])
        body = json.loads(request.rfile.read(size))
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        reply = self._reply(Asked(request.path, headers, body))
        self._stopping.wait(reply.delay)
        with self._lock:
            self._at_once -= 1
        request.close_connection = reply.close_after is not None
        if reply.close_after == -1:
            return
        request.send_response(reply.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(reply.body))}
        for name, value in (headers | reply.headers).items():
            request.send_header(name, value)
        request.end_headers()
        if not reply.pause:
            request.wfile.write(reply.body[: reply.close_after])
            return
        for byte in reply.body:
            request.wfile.write(bytes([byte]))
            if self._stopping.wait(reply.pause):
                request.close_connection = True
                return

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        serve = self._serve

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections stay open, as a real server's do
            disable_nagle_algorithm = True  # or a head waits 40 ms for its body
            timeout = 5

            def do_POST(self) -> None:
                serve(self)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        return Handler


class _HTTP(ThreadingHTTPServer):
    request_queue_size = 64  # or connections that come together wait a second
    daemon_threads = False  # so that closing it waits for them

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what several tests are about."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
