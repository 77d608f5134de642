import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from lhy_lightning.decoding.interface import Seq2SeqBody
from lhy_lightning.seq2seq.transformer import Transformer

NORMS = ("post", "pre")
ACTIVATIONS = ("relu", "gelu", "silu", "swiglu")
POSITIONS = ("sinusoidal", "learned", "rotary")
SHARING = ("all", "decoder", "none")


def tiny(**settings):
    """Two layers, with biases and norms that are not their neutral values."""
    torch.manual_seed(0)
    sizes = {"layers": 2, "width": 16, "heads": 2, "feedforward": 24} | settings
    source = 20 if sizes.get("share_embeddings", "all") == "all" else 23
    model = Transformer(source, 20, **sizes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) / 3)
    return model


def batch(n=3, s=7, t=6):
    torch.manual_seed(1)
    source, target = torch.randint(5, 20, (n, s)), torch.randint(5, 20, (n, t))
    source[1, 4:] = 0
    target[2:, 3:] = 0
    target[:, 0] = 1
    return source, target


def logits(model, source, target):
    return model.project(model.decode(target, model.encode(source)).states)


# --- a slow plain version -------------------------------------------------------------------------------------------


def plain_positions(kind, norm, t, width):
    """Position t's vector, added to the embedding."""
    if kind == "rotary":
        return torch.zeros(width)
    half = width // 2
    rates = [10000 ** (-i / half) if norm == "post" else 10000 ** (-i / (half - 1)) for i in range(half)]
    place = t if norm == "post" else t + 1
    return torch.tensor([math.sin(place * rate) for rate in rates] + [math.cos(place * rate) for rate in rates])


def plain_turned(x, t):
    """Vector x of a head, each pair of features turned by its angle."""
    half = len(x) // 2
    angles = torch.tensor([t * 10000 ** (-i / half) for i in range(half)])
    a, b = x[:half], x[half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()])


def plain_attention(queries, keys, values, heads, visible, turned):
    """Of one sentence, (T, D) over (S, D), token by token and head by head; `visible(t, s)` says who sees whom."""
    width = queries.shape[1] // heads
    output, shown = torch.zeros_like(queries), torch.zeros(heads, len(queries), len(keys))
    for h, t in itertools.product(range(heads), range(len(queries))):
        part = slice(h * width, (h + 1) * width)
        seen = [s for s in range(len(keys)) if visible(t, s)]
        query = plain_turned(queries[t, part], t) if turned else queries[t, part]
        scores = torch.stack([query @ (plain_turned(keys[s, part], s) if turned else keys[s, part]) for s in seen])
        weights = torch.exp(scores / width**0.5) / torch.exp(scores / width**0.5).sum()
        for weight, s in zip(weights, seen, strict=True):
            output[t, part] += weight * values[s, part]
            shown[h, t, s] = weight
    return output, shown


def plain_layer(layer, x, model, visible, source=None, source_mask=None):
    """One sentence through an encoder or decoder layer."""

    def sublayer(x, residual, function):
        if model.norm == "pre":
            return x + function(residual.norm(x))
        return residual.norm(x + function(x))

    shown = None

    def itself(x):
        query, key, value = F.linear(
            x, layer.attention.query_key_value.weight, layer.attention.query_key_value.bias
        ).chunk(3, -1)
        turned = model.positions == "rotary"
        return layer.attention.output(plain_attention(query, key, value, model.heads, visible, turned)[0])

    def across(x):
        nonlocal shown
        key, value = layer.cross.key_value(source).chunk(2, -1)
        output, shown = plain_attention(
            layer.cross.query(x), key, value, model.heads, lambda t, s: bool(source_mask[s]), False
        )
        return layer.cross.output(output)

    def forward(x):
        inner = layer.feedforward.inner(x)
        if model.activation == "swiglu":
            gate, up = inner[:, : model.feedforward], inner[:, model.feedforward :]
            hidden = gate * gate.sigmoid() * up
        elif model.activation == "gelu":
            hidden = inner * (1 + torch.erf(inner / 2**0.5)) / 2
        else:
            hidden = inner.clamp(min=0) if model.activation == "relu" else inner * inner.sigmoid()
        return layer.feedforward.outer(hidden)

    x = sublayer(x, layer.attention_residual, itself)
    if source is not None:
        x = sublayer(x, layer.cross_residual, across)
    return sublayer(x, layer.feedforward_residual, forward), shown


def plain(model, source_ids, target_ids):
    """Logits (T, V) and every layer's cross-attention weights of one sentence pair."""

    def embedded(ids, table, learned):
        rows = []
        for t, token in enumerate(ids.tolist()):
            if model.positions == "learned":
                place = learned.table[t]
            else:
                place = plain_positions(model.positions, model.norm, t, model.width)
            rows.append(table.weight[token] * model.width**0.5 + place)
        return torch.stack(rows)

    mask = source_ids != 0
    memory = embedded(source_ids, model.source_embedding, model.source_positions)
    for layer in model.encoder:
        memory, _ = plain_layer(layer, memory, model, lambda t, s: bool(mask[s]))
    memory = model.encoder_norm(memory)
    x, shown = embedded(target_ids, model.target_embedding, model.target_positions), []
    for layer in model.decoder:
        x, weights = plain_layer(layer, x, model, lambda t, s: s <= t, memory, mask)
        shown.append(weights)
    weight = {
        "all": model.source_embedding.weight,
        "decoder": model.target_embedding.weight,
        "none": model.output_weight,
    }[model.share_embeddings]
    return model.decoder_norm(x) @ weight.T, torch.stack(shown), memory


@pytest.mark.parametrize("share_embeddings", SHARING)
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("norm", NORMS)
@torch.no_grad()
def test_every_setting_equals_a_slow_plain_version(norm, positions, share_embeddings):
    for activation in ACTIVATIONS:
        model = tiny(norm=norm, positions=positions, share_embeddings=share_embeddings, activation=activation)
        source, target = batch(2, 5, 4)
        memory = model.encode(source)
        decoded = model.decode(target, memory, attention=True)
        ours = model.project(decoded.states)
        for row in range(2):
            expected, shown, states = plain(model, source[row], target[row])
            real = source[row] != 0
            assert torch.allclose(ours[row], expected, atol=1e-5), activation
            assert torch.allclose(decoded.attention[row], shown[-1].mean(0), atol=1e-5)
            assert torch.allclose(memory.states[row][real], states[real], atol=1e-5)
            assert torch.allclose(decoded.context[row], decoded.attention[row][:, real] @ states[real], atol=1e-5)


# --- what must not change anything ----------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("positions", POSITIONS)
@torch.no_grad()
def test_padding_and_batch_mates_never_change_a_sentence(norm, positions):
    model = tiny(norm=norm, positions=positions)
    source, target = batch()
    together = logits(model, F.pad(source, (0, 3)), F.pad(target, (0, 5)))
    for row in range(3):
        s, t = (source[row] != 0).sum(), (target[row] != 0).sum()
        alone = logits(model, source[row : row + 1, :s], target[row : row + 1, :t])
        assert torch.allclose(together[row, :t], alone[0], atol=1e-5)


@pytest.mark.parametrize("positions", POSITIONS)
@torch.no_grad()
def test_changing_a_later_token_leaves_earlier_outputs_bit_equal(positions):
    model = tiny(positions=positions)
    source, target = batch()
    before = logits(model, source, target)
    for t in range(1, 6):
        changed = target.clone()
        changed[:, t:] = torch.where(target[:, t:] == 0, 0, 5 + (target[:, t:] + 3) % 15)
        after = logits(model, source, changed)
        real = target != 0
        assert torch.equal(after[:, :t][real[:, :t]], before[:, :t][real[:, :t]])
        assert not torch.allclose(after[:, t][real[:, t]], before[:, t][real[:, t]])


@torch.no_grad()
def test_padding_is_not_even_computed_on_a_cpu_and_gives_what_computing_it_gives(monkeypatch):
    from lhy_lightning.layers.transformer.packing import Packing
    from lhy_lightning.seq2seq import transformer

    model = tiny()
    source, target = batch()
    packed = logits(model, source, target)
    memory = model.encode(source)
    rows = []
    model.encoder[0].feedforward.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    model.encode(source)
    assert rows == [3 * 7 - 3]
    assert not memory.states[1, 4:].any()
    monkeypatch.setattr(transformer.Packing, "of", classmethod(lambda cls, real: Packing(*real.shape)))
    real = target != 0
    assert torch.allclose(logits(model, source, target)[real], packed[real], atol=1e-6)


@torch.no_grad()
def test_a_padding_id_before_the_last_token_is_a_token():
    model = tiny()
    source, target = batch()
    target[2] = torch.tensor([0, 7, 0, 8, 0, 0])  # Marian starts with it
    rows = model.decode(model.embed_target(target), model.encode(source)).states
    assert torch.allclose(model.decode(target, model.encode(source)).states[2, :4], rows[2, :4], atol=1e-6)


@torch.no_grad()
def test_embeddings_decode_like_the_ids_that_they_are_of():
    for share in SHARING:
        model = tiny(share_embeddings=share)
        source, target = batch()
        memory = model.encode(source)
        real = target != 0
        by_ids = model.decode(target, memory).states
        by_embeddings = model.decode(model.embed_target(target), memory).states
        assert torch.allclose(by_ids[real], by_embeddings[real], atol=1e-6)


# --- attention ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_asking_for_attention_changes_no_state():
    model = tiny()
    source, target = batch()
    memory = model.encode(source)
    plain_states = model.decode(target, memory)
    asked = model.decode(target, memory, attention=True)
    assert plain_states.attention is None
    assert plain_states.context is None
    assert torch.allclose(asked.states, plain_states.states, atol=1e-5)
    assert asked.attention.dtype == torch.float32
    assert torch.allclose(asked.attention.sum(-1), torch.ones(3, 6))
    assert not asked.attention[1, :, 4:].any()


@torch.no_grad()
def test_weights_are_those_of_the_layer_and_the_first_heads_asked_for():
    source, target = batch(2, 5, 4)
    for layer, heads in ((0, None), (1, 1), (-1, 2), (-2, 1)):
        model = tiny(attention_layer=layer, attention_heads=heads)
        _, shown, _ = plain(model, source[0], target[0])
        decoded = model.decode(target, model.encode(source), attention=True)
        assert torch.allclose(decoded.attention[0], shown[layer, :heads].mean(0), atol=1e-5)


def test_a_loss_on_the_weights_reaches_queries_and_keys():
    model = tiny()
    source, target = batch()
    attention = model.decode(target, model.encode(source), attention=True).attention
    attention[..., 0].sum().backward()
    for linear in (model.decoder[1].cross.query, model.decoder[1].cross.key_value):
        assert linear.weight.grad.abs().sum() > 0


# --- token by token -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("positions", POSITIONS)
@torch.no_grad()
def test_cached_decoding_equals_full_recomputation_through_reorders_and_keeps(norm, positions):
    model = tiny(norm=norm, positions=positions)
    source, _ = batch(5)
    memory = model.encode(source)
    beams = 3
    state = model.start(memory, beams=beams, max_length=45, attention=True)
    ids = torch.ones(5, 1, dtype=torch.long)
    prefixes = ids[:, :, None]  # (B, K, T) what each hypothesis was fed
    rows = torch.arange(5)
    for step in range(45):  # longer than the cache is at first
        one = model.step(ids, state)
        b, k, t = prefixes.shape
        repeated = model.encode(source[rows].repeat_interleave(k, 0))
        whole = model.decode(prefixes.flatten(0, 1), repeated, attention=True)
        for newest, full in (
            (one.states, whole.states),
            (one.attention, whole.attention),
            (one.context, whole.context),
        ):
            assert torch.allclose(newest, full[:, -1].view(b, k, -1), atol=1e-5), step
        if step in (7, 20):
            kept = torch.tensor([0, 2, 3]) if step == 7 else torch.tensor([2, 0])
            state.keep(kept)
            prefixes, rows = prefixes[kept], rows[kept]
        if step % 5 != 4:  # sometimes nobody changes places
            next_k = int(torch.randint(1, beams + 1, ()))
            parents = torch.randint(0, k, (len(rows), next_k))
            state.reorder(parents)
            prefixes = prefixes.gather(1, parents[..., None].expand(-1, -1, t))
        ids = torch.randint(5, 20, prefixes.shape[:2])
        prefixes = torch.cat([prefixes, ids[..., None]], 2)


@torch.no_grad()
def test_one_hypothesis_needs_no_ancestors():
    model = tiny()
    source, target = batch(t=6)
    target[2] = target[1]
    state = model.start(model.encode(source), beams=1, max_length=6)
    whole = model.decode(target, model.encode(source)).states
    for t in range(6):
        one = model.step(target[:, t : t + 1], state)
        assert one.attention is None
        assert torch.allclose(one.states[:, 0], whole[:, t], atol=1e-5)
        state.reorder(torch.zeros(3, 1, dtype=torch.long))
    assert state.ancestors is None


@torch.no_grad()
def test_reordering_moves_neither_keys_nor_what_belongs_to_the_source():
    model = tiny()
    source, _ = batch()
    state = model.start(model.encode(source), beams=2, max_length=4)
    model.step(torch.ones(3, 1, dtype=torch.long), state)
    before = [cache.keys.data_ptr() for cache in state.caches] + [key.data_ptr() for key, _ in state.sources]
    state.reorder(torch.zeros(3, 2, dtype=torch.long))
    model.step(torch.full((3, 2), 7), state)
    assert [cache.keys.data_ptr() for cache in state.caches] + [key.data_ptr() for key, _ in state.sources] == before
    assert all(len(key) == 3 for key, _ in state.sources)


@torch.no_grad()
def test_more_steps_or_hypotheses_than_decoding_was_started_for_are_errors():
    model = tiny()
    source, _ = batch()
    memory = model.encode(source)
    state = model.start(memory, beams=2, max_length=1)
    with pytest.raises(ValueError, match="2 hypotheses"):
        model.step(torch.ones(3, 3, dtype=torch.long), state)
    model.step(torch.ones(3, 1, dtype=torch.long), state)
    with pytest.raises(ValueError, match="1 tokens"):
        model.step(torch.ones(3, 1, dtype=torch.long), state)
    state = model.start(memory, beams=2, max_length=2)
    model.step(torch.ones(3, 1, dtype=torch.long), state)
    with pytest.raises(ValueError, match="reorder"):
        model.step(torch.ones(3, 2, dtype=torch.long), state)


# --- training -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm", "positions", "activation"), [("post", "learned", "gelu"), ("pre", "rotary", "swiglu")]
)
def test_gradients_equal_finite_differences(norm, positions, activation):
    torch.manual_seed(0)
    settings = {"norm": norm, "positions": positions, "activation": activation, "share_embeddings": "decoder"}
    model = Transformer(7, 6, layers=1, width=4, heads=2, feedforward=4, max_positions=4, **settings).double().eval()
    source, target = torch.tensor([[3, 5, 2], [4, 2, 0]]), torch.tensor([[1, 3, 4], [1, 5, 0]])
    names, values = zip(*model.named_parameters(), strict=True)

    def loss(*values):
        outputs = torch.func.functional_call(model, dict(zip(names, values, strict=True)), (source, target))
        return outputs.log_softmax(-1)[target != 0].square().sum()

    model.forward = lambda source, target: logits(model, source, target)
    values = [value.detach().requires_grad_() for value in values]
    assert torch.autograd.gradcheck(loss, values, eps=1e-6, atol=1e-6, fast_mode=True)


def test_dropout_is_drawn_in_training_alone_and_anew_for_each_place():
    model = tiny(dropout=0.3, attention_dropout=0.2, activation_dropout=0.2)
    source, target = batch()
    evaluated = logits(model, source, target)
    assert torch.equal(evaluated, logits(model, source, target))
    model.train()
    torch.manual_seed(5)
    drawn = logits(model, source, target)
    assert not torch.allclose(drawn, logits(model, source, target))
    torch.manual_seed(5)
    assert torch.equal(drawn, logits(model, source, target))


@pytest.mark.parametrize("norm", NORMS)
def test_a_few_updates_learn_to_copy(norm):
    torch.manual_seed(0)
    model = Transformer(12, 12, layers=1, width=32, heads=4, feedforward=64, norm=norm, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(120):
        words = torch.randint(5, 12, (32, 5))
        states = model.decode(F.pad(words[:, :-1], (1, 0), value=1), model.encode(words)).states
        loss = F.cross_entropy(model.project(states).flatten(0, 1), words.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3


def test_mixed_precision_trains_and_decodes():
    model = tiny(dropout=0.1, attention_layer=0).train()
    source, target = batch()
    with torch.autocast("cpu", torch.bfloat16):
        decoded = model.decode(target, model.encode(source), attention=True)
        model.project(decoded.states).float().square().mean().backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
        model.eval()
        state = model.start(model.encode(source), beams=2, max_length=3, attention=True)
        model.step(target[:, :1], state)
        state.reorder(torch.zeros(3, 2, dtype=torch.long))
        one = model.step(target[:, 1:2].expand(3, 2), state)
        whole = model.decode(target, model.encode(source), attention=True)
    assert decoded.attention.dtype == torch.float32
    assert torch.allclose(one.states[:, 0].float(), whole.states[:, 1].float(), atol=0.1)


def test_weights_start_as_fairseqs():
    torch.manual_seed(0)
    model = Transformer(
        4000, 4000, layers=1, width=64, heads=4, feedforward=256, activation="swiglu", positions="learned"
    )
    assert model.source_embedding.weight.std().item() == pytest.approx(1 / 8, rel=0.02)
    assert model.source_positions.table.std().item() == pytest.approx(1 / 8, rel=0.02)
    layer = model.decoder[0]
    for matrix, ins, outs, gain in (
        (layer.attention.query_key_value.weight, 64, 64, 0.5),
        (layer.cross.key_value.weight, 64, 64, 0.5),
        (layer.cross.query.weight, 64, 64, 0.5),
        (layer.cross.output.weight, 64, 64, 1),
        (layer.feedforward.inner.weight, 64, 256, 1),
        (layer.feedforward.outer.weight, 256, 64, 1),
    ):
        bound = (gain * 6 / (ins + outs)) ** 0.5
        assert 0.97 * bound < matrix.abs().max().item() <= bound
    assert not layer.attention.query_key_value.bias.any()


# --- settings -------------------------------------------------------------------------------------------------------


def test_it_is_a_body():
    assert isinstance(tiny(), Seq2SeqBody)
    weight, bias = tiny().output_layer()
    assert weight.shape == (20, 16)
    assert bias is None


@pytest.mark.parametrize(("share_embeddings", "matrices"), [("all", 1), ("decoder", 2), ("none", 3)])
def test_shared_embeddings_are_one_parameter(share_embeddings, matrices):
    model = tiny(share_embeddings=share_embeddings)
    assert sum(parameter.shape[0] in (20, 23) for parameter in model.parameters()) == matrices
    again = tiny(share_embeddings=share_embeddings)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.output_weight, model.output_weight)


def test_encoder_and_decoder_may_differ_in_depth():
    model = Transformer(9, 9, encoder_layers=3, decoder_layers=1, width=8, heads=2, feedforward=8)
    assert (len(model.encoder), len(model.decoder)) == (3, 1)


def test_fixed_tables_are_no_weights():
    for positions in ("sinusoidal", "rotary"):
        assert not any("table" in name or "sines" in name for name in tiny(positions=positions).state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "sandwich"}, "norm is one of"),
        ({"activation": "tanh"}, "activation is one of"),
        ({"positions": "alibi"}, "positions is one of"),
        ({"share_embeddings": True}, "share_embeddings is one of"),
        ({"heads": 3}, "heads must divide"),
        ({"attention_layer": 2}, "attention_layer"),
        ({"attention_heads": 0}, "attention_heads"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_settings_that_do_not_exist_are_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        Transformer(20, 20, **{"layers": 2, "width": 16, "heads": 2, "feedforward": 24} | settings)


def test_one_matrix_for_all_embeddings_needs_a_joint_vocabulary():
    with pytest.raises(ValueError, match="joint vocabulary"):
        Transformer(20, 21)
