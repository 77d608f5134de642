"""Any family of encoders under a head: attention, depth of its weights, freezing, LoRA, and what does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification

from lhy_lightning.bert import encoder as encoder_module
from lhy_lightning.bert.encoder import (
    HEADS,
    build_encoder,
    encoder_settings,
    has_unused_weights,
    longest_sequence,
    parameters_of,
    small_settings,
)
from lhy_lightning.bert.layer_depth import encoder_layers, freeze, parameter_depths
from lhy_lightning.bert.lora import add_lora, without_lora
from lhy_lightning.bert.optimization import layer_groups
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer

SIZES = {
    "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 40, "pad_token_id": 0,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {}, "roberta": {}, "xlm-roberta": {}, "electra": {"embedding_size": 16}, "albert": {"embedding_size": 16},
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 64}, "mpnet": {},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False},
}  # fmt: skip
WITHOUT_SDPA = ("deberta-v2", "mpnet")


def settings(family: str, **more: Any) -> str:
    config = AutoConfig.for_model(family, **{**SIZES, **FAMILIES[family], **more}).to_dict()
    return json.dumps({**config, **{name: 0.0 for name in config if "drop" in name}}, default=str)


def batch(rows: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 60, (rows, 16), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, 9:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_goes_under_every_head_with_the_fastest_attention_it_has(family: str, head: Any) -> None:
    labels = () if head == "question_answering" else ("a", "b", "c")
    network = build_encoder(settings(family), head, labels=labels)
    assert network.config._attn_implementation == ("eager" if family in WITHOUT_SDPA else "sdpa")
    found = network(**batch())
    if head == "question_answering":
        assert found.start_logits.shape == found.end_logits.shape == (4, 16)
    else:
        assert found.logits.shape == ((4, 3) if head == "classification" else (4, 16, 3))
        assert network.config.id2label == {0: "a", 1: "b", 2: "c"}


def test_a_family_without_sdpa_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(encoder_module, "rank_zero_info", said.append)
    monkeypatch.setattr(encoder_module, "_said", set())
    for _ in range(3):
        build_encoder(settings("mpnet"), "tagging", labels=("a", "b"))
        build_encoder(settings("bert"), "tagging", labels=("a", "b"))
    assert said == ["mpnet encoders have no SDPA attention in transformers: eager is used."]


@pytest.mark.parametrize("family", FAMILIES)
def test_depth_counts_from_the_embeddings_through_the_layers_to_the_head(family: str) -> None:
    network = build_encoder(settings(family), "classification", labels=("a", "b"))
    depths, layers = parameter_depths(network)
    assert layers == len(encoder_layers(network)) == (1 if family == "albert" else 3)
    assert set(depths) == {name for name, _ in network.named_parameters()}
    for name, depth in depths.items():
        if name.startswith("classifier") or "pooler" in name:
            assert depth == layers + 1, name
        elif "word_embeddings" in name:
            assert depth == 0, name
        elif family != "albert" and ".layer." in name:
            assert depth == int(name.split(".layer.")[1].split(".")[0]) + 1, name


@pytest.mark.parametrize("family", ["bert", "electra", "deberta-v2", "distilbert"])
def test_frozen_layers_stay_as_they_are_and_the_others_move(family: str) -> None:
    network = build_encoder(settings(family), "classification", labels=("a", "b"))
    freeze(network, 2)
    depths, _ = parameter_depths(network)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    optimizer = torch.optim.SGD(layer_groups(network, 0.5, 0.0))
    network(**batch()).logits.square().sum().backward()
    optimizer.step()
    for name, value in network.named_parameters():
        if depths[name] <= 2:
            assert torch.equal(value, before[name]), name
    moving = [
        name for name, depth in depths.items() if depth >= 3 and name.endswith("weight") and "norm" not in name.lower()
    ]
    assert {depths[name] for name in moving} == {3, 4}
    assert all(not torch.equal(network.get_parameter(name), before[name]) for name in moving)


def test_freezing_more_layers_than_there_are_is_an_error() -> None:
    network = build_encoder(settings("bert"), "classification", labels=("a", "b"))
    with pytest.raises(ValueError, match="freeze_layers=4: the encoder has 3 layers"):
        freeze(network, 4)
    freeze(network, 0)
    assert not network.bert.embeddings.word_embeddings.weight.requires_grad
    assert all(p.requires_grad for p in network.bert.encoder.parameters())


def test_each_layer_learns_slower_than_the_one_above_and_norms_and_biases_do_not_decay() -> None:
    network = build_encoder(settings("bert"), "classification", labels=("a", "b"))
    groups = layer_groups(network, 1e-3, 0.01, layer_decay=0.5)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(rate) == len(list(network.parameters()))
    assert rate[id(network.classifier.weight)] == rate[id(network.bert.pooler.dense.weight)] == 1e-3
    for place, layer in enumerate(network.bert.encoder.layer):
        assert {rate[id(p)] for p in layer.parameters()} == {1e-3 * 0.5 ** (3 - place)}
    assert rate[id(network.bert.embeddings.word_embeddings.weight)] == 1e-3 * 0.5**4
    for name, parameter in network.named_parameters():
        assert decay[id(parameter)] == (0.0 if name.endswith("bias") or "LayerNorm" in name else 0.01), name
    assert len(layer_groups(network, 1e-3, 0.01)) == 2
    with pytest.raises(ValueError, match=r"layer_decay=1\.5"):
        layer_groups(network, 1e-3, 0.01, layer_decay=1.5)
    with pytest.raises(ValueError, match="nothing is left to train"):
        layer_groups(network.requires_grad_(False), 1e-3, 0.01)


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_starts_as_the_network_trains_a_few_weights_and_is_merged_without_a_trace(family: str) -> None:
    network = build_encoder(settings(family), "classification", labels=("a", "b")).eval()
    plain, before = type(network), network(**batch()).logits.detach()
    everything = parameters_of(network)
    wrapped = add_lora(network, rank=2, alpha=4, dropout=0.0).eval()
    assert torch.allclose(wrapped(**batch()).logits, before, atol=1e-6)
    assert parameters_of(wrapped) < 0.6 * everything
    trained = {name for name, p in wrapped.named_parameters() if p.requires_grad}
    assert all("lora_" in name or "modules_to_save" in name for name in trained)
    assert any("classifier" in name for name in trained)
    optimizer = torch.optim.SGD(layer_groups(wrapped, 0.5, 0.0))
    for _ in range(3):
        optimizer.zero_grad()
        wrapped(**batch()).logits.square().sum().backward()
        optimizer.step()
    after = wrapped(**batch()).logits.detach()
    assert not torch.allclose(after, before, atol=1e-3)
    merged = without_lora(wrapped)
    assert type(merged) is plain
    assert not [name for name in merged.state_dict() if "lora" in name]
    assert torch.allclose(merged.eval()(**batch()).logits, after, atol=1e-5)
    assert torch.equal(wrapped(**batch()).logits, after)  # merged in a copy
    assert without_lora(network) is network


def test_layer_decay_reaches_the_updates_of_lora() -> None:
    network = add_lora(build_encoder(settings("bert"), "tagging", labels=("a", "b")), rank=2, alpha=4, dropout=0.0)
    depths, layers = parameter_depths(network)
    assert layers == 3
    found = {depth for name, depth in depths.items() if "lora_" in name}
    assert found == {1, 2, 3}


def test_a_rank_below_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="lora_rank=-1: at least 1"):
        add_lora(build_encoder(settings("bert"), "tagging", labels=("a", "b")), rank=-1, alpha=4, dropout=0.0)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for on in (False, True):
        torch.manual_seed(0)
        network = build_encoder(settings("bert"), "tagging", labels=("a", "b"), gradient_checkpointing=on)
        assert network.bert.encoder.layer[0].gradient_checkpointing is on
        network(**batch()).logits.square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_trained_weights_are_taken_and_a_folder_that_lacks_some_is_refused(
    tiny_encoder: Path, tokenizer: EncoderTokenizer, tmp_path: Path
) -> None:
    described = encoder_settings(str(tiny_encoder), tokenizer, pretrained=True)
    first, second = (
        build_encoder(described, "classification", labels=("a", "b"), weights=str(tiny_encoder)) for _ in range(2)
    )
    for (name, one), (_, two) in zip(first.bert.named_parameters(), second.bert.named_parameters(), strict=True):
        assert torch.equal(one, two), name
    assert not torch.equal(first.classifier.weight, second.classifier.weight)
    deeper = {**json.loads(described), "num_hidden_layers": 3}
    with pytest.raises(ValueError, match=r"has no weights.* for 16 tensors of the encoder"):
        build_encoder(json.dumps(deeper), "classification", labels=("a", "b"), weights=str(tiny_encoder))


def test_half_precision_weights_are_trained_in_float32(
    tiny_encoder: Path, tokenizer: EncoderTokenizer, tmp_path: Path
) -> None:
    half = AutoModelForSequenceClassification.from_pretrained(tiny_encoder).half()
    half.save_pretrained(tmp_path)
    described = encoder_settings(str(tmp_path), tokenizer, pretrained=True)
    for weights in (str(tmp_path), None):
        network = build_encoder(described, "tagging", labels=("a",), weights=weights)
        assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_a_head_of_another_size_is_replaced(tiny_encoder: Path, tokenizer: EncoderTokenizer, tmp_path: Path) -> None:
    AutoModelForSequenceClassification.from_pretrained(tiny_encoder, num_labels=7).save_pretrained(tmp_path)
    described = encoder_settings(str(tmp_path), tokenizer, pretrained=True)
    network = build_encoder(described, "classification", labels=("a", "b"), weights=str(tmp_path))
    assert network.classifier.out_features == 2
    assert build_encoder(described, "classification", regression=True, weights=str(tmp_path)).config.num_labels == 1


def test_a_tokenizer_that_does_not_fit_its_encoder_is_an_error(tiny_encoder: Path) -> None:
    larger = EncoderTokenizer.train([chr(0x4E00 + place) for place in range(400)], vocabulary_size=300)
    with pytest.raises(
        ValueError, match=r"tokenizer has 300 pieces, encoder .* has embeddings for 1\d\d.*fetch tokenizer\.json"
    ):
        encoder_settings(str(tiny_encoder), larger, pretrained=True)
    network = build_encoder(encoder_settings(str(tiny_encoder), larger, pretrained=False), "tagging", labels=("a",))
    assert network.get_input_embeddings().num_embeddings == 300
    other = json.loads(EncoderTokenizer.train(["a b"]).to_json())
    other["settings"]["specials"]["pad_token"] = "[MASK]"
    with pytest.raises(ValueError, match=r"tokenizer pads with id 4, encoder .* with 0"):
        encoder_settings(str(tiny_encoder), EncoderTokenizer.from_json(json.dumps(other)), pretrained=True)


def test_a_hub_id_without_network_says_how_to_point_to_a_folder(tokenizer: EncoderTokenizer) -> None:
    with pytest.raises(FileNotFoundError, match=r"its configuration could not.*point --model.encoder to a local"):
        encoder_settings("bert-base-chinese", tokenizer, pretrained=True)


def test_dropout_is_set_in_every_place_a_family_has_one(tmp_path: Path, tokenizer: EncoderTokenizer) -> None:
    for family in FAMILIES:
        AutoConfig.for_model(family, **{**SIZES, **FAMILIES[family], "vocab_size": 200}).save_pretrained(tmp_path)
        described = encoder_settings(str(tmp_path), tokenizer, pretrained=True, dropout=0.3)
        network = build_encoder(described, "classification", labels=("a", "b"))
        found = {part.p for part in network.modules() if "Dropout" in type(part).__name__ and hasattr(part, "p")}
        assert found <= {0.3}, family


def test_the_longest_sequence_leaves_out_the_positions_that_roberta_does_not_use(tokenizer: EncoderTokenizer) -> None:
    assert longest_sequence(settings("bert"), tokenizer) == 40
    assert longest_sequence(settings("roberta", pad_token_id=1), tokenizer) == 38
    assert longest_sequence(settings("deberta-v2"), tokenizer) == 512  # no positions: what the tokenizer says


def test_a_small_encoder_has_the_sizes_asked_for(tokenizer: EncoderTokenizer) -> None:
    sizes: dict[str, Any] = {"layers": 3, "width": 48, "heads": 4, "feedforward": 96, "max_positions": 64}
    network = build_encoder(small_settings(tokenizer, dropout=None, **sizes), "tagging", labels=("a", "b"))
    assert len(encoder_layers(network)) == 3
    assert network.get_input_embeddings().weight.shape == (len(tokenizer), 48)
    assert network.config.hidden_dropout_prob == 0.1
    with pytest.raises(ValueError, match="width=50 cannot be divided among heads=4"):
        small_settings(tokenizer, dropout=None, **{**sizes, "width": 50})
    with pytest.raises(ValueError, match="heads=0: an encoder has at least 1"):
        small_settings(tokenizer, dropout=None, **{**sizes, "heads": 0})
    with pytest.raises(ValueError, match=r"dropout=2\.0: a share of the features"):
        small_settings(tokenizer, dropout=2.0, **sizes)


def test_weights_that_a_head_does_not_use_are_noticed() -> None:
    network = build_encoder(settings("bert"), "tagging", labels=("a", "b"))
    assert not has_unused_weights(network, batch())
    assert all(p.grad is None for p in network.parameters())
    network.bert.pooler = torch.nn.Linear(32, 32)
    assert has_unused_weights(network, batch())
    network.bert.pooler.requires_grad_(False)
    assert not has_unused_weights(network, batch())
    assert not has_unused_weights(build_encoder(settings("electra"), "question_answering"), batch())
