import pytest
import torch

from lhy_lightning.seq2seq.marian import to_m2m100, to_marian
from lhy_lightning.seq2seq.transformer import Transformer


def tiny(norm, *, source=30, target=30, **settings):
    torch.manual_seed(0)
    sizes = {"encoder_layers": 2, "decoder_layers": 1, "width": 16, "heads": 2, "feedforward": 24} | settings
    model = Transformer(source, target, norm=norm, **sizes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) / 3)
    return model


def batch(s=9, t=40):
    torch.manual_seed(1)
    source, target = torch.randint(5, 25, (3, s)), torch.randint(5, 25, (3, t))
    source[1, 5:] = 0
    target[:, 0] = 1
    return source, target


@torch.no_grad()
def both_logits(model, theirs):
    source, target = batch()
    ours = model.project(model.decode(target, model.encode(source)).states)
    return ours, theirs(input_ids=source, attention_mask=(source != 0).long(), decoder_input_ids=target).logits


@pytest.mark.parametrize("share_embeddings", ["all", "decoder", "none"])
def test_marian_gives_the_same_logits(share_embeddings):
    for activation in ("relu", "gelu", "silu"):
        target = 30 if share_embeddings == "all" else 27
        model = tiny("post", target=target, share_embeddings=share_embeddings, activation=activation)
        ours, theirs = both_logits(model, to_marian(model))
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("share_embeddings", ["all", "decoder", "none"])
def test_m2m100_gives_the_same_logits(share_embeddings):
    for activation in ("relu", "gelu", "silu"):
        model = tiny("pre", share_embeddings=share_embeddings, activation=activation)
        ours, theirs = both_logits(model, to_m2m100(model))
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(("norm", "convert"), [("post", to_marian), ("pre", to_m2m100)])
@pytest.mark.parametrize("share_embeddings", ["all", "decoder", "none"])
def test_a_saved_and_loaded_model_gives_them_too(norm, convert, share_embeddings, tmp_path):
    model = tiny(norm, share_embeddings=share_embeddings)
    theirs = convert(model)
    theirs.save_pretrained(tmp_path)
    ours, loaded = both_logits(model, type(theirs).from_pretrained(tmp_path).eval())
    assert torch.allclose(ours, loaded, atol=1e-5)


@pytest.mark.parametrize(("norm", "convert"), [("post", to_marian), ("pre", to_m2m100)])
@torch.no_grad()
def test_greedy_decoding_of_both_agrees(norm, convert):
    model = tiny(norm)
    source, _ = batch()
    length = 12
    theirs = convert(model).generate(
        input_ids=source, attention_mask=(source != 0).long(), max_new_tokens=length, min_new_tokens=length, num_beams=1
    )
    state = model.start(model.encode(source), beams=1, max_length=length)
    ids = [torch.ones(3, 1, dtype=torch.long)]
    for _ in range(length):
        scores = model.project(model.step(ids[-1], state).states)
        scores[..., 2] = float("-inf")  # no end
        ids.append(scores.argmax(-1))
    assert torch.equal(torch.cat(ids, 1), theirs)


def test_another_padding_id_moves_m2m100s_positions_and_ours_alike():
    model = tiny("pre", pad_id=3)
    source, target = batch()
    source[source == 0] = 3
    ours = model.project(model.decode(target, model.encode(source)).states)
    theirs = to_m2m100(model)(input_ids=source, attention_mask=(source != 3).long(), decoder_input_ids=target).logits
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_the_copy_does_not_change_with_the_original():
    model = tiny("post")
    theirs = to_marian(model)
    before = theirs.lm_head.weight.clone()
    with torch.no_grad():
        model.output_weight.zero_()
    assert torch.equal(theirs.lm_head.weight, before)


@pytest.mark.parametrize(
    ("convert", "norm", "settings", "message"),
    [
        (to_marian, "pre", {}, "post-norm"),
        (to_m2m100, "post", {}, "pre-norm"),
        (to_marian, "post", {"positions": "rotary"}, "rotary"),
        (to_m2m100, "pre", {"positions": "learned"}, "learned"),
        (to_marian, "post", {"activation": "swiglu"}, "swiglu"),
        (to_m2m100, "pre", {"target": 27, "share_embeddings": "none"}, "one vocabulary size"),
    ],
)
def test_what_they_do_not_have_is_an_error(convert, norm, settings, message):
    with pytest.raises(ValueError, match=message):
        convert(tiny(norm, **settings))
