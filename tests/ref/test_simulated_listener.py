"""Simulated faces: that they are faces, and what of a listener's can be learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import spearmanr

from mreactor_ref.data.simulated.faces import expressions, occurrence
from mreactor_ref.data.simulated.listener import STYLES, Take, draw_takes, simulate_listener
from mreactor_ref.data.simulated.speaker import Speaker, simulate_speaker
from mreactor_ref.emotion.priors import reaction_prior
from mreactor_ref.features.grid import frame_centres
from mreactor_ref.metrics.appropriateness import frcorr, frdist
from mreactor_ref.metrics.trivial import mean_frame, mean_sequence, mime, training_means
from mreactor_ref.signals import (
    ACTION_UNITS,
    AROUSAL,
    AU_SLICE,
    EXPRESSION_SLICE,
    VALENCE,
)

FPS = 25.0
SECONDS = 12.0
FRAMES = 300


@pytest.fixture(scope="module")
def speakers() -> list[Speaker]:
    return [simulate_speaker(np.random.default_rng(i), SECONDS, FPS) for i in range(12)]


def usual_takes(speaker: Speaker, style: str) -> tuple[Take, ...]:
    """Takes of a listener of this style, the same at every call."""
    return draw_takes(np.random.default_rng(0), STYLES[style], speaker.script)


def draw(speaker: Speaker, style: str, seed: int, takes: Sequence[Take] | None = None):
    """(T, 83) of a fresh listener."""
    takes = usual_takes(speaker, style) if takes is None else takes
    face = simulate_listener(np.random.default_rng(seed), speaker, STYLES[style], takes)
    return np.concatenate([face.attributes, face.coefficients], axis=1)


@pytest.fixture(scope="module")
def reactions(speakers: list[Speaker]) -> np.ndarray:
    """(speaker, style, two draws with the same takes, T, 83)."""
    return np.array([[[draw(s, k, d) for d in (1, 2)] for k in STYLES] for s in speakers])


def test_faces_are_faces(speakers: list[Speaker], reactions: np.ndarray):
    faces = [np.concatenate([s.face.attributes, s.face.coefficients], 1) for s in speakers]
    everyone = np.concatenate([np.array(faces), reactions.reshape(-1, FRAMES, 83)])
    assert np.isfinite(everyone).all()
    units = everyone[..., AU_SLICE]
    assert set(np.unique(units)) == {0, 1}
    changes = np.abs(np.diff(units, axis=1)).sum(axis=1) / SECONDS
    assert changes[len(faces) :].max() < 3  # a second, in the liveliest listener and unit
    affect = everyone[..., [VALENCE, AROUSAL]]
    assert np.abs(affect).max() <= 1
    assert np.mean(np.abs(affect) == 1) < 0.02
    chances = everyone[..., EXPRESSION_SLICE]
    assert chances.min() >= 0
    np.testing.assert_allclose(chances.sum(-1), 1, atol=1e-6)
    assert np.abs(everyone[..., 77:80]).max() < 0.8  # radians
    assert (everyone.std(axis=(0, 1))[25:] > 0.02).all()


def test_every_action_unit_occurs_in_some_style(reactions: np.ndarray):
    rate = reactions[..., AU_SLICE].mean(axis=(0, 1, 2, 3))
    assert ((rate > 0.02) & (rate < 0.9)).all(), dict(zip(ACTION_UNITS, rate, strict=True))


def test_action_units_do_not_flicker():
    wave = 0.5 + 0.04 * np.sin(np.arange(100))[:, None]  # noise about the threshold
    assert np.ptp(occurrence(wave)) == 0
    ramp = np.concatenate([np.linspace(0, 1, 50), np.linspace(1, 0, 50)])[:, None]
    on = occurrence(ramp)[:, 0]
    assert np.abs(np.diff(on)).sum() == 2
    assert ramp[np.argmax(on), 0] >= 0.55
    assert ramp[len(on) - 1 - np.argmax(on[::-1]), 0] >= 0.45


def test_expressions_follow_affect():
    places = np.array([[0.75, 0.3], [-0.6, -0.5], [0.1, 0.9], [0.0, -0.1]])
    assert expressions(places).argmax(1).tolist() == [1, 2, 3, 0]
    drawn = expressions(places, np.array([0, 0, 0, 0, 0, 0, 0, 9.0]))
    assert drawn[3].argmax() == 7


def test_the_speakers_face_follows_voice_and_words(speakers: list[Speaker]):
    units = np.concatenate([s.face.attributes for s in speakers])
    unit = dict(zip(ACTION_UNITS, units.T, strict=False))
    said = np.concatenate([s.tracks.polarity for s in speakers])
    jaw = np.corrcoef(unit["AU26"], np.concatenate([s.tracks.envelope for s in speakers]))[0, 1]
    assert jaw > 0.6
    assert unit["AU12"][said == 1].mean() > 0.5 > 0.2 > unit["AU12"][said != 1].mean()
    assert unit["AU4"][said == -1].mean() > 0.5 > 0.2 > unit["AU4"][said != -1].mean()
    stressed = np.concatenate([s.tracks.emphasis for s in speakers]) == 1
    assert unit["AU2"][stressed].mean() > 0.3 > 0.1 > unit["AU2"][~stressed].mean()
    assert np.corrcoef(units[:, VALENCE], said)[0, 1] > 0.7


def best_lag(track: np.ndarray, cue: np.ndarray) -> tuple[float, float]:
    """The lag in seconds at which a track is most like the cue up to sign, and the correlation."""
    values = [np.corrcoef(track[n:], cue[: FRAMES - n])[0, 1] for n in range(50)]
    best = int(np.argmax(np.abs(values)))
    return best / FPS, values[best]


def polarity_track(speaker: Speaker, takes: Sequence[Take]) -> np.ndarray:
    """(T,) of the take of the utterance that was last begun."""
    starts = [spoken.utterance.start for spoken in speaker.script]
    current = np.searchsorted(starts, frame_centres(FPS, FRAMES), side="right") - 1
    return np.array([take.polarity for take in takes])[np.maximum(current, 0)]


def test_valence_follows_the_takes_with_the_lag_of_the_style(
    speakers: list[Speaker], reactions: np.ndarray
):
    for s, (name, style) in enumerate(STYLES.items()):
        tracks = [polarity_track(speaker, usual_takes(speaker, name)) for speaker in speakers]
        found = [
            best_lag(reactions[i, s, 0, :, VALENCE], track)
            for i, track in enumerate(tracks)
            if np.ptp(track) > 0.3
        ]
        assert len(found) > 5
        lag, correlation = np.mean(found, axis=0)
        assert correlation > 0.85, name
        # the style's lag, and the time in which a feeling comes
        assert style.lag < lag < style.lag + 0.6, name


def test_takes_are_as_far_from_the_words_as_a_subject_may_be(speakers: list[Speaker]):
    rng = np.random.default_rng(0)
    means = {}
    for name, style in STYLES.items():
        gaps = []
        for speaker in speakers:
            takes = draw_takes(rng, style, speaker.script)
            said = np.array([0.6 * spoken.polarity for spoken in speaker.script])
            gaps += list(np.array([take.polarity for take in takes]) - said)
            assert all(0.5 <= take.intensity <= 1 for take in takes)
        assert np.abs(gaps).max() <= 0.5 + 1e-9
        means[name] = np.mean(gaps)
    assert sorted(means, key=means.__getitem__) == sorted(STYLES, key=lambda k: STYLES[k].outlook)


def energy(reaction: np.ndarray) -> float:
    """Mean absolute change a frame of angles and translations."""
    return float(np.abs(np.diff(reaction[:, -6:], axis=0)).mean())


@pytest.mark.parametrize("style", STYLES)
def test_the_take_alone_moves_valence_and_motion(speakers: list[Speaker], style: str):
    speaker = speakers[0]

    def with_take(polarity: float, intensity: float) -> np.ndarray:
        return draw(speaker, style, 3, [Take(polarity, intensity)] * len(speaker.script))

    valence = [with_take(p, 0.75)[:, VALENCE].mean() for p in (-0.8, -0.2, 0.3, 0.8)]
    assert valence == sorted(valence)
    assert valence[-1] - valence[0] > 0.8
    motion = [energy(with_take(0.2, i)) for i in (0.5, 0.7, 0.85, 1.0)]
    assert motion == sorted(motion)
    assert motion[-1] > 1.8 * motion[0]


def test_the_prior_that_a_reaction_shows_is_its_take(speakers: list[Speaker]):
    rng = np.random.default_rng(5)
    told, shown = [], []
    for speaker in speakers:
        for style in STYLES:
            take = Take(float(rng.uniform(-1, 1)), float(rng.uniform(0.5, 1)))
            prior = reaction_prior(draw(speaker, style, 4, [take] * len(speaker.script))[:, :25])
            told.append((take.polarity, take.intensity))
            shown.append((prior.polarity, prior.intensity))
    told, shown = np.array(told), np.array(shown)
    assert spearmanr(told[:, 0], shown[:, 0]).statistic > 0.95
    assert np.abs(told[:, 0] - shown[:, 0]).mean() < 0.2
    assert spearmanr(told[:, 1], shown[:, 1]).statistic > 0.6


def test_heads_move_when_phrases_end(speakers: list[Speaker], reactions: np.ndarray):
    for name, angle in (("warm", 77), ("enthusiastic", 77), ("sceptical", 78)):
        s = list(STYLES).index(name)
        moved, still = [], []
        for i, speaker in enumerate(speakers):
            speed = np.abs(np.diff(reactions[i, s, 0, :, angle]))
            since = np.arange(FRAMES - 1)[:, None] / FPS - speaker.tracks.phrase_ends
            after = ((since > STYLES[name].lag) & (since < STYLES[name].lag + 0.6)).any(axis=1)
            moved.append(speed[after].mean())
            still.append(speed[~after].mean())
        assert np.mean(moved) > 2.5 * np.mean(still), name


def standardised(reactions: np.ndarray) -> dict[str, np.ndarray]:
    """Attributes and coefficients of reactions, each channel with deviation 1."""
    deviation = reactions.std(axis=(0, 1, 2, 3))
    parts = {"attributes": slice(0, 25), "coefficients": slice(25, 83)}
    return {k: reactions[..., part] / deviation[part] for k, part in parts.items()}


def rms(x: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(x).mean(axis=(-2, -1)))


def test_styles_are_far_apart_and_draws_of_one_are_not(reactions: np.ndarray):
    for kind, x in standardised(reactions).items():
        first, second = x[:, :, 0], x[:, :, 1]
        noise = rms(first - second).mean(axis=0)  # by style
        for a in range(len(STYLES)):
            others = [rms(first[:, a] - first[:, b]).mean() for b in range(len(STYLES)) if b != a]
            assert min(others) > 2.5 * noise[a], kind
        mean = first.mean(axis=1, keepdims=True)
        assert (rms(first - mean) > 1.2 * rms(first - second)).all(), kind


def test_a_fresh_draw_is_much_nearer_than_the_mean_frame(reactions: np.ndarray):
    for kind, limit in (("attributes", 0.45), ("coefficients", 0.3)):
        x = standardised(reactions)[kind]
        real, fresh = x[:, :, 0], x[:, :, 1]  # (speaker, style, T, C)
        to_real = rms(fresh[:, :, None] - real[:, None]).min(axis=2)  # (speaker, style)
        frame = real.mean(axis=(0, 1, 2))
        from_mean = rms(real - frame).min(axis=1)  # (speaker,)
        assert to_real.mean() / from_mean.mean() < limit, kind


def test_a_fresh_draw_beats_the_trivial_predictors(speakers: list[Speaker], reactions: np.ndarray):
    """In the challenge's measures, with five of the styles as the real reactions."""
    some, samples = 4, 2
    real = [list(x[:5, 0, :, :25]) for x in reactions[:some]]
    means = training_means(x for s in reactions[some:, :, 0, :, :25] for x in s)
    scores = {}
    for name, predicted in {
        "fresh": [x[:5, 1, :, :25] for x in reactions[:some]],
        "mime": [mime(s.face.attributes, samples) for s in speakers[:some]],
        "mean sequence": [mean_sequence(means, FRAMES, samples)] * some,
        "mean frame": [mean_frame(means, FRAMES, samples)] * some,
    }.items():
        number = len(predicted[0])
        scores[name] = frcorr(predicted, real) / number, frdist(predicted, real) / number
    correlation, distance = scores.pop("fresh")
    assert correlation > 2.5 * max(c for c, _ in scores.values()), scores
    assert distance < 0.3 * min(d for _, d in scores.values()), scores


def test_the_same_seed_is_the_same_dyad():
    one, two = (simulate_speaker(np.random.default_rng(7), 8.0) for _ in range(2))
    assert one.script == two.script
    np.testing.assert_array_equal(one.sound, two.sound)
    np.testing.assert_array_equal(one.face.coefficients, two.face.coefficients)
    np.testing.assert_array_equal(draw(one, "warm", 3), draw(two, "warm", 3))
    assert not np.array_equal(draw(one, "warm", 3), draw(one, "warm", 4))


def test_faces_have_the_wanted_frame_rate():
    for fps in (25.0, 30.0):
        speaker = simulate_speaker(np.random.default_rng(7), 10.0, fps)
        face = simulate_listener(np.random.default_rng(8), speaker, STYLES["mimic"])
        assert len(face.attributes) == len(speaker.face.coefficients) == 10 * fps
