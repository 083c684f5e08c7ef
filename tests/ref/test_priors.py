"""The priors: validation, the rule that spreads subjects over reactions, the frames."""

import itertools
from collections.abc import Sequence
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from mreactor_ref.emotion.priors import (
    EMOTION_AFFECT,
    SHOWN,
    Prior,
    assign,
    frame_priors,
    nearest_emotion,
    reaction_prior,
    training_prior,
)
from mreactor_ref.errors import UsageError
from mreactor_ref.signals import (
    AROUSAL,
    ATTRIBUTES,
    EMOTIONS,
    EXPRESSION_SLICE,
    NO_EMOTION,
    VALENCE,
    Utterance,
)

JOY = Prior("gift", "joy", 0.7, 0.6)
FEAR = Prior("danger", "fear", -0.8, 0.9)
HOPE = Prior("plan", "hope", 0.5, 0.5)


class Fixed:
    """A source that gives every utterance the same number of subjects, and keeps what it heard."""

    def __init__(self, count: int):
        self.all = tuple(Prior(f"subject {i}", "joy", i / count, 0.5) for i in range(count))
        self.asked: list[list[str]] = []

    def priors(self, utterances: Sequence[str]) -> list[tuple[Prior, ...]]:
        self.asked.append(list(utterances))
        return [self.all for _ in utterances]


def spoken(*starts: float) -> tuple[Utterance, ...]:
    return tuple(Utterance(start, start + 0.5, f"words {start}") for start in starts)


@pytest.mark.parametrize(
    ("emotion", "polarity", "intensity", "problem"),
    [
        ("glee", 0.0, 0.5, "emotion is 'glee'"),
        ("joy", 1.01, 0.5, "polarity is 1.01"),
        ("joy", -1.01, 0.5, "polarity is -1.01"),
        ("joy", float("nan"), 0.5, "polarity is nan"),
        ("joy", 0.0, -0.1, "intensity is -0.1"),
        ("joy", 0.0, 1.1, "intensity is 1.1"),
    ],
)
def test_prior_rejects_what_is_out_of_range(emotion, polarity, intensity, problem):
    with pytest.raises(UsageError, match=problem):
        Prior("x", emotion, polarity, intensity)


def test_prior_accepts_the_ends_and_is_frozen():
    prior = Prior("x", "joy", -1.0, 1.0)
    with pytest.raises(FrozenInstanceError):
        prior.polarity = 0.0


def test_assign_spreads_reactions_over_the_subjects():
    assigned = assign(spoken(0), Fixed(5), samples=10, seed=0, clip_id="a/b")
    counts = [[row[0] for row in assigned].count(prior) for prior in Fixed(5).all]
    assert min(counts) >= 1
    assert max(counts) <= 3


def test_a_reaction_keeps_its_outlook_over_utterances():
    class Alternating:
        """Six subjects for one utterance, in falling order; three for the other."""

        def priors(self, utterances: Sequence[str]) -> list[tuple[Prior, ...]]:
            six, three = Fixed(6).all[::-1], Fixed(3).all
            return [six if text.endswith("0") else three for text in utterances]

    assigned = assign(spoken(0, 1), Alternating(), samples=20, seed=0, clip_id="a")
    for first, second in assigned:
        assert second.polarity == pytest.approx(first.polarity, abs=1 / 6 + 1e-9)
    assert len({row[0] for row in assigned}) == 6


def test_assign_asks_for_all_utterances_at_once():
    source = Fixed(3)
    assign(spoken(0, 1, 2), source, samples=10, seed=0, clip_id="a")
    assert source.asked == [["words 0", "words 1", "words 2"]]


def test_assign_does_not_depend_on_samples_or_later_utterances():
    ten = assign(spoken(0, 1, 2), Fixed(7), samples=10, seed=3, clip_id="a")
    four = assign(spoken(0, 1), Fixed(7), samples=4, seed=3, clip_id="a")
    assert [row[:2] for row in ten[:4]] == list(four)


def test_assign_depends_on_seed_and_clip():
    def column(seed: int, clip_id: str) -> list[str]:
        assigned = assign(spoken(0), Fixed(10), samples=10, seed=seed, clip_id=clip_id)
        return [row[0].subject for row in assigned]

    drawn = [column(0, "a"), column(1, "a"), column(0, "b")]
    assert all(a != b for a, b in itertools.combinations(drawn, 2))
    assert drawn[0] == column(0, "a")


def test_assign_prefers_no_subject_over_clips():
    first = [
        assign(spoken(0), Fixed(5), samples=1, seed=0, clip_id=f"clip {i}")[0][0].subject
        for i in range(1000)
    ]
    counts = [first.count(subject) for subject in set(first)]
    assert len(counts) == 5
    assert min(counts) > 150  # 200 each, deviation 13


def test_assign_keeps_its_order_between_versions():
    assigned = assign(spoken(0), Fixed(5), samples=5, seed=0, clip_id="clip")
    assert [row[0].subject[-1] for row in assigned] == ["2", "0", "3", "1", "0"]


def test_assign_without_utterances_is_empty_for_each_reaction():
    assert assign((), Fixed(3), samples=4, seed=0, clip_id="a") == ((), (), (), ())


def test_frames_have_the_prior_of_their_utterance():
    # At 10 frames a second: the first starts in frame 3, the second in frame 7.
    emotion, affect = frame_priors([(JOY, FEAR), (HOPE, JOY)], spoken(0.35, 0.7), 12, 10.0)
    assert emotion.shape == (2, 12)
    assert emotion.dtype == np.int64
    assert affect.shape == (2, 12, 2)
    assert affect.dtype == np.float32
    names, none = [[EMOTIONS[index] for index in row] for row in emotion], EMOTIONS[NO_EMOTION]
    # Nobody reacts to what is not said yet.
    assert names == [
        [none] * 3 + ["joy"] * 4 + ["fear"] * 5,
        [none] * 3 + ["hope"] * 4 + ["joy"] * 5,
    ]
    assert not affect[:, :3].any()
    np.testing.assert_allclose(affect[0, 6], np.float32([0.7, 0.2]), rtol=1e-6)
    np.testing.assert_allclose(affect[0, 7], np.float32([-0.8, 0.8]), rtol=1e-6)


def test_what_a_real_reaction_shows_comes_back_on_the_frames():
    """Training and runs speak of intensity in the same units."""
    shown = [reaction_prior(still(0.4, arousal)) for arousal in (-0.5, 0.0, 0.5)]
    _, affect = frame_priors([shown], spoken(0.0, 1.0, 2.0), 30, 10.0)
    np.testing.assert_allclose(affect[0, ::10, 1], [0.0, 0.375, 0.75], rtol=1e-6)


def test_frames_do_not_depend_on_the_order_of_utterances():
    forth = frame_priors([(JOY, FEAR, HOPE)], spoken(0.1, 0.5, 0.9), 20, 10.0)
    back = frame_priors([(HOPE, FEAR, JOY)], spoken(0.9, 0.5, 0.1), 20, 10.0)
    np.testing.assert_array_equal(forth[0], back[0])
    np.testing.assert_array_equal(forth[1], back[1])


@pytest.mark.parametrize("fps", [25.0, 30.0, 100.0])
def test_an_utterance_that_starts_with_a_frame_starts_in_it(fps):
    for frame in range(1, 100):
        emotion, _ = frame_priors([(JOY, FEAR)], spoken(0.0, frame / fps), 101, fps)
        assert np.flatnonzero(emotion[0] == EMOTIONS.index("fear"))[0] == frame


def test_an_utterance_after_the_end_has_no_frame():
    emotion, _ = frame_priors([(JOY, FEAR)], spoken(0.0, 9.0), 20, 10.0)
    assert set(emotion[0]) == {EMOTIONS.index("joy")}


def test_frames_without_utterances_have_no_emotion():
    emotion, affect = frame_priors([(), ()], (), 5, 25.0)
    assert emotion.tolist() == [[NO_EMOTION] * 5] * 2
    assert affect.shape == (2, 5, 2)
    assert not affect.any()


def test_frames_of_no_reactions():
    emotion, affect = frame_priors([], spoken(0.0), 5, 25.0)
    assert emotion.shape == (0, 5)
    assert affect.shape == (0, 5, 2)


def test_priors_of_other_utterances_are_refused():
    with pytest.raises(ValueError, match="2 utterances"):
        frame_priors([(JOY,)], spoken(0, 1), 5, 25.0)


def test_every_label_but_none_is_the_nearest_to_itself():
    assert set(EMOTION_AFFECT) == set(EMOTIONS) - {"none"}
    for emotion, (polarity, intensity) in EMOTION_AFFECT.items():
        assert nearest_emotion(polarity, intensity) == emotion


@pytest.mark.parametrize(
    ("polarity", "intensity", "emotion"),
    [(0.9, 0.8, "excitement"), (0.7, 0.6, "joy"), (0.8, 0.7, "happiness"), (0, 0, "neutral")],
)
def test_nearest_label_agrees_with_the_paper(polarity, intensity, emotion):
    assert nearest_emotion(polarity, intensity) == emotion


@pytest.mark.parametrize(
    ("polarity", "intensity", "of"),
    [
        (-0.1, 0.9, FEAR),  # 0.7 away from it, and 0.72 from hope
        (-0.1, 0.5, HOPE),
        (JOY.polarity, JOY.intensity, JOY),
    ],
)
def test_a_training_prior_has_the_intensity_of_the_nearest_subject(polarity, intensity, of):
    prior = training_prior((JOY, FEAR, HOPE), polarity, intensity)
    assert (prior.polarity, prior.intensity) == (polarity, of.intensity)
    assert prior.emotion == nearest_emotion(polarity, of.intensity)


def test_without_subjects_what_is_shown_is_the_prior():
    assert training_prior((), 0.9, 0.8) == Prior(SHOWN, "excitement", 0.9, 0.8)


def still(valence: float, arousal: float) -> np.ndarray:
    attributes = np.zeros((50, ATTRIBUTES), np.float32)
    attributes[:, VALENCE], attributes[:, AROUSAL] = valence, arousal
    return attributes


@pytest.mark.parametrize(
    ("valence", "arousal", "polarity", "intensity"),
    [(0.4, 0, 0.5, 0.6875), (-0.4, 0.5, -0.5, 0.875), (0.9, 0.9, 1, 0.875), (-0.9, -0.9, -1, 0.5)],
)
def test_reaction_prior_of_a_still_face(valence, arousal, polarity, intensity):
    prior = reaction_prior(still(valence, arousal))
    assert prior.subject == SHOWN
    assert prior.polarity == pytest.approx(polarity, abs=1e-6)
    assert prior.intensity == pytest.approx(intensity, abs=1e-6)
    assert prior.emotion == nearest_emotion(prior.polarity, prior.intensity)


def test_reaction_prior_counts_motion():
    moving = still(0.25, 0.0)
    moving[::2, EXPRESSION_SLICE.start] = 1.0  # deviation 0.5 in one of ten channels
    assert reaction_prior(moving).intensity == pytest.approx(0.5 + (0.375 + 2 * 0.05) / 2, abs=1e-6)
    assert reaction_prior(moving).polarity == pytest.approx(0.3125)
