"""One question to an OpenAI-compatible server: time, size and destination bounded.

Only `LLMClient.ask` waits for the import of the client of OpenAI, which takes a second.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mreactor_ref.emotion.llm_prompt import PROMPT, SCHEMA, NoAnswer, read_subjects
from mreactor_ref.errors import UsageError
from mreactor_ref.json_text import NotJSON, parse_json

if TYPE_CHECKING:
    import ssl

    import httpx2
    import openai

log = logging.getLogger(__name__)

PACKAGES = ("openai", "httpx2")  # of the extra `llm`
KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
DEFAULT_URL = "https://api.openai.com/v1"

LARGEST_BODY = 256 * 2**10  # bytes of a response, with what a model may add of its thinking
MOST_TOKENS = 2048  # of an answer; a model that thinks first needs most of them for that
LONGEST_CONNECT = 5.0  # seconds
HOPELESS = {
    401: "the key was not accepted",
    403: "the key may not do this",
    404: "no such model or address",
}


def require_packages() -> None:
    """Find out before any work whether a language model can be asked.

    Raises:
        UsageError: openai or httpx2 is not installed.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"a language model cannot be asked without {' and '.join(missing)}",
            fix="pip install 'mreactor[llm]'",
        )


def _options() -> dict[str, Any]:
    """Request options for short answers of one form, the same again, where a server has them."""
    form = {"name": "subjects", "strict": True, "schema": SCHEMA}
    return {
        "response_format": {"type": "json_schema", "json_schema": form},
        "temperature": 0,
        "seed": 0,
        "max_completion_tokens": MOST_TOKENS,
    }


@dataclass
class LLMClient:
    """A model on a server, and how to ask it.

    Attributes:
        model: its name there.
        base_url: of the server.
        timeout: seconds for one try; a question takes at most `retries` + 1 times this.
        retries: tries after the first, where the server is busy, fails or cannot be reached.
        options: of a question. One that the server refuses is left out from then on: models that
            think take no temperature, and older ones no schema.
    """

    model: str
    base_url: str
    timeout: float
    retries: int
    options: dict[str, Any] = field(default_factory=_options)

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[openai.AsyncOpenAI]:
        """Connections for `ask`, closed at the end. Raises: UsageError where there is no key.

        OpenAI's client tries again by itself, later each time, after 408, 409, 429 (it heeds
        Retry-After), 5xx, time-outs and lost connections.
        """
        import openai

        timeout = openai.Timeout(self.timeout, connect=min(self.timeout, LONGEST_CONNECT))
        http_client = openai.DefaultAsyncHttpxClient(
            timeout=timeout,
            # A redirect would take the text to an address that nobody agreed to.
            follow_redirects=False,
            verify=_trusted(),
            event_hooks={"response": [_read_bounded]},
        )
        async with openai.AsyncOpenAI(
            api_key=key(),
            base_url=self.base_url,
            max_retries=self.retries,
            timeout=timeout,
            # Uncompressed, so that the bound on a body is one on memory.
            default_headers={"Accept-Encoding": "identity"},
            http_client=http_client,
        ) as connection:
            yield connection

    async def ask(self, connection: openai.AsyncOpenAI, text: str) -> tuple[str, ...]:
        """The subjects of one text, as `read_subjects` gives them. Raises: NoAnswer."""
        import openai

        try:
            async with asyncio.timeout(self.timeout * (self.retries + 1)):
                return read_subjects(_content(await self._post(connection, text)))
        except (TimeoutError, openai.APITimeoutError):
            raise NoAnswer("time-out", outage=True) from None
        except openai.APIStatusError as error:
            status = error.status_code
            why = f": {HOPELESS[status]}" if status in HOPELESS else ""
            raise NoAnswer(f"HTTP {status}{why}", True, status in HOPELESS) from None
        except openai.OpenAIError:
            raise NoAnswer("connection failed", outage=True) from None

    async def _post(self, connection: openai.AsyncOpenAI, text: str) -> bytes:
        """The body of the response, asking again without the options that the server refuses."""
        import openai

        create: Any = connection.chat.completions.with_raw_response.create
        messages = [
            {"role": "system", "content": PROMPT},
            {"role": "user", "content": json.dumps(text, ensure_ascii=False)},
        ]
        options = dict(self.options)
        while True:
            try:
                answer = await create(model=self.model, messages=messages, stream=False, **options)
                return answer.content
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                about = f"{error.param} {error.message}"
                refused = [name for name in options if name in about]
                if not refused:
                    raise
                for name in refused:
                    log.info("the language model does not take %s: left out", name)
                    del options[name]
                    self.options.pop(name, None)


@cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates are accepted. Reading them takes 0.05 s, for each client without this."""
    from httpx2 import create_ssl_context

    return create_ssl_context()


def _content(body: bytes) -> str:
    """The model's text out of the body of a chat completion. Raises: NoAnswer."""
    try:
        completion = parse_json(body)
    except NotJSON:
        raise NoAnswer("a response that is not JSON") from None
    match completion:
        case {"choices": [{"message": {"refusal": str(refusal)}}, *_]} if refusal:
            raise NoAnswer("a refusal")
        case {"choices": [{"finish_reason": "content_filter"}, *_]}:
            raise NoAnswer("a refusal")
        case {"choices": [{"finish_reason": "length"}, *_]}:
            raise NoAnswer("an answer that was cut off")
        case {"choices": [{"message": {"content": str(content)}}, *_]}:
            return content
        case _:
            raise NoAnswer("a response without an answer")


async def _read_bounded(response: httpx2.Response) -> None:
    """Read the body of a response here, so that nobody reads more of it. Raises: NoAnswer."""
    from httpx2 import AsyncByteStream, ByteStream

    stream, body = response.stream, bytearray()
    assert isinstance(stream, AsyncByteStream)
    try:
        async for part in stream:
            body += part
            if len(body) > LARGEST_BODY:
                raise NoAnswer("an oversized answer")
    finally:
        await stream.aclose()
    response.stream = ByteStream(bytes(body))


def key() -> str:
    """The key, from the environment only. Raises: UsageError, without the key in it."""
    value = os.environ.get(KEY_VARIABLE, "").strip()
    if not value:
        raise UsageError(
            f"{KEY_VARIABLE} is not set",
            fix="set it to the key of the language model; for a server without keys, to any word",
        )
    if not (value.isascii() and value.isprintable()):
        raise UsageError(f"{KEY_VARIABLE} holds what no key can", fix="set it to the key alone")
    return value


def address(base_url: str) -> str:
    """A server's address as it may be shown: without user, password and query.

    Raises: UsageError where it is no address.
    """
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts = host = port = None
    if parts is None or parts.scheme not in ("http", "https") or not host:
        raise UsageError(
            "the base URL of the language model is not an http address",
            fix=f"give one such as {DEFAULT_URL}",
        )
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"
