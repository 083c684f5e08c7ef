"""What simulated speakers say, and how it sounds."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from mreactor_ref.data.simulated.sentences import OPENERS, SLOTS, TEMPLATES, compose, shelf
from mreactor_ref.data.simulated.speaker import Speaker, simulate_speaker
from mreactor_ref.data.simulated.speech import LEVEL, MIN_SECONDS, voice, write_script
from mreactor_ref.errors import UsageError
from mreactor_ref.signals import SAMPLE_RATE

FPS = 25.0
SECONDS = 12.0
FRAMES = 300


@pytest.fixture(scope="module")
def speakers() -> list[Speaker]:
    return [simulate_speaker(np.random.default_rng(i), SECONDS, FPS) for i in range(12)]


def test_there_are_many_sentences_of_each_polarity():
    sizes = [len(set(templates)) for templates in TEMPLATES.values()]
    assert sum(sizes) >= 120
    assert min(sizes) >= 40
    used = set(re.findall(r"\{(\w+)\}", " ".join(sum(TEMPLATES.values(), ()))))
    assert used == set(SLOTS)


@pytest.mark.parametrize("polarity", [1, 0, -1])
def test_a_lexicon_hears_the_polarity(polarity: int):
    rng, score = np.random.default_rng(0), SentimentIntensityAnalyzer().polarity_scores
    texts = [compose(rng, polarity) for _ in range(400)]
    heard = np.array([score(text)["compound"] for text in texts])
    heard = np.sign(np.where(np.abs(heard) < 0.2, 0, heard))
    assert np.mean(heard == polarity) > 0.9
    assert len(set(texts)) > 350


def test_sentences_are_whole_and_written_right():
    rng = np.random.default_rng(1)
    for polarity in TEMPLATES:
        for _ in range(300):
            text = compose(rng, polarity)
            assert re.fullmatch(r"[A-Z][a-zA-Z ,]*[.!]", text), text
            assert not re.search(r"\b[Aa] [aeio]", text), text
    assert any(OPENERS)


def test_a_shelf_limits_what_is_said():
    rng = np.random.default_rng(2)
    assert {shelf(compose(rng, 1, (3, 5))) for _ in range(50)} == {3, 5}


def test_the_sound_has_the_envelope_of_the_script(speakers: list[Speaker]):
    for speaker in speakers:
        assert speaker.sound.shape == (round(SECONDS * SAMPLE_RATE),)
        assert speaker.sound.dtype == np.float32
        level = np.sqrt(np.square(speaker.sound.reshape(FRAMES, -1)).mean(1)) / LEVEL
        assert np.corrcoef(level, speaker.tracks.envelope)[0, 1] > 0.98
        assert level[speaker.tracks.envelope == 0].min() > 0  # a room is never quite silent
        assert 0.2 < np.abs(speaker.sound).max() < 1


def test_arousal_raises_pitch_and_level():
    rng = np.random.default_rng(3)
    script = write_script(rng, SECONDS)
    said = script[0].utterance
    part = slice(round(said.start * SAMPLE_RATE), round(said.end * SAMPLE_RATE))
    pitch, level = [], []
    for arousal in (-0.5, 0.8):
        aroused = tuple(replace(spoken, arousal=arousal) for spoken in script)
        sound = voice(np.random.default_rng(4), aroused, SECONDS)[part]
        level.append(sound.std())
        spectrum = np.abs(np.fft.rfft(sound, 2 * len(sound))) ** 2
        lags = np.fft.irfft(spectrum)[SAMPLE_RATE // 350 : SAMPLE_RATE // 80]
        pitch.append(SAMPLE_RATE / (SAMPLE_RATE // 350 + np.argmax(lags)))
    assert 1.2 < pitch[1] / pitch[0] < 1.7
    assert level[1] / level[0] > 1.5


def test_stressed_words_are_louder(speakers: list[Speaker]):
    ratios = []
    for speaker in speakers:
        level = np.abs(speaker.sound)
        for spoken in speaker.script:
            stressed = {True: [], False: []}
            for word in spoken.words:
                part = slice(*(round(t * SAMPLE_RATE) for t in (word.start, word.end)))
                stressed[word.emphasised].append(level[part].mean())
            ratios.append(np.mean(stressed[True]) / np.mean(stressed[False]))
    assert np.mean(ratios) == pytest.approx(1.6, abs=0.15)


def test_a_script_fits_and_has_pauses():
    for seed in range(200):
        script = write_script(np.random.default_rng(seed), MIN_SECONDS)
        assert script
        words = [word for spoken in script for word in spoken.words]
        assert words[-1].end < MIN_SECONDS
        assert all(a.end < b.start for a, b in pairwise(words))
    with pytest.raises(UsageError, match="too short"):
        write_script(np.random.default_rng(0), 5.0)
