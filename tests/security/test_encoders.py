"""Folders of encoders and backbones from elsewhere run nothing that lies in them."""

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from lhy_lightning import BertClassifier, ImageClassifier
from lhy_lightning.bert.encoder import build_encoder, encoder_settings
from lhy_lightning.cnn.backbone import TransformersClassifier, backbone_settings
from lhy_lightning.data.tokenizers.encoder_source import loaded
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from tests.security.conftest import Planted

CODE = """
import planted
from transformers import {base}
class Own({base}):
    model_type = {model_type!r}
"""
AUTO = {
    "AutoConfig": "own.Own", "AutoModel": "own.Own", "AutoModelForSequenceClassification": "own.Own",
    "AutoModelForTokenClassification": "own.Own", "AutoModelForQuestionAnswering": "own.Own",
    "AutoTokenizer": ["own.Own", "own.Own"],
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> EncoderTokenizer:
    return EncoderTokenizer.train(["a cat sat on the mat", "good food"] * 3, vocabulary_size=60)


@pytest.fixture
def encoder(tmp_path: Path, tokenizer: EncoderTokenizer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny BERT in a folder; whoever asks a question on standard input is told yes."""
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, pad_token_id=tokenizer.pad_id,
    )  # fmt: skip
    folder = tmp_path / "encoder"
    BertModel(config).save_pretrained(folder)
    tokenizer.transformers().save_pretrained(folder)
    return folder


def change(file: Path, **settings: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def with_code(folder: Path, model_type: str) -> None:
    """Says in the folder's files that its classes are those of `own.py`."""
    (folder / "own.py").write_text(CODE.format(base="PretrainedConfig", model_type=model_type))
    change(folder / "config.json", auto_map=AUTO, model_type=model_type)
    change(folder / "tokenizer_config.json", auto_map=AUTO, tokenizer_class="OwnTokenizer")


def uses(folder: Path, tokenizer: EncoderTokenizer) -> dict[str, Callable[[], Any]]:
    settings = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                          intermediate_size=16, max_position_embeddings=32).to_json_string(use_diff=False)  # fmt: skip
    backbone = json.dumps({"config": json.loads(settings), "mean": [0.0], "deviation": [1.0]})
    return {
        "configuration": lambda: encoder_settings(str(folder), tokenizer, pretrained=True),
        "weights": lambda: build_encoder(settings, "classification", labels=("a", "b"), weights=str(folder)),
        "tokenizer": lambda: EncoderTokenizer.from_pretrained(folder),
        "backbone": lambda: backbone_settings(str(folder), channels=3, image_size=(8, 8), pretrained=True),
        "backbone weights": lambda: TransformersClassifier(backbone, 2, weights=str(folder)),
    }


@pytest.mark.parametrize("use", ["configuration", "tokenizer", "backbone"])
def test_code_that_an_encoder_needs_is_not_run_and_that_is_said(
    use: str, encoder: Path, tokenizer: EncoderTokenizer, planted: Planted
) -> None:
    with_code(encoder, "own")
    with pytest.raises(
        ValueError, match=r"needs code of its own for its (configuration|tokenizer) \(auto_map\)"
    ) as said:
        uses(encoder, tokenizer)[use]()
    assert "trust_remote_code" not in str(said.value)
    assert not planted.ran()


def test_an_encoder_that_transformers_has_is_taken_without_the_code_beside_it(
    encoder: Path, tokenizer: EncoderTokenizer, planted: Planted
) -> None:
    with_code(encoder, "bert")
    change(encoder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    change(encoder / "config.json", attn_implementation="somewhere/kernel", _attn_implementation="somewhere/kernel")
    named = uses(encoder, tokenizer)
    settings = named["configuration"]()
    assert not {"auto_map", "attn_implementation", "_attn_implementation"} & set(json.loads(settings))
    assert build_encoder(settings, "classification", labels=("a", "b"), weights=str(encoder)).config.num_labels == 2
    assert len(named["tokenizer"]()) == len(tokenizer)
    assert "auto_map" not in named["backbone"]()
    assert not planted.ran()


def test_code_that_a_checkpoint_names_in_an_encoders_settings_is_not_run(
    encoder: Path, tokenizer: EncoderTokenizer, planted: Planted
) -> None:
    (encoder / "own.py").write_text(CODE.format(base="BertModel", model_type="bert"))
    settings = json.loads(encoder_settings(str(encoder), tokenizer, pretrained=True))
    evil = json.dumps({**settings, "auto_map": dict.fromkeys(AUTO, f"{encoder}--own.Own")})
    network = build_encoder(evil, "classification", labels=("a", "b"))
    assert type(network).__module__.startswith("transformers.")
    assert not planted.ran()


@pytest.mark.parametrize("use", ["weights", "backbone weights"])
def test_pickled_weights_of_an_encoder_run_nothing_and_are_refused_without_advice(
    use: str, encoder: Path, tokenizer: EncoderTokenizer, planted: Planted
) -> None:
    (encoder / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": planted.pickled()}, encoder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="hold Python objects, which can run code") as said:
        uses(encoder, tokenizer)[use]()
    assert "weights_only" not in str(said.value)
    assert said.value.__suppress_context__
    assert not planted.ran()


def test_plain_weights_in_a_pickle_are_read(encoder: Path, tokenizer: EncoderTokenizer) -> None:
    weights = BertModel.from_pretrained(encoder).state_dict()
    (encoder / "model.safetensors").unlink()
    torch.save(weights, encoder / "pytorch_model.bin")
    settings = encoder_settings(str(encoder), tokenizer, pretrained=True)
    taken = build_encoder(settings, "classification", labels=("a", "b"), weights=str(encoder)).bert.state_dict()
    assert torch.equal(taken["embeddings.word_embeddings.weight"], weights["embeddings.word_embeddings.weight"])


@pytest.mark.parametrize("use", ["weights", "backbone weights"])
def test_updates_of_an_encoder_whose_configuration_names_a_module_import_nothing(
    use: str, encoder: Path, tokenizer: EncoderTokenizer, planted: Planted
) -> None:
    described = {
        "peft_type": "LORA", "r": 2, "target_modules": ["query"], "base_model_name_or_path": str(encoder),
        "megatron_config": {"tensor_model_parallel_size": 1}, "megatron_core": "planted",
    }  # fmt: skip
    (encoder / "adapter_config.json").write_text(json.dumps(described))
    torch.save({"a": torch.ones(1)}, encoder / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"has an adapter_config\.json: updates of an encoder"):
        uses(encoder, tokenizer)[use]()
    assert not planted.ran()


def test_a_saved_classifier_reads_its_own_weights_only(
    encoder: Path, tokenizer: EncoderTokenizer, planted: Planted, tmp_path: Path
) -> None:
    settings = encoder_settings(str(encoder), tokenizer, pretrained=True)
    module = BertClassifier(encoder_config=settings, tokenizer=tokenizer.to_json(), class_names=("a", "b"))
    module.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "own.py").write_text(CODE.format(base="BertModel", model_type="bert"))
    change(tmp_path / "saved" / "config.json", auto_map=AUTO)
    again = BertClassifier.from_pretrained(str(tmp_path / "saved"))
    wanted, found = module.state_dict(), again.state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    (tmp_path / "saved" / "model.safetensors").unlink()
    torch.save({"bert.pooler.dense.bias": planted.pickled()}, tmp_path / "saved" / "pytorch_model.bin")
    with pytest.raises(ValueError, match="Python objects"):
        BertClassifier.from_pretrained(str(tmp_path / "saved"))
    assert not planted.ran()


def test_an_image_classifier_of_a_backbone_with_code_says_so(
    encoder: Path, tokenizer: EncoderTokenizer, planted: Planted
) -> None:
    with_code(encoder, "own")
    with pytest.raises(ValueError, match="needs code of its own"):
        ImageClassifier(backbone=str(encoder), num_classes=2, image_size=(8, 8), channels=3)
    assert not planted.ran()


def test_the_code_would_run_if_it_were_trusted(encoder: Path, planted: Planted) -> None:
    """The tricks above are real ones: the same folders run their code where they are trusted."""
    from transformers import AutoConfig

    with_code(encoder, "own")
    AutoConfig.from_pretrained(encoder, trust_remote_code=True)
    assert planted.ran()
    planted.mark.unlink()
    torch.save({"a": planted.pickled()}, encoder / "weights.bin")
    torch.load(encoder / "weights.bin", weights_only=False)
    assert planted.ran()


def test_every_load_is_told_to_trust_nothing() -> None:
    asked: list[dict[str, Any]] = []

    def from_pretrained(name: str, **arguments: Any) -> None:
        asked.append(arguments)

    loaded(from_pretrained, "anything", "tokenizer")
    assert asked == [{"trust_remote_code": False}]
