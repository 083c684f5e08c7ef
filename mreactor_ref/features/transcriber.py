"""Words out of the sound: a Whisper model, run by faster-whisper, hears each sound once.

What it hears is kept in the cache folder, under the hash of the sound, of the weights and of the
options, as a file that `read_words` reads.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mreactor_ref.cache import cache_folder
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.pretrained import first_line, is_folder_name
from mreactor_ref.features.transcripts.word import Word, utterances
from mreactor_ref.features.words import Transcript, parse_words, words_json
from mreactor_ref.files import write_whole
from mreactor_ref.signals import SAMPLE_RATE, Array
from mreactor_ref.stages import WORDS, reached

VERSION = 1  # of what is kept: a change of SETTINGS, or of what is made of the answer, is a new one
# The filter leaves out what is no voice: Whisper hears words in silence and in noise.
SETTINGS = {"word_timestamps": True, "vad_filter": True}
SEED = 0  # of the draws that Whisper falls back on where its first guess is poor
WEIGHTS = "model.bin"

HEARD = Path("transcript.json")  # how its warnings name what was heard
NO_SPEECH = "no speech was found in the sound: taken as silence"
FOLDER = "give a folder that ct2-transformers-converter wrote, or a name such as small"
INSTALL = "pip install 'mreactor[transcribe]'"
GPU_LIBRARIES = "transcribe on the CPU, or pip install nvidia-cublas-cu12 nvidia-cudnn-cu12"


class Transcriber:
    """Finds the words of a sound and their times. The weights are loaded for the first new sound.

    Args:
        name: of the model, as faster-whisper has it ("small", "distil-large-v3"), a hub name, or
            a folder with weights that CTranslate2 reads.
        language: a code such as "en"; "auto" finds it for each sound.
        compute_type: of CTranslate2, such as "int8"; "default" is how the weights are stored.
        device: "auto", "cpu", "cuda", or one of several such as "cuda:1".
        cache: the folder of what was heard before; "words" in the cache folder if None.

    Raises:
        UsageError: faster-whisper is not installed, or the weights are not to be had.
    """

    def __init__(
        self,
        name: str,
        language: str = "auto",
        compute_type: str = "default",
        device: str = "auto",
        cache: Path | None = None,
    ):
        self.name, self.language, self.compute_type = name, language, compute_type
        self._device, self._cache = device, cache or cache_folder() / "words"
        self._folder = _find_weights(name)
        self.weights_hash = _file_hash(self._folder / WEIGHTS)
        self._model: Any = None

    def __call__(self, wave: Array) -> Transcript:
        """The words of a sound, (N,) float32 samples at SAMPLE_RATE.

        A sound without speech has no words, and a line says so.

        Raises:
            UsageError: the weights cannot be loaded or do not know the language.
            ClipError: the model fails on this sound.
        """
        entry, seconds = self._entry(wave), len(wave) / SAMPLE_RATE
        with suppress(OSError, UnicodeDecodeError, ClipError):  # not there, or damaged
            return _read(entry.read_text(encoding="utf-8"), seconds)
        text = words_json(self._hear(wave))
        with suppress(OSError):  # a cache that cannot be written only costs time
            write_whole(entry, text.encode())
        return _read(text, seconds)

    def _entry(self, wave: Array) -> Path:
        sound = hashlib.sha256(np.ascontiguousarray(wave, np.float32).data).hexdigest()
        parts = [VERSION, SETTINGS, sound, self.weights_hash, self.language, self.compute_type]
        return self._cache / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}.json"

    def _hear(self, wave: Array) -> Transcript:
        model = self._model = self._model or self._load()
        language = None if self.language == "auto" else self.language
        try:
            segments, about = model.transcribe(
                np.ascontiguousarray(wave, np.float32), language=language, **SETTINGS
            )
            heard: list[Any] = []
            for segment in segments:
                heard += segment.words or ()
                reached(WORDS, segment.end * SAMPLE_RATE / max(1, len(wave)))
        except RuntimeError as error:
            problem = first_line(error)
            if "Library lib" in problem:
                raise UsageError(f"the GPU cannot be used: {problem}", fix=GPU_LIBRARIES) from error
            raise ClipError(
                f"cannot be transcribed: {problem}", fix="use a smaller model or the CPU"
            ) from error
        seconds = len(wave) / SAMPLE_RATE
        words = [
            Word(max(float(word.start), 0.0), min(max(float(word.end), 0.0), seconds), text)
            for word in heard
            if (text := word.word.strip()) and word.start < seconds
        ]
        return Transcript(tuple(map(tuple, utterances(words))), language=str(about.language))

    def _load(self) -> Any:
        import ctranslate2
        from faster_whisper import WhisperModel

        ctranslate2.set_log_level(logging.ERROR)
        ctranslate2.set_random_seed(SEED)
        device, _, index = self._device.partition(":")
        try:
            model = WhisperModel(
                str(self._folder),
                device=device,
                device_index=int(index or 0),
                compute_type=self.compute_type,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise UsageError(
                f"the Whisper model cannot be loaded: {first_line(error)}",
                self.name,
                "give a complete model in the form of CTranslate2, and a device and compute type "
                "that this machine has",
            ) from error
        known = model.supported_languages
        if self.language != "auto" and self.language not in known:
            raise UsageError(
                f"the Whisper model does not know the language {self.language!r}",
                self.name,
                "it knows only en" if known == ["en"] else "give a code such as en, or auto",
            )
        return model


def _read(text: str, seconds: float) -> Transcript:
    transcript = parse_words(text, HEARD, seconds)
    if transcript.words:
        return transcript
    return Transcript((), (NO_SPEECH,), transcript.language)


def _find_weights(name: str) -> Path:
    """The folder of a model: given, of an earlier download, or downloaded now.

    Raises:
        UsageError: see `Transcriber`.
    """
    try:
        from faster_whisper.utils import available_models, download_model
    except ImportError as error:
        raise UsageError(
            f"finding words in sound needs faster-whisper: {first_line(error)}", fix=INSTALL
        ) from error
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if is_folder_name(name):
            raise UsageError("the Whisper model is not there", name, FOLDER)
        known = available_models()
        if "/" not in name and name not in known:
            raise UsageError(
                f"no Whisper model is called {name!r}",
                fix=f"give a folder, a hub name, or one of: {', '.join(known)}",
            )
        folder = _download(name, download_model)
    if not (folder / WEIGHTS).is_file():
        raise UsageError(f"there is no {WEIGHTS} in the folder of the Whisper model", name, FOLDER)
    return folder


def _download(name: str, download_model: Callable[..., str]) -> Path:
    """The folder of an earlier download, or else of a new one."""
    with suppress(OSError, ValueError):  # not in the hub's own cache
        folder = Path(download_model(name, local_files_only=True))
        if (folder / WEIGHTS).is_file():
            return folder
    try:
        return Path(download_model(name))
    except Exception as error:  # the hub's client changes its exceptions from time to time
        raise UsageError(
            f"the Whisper model {name!r} is not on this machine, and the hub does not give it: "
            f"{first_line(error)}",
            fix="check the name and the network, or give the folder of a model saved before",
        ) from error


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
