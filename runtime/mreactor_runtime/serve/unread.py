"""Takes in what is left of a request's body before an early answer to it goes out.

A client that has not sent all of it may else find the connection reset, and not see why.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 2**20
MOST_SECONDS = 2.0


class TakeUnread:
    """Around an application: nothing but the rest of bodies that are small and come soon."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        # Without a body nothing is left; who asks whether to send it waits for the answer.
        left = b"expect" not in headers and length.isdigit() and 0 < int(length) <= MOST_BYTES

        async def followed() -> Message:
            nonlocal left
            message = await receive()
            left = left and message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start" and left:
                await _finish()
            await send(message)

        async def _finish() -> None:
            try:
                async with asyncio.timeout(MOST_SECONDS):
                    while left:
                        await followed()
            except TimeoutError:
                pass  # the answer goes out all the same

        await self._app(scope, followed, answered)
