"""JSON that carries its own hash: the SHA-256 of its bytes, with zeros where the hash stands.

It covers every byte against damage. Against someone who writes both anew, nothing in one file can.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mreactor_ref.files import shown_hash

SEAL = b'{\n  "sha256": "'  # how the text begins; the hash follows
BLANK = b"0" * 64  # what stands there while it is hashed


class BrokenSeal(ValueError):
    """The text is not what its hash says."""


def seal(values: Mapping[str, Any]) -> bytes:
    """The values as JSON that begins with its own hash, under "sha256"."""
    blank = json.dumps({"sha256": BLANK.decode(), **values}, indent=2).encode() + b"\n"
    return blank.replace(BLANK, _hash(blank), 1)


def is_sealed(content: bytes) -> bool:
    """Whether a text begins as `seal` makes it. Raises BrokenSeal where its hash is not its own."""
    if not content.startswith(SEAL):
        return False
    rest = content[len(SEAL) :]
    given, actual = rest[: len(BLANK)], _hash(SEAL + BLANK + rest[len(BLANK) :])
    if actual != given:
        stated = shown_hash(given.decode(errors="replace"))
        raise BrokenSeal(
            f"its SHA-256 is {shown_hash(actual.decode())}, not {stated} that it states"
        )
    return True


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
