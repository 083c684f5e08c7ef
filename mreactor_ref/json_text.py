"""JSON that others wrote: parsed, or refused with one kind of error."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


class NotJSON(ValueError):
    """A text is no JSON, or more than is read."""


def parse_json(text: str | bytes, most: int | None = None) -> Any:
    """The value of a JSON document.

    Args:
        text: in UTF-8 where it is bytes, with or without a byte order mark.
        most: letters, or bytes, that are read; None is no limit.

    Raises:
        NotJSON: it is none, is nested too deep, or is longer.
    """
    if most is not None and len(text) > most:
        raise NotJSON(f"has {len(text)} letters, more than {most}")
    with _refused():
        return json.loads(text if isinstance(text, str) else text.decode("utf-8-sig"))


def parse_documents(text: str) -> list[Any]:
    """The values of JSON documents one after the other, with or without commas between them.

    Raises:
        NotJSON: one is none, or is nested too deep.
    """
    decoder, values, at = json.JSONDecoder(), list[Any](), 0
    text = text.strip()
    with _refused():
        while at < len(text):
            value, at = decoder.raw_decode(text, at)
            values.append(value)
            while at < len(text) and text[at] in " \t\r\n,":
                at += 1
    return values


@contextmanager
def _refused() -> Generator[None]:
    try:
        yield
    except RecursionError:
        raise NotJSON("it is nested too deep") from None
    except ValueError as error:  # also of bytes that are no UTF-8, and of numbers of 5000 digits
        raise NotJSON(str(error)) from None
