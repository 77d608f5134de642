"""Which inputs are replaced, by what, and what the extremes equal."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lhy_lightning.decoding.interface import Decoded, Memory, Seq2SeqBody
from lhy_lightning.seq2seq.rnn.rnn import RecurrentTranslator
from lhy_lightning.seq2seq.scheduled_sampling.decoding import free_running_states, scheduled_sampling_states
from lhy_lightning.seq2seq.scheduled_sampling.mixing import mix_inputs, replacement_mask, sampling_probability
from lhy_lightning.seq2seq.transformer import Transformer

VOCABULARY = 12


class State:
    def __init__(self, hidden: Tensor, summary: Tensor, attention: bool) -> None:
        self.hidden, self.summary, self.attention = hidden, summary, attention

    def reorder(self, parents: Tensor) -> None: ...

    def keep(self, sentences: Tensor) -> None: ...


class Body(nn.Module):
    """A recurrent network small enough to follow, which remembers what it was fed."""

    vocab_size = VOCABULARY

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embedding = nn.Embedding(VOCABULARY, 6)
        self.cell = nn.GRUCell(6, 5)
        self.output = nn.Linear(5, VOCABULARY)
        nn.init.normal_(self.output.weight, std=2)
        self.dropout = nn.Dropout(dropout)
        self.fed: list[Tensor] = []
        self.projected = 0
        self.double()

    def forward(self, source_ids: Tensor, target_ids: Tensor, **numbers: Any) -> Decoded:
        """Scheduled sampling with every token replaced."""
        return scheduled_sampling_states(self, self.encode(source_ids), target_ids, 1.0, **numbers)[0]

    def encode(self, source_ids: Tensor) -> Memory:
        states = self.embedding(source_ids)
        return Memory(states, source_ids != 0, source_ids, summary=states.mean(1)[None, :, :5])

    def embed_target(self, ids: Tensor) -> Tensor:
        return self.embedding(ids) * 2

    def decode(self, inputs: Tensor, memory: Memory, *, attention: bool = False) -> Decoded:
        self.fed.append(inputs)
        state = self.start(memory, beams=1, max_length=inputs.shape[1], attention=attention)
        embedded = inputs if inputs.is_floating_point() else self.embed_target(inputs)
        steps = [self._step(embedded[:, i], state) for i in range(inputs.shape[1])]
        weights = torch.cat([s.attention for s in steps if s.attention is not None], 1) if attention else None
        return Decoded(torch.cat([step.states for step in steps], 1), weights)

    def project(self, states: Tensor) -> Tensor:
        self.projected += states.numel() // states.shape[-1]
        return self.output(states)

    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        return self.output.weight, self.output.bias

    def start(self, memory: Memory, *, beams: int, max_length: int, attention: bool = False) -> State:
        assert memory.summary is not None
        return State(memory.summary[0], memory.states, attention)

    def _step(self, embedded: Tensor, state: State) -> Decoded:
        state.hidden = self.cell(self.dropout(embedded), state.hidden)
        weights = state.summary.mean(2, keepdim=True).transpose(1, 2).softmax(2) if state.attention else None
        return Decoded(state.hidden[:, None], weights)

    def step(self, ids: Tensor, state: State) -> Decoded:
        return self._step(self.embed_target(ids[:, 0]), state)


def batch(rows: int = 4, length: int = 7) -> tuple[Tensor, Tensor]:
    """Source (N, 5) and target (N, T + 1): BOS, tokens, EOS, the last row padded by two."""
    torch.manual_seed(5)
    source, target = torch.randint(5, VOCABULARY, (rows, 5)), torch.randint(5, VOCABULARY, (rows, length + 1))
    target[:, 0], target[:, -1] = 1, 2
    target[-1, -3:] = torch.tensor([2, 0, 0])
    return source, target


def greedy(body: Body, memory: Memory, length: int) -> Tensor:
    """(N, length) inputs of decoding without gold: BOS and the likeliest tokens."""
    state = body.start(memory, beams=1, max_length=length)
    ids = [torch.ones(len(memory.states), dtype=torch.int64)]
    for _ in range(length - 1):
        ids.append(body.project(body.step(ids[-1][:, None], state).states[:, 0]).argmax(1))
    return torch.stack(ids, 1)


# --- schedules ---------------------------------------------------------------------------------------------------


def test_the_probability_is_one_less_bengios_probability_of_gold() -> None:
    assert sampling_probability(30, schedule="linear", end=1.0, steps=100) == pytest.approx(0.3)
    assert sampling_probability(3, schedule="exponential", end=1.0, k=0.9) == pytest.approx(1 - 0.9**3)
    gold = 50 / (50 + math.exp(120 / 50))
    assert sampling_probability(120, schedule="inverse_sigmoid", end=1.0, k=50) == pytest.approx(1 - gold)
    assert sampling_probability(0, schedule="constant", end=0.25) == 0.25


def test_it_goes_from_start_to_end_and_stays_there() -> None:
    settings: dict[str, Any] = {"start": 0.1, "end": 0.5}
    for schedule, speed in (("linear", {"steps": 10}), ("exponential", {"k": 0.5}), ("inverse_sigmoid", {"k": 5.0})):
        values = [sampling_probability(i, schedule=schedule, **settings, **speed) for i in (0, 1, 5, 9, 100, 10**7)]
        assert values == sorted(values)
        assert values[0] == pytest.approx(0.1 + (0.4 / 6 if schedule == "inverse_sigmoid" else 0))
        assert values[-1] == pytest.approx(0.5)
    assert sampling_probability(-5, steps=10, **settings) == 0.1


def test_inverse_sigmoid_is_half_way_after_k_ln_k_updates() -> None:
    step = round(1000 * math.log(1000))
    assert sampling_probability(step, schedule="inverse_sigmoid", end=1.0, k=1000) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"schedule": "cubic"},
        {"schedule": "linear"},
        {"schedule": "linear", "steps": 0},
        {"schedule": "exponential", "k": 1.0},
        {"schedule": "inverse_sigmoid", "k": 0.5},
        {"schedule": "constant", "end": 1.5},
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        sampling_probability(1, **arguments)


# --- which and by what -------------------------------------------------------------------------------------------


def test_bos_and_padding_are_never_replaced_and_at_one_everything_else_is() -> None:
    _, target = batch()
    gold = target[:, :-1]
    mask = replacement_mask(gold, 1.0)
    assert not mask[:, 0].any()
    assert mask[:, 1:].equal(gold[:, 1:] != 0)
    assert not replacement_mask(gold, 0.0).any()


def test_every_token_is_drawn_for_itself_and_not_every_time_step() -> None:
    gold = torch.full((200, 101), 7)
    mask = replacement_mask(gold, 0.3, generator=torch.Generator().manual_seed(0))[:, 1:].double()
    assert mask.mean().item() == pytest.approx(0.3, abs=0.01)
    # shares of a column (a time step) and of a row scatter as those of independent draws do: sqrt(p (1 - p) / n)
    assert mask.mean(0).std().item() == pytest.approx(math.sqrt(0.21 / 200), rel=0.3)
    assert mask.mean(1).std().item() == pytest.approx(math.sqrt(0.21 / 100), rel=0.3)


def test_the_prediction_at_i_minus_one_replaces_input_i() -> None:
    gold = torch.tensor([[1, 5, 6, 7]])
    logits = F.one_hot(torch.tensor([[8, 9, 10, 11]]), VOCABULARY).double()
    inputs, replaced = mix_inputs(gold, logits, 1.0)
    assert inputs.tolist() == [[1, 8, 9, 10]]  # 11 predicts what comes after the last input
    assert replaced.tolist() == [[False, True, True, True]]


def test_what_is_not_replaced_stays_gold() -> None:
    _, target = batch()
    gold, logits = target[:, :-1], torch.randn(4, 7, VOCABULARY)
    inputs, replaced = mix_inputs(gold, logits, 0.5, generator=torch.Generator().manual_seed(1))
    assert 0 < replaced.sum() < replaced.numel()
    assert inputs[~replaced].equal(gold[~replaced])
    assert inputs[:, 1:][replaced[:, 1:]].equal(logits.argmax(2)[:, :-1][replaced[:, 1:]])


def test_samples_follow_the_softmax_at_the_temperature() -> None:
    gold = torch.full((4000, 2), 5)
    logits = torch.tensor([0.0, 1.0, 2.0]).expand(4000, 2, 3)
    inputs, _ = mix_inputs(gold, logits, 1.0, mix="sample", temperature=2.0, generator=torch.Generator().manual_seed(0))
    shares = torch.bincount(inputs[:, 1], minlength=3) / 4000
    torch.testing.assert_close(shares, torch.tensor([0.0, 0.5, 1.0]).softmax(0), atol=0.025, rtol=0)


def test_top_k_weighs_the_embeddings_of_the_k_likeliest_by_their_softmax() -> None:
    gold = torch.tensor([[1, 3]])
    logits = torch.log(torch.tensor([[[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]]]))
    table = torch.eye(4)
    inputs, _ = mix_inputs(gold, logits, 1.0, mix="top_k", k=2, embed=table)
    torch.testing.assert_close(inputs[0], torch.tensor([[0, 1, 0, 0], [0, 0, 3 / 7, 4 / 7]]))
    warm, _ = mix_inputs(gold, logits, 1.0, mix="top_k", k=2, embed=table, temperature=0.5)
    torch.testing.assert_close(warm[0, 1], torch.tensor([0, 0, 9 / 25, 16 / 25]))
    every, _ = mix_inputs(gold, logits, 1.0, mix="softmax", embed=lambda ids: 2 * table[ids])
    torch.testing.assert_close(every[0, 1], torch.tensor([0.2, 0.4, 0.6, 0.8]))


def test_top_1_is_argmax_and_top_v_is_the_softmax_mix() -> None:
    _, target = batch()
    gold, logits, table = target[:, :-1], torch.randn(4, 7, VOCABULARY), torch.randn(VOCABULARY, 6)
    ids, _ = mix_inputs(gold, logits, 1.0)
    one, _ = mix_inputs(gold, logits, 1.0, mix="top_k", k=1, embed=table)
    assert one.equal(F.embedding(ids, table))
    many, _ = mix_inputs(gold, logits, 1.0, mix="top_k", k=99, embed=table)
    torch.testing.assert_close(many, mix_inputs(gold, logits, 1.0, mix="softmax", embed=table)[0])


@pytest.mark.parametrize("mix", ["top_k", "softmax"])
def test_the_gradient_reaches_the_logits_only_if_asked_to(mix: Any) -> None:
    _, target = batch()
    logits = torch.randn(4, 7, VOCABULARY, dtype=torch.float64, requires_grad=True)
    table = torch.randn(VOCABULARY, 6, dtype=torch.float64, requires_grad=True)
    inputs, _ = mix_inputs(target[:, :-1], logits, 1.0, mix=mix, embed=table)
    inputs.sum().backward()
    assert logits.grad is None
    assert table.grad is not None
    inputs, _ = mix_inputs(target[:, :-1], logits, 1.0, mix=mix, embed=table, through=True)
    inputs.square().sum().backward()
    assert logits.grad is not None
    assert logits.grad[:, :-2].abs().sum(2).gt(0).all()
    assert logits.grad[:, -1].abs().max() == 0  # the last output is no prediction of an input


# --- parallel passes ---------------------------------------------------------------------------------------------


def test_the_tiny_body_is_one() -> None:
    assert isinstance(Body(), Seq2SeqBody)


@pytest.mark.parametrize("mix", ["argmax", "sample", "top_k", "softmax"])
def test_probability_0_is_teacher_forcing_to_the_bit_in_one_pass_and_draws_nothing(mix: Any) -> None:
    body, (source, target) = Body(dropout=0.5), batch()
    memory = body.encode(source)
    torch.manual_seed(9)
    expected = body.decode(target[:, :-1], memory).states
    after = torch.rand(3)
    body.fed.clear()
    torch.manual_seed(9)
    decoded, share = scheduled_sampling_states(body, memory, target, 0.0, mix=mix)
    assert decoded.states.equal(expected)
    assert torch.rand(3).equal(after)
    assert len(body.fed) == 1
    assert decoded.inputs.equal(target[:, :-1])
    assert share.item() == 0


def test_at_1_the_last_pass_is_fed_no_gold_but_bos_and_its_inputs_come_from_a_pass_over_gold() -> None:
    body, (source, target) = Body(), batch()
    memory, gold = body.encode(source), target[:, :-1]
    decoded, share = scheduled_sampling_states(body, memory, target, 1.0)
    first, last = body.fed
    assert first.equal(gold)
    assert last.equal(decoded.inputs)
    predicted = body.project(body.decode(gold, memory).states).argmax(2)
    real = gold[:, 1:] != 0
    assert decoded.inputs[:, 0].eq(1).all()
    assert decoded.inputs[:, 1:][real].equal(predicted[:, :-1][real])
    assert share.item() == 1
    assert decoded.states.equal(body.decode(decoded.inputs, memory).states)


def test_it_equals_mixing_the_full_logits_and_the_share_is_what_was_replaced() -> None:
    body, (source, target) = Body(), batch()
    memory, gold = body.encode(source), target[:, :-1]
    logits = body.project(body.decode(gold, memory).states)
    for mix, embed in (("argmax", None), ("top_k", body.embed_target), ("softmax", body.embed_target)):
        numbers = {"mix": mix, "k": 3, "temperature": 0.7}
        expected, mask = mix_inputs(
            gold, logits, 0.5, embed=embed, generator=torch.Generator().manual_seed(4), **numbers
        )
        decoded, share = scheduled_sampling_states(
            body, memory, target, 0.5, generator=torch.Generator().manual_seed(4), **numbers
        )
        torch.testing.assert_close(decoded.inputs, expected)
        torch.testing.assert_close(share, mask.sum() / (gold[:, 1:] != 0).sum())


def test_only_replaced_positions_are_projected() -> None:
    body, (source, target) = Body(), batch()
    _, share = scheduled_sampling_states(body, body.encode(source), target, 0.3)
    assert body.projected == round(share.item() * (target[:, 1:-1] != 0).sum().item())


def test_as_many_passes_as_tokens_are_free_running() -> None:
    body, (source, target) = Body(), batch()
    memory = body.encode(source)
    real = target[:, :-1] != 0
    two = scheduled_sampling_states(body, memory, target, 1.0, passes=2)[0].inputs
    all_passes = scheduled_sampling_states(body, memory, target, 1.0, passes=7)[0].inputs
    expected = greedy(body, memory, 7)
    assert all_passes[real].equal(expected[real])
    assert not two[real].equal(expected[real])


@pytest.mark.parametrize("mix", ["argmax", "sample"])
def test_further_passes_settle_on_one_sequence_as_mask_and_noise_stay(mix: Any) -> None:
    body, (source, target) = Body(), batch()
    memory = body.encode(source)
    seen = [
        scheduled_sampling_states(
            body, memory, target, 0.6, mix=mix, passes=p, generator=torch.Generator().manual_seed(2)
        )[0].inputs
        for p in (7, 8)
    ]
    assert seen[0].equal(seen[1])


@pytest.mark.parametrize("mix", ["top_k", "softmax"])
def test_gradients_through_both_passes_match_finite_differences(mix: Any) -> None:
    body, (source, target) = Body(), batch(2, 4)

    def loss(weight: Tensor) -> Tensor:
        numbers = {"mix": mix, "k": 3, "gradient_through_first_pass": True}
        return (
            torch.func.functional_call(body, {"output.weight": weight}, (source, target), numbers).states.square().sum()
        )

    assert torch.autograd.gradcheck(loss, body.output.weight.detach().clone().requires_grad_())


@pytest.mark.parametrize("mix", ["argmax", "sample", "top_k", "softmax"])
def test_without_gradient_through_it_the_first_pass_leaves_no_trace(mix: Any) -> None:
    body, (source, target) = Body(), batch()
    body(source, target, mix=mix).states.sum().backward()
    assert body.output.weight.grad is None
    assert body.embedding.weight.grad is not None
    assert body.embedding.weight.grad.any(1).sum() > 5


@pytest.mark.parametrize("mix", ["top_k", "softmax"])
def test_with_it_the_output_layer_learns_from_what_it_predicted(mix: Any) -> None:
    body, (source, target) = Body(), batch()
    body(source, target, mix=mix, gradient_through_first_pass=True).states.sum().backward()
    assert body.output.weight.grad is not None
    assert body.output.weight.grad.any()


@pytest.mark.parametrize("mix", ["argmax", "top_k"])
def test_under_autocast_the_first_pass_takes_no_gradient_from_the_last(mix: Any) -> None:
    body, (source, target) = Body().float(), batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        body.project(body(source, target, mix=mix).states).sum().backward()
    for name, parameter in body.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_the_first_pass_has_dropout_as_the_body_does() -> None:
    body, (source, target) = Body(dropout=0.8), batch()
    memory = body.encode(source)
    drawn = {tuple(scheduled_sampling_states(body, memory, target, 1.0)[0].inputs.flatten().tolist()) for _ in range(8)}
    assert len(drawn) > 1
    body.eval()
    drawn = {tuple(scheduled_sampling_states(body, memory, target, 1.0)[0].inputs.flatten().tolist()) for _ in range(8)}
    assert len(drawn) == 1


def test_attention_is_that_of_the_last_pass() -> None:
    body, (source, target) = Body(), batch()
    for states in (scheduled_sampling_states, free_running_states):
        attention = states(body, body.encode(source), target, 0.5, attention=True)[0].attention  # type: ignore[operator]
        assert attention.shape == (4, 7, 5)


def test_draws_follow_the_generator() -> None:
    body, (source, target) = Body(), batch()
    memory = body.encode(source)
    for states in (scheduled_sampling_states, free_running_states):
        seen = [
            states(body, memory, target, 0.5, mix="sample", generator=torch.Generator().manual_seed(s))[0].inputs  # type: ignore[operator]
            for s in (1, 1, 2)
        ]
        assert seen[0].equal(seen[1])
        assert not seen[0].equal(seen[2])


# --- step by step ------------------------------------------------------------------------------------------------


def test_step_by_step_at_0_is_decoding_gold() -> None:
    body, (source, target) = Body(), batch()
    memory = body.encode(source)
    expected = body.decode(target[:, :-1], memory).states
    decoded, share = free_running_states(body, memory, target, 0.0)
    assert decoded.states.equal(expected)
    assert share.item() == 0
    # and so is stepping when no draw falls on a token
    decoded, share = free_running_states(body, memory, target, 1e-12)
    torch.testing.assert_close(decoded.states, expected, atol=1e-5, rtol=0)
    assert decoded.inputs.equal(target[:, :-1])


def test_step_by_step_at_1_is_free_running() -> None:
    body, (source, target) = Body(), batch()
    memory = body.encode(source)
    decoded, share = free_running_states(body, memory, target, 1.0)
    real = target[:, :-1] != 0
    assert decoded.inputs[real].equal(greedy(body, memory, 7)[real])
    assert share.item() == 1
    torch.testing.assert_close(decoded.states, body.decode(decoded.inputs, memory).states)


def test_step_by_step_own_tokens_follow_from_own_tokens_with_gold_between() -> None:
    body, (source, target) = Body(), batch()
    memory, gold = body.encode(source), target[:, :-1]
    decoded, _ = free_running_states(body, memory, target, 0.5, generator=torch.Generator().manual_seed(0))
    mask = replacement_mask(gold, 0.5, generator=torch.Generator().manual_seed(0))
    predicted = body.project(decoded.states).argmax(2)
    assert decoded.inputs.equal(torch.where(mask, predicted.roll(1, 1), gold))


def test_the_gradient_flows_through_every_step() -> None:
    body, (source, target) = Body(), batch()
    decoded, _ = free_running_states(body, body.encode(source), target, 1.0)
    (gradient,) = torch.autograd.grad(decoded.states[:, -1].sum(), body.cell.weight_hh)
    assert gradient.abs().min() > 0


# --- the networks of this topic ----------------------------------------------------------------------------------


@torch.no_grad()
def test_a_transformer_in_as_many_passes_as_tokens_writes_what_greedy_search_writes() -> None:
    torch.manual_seed(0)
    body = Transformer(VOCABULARY, VOCABULARY, layers=2, width=16, heads=2, feedforward=32).eval().double()
    source, target = batch()
    memory, real = body.encode(source), target[:, :-1] != 0
    decoded, share = scheduled_sampling_states(body, memory, target, 1.0, passes=7)
    state = body.start(memory, beams=1, max_length=7)
    ids = [target[:, :1]]
    for _ in range(6):
        ids.append(body.project(body.step(ids[-1], state).states).argmax(2))
    assert decoded.inputs is not None
    assert decoded.inputs[real].equal(torch.cat(ids, 1)[real])
    assert share.item() == 1


def test_a_recurrent_translator_stepped_without_a_draw_is_teacher_forcing_with_its_gradient() -> None:
    torch.manual_seed(0)
    body = RecurrentTranslator(VOCABULARY, VOCABULARY, embedding=8, width=6).eval()
    source, target = batch()
    losses = {}
    for probability in (0.0, 1e-12):
        body.zero_grad()
        decoded, _ = free_running_states(body, body.encode(source), target, probability, attention=True)
        assert decoded.attention is not None
        assert decoded.context is not None
        (decoded.states.square().sum() + decoded.context.square().sum()).backward()
        losses[probability] = [decoded.states, decoded.attention, *(p.grad for p in body.parameters())]
    for one, other in zip(*losses.values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


# --- bad arguments -----------------------------------------------------------------------------------------------


def test_what_makes_no_sense_is_refused() -> None:
    body, (source, target) = Body(), batch()
    memory, logits = body.encode(source), torch.randn(4, 7, VOCABULARY)
    gold = target[:, :-1]
    with pytest.raises(ValueError, match="lies in"):
        scheduled_sampling_states(body, memory, target, 1.5)
    with pytest.raises(ValueError, match="no gradient flows"):
        scheduled_sampling_states(body, memory, target, 0.5, gradient_through_first_pass=True)
    with pytest.raises(ValueError, match="passes"):
        scheduled_sampling_states(body, memory, target, 0.5, passes=0)
    with pytest.raises(ValueError, match="mix is"):
        mix_inputs(gold, logits, 0.5, mix="best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="embed"):
        mix_inputs(gold, logits, 0.5, mix="top_k")
    with pytest.raises(ValueError, match="temperature"):
        mix_inputs(gold, logits, 0.5, mix="sample", temperature=0.0)
    with pytest.raises(ValueError, match="step by step"):
        free_running_states(body, memory, target, 0.5, mix="top_k")  # type: ignore[arg-type]
