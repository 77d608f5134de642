"""The pointer-generator's distribution: sums to one, reaches unknown words, and costs what it says."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lhy_lightning.seq2seq.copying import CopyHead, copy_log_probabilities, copy_negative_log_likelihood
from lhy_lightning.seq2seq.rnn.rnn import RecurrentTranslator

VOCABULARY, UNKNOWN, EOS = 7, 2, 2
# The second row has one unknown word, twice; the first has two; EOS at the end, padding behind it.
COPY_IDS = torch.tensor([[5, 7, 8, 5, EOS], [7, 7, 4, EOS, 0]])
MASK = COPY_IDS != 0


def random_case(dtype: torch.dtype = torch.float32, positions: int = 3) -> dict[str, Any]:
    torch.manual_seed(0)
    scores = torch.randn(2, positions, 5, dtype=dtype).masked_fill(~MASK[:, None], -math.inf)
    return {
        "logits": torch.randn(2, positions, VOCABULARY, dtype=dtype),
        "attention": scores.softmax(-1),
        "gate": torch.randn(2, positions, 1, dtype=dtype),
        "copy_ids": COPY_IDS,
    }


def plain_distribution(logits: Tensor, attention: Tensor, gate: Tensor, copy_ids: Tensor) -> Tensor:
    """Equation 9 of See et al. 2017, one number after the other, in float64."""
    n, t, v = logits.shape
    chances = torch.zeros(n, t, v + UNKNOWN, dtype=torch.float64)
    for row in range(n):
        for place in range(t):
            g = 1 / (1 + math.exp(-gate[row, place, 0].item()))
            chances[row, place, :v] = g * logits[row, place].double().softmax(-1)
            for s, word in enumerate(copy_ids[row].tolist()):
                chances[row, place, word] += (1 - g) * attention[row, place, s].item()
    return chances


def test_the_distribution_is_sees_mixture() -> None:
    case = random_case()
    chances = copy_log_probabilities(**case, unknown_words=UNKNOWN).exp()
    torch.testing.assert_close(chances.double(), plain_distribution(**case), atol=1e-6, rtol=1e-5)


def test_the_distribution_sums_to_one_and_reaches_exactly_the_unknown_words_of_the_row() -> None:
    log_chances = copy_log_probabilities(**random_case(), unknown_words=UNKNOWN)
    torch.testing.assert_close(log_chances.exp().sum(-1), torch.ones(2, 3))
    assert torch.isfinite(log_chances[0]).all()
    assert torch.isfinite(log_chances[1, :, VOCABULARY]).all()
    assert (log_chances[1, :, VOCABULARY + 1] == -math.inf).all()  # its row has one unknown word only


def test_with_the_gate_shut_the_most_attended_unknown_word_is_written() -> None:
    case = random_case()
    case["attention"] = torch.zeros(2, 3, 5)
    case["attention"][:, :, 1] = 1
    case["gate"] = torch.full((2, 3, 1), -20.0)
    written = copy_log_probabilities(**case, unknown_words=UNKNOWN).argmax(-1)
    assert written.tolist() == [[VOCABULARY] * 3] * 2


def test_attention_to_the_end_of_the_source_ends_the_translation_and_padding_is_not_copied() -> None:
    case = random_case()
    case["attention"] = torch.zeros(2, 3, 5)
    case["attention"][1, :, 3] = case["attention"][0, :, 4] = 1
    chances = copy_log_probabilities(**case, unknown_words=UNKNOWN).exp()
    generate = case["gate"].sigmoid() * case["logits"].softmax(-1)
    torch.testing.assert_close(chances[..., EOS], generate[..., EOS] + 1 - case["gate"].sigmoid()[..., 0])
    torch.testing.assert_close(chances[..., 0], generate[..., 0])


def test_attention_that_ran_off_the_end_leaves_the_rest_to_the_vocabulary() -> None:
    case = random_case()
    case["attention"][0] *= 0.4
    case["attention"][1] = 0
    log_chances = copy_log_probabilities(**case, unknown_words=UNKNOWN)
    torch.testing.assert_close(log_chances.exp().sum(-1), torch.ones(2, 3), atol=2e-5, rtol=0)
    expected = case["logits"][1].log_softmax(-1)
    torch.testing.assert_close(log_chances[1, :, :VOCABULARY], expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("unknown_words", [0, UNKNOWN])
def test_the_likelihood_of_targets_alone_equals_the_whole_distribution(unknown_words: int) -> None:
    case = random_case(positions=VOCABULARY + unknown_words)
    if not unknown_words:
        case["copy_ids"] = COPY_IDS.masked_fill(COPY_IDS >= VOCABULARY, 3)
    targets = torch.arange(VOCABULARY + unknown_words).expand(2, -1).clone()
    targets[1, -1] = 5 if unknown_words else targets[1, -1]  # the second row has not got the last unknown word
    full = -copy_log_probabilities(**case, unknown_words=unknown_words).gather(2, targets[..., None])[..., 0]
    torch.testing.assert_close(copy_negative_log_likelihood(**case, targets=targets), full, atol=1e-6, rtol=1e-6)


def test_gradients_match_finite_differences() -> None:
    case, ids, targets = random_case(torch.float64), COPY_IDS[:1], torch.tensor([[5, 8, 6]])
    # the row without padding: weights of exactly zero get no gradient, as none comes through a softmax's zero
    inputs = tuple(case[name][:1].requires_grad_() for name in ("logits", "attention", "gate"))
    assert torch.autograd.gradcheck(
        lambda logits, attention, gate: copy_negative_log_likelihood(logits, attention, gate, ids, targets), inputs
    )
    assert torch.autograd.gradcheck(
        lambda logits, attention, gate: copy_log_probabilities(logits, attention, gate, ids, UNKNOWN), inputs
    )


def test_both_forms_have_the_same_gradient() -> None:
    targets = torch.tensor([[5, 8, 6], [7, EOS, 4]])
    gradients = []
    for lean in (True, False):
        case = random_case(torch.float64)
        inputs = [case[name].requires_grad_() for name in ("logits", "attention", "gate")]
        if lean:
            loss = copy_negative_log_likelihood(**case, targets=targets).sum()
        else:
            loss = -copy_log_probabilities(**case, unknown_words=UNKNOWN).gather(2, targets[..., None]).sum()
        gradients.append(torch.autograd.grad(loss, inputs))
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("gate", [-200.0, -30.0, 0.0, 30.0, 200.0])
def test_extreme_gates_logits_and_attention_stay_finite(gate: float) -> None:
    case = random_case()
    case["logits"] = (case["logits"] * 100).requires_grad_()
    sharp = torch.zeros(2, 3, 5)
    sharp[:, :, 0] = 1  # every other word has no attention at all
    case["attention"] = sharp.requires_grad_()
    case["gate"] = torch.full((2, 3, 1), gate, requires_grad=True)
    targets = torch.tensor([[5, 8, 6], [7, EOS, 4]])
    loss = copy_negative_log_likelihood(**case, targets=targets)
    assert torch.isfinite(loss).all()
    log_chances = copy_log_probabilities(**case, unknown_words=UNKNOWN)
    torch.testing.assert_close(log_chances.exp().sum(-1), torch.ones(2, 3))
    total = loss.sum() + log_chances.gather(2, torch.tensor([[[5, 6]] * 3, [[7, 4]] * 3])).sum()
    for gradient in torch.autograd.grad(total, [case[name] for name in ("logits", "attention", "gate")]):
        assert torch.isfinite(gradient).all()


def test_under_mixed_precision_it_computes_in_float32() -> None:
    case = random_case()
    half = case | {"logits": case["logits"].bfloat16(), "gate": case["gate"].bfloat16()}
    exact = case | {"logits": half["logits"].float(), "gate": half["gate"].float()}
    targets = torch.tensor([[5, 8, 6], [7, EOS, 4]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        full = copy_log_probabilities(**half, unknown_words=UNKNOWN)
        lean = copy_negative_log_likelihood(**half, targets=targets)
    assert full.dtype == lean.dtype == torch.float32
    torch.testing.assert_close(full, copy_log_probabilities(**exact, unknown_words=UNKNOWN))
    torch.testing.assert_close(lean, copy_negative_log_likelihood(**exact, targets=targets))


def test_the_loss_keeps_nothing_larger_than_the_logits() -> None:
    n, t, s, v = 2, 8, 6, 50
    kept: set[tuple[int, int]] = set()

    def note(tensor: Tensor) -> Tensor:
        kept.add((tensor.numel(), tensor.data_ptr()))
        return tensor

    attention = torch.rand(n, t, s, requires_grad=True).softmax(-1)
    ids = torch.randint(v + 3, (n, s))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits, gate = torch.randn(n, t, v, requires_grad=True), torch.randn(n, t, 1, requires_grad=True)
        copy_negative_log_likelihood(logits, attention, gate, ids, ids[:, torch.randint(s, (t,))]).sum().backward()
    assert max(kept) == (n * t * v, logits.data_ptr())
    assert sum(size >= n * t * v for size, _ in kept) == 1


def test_the_gate_is_linear_in_state_context_and_input() -> None:
    torch.manual_seed(0)
    head = CopyHead(4, 3, context=6)
    state, context, embedded = torch.randn(2, 5, 4), torch.randn(2, 5, 6), torch.randn(2, 5, 3)
    w, b = head.gate.weight[0], head.gate.bias
    expected = state @ w[:4] + context @ w[4:10] + embedded @ w[10:] + b
    torch.testing.assert_close(head(state, context, embedded)[..., 0], expected)


def test_a_head_fits_the_body_it_is_made_for() -> None:
    body = RecurrentTranslator(9, VOCABULARY, embedding=6, width=5, share_embeddings="none")
    head = CopyHead.for_body(body)
    memory, ids = body.encode(torch.tensor([[5, 6, 2]])), torch.tensor([[1, 5]])
    decoded = body.decode(ids, memory, attention=True)
    assert decoded.context is not None
    assert head(decoded.states, decoded.context, body.embed_target(ids)).shape == (1, 2, 1)
