import math

import pytest
import torch
from torch import nn

from lhy_lightning.layers.transformer.attention import CrossAttention, SelfAttention, attend, attend_with_weights
from lhy_lightning.layers.transformer.packing import Packing
from lhy_lightning.layers.transformer.positions import LearnedPositions, RotaryPositions, SinusoidalPositions
from lhy_lightning.layers.transformer.state import LayerCache


def queries_keys_values(n=3, h=2, t=4, s=5, d=6):
    torch.manual_seed(0)
    return (
        torch.randn(n, h, t, d, requires_grad=True),
        torch.randn(n, h, s, d, requires_grad=True),
        torch.randn(n, h, s, d, requires_grad=True),
    )


def a_mask(n=3, s=5):
    mask = torch.ones(n, 1, 1, s, dtype=torch.bool)
    mask[1, ..., 3:] = False
    return mask


def test_the_written_out_path_equals_the_fused_one_and_so_do_its_gradients():
    query, key, value = queries_keys_values()
    fused = attend(query, key, value, mask=a_mask())
    written, _ = attend_with_weights(query, key, value, mask=a_mask())
    assert torch.allclose(fused, written, atol=1e-5)
    ask = torch.randn_like(fused)
    for a, b in zip(
        torch.autograd.grad(fused, (query, key, value), ask),
        torch.autograd.grad(written, (query, key, value), ask),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-5)


def test_weights_sum_to_one_and_are_zero_at_padding():
    _, weights = attend_with_weights(*queries_keys_values(), mask=a_mask())
    assert weights.shape == (3, 2, 4, 5)
    assert torch.allclose(weights.sum(-1), torch.ones(3, 2, 4))
    assert not weights[1, ..., 3:].any()


def test_weights_are_float32_whatever_the_inputs():
    query, key, value = (x.detach().bfloat16() for x in queries_keys_values())
    heads, weights = attend_with_weights(query, key, value, mask=a_mask())
    assert (heads.dtype, weights.dtype) == (torch.bfloat16, torch.float32)


def test_one_matrix_for_queries_keys_and_values_is_three_side_by_side():
    torch.manual_seed(0)
    attention = SelfAttention(6, 2)
    nn.init.normal_(attention.query_key_value.bias)
    x = torch.randn(8, 6)  # two sentences of four tokens
    weights = attention.query_key_value.weight.chunk(3)
    biases = attention.query_key_value.bias.chunk(3)
    query, key, value = (
        (x @ weight.T + bias).view(2, 4, 2, 3).transpose(1, 2) for weight, bias in zip(weights, biases, strict=True)
    )
    expected = attention.output(attend(query, key, value, causal=True)).flatten(0, 1)
    assert torch.allclose(attention(x, Packing(2, 4), causal=True), expected, atol=1e-6)


def test_cross_attention_gives_weights_only_when_asked_for_and_the_same_output():
    torch.manual_seed(0)
    attention = CrossAttention(6, 2)
    x, source_states = torch.randn(8, 6), torch.randn(10, 6)
    source = attention.remember(source_states, Packing(2, 5))
    mask = a_mask(2)
    output, nothing = attention(x, Packing(2, 4), source, mask)
    shown, weights = attention(x, Packing(2, 4), source, mask, weights=True)
    assert nothing is None
    assert weights.shape == (2, 2, 4, 5)
    assert torch.allclose(output, shown, atol=1e-6)


def test_dropped_weights_are_returned_whole():
    torch.manual_seed(0)
    attention = CrossAttention(6, 2, dropout=0.5)
    x, source = torch.randn(8, 6), attention.remember(torch.randn(10, 6), Packing(2, 5))
    dropped, weights = attention(x, Packing(2, 4), source, a_mask(2), weights=True)
    whole, _ = attention.eval()(x, Packing(2, 4), source, a_mask(2))
    assert torch.allclose(weights.sum(-1), torch.ones(2, 2, 4))
    assert not torch.allclose(dropped, whole, atol=1e-3)


# --- packing


def test_packing_leaves_out_padding_and_puts_zeros_back():
    real = torch.tensor([[True, True, False], [True, False, False]])
    packing = Packing.of(real)
    x = torch.arange(1.0, 13.0).view(2, 3, 2).requires_grad_()
    rows = packing.pack(x)
    assert rows.tolist() == [[1, 2], [3, 4], [7, 8]]
    back = packing.unpack(rows)
    assert torch.equal(back, x * real[..., None])
    weight = torch.randn(2, 3, 2)
    (gradient,) = torch.autograd.grad(back, x, weight)
    assert torch.equal(gradient, weight * real[..., None])


def test_rows_without_padding_are_not_copied():
    packing = Packing.of(torch.ones(2, 3, dtype=torch.bool))
    x = torch.randn(2, 3, 4)
    assert packing.rows is None
    assert packing.unpack(packing.pack(x)).data_ptr() == x.data_ptr()


# --- positions


def test_sinusoidal_positions_are_the_papers_formula_sines_first():
    table = SinusoidalPositions(6, 4)(slice(0, 4))
    for t in range(4):
        for i in range(3):
            assert table[t, i].item() == pytest.approx(math.sin(t / 10000 ** (2 * i / 6)), abs=1e-6)
            assert table[t, 3 + i].item() == pytest.approx(math.cos(t / 10000 ** (2 * i / 6)), abs=1e-6)


def test_tensor2tensors_slowest_wave_has_ten_thousand_times_the_fastest_ones_length():
    table = SinusoidalPositions(6, 4, first=1, tensor2tensor=True)(slice(0, 4))
    for t in range(4):
        for i in range(3):
            assert table[t, i].item() == pytest.approx(math.sin((t + 1) / 10000 ** (i / 2)), abs=1e-6)


def test_the_sinusoidal_table_grows_and_its_beginning_stays():
    positions = SinusoidalPositions(8, 4, first=1)
    before = positions(slice(0, 4)).clone()
    assert positions(slice(2, 50)).shape == (48, 8)
    assert torch.equal(positions(slice(0, 4)), before)


def test_there_are_only_so_many_learned_positions():
    positions = LearnedPositions(8, 4)
    assert positions(slice(1, 4)).shape == (3, 8)
    with pytest.raises(ValueError, match="max_positions"):
        positions(slice(0, 5))


def test_products_of_turned_vectors_depend_on_their_distance_alone():
    torch.manual_seed(0)
    rotary = RotaryPositions(8, 4)
    a, b = torch.randn(1, 8), torch.randn(1, 8)

    def product(i, j):
        return (rotary(a, slice(i, i + 1)) * rotary(b, slice(j, j + 1))).sum().item()

    assert product(0, 0) == pytest.approx((a * b).sum().item(), abs=1e-5)
    for i, j in ((0, 3), (5, 8), (40, 43)):
        assert product(i, j) == pytest.approx(product(1, 4), abs=1e-5)
    assert abs(product(0, 2) - product(0, 3)) > 1e-3


def test_rotary_positions_turn_each_pair_by_its_angle():
    rotary = RotaryPositions(4, 8)
    x = torch.tensor([[1.0, 0.0, 0.0, 2.0]])
    angles = (3 * 1.0, 3 * 0.01)
    expected = [math.cos(angles[0]), -2 * math.sin(angles[1]), math.sin(angles[0]), 2 * math.cos(angles[1])]
    assert rotary(x, slice(3, 4))[0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("make", [lambda: RotaryPositions(5, 4), lambda: SinusoidalPositions(5, 4)])
def test_pairs_need_an_even_width(make):
    with pytest.raises(ValueError, match="even"):
        make()


# --- cache


def test_the_cache_returns_all_that_was_written_while_it_grows():
    torch.manual_seed(0)
    cache = LayerCache(torch.zeros(2, 1, 4, 3), torch.zeros(2, 1, 4, 3))
    written = []
    for _ in range(7):
        key, value = torch.randn(2, 1, 2, 3), torch.randn(2, 1, 2, 3)
        written.append((key, value))
        keys, values = cache.append(key, value, slots=2)
        assert torch.equal(keys, torch.cat([k for k, _ in written], 2))
        assert torch.equal(values, torch.cat([v for _, v in written], 2))
