"""JSON of others: what is none is refused with one kind of error."""

from __future__ import annotations

import pytest

from mreactor_ref.json_text import NotJSON, parse_documents, parse_json


def test_values_of_text_and_of_bytes():
    assert parse_json('{"a": [1, null]}') == {"a": [1, None]}
    assert parse_json(b"\xef\xbb\xbf[1]") == [1]
    assert parse_json("[1]", most=3) == [1]
    assert parse_documents(' {"a": 1}\n[2], 3 ') == [{"a": 1}, [2], 3]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        (b'"\xff"', "invalid start byte"),
        ("[" * 100_000, "nested too deep"),
        ("1" * 5000, "limit .4300 digits"),
        ("[1, 2]", "has 6 letters, more than 5"),
    ],
)
def test_what_is_none_is_refused(text, problem):
    with pytest.raises(NotJSON, match=problem):
        parse_json(text, most=5 if problem.startswith("has") else None)


@pytest.mark.parametrize("text", ["{} {", "[" * 100_000, "1" * 5000])
def test_documents_of_which_one_is_none_are_refused(text):
    with pytest.raises(NotJSON):
        parse_documents(text)
