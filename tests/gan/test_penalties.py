"""Gradient penalties against closed forms, and clipping against literal values."""

import pytest
import torch
from torch import Tensor, nn

from lhy_lightning.gan.penalties import clip_weights_, gradient_penalty, r1_penalty


def linear_critic(slope: float, *, pixels: int = 12) -> nn.Module:
    """A critic whose gradient has this norm everywhere."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 1), nn.Flatten(0))
    with torch.no_grad():
        critic[1].weight.mul_(slope / critic[1].weight.norm())
    return critic


def half_square(pictures: Tensor) -> Tensor:
    """A critic whose gradient is the picture itself."""
    return pictures.square().flatten(1).sum(1) / 2


def pictures(count: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(count, 3, 2, 2), torch.randn(count, 3, 2, 2)


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_penalty_is_zero_for_a_one_lipschitz_critic_at_any_batch_size(count: int) -> None:
    assert gradient_penalty(linear_critic(1.0), *pictures(count)).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("slope", "two_sided", "one_sided"), [(3.0, 4.0, 4.0), (0.25, 0.5625, 0.0)])
def test_one_sided_only_norms_above_the_target_cost(slope: float, two_sided: float, one_sided: float) -> None:
    critic = linear_critic(slope)
    assert gradient_penalty(critic, *pictures(5)).item() == pytest.approx(two_sided, rel=1e-5)
    assert gradient_penalty(critic, *pictures(5), one_sided=True).item() == pytest.approx(one_sided, rel=1e-5)
    assert gradient_penalty(critic, *pictures(5), target=slope).item() == pytest.approx(0, abs=1e-10)


def test_every_sample_has_its_own_norm_on_its_own_point_of_the_line() -> None:
    real, fake = pictures(4)
    share = torch.tensor([0.0, 1.0, 0.25, 0.5])
    expected = 0.0
    for row in range(4):
        point = share[row] * real[row] + (1 - share[row]) * fake[row]
        expected += (point.norm().item() - 1) ** 2 / 4
    assert gradient_penalty(half_square, real, fake, interpolation=share).item() == pytest.approx(expected, rel=1e-5)


def test_its_gradient_by_the_weights_is_the_closed_form() -> None:
    critic = linear_critic(3.0)
    gradient_penalty(critic, *pictures(6)).backward()
    weight = critic[1].weight  # type: ignore[index]
    # d/dw (||w|| - 1)^2 = 2 (||w|| - 1) w / ||w||
    torch.testing.assert_close(weight.grad, 2 * (3 - 1) * weight.detach() / 3)
    assert critic[1].bias.grad is None or not critic[1].bias.grad.any()  # type: ignore[index]


def test_gradients_of_the_penalty_match_finite_differences() -> None:
    torch.manual_seed(0)
    real, fake = (torch.randn(3, 2, 4, 4) for _ in range(2))
    share, weight = torch.rand(3), torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)

    def penalty(weight: Tensor) -> Tensor:
        def critic(x: Tensor) -> Tensor:
            return torch.tanh(nn.functional.conv2d(x.double(), weight)).flatten(1).sum(1)

        return gradient_penalty(critic, real, fake, interpolation=share).double()

    assert torch.autograd.gradcheck(penalty, weight, eps=1e-3, atol=1e-2)


def test_real_and_fake_get_no_gradient() -> None:
    real, fake = (x.requires_grad_() for x in pictures(3))
    gradient_penalty(linear_critic(2.0), real, fake).backward()
    r1_penalty(linear_critic(2.0), real).backward()
    assert real.grad is None
    assert fake.grad is None


def test_a_flat_critic_costs_the_target_squared_and_gives_no_nan() -> None:
    critic = linear_critic(1.0)
    nn.init.zeros_(critic[1].weight)  # type: ignore[index]
    penalty = gradient_penalty(critic, *pictures(3))
    assert penalty.item() == 1
    penalty.backward()
    assert critic[1].weight.grad.isfinite().all()  # type: ignore[index]


def test_penalties_are_float32_inside_autocast_and_work_where_gradients_are_off() -> None:
    critic, (real, fake) = linear_critic(3.0), pictures(4)
    share = torch.rand(4)
    outside = gradient_penalty(critic, real, fake, interpolation=share), r1_penalty(critic, real)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        inside = (
            gradient_penalty(critic, real.bfloat16().float(), fake, interpolation=share),
            r1_penalty(critic, real.bfloat16()),
        )
    for before, after in zip(outside, inside, strict=True):
        assert after.dtype == torch.float32
        torch.testing.assert_close(before, after, rtol=1e-6, atol=0)


def test_points_are_drawn_from_torchs_generator() -> None:
    penalties = []
    for seed in (5, 5, 6):
        real, fake = pictures(4)
        torch.manual_seed(seed)
        penalties.append(gradient_penalty(half_square, real, fake).item())
    assert penalties[0] == penalties[1] != penalties[2]


def test_r1_is_the_mean_squared_gradient_norm_at_real_pictures() -> None:
    real, _ = pictures(5)
    expected = sum(picture.norm().item() ** 2 for picture in real) / 5
    assert r1_penalty(half_square, real).item() == pytest.approx(expected, rel=1e-5)
    assert r1_penalty(linear_critic(3.0), real).item() == pytest.approx(9, rel=1e-5)


def test_a_patch_critic_is_penalized_for_the_sum_of_its_map() -> None:
    real, fake = pictures(4)
    patches = gradient_penalty(lambda x: x.mean(1, keepdim=True), real, fake, target=0.0)
    assert patches.item() == pytest.approx(12 / 9, rel=1e-5)  # 12 pixels with gradient 1/3 each


def test_two_halves_of_a_batch_average_to_the_whole() -> None:
    real, fake = pictures(8)
    share = torch.rand(8)
    halves = [
        gradient_penalty(half_square, real[rows], fake[rows], interpolation=share[rows])
        for rows in (slice(0, 4), slice(4, 8))
    ]
    whole = gradient_penalty(half_square, real, fake, interpolation=share)
    torch.testing.assert_close((halves[0] + halves[1]) / 2, whole)


def test_pictures_of_different_shape_and_a_wrong_interpolation_are_errors() -> None:
    real, fake = pictures(4)
    with pytest.raises(ValueError, match=r"real \(4, 3, 2, 2\) and fake \(3, 3, 2, 2\)"):
        gradient_penalty(half_square, real, fake[:3])
    with pytest.raises(ValueError, match=r"interpolation is \(4,\), one number a sample, not \(4, 1\)"):
        gradient_penalty(half_square, real, fake, interpolation=torch.rand(4, 1))


def test_clipped_weights_are_in_the_range_and_buffers_stay() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[0.5, -0.005], [-2.0, 0.01]]))
    network[1].running_mean.fill_(7.0)  # type: ignore[operator, union-attr]
    clip_weights_(network, 0.01)
    torch.testing.assert_close(network[0].weight.detach(), torch.tensor([[0.01, -0.005], [-0.01, 0.01]]))
    assert network[1].weight.tolist() == pytest.approx([0.01, 0.01])  # the paper's code clips norms too
    assert network[1].running_mean.tolist() == [7.0, 7.0]  # type: ignore[operator, union-attr]


def test_weights_never_leave_the_clip_range_while_training() -> None:
    critic = linear_critic(5.0)
    optimizer = torch.optim.RMSprop(critic.parameters(), lr=0.1)
    for _ in range(5):
        real, fake = pictures(4)
        (critic(fake).mean() - critic(real).mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
        clip_weights_(critic, 0.01)
        assert max(weight.abs().max().item() for weight in critic.parameters()) <= 0.01


@pytest.mark.parametrize("limit", [0.0, -0.1])
def test_a_clip_range_without_room_is_an_error(limit: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        clip_weights_(linear_critic(1.0), limit)
