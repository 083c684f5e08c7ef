"""What a bar says of a stage."""

from mreactor_runtime.run.terminal import MOST_NAME, stage_text


def test_a_stage_has_its_part_and_once_it_shows_the_time_left():
    assert stage_text("talk", "face", 0.0, 5.0) == "; face of talk: 0%"
    assert stage_text("talk", "face", 0.5, 0.1) == "; face of talk: 50%"
    assert stage_text("talk", "words", 0.25, 30.0) == "; words of talk: 25%, 0:01:30 left"


def test_a_long_name_is_cut_at_its_beginning():
    text = stage_text("x" * 100 + "/end", "face", 0.0, 0.0)
    assert len(text) < MOST_NAME + 30
    assert text.endswith("/end: 0%")
