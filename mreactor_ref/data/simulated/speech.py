"""Simulated speech: what is said when, and a voice at 16 kHz whose loudness is known.

The voice is a pulse train with a pitch contour, sent through the formants of five vowels, and
noise between the syllables. Its level is set last, so that its envelope is the one of the script.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import sosfilt

from mreactor_ref.data.simulated.sentences import POLARITIES, SHELVES, compose
from mreactor_ref.errors import UsageError
from mreactor_ref.features.grid import frame_centres
from mreactor_ref.signals import SAMPLE_RATE, Array, Utterance

MIN_SECONDS = 8.0  # any one sentence fits, with its pauses

SYLLABLE = 0.135  # seconds
WORD_GAP = 0.03
COMMA_PAUSE = 0.22
PAUSE = (0.45, 1.1)  # between utterances
START = (0.2, 0.7)
TAIL = 0.5  # silence after the last word, so that a listener can answer
ATTEMPTS = 12  # sentences tried for the last gap

FINE = 200  # Hz, the grid of envelope, pitch and vowels before they become sound
LEVEL = 0.07  # RMS of an ordinary syllable's peak
FLOOR = 3e-4  # RMS of the room
RMS_WINDOW = 0.03  # seconds: two pulses of the lowest voice

# Formants in Hz of a neutral voice, for the letters a e i o u.
VOWELS = "aeiou"
FORMANTS = (
    (750, 1250, 2500),
    (500, 1850, 2550),
    (300, 2250, 3000),
    (520, 900, 2450),
    (330, 950, 2300),
)
BANDWIDTHS = (80, 110, 160)


@dataclass(frozen=True)
class SpokenWord:
    """A spoken word with its punctuation. Times in seconds; the loud words are emphasised."""

    text: str
    start: float
    end: float
    emphasised: bool


@dataclass(frozen=True)
class Spoken:
    """An utterance as it was meant.

    Attributes:
        words: at least one.
        polarity: 1, 0 or -1, of its words.
        arousal: -1 to 1; raises pitch, level and pace.
    """

    words: tuple[SpokenWord, ...]
    polarity: int
    arousal: float

    @property
    def utterance(self) -> Utterance:
        text = " ".join(word.text for word in self.words)
        return Utterance(self.words[0].start, self.words[-1].end, text)

    @property
    def phrase_ends(self) -> tuple[float, ...]:
        """Times at which the voice falls: after each comma, and at the end."""
        return (
            *(word.end for word in self.words[:-1] if word.text.endswith(",")),
            self.words[-1].end,
        )


@dataclass(frozen=True)
class Tracks:
    """Curves that a face can follow, (T,) float64 each, at the centres of the frames.

    Attributes:
        envelope: level of the voice, 1 at the peak of an ordinary syllable.
        polarity: of the utterance that is being said; 0 in pauses.
        arousal: likewise.
        emphasis: 1 while an emphasised word is being said.
        phrase_ends: (E,) seconds.
    """

    envelope: np.ndarray
    polarity: np.ndarray
    arousal: np.ndarray
    emphasis: np.ndarray
    phrase_ends: np.ndarray


def write_script(
    rng: np.random.Generator, seconds: float, shelves: Collection[int] = range(SHELVES)
) -> tuple[Spoken, ...]:
    """A turn of utterances with pauses that fits into so many seconds.

    Raises:
        UsageError: fewer seconds than one sentence needs.
    """
    if seconds < MIN_SECONDS:
        raise UsageError(
            f"{seconds:g} s is too short for a turn", None, f"at least {MIN_SECONDS:g}"
        )
    script: list[Spoken] = []
    time, failures = rng.uniform(*START), 0
    while failures < ATTEMPTS:
        recent = [spoken.polarity for spoken in script[-2:]]
        choices = [p for p in POLARITIES if recent != [p, p]]
        polarity = int(rng.choice(choices))
        arousal = float(np.clip(rng.normal(0.35 * abs(polarity), 0.4), -0.8, 1.0))
        text = compose(rng, polarity, shelves)
        spoken = Spoken(_timed(rng, text, time, arousal), polarity, arousal)
        if spoken.words[-1].end > seconds - TAIL:
            failures += 1
            continue
        script.append(spoken)
        time = spoken.words[-1].end + rng.uniform(*PAUSE)
    return tuple(script)


def _timed(
    rng: np.random.Generator, text: str, start: float, arousal: float
) -> tuple[SpokenWord, ...]:
    """The words of a sentence one after the other; one of the longer ones is emphasised."""
    texts = text.split()
    long = [i for i, word in enumerate(texts) if len(word.strip(",.!?")) > 4]
    emphasised = {int(rng.choice(long))} if long else set()
    pace = SYLLABLE * (1 - 0.15 * arousal)
    words: list[SpokenWord] = []
    for i, word in enumerate(texts):
        length = pace * syllables(word) * (1.25 if i in emphasised else 1.0)
        length = (length + 0.05) * rng.uniform(0.9, 1.1)
        words.append(SpokenWord(word, round(start, 3), round(start + length, 3), i in emphasised))
        start += length + (COMMA_PAUSE if word.endswith(",") else WORD_GAP)
    return tuple(words)


def syllables(word: str) -> int:
    """How many syllables an English word has, roughly: its groups of vowels, at least one."""
    groups = re.findall(r"[aeiouy]+", re.sub(r"e\b", "", word.lower()))
    return max(1, len(groups))


def tracks(script: tuple[Spoken, ...], seconds: float, fps: float) -> Tracks:
    """The curves that a face can follow, on round(seconds * fps) frames."""
    centres = frame_centres(fps, round(seconds * fps))
    polarity, arousal, emphasis = (np.zeros_like(centres) for _ in range(3))
    for spoken in script:
        said = spoken.utterance
        during = (said.start <= centres) & (centres < said.end)
        polarity[during], arousal[during] = spoken.polarity, spoken.arousal
        for word in spoken.words:
            if word.emphasised:
                emphasis[(word.start <= centres) & (centres < word.end)] = 1
    ends = np.array([end for spoken in script for end in spoken.phrase_ends])
    return Tracks(_level(script, centres), polarity, arousal, emphasis, ends)


def _level(script: tuple[Spoken, ...], times: np.ndarray) -> np.ndarray:
    """The envelope at these times: a bump a syllable, higher when emphasised or aroused."""
    level = np.zeros_like(times)
    for spoken in script:
        for word in spoken.words:
            first, last = np.searchsorted(times, (word.start, word.end))
            if first == last:
                continue
            through = (times[first:last] - word.start) / (word.end - word.start)
            bump = np.sin(np.pi * through * syllables(word.text)) ** 2
            rim = np.minimum(1, np.minimum(through, 1 - through) * (word.end - word.start) / 0.03)
            gain = 10 ** (0.3 * spoken.arousal) * (1.6 if word.emphasised else 1.0)
            level[first:last] = gain * rim * (0.3 + 0.7 * bump)
    return level


def voice(rng: np.random.Generator, script: tuple[Spoken, ...], seconds: float) -> Array:
    """The script as sound: (samples,) float32 at 16 kHz, in -1 to 1."""
    samples = round(seconds * SAMPLE_RATE)
    coarse = np.arange(round(seconds * FINE) + 1) / FINE
    times = np.arange(samples) / SAMPLE_RATE

    def fine(values: np.ndarray) -> Array:
        return np.interp(times, coarse, values).astype(np.float32)

    envelope = _level(script, coarse)
    pitch, mouth = _articulation(rng, script, coarse)
    turns = np.cumsum(np.interp(times, coarse, pitch)) / SAMPLE_RATE
    falling = (1 - turns % 1.0).astype(np.float32)
    pulses = falling * falling * falling - 0.25  # a power would cost five times as much
    tract = rng.uniform(0.9, 1.15)
    voiced = np.zeros(samples, np.float32)
    for vowel, formants in enumerate(FORMANTS):
        voiced += fine(mouth[:, vowel]) * _unit(
            np.asarray(sosfilt(_resonators(formants, tract), pulses))
        )
    noise = _unit(np.diff(rng.standard_normal(samples + 1, dtype=np.float32)))
    breath = np.clip(1 - envelope, 0, 1)  # most between the syllables
    carrier = voiced + fine(0.05 + 0.5 * breath) * noise
    power = uniform_filter1d(carrier**2, round(RMS_WINDOW * SAMPLE_RATE), mode="nearest")
    sound = LEVEL * fine(envelope) * carrier / np.sqrt(power)
    return np.clip(sound + FLOOR * noise, -1, 1).astype(np.float32)


def _articulation(
    rng: np.random.Generator, script: tuple[Spoken, ...], times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in Hz (n,), and how much each vowel sounds (n, 5): the sum over vowels is 1."""
    base = rng.uniform(95, 210)
    pitch = np.full(len(times), base)
    mouth = np.zeros((len(times), len(VOWELS)))
    mouth[:, 0] = 1
    for spoken in script:
        said = spoken.utterance
        for word in spoken.words:
            fall = 0.12 * (word.start - said.start) / (said.end - said.start)
            lift = 0.3 * spoken.arousal + (0.2 if word.emphasised else 0.0) - fall
            first, last = np.searchsorted(times, (word.start, word.end))
            pitch[first:last] = base * (1 + lift)
            letters = [c for c in word.text.lower() if c in VOWELS] or ["e"]
            for (a, b), letter in zip(
                pairwise(np.linspace(first, last, len(letters) + 1).astype(int)),
                letters,
                strict=True,
            ):
                mouth[a:b] = 0
                mouth[a:b, VOWELS.index(letter)] = 1
    width = round(0.05 * FINE)
    smooth = uniform_filter1d(mouth, width, axis=0, mode="nearest")
    return uniform_filter1d(pitch, width, mode="nearest"), smooth


def _resonators(formants: tuple[int, ...], tract: float) -> np.ndarray:
    """Second-order sections (3, 6), one a formant, for a vocal tract shorter by this factor."""
    radius = np.exp(-np.pi * np.array(BANDWIDTHS) / SAMPLE_RATE)
    angle = 2 * np.pi * tract * np.array(formants) / SAMPLE_RATE
    sections = np.zeros((len(formants), 6), np.float32)
    sections[:, 0] = sections[:, 3] = 1
    sections[:, 4], sections[:, 5] = -2 * radius * np.cos(angle), radius**2
    return sections


def _unit(signal: np.ndarray) -> np.ndarray:
    """A signal with deviation 1."""
    return signal / signal.std()
