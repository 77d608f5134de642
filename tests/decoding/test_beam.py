"""Beam search finds what exhaustive search finds; stopping early changes nothing; a beam of one is greedy search."""

from __future__ import annotations

import itertools
import math
from functools import partial

import pytest
import torch
from torch import Tensor

from lhy_lightning.decoding.beam import Hypothesis, beam_search, greedy_search
from lhy_lightning.decoding.candidates import BLOCK, best_candidates
from lhy_lightning.decoding.constraints import block_repeated_ngrams_
from lhy_lightning.decoding.ensemble import Ensemble
from lhy_lightning.decoding.scoring import force_decode
from tests.seq2seq.toy_decoder import BOS, EOS, Plain, ToyDecoder, distribution, plain_beam_search, plain_score, sources

SETTINGS = [
    {},
    {"length_penalty": 0.0},
    {"length_penalty": 1.7},
    {"length_penalty": -0.5},
    {"length_penalty": 0.6, "coverage_penalty": 0.4},
    {"length_penalty": 0.0, "coverage_penalty": 0.2},
    {"no_repeat_ngram": 2},
    {"no_repeat_ngram": 1, "min_length": 3, "suppress": (0, BOS)},
]


def ends(hypothesis: Hypothesis) -> list[int]:
    """Ids with EOS."""
    return [*hypothesis.ids, EOS] if hypothesis.finished else hypothesis.ids


def agree(found: list[Hypothesis], wanted: list[Plain]) -> None:
    assert [ends(each) for each in found] == [each.ids for each in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0, -0.5])
def test_a_beam_wide_enough_for_every_prefix_finds_what_exhaustive_search_finds(alpha: float) -> None:
    decoder, source_ids, limits = ToyDecoder(4), sources([3, 5]), torch.tensor([4, 3])
    found = beam_search(
        decoder, decoder.encode(source_ids), beam=4**4, n_best=6, max_length=limits, length_penalty=alpha
    )
    for row, limit in enumerate(limits.tolist()):
        every = []
        for length in range(1, limit + 1):
            for ids in itertools.product(range(4), repeat=length):
                if EOS not in ids[:-1] and (ids[-1] == EOS or length == limit):
                    steps = [distribution(decoder, source_ids[row], [*ids[:t]]) for t in range(length)]
                    total = sum(step[0][token].item() for step, token in zip(steps, ids, strict=True))
                    plain = Plain([*ids], total, [])
                    plain.score = plain_score(plain, alpha, 0)
                    every.append(plain)
        agree(found[row], sorted(every, key=lambda each: -each.score)[:6])


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("beam", [2, 5])
def test_a_batch_gives_what_one_sentence_at_a_time_gives_in_plain_loops(settings: dict, beam: int) -> None:
    decoder, source_ids, limits = ToyDecoder(9, seed=3), sources([3, 6, 1, 4]), torch.tensor([7, 12, 1, 9])
    memory = decoder.encode(source_ids)
    plain = {**settings, "alpha": settings.get("length_penalty", 1.0), "beta": settings.get("coverage_penalty", 0.0)}
    plain.pop("length_penalty", None), plain.pop("coverage_penalty", None)
    for n_best in (1, beam):
        found = beam_search(decoder, memory, beam=beam, n_best=n_best, max_length=limits, **settings)
        for row, limit in enumerate(limits.tolist()):
            agree(
                found[row],
                plain_beam_search(
                    partial(distribution, decoder, source_ids[row]), limit, beam=beam, n_best=n_best, **plain
                ),
            )


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("n_best", [1, 3])
def test_stopping_early_never_changes_the_result(settings: dict, n_best: int) -> None:
    rows_saved = 0
    for seed in range(6):
        decoder = ToyDecoder(12, seed=seed, sharpness=1 + seed % 3, eos=seed)
        source_ids = sources([4, 7, 2, 9, 5], seed)
        arguments = {"beam": 4, "n_best": n_best, "max_length": torch.tensor([8, 14, 4, 25, 11]), **settings}
        early = beam_search(decoder, decoder.encode(source_ids), **arguments)
        rows = sum(fed for fed, _ in decoder.fed)
        assert early == beam_search(decoder, decoder.encode(source_ids), early_stop=False, **arguments)
        rows_saved += sum(fed for fed, _ in decoder.fed) - 2 * rows
    assert rows_saved > 0


@pytest.mark.parametrize("settings", [s for s in SETTINGS if "coverage_penalty" not in s])
def test_greedy_search_is_a_beam_of_one(settings: dict) -> None:
    for seed in range(3):
        decoder = ToyDecoder(140, seed=seed)
        memory = decoder.encode(sources([4, 7, 2, 9, 5], seed))
        arguments = {"max_length": torch.tensor([8, 14, 4, 25, 1]), "attention": True, **settings}
        greedy = greedy_search(decoder, memory, **arguments)
        beam = beam_search(decoder, memory, beam=1, **arguments)
        for one, (other,) in zip(greedy, beam, strict=True):
            torch.testing.assert_close(one.attention, other.attention)
            one.attention = other.attention = None
            assert one == other


def test_padding_and_batch_mates_change_nothing() -> None:
    decoder, lengths = ToyDecoder(20, seed=1), [3, 8, 5, 2, 6]
    source_ids, limits = sources(lengths), torch.tensor([6, 16, 10, 4, 12])
    arguments = {"beam": 3, "n_best": 3, "coverage_penalty": 0.2, "attention": True}
    together = beam_search(decoder, decoder.encode(source_ids), max_length=limits, **arguments)
    alone = greedy_search(decoder, decoder.encode(source_ids), max_length=limits)
    for row, length in enumerate(lengths):
        memory = decoder.encode(source_ids[row : row + 1, :length])
        (single,) = beam_search(decoder, memory, max_length=int(limits[row]), **arguments)
        for one, other in zip(together[row], single, strict=True):
            assert one.ids == other.ids
            assert one.score == pytest.approx(other.score, abs=1e-5)
            assert one.attention is not None
            assert other.attention is not None
            assert one.attention.shape == (len(ends(one)), length)
            torch.testing.assert_close(one.attention, other.attention)
        assert alone[row].ids == greedy_search(decoder, memory, max_length=int(limits[row]))[0].ids


def test_the_first_step_costs_one_hypothesis_and_sentences_that_are_done_leave_the_batch() -> None:
    decoder = ToyDecoder(9, seed=3)
    beam_search(decoder, decoder.encode(sources([3, 6, 1, 4])), beam=5, max_length=torch.tensor([2, 30, 1, 30]))
    assert decoder.fed[0] == (4, 1)
    assert decoder.fed[1] == (3, 5)
    assert decoder.fed[2][0] <= 2


def test_attention_has_a_row_for_every_token_and_each_row_sums_to_one() -> None:
    decoder, source_ids = ToyDecoder(9, seed=4), sources([3, 6])
    found = beam_search(decoder, decoder.encode(source_ids), n_best=2, max_length=9, attention=True)
    for row, best in enumerate(found):
        for hypothesis in best:
            wanted = [
                distribution(decoder, source_ids[row], ends(hypothesis)[:t])[1] for t in range(len(ends(hypothesis)))
            ]
            assert hypothesis.attention is not None
            torch.testing.assert_close(hypothesis.attention, torch.stack(wanted))


def test_scoring_a_translation_gives_back_the_log_probability_it_was_found_with() -> None:
    decoder, memory = ToyDecoder(9, seed=4), ToyDecoder(9, seed=4).encode(sources([3, 6, 2]))
    for best, row in zip(beam_search(decoder, memory, n_best=4, max_length=9), range(3), strict=True):
        ids = [torch.tensor([BOS, *ends(hypothesis)]) for hypothesis in best]
        targets = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
        own = decoder.encode(memory.source_ids[row : row + 1])
        each = force_decode(decoder, own, targets[None], pad_id=-1)[0]
        for hypothesis, scores in zip(best, each, strict=True):
            assert scores[: len(ends(hypothesis))].sum().item() == pytest.approx(hypothesis.log_probability, abs=1e-5)


def test_equal_scores_are_ordered_by_hypothesis_and_then_by_token() -> None:
    log_probabilities = torch.full((1, 3, 5), -1.0)
    log_probabilities[0, 1, 4] = -0.5
    values, parents, tokens = best_candidates(log_probabilities, torch.zeros(1, 3), 4)
    assert values.tolist() == [[-0.5, -1, -1, -1]]
    assert parents.tolist() == [[1, 0, 0, 0]]
    assert tokens.tolist() == [[4, 0, 1, 2]]


@pytest.mark.parametrize("vocabulary", [7, BLOCK, 9 * BLOCK, 9 * BLOCK + 5, 50 * BLOCK - 1])
@pytest.mark.parametrize("levels", [3, 10**6])
def test_candidates_are_those_of_a_stable_sort(vocabulary: int, levels: int) -> None:
    torch.manual_seed(vocabulary)
    log_probabilities = -torch.randint(levels, (4, 3, vocabulary)).float() / levels
    log_probabilities[:, :, ::5] = -math.inf
    scores = -torch.randint(2, (4, 3)).float()
    values, parents, tokens = best_candidates(log_probabilities, scores, 10)
    flat = (log_probabilities + scores[..., None]).flatten(1)
    wanted, order = flat.sort(dim=1, descending=True, stable=True)
    assert torch.equal(values, wanted[:, :10])
    assert torch.equal(parents * vocabulary + tokens, order[:, :10])


def test_candidates_that_are_forbidden_are_still_tokens_of_the_vocabulary() -> None:
    vocabulary = 9 * BLOCK + 5
    log_probabilities = torch.full((1, 3, vocabulary), -math.inf)
    log_probabilities[0, 1, vocabulary - 1] = -1.0
    values, parents, tokens = best_candidates(log_probabilities, torch.zeros(1, 3), 10)
    assert (values[0, 0], parents[0, 0], tokens[0, 0]) == (-1, 1, vocabulary - 1)
    assert values[0, 1:].isneginf().all()
    assert tokens.max() < vocabulary


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_no_ngram_stands_twice(n: int) -> None:
    torch.manual_seed(0)
    prefixes = torch.randint(4, (6, 3, 12))
    log_probabilities = torch.randn(6, 3, 5)
    wanted = log_probabilities.clone()
    for b, k, token in itertools.product(range(6), range(3), range(5)):
        written = prefixes[b, k].tolist()
        if n and any(
            written[i : i + n] == [*written[len(written) - n + 1 :], token] for i in range(len(written) - n + 1)
        ):
            wanted[b, k, token] = -math.inf
    block_repeated_ngrams_(log_probabilities, prefixes, n)
    assert torch.equal(log_probabilities, wanted)


def test_ids_beyond_the_vocabulary_are_fed_back_as_they_are() -> None:
    class Copying(ToyDecoder):
        def step(self, ids: Tensor, state: object) -> tuple[Tensor, Tensor | None]:
            log_probabilities, weights = super().step(ids, state)  # type: ignore[arg-type]
            copied = torch.full((*ids.shape, 2), -math.inf)
            copied[0, :, 0] = 3.0 if len(self.fed) < 4 else -math.inf
            return torch.cat([log_probabilities, copied], 2).log_softmax(-1), weights

    decoder = Copying(9)
    found = beam_search(decoder, decoder.encode(sources([3, 4])), max_length=6)
    assert found[0][0].ids[:3] == [9, 9, 9]
    assert (decoder.ids[1] == 9).any()
    assert max(found[1][0].ids) < 9


def test_an_ensemble_averages_probabilities() -> None:
    members, source_ids = [ToyDecoder(9, seed=seed) for seed in (1, 2, 3)], sources([3, 6, 2])
    ensemble = Ensemble(members)
    memory = [member.encode(source_ids) for member in members]
    found = beam_search(ensemble, memory, max_length=torch.tensor([9, 9, 3]), attention=True)
    for row, (best,) in enumerate(found):
        total = 0.0
        for t, token in enumerate(ends(best)):
            each = [distribution(m, source_ids[row], ends(best)[:t]) for m in members]
            total += math.log(sum(math.exp(one[0][token]) for one in each) / 3)
            torch.testing.assert_close(best.attention[t], sum(one[1] for one in each) / 3)  # type: ignore[index]
        assert best.log_probability == pytest.approx(total, abs=1e-4)
    single = Ensemble(members[:1])
    assert greedy_search(single, memory[:1], max_length=9) == greedy_search(members[0], memory[0], max_length=9)
    with pytest.raises(ValueError, match="3 members need as many memories, not 1"):
        beam_search(ensemble, memory[0], max_length=9)


def test_what_cannot_be_searched_is_an_error() -> None:
    decoder = ToyDecoder(9)
    memory = decoder.encode(sources([3, 4]))
    with pytest.raises(ValueError, match="n_best"):
        beam_search(decoder, memory, beam=2, n_best=3, max_length=5)
    with pytest.raises(ValueError, match="coverage"):
        beam_search(decoder, memory, coverage_penalty=-1, max_length=5)
    with pytest.raises(ValueError, match="max_length"):
        beam_search(decoder, memory, max_length=torch.tensor([3, 0]))
    with pytest.raises(ValueError, match="max_length"):
        greedy_search(decoder, memory, max_length=torch.tensor([3]))


def test_a_sentence_with_nothing_allowed_gets_an_empty_translation() -> None:
    decoder = ToyDecoder(4)
    memory = decoder.encode(sources([3, 4]))
    (first,), _ = beam_search(decoder, memory, max_length=5, suppress=(0, 1, 2, 3))
    assert first.ids == []
    assert first.score == -math.inf
    assert greedy_search(decoder, memory, max_length=5, suppress=(0, 1, 2, 3))[0] == first


def test_no_sentences_give_no_translations() -> None:
    decoder = ToyDecoder(4)
    memory = decoder.encode(torch.zeros(0, 3, dtype=torch.int64))
    assert beam_search(decoder, memory, max_length=5) == []
    assert greedy_search(decoder, memory, max_length=5) == []
