"""Quantizers with several codes a vector, and finite scalar quantization."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from lhy_lightning.autoencoders.quantizers.finite_scalar import FiniteScalarQuantizer
from lhy_lightning.autoencoders.quantizers.residual_quantizer import GroupedQuantizer, ResidualQuantizer
from lhy_lightning.autoencoders.quantizers.vector_quantizer import VectorQuantizer

SIZE, DIM = 8, 4


def some_vectors(*shape: int) -> Tensor:
    return torch.randn(*shape, DIM, generator=torch.Generator().manual_seed(1))


def test_residual_codes_add_up_and_each_quantizer_gets_what_the_ones_before_left() -> None:
    torch.manual_seed(0)
    module, vectors = ResidualQuantizer(3, SIZE, DIM), some_vectors(5, 6)
    module.train()(vectors)
    module.eval()
    result = module(vectors)
    rest, loss = vectors.clone(), torch.zeros(())
    for level in range(3):
        single = module.quantizers[level](rest)
        assert torch.equal(result.codes[..., level], single.codes)
        rest, loss = rest - single.vectors, loss + single.loss
    torch.testing.assert_close(result.vectors, vectors - rest)
    torch.testing.assert_close(result.loss, loss)
    torch.testing.assert_close(module.decode(result.codes), result.vectors)
    errors = [float((module.decode(result.codes[..., :depth]) - vectors).square().mean()) for depth in (1, 2, 3)]
    assert errors == sorted(errors, reverse=True)


def test_the_gradient_passes_a_residual_quantizer_once() -> None:
    module, vectors = ResidualQuantizer(3, SIZE, DIM, beta=0.0).eval(), some_vectors(5).requires_grad_()
    module(vectors).vectors.sum().backward()
    torch.testing.assert_close(vectors.grad, torch.ones(5, DIM))


def test_the_commitment_of_every_level_reaches_the_encoder() -> None:
    module, vectors = ResidualQuantizer(2, SIZE, DIM, beta=0.5).eval(), some_vectors(5).requires_grad_()
    result = module(vectors)
    result.loss.backward()
    first = vectors.detach() - module.quantizers[0].decode(result.codes[:, 0])
    second = first - module.quantizers[1].decode(result.codes[:, 1])
    torch.testing.assert_close(vectors.grad, 0.5 * 2 * (first + second) / vectors.numel())


def test_grouped_codes_are_those_of_the_parts() -> None:
    torch.manual_seed(0)
    module, vectors = GroupedQuantizer(2, SIZE, DIM), some_vectors(5, 6)
    module.train()(vectors)
    result = module.eval()(vectors)
    parts = [module.quantizers[g](vectors[..., 2 * g : 2 * g + 2]) for g in range(2)]
    assert torch.equal(result.codes, torch.stack([part.codes for part in parts], -1))
    torch.testing.assert_close(result.vectors, torch.cat([part.vectors for part in parts], -1))
    torch.testing.assert_close(module.decode(result.codes), result.vectors)
    whole = 0.25 * (result.vectors - vectors).square().mean()
    torch.testing.assert_close(result.loss, whole)
    assert set(module.train().metrics()) == {
        f"{name}_{g}" for g in (0, 1) for name in ("perplexity", "codes_used", "restarts")
    }


def test_impossible_depths_and_groups_are_named() -> None:
    with pytest.raises(ValueError, match="depth=0"):
        ResidualQuantizer(0, SIZE, DIM)
    with pytest.raises(ValueError, match="leave cosine out"):
        ResidualQuantizer(2, SIZE, DIM, cosine=True)
    with pytest.raises(ValueError, match="dim=4 numbers cannot be cut into groups=3"):
        GroupedQuantizer(3, SIZE, DIM)


@pytest.mark.parametrize("levels", [(3, 5), (4, 2), (8, 5, 5)])
def test_every_code_of_finite_scalars_is_a_point_of_the_grid_and_back(levels: tuple[int, ...]) -> None:
    module = FiniteScalarQuantizer(levels).eval()
    codes = torch.arange(module.codebook_size)
    vectors = module.decode(codes)
    per_number = [sorted({round(float(v), 6) for v in vectors[:, d]}) for d in range(len(levels))]
    assert [len(values) for values in per_number] == list(levels)
    assert len({tuple(v.tolist()) for v in vectors}) == module.codebook_size
    # numbers from far left to far right, all of them together: each code is reached and decoded as quantized
    lines = [torch.linspace(-4, 4, 41).tolist()] * len(levels)
    grid = torch.tensor(list(itertools.product(*lines))) if len(levels) == 2 else torch.randn(50_000, 3) * 2
    result = module(grid)
    assert result.codes.unique().tolist() == codes.tolist()
    torch.testing.assert_close(module.decode(result.codes), result.vectors)


def test_finite_scalars_round_to_literal_values_and_zero_stays() -> None:
    module = FiniteScalarQuantizer((3, 5))
    result = module(torch.tensor([[0.0, 0.0], [10.0, 10.0], [-10.0, 0.4]]))
    assert result.vectors.tolist() == [[0.0, 0.0], [1.0, 1.0], [-1.0, 0.5]]
    assert result.codes.tolist() == [1 + 3 * 2, 2 + 3 * 4, 0 + 3 * 3]
    assert float(result.loss) == 0.0
    assert float(FiniteScalarQuantizer((8, 4))(torch.zeros(1, 2)).vectors.abs().sum()) == 0.0


def test_the_gradient_of_finite_scalars_is_that_of_the_bound() -> None:
    module, vectors = FiniteScalarQuantizer((4, 5)), torch.tensor([[0.3, -0.2]], requires_grad=True)
    module(vectors).vectors.sum().backward()
    plain = vectors.detach().clone().requires_grad_()
    (module.bound(plain) / torch.tensor([2.0, 2.0])).sum().backward()
    torch.testing.assert_close(vectors.grad, plain.grad)


def test_finite_scalars_name_a_wrong_width() -> None:
    with pytest.raises(ValueError, match=r"levels=\(3, 5\) expect \(..., 2\)"):
        FiniteScalarQuantizer((3, 5))(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="at least 2 values"):
        FiniteScalarQuantizer((3, 1))


def test_all_quantizers_answer_alike() -> None:
    vectors = some_vectors(2, 9)
    for module, places in (
        (VectorQuantizer(SIZE, DIM), ()),
        (ResidualQuantizer(3, SIZE, DIM), (3,)),
        (GroupedQuantizer(2, SIZE, DIM), (2,)),
        (FiniteScalarQuantizer((3, 3, 3, 3)), ()),
    ):
        result = module.train()(vectors)
        assert result.vectors.shape == vectors.shape
        assert result.codes.shape == (2, 9, *places)
        assert result.loss.shape == ()
        assert module.decode(result.codes).shape == vectors.shape
        assert any(name.startswith("perplexity") for name in module.metrics())
