"""What the page at `/docs` says of the addresses: bodies, answers, examples."""

from __future__ import annotations

from typing import Any

from mreactor_runtime.serve.answers import PROVENANCE_HEADER, WARNINGS_HEADER
from mreactor_runtime.serve.features import Features, Said
from mreactor_runtime.serve.uploads import PARTS

ABOUT = """
Reactions of a listener's face to a clip of somebody who speaks. They are **AI-generated**, and
every answer says so.

    curl -F sound=@good_news.wav -F words=@good_news.srt \\
         -o good_news.npz 'http://127.0.0.1:8000/v1/reactions?samples=10&seed=0'

The same clip under the same `id` with the same options gives the same bytes, and they are those of
`mreactor-infer`.
"""


def _features() -> dict[str, Any]:
    """The schema of `Features` with that of its utterances inside, for a body has no `$defs`."""
    schema = Features.model_json_schema()
    schema["properties"]["utterances"]["items"] = schema.pop("$defs")[Said.__name__]
    return schema


FRAME = {"fps": 25.0, "attributes": [[0.0] * 25] * 2}
SAID = [{"start": 0.0, "end": 0.08, "text": "I got the job!"}]
BODY: dict[str, Any] = {
    "required": True,
    "description": "The files of a clip, at least one of them, or its features.",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    name: {
                        "type": "string",
                        "format": "binary",
                        "description": " ".join(suffixes),
                    }
                    for name, suffixes in PARTS.items()
                },
            },
        },
        "application/json": {
            "schema": _features(),
            "example": FRAME | {"utterances": SAID},
        },
    },
}
ERROR = {
    "error": {
        "id": "good_news",
        "stage": "decode",
        "kind": "ClipError",
        "path": "clip.wav",
        "message": "cannot be read as sound",
        "remedy": "check that it plays, or convert it",
    }
}
JOB = {"id": "p2Zs0aVvQ1d6cXl3bWJhc2Vk", "clip": "good_news", "state": "sampling"}
_TOLD = {
    PROVENANCE_HEADER: "That it is generated: model, seed, version, as JSON.",
    WARNINGS_HEADER: "What should be known of the clip, a list as JSON.",
}
_FILE: dict[str, Any] = {
    "description": "The reactions, in the form that was asked for.",
    "headers": {
        name: {"description": text, "schema": {"type": "string"}} for name, text in _TOLD.items()
    },
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


def _json(description: str, example: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}}


_LATER = _json("They are not there yet: ask at `Location`.", JOB)
_UNKNOWN = _json("There is no such job, or no more.", ERROR)
_BAD = _json("The clip cannot be done, for a reason in its files or values.", ERROR)
_OURS = _json("The service failed.", ERROR)
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _FILE,
    202: _LATER,
    400: _json("The body is no form.", ERROR),
    401: _json("The key is missing or wrong.", ERROR),
    408: _json("The body came too slowly.", ERROR),
    413: _json("The body is too large.", ERROR),
    415: _json("The body, or a file of it, is of no known kind.", ERROR),
    422: _BAD,
    429: _json("Too many clips are at work: come again after `Retry-After` seconds.", ERROR),
    500: _OURS,
    503: _json("The service ends.", ERROR),
}
JOB_ANSWERS: dict[int | str, dict[str, Any]] = {200: _json("Its state.", JOB), 404: _UNKNOWN}
RESULT_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _FILE,
    202: _LATER,
    404: _UNKNOWN,
    422: _BAD,
    500: _OURS,
}
