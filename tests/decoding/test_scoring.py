"""Given translations are scored as search scores its own."""

from __future__ import annotations

import math

import pytest
import torch

from lhy_lightning.decoding.scoring import force_decode, score_tokens, token_log_probabilities
from tests.seq2seq.toy_decoder import BOS, EOS, ToyDecoder, distribution, sources


def test_token_log_probabilities_are_those_of_the_targets() -> None:
    logits, targets = torch.randn(2, 3, 7), torch.randint(7, (2, 3))
    wanted = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    torch.testing.assert_close(token_log_probabilities(logits, targets), wanted)
    torch.testing.assert_close(token_log_probabilities(logits.log_softmax(-1), targets), wanted)


def test_scores_are_sums_normalised_by_length_and_perplexity_is_per_token() -> None:
    each = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, float("nan"), 5.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    scores = score_tokens(each, mask, length_penalty=0.5)
    assert scores.log_probability.tolist() == [-6, -1]
    assert scores.score.tolist() == pytest.approx([-6 / math.sqrt(3), -1])
    assert scores.perplexity.tolist() == pytest.approx([math.exp(2), math.e])


def test_forced_decoding_gives_every_tokens_log_probability() -> None:
    decoder, source_ids = ToyDecoder(9, seed=4), sources([3, 6])
    targets = torch.tensor([[BOS, 5, 6, 7, EOS], [BOS, 8, EOS, 0, 0]])
    each = force_decode(decoder, decoder.encode(source_ids), targets)
    assert each.shape == (2, 4)
    for row, ids in enumerate(targets.tolist()):
        for t, token in enumerate(ids[1:]):
            wanted = distribution(decoder, source_ids[row], ids[1 : t + 1])[0][token].item() if token else 0.0
            assert each[row, t].item() == pytest.approx(wanted, abs=1e-5)


def test_several_translations_of_a_sentence_are_scored_at_once() -> None:
    decoder, source_ids = ToyDecoder(9, seed=4), sources([3, 6])
    targets = torch.tensor([[[BOS, 5, 6, EOS], [BOS, 7, EOS, 0]], [[BOS, 8, EOS, 0], [BOS, 5, 5, EOS]]])
    memory = decoder.encode(source_ids)
    each = force_decode(decoder, memory, targets)
    assert each.shape == (2, 2, 3)
    torch.testing.assert_close(each[:, 1], force_decode(decoder, memory, targets[:, 1]))


def test_rows_that_do_not_belong_together_are_an_error() -> None:
    decoder = ToyDecoder(9)
    with pytest.raises(ValueError, match="3 rows of targets for 2 sentences"):
        force_decode(decoder, decoder.encode(sources([3, 6])), torch.ones(3, 4, dtype=torch.int64))
