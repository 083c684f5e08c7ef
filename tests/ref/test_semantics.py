"""Eq. 2, calibrated: the encoder, what it is centred on, the cache, and that it is repeatable.

All but one of these run on tiny encoders in folders, which nobody calibrated by hand.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fakes.encoders import TOKENS, WIDTH, save_tiny_encoder

from mreactor_ref.emotion.calibration import fit_curve, probability, read_judged
from mreactor_ref.emotion.semantics import (
    FORM,
    PROBE,
    Basis,
    SentenceEncoder,
    Similarity,
    make_basis,
)
from mreactor_ref.errors import UsageError

TABLE = ("Success", "Loss", "Exam", "Birthday Party", "Traffic Jam", "First Date", "Illness")
SAID = ("I am feeling thrilled!", "They took my bike.", "It rained.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return save_tiny_encoder(tmp_path_factory.mktemp("tiny"), seed=0)


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory) -> str:
    return save_tiny_encoder(tmp_path_factory.mktemp("other"), seed=1)


@pytest.fixture(scope="module")
def encoder(folder) -> SentenceEncoder:
    return SentenceEncoder(folder)


@pytest.fixture(scope="module")
def basis(encoder) -> Basis:
    return make_basis(encoder, TABLE)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MREACTOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "priors"


@pytest.fixture
def encoded(monkeypatch) -> list[tuple[str, ...]]:
    """The texts of every call of an encoder."""
    calls: list[tuple[str, ...]] = []
    encode = SentenceEncoder.__call__

    def counting(self, texts):
        calls.append(tuple(texts))
        return encode(self, texts)

    monkeypatch.setattr(SentenceEncoder, "__call__", counting)
    return calls


def forms(*subjects: str) -> tuple[str, ...]:
    return tuple(FORM.format(subject.lower()) for subject in subjects)


def same(a, b) -> bool:
    return np.array_equal(a.score, b.score) and np.array_equal(a.cosine, b.cosine)


# The encoder


def test_the_default_encoder_comes_with_its_package():
    minilm = SentenceEncoder()
    found = minilm(["I passed the exam!", "I did not fail the exam.", "The kettle boils."])
    assert found.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert found[0] @ found[1] > 0.3 > found[0] @ found[2]


def test_an_encoder_from_a_folder(encoder):
    found = encoder(["one", "a longer one", "one"])
    assert found.shape == (3, WIDTH)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found[0], found[2])


def test_a_text_is_cut_where_the_model_ends(encoder):
    start = "very " * 2 * TOKENS
    found = encoder([start + "good", start + "bad and more of it"])
    np.testing.assert_array_equal(found[0], found[1])


def test_texts_that_only_json_can_hold(encoder):
    found = encoder(["half a pair \ud83d here", "", "\0", "日本語", "a" * 100_000])
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[0], encoder(["half a pair ? here"])[0])


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    path = tmp_path / "nowhere"
    with pytest.raises(UsageError) as raised:
        SentenceEncoder(str(path))
    assert str(raised.value) == (
        f"{path}: the sentence encoder is not there (give the folder of a saved model)"
    )


@pytest.mark.parametrize("fault", ["no model", "modules.json", "1_Pooling/config.json"])
def test_a_folder_that_is_no_model_is_one_line(folder, tmp_path, fault):
    path = tmp_path / "model"
    path.mkdir()
    if fault != "no model":
        for file in Path(folder).rglob("*"):
            if file.is_file():
                copy = path / file.relative_to(folder)
                copy.parent.mkdir(exist_ok=True)
                copy.write_bytes(file.read_bytes())
        (path / fault).write_text("{")
    with pytest.raises(UsageError, match="the sentence encoder cannot be loaded") as raised:
        SentenceEncoder(str(path))
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


# The basis


def test_each_encoder_has_its_own_calibration(folder, other_folder, encoder, basis):
    other = make_basis(SentenceEncoder(other_folder), TABLE)
    assert np.isfinite(basis.weights).all()
    assert not np.allclose(basis.weights, other.weights, rtol=0.01)
    assert basis.table.shape == (len(TABLE), WIDTH)
    assert len(basis.background) == len({pair.utterance for pair in read_judged()})


def test_the_curve_is_fitted_to_the_judged_pairs(encoder, basis):
    """By hand: each pair's standing, and the curve through them."""
    judged = read_judged()
    said = encoder(list(dict.fromkeys(pair.utterance for pair in judged)))
    place = {pair.utterance: i for i, pair in reversed([*enumerate(judged)])}
    order = {name: i for i, name in enumerate(dict.fromkeys(place[p.utterance] for p in judged))}
    subjects = list(dict.fromkeys(pair.subject for pair in judged))
    standing = basis.standing(said, encoder(forms(*subjects)))
    features = np.array(
        [[standing[order[place[pair.utterance]], subjects.index(pair.subject)]] for pair in judged]
    )
    related = np.array([pair.related for pair in judged])
    np.testing.assert_allclose(basis.weights, fit_curve(features, related), rtol=1e-6)
    # So the scores of the pairs add up to as many as are related.
    assert probability(features, basis.weights).sum() == pytest.approx(related.sum(), abs=0.01)


def standing(table, background, said, subjects) -> np.ndarray:
    return Basis(table, background, np.zeros(2)).standing(said, subjects)


def test_standing_is_how_far_a_cosine_stands_out_among_the_judged_utterances():
    rng = np.random.default_rng(0)
    table, background = rng.normal(size=(5, 8)), rng.normal(size=(40, 8))
    said, subjects = rng.normal(size=(2, 8)), rng.normal(size=(3, 8))
    single = (x.astype(np.float32) for x in (table, background, said, subjects))
    found = standing(*single)

    def cosine(utterance, subject):
        a, b = utterance - background.mean(axis=0), subject - table.mean(axis=0)
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    for u, k in np.ndindex(2, 3):
        others = [cosine(other, subjects[k]) for other in background]
        expected = (cosine(said[u], subjects[k]) - np.mean(others)) / np.std(others)
        assert found[u, k] == pytest.approx(expected, rel=1e-4)


def test_a_direction_that_all_have_in_common_says_nothing():
    rng = np.random.default_rng(1)
    table, background, said, subjects, common = (
        rng.normal(size=(n, 8)).astype(np.float32) for n in (5, 40, 2, 3, 1)
    )
    plain = standing(table, background, said, subjects)
    moved = standing(table + common, background + 3 * common, said + 3 * common, subjects + common)
    np.testing.assert_allclose(moved, plain, atol=1e-4)


def test_a_table_of_one_subject_is_related_to_all_alike(folder):
    score = Similarity(["Success"], folder).relate(SAID, ["Success"]).score
    assert np.isfinite(score).all()
    assert np.ptp(score) == 0


# Relating


def test_relate_gives_the_cosine_of_eq_2_and_the_curve_of_the_standing(folder, encoder, basis):
    subjects = ["Loss", "Broken Leg", "Success"]
    found = Similarity(TABLE, folder).relate(SAID, subjects)
    said, named = encoder(SAID), encoder(forms(*subjects))
    assert found.cosine.shape == found.score.shape == (3, 3)
    np.testing.assert_allclose(found.cosine, said @ named.T, atol=1e-6)
    expected = probability(basis.standing(said, named)[..., None], basis.weights)
    np.testing.assert_allclose(found.score, expected, atol=1e-5)
    assert ((found.score > 0) & (found.score < 1)).all()


def test_relate_does_not_depend_on_what_was_asked_before(folder):
    first = Similarity(TABLE, folder).relate(SAID, ["Loss", "Broken Leg", "Exam"])
    busy = Similarity(TABLE, folder)
    for said, subjects in [
        (SAID[:1], ["Broken Leg"]),
        (SAID[::-1], ["Broken Leg", "Loss", "A Longer Subject of Many Words"]),
        ([*SAID, "And another, much longer than the others are."], TABLE),
        (SAID, TABLE),
        (SAID[:2], ["Broken Leg", "Loss"]),
    ]:
        busy.relate(said, subjects)
    assert same(busy.relate(SAID, ["Loss", "Broken Leg", "Exam"]), first)
    assert same(busy.relate(SAID, ["Loss", "Broken Leg", "Exam"]), first)


def test_the_table_is_held_against_the_background_once_with_the_same_bytes(
    folder, encoder, monkeypatch
):
    similarity, asked = Similarity(TABLE, folder), []
    first = similarity.relate(SAID, TABLE)
    directions = Basis.directions

    def counted(self, subjects):
        asked.append(len(subjects))
        return directions(self, subjects)

    monkeypatch.setattr(Basis, "directions", counted)
    again = similarity.relate(SAID, TABLE)
    assert asked == []
    basis = make_basis(encoder, TABLE)
    standing = basis.standing(encoder(SAID), basis.table)
    assert same(again, first)
    assert np.array_equal(again.score, probability(standing[..., None], basis.weights))
    assert asked[-1] == len(TABLE)


def test_subjects_of_the_table_are_not_encoded_again(folder, encoded):
    similarity = Similarity(TABLE, folder)
    similarity.relate(SAID, TABLE)
    encoded.clear()
    similarity.relate(["Something new."], TABLE)
    assert encoded == [("Something new.",)]
    encoded.clear()
    similarity.relate(["Something new."], ["Loss", "Broken Leg", "Exam", "Broken Arm"])
    assert encoded == [forms("Broken Leg", "Broken Arm")]


# The cache


def files(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


def test_a_basis_is_made_once(folder, encoded, cache):
    first = Similarity(TABLE, folder).relate(SAID, ["Broken Leg", "Exam"])
    assert forms(*TABLE) in encoded
    assert [file.suffix for file in files(cache)] == [".npz"]
    encoded.clear()
    again = Similarity(TABLE, folder).relate(SAID, ["Broken Leg", "Exam"])
    assert encoded == [(PROBE,), forms("Broken Leg"), SAID]
    assert same(first, again)
    assert len(files(cache)) == 1


def test_another_encoder_or_table_has_a_basis_of_its_own(folder, other_folder, cache):
    Similarity(TABLE, folder)
    Similarity(TABLE[:-1], folder)
    Similarity(TABLE, other_folder)
    assert len(files(cache)) == 3


def test_a_folder_with_another_model_in_it_is_noticed(folder, other_folder, tmp_path, cache):
    place = tmp_path / "encoder"
    place.symlink_to(folder)
    first = Similarity(TABLE, str(place)).relate(SAID, TABLE)
    place.unlink()
    place.symlink_to(other_folder)
    second = Similarity(TABLE, str(place)).relate(SAID, TABLE)
    assert len(files(cache)) == 2
    assert not np.allclose(first.score, second.score)


def other_arrays(whole: bytes) -> bytes:
    stream = BytesIO()
    np.savez(stream, table=np.zeros((1, 1)))
    return stream.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: b"nonsense",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1000] + bytes(1000),
        lambda whole: whole[:500] + bytes(100) + whole[600:],
        other_arrays,
    ],
    ids=["empty", "nonsense", "cut", "end lost", "middle lost", "other arrays"],
)
def test_a_damaged_basis_is_made_again(folder, cache, damage, encoded):
    first = Similarity(TABLE, folder).relate(SAID, TABLE)
    (file,) = files(cache)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    encoded.clear()
    assert same(Similarity(TABLE, folder).relate(SAID, TABLE), first)
    assert forms(*TABLE) in encoded
    assert files(cache) == [file]
    with np.load(file) as kept, np.load(BytesIO(whole)) as before:
        assert all(np.array_equal(kept[name], before[name]) for name in before.files)


def test_a_cache_that_cannot_be_written_is_done_without(folder, tmp_path, monkeypatch):
    first = Similarity(TABLE, folder).relate(SAID, TABLE)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MREACTOR_CACHE", str(tmp_path / "file"))
    assert same(Similarity(TABLE, folder).relate(SAID, TABLE), first)
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_disk_that_is_full_is_done_without(folder, cache, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    Similarity(TABLE, folder).relate(SAID, TABLE)
    assert files(cache) == []


def test_two_processes_may_write_at_once(folder, cache):
    """Each writes a file of its own and puts it in place whole."""
    Similarity(TABLE, folder)
    (file,) = files(cache)
    stale = file.with_name(f".{file.name}.{os.getpid() + 1}-1.partial")
    stale.write_bytes(b"half of")
    Similarity(TABLE, folder)
    assert files(cache) == sorted([file, stale])


# When it is loaded


def test_the_default_encoder_waits_until_it_is_needed(cache, encoded):
    similarity = Similarity(TABLE)
    assert similarity.table == TABLE
    assert encoded == []
    assert not cache.exists()


def test_another_encoder_is_loaded_at_once(folder, tmp_path, encoded):
    Similarity(TABLE, folder)
    assert encoded[0] == (PROBE,)
    with pytest.raises(UsageError, match="the sentence encoder is not there"):
        Similarity(TABLE, str(tmp_path / "nowhere"))
