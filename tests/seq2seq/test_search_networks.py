"""Search over real networks: `transformers` finds the same translations, and the cache changes none."""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lhy_lightning.decoding.beam import beam_search, greedy_search
from lhy_lightning.decoding.ensemble import Ensemble
from lhy_lightning.decoding.interface import Memory
from lhy_lightning.decoding.sampling import sample
from lhy_lightning.decoding.scoring import force_decode, score_tokens, token_log_probabilities
from lhy_lightning.seq2seq.copying import CopyHead
from lhy_lightning.seq2seq.marian import to_marian
from lhy_lightning.seq2seq.networks import TranslationNetwork
from lhy_lightning.seq2seq.rnn.rnn import RecurrentTranslator
from lhy_lightning.seq2seq.transformer import Transformer
from tests.seq2seq.toy_decoder import BOS, EOS, plain_beam_search, sources

VOCABULARY = 60


@cache
def transformer(norm: str = "post") -> Transformer:
    """A tiny Transformer that has begun to learn to copy: random ones repeat a token for ever."""
    torch.manual_seed(0)
    body = Transformer(VOCABULARY, VOCABULARY, layers=2, width=32, heads=4, feedforward=64, norm=norm, dropout=0.0)
    optimizer = torch.optim.Adam(body.parameters(), lr=3e-3)
    for step in range(60):
        ids = sources([2 + row % 8 for row in range(64)], seed=step)
        ids[torch.arange(64), (ids != 0).sum(1) - 1] = EOS
        inputs = torch.cat([torch.full((64, 1), BOS), ids[:, :-1]], 1)
        logits = body.project(body.decode(inputs, body.encode(ids)).states)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten(), ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return body.eval()


def recurrent() -> RecurrentTranslator:
    torch.manual_seed(1)
    body = RecurrentTranslator(VOCABULARY, VOCABULARY, width=16, embedding=16).eval()
    for parameter in body.parameters():
        nn.init.normal_(parameter, std=0.5)
    return body


def network(name: str) -> TranslationNetwork:
    body = recurrent() if name == "gru" else transformer("pre" if name == "pre" else "post")
    return TranslationNetwork(body).eval()


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("forbidden", [{}, {"no_repeat_ngram": 2, "min_length": 3}])
def test_transformers_finds_the_same_translations_with_the_same_weights(
    alpha: float, forbidden: dict[str, int]
) -> None:
    body = transformer()
    marian, ours = to_marian(body), TranslationNetwork(body)
    ids = sources([6, 9, 3, 7, 8, 9])
    for beam in (2, 5):
        found = beam_search(
            ours, ours.encode(ids), beam=beam, n_best=beam, max_length=14, length_penalty=alpha, suppress=(0, 1),
            **forbidden,
        )  # fmt: skip
        theirs: Any = marian.generate(
            input_ids=ids, attention_mask=(ids != 0).long(), num_beams=beam, num_return_sequences=beam,
            length_penalty=alpha, early_stopping="never", max_new_tokens=14, do_sample=False,
            bad_words_ids=[[0], [1]], no_repeat_ngram_size=forbidden.get("no_repeat_ngram", 0),
            min_new_tokens=forbidden.get("min_length", 0), return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        hypotheses = [hypothesis for best in found for hypothesis in best]
        assert 0 < sum(hypothesis.finished for hypothesis in hypotheses) < len(hypotheses)
        for hypothesis, row, score in zip(
            hypotheses, theirs.sequences[:, 1:].tolist(), theirs.sequences_scores.tolist(), strict=True
        ):
            length = len(hypothesis.ids)
            assert row[:length] == hypothesis.ids
            assert set(row[length : length + 1]) <= {EOS}
            assert score == pytest.approx(hypothesis.score, abs=1e-5)


@pytest.mark.parametrize("name", ["post", "pre", "gru"])
def test_cached_search_finds_what_search_over_whole_prefixes_finds(name: str) -> None:
    model, ids = network(name), sources([5, 2, 7, 4])

    def distribution(source_ids: Tensor, prefix: list[int]) -> tuple[Tensor, Tensor]:
        return model(source_ids[source_ids != 0][None], torch.tensor([[BOS, *prefix]]))[0, -1], torch.zeros(0)

    limits = torch.tensor([8, 4, 10, 6])
    with torch.no_grad():
        found = beam_search(model, model.encode(ids), beam=3, n_best=3, max_length=limits)
        greedy = greedy_search(model, model.encode(ids), max_length=limits)
        for row, limit in enumerate(limits.tolist()):
            wanted = plain_beam_search(partial(distribution, ids[row]), limit, beam=3, n_best=3)
            for one, other in zip(found[row], wanted, strict=True):
                assert [*one.ids, *[EOS] * one.finished] == other.ids
                assert one.score == pytest.approx(other.score, abs=1e-5)
            (alone,) = beam_search(model, model.encode(ids[row : row + 1]), beam=1, max_length=limit)[0]
            assert greedy[row].ids == alone.ids


@pytest.mark.parametrize("name", ["post", "pre", "gru"])
def test_forced_decoding_gives_the_scores_of_search_and_of_teacher_forcing(name: str) -> None:
    model, ids = network(name), sources([5, 2, 7, 4])
    with torch.no_grad():
        memory = model.encode(ids)
        found = beam_search(model, memory, max_length=12, length_penalty=0.7)
        rows = [torch.tensor([BOS, *best.ids, *[EOS] * best.finished]) for (best,) in found]
        targets = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        forced = force_decode(model, memory, targets)
        taught = token_log_probabilities(model(ids, targets[:, :-1]), targets[:, 1:]).masked_fill(
            targets[:, 1:] == 0, 0
        )
    torch.testing.assert_close(forced, taught, atol=1e-4, rtol=1e-5)
    scores = score_tokens(forced, targets[:, 1:] != 0, length_penalty=0.7)
    assert scores.log_probability.tolist() == pytest.approx([best.log_probability for (best,) in found], abs=1e-4)
    assert scores.score.tolist() == pytest.approx([best.score for (best,) in found], abs=1e-4)


@pytest.mark.parametrize("name", ["post", "gru"])
def test_samples_bring_the_log_probabilities_of_teacher_forcing(name: str) -> None:
    model, ids = network(name), sources([5, 2, 7])
    with torch.no_grad():
        found = sample(model, model.encode(ids), samples=4, max_length=torch.tensor([9, 5, 12]), suppress=(0, BOS))
        for row in range(3):
            targets = found.ids[row]
            inputs = torch.cat([torch.full((4, 1), BOS), targets[:, :-1]], 1)
            each = token_log_probabilities(model(ids[row].expand(4, -1), inputs), targets).masked_fill(targets == 0, 0)
            torch.testing.assert_close(found.log_probabilities[row], each.sum(1), atol=1e-4, rtol=1e-5)


def test_unknown_source_words_are_copied_out() -> None:
    torch.manual_seed(0)
    body = transformer()
    head = CopyHead.for_body(body)
    nn.init.zeros_(head.gate.weight)
    nn.init.constant_(head.gate.bias, -9.0)  # copies always
    model, ids = TranslationNetwork(body, head).eval(), sources([5, 2, 7])
    copy_ids = torch.where(ids == 0, 0, torch.arange(7) % 3 + VOCABULARY)
    with torch.no_grad():
        memory = model.encode(ids, copy_ids, 3)
        found = beam_search(model, memory, max_length=6, attention=True)
        for (best,), greedy in zip(found, greedy_search(model, memory, max_length=6), strict=True):
            assert all(i >= VOCABULARY for i in best.ids + greedy.ids)
            assert len(best.ids) == 6
        targets = torch.tensor([[BOS, *best.ids] for (best,) in found])
        totals = force_decode(model, memory, targets).sum(1)
    assert totals.tolist() == pytest.approx([best.log_probability for (best,) in found], abs=1e-4)


def test_networks_of_different_kinds_translate_together() -> None:
    members = [network("post"), network("gru")]
    ids = sources([5, 2, 7])
    with torch.no_grad():
        memory: list[Memory] = [member.encode(ids) for member in members]
        found = beam_search(Ensemble(members), memory, max_length=8, attention=True)
        for row, (best,) in enumerate(found):
            ends = [*best.ids, *[EOS] * best.finished]
            inputs = torch.tensor([[BOS, *ends[:-1]]])
            each = torch.stack([member(ids[row : row + 1], inputs)[0] for member in members])
            mean = each.logsumexp(0) - math.log(2)
            total = mean.gather(1, torch.tensor(ends)[:, None]).sum().item()
            assert best.log_probability == pytest.approx(total, abs=1e-4)
            assert best.attention is not None
            torch.testing.assert_close(best.attention.sum(1), torch.ones(len(ends)))
