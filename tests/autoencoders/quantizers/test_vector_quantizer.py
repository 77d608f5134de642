"""The vector quantizer against the equations, written out with loops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lhy_lightning.autoencoders.quantizers import nearest_codes as nearest
from lhy_lightning.autoencoders.quantizers.kmeans import kmeans
from lhy_lightning.autoencoders.quantizers.nearest_codes import nearest_codes
from lhy_lightning.autoencoders.quantizers.straight_through import rotation_trick, straight_through
from lhy_lightning.autoencoders.quantizers.vector_quantizer import VectorQuantizer

SIZE, DIM = 6, 3


def slow_code(vector: Tensor, codebook: Tensor) -> int:
    distances = [float(sum((vector[d] - code[d]) ** 2 for d in range(len(vector)))) for code in codebook]
    return min(range(len(distances)), key=distances.__getitem__)


def unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.square().sum(-1, keepdim=True).sqrt()


def quantizer(**settings: Any) -> VectorQuantizer:
    torch.manual_seed(0)
    module = VectorQuantizer(SIZE, DIM, **{"codebook_init": "random", "restart_below": 0.0, **settings})
    with torch.no_grad():
        codebook = torch.randn(SIZE, DIM)
        module.codebook.copy_(unit(codebook) if module.cosine else codebook)
        module.sums.copy_(module.codebook)
    return module


def some_vectors(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, DIM, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [5, 16, 48])
@pytest.mark.parametrize("scores", [40, 2**19])
def test_the_nearest_code_is_the_one_of_least_distance(size: int, scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "SCORES_ON_CPU", scores)  # one chunk or many
    vectors, codebook = some_vectors(50), some_vectors(size, seed=2) + 3
    assert nearest_codes(vectors, codebook).tolist() == [slow_code(vector, codebook) for vector in vectors]


@pytest.mark.parametrize("update", ["averages", "gradient"])
@pytest.mark.parametrize("cosine", [False, True])
def test_codes_vectors_and_loss_are_those_of_the_paper(update: Any, cosine: bool) -> None:
    module = quantizer(update=update, cosine=cosine, beta=0.3).eval()
    vectors = some_vectors(2, 4)
    codebook = module.codebook.detach().clone()
    compared = unit(vectors) if cosine else vectors
    result = module(vectors)
    codes = [[slow_code(vector, codebook) for vector in row] for row in compared]
    assert result.codes.tolist() == codes
    torch.testing.assert_close(result.vectors.detach(), codebook[torch.tensor(codes)])
    error = sum(float((compared[i, j, d] - codebook[codes[i][j], d]) ** 2)
                for i in range(2) for j in range(4) for d in range(DIM)) / (2 * 4 * DIM)  # fmt: skip
    expected = 0.3 * error + (error if update == "gradient" else 0.0)
    assert float(result.loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_beta_weighs_what_reaches_the_encoder_and_not_the_codebook() -> None:
    module, vectors = quantizer(update="gradient", beta=0.3).eval(), some_vectors(7).requires_grad_()
    result = module(vectors)
    result.loss.backward()
    codes, count = result.codes, vectors.numel()
    difference = vectors.detach() - module.codebook.detach()[codes]
    torch.testing.assert_close(vectors.grad, 0.3 * 2 * difference / count)
    expected = torch.zeros(SIZE, DIM)
    for i, code in enumerate(codes.tolist()):
        expected[code] -= 2 * difference[i] / count
    torch.testing.assert_close(module.codebook.grad, expected)


def test_the_straight_through_gradient_is_that_of_the_literal_expression() -> None:
    vectors, weights = some_vectors(4, 5), some_vectors(4, 5, seed=3)
    module = quantizer(beta=0.0).eval()
    gradients = []
    for literal in (False, True):
        leaf = vectors.clone().requires_grad_()
        result = module(leaf).vectors
        if literal:
            result = leaf + (module.decode(module(leaf).codes) - leaf).detach()
        (result.square() * weights).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(straight_through(vectors, weights), weights, rtol=0, atol=0)


def test_the_rotation_trick_turns_the_gradient_by_the_rotation_that_turns_vector_to_code() -> None:
    vectors, codes, weights = some_vectors(5), some_vectors(5, seed=2), some_vectors(5, seed=3)
    leaf = vectors.clone().requires_grad_()
    result = rotation_trick(leaf, codes)
    (result * weights).sum().backward()
    for i in range(5):
        x, e = unit(vectors[i]), unit(codes[i])
        r = unit(x + e)
        rotation = torch.eye(DIM) - 2 * torch.outer(r, r) + 2 * torch.outer(e, x)
        scaled = rotation * codes[i].norm() / vectors[i].norm()
        torch.testing.assert_close(scaled @ vectors[i], codes[i])
        torch.testing.assert_close(leaf.grad[i], scaled.T @ weights[i])  # type: ignore[index]


@pytest.mark.parametrize("cosine", [False, True])
def test_the_codebook_follows_exponential_averages(cosine: bool) -> None:
    module = quantizer(cosine=cosine, decay=0.9).train()
    counts, sums, codebook = torch.ones(SIZE), module.codebook.clone(), module.codebook.clone()
    for step in range(3):
        vectors = some_vectors(20, seed=step)
        module(vectors)
        vectors = unit(vectors) if cosine else vectors
        seen, total = torch.zeros(SIZE), torch.zeros(SIZE, DIM)
        for vector in vectors:
            code = slow_code(vector, codebook)
            seen[code] += 1
            total[code] += vector
        counts, sums = 0.9 * counts + 0.1 * seen, 0.9 * sums + 0.1 * total
        smooth = (counts + 1e-5) / (counts.sum() + SIZE * 1e-5) * counts.sum()
        codebook = sums / smooth[:, None]
        codebook = unit(codebook) if cosine else codebook
        torch.testing.assert_close(module.counts, counts)
        torch.testing.assert_close(module.sums, sums)
        torch.testing.assert_close(module.codebook, codebook)


def test_evaluation_leaves_the_codebook_alone() -> None:
    module = quantizer(restart_below=5.0).eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module(some_vectors(20))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize("update", ["averages", "gradient"])
def test_a_dead_code_becomes_a_vector_of_the_batch_and_its_averages_follow(update: Any) -> None:
    module = quantizer(update=update, restart_below=0.5, decay=0.0).train()
    with torch.no_grad():
        module.codebook[3:] = 1e3  # nobody is near
    vectors = some_vectors(30)
    module(vectors)
    assert int(module.restarts) == 3
    restarted = module.codebook.detach()[3:]
    assert all(any(torch.equal(code, vector) for vector in vectors) for code in restarted)
    assert len({tuple(code.tolist()) for code in restarted}) == 3  # drawn without replacement
    even_share = 30 / SIZE
    assert module.counts[3:].tolist() == [even_share] * 3
    torch.testing.assert_close(module.sums[3:], even_share * restarted)
    module(vectors)
    assert int(module.restarts) == 3  # they are used now


def test_more_dead_codes_than_vectors_are_restarted_over_several_steps() -> None:
    module = quantizer(restart_below=0.9, decay=0.0).train()
    with torch.no_grad():
        module.codebook[1:] = 1e3
    module(torch.zeros(2, DIM))
    assert int(module.restarts) == 2


def test_k_means_starts_the_codebook_once_at_the_centres_of_the_data() -> None:
    torch.manual_seed(3)
    centres = 10 * torch.eye(DIM)
    vectors = centres.repeat_interleave(20, 0) + 0.01 * torch.randn(60, DIM)
    for _ in range(20):  # the draw may take two vectors of one cluster: then a centre is between two
        found, counts = kmeans(vectors, DIM, steps=5)
        if counts.tolist() == [20.0] * 3:
            break
    order = found.argmax(1).argsort()
    torch.testing.assert_close(found[order], centres, atol=0.02, rtol=0)
    module = VectorQuantizer(SIZE, DIM, restart_below=0.0)
    assert not bool(module.started)
    module.train()(vectors)
    assert bool(module.started)
    again = VectorQuantizer(SIZE, DIM)
    again.load_state_dict(module.state_dict())
    again.decay = 1.0  # nothing but a second start could move it
    before = again.codebook.clone()
    again.train()(torch.randn(60, DIM))
    torch.testing.assert_close(again.codebook, before, atol=1e-4, rtol=1e-4)


def test_the_loss_does_not_change_when_the_batch_is_doubled_by_repetition() -> None:
    module, vectors = quantizer().eval(), some_vectors(9)
    torch.testing.assert_close(module(vectors).loss, module(torch.cat((vectors, vectors))).loss)


@pytest.mark.parametrize("update", ["averages", "gradient"])
def test_codes_and_averages_are_float32_under_autocast(update: Any) -> None:
    vectors = some_vectors(200)
    plain, under = quantizer(update=update).train(), quantizer(update=update).train()
    expected = plain(vectors)
    with torch.autocast("cpu", torch.bfloat16):
        result = under(vectors)
    assert torch.equal(result.codes, expected.codes)
    assert result.loss.dtype == torch.float32
    assert torch.equal(result.loss, expected.loss)
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), under.state_dict().values(), strict=True))
    assert under(vectors.bfloat16()).vectors.dtype == torch.bfloat16


def test_figures_are_of_the_step_and_restarts_of_the_whole_run() -> None:
    module = quantizer().train()
    assert module.metrics() == {}
    codes = module(some_vectors(40)).codes
    counts = torch.bincount(codes, minlength=SIZE).double()
    share = counts[counts > 0] / 40
    figures = module.metrics()
    assert float(figures["perplexity"]) == pytest.approx(float((-(share * share.log()).sum()).exp()), rel=1e-5)
    assert float(figures["codes_used"]) == pytest.approx(float((counts > 0).float().mean()))


def test_vectors_that_are_not_finite_are_refused_and_the_codebook_stays() -> None:
    module, vectors = quantizer().train(), some_vectors(8)
    vectors[5, 0] = float("nan")
    before = module.codebook.clone()
    with pytest.raises(ValueError, match="1 of 8 vectors are not finite"):
        module(vectors)
    assert torch.equal(module.codebook, before)
    codes = torch.zeros(8, dtype=torch.int64)
    module.learn(vectors, codes)  # what a GPU does, where asking would make it wait
    assert torch.equal(module.codebook, before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"update": "ema"}, "update is one of averages, gradient, not 'ema'"),
        ({"codebook_init": "zeros"}, "codebook_init is one of kmeans, random, not 'zeros'"),
        ({"gradient": "none"}, "gradient is one of straight_through, rotation, not 'none'"),
        ({"codebook_size": 1}, "codebook_size=1 and dim=3: at least 2 codes"),
        ({"decay": 1.0}, "decay=1.0 is a share"),
        ({"beta": -1.0}, "beta=-1.0"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VectorQuantizer(**{"codebook_size": SIZE, "dim": DIM, **settings})


def test_fewer_vectors_than_codes_cannot_start_by_k_means() -> None:
    with pytest.raises(
        ValueError, match="codebook_size=6 codes cannot start by k-means from the first batch's 5 vectors"
    ):
        VectorQuantizer(SIZE, DIM).train()(some_vectors(5))


def test_a_wrong_last_axis_and_an_empty_batch_are_named() -> None:
    with pytest.raises(ValueError, match=r"vectors of shape \(4, 7\): expected \(..., 3\)"):
        quantizer()(F.pad(some_vectors(4), (0, 4)))
    with pytest.raises(ValueError, match="at least one"):
        quantizer()(some_vectors(0))
