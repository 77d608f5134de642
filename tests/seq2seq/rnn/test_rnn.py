"""The recurrent translator is its papers' equations, whatever the batch, the padding and the way of decoding."""

import math
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lhy_lightning.decoding.interface import Seq2SeqBody
from lhy_lightning.seq2seq.rnn.attention import MonotonicAttention, expected_stop, first_stop
from lhy_lightning.seq2seq.rnn.bidirectional import BidirectionalGRU
from lhy_lightning.seq2seq.rnn.rnn import STEPWISE, RecurrentTranslator

KINDS = ["homework", "general", *STEPWISE]
SOURCES = torch.tensor([[5, 6, 7, 8, 9, 2], [7, 5, 2, 0, 0, 0], [9, 9, 8, 2, 0, 0], [2, 0, 0, 0, 0, 0]])
TARGETS = torch.tensor([[1, 5, 6, 7, 8], [1, 9, 5, 0, 0], [1, 8, 7, 6, 0], [1, 0, 0, 0, 0]])


def network(kind: str = "homework", layers: int = 1, **options: Any) -> RecurrentTranslator:
    """A small network with weights large enough to matter, not training."""
    torch.manual_seed(0)
    body = RecurrentTranslator(
        11, 13, embedding=6, width=5, encoder_layers=layers, decoder_layers=layers, attention=cast(Any, kind), **options
    )
    for name, parameter in body.named_parameters():
        if not name.startswith("attention.") or parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.7)
    return body.eval()


# --- slow plain versions, one sentence without padding, one token after the other --------------------------------


def plain_gru_step(gru: nn.GRU, inputs: Tensor, hidden: list[Tensor]) -> list[Tensor]:
    """Cho et al. 2014 as PyTorch writes it: inputs (I,), one state (H,) a layer."""
    after = []
    for layer, state in enumerate(hidden):
        w_i, w_h = getattr(gru, f"weight_ih_l{layer}"), getattr(gru, f"weight_hh_l{layer}")
        b_i, b_h = getattr(gru, f"bias_ih_l{layer}"), getattr(gru, f"bias_hh_l{layer}")
        i_r, i_z, i_n = (w_i @ inputs + b_i).chunk(3)
        h_r, h_z, h_n = (w_h @ state + b_h).chunk(3)
        update = (i_z + h_z).sigmoid()
        new = (i_n + (i_r + h_r).sigmoid() * h_n).tanh()
        inputs = (1 - update) * new + update * state
        after.append(inputs)
    return after


def plain_encoder(body: RecurrentTranslator, source: list[int]) -> tuple[Tensor, list[Tensor]]:
    states, last = [body.source_embedding.weight[token] for token in source], []
    for layer in body.encoder:
        assert isinstance(layer, BidirectionalGRU)
        ahead: list[Tensor] = []
        back: list[Tensor] = []
        state = [torch.zeros(5)]
        for vector in states:
            state = plain_gru_step(layer.forwards, vector, state)
            ahead.append(state[0])
        state = [torch.zeros(5)]
        for vector in reversed(states):
            state = plain_gru_step(layer.backwards, vector, state)
            back.insert(0, state[0])
        states = [torch.cat(pair) for pair in zip(ahead, back, strict=True)]
        last.append(torch.cat((ahead[-1], back[0])))
    return torch.stack(states), last


def plain_weights(body: RecurrentTranslator, query: Tensor, states: Tensor, previous: list[float]) -> list[float]:
    attention: Any = body.attention
    energies = []
    for place, state in enumerate(states):
        if body.attention_name in ("homework", "general"):
            energies.append((attention.query_layer.weight @ query) @ state)
            continue
        inner = attention.query_layer.weight @ query + attention.key_layer.weight @ state + attention.key_layer.bias
        if body.attention_name == "location":
            kernel = attention.filters.weight[:, 0]  # (F, 11)
            near = [(k, place + k - 5) for k in range(11) if 0 <= place + k - 5 < len(previous)]
            features = torch.stack([kernel[:, k] * previous[s] for k, s in near]).sum(0)
            inner = inner + attention.location_layer.weight @ features
        v = attention.score.weight[0]
        if body.attention_name == "monotonic":
            v = attention.gain * v / v.norm()
            energies.append(v @ inner.tanh() + attention.offset)
        else:
            energies.append(v @ inner.tanh())
    if body.attention_name != "monotonic":
        return torch.stack(energies).softmax(0).tolist()
    if attention.hard:
        stops = [s for s, e in enumerate(energies) if e > 0 and sum(previous[: s + 1]) > 0.5]
        return [float(stops[:1] == [s]) for s in range(len(energies))]
    return plain_walk(energies, previous)


def plain_walk(energies: list[Tensor], previous: list[float]) -> list[float]:
    """Equation 9 of Raffel et al. 2017: who arrives at j either started there or passed j - 1."""
    arriving, weights = 0.0, []
    for energy, started in zip(energies, previous, strict=True):
        arriving += started
        chance = 1 / (1 + math.exp(-float(energy)))
        weights.append(chance * arriving)
        arriving *= 1 - chance
    return weights


def plain_decoder(body: RecurrentTranslator, source: list[int], target: list[int]) -> tuple[Tensor, Tensor]:
    states, hidden = plain_encoder(body, source)
    first = 1.0 if body.attention_name == "monotonic" else 0.0
    weights = [first] + [0.0] * (len(source) - 1)
    outputs, all_weights = [], []
    for token in target:
        embedded = body.target_embedding.weight[token]
        if body.attention_name == "general":
            hidden = plain_gru_step(body.gru, embedded, hidden)
        query = embedded if body.attention_name == "homework" else hidden[-1]
        weights = plain_weights(body, query, states, weights)
        context = sum((w * state for w, state in zip(weights, states, strict=True)), torch.zeros(10))
        if body.attention_name == "homework":
            hidden = plain_gru_step(body.gru, (body.combine.weight @ torch.cat((context, embedded))).tanh(), hidden)
            reduce = cast(nn.Linear, body.reduce)
            outputs.append(reduce.weight @ hidden[-1] + reduce.bias)
        else:
            if body.attention_name in STEPWISE:
                hidden = plain_gru_step(body.gru, torch.cat((context, embedded)), hidden)
            outputs.append((body.combine.weight @ torch.cat((context, hidden[-1]))).tanh())
        all_weights.append(torch.tensor(weights))
    return torch.stack(outputs), torch.stack(all_weights)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", [*KINDS, "soft monotonic"])
def test_a_padded_batch_equals_the_papers_equations_for_each_sentence_alone(kind: str, layers: int) -> None:
    body = network(kind.split()[-1], layers, hard_attention=kind == "monotonic")
    with torch.no_grad():
        decoded = body.decode(TARGETS, body.encode(SOURCES), attention=True)
        assert decoded.attention is not None
        for row in range(len(SOURCES)):
            source = [token for token in SOURCES[row].tolist() if token]
            target = [token for token in TARGETS[row].tolist() if token]
            states, weights = plain_decoder(body, source, target)
            torch.testing.assert_close(decoded.states[row, : len(target)], states, atol=1e-5, rtol=1e-5)
            found = decoded.attention[row, : len(target)]
            torch.testing.assert_close(found[:, : len(source)], weights, atol=1e-5, rtol=1e-5)
            assert (found[:, len(source) :] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_batch_mates_never_change_a_sentence(kind: str) -> None:
    body = network(kind, 2)
    together = body.decode(TARGETS, body.encode(SOURCES), attention=True)
    for row in range(len(SOURCES)):
        length = int((SOURCES[row] != 0).sum())
        alone = body.decode(TARGETS[row : row + 1], body.encode(SOURCES[row : row + 1, :length]), attention=True)
        torch.testing.assert_close(together.states[row : row + 1], alone.states, atol=1e-5, rtol=0)


def test_the_encoder_layer_equals_a_packed_bidirectional_gru() -> None:
    torch.manual_seed(0)
    layer, packed = BidirectionalGRU(4, 3), nn.GRU(4, 3, batch_first=True, bidirectional=True)
    for name, parameter in layer.forwards.named_parameters():
        getattr(packed, name).data.copy_(parameter)
        getattr(packed, f"{name}_reverse").data.copy_(layer.backwards.get_parameter(name))
    inputs, mask = torch.randn(4, 6, 4), SOURCES != 0
    outputs, last = layer(inputs, mask)
    sequence = pack_padded_sequence(inputs, mask.sum(1), batch_first=True, enforce_sorted=False)
    expected, ends = packed(sequence)
    expected = pad_packed_sequence(expected, batch_first=True)[0]
    torch.testing.assert_close(outputs[mask], expected[mask])
    torch.testing.assert_close(last, torch.cat((ends[0], ends[1]), dim=1))


# --- decoding ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_with_reordered_hypotheses_and_dropped_sentences_equal_decoding_the_prefix(
    kind: str, layers: int
) -> None:
    body, generator = network(kind, layers, hard_attention=layers == 1), torch.Generator().manual_seed(1)
    beams, rows = 3, torch.arange(len(SOURCES))
    state = body.start(body.encode(SOURCES), beams=beams, max_length=8, attention=True)
    prefixes = torch.empty(len(SOURCES), beams, 0, dtype=torch.long)
    for step in range(6):
        ids = torch.randint(1, 13, (len(rows), beams), generator=generator)
        decoded = body.step(ids, state)
        prefixes = torch.cat((prefixes, ids[..., None]), dim=2)
        sources = SOURCES[rows].repeat_interleave(beams, 0)
        whole = body.decode(prefixes.flatten(0, 1), body.encode(sources), attention=True)
        assert whole.attention is not None
        assert whole.context is not None
        for got, expected in zip(
            (decoded.states, decoded.attention, decoded.context),
            (whole.states, whole.attention, whole.context),
            strict=True,
        ):
            assert got is not None
            torch.testing.assert_close(got.flatten(0, 1), expected[:, -1], atol=1e-5, rtol=1e-5)
        parents = torch.randint(beams, (len(rows), 2 if step == 3 else 3), generator=generator)
        state.reorder(parents)
        prefixes, beams = prefixes.gather(1, parents[..., None].expand(-1, -1, step + 1)), parents.shape[1]
        if step in (1, 4):
            kept = torch.tensor([2, 0, 3] if step == 1 else [1, 2])
            state.keep(kept)
            prefixes, rows = prefixes[kept], rows[kept]


def test_a_sentence_is_kept_once_however_many_hypotheses_it_has() -> None:
    for kind in KINDS:
        body = network(kind)
        memory = body.encode(SOURCES)
        state = body.start(memory, beams=7, max_length=5)
        assert state.memory is memory
        assert len(state.keys) == len(SOURCES)
        before = memory.states
        state.keep(torch.tensor([1]))
        assert memory.states is before
        assert len(state.keys) == len(state.memory.states) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_later_token_leaves_earlier_outputs_bit_equal(kind: str) -> None:
    body = network(kind)
    memory, changed = body.encode(SOURCES), TARGETS.clone()
    changed[:, 3:] = 11
    assert torch.equal(body.decode(TARGETS, memory).states[:, :3], body.decode(changed, memory).states[:, :3])


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_may_stand_for_ids(kind: str) -> None:
    body = network(kind)
    memory = body.encode(SOURCES)
    embedded = body.decode(body.embed_target(TARGETS), memory)
    assert torch.equal(body.decode(TARGETS, memory).states, embedded.states)
    assert embedded.attention is None
    assert embedded.context is None


@pytest.mark.parametrize("kind", KINDS)
def test_weights_sum_to_one_over_tokens_or_to_at_most_one_if_monotonic(kind: str) -> None:
    body = network(kind).train()
    decoded = body.decode(TARGETS, body.encode(SOURCES), attention=True)
    assert decoded.attention is not None
    assert decoded.context is not None
    assert decoded.attention.shape == (4, 5, 6)
    assert decoded.context.shape == (4, 5, body.context_width)
    assert (decoded.attention.transpose(1, 2)[SOURCES == 0] == 0).all()
    sums = decoded.attention.sum(-1)
    if kind == "monotonic":
        assert (sums <= 1 + 1e-6).all()
        assert (sums >= 0).all()
    else:
        torch.testing.assert_close(sums, torch.ones(4, 5))


# --- monotonic attention -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_expected_alignment_equals_the_recursion_also_where_products_underflow(scale: float) -> None:
    torch.manual_seed(0)
    energies = torch.randn(2, 3, 60) * scale
    previous = torch.rand(2, 3, 60).softmax(-1)
    mask = (torch.arange(60) < torch.tensor([60, 40])[:, None])[:, None]
    previous = previous * mask
    found = expected_stop(energies, previous, mask)
    for row, length in enumerate((60, 40)):
        for k in range(3):
            expected = plain_walk(list(energies[row, k, :length]), previous[row, k, :length].tolist())
            torch.testing.assert_close(found[row, k, :length], torch.tensor(expected), atol=1e-6, rtol=1e-4)
    assert (found[1, :, 40:] == 0).all()


def test_expected_alignments_gradient_matches_finite_differences() -> None:
    torch.manual_seed(0)
    energies = torch.randn(2, 1, 5, dtype=torch.float64, requires_grad=True)
    previous = torch.rand(2, 1, 5, dtype=torch.float64, requires_grad=True)
    mask = (torch.arange(5) < torch.tensor([5, 3])[:, None])[:, None]
    assert torch.autograd.gradcheck(lambda e, a: expected_stop(e, a, mask), (energies, previous))


def test_hard_alignment_is_the_expected_one_of_certain_probabilities() -> None:
    torch.manual_seed(0)
    energies = torch.randn(50, 7)
    previous = nn.functional.one_hot(torch.randint(7, (50,)), 7).float()
    mask = torch.arange(7) < torch.randint(1, 8, (50, 1))
    hard = first_stop(energies, previous, mask)
    torch.testing.assert_close(hard, expected_stop(energies.sign() * 200, previous, mask))
    assert 0 < hard.sum() < 50  # some walks run off the end
    assert (first_stop(energies, hard * 0, mask) == 0).all()  # and stay off


def test_hard_attention_never_looks_back() -> None:
    body = network("monotonic")
    with torch.no_grad():
        cast(MonotonicAttention, body.attention).offset.fill_(0.0)
    ids = torch.randint(1, 13, (4, 12))
    weights = body.decode(ids, body.encode(SOURCES), attention=True).attention
    assert weights is not None
    assert ((weights == 0) | (weights == 1)).all()
    for row in weights:
        places = [step.argmax().item() for step in row if step.sum() > 0]
        assert places == sorted(places)


def test_noise_is_drawn_in_training_only() -> None:
    body = network("monotonic", dropout=0.0)
    memory = body.encode(SOURCES)
    assert torch.equal(body.decode(TARGETS, memory).states, body.decode(TARGETS, memory).states)
    body.train()
    assert not torch.equal(body.decode(TARGETS, memory).states, body.decode(TARGETS, memory).states)


# --- the network as a module ---------------------------------------------------------------------------------------


def test_it_is_an_encoder_decoder_of_the_topic() -> None:
    assert isinstance(network(), Seq2SeqBody)


def test_defaults_are_the_homeworks_sizes() -> None:
    body = RecurrentTranslator(50, 60)
    assert body.gru.weight_ih_l0.shape == (3 * 1024, 256)
    assert body.gru.weight_hh_l0.shape == (3 * 1024, 1024)
    assert cast(nn.Linear, body.reduce).weight.shape == (256, 1024)
    assert body.combine.weight.shape == (256, 1024 + 256)
    assert body.output.weight is body.target_embedding.weight


def test_weights_start_by_their_sizes() -> None:
    for share in ("none", "decoder"):
        body = RecurrentTranslator(50, 900, embedding=16, width=20, share_embeddings=cast(Any, share))
        assert body.target_embedding.weight.std().item() == pytest.approx(0.25, rel=0.05)
        assert body.output.weight.std().item() == pytest.approx(0.25, rel=0.05)
        assert (body.target_embedding.weight[0] == 0).all()
        assert (body.source_embedding.weight[0] == 0).all()
        recurrent = cast(Tensor, body.gru.weight_hh_l0)
        assert recurrent.abs().max().item() == pytest.approx((6 / 80) ** 0.5, rel=0.01)


def test_embeddings_are_shared_as_asked() -> None:
    apart, tied = network(share_embeddings="none"), network(share_embeddings="decoder")
    assert apart.output.weight is not apart.target_embedding.weight
    assert tied.output.weight is tied.target_embedding.weight is not tied.source_embedding.weight
    one = RecurrentTranslator(9, 9, embedding=4, width=3, share_embeddings="all")
    assert one.output.weight is one.target_embedding.weight is one.source_embedding.weight
    weight, bias = one.output_layer()
    states = torch.randn(2, 3, 4)
    assert torch.equal(one.project(states), nn.functional.linear(states, weight, bias))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder_layers": 2}, "do not match"),
        ({"attention": "dot"}, "not 'dot'"),
        ({"share_embeddings": "all"}, "11 and 13"),
        ({"share_embeddings": "both"}, "not 'both'"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecurrentTranslator(11, 13, embedding=4, width=3, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns_also_when_running_freely(kind: str) -> None:
    body = network(kind).train()
    state = body.start(body.encode(SOURCES), beams=1, max_length=4)
    ids, loss = torch.ones(4, 1, dtype=torch.long), torch.zeros(())
    for _ in range(4):
        logits = body.project(body.step(ids, state).states)
        loss, ids = loss + logits.logsumexp(-1).sum(), logits.argmax(-1)
    loss.backward()
    for name, parameter in body.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_under_mixed_precision_weights_stay_float32(kind: str) -> None:
    body = network(kind, 2).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        decoded = body.decode(TARGETS, body.encode(SOURCES), attention=True)
        logits = body.project(decoded.states)
    assert decoded.attention is not None
    assert decoded.attention.dtype == torch.float32
    assert torch.isfinite(logits).all()


def test_the_networks_gradient_matches_finite_differences() -> None:
    for kind in KINDS:
        body = network(kind, hard_attention=False).double()
        embedded = body.embed_target(TARGETS[:2, :3]).detach().requires_grad_()
        memory = body.encode(SOURCES[:2])
        assert torch.autograd.gradcheck(lambda x, b=body, m=memory: b.decode(x, m).states.sum(-1), embedded)
