"""Samples follow the model's distribution, cut off as asked, and bring the log-probability of the unmodified model."""

from __future__ import annotations

import pytest
import torch

from lhy_lightning.decoding.beam import greedy_search
from lhy_lightning.decoding.candidates import BLOCK
from lhy_lightning.decoding.sampling import Samples, draw, sample, truncate
from lhy_lightning.decoding.scoring import force_decode
from tests.seq2seq.toy_decoder import BOS, EOS, ToyDecoder, sources


def drawn(seed: int = 0, **settings: object) -> tuple[ToyDecoder, Samples]:
    decoder = ToyDecoder(9, seed=3)
    memory = decoder.encode(sources([3, 6, 1, 4]))
    arguments = {"samples": 50, "max_length": torch.tensor([7, 12, 1, 9]), **settings}
    return decoder, sample(decoder, memory, generator=torch.Generator().manual_seed(seed), **arguments)  # type: ignore[arg-type]


def test_samples_of_one_token_follow_the_models_distribution() -> None:
    decoder = ToyDecoder(9, seed=3, sharpness=0.7)
    memory = decoder.encode(sources([3, 4]))
    found = sample(decoder, memory, samples=10_000, max_length=1, generator=torch.Generator().manual_seed(0))
    chances = decoder.step(torch.full((2, 1), BOS), decoder.start(memory, beams=1, max_length=1))[0][:, 0].exp()
    for row in range(2):
        shares = found.ids[row, :, 0].bincount(minlength=9) / 10_000
        torch.testing.assert_close(shares, chances[row], atol=0.017, rtol=0)


def test_the_second_token_follows_the_first() -> None:
    decoder = ToyDecoder(5, seed=3, sharpness=0.7)
    memory = decoder.encode(sources([3]))
    found = sample(decoder, memory, samples=20_000, max_length=2, generator=torch.Generator().manual_seed(0))
    state = decoder.start(memory, beams=1, max_length=2)
    first = decoder.step(torch.full((1, 1), BOS), state)[0][0, 0]
    state.reorder(torch.zeros(1, 5, dtype=torch.int64))
    joint = (first[:, None] + decoder.step(torch.arange(5)[None], state)[0][0]).exp()
    pairs = found.ids[0, :, 0] * 5 + found.ids[0, :, 1]
    shares = (pairs.bincount(minlength=25) / 20_000).view(5, 5)
    going = torch.arange(5) != EOS
    torch.testing.assert_close(shares[going], joint[going], atol=0.012, rtol=0)
    assert (found.ids[0, found.ids[0, :, 0] == EOS, 1] == 0).all()


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.5, "top_k": 3, "top_p": 0.8, "suppress": (0, BOS)}])
def test_log_probabilities_are_those_of_the_unmodified_model(settings: dict) -> None:
    decoder, found = drawn(**settings)
    assert not found.log_probabilities.requires_grad
    memory = decoder.encode(sources([3, 6, 1, 4]))
    after_end = (found.ids == EOS).cumsum(2) - (found.ids == EOS).long() > 0
    for row, limit in enumerate((7, 12, 1, 9)):
        assert (found.ids[row, :, limit:] == 0).all()
        ids = found.ids[row, :, :limit]
        targets = torch.cat([torch.full((50, 1), BOS), ids.masked_fill(after_end[row, :, :limit], -1)], 1)
        own = decoder.encode(memory.source_ids[row : row + 1])
        total = force_decode(decoder, own, targets[None].clamp(min=0), pad_id=-1)[0]
        total = total.masked_fill(targets[:, 1:] == -1, 0).sum(1)
        torch.testing.assert_close(found.log_probabilities[row], total, atol=1e-4, rtol=1e-5)
    assert (found.ids[after_end] == 0).all()


def test_equal_generators_give_equal_samples() -> None:
    assert torch.equal(drawn(1)[1].ids, drawn(1)[1].ids)
    assert not torch.equal(drawn(1)[1].ids, drawn(2)[1].ids)


@pytest.mark.parametrize("settings", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_the_narrowest_sampling_is_greedy_search(settings: dict) -> None:
    decoder, found = drawn(**settings)
    greedy = greedy_search(decoder, decoder.encode(sources([3, 6, 1, 4])), max_length=torch.tensor([7, 12, 1, 9]))
    for row, best in enumerate(greedy):
        ids = [*best.ids, EOS] if best.finished else best.ids
        assert (found.ids[row, :, : len(ids)] == torch.tensor(ids)).all()
        torch.testing.assert_close(found.log_probabilities[row], torch.full((50,), best.log_probability))


def test_top_k_and_top_p_keep_the_fewest_tokens_asked_for() -> None:
    scores = torch.tensor([0.4, 0.05, 0.3, 0.25]).log()[None, None]
    kept = {
        (top_k, top_p): truncate(scores, top_k, top_p).isfinite()[0, 0].tolist()
        for top_k, top_p in ((0, 1.0), (2, 1.0), (9, 1.0), (0, 0.39), (0, 0.69), (0, 0.71), (3, 0.8))
    }
    assert kept == {
        (0, 1.0): [True, True, True, True],
        (2, 1.0): [True, False, True, False],
        (9, 1.0): [True, True, True, True],
        (0, 0.39): [True, False, False, False],
        (0, 0.69): [True, False, True, False],
        (0, 0.71): [True, False, True, True],
        (3, 0.8): [True, False, True, True],
    }


def test_nothing_forbidden_is_drawn() -> None:
    _, found = drawn(suppress=(0, BOS, 5), no_repeat_ngram=1, min_length=2)
    for row, limit in enumerate((7, 12, 1, 9)):
        for ids in found.ids[row].tolist():
            real = ids[: ids.index(EOS)] if EOS in ids else ids[:limit]
            assert not {0, BOS, 5} & set(real)
            assert len(set(real)) == len(real) >= min(2, limit)


def test_a_translation_that_nothing_may_follow_ends() -> None:
    _, found = drawn(suppress=tuple(range(9)))
    assert (found.ids[:, :, 0] == EOS).all()
    assert found.ids.shape == (4, 50, 1)


def test_top_p_beyond_the_usual_nucleus_is_that_of_a_full_sort() -> None:
    scores = torch.randn(2, 3, 700, generator=torch.Generator().manual_seed(0)) * 0.1
    chances, ids = scores.softmax(2).sort(dim=2, descending=True)
    wanted = (chances.cumsum(2) - chances < 0.9).scatter(2, ids, chances.cumsum(2) - chances < 0.9)
    assert torch.equal(truncate(scores, 0, 0.9).isfinite(), wanted)


@pytest.mark.parametrize("vocabulary", [3, BLOCK, 3 * BLOCK + 7])
def test_a_draw_is_the_first_token_whose_running_sum_passes_the_random_number(vocabulary: int) -> None:
    torch.manual_seed(vocabulary)
    scores = torch.randn(5, 4, vocabulary) * 3
    scores[:, :, ::3] = float("-inf")
    uniform = torch.rand(5, 4)
    uniform[0], uniform[1] = 0, 1 - 2**-24
    running = scores.double().softmax(2).cumsum(2)
    wanted = (running <= uniform[..., None]).sum(2)
    found = draw(scores, uniform)
    assert scores.gather(2, found[..., None]).isfinite().all()
    assert (found[2:] == wanted[2:]).float().mean() > 0.9  # but for rounding at the borders
    chances = torch.cat([torch.zeros(5, 4, 1), running.float()], 2)
    assert (uniform >= chances.gather(2, found[..., None])[..., 0] - 1e-5).all()
    assert (uniform <= chances.gather(2, found[..., None] + 1)[..., 0] + 1e-5).all()


def test_the_first_step_is_shared_and_finished_sentences_leave() -> None:
    decoder, _ = drawn()
    assert decoder.fed[0] == (4, 1)
    assert decoder.fed[1] == (3, 50)


def test_settings_that_mean_nothing_are_errors() -> None:
    for settings in ({"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}, {"max_length": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            drawn(**settings)
