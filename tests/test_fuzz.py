"""Every reader of a user's file either reads a damaged one or refuses it by name, and never fails.

MREACTOR_FUZZ=100000 pytest tests/test_fuzz.py    # so many cases for each reader
"""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.engines import bundle_info, onnx_files
from fakes.jobs import reactor, run_options, write_faces
from fakes.models import random_model, small_config
from ref import test_lexicon_files as lexicons
from ref.test_face_tools import OPENFACE_NAMES, PY_FEAT_NAMES
from ref.test_transcripts_json import CASES

pytest.importorskip("hypothesis")
pytest.importorskip("soundfile")

from fakes.hostile import sound
from fakes.mutations import Edit, mutated, mutations
from hypothesis import HealthCheck, given, settings

from mreactor_ref.checkpoint import load_checkpoint, save_checkpoint
from mreactor_ref.data.contents import is_transcript, why_no_clip
from mreactor_ref.data.react import read_list, read_matrix
from mreactor_ref.emotion.calibration import read_judged
from mreactor_ref.emotion.lexicon_files import FORMATS, read_lexicon
from mreactor_ref.errors import MReactorError
from mreactor_ref.features.decoder import Decoder
from mreactor_ref.features.encoded import read_encoded
from mreactor_ref.features.face import read_face
from mreactor_ref.features.faces.tools import SHAPES
from mreactor_ref.features.words import read_words
from mreactor_ref.signals import ATTRIBUTE_NAMES, COEFFICIENTS
from mreactor_runtime.bundle import open_bundle, write_bundle
from mreactor_runtime.convert.result import read_result
from mreactor_runtime.run.job import run_job
from mreactor_runtime.view.folder import read_folder

# What numpy says of a header that it had to mend.
pytestmark = pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file:UserWarning")

CASES_EACH = int(os.environ.get("MREACTOR_FUZZ", "0"))
QUICK, SLOW = CASES_EACH or 400, max(CASES_EACH // 100, 40)  # a slow one takes some ms a case
EXAMPLES = Path(__file__).parent.parent / "examples" / "clips"
ROWS = 6

TEXTGRID = b"""File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 2
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 1
            text = "hello"
        intervals [2]:
            xmin = 1
            xmax = 2
            text = ""
"""


def table(names: Iterable[str]) -> bytes:
    names = list(names)
    rows = [",".join(names)]
    rows += [",".join(f"{(i * j % 7) / 8}" for j in range(len(names))) for i in range(ROWS)]
    return "\n".join(rows).encode()


def saved(*shape: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape))
    return file.getvalue()


def json_bytes(value: object) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode()


WORDS = {
    ".srt": [(EXAMPLES / "good_news.srt").read_bytes()],
    ".vtt": [(EXAMPLES / "train_to_the_coast.vtt").read_bytes()],
    ".txt": [(EXAMPLES / "broken_bicycle.txt").read_bytes()],
    ".json": [json_bytes(value) for value in CASES.values()],
    ".TextGrid": [TEXTGRID],
}
FACES = {
    ".csv": [table(names) for names in (ATTRIBUTE_NAMES, OPENFACE_NAMES, PY_FEAT_NAMES, SHAPES)],
    ".npy": [saved(ROWS, COEFFICIENTS), saved(ROWS, 1, COEFFICIENTS), saved(ROWS, 83)],
}
LEXICONS = {
    "table": lexicons.TABLE_FILE,
    "vader": lexicons.VADER_FILE,
    "warriner": lexicons.WARRINER_FILE,
    "anew": lexicons.ANEW_CSV,
    "sentiwordnet": lexicons.SWN_FILE,
    "nrc": lexicons.NRC_FILE,
    "liwc": lexicons.LIWC_FILE,
}
LISTS = b"id,speaker_path,listener_path\n0,NoXI/1/P1/2,NoXI/1/P2/2\n1,NoXI/1/P1/3,NoXI/1/P2/3\n"
JUDGED = b"utterance,subject,related,fitting\nwhat a day,day,yes,yes\nI see,rain,no,no\n"


def survives(
    path: Path, seeds: list[bytes], read: Callable[[Path], Any], cases: int = QUICK
) -> None:
    """Read so many mutations of files. Nothing but an `MReactorError` may be raised."""
    for seed in seeds:
        path.write_bytes(seed)
        read(path)  # or the seed is none

    read_so_far = itertools.count()

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=not CASES_EACH,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations(len(seeds)))
    def attack(mutation: tuple[int, list[Edit]]) -> None:
        seed, edits = mutation
        path.write_bytes(mutated(seeds[seed], edits))
        next(read_so_far)
        with suppress(MReactorError):
            read(path)

    attack()
    assert next(read_so_far) >= cases


@pytest.mark.parametrize("suffix", WORDS)
@pytest.mark.parametrize("duration", [10.0, None])
def test_words(tmp_path, suffix, duration):
    if suffix == ".txt":
        duration = 10.0
    survives(tmp_path / f"a{suffix}", WORDS[suffix], lambda path: read_words(path, duration))


@pytest.mark.parametrize("suffix", FACES)
def test_faces(tmp_path, suffix):
    survives(tmp_path / f"a{suffix}", FACES[suffix], lambda path: read_face(path, 1.0))


def test_what_a_file_is(tmp_path):
    survives(tmp_path / "a.json", WORDS[".json"], is_transcript)
    for suffix in (".csv", ".npy"):
        survives(tmp_path / f"a{suffix}", FACES[suffix], why_no_clip)


@pytest.mark.parametrize("name", FORMATS)
def test_lexicons(tmp_path, name):
    seed = LEXICONS[name].encode()
    survives(tmp_path / "a", [seed], lambda path: read_lexicon(path, name))


def test_lists_and_judged_pairs(tmp_path):
    survives(tmp_path / "a.csv", [LISTS], read_list)
    survives(tmp_path / "a.csv", [JUDGED], read_judged)


def test_features_and_matrices(tmp_path):
    survives(tmp_path / "a.npy", [saved(ROWS, 32)], lambda path: read_encoded(path, 32))
    file = io.BytesIO()
    np.save(file, np.eye(ROWS))
    survives(tmp_path / "a.npy", [file.getvalue()], lambda path: read_matrix(path, ROWS))


@pytest.mark.parametrize(("form", "suffix"), [("wav", ".wav"), ("flac", ".flac"), ("ogg", ".ogg")])
def test_sounds(tmp_path, form, suffix):
    with Decoder() as decoder:
        survives(tmp_path / f"a{suffix}", [sound(form=form)], decoder.read_sound, SLOW)


def test_a_run_folder(tmp_path):
    write_faces(tmp_path / "clips", {"a": 20, "b": 30})
    output = tmp_path / "out"
    run_job(tmp_path / "clips", output, reactor(), run_options(samples=1, steps=1))
    for name in ("manifest.jsonl", "run.json"):
        whole = (output / name).read_bytes()
        survives(output / name, [whole], lambda _: read_folder(output))
        survives(output / name, [whole], lambda _: read_result(output / "a.npz"))
        (output / name).write_bytes(whole)
    result = (output / "a.npz").read_bytes()
    survives(output / "a.npz", [result], read_result)


def test_a_run_goes_on_from_a_damaged_manifest(tmp_path):
    write_faces(tmp_path / "clips", {"a": 20, "b": 30})
    whole, output = tmp_path / "whole", tmp_path / "out"
    run_job(tmp_path / "clips", whole, reactor(), run_options(samples=1, steps=1))
    shutil.copytree(whole, output)

    def go_on(_: Path) -> None:
        summary = run_job(tmp_path / "clips", output, reactor(), run_options(samples=1, steps=1))
        assert summary.kept + summary.done == 2
        for name in ("a.npz", "b.npz"):
            assert (output / name).read_bytes() == (whole / name).read_bytes()

    for name in ("manifest.jsonl", "run.json"):
        survives(output / name, [(whole / name).read_bytes()], go_on, SLOW)


def test_bundles(tmp_path):
    write_bundle(tmp_path / "bundle", bundle_info(), onnx_files())
    (manifest,) = (tmp_path / "bundle").glob("*.json")
    survives(manifest, [manifest.read_bytes()], lambda _: open_bundle(tmp_path / "bundle"))


def test_checkpoints(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(random_model(small_config()), path)
    survives(path, [path.read_bytes()], load_checkpoint, SLOW)
