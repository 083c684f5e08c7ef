"""Times that are mended, and those that are left as they are."""

from __future__ import annotations

import math
import time

import pytest

from mreactor_ref.features.transcripts.timing import mend
from mreactor_ref.features.transcripts.word import Cue, Piece, Unreadable, timed_text


def times(pieces, duration: float | None = 10.0, start=None, end=None):
    utterances, lines = mend([Cue(tuple(pieces), start, end)], False, duration)
    return [(w.text, round(w.start, 3), round(w.end, 3)) for w in utterances[0]], lines


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([Piece("a", 1.0, 2.0)], [("a", 1.0, 2.0)]),
        ([Piece("a", 1.0), Piece("b", 2.0, 3.0)], [("a", 1.0, 2.0), ("b", 2.0, 3.0)]),
        ([Piece("a", 1.0, 1.5), Piece("b", None, 3.0)], [("a", 1.0, 1.5), ("b", 1.5, 3.0)]),
        ([Piece("a", 1.0), Piece("b", None, 3.0)], [("a", 1.0, 2.0), ("b", 2.0, 3.0)]),
        ([Piece("a"), Piece("b", 2.0, 3.0)], [("a", 1.86, 2.0), ("b", 2.0, 3.0)]),
        ([Piece("a", 1.0, 2.0), Piece("b")], [("a", 1.0, 2.0), ("b", 2.0, 2.14)]),
        ([Piece("a", 1.0, 2.0), Piece("b", 4.0)], [("a", 1.0, 2.0), ("b", 4.0, 10.0)]),
        ([Piece("a", -0.2, 0.5)], [("a", 0.0, 0.5)]),
        ([Piece("a", -3.0, -2.0), Piece("b", 1.0, 2.0)], [("a", 0.0, 0.0), ("b", 1.0, 2.0)]),
        ([Piece("a", 2.0, 1.0), Piece("b", 3.0, 4.0)], [("a", 2.0, 3.0), ("b", 3.0, 4.0)]),
        ([Piece("a", 9.0, 1.0), Piece("b", 3.0, 4.0)], [("a", 0.0, 1.0), ("b", 3.0, 4.0)]),
    ],
)
def test_one_cue(pieces, expected):
    assert times(pieces)[0] == expected


def test_lines_tell_what_was_mended():
    pieces = [Piece("a", -0.2, 0.5), Piece("b"), Piece("c", 3.0, 2.0), Piece("d", 5.5, 6.5)]
    assert sorted(times(pieces)[1]) == [
        "times before the clip, taken as its start: 1",
        "times that run backwards, mended by their neighbours: 1",
        "words without times, placed between their neighbours: 1",
    ]


def test_whole_numbers_of_seconds_are_seconds():
    for cues in (
        [timed_text("hi", 0, 30)],
        [timed_text("one two three", 3, 4), timed_text("four", 120, 122)],
        [Cue((Piece("a", 60, 61), Piece("b", 62, 63)))],
    ):
        assert mend(cues, False, 200.0)[1] == []


def test_milliseconds():
    cues = [timed_text("one two", 500, 1200), timed_text("three", 61_000, 61_400)]
    utterances, lines = mend(cues, False, None)
    assert [words[0].start for words in utterances] == [0.5, 61.0]
    assert lines == ["its times are whole numbers and far apart: taken as milliseconds"]


def test_no_times_at_all():
    with pytest.raises(Unreadable, match="has no times"):
        mend([timed_text("a", None, None)], False, 10.0)


def test_cues_without_times_lie_between_their_neighbours():
    cues = [timed_text("a", 1.0, 2.0), timed_text("b", None, None), timed_text("c", 3.0, None)]
    utterances, _ = mend(cues, False, 5.0)
    assert [(w.start, w.end) for (w,) in utterances] == [(1.0, 2.0), (2.0, 3.0), (3.0, 5.0)]


def test_many_faults_take_no_more_time_than_few():
    pieces = tuple(Piece("word", i + 1.0, float(i)) for i in range(100_000))
    begin = time.perf_counter()
    utterances, _ = mend([Cue(pieces)], True, 200_000.0)
    assert time.perf_counter() - begin < 20
    assert sum(map(len, utterances)) == 100_000
    assert all(math.isfinite(w.end) for words in utterances for w in words)
