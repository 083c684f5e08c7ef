"""The encoders of sound and words, by the names that a model's config gives.

Each is a callable with a `width`. "mfcc" and "minilm" need nothing but installed packages; any
other name is a hub name or a folder that transformers loads. Code from the hub is never run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mreactor_ref.errors import UsageError
from mreactor_ref.features.grid import at_times, frame_centres
from mreactor_ref.features.mfcc import mfcc
from mreactor_ref.features.pretrained import load_model, load_pretrained
from mreactor_ref.features.transcripts.word import Word
from mreactor_ref.features.words import place_words
from mreactor_ref.packaged import minilm_folder
from mreactor_ref.signals import MFCC_WIDTH, SAMPLE_RATE, Array

if TYPE_CHECKING:
    import torch

CHUNK_SECONDS = 60  # sound that wav2vec 2.0 sees at once; attention grows with its square
CONTEXT_SECONDS = 2  # seen on each side of a chunk, then dropped
WINDOW_TOKENS = 256  # words that a text model sees at once; MiniLM was trained on no more
BATCH = 16  # windows of words at a time


class SoundEncoder(Protocol):
    """(N,) samples at SAMPLE_RATE -> (T, width) float32 on the frame grid."""

    @property
    def width(self) -> int: ...

    def __call__(self, wave: Array, fps: float, frames: int) -> Array: ...


class Mfcc:
    """`mfcc.mfcc` as an encoder."""

    width = MFCC_WIDTH

    def __call__(self, wave: Array, fps: float, frames: int) -> Array:
        return mfcc(wave, fps, frames)


def sound_encoder(name: str, device: torch.device | str = "cpu") -> SoundEncoder:
    """ "mfcc", or a wav2vec 2.0 by hub name or folder, which runs on a device.

    Raises:
        UsageError: the model cannot be loaded.
    """
    return Mfcc() if name == "mfcc" else Wav2Vec(name, device)


def _load_wav2vec(name: str, **options: Any) -> tuple[Any, Any]:
    from transformers import AutoFeatureExtractor

    return AutoFeatureExtractor.from_pretrained(name, **options), load_model(name, **options)


class Wav2Vec:
    """The last hidden states of a wav2vec 2.0, placed on the frame grid (section C.1).

    A state is placed at the centre of the samples that it comes from (25 ms, every 20 ms).

    Raises:
        UsageError: the model cannot be loaded.
    """

    def __init__(self, name: str, device: torch.device | str = "cpu"):
        self._extract, model = load_pretrained("sound encoder", name, _load_wav2vec)
        self._model, self._device = model.to(device), device
        config = self._model.config
        try:
            kernels, strides = list(config.conv_kernel), list(config.conv_stride)
            self.width = int(config.hidden_size)
        except AttributeError as error:
            raise UsageError(
                f"the sound encoder {name!r} is no wav2vec 2.0", fix="name a wav2vec 2.0 model"
            ) from error
        self._stride = int(np.prod(strides))
        # of one state: 400 samples for the kernels and strides of the paper
        reach = [(kernel - 1) * np.prod(strides[:i]) for i, kernel in enumerate(kernels)]
        self._receptive = 1 + int(sum(reach))

    def __call__(self, wave: Array, fps: float, frames: int) -> Array:
        extracted = self._extract(wave, sampling_rate=SAMPLE_RATE, return_tensors="np")
        values = np.asarray(extracted["input_values"][0], np.float32)
        states = np.concatenate(list(self._states(values)))
        times = (np.arange(len(states)) * self._stride + self._receptive / 2) / SAMPLE_RATE
        return at_times(states, times, frame_centres(fps, frames))

    def _states(self, values: Array) -> Iterator[Array]:
        """The states of the whole sound, a chunk at a time; a chunk starts on a state."""
        import torch

        values = np.pad(values, (0, max(0, self._receptive - len(values))))
        total = 1 + (len(values) - self._receptive) // self._stride
        chunk = CHUNK_SECONDS * SAMPLE_RATE // self._stride
        context = CONTEXT_SECONDS * SAMPLE_RATE // self._stride
        for first in range(0, total, chunk):
            last = min(first + chunk, total)
            before, after = max(0, first - context), min(last + context, total)
            stop = (after - 1) * self._stride + self._receptive
            with torch.inference_mode():
                part = torch.from_numpy(values[before * self._stride : stop])[None]
                states = self._model(part.to(self._device)).last_hidden_state[0].cpu().numpy()
            yield states[first - before : last - before]


def _load_text(name: str, **options: Any) -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    # RoBERTa reads a word by itself only with its space; other tokenizers ignore the setting
    tokenizer = AutoTokenizer.from_pretrained(name, add_prefix_space=True, **options)
    return tokenizer, load_model(name, **options)


class WordsEncoder:
    """The last hidden states of a text model, one vector a word (section C.1).

    The model runs over an utterance, and a word is the mean of its sub-tokens. An utterance
    longer than WINDOW_TOKENS, or than the model allows, is read in windows of whole words.

    Args:
        name: "minilm" (all-MiniLM-L6-v2 from its package), a hub name, or a folder.
        device: where it runs.

    Raises:
        UsageError: the model cannot be loaded, or its tokenizer does not tell words apart.
    """

    def __init__(self, name: str, device: torch.device | str = "cpu"):
        if name == "minilm":
            name = str(minilm_folder())
        self._tokenizer, model = load_pretrained("words encoder", name, _load_text)
        self._model, self._device = model.to(device), device
        if not self._tokenizer.is_fast:
            raise UsageError(
                f"the words encoder {name!r} has no fast tokenizer", fix="name another model"
            )
        config = self._model.config
        self.width = int(config.hidden_size)
        positions = getattr(config, "max_position_embeddings", WINDOW_TOKENS)
        if config.model_type in ("roberta", "xlm-roberta", "camembert"):
            positions -= config.pad_token_id + 1  # their positions start after the padding's
        room = min(WINDOW_TOKENS, positions, self._tokenizer.model_max_length)
        self._room = room - self._tokenizer.num_special_tokens_to_add()

    def __call__(self, utterances: Sequence[Sequence[Word]], fps: float, frames: int) -> Array:
        """The words of a clip on its frames: (T, width) float32, zero where nobody speaks."""
        words = [word for utterance in utterances for word in utterance]
        vectors = self.encode([[word.text for word in utterance] for utterance in utterances])
        stacked = np.concatenate([np.zeros((0, self.width), np.float32), *vectors])
        return place_words(words, stacked, fps, frames)

    def encode(self, utterances: Sequence[Sequence[str]]) -> list[Array]:
        """One (words, width) float32 an utterance; a word without any sub-token is zero."""
        windows = [window for words in utterances for window in self._windows(words)]
        by_length = sorted(range(len(windows)), key=lambda i: len(windows[i]))
        done: list[Array] = [np.zeros((0, self.width), np.float32)] * len(windows)
        for first in range(0, len(windows), BATCH):
            batch = by_length[first : first + BATCH]
            for i, vectors in zip(batch, self._run([windows[i] for i in batch]), strict=True):
                done[i] = vectors
        flat = np.concatenate([np.zeros((0, self.width), np.float32), *done])
        ends = np.cumsum([len(words) for words in utterances])
        return np.split(flat, ends[:-1]) if len(ends) else []

    def _windows(self, words: Sequence[str]) -> Iterator[Sequence[str]]:
        """Cut an utterance into runs of words whose sub-tokens fit into the model."""
        if not words:
            return
        encoded = self._tokenizer(
            list(words), is_split_into_words=True, add_special_tokens=False, verbose=False
        )
        tokens = np.zeros(len(words), np.int64)
        for i in encoded.word_ids():
            tokens[i] += 1
        start, used = 0, 0
        for i, count in enumerate(tokens):
            if i > start and used + count > self._room:
                yield words[start:i]
                start, used = i, 0
            used += count
        yield words[start:]

    def _run(self, windows: Sequence[Sequence[str]]) -> Iterator[Array]:
        import torch

        encoded = self._tokenizer(
            [list(words) for words in windows],
            is_split_into_words=True,
            padding=True,
            truncation=True,  # of a single word that is longer than a window
            max_length=self._room + self._tokenizer.num_special_tokens_to_add(),
            return_tensors="pt",
        )
        with torch.inference_mode():
            given = encoded.to(self._device)
            states = self._model(**given).last_hidden_state.cpu().numpy()  # (B, tokens, W)
        for row, words in enumerate(windows):
            ids = encoded.word_ids(row)
            kept = [place for place, word in enumerate(ids) if word is not None]
            owners = np.array([ids[place] for place in kept], np.int64)
            sums = np.zeros((len(words), self.width), np.float32)
            np.add.at(sums, owners, states[row, kept])
            count = np.bincount(owners, minlength=len(words))[:, None]
            yield np.divide(sums, np.maximum(count, 1), dtype=np.float32)
