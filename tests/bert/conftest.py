"""A tiny encoder in a folder, as `transformers` saves one, and texts that need it."""

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer

TEXTS = [
    "the cat sat on the mat .", "a dog barked at the moon all night", "good food and a kind host", "bad food",
    "猫坐在垫子上", "服务很好，房间干净。", "naïve café — déjà vu", "unbelievably uncomfortable beds",
]  # fmt: skip


@pytest.fixture(scope="session")
def tokenizer() -> EncoderTokenizer:
    return EncoderTokenizer.train(TEXTS * 3, vocabulary_size=160)


def write_encoder(
    folder: Path, tokenizer: EncoderTokenizer, *, layers: int = 2, positions: int = 128, seed: int = 0
) -> Path:
    """A BERT of 32 features with random weights, and its tokenizer."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=positions, pad_token_id=tokenizer.pad_id,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer.transformers().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, tokenizer: EncoderTokenizer) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"), tokenizer)
